"""Widget values in, widget values out: without a server and without a browser."""

import base64
import io
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from demo import handlers
from demo.handlers import EXAMPLES, EXAMPLES_DIR, NOBODY, PREDICTED, own_file
from gradcam_core import heatmap, lookup, models, pipeline, sandbox
from gradcam_core import image as pictures
from gradcam_core.cache import Cache
from gradcam_core.methods import METHODS
from gradcam_core.types import F32, U8, Target, UserError

MODEL = models.DEFAULT
SPEC = models.find(MODEL)
CHEETAH, LION, TABBY = 293, 291, 281  # ImageNet
MEGABYTE = "x" * 2**20


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An upload folder for each test: no answer of another test is kept under its paths."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def put(uploads: Path) -> Callable[..., str]:
    """A copy of an example, as if somebody had uploaded it."""

    def copy(name: str = "lion.jpg", as_name: str = "") -> str:
        return str(shutil.copy(EXAMPLES_DIR / name, uploads / (as_name or name)))

    return copy


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        act()
    return str(caught.value)


def is_a_sentence(text: str) -> bool:
    """One sentence for a visitor: short, and nothing of the machinery."""
    hints = ("Traceback", "Error", "Exception", ".py", "/tmp", "uploads", "\n", "None", "{")
    return (
        10 < len(text) < 700
        and text[0].isupper()
        and text[-1] == "."
        and not any(hint in text for hint in hints)
    )


# ---- a model of a visitor's own ----------------------------------------------------------------


@pytest.fixture
def no_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "UPLOADS", {})


@pytest.mark.usefixtures("no_uploads")
def test_an_uploaded_model_is_explained_and_dies_with_a_sentence(
    small_model: Path, uploads: Path, put: Callable[..., str]
) -> None:
    file = shutil.copy(small_model, uploads / "mine.keras")
    key = handlers.take_in(str(file), "cat\n\n dog \nlion\n", "scale11")
    assert key not in models.MODELS
    assert models.find(key).labels == ("cat", "dog", "lion")
    assert handlers.take_in(str(file), "cat\ndog\nlion", "scale11") == key
    assert len(models.UPLOADS) == 1

    made = handlers.look(put(), key, 2, NOBODY, False).answer
    assert made is not None
    x = pictures.fit(pictures.read_rgb(EXAMPLES_DIR / "lion.jpg"), (24, 24)) / 127.5 - 1
    p = np.asarray(keras.models.load_model(small_model)(x[None], training=False))[0]
    shown = {row["label"]: row["p"] for row in made["classes"]}
    assert shown == pytest.approx(dict(zip(("cat", "dog", "lion"), p, strict=True)), abs=1e-5)
    assert [row["name"] for row in made["layers"]] == ["edges", "shapes"]

    child = models.find(key).asked()  # type: ignore[misc]
    again = shutil.copy(small_model, uploads / "again.keras")
    other = handlers.take_in(str(again), "cat\ndog\nlion", "scale11")
    child._process.kill()
    child._process.wait()
    file.unlink()
    said = handlers.look(put("cheetah.jpg"), key, 2, NOBODY, False)
    assert said.answer is None
    assert said.error == sandbox.GONE
    assert handlers.look(put("cheetah.jpg"), other, 2, NOBODY, False).answer
    assert handlers.look(put("tower.jpg"), MODEL, PREDICTED, NOBODY, False).answer


@pytest.mark.usefixtures("no_uploads")
@pytest.mark.parametrize(
    ("content", "names", "preprocess", "part"),
    [
        (b"hello", "", "", "not a .keras file"),
        (b"", None, None, "not a .keras file"),
        (None, "only one", "", "gives 3 answers, but there are 1 names"),
        (None, "a\nb\n" + 101 * "c", "", "class names as plain text"),
        (None, "a\nb\n\u202ec", "", "class names as plain text"),
        (None, "", "tenfold", "no such preprocessing"),
        (None, "", ["scale01"], "no such preprocessing"),
    ],
)
def test_a_model_is_refused_with_a_sentence(
    content: bytes | None,
    names: Any,
    preprocess: Any,
    part: str,
    uploads: Path,
    small_model: Path,
) -> None:
    file = uploads / "mine.keras"
    file.write_bytes(small_model.read_bytes() if content is None else content)
    said = refused(lambda: handlers.take_in(str(file), names, preprocess))
    assert part in said
    assert is_a_sentence(said.replace(".keras", ""))
    assert not models.UPLOADS


