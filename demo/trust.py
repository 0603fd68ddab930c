"""The tab "Can I trust it?": a map is put to the test, and what comes of it is told."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from demo import engine, words
from demo.question import Posed, from_json, method_of, pose
from demo.wire import (
    AimAnswer,
    AimRow,
    FillRow,
    ForgetAnswer,
    GameRow,
    Gone,
    HeldRow,
    HideAnswer,
    HoldAnswer,
    MosaicAnswer,
    Packing,
    Quarter,
    RemovalCurves,
    StepMap,
    VerdictAnswer,
    likely,
    served,
    six_numbers,
    small_url,
    url_of,
)
from gradcam_core import faithfulness, heatmap, hide, lookup, pipeline
from gradcam_core import image as pictures
from gradcam_core.cache import Cache
from gradcam_core.faithfulness import Aim, OfFill, Removal
from gradcam_core.methods import METHODS, one_pass, placement_of
from gradcam_core.types import (
    F32,
    U8,
    Asked,
    ModelSpec,
    Placement,
    Progress,
    Stopped,
    Target,
    UserError,
)

SENT_SIDE = 56  # of a mosaic's map at most
NEAREST = 5  # a class that is among so many likeliest of another's picture is like it
CONFIDENT = 0.5
STRIP = 144  # pixels: side of the small pictures in a row
MOST_SPOTS = 400  # of the brush
CENTRE = "the picture’s centre"
DRAW_FIRST = "Draw on the picture first: a box, or with the brush."
FORSAKEN = 180  # seconds without a question how far it is, after which nobody wants to know
FOUR_PICTURES = "Choose four pictures for the mosaic."
SAME_CLASS = "The network says {label} of two of these pictures; choose four of different classes."


def map_in_view(request: Any, progress: Progress | None = None) -> tuple[Posed, str, str, F32]:
    """The question, its layer and method, and the signed map (h, w) that a wire.TrustRequest
    names. progress: of one that takes many passes."""
    posed, layer = from_json(request)
    method, posed = method_of(request.get("method")), engine.kept(posed)
    extra = method if METHODS[method].ask else ""
    maps = engine.all_maps(posed, layer, extra, progress)
    if (layer, method) not in maps:
        raise UserError(pipeline.not_here(method, layer))
    return posed, layer, method, maps[layer, method]


# ---- what takes a while is followed, and can be stopped ------------------------------------------


@dataclass
class Followed:
    """A test that somebody waits for."""

    part: float = 0
    seen: float = field(default_factory=time.monotonic)  # when they last asked how far it is
    stopped: bool = False

    def tell(self, part: float) -> None:
        self.part = part
        if self.stopped or time.monotonic() - self.seen > FORSAKEN:
            raise Stopped


_followed: Cache[str, Followed] = Cache(256)


def followed(token: Any) -> Followed:
    if not isinstance(token, str) or not 0 < len(token) <= 100:
        raise UserError("Say which test is meant.")
    return _followed.get(token, Followed)


@contextmanager
def waiting_for(request: Any, progress: Progress | None) -> Iterator[Progress]:
    """What is told how far it is, of a question that may take a while: it ends that where the
    question's token is stopped or forsaken, or where `progress`, told too, raises Stopped. Raises
    UserError then. A question without a token is followed by nobody."""
    who = followed(request["token"]) if isinstance(request, dict) and "token" in request else None

    def tell(part: float) -> None:
        if progress:
            progress(part)
        if who:
            who.tell(part)

    try:
        tell(0)
        yield tell
    except Stopped as stopped:
        raise UserError(words.STOPPED) from stopped


def called_off(token: Any) -> bool:
    """Whether the test that was asked for with this word was ended."""
    return isinstance(token, str) and token in _followed and followed(token).stopped


@served("far")
def how_far(token: Any) -> Gone:
    """How far the test is that was asked for with this word."""
    one = followed(token)
    one.seen = time.monotonic()
    return {"part": one.part}


@served("cancel")
def call_off(token: Any) -> Gone:
    """End it; if it has not begun, before that."""
    one = followed(token)
    one.stopped = True
    return {"part": one.part}


# ---- hide and see --------------------------------------------------------------------------------


@served("hide")
def hide_cells(request: Any, progress: Progress | None = None) -> HideAnswer:
    """What the network says with a share of the map's cells painted over: a wire.HideRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, signed = map_in_view(request, tell)
    share, order, fill = (request.get(name) for name in ("share", "order", "fill"))
    region = request.get("region")
    if type(share) not in (int, float) or not 0 <= share <= 1 or order not in tuple(ENDS):
        raise UserError("Hide a part of the hottest or of the coldest cells.")
    _, spec, asked = posed
    image, _ = engine.picture(posed.question)
    usual = lookup.network(spec) if posed.question.detail else asked
    seen = pictures.fit(image, usual.shape[:2], spec.crop)
    placement = placement_of(asked.layers[layer], method)
    size = seen.shape[0], seen.shape[1]
    mask = (
        faithfulness.hidden_part(signed, size, placement, share, ENDS[order])
        if region is None
        else region_of(region, size)
    )
    painted = hide.hidden(seen, [mask], fill)[0]
    with engine.compute_slots:
        p = usual.probabilities(spec.preprocess(painted.copy())[None])[0]
    if not np.isfinite(p).all():
        raise UserError(engine.NO_NUMBER)
    target = engine.survey_of(posed).target.index
    (height, width), part = image.shape[:2], engine.part_of(posed)
    return {
        "ratio": width / height * (part.columns[1] / part.rows[0] if part else 1),
        "picture": url_of(np.rint(painted).astype(np.uint8)),
        "classes": likely(p, p, spec.labels, [target]),
    }


