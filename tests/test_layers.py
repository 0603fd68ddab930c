"""Which layers lead to the answer, through loops too, and where the gradient is cut."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

from gradcam_core import layers, models
from gradcam_core.network import Network
from gradcam_core.types import Target, UserError

SHAPE = (9, 12, 3)


@pytest.fixture
def x(rng):
    return rng.uniform(-1, 1, size=SHAPE).astype(np.float32)


def conv(name, k=4, **kw):
    return L.Conv2D(k, 3, padding="same", activation="relu", name=name, **kw)


def ended(image, a):
    """Two classes from whatever the picture became."""
    rest = L.Flatten()(a)
    normal = keras.initializers.RandomNormal(stddev=1)
    return keras.Model(image, L.Dense(2, kernel_initializer=normal)(rest))


def after_a_convolution(what):
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE)
    return ended(image, what(conv("conv")(image)))


# Through loops


def rows(a):
    return ops.reshape(a, (-1, 9, 12 * 4))


def while_loop(a):
    return ops.while_loop(lambda n, t: n < 3, lambda n, t: (n + 1, t * 0.5), (0, a))[1]


def scanned(a):
    steps = ops.moveaxis(a, 1, 0)
    made = ops.scan(lambda c, t: (c + t, c * t), ops.zeros_like(steps[0]), steps)[1]
    return ops.reshape(ops.moveaxis(made, 0, 1), (-1, 9 * 12 * 4))


class InALoop(L.Layer):
    """Runs a layer of its own on each row, one after the other."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def call(self, a):
        return ops.moveaxis(ops.map(self.what, ops.moveaxis(a, 1, 0)), 0, 1)


def own_call(what):
    """A function as a layer, so that it is run anew whenever the model is."""

    class Own(L.Layer):
        def call(self, a):
            return what(a)

    return Own()


LOOPS = {
    "LSTM": lambda a: L.LSTM(3)(rows(a)),
    "LSTM both ways": lambda a: L.Bidirectional(L.LSTM(3))(rows(a)),
    "GRU of all steps": lambda a: L.GRU(3, return_sequences=True)(rows(a)),
    "GRU backwards": lambda a: L.GRU(3, go_backwards=True, reset_after=False)(rows(a)),
    "simple": lambda a: L.SimpleRNN(3)(rows(a)),
    "ConvLSTM": lambda a: L.ConvLSTM1D(3, 3)(a),
    "map": lambda a: InALoop(lambda row: ops.tanh(row) * 2)(a),
    "map after map": lambda a: InALoop(ops.tanh)(InALoop(ops.tanh)(a)),
    "scan": lambda a: own_call(scanned)(a),
    "while": lambda a: own_call(while_loop)(a),
    "vectorized": lambda a: own_call(lambda a: ops.vectorized_map(ops.tanh, a))(a),
    "folded": lambda a: own_call(lambda a: tf.foldl(tf.add, ops.moveaxis(a, 1, 0)))(a),
}


@pytest.mark.many
@pytest.mark.parametrize("loop", LOOPS)
def test_a_layer_before_a_loop_leads_to_the_answer(loop, x):
    net = Network(after_a_convolution(LOOPS[loop]), SHAPE)
    assert not net.layers["conv"].poor
    assert net.notes == ()
    trace = net.trace(x, Target(1), ("conv",))
    a, g = trace.activations["conv"], trace.gradients["conv"]
    d = np.random.default_rng(1).normal(size=a.shape).astype(np.float32)
    up, down = net.score_from("conv", np.stack([a + 1e-2 * d, a - 1e-2 * d]), trace)
    assert (up - down) / 2e-2 == pytest.approx(float((g * d).sum()), rel=2e-2, abs=1e-4)
    assert np.abs(g).max() > 0


def test_of_a_picture_that_is_read_by_an_lstm_the_convolution_is_best():
    keras.utils.set_random_seed(1)
    image = keras.Input((10, 16, 1))
    a = L.MaxPooling2D(name="pool")(conv("conv")(image))
    t = L.Reshape((8, 5 * 4))(L.Permute((2, 1, 3), name="permute")(a))
    answer = L.Dense(3, "softmax")(L.Bidirectional(L.LSTM(4))(t))
    net = Network(keras.Model(image, answer), (10, 16, 1))
    assert net.best == "conv"
    assert net.layers["conv"].shape == (10, 16, 4)
    assert {n: bool(layer.poor) for n, layer in net.layers.items()} == {
        "conv": False, "pool": True, "permute": True,
    }  # fmt: skip


