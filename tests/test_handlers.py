"""The tab "Look": widget values in, widget values out, without a server and without a browser."""

import base64
import io
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import keras
import numpy as np
import pytest
from keras import layers as L
from nets import grown
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
    refused,
    sent,
)

from demo import api, engine, handlers, words
from demo.question import EXAMPLES, EXAMPLES_DIR, Chosen
from demo.wire import View
from gradcam_core import heatmap, lookup, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS, one_pass
from gradcam_core.types import (
    F32,
    U8,
    Asked,
    Asking,
    Fusion,
    Layer,
    Method,
    Placement,
    Stopped,
    Target,
    Trace,
)

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
    assert [c["index"] for c in answer["classes"]] == [int(i) for i in order[:7]]
    for place, c in enumerate(answer["classes"], 1):
        assert c["label"] == SPEC.labels[c["index"]]
        assert c["p"] == pytest.approx(seen.probabilities[c["index"]], abs=1e-5)
        assert c["y"] == pytest.approx(seen.logits[c["index"]], abs=1e-3)
        assert c["rank"] == place
    assert len(answer["bytes"]) <= 300_000
    assert len(json.dumps(answer, allow_nan=False)) < 400_000


def test_a_class_far_down_is_in_the_list_of_classes_too(put: Callable[..., str]) -> None:
    answer = answered(put(), MODEL, TABBY, 0)
    assert [c["index"] for c in answer["classes"][7:]] == [TABBY, 0]
    p = pipeline.survey(pictures.read_rgb(EXAMPLES_DIR / "lion.jpg")).probabilities
    assert answer["classes"][7]["rank"] == 1 + int((p > p[TABBY]).sum())


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


def test_a_box_lies_at_the_nearest_pixels() -> None:
    """By hand, 7 wide and 5 high: at 0.7, 1.4, 4.9 and 3.6."""
    image = np.zeros((5, 7, 3), np.uint8)
    assert handlers.frame_of([0.1, 0.28, 0.7, 0.72], image) == (1, 1, 5, 4)


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


