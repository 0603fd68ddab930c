"""Does a map tell the truth? Pure functions over "score these pictures"; no network is known here.

A picture is what a network sees, (H, W, 3) in [0, 255], before it is preprocessed, and a map (h, w)
lies in it as its placement says. Cells that are hidden show what the score hangs on, not what is
true of the object; what is painted over is itself new to the network, so it is done in three ways.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse, stats
from scipy.sparse.linalg import cg

from gradcam_core import blas
from gradcam_core.heatmap import box
from gradcam_core.hide import FILLS, Mask
from gradcam_core.types import F32, Placement, UserError

Score = Callable[[F32], F32]  # pictures (B, H, W, 3) -> (B,), in the unit of the score
Numbers = NDArray[np.floating]
Cells = NDArray[np.intp]  # numbers of cells, i w + j

COVERS_ALL = Placement((1, 0, 0), (0, 1, 0))
SHUFFLED = 19  # maps of the same cells: the fewest that allow p = .05
SIGNIFICANT = 0.05
STEPS_OF = {"blur": 4, "mean": 4, "linear": 5}  # fill -> how many shares of the cells are hidden
AGAINST_CHANCE = ("blur", "mean")  # fills that are quick enough for each shuffled map
MOST_PASSES = (
    1 + 2 * 2 * sum(STEPS_OF.values()) + SHUFFLED * 2 * sum(STEPS_OF[f] for f in AGAINST_CHANCE)
)
CELLS_A_SIDE = 28  # of a map of pixels, when parts are hidden or it is held against others
UNCERTAIN = 1e-5  # of the numbers: what 32 bits leave uncertain
SIGMA = 1 / 4  # of the picture's side: of the blob at its centre
NEIGHBOURS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
NOISE = 0.01 * 255  # standard deviation of what ROAD adds
NOTHING = "This map is the same all over, so there is nothing in it to test; choose another one."
NO_REGION = "Draw round the object: something inside, and something left outside."
CASCADE = tuple(n / 7 for n in range(8))  # of the layers with weights, the last ones that forget
HARDLY = 0.5  # rank correlation of a map with what is left of it when all is forgotten
FEWEST = 16  # cells: of fewer, one order in forty or more is as like another by chance alone
SHIFT = 1 / 14  # of the sides
GRAIN = 12.0  # of 255: standard deviation of the noise
MUCH = 0.2  # by which a probability, or this share of another number, may move and still hold
AS_BEFORE = 0.8  # correlation of two maps that are taken for the same
NO_SCORE = "With parts hidden, the network answers with no finite number."

# ---- what is hidden, in which order --------------------------------------------------------------


def owners(shape: tuple[int, int], size: tuple[int, int], placement: Placement | None) -> Cells:
    """The cell (h, w) over each pixel (H, W); -1 where there is none."""
    place = placement or COVERS_ALL
    matrix = np.array([place.rows, place.columns])
    pixels = ((np.indices(size) + 0.5).reshape(2, -1).T / size).T
    places = np.linalg.solve(matrix[:, :2], pixels - matrix[:, 2:])
    at = np.floor(places * np.array(shape)[:, None]).astype(np.intp)
    over = ((at >= 0) & (at < np.array(shape)[:, None])).all(axis=0)
    return np.where(over, at[0] * shape[1] + at[1], -1).reshape(size)


def cells_in_sight(owner: Cells) -> tuple[Cells, Cells]:
    """The cells that lie over some pixel, (n,), and `owner` by their places in that list.

    Heat of the others cannot be hidden: they are no part of any test.
    """
    seen, among = np.unique(owner, return_inverse=True)
    none = int(seen[0] < 0)
    return seen[none:], among.reshape(owner.shape) - none


def hottest_first(signed: F32, ties: Numbers) -> Cells:
    """The cells of a map, the largest first: (n,). ties: numbers (n,) that part equals;
    drawn by lot, or the corner where cells begin would be favoured.
    """
    return np.lexsort((ties, -signed.ravel()))


def centre_blob(shape: tuple[int, int], placement: Placement | None = None) -> F32:
    """exp(-d^2 / 2 sigma^2), d from the middle of the picture in shares of its sides, sigma a
    quarter: (h, w). It knows nothing of the picture, but photographers put things there.
    """
    place, (h, w) = placement or COVERS_ALL, shape
    u, v = (np.arange(h)[:, None] + 0.5) / h, (np.arange(w) + 0.5) / w
    (a, b, c), (d, e, f) = place.rows, place.columns
    away = (a * u + b * v + c - 0.5) ** 2 + (d * u + e * v + f - 0.5) ** 2
    return np.exp(-away / (2 * SIGMA**2)).astype(np.float32)


def shares_of(fill: str) -> list[float]:
    """Which shares of the cells are hidden, one picture each, in (0, 1)."""
    return [(n + 1) / (STEPS_OF[fill] + 1) for n in range(STEPS_OF[fill])]


def first_hidden(owner: Cells, order: Cells, share: float) -> Mask:
    """Where the first cells of an order lie, that share of all: (H, W); one is left."""
    count = round(share * len(order))
    hidden = np.zeros(len(order) + 1, bool)  # the last stands for no cell
    hidden[order[: count if share >= 1 else min(count, len(order) - 1)]] = True
    return hidden[owner]


def hidden_part(
    signed: F32, size: tuple[int, int], placement: Placement | None, share: float, hottest: bool
) -> Mask:
    """Where that share of a map's cells lies, the hottest or the coldest ones: (H, W)."""
    seen, owner = cells_in_sight(owners((signed.shape[0], signed.shape[1]), size, placement))
    order = hottest_first(signed.ravel()[seen], np.random.default_rng(0).random(len(seen)))
    return first_hidden(owner, order if hottest else order[::-1], share)


