"""All methods side by side, without a server and without a browser."""

import base64
import io
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from demo import engine, side, trust, words
from demo.question import EXAMPLES_DIR
from gradcam_core import faithfulness, lookup, models, pipeline
from gradcam_core.cache import Cache
from gradcam_core.methods import METHODS, one_pass
from gradcam_core.types import Placement

FOUR = [str(EXAMPLES_DIR / f"{n}.jpg") for n in ("cheetah", "lion", "tower", "hopper")]
SHUFFLED, CENTRE = "Grad-CAM, shuffled", "the picture’s centre"


def request(model: str, **more: Any) -> dict[str, Any]:
    asked = {"path": FOUR[1], "model": model, "target": 1, "detail": False, "layer": "shapes"}
    return asked | {"method": "Grad-CAM", "paths": FOUR, "token": "any"} | more


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is there that another test has made."""
    for kept in ("_judgements", "_maps", "_mosaics", "_maps_of_mosaics"):
        monkeypatch.setattr(engine, kept, Cache(1e9))
    monkeypatch.setattr(trust, "_followed", Cache(9))


def rows_of(asked: dict[str, Any]) -> dict[str, Any]:
    return {row["of"]: row for row in side.all_rows(asked)["rows"]}


# ---- the rows ------------------------------------------------------------------------------------


def test_each_method_has_a_row_and_so_has_what_knows_nothing(tiny: str) -> None:
    """ "shapes" has 11x11 cells and 6 channels, the picture 25x25 pixels."""
    rows = rows_of(request(tiny))
    assert list(rows) == [*METHODS, SHUFFLED, CENTRE]
    assert [name for name, row in rows.items() if row["chance"]] == [SHUFFLED, CENTRE]
    asking = {name: row["passes"] for name, row in rows.items() if row["passes"]}
    assert asking == {
        "Ablation-CAM": 6, "Score-CAM": 6, "Occlusion": 49, "Fine occlusion": 196,
        "Gradient times input": 1, "SmoothGrad": 50, "Integrated gradients": 50,
    }  # fmt: skip
    assert {name for name, row in rows.items() if row["map"] is None} == set(asking)
    assert [name for name, row in rows.items() if row["tail"]] == ["Ablation-CAM"]
    assert all(row["ruling"] is None for row in rows.values())
    assert "Sharper Grad-CAM" not in rows_of(request(tiny, layer="relu")), "it has no map there"


def test_what_was_made_and_tested_is_there_for_the_next_who_asks(tiny: str) -> None:
    asked = request(tiny, method="Occlusion")
    made = side.make_side(asked)
    assert made["cells"] == [7, 7]
    ruling = trust.verdict_on(asked)["ruling"]
    found = rows_of(request(tiny))["Occlusion"]
    assert found["map"] == made
    assert found["ruling"] == ruling


def test_what_stands_for_chance(tiny: str) -> None:
    """The same numbers in another order, always the same one; and the blob of the verdict."""
    posed, layer, _, signed = trust.map_in_view(request(tiny))
    row = posed.asked.layers[layer]
    shuffled = side.chance_map(SHUFFLED, row, signed)
    assert np.array_equal(np.sort(shuffled, None), np.sort(signed, None))
    assert not np.array_equal(shuffled, signed)
    assert np.array_equal(shuffled, side.chance_map(SHUFFLED, row, signed))
    blob = faithfulness.centre_blob((11, 11), row.placement)
    assert np.array_equal(side.chance_map(CENTRE, row, signed), blob)


def test_maps_are_compared_where_they_lie() -> None:
    """56 pixels by the means of two; a grid on the right half of the picture, its cells 7 wide."""
    pixels = np.arange(56 * 56, dtype=np.float32).reshape(56, 56)
    found = side.in_common(pixels, None)
    assert found[3, 5] == pixels[6:8, 10:12].mean()
    grid = np.float32([[1, 3]])
    row = side.in_common(grid, Placement((1, 0, 0), (0, 0.5, 0.5)))[9]
    assert (row[:14] == 0).all()
    assert row[14:18].tolist() == [1] * 4
    assert row[20:22] == pytest.approx([13 / 7, 15 / 7], abs=1e-5)
    assert row[24:] == pytest.approx(3)


def test_how_like_two_maps_are_is_their_rank_correlation(tiny: str) -> None:
    maps = side.maps_there(trust.map_in_view(request(tiny))[0], "shapes")
    rows, posed = rows_of(request(tiny)), trust.map_in_view(request(tiny))[0]
    where = posed.asked.layers["shapes"].placement
    for one, other in (("Grad-CAM", "LayerCAM"), ("Eigen-CAM", CENTRE), (SHUFFLED, "Grad-CAM")):
        grids = [side.in_common(maps[name], where).ravel() for name in (one, other)]
        assert rows[one]["map"]["like"][other] == pytest.approx(spearmanr(*grids)[0], abs=1e-6)
        back = rows[other]["map"]["like"][one]
        assert back == pytest.approx(rows[one]["map"]["like"][other])
    assert one not in rows[one]["map"]["like"]


@pytest.mark.parametrize(
    ("method", "cells", "words"),
    [
        ("Grad-CAM", [11, 11], "11×11 cells of the layer."),
        ("Occlusion", [7, 7], "7×7 parts."),
        ("SmoothGrad", [25, 25], "25×25 pixels."),
        ("Integrated gradients", [25, 25], "25×25 pixels."),
    ],
)
def test_what_the_numbers_of_a_map_are_is_said(
    tiny: str, method: str, cells: list[int], words: str, sentence: Any
) -> None:
    made = side.make_side(request(tiny, method=method))
    assert made["cells"] == cells
    assert made["notes"][0].startswith(words)
    for text in made["notes"]:
        for one in text.split(". "):
            sentence(f"It says {one.removesuffix(chr(46))}.")
    gap = [note for note in made["notes"] if "add up to" in note]
    assert len(gap) == (method == "Integrated gradients")


def test_one_bright_pixel_does_not_darken_all_others(tiny: str) -> None:
    """A map of pixels is drawn up to its brightest hundredth; here all but one are alike."""
    posed, layer, _, grid = trust.map_in_view(request(tiny))
    pixels = np.full((25, 25), 0.5, np.float32)
    pixels[3, 5] = 100
    maps = {"Grad-CAM": grid, "SmoothGrad": pixels}
    drawn = seen_in(side.side_map(posed, layer, "SmoothGrad", maps)["overlay"])
    alike = side.side_map(posed, layer, "SmoothGrad", maps | {"SmoothGrad": pixels.clip(0, 0.5)})
    assert np.abs(drawn - seen_in(alike["overlay"])).mean() < 1
    dark = side.side_map(posed, layer, "SmoothGrad", maps | {"SmoothGrad": 0 * pixels})
    assert np.abs(drawn - seen_in(dark["overlay"])).mean() > 20


def seen_in(url: str) -> np.ndarray:
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGB"), float)


def test_a_map_of_pixels_is_tested_by_parts(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """50x40 pixels are hidden by 28x23 parts, as large as cells; a layer's cells as they are."""
    seen = []
    monkeypatch.setattr(faithfulness, "examine", lambda *given: seen.append(given[2]))
    posed, layer, _, _ = trust.map_in_view(request(tiny))
    image, _ = engine.picture(posed.question)
    for method in ("SmoothGrad", "Grad-CAM"):
        target, large = engine.survey_of(posed).target, np.ones((50, 40), np.float32)
        pipeline.examining(image, posed.spec, posed.asked, target, layer, method, large)
    assert [signed.shape for signed in seen] == [(28, 23), (50, 40)]


