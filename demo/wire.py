"""What goes between the server and the browser: the page's contract, and how maps are packed.

Everything here but `View` is JSON. h, w, K are a layer's grid and channels, H and W the sides of
the picture.
"""

import base64
import functools
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from gradio.data_classes import FileData, GradioModel

from demo.words import FAILED
from gradcam_core import heatmap, trust
from gradcam_core import image as pictures
from gradcam_core.explanation import ranked
from gradcam_core.methods import METHODS, placement_of
from gradcam_core.types import F32, U8, Head, Layer, Placement, UserError

log = logging.getLogger("gradcam_lab")

MAX_SENT = 225_000  # bytes of maps, one a cell
LIKELIEST = 7

# ---- the tab "Look" ------------------------------------------------------------------------------


class View(GradioModel):
    """The value of the viewer: a new answer, or why there is none."""

    base: FileData | None = None  # the picture, as a file that the browser has already
    answer: dict[str, Any] | None = None  # an Answer
    error: str = ""
    stands: bool = False  # with an error: the answer before is still what the page asks for
    note: str = ""  # what became of the question on the way
    link: list[str] | None = None  # of a link: what it asks for and is not here; None: of no link


class Sent(TypedDict):
    """A map in the bytes: one b stands for b / 127 of `top` if positive, of `bottom` if not."""

    at: int  # where in the bytes it begins
    sent: list[int]  # h, w as sent, which may be fewer than the layer's: means
    top: float  # the largest value that was sent, 0 if none is positive
    bottom: float  # minus the smallest value that was sent, 0 if none is negative


Cut = TypedDict("Cut", {"for": float, "against": float})  # shares that the ReLU sets to zero


class SignedMap(Sent):
    """A map before its ReLU."""

    cells: list[int]  # h, w as it was made
    min: float  # of all cells
    max: float
    cut: Cut
    placement: list[float] | None  # of its cells, the six of a Placement; None: over all


class Row(TypedDict):
    """A layer and its maps."""

    name: str
    maps: dict[str, SignedMap]  # "band/method", band: target, rival, contrast
    shape: tuple[int, int, int]  # h, w, K
    poor: str  # why not to look here, empty: good
    suggested: bool
    tokens: str  # what attention does to its places, in sentences; empty: its cells are no tokens
    film: dict[str, str]  # band -> the method that shows this layer beside the others
    verdicts: dict[str, str]  # method -> what is known of it here, a key of VERDICTS


class MeaningRow(TypedDict):
    """What a network's numbers may mean."""

    head: Head
    words: str
    taken: bool  # whether the program goes by it


class NetworkRow(TypedDict):
    key: str
    title: str
    head: Head
    percent: bool  # whether what is shown of a class is a probability
    score: str  # what is explained, in words
    crop: bool  # whether it sees the middle of this picture only
    own: bool  # somebody's own: how it wants its pixels had to be given or found
    brought: bool  # by a visitor: the page saves it
    guesses: list[str]  # what nobody gave and nothing decides, in sentences; empty: all is known
    meanings: list[MeaningRow]  # where it is a guess what its numbers mean: what they may be
    input: tuple[int, int]  # the sides of what it is given


class Likely(TypedDict):
    index: int
    label: str
    p: float  # its probability, or the output itself where `percent` is not set
    rank: int  # 1: the likeliest


class ClassRow(Likely):
    y: float  # its score


class Extra(TypedDict):
    """What was asked for beside what every answer has."""

    layer: str
    method: str  # one that asks many times; empty: only the layer


DoctorRow = tuple[str, tuple[int, int, int], str, str]  # name, shape, kind, why not (empty: good)


class Packed(TypedDict):
    layers: list[Row]  # from early to late
    bytes: str  # of all maps, in base64


class Answer(Packed):
    """All that the viewer shows of a picture, a network and a class."""

    model: NetworkRow
    picture: list[int]  # H, W
    path: str  # of the picture, for further questions
    remarks: list[str]  # what was done to the picture that a browser would not, in sentences
    best: str  # the layer to begin with
    strength: dict[str, float]  # "layer/method" -> the strongest evidence for the likeliest class
    starts: dict[str, float | None]  # band -> what the score is without the best layer's map, if
    # that map's cells add up to all the rest of it
    doctor: list[DoctorRow]  # every layer that has a grid
    found: str  # what was found out about the network, in words
    classes: list[ClassRow]  # the likeliest ones, the target and the rival
    count: int  # C
    target: int  # number of the class that is explained
    rival: int | None  # number of the class it is held against
    predicted: bool  # whether the target is what the network says, not one that was chosen
    detail: bool
    twice: list[float] | None  # in detail: of these classes p at twice the side
    extra: Extra | None
    fully_convolutional: bool  # whether the network can run at twice its side


