"""The numbers of the steps, without a server and without a browser."""

import base64
import io
import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from visitor import answered

from demo import engine, lesson
from demo.question import EXAMPLES, EXAMPLES_DIR
from demo.words import FAILED
from gradcam_core import heatmap, models, steps
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


def test_a_number_is_made_one_larger_and_one_smaller() -> None:
    """A round step: one, or of small numbers a power of ten that is not above the largest."""
    said, view = (
        lesson.nudged([request(layer="block5c_add"), 7, 3, 4]),
        lesson.in_view(request(layer="block5c_add")),
    )
    assert said["by"] == 1
    batch = np.repeat(view.survey.trace.activations["block5c_add"][None], 3, axis=0)
    batch[1:, 3, 4, 7] += [1, -1]
    as_is, up, down = view.asked.score_from("block5c_add", batch, view.survey.trace)
    assert [said["up"], said["down"]] == pytest.approx([up - as_is, down - as_is], abs=1e-4)
    assert [lesson.round_step(top) for top in (6.0, 1.0, 0.31, 0.02)] == pytest.approx(
        [1, 1, 0.1, 0.01]
    )


def test_the_map_and_the_start_are_the_score_where_only_a_mean_follows() -> None:
    last, earlier = lesson.whole(request()), lesson.whole(request(layer="block5c_add"))
    whole = last["whole"]
    assert whole["more"] > 0 > whole["less"]
    assert whole["more"] + whole["less"] == pytest.approx(whole["sum"], rel=1e-4)
    assert sum(last["map"]["numbers"]) == pytest.approx(whole["sum"], rel=1e-4)
    assert last["start"] + whole["sum"] == pytest.approx(last["score"], rel=1e-4)
    assert earlier["start"] is None


def test_the_way_through_the_network() -> None:
    """Of EfficientNet-Lite0 the stages of its paper's table, and the layer that is looked at."""
    stages = lesson.whole(request())["stages"]
    assert [stage["shape"] for stage in stages] == [
        (112, 112, 16), (56, 56, 24), (28, 28, 40), (14, 14, 80), (14, 14, 112), (7, 7, 192),
        (7, 7, 320), (7, 7, 1280),
    ]  # fmt: skip
    assert stages[-1]["name"] == BEST
    names = [s["name"] for s in lesson.whole(request(layer="block5a_project_bn"))["stages"]]
    assert names[4] == "block5a_project_bn"
    assert len(names) == 8
    deep = [f"layer{n}" for n in range(30)]
    trace = SimpleNamespace(activations={n: np.zeros((30 - i, 5, 2)) for i, n in enumerate(deep)})
    assert lesson.on_the_way(trace, "layer3") == [
        "layer0", "layer3", "layer8", "layer12", "layer17", "layer21", "layer25", "layer29",
    ]  # fmt: skip


def test_held_against_another_class_the_map_is_the_difference_of_two() -> None:
    lion, cheetah = (
        np.array(lesson.whole(request(target=c))["map"]["numbers"]) for c in (291, 293)
    )
    made = lesson.held_against(request(target=291) | {"rival": 293})
    assert np.allclose(made["map"]["numbers"], lion - cheetah, atol=2e-4)
    assert made["below"] == int((lion < cheetah).sum()) > 5


def test_the_earlier_layer_is_the_one_where_the_mean_misleads_most() -> None:
    """By the cosine of what is above zero, of all layers of 14 x 14 and 7 x 7 cells."""
    said, view = lesson.before_the_last(request()), lesson.in_view(request())
    maps = {key: np.maximum(m, 0).ravel() for key, m in view.survey.maps.items()}

    def cosine(name: str) -> float:
        a, b = maps[name, "Grad-CAM"], maps[name, "LayerCAM"]
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    near = [n for n in view.asked.suggested[:-1] if view.asked.layers[n].shape[0] <= 14]
    assert said["layer"] == min(near, key=cosine)
    assert cosine(said["layer"]) < 0.6
    g = view.survey.trace.gradients[said["layer"]][:, :, said["k"]]
    assert g.min() < 0 < g.max()
    assert said["alpha"] == pytest.approx(float(g.mean()), rel=1e-4)
    assert abs(said["alpha"]) < 0.3 * np.abs(g).mean()
    assert lesson.likeness(np.zeros((2, 3)), np.ones((2, 3))) == 1
    assert lesson.likeness(np.array([[3.0, -9, 4]]), np.array([[4.0, 1, 3]])) == pytest.approx(
        24 / (5 * 26**0.5)
    )
    first = view.asked.suggested[0]
    assert lesson.before_the_last(request(layer=first)) == {"error": lesson.NOTHING_EARLIER}


