"""All ways of preparing a picture side by side, on a model whose answers are worked out by hand."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from nets import save

from gradcam_core import __main__ as command_line
from gradcam_core import doctor, models, sandbox
from gradcam_core import image as pictures
from gradcam_core.doctor import diagnose
from gradcam_core.network import Network
from gradcam_core.types import ModelSpec, UserError

SHAPE = (8, 12, 1)
GREY = np.full((8, 12, 3), 51, np.uint8)  # a fifth of white


def grey_mean(first=None, limit=0.5):
    """Two classes, the mean m of what comes in against a limit: logits (0, m - limit)."""
    x = image = keras.Input(SHAPE)
    x = L.Conv2D(1, 1, name="same")(first(x) if first else x)
    model = keras.Model(image, L.Dense(2, name="dense")(L.GlobalAveragePooling2D()(x)))
    model.get_layer("same").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    model.get_layer("dense").set_weights([np.array([[0.0, 1.0]]), np.array([0.0, -limit])])
    return model


def asked(model, **more):
    spec = models.from_keras(model, ["dark", "bright"], **({"head": "softmax"} | more))
    return spec, Network(model, SHAPE, head=spec.head)


def bright(m, limit=0.5):
    return 1 / (1 + np.exp(limit - m))


def ways_by_hand(picture_means):
    """(preprocess, crop) -> the probability of "bright"; means of the whole and of the middle."""
    scale = {"scale01": lambda v: v / 255, "scale11": lambda v: v / 127.5 - 1, "none": lambda v: v}
    return {
        (name, crop): bright(scale[name](picture_means[crop]))
        for name in scale
        for crop in (False, True)
    }


def test_all_ways_side_by_side(sentence):
    """A picture twice as wide as the model: its outer quarters are cut away in the middle's way."""
    picture = np.full((8, 24, 3), 255, np.uint8)
    picture[:, 6:18] = 51
    result = diagnose(picture, *asked(grey_mean()))
    expected = ways_by_hand((153, 51))
    assert [(way.preprocess, way.crop) for way in result.ways] == list(expected)
    for way, p in zip(result.ways, expected.values(), strict=True):
        np.testing.assert_allclose(way.probabilities, (1 - p, p), atol=2e-3)
        assert way.target == (p > 0.5)
    assert (result.used, result.favoured) == (0, None)
    assert "guess" in result.why[0]
    for line in result.why:
        sentence(line)


def test_the_way_that_the_model_itself_speaks_for():
    result = diagnose(GREY, *asked(grey_mean(L.Rescaling(2.0, -1.0))))
    assert result.ways[result.favoured].preprocess == "scale01"
    assert result.favoured == result.used
    assert "-1 to 1" in result.why[0]
    given = diagnose(GREY, *asked(grey_mean(L.Rescaling(2.0, -1.0)), preprocess="none"))
    assert given.ways[given.used].preprocess == "none"
    assert given.ways[given.favoured].preprocess == "scale01"
    function = diagnose(GREY, *asked(grey_mean(), preprocess=lambda grey: grey / 51))
    own = function.ways[function.used]
    assert (own.preprocess, len(function.ways)) == ("own", 8)
    np.testing.assert_allclose(own.probabilities[1], bright(1), atol=1e-5)
    assert function.favoured == function.used


def test_pictures_of_known_classes_decide_where_they_are_many():
    """Limit 100: only pixels from 0 to 255 ever pass it."""
    spec, net = asked(grey_mean(limit=100))
    light = np.full((8, 12, 3), 200, np.uint8)
    pairs = [(light, "bright"), (GREY, "dark"), (light, 1)]
    few = diagnose(GREY, spec, net, pairs)
    assert few.favoured is None
    assert "too close" in " ".join(few.why)
    enough = diagnose(GREY, spec, net, [*pairs, (light, "bright")])
    assert enough.ways[enough.favoured].preprocess == "none"
    assert "Of 4 pictures" in enough.why[1]
    assert "right about 4" in enough.why[1]
    assert "about 1 with pixels divided by 255" in enough.why[1]


