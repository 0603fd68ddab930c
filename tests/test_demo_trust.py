"""The tests of a map, without a server and without a browser."""

import base64
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo import engine, trust, words
from demo.question import EXAMPLES_DIR
from gradcam_core import faithfulness, lookup, models, pipeline
from gradcam_core.cache import Cache
from gradcam_core.methods import one_pass
from gradcam_core.types import Stopped, UserError

FOUR = [str(EXAMPLES_DIR / f"{n}.jpg") for n in ("cheetah", "lion", "tower", "hopper")]
LION = 291


def request(model: str, **more: Any) -> dict[str, Any]:
    asked = {"path": FOUR[1], "model": model, "target": 1, "detail": False, "layer": "shapes"}
    return asked | {"method": "Grad-CAM"} | more


def picture_in(url: str) -> np.ndarray:
    data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as shown:
        return np.asarray(shown)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_judgements", Cache(10))
    monkeypatch.setattr(trust, "_followed", Cache(9))


# ---- hide and see --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["hottest", "coldest"])
def test_a_share_of_the_cells_is_painted(tiny: str, order: str) -> None:
    """A quarter of 121 cells is 30; grey is 127.5, which is shown as 128. The hidden cells are
    those of the map with the largest numbers, or the smallest."""
    asked = request(tiny, share=0.25, order=order, fill="grey")
    said = trust.hide_cells(asked)
    posed, _, _, signed = trust.map_in_view(asked)
    painted = (picture_in(said["picture"]) == 128).all(axis=2)
    owner = faithfulness.owners((11, 11), (25, 25), posed.asked.layers["shapes"].placement)
    hidden = set(owner[painted].tolist()) - {-1}
    assert len(hidden) == 30
    values, inside = signed.ravel(), np.isin(np.arange(121), list(hidden))
    low, high = (values[~inside], values[inside])
    if order == "coldest":
        low, high = high, low
    assert low.max() <= high.min()
    assert [c["index"] for c in said["classes"]].count(1) == 1


def test_nothing_hidden_is_what_the_network_says(tiny: str) -> None:
    asked = request(tiny, share=0, order="hottest", fill="blur")
    first = engine.first_look(trust.map_in_view(asked)[0])
    said = {c["index"]: c["p"] for c in trust.hide_cells(asked)["classes"]}
    assert [said[n] for n in range(3)] == pytest.approx(first.probabilities.tolist(), rel=1e-4)