@pytest.mark.parametrize("path", [None, "", 7, ["a.keras"], "a\0b", MEGABYTE])
def test_no_model_chosen(path: Any) -> None:
    assert refused(lambda: handlers.take_in(path, "", "")) == handlers.NO_MODEL


def test_only_an_uploaded_model(small_model: Path) -> None:
    assert refused(lambda: handlers.take_in(str(small_model), "", "")) == handlers.MODEL_GONE


@pytest.mark.usefixtures("no_uploads")
def test_the_oldest_upload_leaves(monkeypatch: pytest.MonkeyPatch, uploads: Path) -> None:
    monkeypatch.setattr(handlers, "UPLOADS", 3)
    monkeypatch.setattr(sandbox, "ModelProcess", lambda *_: SimpleNamespace(spec=SPEC))
    keys = []
    for number in range(5):
        (uploads / "m.keras").write_bytes(bytes([number]))
        keys.append(handlers.take_in(str(uploads / "m.keras"), "", ""))
    assert list(models.UPLOADS) == keys[2:]


# ---- the path of a picture ---------------------------------------------------------------------


def test_an_upload_and_an_example_may_be_looked_at(put: Callable[..., str]) -> None:
    assert own_file(put()) == os.path.realpath(put())
    example = str(EXAMPLES_DIR / "lion.jpg")
    assert own_file(example) == os.path.realpath(example)


