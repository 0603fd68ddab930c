"""Everybody: what axe-core finds, forced colours, and a page that is zoomed to twice its size."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from lab import Lab, Server
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

AXE = Axe()


def faults(lab: Lab) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong on the page as it is: the rule, and where."""
    found = AXE.run(lab.page).response["violations"]
    return [(fault["id"], [str(node["target"]) for node in fault["nodes"]]) for fault in found]


COLOURED = """() => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const chroma = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return a && Math.max(r, g, b) - Math.min(r, g, b);
  };
  const evidence = '.gv-say, .gv-classes, .gv-why, .gv-sum, #title h1';
  return [...document.querySelectorAll('body *')]
    .filter(n => n.checkVisibility() && !n.closest(evidence))
    .filter(n => {
      const { color, backgroundColor, borderTopColor, borderTopWidth } = getComputedStyle(n);
      const border = parseFloat(borderTopWidth) ? [borderTopColor] : [];
      return [color, backgroundColor, ...border].some(c => chroma(c) > 30);
    }).map(n => `${n.tagName} ${n.className}`);
}"""


@pytest.mark.parametrize(
    ("width", "height", "dark"),
    [(1280, 720, False), pytest.param(390, 844, True, marks=pytest.mark.longest)],
)
def test_axe_finds_nothing(tall: Callable[..., Lab], width: int, height: int, dark: bool) -> None:
    lab = tall(width, height, dark)
    tabs = lab.page.get_by_role("tab").all()
    names = [tab.inner_text() for tab in tabs]
    assert names[:2] == ["Look", "How it is made"]
    assert faults(lab) == []
    assert lab.page.evaluate(COLOURED) == [], "colour means evidence and nothing else"
    lab.drawn_after(lab.find(".gv-why").click)
    lab.radio("gv-tool", "cover")
    assert faults(lab) == [], "a contrast, covered"
    lab.more()
    for part in lab.find(".gv-drawer summary").all():
        part.click()
    assert faults(lab) == [], "the drawer, all of it open"
    lab.more(False)
    for tab in tabs[1:]:
        tab.click()
        lab.settled()
        assert faults(lab) == [], tab.inner_text()


def test_axe_would_find_something(lab: Lab) -> None:
    lab.page.evaluate("document.querySelector('.gv-paste').removeAttribute('title')")
    lab.page.evaluate("document.querySelector('.gv-paste span').remove()")
    assert [rule for rule, _ in faults(lab)] == ["button-name"]
    lab.open()


@pytest.mark.slow
def test_forced_colours_leave_the_pictures_and_mark_what_is_chosen(
    browser: Browser, server: Server, tall: Callable[..., Lab]
) -> None:
    context = browser.new_context(
        locale="en-US", viewport={"width": 1366, "height": 900}, forced_colors="active",
        reduced_motion="reduce",
    )  # fmt: skip
    forced = Lab(context.new_page(), server).open()
    assert (forced.canvas() == tall(1366, 900).canvas()).all(), "the map is not recoloured"
    look = """selector => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.querySelector(selector));
      return outlineStyle === 'none' ? 0 : parseFloat(outlineWidth);
    }"""
    for chosen in (".gv-classes [aria-pressed=true]", ".gv-strip [aria-checked=true]"):
        assert forced.page.evaluate(look, chosen) >= 2, chosen
        assert not forced.page.evaluate(look, chosen.replace("true", "false")), chosen
    bar = forced.find(".gv-bar").first
    filled = bar.evaluate("n => getComputedStyle(n, '::before').backgroundColor")
    assert filled != bar.evaluate("n => getComputedStyle(n).backgroundColor")
    context.close()


@pytest.mark.many
@pytest.mark.parametrize(("width", "height"), [(640, 360), (320, 256)])
def test_zoomed_in_nothing_is_cut_off(tall: Callable[..., Lab], width: int, height: int) -> None:
    """Twice the size, of 1280x720; four times, of 1280x1024 (WCAG 1.4.10)."""
    lab = tall(width, height)
    for more in (False, True):
        lab.more(more)
        assert lab.page.evaluate("document.documentElement.scrollWidth") <= width
        beyond = lab.page.evaluate(
            """() => [...document.querySelectorAll('.gv :is(h2, h3, p, label, select, summary)')]
              .filter(n => n.checkVisibility() && !n.closest('.gv-hide'))
              .filter(n => !n.closest('.gv-film, .gv-table, .block'))
              .map(n => [n.className || n.textContent.slice(0, 30), n.getBoundingClientRect()])
              .filter(([, box]) => box.width && (box.left < -1 || box.right > innerWidth + 1))
              .map(([name]) => name)"""
        )
        assert beyond == []
    lab.more(False)
    lab.find(".gv-classes button").nth(1).scroll_into_view_if_needed()
    lab.drawn_after(lab.find(".gv-classes button").nth(1).click)
    assert "cheetah" in lab.say
