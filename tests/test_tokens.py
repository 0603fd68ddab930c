"""Layers whose output is a list of tokens: laid out as the grid that they are, or told why not.

The referee is the rest of the model by itself, under a tape: `after` a layer.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

from gradcam_core import models, pipeline, steps, trust
from gradcam_core.layers import PASSED_OVER
from gradcam_core.methods import grad_cam
from gradcam_core.network import LOST_TOKENS, Network
from gradcam_core.placement import STREWN
from gradcam_core.types import Layer, Target

SHAPE = (16, 24, 3)
H, W, K = 4, 6, 8  # the grid of patches of 4 pixels, and its channels
CLASS = 2


class ClassToken(L.Layer):
    """One token more, before the others."""

    def __init__(self, count=1, trained=True, **more):
        super().__init__(**more)
        self.count, self.trained = count, trained

    def build(self, shape):
        self.token = self.add_weight(shape=(1, self.count, shape[-1]), initializer="ones")

    def call(self, x):
        if not self.trained:
            return tf.concat([tf.ones((1, self.count, x.shape[-1])), x], 1)
        return tf.concat([tf.tile(self.token, [tf.shape(x)[0], 1, 1]), x], 1)


class Positions(L.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal")

    def call(self, x):
        return x + self.kernel


class Do(L.Layer):
    """A function as a layer."""

    def __init__(self, function, **more):
        super().__init__(**more)
        self.function = function

    def call(self, x):
        return self.function(x)


def block(x, n, mix=None):
    mix = mix or (lambda t: L.MultiHeadAttention(2, 4, name=f"attention{n}")(t, t))
    x = L.Add(name=f"read{n}")([x, mix(L.LayerNormalization()(x))])
    y = L.Dense(K)(L.Dense(2 * K, "gelu", name=f"inside{n}")(L.LayerNormalization()(x)))
    return L.Add(name=f"block{n}")([x, y])


def patches(image):
    return L.Reshape((-1, K), name="tokens")(L.Conv2D(K, 4, strides=4, name="patches")(image))


def answer(x):
    normal = keras.initializers.RandomNormal(stddev=1)
    return L.Dense(3, kernel_initializer=normal, bias_initializer=normal, name="answer")(x)


def vit(class_token=False, before=lambda x: x, mix=None, make=patches, **more):
    """Two blocks of attention between patches and answer."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE)
    x = make(before(image))
    x = ClassToken(**more, name="with")(x) if class_token else x
    x = Positions(name="embedded")(x)
    for n in range(2):
        x = block(x, n, mix)
    x = L.LayerNormalization(name="norm")(x)
    read = x[:, 0] if class_token else L.GlobalAveragePooling1D()(x)
    return keras.Model(image, answer(read))


@pytest.fixture
def x(rng):
    return rng.uniform(-1, 1, size=SHAPE).astype(np.float32)


def by_hand(model, layer, x, leading):
    """A and G of a layer's grid, by the model's own two halves and a tape."""
    a = keras.Model(model.input, model.get_layer(layer).output)(x[None])
    after = keras.Model(model.get_layer(layer).output, model.output)
    with tf.GradientTape() as tape:
        tape.watch(a)
        y = after(a)[0, CLASS]
    g = tape.gradient(y, a)
    return *(np.asarray(t)[0, leading:].reshape(H, W, K) for t in (a, g)), after, a.numpy()


# The map is that of a tape by hand


@pytest.mark.many
@pytest.mark.parametrize(("class_token", "count"), [(False, 0), (True, 1), (True, 3)])
@pytest.mark.parametrize(
    "layer",
    ["read1", *(pytest.param(n, marks=pytest.mark.slow) for n in ("embedded", "block0", "norm"))],
)
def test_a_map_of_tokens_is_that_of_a_tape_by_hand(class_token, count, layer, x):
    model = vit(class_token, **({"count": count} if class_token else {}))
    net = Network(model, SHAPE)
    assert (net.layers[layer].shape, net.layers[layer].leading) == ((H, W, K), count)
    assert net.layers[layer].placement is None
    trace = net.trace(x, Target(CLASS), (layer,))
    a, g, after, whole = by_hand(model, layer, x, count)
    np.testing.assert_allclose(trace.activations[layer], a, atol=1e-5)
    np.testing.assert_allclose(trace.gradients[layer], g, atol=1e-5)
    signed = (a * g.mean((0, 1))).sum(-1)
    (found,) = pipeline.maps_of(net, trace, (layer,), ("Grad-CAM",)).values()
    np.testing.assert_allclose(found, signed, atol=1e-5)
    others = np.random.default_rng(1).normal(size=(2, H, W, K)).astype(np.float32)
    put_in = np.concatenate([whole.repeat(2, 0)[:, :count], others.reshape(2, H * W, K)], 1)
    expected = after(put_in).numpy()[:, CLASS]
    np.testing.assert_allclose(net.score_from(layer, others, trace), expected, rtol=1e-5, atol=1e-5)


