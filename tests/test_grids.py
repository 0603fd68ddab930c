"""A layer that runs several times: one grid out of its runs, as the referee does by hand."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from gradcam_core import models
from gradcam_core.network import Network
from gradcam_core.pipeline import explain
from gradcam_core.placement import UNLIKE
from gradcam_core.types import Run, Target

SHAPE = (12, 18, 3)
K = 2


def encoder(h, w, strides=1):
    layers = [
        keras.Input((h, w, 3)),
        L.Conv2D(K, 3, strides, "same", activation="relu", name="conv"),
        L.GlobalAveragePooling2D(),
    ]
    return keras.Sequential(layers, name="encoder")


def of_views(views, strides=1):
    """The mean of what one encoder says of each view; its own layers, and the head."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    image = keras.Input(SHAPE)
    parts = views(image)
    one = encoder(*parts[0].shape[1:3], strides)
    mean = L.Average()([one(part) for part in parts])
    head = L.Dense(3, bias_initializer="random_normal", name="head")
    return keras.Model(image, head(mean)), one.layers[0], head


def tiles(x):
    return [x[:, i : i + 6, j : j + 6] for j in (12, 0, 6) for i in (0, 6)]


TILES = [slice(6 * j, 6 * j + 6) for j in range(3)]
VIEWS = {  # views, and by hand: which part of the grid each is, and what turns it back
    "tiles": (tiles, [(TILES[i], TILES[j]) for j in (2, 0, 1) for i in (0, 1)], lambda a: a),
    "halves": (lambda x: [x[:, :, 9:], x[:, :, :9]],
               [(slice(None), slice(9, 18)), (slice(None), slice(0, 9))], lambda a: a),
}  # fmt: skip
LOOKS = {  # second looks at all of the picture, and what turns each back
    "left to right": (lambda x: x[:, :, ::-1], lambda a: a[:, ::-1]),
    "upside down": (lambda x: x[:, ::-1], lambda a: a[::-1]),
    "half a turn": (lambda x: x[:, ::-1, ::-1], lambda a: a[::-1, ::-1]),
    "once more": (lambda x: -x, lambda a: a),
}


@pytest.fixture
def x(rng):
    return rng.uniform(-1, 1, SHAPE).astype(np.float32)


