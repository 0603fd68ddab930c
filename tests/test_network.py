"""Any Keras model, any head: A and G against equations, an eager tape and finite differences."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

from gradcam_core import layers, network
from gradcam_core.network import Network
from gradcam_core.placement import STREWN
from gradcam_core.types import Target, UserError

SHAPE = (10, 10, 3)
H = W = 5  # the grid of conv2


class Parts:
    """conv1 -> average pool -> conv2 -> global average -> dense: the same layers in every shape.

    Smooth, so that finite differences hold; after conv2 everything is linear, so that
    logits = mean(A) @ kernel + bias and d logit_c / d A_ijk = kernel[k, c] / (h w) exactly.
    """

    def __init__(self, classes=3, activation=None):
        keras.utils.set_random_seed(1)
        self.conv1 = L.Conv2D(4, 3, padding="same", activation="tanh", name="conv1")
        self.pool = L.AveragePooling2D(2, name="pool")
        self.conv2 = L.Conv2D(6, 3, padding="same", activation="tanh", name="conv2")
        self.gap = L.GlobalAveragePooling2D(name="gap")
        self.dense = L.Dense(
            classes, activation, bias_initializer="random_normal", name="dense",
            kernel_initializer=keras.initializers.RandomNormal(stddev=1),
        )  # fmt: skip
        self.all = [self.conv1, self.pool, self.conv2, self.gap, self.dense]

    def activations(self, x):
        """A of conv1 and conv2, layer by layer, without any model."""
        a1 = self.conv1(x[None])
        a2 = self.conv2(self.pool(a1))
        return {"conv1": a1.numpy()[0], "conv2": a2.numpy()[0]}

    def logits(self, x):
        kernel, bias = (w.numpy() for w in self.dense.weights)
        return self.activations(x)["conv2"].mean(axis=(0, 1)) @ kernel + bias

    def gradients(self, x, c):
        """d logit_c / d A: conv2 by the equation, conv1 by an eager tape on the layers after it."""
        kernel = self.dense.weights[0].numpy()[:, c]
        a1 = tf.constant(self.activations(x)["conv1"][None])
        with tf.GradientTape() as tape:
            tape.watch(a1)
            a2 = self.conv2(self.pool(a1))
            score = tf.reduce_sum(a2 * (kernel / (H * W)))
        g2 = np.broadcast_to(kernel / (H * W), (H, W, len(kernel)))
        return {"conv1": tape.gradient(score, a1).numpy()[0], "conv2": g2}


# The six shapes in which people build models, and some more


def sequential(p):
    return keras.Sequential([keras.Input(SHAPE), *p.all])


def sequential_called_once(p):
    model = keras.Sequential(p.all)
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def sequential_never_called(p):
    return keras.Sequential(p.all)


def functional(p):
    x = image = keras.Input(SHAPE)
    for layer in p.all:
        x = layer(x)
    return keras.Model(image, x)


def nested_functional(p):
    inner = keras.Input(SHAPE)
    backbone = keras.Model(inner, p.conv2(p.pool(p.conv1(inner))), name="backbone")
    image = keras.Input(SHAPE)
    return keras.Model(image, p.dense(p.gap(backbone(image))))


def nested_sequential(p):
    backbone = keras.Sequential([keras.Input(SHAPE), p.conv1, p.pool, p.conv2], name="backbone")
    return keras.Sequential([keras.Input(SHAPE), backbone, p.gap, p.dense])


class Subclassed(keras.Model):
    def __init__(self, p):
        super().__init__()
        self.first, self.others = p.conv1, [p.pool, p.conv2, p.gap]
        self.head = p.dense

    def call(self, x):
        x = self.first(x)
        for layer in self.others:
            x = layer(x)
        return self.head(x)


class WithTfFunction(Subclassed):
    call = tf.function(Subclassed.call)


def frozen(p):
    model = nested_functional(p)
    model.trainable = False
    return model


def fixed_name_twice(p):
    """A layer in two models at once: the pretrained one stays usable."""
    nested_functional(p)
    return functional(p)


SHAPES = {
    "sequential": (sequential, ""),
    "sequential called once": (sequential_called_once, ""),
    "sequential never called": (sequential_never_called, ""),
    "functional": (functional, ""),
    "nested functional": (nested_functional, "backbone/"),
    "nested sequential": (nested_sequential, "backbone/"),
    "subclassed": (Subclassed, ""),
    "subclassed with tf.function": (WithTfFunction, ""),
    "frozen": (frozen, "backbone/"),
    "in two models": (fixed_name_twice, ""),
}


@pytest.fixture
def x(rng):
    return rng.normal(size=SHAPE).astype(np.float32)


def calls_left(model):
    return [name for name, layer in network.operations(model) if "call" in layer.__dict__]


def close(got, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def slope(net, trace, layer, rng, step=1e-2):
    """(finite difference, <G, d>) of the score at A along a random direction d."""
    a, g = trace.activations[layer], trace.gradients[layer]
    d = rng.normal(size=a.shape).astype(np.float32)
    up, down = net.score_from(layer, np.stack([a + step * d, a - step * d]), trace)
    return (up - down) / (2 * step), float((g.astype(float) * d).sum())


@pytest.mark.many
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_model(shape, x, rng):
    build, path = SHAPES[shape]
    parts = Parts(activation="softmax")
    model = build(parts)
    net = Network(model, SHAPE)
    names = {f"{path}{n}": n for n in ("conv1", "conv2")}
    assert [n for n in net.layers if "conv" in n] == list(names)
    assert net.best == f"{path}conv2"
    assert (net.classes, net.head) == (3, "softmax")

    before = model(x[None]).numpy()
    trace = net.trace(x, Target(2), tuple(names))
    close(trace.logits, parts.logits(x))
    close(trace.probabilities, before[0])
    for name, part in names.items():
        assert trace.activations[name].dtype == trace.gradients[name].dtype == np.float32
        close(trace.activations[name], parts.activations(x)[part])
        close(trace.gradients[name], parts.gradients(x, 2)[part])
        difference, product = slope(net, trace, name, rng)
        assert difference == pytest.approx(product, rel=5e-3, abs=1e-4)
        same = net.score_from(name, trace.activations[name][None], trace)
        close(same, [trace.logits[2]])

    xs = np.stack([x, 2 * x, -x])
    close(net.score(xs, trace.target), [parts.logits(one)[2] for one in xs])

    assert not calls_left(model)
    np.testing.assert_array_equal(model(x[None]).numpy(), before)


# Heads: where the logits are, and what the answer means

SOFTMAX, SIGMOID = (lambda y: np.exp(y) / np.exp(y).sum()), (lambda y: 1 / (1 + np.exp(-y)))


def then(p, *more):
    x = image = keras.Input(SHAPE)
    for layer in (*p.all, *more):
        x = layer(x)
    return keras.Model(image, x)


def one_output_in_a_list(p):
    image = keras.Input(SHAPE)
    return keras.Model(image, [p.dense(p.gap(p.conv2(p.pool(p.conv1(image)))))])


def mobilenet_like(p):
    """Global pooling that keeps its axes, a 1x1 convolution for the classes, a reshape, softmax."""
    image = keras.Input(SHAPE)
    x = p.conv2(p.pool(p.conv1(image)))
    x = L.Dropout(0.5)(L.GlobalAveragePooling2D(keepdims=True)(x))
    conv = L.Conv2D(3, 1, name="conv_preds")
    x = L.Activation("softmax")(L.Reshape((3,))(conv(x)))
    model = keras.Model(image, x)
    p.dense(keras.Input((6,)))
    conv.set_weights([p.dense.get_weights()[0][None, None], p.dense.get_weights()[1]])
    return model


HEADS = {  # classes, activation of the dense layer, how the model ends, head, probabilities
    "softmax in the dense layer": (3, "softmax", then, "softmax", SOFTMAX),
    "log-softmax": (3, "log_softmax", then, "softmax", SOFTMAX),
    "logits": (3, None, then, "softmax", SOFTMAX),
    "softmax layer": (3, None, lambda p: then(p, L.Softmax()), "softmax", SOFTMAX),
    "softmax after dropout": (
        3, None, lambda p: then(p, L.Dropout(0.5), L.Activation("softmax")), "softmax", SOFTMAX,
    ),
    "list of one": (3, "softmax", one_output_in_a_list, "softmax", SOFTMAX),
    "mobilenet": (3, None, mobilenet_like, "softmax", SOFTMAX),
    "multi-label": (3, "sigmoid", then, "sigmoid", SIGMOID),
    "sigmoid layer": (3, None, lambda p: then(p, L.Activation("sigmoid")), "sigmoid", SIGMOID),
    "regression": (1, None, then, "linear", lambda y: y),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize("head", HEADS)
def test_every_head(head, x):
    classes, activation, build, kind, to_probabilities = HEADS[head]
    parts = Parts(classes, activation)
    net = Network(build(parts), SHAPE)
    assert net.head == kind
    assert net.best == "conv2"
    expected = parts.logits(x)
    for c in range(classes):
        trace = net.trace(x, Target(c), ("conv2",))
        close(trace.logits, expected)
        close(trace.probabilities, to_probabilities(expected))
        close(trace.gradients["conv2"], parts.gradients(x, c)["conv2"])
    guess = net.trace(x, None, ("conv2",))
    assert guess.target == Target(int(expected.argmax()))
    close(guess.gradients["conv2"], parts.gradients(x, int(expected.argmax()))["conv2"])
    assert net.trace(x).activations.keys() == set(net.suggested)


def test_one_sigmoid_becomes_two_classes(x):
    """z speaks for class 1, -z for class 0."""
    parts = Parts(1, "sigmoid")
    net = Network(functional(parts), SHAPE)
    z = parts.logits(x)[0]
    no, yes = (net.trace(x, Target(c), ("conv2",)) for c in (0, 1))
    assert (net.head, net.classes) == ("sigmoid", 2)
    close(yes.logits, [-z, z])
    close(yes.probabilities, [SIGMOID(-z), SIGMOID(z)])
    close(yes.gradients["conv2"], parts.gradients(x, 0)["conv2"])
    close(no.gradients["conv2"], -parts.gradients(x, 0)["conv2"])
    assert net.trace(x).target == Target(int(z > 0))


def headed(p, head):
    """The parts up to conv2, and what `head` makes of it."""
    image = keras.Input(SHAPE)
    return keras.Model(image, head(p.conv2(p.pool(p.conv1(image)))))


def mean_of_two(a):
    g = L.GlobalAveragePooling2D()(a)
    return L.Average()([L.Dense(3, "softmax")(g), L.Dense(3, "softmax")(g)])


def weighted(a):
    g = L.GlobalAveragePooling2D()(a)
    return 0.7 * L.Dense(3, "softmax")(g) + 0.3 * L.Dense(3, "sigmoid")(g)


def clipped(a):
    return keras.ops.clip(L.Dense(3, "softmax")(L.GlobalAveragePooling2D()(a)), 1e-7, 0.99)


def softmax_at_each_place(a):
    return L.GlobalAveragePooling2D()(L.Softmax()(L.Conv2D(3, 1)(a)))


def two_tasks(a):
    g = L.GlobalAveragePooling2D()(a)
    return L.Concatenate()([L.Dense(2, "softmax")(g), L.Dense(1, "sigmoid")(g)])


def softmax_over_pairs(a):
    g = L.Dense(4)(L.GlobalAveragePooling2D()(a))
    return L.Flatten()(L.Softmax()(L.Reshape((2, 2))(g)))


@pytest.mark.parametrize(
    "head",
    [mean_of_two, weighted, clipped, softmax_at_each_place, two_tasks, softmax_over_pairs],
)
def test_an_answer_made_of_probabilities_stands_for_itself(head, x, rng):
    """The model is the referee: its answer is what is shown, and what is explained."""
    model = headed(Parts(), head)
    net = Network(model, SHAPE)
    trace = net.trace(x, Target(1), ("conv2",))
    assert net.head == "linear"
    close(trace.probabilities, model(x[None])[0])
    close(trace.logits, model(x[None])[0])
    xs = np.stack([x, 2 * x, -x])
    close(net.score(xs, trace.target), model(xs)[:, 1])
    difference, product = slope(net, trace, "conv2", rng, step=0.1)
    assert difference == pytest.approx(product, rel=5e-2, abs=1e-4)


def test_the_mean_of_two_sigmoids_becomes_two_answers(x):
    def head(a):
        g = L.GlobalAveragePooling2D()(a)
        return (L.Dense(1, "sigmoid")(g) + L.Dense(1, "sigmoid")(g)) / 2

    model = headed(Parts(), head)
    net = Network(model, SHAPE)
    p = float(model(x[None])[0, 0])
    no, yes = (net.trace(x, Target(c), ("conv2",)) for c in (0, 1))
    assert (net.head, net.classes) == ("linear", 2)
    close(yes.probabilities, [1 - p, p])
    close(no.gradients["conv2"], -yes.gradients["conv2"])
    assert np.abs(yes.gradients["conv2"]).max() > 0


def test_a_sigmoid_for_each_label(x):
    """Three layers of one number each, joined: their logits are those of one layer of three."""
    parts = Parts()
    parts.dense(keras.Input((6,)))
    ones = [L.Dense(1, "sigmoid") for _ in range(3)]
    model = headed(parts, lambda a: L.Concatenate()([one(parts.gap(a)) for one in ones]))
    kernel, bias = parts.dense.get_weights()
    for c, one in enumerate(ones):
        one.set_weights([kernel[:, c : c + 1], bias[c : c + 1]])
    net = Network(model, SHAPE)
    trace = net.trace(x, Target(2), ("conv2",))
    assert (net.head, net.classes) == ("sigmoid", 3)
    close(trace.logits, parts.logits(x))
    close(trace.probabilities, SIGMOID(parts.logits(x)))
    close(trace.gradients["conv2"], parts.gradients(x, 2)["conv2"])
    close(net.score(np.stack([x, -x]), trace.target), [parts.logits(one)[2] for one in (x, -x)])


def attended(a):
    t = L.Reshape((H * W, 6))(a)
    return L.Dense(3)(L.GlobalAveragePooling1D()(L.Attention()([t, t])))


def weighted_by_attention(a):
    g = L.Dense(3)(L.Reshape((H * W, 6))(a))
    return keras.ops.sum(keras.ops.softmax(g, axis=1) * g, axis=1)


def swish_before_pooling(a):
    return L.GlobalAveragePooling2D()(L.Conv2D(3, 1, activation="swish")(a))


def dense_after_sigmoid(a):
    return L.Dense(3)(L.Dense(4, "sigmoid")(L.GlobalAveragePooling2D()(a)))


@pytest.mark.parametrize(
    "head", [attended, weighted_by_attention, swish_before_pooling, dense_after_sigmoid]
)
def test_a_softmax_or_sigmoid_inside_does_not_make_probabilities(head, x):
    model = headed(Parts(), head)
    net = Network(model, SHAPE)
    trace = net.trace(x)
    y = model(x[None])[0].numpy()
    assert net.head == "softmax"
    close(trace.logits, y)
    close(trace.probabilities, SOFTMAX(y))


@pytest.mark.parametrize(
    ("head", "probabilities"), [("linear", lambda y: y), ("sigmoid", SIGMOID), ("softmax", SOFTMAX)]
)
def test_a_head_that_is_told(head, probabilities, x):
    parts = Parts()
    net = Network(functional(parts), SHAPE, head=head)
    trace = net.trace(x, Target(1), ("conv2",))
    assert (net.head, net.classes) == (head, 3)
    close(trace.logits, parts.logits(x))
    close(trace.probabilities, probabilities(parts.logits(x)))
    close(trace.gradients["conv2"], parts.gradients(x, 1)["conv2"])


def test_one_number_told_to_be_a_logit(x):
    parts = Parts(1)
    trace = Network(functional(parts), SHAPE, head="sigmoid").trace(x)
    (z,) = parts.logits(x)
    close(trace.logits, [-z, z])
    close(trace.probabilities, [SIGMOID(-z), SIGMOID(z)])


def test_hand_made_convolution(rng):
    """A by loops: 'valid' 3x3, bias, ReLU."""
    conv = L.Conv2D(2, 3, activation="relu", name="conv", bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((6, 5, 2)), conv, L.Flatten(), L.Dense(2)])
    kernel, bias = (w.numpy() for w in conv.weights)
    x = rng.normal(size=(6, 5, 2)).astype(np.float32)
    expected = np.zeros((4, 3, 2))
    for i, j, k in np.ndindex(expected.shape):
        expected[i, j, k] = max(0, (x[i : i + 3, j : j + 3] * kernel[..., k]).sum() + bias[k])
    trace = Network(model, (6, 5, 2)).trace(x, Target(1))
    close(trace.activations["conv"], expected)
    dense = model.layers[-1].weights[0].numpy()[:, 1]
    close(trace.gradients["conv"], dense.reshape(4, 3, 2))  # after Flatten: its own at every place


# What is explained


class Standardised(L.Conv2D):
    """Weight standardisation (arXiv 1903.10520): a convolution of somebody's own."""

    def convolution_op(self, inputs, kernel):
        kernel = kernel - keras.ops.mean(kernel, axis=(0, 1, 2))
        return super().convolution_op(inputs, kernel / keras.ops.std(kernel, axis=(0, 1, 2)))


