"""Whatever JSON comes to a function of the server, or to an endpoint, is answered, or refused in a
sentence."""

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from browser.lab import serve
from test_api import LEAK, raw
from test_fair import played
from visitor import PICTURE, is_a_sentence

from demo import api, cheat, handlers, lesson, qr, side, trust, ui
from demo.words import FAILED

FUNCTIONS = (
    handlers.draw, handlers.cover, handlers.diagnosis, handlers.stop, handlers.labels,
    lesson.whole, lesson.nudged, lesson.switched_off, lesson.summed, lesson.held_against,
    lesson.before_the_last, lesson.lines, lesson.formulas,
    trust.hide_cells, trust.play_mosaic, trust.take_aim, trust.forget_all, trust.does_it_hold,
    trust.verdict_on, trust.how_far, trust.call_off, cheat.ask_suspects, cheat.confess,
    side.all_rows, side.make_side, side.shares_in_mosaic, qr.code,
)  # fmt: skip
DEEP: Any = "in here"
for _ in range(200):
    DEEP = [DEEP]
WILD = [
    None, True, False, 0, -1, 10**30, -(10**400), 1e308, float("nan"), 0.5, "", "x" * 5000, "\0",
    "../../x", "\ud800", "own", [], [[]], [None] * 4, ["0", 1], [0, 0, 1, 1], [1e308] * 4, {},
    {"path": {}}, {"box": "all", "spots": [[0.5]]}, {"box": None, "spots": [[0.5, 1e308]]}, DEEP,
    {"path": DEEP},
]  # fmt: skip
SENSIBLE = {
    "path": PICTURE, "model": "shapes_1", "layer": "", "target": 1, "rival": None,
    "detail": False, "method": "Grad-CAM", "sign": "for", "colours": "light", "opacity": 0.5,
    "top": 0, "box": [0.1, 0.1, 0.5, 0.5], "boxes": [[0.1, 0.1, 0.5, 0.5]], "fill": "mean",
    "share": 0.2, "order": "hottest", "region": {"box": [0.1, 0.1, 0.5, 0.5], "spots": []},
    "token": "a word", "thing": "star", "number": 3, "tag": [0.5, 0.5], "paths": [PICTURE] * 4,
}  # fmt: skip


BESIDE: tuple[list[Any], ...] = ([], [[2, 3], 1])  # what goes with a request to the lesson


class Read(dict[str, Any]):
    """A request that knows which of its parts were read."""

    def __init__(self) -> None:
        super().__init__(SENSIBLE)
        self.names: dict[str, None] = {}

    def get(self, name: str, otherwise: Any = None) -> Any:
        self.names[name] = None
        return super().get(name, otherwise)


def requests_to(function: Callable[[Any], Any]) -> Iterator[Any]:
    """Sensible but for one part, of those that it reads."""
    for beside in BESIDE:
        read = Read()
        function([read, *beside] if beside else read)
        for name in read.names:
            for value in WILD:
                request = SENSIBLE | {name: value}
                yield [request, *beside] if beside else request
        for place in range(len(beside)):
            for value in WILD:
                yield [SENSIBLE, *beside[:place], value, *beside[place + 1 :]]


def check(said: Any, asked: Any) -> None:
    """JSON; where it is no answer, a sentence, and one of a refusal."""
    json.dumps(said)
    if isinstance(said, dict) and "error" in said:
        assert said["error"] != FAILED, asked
        assert is_a_sentence(said["error"]), (asked, said)


def test_no_function_of_the_page_is_left_out() -> None:
    parts = (ui.viewer(1), ui.steps_of_the_map(), ui.tests_of_the_map())
    served = [one.__name__ for part in parts for one in part.server_fns]
    assert set(served) == {one.__name__ for one in FUNCTIONS}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_what_is_no_request(function: Callable[[Any], Any]) -> None:
    for asked in WILD:
        check(function(asked), asked)


