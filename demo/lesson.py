"""The tab "How it is made": the numbers of each step, for what is in view.

Opening it runs no new pass; a nudge or a switch runs the network's tail, guided backpropagation and
the contrast with another class one pass of their own. Whoever asks names a wire.LessonRequest, or a
list of it and more.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from demo import engine
from demo.question import from_json
from demo.wire import (
    CellSum,
    Contrast,
    Earlier,
    Guided,
    Lesson,
    Nudge,
    Packing,
    PlacedMap,
    Stage,
    StepMap,
    StepRow,
    Tile,
    Without,
    served,
    six_numbers,
    url_of,
)
from gradcam_core import heatmap, steps, trust
from gradcam_core import image as pictures
from gradcam_core.methods import grad_cam, placement_of
from gradcam_core.types import F32, NOWHERE, Asked, Placement, Survey, Trace, UserError

TILES = 24  # feature maps shown
COUNTS = 48  # stations of the slider that adds them up
SIDE = 56  # of a tile at most
NUMBERED = 64  # cells at most of a grid whose numbers are sent as they are
STAGES_SHOWN = 8  # shown at most
STEPS_EACH_WAY = 10  # of a nudge
PLAIN = "Grad-CAM"
NOTHING_EARLIER = "This network has no earlier layer to compare with."
NOT_IN_VIEW = (
    "That part of the network is not in view any more; choose the layer and the class again."
)


class InView(NamedTuple):
    """What the viewer shows."""

    asked: Asked
    survey: Survey
    layer: str
    part: Placement | None  # where what the network sees lies in the picture; None: it is all


def in_view(request: Any) -> InView:
    """The survey out of the kept ones; made anew if it has left them."""
    posed, layer = from_json(request)
    same = engine.kept(posed)
    return InView(posed.asked, engine.survey_of(same, layer), layer, engine.part_of(posed))


def taken_apart(name: str) -> Callable[[Callable[[InView, list[Any]], Any]], Any]:
    """What the browser calls by this name, with what is in view and what else it said.

    A survey takes one of the compute slots by itself: the answer gets its own only after that.
    """

    def step(answer: Callable[[InView, list[Any]], Any]) -> Any:
        @served(name)
        def safe(request: Any) -> Any:
            first, *more = request if isinstance(request, list) and request else [request]
            view = in_view(first)
            with engine.compute_slots:
                return answer(view, more)

        return safe

    return step


def indices(given: Any, limits: tuple[int, ...]) -> list[int]:
    """Whole numbers from the browser, each below its limit; or a sentence."""
    if (
        not isinstance(given, list)
        or len(given) != len(limits)
        or any(
            type(n) is not int or not 0 <= n < most for n, most in zip(given, limits, strict=True)
        )
    ):
        raise UserError(NOT_IN_VIEW)
    return given


def rounded(values: F32) -> list[float]:
    return [float(f"{v:.5g}") for v in values]


def packed(packing: Packing, grid: F32) -> StepMap:
    numbers = rounded(grid.ravel()) if grid.size <= NUMBERED else None
    return {**packing.put(grid), "numbers": numbers}


def on_the_way(trace: Trace, layer: str) -> list[str]:
    """Of the layers of each grid and number of channels one, from early to late: this, or the last.

    Where there are more than STAGES_SHOWN, as many evenly chosen, and this layer among them.
    """
    of_shape = {a.shape: name for name, a in trace.activations.items()}
    of_shape[trace.activations[layer].shape] = layer
    names = list(of_shape.values())
    at = names.index(layer)
    chosen = np.linspace(0, len(names) - 1, min(STAGES_SHOWN, len(names))).round().astype(int)
    chosen[np.abs(chosen - at).argmin()] = at
    return [names[n] for n in chosen]


def stage(put: Callable[[F32], StepMap], trace: Trace, name: str) -> Stage:
    """The channel that differs most from place to place."""
    a = trace.activations[name]
    k = int(a.std(axis=(0, 1)).argmax())
    return {"name": name, "shape": a.shape, "k": k, "map": put(a[:, :, k])}


@taken_apart("lesson")
def whole(view: InView, _more: list[Any]) -> Lesson:
    """All that the steps show before anything is played with."""
    asked, survey, layer, part = view
    trace = survey.trace
    a, g = trace.activations[layer], trace.gradients[layer]
    alpha = grad_cam(a, g)
    signed = heatmap.combine(alpha, a)
    order = steps.order(a, alpha)
    built = steps.build_up(a, alpha, order)
    counts = np.unique(np.geomspace(1, len(order), COUNTS).round().astype(int))
    packing, x = Packing(SIDE), trace.inputs
    spread = float(x.max() - x.min()) or 1.0

    def tile(k: int) -> Tile:
        of_a, of_g = a[:, :, k], g[:, :, k]
        total, cells, mean = steps.pooling(of_g)
        return {
            "k": k,
            "alpha": float(alpha[k]),
            "strength": float(of_a.mean()),
            "a": put(of_a),
            "g": put(of_g),
            "even": bool(np.ptp(of_g) <= 1e-4 * np.abs(of_g).max()),
            "total": total,
            "cells": cells,
            "mean": mean,
        }

    put = partial(packed, packing)
    tiles = [tile(int(k)) for k in order[:TILES]]
    totals = alpha * a.sum(axis=(0, 1))

    return {
        "input": url_of(
            pictures.fit(survey.image, x.shape[:2], bool(part)).round().astype(np.uint8)
        ),
        "after": url_of(((x - x.min()) / spread * 255).astype(np.uint8)),
        "range": rounded(np.array([x.min(), x.max()])),
        "score": float(trace.logits[trace.target.index]),
        "start": steps.head_start(asked, trace, layer) if tiles[0]["even"] else None,
        "layer": layer,
        "shape": a.shape,
        "placement": six_numbers(placement_of(asked.layers[layer], engine.COVERED, part)),
        "placed": asked.layers[layer].poor not in NOWHERE,
        "stages": [stage(put, trace, name) for name in on_the_way(trace, layer)],
        "tiles": tiles,
        "alphas": rounded(alpha),
        "build": [
            {
                "count": int(n),
                "share": float(built.share[n - 1]),
                "correlation": float(built.correlation[n - 1]),
                "map": put(built.maps[n - 1]),
            }
            for n in counts
        ],
        "switches": [
            {"k": t.channel, "alpha": t.alpha, "total": t.total, "map": put(t.grid)}
            for t in steps.switchboard(trace, layer)
        ],
        "map": put(signed),
        "whole": {
            "cells": signed.size,
            "below": int((signed < 0).sum()),
            "above": int((signed > 0).sum()),
            "min": float(signed.min()),
            "max": float(signed.max()),
            "more": float(totals[totals > 0].sum()),
            "less": float(totals[totals < 0].sum()),
            "sum": float(totals.sum()),
        },
        "bytes": packing.text(),
    }


def round_step(top: float) -> float:
    """One; of numbers that are all smaller, up to `top`, a power of ten."""
    return float(min(10.0 ** np.floor(np.log10(top)), 1.0))


@taken_apart("nudge")
def nudged(view: InView, more: list[Any]) -> Nudge:
    """What changes of A^k_ij do to the score: as the gradient says, and truly. more: k, i, j."""
    asked, survey, layer, *_ = view
    a = survey.trace.activations[layer]
    h, w, channels = a.shape
    k, i, j = indices(more, (channels, h, w))
    top = float(np.abs(a[:, :, k]).max()) or 1.0
    up = np.geomspace(top / 100, 8 * top, STEPS_EACH_WAY)
    sizes = np.concatenate([-up[::-1], [0], up])
    by = round_step(top)
    done = steps.nudge(asked, survey.trace, layer, (i, j), k, [*sizes.tolist(), by, -by])
    return {
        "steps": rounded(sizes),
        "predicted": rounded(done.predicted[:-2]),
        "true": rounded(done.true[:-2]),
        "by": by,
        "up": float(done.true[-2]),
        "down": float(done.true[-1]),
        "a": float(a[i, j, k]),
        "g": float(survey.trace.gradients[layer][i, j, k]),
    }


@taken_apart("without")
def switched_off(view: InView, more: list[Any]) -> Without:
    """The score as it was, and with some channels set to zero. more: a list of them."""
    asked, survey, layer, *_ = view
    channels = survey.trace.activations[layer].shape[-1]
    given = more[0] if len(more) == 1 and isinstance(more[0], list) else None
    off = indices(given, (channels,) * len(given or ()))
    before, after = steps.score_without(asked, survey.trace, layer, [(), tuple(off)])
    return {"before": float(before), "after": float(after)}


@taken_apart("cell")
def summed(view: InView, more: list[Any]) -> CellSum:
    """The sum that made one cell of the map. more: i, j."""
    _, survey, layer, *_ = view
    a = survey.trace.activations[layer]
    i, j = indices(more, a.shape[:2])
    alpha = grad_cam(a, survey.trace.gradients[layer])
    made = steps.cell(a, alpha, i, j)
    return {
        "terms": [
            {"k": int(k), "alpha": float(alpha[k]), "a": float(a[i, j, k]), "value": float(v)}
            for k, v in zip(made.channels, made.values, strict=True)
        ],
        "rest": made.rest,
        "total": made.total,
        "others": a.shape[-1] - len(made.channels),
    }


@taken_apart("contrast")
def held_against(view: InView, _more: list[Any]) -> Contrast:
    """The map of the class rather than its rival: of a request that names one."""
    trace, packing = view.survey.trace, Packing(SIDE)
    a, g = trace.activations[view.layer], trace.gradients[view.layer]
    signed = heatmap.combine(grad_cam(a, g), a)
    return {
        "map": packed(packing, signed),
        "below": int((signed < 0).sum()),
        "bytes": packing.text(),
    }


@taken_apart("earlier")
def before_the_last(view: InView, _more: list[Any]) -> Earlier:
    """Of the layers before this one that at which Grad-CAM's map is least like the one that keeps
    places.

    Among those with at most twice its cells a side: the last ones. Raises UserError.
    """
    asked, survey, last, part = view
    earlier = asked.suggested[: asked.suggested.index(last)] if last in asked.suggested else ()
    near = [n for n in earlier if asked.layers[n].shape[0] <= 2 * asked.layers[last].shape[0]]
    if not earlier:
        raise UserError(NOTHING_EARLIER)
    maps = survey.maps
    by_place = {n: trust.film_method(n, last, contrast=False) for n in earlier}
    layer = min(near or earlier, key=lambda n: likeness(maps[n, PLAIN], maps[n, by_place[n]]))
    packing, g = Packing(SIDE), survey.trace.gradients[layer]

    def put(name: str, method: str) -> PlacedMap:
        placement = placement_of(asked.layers[name], method, part)
        return {**packed(packing, maps[name, method]), "placement": six_numbers(placement)}

    sizes = np.abs(g).mean(axis=(0, 1)) - np.abs(g.mean(axis=(0, 1)))  # what cancels
    k = int((sizes * np.abs(survey.trace.activations[layer]).mean(axis=(0, 1))).argmax())
    return {
        "layer": layer,
        "shape": g.shape,
        "last": put(last, PLAIN),
        "mean": put(layer, PLAIN),
        "each": put(layer, by_place[layer]),
        "k": k,
        "g": packed(packing, g[:, :, k]),
        "alpha": float(g[:, :, k].mean()),
        "bytes": packing.text(),
    }


def likeness(one: F32, other: F32) -> float:
    """Of what is above zero, in [0, 1]: the cosine; 1 where one of them is empty."""
    a, b = np.maximum(one, 0).ravel(), np.maximum(other, 0).ravel()
    sizes = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / sizes if sizes else 1.0


@taken_apart("guided")
def lines(view: InView, _more: list[Any]) -> Guided:
    """Guided backpropagation, and times the map, as pictures round middle grey."""
    trace, layer = view.survey.trace, view.layer
    found = view.asked.guided_backprop(trace.inputs, trace.target)
    alpha = grad_cam(trace.activations[layer], trace.gradients[layer])
    heat = heatmap.normalise(heatmap.combine(alpha, trace.activations[layer]))
    placed = heatmap.project(heat, found.shape[:2], view.asked.layers[layer].placement)
    both = steps.guided_grad_cam(found, placed)
    return {"guided": url_of(heatmap.grey(found)), "both": url_of(heatmap.grey(both))}


@served("formulas")
def formulas(_request: Any) -> list[StepRow]:
    """`step_rows`, which the page asks for when its tab is opened."""
    return step_rows()


@lru_cache
def step_rows() -> list[StepRow]:
    """The steps as the page explains them: formula as a picture, the project's own code."""
    return [
        {
            "key": key,
            "title": step.title,
            "formula": heatmap.formula(step.formula),
            "aloud": step.aloud,
            "code": steps.source(key),
        }
        for key, step in steps.STEPS.items()
    ]
