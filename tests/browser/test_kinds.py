"""Methods of every kind go through the page: of two layers, asking many times, of the picture."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lab import Lab, serve
from playwright.sync_api import Browser, expect

from demo import words
from gradcam_core import heatmap

pytestmark = pytest.mark.browser

ROWS = """
import time
from pathlib import Path

import numpy as np

from gradcam_core.methods import METHODS
from gradcam_core.types import Fusion, Method


def slow(asked, trace, layer):
    for n in range(2000):
        yield n / 2000
        if Path({go!r}).exists():
            break
        time.sleep(0.05)
    grid = np.zeros(asked.layers[layer].shape[:2], np.float32)
    grid[0, -1] = asked.score(trace.inputs[None], trace.target)[0]
    return grid


def far(asked, trace, layer):
    assert layer is None
    yield 0.5
    return np.float32([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [2, 0, 0, 0, 0]])


def both(asked, layer):
    return (layer, asked.suggested[0]) if layer == asked.best else ()


METHODS |= {{
    "Slow-CAM": Method(None, "It asks.", "https://example.org", "many passes", ask=slow),
    "Far-CAM": Method(None, "So.", "https://example.org", "two", ask=far, of_picture=True),
    "Pair-CAM": Method(
        None, "Two layers.", "https://example.org", "one",
        fusion=Fusion(both, lambda pairs: np.float32([[0, 0, 1], [0, 3, 0]])),
    ),
}}
"""


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


@pytest.fixture
def asking(browser: Browser, tmp_path: Path, go: Path) -> Iterator[Lab]:
    with serve(tmp_path, first=ROWS.format(go=str(go))) as running:
        context = browser.new_context(
            locale="en-US", viewport={"width": 1366, "height": 900}, reduced_motion="reduce"
        )
        yield Lab(context.new_page(), running).open()
        context.close()


def shows(lab: Lab, grid: np.ndarray) -> bool:
    """Whether the canvas shows this map and no other."""
    here = lab.canvas()[..., :3].astype(float)
    unit = heatmap.normalise(np.asarray(grid, np.float32))
    wanted = heatmap.paint(heatmap.upsample(unit, here.shape[:2]), "viridis")
    return bool(np.abs(here - wanted).mean() < 2)


@pytest.mark.slow
def test_methods_of_every_kind(asking: Lab, go: Path) -> None:
    asking.put("colours", "viridis")
    asking.page.evaluate(
        """() => {
          const range = document.querySelector('[name=opacity]');
          range.value = 100;
          range.dispatchEvent(new Event('input', { bubbles: true }));
        }"""
    )
    button = asking.find(".gv-ask")
    expect(button).to_be_hidden()

    asked = len(asking.requests)
    asking.put("method", "Pair-CAM")
    assert shows(asking, np.array([[0, 0, 1], [0, 3, 0]]))
    expect(button).to_be_hidden()
    asking.find("[name=layer]").select_option("block5c_add")
    expect(asking.find(".gv-method")).to_contain_text("Pair-CAM has no map at this layer")
    assert len(asking.requests) == asked, "what fuses comes with all the rest"

    asking.find("[name=layer]").select_option("top_activation")
    asking.put("method", "Slow-CAM")
    before = asking.canvas()
    expect(button).to_have_text("Make the map of Slow-CAM")
    button.click()
    expect(button).to_have_text("Stop")
    asking.page.get_by_text("Making Slow-CAM").wait_for()
    button.click()
    expect(button).to_have_text("Make the map of Slow-CAM")
    expect(asking.find(".gv-hint")).to_have_text(words.STOPPED)
    assert (asking.canvas() == before).all(), "what was there stands"
    go.touch()
    button.click()
    expect(button).to_be_hidden()
    corner = np.zeros((7, 7))
    corner[0, -1] = 1
    assert shows(asking, corner)

    asking.put("method", "Far-CAM")
    button.click()
    expect(button).to_be_hidden()
    left = np.array([[0] * 5, [0] * 5, [2, 0, 0, 0, 0]])
    assert shows(asking, left)
    asking.put("method", "Grad-CAM")
    assert not shows(asking, left)
    assert asking.errors == []