class MethodRow(TypedDict):
    """A row of METHODS, given with the page."""

    name: str
    line: str
    cost: str
    paper: str
    against: str
    class_agnostic: bool  # whether its map is the same for every class
    fuses: bool  # whether it makes a layer's map finer with those of others
    of_picture: bool  # whether its map is the same at each layer
    asks: bool  # whether it asks many times: its maps come only when somebody wants them


class Wanted(TypedDict, total=False):
    """What the event `layer` asks for."""

    name: str  # of the layer
    method: str  # one that asks many times
    token: str  # any word, by which it can be stopped


class FigureRequest(TypedDict):
    path: str
    model: str
    target: int
    rival: int | None
    detail: bool
    layer: str
    method: str
    sign: Literal["for", "against", "both"]
    colours: str
    opacity: float  # in [0, 1]
    top: float  # what the end of the colours stands for where maps share a scale, else 0
    box: list[float] | None  # left, top, right, bottom as shares of the picture


class CoverRequest(TypedDict):
    """What the network says with a part of its picture covered, for each of at most eight."""

    path: str
    model: str
    target: int
    rival: int | None
    detail: bool
    layer: str
    boxes: list[list[float]]  # left, top, right, bottom as shares of the picture
    fill: str  # what the part is painted with


class CoverAnswer(TypedDict):
    classes: list[list[Likely]]  # of each box: the likeliest, then those that are likeliest without
    score: float  # with the first box covered
    map: SignedMap  # the same, Grad-CAM at the layer
    bytes: str  # of the map, in base64


class LiveAnswer(TypedDict):
    """Of a frame of the live camera."""

    classes: list[Likely]  # the first of them is explained
    map: SignedMap  # Grad-CAM at the network's best layer
    bytes: str  # of the map, in base64


class WayRow(TypedDict):
    """A way to prepare the picture, and what the network then says."""

    preprocess: str
    crop: bool
    words: str
    label: str  # the likeliest class; empty: no numbers come out
    p: float
    used: bool
    favoured: bool


class DoctorAnswer(TypedDict):
    ways: list[WayRow]
    why: list[str]  # what speaks for which, in sentences


class FigureAnswer(TypedDict):
    png: str  # in base64


class CodeAnswer(TypedDict):
    """A link to the page for others."""

    link: str
    picture: str  # its QR code, address of an image


# ---- the tab "How it is made" --------------------------------------------------------------------


class LessonRequest(TypedDict):
    path: str
    model: str
    target: int
    detail: bool
    layer: str


class StepRow(TypedDict):
    """A row of STEPS, given with the page."""

    key: str
    title: str
    formula: str  # SVG
    aloud: str
    code: str


class StepMap(Sent):
    numbers: list[float] | None  # (h w,) where they are few


class Tile(TypedDict):
    """A channel."""

    k: int
    alpha: float
    strength: float  # the mean of A
    a: StepMap
    g: StepMap
    even: bool  # whether the gradient is one number all over
    total: float  # the sum of the gradients
    cells: int
    mean: float


class Station(TypedDict):
    """The sum after the first channels."""

    count: int
    share: float  # of all that is added up, in [0, 1]
    correlation: float  # with the whole sum
    map: StepMap


class Term(TypedDict):
    """A term of the switchboard."""

    k: int
    alpha: float
    total: float  # the sum of its cells
    map: StepMap


class Whole(TypedDict):
    """The sum's numbers, of all cells."""

    cells: int
    below: int  # zero
    above: int
    min: float
    max: float
    more: float  # what the filters add that speak for the class
    less: float  # what those take away that speak against it, below zero
    sum: float


class Stage(TypedDict):
    """A layer on the way through the network."""

    name: str
    shape: tuple[int, int, int]
    k: int  # of its channels the one that is shown
    map: StepMap


