"""A part of a picture is hidden: what the network says then is an experiment, not an explanation.

What is painted over is itself something new to the network, so there are several ways to paint.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gradcam_core.types import F32, UserError

Mask = NDArray[np.bool_]
BRUSH = 1 / 16  # of the picture's sides: the radius of a spot
BLUR = 1 / 12  # of the picture's side: sigma of the blur


def blurred(picture: F32) -> F32:
    """Gaussian, so wide that shapes are gone and colours stay: (h, w, 3)."""
    rows, columns = (BLUR * side for side in picture.shape[:2])
    return np.asarray(ndimage.gaussian_filter(picture, (rows, columns, 0), mode="nearest"))


FILLS: dict[str, Callable[[F32], F32]] = {  # (h, w, 3) in [0, 255] -> what stands in for it
    "grey": lambda picture: np.full_like(picture, 127.5),
    "blur": blurred,
    "mean": lambda picture: np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape),
}


def rectangle(box: Sequence[float], size: tuple[int, int]) -> Mask:
    """True inside the box (left, top, right, bottom), in shares of width and height: (h, w).

    A pixel counts as inside where its middle is.
    """
    (h, w), (left, top, right, bottom) = size, box
    y, x = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    return ((top <= y) & (y < bottom))[:, None] & ((left <= x) & (x < right))


def spots(middles: Sequence[Sequence[float]], size: tuple[int, int]) -> Mask:
    """True under a brush that touched these places, in shares of width and height: (h, w)."""
    h, w = size
    y, x = (np.arange(h)[:, None] + 0.5) / h, (np.arange(w) + 0.5) / w
    under = np.zeros(size, bool)
    for across, down in middles:
        under |= (x - across) ** 2 + (y - down) ** 2 <= BRUSH**2
    return under


def hidden(picture: F32, masks: Sequence[Mask], fill: str) -> F32:
    """The picture (h, w, 3) in [0, 255] with each mask (h, w) painted over: (B, h, w, 3)."""
    if fill not in tuple(FILLS):
        raise UserError(f"There is no such way to cover; choose from: {', '.join(FILLS)}.")
    paint = FILLS[fill](picture)
    return np.stack([np.where(mask[:, :, None], paint, picture) for mask in masks])