def test_what_is_shown_has_the_form_of_what_is_seen(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wide picture; the middle of it is a square."""
    path = str(EXAMPLES_DIR / "cheetah_and_lion.jpg")
    asked = request(tiny, share=0.5, order="hottest", fill="mean", path=path)
    with Image.open(path) as whole:
        ratio = whole.width / whole.height
    assert ratio > 1.5
    assert trust.hide_cells(asked)["ratio"] == pytest.approx(ratio)
    monkeypatch.setitem(models.MODELS, "middle", replace(models.MODELS[tiny], crop=True))
    assert trust.hide_cells(asked | {"model": "middle"})["ratio"] == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [{"share": 2}, {"share": "1"}, {"share": None}, {"order": "x"}, {"order": []}, {"fill": "x"},
     {"method": "x"}, {"layer": "x"}, {"target": 9}, {"path": "/etc/passwd"}],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_gets_a_sentence(
    tiny: str, wrong: dict[str, Any], sentence: Callable[[object], str]
) -> None:
    asked = request(tiny, share=0.5, order="hottest", fill="grey") | wrong
    sentence(trust.hide_cells(asked)["error"])


# ---- the verdict ---------------------------------------------------------------------------------


def test_the_verdict_is_that_of_the_core(tiny: str) -> None:
    """One sentence, three fills, the passes, and how far it is."""
    asked = request(tiny, token="one")
    said = trust.verdict_on(asked)
    posed, layer, method, signed = trust.map_in_view(asked)
    image, _ = engine.picture(posed.question)
    target = engine.survey_of(posed).target
    found = pipeline.finished(
        pipeline.examining(image, posed.spec, posed.asked, target, layer, method, signed)
    )
    assert said["sentence"] == faithfulness.sentence_of(found)
    assert (said["passes"], said["ruling"]) == (found.passes, found.ruling)
    for row, one in zip(said["fills"], found.fills, strict=True):
        assert row["map"]["hottest"] == pytest.approx(list(one.map.hottest), rel=1e-4)
        assert row["centre"]["coldest"] == pytest.approx(list(one.centre.coldest), rel=1e-4)
    assert 0 < trust.how_far("one")["part"] <= 1


def test_the_band_goes_from_the_lowest_to_the_highest() -> None:
    """Of two shuffled maps, whose scores at two steps are 1 4, 2 6 and 5 0, 3 3."""
    removal = faithfulness.Removal
    one = faithfulness.OfFill(
        "blur", (0.4, 0.8), removal((0, 0), (9, 9)), removal((1, 1), (2, 2)),
        [removal((1, 4), (2, 6)), removal((5, 0), (3, 3))],
    )  # fmt: skip
    row = trust.fill_row(one)
    assert (row["low"], row["high"]) == ([1, 0], [5, 6])


def test_it_is_made_once(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trust.verdict_on(request(tiny, token="a"))
    monkeypatch.setattr(pipeline, "examining", None)
    assert trust.verdict_on(request(tiny, token="b")) == first


def test_it_can_be_called_off_before_it_begins(tiny: str) -> None:
    assert not trust.called_off("early")
    trust.call_off("early")
    assert trust.called_off("early")
    assert not any(map(trust.called_off, ("another", None, 5, [])))
    assert trust.verdict_on(request(tiny, token="early")) == {"error": words.STOPPED}


def test_it_can_be_called_off_while_another_is_made(tiny: str) -> None:
    """It waits for its turn, and leaves the queue without having had it."""
    said: list[Any] = []
    asked = request(tiny, token="queued")
    engine.long_slot.acquire()
    try:
        waiting = threading.Thread(target=lambda: said.append(trust.verdict_on(asked)))
        waiting.start()
        trust.call_off("queued")
        waiting.join(60)
    finally:
        engine.long_slot.release()
    assert said == [{"error": words.STOPPED}]
    assert trust.verdict_on(request(tiny, token="next"))["passes"] >= 53


def test_what_nobody_follows_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(trust.time, "monotonic", lambda: clock[0])
    one = trust.followed("left alone")
    clock[0] = trust.FORSAKEN - 1
    one.tell(0.1)
    trust.how_far("left alone")
    clock[0] = 2 * trust.FORSAKEN - 2
    one.tell(0.2)
    clock[0] = 2 * trust.FORSAKEN
    with pytest.raises(Stopped):
        one.tell(0.3)


@pytest.mark.parametrize("token", [None, "", 5, "x" * 101])
def test_a_test_without_a_name(tiny: str, token: Any, sentence: Callable[[object], str]) -> None:
    sentence(trust.verdict_on(request(tiny, token=token))["error"])
    sentence(trust.how_far(token)["error"])


# ---- what takes a while can be stopped -----------------------------------------------------------


@pytest.fixture
def passes(tiny: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passes of the tiny network, by what is asked; the map in view is there already."""
    trust.map_in_view(request(tiny))
    net, made = lookup.network(models.find(tiny)), list[str]()

    def counted(name: str, real: Any) -> Any:
        def ask(*given: Any, **more: Any) -> Any:
            made.append(name)
            return real(*given, **more)

        return ask

    for name in ("trace", "score", "probabilities", "guided_backprop"):
        monkeypatch.setattr(net, name, counted(name, getattr(net, name)))
    return made


LONG = {"verdict": trust.verdict_on, "forget": trust.forget_all, "hold": trust.does_it_hold}


@pytest.mark.parametrize("test", LONG)
def test_stopped_midway_it_costs_nothing_more(tiny: str, passes: list[str], test: str) -> None:
    """Each has made the passes that tell what is to be held against, when it hears of it."""
    parts = list[float]()

    def heard(part: float) -> None:
        parts.append(part)
        if passes:
            trust.call_off("midway")

    said = LONG[test](request(tiny, token="midway"), progress=heard)
    assert said == {"error": words.STOPPED}
    assert passes == {
        "verdict": ["score"], "forget": ["guided_backprop", "trace"], "hold": ["probabilities"],
    }[test]  # fmt: skip
    assert trust.how_far("midway")["part"] == parts[-1]


@pytest.mark.parametrize("test", LONG)
def test_what_nobody_waits_for_any_more_ends(tiny: str, passes: list[str], test: str) -> None:
    """Its turn says so: the browser is gone, or the program that asked. Without a token, too."""

    def left(part: float) -> None:
        raise Stopped

    for asked in (request(tiny), request(tiny, token="left")):
        assert LONG[test](asked, progress=left) == {"error": words.STOPPED}
    assert passes == []


def test_what_takes_a_while_tells_how_far_it_is(tiny: str) -> None:
    """From nothing on, and never back; each test in as many steps as its docstring has."""
    for test, steps in (("forget", 8), ("hold", 3)):
        parts = list[float]()
        assert "error" not in LONG[test](request(tiny, token=test), progress=parts.append)
        told = [part for part in parts if part]
        assert told == [n / steps for n in range(1, steps)]


def test_a_mosaic_is_stopped_between_its_classes(tiny: str, passes: list[str]) -> None:
    four, told = [trust.pose(path, tiny) for path in FOUR], list[float]()
    for one in four:
        engine.first_look(one)
    passes.clear()

    def heard(part: float) -> None:
        told.append(part)
        if part == 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        engine.in_mosaic(four, "shapes", heard)
    assert told == [0, 0.25, 0.5]
    assert passes == ["trace", "trace"]


def test_a_mosaic_is_stopped_between_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "first_look", None)
    asked = {"model": models.DEFAULT, "layer": "", "paths": FOUR}
    trust.call_off("early")
    assert trust.play_mosaic(asked | {"token": "early"}) == {"error": words.STOPPED}

    looks, told = list[str](), list[float]()
    known = {path: SimpleNamespace(target=engine.Target(n)) for n, path in enumerate(FOUR)}

    def look(posed: Any) -> Any:
        looks.append(posed.question.picture)
        return known[posed.question.picture]

    def heard(part: float) -> None:
        told.append(part)
        if looks:
            trust.call_off("midway")

    monkeypatch.setattr(engine, "first_look", look)
    said = trust.play_mosaic(asked | {"token": "midway"}, progress=heard)
    assert said == {"error": words.STOPPED}
    assert looks == FOUR[:1]
    assert told == [0, 0, 1 / 8]


