"""What answers a question, beyond one pass: scores, gradients of pictures, shuffled weights; and
the methods that ask for them. A network of which every number can be worked out by hand."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers as L

from gradcam_core import blas, explain, lookup, pipeline, survey
from gradcam_core.methods import METHODS, one_pass
from gradcam_core.network import Network
from gradcam_core.types import Fusion, Method, ModelSpec, Shuffled, Stopped, Target, UserError

SHAPE = (4, 6, 3)  # rows, columns, channels; the layer "small" has 2x3 cells
KERNEL = np.array([[[[2], [0], [-1]]]], np.float32)  # one channel: 2 red - blue
DENSE = np.array([[3, -5]], np.float32)


def by_hand(x):
    """The answer to pictures (B, 4, 6, 3): a mean over all places of 2 red - blue, times DENSE."""
    return (2 * x[..., 0] - x[..., 2]).mean(axis=(1, 2))[:, None] * DENSE + [0.5, 0]


def model():
    layers = [
        keras.Input(SHAPE),
        L.Conv2D(1, 1, use_bias=False, name="large"),
        L.AveragePooling2D(2, name="pool"),
        L.Conv2D(1, 1, use_bias=False, name="small"),
        L.GlobalAveragePooling2D(),
        L.Dense(2),
    ]
    made = keras.Sequential(layers)
    made.set_weights([KERNEL, np.ones((1, 1, 1, 1)), DENSE, np.array([0.5, 0])])
    return made


@pytest.fixture(scope="module")
def net():
    return Network(model(), SHAPE, ("small", "large"))


@pytest.fixture(scope="module")
def spec():
    return ModelSpec("By hand", lambda _: model(), lambda rgb: rgb, 6, ("up", "down"), shape=SHAPE)


@pytest.fixture
def xs(rng):
    return rng.normal(size=(5, *SHAPE)).astype(np.float32)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (15, 21, 3), np.uint8)


# A network that is asked


def test_scores_of_pictures(net, xs):
    np.testing.assert_allclose(net.score(xs, Target(1)), by_hand(xs)[:, 1], atol=1e-5)
    difference = by_hand(xs)[:, 0] - by_hand(xs)[:, 1]
    np.testing.assert_allclose(net.score(xs, Target(0, rival=1)), difference, atol=1e-5)
    p = 1 / (1 + np.exp(-difference))
    np.testing.assert_allclose(net.score(xs, Target(0, probability=True)), p, atol=1e-5)


def test_scores_from_activations(net, xs):
    trace = net.trace(xs[0], Target(1), ("small",))
    a = np.arange(12, dtype=np.float32).reshape(2, 2, 3, 1)
    found = net.score_from("small", a, trace)
    np.testing.assert_allclose(found, [-5 * 2.5, -5 * 8.5], atol=1e-5)


def test_the_gradient_of_each_picture_is_its_own(net, xs):
    """d y_1 / d x is -5 (2, 0, -1) / 24 at every place, and of p_1 that times p_1 (1 - p_1) 8/5."""
    plain = np.broadcast_to(np.float32([2, 0, -1]) / 24, xs.shape)
    np.testing.assert_allclose(net.picture_gradient(xs, Target(1)), -5 * plain, atol=1e-6)
    y = by_hand(xs)
    p = 1 / (1 + np.exp(y[:, 0] - y[:, 1]))
    slope = (-5 - 3) * (p * (1 - p))[:, None, None, None] * plain
    found = net.picture_gradient(xs, Target(1, probability=True))
    np.testing.assert_allclose(found, slope, atol=1e-6)


def four_layers():
    """Weights in three of them, one inside another model, in an order other than they run."""
    inner = keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3, name="first")], name="inner")
    last, x = L.Dense(3, name="last"), keras.Input(SHAPE)
    y = L.BatchNormalization(name="norm")(L.ReLU()(inner(x)))
    made = keras.Model(x, last(L.GlobalAveragePooling2D()(y)))
    for n, weight in enumerate(made.weights):  # all different, variances above zero
        weight.assign(np.arange(1, 1 + np.prod(weight.shape)).reshape(weight.shape) / 50 + n)
    return made


@pytest.mark.parametrize(
    ("share", "lost"), [(0, ["last"]), (2 / 3, ["norm", "last"]), (1, ["first", "norm", "last"])]
)
def test_the_last_layers_forget(xs, share, lost):
    made = four_layers()
    net, before = Network(made, SHAPE), [w.numpy() for w in made.weights]
    learned = net.trace(xs[0], Target(2), ("inner/first",))
    found = net._forgetful(Shuffled(share, 1))
    for weight, numbers, own in zip(made.weights, found._numbers, before, strict=True):
        np.testing.assert_array_equal(np.sort(numbers, None), np.sort(own, None))
        changed = not np.array_equal(numbers, own)
        assert changed == (weight.path.split("/")[-2] in lost), weight.path
    referee = four_layers()
    referee.set_weights([np.asarray(numbers) for numbers in found._numbers])
    trace = net.trace(xs[0], Target(2), ("inner/first",), Shuffled(share, 1))
    np.testing.assert_allclose(trace.logits, referee(xs[:1])[0], rtol=1e-5)
    gradient = net.guided_backprop(xs[0], Target(2), Shuffled(share, 1))
    by_referee = Network(referee, SHAPE).guided_backprop(xs[0], Target(2))
    np.testing.assert_allclose(gradient, by_referee, atol=1e-6)
    assert all((w.numpy() == own).all() for w, own in zip(made.weights, before, strict=True))
    np.testing.assert_array_equal(net.trace(xs[0], Target(2)).logits, learned.logits)


def test_one_seed_one_order(xs):
    """What a layer forgets is the same however much else is forgotten; another seed is another."""
    net = Network(four_layers(), SHAPE)

    def logits(how):
        return net.trace(xs[0], Target(0), (), how).logits

    half, all_of_it = (net._forgetful(Shuffled(share)) for share in (0, 1))
    np.testing.assert_array_equal(half._numbers[-2], all_of_it._numbers[-2])
    np.testing.assert_array_equal(logits(Shuffled(1, 4)), logits(Shuffled(1, 4)))
    assert np.abs(logits(Shuffled(1, 4)) - logits(Shuffled(1, 5))).max() > 1e-3


def test_others_meanwhile_see_what_was_learned(xs):
    net = Network(four_layers(), SHAPE)
    learned = net.trace(xs[0], Target(1)).logits
    shuffled = net.trace(xs[0], Target(1), (), Shuffled(1)).logits
    assert np.abs(shuffled - learned).max() > 1e-3
    with ThreadPoolExecutor(4) as threads:
        hows = [None, Shuffled(1)] * 20
        made = list(threads.map(lambda how: net.trace(xs[0], Target(1), (), how).logits, hows))
    for how, logits in zip(hows, made, strict=True):
        np.testing.assert_array_equal(logits, shuffled if how else learned)


def test_a_trace_travels(net, xs):
    trace = net.trace(xs[0], Target(1), ("small", "large"))
    here = pickle.loads(pickle.dumps(trace))
    a = trace.activations["small"][None]
    assert (net.score_from("small", a, here) == net.score_from("small", a, trace)).all()
    assert list(here.gradients) == ["small", "large"]


# Methods that need more than one layer of one pass


def occlude(asked, trace, layer):
    """What the score loses with each column of the picture at zero, as a map of one row."""
    drops = []
    for column in range(asked.shape[1]):
        hidden = trace.inputs.copy()
        hidden[:, column] = 0
        both = np.stack([trace.inputs, hidden])
        before, after = asked.score(both, trace.target)
        drops.append(before - after)
        yield (column + 1) / asked.shape[1]
    assert layer is None
    return np.float32([drops])


def switch_off(asked, trace, layer):
    """What the score loses with each channel at zero, spread by that channel's map."""
    a = trace.activations[layer]
    yield 0.5
    (rest,) = asked.score_from(layer, np.zeros_like(a)[None], trace)
    (all_of_it,) = asked.score_from(layer, a[None], trace)
    return (all_of_it - rest) * a[:, :, 0]