class Padded(L.Conv2D):
    """A kernel that is larger when it is used than when it is made."""

    def call(self, inputs):
        kernel = keras.ops.pad(self.kernel, ((1, 1), (1, 1), (0, 0), (0, 0)), constant_values=0.1)
        return self.convolution_op(inputs=inputs, kernel=kernel)


class Patched(L.Conv2D):
    """An instance with a convolution of its own."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.convolution_op = lambda x, kernel: 3 * L.Conv2D.convolution_op(self, x, kernel)


def check_against_keras(middle, x):
    """G before and A after layers. The referee: the layers, one by one, under an eager tape."""
    before = L.Conv2D(6, 3, activation="tanh", name="before")
    last = L.Activation("tanh", name="last")
    layers = [*middle, last, L.GlobalAveragePooling2D(), L.Dense(3)]
    y = before(image := keras.Input(SHAPE))
    for layer in layers:
        y = layer(y)
    keras.utils.set_random_seed(3)
    for layer in middle:
        layer.set_weights([np.random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    seen = [before(x[None])]
    with tf.GradientTape() as tape:
        tape.watch(seen[0])
        for layer in layers:
            seen.append(layer(seen[-1]))
        score = seen[-1][0, 2]
    expected = tape.gradient(score, seen[0])[0]
    for names in (("before",), ("before", *(layer.name for layer in middle))):
        trace = Network(keras.Model(image, y), SHAPE).trace(x, Target(2), names)
        close(trace.logits, seen[-1][0])
        for name, a in zip(names, seen, strict=False):
            close(trace.activations[name], a[0])
        close(trace.gradients["before"], expected)


class ByTheScene(L.Conv2D):
    """A kernel that is made from the picture, as in CondConv (arXiv 1904.04971)."""

    def call(self, inputs):
        return self.convolution_op(inputs, self.kernel * (1 + keras.ops.mean(inputs**2)))


@pytest.mark.many
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kind", [L.Conv2D, Standardised, Padded, Patched, ByTheScene])
def test_a_one_by_one_convolution(kind, strides, bias, x):
    check_against_keras([kind(5, 1, strides, use_bias=bias, name="mix")], x)


class ByThePicture(L.Layer):
    """Always normalises by what it sees, as in CycleGAN."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = L.BatchNormalization()

    def call(self, inputs):
        return self.norm(inputs=inputs, training=True)