def check_numbers(net, model, head, x, name, expected):
    """A as by hand; G as the head says, the same everywhere; and any A can be put in."""
    trace = net.trace(x, Target(1), (name,))
    a, g = trace.activations[name], trace.gradients[name]
    np.testing.assert_allclose(a, expected, atol=1e-5)
    h, w, channels = a.shape
    kernel, bias = (np.asarray(v) for v in head.weights)
    share = channels // K
    np.testing.assert_allclose(g, np.tile(kernel[:, 1], (h, w, share)) / (h * w * share), atol=1e-6)
    score = (a * g).sum() + bias[1]
    assert score == pytest.approx(float(model(x[None])[0, 1]), abs=1e-5)
    other = np.random.default_rng(1).normal(size=(2, *a.shape)).astype(np.float32)
    by_hand = (other * g).sum((1, 2, 3)) + bias[1]
    np.testing.assert_allclose(net.score_from(name, other, trace), by_hand, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", VIEWS)
def test_parts_of_the_picture_are_laid_side_by_side(case, x):
    views, where, back = VIEWS[case]
    model, conv, head = of_views(views)
    net = Network(model, SHAPE)
    layer = net.layers["encoder/conv"]
    assert (net.best, layer.poor, layer.shape) == ("encoder/conv", "", (12, 18, K))
    assert layer.placement is None
    expected = np.empty((12, 18, K), np.float32)
    for part, view in zip(where, views(x[None]), strict=True):
        expected[part] = back(conv(view)[0].numpy())
    check_numbers(net, model, head, x, "encoder/conv", expected)


@pytest.mark.many
@pytest.mark.parametrize("case", LOOKS)
def test_looks_at_one_place_become_channels(case, x):
    look, back = LOOKS[case]
    model, conv, head = of_views(lambda x: [x, look(x)])
    net = Network(model, SHAPE)
    layer = net.layers["encoder/conv"]
    assert (net.best, layer.poor, layer.shape) == ("encoder/conv", "", (12, 18, 2 * K))
    assert layer.placement is None
    looks = conv(x[None])[0].numpy(), back(conv(look(x[None]))[0].numpy())
    check_numbers(net, model, head, x, "encoder/conv", np.concatenate(looks, -1))


@pytest.mark.parametrize("case", list(LOOKS)[:3])
def test_what_is_put_in_goes_back_to_each_run_as_it_ran(case, x):
    """Before a head that weighs each place on its own."""
    look, back = LOOKS[case]
    keras.utils.set_random_seed(5)
    image = keras.Input(SHAPE)
    conv, head = L.Conv2D(K, 3, name="conv"), L.Dense(3, name="head")
    says = [head(L.Flatten()(conv(view))) for view in (image, look(image))]
    net = Network(keras.Model(image, L.Average()(says)), SHAPE)
    assert net.layers["conv"].shape == (10, 16, 2 * K)
    (((first, second),),) = net.layers["conv"].runs
    assert bool(first.mirrored) != bool(second.mirrored), "in the order in which Keras runs them"
    other = np.random.default_rng(1).normal(size=(10, 16, 2 * K)).astype(np.float32)
    parts = other[..., :K], other[..., K:]
    ran = [
        back(part) if run.mirrored else part
        for run, part in zip((first, second), parts, strict=True)
    ]
    by_hand = np.mean([np.asarray(head(one.reshape(1, -1)))[0, 1] for one in ran])
    put_in = net.score_from("conv", other[None], net.trace(x, Target(1), ("conv",)))
    assert put_in[0] == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.slow
def test_turned_parts_of_a_crop(x):
    """The upper half of the middle, and the lower half, turned by a quarter each, once more."""

    def views(x):
        upper, lower = x[:, 2:6, 3:15], x[:, 6:10, 3:15]
        turned = [ops.rot90(part, axes=(1, 2)) for part in (lower, upper)]
        return [part[:, ::way, ::way] for part in turned for way in (1, -1)]

    model, conv, head = of_views(views)
    net = Network(model, SHAPE)
    layer = net.layers["encoder/conv"]
    assert layer.shape == (8, 12, 2 * K)
    np.testing.assert_allclose(
        layer.placement.numbers, (8 / 12, 0, 2 / 12, 0, 12 / 18, 3 / 18), atol=1e-5
    )
    a = [conv(view)[0].numpy() for view in views(x[None])]
    back = [np.rot90(one, k) for one, k in zip(a, (3, 1, 3, 1), strict=True)]
    expected = [np.concatenate(back[n : n + 2], -1) for n in (2, 0)]
    check_numbers(net, model, head, x, "encoder/conv", np.concatenate(expected, 0))


def test_of_runs_one_after_the_other_the_last_counts(x):
    """In each half of the picture a convolution runs twice: what it says first is on the way."""
    keras.utils.set_random_seed(5)
    image = keras.Input(SHAPE)
    again = L.Conv2D(3, 3, padding="same", activation="relu", name="again")
    halves = [again(again(half)) for half in (image[:, :6], image[:, 6:])]
    mean = L.Average()([L.GlobalAveragePooling2D()(half) for half in halves])
    net = Network(keras.Model(image, L.Dense(2)(mean)), SHAPE)
    assert sum(len(runs) for row in net.layers["again"].runs for runs in row) == 2
    a = net.trace(x, None, ("again",)).activations["again"]
    expected = [again(again(half))[0] for half in (x[None, :6], x[None, 6:])]
    np.testing.assert_allclose(a, np.concatenate(expected, 0), atol=1e-5)


def test_a_run_that_leads_nowhere_is_left_out(x):
    """A shared activation that runs once more, on numbers without a place."""
    image = keras.Input(SHAPE)
    relu = L.ReLU(name="relu")
    a = relu(L.Conv2D(4, 3, name="conv")(image))
    rest = relu(L.Dense(5)(L.GlobalAveragePooling2D()(a)))
    net = Network(keras.Model(image, L.Dense(2)(rest)), SHAPE)
    assert net.best == "relu"
    assert net.layers["relu"].runs == (((Run(0, False, ()),),),)
    model = keras.Model(image, a)
    trace = net.trace(x)
    np.testing.assert_allclose(trace.activations["relu"], model(x[None])[0], atol=1e-5)
    again = net.score_from("relu", trace.activations["relu"][None], trace)
    assert again[0] == pytest.approx(trace.logits[trace.target.index], abs=1e-5)


def test_runs_on_grids_of_different_sizes_are_told(x):
    image = keras.Input(SHAPE)
    relu = L.ReLU(name="relu")
    ways = [relu(L.Conv2D(4, 3, strides, "same")(image)) for strides in (1, 2)]
    mean = L.Concatenate()([L.GlobalAveragePooling2D()(way) for way in ways])
    net = Network(keras.Model(image, L.Dense(2)(mean)), SHAPE)
    layer = net.layers["relu"]
    assert layer.poor == UNLIKE
    assert net.trace(x, None, ("relu",)).activations["relu"].shape == layer.shape


def test_the_heat_lies_on_the_spot_that_one_of_the_tiles_sees():
    """All evidence is in rows 1 to 3, columns 14 to 16."""
    model, conv, head = of_views(tiles)
    conv.set_weights([np.ones((3, 3, 3, K)), np.zeros(K)])
    head.set_weights([np.array([[1, -1, 0]] * K), np.zeros(3)])
    x = np.zeros(SHAPE, np.uint8)
    x[1:4, 14:17] = 255
    seen = explain(x, models.from_keras(model, preprocess="scale01"), target=0)
    heat = seen.heatmaps["Grad-CAM"]
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 15)
    assert heat[:6, 12:].sum() == pytest.approx(heat.sum())
