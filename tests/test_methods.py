"""Each method against its paper's equation, written out in loops; Eigen-CAM against NumPy's SVD."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcam_core import methods
from gradcam_core.heatmap import combine
from gradcam_core.methods import METHODS
from gradcam_core.types import Layer, Placement

F64 = NDArray[np.float64]
SHAPES = [(4, 5, 3), (2, 3, 11), (1, 1, 4), (6, 6, 1)]


def places(a: F64) -> list[tuple[int, int]]:
    return [(i, j) for i in range(a.shape[0]) for j in range(a.shape[1])]


def weighted(a: F64, weight: Callable[[int, int, int], float]) -> F64:
    """Sum over k of weight(i, j, k) A_ijk."""
    out = np.zeros(a.shape[:2])
    for i, j in places(a):
        for k in range(a.shape[2]):
            out[i, j] += weight(i, j, k) * a[i, j, k]
    return out


def grad_cam(a: F64, g: F64) -> F64:
    """Equations 1 and 2: alpha_k = 1/Z sum of dy/dA_ijk."""
    z = a.shape[0] * a.shape[1]
    alpha = [sum(g[i, j, k] for i, j in places(a)) / z for k in range(a.shape[2])]
    return weighted(a, lambda i, j, k: alpha[k])


def grad_cam_plus_plus(a: F64, g: F64) -> F64:
    """Equations 10 and 19, for the score Y = exp(y) as in the paper's section 3.3, with y = 0:

    dY = exp(y) G, d2Y = exp(y) G^2, d3Y = exp(y) G^3;
    alpha_ij = d2Y / (2 d2Y + sum over ab of A_ab d3Y);  w_k = sum over ij of alpha_ij ReLU(dY).
    A sum over ab below zero, which the paper's layers do not have, counts as zero.
    """
    w = [0.0] * a.shape[2]
    for k in range(a.shape[2]):
        total = max(sum(a[i, j, k] for i, j in places(a)), 0)
        for i, j in places(a):
            first, second, third = g[i, j, k], g[i, j, k] ** 2, g[i, j, k] ** 3
            below = 2 * second + total * third
            w[k] += (second / below if below else 0) * max(first, 0)
    return weighted(a, lambda i, j, k: w[k])


def hires_cam(a: F64, g: F64) -> F64:
    """Equation 4: sum over k of dy/dA_k (elementwise) A_k."""
    return weighted(a, lambda i, j, k: g[i, j, k])


def xgrad_cam(a: F64, g: F64) -> F64:
    """Equation 8: w_k = sum over ij of (A_ij / sum over ab of A_ab) dy/dA_ij."""
    w = [0.0] * a.shape[2]
    for k in range(a.shape[2]):
        total = sum(a[i, j, k] for i, j in places(a))
        for i, j in places(a):
            w[k] += a[i, j, k] / total * g[i, j, k]
    return weighted(a, lambda i, j, k: w[k])


def layer_cam(a: F64, g: F64) -> F64:
    """Equations 5 and 6: each place weighted by ReLU of its own gradient."""
    return weighted(a, lambda i, j, k: max(g[i, j, k], 0))


def eigen_cam(a: F64, g: F64) -> F64:
    """Equation 3: the projection on the first right singular vector, its sum not negative."""
    flat = a.reshape(-1, a.shape[2])
    seen = flat @ np.linalg.svd(flat)[2][0]
    return (seen * np.sign(seen.sum())).reshape(a.shape[:2])


REFEREES = {
    "Grad-CAM": grad_cam,
    "Grad-CAM++": grad_cam_plus_plus,
    "HiResCAM": hires_cam,
    "XGrad-CAM": xgrad_cam,
    "LayerCAM": layer_cam,
    "Eigen-CAM": eigen_cam,
}


def test_every_method_of_one_layer_has_a_referee():
    assert set(REFEREES) == {name for name, method in METHODS.items() if method.weights}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", REFEREES)
def test_map_is_the_papers(name, shape, rng):
    a = rng.exponential(size=shape).astype(np.float32) * (rng.random(shape) < 0.8)  # after a ReLU
    a[0, 0] += 0.1  # no channel is dead
    g = rng.normal(size=shape).astype(np.float32)
    expected = REFEREES[name](a.astype(float), g.astype(float))
    got = combine(METHODS[name].weights(a, g), a)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("block", [1, 50, 10_000])
@pytest.mark.parametrize("name", ["Grad-CAM++", "XGrad-CAM"])
def test_a_large_layer_is_gone_through_whole(name, block, rng, monkeypatch):
    """By the row, by three rows of 5 x 3 with one left over, and in one piece."""
    monkeypatch.setattr(methods, "BLOCK", block)
    a = rng.exponential(size=(7, 5, 3)).astype(np.float32)
    g = rng.normal(size=a.shape).astype(np.float32)
    expected = REFEREES[name](a.astype(float), g.astype(float))
    got = combine(METHODS[name].weights(a, g), a)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", REFEREES)
def test_map_is_the_papers_where_activations_are_negative_too(name, rng):
    a = rng.normal(1, 1, size=(3, 4, 5)).astype(np.float32)  # after a batch norm, or Swish
    a[..., 1] -= 2  # a channel that sums to less than nothing
    g = rng.normal(size=a.shape).astype(np.float32)
    expected = REFEREES[name](a.astype(float), g.astype(float))
    got = combine(METHODS[name].weights(a, g), a)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_no_place_outweighs_all_others_in_grad_cam_plus_plus():
    """G = 1, 1.99: with S = -1 equation 19 has 1 / (2 - 1) and 1.99 / (2 - 1.99), 199 times that.

    p / 2 is what it gives at S = 0: (1 + 1.99) / 2.
    """
    a, g = np.float32([[[-1], [0]]]), np.float32([[[1], [1.99]]])
    np.testing.assert_allclose(METHODS["Grad-CAM++"].weights(a, g), [1.495], rtol=1e-6)


A = np.float32([[1, 2], [3, 4]])[..., None]  # one channel
G = np.float32([[1, 0], [0, -1]])[..., None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Grad-CAM", [[0, 0], [0, 0]]),  # mean of G: 0
        ("Grad-CAM++", [[1 / 12, 2 / 12], [3 / 12, 4 / 12]]),  # p = 1 at one place, S = 10
        ("HiResCAM", [[1, 0], [0, -4]]),
        ("XGrad-CAM", [[-0.3, -0.6], [-0.9, -1.2]]),  # (1 - 4) / 10
        ("LayerCAM", [[1, 0], [0, 0]]),
        ("Eigen-CAM", [[1, 2], [3, 4]]),  # the only direction there is
    ],
)
def test_by_hand(name, expected):
    np.testing.assert_allclose(combine(METHODS[name].weights(A, G), A), expected, atol=1e-6)


def test_a_constant_gradient_makes_three_methods_one(rng):
    """Before global pooling and a dense head: G the same at every place."""
    a = rng.exponential(size=(5, 4, 7)).astype(np.float32)
    g = np.broadcast_to(rng.normal(size=7).astype(np.float32), a.shape)
    for name in ("Grad-CAM", "HiResCAM", "XGrad-CAM"):
        np.testing.assert_allclose(combine(METHODS[name].weights(a, g), a), a @ g[0, 0], rtol=1e-4)


ZERO = np.zeros((3, 4, 5), np.float32)
FLAT = np.ones_like(ZERO)
HALF_DEAD = FLAT * np.float32([0, 1, 0, 2, 0])
NO_SUM = FLAT * np.float32([1, -1, 1, -1])[:, None]
ROUNDING = FLAT * np.float32([0.1, 0.7, -0.8])[:, None, None]
ONE_ROW = FLAT * np.float32([1, 0, 0])[:, None, None]
EDGES = {
    "all zero": (ZERO, ZERO),
    "dead layer": (ZERO, FLAT),
    "no gradient": (FLAT, ZERO),
    "flat": (FLAT, FLAT),
    "all against": (FLAT, -FLAT),
    "dead channels": (HALF_DEAD, FLAT),
    "sums to nothing": (NO_SUM, FLAT),
    "sums to a rounding error": (ROUNDING, ONE_ROW),
    "all negative": (-FLAT, FLAT),
    "tiny": (FLAT * np.float32(1e-25), FLAT * np.float32(1e-12)),
    "huge": (FLAT * np.float32(1e25), FLAT),
    "denominator at zero": (FLAT * np.float32(-2 / 12), FLAT),  # 2 + S p = 0 in equation 19
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", REFEREES)
def test_finite_in_finite_out(name, edge):
    a, g = (array.copy() for array in EDGES[edge])
    a.flags.writeable = g.flags.writeable = False  # pure: what it gets stays as it was
    weights = METHODS[name].weights(a, g)
    assert weights.shape in {a.shape, a.shape[2:]}
    assert weights.dtype == np.float32
    assert np.isfinite(weights).all()
    assert np.isfinite(combine(weights, a)).all()


def test_the_rounding_error_is_one():
    assert (np.abs(ROUNDING.sum(axis=(0, 1))) > 0).all()
    assert (np.abs(ROUNDING.sum(axis=(0, 1))) < 1e-6).all()


@pytest.mark.parametrize(
    ("name", "edge", "expected"),
    [
        ("Grad-CAM++", "all against", 0),
        ("Grad-CAM++", "denominator at zero", 12 / 2),  # as with S = 0
        ("Grad-CAM++", "all negative", 12 / 2),
        ("Grad-CAM++", "dead layer", 12 / 2),  # sum over 12 places of 1 / (2 + 0)
        ("LayerCAM", "all against", 0),
        ("XGrad-CAM", "sums to nothing", 0),
        ("XGrad-CAM", "sums to a rounding error", 0),
        ("XGrad-CAM", "tiny", 1e-12),  # small is not nothing: the mean of a constant G
        ("Eigen-CAM", "all zero", 0),
        ("Eigen-CAM", "flat", 1 / np.sqrt(5)),
        ("Eigen-CAM", "tiny", 1 / np.sqrt(5)),
        ("Eigen-CAM", "huge", 1 / np.sqrt(5)),
        ("Eigen-CAM", "all negative", -1 / np.sqrt(5)),  # the map (-)(-) is positive
    ],
)
def test_weights_at_the_edges(name, edge, expected):
    np.testing.assert_allclose(METHODS[name].weights(*EDGES[edge]), expected, rtol=1e-4)


def test_eigen_cam_asks_for_no_class(rng):
    a, g = rng.normal(size=(2, 4, 4, 6)).astype(np.float32)
    weights = METHODS["Eigen-CAM"].weights
    np.testing.assert_array_equal(weights(a, g), weights(a, -3 * g))
    assert np.linalg.norm(weights(a, g)) == pytest.approx(1, rel=1e-5)


def test_every_row_says_what_it_does():
    for name, method in METHODS.items():
        assert method.line.endswith("."), name
        assert method.paper.startswith("https://"), name
        assert method.cost, name


# A map of two layers


def test_sharper_is_the_coarse_evidence_where_the_fine_layer_speaks():
    """Coarse sums 8 and -6: ReLU (8, 0), over four columns 8, 6, 2, 0 (half-pixel centres).

    Fine: ReLU(G) A = 4 in one row (1, 1/4, 0, 1 of the largest), 1/4 of that in the other.
    """
    a, g = np.float32([[[4, 4], [-3, -3]]]), np.ones((1, 2, 2), np.float32)
    row = np.float32([16, 4, 5, 16])
    fine_a = np.stack([row, row / 4])[:, :, None]
    fine_g = np.float32([[1, 1, -1, 1]] * 2)[:, :, None]
    expected = [[8, 6 / 2, 0, 0], [8 / 2, 6 / 4, 0, 0]]
    np.testing.assert_allclose(methods.sharper([(a, g), (fine_a, fine_g)]), expected, atol=1e-6)


def test_sharper_is_empty_where_either_layer_says_nothing():
    a, g = np.ones((2, 3, 1), np.float32), np.ones((2, 3, 1), np.float32)
    fine = np.ones((4, 7, 1), np.float32)
    assert not methods.sharper([(a, -g), (fine, fine)]).any()
    assert not methods.sharper([(a, g), (fine, -fine)]).any()
    assert methods.sharper([(a, g), (fine, fine)]).shape == (4, 7)


@pytest.mark.parametrize(
    ("grids", "best", "at", "read"),
    [
        ([(9, 8), (5, 4), (5, 4), (3, 2), (3, 2)], 4, 4, (4, 2)),
        ([(9, 8), (5, 4), (5, 4), (3, 2), (3, 2)], 4, 3, ()),  # not the best
        ([(9, 8), (3, 2), (3, 2)], 2, 2, (2, 0)),
        ([(3, 2), (3, 2)], 1, 1, ()),  # no larger one
        ([(3, 8), (3, 2)], 1, 1, ()),  # larger on one side only
    ],
)
def test_what_sharper_reads(grids, best, at, read):
    layers = {str(n): Layer(str(n), (*grid, 2), "Conv2D") for n, grid in enumerate(grids)}
    asked = SimpleNamespace(layers=layers, suggested=tuple(layers), best=str(best))
    assert methods.best_and_next_larger(asked, str(at)) == tuple(map(str, read))


def test_sharper_reads_layers_that_lie_alike():
    """The last one before with a larger grid is cropped: the one before that covers the same."""
    crop = Placement((0.5, 0, 0.25), (0, 0.5, 0.25))
    grids = [(9, 8, None), (5, 4, crop), (3, 2, None)]
    layers = {
        str(n): Layer(str(n), (h, w, 2), "Conv2D", placement=where)
        for n, (h, w, where) in enumerate(grids)
    }
    asked = SimpleNamespace(layers=layers, suggested=tuple(layers), best="2")
    assert methods.best_and_next_larger(asked, "2") == ("2", "0")
