"""How it is made: what the page says equals what the API says."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from lab import plain
from playwright.sync_api import expect

from demo import handlers
from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import heatmap, lookup, models, pipeline, steps
from gradcam_core import image as pictures
from gradcam_core.methods import grad_cam
from gradcam_core.types import Survey

pytestmark = pytest.mark.browser

LAYER = "block5c_add"  # the gradient is no straight line after it


@pytest.fixture(scope="module")
def survey() -> Survey:
    return pipeline.survey(pictures.read_rgb(EXAMPLES_DIR / next(iter(EXAMPLES))))


@pytest.fixture
def lesson(lab) -> Iterator:
    """The tab, at LAYER of the first example."""
    lab.page.locator("#viewer [name=layer]").select_option(LAYER)
    lab.page.get_by_role("tab", name="How it is made").click()
    lab.page.wait_for_function(
        "layer => document.querySelector('[data-lesson]')?.dataset.lesson.includes(layer)",
        arg=LAYER,
    )
    yield lab.page.locator("#lesson")
    lab.page.get_by_role("tab", name="Look").click()


PLAYS = {
    "The question": 1, "Feature maps": 3, "The gradient": 4, "Global average pooling": 5,
    "The weighted sum": 6, "ReLU": 7, "Scaling up": 8, "The overlay": 9, "Guided Grad-CAM": 11,
}  # fmt: skip


def step(lesson, title: str):
    """What a step lets one play with; what it says of its numbers."""
    lesson.locator(".gl-nav button").nth(PLAYS[title]).click()
    lesson.get_by_role("button", name="try it").click()
    return lesson.locator(".gl-numbers")


def numbers(text: str) -> list[float]:
    return [float(n.replace("−", "-")) for n in re.findall(r"[−-]?\d+\.?\d*(?:e-?\d+)?", text)]


def pixels(canvas) -> np.ndarray:
    """What a canvas shows, (h, w, 3)."""
    h, w, flat = canvas.evaluate(
        """n => [n.height, n.width,
                 [...n.getContext('2d').getImageData(0, 0, n.width, n.height).data]]"""
    )
    return np.array(flat, float).reshape(h, w, 4)[:, :, :3]


def token(lesson, name: str) -> np.ndarray:
    """A colour of the page's style, (3,)."""
    text = lesson.evaluate("(n, name) => getComputedStyle(n).getPropertyValue(name)", f"--{name}")
    return np.array(
        [17 * int(c, 16) for c in text[1:]] if len(text) == 4 else [*bytes.fromhex(text[1:])]
    )


def near(number: float) -> object:
    """As the page rounds: three digits."""
    return pytest.approx(number, rel=6e-3)


def test_every_step_of_the_method_folds_in_its_formula_and_its_code(lesson, lab) -> None:
    for key, row in steps.STEPS.items():
        lesson.locator(".gl-nav button").nth(8 if key == "overlay" else PLAYS[row.title]).click()
        lab.page.keyboard.press("m")
        formulas = lesson.locator(".gl-formula")
        said = formulas.evaluate_all("all => all.map(n => n.ariaLabel)")
        assert row.aloud in said
        expect(formulas.locator("svg")).to_have_count(len(said))
        lab.page.keyboard.press("c")
        code = lesson.locator(".gl-source code").text_content()
        assert steps.source(key) in code
    expect(lesson.locator(".gl-error")).to_be_hidden()


def test_opening_and_walking_through_asks_once(lesson, lab) -> None:
    """But for the other class that ReLU's step holds against the first: once, too."""
    step(lesson, "Feature maps")
    before = len(lab.requests)
    for title in ("Global average pooling", "The weighted sum", "Scaling up"):
        step(lesson, title)
    assert lab.requests[before:] == []
    for title in ("ReLU", "Scaling up", "ReLU"):
        step(lesson, title)
    assert len(lab.requests[before:]) <= 1


def test_the_weight_is_the_mean_of_the_gradients(lesson, survey) -> None:
    a, g = survey.trace.activations[LAYER], survey.trace.gradients[LAYER]
    k = int(steps.order(a, grad_cam(a, g))[0])
    total, rows, columns, cells, followed, again, count, alpha = numbers(
        step(lesson, "Global average pooling").inner_text().replace("#", " ")
    )
    assert (rows, columns, cells, followed, count) == (14, 14, 196, k, 196)
    assert total == again == near(float(g[:, :, k].sum()))
    assert alpha == near(float(g[:, :, k].mean()))


