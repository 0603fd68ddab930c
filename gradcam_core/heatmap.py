"""Weights -> map -> [0, 1] -> H x W -> colours -> overlay -> figure. Finite in, finite out."""

import io
import textwrap
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from gradcam_core.types import F32, U8, Placement

COLOURS = ("light", "viridis", "inferno", "cividis", "turbo", "jet")
DIVERGING = "RdBu_r"  # white is zero, red for, blue against
LIT = {  # of looks that mute the picture: where in [0, 1] a colour stands; red, green, blue
    "light": [(0, 196, 88, 8), (0.4, 240, 136, 12), (0.75, 255, 192, 20), (1, 255, 228, 84)],
    "light, both signs": [
        (0, 110, 190, 255), (0.25, 40, 120, 230), (0.5, 20, 50, 120), (0.502, 120, 30, 20),
        (0.75, 226, 72, 38), (1, 255, 132, 92),
    ],
}  # fmt: skip
NO_MAP = float("nan")  # of a heat: no cell lies there, and the photograph is seen
TITLE = 42  # letters in a line of a figure's title
THRESHOLD = 0.15  # of the maximum: where the paper draws its box (section 3.2)


def combine(weights: F32, a: F32) -> F32:
    """Signed sum over k of weights * A: weights (K,) or (h, w, K), A (h, w, K) -> (h, w).

    Grad-CAM, equation 2, before its ReLU.
    """
    if weights.ndim == 1:
        return (a.reshape(-1, len(weights)) @ weights).reshape(a.shape[:2])
    return np.einsum("ijk,ijk->ij", weights, a)


def normalise(signed: F32) -> F32:
    """ReLU, then divided by the maximum: (h, w) signed -> [0, 1]. An empty map becomes zeros."""
    positive = np.maximum(signed, 0)
    top = positive.max()
    return positive / top if top > 0 else np.zeros_like(positive)


SIGNS = ("for", "against", "both")


def signed_to_unit(signed: F32, sign: str, top: float = 0) -> F32:
    """(h, w) signed -> [0, 1]: the evidence for, the evidence against, or both round 0.5.

    top: what the end of the scale stands for, where maps share one; 0: the largest of this map.
    """
    if sign == "both":
        top = top or float(np.abs(signed).max()) or 1
        return np.asarray((np.clip(signed / top, -1, 1) + 1) / 2, np.float32)
    part = signed if sign == "for" else -signed
    return np.asarray(np.clip(part / top, 0, 1), np.float32) if top else normalise(part)


def upsample(grid: F32, size: tuple[int, int]) -> F32:
    """(h, w) -> (H, W), bilinear, half-pixel centres: a cell stays over what it was made from."""
    factors = (size[0] / grid.shape[0], size[1] / grid.shape[1])
    return np.asarray(
        ndimage.zoom(grid, factors, order=1, mode="nearest", grid_mode=True), np.float32
    )


