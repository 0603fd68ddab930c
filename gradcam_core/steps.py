"""Grad-CAM taken apart: each step of arXiv 1610.02391 as arithmetic on one trace.

    alpha_k = mean over (i, j) of d y / d A^k_ij           equation 1, `methods.grad_cam`
    L = ReLU(sum over k of alpha_k A^k)                    equation 2, `heatmap.combine`

A "term" is one alpha_k A^k of that sum. Weights are Grad-CAM's own, (K,). Only `nudge` and
`score_without` run the network, and of it only the tail: the layers after the one looked at.
"""

import ast
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam_core.methods import grad_cam
from gradcam_core.types import F32, Asked, Trace

Channels = NDArray[np.intp]


class Response(NamedTuple):
    """What a change of one number does to the score, for S sizes of the change."""

    predicted: F32  # (S,), gradient * step
    true: F32  # (S,), from running the network's tail again


class Pooling(NamedTuple):
    """Global average pooling of one channel's gradients."""

    total: float
    cells: int
    mean: float  # alpha_k = total / cells


class BuildUp(NamedTuple):
    """The weighted sum after the first 1, 2, .. K channels."""

    maps: F32  # (K, h, w), signed; the last is the whole sum
    share: F32  # (K,) in [0, 1], grows: of sum over k, i, j of |alpha_k A^k_ij|; 0 if all are 0
    correlation: F32  # (K,) in [-1, 1]: Pearson's, with the whole sum; 0 where one of them is flat


class Summand(NamedTuple):
    """One term alpha_k A^k of the weighted sum."""

    channel: int  # k
    alpha: float
    total: float  # sum over (i, j) of alpha_k A^k_ij
    grid: F32  # (h, w), alpha_k A^k


class Breakdown(NamedTuple):
    """The sum that made one cell of the map: total = sum of values + rest."""

    channels: Channels  # (top,), the largest |alpha_k A^k_ij| first
    values: F32  # (top,), their alpha_k A^k_ij
    rest: float  # the sum of the other K - top
    total: float


def order(a: F32, alpha: F32) -> Channels:
    """Channels by |alpha_k| * mean over (i, j) of |A^k|, the largest first: (K,). A (h, w, K).

    After a ReLU |A^k| is A^k. Elsewhere the sign must not count: a strong channel that is negative
    on average is strong (measured on block5c_add: with half of the channels added up in this order
    the map correlates .96 with the whole one, and .78 with the sign kept).
    """
    return np.argsort(-np.abs(alpha) * np.abs(a).mean(axis=(0, 1)), kind="stable")


def nudge(
    asked: Asked, trace: Trace, layer: str, cell: tuple[int, int], k: int, steps: Sequence[float]
) -> Response:
    """A^k_ij + step for each of S steps: predicted d y / d A^k_ij * step, and the true change.

    One batch of S + 1 runs of the tail; the first is left as it is, to compare with.
    """
    i, j = cell
    sizes = np.asarray(steps, np.float32)
    batch = np.repeat(trace.activations[layer][None], len(sizes) + 1, axis=0)
    batch[1:, i, j, k] += sizes
    scores = asked.score_from(layer, batch, trace)
    return Response(trace.gradients[layer][i, j, k] * sizes, scores[1:] - scores[0])


def pooling(g_k: F32) -> Pooling:
    """alpha_k = 1/Z * sum over (i, j) of d y / d A^k_ij, equation 1, with Z = h w. g_k (h, w)."""
    total = float(g_k.sum(dtype=np.float64))
    return Pooling(total, g_k.size, total / g_k.size)


def terms(a: F32, alpha: F32) -> F32:
    """alpha_k A^k, the terms of equation 2: A (h, w, K), alpha (K,) -> (K, h, w)."""
    return np.moveaxis(a * alpha, -1, 0)