def partner(asked, layer):
    return ("small", "large") if layer == "small" and "large" in asked.layers else ()


def fuse(pairs):
    (a, _), (b, _) = pairs
    return np.repeat(np.repeat(a[:, :, 0], 2, 0), 2, 1) + 10 * b[:, :, 0]


@pytest.fixture
def rows(monkeypatch):
    """A tiny method of each kind."""
    about = "A line.", "https://example.org", "as it likes"
    new = {
        "Of columns": Method(None, *about, ask=occlude, of_picture=True),
        "Of channels": Method(None, *about, ask=switch_off),
        "Of two layers": Method(None, *about, fusion=Fusion(partner, fuse)),
    }
    for name, row in new.items():
        monkeypatch.setitem(METHODS, name, row)
    return new


def test_one_pass_answers_what_does_not_ask(rows):
    assert set(rows) - set(one_pass()) == {"Of columns", "Of channels"}
    assert set(one_pass()) == {name for name, row in METHODS.items() if not row.ask}


def test_a_method_of_the_picture(rows, spec, image):
    """The columns' shares of the score: 2 red - blue there, times the class's weight, over 24."""
    told = []
    found = explain(image, spec, "large", 1, "Of columns", progress=told.append)
    x = found.survey.trace.inputs
    np.testing.assert_allclose(
        found.maps["Of columns"], [-5 * (2 * x[..., 0] - x[..., 2]).sum(axis=0) / 24], rtol=1e-3
    )
    assert found.heatmaps["Of columns"].shape == (15, 21)
    assert told == [n / 6 for n in range(1, 7)]