def imputed(picture: F32, mask: Mask, noise: Numbers) -> F32:
    """Each hidden pixel is the weighted mean of its neighbours, hidden ones too: (H, W, 3).

    Direct neighbours weigh 1/6, diagonal ones 1/12, at an edge those that there are; one sparse
    linear system a channel, to a thousandth. Then the noise (H, W, 3) is added. So the outline of
    what is hidden tells the network little. ROAD: Rong et al. 2022, arXiv 2202.00449. Some pixel
    must be left to see.
    """
    number = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1)  # with a border all round
    number[1:-1, 1:-1][mask] = np.arange(mask.sum())
    i, j = np.nonzero(number >= 0)
    rows, columns, weights = [], [], []
    for (down, right), weight in np.ndenumerate(NEIGHBOURS):
        other = number[i + down - 1, j + right - 1]
        both = np.nonzero((other >= 0) & (weight > 0))[0]
        rows.append(both)
        columns.append(other[both])
        weights.append(np.full(len(both), -weight))
    total = ndimage.convolve(np.ones(mask.shape), NEIGHBOURS, mode="constant")[mask]
    every = np.arange(len(i))
    system = sparse.csr_array(
        (
            np.concatenate([*weights, total]),
            (np.concatenate([*rows, every]), np.concatenate([*columns, every])),
        ),
        shape=(len(i), len(i)),
    )
    start = picture[~mask].mean(axis=0)
    filled = picture.astype(np.float32).copy()
    for channel in range(picture.shape[2]):
        seen = np.where(mask, 0, picture[:, :, channel].astype(np.float64))
        known = ndimage.convolve(seen, NEIGHBOURS, mode="constant")[mask]
        guess = np.full(len(i), start[channel])
        with blas.one_thread():
            solved, _ = cg(system, known, x0=guess, rtol=1e-3, maxiter=500)
        filled[mask, channel] = solved + noise[mask, channel]
    return np.clip(filled, 0, 255)


def covered_by_steps(picture: F32, owner: Cells, order: Cells, fill: str, noise: Numbers) -> F32:
    """The picture with more and more of an order hidden, then of its reverse: (2 S, H, W, 3)."""
    masks = [
        first_hidden(owner, one, share) for one in (order, order[::-1]) for share in shares_of(fill)
    ]
    if fill == "linear":
        return np.stack([imputed(picture, mask, noise) for mask in masks])
    paint = FILLS[fill](picture)
    return np.stack([np.where(mask[:, :, None], paint, picture) for mask in masks])


