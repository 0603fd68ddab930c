"""How a model wants its pixels: what it does to black and white, against formulas and by hand."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

from gradcam_core import models, scaling
from gradcam_core.scaling import LEVELS, FirstPart, first_part, weigh

SHAPE = (6, 9, 3)
MADE_FOR = {"none": (0, 255), "scale01": (0, 1), "scale11": (-1, 1)}  # black, white
TO = [(0, 1), (-1, 1), (-0.5, 0.5), (0, 255), (-127.5, 127.5)]


def part(function):
    """A model whose first layers compute this of (h, w, c)."""
    run = lambda x: [np.asarray(function(x[None]), np.float32)]  # noqa: E731
    return FirstPart(run, None, None, 2)


def judged(function, channels=3):
    shape = (*SHAPE[:2], channels)
    return weigh(part(function), shape, models.ways_of_scaling(channels))


def best(evidence):
    return next(iter(evidence.costs))


def affine_cases():
    for made_for, to, turned in itertools.product(MADE_FOR, TO, (False, True)):
        a, b = MADE_FOR[made_for]
        c, d = reversed(to) if turned else to
        scale = (d - c) / (b - a)
        offset = c - scale * a
        if abs(scale) != 1 or offset:  # else it is the picture as it was, or its negative
            yield made_for, scale, offset


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("made_for", "scale", "offset"), list(affine_cases()))
def test_scale_and_offset_say_for_which_white_they_were_made(made_for, scale, offset, channels):
    evidence = judged(lambda x: x * scale + offset, channels)
    assert best(evidence) == made_for
    assert evidence.sure
    assert evidence.scales


@pytest.mark.parametrize("seed", range(40))
def test_a_mean_and_a_spread_of_any_pictures(seed):
    """Each channel's own; drawn as data sets have them. It may be unsure, never wrong and sure."""
    dice = np.random.default_rng(seed)
    mean, spread = dice.uniform(0.3, 0.6, 3), dice.uniform(0.18, 0.32, 3)
    for made_for, (black, white) in MADE_FOR.items():
        m, s = black + (white - black) * mean, (white - black) * spread
        evidence = judged(lambda x, m=m, s=s: (x - m) / s)
        assert best(evidence) == made_for or not evidence.sure
        if made_for != "scale11":
            assert best(evidence) == made_for
            assert evidence.sure


@pytest.mark.parametrize(
    ("function", "made_for"),
    [
        (lambda x: (x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), "scale01"),
        (lambda x: x[..., ::-1] - (103.939, 116.779, 123.68), "none"),
        (lambda x: x - (0.485, 0.456, 0.406), "scale01"),
        (lambda x: (np.maximum(x, 0) / 255) ** 2.2, "none"),
        (lambda x: np.clip(x, 0, 255) / 255, "none"),
        (lambda x: np.floor(x) / 255, "none"),  # by way of whole numbers
        (lambda x: np.clip(x, 0, 1), "scale01"),
        (lambda x: np.clip(x, -1, 1), "scale11"),
        (lambda x: np.clip(x, 0, 255), "none"),
        (lambda x: x @ np.full((3, 1), 1 / 3) / 127.5 - 1, "none"),
        (lambda x: np.pad(x / 128 - 1, ((0, 0), (3, 3), (3, 3), (0, 0))), "none"),
        (lambda x: 2 * x[:, 1:-1, 2:-2] - 1, "scale01"),
        (lambda x: x.reshape(1, -1, 3) / 255 - 0.5, "none"),
    ],
)
def test_other_first_layers(function, made_for):
    evidence = judged(function)
    assert best(evidence) == made_for
    assert evidence.sure


@pytest.mark.parametrize(
    "function",
    [lambda x: x, lambda x: -x, lambda x: 2 * x, lambda x: x / 10, lambda x: 0 * x, np.tanh,
     lambda x: x * np.nan],
)  # fmt: skip
def test_what_decides_nothing_is_not_sure(function):
    assert not judged(function).sure


def test_what_is_scaled_by_its_own_range_takes_any_scale():
    """0 to 1 comes out of pixels to 1 and to 255 alike, and nothing of a plain picture."""

    def stretched(x):
        low, high = x.min((1, 2, 3), keepdims=True), x.max((1, 2, 3), keepdims=True)
        return (x - low) / (high - low)

    with np.errstate(invalid="ignore"):
        evidence = judged(stretched)
    assert evidence.sure
    assert evidence.costs["scale01"] == pytest.approx(evidence.costs["none"])
    switched = judged(lambda x: x / 255 if x.max() > 1.5 else x)
    assert {*list(switched.costs)[:2]} == {"none", "scale01"}