def test_a_nudge_runs_the_tail_again(lesson, survey) -> None:
    """The middle cell of the first feature map, by the largest nudge: the promise does not hold."""
    a, g = survey.trace.activations[LAYER], survey.trace.gradients[LAYER]
    k, (i, j) = int(steps.order(a, grad_cam(a, g))[0]), (7, 7)
    said = step(lesson, "The gradient")
    lesson.locator(".gl-plot").wait_for()
    slider = lesson.locator(".gl-play input[type=range]")
    slider.focus()
    slider.press("End")
    size = float(slider.get_attribute("aria-valuetext"))
    changed = a.copy()
    changed[i, j, k] += size
    scores = lookup.network().score_from(LAYER, np.stack([a, changed]), survey.trace)
    _, predicted = said.inner_text().split("Predicted change:")
    _, _, found, true, *_ = numbers(predicted)
    assert found == near(float(g[i, j, k]) * size)
    assert true == pytest.approx(float(scores[1] - scores[0]), rel=2e-2, abs=1e-4)


def test_the_words_about_a_nudge_are_those_of_its_numbers(lesson) -> None:
    """A tenth apart at most: it holds. Half or more, or the other sign: it does not."""
    said = step(lesson, "The gradient")
    lesson.locator(".gl-plot").wait_for()
    slider = lesson.locator(".gl-play input[type=range]")
    slider.focus()
    slider.press("Home")
    seen = set()
    for _ in range(21):
        text = said.inner_text().split("Predicted change:")[1]
        _, _, predicted, true, *_ = numbers(text)
        apart = abs(predicted - true) / (max(abs(predicted), abs(true)) or 1)
        if "holds" in text:
            assert apart <= 0.11
        elif "begins" in text:
            assert 0.09 <= apart <= 0.51
        elif "not hold" in text:
            assert apart >= 0.49
        elif "broken" in text:
            assert predicted * true < 0
        else:
            assert predicted == true == 0
        seen.add(re.findall("holds|begins|not hold|broken|Neither", text)[0])
        slider.press("ArrowRight")
    assert {"holds", "begins", "Neither"} < seen


@pytest.mark.parametrize("layer", ["block2a_project_bn", "top_activation"])
def test_a_nudge_begins_where_it_can_be_told_from_rounding(lesson, lab, survey, layer) -> None:
    """The score is a float32 sum of numbers of its own size: some of its steps are rounding."""
    go_to(lab, layer)
    said = step(lesson, "The gradient")
    lesson.locator(".gl-plot").wait_for()
    _, _, predicted, *_ = numbers(said.inner_text().split("Predicted change:")[1])
    assert abs(predicted) > 4 * np.spacing(np.float32(abs(survey.logits).max()))
    assert "rounding" not in said.inner_text()


def test_the_nudge_follows_the_mouse(lesson, lab) -> None:
    step(lesson, "The gradient")
    slider = lesson.locator(".gl-play input[type=range]")
    slider.wait_for()
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    lab.page.mouse.move(box["x"] + 0.6 * box["width"], y)
    lab.page.mouse.down()
    for part in (0.7, 0.8, 0.9, 0.98):
        lab.page.mouse.move(box["x"] + part * box["width"], y)
    lab.page.mouse.up()
    assert int(slider.input_value()) >= 19
    lab.page.mouse.move(box["x"] + 0.5 * box["width"], y)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + 0.02 * box["width"], y, steps=9)
    lab.page.mouse.up()
    assert int(slider.input_value()) <= 1
    expect(slider).to_be_focused()


def go_to(lab, layer: str) -> None:
    lab.page.evaluate(
        """layer => {
          const list = document.querySelector('#viewer [name=layer]');
          list.value = layer;
          list.dispatchEvent(new Event('change', { bubbles: true }));
        }""",
        layer,
    )
    lab.page.wait_for_function(
        "layer => document.querySelector('[data-lesson]').dataset.lesson.includes(layer)",
        arg=layer,
    )


