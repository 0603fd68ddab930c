"""The answer's face: tiny pictures painted by hand, and methods that ask many times."""

import base64
import re
from io import BytesIO

import nets
import numpy as np
import pytest
from PIL import Image

from gradcam_core import explain, from_keras, survey
from gradcam_core.explanation import Explanation
from gradcam_core.methods import METHODS
from gradcam_core.types import Meaning, Method, Survey, Target, Trace, UserError

TRICKY = '<img src=x onerror="alert(1)"> & co'
LABELS, SECOND = ("cat", TRICKY, "owl", "ant"), Target(1)
PICTURE = np.full((3, 5, 3), 101, np.uint8)
EMPTY = np.zeros((3, 5), np.float32)
CORNER = EMPTY.copy()
CORNER[0, 4] = 1
COLD, HOT = (68, 1, 84), (253, 231, 37)  # the ends of viridis: #440154, #fde725


def made(target=SECOND, head="softmax"):
    logits = np.float32([0.5, 2, -3, 1])
    shares = np.float32([0.125, 0.5, 0.0625, 0.3125])
    maps = {"Grad-CAM": np.float32([[-1, 4]]), "LayerCAM": np.float32([[0, 0]])}
    trace = Trace(np.zeros((8, 8, 3), np.float32), logits, shares, target, {}, {})
    seen = Survey(PICTURE, target, logits, shares, {}, trace)
    heat = {"Grad-CAM": CORNER, "LayerCAM": EMPTY}
    return Explanation(
        PICTURE,
        target.index,
        shares,
        "conv",
        maps,
        heat,
        survey=seen,
        labels=LABELS,
        meaning=Meaning(head, percent=head != "linear"),
    )


def test_the_likeliest_classes_by_name():
    assert made(Target(2)).label == "owl"
    assert made().top(3) == [(TRICKY, 0.5), ("ant", 0.3125), ("cat", 0.125)]
    assert [name for name, _ in made().top()] == [TRICKY, "ant", "cat", "owl"]


@pytest.mark.parametrize(
    ("opacity", "cold", "hot"),
    [
        (0, (101, 101, 101), (101, 101, 101)),
        (1, COLD, HOT),
        (0.25, (93, 76, 97), (139, 134, 85)),  # 3/4 of 101 and 1/4 of the colour, rounded
    ],
)
def test_an_overlay_is_the_picture_and_the_colours(opacity, cold, hot):
    expected = np.full((3, 5, 3), cold, np.uint8)
    expected[0, 4] = hot
    over = made().overlay(colours="viridis", opacity=opacity)
    assert over.dtype == np.uint8
    assert np.array_equal(over, expected)
    assert (made().overlay("LayerCAM", "viridis", opacity) == cold).all()


def test_an_overlay_has_the_colours_that_are_asked_for():
    """The ends of inferno are #000004 and #fcffa4."""
    over = made().overlay(colours="inferno", opacity=1)
    assert tuple(over[2, 0]) == (0, 0, 4)
    assert tuple(over[0, 4]) == (252, 255, 164)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"method": "HiResCAM"}, "Grad-CAM, LayerCAM"),
        ({"colours": "pink"}, "viridis"),
        ({"colours": "RdBu_r"}, "viridis"),  # of a heatmap without sign its white would be nothing
        ({"opacity": 1.5}, "0 to 1"),
        ({"opacity": float("nan")}, "0 to 1"),
    ],
)
def test_what_an_overlay_refuses(wish, words, sentence):
    with pytest.raises(UserError, match=words) as error:
        made().overlay(**wish)
    sentence(error.value)


@pytest.mark.parametrize(
    ("target", "head", "words"),
    [
        (Target(3), "softmax", "ant (31%)"),
        (Target(3), "sigmoid", "ant (31%)"),
        (Target(3), "linear", "ant (0.312)"),  # a number, not a share
        (Target(3, rival=0), "softmax", "ant (31%) rather than cat"),
    ],
)
def test_its_words_and_its_title(target, head, words):
    seen = made(target, head)
    assert str(seen) == f"{words}, Grad-CAM, LayerCAM at conv"
    assert repr(seen) == f"<Explanation: {seen}>"
    left, right, bar = seen.figure("LayerCAM").axes
    assert left.get_title() == "Original image"
    assert right.get_title() == f"3: {words}\nLayerCAM at conv"
    assert bar.get_ylim() == (0, 1)
    assert np.array_equal(right.get_images()[0].get_array(), seen.overlay("LayerCAM"))


def test_a_figure_has_the_colours_that_are_asked_for():
    right = made().figure(colours="jet").axes[1]
    assert np.array_equal(right.get_images()[0].get_array(), made().overlay(colours="jet"))


