"""Raw values -> a question, or a sentence."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from visitor import CHEETAH, LION, MODEL, PICTURE, refused

from demo import api, handlers, lesson, question
from demo.question import EXAMPLES, EXAMPLES_DIR, NO_PICTURE, NOT_UPLOADED, Chosen, own_file
from gradcam_core import lookup, models
from gradcam_core.types import Question

pytestmark = pytest.mark.usefixtures("uploads")

# ---- one question, whoever asks ----------------------------------------------------------------

PATH = os.path.realpath(PICTURE)
FIRST = str(EXAMPLES_DIR / next(iter(EXAMPLES)))


def test_every_door_makes_the_same_question() -> None:
    asked = {"path": PICTURE, "model": MODEL, "target": CHEETAH, "rival": LION, "detail": True}
    doors = [
        question.from_widgets(Chosen(PICTURE, MODEL, CHEETAH, LION, True)),
        question.from_json(asked | {"layer": "block5c_add"})[0],
        question.pose(PICTURE, MODEL, CHEETAH, LION, True),
    ]
    spec = models.find(MODEL)
    for posed in doors:
        assert posed.question == Question(PATH, MODEL, CHEETAH, LION, True)
        assert posed.spec is spec
        assert posed.asked is lookup.network(MODEL, True)
    assert len({hash(posed.question) for posed in doors}) == 1


def test_every_door_knows_none() -> None:
    plain = Question(PATH, MODEL, None, None, False)
    asked: dict[str, Any] = {"path": PICTURE, "model": MODEL}
    assert question.from_widgets(Chosen(PICTURE, MODEL)).question == plain
    assert question.from_widgets(Chosen(PICTURE, MODEL, None, None, None)).question == plain
    assert question.pose(PICTURE, MODEL).question == plain
    for none in ({}, {"target": None, "rival": None, "detail": None}):
        assert question.from_json(asked | none)[0].question == plain
    assert question.from_json(asked)[1] == "top_activation"


def test_class_0_is_a_class() -> None:
    assert question.from_widgets(Chosen(PICTURE, MODEL, 0, 1)).question.target == 0
    assert question.from_widgets(Chosen(PICTURE, MODEL, 1, 0)).question.rival == 0
    posed, _ = question.from_json({"path": PICTURE, "model": MODEL, "target": 1, "rival": 0})
    assert (posed.question.target, posed.question.rival) == (1, 0)


@pytest.mark.parametrize("value", [-1, -2, 3, 1.0, True, "0", "cat", [], {}, float("nan")])
def test_what_is_no_class(tiny: str, value: Any) -> None:
    for pair in ((value, None), (None, value)):
        assert "one of the 3 in" in refused(lambda pair=pair: question.pose(PICTURE, tiny, *pair))
    if value != -1:
        asked = {"path": PICTURE, "model": tiny, "target": value}
        assert "one of the 3 in" in refused(lambda: question.from_json(asked))


def test_detail_is_dropped_where_the_network_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(models.find(MODEL), fully_convolutional=False)
    monkeypatch.setitem(models.MODELS, "fixed", spec)
    posed = question.pose(PICTURE, "fixed", detail=True)
    assert not posed.question.detail
    assert posed.asked.shape == (224, 224, 3)


def test_a_class_is_not_compared_with_itself() -> None:
    assert refused(lambda: question.pose(PICTURE, MODEL, LION, LION)) == lookup.SAME


@pytest.mark.parametrize("request_", [None, [], "x", 3])
def test_json_that_is_no_question(request_: Any) -> None:
    assert refused(lambda: question.from_json(request_)) == question.NAMELESS


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Every name that is looked up."""
    done: list[tuple[str, Any]] = []

    def count(room: Any, name: str, of: int) -> None:
        real = getattr(room, name)

        def counted(*args: Any, **options: Any) -> Any:
            done.append((name, args[of]))
            return real(*args, **options)

        monkeypatch.setattr(room, name, counted)

    count(models, "find", 0)
    count(lookup, "network", 0)
    count(lookup, "layer_of", 1)
    count(question, "class_of", 0)
    return done