def build_up(a: F32, alpha: F32, order: Channels) -> BuildUp:
    """Equation 2 before its ReLU, channel by channel in this order. A (h, w, K), alpha (K,).

    In float64, so that 2048 roundings do not show; takes some ten times A in memory for a moment.
    """
    parts = terms(a, alpha)[order]
    sizes = np.abs(parts).sum(axis=(1, 2), dtype=np.float64).cumsum()
    share = sizes / sizes[-1] if sizes[-1] > 0 else sizes
    maps = parts.cumsum(axis=0, dtype=np.float64)

    flat = maps.reshape(len(maps), -1)
    uneven = np.ptp(flat, axis=1) > 1e-6 * np.abs(flat).max(axis=1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    below = np.linalg.norm(centred, axis=1) * np.linalg.norm(centred[-1])
    zeros, both = np.zeros_like(below), uneven & uneven[-1]
    correlation = np.divide(centred @ centred[-1], below, out=zeros, where=both).clip(-1, 1)
    return BuildUp(*(x.astype(np.float32) for x in (maps, share, correlation)))


def switchboard(
    trace: Trace, layer: str, k_positive: int = 5, k_negative: int = 5
) -> list[Summand]:
    """The terms with the largest positive sums over places, then those with the most negative.

    Strongest first on either side; fewer where fewer have that sign.
    """
    a = trace.activations[layer]
    alpha = grad_cam(a, trace.gradients[layer])
    totals = alpha * a.sum(axis=(0, 1))
    ranked = totals.argsort(kind="stable")
    raising = [k for k in ranked[::-1][:k_positive] if totals[k] > 0]
    lowering = [k for k in ranked[:k_negative] if totals[k] < 0]
    return [
        Summand(int(k), float(alpha[k]), float(totals[k]), alpha[k] * a[:, :, k])
        for k in raising + lowering
    ]


def score_without(
    asked: Asked, trace: Trace, layer: str, channels: Sequence[Collection[int]]
) -> F32:
    """The score with A^k = 0 for the channels of each set, (n,): n runs of the tail, one batch.

    An empty set is the score as it is.
    """
    batch = np.repeat(trace.activations[layer][None], len(channels), axis=0)
    for a, off in zip(batch, channels, strict=True):
        a[:, :, list(off)] = 0
    return asked.score_from(layer, batch, trace)


def cell(a: F32, alpha: F32, i: int, j: int, top: int = 5) -> Breakdown:
    """sum over k of alpha_k A^k_ij, equation 2 at one place: its largest terms, and the rest."""
    values = a[i, j] * alpha
    ranked = np.argsort(-np.abs(values), kind="stable")
    first, others = ranked[:top], ranked[top:]
    rest = values[others].sum(dtype=np.float64)
    return Breakdown(first, values[first], float(rest), float(rest + values[first].sum()))


def head_start(asked: Asked, trace: Trace, layer: str) -> float | None:
    """What the score is before any cell of the map, if the cells add up to all the rest of it:

    score = head start + sum over (i, j) of the signed map. None where they do not.

    It is so where only averaging and one dense layer follow (the head start is then the class's
    bias), and is found by asking: three runs of the tail, with A at nothing, a half and all of it.
    """
    a = trace.activations[layer]
    total = float((grad_cam(a, trace.gradients[layer]) * a.sum(axis=(0, 1))).sum())
    parts = np.array([0, 0.5, 1], np.float32)
    scores = asked.score_from(layer, parts[:, None, None, None] * a, trace)
    missed = np.abs(scores - (scores[0] + parts * total)).max()
    return float(scores[0]) if missed <= 1e-3 * np.abs(scores - scores[0]).max() else None


def guided_grad_cam(guided: F32, heat: F32) -> F32:
    """Guided backpropagation times the map, pixel by pixel (section 3.2): (N, N, 3), (N, N).

    guided: `Network.guided_backprop`. heat: the Grad-CAM map in [0, 1], scaled up to N x N.
    It shows fine lines at the places of the map. It does not explain more than the map does:
    guided backpropagation hardly depends on the class (on the default network and the example
    pictures the likeliest class against the next four: correlations from 0.976 to 0.9999), and it
    stays much as it was when the weights of the upper layers are replaced by random ones (Adebayo
    et al. 2018, arXiv 1810.03292).
    """
    return guided * heat[:, :, None]


class Step(NamedTuple):
    """One step, as the page explains it."""

    title: str
    formula: str  # LaTeX
    aloud: str  # the formula as it is read out
    code: tuple[str, ...]  # where it is computed, as "room.function"


STEPS = {
    "question": Step(
        "The question",
        r"p^c = \frac{e^{y^c}}{\sum_j e^{y^j}}",
        "p of c is e to the power of y of c, divided by the sum over all classes j of e to the "
        "power of y of j.",
        ("image.fit", "heads.answers"),
    ),
    "maps": Step(
        "Feature maps",
        r"A^k \in \mathbb{R}^{h \times w}, \quad k = 1, \dots, K",
        "A k is a grid of h by w real numbers, for k from 1 to K.",
        ("network.Network._compile_trace.run", "steps.order"),
    ),
    "gradient": Step(
        "The gradient",
        r"\frac{\partial y^c}{\partial A^k_{ij}}",
        "The partial derivative of y of c by A k i j.",
        ("network.Network._compile_trace.run", "steps.nudge"),
    ),
    "pooling": Step(
        "Global average pooling",
        r"\alpha_k^c = \frac{1}{h\,w} \sum_i \sum_j \frac{\partial y^c}{\partial A^k_{ij}}",
        "Alpha k of c is 1 over h times w, times the sum over i and j of the partial derivative "
        "of y of c by A k i j.",
        ("methods.over_places", "methods.grad_cam"),
    ),
    "sum": Step(
        "The weighted sum",
        r"\sum_k \alpha_k^c \, A^k",
        "The sum over k of alpha k of c times A k.",
        ("heatmap.combine",),
    ),
    "relu": Step(
        "ReLU",
        r"L^c = \mathrm{ReLU}\left(\sum_k \alpha_k^c \, A^k\right), \quad"
        r" \mathrm{ReLU}(x) = \max(0, x)",
        "L of c is the ReLU of the sum over k of alpha k of c times A k. The ReLU of x is the "
        "larger of 0 and x.",
        ("heatmap.normalise",),
    ),
    "scaling": Step(
        "Scaling up",
        r"M = \mathrm{scale\ up}\left(L^c \,/\, \max L^c\right)",
        "M is L of c, divided by the largest of L of c, and scaled up.",
        ("heatmap.upsample",),
    ),
    "overlay": Step(
        "The overlay",
        r"(1 - o) \cdot \text{picture} + o \cdot \text{colour}(M)",
        "1 minus o times the picture, plus o times the colour of M.",
        ("heatmap.paint", "heatmap.overlay"),
    ),
    "guided": Step(
        "Guided Grad-CAM",
        r"\text{guided backpropagation} \odot M",
        "Guided backpropagation times M, pixel by pixel.",
        ("gradients._guided", "network.Network._compile_guided.run", "steps.guided_grad_cam"),
    ),
}


def source(step: str) -> str:
    """The program's own lines that compute a step of `STEPS`, without their docstrings."""
    return "\n\n".join(_lines(name) for name in STEPS[step].code)


def _lines(name: str) -> str:
    """The text of "room.function" or "room.Class.method.inner", read from the room's file: that
    finds inner functions too, and loads no TensorFlow."""
    room, *path = name.split(".")
    text = Path(__file__).with_name(f"{room}.py").read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in path:
        node = next(n for n in ast.walk(node) if getattr(n, "name", None) == part)
    assert isinstance(node, ast.FunctionDef)
    said = node.body[0] if ast.get_docstring(node) else None
    shown = [
        line
        for number, line in enumerate(text.splitlines(), start=1)
        if node.lineno <= number <= (node.end_lineno or number)
        and not (said and said.lineno <= number <= (said.end_lineno or number))
    ]
    return textwrap.dedent("\n".join(shown)).strip()