def test_the_command_line_says_the_same(tmp_path, capsys, sentence):
    """Of a folder with a folder of each class: the same four pictures."""
    file = save(grey_mean(limit=100), tmp_path / "limit.keras")
    (tmp_path / "names.txt").write_text("dark\nbright\n")
    known = tmp_path / "known"
    for name, value, count in (("bright", 200, 3), ("dark", 51, 1)):
        for n in range(count):
            (known / name).mkdir(parents=True, exist_ok=True)
            pictures.save_png(np.full((8, 12, 3), value, np.uint8), known / name / f"{n}.png")
    (known / "bright" / ".hidden").write_text("no picture")
    (known / "notes.txt").write_text("no picture")
    picture = str(known / "dark" / "0.png")
    model = ["--model", str(file), "--labels", str(tmp_path / "names.txt"), "--head", "softmax"]
    given = ["doctor", picture, *model, "-q"]
    assert command_line.main([*given, "--labelled", str(known)]) == 0
    *ways, guess, verdict, same = capsys.readouterr().out.splitlines()
    assert ways[0] == (
        "scale01: pixels divided by 255, of the whole picture · dark (100.0%) · in use"
    )
    assert [way.endswith("· favoured") for way in ways] == [False] * 4 + [True, False]
    assert "which is a guess" in guess
    assert "Of 4 pictures" in verdict
    assert verdict.endswith("that decides.")
    assert "same class" in same
    assert command_line.main(given) == 0
    assert "favoured" not in capsys.readouterr().out
    (known / "dark").rename(known / "dusk")
    given = ["doctor", str(known / "dusk" / "0.png"), *model, "-q"]
    for folder, part in ((known, "no class"), (tmp_path / "none", "a folder of each class")):
        assert command_line.main([*given, "--labelled", str(folder)]) == 2
        assert part in sentence(capsys.readouterr().err)


def test_what_is_favoured_stays_until_pictures_speak_clearly_against_it():
    spec, net = asked(grey_mean(lambda x: 2 * x - 1, limit=50))
    light = np.full((8, 12, 3), 200, np.uint8)
    for count, name in ((2, "scale01"), (3, "none")):
        result = diagnose(GREY, spec, net, [(light, "bright")] * count)
        assert result.ways[result.favoured].preprocess == name


def test_pictures_may_speak_for_the_middle():
    """White about the middle: bright if nothing else is seen. Others leave one scaling only."""
    middle = np.zeros((8, 24, 3), np.uint8)
    middle[:, 6:18] = 255
    light = np.full((8, 12, 3), 200, np.uint8)
    pairs = [(middle, "bright"), (light, "bright"), (GREY, "dark")]
    spec, net = asked(grey_mean(lambda x: 2 * x - 1))
    for times, crop in ((2, False), (3, True)):
        result = diagnose(GREY, spec, net, pairs * times)
        way = result.ways[result.favoured]
        assert (way.preprocess, way.crop) == ("scale01", crop)


@pytest.mark.parametrize(
    ("hits", "favoured", "expected"),
    [
        ([0, 0, 4, 4, 4, 0], 0, 0),  # two scalings are better: which of them?
        ([0, 0, 4, 4, 4, 0], None, None),
        ([0, 0, 4, 4, 1, 0], 0, 2),
        ([2, 0, 4, 4, 1, 0], 0, 0),
        ([2, 0, 4, 4, 1, 0], None, None),
        ([4, 0, 4, 4, 4, 0], 0, 0),
    ],
)
def test_pictures_that_leave_two_scalings_do_not_decide(hits, favoured, expected):
    names = ("scale01", "scale11", "none")
    ways = [doctor.Way(name, crop, None) for name in names for crop in (False, True)]
    assert doctor._by_pictures(hits, 4, 0, favoured, ways)[0] == expected