class Lesson(TypedDict):
    """All that the steps show before anything is played with."""

    input: str  # the picture as the network gets it, address of an image
    after: str  # the same after preprocessing
    range: list[float]  # smallest and largest number after preprocessing
    score: float
    start: float | None  # what the score is without the map, if its cells add up to all the rest
    layer: str
    shape: tuple[int, int, int]  # h, w, K
    placement: list[float] | None  # of its cells, as of a SignedMap
    stages: list[Stage]  # from early to late
    tiles: list[Tile]  # the channels that matter most, in the order of their terms
    alphas: list[float]  # (K,)
    build: list[Station]
    switches: list[Term]
    map: StepMap  # the whole sum
    whole: Whole
    bytes: str  # of all maps, in base64


class Nudge(TypedDict):
    """What changes of one number do to the score."""

    steps: list[float]
    predicted: list[float]
    true: list[float]
    a: float  # the number
    g: float  # its gradient
    by: float  # one, or a power of ten below the largest number
    up: float  # the true change, where it is larger by that much
    down: float  # and where it is smaller


class Without(TypedDict):
    """The score with all channels, and without some."""

    before: float
    after: float


class CellTerm(TypedDict):
    k: int
    alpha: float
    a: float
    value: float


class CellSum(TypedDict):
    """The sum that made one cell of the map."""

    terms: list[CellTerm]  # the largest ones
    rest: float  # the sum of the others
    total: float
    others: int  # how many they are


class Contrast(TypedDict):
    """The map of the one class less that of the other."""

    map: StepMap
    below: int  # cells below zero
    bytes: str  # of the map, in base64


class PlacedMap(StepMap):
    placement: list[float] | None  # of its cells, as of a SignedMap


class Earlier(TypedDict):
    """An earlier layer at which the mean over the places shows something else than without it."""

    layer: str
    shape: tuple[int, int, int]  # h, w, K
    last: PlacedMap  # Grad-CAM at the layer that was asked about
    mean: PlacedMap  # Grad-CAM at the earlier one
    each: PlacedMap  # LayerCAM there: every cell with its own gradient
    k: int  # a channel whose gradients cancel
    g: StepMap  # its gradients
    alpha: float  # their mean
    bytes: str  # of all maps, in base64


class Guided(TypedDict):
    """Addresses of images."""

    guided: str
    both: str


# ---- the tab "Can I trust it?" -------------------------------------------------------------------


class TrustRequest(LessonRequest):
    """A map that is put to the test."""

    method: str


class Region(TypedDict):
    """What a visitor drew, in shares of the width and height of what the network sees."""

    box: list[float] | None  # left, top, right, bottom
    spots: list[list[float]]  # left to right, top to bottom: the middles of the brush's spots


class HideRequest(TrustRequest):
    share: float  # of the cells, in [0, 1]
    order: Literal["hottest", "coldest"]
    fill: str  # what the cells are painted with
    region: Region | None  # hidden instead of them


class AimRequest(TrustRequest):
    region: Region  # round the object


class AimRow(TypedDict):
    """How a heat map lies to the region."""

    of: str  # the method, or the centre blob
    hit: bool  # whether its hottest place lies inside
    share: float | None  # of its heat that lies inside; null: there is none
    overlap: float | None  # of its box and the region's: IoU; null: it has none


class AimAnswer(TypedDict):
    rows: list[AimRow]  # the map, then the blob at the picture's centre
    area: float  # of the picture, that the region covers
    sentence: str


class ForgetAnswer(TypedDict):
    """The map as the network forgets, from its last layer down."""

    sentence: str
    alarm: bool | None  # null: the map has too few cells to tell
    learned: str  # the picture under the map of the network as it is, address of an image
    shares: list[float]  # of the layers that have weights, how many have forgotten
    overlays: list[str]  # the same with the map of each
    alike: list[float]  # rank correlation of each map with the first
    guided: list[float] | None  # the same for guided backpropagation; null: there is no ReLU
    passes: int


class HeldRow(TypedDict):
    """What one change of the picture did."""

    change: str  # in words
    before: float  # what the network says of the class; in detail, at twice its side
    after: float
    alike: float  # correlation of the two maps, put back in their places
    overlay: str  # the changed picture under its map, address of an image
    sentence: str


class HoldAnswer(TypedDict):
    percent: bool
    overlay: str  # of the picture as it is
    rows: list[HeldRow]


# ---- the networks that may cheat -----------------------------------------------------------------