def test_a_token_stands_for_its_own_patch(x):
    """Before any attention nothing else depends on it."""
    net = Network(vit(class_token=True), SHAPE)
    other = x.copy()
    other[8:12, 16:20] += 1  # the patch in row 2, column 4
    one, two = (net.trace(p, Target(0), ("embedded",)).activations["embedded"] for p in (x, other))
    assert np.argwhere(np.abs(one - two).max(-1) > 1e-6).tolist() == [[2, 4]]


# Where to look


@pytest.mark.slow
def test_of_a_class_token_the_last_grid_that_is_read_is_best():
    """After the last attention only the class token goes on: the others get no gradient."""
    net = Network(vit(class_token=True), SHAPE)
    assert net.best == "block0"
    unread = {n for n, layer in net.layers.items() if layer.poor == PASSED_OVER}
    assert unread == {"read1", "norm"}  # and "block1" is before its norm
    assert not {"block1", "inside1", *unread} & set(net.suggested)
    assert net.notes == ()


def test_the_cells_of_a_mean_of_tokens_add_up_to_the_score(x):
    model = vit()
    net = Network(model, SHAPE)
    assert net.best == "norm"
    trace = net.trace(x, Target(CLASS))
    a, g = trace.activations["norm"], trace.gradients["norm"]
    bias = float(model.get_layer("answer").bias[CLASS])
    assert (grad_cam(a, g) * a).sum() == pytest.approx(trace.logits[CLASS] - bias, abs=1e-5)
    assert trust.even(g)
    assert steps.head_start(net, trace, "norm") == pytest.approx(bias, abs=1e-5)


def test_a_hybrid_has_grids_and_tokens():
    def stem(image):
        conv = L.Conv2D(5, 3, padding="same", activation="relu", name="stem")(image)
        return patches(conv)

    net = Network(vit(make=stem), SHAPE)
    assert net.best == "norm"
    assert net.layers["stem"].leading is None
    assert net.layers["stem"].shape == (16, 24, 5)
    assert {"stem", "block0", "norm"} <= set(net.suggested)


def test_a_class_token_that_is_a_constant_is_no_place():
    net = Network(vit(class_token=True, trained=False), SHAPE)
    assert (net.layers["block0"].leading, net.layers["block0"].poor) == (1, "")


# Where the tokens lie


@pytest.mark.slow
@pytest.mark.parametrize("class_token", [False, True])
def test_tokens_of_a_crop_lie_in_the_crop(class_token):
    """Patches of two pixels of the middle 8x12."""

    def small(image):
        return L.Reshape((-1, K))(L.Conv2D(K, 2, strides=2)(L.CenterCrop(8, 12)(image)))

    net = Network(vit(class_token, make=small), SHAPE)
    for name in ("embedded", "block0"):
        got = net.layers[name].placement.numbers
        np.testing.assert_allclose(got, (0.5, 0, 0.25, 0, 0.5, 0.25), atol=1e-5)


def test_tokens_that_go_down_the_columns_are_laid_so():
    def columns(image):
        grid = L.Conv2D(K, 4, strides=4)(image)
        return L.Reshape((-1, K))(L.Permute((2, 1, 3))(grid))

    layer = Network(vit(make=columns), SHAPE).layers["block0"]
    assert layer.shape == (W, H, K)
    np.testing.assert_allclose(layer.placement.numbers, (0, 1, 0, 1, 0, 0), atol=1e-5)


def windows(t, shift):
    """Attention inside windows of 2x3 tokens, moved by one if `shift`, as in Swin."""
    x = ops.roll(ops.reshape(t, (-1, H, W, K)), (-shift, -shift), (1, 2))
    x = ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 3, K)), (0, 1, 3, 2, 4, 5))
    x = ops.reshape(x, (-1, 6, K))
    x = L.MultiHeadAttention(2, 4)(x, x)
    x = ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 3, K)), (0, 1, 3, 2, 4, 5))
    x = ops.roll(ops.reshape(x, (-1, H, W, K)), (shift, shift), (1, 2))
    return ops.reshape(x, (-1, H * W, K))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, 1])
def test_windows_that_can_be_followed_are(shift):
    net = Network(vit(mix=lambda t: windows(t, shift)), SHAPE)
    assert net.best == "norm"
    assert (net.layers["block0"].poor, net.layers["block0"].placement) == ("", None)


def in_a_loop(t):
    """Eight tokens after the other, and nothing goes beside them: not rows of six."""

    class OneByOne(L.Layer):
        def call(self, t):
            parts = ops.reshape(t, (-1, 3, 8, K))[0]
            return ops.reshape(ops.map(lambda part: ops.tanh(part[::-1]), parts), (1, H * W, K))

    return OneByOne(name="strange")(t)


def test_what_cannot_be_followed_is_told_and_not_chosen(sentence):
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE)
    x = Positions(name="embedded")(patches(image))
    x = L.Dense(K, "gelu", name="after")(in_a_loop(x))
    net = Network(keras.Model(image, answer(L.GlobalAveragePooling1D()(x))), SHAPE)
    assert net.layers["after"].poor == net.layers["strange"].poor == STREWN
    assert net.best == "embedded"
    assert not net.layers["embedded"].poor
    assert net.notes == (LOST_TOKENS,)
    sentence(LOST_TOKENS)


