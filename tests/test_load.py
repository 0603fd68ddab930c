"""A small crowd, one of them hostile, before the real page: `make load` in its short form."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import crowd

HOME = Path(__file__).parent.parent


def crowd_of(**more: Any) -> dict[str, Any]:
    """What was measured of a crowd that got all it asked for."""
    return {
        "name": "sixty", "visitors": 2, "hostile": 60, "outcomes": {"answered": 4},
        "hostile_outcomes": {}, "page": [0.1, 0.3], "first": [1.0, 3.0], "second": [0.5, 0.7],
        "memory": [900.0, 1000.0], "cpu": 2.0, "back": 0.3,
    } | more  # fmt: skip


def test_the_report_says_what_was_missed() -> None:
    """Of each aim, by hand: the worst of all crowds counts."""
    late = crowd_of(first=[1.0, 6.0], memory=[900.0, 1801.0])
    wrong = crowd_of(hostile=0, outcomes={"answered": 3, "wrong": 1}, back=5.5)
    met = {
        words: measured <= most for words, measured, most, _ in crowd.aims({"runs": [crowd_of()]})
    }
    assert len(met) == 5
    assert all(met.values())
    rows = crowd.aims({"runs": [crowd_of(), late, wrong]})
    assert [(measured, measured <= most) for _, measured, most, _ in rows] == [
        (1, False), (0, True), (1801, False), (5.5, False), (3, True), (6, False),
    ]  # fmt: skip
    said = crowd.document({"runs": [late], "capacity": 2.5})
    assert "| sixty | 4, 0, 0, 0 | 0.20 / 0.29 s | 3.50 / 5.75 / 5.95 s | 0.60 / 0.69 s |" in said
    assert said.count("**missed**") == 2
    assert "2.50 visitors a second" in said


def test_the_growth_of_memory_counts_from_the_thousandth_answer() -> None:
    """By hand: 0.2 MB an answer before, 0.02 after."""
    sizes = [900 + 20 * n for n in range(10)] + [1080 + 2 * n for n in range(1, 21)]
    assert crowd.slope(sizes) == pytest.approx(0.02)
    ((words, measured, _, _),) = crowd.aims({"sizes": sizes})
    assert (words, round(measured)) == ("memory, answer 1,000 to 3,000", 20)


@pytest.mark.slow
def test_a_crowd_gets_right_answers_or_a_sentence(tmp_path: Path) -> None:
    """As they are computed alone; and the memory stays below what is written on the lid."""
    command = [sys.executable, "-m", "tests.bench.crowd", "--which", "short", "--out", tmp_path]
    subprocess.run(command, cwd=HOME, check=True, timeout=900)
    (run,) = json.loads((tmp_path / "load.json").read_text())["runs"]
    assert set(run["outcomes"]) <= {"answered", "refused"}
    assert sum(run["outcomes"].values()) == 2 * run["visitors"] == 12
    assert run["outcomes"]["answered"] > 0
    # the hostile one asks until the honest ones have their answers: it may have none by then
    assert set(run["hostile_outcomes"]) <= {"answered", "refused"}
    assert max(run["memory"]) < 1800
    assert (tmp_path / "load.png").stat().st_size > 0
    assert (
        f"| {run['name']} | {run['outcomes']['answered']}, " in (tmp_path / "load.md").read_text()
    )
