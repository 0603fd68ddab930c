"""The tab "Look": widget values in, widget values out, without a server and without a browser."""

import base64
import io
import json
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visitor import (
    CHEETAH,
    LION,
    MEGABYTE,
    MODEL,
    PICTURE,
    SPEC,
    TABBY,
    answered,
    is_a_sentence,
    look,
    sent,
)

from demo import api, engine, handlers, words
from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import heatmap, lookup, pipeline
from gradcam_core import image as pictures
from gradcam_core.methods import one_pass
from gradcam_core.types import F32, U8, Layer, Target

pytestmark = pytest.mark.usefixtures("uploads")


# ---- an answer ---------------------------------------------------------------------------------


def test_an_answer_has_the_maps_of_the_pipeline(put: Callable[..., str]) -> None:
    path = put("cheetah_and_lion.jpg")
    view = look(path, MODEL, CHEETAH, LION)
    assert view.error == ""
    assert view.base is not None
    assert view.base.path == os.path.realpath(path)
    answer = view.answer
    assert answer is not None
    image = pictures.read_rgb(path)
    bands = {
        "target": Target(CHEETAH), "rival": Target(LION), "contrast": Target(CHEETAH, LION),
    }  # fmt: skip
    maps = sent(answer)
    for band, target in bands.items():
        seen = pipeline.survey(image, MODEL, target)
        assert [row["name"] for row in answer["layers"]] == list(seen.trace.activations)
        for (layer, method), signed in seen.maps.items():
            got = maps[layer, band, method]
            if got.shape == signed.shape:
                assert np.abs(got - signed).max() <= 1.01 * np.abs(signed).max() / 127
            else:
                block = signed.shape[0] // got.shape[0]  # of EfficientNet: whole blocks
                means = signed.reshape(got.shape[0], block, -1, block).mean(axis=(1, 3))
                assert np.abs(got - means).max() <= 1.01 * np.abs(means).max() / 127
    seen = pipeline.survey(image)
    assert answer["picture"] == [256, 512]
    assert (answer["target"], answer["rival"]) == (CHEETAH, LION)
    order = np.argsort(-seen.probabilities, kind="stable")
    assert [c["index"] for c in answer["classes"]] == [int(i) for i in order[:5]]
    for place, c in enumerate(answer["classes"], 1):
        assert c["label"] == SPEC.labels[c["index"]]
        assert c["p"] == pytest.approx(seen.probabilities[c["index"]], abs=1e-5)
        assert c["y"] == pytest.approx(seen.logits[c["index"]], abs=1e-3)
        assert c["rank"] == place
    assert len(answer["bytes"]) <= 300_000
    assert len(json.dumps(answer, allow_nan=False)) < 400_000


def test_a_class_far_down_is_in_the_list_of_classes_too(put: Callable[..., str]) -> None:
    answer = answered(put(), MODEL, TABBY, 0)
    assert [c["index"] for c in answer["classes"][5:]] == [TABBY, 0]
    p = pipeline.survey(pictures.read_rgb(EXAMPLES_DIR / "lion.jpg")).probabilities
    assert answer["classes"][5]["rank"] == 1 + int((p > p[TABBY]).sum())


# ---- bad values --------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "path": PICTURE, "model": MODEL, "target": "", "rival": "",
    "detail": False,
}  # fmt: skip
NUMBERS = [
    -2,
    1000,
    10**9,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    True,
    "291",
    "lion",
    [],
    {},
    [1],
]
BAD = (
    [
        ("path", v)
        for v in (None, "", 3, [], {}, "/etc/passwd", "http://example.com/a.jpg", MEGABYTE)
    ]
    + [("model", v) for v in (None, "", "vgg", "VGG19", 1, [], {}, ["vgg19"], MEGABYTE)]
    + [(key, v) for key in ("target", "rival") for v in [-1, *NUMBERS, MEGABYTE]]
    + [
        ("name", v)
        for v in ("nope", "top_conv/x", ["top_conv"], {"a": 1}, 5, float("nan"), MEGABYTE)
    ]
)


