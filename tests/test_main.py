"""The command line: the article's options, files that appear, and one sentence with status 2."""

import io
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from nets import KERAS_2, save, teachable_machine
from PIL import Image

from gradcam_core import SETTINGS, explain, lookup, models
from gradcam_core import __main__ as command_line
from gradcam_core import image as pictures
from gradcam_core.heatmap import COLOURS
from gradcam_core.methods import METHODS
from gradcam_core.types import Method, UserError

HOME = Path(__file__).parent.parent


@pytest.fixture
def lion(photos):
    return str(photos / "lion.jpg")


@pytest.fixture
def shown(monkeypatch):
    """Addresses that would have been opened on the screen."""
    addresses = []
    monkeypatch.setattr(command_line.webbrowser, "open", addresses.append)
    return addresses


def size(path):
    with Image.open(path) as image:
        image.load()
        return image.size


def test_the_articles_options(lion, tmp_path, capsys, shown):
    out = tmp_path / "lion.png"
    status = command_line.main(["-i", lion, "-o", str(out), "-l", "block5c_add", "-v"])
    told = capsys.readouterr()
    assert (status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert len(lines) == 5 + 2  # the five likeliest, what it is, where it is
    assert lines[0].split()[:2] == ["291", "lion"]
    assert lines[5].startswith("lion (")
    assert "Grad-CAM at block5c_add" in lines[5]
    assert lines[6] == f"saved {out}"
    assert size(out) == (1200, 600)  # 10 x 5 inches at 120 dots
    assert not shown


def test_quiet_saves_and_says_nothing(lion, tmp_path, capsys, shown):
    out = tmp_path / "lion.jpg"
    assert command_line.main(["--input", lion, "--output", str(out), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert size(out) == (1200, 600)
    assert not shown


@pytest.mark.parametrize(("how", "told"), [([], [pictures.STRETCHED]), (["-q"], [])])
def test_what_was_done_to_the_picture_is_told_unless_quiet(how, told, tmp_path, capsys):
    Image.fromarray(np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)).save(tmp_path / "12.png")
    files = ["-i", str(tmp_path / "12.png"), "-o", str(tmp_path / "out.png")]
    assert command_line.main([*files, *how]) == 0
    assert capsys.readouterr().out.splitlines()[:1] == told


@pytest.mark.parametrize(
    ("how", "told"),
    [([], "\rfetching the weights:  50%\rfetching the weights: 100%\n"), (["-q"], "")],
)
def test_a_download_is_told_unless_quiet(how, told, lion, tmp_path, capsys, monkeypatch):
    net = lookup.network()

    def fetched(*_args, progress=None, **_options):
        for part in (0.5, 1.0):
            if progress:
                progress(part)
        return net

    monkeypatch.setattr(lookup, "network", fetched)
    assert command_line.main(["-i", lion, "-o", str(tmp_path / "lion.png"), *how]) == 0
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("how", "told"), [([], "\rAsking:  25%\rAsking:  50%\n"), (["-q"], "")])
def test_many_passes_are_told_unless_quiet(how, told, lion, tmp_path, capsys, monkeypatch):
    def asks(asked, trace, layer):
        yield 0.25
        yield 0.5
        return trace.activations[layer][..., 0]

    monkeypatch.setitem(METHODS, "Asking", Method(None, "Asks.", "", "many passes", ask=asks))
    out = str(tmp_path / "lion.png")
    assert command_line.main(["-i", lion, "-o", out, "--method", "Asking", *how]) == 0
    assert capsys.readouterr().err == told


def test_a_sentence_has_a_line_of_its_own(lion, tmp_path, capsys, monkeypatch):
    def asks(asked, trace, layer):
        yield 0.25
        raise UserError("It stopped.")

    monkeypatch.setitem(METHODS, "Asking", Method(None, "Asks.", "", "many passes", ask=asks))
    out = str(tmp_path / "lion.png")
    assert command_line.main(["-i", lion, "-o", out, "--method", "Asking"]) == 2
    assert capsys.readouterr().err == "\rAsking:  25%\nIt stopped.\n"


def test_the_colours_of_the_overlay(lion, tmp_path, capsys, monkeypatch):
    drawn = []
    draw = command_line.heatmap.figure
    monkeypatch.setattr(command_line.heatmap, "figure", lambda *a: drawn.append(a) or draw(*a))
    out = str(tmp_path / "lion.png")
    assert command_line.main(["-i", lion, "-o", out, "-q", "--colours", "inferno"]) == 0
    ((_image, over, _title, colours),) = drawn
    assert colours == "inferno"
    assert np.array_equal(over, explain(lion).overlay(colours="inferno"))
    with pytest.raises(SystemExit) as stop:
        command_line.main(["-i", lion, "--colours", "pink"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in COLOURS)


def test_all_numbers_at_twice_the_side(lion, tmp_path):
    out = tmp_path / "lion.npz"
    assert command_line.main(["-i", lion, "-o", str(out), "-q", "--detail"]) == 0
    with np.load(out) as file:
        assert file["maps/Grad-CAM"].shape == (14, 14)  # 448 / 32
        assert (int(file["target"]), str(file["label"])) == (291, "lion")


def test_without_an_output_the_figure_is_shown(lion, tmp_path, monkeypatch, capsys, shown):
    monkeypatch.setattr(command_line.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    assert command_line.main(["-i", lion]) == 0
    (file,) = tmp_path.iterdir()
    assert shown == [file.as_uri()]
    assert size(file) == (1200, 600)
    assert f"saved {file}" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "name"), [("tiger", "tiger"), ("292", "tiger")])
def test_another_class_by_name_or_number(asked, name, lion, tmp_path, capsys, monkeypatch):
    titles = []
    draw = command_line.heatmap.figure
    monkeypatch.setattr(command_line.heatmap, "figure", lambda *a: titles.append(a[2]) or draw(*a))
    out = str(tmp_path / "a.png")
    arguments = ["-i", lion, "-o", out, "--class", asked, "--method", "LayerCAM"]
    assert command_line.main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{name} (")
    (title,) = titles
    assert title.startswith("292: tiger (")
    assert title.endswith("LayerCAM at top_activation")


def test_list_layers(capsys):
    assert command_line.main(["--list-layers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marks = {line.split()[0]: line.split()[3:] for line in lines}
    assert marks["top_activation"] == ["best"]
    assert marks["block1a_project_bn"] == ["suggested"]
    assert marks["top_conv"] == []
    assert lines[0].startswith("stem_conv · 112×112×32")
    assert sum(mark == ["suggested"] for mark in marks.values()) == 16
    assert list(marks) == list(lookup.network().spatial_layers)


def test_a_terminal_that_knows_only_ascii(monkeypatch):
    """Each × of the list becomes a question mark."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert command_line.main(["--list-layers"]) == 0
    out.flush()
    assert out.buffer.getvalue().startswith(b"stem_conv ? 112?112?32")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "missing.jpg", "-o", "a.png"], "could not be opened"),
        (["-i", "text.jpg", "-o", "a.png"], "not a JPEG"),
        (["-i", "empty.jpg", "-o", "a.png"], "empty"),
        (["-o", "a.png"], "--input"),
        (["-i", "LION", "-q"], "--output"),
        (["-i", "LION", "-o", "a.png", "-l", "block5_conv4"], "layer"),
        (["-i", "LION", "-o", "a.png", "--model", "alexnet"], ", ".join(models.MODELS)),
        (["-i", "LION", "-o", "a.png", "--method", "CAM"], ", ".join(METHODS)),
        (["-i", "LION", "-o", "a.png", "--class", "unicorn"], "no class"),
        (["-i", "LION", "-o", "a.png", "--class", "1000"], "no class"),
        (["-i", "LION", "-o", "a.png", "--class", "-1"], "no class"),
        (["-i", "LION", "-o", "a.xyz"], ".png"),
        (["-i", "LION", "-o", "a"], ".png"),
        (["-i", "LION", "-o", "no/such/folder/a.png"], "could not be saved"),
        (["-i", "LION", "-o", "a.png", "--weights", "text.jpg"], "--weights"),
        (["-i", "LION", "-o", "a.png", "--model", "vgg19", "--weights", "no.h5"], "does not exist"),
        (["-i", "LION", "-o", "a.png", "--model", "vgg19", "--weights", "text.jpg"], "not fit"),
    ],
    ids=lambda v: " ".join(v[2:]) if isinstance(v, list) else "",
)  # fmt: skip
def test_refused_with_status_2_and_a_sentence(
    arguments, words, lion, tmp_path, monkeypatch, capsys, sentence, shown
):
    monkeypatch.chdir(tmp_path)
    Path("text.jpg").write_text("not a picture")
    Path("empty.jpg").touch()
    assert command_line.main([lion if a == "LION" else a for a in arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in sentence(told.err)
    assert not Path("a.png").exists()
    assert not shown


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-v", "-q"], ["-i"]])
def test_wrong_options_are_status_2_too(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m gradcam_core")


@pytest.mark.slow
def test_as_a_program(lion, tmp_path, monkeypatch, sentence):
    """No traceback, and no line of TensorFlow's among ours."""
    out = tmp_path / "lion.svg"
    for name in SETTINGS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # which is not installed
    run = [sys.executable, "-m", "gradcam_core"]
    done = subprocess.run(
        [*run, "-i", lion, "-o", str(out)], cwd=HOME, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("lion (")
    assert b"<svg" in out.read_bytes()
    done = subprocess.run([*run, "-i", "no.jpg"], cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 2
    assert "could not be opened" in sentence(done.stderr)
    piped = f"set -o pipefail; {shlex.join(run)} --list-layers | true"  # which reads nothing
    done = subprocess.run(["bash", "-c", piped], cwd=HOME, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# A model of one's own


@pytest.mark.parametrize("name", ["flat.h5", "flat.keras"])
def test_a_file_of_ones_own(name, tmp_path, capsys):
    """The answer is that of the Keras 2 that wrote the file."""
    said = np.load(KERAS_2 / "flat.npz")
    pictures.save_png(said["picture"], tmp_path / "picture.png")
    (tmp_path / "names.csv").write_text("0,left\n1,right\n2,up\n")
    files = ["-i", str(tmp_path / "picture.png"), "-o", str(tmp_path / "out.npz"), "-l", "c2"]
    own = ["--model", str(KERAS_2 / name), "--labels", str(tmp_path / "names.csv")]
    assert command_line.main([*files, *own, "--preprocess", "none"]) == 0
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["probabilities"], said["predictions"], atol=1e-6)
        np.testing.assert_allclose(out["maps/Grad-CAM"], said["map"], rtol=1e-4, atol=1e-6)
        assert str(out["label"]) == ("left", "right", "up")[said["predictions"].argmax()]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "cells"), [("Integrated gradients", (32, 32)), ("Ablation-CAM", 0)]
)
def test_a_method_that_asks_many_times_of_a_file_of_ones_own(method, cells, tmp_path, capsys):
    said = np.load(KERAS_2 / "flat.npz")
    pictures.save_png(said["picture"], tmp_path / "picture.png")
    files = ["-i", str(tmp_path / "picture.png"), "-o", str(tmp_path / "out.npz"), "-l", "c2"]
    own = ["--model", str(KERAS_2 / "flat.keras"), "--preprocess", "none", "--method", method]
    assert command_line.main([*files, *own]) == 0
    out, err = capsys.readouterr()
    assert ("Its pixels add up to" in out) == (method == "Integrated gradients")
    assert err.endswith(f"{method}: 100%\n")
    with np.load(tmp_path / "out.npz") as made:
        assert made[f"maps/{method}"].shape == (cells or said["map"].shape)


def test_what_is_to_be_known_is_told_unless_quiet(tmp_path, capsys):
    """A rim half as wide as the picture, and activations of 1 all over: three quarters lie in it.
    Nobody said how its pixels are scaled."""
    layers = [
        keras.Input((12, 20, 3)),
        keras.layers.ZeroPadding2D((6, 10)),
        keras.layers.Conv2D(1, 1, kernel_initializer="zeros", bias_initializer="ones", name="ones"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(
            2, "softmax", kernel_initializer=keras.initializers.Constant([[1.0, -1.0]])
        ),
    ]
    model = str(save(keras.Sequential(layers), tmp_path / "rim.keras"))
    pictures.save_png(np.full((12, 20, 3), 7, np.uint8), tmp_path / "picture.png")
    files = ["-i", str(tmp_path / "picture.png"), "-o", str(tmp_path / "out.png")]
    assert command_line.main([*files, "--model", model, "--class", "0"]) == 0
    guess, rim, *_ = capsys.readouterr().out.splitlines()
    assert "which is a guess" in guess
    assert rim == (
        "The network puts a rim round the picture. 75% of the evidence lies there, and is not "
        "drawn."
    )
    assert command_line.main([*files, "--model", model, "--class", "0", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_a_poor_layer_is_said_to_be_one(lion, tmp_path, capsys):
    out = str(tmp_path / "out.png")
    assert command_line.main(["-i", lion, "-o", out, "-l", "top_conv"]) == 0
    assert capsys.readouterr().out.startswith("This is not a good layer to explain with: ")


def test_teachable_machine_s_zip(tmp_path, capsys):
    file = teachable_machine(tmp_path / "converted_keras.zip", ["Mug", "Plant"], 5)
    assert command_line.main(["--model", str(file), "--list-layers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("best")] == ["out_relu"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("https://example.org/my.keras", "not fetched"),
        ("none.keras", "does not exist"),
        (".", "is a folder"),
        ("nonsense", "no such model"),
    ],
)
def test_what_is_no_model(name, part, capsys, sentence):
    assert command_line.main(["--model", name, "--list-layers"]) == 2
    said = capsys.readouterr().err
    assert part in said
    if part != "no such model":
        sentence(said)


def test_a_map_is_checked(tiny, lion, capsys):
    """The sentence, one line for each way of painting over, and what it took."""
    assert command_line.main(["check", lion, "--model", tiny, "--class", "dog", "-q"]) == 0
    what, verdict, *fills, cost = capsys.readouterr().out.splitlines()
    assert what.startswith("dog (")
    assert verdict.split()[0] in ("Better", "No", "Undecided:")
    assert [line.split(":")[0].strip() for line in fills] == ["blur", "mean", "linear"]
    assert all("the picture’s centre (" in line for line in fills)
    assert 53 <= int(cost.split()[0]) <= 400


def test_the_check_of_nothing_is_one_sentence(capsys, tmp_path):
    assert command_line.main(["check", str(tmp_path / "none.jpg"), "-q"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