def test_the_cost_of_a_range_by_hand():
    """0 to 2: no range of the list. Its zero lies 0.45 / 0.2 deviations off; its width is one."""
    levels = np.array(LEVELS)[:, None]
    assert scaling.cost_of_levels(255 * levels, levels) == 0
    expected = 1 + (0.45 / 0.2) ** 2 / 2
    assert scaling.cost_of_levels(255 * levels, 2 * levels) == pytest.approx(expected)
    off = (0.01 / 0.05) ** 2 / 2  # 0 to 1.01 is a hundredth off, and a hundredth is idle
    assert scaling.cost_of_levels(levels, 1.01 * levels) == pytest.approx(off + 5)
    assert scaling.cost_of_levels(255 * levels, np.round(levels)) == pytest.approx(12 * 3 / 4)


def test_the_cost_of_moments_by_hand():
    """Mean 3 and variance 4 against 1 and 1; and a quarter of the way from 0 and 1 towards them."""
    met = np.array([[1], [5]], np.float32)
    one = np.ones(1, np.float32)
    expected = 3 * (np.log(1.75) / 2 + 0.25 / 1.75**0.5) + 0.5
    assert scaling.cost_of_moments(met, one, one) == pytest.approx(expected, rel=1e-5)
    assert scaling.cost_of_moments(met, 3 * one, 4 * one) == pytest.approx(0, abs=1e-6)
    quarter = 0.75 * one, 1.75 * one
    assert scaling.cost_of_moments(met, *quarter) == pytest.approx(0.5, abs=1e-6)


def test_typical_pictures_are_like_photographs():
    """Mean and spread of ImageNet; neighbours alike: the amplitude falls with the frequency."""
    rgb = np.stack(scaling.typical_pictures((64, 96)))
    assert rgb.shape[1:] == (64, 96, 3)
    assert (rgb >= 0).all()
    assert (rgb <= 255).all()
    np.testing.assert_allclose(rgb.mean((0, 1, 2)), (124, 116, 104), atol=12)
    assert 45 < rgb.std() < 75
    assert np.corrcoef(rgb[:, :, 1:].ravel(), rgb[:, :, :-1].ravel())[0, 1] > 0.8


# What is found on the graph of a model


class Buffers(L.Layer):
    """Mean and spread as weights that are not trained."""

    def build(self, _shape):
        self.mean = self.add_weight(shape=(3,), initializer="ones", trainable=False)

    def call(self, x):
        return (x - self.mean) / 4


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = L.Conv2D(2, 3), L.Dense(2)

    def call(self, x):
        return self.dense(ops.mean(self.conv(x / 4 - 0.25), (1, 2)))


def headed(image, x):
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(x))))


def with_first(*layers):
    x = image = keras.Input(SHAPE)
    for layer in layers:
        x = layer(x)
    return headed(image, x)


def nested(layer):
    image = keras.Input(SHAPE)
    return headed(image, keras.Sequential([keras.Input(SHAPE), L.RandomFlip(), layer])(image))


def frozen(model):
    model.trainable = False
    return model


def never_built():
    return keras.Sequential(
        [L.Rescaling(0.25, -0.25), L.Conv2D(2, 3), L.GlobalMaxPooling2D(), L.Dense(2)]
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_first(L.Rescaling(0.25, -0.25)),
        lambda: with_first(L.Rescaling(0.25, -0.25), L.BatchNormalization()),
        lambda: with_first(L.Normalization(mean=1.0, variance=16.0)),
        lambda: with_first(lambda x: (x - 1) / 4),
        lambda: with_first(Buffers()),
        lambda: nested(L.Rescaling(0.25, -0.25)),
        lambda: frozen(nested(L.Rescaling(0.25, -0.25))),
        Subclassed,
        never_built,
    ],
)
def test_what_a_model_does_before_it_learns(make, rng):
    x = rng.uniform(0, 255, SHAPE).astype(np.float32)
    model = make()
    model(x[None])
    found = first_part(model, SHAPE)
    (made,) = found.run(x)
    np.testing.assert_allclose(made, (x[None] - 1) / 4, rtol=1e-5, atol=1e-5)
    assert found.outputs == 2
    assert all("call" not in vars(layer) for layer in model.layers)


@pytest.mark.parametrize(
    "make", [with_first, lambda: frozen(with_first()), lambda: with_first(L.RandomFlip())]
)
def test_a_model_that_takes_pixels_as_they_are(make):
    assert first_part(make(), SHAPE).run is None
    assert not weigh(first_part(make(), SHAPE), SHAPE, models.PREPROCESS).scales