class Adapted(L.Layer):
    """Asks inside for gradients by the norm's own weights, as test-time adaptation does."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = L.BatchNormalization()

    def build(self, shape):
        self.norm.build(shape)

    def call(self, inputs):
        weights = [weight.value for weight in self.norm.weights]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            y = keras.ops.tanh(self.norm(inputs))
            score = keras.ops.mean(y)
        return y + sum((n + 1) * g for n, g in enumerate(tape.gradient(score, weights)))


class Halved(L.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask) / 2


class Doubled(L.BatchNormalization):
    """An instance with a call of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.call = lambda x, **more: 2 * L.BatchNormalization.call(self, x, **more)


@pytest.mark.many
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (L.BatchNormalization, {}),
        (L.BatchNormalization, {"epsilon": 0.5}),
        (L.BatchNormalization, {"scale": False}),
        (L.BatchNormalization, {"center": False}),
        (L.BatchNormalization, {"axis": 3}),
        (L.BatchNormalization, {"axis": 1}),
        (L.BatchNormalization, {"dtype": "float64"}),
        (ByThePicture, {}),
        (Adapted, {}),
        (Halved, {}),
        (Doubled, {}),
    ],
)
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_batch_norm(kernel, kind, options, x):
    check_against_keras([L.Conv2D(5, kernel, name="mix"), kind(name="norm", **options)], x)


