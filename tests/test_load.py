"""A small crowd, one of them hostile, before the real page: `make load` in its short form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent


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