# ---- the mosaic test -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_heat_of_a_class_is_looked_for_in_its_quarter() -> None:
    """With the default network: the picture's quarters in order, a row a method; Eigen-CAM, whose
    map is the same for each class, has shares that add up to 1: a mean of exactly chance."""
    asked = {"model": models.DEFAULT, "layer": "top_activation", "paths": FOUR}
    said = trust.play_mosaic(asked)
    assert [q["label"] for q in said["quarters"]][:2] == ["cheetah", "lion"]
    assert [row["method"] for row in said["rows"]] == list(one_pass())
    rows = {row["method"]: row for row in said["rows"]}
    assert sum(rows["Eigen-CAM"]["shares"]) == pytest.approx(1, abs=1e-4)
    assert rows["Eigen-CAM"]["share"] == pytest.approx(0.25, abs=1e-4)
    assert rows["Grad-CAM"]["share"] > 0.5
    assert rows["Grad-CAM"]["share"] == pytest.approx(np.mean(rows["Grad-CAM"]["shares"]))
    assert picture_in(said["picture"]).shape == (224, 224, 3)
    alike = [text for text in said["warnings"] if "alike" in text]
    assert len(alike) == 1
    assert "cheetah and lion" in alike[0]
    for quarter in said["quarters"]:
        unsure = f"The network is not sure of {quarter['label']}." in said["warnings"]
        assert unsure == (quarter["alone"] < 0.5)


