"""Whatever JSON comes to a function of the server is answered, or refused in a sentence."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from visitor import PICTURE, is_a_sentence

from demo import cheat, handlers, lesson, qr, side, trust, ui
from demo.words import FAILED

FUNCTIONS = (
    handlers.draw, handlers.cover, handlers.diagnosis, handlers.stop, handlers.labels,
    lesson.whole, lesson.nudged, lesson.switched_off, lesson.summed, lesson.held_against,
    lesson.before_the_last, lesson.lines, lesson.formulas,
    trust.hide_cells, trust.play_mosaic, trust.take_aim, trust.forget_all, trust.does_it_hold,
    trust.verdict_on, trust.how_far, trust.call_off, cheat.ask_suspects, cheat.confess,
    side.all_rows, side.make_side, side.shares_in_mosaic, qr.code, ui.script_of_tests,
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