@pytest.mark.parametrize(
    "path",
    [
        None, "", 3, 3.5, True, [], ["a"], {}, b"x", "a\0b", "x" * 5000,
        "/etc/passwd", "../../../../etc/passwd", "http://example.com/a.jpg",
        "data:image/png;base64,AAAA", "file:///etc/passwd", "~/a.jpg",
        str(EXAMPLES_DIR / ".." / "handlers.py"), str(EXAMPLES_DIR) + "x/a.jpg",
    ],
    ids=lambda path: str(path)[:20].encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
def test_any_other_path_gets_a_sentence(path: Any) -> None:
    assert refused(lambda: own_file(path)) in (handlers.NO_PICTURE, handlers.NOT_UPLOADED)


def test_no_way_leads_out_of_the_upload_folder(uploads: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    shutil.copy(EXAMPLES_DIR / "lion.jpg", secret)
    (uploads / "link.jpg").symlink_to(secret)
    beside = Path(f"{uploads}-beside")
    beside.mkdir()
    shutil.copy(secret, beside)
    for path in (
        uploads / "link.jpg", uploads / ".." / "secret.jpg", beside / "secret.jpg", secret,
    ):  # fmt: skip
        assert refused(lambda path=path: own_file(str(path))) == handlers.NOT_UPLOADED


# ---- maps on the wire --------------------------------------------------------------------------


def test_the_side_of_the_sent_maps() -> None:
    """By hand, for six methods. VGG19 has convolutions of 224 (2), 112 (2), 56, 28, 14 (4 each).

    One class, at most 112:  6 * (4 * 112^2 + 4 * 56^2 + 4 * 28^2 + 4 * 14^2) = 399,840 bytes
               at most  56:  6 * (8 * 56^2 + 4 * 28^2 + 4 * 14^2) = 174,048
    Two classes and their difference, at most 56: 3 * 174,048; at most 28: 18 * (12 * 784 + 4 * 196)
    = 183,456.
    """
    vgg19 = [
        (n, n) for n, count in ((224, 2), (112, 2), (56, 4), (28, 4), (14, 4)) for _ in range(count)
    ]
    assert handlers.WIRE == 225_000
    assert handlers.side_limit(vgg19, 6) == 56
    assert handlers.side_limit(vgg19, 18) == 28
    assert handlers.side_limit([(7, 7)], 6) == 448
    assert handlers.side_limit([(448, 448)], 1) == 448  # 200,704
    assert handlers.side_limit([(448, 448)], 2) == 224
    assert handlers.side_limit([(10, 2000)], 6) == 448  # 6 * 10 * 448


def test_shrink_takes_the_mean_of_whole_blocks() -> None:
    grid = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert handlers.shrink(grid, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert handlers.shrink(grid, 1).tolist() == [[7.5]]
    assert handlers.shrink(grid, 4) is grid
    assert handlers.shrink(grid, 7) is grid
    assert handlers.shrink(np.ones((5, 12), np.float32), 4).tolist() == [[1] * 4] * 2


def test_shrink_shares_out_the_cells_that_lie_on_an_edge() -> None:
    """Three cells into two: the middle one belongs half to either."""
    grid = np.array([[3, 6, 9]], np.float32)
    assert handlers.shrink(grid, 2).tolist() == [[4, 8]]
    last = np.zeros((35, 35), np.float32)
    last[-1, -1] = 1
    small = handlers.shrink(last, 17)
    assert small[-1, -1] == pytest.approx((17 / 35) ** 2)
    assert small.mean() == pytest.approx(last.mean())


def sent(answer: dict[str, Any]) -> dict[tuple[str, str, str], F32]:
    """The bytes read back as the viewer reads them: (layer, band, method) -> (h, w)."""
    data = np.frombuffer(base64.b64decode(answer["bytes"]), np.int8).astype(np.float32)
    maps, used = {}, 0
    for row in answer["layers"]:
        for key, about in row["maps"].items():
            h, w = about["sent"]
            part = data[about["at"] : about["at"] + h * w].reshape(h, w)
            maps[(row["name"], *key.split("/"))] = (
                part * np.where(part > 0, about["top"], about["bottom"]) / 127
            )
            used += h * w
    assert used == len(data), "no byte is sent twice or in vain"
    return maps


def fake(maps: dict[str, F32]) -> Any:
    """A survey with these maps for every method."""
    return SimpleNamespace(maps={(layer, m): grid for layer, grid in maps.items() for m in METHODS})


def test_packed_maps_come_back_within_half_a_step_of_their_own_sign() -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(14, 14)).astype(np.float32)
    maps = {
        "plain": plain,
        "tiny": plain * np.float32(1e-12),
        "huge": plain * np.float32(1e12),
        "mostly for": np.where(plain > 0, plain, plain / 1000),
        "mostly against": np.where(plain < 0, plain, plain / 1000),
        "for": np.abs(plain),
        "against": -np.abs(plain),
        "nothing": np.zeros((7, 9), np.float32),
    }
    answer = handlers.pack({"a": fake(maps)}, list(maps))
    assert [row["name"] for row in answer["layers"]] == list(maps)
    for (layer, band, method), got in sent(answer).items():
        signed = maps[layer]
        assert band == "a"
        assert method in METHODS
        top, bottom = max(signed.max(), 0), max(-signed.min(), 0)
        step = np.where(signed > 0, top, bottom) / 127
        assert (np.abs(got - signed) <= 0.5001 * step).all(), layer
        assert np.abs(got - signed).max() <= max(top, bottom) / 127
    assert json.dumps(answer, allow_nan=False)


def test_the_numbers_that_go_with_a_map() -> None:
    """By hand: two of six places below zero, the largest 3, the smallest -1."""
    grid = np.array([[3, 0, -1], [1.5, -0.5, 0]], np.float32)
    answer = handlers.pack({"a": fake({"layer": grid})}, ["layer"])
    about = answer["layers"][0]["maps"]["a/Grad-CAM"]
    assert about["sent"] == [2, 3]
    assert (about["min"], about["max"]) == (-1, 3)
    assert (about["top"], about["bottom"]) == (3, 1)
    assert about["cut"] == {"for": pytest.approx(2 / 6), "against": pytest.approx(2 / 6)}
    data = np.frombuffer(base64.b64decode(answer["bytes"]), np.int8)[:6].reshape(2, 3)
    assert data[0].tolist() == [127, 0, -127]
    assert data[1].tolist() in ([64, -64, 0], [63, -63, 0], [64, -63, 0], [63, -64, 0])


@pytest.mark.parametrize("bands", [("a",), ("a", "b", "ab")], ids=len)
def test_what_is_sent_stays_small(bands: tuple[str, ...]) -> None:
    """Layers as large as VGG16's at 224, and twenty of a network at 448."""
    for sides in ([224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14], [224] + [112] * 19):
        maps = {f"layer{n}": np.ones((side, side), np.float32) for n, side in enumerate(sides)}
        answer = handlers.pack({band: fake(maps) for band in bands}, list(maps))
        assert len(base64.b64decode(answer["bytes"])) <= handlers.WIRE
        assert len(sent(answer)) == len(maps) * len(METHODS) * len(bands)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0, "0 %"), (9e-5, "below 0.01 %"), (1e-4, "0.01 %"), (5e-3, "0.50 %"), (0.01, "1.0 %"),
     (0.0994, "9.9 %"), (0.0996, "10 %"), (0.456, "46 %"), (0.994, "99 %"), (0.996, "99.60 %"),
     (0.99995, "above 99.99 %"), (1, "100 %")],
)  # fmt: skip
def test_a_percentage(p: float, text: str) -> None:
    assert handlers.percent(p) == text


