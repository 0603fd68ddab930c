"""What a model's output means: the model itself is the referee of what is shown."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

from gradcam_core import heads, lookup, models
from gradcam_core.network import Network
from gradcam_core.types import Target, UserError

SHAPE = (9, 12, 3)


@pytest.fixture
def x(rng):
    return rng.uniform(size=SHAPE).astype(np.float32)


def body(image, spread=2.0):
    """Nine numbers of a picture, some of them above zero and some below."""
    keras.utils.set_random_seed(3)
    a = L.Conv2D(8, 3, activation="relu", name="conv")(image)
    normal = keras.initializers.RandomNormal(stddev=spread)
    return L.Dense(9, kernel_initializer=normal, bias_initializer=normal)(
        L.GlobalAveragePooling2D()(a)
    )


def built(head, count, spread=2.0):
    """A model that ends in `head` of `count` numbers z, and one that answers with z."""
    image = keras.Input(SHAPE)
    z = body(image, spread)[:, :count]
    return keras.Model(image, head(z)), keras.Model(image, z)


def share(t):
    return t / ops.sum(t, axis=-1, keepdims=True)


def sigmoid(t):
    return 1 / (1 + ops.exp(-t))


def stochastic(t):
    """A matrix whose rows add up to 1, after a softmax: how answers of experts are mixed."""
    kernel = np.array([[0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.3, 0.3, 0.4]], np.float32)
    return ops.matmul(ops.softmax(t), kernel)


SOFTMAX, SIGMOID = "the score before softmax", "the score before sigmoid"
ITSELF, NUMBER, LOG = heads.PROBABILITY, heads.OUTPUT, heads.LOGARITHM
PROBABILITIES = {  # how the model ends, count of numbers, head, what is explained
    "hard sigmoid": (lambda z: ops.hard_sigmoid(z), 3, "linear", ITSELF),
    "clipped": (lambda z: ops.clip(z + 0.5, 0, 1), 3, "linear", ITSELF),
    "softplus / sum": (lambda z: share(ops.softplus(z)), 3, "linear", ITSELF),
    "sparsemax": (lambda z: ops.sparsemax(z), 3, "linear", ITSELF),
    "softmax clipped": (lambda z: ops.clip(ops.softmax(z), 0.1, 0.8), 3, "linear", ITSELF),
    "softmax squared": (lambda z: share(ops.square(ops.softmax(z))), 3, "linear", ITSELF),
    "sigmoid squared": (lambda z: ops.square(ops.sigmoid(z)), 3, "linear", ITSELF),
    "sigmoid to the fourth": (lambda z: ops.sigmoid(z) ** 4, 2, "linear", ITSELF),
    "cauchy": (lambda z: 0.5 + ops.arctan(z) / np.pi, 3, "linear", ITSELF),
    "experts": (stochastic, 3, "linear", ITSELF),
    "mean of two softmaxes": (
        lambda z: (ops.softmax(z[:, :3]) + ops.softmax(z[:, 3:6])) / 2, 9, "linear", ITSELF,
    ),
    "geometric mean": (
        lambda z: share(ops.sqrt(ops.softmax(z[:, :3]) * ops.softmax(z[:, 3:6]))), 9, "linear",
        ITSELF,
    ),
    "a sigmoid and what is left": (
        lambda z: ops.concatenate([ops.hard_sigmoid(z), 1 - ops.hard_sigmoid(z)], -1), 1, "linear",
        ITSELF,
    ),
    "softmax": (lambda z: ops.softmax(z), 3, "softmax", SOFTMAX),
    "softmax of a temperature": (lambda z: ops.softmax(z / 4), 3, "softmax", SOFTMAX),
    "exp / sum": (lambda z: share(ops.exp(z)), 3, "softmax", SOFTMAX),
    "exp / sum, of large numbers": (lambda z: share(ops.exp(z * 9)), 3, "softmax", SOFTMAX),
    "exp / sum, stable": (
        lambda z: share(ops.exp(z - ops.max(z, axis=-1, keepdims=True))), 3, "softmax", SOFTMAX,
    ),
    "sigmoids": (lambda z: ops.sigmoid(z), 3, "sigmoid", SIGMOID),
    "sigmoids by hand": (sigmoid, 3, "sigmoid", SIGMOID),
    "sigmoids of the tangent": (lambda z: 0.5 * (1 + ops.tanh(z / 2)), 3, "sigmoid", SIGMOID),
    "sigmoids of an exp": (lambda z: ops.exp(z) / (1 + ops.exp(z)), 3, "sigmoid", SIGMOID),
}  # fmt: skip
SCORES = {  # of the numbers z, where it is not z that is explained
    "softmax of a temperature": lambda z: z / 4,
    "exp / sum, of large numbers": lambda z: 9 * z,
}


@pytest.mark.many
@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_probability_is_shown_as_it_is(name, x):
    head, count, kind, score = PROBABILITIES[name]
    model, before = built(head, count)
    net = Network(model, SHAPE)
    assert (net.head, net.meaning.percent, net.meaning.score) == (kind, True, score)
    for picture in (x, 0 * x, 1 - x, x - 0.5):
        answer, z = model(picture[None])[0], before(picture[None])[0].numpy()
        trace = net.trace(picture)
        np.testing.assert_allclose(trace.probabilities, answer, atol=1e-6)
        expected = answer if kind == "linear" else SCORES.get(name, lambda z: z)(z)
        np.testing.assert_allclose(trace.logits, expected, atol=1e-5, rtol=1e-5)
    target = Target(1, probability=True)
    many = np.stack([x, 1 - x])
    np.testing.assert_allclose(net.score(many, target), model(many)[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("head", "kind", "score"),
    [
        (lambda z: ops.log_softmax(z), "softmax", SOFTMAX),
        (lambda z: z - ops.logsumexp(z, axis=-1, keepdims=True), "softmax", SOFTMAX),
        (lambda z: ops.log(share(ops.softplus(z))), "softmax", LOG),
        (lambda z: ops.log_sigmoid(z), "sigmoid", SIGMOID),
    ],
)  # fmt: skip
def test_of_a_logarithm_its_exponential_is_shown(head, kind, score, x):
    model, before = built(head, 3)
    net = Network(model, SHAPE)
    assert (net.head, net.meaning.percent, net.meaning.score) == (kind, True, score)
    trace = net.trace(x)
    np.testing.assert_allclose(trace.probabilities, np.exp(model(x[None])[0]), rtol=1e-5)
    explained = model if score == LOG else before
    np.testing.assert_allclose(trace.logits, explained(x[None])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "score"),
    [
        (sigmoid, SIGMOID),
        (lambda z: 0.5 * (1 + ops.tanh(z / 2)), SIGMOID),
        (lambda z: (ops.sigmoid(z) + ops.sigmoid(-2 * z)) / 2, ITSELF),
    ],
)
def test_one_probability_becomes_two_answers(head, score, x):
    model, before = built(head, 1)
    net = Network(model, SHAPE)
    p, z = float(model(x[None])[0, 0]), float(before(x[None])[0, 0])
    trace = net.trace(x)
    assert (net.classes, net.meaning.score, net.notes) == (2, score, ())
    np.testing.assert_allclose(trace.probabilities, [1 - p, p], rtol=1e-5)
    np.testing.assert_allclose(trace.logits, [-z, z] if score == SIGMOID else [1 - p, p], rtol=1e-5)


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (lambda z: ops.sigmoid(z) + ops.sigmoid(z * 2), 3),
        (lambda z: ops.sigmoid(z) + ops.sigmoid(z * 2), 1),
        (lambda z: 2 * ops.softmax(z) - 1, 3),
        (lambda z: 180 * ops.sigmoid(z), 1),
        (lambda z: z, 1),
        (lambda z: ops.tanh(z), 1),
    ],
)
def test_numbers_are_shown_as_numbers(head, count, x):
    model, _ = built(head, count)
    net = Network(model, SHAPE)
    assert (net.head, net.meaning.percent, net.meaning.score) == ("linear", False, NUMBER)
    assert (net.classes, net.notes) == (count, ())
    np.testing.assert_allclose(net.trace(x).probabilities, model(x[None])[0], rtol=1e-5)


@pytest.mark.parametrize("spread", [0.01, 0.2, 2])
@pytest.mark.parametrize("count", [2, 3, 9])
def test_plain_numbers_are_taken_for_logits(count, spread, x):
    model, before = built(lambda z: z, count, spread)
    net = Network(model, SHAPE)
    e = np.exp(before(x[None])[0])
    assert (net.head, net.meaning.percent) == ("softmax", True)
    assert net.meaning.score == "the output, taken for the score before softmax"
    np.testing.assert_allclose(net.trace(x).probabilities, e / e.sum(), rtol=1e-5)


@pytest.mark.parametrize("white", [1, 255])
def test_all_real_pictures_may_lie_between_0_and_1_by_luck(white, x):
    """The mean of the pixels and what is left of 1: no probabilities, as numbers ten times too
    large show."""
    image = keras.Input(SHAPE)
    scaled = L.Rescaling(1 / white)(image)
    a = L.Conv2D(1, 1, kernel_initializer="ones", use_bias=False)(scaled)
    m = L.GlobalAveragePooling2D()(a / 3)
    for answer in (m, ops.concatenate([m, 1 - m], -1)):
        model = keras.Model(image, answer)
        shown = model(white * np.stack([x, 0 * x, 0 * x + 1])).numpy()
        assert shown.min() >= 0
        assert shown.max() <= 1
        net = Network(model, SHAPE)
        assert net.head == ("linear" if answer is m else "softmax")
        assert net.notes == ()


def test_one_number_between_0_and_1_is_asked_about(x, sentence):
    model, _ = built(lambda z: ops.hard_sigmoid(z), 1)
    p = float(model(x[None])[0, 0])
    asked, yes_or_no, number = (Network(model, SHAPE, head=h) for h in (None, "sigmoid", "linear"))
    assert asked.notes == (heads.PROBABILITY_OR_NUMBER,)
    sentence(asked.notes[0])
    assert "head='sigmoid'" in asked.notes[0]
    assert "head='linear'" in asked.notes[0]
    for net in (asked, number):
        assert (net.classes, net.meaning.percent, net.meaning.score) == (1, False, NUMBER)
        np.testing.assert_allclose(net.trace(x).probabilities, [p], rtol=1e-5)
    assert (yes_or_no.classes, yes_or_no.meaning.percent) == (2, True)
    assert yes_or_no.meaning.score == ITSELF
    np.testing.assert_allclose(yes_or_no.trace(x).probabilities, [1 - p, p], rtol=1e-5)
    assert yes_or_no.notes == number.notes == ()


def test_two_names_say_that_one_number_is_a_probability(x):
    model, _ = built(lambda z: ops.hard_sigmoid(z), 1)
    named = models.from_keras(model, ["healthy", "ill"], "none")
    bare = models.from_keras(model, None, "none")
    assert heads.PROBABILITY_OR_NUMBER not in named.notes
    assert heads.PROBABILITY_OR_NUMBER in bare.notes
    p = float(model(x[None])[0, 0])
    trace = lookup.network(named).trace(x)
    np.testing.assert_allclose(trace.probabilities, [1 - p, p], rtol=1e-5)
    assert bare.labels == ("output",)


def test_several_numbers_between_0_and_1_are_doubted_aloud(sentence):
    model, _ = built(lambda z: ops.hard_sigmoid(z), 3)
    net = Network(model, SHAPE)
    assert net.notes == (heads.PROBABILITIES_OR_NUMBERS,)
    sentence(net.notes[0])
    assert not Network(model, SHAPE, head="sigmoid").notes
    told = Network(model, SHAPE, head="linear")
    assert (told.notes, told.meaning.percent) == ((), False)


@pytest.mark.parametrize(
    ("head", "count", "taken", "others"),
    [
        (lambda z: z, 3, "softmax", ("sigmoid", "linear")),
        (lambda z: z, 1, "linear", ("sigmoid",)),
        (lambda z: ops.hard_sigmoid(z), 1, "linear", ("sigmoid",)),
        (lambda z: ops.hard_sigmoid(z), 3, "sigmoid", ("linear",)),
        (lambda z: ops.softmax(z), 3, None, ()),
        (lambda z: share(ops.softplus(z)), 3, None, ()),
        (lambda z: 2 * ops.softmax(z) - 1, 3, None, ()),
        (lambda z: ops.sigmoid(z), 1, None, ()),
    ],
)
def test_what_nothing_decides_is_a_guess_until_it_is_given(head, count, taken, others, sentence):
    model, _ = built(head, count)
    spec = models.from_keras(model, None, "none")
    assert [(f.kind, f.taken, f.options) for f in spec.guesses] == (
        [("head", taken, others)] if taken else []
    )
    for guess in spec.guesses:
        assert "guess" in guess.why or guess.why in spec.notes
        sentence(guess.why)
    for said in others:
        assert not models.from_keras(model, None, "none", head=said).guesses


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_what_is_told_squashes_nothing_twice(head, x):
    model, _ = built(lambda z: share(ops.softplus(z)), 3)
    net = Network(model, SHAPE, head=head)
    np.testing.assert_allclose(net.trace(x).probabilities, model(x[None])[0], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.parametrize("names", [None, ["no", "yes"]])
@pytest.mark.parametrize("softmax", [L.Softmax(), lambda z: share(ops.exp(z / 1e4))])
def test_a_softmax_over_one_number_is_a_mistake(softmax, names, x, sentence):
    model, _ = built(softmax, 1)
    spec = models.from_keras(model, names, "none")
    assert heads.ALWAYS_ONE in spec.notes
    sentence(heads.ALWAYS_ONE)
    np.testing.assert_array_equal(lookup.network(spec).trace(x).probabilities, [0, 1])


def test_an_answer_that_never_changes(x, sentence):
    model, _ = built(lambda z: z * 0 + np.array([0.2, 0.3, 0.1], np.float32), 3)
    net = Network(model, SHAPE)
    assert net.notes == (heads.ALWAYS_THE_SAME,)
    sentence(net.notes[0])


class Counts(L.Layer):
    """Hands its input on, and counts how often it runs: as the last layer, whole passes."""

    runs = 0

    def call(self, x):
        def one_more():
            Counts.runs += 1
            return np.float32(0)

        return x + tf.reshape(tf.numpy_function(one_more, [], tf.float32), ())


def counting(head):
    image = keras.Input(SHAPE)
    model = keras.Model(image, head(Counts()(body(image))[:, :3]))
    Counts.runs = 0
    return model


def test_what_is_asked_at_load(x):
    """Told in forward passes; nothing where the graph says it, and nothing twice."""
    model = counting(lambda z: ops.softmax(z))
    Network(model, SHAPE)
    assert Counts.runs == 0
    model = counting(lambda z: ops.hard_sigmoid(z))
    net = Network(model, SHAPE)
    assert Counts.runs == heads.TRIALS == len(list(heads.trial_pictures(SHAPE))) == 13
    net.trace(x)
    assert Counts.runs == 14
    spec = models.from_keras(model, None, "none")
    assert Counts.runs == 28  # asked once more, and tried out
    assert lookup.network(spec).meaning == net.meaning
    assert Counts.runs == 28


def test_a_model_that_is_too_large_is_refused_before_it_runs(sentence):
    model = counting(lambda z: z)
    with pytest.raises(UserError, match="MB of feature maps") as error:
        Network(model, SHAPE, most=1000)
    sentence(error.value)
    assert Counts.runs == 0


def test_the_default_network_is_not_asked():
    assert models.MODELS[models.DEFAULT].meaning.score == SOFTMAX


class Strict(L.Layer):
    """Refuses what is not between 0 and 1."""

    def call(self, x):
        tf.debugging.assert_less_equal(tf.reduce_max(tf.abs(x)), 1.0)
        return x


def test_a_model_that_refuses_trial_pictures(x):
    """What is left of them says it still."""
    image = keras.Input(SHAPE)
    z = body(Strict()(image))[:, :3]
    for answer, percent in ((share(ops.softplus(z)), True), (ops.sigmoid(z) * 3, False)):
        net = Network(keras.Model(image, answer), SHAPE)
        assert (net.head, net.meaning.percent) == ("linear", percent)


def test_trial_pictures():
    pictures = np.array(list(heads.trial_pictures((5, 7, 3))))
    assert pictures.shape == (13, 5, 7, 3)
    assert pictures.dtype == np.float32
    assert [(p.min(), p.max()) for p in pictures[:3]] == [(0, 0), (1, 1), (255, 255)]
    tops = [1, 1, 1, 1, 10, 10, 255, 255, 2550, 2550]
    for picture, top in zip(pictures[3:], tops, strict=True):
        assert 0.8 * top < picture.max() <= top
        assert picture.min() >= -top
    assert pictures[5].min() < -0.8
    steps = np.abs(np.diff(np.array(list(heads.trial_pictures((60, 70, 3)))), axis=1)).max(
        (1, 2, 3)
    )
    assert steps[4] < 0.2 < 0.8 < steps[3]  # smooth, noise