def test_probability_is_the_softmax_jacobian(x):
    parts = Parts(activation="softmax")
    net = Network(functional(parts), SHAPE)
    p = SOFTMAX(parts.logits(x))
    for name in ("conv1", "conv2"):
        g = np.stack([parts.gradients(x, j)[name] for j in range(3)])
        expected = p[1] * (g[1] - np.tensordot(p, g, 1))
        trace = net.trace(x, Target(1, probability=True), (name,))
        close(trace.gradients[name], expected)
        close(net.score_from(name, trace.activations[name][None], trace), [p[1]])
    close(net.score(x[None], trace.target), [p[1]])


def test_probability_of_a_sigmoid(x):
    parts = Parts(3, "sigmoid")
    trace = Network(functional(parts), SHAPE).trace(x, Target(1, probability=True), ("conv2",))
    p = SIGMOID(parts.logits(x)[1])
    close(trace.gradients["conv2"], p * (1 - p) * parts.gradients(x, 1)["conv2"])


def test_a_rather_than_b(x, rng):
    parts = Parts()
    net = Network(functional(parts), SHAPE)
    trace = net.trace(x, Target(2, rival=0), ("conv1", "conv2"))
    for name in ("conv1", "conv2"):
        close(
            trace.gradients[name], parts.gradients(x, 2)[name] - parts.gradients(x, 0)[name]
        )  # fmt: skip
        difference, product = slope(net, trace, name, rng)
        assert difference == pytest.approx(product, rel=5e-3, abs=1e-4)
    y = parts.logits(x)
    close(net.score(x[None], trace.target), [y[2] - y[0]])


def test_one_pass_over_all_layers_is_the_same_as_one_for_each(x):
    net = Network(functional(Parts()), SHAPE)
    names = tuple(net.layers)
    together = net.trace(x, Target(1), names)
    assert list(together.activations) == list(together.gradients) == list(names)
    for name in names:
        alone = net.trace(x, Target(1), (name,))
        close(together.activations[name], alone.activations[name], rtol=1e-6, atol=1e-6)
        close(together.gradients[name], alone.gradients[name], rtol=1e-6, atol=1e-6)


# Models with a twist


def test_a_sum_of_tensors_is_a_layer_too(x, rng):
    """As in ConvNeXt: x + y, without an Add layer."""
    parts = Parts()
    image = keras.Input(SHAPE)
    first = parts.conv1(image)
    side = L.Conv2D(4, 3, padding="same", activation="tanh")
    total = first + side(first)
    model = keras.Model(image, parts.dense(parts.gap(parts.conv2(total))))
    net = Network(model, SHAPE)
    name = total._keras_history.operation.name
    a1 = parts.activations(x)["conv1"]
    trace = net.trace(x, Target(1), (name,))
    close(trace.activations[name], a1 + side(a1[None]).numpy()[0])
    difference, product = slope(net, trace, name, rng)
    assert difference == pytest.approx(product, rel=5e-3, abs=1e-4)
    assert not net.layers[name].poor