def test_beside_a_crop_the_figure_shows_the_photograph(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = models.from_keras(grown(), ["cat", "dog", "lion"], "scale01", size=25)
    monkeypatch.setitem(models.MODELS, "middle", replace(spec, crop=True))
    drawn: list[Any] = []
    real = heatmap.figure
    monkeypatch.setattr(heatmap, "figure", lambda *a: drawn.append(a) or real(*a))
    path = put("cheetah_and_lion.jpg")
    asked = {"path": path, "model": "middle", "target": 1, "rival": None, "method": "HiResCAM"}
    for sign in ("for", "both"):
        assert "png" in handlers.draw(asked | {"sign": sign, "colours": "jet", "opacity": 1})
        image, over, *_ = drawn.pop()
        h, w = image.shape[:2]
        cut = (w - h) // 2  # a square in the middle is seen
        assert cut > 9
        same = (over == image).all(axis=(0, 2))
        assert same[: cut - 1].all()
        assert same[w - cut + 1 :].all()
        assert not same[cut + 1 : w - cut - 1].any()


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


def test_the_api_says_and_draws_where_the_cells_lie(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2x4 cells over the lower half, mirrored; only the first is warm: from the right edge in.

    Its middle is at row 0.625 and column 0.875. From there to the middles of the next cells, at
    0.875 and 0.625, it falls to 0, so to 15 % at 0.8375 and 0.6625.
    """
    path = put()
    seen = pipeline.survey(pictures.read_rgb(path), MODEL)
    placement = Placement((0.5, 0, 0.5), (0, -1, 1))
    layer = Layer("conv", (2, 4, 9), "Conv2D", placement=placement)
    signed = np.zeros((2, 4), np.float32)
    signed[0, 0] = 1
    monkeypatch.setattr(lookup, "layer_of", lambda *_: layer)
    monkeypatch.setattr(engine, "one_map", lambda *_: (seen, signed))
    got = api.endpoint({"path": path})  # type: ignore[arg-type]
    assert got["placement"] == [0.5, 0, 0.5, 0, -1, 1]
    h, w = seen.image.shape[:2]
    assert got["box"] == pytest.approx([0.6625 * w, 0.5 * h, w, 0.8375 * h], abs=2)


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


# ---- methods that ask many times, and methods of several layers ----------------------------------


def of_class(trace: Trace) -> F32:
    """A map that says which class it is for: (2, 3), all class - 10 * rival."""
    rival = trace.target.rival or 0
    return np.full((2, 3), trace.target.index - 10 * rival, np.float32)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two methods that ask four times and one that fuses two layers; every step that is done."""
    done: list[Any] = []

    def four(name: str) -> Callable[..., Asking]:
        def ask(_asked: Asked, trace: Trace, layer: str | None) -> Asking:
            assert layer is None or layer in trace.activations
            try:
                for n in range(4):
                    done.append((name, layer, n))
                    yield n / 4
            finally:
                done.append((name, layer, "end"))
            return of_class(trace)

        return ask

    def pair(asked: Asked, layer: str) -> tuple[str, ...]:
        return ("relu", layer) if layer == "shapes" and "relu" in asked.layers else ()

    def product(pairs: Sequence[tuple[F32, F32]]) -> F32:
        (first, _), (second, _) = pairs
        return np.full((3, 5), first.max() - second.max(), np.float32)

    rows = {
        "Slow-CAM": Method(None, "It asks.", "x", "four passes", ask=four("Slow-CAM")),
        "Far-CAM": Method(None, "So.", "x", "four", ask=four("Far-CAM"), of_picture=True),
        "Pair-CAM": Method(None, "Two layers.", "x", "one", fusion=Fusion(pair, product)),
    }
    for name, row in rows.items():
        monkeypatch.setitem(METHODS, name, row)
    return done


def steps_of(method: str, layer: str | None) -> list[Any]:
    return [*((method, layer, n) for n in range(4)), (method, layer, "end")]


def test_a_usual_answer_has_the_methods_of_one_pass(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    """And of those that fuse layers the map where there is one."""
    made = answered(put(), tiny)
    rows = {row["name"]: row["maps"] for row in made["layers"]}
    usual = {f"target/{method}" for method, row in METHODS.items() if row.weights}
    assert {name: set(maps) - usual for name, maps in rows.items()} == {
        "relu": set(), "shapes": {"target/Pair-CAM", "target/Sharper Grad-CAM"},
    }  # fmt: skip
    assert all(usual <= set(maps) for maps in rows.values())
    seen = pipeline.survey(pictures.read_rgb(PICTURE), tiny)
    a = seen.trace.activations
    pair = sent(made)["shapes", "target", "Pair-CAM"]
    assert pair.shape == (3, 5)
    assert np.allclose(pair, a["relu"].max() - a["shapes"].max(), rtol=1e-4)
    assert made["extra"] is None
    assert asking == []


def test_the_map_of_a_method_that_asks_comes_when_somebody_wants_it(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    """Of one layer, for each band: 2, 1, and 2 - 10 * 1."""
    path = put()
    usual = answered(path, tiny, 2, 1)
    made = answered(path, tiny, 2, 1, name="norm", method="Slow-CAM", token="one")
    assert made["extra"] == {"layer": "norm", "method": "Slow-CAM"}
    assert [row["name"] for row in made["layers"]] == ["norm", "relu", "shapes"]
    maps = sent(made)
    slow = {key: grid for key, grid in maps.items() if key[2] == "Slow-CAM"}
    assert {key: grid.tolist() for key, grid in slow.items()} == {
        ("norm", band, "Slow-CAM"): [[value] * 3] * 2
        for band, value in (("target", 2), ("rival", 1), ("contrast", -8))
    }
    for key, grid in sent(usual).items():
        assert np.array_equal(maps[key], grid), "the rest is as it was"
    assert asking == 3 * steps_of("Slow-CAM", "norm")


def test_it_is_made_once_for_all_who_want_it(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    """The likeliest class, cat, is number 0; the figure and the API take the map that is there."""
    path = put()
    answered(path, tiny, method="Slow-CAM", token="one")
    assert asking == steps_of("Slow-CAM", "shapes"), "the best layer, where none is named"
    answered(path, tiny, name="shapes", method="Slow-CAM", token="two")
    answered(path, tiny, 0, name="shapes", method="Slow-CAM")
    drawn = {"path": path, "model": tiny, "target": 0, "layer": "shapes", "method": "Slow-CAM"}
    assert set(handlers.draw(drawn | {"sign": "for", "colours": "viridis"})) == {"png"}
    said = api.endpoint({"path": path}, tiny, "shapes", method="Slow-CAM")  # type: ignore[arg-type]
    assert said["map"] == [[0] * 3] * 2
    assert asking == steps_of("Slow-CAM", "shapes")
    answered(path, tiny, name="relu", method="Slow-CAM")
    assert asking[5:] == steps_of("Slow-CAM", "relu")
    answered(path, tiny, 1, name="relu", method="Slow-CAM")
    assert asking[10:] == steps_of("Slow-CAM", "relu"), "another class"


def test_a_method_of_the_picture_is_the_same_at_every_layer(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    path = put()
    for layer in ("relu", "norm", "shapes"):
        made = answered(path, tiny, 2, name=layer, method="Far-CAM")
        assert sent(made)[layer, "target", "Far-CAM"].tolist() == [[2] * 3] * 2
        assert made["extra"] == {"layer": layer, "method": "Far-CAM"}
    assert asking == steps_of("Far-CAM", None)


def test_progress_goes_on_over_all_bands(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    told: list[tuple[float, str]] = []
    chosen, wanted = Chosen(put(), tiny, 2, 1), {"name": "relu", "method": "Slow-CAM"}
    view = handlers.view_at(chosen, wanted, lambda part, what: told.append((part, what)))
    assert view.error == ""
    assert [part for part, _ in told] == pytest.approx([n / 12 for n in range(12)])
    assert {what for _, what in told} == {"Making Slow-CAM"}


def test_it_can_be_stopped(put: Callable[..., str], tiny: str, asking: list[Any]) -> None:
    """In the middle by whoever asked, and by nobody else."""
    path, wanted = put(), {"name": "relu", "method": "Slow-CAM", "token": "mine"}

    def tell(part: float, _what: str) -> None:
        if part == 0.5:
            assert handlers.stop("another's") == {"stopped": True}
            assert handlers.stop("mine") == {"stopped": True}

    view = handlers.view_at(Chosen(path, tiny), wanted, tell)
    assert (view.note, view.error, view.answer) == ("Stopped.", "", None)
    assert asking == [("Slow-CAM", "relu", n) for n in (0, 1, 2, 3, "end")]
    assert engine.long_slot._value == 1
    asking.clear()
    assert look(path, tiny, **wanted).note == "Stopped.", "nor is it begun"
    assert asking[1:] == [("Slow-CAM", "relu", "end")]
    assert answered(path, tiny, **(wanted | {"token": "again"}))["extra"]


def test_who_waits_can_stop_too(put: Callable[..., str], tiny: str, asking: list[Any]) -> None:
    """While another's map takes its time."""
    with engine.long_slot:
        handlers.stop("waiting")
        view = look(put(), tiny, method="Slow-CAM", token="waiting")
        assert view.note == "Stopped."
        assert look(put("tower.jpg"), tiny).error == "", "what is quick does not wait"
    assert asking == []


def test_what_waits_is_stopped_while_it_waits(
    put: Callable[..., str], tiny: str, asking: list[Any]
) -> None:
    """And then waits no more, though the other goes on."""

    def tell(_part: float, _what: str) -> None:
        handlers.stop("late")

    with engine.long_slot:
        wanted = {"method": "Slow-CAM", "token": "late"}
        assert handlers.view_at(Chosen(put(), tiny), wanted, tell).note == "Stopped."
    assert asking == []


@pytest.mark.parametrize("token", [None, "", 3, True, [], ["a"], {}, MEGABYTE])
def test_what_cannot_be_stopped(token: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert is_a_sentence(handlers.stop(token)["error"])
    assert not caplog.records


@pytest.mark.parametrize("token", [None, 3, [], {}])
def test_a_word_that_is_none_stops_nothing(
    put: Callable[..., str], tiny: str, asking: list[Any], token: Any
) -> None:
    assert answered(put(), tiny, method="Slow-CAM", token=token)["extra"]
    assert asking


@pytest.mark.parametrize("method", ["Foo-CAM", 3, ["Slow-CAM"], {"a": 1}, True, MEGABYTE])
def test_a_method_that_is_none(tiny: str, method: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert "no such method" in look(PICTURE, tiny, name="relu", method=method).error
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_method_of_one_pass_is_in_the_answer_already(tiny: str) -> None:
    made = answered(PICTURE, tiny, name="norm", method="LayerCAM")
    assert made["extra"] == {"layer": "norm", "method": ""}


def test_the_figure_and_the_api_take_methods_that_fuse_layers(
    tiny: str, asking: list[Any], sentence: Callable[[object], str]
) -> None:
    drawn = {"path": PICTURE, "model": tiny, "method": "Pair-CAM", "sign": "both"}
    assert set(handlers.draw(drawn | {"layer": "shapes"})) == {"png"}
    assert np.shape(api.endpoint({"path": PICTURE}, tiny, "shapes", None, "Pair-CAM")["map"]) == (  # type: ignore[arg-type]
        3, 5,
    )  # fmt: skip
    said = sentence(handlers.draw(drawn | {"layer": "relu"})["error"])
    assert (
        said
        == "Pair-CAM cannot be made at the layer relu; choose another layer, or another method."
    )


def test_whoever_leaves_the_api_is_not_worked_for(tiny: str) -> None:
    """A few of 196 pictures, and no more."""
    told: list[float] = []

    def left(part: float) -> None:
        told.append(part)
        raise Stopped

    with pytest.raises(gr.Error, match="Stopped"):
        api.endpoint({"path": PICTURE}, tiny, "shapes", None, "Fine occlusion", left)  # type: ignore[arg-type]
    assert told == [16 / 196]
    for test in api.TESTS:
        with pytest.raises(gr.Error, match="Stopped"):
            api.check({"path": PICTURE}, tiny, "shapes", None, test=test, progress=left)  # type: ignore[arg-type]
        assert told.pop() == 0


def test_the_browser_is_told_which_methods_ask(asking: list[Any]) -> None:
    asks = {row["name"]: row["asks"] for row in handlers.method_rows()}
    assert [asks[name] for name in ("Grad-CAM", "Pair-CAM", "Slow-CAM", "Far-CAM")] == [
        False, False, True, True,
    ]  # fmt: skip


# ---- a layer more ------------------------------------------------------------------------------


def test_a_layer_more_has_the_maps_of_each_class(put: Callable[..., str], tiny: str) -> None:
    """In a comparison: the class, the other, and the one rather than the other."""
    path = put()
    maps = sent(answered(path, tiny, 1, 2, name="norm"))
    image = pictures.read_rgb(path)
    for band, target in {"target": Target(1), "rival": Target(2), "contrast": Target(1, 2)}.items():
        seen = pipeline.survey(image, tiny, target, ("norm", "relu", "shapes"))
        for (layer, method), signed in seen.maps.items():
            step = max(np.abs(signed).max() / 127, 1e-12)
            assert np.abs(maps[layer, band, method] - signed).max() <= 1.01 * step, (layer, band)
    assert not np.allclose(maps["norm", "target", "Grad-CAM"], maps["norm", "rival", "Grad-CAM"])


# ---- a turn of the page ------------------------------------------------------------------------


def test_a_network_that_says_the_rival_drops_the_comparison(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiny says cat; its twin says something else, and there the comparison with cat is one."""
    monkeypatch.setitem(models.MODELS, "twin", replace(models.find(tiny), title="Twin"))
    last = Chosen(PICTURE, "twin", "", 0, False, ("cat", "dog", "lion"))
    page = handlers.take_turn(last, Chosen(PICTURE, tiny, "", 0))
    assert page
    assert page.view.note == "Tiny itself says cat, so nothing is left to compare it with."
    assert page.view.answer
    assert (page.view.answer["target"], page.view.answer["rival"]) == (0, None)
    assert page.last.rival == ""
    page = handlers.take_turn(page.last, Chosen(PICTURE, tiny, "", 0))
    assert page
    assert page.view.error == lookup.SAME, "here the visitor chose it"
    chosen = Chosen(PICTURE, "twin", "", 2)
    page = handlers.take_turn(last._replace(rival=2, model=tiny), chosen)
    assert page
    assert (page.view.note, page.last.rival) == ("", 2)


def test_the_lists_of_classes_begin_with_the_likeliest(tiny: str) -> None:
    page = handlers.take_turn(None, Chosen(PICTURE, tiny))
    assert page
    assert page.view.answer
    assert [number for _, number in handlers.choices(page)] == [
        c["index"] for c in page.view.answer["classes"]
    ]
    assert handlers.choices(page)[0][0].startswith("cat · 34 % · 0")


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


@pytest.mark.slow
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


COVER: dict[str, Any] = {
    "model": MODEL, "target": LION, "rival": None, "detail": False, "layer": "top_activation",
    "boxes": [[0.5, 0, 1, 0.75], [0, 0, 0.25, 1]], "fill": "grey",
}  # fmt: skip


def by_hand(path: str) -> tuple[Any, Any]:
    """The picture as the network gets it, with the boxes of COVER painted grey, pixel by pixel."""
    square = pictures.fit(pictures.read_rgb(path), (224, 224))
    one, two = square.copy(), square.copy()
    one[:168, 112:] = 127.5
    two[:, :56] = 127.5
    spec = models.find(MODEL)
    return spec.preprocess(one), spec.preprocess(two)


def test_what_the_network_says_with_a_part_covered(put: Callable[..., str]) -> None:
    path, net = put(), lookup.network()
    made = handlers.cover(COVER | {"path": path})
    one, two = by_hand(path)
    trace = net.trace(one, Target(LION), ("top_activation",))
    assert made["score"] == pytest.approx(float(trace.logits[LION]), abs=1e-3)
    says = [trace.probabilities, net.trace(two).probabilities]
    shown = look(path).answer
    assert shown
    for rows, p in zip(made["classes"], says, strict=True):
        assert [row["index"] for row in rows[:5]] == p.argsort()[::-1][:5].tolist()
        assert {c["index"] for c in shown["classes"]} <= {row["index"] for row in rows}
        for row in rows:
            assert row["p"] == pytest.approx(float(p[row["index"]]), abs=1e-4)
            assert row["rank"] == 1 + int((p > p[row["index"]]).sum())
    grid = np.frombuffer(base64.b64decode(made["bytes"]), np.int8).reshape(made["map"]["sent"])
    a, g = trace.activations["top_activation"], trace.gradients["top_activation"]
    signed = (a * g.mean(axis=(0, 1))).sum(axis=-1)
    unit = np.where(grid > 0, made["map"]["top"], made["map"]["bottom"])
    assert np.allclose(grid / 127 * unit, signed, atol=np.abs(signed).max() / 200)


def test_a_comparison_keeps_its_score_when_covered(put: Callable[..., str]) -> None:
    made = handlers.cover(COVER | {"path": put(), "rival": CHEETAH})
    y = lookup.network().trace(by_hand(put())[0]).logits
    assert made["score"] == pytest.approx(float(y[LION] - y[CHEETAH]), abs=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": v}
        for v in (None, [], [[0, 0, 1, 1]] * 9, "x", [None], [[0, 0, 1]], [[0, 0, 2, 1]], [[1] * 4])
    ]
    + [{"fill": v} for v in (None, "black", ["grey"], 3, {})]
    + [{"layer": "nope"}, {"target": -1}, {"rival": LION}, {"path": "/etc/passwd"}],
    ids=lambda change: repr(change)[:40],
)  # fmt: skip
def test_covers_that_make_no_sense(
    change: dict[str, Any], put: Callable[..., str], sentence: Callable[[object], str]
) -> None:
    made = handlers.cover(COVER | {"path": put()} | change)
    assert set(made) == {"error"}
    sentence(made["error"])
    assert made["error"] != words.FAILED


def test_in_detail_the_percentages_are_those_of_the_usual_side(put: Callable[..., str]) -> None:
    path = put("cheetah_and_lion.jpg")
    plain, wide = look(path).answer, look(path, detail=True).answer
    assert plain
    assert wide
    assert plain["twice"] is None
    said = [(c["index"], c["p"], c["rank"]) for c in plain["classes"]]
    assert [(c["index"], c["p"], c["rank"]) for c in wide["classes"]] == said
    run = pipeline.survey(path, MODEL, LION, detail=True)
    assert abs(run.probabilities[LION] - said[0][1]) > 0.05, "else the test shows nothing"
    for c, p in zip(wide["classes"], wide["twice"], strict=True):
        assert p == pytest.approx(float(run.probabilities[c["index"]]), abs=1e-5)
        assert c["y"] == pytest.approx(float(run.logits[c["index"]]), abs=1e-3)
    assert wide["target"] == plain["target"] == LION
    best = run.maps["top_activation", "Grad-CAM"]
    strongest = wide["strength"]["top_activation/Grad-CAM"]
    assert strongest == pytest.approx(float(best.max()), rel=1e-4)
    cells = float(best.sum())
    start = wide["starts"]["target"]
    assert cells + start == pytest.approx(float(run.logits[LION]), abs=1e-3)


def test_in_detail_covering_asks_the_network_at_its_usual_side(put: Callable[..., str]) -> None:
    plain, wide = (
        handlers.cover(COVER | {"path": put(), "detail": detail}) for detail in (False, True)
    )
    assert plain["map"]["sent"] == [7, 7]
    assert wide["map"]["sent"] == [14, 14]
    for usual, also in zip(plain["classes"], wide["classes"], strict=True):
        for one, other in zip(usual, also, strict=True):
            assert one["index"] == other["index"]
            assert one["p"] == pytest.approx(other["p"], abs=1e-5)


def test_all_ways_of_preparing_a_picture(put: Callable[..., str], tiny: str) -> None:
    made = handlers.diagnosis({"path": put(), "model": tiny})
    assert len(made["ways"]) == 10
    used = [way for way in made["ways"] if way["used"]]
    assert [(way["preprocess"], way["crop"]) for way in used] == [("scale01", False)]
    first = answered(put(), tiny)["classes"][0]
    assert (used[0]["label"], used[0]["p"]) == (first["label"], pytest.approx(first["p"], abs=1e-5))
    assert json.dumps(made, allow_nan=False)
    for bad in (None, [], "x", {}, {"path": put()}, {"path": "/etc/passwd", "model": tiny}):
        assert is_a_sentence(handlers.diagnosis(bad)["error"])


def test_a_guess_stands_beside_the_answer_until_a_way_is_taken(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"size": 25, "title": "Guess", "head": "softmax"}
    spec = models.from_keras(grown(), ["cat", "dog", "lion"], **known)
    monkeypatch.setitem(models.MODELS, "guess", spec)
    made = answered(put(), "guess")
    assert made["model"]["own"]
    assert made["model"]["guesses"] == [
        "How this network wants its pixels is a guess: pixels divided by 255."
    ]
    key = engine.take_way("guess", {"preprocess": "scale11", "crop": False})
    said = answered(put(), key)["model"]
    assert (said["guesses"], said["title"]) == ([], "Guess · scale11")
    assert engine.take_way(key, {"preprocess": "none", "crop": False}) != key
    assert models.UPLOADS[key].title == "Guess · scale11"
    for bad in (None, {}, {"preprocess": "x"}, {"preprocess": ["scale01"]}):
        assert is_a_sentence(refused(lambda bad=bad: engine.take_way("guess", bad)))
    assert answered(put(), MODEL)["model"]["own"] is False


def shares_of(y: F32, head: str) -> F32:
    e = np.exp(y)
    return {"softmax": e / e.sum(), "sigmoid": e / (1 + e), "linear": y}[head]


def test_what_the_numbers_mean_is_a_guess_until_it_is_said(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One click a meaning; the model's own numbers, squashed by hand or as they are."""
    model, path = grown(), put()
    spec = models.from_keras(model, ["cat", "dog", "lion"], "scale01", size=25, title="Plain")
    monkeypatch.setitem(models.MODELS, "plain", spec)
    made = answered(path, "plain")["model"]
    said = "What this network’s numbers mean is a guess: scores of classes, of which one is right."
    assert made["guesses"] == [said]
    assert [(row["head"], row["taken"]) for row in made["meanings"]] == [
        ("softmax", True), ("sigmoid", False), ("linear", False),
    ]  # fmt: skip
    x = pictures.fit(pictures.read_rgb(path), (25, 25)) / np.float32(255)
    y = np.asarray(model(x[None])[0])
    for head in ("softmax", "sigmoid", "linear"):
        key = engine.take_way("plain", {"head": head})
        now = answered(path, key)
        assert (now["model"]["guesses"], now["model"]["meanings"]) == ([], [])
        assert now["model"]["percent"] == (head != "linear")
        assert now["model"]["title"] == f"Plain · scale01, {head}"
        shown = {row["index"]: row["p"] for row in now["classes"]}
        assert [shown[i] for i in range(3)] == pytest.approx(shares_of(y, head), rel=1e-4)
        assert models.find(engine.take_way(key, {"preprocess": "none"})).head == head
    for bad in ({"head": "x"}, {"head": ["sigmoid"]}, {"head": 1}):
        assert is_a_sentence(refused(lambda bad=bad: engine.take_way("plain", bad)))
    assert is_a_sentence(refused(lambda: engine.take_way(MODEL, {"head": "sigmoid"})))


def test_one_number_that_is_said_to_be_a_yes_or_no_becomes_two(monkeypatch: Any) -> None:
    model = keras.Sequential(
        [keras.Input((9, 9, 3)), L.Conv2D(2, 3), L.GlobalAveragePooling2D(), L.Dense(1)]
    )
    monkeypatch.setitem(models.MODELS, "one", models.from_keras(model, None, "scale01"))
    assert models.find("one").labels == ("output",)
    assert models.find(engine.take_way("one", {"head": "sigmoid"})).labels == ("no", "yes")
    monkeypatch.setitem(models.MODELS, "ill", models.from_keras(model, ["ill"], "scale01"))
    assert models.find(engine.take_way("ill", {"head": "sigmoid"})).labels == ("not ill", "ill")


# ---- links ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_link_whose_network_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page begins as usual and says so; an answer that is there stands."""
    real, away = handlers.view_of, "The server is away."

    def view_of(asks: Chosen, *more: Any) -> View:
        return View(error=away) if asks.model == "vgg19" else real(asks, *more)

    monkeypatch.setattr(handlers, "view_of", view_of)
    link, chosen = json.dumps(["#m=vgg19&c=1&p=cheetah", None]), Chosen(PICTURE, MODEL)
    page = handlers.follow_link(link, None, chosen)
    assert page
    assert page.view.answer
    assert page.view.answer["target"] == LION
    assert (page.view.error, page.view.stands, page.view.link) == (away, True, [])
    assert page.last[:2] == (PICTURE, MODEL)
    stays = handlers.follow_link(link, page.last, chosen)
    assert stays
    assert (stays.view.answer, stays.view.error, stays.view.stands) == (None, away, True)
    assert stays.last == page.last


def test_a_link_drops_a_rival_that_the_network_itself_says() -> None:
    page = handlers.follow_link(
        json.dumps([f"#p=lion&r={LION}", None]), None, Chosen(PICTURE, MODEL)
    )
    assert page
    assert page.view.answer
    assert page.view.answer["rival"] is None
    assert is_a_sentence(page.view.note)
    assert (page.last.rival, page.model) == ("", MODEL)
