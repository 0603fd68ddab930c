"""How it is made: the numbers of each step, for the picture, network, class and layer in view.

Opening it runs no new pass; a nudge or a switch runs the network's tail, guided backpropagation one
pass of its own. Each answer is JSON, or {"error": sentence}.
"""

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from demo import handlers
from demo.handlers import PREDICTED, Wire
from gradcam_core import heatmap, lookup, models, steps
from gradcam_core import image as pictures
from gradcam_core.methods import grad_cam
from gradcam_core.types import F32, Survey, Target, UserError

TILES = 24  # feature maps shown
COUNTS = 48  # stations of the slider that adds them up
SIDE = 56  # of a tile at most
NUMBERED = 64  # cells at most of a grid whose numbers are sent as they are
STEPS_EACH_WAY = 10  # of a nudge
GONE = "That part of the network is not in view any more; choose the layer and the class again."

Request = dict[str, Any]


class InView(NamedTuple):
    """What the viewer shows."""

    net: Any  # its `network.Network`
    survey: Survey
    layer: str


def in_view(request: Request) -> InView:
    """The survey out of the kept ones; made anew if it has left them."""
    path, spec = handlers.own_file(request["path"]), models.find(request["model"])
    chosen = handlers.class_of(request["target"], spec, PREDICTED)
    detail = bool(request["detail"]) and spec.fully_convolutional
    net = lookup.network(spec, detail)
    layer = lookup.layer_of(net, request["layer"]).name
    first = handlers.survey(path, request["model"], None, detail)
    target = None if chosen in (PREDICTED, first.target.index) else Target(chosen)
    extra = () if layer in net.suggested else (layer,)
    return InView(net, handlers.survey(path, request["model"], target, detail, extra), layer)


def answered(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A request, or a list of it and more, in; what fn says of what is in view, or a sentence, out.

    A survey takes one of the places in `busy` by itself: fn gets its own only after that.
    """

    def safe(request: Any) -> Any:
        try:
            first, *rest = request if isinstance(request, list) and request else [request]
            view = in_view(first)
            with handlers.busy:
                return fn(view, *rest)
        except UserError as error:
            return {"error": str(error)}
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            handlers.log.info("a step was asked for in vain: %r", error)
            return {"error": GONE}
        except Exception:
            handlers.log.exception("a step failed")
            return {"error": handlers.FAILED}

    safe.__name__ = fn.__name__  # not functools.wraps: Gradio would fill in the inner arguments
    return safe


def rounded(values: Any) -> list[float]:
    return [float(f"{v:.5g}") for v in values]


def png(image: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(pictures.png(image)).decode()


@answered
def lesson(view: InView) -> dict[str, Any]:
    """All that the steps show before anything is played with."""
    _, survey, layer = view
    trace = survey.trace
    a, g = trace.activations[layer], trace.gradients[layer]
    alpha = grad_cam(a, g)
    signed = heatmap.combine(alpha, a)
    order = steps.order(a, alpha)
    built = steps.build_up(a, alpha, order)
    counts = np.unique(np.geomspace(1, len(order), COUNTS).round().astype(int))
    wire, x = Wire(SIDE), trace.inputs
    spread = float(x.max() - x.min()) or 1.0

    def put(grid: F32) -> dict[str, Any]:
        numbers = rounded(grid.ravel()) if grid.size <= NUMBERED else None
        return wire.put(grid) | {"numbers": numbers}

    return {
        "input": png(pictures.fit(survey.image, x.shape[:2]).round().astype(np.uint8)),
        "after": png(((x - x.min()) / spread * 255).astype(np.uint8)),
        "range": rounded(np.array([x.min(), x.max()])),
        "score": float(trace.logits[trace.target.index]),
        "layer": layer,
        "shape": a.shape,
        "tiles": [
            {
                "k": int(k),
                "alpha": float(alpha[k]),
                "strength": float(a[:, :, k].mean()),
                "a": put(a[:, :, k]),
                "g": put(g[:, :, k]),
                "even": bool(np.ptp(g[:, :, k]) <= 1e-4 * np.abs(g[:, :, k]).max()),
                **steps.pooling(g[:, :, k])._asdict(),
            }
            for k in order[:TILES]
        ],
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
        },
        "bytes": wire.text(),
    }


@answered
def nudge(view: InView, k: int, i: int, j: int) -> dict[str, Any]:
    """What changes of A^k_ij do to the score: predicted by the gradient, and truly."""
    net, survey, layer = view
    a = survey.trace.activations[layer]
    h, w, channels = a.shape
    if not (0 <= i < h and 0 <= j < w and 0 <= k < channels):
        raise UserError(GONE)
    span = 8 * (float(np.abs(a[:, :, k]).max()) or 1.0)
    up = np.geomspace(span / 800, span, STEPS_EACH_WAY)  # from a hundredth of the largest A
    sizes = np.concatenate([-up[::-1], [0], up])
    done = steps.nudge(net, survey.trace, layer, (i, j), k, sizes.tolist())
    return {
        "steps": rounded(sizes),
        "predicted": rounded(done.predicted),
        "true": rounded(done.true),
        "a": float(a[i, j, k]),
        "g": float(survey.trace.gradients[layer][i, j, k]),
    }


@answered
def without(view: InView, off: list[int]) -> dict[str, Any]:
    """The score of the network with these channels set to zero, and as it was."""
    net, survey, layer = view
    channels = survey.trace.activations[layer].shape[-1]
    if not all(isinstance(k, int) and 0 <= k < channels for k in off):
        raise UserError(GONE)
    before, after = steps.score_without(net, survey.trace, layer, [(), tuple(off)])
    return {"before": float(before), "after": float(after)}


@answered
def cell(view: InView, i: int, j: int) -> dict[str, Any]:
    """The sum that made one cell of the map."""
    _, survey, layer = view
    a = survey.trace.activations[layer]
    if not (0 <= i < a.shape[0] and 0 <= j < a.shape[1]):
        raise UserError(GONE)
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


@answered
def guided(view: InView) -> dict[str, Any]:
    """Guided backpropagation, and times the map, as pictures round middle grey."""
    trace, layer = view.survey.trace, view.layer
    lines = view.net.guided_backprop(trace.inputs, trace.target)
    alpha = grad_cam(trace.activations[layer], trace.gradients[layer])
    heat = heatmap.normalise(heatmap.combine(alpha, trace.activations[layer]))
    placed = heatmap.draw(heat, lines.shape[:2], view.net.layers[layer].placement)
    both = steps.guided_grad_cam(lines, placed)
    return {"guided": png(heatmap.grey(lines)), "both": png(heatmap.grey(both))}


def table() -> list[dict[str, str]]:
    """The steps as the page explains them: words, formula as a picture, the project's own code."""
    return [
        {
            "key": key,
            "title": step.title,
            "words": step.words,
            "formula": heatmap.formula(step.formula),
            "aloud": step.aloud,
            "code": steps.source(key),
        }
        for key, step in steps.STEPS.items()
    ]
