"""The methods: pure functions of A and G, (h, w, K) each, to weights. METHODS has a row for each.

Every map is `heatmap.combine(weights, A)`, the signed sum over k of weights * A, and its ReLU.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from scipy.linalg import lapack
from scipy.sparse.linalg import eigsh

from gradcam_core import asking
from gradcam_core.heatmap import combine, normalise, upsample
from gradcam_core.types import F32, Asked, Fusion, Layer, Method, Placement

DENSE = 128  # rows up to which a dense eigensolver is the faster one
BLOCK = 1 << 17  # numbers whose few temporary copies fit the cache


def over_places(x: F32) -> F32:
    """Sum over (i, j): (h, w, K) -> (K,). Of large grids faster so than by x.sum(axis=(0, 1))."""
    return x.sum(axis=0).sum(axis=0)


def relu(x: F32) -> F32:
    """max(x, 0). NumPy's loop over two arrays is faster than that over an array and a number."""
    return np.maximum(x, np.zeros_like(x[0]))


def blocks(x: F32) -> Iterator[F32]:
    """(h, w, K) as views of some rows each, BLOCK numbers or a row."""
    rows = max(1, BLOCK // x[0].size)
    return (x[i : i + rows] for i in range(0, len(x), rows))


def grad_cam(a: F32, g: F32) -> F32:
    """alpha_k = mean over (i, j) of d y / d A_ijk, (K,). Selvaraju et al. 2016, equation 1."""
    h, w, _ = g.shape
    return over_places(g) / (h * w)


def grad_cam_plus_plus(a: F32, g: F32) -> F32:
    """With p = ReLU(G) and S_k = ReLU(sum over (i, j) of A): sum over (i, j) of p / (2 + S_k p).

    (K,). Chattopadhay et al. 2017, equation 19 for the score exp(y), with G^2 divided out of
    numerator and denominator: the same number without 0/0. The ReLU of S_k is ours: the paper's
    layers end in a ReLU and have none below 0; elsewhere (after a batch norm) the denominator would
    go through zero, and a single place could outweigh all others.
    """
    total = relu(over_places(a))
    alpha = np.zeros_like(total)
    for part in blocks(g):
        p = relu(part)
        below = total * p
        below += 2
        alpha += over_places(np.divide(p, below, out=p))
    return alpha


def hires_cam(a: F32, g: F32) -> F32:
    """G itself, (h, w, K): each place with its own gradient. Draelos and Carin 2020, equation 4."""
    return g


def xgrad_cam(a: F32, g: F32) -> F32:
    """sum over (i, j) of G A / sum over (i, j) of A, (K,). Fu et al. 2020, equation 8.

    A channel whose activations sum to nothing has no place to look at and gets weight 0.
    """
    total = over_places(a)
    some = np.abs(total) > 1e-6 * sum(over_places(np.abs(part)) for part in blocks(a))
    weighted = np.einsum("ijk,ijk->jk", g, a).sum(axis=0)
    return np.divide(weighted, total, out=np.zeros_like(total), where=some)


def layer_cam(a: F32, g: F32) -> F32:
    """ReLU(G), (h, w, K): only places that speak for the class. Jiang et al. 2021, equation 6."""
    return relu(g)


def eigen_cam(a: F32, g: F32) -> F32:
    """First right singular vector of A as (h w, K), (K,). Muhammad and Yeasin 2020, equation 3.

    It asks for no class. A singular vector has no sign of its own: it is turned so that the map
    points with the activations (its sum is not negative).
    """
    flat = a.reshape(-1, a.shape[-1])
    if not 1e-18 < np.vdot(flat, flat) < 1e30:  # the squares vanish or overflow
        top = np.abs(flat).max()
        if top == 0:
            return np.zeros(a.shape[-1], np.float32)
        flat = flat / top
    wide = len(flat) < a.shape[-1]  # the smaller of the two Gram matrices is enough
    v = flat.T @ _top(flat @ flat.T) if wide else _top(flat.T @ flat)
    sign = 1 if over_places(a) @ v >= 0 else -1
    return sign * v / np.linalg.norm(v)


def _top(gram: F32) -> F32:
    """The eigenvector of the largest eigenvalue of a symmetric matrix (n, n) -> (n,)."""
    if len(gram) > DENSE:
        return np.asarray(eigsh(gram, 1, v0=gram.sum(axis=1))[1][:, 0], np.float32)
    n = len(gram)
    _, vectors, *_ = lapack.ssyevr(gram, range="I", il=n, iu=n)  # linalg.eigh takes twice as long
    return vectors[:, 0]


def best_and_next_larger(asked: Asked, layer: str) -> tuple[str, ...]:
    """The best layer and the last one before it with a larger grid that lies as its own does.

    () at any other layer.
    """
    (h, w, _), order = asked.layers[layer].shape, asked.suggested
    before = order[: order.index(layer)] if layer == asked.best and layer in order else ()
    at = [
        asked.layers[n]
        for n in before
        if asked.layers[n].placement == asked.layers[layer].placement
    ]
    larger = [x.name for x in at if x.shape[0] > h and x.shape[1] > w]
    return (layer, larger[-1]) if larger else ()


def sharper(pairs: Sequence[tuple[F32, F32]]) -> F32:
    """Grad-CAM of the first layer, scaled up, times the root of LayerCAM of the second: its grid.

    Each place keeps the evidence that Grad-CAM found there, more or less of it by how strongly the
    finer layer speaks for the class at just that place (from 0 to 1). The fusion of layers is that
    of LayerCAM (Jiang et al. 2021, section III-C) and Poly-CAM (Englebert et al. 2022, arXiv
    2204.13359), which multiplies too.
    """
    (a, g), (fine_a, fine_g) = pairs
    fine = combine(layer_cam(fine_a, fine_g), fine_a)
    coarse = np.maximum(combine(grad_cam(a, g), a), 0)
    return upsample(coarse, (fine.shape[0], fine.shape[1])) * np.sqrt(normalise(fine))


def channels(asked: Asked, layer: str) -> int:
    """K, of a layer that is gone through channel by channel."""
    return asked.layers[layer].shape[-1]


def covered_cells(cells: int, asked: Asked, _layer: str) -> int:
    """Of a picture that is covered cell by cell, at most cells x cells."""
    return min(cells, asked.shape[0]) * min(cells, asked.shape[1])


METHODS = {
    "Grad-CAM": Method(
        grad_cam,
        "Weights each feature map by its mean gradient, then adds them up.",
        "https://arxiv.org/abs/1610.02391",
        "one backward pass",
    ),
    "Grad-CAM++": Method(
        grad_cam_plus_plus,
        "Counts only gradients that speak for the class, shared out among several objects.",
        "https://arxiv.org/abs/1710.11063",
        "one backward pass",
        "It cannot show what speaks against the class.",
    ),
    "HiResCAM": Method(
        hires_cam,
        "Multiplies every place by its own gradient, without the mean.",
        "https://arxiv.org/abs/2011.08891",
        "one backward pass",
    ),
    "XGrad-CAM": Method(
        xgrad_cam,
        "Like Grad-CAM, but the mean gradient is weighted by the activations.",
        "https://arxiv.org/abs/2008.02312",
        "one backward pass",
    ),
    "LayerCAM": Method(
        layer_cam,
        "Keeps positive gradients place by place; good for early layers.",
        "https://doi.org/10.1109/TIP.2021.3089943",
        "one backward pass",
        "It cannot show what speaks against the class.",
    ),
    "Eigen-CAM": Method(
        eigen_cam,
        "Shows the strongest pattern in the layer. It knows no class: the map is the same for all.",
        "https://arxiv.org/abs/2008.00299",
        "no backward pass",
        "It shows no evidence, neither for a class nor against one.",
        class_agnostic=True,
    ),
    "Sharper Grad-CAM": Method(
        None,
        "Grad-CAM of the last grid, made finer by LayerCAM of the next larger one.",
        "https://arxiv.org/abs/2204.13359",
        "the same backward pass",
        "It cannot show what speaks against the class.",
        fusion=Fusion(best_and_next_larger, sharper),
    ),
    "Ablation-CAM": Method(
        None,
        "Switches each feature map off and sees what the score loses.",
        "https://doi.org/10.1109/WACV45572.2020.9093360",
        "the rest of the network once for each channel",
        ask=asking.ablation_cam,
        passes=channels,
        tail=True,
    ),
    "Score-CAM": Method(
        None,
        "Shows the network only what each feature map lights up, and sees what the score gains.",
        "https://arxiv.org/abs/1910.01279",
        "a pass for each channel",
        ask=asking.score_cam,
        passes=channels,
    ),
    "Occlusion": Method(
        None,
        "Covers one part after another. Each cell is an experiment: what the score then loses.",
        "https://arxiv.org/abs/1311.2901",
        "49 passes",
        ask=partial(asking.occlusion, asking.COARSE),
        of_picture=True,
        passes=partial(covered_cells, asking.COARSE),
    ),
    "Fine occlusion": Method(
        None,
        "The same with parts a quarter as large. What two of them show together, it cannot see.",
        "https://arxiv.org/abs/1311.2901",
        "196 passes",
        ask=partial(asking.occlusion, asking.FINE),
        of_picture=True,
        passes=partial(covered_cells, asking.FINE),
    ),
    "Gradient times input": Method(
        None,
        "Each pixel times its gradient: what the score would lose if a small change were all.",
        "https://arxiv.org/abs/1605.01713",
        "one pass more",
        ask=asking.gradient_times_input,
        of_picture=True,
        passes=lambda _asked, _layer: 1,
    ),
    "SmoothGrad": Method(
        None,
        "The mean gradient of noisy copies: where a change of the pixels would move the score.",
        "https://arxiv.org/abs/1706.03825",
        f"{asking.COPIES} passes",
        "It cannot tell a pixel that speaks for the class from one that speaks against it.",
        ask=asking.smooth_grad,
        of_picture=True,
        passes=lambda _asked, _layer: asking.COPIES,
    ),
    "Integrated gradients": Method(
        None,
        "Adds up the gradient on the way from an empty picture to this one, pixel by pixel.",
        "https://arxiv.org/abs/1703.01365",
        f"{asking.STEPS_TO_PICTURE} passes",
        ask=asking.integrated_gradients,
        of_picture=True,
        passes=lambda _asked, _layer: asking.STEPS_TO_PICTURE,
        remark=asking.completeness,
    ),
}


def placement_of(layer: Layer, method: str, part: Placement | None = None) -> Placement | None:
    """Where the map of this method lies in the picture; None: over all of it.

    part: where what the network sees lies in the picture.
    """
    placement = None if METHODS[method].of_picture else layer.placement
    return placement.inside(part) if placement else part


def one_pass() -> tuple[str, ...]:
    """The methods that a single pass answers, of every layer at once."""
    return tuple(name for name, method in METHODS.items() if not method.ask)