@pytest.mark.parametrize("layer", ["block1a_project_bn", "block2a_project_bn"])
def test_the_numbers_of_a_large_grid_are_not_of_its_drawing(lesson, lab, survey, layer) -> None:
    go_to(lab, layer)
    signed = survey.maps[layer, "Grad-CAM"]
    cut, cells, share, low, high, *_ = numbers(step(lesson, "ReLU").inner_text())
    assert (cut, cells) == (int((signed < 0).sum()), signed.size)
    assert share == pytest.approx(100 * cut / cells, abs=0.5)
    assert (low, high) == (near(float(signed.min())), near(float(signed.max())))
    lesson.get_by_role("checkbox").check()
    cut, _, _, low, high, *_ = numbers(lesson.locator(".gl-numbers").inner_text())
    assert cut == int((signed > 0).sum())
    assert (low, high) == (near(float(-signed.max())), near(float(-signed.min())))
    largest = numbers(step(lesson, "Scaling up").inner_text().split("largest,")[1])[0]
    assert largest == near(float(signed.max()))
    averages = lesson.get_by_text("averages of the 112×112 cells")
    expect(averages).to_have_count(int(len(signed) == 112))


def test_few_cells_show_their_numbers(lesson, lab, survey) -> None:
    best = "top_activation"
    go_to(lab, best)
    step(lesson, "ReLU")
    signed = survey.maps[best, "Grad-CAM"]
    shown = lesson.locator(".gl-digits").first.locator("span").all_inner_texts()
    assert np.abs(np.array([numbers(n)[0] for n in shown]) - signed.ravel()).max() <= 0.0051
    ticks = lesson.locator(".gl-ticks").first.locator("span").all_inner_texts()
    top = float(np.abs(signed).max())
    assert numbers(" ".join(ticks)) == [near(-top), 0, near(top)]


def test_the_layer_is_chosen_here_too(lesson, lab) -> None:
    """It is the viewer's own choice. Where the gradient is the same everywhere, by a button too."""
    choice = lesson.get_by_label("Layer")
    expect(choice).to_have_value(LAYER)
    step(lesson, "Global average pooling")
    expect(lesson.get_by_role("button", name=re.compile("^Try "))).to_have_count(0)
    choice.select_option("top_activation")
    taken = lab.page.locator("[data-lesson]")
    expect(taken).to_have_attribute("data-lesson", re.compile("top_activation"))
    assert lab.layer == "top_activation"
    step(lesson, "The gradient")
    lesson.get_by_role("button", name="Try block5c_add").click()
    expect(taken).to_have_attribute("data-lesson", re.compile("block5c_add"))
    assert lab.layer == "block5c_add"
    expect(choice).to_have_value("block5c_add")


def test_what_is_taken_apart_is_said(lesson, lab) -> None:
    about = lesson.locator(".gl-about")
    lesson.locator(".gl-nav button").nth(2).click()  # before it, the class is what is asked
    expect(about).to_have_text("Grad-CAM for lion (46 %) · EfficientNet-Lite0")
    other = lesson.locator(".gl-other")
    expect(other).to_be_hidden()
    tell = """part => {
      Object.assign(window.gradcam, part);
      document.dispatchEvent(new Event('gradcam'));
    }"""
    lab.page.evaluate(tell, {"method": "LayerCAM", "rival": "cheetah", "sign": "both"})
    expect(other).to_contain_text("LayerCAM")
    expect(other).to_contain_text("cheetah")
    expect(other).to_contain_text("step 7")
    lab.page.evaluate(tell, {"method": "Grad-CAM", "rival": "", "sign": "for"})
    expect(other).to_be_hidden()


def test_what_to_be_careful_with_is_said_here_too(lesson, lab) -> None:
    warned = lab.page.locator("#viewer .gv-warn")
    lab.page.locator("#viewer [name=layer]").evaluate(
        "n => { n.value = 'stem_conv'; n.dispatchEvent(new Event('change', {bubbles: true})); }"
    )
    expect(lab.page.locator("[data-lesson]")).to_have_attribute(
        "data-lesson", re.compile("stem_conv")
    )
    expect(lesson.locator(".gl-other")).to_contain_text("not a good layer")
    assert str(lesson.locator(".gl-other").text_content()) in str(warned.text_content())


def test_of_a_comparison_the_class_that_is_shown_is_taken_apart(lesson, lab) -> None:
    lab.page.get_by_role("tab", name="Look").click()
    lab.drawn_after(lab.find(".gv-why").click)
    lab.radio("gv-band", "rival")
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson.locator(".gl-nav button").nth(2).click()
    expect(lesson.locator(".gl-about")).to_contain_text("Grad-CAM for cheetah (")
    expect(lesson.locator(".gl-other")).to_be_hidden()


