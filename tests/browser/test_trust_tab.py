"""Can I trust it? The tests of a map, as a visitor makes them."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from lab import PATIENCE, Lab, pixels, plain
from playwright.sync_api import Locator, Request, Route, expect

from demo import cheat, side, trust
from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import faithfulness, models, planted
from gradcam_core.methods import METHODS

pytestmark = pytest.mark.browser

LONG = 1000 * PATIENCE * 5  # for what takes many passes
SCREENS = [(1280, 900, False), (390, 844, True)]
PATH = str(EXAMPLES_DIR / next(iter(EXAMPLES)))
LION = 291


@pytest.fixture(
    params=[SCREENS[0], pytest.param(SCREENS[1], marks=pytest.mark.longest)], ids=["1280", "390"]
)
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
    before = tab.locator(".gt-see img").get_attribute("src")
    slider = tab.locator("[name=share]")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    expect(says).to_contain_text("With the hottest 40")
    expect(mine).to_have_text(probability(0.4, "hottest").replace(" ", "\N{NO-BREAK SPACE}"))
    assert tab.locator(".gt-see img").get_attribute("src") != before
    tab.get_by_label("the coldest cells").check()
    expect(says).to_contain_text("With the coldest 40")
    assert plain(mine.inner_text()) == probability(0.4, "coldest")
    assert plain(says.inner_text()).endswith(f"to {probability(0.4, 'coldest')}.")


def test_a_verdict_can_be_cancelled(opened: tuple[Lab, Locator]) -> None:
    _, tab = opened
    far = tab.locator("[data-run=verdict] span")
    expect(far).to_have_text("The network is asked up to 357 times.")
    tab.get_by_role("button", name="Test this map").click()
    expect(tab.get_by_role("progressbar")).to_be_visible()
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("button", name="Test this map")).to_be_visible()
    expect(tab.get_by_role("progressbar")).to_be_hidden()
    expect(tab.locator(".gt-found")).to_be_hidden()


@pytest.mark.slow
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


def drag(lab: Lab, node: Locator, *places: tuple[float, float]) -> None:
    """Over these places of a node, in shares of its width and height."""
    node.scroll_into_view_if_needed()
    box = node.bounding_box()
    assert box
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    lab.page.mouse.move(*at[0])
    lab.page.mouse.down()
    for place in at[1:]:
        lab.page.mouse.move(*place, steps=4)
    lab.page.mouse.up()


@pytest.mark.slow
def test_a_visitor_draws_and_the_map_is_tried(opened: tuple[Lab, Locator]) -> None:
    """A box and a brush hide; a box by the keys; what holds, and what is forgotten."""
    lab, tab = opened
    asked = {"path": PATH, "model": models.DEFAULT, "target": LION, "rival": None, "detail": False,
             "layer": "top_activation", "method": "Grad-CAM"}  # fmt: skip

    tab.get_by_label("a box I draw").check()
    drag(lab, tab.locator(".gt-see .gt-photo"), (0.6, 0.1), (0.8, 0.5))
    expect(tab.locator(".gt-says")).to_contain_text("With what you drew hidden")
    (shape,) = tab.locator(".gt-see rect").all()
    x, y, w, h = (float(shape.get_attribute(n) or 0) for n in ("x", "y", "width", "height"))
    assert [x, y, x + w, y + h] == pytest.approx([0.6, 0.1, 0.8, 0.5], abs=0.01)
    region = {"box": [x, y, x + w, y + h], "spots": []}
    hidden = asked | {"share": 0.2, "order": "hottest", "fill": "blur", "region": region}
    p = next(c["p"] for c in trust.hide_cells(hidden)["classes"] if c["index"] == LION)
    assert plain(tab.locator(".gt-mine b").inner_text()) == trust.words.percent(p)
    tab.get_by_label("what I brush over").check()
    drag(lab, tab.locator(".gt-see .gt-photo"), (0.2, 0.2), (0.4, 0.2))
    assert tab.locator(".gt-see ellipse").count() >= 4
    assert tab.locator(".gt-see rect").count() == 0

    photo = tab.locator(".gt-aim .gt-photo")
    photo.focus()
    photo.press("Enter")
    photo.press("ArrowRight")
    photo.press("Shift+ArrowDown")
    region = {"box": [0.35, 0.3, 0.75, 0.75], "spots": []}
    said = trust.take_aim(asked | {"region": region})
    expect(tab.locator(".gt-aim .gt-sentence")).to_have_text(said["sentence"])
    expect(tab.locator(".gt-aimed tr")).to_have_count(3)
    cells = tab.locator(".gt-aimed tr").nth(1).locator("td")
    share = trust.words.percent(said["rows"][0]["share"]).replace(" ", r"\s")
    expect(cells.nth(1)).to_have_text(re.compile(share))  # of the last box
    overlap = float(plain(cells.nth(2).inner_text()))
    assert overlap == pytest.approx(said["rows"][0]["overlap"], abs=0.005)

    tab.get_by_role("button", name="Mirror it, move it").click()
    expect(tab.locator(".gt-held figure")).to_have_count(4, timeout=LONG)
    rows = trust.does_it_hold(asked)["rows"]
    assert tab.locator(".gt-held figcaption p").all_inner_texts() == [r["sentence"] for r in rows]

    tab.get_by_role("button", name="Let the network forget").click()
    expect(tab.locator(".gt-strip button")).to_have_count(9, timeout=LONG)
    said = trust.forget_all(asked)
    expect(tab.locator(".gt-forgot .gt-sentence")).to_have_text(said["sentence"])
    shown = [
        plain(text).replace("−", "-") for text in tab.locator(".gt-strip span").all_inner_texts()
    ]
    assert [float(n) for n in shown[1:]] == pytest.approx(said["alike"], abs=0.005)
    tab.locator(".gt-strip button").last.click()
    expect(tab.locator(".gt-step")).to_contain_text("all layers have forgotten")
    assert tab.locator(".gt-curve polyline").count() == 2
    assert not lab.page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.slow
def test_which_network_cheats(opened: tuple[Lab, Locator]) -> None:
    """With the tag on a disc and without; the truth when it is asked for; then a look at one, and
    the way back. Until the answers come their places are held."""
    lab, tab = opened
    game, held = tab.locator(".gt-game"), list[Route]()

    def is_theirs(request: Request) -> bool:
        return "component_s" in request.url and request.post_data_json["fn_name"] == "suspects"

    def hold(route: Route) -> None:
        held.append(route) if is_theirs(route.request) and not held else route.continue_()

    lab.page.route("**/component_server/", hold)
    with lab.page.expect_request(is_theirs):
        game.scroll_into_view_if_needed()
    expect(game.locator(".gt-suspects span")).to_have_text(["is asked …"] * 3)
    before = game.bounding_box()
    held[0].continue_()
    expect(game.locator(".gt-suspects img")).to_have_count(3, timeout=LONG)
    assert game.bounding_box() == before
    corner = list(planted.CORNERS[0])

    def says(tag: list[float] | None) -> list[str]:
        answers = cheat.ask_suspects({"thing": "disc", "number": 0, "tag": tag})["suspects"]
        first = [one["classes"][0] for one in answers]
        return [f"says {c['label']}, {trust.words.percent(c['p'])}" for c in first]

    def shown() -> list[str]:
        return [plain(text) for text in game.locator(".gt-suspects span").all_inner_texts()]

    with_tag, without = says(corner), says(None)
    assert with_tag != without
    assert shown() == with_tag
    assert "cheats" not in game.inner_text().split("cheats?")[1]
    game.get_by_role("button", name="Take the tag away").click()
    answers = [re.compile(re.escape(text).replace("\\ ", r"\s")) for text in without]
    expect(game.locator(".gt-suspects span")).to_have_text(answers)
    expect(game.get_by_role("button", name="Put the tag in")).to_be_visible()
    game.get_by_role("button", name="Show what was planted").click()
    told = [one["sentence"] for one in cheat.confess({})]
    expect(game.locator(".gt-suspects p")).to_have_text(told)
    game.get_by_role("button", name="star", exact=True).click()
    expect(game.locator(".gt-drawn img")).to_have_attribute("alt", "star")
    lab.drawn_after(lambda: game.get_by_role("button", name="Look closer").nth(1).click())
    assert lab.data("answer").startswith("shapes_2/2/")
    lab.find(".gv-back").click()
    expect(game.locator("h3")).to_be_in_viewport()
    assert lab.data("answer").startswith(f"{models.DEFAULT}/{LION}/")
    expect(lab.find(".gv-back")).to_be_hidden()


@pytest.mark.slow
def test_methods_side_by_side(tall) -> None:
    """The tab brings its script, at a second try, too. What one pass answers is there at once, the
    rest in the order of what it costs, until it is stopped; what was made stays, and a row that is
    clicked is large."""
    lab = tall(1280, 900)
    doors: list[str] = []
    lab.page.on(
        "request",
        lambda r: doors.append(r.post_data_json["fn_name"]) if "component_s" in r.url else None,
    )
    assert not [url for url in lab.requests if "trust.js" in url]
    tab = lab.page.locator("#trust")
    lab.page.route("**/trust.js*", lambda route: route.abort(), times=1)
    lab.page.get_by_role("tab", name="Can I trust it?").click()
    expect(tab.locator(".gt-wait")).to_contain_text("This did not load.")
    lab.page.get_by_role("tab", name="Look").click()
    lab.page.get_by_role("tab", name="Can I trust it?").click()
    tab.get_by_role("button", name="Compare all methods").click()
    rows, large = tab.locator(".gt-sides tbody tr"), tab.locator(".gt-large")
    expect(rows).to_have_count(len(METHODS) + 2)
    first = rows.filter(has_text="Gradient times input")
    expect(first.locator("img")).to_be_visible(timeout=LONG)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("button", name="Go on")).to_be_visible()
    assert doors.index("sides") < doors.index("side")
    assert len([url for url in lab.requests if "trust.js" in url]) == 2
    asked = {"path": PATH, "model": models.DEFAULT, "target": LION, "rival": None, "detail": False,
             "layer": "top_activation", "method": "Grad-CAM"}  # fmt: skip
    wanted = {row["of"]: row for row in side.all_rows(asked)["rows"]}
    like = rows.filter(has_text="LayerCAM").locator("td").nth(1)
    assert float(plain(like.inner_text())) == pytest.approx(
        wanted["Grad-CAM"]["map"]["like"]["LayerCAM"], abs=0.006
    )
    expect(large.locator("b")).to_have_text("Grad-CAM")
    first.get_by_role("button").click()
    expect(large.locator("b")).to_have_text("Gradient times input")
    expect(large).to_contain_text("224×224 pixels.")
    expect(tab.locator(".gt-like")).to_have_text("like Gradient times input")
    assert rows.filter(has_text="Score-CAM").locator("img").count() == 0
    assert lab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert lab.errors == []


@pytest.mark.longest
def test_the_verdict(tall) -> None:
    """One of the sentences, each fill with its own numbers and curves, and what it took."""
    lab = tall(1280, 900)
    lab.drawn_after(lambda: lab.example(1 + list(EXAMPLES).index("tower.jpg")))
    lab.settled()
    lab.page.get_by_role("tab", name="Can I trust it?").click()
    tab = lab.page.locator("#trust")
    tab.get_by_role("button", name="Test this map").click()
    sentence = tab.locator(".gt-found .gt-sentence")
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
    expect(tab.locator(".gt-found .gt-cost")).to_contain_text("The network was asked")
    assert lab.errors == []
