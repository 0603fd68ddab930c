"""The methods that ask many times, against their equations: by hand, or in loops over the model."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers as L

from gradcam_core import asking, explain, heatmap, hide, lookup, pipeline
from gradcam_core.methods import METHODS, grad_cam
from gradcam_core.network import Network
from gradcam_core.types import ModelSpec, Stopped, Target, UserError

SHAPE = (5, 7, 3)  # rows, columns, colours
ASKING = [name for name, row in METHODS.items() if row.ask]


def done(generator):
    return pipeline.finished(generator)


# ---- a score of which everything is known by hand ------------------------------------------------

DENSE = np.array([[3, -5]], np.float32)


@pytest.fixture(scope="module")
def curved():
    """y_c = DENSE_c times the mean over all places of v^2, plus a bias; v = 2 red - blue."""
    x = keras.Input(SHAPE)
    v = L.Conv2D(1, 1, use_bias=False, name="v")(x)
    y = L.Dense(2)(L.GlobalAveragePooling2D()(L.Multiply(name="squares")([v, v])))
    model = keras.Model(x, y)
    model.set_weights([np.float32([[[[2], [0], [-1]]]]), DENSE, np.float32([0.5, 0])])
    return Network(model, SHAPE, ("squares",))


def squares(x):
    return (2 * x[..., 0] - x[..., 2]) ** 2


def test_gradient_times_input_by_hand(curved, rng):
    """d y_1 / d x = -5 (2 v) (2, 0, -1) / 35, so x times it adds up to -10 v^2 / 35 at a place."""
    x = rng.normal(size=SHAPE).astype(np.float32)
    trace = curved.trace(x, Target(1))
    found = done(asking.gradient_times_input(curved, trace, None))
    np.testing.assert_allclose(found, -10 * squares(x) / 35, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 9])
def test_integrated_gradients_by_hand(curved, rng, steps):
    """On the way to x the gradient grows from nothing in proportion: its mean is half of the last.

    In the middle of each step it is exact however few there are. Rather than class 1: 3 - (-5).
    """
    x = rng.normal(size=SHAPE).astype(np.float32)
    trace = curved.trace(x, Target(0, rival=1))
    found = done(asking.integrated_gradients(curved, trace, None, steps))
    np.testing.assert_allclose(found, 8 * squares(x) / 35, atol=1e-5)


def test_smooth_grad_has_the_mean_and_the_spread_of_its_noise(curved):
    """|gradient| adds up to 5 (2 |v + e|) 3 / 35, e the mean over 50 copies of 2 noise - noise'.

    With noise of 15 % of the range s: e has mean 0 and standard deviation .15 s sqrt(5 / 50). v is
    so large that no sign turns.
    """
    x = np.full(SHAPE, 20, np.float32)
    x[0, 0] = 0, 0, 20
    x[1, 2, 0] = 25  # the range is 25
    trace = curved.trace(x, Target(1))
    seeds = 60
    found = np.array([done(asking.smooth_grad(curved, trace, None, seed)) for seed in range(seeds)])
    v, spread = np.abs(2 * x[..., 0] - x[..., 2]), 0.15 * 25 * np.sqrt(5 / 50)
    np.testing.assert_allclose(
        found.mean(axis=0), 30 / 35 * v, atol=4 * 30 / 35 * spread / np.sqrt(seeds)
    )
    assert found.std(axis=0).mean() == pytest.approx(30 / 35 * spread, rel=0.05)
    assert (found[0] == done(asking.smooth_grad(curved, trace, None))).all(), "one seed, one map"


# ---- a small network, and loops over it ----------------------------------------------------------


def branched():
    """11x14 pictures, of which 9x11 pixels are seen. "seen" (4, 5, 4) is read by what follows; what
    went before goes round it.

    The last of its channels is dead; "best" is what is pooled.
    """
    keras.utils.set_random_seed(3)
    bent = {"activation": "relu", "bias_initializer": keras.initializers.RandomNormal(0, 0.3)}
    x = keras.Input((11, 14, 3))
    before = L.Conv2D(4, 2, name="before", **bent)(L.Cropping2D(((2, 0), (0, 3)))(x))
    seen = L.Conv2D(4, 2, strides=2, name="seen", **bent)(before)
    after = L.Conv2D(5, 3, padding="same", name="after")(seen)
    round_it = L.MaxPooling2D(2)(L.Conv2D(5, 1, name="aside")(before))
    best = L.ReLU(name="best")(L.Add(name="both")([after, round_it]))
    model = keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(best)))
    kernel, bias = model.get_layer("seen").get_weights()
    bias[-1] = -100
    model.get_layer("seen").set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def net():
    return Network(branched(), (11, 14, 3), ("seen", "best"))


@pytest.fixture(scope="module")
def spec():
    def prepared(rgb):
        return (rgb - 127) / 128

    labels = ("cat", "dog", "lion")
    return ModelSpec("Branched", lambda _: branched(), prepared, 14, labels, shape=(11, 14, 3))


@pytest.fixture
def x(rng):
    return rng.normal(size=(11, 14, 3)).astype(np.float32)


def f(model, x, index=2):
    return float(np.asarray(model(x[None], training=False))[0, index])


def test_the_pixels_add_up_to_what_the_score_gains(net, x):
    """To a thousandth with enough steps, and not with one."""
    trace = net.trace(x, Target(2))
    due = f(net.model, x) - f(net.model, np.zeros_like(x))
    gaps = [
        abs(done(asking.integrated_gradients(net, trace, None, steps)).sum() / due - 1)
        for steps in (1, 1000)
    ]
    assert gaps[1] < 1e-3 < 10 * 1e-3 < gaps[0]


def test_the_gap_is_told_in_a_sentence(spec, sentence, rng):
    found = explain(rng.integers(0, 256, (18, 22, 3), np.uint8), spec, target=2,
                    methods="Integrated gradients")  # fmt: skip
    said = sentence(found.remarks[-1])
    model, inputs = lookup.network(spec).model, found.survey.trace.inputs
    due = f(model, inputs) - f(model, np.zeros_like(inputs))
    assert f"add up to {found.maps['Integrated gradients'].sum():.3g}" in said
    assert f"goes up by {due:.3g}" in said


@pytest.mark.parametrize(("method", "cells"), [("Occlusion", (7, 7)), ("Fine occlusion", (11, 14))])
def test_occlusion_is_covering_by_hand(spec, rng, method, cells):
    """The picture itself is covered, pixel by pixel, then prepared; 11x14 pixels have no 14x14."""
    picture = rng.integers(0, 256, (11, 14, 3), np.uint8)
    found = explain(picture, spec, target="lion", methods=method).maps[method]
    assert found.shape == cells
    model, seen = lookup.network(spec).model, picture.astype(np.float32)
    paint = hide.blurred(seen)
    for i, j in [(0, 0), (2, 5), (cells[0] - 1, cells[1] - 1), (4, 3)]:
        covered = seen.copy()
        for row, column in np.ndindex(11, 14):
            if (row + 0.5) / 11 * cells[0] // 1 == i and (column + 0.5) / 14 * cells[1] // 1 == j:
                covered[row, column] = paint[row, column]
        drop = f(model, spec.preprocess(seen)) - f(model, spec.preprocess(covered))
        assert found[i, j] == pytest.approx(drop, abs=1e-5)


@pytest.mark.parametrize("whole", [False, True], ids=["placed", "over all"])
def test_score_cam_in_a_loop(net, x, whole, monkeypatch):
    """Each channel, scaled up to the picture and from 0 to 1, lights the picture."""
    trace = net.trace(x, Target(2), ("seen",))
    assert net.layers["seen"].placement, "its grid does not cover all of the picture"
    if whole:
        placed = {**net.layers, "seen": replace(net.layers["seen"], placement=None)}
        monkeypatch.setattr(net, "layers", placed)
    a, placement = trace.activations["seen"], net.layers["seen"].placement
    expected = np.zeros(a.shape[:2])
    for k in range(a.shape[2]):
        up = heatmap.project(a[:, :, k], (11, 14), placement)
        mask = np.zeros_like(up)
        if up.max() > 0:
            inside = heatmap.project(np.ones_like(a[:, :, k]), (11, 14), placement) > 0
            low = up.min() if whole else a[:, :, k].min()  # beside the grid nothing is lit
            mask[inside] = (up[inside] - low) / (up.max() - low)
        alpha = f(net.model, x * mask[:, :, None]) - f(net.model, np.zeros_like(x))
        expected += alpha * a[:, :, k]
    found = done(asking.score_cam(net, trace, "seen"))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not a[:, :, -1].any(), "one is dead"


def test_ablation_through_the_tail_is_zeroing_in_the_whole_network(net, x):
    trace = net.trace(x, Target(2), ("seen",))
    a, expected = trace.activations["seen"], np.zeros((4, 5))
    for k in range(a.shape[2]):
        without = branched()
        kernel, bias = without.get_layer("seen").get_weights()
        kernel[..., k], bias[k] = 0, 0
        without.get_layer("seen").set_weights([kernel, bias])
        expected += (f(net.model, x) - f(without, x)) * a[:, :, k]
    found = done(asking.ablation_cam(net, trace, "seen"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_before_pooling_and_a_dense_layer_ablation_is_grad_cam_times_the_sums(net, x):
    """f loses w_k mean(A_k), and Grad-CAM's weight is w_k / (h w): the one is the other times the
    sum of A_k. So the two maps are one up to scale where the sums are equal, and only there.
    """
    trace = net.trace(x, Target(2), ("best",))
    a, g = trace.activations["best"], trace.gradients["best"]
    sums = a.sum(axis=(0, 1))
    expected = (grad_cam(a, g) * sums * a).sum(axis=-1)
    found = done(asking.ablation_cam(net, trace, "best"))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = (grad_cam(a, g) * a).sum(axis=-1)
    assert np.corrcoef(found.ravel(), plain.ravel())[0, 1] < 0.999
    even = (a / np.where(sums > 0, sums, 1)).astype(np.float32)
    answers = SimpleNamespace(score_from=net.score_from)
    same = SimpleNamespace(activations={"best": even}, inputs=x, target=Target(2))
    found = done(asking.ablation_cam(answers, same, "best"))
    plain = (grad_cam(even, g) * even).sum(axis=-1)
    np.testing.assert_allclose(found / np.abs(found).max(), plain / np.abs(plain).max(), atol=1e-4)


# ---- what they cost, and how they end ------------------------------------------------------------


class Counted:
    """A network that counts the pictures, or activations, that it is asked about."""

    def __init__(self, asked):
        self._asked, self.asked_about = asked, []

    def __getattr__(self, name):
        return getattr(self._asked, name)

    def score(self, pictures, target):
        self.asked_about.append(len(pictures))
        return self._asked.score(pictures, target)

    def picture_gradient(self, pictures, target):
        self.asked_about.append(len(pictures))
        return self._asked.picture_gradient(pictures, target)

    def score_from(self, layer, activations, trace):
        self.asked_about.append(len(activations))
        return self._asked.score_from(layer, activations, trace)


@pytest.mark.parametrize("method", ASKING)
def test_each_takes_the_passes_that_it_says(net, x, method):
    """But for one of nothing, or of all; a few at a time, and each time one hears how far it is."""
    counted, told = Counted(net), []
    trace = net.trace(x, Target(2), ("seen",))
    signed = pipeline.ask(counted, trace, method, "seen", told.append)
    said = METHODS[method].passes(net, "seen")
    assert sum(counted.asked_about) - said in (0, 1)
    assert max(counted.asked_about) <= asking.TOGETHER
    assert len(told) == -(-said // asking.TOGETHER)
    assert told == sorted(told)
    assert told[-1] == 1
    assert (signed.shape == net.layers["seen"].shape[:2]) == (not METHODS[method].of_picture)
    assert signed.dtype == np.float32


@pytest.mark.parametrize("method", ASKING)
def test_one_that_is_stopped_costs_nothing_more(net, x, method):
    counted = Counted(net)

    def enough(_part):
        raise Stopped

    trace = net.trace(x, Target(2), ("seen",))
    with pytest.raises(Stopped):
        pipeline.ask(counted, trace, method, "seen", enough)
    assert len(counted.asked_about) == 1


@pytest.mark.parametrize("method", ASKING)
def test_no_number_becomes_a_sentence(net, x, method, sentence):
    class Broken(Counted):
        def score(self, pictures, target):
            return np.full(len(pictures), np.nan, np.float32)

        def picture_gradient(self, pictures, target):
            return np.full(pictures.shape, np.inf, np.float32)

        def score_from(self, layer, activations, trace):
            return np.full(len(activations), np.nan, np.float32)

    trace = net.trace(x, Target(2), ("seen",))
    with pytest.raises(UserError, match=method) as error:
        pipeline.ask(Broken(net), trace, method, "seen")
    sentence(error.value)