def test_a_layer_inside_a_loop_cannot_be_looked_into(x):
    inner = L.Conv2D(4, 3, padding="same", name="inner")
    inner.build((None, 12, 4, 1))
    loop = InALoop(lambda row: ops.squeeze(inner(row[..., None])[..., :1], -1))
    loop.inner = inner
    net = Network(after_a_convolution(loop), SHAPE)
    assert [n for n in net.layers if "inner" in n] == []
    assert not net.layers["conv"].poor
    assert net.trace(x, None, ("conv",)).gradients["conv"].any()


# Where the gradient is cut


def one_hot_of_the_largest(a):
    return ops.one_hot(ops.argmax(a, axis=-1), 4)


def largest_place(a):
    """A number, of which only the place is used."""
    return ops.cast(ops.argmax(ops.reshape(a, (-1, 9 * 12 * 4)), axis=-1), "float32")[:, None]


def looked_up(a):
    table = ops.reshape(ops.arange(20, dtype="float32") ** 2, (10, 2))
    return ops.take(table, ops.clip(ops.cast(a * 10, "int32"), 0, 9), axis=0)


CUTS = {
    "stop_gradient": ops.stop_gradient,
    "rounded": ops.round,
    "rounded to a digit": lambda a: ops.round(a * 10) / 10,
    "floor": lambda a: ops.floor(a * 10),
    "ceil": lambda a: ops.ceil(a * 10),
    "whole numbers": lambda a: ops.cast(ops.cast(a * 10, "int32"), "float32"),
    "bytes": lambda a: ops.cast(ops.cast(a * 10, "uint8"), "float32"),
    "sign": lambda a: ops.sign(a - 0.1),
    "divided whole": lambda a: ops.floor_divide(a, 0.1),
    "threshold": lambda a: ops.cast(a > 0.1, "float32"),
    "where": lambda a: ops.where(a > 0.1, 1.0, -1.0),
    "argmax": one_hot_of_the_largest,
    "place": largest_place,
    "order": lambda a: ops.cast(ops.argsort(a, axis=-1), "float32"),
    "table": looked_up,
    "NumPy": lambda a: ops.reshape(tf.numpy_function(np.tanh, [a], tf.float32), (-1, 9, 12, 4)),
    "in a loop": lambda a: InALoop(lambda row: ops.round(row * 10) / 10)(a),
    "in a condition": lambda a: tf.cond(
        tf.reduce_sum(a) > -1, lambda: tf.round(a * 10), lambda: tf.floor(a)
    ),
}


@pytest.mark.many
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_gradient_is_said_in_those_words(cut, x):
    """The answer depends on the layer, and its gradient is zero everywhere: another thing than a
    network without an opinion."""
    net = Network(after_a_convolution(own_call(CUTS[cut])), SHAPE)
    poor = net.layers["conv"].poor
    assert poor == layers.CUT
    assert "gradient is cut" in poor
    assert "stop_gradient" in poor
    traces = [net.trace(p, Target(0), ("conv",)) for p in (x, -x)]
    assert not any(t.gradients["conv"].any() for t in traces)
    a = np.stack([t.activations["conv"] for t in traces])
    assert np.ptp(net.score_from("conv", a, traces[0])) > 0


@pytest.mark.many
@pytest.mark.parametrize(
    "what",
    [
        lambda a: a + ops.stop_gradient(ops.round(a) - a),  # straight through
        lambda a: tf.grad_pass_through(tf.round)(a),
        lambda a: ops.where(a > 0.1, a, 0.1 * a),
        lambda a: a * ops.cast(a > 0.1, "float32"),
        lambda a: ops.concatenate([ops.round(a), a], -1),
        lambda a: ops.exp(a - ops.stop_gradient(ops.max(a, axis=-1, keepdims=True))),
        lambda a: ops.max(a, axis=-1),
        lambda a: ops.sort(a, axis=-1),
        lambda a: ops.mod(a, 0.1),
        lambda a: ops.take(ops.reshape(a, (-1, 9 * 12 * 4)), 7, axis=1)[:, None],
        lambda a: ops.cast(ops.cast(a, "float16"), "float32"),
        lambda a: tf.math.real(tf.signal.ifft2d(tf.signal.fft2d(tf.cast(a, tf.complex64)))),
        lambda a: InALoop(lambda row: row + ops.stop_gradient(ops.round(row) - row))(a),
    ],
)
def test_a_gradient_that_gets_through_is_not_called_cut(what, x):
    net = Network(after_a_convolution(own_call(what)), SHAPE)
    assert not net.layers["conv"].poor
    assert net.trace(x, Target(0), ("conv",)).gradients["conv"].any()


