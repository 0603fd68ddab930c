"""Can I trust it? The tests of a map, as a visitor makes them."""

from collections.abc import Iterator

import numpy as np
import pytest
from lab import PATIENCE, Lab, pixels, plain
from playwright.sync_api import Locator, expect

from demo import trust
from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import faithfulness, models

pytestmark = pytest.mark.browser

LONG = 1000 * PATIENCE * 5  # for what takes many passes
SCREENS = [(1280, 900, False), (390, 844, True)]
PATH = str(EXAMPLES_DIR / next(iter(EXAMPLES)))
LION = 291


@pytest.fixture(params=SCREENS, ids=["1280", "390"])
def opened(request, tall) -> Iterator[tuple[Lab, Locator]]:
    width, height, dark = request.param
    lab = tall(width, height, dark)
    lab.page.get_by_role("tab", name="Can I trust it?").click()
    tab = lab.page.locator("#trust")
    tab.locator(".gt-bar").first.wait_for()
    yield lab, tab
    expect(tab.locator(".gt-error")).to_be_hidden()
    assert lab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert lab.errors == []
    assert lab.outside() == []


def probability(share: float, order: str) -> str:
    """Of the lion, as the page says it."""
    request = {
        "path": PATH, "model": models.DEFAULT, "target": LION, "detail": False,
        "layer": "top_activation", "method": "Grad-CAM", "share": share, "order": order,
        "fill": "blur",
    }  # fmt: skip
    p = next(c["p"] for c in trust.hide_cells(request)["classes"] if c["index"] == LION)
    return trust.words.percent(p)


def test_hide_and_see(opened: tuple[Lab, Locator]) -> None:
    """By keys: more is hidden, then the other end; sentence, bar and picture follow."""
    _, tab = opened
    says, mine = tab.locator(".gt-says"), tab.locator(".gt-mine b")
    before = tab.locator(".gt-photo img").get_attribute("src")
    slider = tab.locator("[name=share]")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    expect(says).to_contain_text("With the hottest 40")
    expect(mine).to_have_text(probability(0.4, "hottest").replace(" ", "\N{NO-BREAK SPACE}"))
    assert tab.locator(".gt-photo img").get_attribute("src") != before
    tab.get_by_label("the coldest cells").check()
    expect(says).to_contain_text("With the coldest 40")
    assert plain(mine.inner_text()) == probability(0.4, "coldest")
    assert plain(says.inner_text()).endswith(f"to {probability(0.4, 'coldest')}.")


def test_a_verdict_can_be_cancelled(opened: tuple[Lab, Locator]) -> None:
    _, tab = opened
    expect(tab.locator(".gt-far")).to_have_text("Takes up to 357 passes of the network.")
    tab.get_by_role("button", name="Test this map").click()
    expect(tab.get_by_role("progressbar")).to_be_visible()
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.get_by_role("button", name="Test this map")).to_be_visible()
    expect(tab.get_by_role("progressbar")).to_be_hidden()
    expect(tab.locator(".gt-found")).to_be_hidden()


def test_the_mosaic(opened: tuple[Lab, Locator]) -> None:
    """Two pictures are swapped by clicks; then every method has its share, and chance its line."""
    _, tab = opened
    tiles = tab.locator(".gt-grid [data-path]")
    paths = tiles.evaluate_all("nodes => nodes.map(n => n.dataset.path)")
    assert len(set(paths)) == 4
    tiles.nth(0).click()
    tiles.nth(3).click()
    swapped = [paths[3], *paths[1:3], paths[0]]
    assert tiles.evaluate_all("nodes => nodes.map(n => n.dataset.path)") == swapped
    tab.get_by_role("button", name="Test all methods").click()
    rows = tab.locator(".gt-row")
    rows.first.wait_for()
    request = {"model": models.DEFAULT, "layer": "top_activation", "paths": swapped}
    said = trust.play_mosaic(request)
    assert [plain(text) for text in rows.locator("b").all_inner_texts()] == [
        trust.words.percent(row["share"]) for row in said["rows"]
    ]
    assert [plain(t) for t in tab.locator(".gt-quarter").all_inner_texts()] == [
        f"{q['label']} {trust.words.percent(q['p'])}" for q in said["quarters"]
    ]
    assert tab.locator(".gt-warnings li").all_inner_texts() == said["warnings"]
    first = rows.first
    track, line = (first.locator(n).bounding_box() for n in (".gt-track", "u"))
    assert track
    assert line
    assert (line["x"] - track["x"]) / track["width"] == pytest.approx(0.25, abs=0.01)
    expect(tab.locator(".gt-grid canvas")).to_have_count(1)
    one = pixels(tab.locator(".gt-grid canvas"))
    tab.locator(".gt-quarter").nth(2).click()
    expect(tab.locator(".gt-quarter").nth(2)).to_have_attribute("aria-pressed", "true")
    tab.page.wait_for_timeout(200)
    assert np.abs(pixels(tab.locator(".gt-grid canvas")).astype(int) - one).max() > 30


@pytest.mark.slow
def test_the_verdict(tall) -> None:
    """One of the sentences, each fill with its own numbers and curves, and what it took."""
    lab = tall(1280, 900)
    lab.drawn_after(lambda: lab.example(1 + list(EXAMPLES).index("tower.jpg")))
    lab.settled()
    lab.page.get_by_role("tab", name="Can I trust it?").click()
    tab = lab.page.locator("#trust")
    tab.get_by_role("button", name="Test this map").click()
    sentence = tab.locator(".gt-sentence")
    sentence.wait_for(timeout=LONG)
    assert sentence.inner_text() in (
        "Better than chance and than the picture’s centre.",
        "No better than the picture’s centre.",
        "Undecided: it depends on what is painted over.",
        "Undecided: better than the picture’s centre, but shuffled cells did as well.",
    )
    fills = tab.locator(".gt-fills label")
    assert len(fills.all()) == len(faithfulness.STEPS_OF)
    steps = []
    for n, count in enumerate(faithfulness.STEPS_OF.values()):
        fills.nth(n).locator("input").check()
        expect(tab.locator(".gt-plot polyline")).to_have_count(4)
        expect(tab.locator(".gt-plot circle")).to_have_count(2 * (count + 1))
        steps.append(fills.nth(n).inner_text())
    assert all("the picture’s centre (" in text for text in steps)
    expect(tab.locator(".gt-cost")).to_contain_text("passes of the network and")
    assert lab.errors == []