# ---- the verdict ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removal:
    """The score, as more and more is hidden."""

    hottest: tuple[float, ...]  # MoRF: most relevant first, (S,)
    coldest: tuple[float, ...]  # LeRF: least relevant first, (S,)

    @property
    def gap(self) -> float:
        """(LeRF - MoRF) / 2, each the mean over the steps, in the unit of the score.

        Above zero: hiding what is hot costs more than hiding what is cold. Rong et al. 2022, arXiv
        2202.00449. Deletion (MoRF) alone hangs on what is painted over.
        """
        return float(np.mean(self.coldest) - np.mean(self.hottest)) / 2


def removal(
    score: Score, picture: F32, owner: Cells, order: Cells, fill: str, noise: Numbers
) -> Removal:
    """What hiding in that order, and in its reverse, does to the score. Two passes a step."""
    y = score(covered_by_steps(picture, owner, order, fill, noise))
    if not np.isfinite(y).all():
        raise UserError(NO_SCORE)
    half = len(y) // 2
    return Removal(tuple(map(float, y[:half])), tuple(map(float, y[half:])))


@dataclass(frozen=True)
class OfFill:
    """What one way of painting says."""

    fill: str
    shares: tuple[float, ...]  # of the cells that are hidden, (S,)
    map: Removal
    centre: Removal  # of the blob at the picture's centre
    shuffled: list[Removal] = field(default_factory=list)  # of maps of the same cells; may be none

    def less(self, one: Removal, other: Removal) -> bool:
        """Whether its gap is, by more than the rounding of the numbers it was made of."""
        size = max(map(abs, (*one.hottest, *one.coldest, *other.hottest, *other.coldest)))
        return other.gap - one.gap > UNCERTAIN * size

    @property
    def beats_centre(self) -> bool:
        return self.less(self.centre, self.map)

    @property
    def as_good(self) -> int:
        """How many of the shuffled maps are."""
        return sum(not self.less(one, self.map) for one in self.shuffled)

    @property
    def p(self) -> float | None:
        """(1 + how many are at least as good) / (1 + how many there are), in (0, 1]: how often
        chance does as well. Phipson and Smyth 2010, arXiv 1603.05766. None: none was tried.
        """
        return (1 + self.as_good) / (1 + len(self.shuffled)) if self.shuffled else None


Ruling = Literal["better", "centre", "undecided"]


@dataclass(frozen=True)
class Judgement:
    """What was found about one map, of one class, on one picture; never a grade."""

    ruling: Ruling
    fills: tuple[OfFill, ...]
    whole: float  # the score of the picture as it is
    passes: int  # that it took


def examine(
    score: Score, picture: F32, signed: F32, placement: Placement | None = None, seed: int = 0
) -> Generator[float, None, Judgement]:
    """Is a map (h, w) better than chance, and than the picture's centre? Yields the part done.

    "better": for every fill a larger gap than the centre's, and p <= .05 against maps of the same
    cells in another order. "centre": for no fill a larger gap than the centre's. Else "undecided".
    It stops as soon as that cannot change: where the fills differ about the centre, or none speaks
    for the map, no shuffled map is tried; and the first one that is as good ends it.
    """
    dice = np.random.default_rng(seed)
    shape, (height, width, _) = (signed.shape[0], signed.shape[1]), picture.shape
    seen, owner = cells_in_sight(owners(shape, (height, width), placement))
    cells, centre = (grid.ravel()[seen] for grid in (signed, centre_blob(shape, placement)))
    if not len(seen) or np.ptp(cells) == 0:
        raise UserError(NOTHING)
    ties = dice.random(len(seen))
    noise = dice.normal(0, NOISE, picture.shape)  # the same for all: equal maps get equal numbers
    whole = float(score(picture[None])[0])
    passes, fills = 1, []

    def remove(grid: F32, fill: str) -> Removal:
        return removal(score, picture, owner, hottest_first(grid, ties), fill, noise)

    for fill, steps in STEPS_OF.items():
        both = []
        for grid in (cells, centre):
            yield passes / MOST_PASSES
            both.append(remove(grid, fill))
            passes += 2 * steps
        fills.append(OfFill(fill, tuple(shares_of(fill)), both[0], both[1]))
    beaten = sum(one.beats_centre for one in fills)
    ruling: Ruling = "centre" if beaten == 0 else "undecided"
    if beaten == len(fills):
        tested = [one for one in fills if one.fill in AGAINST_CHANCE]
        for _ in range(SHUFFLED):
            grid = dice.permutation(cells)
            for one in tested:
                yield passes / MOST_PASSES
                one.shuffled.append(remove(grid, one.fill))
                passes += 2 * STEPS_OF[one.fill]
            if any(one.as_good for one in tested):
                break
        else:
            ruling = "better"
    return Judgement(ruling, tuple(fills), whole, passes)