class CheatRequest(TypedDict):
    thing: str  # what is drawn
    number: int  # which of them
    tag: list[float] | None  # row and column of its middle, shares of the sides; null: no tag


class Suspect(TypedDict):
    """One network's answer to the picture."""

    model: str
    title: str
    classes: list[Likely]  # the likeliest two
    overlay: str  # the picture under its map for the likeliest, address of an image


class CheatAnswer(TypedDict):
    picture: str
    suspects: list[Suspect]


class Confession(TypedDict):
    model: str
    title: str
    cheats: bool
    sentence: str  # what was planted, with what was measured


class HideAnswer(TypedDict):
    """What the network says with some cells hidden; at its own side, in detail too."""

    picture: str  # as the network sees it, address of an image
    ratio: float  # width / height of what it sees, in the picture itself
    classes: list[Likely]  # the likeliest, then the target


class LongRequest(TrustRequest):
    """A test that takes a while."""

    token: str  # any word, by which it can be followed and stopped


class Gone(TypedDict):
    """How far a test is."""

    part: float  # in [0, 1]


class RemovalCurves(TypedDict):
    """The score as more and more is hidden: the hottest cells first, and the coldest."""

    hottest: list[float]
    coldest: list[float]


class FillRow(TypedDict):
    """What one way of painting over said."""

    fill: str
    words: str
    shares: list[float]  # of the cells that are hidden
    map: RemovalCurves
    centre: RemovalCurves  # of the blob at the picture's centre
    low: list[float] | None  # of all shuffled maps the lowest score; null: none was tried
    high: list[float] | None


class VerdictAnswer(TypedDict):
    sentence: str
    ruling: Literal["better", "centre", "undecided"]
    fills: list[FillRow]
    whole: float  # the score with nothing hidden
    passes: int
    seconds: float


class MosaicRequest(TypedDict):
    model: str
    layer: str
    paths: list[str]  # of four pictures: top left, top right, bottom left, bottom right
    token: str  # as of a LongRequest


class Quarter(TypedDict):
    index: int  # what the network says of the picture alone
    label: str
    alone: float  # how likely then
    p: float  # how likely in the mosaic


class GameRow(TypedDict):
    """A method, and how much of its positive heat lies in the quarter of each class."""

    method: str
    share: float | None  # the mean of those that there are
    shares: list[float | None]  # null: no positive heat at all
    maps: list[StepMap]  # of each class


class MosaicAnswer(TypedDict):
    picture: str  # as the network sees it, address of an image
    percent: bool
    quarters: list[Quarter]
    rows: list[GameRow]
    warnings: list[str]
    placement: list[float] | None  # of the maps' cells
    bytes: str  # of the maps, in base64


# ---- the methods side by side --------------------------------------------------------------------


class SideRequest(LongRequest):
    """method: that of a row, or what stands there for chance."""

    paths: list[str]  # of the mosaic's four pictures


class SideMap(TypedDict):
    overlay: str  # the picture under the map, address of an image
    cells: list[int]  # h, w of the map
    notes: list[str]  # what its cells are, in sentences
    like: dict[str, float]  # row -> rank correlation with the map of that one, if it is there


class SideRow(TypedDict):
    of: str  # the method, or what stands for chance
    line: str  # what it does
    cost: str  # in words
    passes: int  # that its map takes, beside the one pass that answers many; 0: none
    tail: bool  # in each of them only what comes after the layer is run
    chance: bool  # whether it knows nothing, and is there to be beaten
    map: SideMap | None  # null: it takes its time, and nobody has asked for it yet
    ruling: Literal["better", "centre", "undecided"] | None  # null: not tested yet


class SideAnswer(TypedDict):
    rows: list[SideRow]
    shares: dict[str, float | None]  # as of SharesAnswer, of those that are known


class SharesAnswer(TypedDict):
    """What is known of the mosaic: how much heat lies in the right quarter."""

    shares: dict[str, float | None]  # row -> the mean of four classes; null: no heat at all


# ---- maps in bytes -------------------------------------------------------------------------------


def side_limit(cells: Sequence[tuple[int, ...]]) -> int:
    """The longest side a map may be sent with, so that all of them stay below MAX_SENT bytes.

    cells: (h, w) of each.
    """
    for limit in (448, 224, 112, 56, 28):
        if sum(min(h, limit) * min(w, limit) for h, w in cells) <= MAX_SENT:
            return limit
    return 14