def test_a_layer_called_twice_means_both_calls(x, rng):
    """The second sees the mirrored picture: mirrored back, it is four channels more."""
    parts = Parts()
    image = keras.Input(SHAPE)
    mirrored = image[:, :, ::-1]
    total = L.Add()([parts.conv1(image), 3 * parts.conv1(mirrored)])
    model = keras.Model(image, parts.dense(parts.gap(parts.conv2(parts.pool(total)))))
    net = Network(model, SHAPE)
    trace = net.trace(x, Target(1), ("conv1",))
    first, last = (parts.activations(seen)["conv1"] for seen in (x, x[:, ::-1]))
    both = np.concatenate([first, last[:, ::-1]], -1)
    close(trace.activations["conv1"], both)
    calls = [tf.constant(first), tf.constant(last)]
    with tf.GradientTape() as tape:
        tape.watch(calls)
        a2 = parts.conv2(parts.pool((calls[0] + 3 * calls[1])[None]))
        score = parts.dense(parts.gap(a2))[0, 1]
    g1, g2 = (g.numpy() for g in tape.gradient(score, calls))
    close(trace.gradients["conv1"], np.concatenate([g1, g2[:, ::-1]], -1))
    close(net.score_from("conv1", both[None], trace), [float(score)])
    difference, product = slope(net, trace, "conv1", rng)
    assert difference == pytest.approx(product, rel=5e-3, abs=1e-4)