def sentence_of(found: Judgement) -> str:
    """The verdict, in one sentence."""
    if found.ruling == "better":
        return "Better than chance and than the picture’s centre."
    if found.ruling == "centre":
        return "No better than the picture’s centre."
    if all(one.beats_centre for one in found.fills):
        return "Undecided: better than the picture’s centre, but shuffled cells did as well."
    return "Undecided: it depends on what is painted over."


def said_by(one: OfFill) -> str:
    """What one way of painting said, with its numbers, in a sentence or two."""
    than = "better than" if one.beats_centre else "no better than"
    text = f"{than} the picture’s centre ({one.map.gap:.2f} against {one.centre.gap:.2f})."
    if one.p is None:
        return text
    of = f"{len(one.shuffled)} shuffled map{'s' * (len(one.shuffled) > 1)}"
    if one.as_good:
        return f"{text} {one.as_good} of {of} did as well."
    return f"{text} Better than {'all ' * (one.p <= SIGNIFICANT)}{of} (p = {one.p:.2g})."


# ---- where the truth is known --------------------------------------------------------------------


def mosaic(quarters: Sequence[F32]) -> F32:
    """Four pictures (h, w, 3) of one size as one, (2 h, 2 w, 3): top left and right, bottom left
    and right.
    """
    a, b, c, d = quarters
    return np.concatenate([np.concatenate([a, b], axis=1), np.concatenate([c, d], axis=1)])


def quarter(number: int, size: tuple[int, int]) -> Mask:
    """True over one of the four: (H, W)."""
    (h, w), (row, column) = size, divmod(number, 2)
    y, x = np.arange(h) + 0.5, np.arange(w) + 0.5
    return ((y >= h / 2) == bool(row))[:, None] & ((x >= w / 2) == bool(column))


def share_inside(heat: F32, mask: Mask) -> float | None:
    """sum of ReLU(heat) inside / sum of ReLU(heat), in [0, 1]; None: there is none at all.

    heat, mask (H, W). In a quarter of a mosaic that is the grid pointing game, where chance is .25
    (Boehle et al. 2021, arXiv 2104.00032; Rao et al. 2022, arXiv 2205.10435), round an object the
    weighting game (Raatikainen and Rahtu 2022, arXiv 2208.06175).
    """
    positive = np.maximum(heat, 0)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total > 0 else None