def test_a_way_without_numbers_is_shown_as_such():
    """Of a number below zero there is no root."""
    result = diagnose(GREY, *asked(grey_mean(ops.sqrt)))
    lost = [way for way in result.ways if way.probabilities is None]
    assert [way.preprocess for way in lost] == ["scale11", "scale11"]
    assert all(way.target is None for way in lost)
    assert "No numbers come out with: pixels divided by 127.5" in " ".join(result.why)


def test_a_network_of_the_list_is_known():
    """Its own function is named if it is one of the list."""
    model = grey_mean()
    for preprocess, name, count in (
        (lambda rgb: rgb.mean(-1, keepdims=True) / 127.5 - 1, "own", 8),
        (models.ways_of_scaling(1)["scale11"], "scale11", 6),
    ):
        spec = ModelSpec("x", lambda _: model, preprocess, 12, ("dark", "bright"), shape=SHAPE)
        result = diagnose(GREY, spec, Network(model, SHAPE))
        assert result.why[0] == doctor.KNOWN
        assert result.favoured == result.used
        assert (result.ways[result.used].preprocess, len(result.ways)) == (name, count)
        np.testing.assert_allclose(
            result.ways[result.used].probabilities[1], bright(-0.6), atol=1e-5
        )


def test_colour_has_all_ways_and_one_answer_is_said():
    image = keras.Input((8, 8, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(image))
    dense = L.Dense(2, kernel_initializer="zeros", bias_initializer=lambda *_, **__: [0.0, 1.0])
    model = keras.Model(image, dense(x))
    spec = models.from_keras(model)
    result = diagnose(GREY, spec, Network(model, (8, 8, 3)))
    assert [way.preprocess for way in result.ways[::2]] == list(models.PREPROCESS)
    assert "same class" in result.why[-1]


@pytest.mark.slow
@pytest.mark.skipif(not sandbox.available(), reason="no limits on this system")
def test_an_upload_in_its_process(tmp_path):
    """The same model in this process is the referee, also where no numbers come out."""
    model = grey_mean(ops.sqrt)
    file = save(model, tmp_path / "model.keras")
    child = sandbox.ModelProcess(file, ["dark", "bright"], head="softmax")
    spec, net = asked(model)
    assert child.spec.findings == spec.findings
    theirs, ours = diagnose(GREY, child.spec, child), diagnose(GREY, spec, net)
    child.close()
    assert (theirs.used, theirs.favoured, theirs.why) == (ours.used, ours.favoured, ours.why)
    for a, b in zip(theirs.ways, ours.ways, strict=True):
        assert (a.preprocess, a.crop) == (b.preprocess, b.crop)
        if b.probabilities is None:
            assert a.probabilities is None
        else:
            np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_a_way_that_somebody_takes_is_a_guess_no_longer():
    spec, net = asked(grey_mean())
    assert [finding.basis for finding in spec.guesses] == ["guessed"]
    for name, crop in (("scale11", True), (spec.findings[0].taken, False)):
        said = models.in_that_way(spec, name, crop, 1)
        assert (said.crop, said.guesses, said.notes) == (crop, (), ())
        result = diagnose(GREY, said, net)
        assert (result.ways[result.used].preprocess, result.ways[result.used].crop) == (name, crop)
        expected = models.ways_of_scaling(1)[name](GREY.astype(np.float32))
        np.testing.assert_allclose(said.preprocess(GREY.astype(np.float32)), expected)
    for bad in ("torch", "nothing", ""):  # torch is for colour
        with pytest.raises(UserError, match="cannot be given its pixels in that way"):
            models.in_that_way(spec, bad, False, 1)
    with pytest.raises(UserError, match="cannot be given its pixels in that way"):
        models.in_that_way(models.find(models.DEFAULT), "scale01", False, 3)