def test_mixed_precision(x, rng):
    """Half precision inside, single precision outside."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        parts = Parts()
        model = then(parts, L.Activation("softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy(policy)
    net = Network(model, SHAPE)
    trace = net.trace(x, Target(1), ("conv1", "conv2"))
    assert parts.conv2(x[None, ..., [0, 1, 2, 0]]).dtype == tf.float16
    assert trace.logits.dtype == trace.gradients["conv2"].dtype == np.float32
    close(trace.logits, parts.logits(x), rtol=5e-3, atol=5e-3)
    close(trace.gradients["conv2"], parts.gradients(x, 1)["conv2"], rtol=5e-3, atol=1e-4)
    difference, product = slope(net, trace, "conv2", rng, step=0.25)  # linear: a long step is exact
    assert difference == pytest.approx(product, rel=0.03, abs=5e-3)


def test_a_picture_of_bytes(x):
    """A model that casts its input to uint8 first: no gradient there, but all of them after it."""
    parts = Parts()
    image = keras.Input(SHAPE, dtype="uint8")
    x = np.round(np.abs(x) * 50)
    h = parts.conv1(L.Rescaling(1 / 255)(image))
    model = keras.Model(image, parts.dense(parts.gap(parts.conv2(parts.pool(h)))))
    net = Network(model, SHAPE)
    assert net.best == "conv2"
    assert not net.layers["conv1"].poor
    assert not net.layers["conv2"].poor
    close(net.trace(x, Target(0)).gradients["conv2"], parts.gradients(x / 255, 0)["conv2"])


# The model stays as it was


def test_nothing_is_left_on_the_model(x):
    """Weights, states, losses, a `call` that somebody else put there, the global switch."""
    parts = Parts()
    parts.conv1.activity_regularizer = keras.regularizers.L2(1)

    class Counting(L.Layer):
        def build(self, _shape):
            self.count = self.add_weight(initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign_add(1)
            return x

    counting = Counting()
    model = keras.Sequential([keras.Input(SHAPE), counting, *parts.all])
    mine = parts.conv2.call
    parts.conv2.__dict__["call"] = mine
    answer = model.predict(x[None], verbose=0)
    weights = [w.numpy() for w in model.weights]  # the counter among them

    net = Network(model, SHAPE)
    trace = net.trace(x)
    net.score(x[None], trace.target)
    net.score_from("conv2", trace.activations["conv2"][None], trace)

    assert parts.conv2.__dict__["call"] is mine
    del parts.conv2.__dict__["call"]
    assert not calls_left(model)
    assert not model.losses  # Keras empties the list at each call; no tensor of ours is in it
    for weight, old in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)
    assert not tf.config.functions_run_eagerly()
    np.testing.assert_array_equal(model.predict(x[None], verbose=0), answer)


def test_nothing_is_left_where_tracing_fails(x, sentence):
    class Moody(L.Layer):
        good = True

        def call(self, x):
            if not self.good:
                raise RuntimeError("/etc/secret")
            return x

    parts, moody = Parts(), Moody()
    model = keras.Sequential([keras.Input(SHAPE), *parts.all, moody])
    before = model(x[None]).numpy()
    moody.good = False
    with pytest.raises(UserError) as error:
        Network(model, SHAPE)
    assert "secret" not in sentence(error.value)
    assert not calls_left(model)
    assert not tf.config.functions_run_eagerly()

    moody.good = True
    net = Network(model, SHAPE)
    moody.good = False
    with pytest.raises(RuntimeError):
        net.trace(x)
    assert not calls_left(model)
    moody.good = True
    with ThreadPoolExecutor(1) as other:  # another thread can trace: the lock is free
        close(other.submit(net.trace, x).result(timeout=60).logits, parts.logits(x))
    np.testing.assert_array_equal(model(x[None]).numpy(), before)


def test_threads_give_what_one_thread_gives(x):
    """Eight threads, each with its own layers and class, on one network, all of them tracing."""
    parts = Parts()
    model = nested_functional(parts)
    names = tuple(Network(model, SHAPE).layers)
    jobs = [(Target(i % 3), names[: i % len(names) + 1]) for i in range(8)]
    alone = Network(model, SHAPE)
    expected = [alone.trace(x, *job) for job in jobs]

    net, start = Network(model, SHAPE), threading.Barrier(8)

    def work(job):
        start.wait(timeout=60)
        trace = net.trace(x, *job)
        return trace, net.score_from(names[0], trace.activations[names[0]][None], trace)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(work, jobs))
    for (trace, score), right, (target, _) in zip(got, expected, jobs, strict=True):
        close(trace.logits, right.logits)
        close(score, [right.logits[target.index]])
        for name in right.activations:
            close(trace.activations[name], right.activations[name])
            close(trace.gradients[name], right.gradients[name])
    assert not calls_left(model)


def test_one_thread_looks_at_a_model_at_a_time():
    class Busy(L.Layer):
        now = most = 0

        def call(self, x):
            Busy.now += 1
            Busy.most = max(Busy.most, Busy.now)
            time.sleep(0.05)  # long enough for the others to come in, if they could
            Busy.now -= 1
            return x

    model = then(Parts(), Busy())
    with ThreadPoolExecutor(4) as pool:
        nets = list(pool.map(lambda _: Network(model, SHAPE), range(4)))
    assert Busy.most == 1
    assert [net.best for net in nets] == ["conv2"] * 4
    assert not calls_left(model)


def test_nothing_grows(x, monkeypatch):
    monkeypatch.setattr(network, "COMPILED", 3)
    net = Network(functional(Parts(classes=30)), SHAPE)
    for c in range(30):  # classes and pictures share one compiled function
        trace = net.trace(x * c, Target(c, rival=(c + 1) % 30, probability=bool(c % 2)))
        net.score(np.stack([x] * (c + 1)), trace.target)
    assert len(net._compiled) == 2
    wanted = list(permutations(net.layers, 2))
    assert len(wanted) == 6
    for names in wanted:  # lists of layers do not, so the oldest leave
        net.trace(x, Target(0), names)
    net.trace(x, Target(0), wanted[3])
    assert [names for names, _ in net._compiled] == [wanted[4], wanted[5], wanted[3]]


# Refusals


def no_convolution():
    return keras.Sequential([keras.Input(SHAPE), L.Flatten(), L.Dense(3)])


def one_cell():
    return keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 10), L.Flatten(), L.Dense(3)])


def two_outputs():
    parts = Parts()
    model = functional(parts)
    return keras.Model(model.input, [model.output, parts.conv2.output])


def segmentation():
    return keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 3)])


def two_inputs():
    one, two = keras.Input(SHAPE), keras.Input(SHAPE)
    return keras.Model([one, two], L.Dense(3)(L.Flatten()(L.Conv2D(2, 3)(one + two))))


def another_size():
    return keras.Sequential([keras.Input((12, 12, 3)), L.Conv2D(3, 3), L.Flatten(), L.Dense(3)])


class Decides(Subclassed):
    def call(self, x):
        y = super().call(x)
        return y if keras.ops.mean(y) > 0 else -y


def decides():
    return Decides(Parts())


def channels_first():
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3, data_format="channels_first")(L.Permute((3, 1, 2))(image))
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D("channels_first")(x)))


def named(name):
    conv = L.Conv2D(4, 3, name=name)
    return keras.Sequential([keras.Input(SHAPE), conv, L.Flatten(), L.Dense(3)])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (channels_first, "convert it to channels_last"),
        (lambda: named("Käfer"), "name its layers"),
        (lambda: named("my conv"), "name its layers"),
        (decides, "Python if or loop"),
        (no_convolution, "no feature map"),
        (one_cell, "no feature map"),
        (two_outputs, "single output"),
        (segmentation, "single output"),
        (two_inputs, "cannot be run on one picture of 10×10×3"),
        (another_size, "cannot be run on one picture of 10×10×3"),
    ],
)
def test_refused_in_words(build, words, sentence):
    model = build()
    with pytest.raises(UserError, match=words) as error:
        Network(model, SHAPE)
    sentence(error.value)
    assert not calls_left(model)


class Stops(L.Layer):
    def call(self, x):
        tf.debugging.assert_greater(x, 1e9)
        return x


class NoGradient(L.Layer):
    def call(self, x):
        return tf.image.resize(x, (5, 5), method="area")


@pytest.mark.parametrize("layer", [Stops, NoGradient])
def test_what_tensorflow_cannot_do_is_a_sentence(layer, x, sentence):
    parts = Parts()
    net = Network(headed(parts, lambda a: parts.dense(parts.gap(layer()(a)))), SHAPE)
    with pytest.raises(UserError, match="TensorFlow cannot run") as error:
        net.trace(x, Target(0), ("conv2",))
    sentence(error.value)


def test_activations_whose_squares_overflow_are_numbers_all_the_same(x):
    parts = Parts()

    def head(a):
        big = L.Rescaling(1e25, name="big")(a)
        return parts.dense(parts.gap(L.Rescaling(1e-25)(big)))

    trace = Network(headed(parts, head), SHAPE).trace(x, Target(0), ("conv2", "big"))
    a = trace.activations
    close(a["big"], a["conv2"] * np.float32(1e25), rtol=1e-5)
    assert np.abs(a["big"]).max() > 1e20


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(bad, x, sentence):
    parts = Parts()
    net = Network(functional(parts), SHAPE)
    kernel, bias = parts.dense.get_weights()
    parts.dense.set_weights([kernel, bias + np.float32(bad)])
    with pytest.raises(UserError, match="not a finite number") as error:
        net.trace(x)
    sentence(error.value)


def test_a_gradient_that_is_no_number_is_refused(x):
    """The square root at zero: the answer is finite, its gradient is not."""
    parts = Parts()
    image = keras.Input(SHAPE)
    root = keras.ops.sqrt(keras.ops.relu(parts.conv1(image)))
    model = keras.Model(image, parts.dense(parts.gap(parts.conv2(root))))
    net = Network(model, SHAPE)
    assert np.isfinite(model(x[None]).numpy()).all()
    with pytest.raises(UserError, match="not a finite number"):
        net.trace(x, Target(0), ("conv1",))


# The layer doctor: hand-made networks, the verdict on each layer

GOOD, BRANCH, EARLY, PASSES, PICTURE, PLACE, LEADS, SAME = (
    "", "branches", "before the activation", "passes on", "only the picture", "no place left",
    "does not lead", "does not change",
)  # fmt: skip


def conv(name, k=4, size=3, **kw):
    return L.Conv2D(k, size, padding="same", name=name, **kw)


def plain(x):
    x = L.Rescaling(1 / 255, name="rescale")(x)
    x = L.Normalization(mean=[1.0, 2, 3], variance=[1.0, 1, 1], name="normalise")(x)
    x = L.BatchNormalization(name="bn")(conv("conv_bn")(x))
    x = L.ReLU(name="relu")(x)
    x = L.MaxPooling2D(name="pool")(x)
    x = L.SpatialDropout2D(0.5, name="dropout")(conv("conv", activation="relu")(x))
    x = L.ZeroPadding2D(name="padding")(x)
    return conv("last", activation="relu")(x)


def branches(x):
    x = conv("before", activation="relu")(x)
    left, right = conv("left", activation="relu")(x), conv("right", activation="relu")(x)
    x = L.Add(name="add")([conv("left2")(left), right])
    return L.ReLU(name="relu")(x)


def inception(x):
    parts = [conv(f"branch{i}", activation="relu")(x) for i in range(3)]
    return L.Concatenate(name="mixed")(parts)


def pre_activation(x):
    """ResNetV2: norm and activation come first; the shortcut goes round them."""
    x = conv("stem")(x)
    for i in (1, 2):
        y = L.ReLU(name=f"relu{i}")(L.BatchNormalization(name=f"bn{i}")(x))
        x = L.Add(name=f"add{i}")([x, conv(f"conv{i}")(y)])
    return L.ReLU(name="post_relu")(L.BatchNormalization(name="post_bn")(x))


def squeeze_excite(x):
    x = conv("conv", activation="relu")(x)
    s = L.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    s = conv("reduce", 2, 1, activation="relu")(s)
    s = conv("excite", 4, 1, activation="sigmoid")(s)
    return L.Multiply(name="scale")([x, s])


def swish(x):
    x = conv("conv1")(x)
    x = L.Activation("swish", name="swish")(x)
    x = conv("conv2")(x)
    return L.Activation("linear", name="linear")(keras.ops.gelu(x))


def one_by_one(x):
    x = conv("conv", activation="relu")(x)
    x = L.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    return conv("preds", 3, 1)(x)


class Block(keras.Model):
    """A residual block as people write them: its output belongs to no inner layer."""

    def __init__(self):
        super().__init__(name="block")
        self.conv = conv("conv", activation="relu")

    def call(self, x):
        return x + self.conv(x)


class Raw(L.Layer):
    """Its activation is no layer."""

    def __init__(self):
        super().__init__(name="raw")
        self.conv = conv("conv")

    def build(self, shape):
        self.conv.build(shape)
        self.built = True

    def call(self, x):
        return keras.ops.relu(self.conv(x))


class Dead(L.Layer):
    """Computes something for a loss, and hands its input on."""

    def __init__(self):
        super().__init__(name="extra")
        self.conv = conv("conv")

    def build(self, shape):
        self.conv.build(shape)
        self.built = True

    def call(self, x):
        self.conv(x)
        return x


def blocks(x):
    x = conv("stem", activation="relu")(x)
    return Dead()(Block()(Raw()(x)))


class IdentityBlock(Block):
    """Its name says that it passes on, and it does not."""


class AtrousSpatialPyramidPooling(L.Layer):
    def __init__(self):
        super().__init__(name="aspp")
        self.ways = [conv(f"way{rate}", dilation_rate=rate) for rate in (1, 2)]

    def build(self, shape):
        for way in self.ways:
            way.build(shape)
        self.built = True

    def call(self, x):
        return keras.ops.concatenate([way(x) for way in self.ways], -1)


def own_names(x):
    return AtrousSpatialPyramidPooling()(IdentityBlock()(conv("stem", activation="relu")(x)))


def tokens(x):
    """Convolution, transformer, and the tokens put back into a grid."""
    x = t = L.Reshape((100, 4), name="cut")(conv("patch")(x))
    t = t + L.MultiHeadAttention(2, 4, name="attention")(t, t)
    t = L.MultiHeadAttention(2, 4, dropout=0.1, name="more")(t, t)
    return L.Reshape((10, 10, 4), name="grid")(t + x)


def rms(x):
    x = L.RMSNormalization(name="norm")(conv("conv")(x))
    x = L.ReLU(name="relu")(x)
    return L.UpSampling2D(name="larger")(x)


@pytest.mark.many
@pytest.mark.parametrize(
    ("build", "best", "verdicts"),
    [
        (plain, "last", {
            "rescale": PICTURE, "normalise": PICTURE, "conv_bn": EARLY, "bn": EARLY, "relu": GOOD,
            "pool": PASSES, "conv": GOOD, "dropout": PASSES, "padding": PASSES, "last": GOOD,
        }),
        (branches, "relu", {
            "before": GOOD, "left": BRANCH, "right": BRANCH, "left2": BRANCH, "add": EARLY,
            "relu": GOOD,
        }),
        (inception, "mixed", {
            "branch0": BRANCH, "branch1": BRANCH, "branch2": BRANCH, "mixed": GOOD,
        }),
        (pre_activation, "post_relu", {
            "stem": GOOD, "bn1": BRANCH, "relu1": BRANCH, "conv1": BRANCH, "add1": GOOD,
            "bn2": BRANCH, "relu2": BRANCH, "conv2": BRANCH, "add2": EARLY, "post_bn": EARLY,
            "post_relu": GOOD,
        }),
        (squeeze_excite, "scale", {
            "conv": GOOD, "squeeze": PLACE, "reduce": PLACE, "excite": PLACE, "scale": GOOD,
        }),
        (swish, "gelu", {
            "conv1": EARLY, "swish": GOOD, "conv2": EARLY, "gelu": GOOD, "linear": SAME,
        }),
        (one_by_one, "conv", {"conv": GOOD, "pool": PLACE, "preds": PLACE}),
        (own_names, "aspp", {
            "stem": GOOD, "block/conv": BRANCH, "block": GOOD, "aspp/way1": BRANCH,
            "aspp/way2": BRANCH, "aspp": GOOD,
        }),
        (tokens, "grid", {
            "patch": GOOD, "cut": PASSES, "attention": STREWN, "add": BRANCH, "more": STREWN,
            "add_1": GOOD, "grid": GOOD,
        }),
        (rms, "relu", {"conv": EARLY, "norm": EARLY, "relu": GOOD, "larger": PASSES}),
        (blocks, "block", {
            "stem": GOOD, "raw/conv": EARLY, "raw": GOOD, "block/conv": BRANCH, "block": GOOD,
            "extra/conv": LEADS, "extra": SAME,
        }),
    ],
)  # fmt: skip
def test_the_layer_doctor(build, best, verdicts):
    keras.backend.clear_session()
    image = keras.Input(SHAPE)
    model = keras.Model(image, L.Dense(2)(L.GlobalMaxPooling2D()(build(image))))
    net = Network(model, SHAPE)
    assert set(net.layers) == set(verdicts)
    for name, words in verdicts.items():
        poor = net.layers[name].poor
        assert (words in poor) if words else not poor, f"{name}: {poor}"
    assert net.best == best
    assert net.layers[best].suggested
    assert net.suggested == tuple(n for n in net.layers if n in net.suggested)  # in their order
    assert not any(net.layers[n].poor for n in net.suggested)
    assert all(net.spatial_layers[n].shape[:2] != (1, 1) for n in net.spatial_layers)
    assert set(net.layers) - set(net.spatial_layers) == {
        n for n, w in verdicts.items() if w == PLACE
    }


def test_suggested_are_the_ends_of_stages_and_the_merges():
    image = keras.Input((32, 32, 3))
    x = conv("stem", activation="relu")(image)
    for i in range(3):
        x = L.Add(name=f"add{i}")([x, conv(f"side{i}")(x)])
    x = conv("down", strides=2, activation="relu")(x)
    x = conv("end", activation="relu")(x)
    model = keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    assert Network(model, (32, 32, 3)).suggested == ("add0", "add1", "add2", "end")
    told = Network(model, (32, 32, 3), suggested=("down", "stem"))
    assert told.best == "down"
    assert told.suggested == ("stem", "down")


@pytest.mark.parametrize(("width", "middle"), [(4, "normal1"), (8, "reduce1")])
def test_of_cells_that_are_all_bypassed_the_last_of_the_widest_is_suggested(width, middle):
    """As in NASNet: each cell takes the outputs of the two cells before it."""

    def cell(name, one, two, one_step=1, two_step=1, k=4):
        parts = (
            conv(f"{name}_a", k, strides=one_step)(one),
            conv(f"{name}_b", k, strides=two_step)(two),
        )
        return L.Concatenate(name=name)(parts)

    image = keras.Input((8, 8, 3))
    stem = conv("stem")(image)
    start = cell("start", stem, stem)  # 8 x 8
    reduce1 = cell("reduce1", start, stem, 2, 2, k=width)  # 4 x 4
    normal1 = cell("normal1", reduce1, start, 1, 2)  # goes round reduce1
    reduce2 = cell("reduce2", normal1, reduce1, 2, 2)  # 2 x 2; goes round normal1
    normal2 = cell("normal2", reduce2, normal1, 1, 2)
    model = keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(normal2)))
    net = Network(model, (8, 8, 3))
    assert net.suggested == ("stem", middle, "normal2")
    assert net.best == "normal2"
    assert BRANCH in net.layers[middle].poor


def test_a_long_network_suggests_at_most_twenty():
    image = keras.Input(SHAPE)
    x = conv("stem")(image)
    for i in range(30):
        x = L.Add(name=f"add{i:02}")([x, conv(f"side{i}")(x)])
    net = Network(keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x))), SHAPE)
    assert len(net.suggested) == layers.SUGGESTED == 20
    assert {"add00", "add29"} <= set(net.suggested)


def test_layers_are_described():
    net = Network(nested_functional(Parts()), SHAPE)
    layer = net.layers["backbone/conv2"]
    assert (layer.shape, layer.kind) == ((5, 5, 6), "Conv2D")
    assert layer.title == "backbone/conv2 · 5×5×6"
    assert "backbone" not in net.layers


# Keras's own networks: the right layer of each (see the table of other tools' mistakes)


@pytest.mark.longest
@pytest.mark.parametrize(
    ("name", "size", "best", "grid"),
    [
        ("VGG16", 224, "block5_conv3", (14, 14, 512)),
        ("VGG19", 224, "block5_conv4", (14, 14, 512)),
        ("ResNet50", 224, "conv5_block3_out", (7, 7, 2048)),
        ("ResNet50V2", 224, "post_relu", (7, 7, 2048)),
        ("MobileNet", 224, "conv_pw_13_relu", (7, 7, 1024)),
        ("MobileNetV2", 224, "out_relu", (7, 7, 1280)),
        ("EfficientNetB0", 224, "top_activation", (7, 7, 1280)),
        ("DenseNet121", 224, "relu", (7, 7, 1024)),
        ("InceptionV3", 299, "mixed10", (8, 8, 2048)),
        ("InceptionResNetV2", 299, "conv_7b_ac", (8, 8, 1536)),
        ("Xception", 299, "block14_sepconv2_act", (10, 10, 2048)),
        ("NASNetMobile", 224, "activation_187", (7, 7, 1056)),
    ],
)
def test_the_best_layer_of_keras_networks(name, size, best, grid):
    keras.backend.clear_session()  # NASNet's names count from the start of the session
    model = getattr(keras.applications, name)(weights=None)
    net = Network(model, (size, size, 3))
    assert net.best == best
    assert net.layers[best].shape == grid
    assert net.classes == 1000
    assert 3 <= len(net.suggested) <= 20
    assert not any(net.layers[n].shape[2] == 3 for n in net.suggested)
    if name != "NASNetMobile":  # each of its cells is bypassed
        assert not any(net.layers[n].poor for n in net.suggested)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "grid"),
    [("MobileNetV3Small", "Activation", (7, 7, 576)), ("ConvNeXtTiny", "Add", (7, 7, 768))],
)
def test_the_best_layer_where_names_are_automatic(name, kind, grid):
    model = getattr(keras.applications, name)(weights=None)
    layer = (net := Network(model, (224, 224, 3))).layers[net.best]
    assert (layer.kind, layer.shape) == (kind, grid)
