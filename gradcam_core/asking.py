"""Methods that ask the network many times. Each yields the part that is done, then gives its map.

x is the picture as the network takes it, (N, N, 3); f the score of the trace's target; "nothing" an
x of zeros. What that looks like is the network's own: a middle grey for most, black for some. A map
is signed, (h, w), and lies where its layer does, or over all that the network sees.
"""

from collections.abc import Callable, Generator
from functools import partial

import numpy as np

from gradcam_core import hide
from gradcam_core.heatmap import combine, project, upsample
from gradcam_core.types import F32, Asked, Asking, Trace

TOGETHER = 16  # pictures, or activations, in one question: nobody waits for more who stops it
COARSE, FINE = 7, 14  # cells a side of what is covered
COPIES = 50  # of SmoothGrad
GRAIN_OF_COPIES = 0.15  # standard deviation of their noise, of the range of x
STEPS_TO_PICTURE = 50  # of integrated gradients


def in_parts(
    answer: Callable[[F32], F32], make: Callable[[range], F32], count: int
) -> Generator[float, None, F32]:
    """`answer` to what `make` gives for 0, 1, .. count - 1, a few at a time, one after another."""
    found = []
    for start in range(0, count, TOGETHER):
        some = range(start, min(start + TOGETHER, count))
        found.append(answer(make(some)))
        yield some.stop / count
    return np.concatenate(found)


# ---- parts are covered ---------------------------------------------------------------------------


def occlusion(cells: int, asked: Asked, trace: Trace, _layer: str | None) -> Asking:
    """f(x) - f(x with one cell blurred), for each of at most cells x cells. Zeiler and Fergus 2014.

    Each number is an experiment: what covering just that part takes from the score. The paper
    paints in grey; a blur of x is x of the blurred picture, however a network scales its pixels.
    """
    x, size = trace.inputs, asked.shape[:2]
    h, w = (min(cells, side) for side in size)
    paint = hide.blurred(x)

    def covered(some: range) -> F32:
        at = [divmod(n, w) for n in some]
        boxes = [(j / w, i / h, (j + 1) / w, (i + 1) / h) for i, j in at]
        masks = np.stack([hide.rectangle(box, size) for box in boxes])
        return np.where(masks[..., None], paint, x)

    score = partial(asked.score, target=trace.target)
    y = yield from in_parts(score, covered, h * w)
    return (score(x[None]) - y).reshape(h, w)


# ---- gradients of the picture --------------------------------------------------------------------


def mean_gradient(
    asked: Asked, trace: Trace, make: Callable[[int], F32], count: int
) -> Generator[float, None, F32]:
    """The mean of d f / d x over `count` pictures, (N, N, 3)."""

    def summed(pictures: F32) -> F32:
        return asked.picture_gradient(pictures, trace.target).sum(axis=0, keepdims=True)

    sums = yield from in_parts(summed, lambda some: np.stack([make(n) for n in some]), count)
    return sums.sum(axis=0) / count


def gradient_times_input(asked: Asked, trace: Trace, _layer: str | None) -> Asking:
    """x d f / d x, summed over the colours. Shrikumar et al. 2016, arXiv 1605.01713, section 2."""
    gradient = yield from mean_gradient(asked, trace, lambda _: trace.inputs, 1)
    return (trace.inputs * gradient).sum(axis=-1)


def smooth_grad(asked: Asked, trace: Trace, _layer: str | None, seed: int = 0) -> Asking:
    """|mean of d f / d x over noisy copies of x|, summed over the colours. Smilkov et al. 2017."""
    x, dice = trace.inputs, np.random.default_rng(seed)
    sigma = GRAIN_OF_COPIES * float(np.ptp(x))

    def noisy_copy(_: int) -> F32:
        return x + np.float32(sigma) * dice.standard_normal(x.shape, np.float32)

    gradient = yield from mean_gradient(asked, trace, noisy_copy, COPIES)
    return np.abs(gradient).sum(axis=-1)


def integrated_gradients(
    asked: Asked, trace: Trace, _layer: str | None, steps: int = STEPS_TO_PICTURE
) -> Asking:
    """x times the mean of d f / d x on the way from nothing to x, summed over the colours.

    Sundararajan et al. 2017, equation 3, each step at its middle. With enough steps the cells add
    up to f(x) - f(nothing): `completeness`.
    """
    x = trace.inputs
    gradient = yield from mean_gradient(
        asked, trace, lambda n: x * np.float32((n + 0.5) / steps), steps
    )
    return (x * gradient).sum(axis=-1)


def completeness(asked: Asked, trace: Trace, signed: F32) -> str:
    """What the cells of integrated gradients add up to, and what they should, in a sentence."""
    both = np.stack([trace.inputs, np.zeros_like(trace.inputs)])
    whole, nothing = asked.score(both, trace.target)
    due, found = float(whole - nothing), float(signed.sum())
    return (
        f"Its pixels add up to {found:.3g}; from nothing to this picture the score goes up by "
        f"{due:.3g}: the gap is what is lost between the steps."
    )


# ---- the layer's channels, one by one ------------------------------------------------------------


def score_cam(asked: Asked, trace: Trace, layer: str | None) -> Asking:
    """alpha_k = f(x s(up(A_k))) - f(nothing), s(.) from 0 to 1. Wang et al. 2020, section 3.

    A channel that is the same all over lights nothing up. What the paper's algorithm does besides,
    a softmax over these numbers, is left out: it would leave none below zero.
    """
    assert layer
    a, x, placement = trace.activations[layer], trace.inputs, asked.layers[layer].placement
    size = asked.shape[:2]
    rows, columns = (  # (H, h) and (W, w): as quick as many channels want it
        upsample(np.eye(n, dtype=np.float32), (side, n))
        for n, side in zip(a.shape[:2], size, strict=True)
    )

    def lit_by(k: int) -> F32:
        one = a[:, :, k]
        up = project(one, size, placement, one.min()) if placement else rows @ one @ columns.T
        return x * ((up - up.min()) / (np.ptp(up) or 1))[:, :, None]

    def lit(some: range) -> F32:
        return np.stack([lit_by(k) for k in some])

    score = partial(asked.score, target=trace.target)
    y = yield from in_parts(score, lit, a.shape[-1])
    return combine(y - score(np.zeros_like(x)[None]), a)


def ablation_cam(asked: Asked, trace: Trace, layer: str | None) -> Asking:
    """alpha_k = f - f with channel k at zero. Ramaswamy and Desai 2020.

    The paper divides by f: that scales the map, and turns it round where f is below zero. Only what
    comes after the layer is run. Before global pooling and a dense layer alpha_k is Grad-CAM's
    weight times the sum of A_k.
    """
    assert layer
    a = trace.activations[layer]

    def without(some: range) -> F32:
        batch = np.repeat(a[None], len(some), axis=0)
        batch[range(len(some)), :, :, some] = 0
        return batch

    answer = partial(asked.score_from, layer, trace=trace)
    y = yield from in_parts(answer, without, a.shape[-1])
    return combine(answer(a[None]) - y, a)