def test_after_the_cut_one_may_look(x):
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE)
    a = conv("after")(own_call(lambda a: ops.round(a * 10) / 10)(conv("before")(image)))
    net = Network(ended(image, a), SHAPE)
    assert (net.best, net.notes) == ("after", ())
    assert net.layers["before"].poor == layers.CUT
    assert net.suggested == ("after",)
    assert net.trace(x).gradients["after"].any()


@pytest.mark.parametrize("after", [lambda a: a, lambda a: InALoop(ops.tanh)(a)])
def test_a_dead_layer_is_not_a_cut_one(after, x):
    """Nothing comes through its ReLU for any picture: nothing cuts it, and no answer changes."""
    off = keras.initializers.Constant(-1e6)
    net = Network(
        after_a_convolution(lambda a: after(conv("dead", bias_initializer=off)(a))), SHAPE
    )
    assert not net.layers["conv"].poor
    assert not net.trace(x, Target(0), ("conv",)).gradients["conv"].any()


def test_a_gradient_that_tensorflow_cannot_make_is_told(x, sentence):
    """It turns each picture of a loop by a quarter, and then says its own gradient does not fit."""

    def turned(a):
        shape = tf.TensorSpec((12, 9, 4))
        return tf.map_fn(lambda t: tf.image.rot90(t), a, fn_output_signature=shape)

    net = Network(after_a_convolution(own_call(turned)), SHAPE)
    with pytest.raises(UserError) as error:
        net.trace(x, Target(0), ("conv",))
    sentence(error.value)


# Where no layer is good


class Aside(L.Layer):
    """Computes something for a loss, and hands its input on."""

    def __init__(self):
        super().__init__(name="aside")
        self.conv = conv("conv")

    def build(self, shape):
        self.conv.build((None, *SHAPE))
        self.built = True

    def call(self, x, picture):
        self.conv(picture)
        return x


def towers(cut=""):
    """Two, so that each goes round the other, and at the end a layer that leads nowhere."""
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE)
    ends = []
    for name in ("left", "right"):
        pooled = L.GlobalAveragePooling2D()(conv(name)(image))
        ends.append(ops.stop_gradient(pooled) if name == cut else ops.tanh(pooled))
    return keras.Model(image, L.Dense(2)(Aside()(L.Concatenate()(ends), image)))


def test_a_choice_for_want_of_a_better_is_called_one(x, sentence):
    """A layer on the way, not the one that runs last."""
    model = towers()
    net = Network(model, SHAPE)
    assert all(layer.poor for layer in net.layers.values())
    *_, last, aside = net.layers
    assert (aside, net.layers[aside].poor) == ("aside/conv", layers.ASIDE)
    assert net.best == last
    (note,) = net.notes
    sentence(note)
    assert "want of a better" in note
    assert net.layers[last].poor in note
    assert net.trace(x).gradients[last].any()
    assert note in models.from_keras(model, None, "none").notes


@pytest.mark.parametrize(("cut", "best"), [("left", "right"), ("right", "left")])
def test_a_layer_with_a_gradient_is_preferred_to_one_without(cut, best):
    net = Network(towers(cut), SHAPE)
    assert net.layers[cut].poor == layers.CUT
    assert net.best == best


def test_where_all_is_cut_the_last_layer_is_chosen_and_it_is_said(sentence):
    image = keras.Input(SHAPE)
    a = conv("second")(conv("first")(image))
    answer = L.Dense(2)(ops.round(L.GlobalAveragePooling2D()(a) * 10))
    net = Network(keras.Model(image, answer), SHAPE)
    assert net.best == "second"
    assert layers.CUT in net.notes[0]
    sentence(net.notes[0])