# ---- who waits, and who stops --------------------------------------------------------------------


def test_two_who_ask_the_same_wait_for_one(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun, go, made = pipeline.ask, threading.Event(), threading.Event(), list[Any]()

    def ask(*given: Any) -> Any:
        made.append(given[2])
        begun.set()
        assert go.wait(60)
        return real(*given)

    monkeypatch.setattr(pipeline, "ask", ask)
    said: list[Any] = []
    asked = [request(tiny, method="SmoothGrad", token=token) for token in ("one", "other")]
    waiting = [threading.Thread(target=lambda a=a: said.append(side.make_side(a))) for a in asked]
    waiting[0].start()
    assert begun.wait(60)
    waiting[1].start()
    go.set()
    for thread in waiting:
        thread.join(60)
    assert made == ["SmoothGrad"]
    assert said[0] == said[1]


@pytest.mark.parametrize("answer", [side.make_side, side.shares_in_mosaic])
def test_called_off_before_it_begins_nothing_is_asked(
    tiny: str, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ask", None)
    trust.call_off("early")
    asked = request(tiny, method="Occlusion", token="early")
    assert answer(asked) == {"error": words.STOPPED}


def test_called_off_on_the_way_nothing_more_is_asked(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = lookup.network(models.find(tiny))
    real, passes = asked.score, list[int]()

    def score(pictures: Any, target: Any) -> Any:
        passes.append(len(pictures))
        trust.call_off("midway")
        return real(pictures, target)

    monkeypatch.setattr(asked, "score", score)
    said = side.make_side(request(tiny, method="Fine occlusion", token="midway"))
    assert said == {"error": words.STOPPED}
    assert len(passes) == 1
    assert rows_of(request(tiny))["Fine occlusion"]["map"] is None


@pytest.mark.parametrize(
    "wrong",
    [{"method": "x"}, {"method": SHUFFLED}, {"layer": "x"}, {"path": "/etc/passwd"},
     {"token": None}, {"method": "Sharper Grad-CAM", "layer": "relu"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_made_is_a_sentence(tiny: str, wrong: Any, sentence: Any) -> None:
    sentence(side.make_side(request(tiny) | wrong)["error"])


@pytest.mark.parametrize("asked", [None, [], {}, 5], ids=str)
def test_what_is_no_question_is_a_sentence(asked: Any, sentence: Any) -> None:
    for answer in (side.all_rows, side.make_side, side.shares_in_mosaic):
        sentence(answer(asked)["error"])


# ---- the mosaic ----------------------------------------------------------------------------------


def test_what_is_in_the_mosaic_is_known_once_it_is_made(tiny: str) -> None:
    four = [trust.pose(path, tiny) for path in FOUR]

    def known() -> list[str]:
        return [m for m in METHODS if engine.is_in_mosaic(four, "shapes", m)]

    assert known() == []
    engine.in_mosaic(four, "shapes")
    assert known() == list(one_pass())
    engine.maps_in_mosaic(four, "shapes", "Occlusion")
    assert known() == [*one_pass(), "Occlusion"]
    assert not engine.is_in_mosaic(four[::-1], "shapes", "Occlusion")


def test_shares_that_are_known_come_with_the_rows(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All heat in its own corner; none at all. Of what is not made, nothing is said."""
    corners = np.zeros((4, 11, 11), np.float32)
    for n, at in enumerate([(0, 0), (0, 10), (10, 0), (10, 10)]):
        corners[(n, *at)] = 1
    made = {"Grad-CAM": corners, "LayerCAM": corners, "Occlusion": 0 * corners}
    monkeypatch.setattr(engine, "is_in_mosaic", lambda _four, _layer, m: m in made)
    monkeypatch.setattr(engine, "maps_in_mosaic", lambda _four, _layer, m, _=None: [*made[m]])
    shares = side.all_rows(request(tiny))["shares"]
    assert list(shares) == [*made, SHUFFLED, CENTRE]
    assert shares["Occlusion"] is None
    assert [shares["Grad-CAM"], shares["LayerCAM"]] == pytest.approx([1, 1])
    assert shares[CENTRE] == pytest.approx(0.25, abs=1e-6)
    assert side.all_rows(request(tiny, paths=FOUR[:3]))["shares"] == {}


@pytest.mark.slow
def test_the_share_in_the_mosaic_of_a_method_that_asks() -> None:
    """x times its gradient at every pixel, in the quarter of its class: by hand over the mosaic.
    The blob at the centre has a quarter of itself in each."""
    asked = request(models.DEFAULT, layer="top_activation", method="Gradient times input")
    shares = side.shares_in_mosaic(asked)["shares"]
    assert list(shares) == [*one_pass(), "Gradient times input", SHUFFLED, CENTRE]
    game = trust.play_mosaic(asked)
    for row in game["rows"]:
        assert shares[row["method"]] == row["share"]
    assert shares[CENTRE] == pytest.approx(0.25, abs=1e-6)
    data = base64.b64decode(game["picture"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as shown:
        x = models.find(models.DEFAULT).preprocess(np.float32(shown))
    net, found = lookup.network(), []
    for n, quarter in enumerate(game["quarters"]):
        target = engine.Target(quarter["index"])
        heat = np.maximum((x * net.picture_gradient(x[None], target)[0]).sum(axis=-1), 0)
        half = heat[112 * (n // 2) :][:112, 112 * (n % 2) :][:, :112]
        found.append(half.sum() / heat.sum())
    assert shares["Gradient times input"] == pytest.approx(np.mean(found), rel=1e-4)


def test_pictures_of_one_class_are_no_mosaic(sentence: Any) -> None:
    asked = request(models.DEFAULT, layer="top_activation", paths=[*FOUR[:3], FOUR[0]])
    sentence(side.shares_in_mosaic(asked)["error"])