def test_two_branches_with_a_scale_each(rng):
    image = keras.Input(SHAPE)
    both = L.Concatenate()([L.Conv2D(2, 3)(image / 4), L.Conv2D(2, 3)(image - 1)])
    x = rng.uniform(0, 255, SHAPE).astype(np.float32)
    a, b = first_part(headed(image, both), SHAPE).run(x)
    np.testing.assert_allclose(a, x[None] / 4, rtol=1e-5)
    np.testing.assert_allclose(b, x[None] - 1, rtol=1e-5)


def with_norm(mean, spread, *before):
    """A layer that normalises, as a batch norm has learned it of such pictures."""
    norm = L.BatchNormalization()
    model = with_first(*before, norm)
    channels = [np.ones(3), np.zeros(3), np.resize(mean, 3), np.resize(spread, 3) ** 2]
    norm.set_weights([np.float32(numbers) for numbers in channels])
    return model


@pytest.mark.parametrize(
    ("mean", "spread", "trained_on"),
    [
        ((124, 116, 104), 58, "none"),
        ((0, 0, 0), 58, "caffe"),
        ((0.486, 0.455, 0.408), 0.227, "scale01"),
        ((-0.03, -0.09, -0.18), 0.45, "scale11"),
        ((47, 44, 40), 36, "none"),  # 0.38 of the way from 0 and 1 towards the first
        (0, 1, "scale01"),  # never trained: nothing decides
    ],
)
def test_a_batch_norm_remembers_on_what_it_was_trained(mean, spread, trained_on):
    """But on what pictures nobody knows, so it is a guess."""
    evidence = weigh(first_part(with_norm(mean, spread), SHAPE), SHAPE, models.PREPROCESS)
    assert best(evidence) == trained_on
    assert not evidence.sure
    assert not evidence.scales
    assert ("batch norm" in evidence.why) == (spread != 1)


def test_a_batch_norm_that_was_trained_on_other_numbers_makes_it_unsure():
    """The first layers say 0 to 1; what the batch norm after them met says another, or none.

    Twice a photograph from -1 to 1, less 1, has the mean -1.2 and the spread 0.9.
    """
    for mean, spread, sure in ((-0.06, 0.45, True), (60, 30, False), (-1.2, 0.9, False)):
        model = with_norm(mean, spread, L.Rescaling(2.0, -1.0))
        evidence = weigh(first_part(model, SHAPE), SHAPE, models.PREPROCESS)
        assert evidence.sure == sure
        assert not sure or best(evidence) == "scale01"


def test_a_batch_norm_that_is_damaged_says_nothing():
    found = first_part(with_norm(0.5, 0.2), SHAPE)
    assert found.moments is not None
    mean, _ = found.moments
    model = with_norm(0.5, 0.2)
    model.layers[1].set_weights([*model.layers[1].get_weights()[:3], -np.ones(3)])
    assert first_part(model, SHAPE).moments is None
    nothing = replace(found, norm=lambda _: [np.full((2, 3), np.nan, np.float32)])
    assert min(weigh(nothing, SHAPE, models.PREPROCESS).costs.values()) >= 100
    assert len(mean) == 3


# What becomes of it


def test_a_guess_is_marked_as_one():
    spec = models.from_keras(with_first(), head="softmax")
    (guess,) = spec.guesses
    assert guess == spec.findings[0]
    assert (guess.kind, guess.taken, guess.basis) == ("preprocess", "scale01", "guessed")
    assert {guess.taken, *guess.options} == set(models.PREPROCESS)
    assert "--preprocess" in guess.why
    assert spec.notes == (guess.why,)
    assert len(guess.why) < 400


def test_evidence_is_no_guess():
    spec = models.from_keras(with_first(L.Rescaling(2.0, -1.0)), head="softmax")
    white = spec.preprocess(np.full(SHAPE, 255, np.float32))
    assert (white == 1).all()
    assert not spec.guesses
    assert spec.findings[0].basis == "found"
    assert "-1 to 1" in spec.notes[0]


def test_what_was_given_holds_and_what_speaks_against_it_is_said():
    model = with_first(L.Rescaling(2.0, -1.0))
    for preprocess in ("none", "scale01", lambda rgb: rgb):
        spec = models.from_keras(model, preprocess=preprocess, head="softmax")
        (finding,) = spec.findings
        assert finding.basis == "given"
        assert not spec.guesses
        white = spec.preprocess(np.full(SHAPE, 255, np.float32))
        assert (white == (1 if preprocess == "scale01" else 255)).all()
        assert finding.options == (("scale01",) if preprocess == "none" else ())
        assert bool(spec.notes) == (preprocess == "none")