@pytest.mark.parametrize(
    "asked",
    [None, {}, [], "x", [{}], 5, request(layer="no such layer"), request(target=1000),
     [request(), 1], [request(), 0, -1, 0], [request(), 0, 0, 7], [request(), 99_999, 0, 0]],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_gets_a_sentence(asked: Any, sentence: Any) -> None:
    sentence(lesson.nudged(asked)["error"])


@pytest.mark.many
@pytest.mark.parametrize(
    "more",
    [[], [1], [1, 2], [0, 0, 0, 0], [True, 0, 0], [0, False, 0], [0, 0, True], ["0", 0, 0],
     [0.0, 0, 0], [None, 0, 0], [[], 0, 0], [-1, 0, 0], [4, 0, 0], [0, 23, 0], [0, 0, 23]],
    ids=str,
)  # fmt: skip
def test_a_cell_that_is_none(tiny: str, more: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Of the layer norm, (23, 23, 4)."""
    asked = request(layer="norm") | {"model": tiny}
    assert lesson.nudged([asked, *more]) == {"error": lesson.NOT_IN_VIEW}
    if more[1:] != [0, 0]:
        assert lesson.summed([asked, *more[1:]]) == {"error": lesson.NOT_IN_VIEW}
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.many
@pytest.mark.parametrize(
    "off", [None, 3, "01", {}, [True], [-1], [4], ["0"], [[0]], [1.5]], ids=str
)
def test_channels_that_are_none(tiny: str, off: Any) -> None:
    asked = request(layer="norm") | {"model": tiny}
    assert lesson.switched_off([asked, off]) == {"error": lesson.NOT_IN_VIEW}
    assert lesson.switched_off([asked]) == {"error": lesson.NOT_IN_VIEW}
    assert set(lesson.switched_off([asked, [0, 3]])) == {"before", "after"}
    assert set(lesson.switched_off([asked, []])) == {"before", "after"}


@pytest.mark.parametrize("fault", [TypeError, KeyError, IndexError, AttributeError, ValueError])
def test_a_fault_of_ours_is_logged_as_one(
    tiny: str,
    fault: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise fault("at /home/secret")

    monkeypatch.setattr(steps, "order", broken)
    assert lesson.whole(request(layer="norm") | {"model": tiny}) == {"error": FAILED}
    assert "at /home/secret" in caplog.text


def test_detail_is_taken_apart_too(tiny: str) -> None:
    """50 x 50 instead of 25 x 25: the strided layer has 23 x 23 cells instead of 11 x 11."""
    asked = request(layer="shapes") | {"model": tiny}
    assert lesson.whole(asked)["shape"] == (11, 11, 6)
    assert lesson.whole(asked | {"detail": True})["shape"] == (23, 23, 6)


def test_channels_come_by_their_size_whatever_their_sign() -> None:
    """Of a layer that is no activation: |alpha| times the mean of |A|, the largest first."""
    asked = request(layer="block5c_add")
    trace = lesson.in_view(asked).survey.trace
    a, g = (part["block5c_add"].astype(float) for part in (trace.activations, trace.gradients))
    alpha = g.mean(axis=(0, 1))
    sizes = abs(alpha) * abs(a).mean(axis=(0, 1))
    shown = [tile["k"] for tile in lesson.whole(asked)["tiles"]]
    assert np.allclose(sizes[shown], np.sort(sizes)[::-1][: len(shown)], rtol=1e-4)
    assert set(np.sign(a.mean(axis=(0, 1))[shown])) == set(np.sign(alpha[shown])) == {-1, 1}


def test_guided_grad_cam_is_grey_where_the_map_is_below_zero() -> None:
    """The lines times ReLU(map) / max, scaled up by Pillow, then round middle grey."""
    asked = request(layer="block5c_add")
    view = lesson.in_view(asked)
    trace = view.survey.trace
    a, g = (part["block5c_add"] for part in (trace.activations, trace.gradients))
    signed = (a * g.mean(axis=(0, 1))).sum(axis=2)
    assert (signed < 0).mean() > 0.2
    heat = Image.fromarray(np.maximum(signed, 0) / signed.max())
    heat = np.asarray(heat.resize((224, 224), Image.Resampling.BILINEAR))
    both = view.asked.guided_backprop(trace.inputs, trace.target) * heat[:, :, None]
    data = base64.b64decode(lesson.lines(asked)["both"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as shown:
        assert np.abs(np.asarray(shown, int) - heatmap.grey(both)).max() <= 1


def test_a_picture_that_is_not_ours(tmp_path: Path, sentence: Any) -> None:
    other = tmp_path / "secret.jpg"
    other.write_bytes(Path(PICTURE).read_bytes())
    sentence(lesson.whole(request(path=str(other)))["error"])