def test_the_output_of_a_regression_is_no_percentage() -> None:
    spec = replace(SPEC, labels=("temperature",))
    choices = handlers.class_choices(spec, np.array([36.77], np.float32), "linear")
    assert choices == [("temperature · 36.8 · 0", 0)]


def test_what_is_kept_does_not_hold_networks_that_left(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_surveys", Cache(300e6))
    handlers.look(put(), MODEL, PREDICTED, NOBODY, False)
    kept = list(handlers._surveys._entries)
    assert [(model, detail) for _, model, _, detail, _ in kept] == [(MODEL, False)]
    monkeypatch.setattr(lookup, "_networks", Cache(1))  # it has left
    handlers.look(put("lion.jpg", "other.jpg"), MODEL, PREDICTED, NOBODY, True)
    assert not any(key in handlers._surveys for key in kept)


def test_a_network_is_fetched_while_others_are_at_work(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download takes minutes: nobody may wait for it but who asked for that network."""
    free = handlers.busy._value
    seen = []
    real = lookup.network

    def network(*args: Any, **options: Any) -> Any:
        seen.append(handlers.busy._value)
        return real(*args, **options)

    monkeypatch.setattr(lookup, "network", network)
    handlers.explain({"path": put()})  # type: ignore[arg-type]
    handlers.figure(
        {"path": put(), "model": MODEL, "target": 1, "other": -1, "method": "Grad-CAM",
         "sign": "both", "colours": "viridis"}
    )  # fmt: skip
    assert seen[0] == free
    assert seen.count(free) == 2


# ---- an answer ---------------------------------------------------------------------------------


def test_an_answer_has_the_maps_of_the_pipeline(put: Callable[..., str]) -> None:
    path = put("cheetah_and_lion.jpg")
    view = handlers.look(path, MODEL, CHEETAH, LION, False)
    assert view.error == ""
    assert view.base is not None
    assert view.base.path == os.path.realpath(path)
    answer = view.answer
    assert answer is not None
    image = pictures.read_rgb(path)
    bands = {"a": Target(CHEETAH), "b": Target(LION), "ab": Target(CHEETAH, LION)}
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
    assert answer["target"], answer["other"] == (CHEETAH, LION)
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
    answer = handlers.look(put(), MODEL, TABBY, 0, False).answer
    assert answer is not None
    assert [c["index"] for c in answer["classes"][5:]] == [TABBY, 0]
    p = pipeline.survey(pictures.read_rgb(EXAMPLES_DIR / "lion.jpg")).probabilities
    assert answer["classes"][5]["rank"] == 1 + int((p > p[TABBY]).sum())


def test_the_class_choices() -> None:
    p = np.full(1000, 0.0001, np.float32)
    p[[7, 3, 999, 500, 0]] = [0.5, 0.2, 0.1, 0.05, 0.0125]
    for choices in (handlers.class_choices(SPEC, p), handlers.class_choices(SPEC)):
        names, numbers = zip(*choices, strict=True)
        assert sorted(numbers) == list(range(1000))
        assert len(set(names)) == 1000
        assert all(
            name.startswith(SPEC.labels[i]) and name.endswith(f"· {i}") for name, i in choices
        )
    first = handlers.class_choices(SPEC, p)[:5]
    assert [i for _, i in first] == [7, 3, 999, 500, 0]
    assert "50" in first[0][0].split("·")[1]
    assert [i for _, i in handlers.class_choices(SPEC)] == list(range(1000))


# ---- bad values --------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "path": str(EXAMPLES_DIR / "lion.jpg"), "model": MODEL, "index": PREDICTED, "other": NOBODY,
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
    + [(key, v) for key in ("index", "other") for v in [*NUMBERS, MEGABYTE]]
    + [
        ("extra", v)
        for v in ("nope", "top_conv/x", ["top_conv"], {"a": 1}, 5, float("nan"), MEGABYTE)
    ]
)


@pytest.mark.parametrize(
    ("key", "value"), BAD, ids=[f"{k}-{str(v)[:24]}-{type(v).__name__}" for k, v in BAD]
)
def test_a_bad_value_gets_a_sentence_and_nothing_else(
    key: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = handlers.look(**(GOOD | {key: value}))
    assert is_a_sentence(view.error), view.error
    assert view.error != handlers.FAILED, "foreseen, so it is said what is wrong"
    assert (view.base, view.answer) == (None, None)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_class_against_itself_gets_a_sentence() -> None:
    for index in (LION, PREDICTED):  # the lion is what is predicted
        assert (
            "two different classes" in handlers.look(GOOD["path"], MODEL, index, LION, False).error
        )


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
        view = handlers.look(str(uploads / name), MODEL, PREDICTED, NOBODY, False)
        assert (view.error, view.answer) == (sentence, None)
    assert is_a_sentence(handlers.look(str(uploads), MODEL, PREDICTED, NOBODY, False).error)
    gone = handlers.look(str(uploads / "gone.jpg"), MODEL, PREDICTED, NOBODY, False)
    assert is_a_sentence(gone.error)


def test_a_picture_that_was_cleared_away_is_asked_for_again(put: Callable[..., str]) -> None:
    """Gradio deletes uploads after an hour; the answer may still be kept, its picture is gone."""
    path = put()
    assert handlers.look(path, MODEL, PREDICTED, NOBODY, False).error == ""
    Path(path).unlink()
    view = handlers.look(path, MODEL, PREDICTED, NOBODY, False)
    assert is_a_sentence(view.error)
    assert view.answer is None


def test_what_nobody_foresaw_is_logged_and_said_in_one_sentence(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("CUDA error at /home/secret")

    path = put()
    monkeypatch.setattr(pipeline, "survey", broken)
    assert handlers.look(path, MODEL, PREDICTED, NOBODY, False).error == handlers.FAILED
    assert is_a_sentence(handlers.FAILED)
    assert "CUDA error" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(Path(path).parent))
    assert handlers.look(path, MODEL, PREDICTED, NOBODY, False).error == "", "a failure is not kept"


def test_refused_pictures_leave_nothing_in_memory(uploads: Path) -> None:
    def kept() -> int:
        return len(handlers._surveys._entries) + len(handlers._answers._entries)

    before = kept()
    for n in range(50):
        (uploads / f"{n}.jpg").write_text("not a picture")
        assert handlers.look(str(uploads / f"{n}.jpg"), MODEL, PREDICTED, NOBODY, False).error
    assert kept() <= before


# ---- the figure --------------------------------------------------------------------------------

FIGURE: dict[str, Any] = {
    "path": GOOD["path"], "model": MODEL, "layer": "block6a_project_bn", "method": "Grad-CAM",
    "sign": "for", "colours": "viridis", "opacity": 0.5, "target": LION, "other": NOBODY,
    "detail": False,
}  # fmt: skip


def test_the_figure_is_a_png() -> None:
    made = handlers.figure(FIGURE)
    assert set(made) == {"png"}
    with Image.open(io.BytesIO(base64.b64decode(made["png"]))) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 600)


def test_a_figure_on_a_scale_that_goes_on_for_ever_shows_nothing() -> None:
    def overlay(**more: Any) -> U8:
        with Image.open(io.BytesIO(base64.b64decode(handlers.figure(FIGURE | more)["png"]))) as all:
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
        assert set(handlers.figure(FIGURE | {"box": box})) == {"png"}
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
    made = handlers.figure(request_)
    assert set(made) == {"error"}
    assert is_a_sentence(made["error"]), made
    assert made["error"] != handlers.FAILED
    assert not caplog.records, "it is no fault of the server's"


@pytest.mark.parametrize("name", ["moves.gif", "still.png"])
def test_a_picture_that_moves_is_shown_still(uploads: Path, name: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    path = str(uploads / name)
    frames[0].save(path, save_all=True, append_images=frames[1:])
    view = handlers.look(path, MODEL, PREDICTED, NOBODY, False)
    assert view.note == pictures.MOVES
    assert view.base
    assert Path(view.base.path).parent == Path(path).parent
    assert pictures.read(view.base.path)[1] == ()
    assert view.answer
    assert view.answer["path"] == path, "what is asked next has its survey already"
    np.testing.assert_array_equal(pictures.read_rgb(view.base.path), pictures.read_rgb(path))
    again = handlers.look(view.base.path, MODEL, PREDICTED, NOBODY, False)
    assert (again.note, again.error) == ("", "")
    assert handlers.alone(view, MODEL).note.startswith(f"{pictures.MOVES} ")
    assert handlers.alone(again, MODEL).note[0] != " "


def test_what_was_done_to_a_picture_is_said_and_shown(uploads: Path) -> None:
    """12 bits of 16: a browser would show it all but black."""
    path = str(uploads / "twelve.png")
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    Image.fromarray(grey).save(path)
    view = handlers.look(path, MODEL, PREDICTED, NOBODY, False)
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
    for rival in (NOBODY, 7):
        view = handlers.look(path, MODEL, 3, rival, False)
        assert (view.note, view.error) == ("", "")
        assert view.base
        assert view.base.path == path
    assert done == [path]


def test_two_questions_to_the_api_have_two_overlay_files(
    put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer conv_1 for class 12, then conv_11 for class 2: the same letters one after the other."""
    path = put()
    seen = pipeline.explain(pictures.read_rgb(path), MODEL)
    found = iter([replace(seen, layer=f"conv_1{n}", target=t) for n, t in (("", 12), (1, 2))])
    monkeypatch.setattr(pipeline, "explain", lambda *_: next(found))
    files = [handlers.explain({"path": path})["overlay"]["path"] for _ in range(2)]
    assert files[0] != files[1]
    assert all(Path(file).is_file() for file in files)


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
        view = handlers.look(path, MODEL, *question)
        assert view.error == ""
        assert handlers.look(path, MODEL, *question).answer == view.answer
        return len(passes) - before

    assert cost(PREDICTED, NOBODY, False) == 1
    assert cost(LION, NOBODY, False) == 0, "the lion is what was predicted"
    assert cost(CHEETAH, NOBODY, False) == 1
    assert cost(LION, CHEETAH, False) == 1, "both are known, only their difference is not"
    assert cost(CHEETAH, NOBODY, False) == 0
    assert cost(PREDICTED, NOBODY, True) == 1, "detail is another pass"


@pytest.mark.parametrize("question", [(PREDICTED, NOBODY), (CHEETAH, TABBY)], ids=["one", "two"])
def test_eight_visitors_at_once_share_one_pass(
    put: Callable[..., str], passes: list[Any], question: tuple[int, int]
) -> None:
    path, start = put(), threading.Barrier(8)

    def visit(_number: int) -> Any:
        start.wait()
        return handlers.look(path, MODEL, *question, False)

    with ThreadPoolExecutor(8) as visitors:
        views = list(visitors.map(visit, range(8)))
    assert all(view.error == "" for view in views)
    assert all(view.answer == views[0].answer for view in views)
    assert len(passes) == len(set(map(str, passes))) == (1 if question[1] == NOBODY else 4)


def test_thirty_at_once_get_what_each_would_get_alone(put: Callable[..., str]) -> None:
    classes = (PREDICTED, CHEETAH, LION, TABBY, 0, 999)
    questions = [(name, index) for name in EXAMPLES for index in classes]
    assert len(questions) == 30

    paths = {(who, name): put(name, f"{who}-{name}") for name in EXAMPLES for who in ("we", "i")}

    def ask(question: tuple[str, int], who: str) -> dict[str, Any]:
        name, index = question
        view = handlers.look(paths[who, name], MODEL, index, NOBODY, False)
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