def shrink(grid: F32, limit: int) -> F32:
    """(h, w) -> at most (limit, limit): each new cell the mean over its part of the whole."""
    if max(grid.shape) <= limit:
        return grid
    rows, columns = (parts_of(n, -(-n * limit // max(grid.shape))) for n in grid.shape)
    return np.asarray(rows @ grid @ columns.T, np.float32)


def parts_of(many: int, few: int) -> F32:
    """(few, many): of each of `few` equal parts of a line, how much each of `many` takes up."""
    edges, cells = np.arange(few + 1)[:, None] * many / few, np.arange(many)
    covered = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    return (np.maximum(covered, 0) * few / many).astype(np.float32)


def project(
    grid: F32, size: tuple[int, int], placement: Placement | None = None, outside: float = 0
) -> F32:
    """(h, w) -> (H, W) where it belongs, bilinear, half-pixel centres. placement None: `upsample`.

    outside: for the pixels that no cell covers.
    """
    if placement is None:
        return upsample(grid, size)
    places = on_grid(size, placement)
    cells = places * np.array(grid.shape)[:, None, None] - 0.5
    heat = ndimage.map_coordinates(grid, cells, order=1, mode="nearest")
    return np.where(inside_grid(places), heat, outside).astype(np.float32)


def on_grid(size: tuple[int, int], placement: Placement) -> NDArray[np.float64]:
    """Where the middle of each pixel lies on a grid, in shares of the grid's sides: (2, H, W)."""
    matrix = np.array([placement.rows, placement.columns])
    pixels = ((np.indices(size) + 0.5).reshape(2, -1).T / size).T
    return np.linalg.solve(matrix[:, :2], pixels - matrix[:, 2:]).reshape(2, *size)


def inside_grid(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of these places (2, H, W) a cell covers, (H, W)."""
    return np.asarray(((places >= 0) & (places <= 1)).all(axis=0))


def share_beyond(signed: F32, placement: Placement | None) -> float:
    """How much of a map's evidence is in cells (h, w) that lie beyond the picture, in [0, 1]."""
    if placement is None:
        return 0.0
    matrix = np.array([placement.rows, placement.columns])
    cells = (np.indices(signed.shape) + 0.5).reshape(2, -1) / np.array(signed.shape)[:, None]
    places = matrix[:, :2] @ cells + matrix[:, 2:]
    evidence = np.maximum(signed, 0).ravel()
    beyond = ((places < 0) | (places > 1)).any(axis=0)
    return float(evidence[beyond].sum() / (evidence.sum() or 1))


@lru_cache
def palette(name: str) -> U8:
    """A colour map as (256, 3) RGB."""
    if name in LIT:
        at, *channels = np.transpose(LIT[name])
        ramps = [np.interp(np.arange(256) / 255, at, channel) for channel in channels]
        return np.asarray(np.rint(np.transpose(ramps)), np.uint8)
    colours = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return np.asarray(np.rint(255 * colours), np.uint8)


def paint(heat: F32, name: str) -> U8:
    """(H, W) in [0, 1] -> (H, W, 3) RGB. On `DIVERGING`, 0.5 is white."""
    index = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return palette(name)[index]


def diverging(colours: str) -> str:
    """The colours of both signs that go with those of one."""
    return "light, both signs" if colours in LIT else DIVERGING


def usual_opacity(colours: str) -> float:
    return 0.95 if colours in LIT else 0.5


def lit(image: U8, heat: F32, colours: str, opacity: float) -> U8:
    """The picture muted, and over it a colour of LIT, the more of it the more evidence there is.

    (H, W, 3) and (H, W) in [0, 1] -> (H, W, 3). In shadows yellow turns to amber, not to olive.
    Without a map it is muted too: in this look what is bright would be taken for evidence.
    """
    heat = np.where(np.isnan(heat), 0 if colours == "light" else 0.5, heat)
    grey = image @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    grey = grey[..., None]
    one_sign = colours == "light"
    tint = np.array([0.86, 0.92, 1.08] if one_sign else [0.92, 0.92, 0.92])  # blue is evidence
    muted = (8.925 + 0.525 * (grey + 0.2 * (image - grey))) * tint
    shade = (0.6 + 0.4 * np.sqrt(grey / 255)) ** np.array(
        [0.8, 1.15, 1.7] if one_sign else [1, 1, 1]
    )
    amount = (heat if one_sign else np.abs(2 * heat - 1))[..., None] ** np.float32(0.7)
    mixed = (1 - opacity * amount) * muted + opacity * amount * paint(heat, colours) * shade
    return np.asarray(np.rint(np.clip(mixed, 0, 255)), np.uint8)


def overlay(image: U8, heat: F32, colours: str = COLOURS[0], opacity: float | None = None) -> U8:
    """(1 - opacity) * image + opacity * colour: (H, W, 3) and (H, W) in [0, 1] -> (H, W, 3).

    Where the heat is NO_MAP, the image as it is. opacity None: what is usual for the colours. Those
    of LIT are mixed in their own way.
    """
    opacity = usual_opacity(colours) if opacity is None else opacity
    if colours in LIT:
        return lit(image, heat, colours, opacity)
    colour = paint(np.nan_to_num(heat), colours).astype(np.float32)
    mixed = np.rint((1 - opacity) * image + opacity * colour).astype(np.uint8)
    return np.where(np.isnan(heat)[..., None], image, mixed)


def box(heat: F32, threshold: float = THRESHOLD) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) in pixels round the largest connected part at or above `threshold`
    of the maximum; None for an empty map. heat (H, W). Grad-CAM, section 3.2 (weak localisation).
    """
    top = float(heat.max())
    if top <= 0:
        return None
    parts, count = ndimage.label(heat >= threshold * top)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    rows, columns = ndimage.find_objects(parts)[int(sizes.argmax())]
    return columns.start, rows.start, columns.stop, rows.stop


def relu_zeroed_fraction(signed: F32) -> float:
    """The share of places that the ReLU sets to zero: (h, w) signed -> [0, 1]."""
    return float((signed < 0).mean())


def figure(
    image: U8,
    over: U8,
    title: str,
    colours: str = COLOURS[0],
    frame: tuple[int, int, int, int] | None = None,
    of: str = "",
) -> Figure:
    """The article's figure: "Original image" on the left, on the right the overlay with a title.

    On colours of both signs the scale goes from -1 to 1, else from 0 to 1. frame: a `box`, drawn on
    the overlay. of: what the scale's end is the strongest of, where not of this map alone.
    """
    fig = Figure(figsize=(10, 5), layout="constrained")
    left, right = fig.subplots(1, 2)
    left.imshow(image)
    left.set_title("Original image")
    right.imshow(over)
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, TITLE)]
    right.set_title("\n".join(lines), parse_math=False)  # a label may have a $
    if frame:
        x, y, end_x, end_y = frame
        corner = x - 0.5, y - 0.5  # the middle of the first pixel is at 0
        for colour, width in (("black", 4), ("white", 2)):
            right.add_patch(
                Rectangle(
                    corner, end_x - x, end_y - y, fill=False, color=colour, lw=width, clip_on=False
                )
            )
    for axes in (left, right):
        axes.set_axis_off()
    both = colours not in COLOURS
    ramp = ListedColormap(palette(colours) / 255)
    scale = matplotlib.cm.ScalarMappable(Normalize(-1 if both else 0, 1), ramp)
    label = f"share of the strongest evidence{of}" + ", against (−) or for (+)" * both
    fig.colorbar(scale, ax=right, fraction=0.046, label=label)
    return fig


def save_figure(fig: Figure, path: str | Path) -> None:
    """Write it in the format that the name ends in. Raises OSError, and ValueError for others."""
    fig.savefig(path, dpi=120)


def figure_png(fig: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    fig.savefig(file, dpi=120, format="png")
    return file.getvalue()


def grey(values: F32) -> U8:
    """Signed (H, W, 3), as gradients are, round middle grey: (H, W, 3). One value in 200 is cut."""
    top = float(np.quantile(np.abs(values), 0.995))
    return np.asarray(np.rint(np.clip(values / (top or 1), -1, 1) * 127 + 128), np.uint8)


def formula(latex: str) -> str:
    """A formula as an SVG picture in the colour of the text round it."""
    fig, file = Figure(), io.BytesIO()
    fig.text(0, 0, f"${latex}$", fontsize=28).set_math_fontfamily("cm")
    none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata=none)
    svg = file.getvalue().decode()
    return svg[svg.index("<svg") :].replace("<svg ", '<svg fill="currentColor" ', 1)