@pytest.mark.many
@pytest.mark.parametrize(
    ("columns", "numbers"), [(6, (1, 0, 0, 0, -1, 1)), (24, (-1, 0, 1, 0, -1, 1))]
)
@pytest.mark.parametrize("class_token", [False, True])
def test_tokens_in_a_loop_are_asked_which_way_round_they_lie(columns, numbers, class_token):
    """Each row mirrored, or all of them turned by half."""

    class OneByOne(L.Layer):
        def call(self, t):
            parts = ops.reshape(t[:, int(class_token) :], (-1, columns, K))
            parts = ops.map(lambda part: ops.tanh(part[::-1]), parts)
            turned = ops.reshape(parts, (1, H * W, K))
            return ops.concatenate([t[:, :1], turned], 1) if class_token else turned

    image = keras.Input(SHAPE)
    x = Positions(name="embedded")(patches(image))
    x = ClassToken()(x) if class_token else x
    x = L.Dense(K, "gelu", name="after")(OneByOne(name="loop")(x))
    net = Network(keras.Model(image, answer(L.GlobalAveragePooling1D()(x))), SHAPE)
    assert net.best == "after"
    for name in ("loop", "after"):
        np.testing.assert_allclose(net.layers[name].placement.numbers, numbers, atol=1e-5)


# What is no list of tokens

SEQUENCES = {
    "LSTM": lambda: L.LSTM(K, return_sequences=True, name="strange"),
    "LSTM, unrolled": lambda: L.LSTM(K, return_sequences=True, unroll=True, name="strange"),
    "GRU": lambda: L.GRU(K, return_sequences=True, name="strange"),
    "both ways": lambda: L.Bidirectional(
        L.SimpleRNN(4, return_sequences=True, unroll=True), name="strange"),
    "Conv1D": lambda: L.Conv1D(K, 3, padding="same", name="strange"),
    "dilated": lambda: L.Conv1D(K, 3, padding="same", dilation_rate=2, name="strange"),
    "separable": lambda: L.SeparableConv1D(K, 3, padding="same", name="strange"),
    "pooled": lambda: L.AveragePooling1D(3, strides=1, padding="same", name="strange"),
    "sorted": lambda: Do(lambda t: ops.sort(t, axis=1), name="strange"),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_is_not_taken_for_a_grid(sequence):
    """Along the tokens, row after row."""
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE)
    x = SEQUENCES[sequence]()(patches(image))
    x = L.LayerNormalization(name="norm")(x)
    net = Network(keras.Model(image, answer(L.GlobalAveragePooling1D()(x))), SHAPE)
    for name in ("strange", "norm"):
        assert name not in net.layers or net.layers[name].poor == STREWN
    assert net.best == "patches"


def test_a_recurrent_layer_may_hand_on_its_state_too():
    image = keras.Input(SHAPE)
    steps, *_ = L.GRU(K, return_sequences=True, return_state=True, unroll=True)(patches(image))
    net = Network(keras.Model(image, answer(L.GlobalAveragePooling1D()(steps))), SHAPE)
    assert net.best == "patches"


def test_rows_read_one_by_one_are_no_grid():
    image = keras.Input(SHAPE)
    conv = L.Conv2D(K, 4, strides=4, name="conv")(image)
    for read in (L.LSTM(5, return_sequences=True), L.Conv1D(5, 3, padding="same"), L.Dense(5)):
        rows = L.Reshape((H, W * K), name="rows")(conv)
        model = keras.Model(image, answer(L.Flatten()(read(rows))))
        assert list(Network(model, SHAPE).layers) == ["conv"]


def test_a_dense_layer_on_each_place_is_as_good_as_a_convolution():
    """And as one of a width of 1, whatever it is called."""
    for each in (L.Dense(5, "relu", name="each"), L.Conv1D(5, 1, activation="relu", name="each")):
        image = keras.Input(SHAPE)
        model = keras.Model(image, answer(L.GlobalAveragePooling1D()(each(patches(image)))))
        net = Network(model, SHAPE)
        assert (net.best, net.layers["each"].shape) == ("each", (H, W, 5))


# What is said


@pytest.mark.slow
def test_what_attention_does_to_places_is_said(rng):
    spec = models.from_keras(vit(class_token=True), preprocess="scale01", head="softmax")
    seen = pipeline.explain(rng.integers(0, 256, (20, 31, 3), np.uint8), spec)
    assert seen.layer == "block0"
    assert seen.remarks == (f"{trust.TOKENS} {trust.CLASS_TOKEN}",)
    assert trust.about_tokens(Layer("x", (2, 3, 4), "Add", leading=0)) == trust.TOKENS
    assert trust.about_tokens(Layer("x", (2, 3, 4), "Add")) == ""
    assert "attention" in trust.TOKENS