def test_what_is_old_says_so_until_the_new_comes(lesson, lab) -> None:
    step(lesson, "ReLU")
    held, free = [], []
    asks = re.compile("/component_server")
    lab.page.route(asks, lambda route: route.continue_() if free else held.append(route))
    lab.page.evaluate("document.querySelector('#viewer [data-layer=block4c_add]').click()")
    wait = lesson.locator(".gl-wait")
    expect(wait).to_have_text("Working on the new layer …")
    expect(lesson.locator(".gl-stale")).to_have_count(1)
    taken = lab.page.locator("[data-lesson]")
    expect(taken).to_have_attribute("data-lesson", re.compile(LAYER))
    free.append(True)
    for route in held:
        route.continue_()
    expect(wait).to_be_hidden()
    expect(lesson.locator(".gl-stale")).to_have_count(0)
    expect(taken).to_have_attribute("data-lesson", re.compile("block4c_add"))


def test_before_the_first_answer_it_says_that_the_network_is_loading(browser, server) -> None:
    page = browser.new_page()
    held, free = [], []
    asks = re.compile("/queue/join")
    page.route(asks, lambda route: route.continue_() if free else held.append(route))
    page.goto(server.url)
    page.get_by_role("tab", name="How it is made").click()
    lesson = page.locator("#lesson")
    expect(lesson.get_by_role("status").first).to_have_text("The network is loading …")
    expect(lesson.get_by_role("button")).to_have_count(0)
    free.append(True)
    for route in held:
        route.continue_()
    expect(lesson.locator(".gl-next")).to_be_visible(timeout=60_000)
    expect(lesson.get_by_text("The network is loading …")).to_be_hidden()
    page.close()


def test_the_keyboard_stays_where_it_is(lesson) -> None:
    step(lesson, "Feature maps")
    third = lesson.locator(".gl-tiles button").nth(2)
    third.press("Enter")
    expect(third).to_be_focused()
    expect(third).to_have_attribute("aria-pressed", "true")
    expect(lesson.locator(".gl-numbers")).to_contain_text(third.inner_text())
    step(lesson, "ReLU")
    box = lesson.get_by_role("checkbox")
    box.press("Space")
    expect(box).to_be_focused()
    expect(box).to_be_checked()
    box.press("Space")
    step(lesson, "The weighted sum")
    slider = lesson.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"the first of 112 terms, #\d+"))
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "the first 2 of 112 terms")


def test_the_switchboard_is_found_as_it_was_left(lesson) -> None:
    step(lesson, "The weighted sum")
    lesson.locator(".gl-board button").first.click()
    report = lesson.get_by_text("switched off:")
    report.wait_for()
    text = report.inner_text()
    step(lesson, "ReLU")
    step(lesson, "The weighted sum")
    expect(report).to_have_text(text)
    first = lesson.locator(".gl-board button").first
    expect(first).to_have_attribute("aria-pressed", "false")
    first.click()


def test_channels_switched_off(lesson, survey) -> None:
    step(lesson, "The weighted sum")
    first = steps.switchboard(survey.trace, LAYER)[0]
    lesson.locator(".gl-tiles button").first.click()
    report = lesson.get_by_text("switched off:")
    report.wait_for()
    left = lesson.locator("figure", has_text=f"The sum without #{first.channel}").locator("canvas")
    signed = survey.maps[LAYER, "Grad-CAM"]
    share = ((signed - first.grid) / np.abs(signed).max())[:, :, None]
    none, red, blue = (token(lesson, name) for name in ("card", "red", "blue"))
    expected = none + np.abs(share).clip(0, 1) * (np.where(share < 0, blue, red) - none)
    assert np.abs(pixels(left) - expected).mean() < 2
    before, channel, after, promised, change = numbers(report.inner_text().replace("#", " "))
    assert channel == first.channel
    assert promised == near(-first.total)
    assert change == pytest.approx(after - before, abs=0.011)
    assert "Not as promised" in report.inner_text()
    without = survey.trace.activations[LAYER].copy()
    without[:, :, first.channel] = 0
    assert before == near(float(survey.logits[survey.target.index]))
    assert after == near(float(lookup.network().score_from(LAYER, without[None], survey.trace)[0]))