def region_of(region: Any, size: tuple[int, int]) -> hide.Mask:
    """Where a wire.Region lies, (H, W)."""
    box, touched = (
        (region.get("box"), region.get("spots")) if isinstance(region, dict) else (None, None)
    )
    rows = [box] if box is not None else []
    if not (
        isinstance(touched, list)
        and len(touched) <= MOST_SPOTS
        and all(in_shares(row, 4) for row in rows)
        and all(in_shares(spot, 2) for spot in touched)
        and (rows or touched)
    ):
        raise UserError(DRAW_FIRST)
    mask = hide.spots(touched, size)
    return mask | hide.rectangle(rows[0], size) if rows else mask


def in_shares(numbers: Any, count: int) -> bool:
    return (
        isinstance(numbers, list)
        and len(numbers) == count
        and all(type(n) in (int, float) and 0 <= n <= 1 for n in numbers)
    )


ENDS = {"hottest": True, "coldest": False}

# ---- the verdict ---------------------------------------------------------------------------------


@served("verdict")
def verdict_on(request: Any, progress: Progress | None = None) -> VerdictAnswer:
    """Whether a map is better than chance and than the picture's centre: a wire.LongRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, _ = map_in_view(request, tell)
        found, seconds = engine.judgement_of(posed, layer, method, tell)
    return {
        "sentence": faithfulness.sentence_of(found),
        "ruling": found.ruling,
        "fills": [fill_row(one) for one in found.fills],
        "whole": found.whole,
        "passes": found.passes,
        "seconds": seconds,
    }


def fill_row(one: OfFill) -> FillRow:
    tried = [y for shuffled in one.shuffled for y in (shuffled.hottest, shuffled.coldest)]
    return {
        "fill": one.fill,
        "words": faithfulness.said_by(one),
        "shares": list(one.shares),
        "map": curves_of(one.map),
        "centre": curves_of(one.centre),
        "low": np.min(tried, axis=0).tolist() if tried else None,
        "high": np.max(tried, axis=0).tolist() if tried else None,
    }


def curves_of(one: Removal) -> RemovalCurves:
    return {"hottest": list(one.hottest), "coldest": list(one.coldest)}


# ---- when the network forgets, when the picture changes ------------------------------------------


@served("forget")
def forget_all(request: Any, progress: Progress | None = None) -> ForgetAnswer:
    """The map as the weights are shuffled from the last layer down: a wire.LongRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, signed = map_in_view(request, tell)
        given, seen, project = in_test(posed, layer, method)
        with engine.alone(tell):
            found = pipeline.finished(pipeline.forgetting(*given), tell)
    overlays = [small_url(heatmap.overlay(seen, project(m)), STRIP) for m in (signed, *found.maps)]
    return {
        "sentence": faithfulness.said_when_forgotten(found),
        "alarm": found.alarm,
        "learned": overlays[0],
        "shares": list(faithfulness.CASCADE),
        "overlays": overlays[1:],
        "alike": list(found.alike),
        "guided": list(found.guided) if found.guided else None,
        "passes": (1 + len(found.maps)) * (2 if found.guided else 1),
    }