@pytest.mark.parametrize(
    ("key", "value"), BAD, ids=[f"{k}-{str(v)[:24]}-{type(v).__name__}" for k, v in BAD]
)
def test_a_bad_value_gets_a_sentence_and_nothing_else(
    key: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = look(**(GOOD | {key: value}))
    assert is_a_sentence(view.error), view.error
    assert view.error != words.FAILED, "foreseen, so it is said what is wrong"
    assert (view.base, view.answer) == (None, None)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_class_against_itself_gets_a_sentence() -> None:
    for index in (LION, ""):  # the lion is what is predicted
        assert "two different classes" in look(PICTURE, MODEL, index, LION).error


def test_a_broken_picture_gets_its_sentence(uploads: Path) -> None:
    whole = (EXAMPLES_DIR / "lion.jpg").read_bytes()
    noise = io.BytesIO()
    Image.new("1", (7000, 7000)).save(noise, "PNG")
    files = {
        "empty.jpg": (b"", pictures.EMPTY),
        "text.jpg": (b"<script>alert(1)</script>", pictures.UNKNOWN),
        "cut.jpg": (whole[: len(whole) // 2], pictures.DAMAGED),
        "large.png": (noise.getvalue(), pictures.LARGE),
    }
    for name, (content, sentence) in files.items():
        (uploads / name).write_bytes(content)
        view = look(str(uploads / name))
        assert (view.error, view.answer) == (sentence, None)
    assert is_a_sentence(look(str(uploads)).error)
    gone = look(str(uploads / "gone.jpg"))
    assert is_a_sentence(gone.error)


def test_a_picture_that_was_cleared_away_is_asked_for_again(put: Callable[..., str]) -> None:
    """Gradio deletes uploads after an hour; the answer may still be kept, its picture is gone."""
    path = put()
    assert look(path).error == ""
    Path(path).unlink()
    view = look(path)
    assert is_a_sentence(view.error)
    assert view.answer is None


def test_what_nobody_foresaw_is_logged_and_said_in_one_sentence(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("CUDA error at /home/secret")

    path = put()
    monkeypatch.setattr(pipeline, "look", broken)
    assert look(path).error == words.FAILED
    assert is_a_sentence(words.FAILED)
    assert "CUDA error" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(Path(path).parent))
    assert look(path).error == "", "a failure is not kept"


def test_refused_pictures_leave_nothing_in_memory(uploads: Path) -> None:
    def kept() -> int:
        return len(engine._surveys._entries) + len(handlers._answers._entries)

    before = kept()
    for n in range(50):
        (uploads / f"{n}.jpg").write_text("not a picture")
        assert look(str(uploads / f"{n}.jpg")).error
    assert kept() <= before


# ---- the figure --------------------------------------------------------------------------------

FIGURE: dict[str, Any] = {
    "path": PICTURE, "model": MODEL, "layer": "block6a_project_bn", "method": "Grad-CAM",
    "sign": "for", "colours": "viridis", "opacity": 0.5, "target": LION, "rival": None,
    "detail": False,
}  # fmt: skip


def test_the_figure_is_a_png() -> None:
    made = handlers.draw(FIGURE)
    assert set(made) == {"png"}
    with Image.open(io.BytesIO(base64.b64decode(made["png"]))) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 600)


def test_a_figure_on_a_scale_that_goes_on_for_ever_shows_nothing() -> None:
    def overlay(**more: Any) -> U8:
        with Image.open(io.BytesIO(base64.b64decode(handlers.draw(FIGURE | more)["png"]))) as all:
            return np.asarray(all.convert("RGB"))[:, 620:, :]

    plain = overlay(opacity=0.0)
    assert np.abs(overlay(opacity=1.0).astype(int) - plain).mean() > 20
    dark = heatmap.palette("viridis")[0]
    shown = overlay(opacity=1.0, top=1e9)
    assert (np.abs(shown.astype(int) - dark).sum(axis=2) < 6).mean() > 0.5


def test_the_figure_has_the_box_that_is_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[Any] = []
    draw = heatmap.figure
    monkeypatch.setattr(heatmap, "figure", lambda *all: (frames.append(all[4]), draw(*all))[1])
    h, w = pictures.read_rgb(FIGURE["path"]).shape[:2]
    for box in (None, [0, 0.25, 0.5, 1]):
        assert set(handlers.draw(FIGURE | {"box": box})) == {"png"}
    assert frames[0] is None
    assert frames[1] == (0, round(0.25 * h), round(0.5 * w), h)


@pytest.mark.parametrize(
    "request_",
    [None, [], "x", 3, {}]
    + [FIGURE | {k: v} for k, v in BAD if k == "path" or k == "model"]
    + [FIGURE | {"target": v} for v in NUMBERS]
    + [FIGURE | {k: v} for k in ("method", "colours", "sign") for v in ("nope", [], {}, 7)]
    + [FIGURE | {k: MEGABYTE} for k in ("method", "colours", "sign")]
    + [FIGURE | {"layer": v} for v in ("nope", ["top_conv"], 7, MEGABYTE)]
    + [FIGURE | {"top": v} for v in (-1, float("nan"), float("inf"), 10**400, "1", [], MEGABYTE)]
    + [FIGURE | {"box": v} for v in (0.5, "1", [], [0, 0, 1], [0, 0, 1, 2], [0, 0, 0, 1], MEGABYTE)]
    + [FIGURE | {"box": [v, 0, 1, 1]} for v in (-1, float("nan"), "0", True, [])]
    + [FIGURE | {"opacity": v} for v in (None, "half", [], [1, 2], {}, float("nan"))],
    ids=lambda r: str(next((f"{k}-{v!r:.20}" for k, v in r.items() if FIGURE.get(k) is not v), r))
    if isinstance(r, dict) else str(r),
)  # fmt: skip
def test_a_bad_question_for_a_figure_gets_a_sentence(
    request_: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = handlers.draw(request_)
    assert set(made) == {"error"}
    assert is_a_sentence(made["error"]), made
    assert made["error"] != words.FAILED
    assert not caplog.records, "it is no fault of the server's"


@pytest.mark.parametrize("name", ["moves.gif", "still.png"])
def test_a_picture_that_moves_is_shown_still(uploads: Path, name: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    path = str(uploads / name)
    frames[0].save(path, save_all=True, append_images=frames[1:])
    view = look(path)
    assert view.note == pictures.MOVES
    assert view.base
    assert Path(view.base.path).parent == Path(path).parent
    assert pictures.read(view.base.path)[1] == ()
    assert view.answer
    assert view.answer["path"] == path, "what is asked next has its survey already"
    np.testing.assert_array_equal(pictures.read_rgb(view.base.path), pictures.read_rgb(path))
    again = look(view.base.path)
    assert (again.note, again.error) == ("", "")
    assert handlers.shown(view.answer, "So.").note == f"{pictures.MOVES} So."
    assert handlers.shown(again.answer, "So.").note == "So."


def test_what_was_done_to_a_picture_is_said_and_shown(uploads: Path) -> None:
    """12 bits of 16: a browser would show it all but black."""
    path = str(uploads / "twelve.png")
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    Image.fromarray(grey).save(path)
    view = look(path)
    assert (view.note, view.error) == (pictures.STRETCHED, "")
    assert view.base
    with Image.open(view.base.path) as shown:
        assert (shown.mode, shown.getpixel((0, 0))) == ("RGB", (0, 0, 0))
        assert shown.getpixel((63, 47)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["lion.jpg", "tower.jpg"])
def test_a_picture_is_read_once_for_all_questions(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done, read = [], pictures.read
    monkeypatch.setattr(pictures, "read", lambda path: done.append(path) or read(path))
    path = put(name)
    for rival in ("", 7):
        view = look(path, target=3, rival=rival)
        assert (view.note, view.error) == ("", "")
        assert view.base
        assert view.base.path == path
    assert done == [path]


def test_two_questions_to_the_api_have_two_overlay_files(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer conv_1 for class 12, then conv_11 for class 2: the same letters one after the other."""
    path = put()
    seen = pipeline.survey(pictures.read_rgb(path), MODEL)
    layers = iter([Layer("conv_1", (7, 7, 9), "Conv2D"), Layer("conv_11", (7, 7, 9), "Conv2D")])
    answers = iter(
        [(replace(seen, target=Target(i)), np.ones((7, 7), np.float32)) for i in (12, 2)]
    )
    monkeypatch.setattr(lookup, "layer_of", lambda *_: next(layers))
    monkeypatch.setattr(engine, "one_map", lambda *_: next(answers))
    files = [api.endpoint({"path": path})["overlay"]["path"] for _ in range(2)]
    assert files[0] != files[1]
    assert all(Path(file).is_file() for file in files)


def test_a_network_is_fetched_while_others_are_at_work(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download takes minutes: nobody may wait for it but who asked for that network."""
    free = engine.compute_slots._value
    seen = []
    real = lookup.network

    def network(*args: Any, **options: Any) -> Any:
        seen.append(engine.compute_slots._value)
        return real(*args, **options)

    monkeypatch.setattr(lookup, "network", network)
    api.endpoint({"path": put()})  # type: ignore[arg-type]
    handlers.draw(
        {"path": put(), "model": MODEL, "target": 1, "rival": None, "method": "Grad-CAM",
         "sign": "both", "colours": "viridis"}
    )  # fmt: skip
    assert seen[0] == free
    assert seen.count(free) == 2


# ---- computed once -----------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every pass through the network, by its target."""
    from gradcam_core.network import Network

    done: list[Any] = []
    trace = Network.trace

    def counted(self: Network, x: F32, target: Any = None, layers: Any = ()) -> Any:
        done.append(target)
        return trace(self, x, target, layers)

    monkeypatch.setattr(Network, "trace", counted)
    return done


def test_each_question_is_computed_once(put: Callable[..., str], passes: list[Any]) -> None:
    path = put("cheetah_and_lion.jpg")

    def cost(*question: Any) -> int:
        before = len(passes)
        view = look(path, MODEL, *question)
        assert view.error == ""
        assert look(path, MODEL, *question).answer == view.answer
        return len(passes) - before

    assert cost("", "", False) == 1
    assert cost(LION, "", False) == 0, "the lion is what was predicted"
    assert cost(CHEETAH, "", False) == 1
    assert cost(LION, CHEETAH, False) == 1, "both are known, only their difference is not"
    assert cost(CHEETAH, "", False) == 0
    assert cost("", "", True) == 1, "detail is another pass"


@pytest.mark.parametrize("question", [("", ""), (CHEETAH, TABBY)], ids=["one", "two"])
def test_eight_visitors_at_once_share_one_pass(
    put: Callable[..., str], passes: list[Any], question: tuple[int, int]
) -> None:
    path, start = put(), threading.Barrier(8)

    def visit(_number: int) -> Any:
        start.wait()
        return look(path, MODEL, *question)

    with ThreadPoolExecutor(8) as visitors:
        views = list(visitors.map(visit, range(8)))
    assert all(view.error == "" for view in views)
    assert all(view.answer == views[0].answer for view in views)
    assert len(passes) == len(set(map(str, passes))) == (1 if question[1] == "" else 4)


def test_thirty_at_once_get_what_each_would_get_alone(put: Callable[..., str]) -> None:
    classes = ("", CHEETAH, LION, TABBY, 0, 999)
    questions = [(name, index) for name in EXAMPLES for index in classes]
    assert len(questions) == 30

    paths = {(who, name): put(name, f"{who}-{name}") for name in EXAMPLES for who in ("we", "i")}

    def ask(question: tuple[str, int], who: str) -> dict[str, Any]:
        name, index = question
        view = look(paths[who, name], MODEL, index)
        assert view.error == ""
        assert view.answer is not None
        return view.answer

    with ThreadPoolExecutor(30) as visitors:
        together = list(visitors.map(lambda question: ask(question, "we"), questions))
    for question, got in zip(questions, together, strict=True):
        alone = ask(question, "i")
        assert got["target"] == alone["target"]
        assert got["picture"] == alone["picture"]
        assert [c["index"] for c in got["classes"]] == [c["index"] for c in alone["classes"]]
        for a, b in zip(got["classes"], alone["classes"], strict=True):
            assert (a["p"], a["y"]) == (
                pytest.approx(b["p"], abs=1e-5),
                pytest.approx(b["y"], abs=1e-4),
            )
        mine, other = sent(got), sent(alone)
        assert mine.keys() == other.keys()
        for key, grid in mine.items():
            assert np.abs(grid - other[key]).max() <= 1.01 * np.abs(other[key]).max() / 127, key


def test_an_answer_says_which_method_shows_a_layer_and_what_is_known_of_it(
    put: Callable[..., str],
) -> None:
    """What is held against another class has both signs, which LayerCAM has not."""
    answer = look(put(), target=LION, rival=CHEETAH).answer
    assert answer
    rows = {row["name"]: row for row in answer["layers"]}
    bands = ("target", "rival", "contrast")
    assert rows["top_activation"]["film"] == dict.fromkeys(bands[:2], "Grad-CAM") | {
        "contrast": "HiResCAM"
    }
    assert rows["block5c_add"]["film"] == dict.fromkeys(bands[:2], "LayerCAM") | {
        "contrast": "HiResCAM"
    }
    assert rows["block5c_add"]["verdicts"]["Grad-CAM"] == "worse"
    assert rows["block5c_add"]["verdicts"]["LayerCAM"] == "better"
    assert all(set(row["verdicts"]) == set(one_pass()) for row in rows.values())


def test_the_cells_of_the_best_layer_and_the_head_start_are_the_score(
    put: Callable[..., str],
) -> None:
    answer = look(put(), target=LION, rival=CHEETAH).answer
    assert answer
    y = {c["index"]: c["y"] for c in answer["classes"]}
    scores = {"target": y[LION], "rival": y[CHEETAH], "contrast": y[LION] - y[CHEETAH]}
    for band, score in scores.items():
        target = Target(CHEETAH) if band == "rival" else Target(LION)
        target = Target(LION, CHEETAH) if band == "contrast" else target
        cells = pipeline.survey(pictures.read_rgb(put()), MODEL, target, "top_activation")
        total = cells.maps["top_activation", "Grad-CAM"].sum()
        assert answer["starts"][band] + total == pytest.approx(score, abs=2e-3), band


def test_strength_is_that_of_the_likeliest_class_whatever_is_shown(
    put: Callable[..., str],
) -> None:
    zebra = look(put(), target=340).answer
    first = look(put()).answer
    assert zebra
    assert first
    assert zebra["strength"] == first["strength"]
    seen = pipeline.survey(pictures.read_rgb(put()), MODEL)
    for (layer, method), signed in seen.maps.items():
        strongest = max(float(signed.max()), 0)
        assert first["strength"][f"{layer}/{method}"] == pytest.approx(strongest, rel=1e-4)