def test_swapped_pictures_swap_their_classes() -> None:
    asked = {"model": models.DEFAULT, "layer": "top_activation", "paths": FOUR}
    one = trust.play_mosaic(asked)["quarters"]
    other = trust.play_mosaic(asked | {"paths": FOUR[::-1]})["quarters"]
    assert [q["index"] for q in one] == [q["index"] for q in other][::-1]
    assert [q["alone"] for q in one] == [q["alone"] for q in other][::-1]


def test_classes_are_alike_if_one_is_near_in_the_others_picture() -> None:
    """Of 50 classes the five likeliest: a's picture has a to e, b's has g too, c's has g too."""
    near = ["abcde", "bfehg", "ceghi", "gdhfe"]
    labels = "abcdefghi" + "." * 41
    p = [np.array([10.0 - of.find(c) if c in of else 0 for c in labels]) for of in near]
    said = trust.alike_classes([0, 1, 2, 6], p, labels)
    assert [text.split("network ")[1].split(" are")[0] for text in said] == [
        "a and b", "a and c", "b and g", "c and g",
    ]  # fmt: skip


def test_among_few_classes_none_are_called_alike() -> None:
    assert trust.alike_classes([0, 1, 2, 3], [np.full(4, 0.25)] * 4, "abcd") == []


@pytest.mark.parametrize(
    "paths", [None, FOUR[:3], [*FOUR, FOUR[0]], [*FOUR[:3], FOUR[0]], [*FOUR[:3], "/etc/passwd"]]
)
def test_no_mosaic_of_these(paths: Any, sentence: Callable[[object], str]) -> None:
    asked = {"model": models.DEFAULT, "layer": "top_activation", "paths": paths}
    sentence(trust.play_mosaic(asked)["error"])


# ---- what is drawn by hand -----------------------------------------------------------------------


def test_what_a_visitor_draws_is_hidden_instead_of_cells(tiny: str) -> None:
    """The right 10 of 25 columns, the upper 15 of 25 rows; and under the brush."""
    region = {"box": [0.6, 0, 1, 0.6], "spots": []}
    said = trust.hide_cells(request(tiny, share=1, order="hottest", fill="grey", region=region))
    painted = (picture_in(said["picture"]) == 128).all(axis=2)
    assert painted[:15, 15:].all()
    assert painted.sum() == 10 * 15
    brush = {"box": None, "spots": [[0.5, 0.1], [0.9, 0.9]]}
    said = trust.hide_cells(request(tiny, share=1, order="hottest", fill="grey", region=brush))
    painted = (picture_in(said["picture"]) == 128).all(axis=2)
    assert painted[2, 12]
    assert painted[22, 22]
    assert not painted[12, 12]
    assert painted.sum() == pytest.approx(2 * np.pi * (25 / 16) ** 2, abs=4)


@pytest.mark.parametrize(
    "region",
    [{}, [], "all", {"box": None, "spots": []}, {"box": [0, 0, 1], "spots": []},
     {"box": [0, 0, 1, 2], "spots": []}, {"box": None, "spots": [[0.5, float("nan")]]},
     {"box": None, "spots": [[0.5]]}, {"box": None, "spots": [[0.5, 0.5]] * 401}],
)  # fmt: skip
def test_what_is_no_drawing_is_refused(tiny: str, region: Any, sentence: Any) -> None:
    for answer in (trust.hide_cells, trust.take_aim):
        asked = request(tiny, share=0, order="hottest", fill="grey", region=region)
        sentence(answer(asked)["error"])