@served("hold")
def does_it_hold(request: Any, progress: Progress | None = None) -> HoldAnswer:
    """Answer and map of the picture mirrored, moved and with noise: a wire.LongRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, signed = map_in_view(request, tell)
        given, seen, project = in_test(posed, layer, method)
        with engine.compute_slots:
            held = pipeline.finished(pipeline.holding(*given, signed), tell)
    rows = list[HeldRow]()
    for one in held:
        over = heatmap.overlay(np.rint(one.picture).astype(np.uint8), one.heat)
        row: HeldRow = {
            "change": faithfulness.CHANGES[one.change].words,
            "before": one.before,
            "after": one.after,
            "alike": one.alike,
            "overlay": small_url(over, STRIP),
            "sentence": faithfulness.said_of(one),
        }
        rows.append(row)
    whole = small_url(heatmap.overlay(seen, project(signed)), STRIP)
    return {"percent": posed.asked.meaning.percent, "overlay": whole, "rows": rows}


def in_test(
    posed: Posed, layer: str, method: str
) -> tuple[tuple[U8, ModelSpec, Asked, Target, str, str], U8, Callable[[F32], F32]]:
    """What a test of the pipeline is given; the picture as the network sees it, (N, N, 3); and what
    lays a signed map over it as heat.
    """
    image, _ = engine.picture(posed.question)
    seen = pictures.fit(image, posed.asked.shape[:2], posed.spec.crop)
    size, placement = seen.shape[:2], placement_of(posed.asked.layers[layer], method)

    def project(signed: F32) -> F32:
        return heatmap.project(heatmap.normalise(signed), size, placement)

    given = image, posed.spec, posed.asked, engine.survey_of(posed).target, layer, method
    return given, np.rint(seen).astype(np.uint8), project


# ---- hit or miss ---------------------------------------------------------------------------------


@served("aim")
def take_aim(request: Any, progress: Progress | None = None) -> AimAnswer:
    """How the map lies to a region drawn round the object: a wire.AimRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, signed = map_in_view(request, tell)
    _, seen, project = in_test(posed, layer, method)
    size = seen.shape[0], seen.shape[1]
    mask, blob = region_of(request.get("region"), size), faithfulness.centre_blob(size)
    found = {method: project(signed), CENTRE: blob}
    mine, centre = (aim_row(name, faithfulness.aim(heat, mask)) for name, heat in found.items())
    return {
        "rows": [mine, centre],
        "area": float(mask.mean()),
        "sentence": said_of_aim(mine, centre),
    }


def aim_row(name: str, found: Aim) -> AimRow:
    return {"of": name, "hit": found.hit, "share": found.share, "overlap": found.overlap}


def said_of_aim(mine: AimRow, centre: AimRow) -> str:
    """What the pointing game says, in a sentence."""
    if mine["share"] is None:
        return "This map has no heat at all, so it points nowhere."
    if mine["hit"] and centre["hit"]:
        return "Hit, but the picture’s centre is one too: this picture cannot tell them apart."
    if mine["hit"]:
        return "Hit: the map’s hottest place lies inside, and the picture’s centre does not."
    if centre["hit"]:
        return "Miss: the map’s hottest place lies outside, and even the picture’s centre is a hit."
    return "Miss: the map’s hottest place lies outside, as the picture’s centre does."