def test_at_the_last_layer_the_switchboard_keeps_its_promise(lesson, lab) -> None:
    go_to(lab, "top_activation")
    step(lesson, "The weighted sum")
    for n in range(2):
        lesson.locator(".gl-board button").nth(n).click()
    report = lesson.get_by_text("Promised by their sums")
    report.wait_for()
    told, verdict = report.inner_text().split("As promised")
    *_, promised, change = numbers(told)
    assert promised == near(change)
    assert plain(verdict) == ", within 1 %."


def test_a_grid_can_be_read_from_the_last_row(lesson, lab) -> None:
    lab.page.set_viewport_size({"width": 1024, "height": 768})
    go_to(lab, "top_activation")
    step(lesson, "ReLU")
    lesson.get_by_role("button", name="Enlarge").first.click()
    large = lesson.get_by_role("dialog")
    size = "n => parseFloat(getComputedStyle(n).fontSize)"
    assert large.locator(".gl-digits span").first.evaluate(size) >= 20
    shown = large.locator(".gl-digits span").all_inner_texts()
    assert shown == lesson.locator(".gl-play .gl-digits").first.locator("span").all_inner_texts()
    box = large.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 768
    lab.page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    lesson.get_by_role("button", name="Enlarge").nth(1).click()
    large.get_by_role("button", name="Close").click()
    expect(large).to_be_hidden()


def test_the_nudged_cell_is_marked_in_both_grids(lesson) -> None:
    step(lesson, "The gradient")
    grid = lesson.get_by_role("application")
    grid.press("ArrowLeft")
    marks = lesson.locator(".gl-play .gl-mark").evaluate_all("all => all.map(n => n.style.cssText)")
    assert len(marks) == 2
    assert marks[0] == marks[1]
    left = float(re.findall(r"left: ([\d.]+)%", marks[0])[0])
    assert left == pytest.approx(100 * 6 / 14, abs=0.01)
    grid.press("ArrowRight")


def test_a_cell_is_the_sum_of_its_terms(lesson, survey) -> None:
    a = survey.trace.activations[LAYER]
    alpha = grad_cam(a, survey.trace.gradients[LAYER])
    step(lesson, "The overlay")
    lesson.locator(".gl-play").get_by_text("together").wait_for()
    rows = [numbers(r)[-1] for r in lesson.locator(".gl-play tr").all_inner_texts()[1:]]
    assert rows[-1] == near(float(heatmap.combine(alpha, a)[7, 7]))
    assert sum(rows[:-1]) == pytest.approx(rows[-1], abs=0.01 * max(map(abs, rows)))


def test_an_answer_that_was_overtaken_is_dropped(lesson, lab) -> None:
    """The sum of one cell comes after that of the cell clicked later: the later one stays."""
    step(lesson, "The overlay")
    lesson.get_by_role("heading", name="row 8, column 8").wait_for()
    held = []
    asks = re.compile("/component_server")
    lab.page.route(asks, lambda route: route.continue_() if held else held.append(route))
    grid = lesson.get_by_role("application")
    grid.press("ArrowRight")
    grid.press("ArrowRight")
    latest = lesson.get_by_role("heading", name="row 8, column 10")
    latest.wait_for()
    with lab.page.expect_response(asks):
        held[0].continue_()
    lab.page.wait_for_timeout(200)
    expect(latest).to_have_count(1)
    lab.page.unroute(asks)


def test_a_refused_picture_is_told_here_too(lesson, lab, tmp_path) -> None:
    (tmp_path / "holiday.jpg").write_text("not a picture")
    lab.upload(tmp_path / "holiday.jpg")
    words = f"{pictures.UNKNOWN} Below: the steps of the answer before."
    lesson.get_by_text(words).wait_for()
    dim = lesson.locator(".gl-step").evaluate("n => Number(getComputedStyle(n).opacity)")
    assert dim < 1


def test_a_file_that_is_too_large_is_told_here_too(lesson, lab, tmp_path) -> None:
    """The picture before stays, so what is below is still its own."""
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(pictures.MAX_BYTES + 1)
    lab.upload(tmp_path / "big.jpg")
    said = lesson.get_by_text(pictures.HEAVY)
    said.wait_for()
    expect(lesson.get_by_text("answer before")).to_have_count(0)
    expect(lesson.locator(".gl-stale")).to_have_count(0)
    step(lesson, "Scaling up")
    expect(said).to_be_hidden()