def test_a_notebook_gets_a_picture_and_no_markup_of_a_label():
    shown = made()._repr_html_()
    found = re.fullmatch(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)"[^<>]*>', shown)
    assert found
    label = "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &amp; co"
    assert found[1] == f"{label} (50%), Grad-CAM, LayerCAM at conv"
    with Image.open(BytesIO(base64.b64decode(found[2]))) as image:
        assert (image.format, image.size) == ("PNG", (1200, 600))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.png", b"\x89PNG"), ("a.jpg", b"\xff\xd8\xff"), ("a.JPEG", b"\xff\xd8\xff"),
        ("a.pdf", b"%PDF"), ("a.svg", b"<?xml"),
    ],
)  # fmt: skip
def test_a_figure_is_saved_as_its_ending_says(name, start, tmp_path):
    made().save(tmp_path / name)
    made().save(str(tmp_path / name), "LayerCAM", "turbo")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_all_numbers_in_one_file(tmp_path):
    made(Target(1, rival=3)).save(tmp_path / "all.NPZ")
    made().save(tmp_path / "alone.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.NPZ", "alone.npz"]
    with np.load(tmp_path / "all.NPZ", allow_pickle=False) as file:
        held = dict(file)
    words = {name: str(held.pop(name)) for name in ("label", "layer")}
    assert words == {"label": TRICKY, "layer": "conv"}
    expected = {
        "image": PICTURE, "target": 1, "rival": 3, "probabilities": [0.125, 0.5, 0.0625, 0.3125],
        "logits": [0.5, 2, -3, 1], "maps/Grad-CAM": [[-1, 4]], "maps/LayerCAM": [[0, 0]],
        "heatmaps/Grad-CAM": CORNER, "heatmaps/LayerCAM": EMPTY,
    }  # fmt: skip
    assert held.keys() == expected.keys()
    for name, numbers in expected.items():
        assert np.array_equal(held[name], numbers), name
    with np.load(tmp_path / "alone.npz") as file:
        assert set(file) == {*expected, "label", "layer"} - {"rival"}


@pytest.mark.parametrize("name", ["a.gif", "a", "a.npy", ".png"])
def test_other_endings_are_refused(name, tmp_path, sentence):
    with pytest.raises(UserError, match=r"\.png, .*\.npz") as error:
        made().save(tmp_path / name)
    sentence(error.value)
    assert not list(tmp_path.iterdir())


# A network that nobody trained


@pytest.fixture(scope="module")
def spec():
    return from_keras(nets.small(), ["cat", "dog", "owl"], preprocess="scale01")


@pytest.fixture
def noise(rng):
    return rng.integers(0, 256, (21, 35, 3), np.uint8)


def test_a_path_a_pillow_image_and_an_array_are_one_picture(spec, noise, tmp_path):
    Image.fromarray(noise).save(tmp_path / "noise.png")
    first, *others = (
        explain(picture, spec, "conv1", 2)
        for picture in (
            noise, Image.fromarray(noise), tmp_path / "noise.png", str(tmp_path / "noise.png"),
        )
    )  # fmt: skip
    assert first.label == "owl"
    assert first.overlay().shape == (21, 35, 3)
    for seen in others:
        assert np.array_equal(seen.image, noise)
        assert np.array_equal(seen.maps["Grad-CAM"], first.maps["Grad-CAM"])
    seen = survey(Image.fromarray(noise), spec, 2, "conv1", "Grad-CAM")
    assert np.array_equal(seen.maps["conv1", "Grad-CAM"], first.maps["Grad-CAM"])


def test_what_it_says_of_itself_is_short(spec, noise):
    of_one = tuple(name for name, method in METHODS.items() if method.weights)
    seen = explain(noise, spec, "conv1", 2, of_one)
    assert repr(seen).startswith("<Explanation: owl (")
    for said in (repr(seen), repr(seen.survey)):
        assert len(said) < 150
        assert "\n" not in said


@pytest.mark.parametrize("of_picture", [False, True])
def test_a_method_that_asks_many_times(of_picture, spec, noise, monkeypatch):
    asked_at, told = [], []

    def asks(asked, trace, layer):
        asked_at.append(layer)
        yield 0.25
        assert asked.score(trace.inputs[None], trace.target).shape == (1,)
        yield 0.75
        return np.float32([[2, -1], [0, 1], [1, 0]])

    row = Method(None, "Asks.", "", "many passes", ask=asks, of_picture=of_picture)
    monkeypatch.setitem(METHODS, "Asking", row)
    seen = explain(noise, spec, "conv1", 1, ("Asking", "Grad-CAM"), progress=told.append)
    assert asked_at == [None if of_picture else "conv1"]
    assert told == [0.25, 0.75]
    assert list(seen.maps) == list(seen.heatmaps) == ["Asking", "Grad-CAM"]
    heat = seen.heatmaps["Asking"]
    assert [heat[0, 0], heat[-1, 0], heat[0, -1]] == [1, 0.5, 0]  # the corners show their cells
    assert np.array_equal(seen.overlay(), seen.overlay("Asking"))
    title = seen.figure().axes[1].get_title().splitlines()[-1]
    assert title == ("Asking" if of_picture else "Asking at conv1")


def test_the_usual_look_mutes_the_picture_and_lights_it():
    """By hand, of a grey of 101 where heat is 0: (8.925 + 0.525 * 101) * (0.86, 0.92, 1.08)."""
    over = made().overlay()
    assert tuple(over[2, 0]) == (53, 57, 67)
    # heat 1: a twentieth of that, and 0.95 of (255, 228, 84) shaded by s = 0.6 + 0.4 sqrt(101/255)
    s = 0.6 + 0.4 * (101 / 255) ** 0.5
    lit = [0.95 * c * s**power for c, power in ((255, 0.8), (228, 1.15), (84, 1.7))]
    for got, colour, muted in zip(over[0, 4], lit, (53.3, 57.0, 66.9), strict=True):
        assert abs(float(got) - (colour + 0.05 * muted)) <= 1