def short(x: Any) -> float:
    """The number with the digits that 32 bits hold: of 17 the others say nothing."""
    return float(str(np.float32(x)))


class Packing:
    """Signed maps on their way to the browser, a signed byte a cell.

    Both signs have 127 steps, however unequal they are.
    """

    def __init__(self, limit: int):
        self._limit, self._bytes = limit, io.BytesIO()

    def put(self, signed: F32) -> Sent:
        small = heatmap.shrink(signed, self._limit)
        top, bottom = max(short(small.max()), 0.0), max(short(-small.min()), 0.0)
        part = np.where(small > 0, small / (top or 1), small / (bottom or 1))
        at = self._bytes.tell()
        self._bytes.write(np.rint(127 * part).astype(np.int8).tobytes())
        return {"at": at, "sent": list(small.shape), "top": top, "bottom": bottom}

    def text(self) -> str:
        return base64.b64encode(self._bytes.getvalue()).decode()


def pack(
    maps: Mapping[str, Mapping[tuple[str, str], F32]],
    layers: Sequence[Layer],
    best: str,
    verdicts: Mapping[str, dict[str, str]],
    part: Placement | None = None,
) -> Packed:
    """The signed maps that there are of these layers as bytes, with the numbers they came from.

    maps: band -> (layer, method) -> (h, w). best: the layer to begin with. verdicts: layer ->
    method -> what is known of it. part: where what the network sees lies in the picture.
    """
    here = {
        layer.name: {
            f"{band}/{method}": of_band[layer.name, method]
            for band, of_band in maps.items()
            for method in METHODS
            if (layer.name, method) in of_band
        }
        for layer in layers
    }
    packing = Packing(
        side_limit([m.shape for of_layer in here.values() for m in of_layer.values()])
    )

    rows: list[Row] = [
        {
            "name": layer.name,
            "maps": {
                key: signed_map(packing, signed, placement_of(layer, key.split("/")[1], part))
                for key, signed in here[layer.name].items()
            },
            "shape": layer.shape,
            "poor": layer.poor,
            "suggested": layer.suggested,
            "tokens": trust.about_tokens(layer),
            "film": {b: trust.film_method(layer.name, best, b == "contrast") for b in maps},
            "verdicts": verdicts[layer.name],
        }
        for layer in layers
    ]
    return {"layers": rows, "bytes": packing.text()}


def signed_map(packing: Packing, signed: F32, placement: Placement | None) -> SignedMap:
    return {
        **packing.put(signed),
        "cells": list(signed.shape),
        "min": short(signed.min()),
        "max": short(signed.max()),
        "cut": {
            "for": short(heatmap.relu_zeroed_fraction(signed)),
            "against": short(heatmap.relu_zeroed_fraction(-signed)),
        },
        "placement": six_numbers(placement),
    }


def six_numbers(placement: Placement | None) -> list[float] | None:
    return list(placement.numbers) if placement else None


def url_of(image: U8) -> str:
    """A picture as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(pictures.png(image)).decode()


def small_url(image: U8, side: int) -> str:
    """The middle of a picture as the address of itself, side x side pixels."""
    return "data:image/jpeg;base64," + base64.b64encode(pictures.thumbnail(image, side)).decode()


def likely(p: F32, y: F32, labels: Sequence[str], also: Sequence[int] = ()) -> list[Likely]:
    """The likeliest classes, the likeliest first, then these others. p, scores y (C,)."""
    order = ranked(p, y)
    return [
        {"index": i, "label": labels[i], "p": float(p[i]), "rank": order.index(i) + 1}
        for i in dict.fromkeys([*order[:LIKELIEST], *also])
    ]


def class_rows(p: F32, y: F32, labels: Sequence[str], also: Sequence[int] = ()) -> list[ClassRow]:
    """The same with their scores."""
    return [{**row, "y": float(y[row["index"]])} for row in likely(p, y, labels, also)]


# ---- what the browser may call -------------------------------------------------------------------


def served(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What the browser calls by this name: JSON in; JSON, or {"error": sentence}, out. It may take
    a `progress` beside."""

    def door(answer: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(answer)
        def safe(request: Any, **more: Any) -> Any:
            try:
                return answer(request, **more)
            except UserError as error:
                return {"error": str(error)}
            except Exception:
                log.exception("%s failed", name)
                return {"error": FAILED}

        safe.__name__ = name
        return safe

    return door