@pytest.mark.slow
def test_an_empty_map_is_said_to_be_one(lesson, lab) -> None:
    """By a class with which no place of the last layer is for: found among the unlikeliest."""
    best, image = "top_activation", pictures.read_rgb(EXAMPLES_DIR / "cheetah.jpg")
    unlikely = map(int, pipeline.survey(image).logits.argsort()[:20])
    index = next(
        c for c in unlikely if pipeline.survey(image, target=c).maps[best, "Grad-CAM"].max() <= 0
    )
    go_to(lab, best)
    lab.page.get_by_role("tab", name="Look").click()
    lab.drawn_after(lambda: lab.example(2))
    lab.choose("class", f"· {index}")
    lab.page.get_by_role("tab", name="How it is made").click()
    lab.page.wait_for_function(
        "c => document.querySelector('[data-lesson]').dataset.lesson.includes(`\"target\":${c}`)",
        arg=index,
    )
    for title in ("Scaling up", "The overlay"):
        assert "map is empty" in step(lesson, title).inner_text()
        assert "found evidence" not in lesson.locator(".gl-numbers").inner_text()
    step(lesson, "Guided Grad-CAM")
    lesson.get_by_role("button", name=re.compile("^Run guided")).click()
    lesson.get_by_text("which is empty here").wait_for()


def test_all_of_the_picture_is_on_the_page(lesson, lab) -> None:
    lab.page.set_viewport_size({"width": 1024, "height": 768})
    for title in ("Feature maps", "Scaling up", "The overlay"):
        step(lesson, title)
        for area in lesson.locator(".gl-area").all():
            box = area.bounding_box()
            assert box["x"] + box["width"] <= 1024, title


def test_the_relu_cuts_what_the_api_says(lesson, survey) -> None:
    signed = survey.maps[LAYER, "Grad-CAM"]
    cut, cells, *_ = numbers(step(lesson, "ReLU").inner_text())
    assert (cut, cells) == (int((signed < 0).sum()), signed.size)


def test_guided_grad_cam_comes_when_it_is_asked_for(lesson) -> None:
    step(lesson, "Guided Grad-CAM")
    lesson.get_by_role("button", name=re.compile("^Run guided")).click()
    lesson.get_by_role("img", name="Guided Grad-CAM").wait_for()
    sizes = lesson.locator(".gl-play img").evaluate_all("all => all.map(n => n.naturalWidth)")
    assert sizes == [224, 224]


SIZES = [(1280, 720), (1024, 768), (390, 844)]
MEASURE = """() => {
  const all = (query) => [...document.querySelectorAll(`#lesson ${query}`)]
    .filter((n) => n.checkVisibility() && !n.closest('[data-leaving]'));
  const box = document.querySelector('#lesson .gl-fig').getBoundingClientRect(), faults = [];
  for (const n of all('[data-key]')) {
    const r = n.getBoundingClientRect();
    const out = r.left < box.left - 6 || r.right > box.right + 6
      || r.top < box.top - 6 || r.bottom > box.bottom + 6;
    const over = n.scrollWidth > n.clientWidth + 2 || n.scrollHeight > n.clientHeight + 7;
    if (out || over) faults.push(`${n.dataset.key} ${out ? 'is outside' : 'overflows'}`);
  }
  for (const n of all(':is(.gl-band, .gl-foot, .gl-strip)')) {
    const over = n.scrollWidth > n.clientWidth + 1 || n.scrollHeight > n.clientHeight + 1;
    if (over) faults.push(n.className);
  }
  const { scrollWidth, scrollHeight } = document.documentElement;
  if (scrollWidth > innerWidth || scrollHeight > innerHeight) faults.push('the page scrolls');
  const size = (n) => parseFloat(getComputedStyle(n).fontSize);
  const least = (query) => Math.min(...all(query).map(size), 99);
  return [faults, {
    said: least(':is(.gl-title, .gl-hint, .gl-say, .gl-options button)'),
    digits: least('.gl-digits span'), figure: least(':is(.gl-part p, .gl-bars span, .gl-bars b)'),
    names: least('.gl-nav span'), keys: least('kbd'),
  }];
}"""