def test_a_method_of_a_layer_beside_one_of_one_pass(rows, spec, image):
    found = explain(image, spec, "small", "up", ("Of channels", "Grad-CAM"))
    a = found.survey.trace.activations["small"][:, :, 0]
    np.testing.assert_allclose(found.maps["Of channels"], 3 * a.mean() * a, rtol=1e-4)
    np.testing.assert_allclose(found.maps["Grad-CAM"], 3 / 6 * a, rtol=1e-4)


def test_a_method_of_several_layers_has_a_map_where_it_can(rows, spec, image):
    seen = survey(image, spec)
    assert ("small", "Of two layers") in seen.maps
    assert ("large", "Of two layers") not in seen.maps
    a, b = (seen.trace.activations[n][:, :, 0] for n in ("small", "large"))
    for (i, j), value in np.ndenumerate(seen.maps["small", "Of two layers"]):
        assert value == pytest.approx(a[i // 2, j // 2] + 10 * b[i, j], rel=1e-4)


def test_what_a_method_reads_is_traced_with_what_was_asked_for(rows, spec, image):
    found = explain(image, spec, "small", methods="Of two layers")
    assert found.maps["Of two layers"].shape == (4, 6)
    assert found.layer == "small"


def test_where_a_method_has_no_map_one_is_told(rows, spec, image, sentence):
    with pytest.raises(UserError, match="Of two layers cannot be made at the layer large") as error:
        explain(image, spec, "large", methods="Of two layers")
    sentence(error.value)


def test_a_survey_does_not_ask_many_times(rows, spec, image, sentence):
    with pytest.raises(UserError, match="many passes") as error:
        survey(image, spec, methods=("Grad-CAM", "Of columns"))
    sentence(error.value)
    assert not {m for _, m in survey(image, spec).maps} & {"Of columns", "Of channels"}


def test_whoever_asked_can_stop(rows, spec, image, monkeypatch):
    asked, passes = lookup.network(spec), []
    real = asked.score
    monkeypatch.setattr(asked, "score", lambda *given: passes.append(1) or real(*given))

    def enough(part):
        if part > 0.4:
            raise Stopped

    with pytest.raises(Stopped):
        explain(image, spec, target=0, methods="Of columns", progress=enough)
    assert len(passes) == 3


def test_every_layer_is_looked_up_once(rows, spec, image, monkeypatch):
    looked_up = []
    real = lookup.layer_of
    monkeypatch.setattr(lookup, "layer_of", lambda *given: looked_up.append(1) or real(*given))
    explain(image, spec, "small", methods=("Grad-CAM", "Of channels"))
    assert len(looked_up) == 1


# NumPy's threads


def threads():
    return {library["num_threads"] for library in blas._linear_algebra().info()}


def test_linear_algebra_has_one_thread_until_the_last_leaves():
    with blas._linear_algebra().limit(limits=2):
        with blas.one_thread():
            assert threads() == {1}
            with pytest.raises(ZeroDivisionError), blas.one_thread():
                raise ZeroDivisionError
            assert threads() == {1}
        assert threads() == {2}


def test_threads_that_come_and_go_leave_it_as_it_was():
    first, second = blas.one_thread(), blas.one_thread()
    with blas._linear_algebra().limit(limits=2):
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}


def test_maps_are_made_with_one_thread(rows, spec, image, monkeypatch):
    seen = []

    def weights(a, g):
        seen.append(threads())
        return g

    monkeypatch.setitem(METHODS, "watched", Method(weights, "", "", ""))
    pipeline.survey(image, spec, methods=("watched",), layers=("small",))
    assert seen == [{1}]