# ---- the mosaic test -----------------------------------------------------------------------------


@served("mosaic")
def play_mosaic(request: Any, progress: Progress | None = None) -> MosaicAnswer:
    """The grid pointing game with four pictures, one pass a class: a wire.MosaicRequest."""
    with waiting_for(request, progress) as tell:
        four, layer = four_of(request, engine.share_of(tell, 0, 2))
        whole, seen = engine.in_mosaic(four, layer, engine.share_of(tell, 1, 2))
    _, spec, asked = four[0]
    first = [engine.first_look(one) for one in four]
    classes = [one.target.index for one in first]
    packing, rows = Packing(SENT_SIDE), list[GameRow]()
    for method in one_pass():
        signed = engine.maps_in_mosaic(four, layer, method)
        if not signed:
            continue
        shares = shares_in_quarters(asked, signed, placement_of(asked.layers[layer], method))
        maps: list[StepMap] = [{**packing.put(m), "numbers": None} for m in signed]
        rows.append({"method": method, "share": mean_of(shares), "shares": shares, "maps": maps})
    quarters: list[Quarter] = [
        {
            "index": c,
            "label": spec.labels[c],
            "alone": float(one.probabilities[c]),
            "p": float(seen[0].probabilities[c]),
        }
        for c, one in zip(classes, first, strict=True)
    ]
    percent = asked.meaning.percent
    return {
        "picture": url_of(whole),
        "percent": percent,
        "quarters": quarters,
        "rows": rows,
        "warnings": alike_classes(classes, [one.probabilities for one in first], spec.labels)
        + [f"The network is not sure of {q['label']}." for q in quarters if percent
           and q["alone"] < CONFIDENT],
        "placement": six_numbers(asked.layers[layer].placement),
        "bytes": packing.text(),
    }  # fmt: skip


def four_of(request: Any, progress: Progress | None = None) -> tuple[list[Posed], str]:
    """Four pictures of four classes, and a layer: of a wire.MosaicRequest. Raises UserError."""
    four = [pose(path, request.get("model")) for path in paths_of(request)]
    _, spec, asked = four[0]
    classes = []
    for n, one in enumerate(four):
        if progress:
            progress(n / len(four))
        classes.append(engine.first_look(one).target.index)
    for index in classes:
        if classes.count(index) > 1:
            raise UserError(SAME_CLASS.format(label=spec.labels[index]))
    return four, lookup.layer_of(asked, request.get("layer")).name


def paths_of(request: Any) -> list[Any]:
    """Of the four pictures of a wire.MosaicRequest, if they are four."""
    paths = request.get("paths") if isinstance(request, dict) else None
    if not isinstance(paths, list) or len(paths) != 4:
        raise UserError(FOUR_PICTURES)
    return paths


def shares_in_quarters(
    asked: Asked, signed: Sequence[F32], placement: Placement | None
) -> list[float | None]:
    """How much positive heat of each of four maps (h, w) of a mosaic lies in its own quarter."""
    size = asked.shape[:2]
    heats = [heatmap.project(np.maximum(m, 0), size, placement) for m in signed]
    return [
        faithfulness.share_inside(heat, faithfulness.quarter(n, size))
        for n, heat in enumerate(heats)
    ]


def mean_of(shares: Sequence[float | None]) -> float | None:
    """The mean of those that there are."""
    there = [share for share in shares if share is not None]
    return float(np.mean(there)) if there else None


def alike_classes(classes: Sequence[int], p: Sequence[F32], labels: Sequence[str]) -> list[str]:
    """Which of these classes the network takes for alike, in sentences. p: (C,) of each picture."""
    nearest = min(NEAREST, len(labels) // 10)  # among few classes, being near means nothing
    near = [set(np.argsort(-of)[:nearest].tolist()) for of in p]
    return [
        f"For this network {labels[classes[a]]} and {labels[classes[b]]} are alike: heat for the "
        "one may lie on the other with good reason."
        for a, b in combinations(range(len(classes)), 2)
        if classes[b] in near[a] or classes[a] in near[b]
    ]