@pytest.mark.longest
def test_every_step_is_read_from_the_last_row_and_stands_on_one_screen(lab) -> None:
    """And on a phone, with letters of its own size."""
    lab.page.get_by_role("tab", name="How it is made").click()
    lab.page.locator("#lesson .gl-nav button").first.click()
    lab.page.locator("#lesson [data-key]").first.wait_for()
    for width, height in SIZES:
        lab.page.set_viewport_size({"width": width, "height": height})
        for step_, show in [(n, show) for n in range(16) for show in (0, 1, 2)]:
            lab.page.evaluate(
                """(detail) => new Promise((go) => {
                  document.dispatchEvent(new CustomEvent('gradcam-step', { detail }));
                  setTimeout(go, 250);
                })""",
                {"step": step_, "show": show},
            )
            expect(lab.page.get_by_text(re.compile("One moment|is running"))).to_have_count(0)
            faults, sizes = lab.page.evaluate(MEASURE)
            where = f"step {step_}, {show}, {width}x{height}"
            assert faults == [], where
            least = (24, 16, 20, 19, 16) if width > 600 else (18, 13, 16, 16, 16)
            assert all(map(int.__ge__, map(int, sizes.values()), least)), (where, sizes)
    lab.page.set_viewport_size({"width": 1366, "height": 900})
    lab.page.get_by_role("tab", name="Look").click()


def test_a_class_guesses_before_it_sees_and_a_remote_turns_the_page(lab) -> None:
    """What is guessed goes nowhere; hidden answers are hidden in every tab until they are shown."""
    keys, part = lab.page.keyboard, lab.page.locator("#lesson [data-step]")
    tab = lab.page.get_by_role("tab", name="How it is made")
    tab.click()
    lesson, band = lab.page.locator("#lesson"), lab.page.locator("#lesson .gl-band")
    lesson.locator(".gl-nav button").first.click()
    asked = len(lab.requests)
    lesson.get_by_role("button", name="Hide answers").click()
    keys.press("PageDown")
    expect(part).to_have_attribute("data-step", "1")
    expect(lesson.locator(".gl-about")).not_to_contain_text("lion")
    expect(lesson.locator(".gl-fig")).not_to_contain_text("%")
    lesson.get_by_role("button", name="A cheetah").click()
    lab.page.get_by_role("tab", name="Look").click()
    for hidden in (".gv-say", ".gv-classes", ".gv-heat", ".gv-percent"):
        expect(lab.find(hidden).first).to_be_hidden()
    tab.click()
    keys.press("ArrowRight")
    expect(band).to_contain_text("C: lion, with 46")
    expect(band).to_contain_text("Your guess: A.")
    expect(lesson.locator(".gl-about")).to_contain_text("lion")
    lab.page.get_by_role("tab", name="Look").click()
    expect(lab.find(".gv-say")).to_be_visible()
    tab.click()
    keys.press("PageUp")
    expect(lesson.get_by_role("button", name="A cheetah")).to_have_attribute("aria-pressed", "true")
    keys.press("Home")
    lesson.get_by_role("button", name="15", exact=True).click()
    for step_ in ("1", "1", "3"):
        keys.press("PageDown")
        expect(part).to_have_attribute("data-step", step_)
    lab.until("location.hash.includes('step=3&len=15')")
    assert lab.requests[asked:] == []
    lab.page.evaluate("window.print = () => { window.printed = true; }")
    keys.press("p")
    lab.until("window.printed")
    lab.page.emulate_media(media="print")
    expect(lab.page.locator(".handout h1")).to_be_visible()
    expect(lesson).to_be_hidden()
    paper = lab.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type */Page\b", paper)) == 1
    lab.page.emulate_media(media="screen")
    lab.page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(lab.page.locator(".handout")).to_have_count(0)
    with lab.page.context.expect_page() as opened:
        keys.press("n")
    rows = opened.value.locator("tr")
    expect(rows).to_have_count(17)
    assert "rgb(255, 241, 194)" in rows.nth(4).get_attribute("style")
    expect(rows.nth(10)).to_contain_text("With the fixed start −0.04 it is the score: 7.48.")
    expect(rows.nth(13)).not_to_contain_text("is running")  # what a step asks for is asked for now
    opened.value.set_viewport_size({"width": 390, "height": 844})
    assert opened.value.evaluate("document.documentElement.scrollWidth") <= 390
    opened.value.close()
    lesson.get_by_role("button", name="Hide answers").click()
    keys.press("Home")
    lesson.get_by_role("button", name="45", exact=True).click()
    lab.page.get_by_role("tab", name="Look").click()


