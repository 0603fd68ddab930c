"""The numbers of the steps, without a server and without a browser."""

import base64
import io
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from visitor import answered

from demo import engine, lesson
from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import models
from gradcam_core.cache import Cache

PICTURE = str(EXAMPLES_DIR / next(iter(EXAMPLES)))
BEST = "top_activation"


def request(path: str = PICTURE, layer: str = BEST, target: int | None = None) -> dict[str, Any]:
    model = models.DEFAULT
    return {"path": path, "model": model, "target": target, "detail": False, "layer": layer}


def test_a_survey_that_left_is_made_anew_where_one_may_be_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The survey and the step both want a compute slot: never two at once."""
    monkeypatch.setattr(engine, "compute_slots", threading.BoundedSemaphore(1))
    monkeypatch.setattr(engine, "_surveys", Cache(300e6))
    said: list[Any] = []
    asking = threading.Thread(target=lambda: said.append(lesson.whole(request())), daemon=True)
    asking.start()
    asking.join(120)
    assert said, "it waits for itself"
    assert said[0]["layer"] == BEST


def test_the_nudge_promises_what_the_gradient_says() -> None:
    said = lesson.nudged([request(layer="block5c_add"), 7, 3, 4])
    assert np.allclose(said["predicted"], said["g"] * np.array(said["steps"]), rtol=1e-3)


def test_nudges_are_dense_round_zero() -> None:
    """A hundredth of the largest activation keeps the promise, eight times it does not."""
    asked = request(layer="block5c_add")
    said = lesson.nudged([asked, 70, 7, 7])
    tried, predicted, true = (np.array(said[key]) for key in ("steps", "predicted", "true"))
    a = lesson.in_view(asked).survey.trace.activations["block5c_add"][:, :, 70]
    assert np.allclose(tried, -tried[::-1])
    assert (np.diff(tried) > 0).all()
    assert tried[10:12] == pytest.approx([0, 0.01 * np.abs(a).max()], rel=1e-3)
    assert tried[-1] == pytest.approx(8 * np.abs(a).max(), rel=1e-3)
    assert np.allclose(true[[9, 11]], predicted[[9, 11]], rtol=0.1)
    assert (np.abs(true - predicted)[[0, -1]] > 0.5 * np.abs(predicted)[[0, -1]]).all()


def test_few_numbers_are_sent_as_they_are() -> None:
    """7 x 7 of them; 14 x 14 as bytes only. A gradient that is the same everywhere is named."""
    last, earlier = lesson.whole(request()), lesson.whole(request(layer="block5c_add"))
    trace = lesson.in_view(request()).survey.trace
    first = last["tiles"][0]
    true = trace.activations[BEST][:, :, first["k"]].ravel()
    assert np.allclose(first["a"]["numbers"], true, rtol=1e-4)
    assert earlier["tiles"][0]["a"]["numbers"] is None
    assert [tile["even"] for tile in (first, earlier["tiles"][0])] == [True, False]


def test_a_network_whose_input_is_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says and shows what it was given: 12 rows, 20 columns."""
    layers = [
        keras.Input((12, 20, 3)),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    ]
    spec = models.from_keras(keras.Sequential(layers), preprocess="none")
    monkeypatch.setitem(models.MODELS, "flat", spec)
    made = answered(PICTURE, "flat")
    assert made["model"]["input"] == (12, 20)
    said = lesson.whole(request(layer="conv") | {"model": "flat"})
    data = base64.b64decode(said["input"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as shown:
        assert shown.size == (20, 12)


@pytest.mark.parametrize(
    "asked",
    [None, {}, [], "x", [{}], 5, request(layer="no such layer"), request(target=1000),
     [request(), 1], [request(), 0, -1, 0], [request(), 0, 0, 7], [request(), 99_999, 0, 0]],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_gets_a_sentence(asked: Any, sentence: Any) -> None:
    sentence(lesson.nudged(asked)["error"])


def test_a_picture_that_is_not_ours(tmp_path: Path, sentence: Any) -> None:
    other = tmp_path / "secret.jpg"
    other.write_bytes(Path(PICTURE).read_bytes())
    sentence(lesson.whole(request(path=str(other)))["error"])