def test_hit_or_miss_is_that_of_the_map_and_of_the_centre(tiny: str) -> None:
    asked = request(tiny)
    posed, _, _, signed = trust.map_in_view(asked)
    _, _, project = trust.in_test(posed, "shapes", "Grad-CAM")
    heat = project(signed)
    row, column = (int(n) for n in np.unravel_index(heat.argmax(), heat.shape))
    half = 3 / 25
    at = [(column + 0.5) / 25 - half, (row + 0.5) / 25 - half]
    around = np.clip([*at, at[0] + 2 * half, at[1] + 2 * half], 0, 1).tolist()
    said = trust.take_aim(asked | {"region": {"box": around, "spots": []}})
    mine, centre = said["rows"]
    assert mine["hit"]
    mask = np.zeros((25, 25), bool)
    left, top, right, bottom = around
    middles = (np.arange(25) + 0.5) / 25
    mask[np.ix_((middles >= top) & (middles < bottom), (middles >= left) & (middles < right))] = (
        True
    )
    assert mine["share"] == pytest.approx(heat[mask].sum() / heat.sum())
    assert said["area"] == pytest.approx(mask.mean())
    distances = (middles[:, None] - 0.5) ** 2 + (middles - 0.5) ** 2
    blob = np.exp(-distances / (2 / 16))
    assert centre["share"] == pytest.approx(blob[mask].sum() / blob.sum(), rel=1e-4)
    assert centre["of"] == "the picture’s centre"


def test_each_hit_and_miss_has_its_sentence(sentence: Any) -> None:
    def said(hit: bool, centre: bool, share: float | None = 0.5) -> str:
        rows = [{"of": "", "hit": h, "share": share, "overlap": None} for h in (hit, centre)]
        return sentence(trust.said_of_aim(*rows))

    assert len({said(a, b) for a in (True, False) for b in (True, False)}) == 4
    assert said(True, False).startswith("Hit")
    assert said(False, True).startswith("Miss")
    assert said(True, True, None) == "This map has no heat at all, so it points nowhere."


# ---- forgotten, changed --------------------------------------------------------------------------


def test_what_forgetting_does_is_what_the_pipeline_finds(tiny: str) -> None:
    asked = request(tiny)
    said = trust.forget_all(asked)
    posed, layer, method, _ = trust.map_in_view(asked)
    given, _, _ = trust.in_test(posed, layer, method)
    found = pipeline.finished(pipeline.forgetting(*given))
    assert said["alike"] == list(found.alike)
    assert said["sentence"] == faithfulness.said_when_forgotten(found)
    assert len(said["overlays"]) == len(said["shares"]) == 8
    assert said["passes"] == 18  # with nothing forgotten and eight times, twice each
    assert all(url.startswith("data:image/jpeg;base64,") for url in said["overlays"])


def test_a_network_without_relu_has_no_guided_lines(monkeypatch: Any, tiny: str) -> None:
    posed, _, _, _ = trust.map_in_view(request(tiny))

    def none(*_: Any) -> Any:
        raise UserError("This network has no ReLU.")

    monkeypatch.setattr(posed.asked, "guided_backprop", none)
    said = trust.forget_all(request(tiny))
    assert said["guided"] is None
    assert said["passes"] == 9


def test_whether_a_map_holds_is_told_for_each_change(tiny: str) -> None:
    said = trust.does_it_hold(request(tiny))
    assert [row["change"] for row in said["rows"]] == ["mirrored", "moved", "with noise"]
    asked = request(tiny, share=0, order="hottest", fill="blur")
    now = {c["index"]: c["p"] for c in trust.hide_cells(asked)["classes"]}[1]
    assert {round(row["before"], 4) for row in said["rows"]} == {round(now, 4)}


@pytest.mark.parametrize("answer", [trust.forget_all, trust.does_it_hold, trust.take_aim])
def test_a_test_of_nothing_is_refused(answer: Any, tiny: str, sentence: Any) -> None:
    sentence(answer(request(tiny, method="None of them"))["error"])
    sentence(answer(request(tiny, layer="nowhere"))["error"])
    sentence(answer({})["error"])