def points_inside(heat: F32, mask: Mask) -> bool:
    """Whether the map's maximum lies inside: the pointing game (Zhang et al. 2016, arXiv
    1608.00507), without its margin. Of several equal ones, the first. heat, mask (H, W).
    """
    return bool(mask.ravel()[int(heat.argmax())])


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """The area that two boxes share / the area of both together, in [0, 1]: IoU.

    Each (left, top, right, bottom), in one unit.
    """
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    common = max(right - left, 0) * max(bottom - top, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return common / (sum(areas) - common)


def rank_correlation(one: F32, other: F32) -> float:
    """Spearman's: the correlation of the ranks of their cells, in [-1, 1], equals sharing theirs.

    0 where one of them is the same all over.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    ranks = [stats.rankdata(grid.ravel()) for grid in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


@dataclass(frozen=True)
class Aim:
    """How a heat map lies to a region that somebody drew round the object."""

    hit: bool  # pointing game: whether its maximum lies inside
    share: float | None  # weighting game: of its positive heat, inside; None: there is none
    overlap: float | None  # of its box (Grad-CAM, section 3.2) and the region's; None: it has none


def aim(heat: F32, mask: Mask) -> Aim:
    """The pointing game, the weighting game and the IoU of a heat map. heat, mask (H, W).

    mask: where the object is; some of it, and not all.
    """
    drawn, around = box(mask.astype(np.float32)), box(heat)
    if drawn is None or mask.all():
        raise UserError(NO_REGION)
    return Aim(
        points_inside(heat, mask),
        share_inside(heat, mask),
        overlap(drawn, around) if around else None,
    )


# ---- what is left when the network forgets -------------------------------------------------------


@dataclass(frozen=True)
class Forgetting:
    """What becomes of a map as the weights are shuffled, from the last layer down."""

    maps: tuple[F32, ...]  # signed (h, w), one for each of CASCADE
    alike: tuple[float, ...]  # the rank correlation of each with the map of the network as it is
    guided: tuple[float, ...] | None  # the same for |guided backpropagation|; None: it has no ReLU

    @property
    def alarm(self) -> bool | None:
        """Whether the map hardly changes although all is forgotten. No alarm proves nothing: a map
        may change and be wrong (Binder et al. 2023, arXiv 2211.12486). None: too few cells."""
        return self.alike[-1] >= HARDLY if self.maps[-1].size >= FEWEST else None


# ---- does it hold --------------------------------------------------------------------------------


class Change(NamedTuple):
    """Something that changes a picture, but not what is in it."""

    words: str
    apply: Callable[[F32, np.random.Generator], F32]  # picture (H, W, 3) -> the same, changed
    back: Callable[[F32], F32]  # its heat (H, W) -> where that lies in the picture as it was
    kept: Callable[[F32], F32]  # the heat of the picture as it was -> the places that `back` has


def moved(sides: tuple[int, ...]) -> tuple[int, int]:
    """By how many pixels SHIFT moves a picture, down and to the right."""
    return round(SHIFT * sides[0]), round(SHIFT * sides[1])


def shifted(picture: F32, _dice: np.random.Generator) -> F32:
    """Down and to the right; the edge is repeated where nothing is known: (H, W, 3)."""
    h, w, _ = picture.shape
    down, right = moved(picture.shape)
    return np.pad(picture, ((down, 0), (right, 0), (0, 0)), mode="edge")[:h, :w]


def noisy(picture: F32, dice: np.random.Generator) -> F32:
    return np.clip(picture + dice.normal(0, GRAIN, picture.shape), 0, 255).astype(np.float32)


def _as_it_is(heat: F32) -> F32:
    return heat


CHANGES = {
    "mirror": Change(
        "mirrored", lambda p, _: np.ascontiguousarray(p[:, ::-1]), lambda heat: heat[:, ::-1],
        _as_it_is,
    ),
    "shift": Change(
        "moved", shifted, lambda heat: heat[moved(heat.shape)[0] :, moved(heat.shape)[1] :],
        lambda heat: heat[: heat.shape[0] - moved(heat.shape)[0],
                          : heat.shape[1] - moved(heat.shape)[1]],
    ),
    "noise": Change("with noise", noisy, _as_it_is, _as_it_is),
}  # fmt: skip


@dataclass(frozen=True)
class Held:
    """What one change did."""

    change: str  # of CHANGES
    picture: F32  # (H, W, 3), changed
    before: float  # what the network says of the class
    after: float
    percent: bool  # whether that is a probability
    same: bool  # whether it takes the same class for the likeliest
    alike: float  # correlation of the heat, mapped back, with that of the picture as it was
    heat: F32  # (H, W), of the changed picture, in its own places

    @property
    def answer_holds(self) -> bool:
        most = MUCH if self.percent else MUCH * abs(self.before)
        return self.same and abs(self.after - self.before) <= most

    @property
    def map_holds(self) -> bool:
        return self.alike >= AS_BEFORE


def said_of(one: Held) -> str:
    """What a change says about the map, in a sentence: it should move if the answer does."""
    return {
        (True, True): "The answer and the map hold.",
        (True, False): "The answer holds, but the map moves: do not read much into its places.",
        (False, False): "The answer changes, and the map with it.",
        (False, True): "The answer changes and the map hardly: it does not show why.",
    }[one.answer_holds, one.map_holds]


def said_when_forgotten(found: Forgetting) -> str:
    """What the parameter randomisation test says, in a sentence; never a grade."""
    if found.alarm is None:
        return "No word on this map: it has too few cells to tell likeness from chance."
    if found.alarm:
        return (
            "Alarm: the map looks much the same when the network has forgotten all it learned, so "
            "it shows the picture rather than the network."
        )
    return "No alarm: the map changes when the network forgets, which does not make it right."


def correlation(one: F32, other: F32) -> float:
    """Pearson's, of two heat maps of one shape, in [-1, 1]; 0 where one is the same all over."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
