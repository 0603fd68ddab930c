"""The steps of Grad-CAM: small sums by hand, a submodel as referee on the default network."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import gradio
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from numpy.typing import ArrayLike

from gradcam_core import heatmap, lookup, models, steps
from gradcam_core.image import fit, read_rgb
from gradcam_core.methods import grad_cam
from gradcam_core.network import Network
from gradcam_core.types import F32, Target, Trace, UserError

PHOTO = Path(gradio.__file__).parent / "media_assets" / "images" / "cheetah1.jpg"
CHEETAH = Target(293)
EARLIER = "block5c_add"  # 14 x 14 x 112, with ReLUs after it
LAST = "top_activation"  # 7 x 7 x 1280, only a mean and a dense layer after it


def f32(numbers: ArrayLike) -> F32:
    return np.asarray(numbers, np.float32)


def random(*shape: int) -> F32:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def channels(*grids: ArrayLike) -> F32:
    """K grids (h, w) -> A (h, w, K)."""
    return np.stack([f32(grid) for grid in grids], axis=-1)


@pytest.fixture(scope="module")
def net() -> Network:
    return lookup.network()


@pytest.fixture(scope="module")
def cheetah() -> F32:
    """(N, N, 3), as the network takes it."""
    spec = models.find(models.DEFAULT)
    return spec.preprocess(fit(read_rgb(PHOTO), (spec.size, spec.size)))


@pytest.fixture(scope="module")
def trace(net: Network, cheetah: F32) -> Trace:
    return net.trace(cheetah, CHEETAH, (EARLIER, LAST))


def tail(net: Network, layer: str, a: F32) -> F32:
    """The referee: scores (B,) of activations (B, h, w, K), by a model cut out with Keras alone."""
    rest = keras.Model(net.model.get_layer(layer).output, net.model.output)
    return cast(F32, rest(a, training=False).numpy()[:, CHEETAH.index])


# Small sums


def test_order() -> None:
    a = channels([[1, 1]], [[-9, -1]], [[1, 3]], [[0, 0]])
    alpha = f32([3, 1, -2, 7])  # |alpha| * mean |A|: 3, 5, 4, 0
    assert steps.order(a, alpha).tolist() == [1, 2, 0, 3]


def test_order_counts_a_channel_that_is_as_much_above_zero_as_below() -> None:
    a = channels([[5, -5]], [[1, 1]], [[-2, -2]])
    assert steps.order(a, f32([1, 1, 1])).tolist() == [0, 2, 1]


def test_order_leaves_equal_channels_as_they_are() -> None:
    assert steps.order(np.ones((2, 2, 50), np.float32), np.ones(50, np.float32)).tolist() == [
        *range(50)
    ]


def test_pooling() -> None:
    assert steps.pooling(f32([[1, 2, 3], [4, 5, -9]])) == (6.0, 6, 1.0)


def test_pooling_is_grad_cams_weight(trace: Trace) -> None:
    g = trace.gradients[EARLIER]
    means = [steps.pooling(g[:, :, k]).mean for k in range(g.shape[-1])]
    assert_allclose(means, grad_cam(trace.activations[EARLIER], g), rtol=1e-4, atol=1e-9)


def test_terms() -> None:
    found = steps.terms(channels([[1, 2]], [[3, 4]]), f32([10, -1]))
    assert found.tolist() == [[[10, 20]], [[-3, -4]]]


def test_build_up_by_hand() -> None:
    a = channels([[1, 0], [0, 0]], [[2, 2], [2, 2]], [[0, 0], [0, 3]])
    maps, share, correlation = steps.build_up(a, f32([4, 1, -2]), np.array([2, 1, 0]))
    assert maps.tolist() == [[[0, 0], [0, -6]], [[2, 2], [2, -4]], [[6, 2], [2, -4]]]
    assert_allclose(share, [6 / 18, 14 / 18, 1])
    # the whole less its mean 1.5: 4.5, .5, .5, -5.5; the first two maps: 1.5, 1.5, 1.5, -4.5
    assert_allclose(correlation, [33 / np.sqrt(27 * 51), 33 / np.sqrt(27 * 51), 1], rtol=1e-6)


@pytest.mark.parametrize("layer", [EARLIER, LAST])
def test_all_channels_added_are_the_map(trace: Trace, layer: str) -> None:
    a = trace.activations[layer]
    alpha = grad_cam(a, trace.gradients[layer])
    built = steps.build_up(a, alpha, steps.order(a, alpha))
    whole = heatmap.combine(alpha, a)
    assert built.maps.shape == (a.shape[2], *a.shape[:2])
    assert_allclose(built.maps[-1], whole, atol=1e-5 * np.abs(whole).max())
    assert (np.diff(built.share) >= 0).all()
    assert built.share[-1] == pytest.approx(1)
    assert built.correlation[-1] == pytest.approx(1)
    half = len(alpha) // 2
    expected = np.corrcoef(built.maps[half].ravel(), whole.ravel())[0, 1]
    assert built.correlation[half] == pytest.approx(expected, abs=1e-5)


def test_build_up_of_2048_channels() -> None:
    a, alpha = random(14, 14, 2048), random(2048)
    built = steps.build_up(a, alpha, steps.order(a, alpha))
    whole = a.astype(np.float64) @ alpha
    assert_allclose(built.maps[-1], whole, atol=1e-5 * np.abs(whole).max())
    assert built.maps.dtype == built.share.dtype == built.correlation.dtype == np.float32


@pytest.mark.parametrize("value", [0, 0.1])
def test_flat_channels_correlate_with_nothing(value: float) -> None:
    a = np.full((7, 7, 5), value, np.float32)
    built = steps.build_up(a, f32([1, 2, 3, -4, 5]), np.arange(5))
    assert built.correlation.tolist() == [0] * 5
    assert built.share[-1] == pytest.approx(1 if value else 0)


def test_cell_by_hand() -> None:
    a = random(2, 2, 5)
    a[1, 0] = [1, 2, 3, 4, 5]
    found = steps.cell(a, f32([2, -4, 1, 0, 1]), 1, 0, top=2)  # 2, -8, 3, 0, 5
    assert found.channels.tolist() == [1, 4]
    assert found.values.tolist() == [-8, 5]
    assert (found.rest, found.total) == (5, 2)


def test_cell_with_fewer_channels_than_asked_for() -> None:
    found = steps.cell(channels([[3]], [[1]]), f32([1, -1]), 0, 0)
    assert found.channels.tolist() == [0, 1]
    assert (found.rest, found.total) == (0, 2)


def test_every_cell_adds_up_to_the_map(trace: Trace) -> None:
    a = trace.activations[LAST]
    alpha = grad_cam(a, trace.gradients[LAST])
    whole = heatmap.combine(alpha, a)
    for (i, j), value in np.ndenumerate(whole):
        found = steps.cell(a, alpha, i, j)
        assert found.total == pytest.approx(value, abs=1e-5)
        assert found.values.sum() + found.rest == pytest.approx(found.total, abs=1e-6)


def test_the_cells_of_the_last_layer_add_up_with_the_bias_of_the_class(
    net: Network, trace: Trace
) -> None:
    bias = net.model.get_layer("logits").get_weights()[1][CHEETAH.index]
    start = steps.head_start(net, trace, LAST)
    assert start == pytest.approx(bias, abs=1e-5)
    a = trace.activations[LAST]
    cells = heatmap.combine(grad_cam(a, trace.gradients[LAST]), a)
    assert start + cells.sum() == pytest.approx(trace.logits[CHEETAH.index], abs=1e-3)


def test_of_a_comparison_the_head_start_is_the_difference_of_two_biases(
    net: Network, cheetah: F32
) -> None:
    bias = net.model.get_layer("logits").get_weights()[1]
    trace = net.trace(cheetah, Target(293, rival=291), (LAST,))
    assert steps.head_start(net, trace, LAST) == pytest.approx(bias[293] - bias[291], abs=1e-5)


def test_elsewhere_the_cells_do_not_add_up(net: Network, trace: Trace) -> None:
    assert steps.head_start(net, trace, EARLIER) is None


@pytest.mark.parametrize(("power", "adds_up"), [(1, True), (2, False)])
def test_what_adds_up_by_luck_does_not_add_up(power: int, adds_up: bool) -> None:
    """y = s or y = s^2, s the sum of A = 1: with a map that adds up to 1 both ends are right."""
    a = np.full((1, 2, 1), 0.5, np.float32)
    trace = Trace(a, a, a, Target(0), {"x": a}, {"x": np.ones_like(a)})

    class Tail:
        def score_from(self, _layer: str, batch: F32, _trace: Trace) -> F32:
            s = batch.sum(axis=(1, 2, 3))
            return f32(s if power == 1 else s**2)

    found = steps.head_start(Tail(), trace, "x")  # type: ignore[arg-type]
    assert found == (0 if adds_up else None)


def test_guided_grad_cam() -> None:
    guided = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    found = steps.guided_grad_cam(guided, f32([[0.0, 1.0], [0.5, 0.0]]))
    assert found.tolist() == [[[0, 0, 0], [3, 4, 5]], [[3, 3.5, 4], [0, 0, 0]]]


# The network's tail, really run


def test_a_small_nudge_keeps_the_gradients_promise_and_a_large_one_breaks_it(
    net: Network, trace: Trace
) -> None:
    """At this cell a step of 50 (the number there is 7.5) gives half of what was promised."""
    found = steps.nudge(net, trace, EARLIER, (5, 9), 102, [-0.1, 0.1, 50])
    assert_allclose(found.predicted, trace.gradients[EARLIER][5, 9, 102] * f32([-0.1, 0.1, 50]))
    assert_allclose(found.true[:2], found.predicted[:2], rtol=0.03)
    assert abs(found.true[2] - found.predicted[2]) > 0.3 * abs(found.predicted[2])


def test_a_nudge_is_what_the_cut_out_tail_says(net: Network, trace: Trace) -> None:
    a = np.stack([trace.activations[EARLIER]] * 3)
    a[1, 5, 9, 102] += 20
    a[2, 5, 9, 102] -= 50
    before, *after = tail(net, EARLIER, a)
    found = steps.nudge(net, trace, EARLIER, (5, 9), 102, [20, -50])
    assert_allclose(found.true, f32(after) - before, atol=2e-5)


def test_where_only_a_mean_and_a_dense_layer_follow_every_nudge_is_predicted(
    net: Network, trace: Trace
) -> None:
    found = steps.nudge(net, trace, LAST, (3, 3), 889, [-50, 0, 50])
    assert_allclose(found.true, found.predicted, atol=2e-5)
    assert found.true[1] == 0


def test_nudging_leaves_the_trace_as_it_was(net: Network, trace: Trace) -> None:
    before = trace.activations[LAST].copy()
    steps.nudge(net, trace, LAST, (0, 0), 0, [9])
    steps.score_without(net, trace, LAST, [{0, 1}])
    assert (trace.activations[LAST] == before).all()


def test_switchboard_of_a_made_up_trace() -> None:
    a = channels([[1, 1]], [[2, 0]], [[1, 3]], [[5, 5]], [[0, 1]])
    g = np.broadcast_to(f32([2, -3, 5, 0, -1]), a.shape)  # sums 4, -6, 20, 0, -1
    none = f32([0])
    made_up = Trace(none, none, none, CHEETAH, {"x": a}, {"x": g})
    found = steps.switchboard(made_up, "x")
    assert [(t.channel, t.alpha, t.total) for t in found] == [
        (2, 5, 20), (0, 2, 4), (1, -3, -6), (4, -1, -1),
    ]  # fmt: skip
    assert found[0].grid.tolist() == [[5, 15]]
    assert [t.channel for t in steps.switchboard(made_up, "x", 1, 1)] == [2, 1]


def test_switching_off_every_channel_leaves_the_bias_of_the_class(
    net: Network, trace: Trace
) -> None:
    bias = net.model.get_layer("logits").get_weights()[1][CHEETAH.index]
    on, off = steps.score_without(net, trace, LAST, [set(), set(range(1280))])
    assert off == pytest.approx(bias, abs=1e-6)
    assert on == pytest.approx(trace.logits[CHEETAH.index], abs=1e-4)


def test_switching_off_every_channel_is_a_zeroed_layer(net: Network, trace: Trace) -> None:
    (off,) = steps.score_without(net, trace, EARLIER, [range(112)])
    (expected,) = tail(net, EARLIER, np.zeros((1, 14, 14, 112), np.float32))
    assert off == pytest.approx(expected, abs=1e-4)


def test_the_last_layers_terms_are_what_the_score_loses(net: Network, trace: Trace) -> None:
    """Only a mean and a dense layer follow, so score = bias + sum of the terms over all places."""
    board = steps.switchboard(trace, LAST)
    on, *off = steps.score_without(net, trace, LAST, [set(), *({t.channel} for t in board)])
    assert_allclose(on - f32(off), [t.total for t in board], atol=2e-5)
    assert [t.total > 0 for t in board] == [True] * 5 + [False] * 5


# Guided backpropagation, by hand: a 1x1 convolution gives x and 2 x, f is the activation, and
# score = sum of f(x) - f(2 x). So the plain gradient is f'(x) - 2 f'(2 x), and the guided f'(x):
# what comes down to f(2 x) is -1, and dropped.

X = f32([[1, -2], [7, 2]])[:, :, None]


class Relu(keras.layers.Layer):  # type: ignore[misc]
    @tf.function  # type: ignore[untyped-decorator]
    def call(self, x: Any) -> Any:
        return tf.nn.relu(x)


def tiny(activation: Any = None, *after: Any) -> keras.Model:
    """(B, 2, 2, 1) -> (B, 2): the score of the text above, and zero."""
    mean = keras.layers.GlobalAveragePooling2D()
    conv = keras.layers.Conv2D(2, 1, activation=activation)
    model = keras.Sequential([keras.Input((2, 2, 1)), conv, *after, mean, keras.layers.Dense(2)])
    model.set_weights([f32([[[[1, 2]]]]), f32([0, 0]), f32([[4, 0], [-4, 0]]), f32([0, 0])])
    return model


def functional() -> keras.Model:
    model = tiny()
    conv, mean, dense = model.layers
    x = model.inputs[0]
    return keras.Model(x, dense(mean(keras.ops.relu(conv(x)))))


def nested() -> keras.Model:
    return keras.Sequential([keras.Input((2, 2, 1)), tiny("relu")])


RELU = ([[-1, 0], [-1, -1]], [[1, 0], [1, 1]])
RELU6 = ([[-1, 0], [0, -1]], [[1, 0], [0, 1]])  # 7 is above 6
LEAKY = ([[-1, -0.5], [-1, -1]], [[1, 0.5], [1, 1]])
E = np.exp
ELU = ([[-1, E(-2) - 2 * E(-4)], [-1, -1]], [[1, E(-2)], [1, 1]])
SELU = (1.0507010 * f32(ELU[0]), 1.0507010 * f32(ELU[1]))
SELU[0][0, 1] = 1.0507010 * 1.6732632 * (E(-2) - 2 * E(-4))
SELU[1][0, 1] = 1.0507010 * 1.6732632 * E(-2)


def slope(x: F32) -> F32:
    """Of softplus."""
    return f32(1 / (1 + E(-x)))


SOFTPLUS = (slope(X[:, :, 0]) - 2 * slope(2 * X[:, :, 0]), slope(X[:, :, 0]))


@pytest.mark.many
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: tiny("relu"), RELU, id="fused"),
        pytest.param(lambda: tiny(None, keras.layers.ReLU()), RELU, id="layer"),
        pytest.param(lambda: tiny(None, keras.layers.Activation("relu")), RELU, id="activation"),
        pytest.param(lambda: tiny(None, Relu()), RELU, id="tf.function"),
        pytest.param(functional, RELU, id="operation"),
        pytest.param(nested, RELU, id="nested"),
        pytest.param(lambda: tiny("relu6"), RELU6, id="fused ReLU6"),
        pytest.param(lambda: tiny(None, keras.layers.ReLU(6)), RELU6, id="ReLU6 layer"),
        pytest.param(lambda: tiny(None, keras.layers.LeakyReLU(0.5)), LEAKY, id="leaky"),
        pytest.param(lambda: tiny("elu"), ELU, id="elu"),
        pytest.param(lambda: tiny("selu"), SELU, id="selu"),
        pytest.param(lambda: tiny("softplus"), SOFTPLUS, id="softplus"),
    ],
)
def test_guided_backpropagation_by_hand(
    make: Callable[[], keras.Model], expected: tuple[Any, Any]
) -> None:
    model = make()
    plain, guided = expected
    found = Network(model, (2, 2, 1)).guided_backprop(X, Target(0))
    assert found.shape == (2, 2, 1)
    assert found.dtype == np.float32
    assert_allclose(found[:, :, 0], guided, atol=1e-5)
    assert_allclose(gradient(model, X, 0)[:, :, 0], plain, atol=1e-5)  # and nothing is left on it


def gradient(model: keras.Model, x: F32, index: int) -> F32:
    """The plain one, by TensorFlow alone."""
    start = tf.constant(x[None])
    with tf.GradientTape() as tape:
        tape.watch(start)
        y = model(start, training=False)[0, index]
    return cast(F32, tape.gradient(y, start).numpy()[0])


def test_guided_backpropagation_of_one_class_rather_than_another() -> None:
    """The score is f(2 x) - f(x) then: what comes down to f(x) is dropped."""
    found = Network(tiny("relu"), (2, 2, 1)).guided_backprop(X, Target(1, rival=0))
    assert_allclose(found[:, :, 0], [[2, 0], [2, 2]])


def test_guided_backpropagation_through_two_relus() -> None:
    """a = f(x), score = f(2 a) - f(20 - 3 a): plain 2 + 3 for 0 < x < 20/3, else 2; guided 2."""
    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            keras.layers.Conv2D(1, 1, activation="relu"),
            keras.layers.Conv2D(2, 1, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    second = [f32([[[[2, -3]]]]), f32([0, 20])]
    model.set_weights([f32([[[[1]]]]), f32([0]), *second, f32([[4, 4], [-4, 4]]), f32([0, 0])])
    net = Network(model, (2, 2, 1))
    assert_allclose(gradient(model, X, 0)[:, :, 0], [[5, 0], [2, 5]])
    assert_allclose(net.guided_backprop(X, Target(0))[:, :, 0], [[2, 0], [2, 2]])
    # the sum f(2 a) + f(20 - 3 a): plain 2 - 3, and that sum is dropped at the first ReLU
    assert_allclose(gradient(model, X, 1)[:, :, 0], [[-1, 0], [2, -1]])
    assert_allclose(net.guided_backprop(X, Target(1))[:, :, 0], [[0, 0], [2, 0]])


def test_guided_backpropagation_without_a_relu_says_so() -> None:
    with pytest.raises(UserError, match="no ReLU"):
        Network(tiny("silu"), (2, 2, 1)).guided_backprop(X, Target(0))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def guided_relu6(x: Any) -> Any:
    def back(r: Any) -> Any:
        return tf.where((x > 0) & (x < 6) & (r > 0), r, 0)

    return tf.nn.relu6(x), back


@pytest.mark.slow
def test_guided_backpropagation_of_the_default_network(net: Network, cheetah: F32) -> None:
    """Against a copy of the network in which every ReLU6 was replaced by the rule of the paper.

    A ReLU6 whose input is within rounding of 0 or 6 may fall on either side, by the machine's order
    of sums; the pixels below it then differ.
    """

    def copied(layer: Any) -> Any:
        if isinstance(layer, keras.layers.ReLU):
            return keras.layers.Lambda(guided_relu6, name=layer.name)
        return type(layer).from_config(layer.get_config())

    referee = keras.models.clone_model(net.model, clone_function=copied)
    referee.set_weights(net.model.get_weights())
    found = net.guided_backprop(cheetah, CHEETAH)
    assert found.shape == (224, 224, 3)
    expected = gradient(referee, cheetah, CHEETAH.index)
    assert np.isclose(found, expected, atol=1e-5).mean() > 0.9
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999

    plain = gradient(net.model, cheetah, CHEETAH.index)
    assert abs(np.corrcoef(found.ravel(), plain.ravel())[0, 1]) < 0.5


@pytest.mark.slow
def test_guided_lines_hardly_depend_on_the_class_as_the_page_says(
    net: Network, cheetah: F32
) -> None:
    one, other = (net.guided_backprop(cheetah, Target(index)) for index in (293, 900))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


# What the page says


@pytest.mark.parametrize("key", steps.STEPS)
def test_the_code_shown_is_the_programs_own(key: str) -> None:
    text = steps.source(key)
    compile(text, key, "exec")
    assert '"""' not in text
    for name in steps.STEPS[key].code:
        assert f"def {name.split('.')[-1]}(" in text


def test_the_code_shown_in_full() -> None:
    assert steps.source("pooling") == (
        "def over_places(x: F32) -> F32:\n"
        "    return x.sum(axis=0).sum(axis=0)\n"
        "\n"
        "def grad_cam(a: F32, g: F32) -> F32:\n"
        "    h, w, _ = g.shape\n"
        "    return over_places(g) / (h * w)"
    )


@pytest.mark.parametrize("step", steps.STEPS.values(), ids=steps.STEPS)
def test_a_formula_can_be_read_aloud(step: steps.Step) -> None:
    assert step.formula.count("{") == step.formula.count("}")
    assert re.fullmatch(r"[\w ,.;-]+\.", step.aloud), "words, and no signs"