def test_a_name_is_looked_up_once(tiny: str, looked_up: list[tuple[str, Any]]) -> None:
    """In each request, whatever it takes to answer it."""
    spec = models.find(tiny)
    asked = {"path": PICTURE, "model": tiny, "target": 1, "rival": 2, "layer": "norm"}
    drawn = asked | {"method": "Grad-CAM", "sign": "for", "colours": "viridis"}
    chosen = Chosen(PICTURE, tiny, 1, 2)
    network = [("network", spec)]
    names, layer = [("find", tiny), ("class_of", 1), ("class_of", 2)], [("layer_of", "norm")]

    def cost(act: Callable[[], Any]) -> list[tuple[str, Any]]:
        looked_up.clear()
        said = act()
        assert "error" not in said or not said["error"], said
        return sorted(looked_up, key=str)

    def same(*wanted: Any) -> list[tuple[str, Any]]:
        return sorted([w for part in wanted for w in part], key=str)

    assert cost(lambda: vars(handlers.view_of(chosen))) == same(names, network)
    again = chosen._replace(target=0, rival="")
    assert cost(lambda: vars(handlers.view_of(again, spec))) == same(
        [("class_of", 0), ("class_of", None)], network
    )
    assert cost(lambda: vars(handlers.view_at(chosen, {"name": "norm"}))) == same(
        names, network, layer
    )
    assert cost(lambda: handlers.draw(drawn)) == same(names, network, layer)
    assert cost(lambda: lesson.whole(asked)) == same(names, network, layer)
    assert cost(lambda: lesson.nudged([asked, 0, 0, 0])) == same(names, network, layer)
    assert cost(lambda: api.endpoint({"path": PICTURE}, tiny, "norm", 1)) == same(  # type: ignore[arg-type]
        [("find", tiny), ("class_of", 1), ("class_of", None)], network, layer
    )


def test_the_page_looks_up_once_too(tiny: str, looked_up: list[tuple[str, Any]]) -> None:
    """Where the network is another, and where only the class is."""
    last = Chosen(PICTURE, MODEL, LION, "", False, models.find(MODEL).labels)
    for target, asks in ((LION, ""), (1, 1)):
        looked_up.clear()
        page = handlers.take_turn(last, Chosen(PICTURE, tiny, target))
        assert page
        assert page.view.error == ""
        assert page.last.target == asks, "a network of other classes forgets it"
        assert [name for name, _ in looked_up] == ["find", "class_of", "class_of", "network"]
        last = page.last


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
    assert refused(lambda: own_file(path)) in (NO_PICTURE, NOT_UPLOADED)


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
        assert refused(lambda path=path: own_file(str(path))) == NOT_UPLOADED


# ---- links ---------------------------------------------------------------------------------------


def linked(behind: str, kept: object = None) -> tuple[Chosen, list[str]]:
    return question.from_link(json.dumps([behind, kept]))


def test_a_link_is_a_question() -> None:
    labels = models.find(MODEL).labels
    asks, missing = linked("#p=lion&c=293&r=0&d=1")
    assert (asks, missing) == (Chosen(PICTURE, MODEL, 293, 0, True, labels), [])
    assert linked("") == (Chosen(FIRST, MODEL, "", "", False, labels), [])
    assert linked("#k=HiResCAM&tab=lesson")[0] == linked("")[0], "what is the browser's"


@pytest.mark.parametrize(
    ("behind", "left_out"),
    [("p=../lion", ["p"]), ("m=nothing", ["m"]), ("c=1000", ["c"]), ("c=-1", ["c"]), ("c=٣", ["c"]),
     ("r=9e9", ["r"]), ("c=5&r=5", ["r"]), ("p=nobody&c=293&r=1", ["p"]), ("ver=2&c=293", [])],
)  # fmt: skip
def test_what_a_link_asks_for_and_is_not_here(behind: str, left_out: list[str]) -> None:
    asks, missing = linked(behind)
    assert missing == left_out
    assert asks == linked("c=5" if behind == "c=5&r=5" else "")[0]


def test_a_network_that_cannot_run_at_twice_its_side_is_not_asked_to(tiny: str) -> None:
    row = replace(models.find(tiny), fully_convolutional=False)
    models.MODELS["small"] = row
    try:
        asks, missing = linked("m=small&d=1")
    finally:
        del models.MODELS["small"]
    assert (asks.model, asks.detail, missing) == ("small", False, ["d"])


def test_an_own_picture_is_that_of_the_tab_and_never_of_the_link(put: Callable[..., str]) -> None:
    path = put("cheetah.jpg")
    assert linked("p=own&c=291", {"path": path})[0].picture == os.path.realpath(path)
    assert linked("p=own&c=291", {"path": path})[0].target == 291
    for kept in (None, {}, {"path": "/etc/passwd"}, {"path": [1]}, "x", [path]):
        assert linked(f"p=own&c=291&path={path}", kept) == (linked("")[0], ["own"])


def test_a_visitors_own_network_is_that_of_the_tab_too(tiny: str) -> None:
    models.UPLOADS["secret"] = models.find(tiny)
    try:
        assert linked("m=mine&c=1", {"model": "secret"})[0][1:3] == ("secret", 1)
        assert linked("m=secret")[1] == ["m"]
        assert linked("m=mine", {"model": ["secret"]})[1] == ["mine"]
    finally:
        del models.UPLOADS["secret"]
    assert linked("m=mine", {"model": "secret"})[1] == ["mine"]