def test_a_grid_that_is_drawn_anew_keeps_the_focus_and_every_key(lab) -> None:
    """By the key itself, and by an answer that comes between two keys."""
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson, keys = lab.page.locator("#lesson"), lab.page.keyboard
    part, score = lab.page.locator("#lesson [data-step]"), lesson.locator("[data-key=score]")
    lesson.locator(".gl-nav button").nth(4).click()
    grid = lesson.locator("[data-key=A]:not([data-leaving])")
    expect(score).to_contain_text("7.480 → ?")
    held, asks = [], re.compile("/component_server")
    lab.page.route(asks, lambda route: held.append(route))
    mark, places = grid.locator(".gl-mark"), set()
    grid.focus()
    for key in ("Enter", "ArrowRight", "ArrowUp"):
        keys.press(key)
        places.add(mark.get_attribute("style"))
        expect(grid).to_be_focused()
    assert len(places) == 3
    expect(score).to_contain_text("… → ?")
    for route in held:
        route.continue_()
    lab.page.unroute(asks)
    expect(score).to_contain_text("7.480 → ?")
    expect(grid).to_be_focused()
    expect(grid).to_have_attribute("data-held", "")
    keys.press("Escape")
    expect(grid).not_to_have_attribute("data-held", "")
    keys.press("ArrowRight")
    assert mark.get_attribute("style") in places
    expect(part).to_have_attribute("data-show", "1")
    keys.press("Enter")
    keys.press("3")  # there the grid lies on the photo, and has no keys
    keys.press("PageDown")
    lesson.locator(".gl-nav button").nth(4).click()
    expect(grid).not_to_have_attribute("data-held", "")
    lab.page.get_by_role("tab", name="Look").click()


@pytest.mark.slow
def test_covering_really_runs_the_network_and_the_end_leads_into_the_other_tabs(lab) -> None:
    path, best = EXAMPLES_DIR / next(iter(EXAMPLES)), "top_activation"
    signed = pipeline.survey(pictures.read_rgb(path)).maps[best, "Grad-CAM"]
    i, j = np.unravel_index(signed.argmax(), signed.shape)
    left, top = (min(max(float(n + 0.5) / 7 - 0.17, 0), 0.66) for n in (j, i))
    asked = {
        "path": str(path), "model": models.DEFAULT, "target": 291, "rival": None, "detail": False,
        "layer": best, "boxes": [[left, top, left + 0.34, top + 0.34]], "fill": "grey",
    }  # fmt: skip
    covered = handlers.cover(asked)
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson, keys = lab.page.locator("#lesson"), lab.page.keyboard
    lesson.locator(".gl-nav button").nth(12).click()
    keys.press("PageDown")
    score = lesson.locator("[data-key=score]")
    expect(score).to_contain_text(f"→ {covered['score']:.2f}")
    after = next(row["p"] for row in covered["classes"][0] if row["label"] == "lion")
    said = lesson.locator("[data-key=bars] b").all_inner_texts()
    assert numbers(plain(said[1]))[0] == pytest.approx(100 * after, abs=0.5)
    keys.press("End")
    keys.press("f")
    lab.until("document.fullscreenElement")
    lesson.get_by_text("Make the answer lose").click()
    lab.until("!document.fullscreenElement")  # it would hide the tab that is opened
    expect(lab.find("[name=gv-tool][value=cover]")).to_be_checked()
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson.get_by_text("Hunt a photo").click()
    trust = lab.page.get_by_role("tab", name="Can I trust it?")
    expect(trust).to_have_attribute("aria-selected", "true")
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson.locator(".gl-nav button").first.click()
    expect(lesson.locator(".gl-nav button:visible")).to_have_count(14)
    lesson.get_by_role("button", name="90 min").click()
    lesson.locator(".gl-nav button", has_text="Cheat").click()
    keys.press("PageDown")
    lesson.get_by_text("Test 7").click()
    expect(trust).to_have_attribute("aria-selected", "true")
    expect(lab.page.locator("#gt-game")).to_be_in_viewport()
    lab.page.get_by_role("tab", name="How it is made").click()
    lesson.locator(".gl-nav button").first.click()
    lesson.get_by_role("button", name="45", exact=True).click()
    lab.page.get_by_role("tab", name="Look").click()