@pytest.mark.longest
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_a_request_with_a_part_that_is_wrong(function: Callable[[Any], Any], uploads: Any) -> None:
    for asked in requests_to(function):
        check(function(asked), asked)


# ---- the public endpoints ------------------------------------------------------------------------

ENDPOINTS = {"explain": api.endpoint, "check": api.check, "mosaic": api.pointing_game}
VISITOR = SimpleNamespace(client=None, session_hash="a word")
GIVEN = SENSIBLE | {"image": {"path": PICTURE}, "images": [{"path": PICTURE}] * 4, "test": "hide"}


def parameters_of(answer: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(answer).parameters if name != "progress"]


def values_for(answer: Callable[..., Any]) -> Iterator[list[Any]]:
    """Sensible but for one."""
    names = parameters_of(answer)
    for wrong in names:
        for value in WILD:
            yield [value if name == wrong else GIVEN[name] for name in names]


@pytest.fixture(scope="module")
def public() -> dict[str, Callable[..., Any]]:
    """The endpoints as the page has them, in turn."""

    async def build() -> Any:
        return ui.build_page()

    events = played(build()).fns.values()
    return {event.api_name: event.fn for event in events if event.api_visibility == "public"}


def test_no_endpoint_is_left_out(public: dict[str, Callable[..., Any]]) -> None:
    assert {name: fn.__wrapped__ for name, fn in public.items()} == ENDPOINTS


@pytest.mark.usefixtures("uploads")
@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_value_that_is_wrong(
    name: str, public: dict[str, Callable[..., Any]], caplog: pytest.LogCaptureFixture
) -> None:
    traced = []
    for given in values_for(ENDPOINTS[name]):
        try:
            said = played(public[name](*given, VISITOR))
        except gr.Error as error:
            said = {"error": error.message}
            traced.append(error.print_exception)
        check(said, given)
    assert len(traced) > len(WILD)
    assert not any(traced)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


BODIES = [
    b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"data": null}', b'{"data": {}}', b'{"data": "x"}',
    b"[" * 10**5, b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}", b'{"data": [' + b"1," * 10**5,
    b'{"data": ["' + b"x" * 5_000_000 + b'"]}', b'{"data": [1e999, -1e999, NaN]}',
    b'{"data": [' + b"9" * 5000 + b"]}", b'{"data": ["\\ud800"], "session_hash": "\\ud800"}',
    b'{"data": [], "session_hash": {}, "event_data": 7, "fn_index": -1, "trigger_id": "x"}',
    b'{"data": [], "session_hash": "s", "fn_index": 1e30, "component_id": "x", "fn_name": []}',
    b'{"data": [], "session_hash": "s", "component_id": 10000, "fn_name": "__class__"}',
]  # fmt: skip
DOORS = ["call/explain", "call/check", "call/mosaic", "call/none", "queue/join", "component_server",
         "run/predict", "api/explain", "reset", "cancel", "upload"]  # fmt: skip


@pytest.mark.longest
def test_the_same_over_http(tmp_path: Path) -> None:
    """And bodies that are no call at all; the log has no traceback, and then it still answers."""
    with serve(tmp_path) as app:
        for name, answer in ENDPOINTS.items():
            for given in values_for(answer):
                event, said = raw(app, given, name)
                if event == "error":
                    assert not LEAK.search(json.dumps(said)), (given, said)
                    assert said["error"] != FAILED, given
                else:
                    assert event in ("complete", "status 422"), (given, said)
        with httpx.Client(base_url=app.url, trust_env=False, timeout=60) as client:
            for door in DOORS:
                for body in BODIES:
                    headers = {"content-type": "application/json"}
                    answer = client.post(f"gradio_api/{door}", content=body, headers=headers)
                    assert not LEAK.search(answer.text), (door, body[:80], answer.text)
            assert client.get("healthz").status_code == 200
        event, said = raw(app, [{"path": PICTURE}, "shapes_1", "", 1, "Grad-CAM"])
        assert event == "complete", said
        assert "Traceback" not in app.log.read_text()
