"""What a visitor does, and what is then on the screen."""

import io
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from lab import Lab, Server, plain
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from demo.question import EXAMPLES, EXAMPLES_DIR, NO_PICTURE
from demo.words import percent
from gradcam_core import heatmap, hide, lookup, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS, one_pass
from gradcam_core.types import F32, U8, Survey, Target

pytestmark = pytest.mark.browser

HYENA, LION, CHEETAH = 276, 291, 293  # ImageNet
FIRST = "cheetah_and_lion.jpg"
BEST = "top_activation"
LEAK = re.compile(r"Traceback|Exception|\w+Error\b|\.py\b|/tmp/|gradcam_core|site-packages")


# ---- independent of the page: what Python says -------------------------------------------------


@cache
def survey(path: Path, target: Target | None = None, layers: tuple[str, ...] = ()) -> Survey:
    return pipeline.survey(pictures.read_rgb(path), target=target, layers=layers)


def first(target: int | None = None, other: int | None = None) -> Survey:
    return survey(EXAMPLES_DIR / FIRST, None if target is None else Target(target, other))


def painted(signed: F32, like: np.ndarray, colours: str = "viridis") -> U8:
    """A signed map as Python paints it, in the size of a canvas."""
    size = like.shape[0], like.shape[1]
    return heatmap.paint(heatmap.upsample(heatmap.normalise(signed), size), colours)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two pictures, of 255."""
    return float(np.abs(one[..., :3].astype(float) - other[..., :3].astype(float)).mean())


def hottest(canvas: np.ndarray) -> tuple[float, float]:
    """Where viridis is brightest, (down, right) in 0..1: its lightness grows with the value."""
    light = canvas[..., :3].astype(float) @ (0.3, 0.59, 0.11)
    y, x = np.unravel_index(light.argmax(), light.shape)
    return (y + 0.5) / light.shape[0], (x + 0.5) / light.shape[1]


def shot(lab: Lab, selector: str, size: tuple[int, int] = (96, 48)) -> np.ndarray:
    """What a part of the page looks like, made small: (H, W, 3)."""
    part = lab.find(selector)
    part.scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
    return np.asarray(picture.resize(size, Image.Resampling.BOX), float)


def small(picture: U8, size: tuple[int, int] = (96, 48)) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), float)


def tall_photo(path: Path) -> U8:
    """Stores a phone's JPEG: a cheetah above a lion, 400x800, lying on its side, orientation 6.

    Gives it as it was before: upright, uncompressed.
    """
    cheetah, lion = np.hsplit(pictures.read_rgb(EXAMPLES_DIR / FIRST), 2)
    upright = Image.fromarray(np.vstack([cheetah, lion])).resize((400, 800))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return np.asarray(upright)


# ---- the first look ----------------------------------------------------------------------------


def test_an_example_is_explained_on_first_paint(lab: Lab) -> None:
    lab.open()
    p = first().probabilities
    assert first().target.index == LION
    assert f"speaks for lion ({100 * p[LION]:.0f} %)" in lab.say
    assert "It is not sure: cheetah comes second (16 %)." in lab.text(".gv-sub")
    assert lab.layer == BEST
    assert lab.error == ""
    assert lab.find(".gv-original img").evaluate("n => n.naturalWidth") == 512

    rows = lab.find(".gv-classes button").all_inner_texts()
    assert lab.find(".gv-say").get_attribute("aria-live") == "polite"
    assert rows[0].split("\n")[0] == "lion"
    assert rows[1].split("\n")[0] == "cheetah"
    assert lab.find(".gv-classes [aria-pressed=true]").inner_text() == rows[0]

    # what is seen: on the left the picture, on the right Python's overlay
    image = first().image
    heat = heatmap.upsample(heatmap.normalise(first().maps[BEST, "Grad-CAM"]), image.shape[:2])
    original, over = shot(lab, ".gv-original .gv-frame"), shot(lab, ".gv-over .gv-frame")
    inner = np.s_[16:-16, 3:-3]  # the frame has round corners, above is its name, below the tools
    assert apart(original[inner], small(image)[inner]) < 8
    assert apart(over[inner], small(heatmap.overlay(image, heat))[inner]) < 10
    assert apart(lab.canvas(), heatmap.overlay(image, heat)) < 2
    assert apart(original, over) > 20


def test_the_picture_may_come_later_than_the_viewer(browser: Browser, server: Server) -> None:
    """Gradio fetches a script for each kind of part; on a slow line any may be the last."""
    page, held = browser.new_page(), []
    lab = Lab(page, server)
    page.route("**/assets/Image-*.js", lambda route: held.append(route))
    page.goto(server.url)
    page.wait_for_selector("#viewer .gv-say", state="attached")
    page.wait_for_timeout(200)
    assert held
    assert page.locator("#picture").count() == 0
    for route in held:
        route.continue_()
    page.wait_for_selector("[data-drawn]")
    assert lab.errors == []
    page.close()


def test_another_example_from_the_gallery(lab: Lab) -> None:
    before = lab.canvas()
    lab.drawn_after(lambda: lab.example(2))
    assert "speaks for cheetah (95 %)" in lab.say
    assert lab.find(".gv-over img").get_attribute("src").endswith("/cheetah.jpg")
    assert lab.canvas().shape[:2] == (343, 502) != before.shape[:2]
    here = survey(EXAMPLES_DIR / "cheetah.jpg").maps[BEST, "Grad-CAM"]
    assert apart(lab.canvas(), painted(here, lab.canvas())) < 2


# ---- one choice of layer, two ways -------------------------------------------------------------


def test_filmstrip_arrow_keys_and_select_are_one_choice(lab: Lab) -> None:
    names, every = lab.layers, list(first().trace.activations)
    assert names == [name for name in every if name in names], "from early to late"
    assert lab.layer == names[-1] == BEST
    shapes = [lookup.network().layers[name].shape[0] for name in names]
    assert sorted(set(shapes), reverse=True) == [112, 56, 28, 14, 7], "every size of grid"
    pixels = {BEST: lab.canvas()}

    lab.find(f".gv-strip [data-layer={names[4]}]").click()
    assert lab.layer == names[4]
    assert names[4] in lab.find(".gv-caption").inner_text()
    pixels[names[4]] = lab.canvas()

    lab.page.keyboard.press("ArrowRight")
    assert lab.layer == names[5]
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("ArrowLeft")
    lab.page.keyboard.press("ArrowLeft")
    lab.page.keyboard.press("ArrowLeft")
    assert lab.layer == names[3]
    assert lab.page.evaluate("document.activeElement.dataset.layer") == names[3]
    pixels[names[3]] = lab.canvas()

    lab.find("[name=layer]").select_option(names[0])
    assert lab.layer == names[0]
    pixels[names[0]] = lab.canvas()
    lab.find(f".gv-strip [data-layer={names[0]}]").focus()
    lab.page.keyboard.press("ArrowLeft")
    assert lab.layer == names[0], "there is no layer before the first"
    for key, name in (("End", BEST), ("Home", names[0])):
        lab.page.keyboard.press(key)
        assert lab.layer == name
        assert lab.page.evaluate("document.activeElement.dataset.layer") == name

    seen = list(pixels.values())
    assert all(apart(a, b) > 2 for n, a in enumerate(seen) for b in seen[:n])


def test_every_layer_is_in_the_select_with_its_grid_and_the_best_one_marked(lab: Lab) -> None:
    network = lookup.network()
    groups = lab.find("[name=layer] optgroup").evaluate_all(
        "groups => groups.map(g => [...g.children].map(o => [o.value, o.textContent]))"
    )
    assert [name for name, _ in groups[0]] == list(network.suggested)
    assert {name for group in groups for name, _ in group} == set(network.spatial_layers)
    for group in groups:
        for name, text in group:
            assert network.spatial_layers[name].title in text
            assert ("★" in text) == (name == network.best)


def test_a_layer_that_was_not_sent_is_asked_for_and_stays(lab: Lab) -> None:
    name = "block4a_bn"
    assert name not in lab.layers
    lab.drawn_after(lambda: lab.find("[name=layer]").select_option(name))
    assert lab.layer == name
    here = survey(EXAMPLES_DIR / FIRST, None, (name,)).maps[name, "Grad-CAM"]
    assert apart(lab.canvas(), painted(here, lab.canvas())) < 2

    lab.row("cheetah")
    lab.until("document.querySelector('.gv-say').textContent.includes('speaks for cheetah')")
    lab.until("n => document.querySelector('[data-drawn]').dataset.layer === n", name)
    assert apart(lab.canvas(), on_the_scale_of_lion(lab, name)) < 2


# ---- classes -----------------------------------------------------------------------------------


def test_a_class_clicked_is_explained_and_the_hot_spot_moves(lab: Lab) -> None:
    """The cheetah is on the left half of the picture, the lion on the right."""
    assert hottest(lab.canvas())[1] > 0.5
    lab.drawn_after(lambda: lab.row("cheetah"))
    assert "speaks for cheetah" in lab.say
    assert hottest(lab.canvas())[1] < 0.5
    assert "cheetah" in lab.find(".gv-classes [aria-pressed=true]").inner_text()
    assert "cheetah" in lab.page.locator("#class input").input_value()
    assert apart(lab.canvas(), on_the_scale_of_lion(lab, BEST)) < 2


def on_the_scale_of_lion(lab: Lab, layer: str) -> U8:
    """The cheetah's map, whose colours end where those of the likeliest class do."""
    size = lab.canvas().shape[:2]
    lion, cheetah = (
        survey(EXAMPLES_DIR / FIRST, Target(c), (layer,)).maps[layer, "Grad-CAM"]
        for c in (LION, CHEETAH)
    )
    top = max(float(lion.max()), float(cheetah.max()))
    return heatmap.paint(heatmap.upsample(np.clip(cheetah / top, 0, 1), size), "viridis")


def test_typing_filters_the_thousand_classes(lab: Lab) -> None:
    lab.search("class", "tabby")
    options = lab.page.locator("[role=option]")  # without those of the selects
    expect(options).to_have_count(1)
    assert options.inner_text().strip() == "tabby cat · 281"
    lab.drawn_after(options.click)
    assert "does not see a tabby cat" in lab.say
    assert lab.data("answer") == "efficientnet_lite0/281/"


def test_one_class_rather_than_another(lab: Lab) -> None:
    assert lab.find(".gv-bands").is_hidden()
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    assert lab.say == "Red speaks for lion, blue for cheetah."
    labels = lab.find(".gv-bands label").all_inner_texts()
    assert labels == ["lion", "cheetah", "lion rather than cheetah"]
    assert lab.find("[name=gv-band][value=contrast]").is_checked()

    lab.more()
    assert "All three questions share one scale." in lab.text(".gv-note")
    lab.radio("gv-sign", "for")
    # one common scale: the largest of the three maps is the end of all of them
    bands = {"target": first(LION), "rival": first(CHEETAH), "contrast": first(LION, CHEETAH)}
    maps = {band: seen.maps[BEST, "Grad-CAM"] for band, seen in bands.items()}
    top = max(float(m.max()) for m in maps.values())
    for band, signed in maps.items():
        lab.radio("gv-band", band)
        heat = heatmap.upsample(np.clip(signed / top, 0, 1), lab.canvas().shape[:2])
        assert apart(lab.canvas(), heatmap.paint(heat, "viridis")) < 2, band
    assert hottest(lab.canvas())[1] > 0.5

    # Grad-CAM is linear in the score, so what speaks for A rather than B is their difference
    assert np.allclose(maps["contrast"], maps["target"] - maps["rival"], atol=1e-4)

    lab.drawn_after(lambda: lab.choose("other", "no other class"))
    assert lab.find(".gv-bands").is_hidden()
    assert "rather than" not in lab.say


def test_the_contrast_is_one_click_away_and_one_click_back(lab: Lab) -> None:
    why = lab.find(".gv-why")
    assert plain(why.inner_text()).startswith("What tells lion from cheetah?")
    lab.drawn_after(why.click)
    assert lab.say == "Red speaks for lion, blue for cheetah."
    sides = lab.find(".gv-classes button:visible").evaluate_all(
        "all => all.map(n => n.dataset.side)"
    )
    assert sides == ["red", "blue", "", "", ""]
    seen = first(LION, CHEETAH).maps[BEST, "Grad-CAM"]
    top = max(abs(first(c).maps[BEST, "Grad-CAM"]).max() for c in (LION, CHEETAH))
    heat = heatmap.upsample((seen / top + 1) / 2, lab.canvas().shape[:2])
    assert apart(lab.canvas(), heatmap.paint(heat, heatmap.DIVERGING)) < 2
    expect(why).to_be_focused()
    lab.settled()
    asked = len(lab.requests)
    why.click()
    assert lab.say == "Bright: what speaks for lion (46 %)"
    why.click()
    assert lab.say == "Red speaks for lion, blue for cheetah."
    assert len(lab.requests) == asked, "it is known already"
    lab.drawn_after(lambda: lab.row("hyena"))
    assert plain(why.inner_text()).startswith("What tells hyena from lion?")
    assert lab.page.locator("#other input").input_value() == "no other class"


def test_the_sentence_asks_about_a_rival_only_if_both_are_likely(lab: Lab) -> None:
    link = lab.find(".gv-sub button")
    assert link.inner_text() == "What tells them apart?"
    assert first().probabilities[HYENA] < 0.1
    lab.drawn_after(lambda: lab.row("hyena"))
    assert link.count() == 0, "nor why it is hyena rather than lion"
    assert np.sort(survey(EXAMPLES_DIR / "cheetah.jpg").probabilities)[-2] < 0.1
    lab.drawn_after(lambda: lab.example(2))
    assert link.count() == 0
    assert "It is quite sure." in lab.text(".gv-sub")


def test_what_the_network_does_not_see_is_faint_and_said_not_to_be_seen(lab: Lab) -> None:
    zebra = 340
    lab.drawn_after(lambda: lab.example(3))
    seen = survey(EXAMPLES_DIR / "lion.jpg")
    place = int((seen.logits > seen.logits[zebra]).sum()) + 1
    lab.drawn_after(lambda: lab.choose("class", "zebra"))
    assert lab.say == f"The network does not see a zebra: place {place} of 1000."
    assert "faint, on the same scale as lion" in lab.text(".gv-sub")
    maps = [
        survey(EXAMPLES_DIR / "lion.jpg", Target(c)).maps[BEST, "Grad-CAM"] for c in (LION, zebra)
    ]
    heat = heatmap.upsample(np.clip(maps[1] / maps[0].max(), 0, 1), lab.canvas().shape[:2])
    assert apart(lab.canvas(), heatmap.paint(heat, "viridis")) < 2
    long = "all => all.reduce((sum, n) => sum + parseFloat(n.style.flexGrow), 0)"
    mine, rest = (
        lab.find(f".gv-sum {part}").evaluate_all(long) for part in (".gv-piece", ".gv-rest")
    )
    part = float(maps[1][maps[1] > 0].sum()) / float(seen.logits[LION])
    assert mine / (mine + rest) == pytest.approx(part, rel=0.05), "of what lion gets"


def test_whole_words_are_found_first(lab: Lab) -> None:
    find = lab.find("[name=find]")
    find.fill("cat")
    expect(lab.find("[data-hit]").first).to_be_visible()
    hits = lab.find("[data-hit]").all_inner_texts()
    whole = [bool(re.search(r"\bcat\b", hit)) for hit in hits]
    assert whole.count(True) >= 4
    assert whole == sorted(whole, reverse=True), "those with the whole word come first"
    assert lab.text(".gv-none").startswith("There is no class “cat”, only ")
    find.fill("person")
    expect(lab.find(".gv-none")).to_have_text(re.compile("There is no class “person”"))
    find.fill("tiger")
    for key in ("ArrowUp", "ArrowDown"):  # past the end, back to the first
        find.press(key)
    lab.drawn_after(lambda: find.press("Enter"))
    assert "speaks for tiger (" in lab.say or "does not see a tiger:" in lab.say
    find.fill("tabby")
    expect(lab.find("[data-hit]")).to_have_count(1)
    lab.drawn_after(lambda: find.press("Enter"))
    assert "tabby cat" in lab.say
    assert lab.find(".gv-pop").is_hidden()
    assert find.input_value() == ""


def test_a_class_against_itself_gets_a_sentence(lab: Lab) -> None:
    before = lab.canvas()
    assert "two different classes" in lab.complained(lambda: lab.choose("other", "lion"))
    assert apart(lab.canvas(), before) == 0
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    assert lab.error == ""


# ---- at the speed of the hand ------------------------------------------------------------------


def test_everything_but_the_question_changes_without_a_request(lab: Lab) -> None:
    asked = len(lab.requests)
    seen = [lab.canvas()]

    def changed(what: str) -> None:
        assert apart(lab.canvas(), seen[-1]) > 0, what
        seen.append(lab.canvas())

    for name in (lab.layers[3], lab.layers[5]):
        lab.find(f".gv-strip [data-layer={name}]").click()
        changed(name)
    for method in METHODS:
        if (lab.layer, method) not in first().maps:
            continue
        lab.put("method", method)
        if method != "Grad-CAM":
            changed(method)
        assert method in lab.find(".gv-caption").inner_text()
    for colours in heatmap.COLOURS:
        if colours != "viridis":
            lab.put("colours", colours)
            changed(colours)
    lab.put("method", "Grad-CAM")
    changed("Grad-CAM")
    for sign in ("both", "against", "for"):
        lab.radio("gv-sign", sign)
        changed(sign)
    lab.put("opacity", "80")
    assert lab.find(".gv-heat").evaluate("n => n.style.opacity") == "0.8"
    assert lab.text("[name=opacity-out]") == "80 %"
    lab.more(False)
    for alone in (True, False):
        lab.find(".gv-one").click()
        assert lab.find(".gv-original").is_visible() != alone
        assert lab.find(".gv-over").is_visible()
    for tool in ("compare", "look"):
        lab.find(f"label:has([value={tool}])").click()
        assert lab.find("[name=swipe]").is_visible() == (tool == "compare")
    lab.tick("box")
    assert lab.find(".gv-box").is_visible()
    lab.find("[name=layer]").select_option(lab.layers[0])
    lab.find(".gv-numbers summary").click()
    assert lab.requests[asked:] == []


def test_playing_goes_through_the_layers_without_a_request(lab: Lab) -> None:
    asked, start = len(lab.requests), lab.layer
    lab.find(".gv-play").click()
    assert lab.find(".gv-play").get_attribute("aria-pressed") == "true"
    lab.until("n => document.querySelector('[data-drawn]').dataset.layer !== n", start)
    assert lab.layer == lab.layers[0], "after the last comes the first"
    lab.find(".gv-play").click()
    assert lab.find(".gv-play").get_attribute("aria-pressed") == "false"
    held = lab.layer
    lab.page.wait_for_timeout(1000)
    assert lab.layer == held
    assert lab.requests[asked:] == []


def test_the_filmstrip_stands_at_the_layer_that_the_other_tab_chose(lab: Lab) -> None:
    early = lab.layers[2]
    lab.page.get_by_role("tab", name="How it is made").click()
    lab.page.evaluate(
        "d => document.dispatchEvent(new CustomEvent('gradcam-layer', {detail: d}))", early
    )
    lab.page.get_by_role("tab", name="Look").click()
    expect(lab.find(f".gv-strip [data-layer={early}]")).to_be_in_viewport()
    assert early in lab.text(".gv-caption"), "the overlay says that it is not the usual one"


def test_playing_stops_when_the_other_tab_is_opened(lab: Lab) -> None:
    lab.find(".gv-play").click()
    lab.page.get_by_role("tab", name="How it is made").click()
    lab.until("document.querySelector('.gv-play').getAttribute('aria-pressed') === 'false'")
    lab.page.get_by_role("tab", name="Look").click()
    assert lab.find(".gv-play").is_visible()


def test_the_rest_of_the_page_is_told_what_is_in_view_and_may_choose_a_layer(lab: Lab) -> None:
    lab.page.evaluate(
        "document.addEventListener('gradcam', () => { window.told = (window.told || 0) + 1; })"
    )
    network = lookup.network()
    seen = lab.page.evaluate("window.gradcam")
    assert [(x["name"], tuple(x["shape"])) for x in seen["layers"]] == [
        (name, network.layers[name].shape) for name in network.suggested
    ]
    assert [x["name"] for x in seen["layers"] if x["best"]] == [network.best]
    assert (seen["method"], seen["rival"]) == ("Grad-CAM", "")
    before = lab.page.evaluate("window.told || 0")
    lab.put("method", "HiResCAM")
    assert lab.page.evaluate("window.told") > before
    assert lab.page.evaluate("window.gradcam.method") == "HiResCAM"
    lab.page.evaluate(
        "document.dispatchEvent(new CustomEvent('gradcam-layer', {detail: 'block5c_add'}))"
    )
    assert lab.layer == "block5c_add"
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    assert lab.page.evaluate("window.gradcam.rival") == "cheetah"


def test_while_the_server_works_the_page_can_be_read(lab: Lab) -> None:
    lab.hold_up()
    place = lab.find(".gv-stage").bounding_box()
    lab.row("cheetah")
    lab.until("document.querySelector('#viewer .pending')")
    assert lab.find(".pending").evaluate("n => getComputedStyle(n).opacity") == "1"
    bar = lab.find(".gv-over").evaluate("n => getComputedStyle(n, '::after').height")
    assert bar == "4px", "a bar on the overlay says so"
    assert lab.find(".gv-stage").bounding_box() == place
    lab.settled()
    assert lab.find(".pending").count() == 0


def test_a_layer_is_painted_before_its_click_returns(lab: Lab) -> None:
    """So it is there in the next frame. How long that takes: `make bench`."""
    names = lab.layers[:9]
    painted = lab.page.evaluate(
        """names => names.map(name => {
          const now = document.querySelector('[data-drawn]').dataset, before = Number(now.drawn);
          document.querySelector(`.gv-strip [data-layer=${name}]`).click();
          return [now.layer, Number(now.drawn) - before];
        })""",
        names,
    )
    assert painted == [[name, 1] for name in names]


def test_the_filmstrip_is_painted_anew_only_when_its_maps_change(lab: Lab) -> None:
    """A dot upon its first frame stays until then."""
    frame = lab.find(".gv-strip canvas").first
    frame.evaluate("canvas => canvas.getContext('2d').clearRect(0, 0, 1, 1)")

    def dotted() -> bool:
        return bool((lab.canvas(".gv-strip canvas")[0, 0] == 0).all())

    lab.find(f".gv-strip [data-layer={lab.layers[3]}]").click()
    lab.put("opacity", "80")
    lab.put("threshold", "50")
    lab.find(".gv-one").click()
    lab.find(".gv-over .gv-frame").hover()
    assert dotted()
    lab.put("method", "LayerCAM")
    assert not dotted()


# ---- the browser paints what Python paints -----------------------------------------------------


def test_the_heat_has_the_pixels_of_pythons_overlay(lab: Lab) -> None:
    maps = first().maps
    network = lookup.network()
    for layer in (network.suggested[0], "block3b_add", "block5c_add", "block7a_project_bn", BEST):
        lab.find("[name=layer]").select_option(layer)
        for method in METHODS:
            if (layer, method) not in maps:
                continue
            lab.put("method", method)
            here = lab.canvas()
            assert here.shape[:2] == (256, 512)
            assert (here[..., 3] == 255).all()
            assert apart(here, painted(maps[layer, method], here)) < 2, (layer, method)
    lab.put("method", "Eigen-CAM")
    for colours in heatmap.COLOURS:
        lab.put("colours", colours)
        here = lab.canvas()
        heat = heatmap.upsample(heatmap.normalise(maps[BEST, "Eigen-CAM"]), here.shape[:2])
        wanted = heatmap.paint(heat, colours)
        if colours in heatmap.LIT:
            wanted = heatmap.overlay(first().image, heat, colours)
        assert apart(here, wanted) < 2, colours


def test_evidence_against_and_both_signs(lab: Lab) -> None:
    layer = "block5c_add"
    signed = first().maps[layer, "Grad-CAM"]
    lab.find("[name=layer]").select_option(layer)

    lab.radio("gv-sign", "against")
    assert "speaks against lion" in lab.say
    assert apart(lab.canvas(), painted(-signed, lab.canvas())) < 2

    lab.radio("gv-sign", "both")
    assert "Red speaks for lion" in lab.say
    here = lab.canvas()
    heat = heatmap.upsample(signed / np.abs(signed).max(), here.shape[:2])
    assert apart(here, heatmap.paint((heat + 1) / 2, heatmap.DIVERGING)) < 2
    red, blue = here[..., 0].astype(int), here[..., 2].astype(int)
    assert (red > blue)[heat > 0.1].all()
    assert (blue > red)[heat < -0.1].all()
    ticks = [float(plain(t)) for t in lab.find(".gv-ticks span").all_inner_texts()]
    assert ticks == pytest.approx([-np.abs(signed).max(), 0, np.abs(signed).max()], rel=0.01)


def test_the_box_is_the_one_of_the_api(lab: Lab) -> None:
    """The first example is shown at its own size: a pixel of the canvas is one of the picture."""
    heat = heatmap.upsample(heatmap.normalise(first().maps[BEST, "Grad-CAM"]), (256, 512))
    lab.tick("box")
    for share in (30, 80):  # where the box does not hang on one pixel
        lab.put("threshold", str(share))
        words = re.fullmatch(
            r"left (\d+), top (\d+), right (\d+), bottom (\d+), "
            "in a picture 512 pixels wide and 256 high",
            numbers(lab)["Box"],
        )
        assert words
        box = [int(n) for n in words.groups()]
        assert box == pytest.approx(heatmap.box(heat, share / 100), abs=3)
        frame = lab.find(".gv-over .gv-frame").bounding_box()
        drawn = lab.find(".gv-box").bounding_box()
        left, top, right, bottom = box
        assert (drawn["x"] - frame["x"]) / frame["width"] == pytest.approx(left / 512, abs=0.02)
        assert (drawn["y"] - frame["y"]) / frame["height"] == pytest.approx(top / 256, abs=0.02)
        assert drawn["width"] / frame["width"] == pytest.approx((right - left) / 512, abs=0.02)
        assert drawn["height"] / frame["height"] == pytest.approx((bottom - top) / 256, abs=0.02)
    assert lab.text("[name=thr-out]").startswith("80 %")
    lab.tick("box", False)
    assert lab.find(".gv-box").is_hidden()
    assert "Box" not in numbers(lab)


def test_the_cell_under_the_pointer_and_by_arrow_keys(lab: Lab) -> None:
    signed = first().maps[BEST, "Grad-CAM"]
    frame = lab.find(".gv-over .gv-frame")
    box = frame.bounding_box()
    row, column = np.unravel_index(signed.argmax(), signed.shape)

    def read() -> tuple[int, int, float]:
        text = lab.text(".gv-pointer")
        found = re.match(r"Row (\d+), column (\d+): about (-?[\d.e+-]+)", text)
        assert found, text
        return int(found[1]), int(found[2]), float(found[3])

    frame.hover(
        position={"x": box["width"] * (column + 0.5) / 7, "y": box["height"] * (row + 0.5) / 7}
    )
    assert read() == (row + 1, column + 1, float(f"{signed.max():.2g}"))
    share = f"{100 * signed.max() / signed[signed > 0].sum():.1f}"
    assert f"{share} % of all evidence for" in lab.text(".gv-pointer")

    lab.page.mouse.move(0, 0)
    assert lab.find(".gv-over .gv-cell").is_hidden()
    assert lab.text(".gv-pointer").startswith("Tap or point")
    frame.focus()
    lab.page.keyboard.press("ArrowRight")
    i, j, value = read()
    assert value == pytest.approx(signed[i - 1, j - 1], abs=0.02 * float(signed.max()))
    lab.page.keyboard.press("ArrowUp")
    assert read()[:2] == (i - 1, j)
    assert lab.find(".gv-over .gv-cell").is_visible()
    assert lab.find(".gv-tip").is_visible()
    lab.find(".gv-play").focus()
    assert lab.find(".gv-tip").is_hidden()
    assert lab.find(".gv-over .gv-cell").is_visible(), "it stays marked, from layer to layer"


def test_the_cell_that_is_read_keeps_its_place_from_layer_to_layer(lab: Lab) -> None:
    frame = lab.find(".gv-over .gv-frame")
    frame.focus()
    for _ in range(2):
        lab.page.keyboard.press("ArrowRight")  # from the middle, row 4 and column 4 of 7

    def middle() -> tuple[float, float]:
        mark, whole = lab.find(".gv-over .gv-cell").bounding_box(), frame.bounding_box()
        return (
            (mark["x"] + mark["width"] / 2 - whole["x"]) / whole["width"],
            (mark["y"] + mark["height"] / 2 - whole["y"]) / whole["height"],
        )

    assert middle() == pytest.approx((5.5 / 7, 3.5 / 7), abs=0.01)
    for layer, cells in (("block5c_add", 14), ("block2b_add", 56)):
        lab.find("[name=layer]").select_option(layer)
        assert middle() == pytest.approx((5.5 / 7, 3.5 / 7), abs=0.6 / cells)
    signed = first().maps["block2b_add", "Grad-CAM"]
    row, column, value = re.match(
        r"Row (\d+), column (\d+): about (-?[\d.e+-]+)", lab.text(".gv-pointer")
    ).groups()
    here = signed[int(row) - 1, int(column) - 1]
    assert float(value) == pytest.approx(here, abs=0.02 * float(np.abs(signed).max()))


def test_press_and_hold_shows_the_photograph(lab: Lab) -> None:
    hidden = "getComputedStyle(document.querySelector('.gv-heat')).clipPath.includes('100%')"
    assert not lab.page.evaluate(hidden)
    lab.find(".gv-over .gv-frame").hover()
    lab.page.mouse.down()
    lab.until(hidden)
    assert lab.text(".gv-caption") == "the picture"
    lab.page.mouse.up()
    assert not lab.page.evaluate(hidden)
    assert "speaks for lion" in lab.text(".gv-caption")


def numbers(lab: Lab) -> dict[str, str]:
    """The panel "The numbers behind this map"; of two lines of the same name the last."""
    rows = lab.find(".gv-numbers dl").evaluate(
        "dl => [...dl.querySelectorAll('dt')].map(n => [n.textContent, n.nextSibling.textContent])"
    )
    return {name: plain(text) for name, text in rows}


def test_the_numbers_behind_the_map(lab: Lab) -> None:
    words = numbers(lab)
    signed = first().maps[BEST, "Grad-CAM"]
    assert words["Class"] == "lion, number 291"
    assert float(words["Score before softmax (logit)"]) == pytest.approx(
        first().logits[LION], rel=0.01
    )
    assert words["Rank"] == "1 of 1000"
    low, high = words["Smallest and largest value before the ReLU"].split(" … ")
    assert float(low) == pytest.approx(signed.min(), rel=0.01)
    assert float(high) == pytest.approx(signed.max(), rel=0.01)
    assert words["Places cut by the ReLU"] == f"{100 * (signed < 0).mean():.1f} %"
    assert words["Grid, channels"] == "7×7, 1280"
    lab.radio("gv-sign", "against")
    assert numbers(lab)["Places cut by the ReLU"] == f"{100 * (signed > 0).mean():.0f} %"
    lab.radio("gv-sign", "both")
    assert "Places cut by the ReLU" not in numbers(lab)


def test_that_nothing_is_cut_is_said(lab: Lab) -> None:
    assert first().maps[BEST, "LayerCAM"].min() >= 0
    lab.put("method", "LayerCAM")
    assert numbers(lab)["Places cut by the ReLU"] == "0 %"


def test_the_numbers_of_one_class_rather_than_another(lab: Lab) -> None:
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    y, signed = first().logits, first(LION, CHEETAH).maps[BEST, "Grad-CAM"]
    words = numbers(lab)
    assert words["Class"] == "lion, number 291"
    assert words["Rather than"] == "cheetah, number 293"
    told = float(words["Difference of the two, the score explained"])
    assert told == pytest.approx(y[LION] - y[CHEETAH], rel=0.01)
    assert float(
        words["Smallest and largest value before the ReLU"].split(" … ")[0]
    ) == pytest.approx(signed.min(), rel=0.01)
    lab.radio("gv-band", "rival")
    assert numbers(lab)["Class"] == "cheetah, number 293"
    assert "Rather than" not in numbers(lab)
    assert "cheetah" in lab.find(".gv-classes [aria-pressed=true]").inner_text()
    lab.radio("gv-band", "target")
    assert "lion" in lab.find(".gv-classes [aria-pressed=true]").inner_text()


def third_example_but(lab: Lab, pattern: str, instead: str) -> None:
    """The answer for the lion, in which some words are changed on its way."""

    def change(route: Route) -> None:
        said = route.fetch()
        route.fulfill(response=said, body=re.sub(pattern, instead, said.text()))

    lab.page.route("**/queue/data*", change)
    lab.drawn_after(lambda: lab.example(3))
    lab.settled()  # a stream that is still held when its route goes would be nobody's
    lab.page.unroute("**/queue/data*")


@pytest.mark.many
@pytest.mark.parametrize(
    ("head", "score"), [("sigmoid", "Score before sigmoid"), ("linear", "Output")]
)
def test_other_heads_have_other_words(lab: Lab, head: str, score: str) -> None:
    """Only the word for the head is changed on its way, the numbers are those of the picture."""
    shares = str(head == "sigmoid").lower()
    third_example_but(
        lab, r'"head": ?"softmax", ?"percent": ?true', f'"head":"{head}","percent":{shares}'
    )
    seen = survey(EXAMPLES_DIR / "lion.jpg")
    words = numbers(lab)
    assert float(words[score]) == pytest.approx(seen.logits[LION], rel=0.01)
    assert "Score before softmax (logit)" not in words
    assert ("Probability" in words) == (head == "sigmoid")
    chance = f"{seen.probabilities[LION]:.3g}" if head == "linear" else "87 %"
    assert f"lion ({chance})" in lab.say
    assert plain(lab.find(".gv-classes .gv-p").first.inner_text()) == chance
    percents = [p for p in lab.find(".gv-classes .gv-p").all_inner_texts() if "%" in p]
    assert bool(percents) == (head == "sigmoid")


@pytest.mark.many
@pytest.mark.parametrize(
    ("p", "words"), [(0.996, "99.60 %"), (0.99996, "above 99.99 %"), (0.994, "99 %"), (1, "100 %")]
)
def test_what_is_not_quite_certain_is_not_rounded_to_certainty(
    lab: Lab, p: float, words: str
) -> None:
    """Only the probability of lion is changed on its way."""
    third_example_but(lab, r'("label": ?"lion", ?"p": ?)[^,]+,', rf"\g<1>{p},")
    assert plain(lab.find(".gv-classes .gv-p").first.inner_text()) == words
    assert numbers(lab)["Probability"] == words
    assert percent(p) == words


@pytest.mark.many
@pytest.mark.parametrize("method", [name for name in one_pass() if METHODS[name].against])
def test_methods_that_know_no_evidence_against_do_not_offer_it(lab: Lab, method: str) -> None:
    lab.radio("gv-sign", "both")
    lab.put("method", method)
    assert METHODS[method].against in lab.text(".gv-method")
    for sign in ("for", "against", "both"):
        radio = lab.find(f"[name=gv-sign][value={sign}]")
        assert (radio.is_checked(), radio.is_enabled()) == (sign == "for", sign == "for")
    here = first().maps[BEST, method]
    assert apart(lab.canvas(), painted(here, lab.canvas())) < 2
    assert ("speaks for lion" in lab.say) == (not METHODS[method].class_agnostic)
    if METHODS[method].class_agnostic:
        lab.find(".gv-over .gv-frame").focus()
        lab.page.keyboard.press("ArrowUp")
        assert "of the pattern" in lab.text(".gv-pointer")
    lab.put("method", "Grad-CAM")
    assert lab.find("[name=gv-sign][value=both]").is_checked(), "the choice comes back"
    assert "Red speaks for lion" in lab.say


def test_weights_that_are_never_negative_are_what_no_evidence_against_rests_on() -> None:
    dice = np.random.default_rng(4)
    a, g = dice.normal(size=(2, 5, 5, 8)).astype(np.float32)
    for method in METHODS.values():
        if method.weights and method.against and not method.class_agnostic:
            assert (method.weights(a, g) >= 0).all()


def test_weak_evidence_in_strong_colours_is_said_to_be_weak(lab: Lab) -> None:
    signed = first().maps[BEST, "Grad-CAM"]
    share = -100 * signed.min() / signed.max()
    assert 0.01 < share < 1
    assert lab.find(".gv-warn").is_hidden()
    lab.radio("gv-sign", "against")
    sentence = f"The strongest evidence against is {share:.2f} % of the strongest evidence for."
    assert lab.text(".gv-warn") == sentence
    lab.radio("gv-sign", "both")
    assert lab.find(".gv-warn").is_hidden()


def test_a_network_that_is_not_sure_is_said_to_be(lab: Lab, tmp_path: Path) -> None:
    assert first().probabilities.max() > 0.2
    photo = Image.open(EXAMPLES_DIR / FIRST).rotate(90, expand=True).resize((24, 24))
    photo.resize((300, 300)).save(tmp_path / "dim.png")
    assert survey(tmp_path / "dim.png").probabilities.max() < 0.2
    lab.drawn_after(lambda: lab.upload(tmp_path / "dim.png"))
    assert lab.text(".gv-sub").startswith("It is not sure: ")


def test_methods_that_coincide_are_said_to(lab: Lab) -> None:
    maps = first().maps
    for layer, same in ((BEST, True), ("block5c_add", False)):
        grad, *others = (maps[layer, m] for m in ("Grad-CAM", "HiResCAM", "XGrad-CAM"))
        assert np.allclose(others, grad, atol=1e-3 * np.abs(grad).max()) == same
        lab.find("[name=layer]").select_option(layer)
        lab.more()
        assert ("give the same map" in lab.text(".gv-note")) == same
    lab.put("method", "Grad-CAM")
    assert "do not trust it about places" in lab.text(".gv-warn")
    lab.more(False)
    lab.find(".gv-warn").get_by_role("button", name="Show LayerCAM").click()
    assert lab.find(".gv-warn").is_hidden()
    assert lab.text(".gv-method").startswith("LayerCAM:")


def test_an_empty_map_says_why_and_shows_the_way_out(lab: Lab) -> None:
    """Of the classes that the network is surest are not there, one all of whose map is negative."""
    path = EXAMPLES_DIR / "cheetah.jpg"
    unlikely = map(int, survey(path).logits.argsort()[:20])
    index = next(c for c in unlikely if survey(path, Target(c)).maps[BEST, "Grad-CAM"].max() <= 0)
    lab.drawn_after(lambda: lab.example(2))
    lab.drawn_after(lambda: lab.choose("class", f"· {index}"))
    note = lab.find(".gv-warn")
    assert "The map is empty" in note.inner_text()
    assert "same map" not in lab.text(".gv-note"), "they do, an empty one"
    lab.more(False)
    note.get_by_role("button").click()
    assert lab.find("[name=gv-sign][value=both]").is_checked()
    assert "Red speaks for" in lab.say
    assert note.is_hidden()


def test_swipe(lab: Lab) -> None:
    lab.find("label:has([value=compare])").click()
    slider = lab.find("[name=swipe]")
    slider.focus()
    for key in ("Home", *["ArrowRight"] * 30):
        lab.page.keyboard.press(key)
    assert slider.input_value() == "30"
    size = 100, 50
    seen = shot(lab, ".gv-over .gv-frame", size)
    plain = small(first().image, size)
    heat = heatmap.upsample(heatmap.normalise(first().maps[BEST, "Grad-CAM"]), (256, 512))
    over = small(heatmap.overlay(first().image, heat, "viridis"), size)
    left, right = np.s_[16:-16, 3:26], np.s_[16:-16, 35:-3]  # between the words and the tools
    assert apart(seen[left], plain[left]) < 5
    assert apart(seen[right], over[right]) < 5
    assert apart(plain[left], over[left]) > 20


@pytest.mark.slow
def test_detail_gives_a_finer_map(lab: Lab) -> None:
    lab.more()
    lab.drawn_after(lab.page.get_by_label("Detail").check)
    assert "14×14" in lab.text(".gv-strip .gv-group:last-child .gv-grid")
    p = first().probabilities[291]
    wide = pipeline.survey(EXAMPLES_DIR / FIRST, target=291, detail=True).probabilities[291]
    assert percent(wide) != percent(p)
    assert "448×448" in lab.text(".gv-warn")
    assert f"it gives lion {percent(wide)}, not {percent(p)}" in plain(lab.text(".gv-warn"))
    assert percent(p) in plain(lab.say), "the answer is that of the usual side"
    image = pictures.read_rgb(EXAMPLES_DIR / FIRST)
    here = pipeline.survey(image, layers=(BEST,), detail=True).maps[BEST, "Grad-CAM"]
    assert here.shape == (14, 14)
    assert apart(lab.canvas(), painted(here, lab.canvas())) < 2


# ---- the last choice wins ----------------------------------------------------------------------


def test_of_two_examples_clicked_at_once_the_second_is_shown(lab: Lab) -> None:
    lab.hold_up(1)  # that sets the picture
    lab.example(5)
    lab.until("document.querySelector('#picture img').src.endsWith('/hopper.jpg')")
    lab.example(3)
    lab.until("document.querySelector('#picture img').src.endsWith('/lion.jpg')")
    lab.settled()
    assert lab.find(".gv-over img").get_attribute("src").endswith("/lion.jpg")
    assert "speaks for lion (87 %)" in lab.say


def test_of_two_classes_clicked_at_once_the_second_is_shown(lab: Lab) -> None:
    lab.hold_up()
    lab.row("dhole")
    lab.row("cheetah")
    lab.settled()
    assert "cheetah" in lab.page.locator("#class input").input_value()
    assert "speaks for cheetah" in lab.say


@pytest.mark.longest
def test_of_two_networks_chosen_at_once_the_second_is_shown(lab: Lab) -> None:
    lab.hold_up()
    lab.choose("model", "EfficientNet-Lite1")
    lab.choose("model", "EfficientNet-Lite2")
    lab.settled()
    assert lab.page.locator("#model input").input_value() == "EfficientNet-Lite2"
    assert lab.data("answer").startswith("efficientnet_lite2/")


def test_a_layer_that_comes_after_another_class_is_shown_for_that_class(lab: Lab) -> None:
    """Its own question is held up, and the one for the class overtakes it."""
    late = "block1a_activation"
    assert late not in lab.layers
    lab.hold_up()
    lab.find("[name=layer]").select_option(late)
    lab.is_held()
    lab.row("cheetah")
    lab.until("document.querySelector('[data-drawn]').dataset.answer.includes('/293/')")
    lab.settled()
    assert lab.data("answer") == "efficientnet_lite0/293/"
    assert lab.layer == late
    assert "speaks for cheetah" in lab.say
    assert f"{late} · 112×112" in lab.text(".gv-caption")


@pytest.mark.slow
def test_a_layer_that_comes_after_another_network_is_not_shown(lab: Lab) -> None:
    lab.hold_up()
    lab.find("[name=layer]").select_option("block1a_activation")
    lab.is_held()
    lab.choose("model", "EfficientNet-Lite1")
    lab.until("document.querySelector('[data-drawn]').dataset.answer.includes('lite1/')")
    lab.settled()
    assert lab.data("answer").startswith("efficientnet_lite1/")


def test_a_picture_that_comes_late_is_not_drawn_under_the_next_ones_map(lab: Lab) -> None:
    lab.first = []
    held: list[Route] = []
    lab.page.route("**/tower.jpg", lambda route: held.append(route))
    lab.example(4)
    lab.until("document.querySelector('#viewer .pending')")
    lab.settled()
    assert held
    lab.example(1)
    lab.settled()
    assert "speaks for lion" in lab.say
    for route in held:
        route.continue_()
    lab.until("url => performance.getEntriesByName(url).length", held[0].request.url)
    lab.page.wait_for_timeout(300)
    assert lab.find(".gv-over img").get_attribute("src").endswith(f"/{FIRST}")
    assert "speaks for lion" in lab.say


def test_a_list_that_was_clicked_is_searched_by_typing(lab: Lab) -> None:
    options = lab.page.locator("[role=option]")  # without those of the selects
    for _ in range(2):  # the second time what stands there is selected before the click, too
        lab.search("class", "tench")
        expect(options).to_have_count(1)
        assert options.inner_text().strip() == "tench · 0"
        lab.page.locator("#class input").blur()
        expect(options).to_have_count(0)


def test_tab_goes_from_list_to_list_and_closes_what_it_leaves(lab: Lab) -> None:
    lab.more()
    lab.page.locator("#class input").focus()
    for name in ("other", "detail"):
        lab.page.keyboard.press("Tab")
        expect(lab.page.locator(f"#{name} input")).to_be_focused()
    expect(lab.page.locator("#asks [aria-expanded=true]")).to_have_count(0)


def test_the_rival_among_the_likeliest_is_one_click_away(lab: Lab) -> None:
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.settled()
    asked = len(lab.requests)
    for name in ("cheetah", "lion"):
        lab.row(name)
        assert f"what speaks for {name} (" in lab.say
    assert lab.error == ""
    assert len(lab.requests) == asked


@pytest.mark.slow
def test_a_network_that_predicts_the_rival_is_shown_without_one(lab: Lab) -> None:
    lab.first = []
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.choose("model", "EfficientNet-Lite2")
    lab.settled()
    assert lab.error == ""
    assert lab.data("answer") == f"efficientnet_lite2/{CHEETAH}/"
    assert lab.page.locator("#model input").input_value() == "EfficientNet-Lite2"
    assert lab.page.locator("#other input").input_value() == "no other class"
    assert lab.text(".gv-hint") == (
        "EfficientNet-Lite2 itself says cheetah, so nothing is left to compare it with."
    )
    lab.put("method", "LayerCAM")
    assert lab.find(".gv-hint").is_hidden()


def test_a_layer_of_the_filmstrip_is_not_undone_by_one_that_comes_later(lab: Lab) -> None:
    lab.hold_up()
    lab.find("[name=layer]").select_option("block1a_activation")
    lab.find(".gv-strip button").nth(3).click()
    picked = lab.layer
    lab.settled()
    came = lab.find("[name=layer] optgroup").first.locator("[value=block1a_activation]")
    assert came.count() == 1, "it came"
    assert lab.layer == picked


@pytest.mark.slow
def test_detail_switched_on_and_off_at_once_is_off(lab: Lab) -> None:
    lab.hold_up()
    lab.more()
    box = lab.page.get_by_label("Detail")
    box.check()
    box.uncheck()
    lab.settled()
    assert not box.is_checked()
    assert "7×7" in lab.text(".gv-strip .gv-group:last-child .gv-grid")


def test_a_class_chosen_while_an_example_is_on_its_way_is_explained(lab: Lab) -> None:
    lab.hold_up(1)  # that sets the picture
    lab.example(2)
    lab.is_held()
    lab.row("dhole")
    lab.settled()
    assert lab.find(".gv-over img").get_attribute("src").endswith("/cheetah.jpg")
    expect(lab.find(".gv-say")).to_have_text(
        re.compile(r"does not see a dhole: place \d+ of 1000\.$")
    )
    expect(lab.page.locator("#class input")).to_have_value(re.compile("dhole"))


# ---- bad and unusual pictures ------------------------------------------------------------------


def test_a_broken_file_gets_one_sentence_and_a_good_one_works_right_after(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "holiday.jpg").write_text("<script>not a picture</script>")
    before, said = lab.canvas(), lab.say
    sentence = lab.complained(lambda: lab.upload(tmp_path / "holiday.jpg"))
    assert sentence == pictures.UNKNOWN
    assert lab.find(".gv-error").get_attribute("role") == "alert"
    assert lab.find(".gv-before").is_visible()
    dim = "n => Number(getComputedStyle(n).opacity)"
    assert lab.find(".gv-over .gv-frame").evaluate(dim) < 1
    assert apart(lab.canvas(), before) == 0
    assert lab.say == said
    text = lab.page.evaluate("document.body.innerText")
    assert not LEAK.search(text), LEAK.search(text)

    # what is still on the screen can still be used
    lab.find(f".gv-strip [data-layer={lab.layers[5]}]").click()
    assert apart(lab.canvas(), before) > 0

    Image.fromarray(pictures.read_rgb(EXAMPLES_DIR / "tower.jpg")).save(tmp_path / "good.png")
    lab.drawn_after(lambda: lab.upload(tmp_path / "good.png"))
    assert lab.error == ""
    assert lab.find(".gv-over img").get_attribute("src").endswith("/good.png")
    assert lab.find(".gv-before").is_hidden()
    assert lab.find(".gv-over .gv-frame").evaluate(dim) == 1


def test_an_upload_is_asked_about_once(lab: Lab) -> None:
    """Though Gradio says of it twice that the picture changed."""
    for name in ("hopper.jpg", "tower.jpg"):
        lab.requests.clear()
        lab.drawn_after(lambda name=name: lab.upload(EXAMPLES_DIR / name))  # type: ignore[misc]
        lab.settled()
        assert sum("queue/join" in url for url in lab.requests) == 1


CAMERA = """() => {
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
    [canvas.width, canvas.height] = [300, 200];
    setInterval(() => pen.fillRect(0, 0, 300, 200), 30);
    return window.stream = canvas.captureStream(30);
  };
}"""
REFUSED = """() => {
  navigator.mediaDevices.getUserMedia = async () => { throw new Error('not allowed'); };
  navigator.clipboard.read = async () => [];
}"""


@pytest.mark.slow
def test_no_chooser_no_camera_and_no_failed_upload_takes_the_picture_away(lab: Lab) -> None:
    page, shown = lab.page, lab.find(".gv-over img")
    before = shown.get_attribute("src")

    def goes_on(label: str) -> None:
        """A question about the picture is answered."""
        lab.drawn_after(lambda: lab.row(label))
        assert lab.error == ""
        assert shown.get_attribute("src") == before

    with page.expect_file_chooser():  # at once; and nobody chooses
        lab.find(".gv-source .gv-choose").click()
    goes_on("cheetah")
    page.evaluate(REFUSED)
    camera, place = lab.find(".gv-source .gv-camera"), lab.find(".gv-stage").bounding_box()
    assert "Allow it in the browser" in lab.complained(camera.click)
    assert lab.find(".gv-stage").bounding_box() == place, "nothing jumps"
    goes_on("lion")
    lab.find(".gv-paste").click()
    expect(lab.find(".gv-hint")).to_contain_text("no picture to paste")
    goes_on("cheetah")

    page.evaluate(CAMERA)
    camera.click()
    expect(lab.find(".gv-shoot")).to_be_visible()
    page.keyboard.press("Escape")
    expect(lab.find(".gv-shoot")).to_be_hidden()
    lab.until("stream.getTracks().every(track => track.readyState === 'ended')")  # it is off
    goes_on("lion")

    held: list[Route] = []
    page.route("**/upload?*", lambda route: held.append(route))
    lab.upload(EXAMPLES_DIR / "tower.jpg")
    expect(lab.find(".gv-hint")).to_have_text("Your picture is on its way …")
    held[0].fulfill(status=413)
    page.get_by_test_id("toast-body").first.wait_for()
    expect(lab.find(".gv-hint")).to_be_hidden()
    page.unroute_all()
    goes_on("cheetah")

    camera.click()
    lab.until("document.querySelector('.gv-shoot video').videoWidth === 300")
    lab.drawn_after(lab.find(".gv-take").click)
    expect(lab.find(".gv-shoot")).to_be_hidden()
    assert lab.find(".gv-over img").evaluate("n => [n.naturalWidth, n.naturalHeight]") == [300, 200]


def test_a_file_that_is_too_large_stays_at_home_and_takes_nothing_away(
    lab: Lab, tmp_path: Path
) -> None:
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(pictures.MAX_BYTES + 1)
    asked, before = len(lab.requests), lab.page.locator("#picture img").get_attribute("src")
    assert lab.complained(lambda: lab.upload(tmp_path / "big.jpg")) == pictures.HEAVY
    lab.page.wait_for_timeout(500)
    assert lab.page.locator("#picture img").get_attribute("src") == before
    assert len(lab.requests) == asked
    assert lab.page.get_by_text("exceed").count() == 0, "Gradio's own message"
    lab.drawn_after(lambda: lab.upload(EXAMPLES_DIR / "lion.jpg"))
    assert lab.error == ""


def test_after_a_broken_file_the_old_result_can_still_be_downloaded(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "holiday.jpg").write_text("not a picture")
    lab.complained(lambda: lab.upload(tmp_path / "holiday.jpg"))
    with lab.page.expect_download() as waited:
        lab.save("figure")
    assert waited.value.suggested_filename.endswith("figure.png")


@pytest.mark.parametrize(("name", "content"), [("empty.png", b""), ("cut.jpg", None)])
def test_other_broken_files(lab: Lab, tmp_path: Path, name: str, content: bytes | None) -> None:
    whole = (EXAMPLES_DIR / "lion.jpg").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    before = lab.canvas()
    sentence = lab.complained(lambda: lab.upload(tmp_path / name))
    assert sentence in (pictures.EMPTY, pictures.DAMAGED)
    assert apart(lab.canvas(), before) == 0


def test_a_photo_that_a_phone_stored_lying_is_shown_upright(lab: Lab, tmp_path: Path) -> None:
    upright = tall_photo(tmp_path / "phone.jpg")
    lab.drawn_after(lambda: lab.upload(tmp_path / "phone.jpg"))
    assert lab.canvas().shape[:2] == (720, 360)
    frame = lab.find(".gv-over .gv-frame").bounding_box()
    assert frame["height"] / frame["width"] == pytest.approx(2, rel=0.02)
    inner = np.s_[3:-3, 3:-3]
    size = 48, 96
    assert apart(shot(lab, ".gv-original .gv-frame", size)[inner], small(upright, size)[inner]) < 8

    signed = pipeline.survey(upright).maps[BEST, "Grad-CAM"]
    lying = np.rot90(signed)
    assert apart(lab.canvas(), painted(signed, lab.canvas())) < 4  # the JPEG changes it a little
    assert apart(lab.canvas(), painted(lying, lab.canvas())) > 15

    with lab.page.expect_download() as waited:
        lab.save("overlay")
    over = np.asarray(Image.open(waited.value.path()).convert("RGB"))
    heat = heatmap.upsample(heatmap.normalise(signed), (800, 400))
    assert over.shape == (800, 400, 3)
    assert apart(over, heatmap.overlay(upright, heat, "viridis")) < 5


def test_a_picture_that_moves_stands_still_at_the_frame_that_was_read(
    lab: Lab, tmp_path: Path
) -> None:
    frames = [Image.open(EXAMPLES_DIR / f"{n}.jpg").resize((300, 200)) for n in ("cheetah", "lion")]
    frames[0].save(
        tmp_path / "both.gif", save_all=True, append_images=frames[1:], duration=100, loop=0
    )
    lab.drawn_after(lambda: lab.upload(tmp_path / "both.gif"))
    assert lab.text(".gv-hint") == pictures.MOVES
    assert "speaks for cheetah" in lab.say
    seen = shot(lab, ".gv-original .gv-frame")
    assert apart(seen[3:-3, 3:-3], small(pictures.read_rgb(tmp_path / "both.gif"))[3:-3, 3:-3]) < 8
    lab.page.wait_for_timeout(150)
    assert apart(shot(lab, ".gv-original .gv-frame"), seen) == 0
    with lab.page.expect_download():
        lab.save("figure")
    lab.drawn_after(lambda: lab.example(3))
    assert lab.find(".gv-hint").is_hidden()


def test_the_picture_taken_away_leaves_a_sentence_and_the_result(lab: Lab) -> None:
    before = lab.canvas()
    lab.page.get_by_label("Remove Image").evaluate("n => n.click()")
    lab.find(".gv-hint").wait_for(state="visible")
    assert lab.text(".gv-hint") == NO_PICTURE
    assert lab.error == "", "this is no mistake"
    assert lab.find(".gv-before").is_visible()
    assert apart(lab.canvas(), before) == 0
    lab.drawn_after(lambda: lab.example(2))
    assert lab.error == ""
    assert lab.find(".gv-hint").is_hidden()
    assert lab.find(".gv-before").is_hidden()


def test_a_network_without_its_weights_leaves_the_result_and_says_so(lab: Lab) -> None:
    before, said = lab.canvas(), lab.say
    sentence = lab.complained(lambda: lab.network("VGG19"))
    assert sentence.startswith("VGG19 needs the file vgg19_weights_tf_dim_ordering_tf_kernels.h5")
    assert "575 MB" in sentence
    assert "\n" not in sentence
    assert not LEAK.search(sentence)
    assert apart(lab.canvas(), before) == 0
    assert lab.say == said
    assert lab.data("answer") == "efficientnet_lite0/291/"
    assert lab.page.locator("#model input").input_value() == "EfficientNet-Lite0"
    assert lab.find(".gv-before").is_hidden(), "the answer is still that of what is chosen"
    dim = "n => Number(getComputedStyle(n).opacity)"
    assert lab.find(".gv-over .gv-frame").evaluate(dim) == 1
    lab.find(".gv-strip button").first.click()
    assert lab.error == ""
    lab.drawn_after(lambda: lab.row("cheetah"))
    assert lab.error == ""
    asked = {host for _, host, who in lab.server.went_out() if who == "weights.py"}
    assert asked == {"storage.googleapis.com"}, "the record sees what goes out"


# ---- downloads ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_overlay_and_figure_in_one_click_each(lab: Lab) -> None:
    lab.find("[name=layer]").select_option("block6a_project_bn")
    lab.put("colours", "jet")
    lab.put("opacity", "70")
    files = {}
    for what in ("overlay", "figure"):
        with lab.page.expect_download() as waited:
            lab.save(what)
        name = waited.value.suggested_filename
        assert name == f"gradcam-efficientnet_lite0-block6a_project_bn-291-{what}.png"
        with Image.open(waited.value.path()) as picture:
            assert picture.format == "PNG"
            files[what] = np.asarray(picture.convert("RGB"))
    seen = first()
    heat = heatmap.upsample(
        heatmap.normalise(seen.maps["block6a_project_bn", "Grad-CAM"]), (256, 512)
    )
    over = heatmap.overlay(seen.image, heat, "jet", 0.7)
    assert files["overlay"].shape == (256, 512, 3)
    assert apart(files["overlay"], over) < 3

    # the article's figure: the picture on the left, the overlay on the right, on white
    figure = files["figure"]
    assert figure.shape[1] == 2 * figure.shape[0] == 1200
    assert (figure[:3] == 255).all()
    left, right = pictures_in(figure)
    assert apart(left, small(seen.image)) < 8
    assert apart(right, small(over)) < 8
    assert apart(left, right) > 20


@pytest.mark.slow
def test_the_scale_of_a_figure_that_compares_is_that_of_all_cells(lab: Lab) -> None:
    """Not of the averages that were sent where a layer has too many cells for three maps."""
    layer = "block1a_project_bn"
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.find("[name=layer]").select_option(layer)
    lab.radio("gv-sign", "for")
    assert "averages" in lab.text(".gv-note")
    three = [first(LION), first(CHEETAH), first(LION, CHEETAH)]
    maps = [seen.maps[layer, "Grad-CAM"] for seen in three]

    def asked_for() -> float:
        figures = re.compile("/component_server")
        with lab.page.expect_request(figures) as asked, lab.page.expect_download():
            lab.save("figure")
        (end,) = re.findall(r'"top":([^,]+),', asked.value.post_data or "")
        return float(end)

    assert asked_for() == pytest.approx(float(max(m.max() for m in maps)), rel=1e-5)
    lab.radio("gv-sign", "against")
    strongest = max(-min(m.min() for m in maps), maps[0].max())
    assert asked_for() == pytest.approx(float(strongest), rel=1e-5), "one scale for the picture"
    lab.put("method", "LayerCAM")
    assert asked_for() == 0, "it knows no evidence against, so its map has a scale of its own"


def pictures_in(figure: U8) -> list[np.ndarray]:
    """What is printed large on the white paper, from left to right."""
    ink = (figure < 250).any(axis=2)
    columns = ink.mean(axis=0) > 0.3
    edges = np.flatnonzero(np.diff(columns, prepend=False, append=False)).reshape(-1, 2)
    found = []
    for left, right in edges:
        if right - left > 200:
            rows = np.flatnonzero(ink[:, left:right].mean(axis=1) > 0.7)
            found.append(small(np.ascontiguousarray(figure[rows[0] : rows[-1] + 1, left:right])))
    return found


def test_the_box_that_is_shown_is_in_the_overlay_that_is_saved(lab: Lab) -> None:
    lab.put("threshold", "80")
    heat = heatmap.upsample(heatmap.normalise(first().maps[BEST, "Grad-CAM"]), (256, 512))
    left, top, right, bottom = heatmap.box(heat, 0.8) or (0, 0, 0, 0)
    with lab.page.expect_download() as waited:
        lab.save("overlay")
    with Image.open(waited.value.path()) as picture:
        saved = np.asarray(picture.convert("RGB")).astype(int)
    off = np.abs(saved - heatmap.overlay(first().image, heat, "viridis")).max(axis=2) > 40
    rows, columns = np.flatnonzero(off.sum(axis=1) > 40), np.flatnonzero(off.sum(axis=0) > 40)
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert edges == pytest.approx([left, top, right, bottom], abs=6)
    assert not off[top + 8 : bottom - 8, left + 8 : right - 8].any()


# ---- everybody ---------------------------------------------------------------------------------

ROLES = {
    "button", "radio", "checkbox", "slider", "combobox", "link", "textbox", "searchbox",
    "spinbutton", "switch", "tab", "listbox", "radiogroup", "img", "image", "DisclosureTriangle",
}  # fmt: skip


def named(lab: Lab, selector: str) -> list[tuple[str, str]]:
    """(role, name) of every control below a node, as a screen reader is told."""
    tools = lab.page.context.new_cdp_session(lab.page)
    node = tools.send("Runtime.evaluate", {"expression": f"document.querySelector({selector!r})"})[
        "result"
    ]["objectId"]
    tree = tools.send("Accessibility.queryAXTree", {"objectId": node})["nodes"]
    tools.detach()
    return [
        (n["role"]["value"], n.get("name", {}).get("value", "").strip())
        for n in tree
        if not n["ignored"] and n.get("role", {}).get("value") in ROLES
    ]


def test_every_control_has_a_name(lab: Lab) -> None:
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.find("label:has([value=compare])").click()
    lab.more()
    controls = named(lab, "#viewer")
    roles = [role for role, _ in controls]
    assert roles.count("slider") == 3
    assert roles.count("combobox") == 3 + 1 + 2, "selects, the search, the lists of classes"
    assert roles.count("radio") == len(lab.layers) + 3 + 3 + 3
    nameless = [role for role, name in controls if not name]
    assert nameless == ["image"] * 2, "the arrows of Gradio's lists"
    sliders = [name for role, name in controls if role == "slider"]
    assert len(set(sliders)) == 3
    assert any("pacity" in name for name in sliders)

    for part in ("#picture", "#examples", "#asks"):
        pressed = [(r, n) for r, n in named(lab, part) if r not in ("img", "image")]
        assert [role for role, name in pressed if not name] == [], part


def test_with_the_keyboard_alone(lab: Lab) -> None:
    """From the tab by Tab to the picture, the classes, the film, the drawer, and back out."""
    keys = lab.page.keyboard
    lab.find(".gv-classes button").nth(1).focus()
    lab.drawn_after(lambda: keys.press("Enter"))
    assert "what speaks for cheetah" in lab.say
    assert lab.page.evaluate("document.activeElement.dataset.index") == str(CHEETAH)

    def here() -> str:
        name, ring = lab.page.evaluate(
            """() => {
              const node = document.activeElement;
              const ring = [node, node.parentElement, node.nextElementSibling].some(n => {
                const style = n && getComputedStyle(n);
                return style && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
              });
              const name = node.name || node.dataset.layer || [...node.classList].at(-1);
              return [node.closest('#viewer') ? name || node.tagName : '', ring];
            }"""
        )
        assert ring or not name or name in ("swipe", "border-none") or name.startswith("svelte"), (
            name
        )
        return str(name)

    look, made = (lab.page.get_by_role("tab", name=n) for n in ("Look", "How it is made"))
    look.focus()
    keys.press("ArrowRight")
    expect(made).to_be_focused()
    expect(made).to_have_attribute("aria-selected", "true")
    for key in ("ArrowRight", "ArrowRight"):  # after the last comes the first
        keys.press(key)
    expect(look).to_be_focused()
    look.click()
    expect(look).not_to_be_focused()  # and so has no frame
    look.focus()
    for _ in range(3):  # two tabs, then what stands beside them, above all three
        keys.press("Tab")
    expect(lab.page.locator("#model input")).to_be_focused()
    reached = []
    for _ in range(40):
        keys.press("Tab")
        if not (name := here()) and reached:
            break
        if not name:
            continue
        reached.append(name)
        if name == "gv-play":
            keys.press("Space")
            assert lab.find(".gv-play").get_attribute("aria-pressed") == "true"
            keys.press("Space")
            assert lab.find(".gv-play").get_attribute("aria-pressed") == "false"
        elif name == lab.data("layer"):
            before = lab.layer
            keys.press("ArrowLeft")
            assert lab.layer != before
            keys.press("ArrowRight")
            assert lab.layer == before
    wanted = (
        "gv-choose", "gv-frame", "gv-tool", "gv-one", "gv-why", "find", "layer", "gv-play",
        "gv-more", lab.data("layer"),
    )  # fmt: skip
    assert [name for name in reached if name in wanted] == list(wanted)
    assert len(reached) < 30, "the film is one stop, not one for every layer"

    lab.find(".gv-more").focus()
    keys.press("Enter")
    expect(lab.find(".gv-close")).to_be_focused()
    reached = []
    for _ in range(30):
        keys.press("Tab")
        if not (name := here()):
            break
        reached.append(name)
        if name == "method":
            keys.press("ArrowDown")
            assert lab.find("[name=method]").input_value() == "Grad-CAM++"
            assert "Grad-CAM++" in lab.find(".gv-caption").inner_text()
        elif name == "opacity":
            keys.press("ArrowRight")
            assert lab.text("[name=opacity-out]") == "51 %"
        elif name == "gv-sign":
            keys.press("ArrowDown")
            assert "speaks against cheetah" in lab.say
        elif name == "box":
            keys.press("Space")
            assert lab.find("[name=box]").is_checked()
    wanted = (
        "gv-sign", "method", "colours", "opacity", "box", "threshold", "gv-save-overlay",
        "gv-save-figure",
    )  # fmt: skip
    assert [name for name in reached if name in wanted] == list(wanted)
    for place in ("[name=method]", ".gv-over .gv-frame"):
        lab.more()
        lab.find(place).focus()
        keys.press("Escape")
        assert lab.find(".gv-drawer").is_hidden()
        expect(lab.find(".gv-more")).to_be_focused()


def test_an_example_can_be_chosen_with_the_keyboard(lab: Lab) -> None:
    lab.page.get_by_role("button", name="Lion", exact=True).focus()
    lab.drawn_after(lambda: lab.page.keyboard.press("Enter"))
    assert "speaks for lion (87 %)" in lab.say


TEXTS = [
    ".gv-say", ".gv-classes button span", ".gv-ticks span", ".gv-sumline",
    ".gv-grid", ".gv-drawer label", ".gv-method",
    ".gv-method a", ".gv-note",
    ".gv-actions button", ".gv-numbers summary", ".gv-sub", ".gv-gl",
]  # fmt: skip
CONTRAST = """texts => {  // the ratio of WCAG 2, of a text to what it stands on
  const rgb = text => {
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = node => {
    const colour = node ? rgb(getComputedStyle(node).backgroundColor) : [255, 255, 255, 255];
    return colour[3] === 255 ? colour : ground(node.parentElement);
  };
  return Object.fromEntries(texts.map(text => {
    const node = document.querySelector(text), ink = rgb(getComputedStyle(node).color);
    const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    return [text, (a + 0.05) / (b + 0.05)];
  }));
}"""


@pytest.mark.many
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(tall: Callable[..., Lab], dark: bool) -> None:
    lab = tall(390, 844, dark)
    width, page = lab.page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert page <= width == 390
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.find(".gv-numbers summary").click()
    lab.more(False)
    for tool in ("compare", "look"):
        lab.find(f"label:has([value={tool}])").click()
        assert lab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tool
    frame = lab.find(".gv-over .gv-frame").bounding_box()
    assert frame["x"] >= 0
    assert frame["x"] + frame["width"] <= 390
    assert frame["width"] / frame["height"] == pytest.approx(2, rel=0.03)
    scheme = lab.find("[name=layer]").evaluate("n => getComputedStyle(n).colorScheme")
    assert ("dark" in scheme) == dark
    background = lab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark
    lab.more()
    weak = {s: round(c, 1) for s, c in lab.page.evaluate(CONTRAST, TEXTS).items() if c < 4.5}
    assert weak == {}


def test_the_overlay_of_a_phone_is_large_comes_first_and_stays(tall: Callable[..., Lab]) -> None:
    lab = tall(390, 700)
    over = lab.find(".gv-over .gv-frame").bounding_box()
    assert over["width"] == 390
    assert over["y"] < 700 / 4
    assert lab.find(".gv-original").is_hidden(), "press and hold, or Compare, shows it"
    lab.find(".gv-strip").evaluate("n => n.scrollIntoView({block: 'center'})")
    assert lab.page.evaluate("scrollY") > 0
    over = lab.find(".gv-over .gv-frame").bounding_box()
    assert over["y"] == pytest.approx(0, abs=1)
    lab.more()
    drawer = lab.find(".gv-drawer").bounding_box()
    assert over["y"] + over["height"] <= drawer["y"], "the overlay is never covered"


def test_whoever_chooses_a_class_in_the_drawer_sees_what_that_did(tall: Callable[..., Lab]) -> None:
    lab = tall(390, 844)
    shown = lab.find(".gv-say")
    expect(shown).to_contain_text("lion")
    lab.choose("class", "cheetah")
    expect(shown).to_contain_text("cheetah")
    expect(shown).to_be_in_viewport()


def test_whoever_chooses_a_class_in_the_answer_stays_there(tall: Callable[..., Lab]) -> None:
    lab = tall(390, 844)
    lab.choose("class", "cheetah")
    expect(lab.find(".gv-say")).to_contain_text("cheetah")
    lab.settled()
    lab.more(False)
    hyena = lab.find(".gv-classes button").last
    lab.page.evaluate("scrollTo(0, 140)")
    expect(lab.find(".gv-say")).not_to_be_in_viewport()
    before = lab.page.evaluate("scrollY")
    lab.drawn_after(hyena.click)
    lab.page.wait_for_timeout(200)
    assert lab.page.evaluate("scrollY") == pytest.approx(before, abs=60)


SMALL = """() => [...document.querySelectorAll(
    'button, select, summary, input, [role=tab], [role=combobox]')]
  .filter(n => n.checkVisibility({ visibilityProperty: true }) && !n.matches('.gv-link'))
  .map(n => [n, (n.closest('label, .gv-search, .wrap-inner') ?? n).getBoundingClientRect()])
  .filter(([, { width, height }]) => width > 1 && Math.min(width, height) < 43.5)
  .map(([n, { width, height }]) => `${n.className || n.name} ${width}x${height}`)
"""  # what a finger may miss; a link in a sentence is as high as its line


def test_a_finger_reads_a_cell_and_it_stays(browser: Browser, server: Server) -> None:
    context = browser.new_context(
        locale="en-US", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    lab = Lab(context.new_page(), server).open()
    frame = lab.find(".gv-over .gv-frame")
    size = frame.bounding_box()
    frame.tap(position={"x": size["width"] * 1.5 / 7, "y": size["height"] * 2.5 / 7})
    assert lab.text(".gv-pointer").startswith("Row 3, column 2: about ")
    assert lab.find(".gv-over .gv-cell").is_visible()
    assert lab.page.evaluate(SMALL) == []
    lab.more()
    for part in lab.find(".gv-drawer summary").all():
        part.click()
    lab.find(".gv-ways li").first.wait_for()
    assert lab.page.evaluate(SMALL) == [], "in the drawer"
    assert lab.errors == []
    context.close()


def test_the_doctors_names_are_not_broken_into_letters(tall: Callable[..., Lab]) -> None:
    lab = tall(390, 844)
    lab.more()
    lab.find(".gv-doctor summary").click()
    lab.find(".gv-doctor .gv-name").first.wait_for()
    lines_of = "new Set([...n.getClientRects()].map(r => Math.round(r.bottom))).size"
    lines = lab.find(".gv-doctor .gv-name").evaluate_all(
        "names => names.map(n => [n.textContent, LINES])".replace("LINES", lines_of)
    )
    assert len(lines) == len(lookup.network().layers)
    assert [name for name, count in lines if count > 1] == []
    assert lab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


SLOW = pytest.mark.slow
SIZES = [
    pytest.param((1440, 900), marks=SLOW), (1366, 620), (1280, 720),
    pytest.param((1024, 768), marks=SLOW), pytest.param((820, 1180), marks=SLOW),
]  # fmt: skip


DOUBTED = """([layer, method]) => {
  for (const [name, value] of Object.entries({ layer, method })) {
    const list = document.querySelector(`#viewer [name=${name}]`);
    list.value = value;
    list.dispatchEvent(new Event('change', { bubbles: true }));
  }
}"""


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_classes_and_film_are_on_the_first_screen(
    tall: Callable[..., Lab], size: tuple[int, int]
) -> None:
    """Of a wide picture, a square one and a high one: nothing scrolls, nothing is cut off."""
    lab = tall(*size)
    for number in (1, 3, 4):
        if number > 1:
            lab.drawn_after(lambda n=number: lab.example(n))
        beyond = lab.page.evaluate(
            "[document.documentElement.scrollHeight - innerHeight, "
            "document.documentElement.scrollWidth - innerWidth]"
        )
        assert max(beyond) <= 0, number
        if number == 3 and size in ((1440, 900), (1280, 720)):
            assert lab.find(".gv-classes button:visible").count() == 7
        if number == 4:
            expect(lab.find(".gv-sub")).to_be_visible()
            assert "It is not sure" in lab.text(".gv-sub")
        parts = [lab.find(part).bounding_box() for part in (".gv-classes", ".gv-strip", ".gv-sum")]
        assert max(box["y"] + box["height"] for box in parts) <= size[1], number
        over, original = (
            lab.find(f"{part} .gv-frame").bounding_box() for part in (".gv-over", ".gv-original")
        )
        assert over["y"] == original["y"], "side by side"
        assert original["x"] + original["width"] < over["x"]
        height, width, _ = pictures.read_rgb(EXAMPLES_DIR / list(EXAMPLES)[number - 1]).shape
        for box in (over, original):
            assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.02)
        lab.radio("gv-tool", "cover")
        expect(lab.find(".gv-say")).to_contain_text("With this covered")
        if number == 1:
            expect(lab.find(".gv-sub")).to_be_visible()
        for part, box in ((".gv-over", over), (".gv-original", original)):
            assert lab.find(f"{part} .gv-frame").bounding_box() == box, f"{number}: it jumps"
        lab.radio("gv-tool", "look")
        lab.page.evaluate(DOUBTED, ["block5c_add", "Grad-CAM"])
        expect(lab.find(".gv-warn")).to_contain_text("do not trust it about places")
        assert lab.find(".gv-over .gv-frame").bounding_box() == over, f"{number}: a caveat moves it"
        cut_off = "n => n.scrollHeight - n.clientHeight"
        assert lab.find(".gv-words").evaluate(cut_off) <= 1, f"{number}: it cannot be read"
        lab.page.evaluate(DOUBTED, [BEST, "Grad-CAM"])


@pytest.mark.slow
def test_where_there_is_room_a_card_asks_to_cover_the_brightest_cells(
    tall: Callable[..., Lab],
) -> None:
    lab = tall(1440, 900)
    card = lab.find(".gv-try")
    expect(card).to_have_text("Try it: cover the brightest cells. Does it still say lion?")
    lab.drawn_after(card.click)
    expect(lab.find(".gv-say")).to_contain_text("With this covered, lion")
    expect(card).to_be_hidden()
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    lab.radio("gv-tool", "look")
    expect(card).to_be_hidden()


def test_the_box_encloses_something_from_the_start(tall: Callable[..., Lab]) -> None:
    lab = tall(1280, 720)
    lab.tick("box")
    whole, box = (lab.find(part).bounding_box() for part in (".gv-over .gv-frame", ".gv-box"))
    assert box["width"] * box["height"] < 0.7 * whole["width"] * whole["height"]
    assert lab.text("[name=thr-out]") == "50 %"
    lab.put("threshold", "15")
    assert lab.text("[name=thr-out]") == "15 % (as in the paper)"


@pytest.mark.many
@pytest.mark.parametrize(
    ("size", "number", "pair", "one"),
    [
        ((1440, 900), 3, 0.44, 0.48),
        ((1280, 720), 3, 0.40, 0.44),
        ((1440, 900), 1, 0.35, 0),
        ((1280, 720), 1, 0.38, 0),
    ],
)
def test_how_much_of_the_screen_the_pictures_have(
    tall: Callable[..., Lab], size: tuple[int, int], number: int, pair: float, one: float
) -> None:
    lab = tall(*size)
    if number > 1:
        lab.drawn_after(lambda: lab.example(number))

    def share() -> float:
        boxes = [
            lab.find(f"{part} .gv-frame").bounding_box() for part in (".gv-original", ".gv-over")
        ]
        return sum(b["width"] * b["height"] for b in boxes if b) / (size[0] * size[1])

    assert share() >= pair
    if one:
        lab.find(".gv-one").click()
        assert lab.find(".gv-original").is_hidden()
        assert share() >= one


def test_the_sum_that_is_drawn_is_the_score_without_its_fixed_start(lab: Lab) -> None:
    signed, score = first().maps[BEST, "Grad-CAM"], float(first().logits[LION])
    assert lab.text(".gv-total") == f"the 49 cells add up: {signed.sum():.2f}"
    start = score - float(signed.sum())
    assert f"fixed start {start:+.2f}" in lab.text(".gv-sumline")
    assert f"score {score:.2f}" in lab.text(".gv-sumline")
    pieces = lab.find(".gv-piece").evaluate_all("all => all.map(n => parseFloat(n.style.flexGrow))")
    assert pieces == sorted(pieces, reverse=True)
    assert sum(pieces) == pytest.approx(
        float(signed[signed > 0].sum()), abs=49 * float(signed.max()) / 254
    )
    assert lab.text(".gv-percent") == "46 %"
    assert lab.find(".gv-rest").count() == 0, "the likeliest fills the bar"

    row, column = np.unravel_index(signed.argmax(), signed.shape)
    box = lab.find(".gv-over .gv-frame").bounding_box()
    lab.page.mouse.move(
        box["x"] + box["width"] * (column + 0.5) / 7, box["y"] + box["height"] * (row + 0.5) / 7
    )
    assert lab.text(".gv-tip") == f"+{signed.max():.2f} of {signed.sum():.2f}"
    hot = lab.find(".gv-piece.gv-hot")
    assert float(hot.get_attribute("data-cell") or -1) == signed.argmax()
    assert lab.find(".gv-original .gv-cell").is_visible(), "on both pictures"

    lab.drawn_after(lab.find(".gv-why").click)
    seen = first(LION, CHEETAH).maps[BEST, "Grad-CAM"]
    assert lab.text(".gv-total") == f"49 cells, plus and minus: {seen.sum():+.2f}"
    texts = lab.find(".gv-seg").all_inner_texts()
    assert texts == [
        f"{-seen[seen < 0].sum():.2f} for cheetah",
        f"{seen[seen > 0].sum():.2f} for lion",
    ]
    told = re.fullmatch(
        r"their fixed starts ([+-][\d.]+) · lion scores ([\d.]+) more than cheetah",
        lab.text(".gv-sumline"),
    )
    assert told
    total, starts, ahead = float(lab.text(".gv-total b")), float(told[1]), float(told[2])
    assert round(total + starts, 4) == ahead, "as it is printed"
    logits = first().logits
    assert ahead == pytest.approx(float(logits[LION] - logits[CHEETAH]), abs=0.0051)
    lab.find("[name=layer]").select_option("block6c_add")
    assert lab.text(".gv-total").startswith("the last grid’s sum: ")
    assert "parts" in lab.find("[name=layer] option:checked").inner_text(), "a plain word beside"


def test_where_the_cells_do_not_add_up_no_sum_is_drawn(lab: Lab) -> None:
    third_example_but(lab, r'"starts": ?\{"target": ?[^}]+\}', '"starts":{"target":null}')
    assert lab.find(".gv-sum").is_hidden()
    assert "not a sum here" in lab.text(".gv-sumline")
    frame = lab.find(".gv-over .gv-frame")
    frame.hover()
    assert " of what speaks for it" in lab.text(".gv-tip")


def test_a_patch_is_really_covered_and_the_newest_counts(lab: Lab) -> None:
    """The bars are those of the network, run on the picture with that part painted grey."""
    lab.find("label:has([value=cover])").click()
    expect(lab.find(".gv-say")).to_contain_text("With this covered, lion ")
    frame = lab.find(".gv-over .gv-frame").bounding_box()
    centre = frame["x"] + frame["width"] * 0.7, frame["y"] + frame["height"] * 0.5
    lab.page.mouse.move(*centre)
    lab.page.mouse.down()
    for step in range(1, 6):
        lab.page.mouse.move(centre[0] + step, centre[1])
    lab.page.mouse.up()
    lab.page.wait_for_timeout(300)
    lab.settled()
    patch = lab.find(".gv-hand").evaluate(
        "n => ['left', 'top', 'width', 'height'].map(k => parseFloat(n.style[k]) / 100)"
    )
    left, top, width, height = patch
    assert left + width / 2 == pytest.approx(0.7 + 5 / frame["width"], abs=0.01)
    network = lookup.network()
    square = pictures.fit(first().image, network.shape[:2])
    mask = hide.rectangle([left, top, left + width, top + height], network.shape[:2])
    (covered,) = hide.hidden(square, [mask], "grey")
    p = network.trace(
        models.MODELS[models.DEFAULT].preprocess(covered), None, (BEST,)
    ).probabilities
    assert lab.text(".gv-say") == (
        f"With this covered, lion {'falls' if p[LION] < first().probabilities[LION] else 'rises'} "
        f"from 46 % to {percent(float(p[LION]))} (filled with grey)."
    )
    assert plain(lab.find(".gv-classes .gv-now").first.inner_text()) == percent(float(p[LION]))
    before = lab.say
    lab.find(".gv-hand").focus()
    for _ in range(4):
        lab.page.keyboard.press("ArrowLeft")
    lab.until("said => document.querySelector('.gv-say').innerText !== said", before)
    lab.page.keyboard.press("Escape")
    expect(lab.find("[name=gv-tool][value=look]")).to_be_focused()
    assert "what speaks for lion" in lab.say
    assert lab.find(".gv-hand").is_hidden()


def test_all_places_are_tried_and_it_can_be_stopped(lab: Lab) -> None:
    lab.find("label:has([value=cover])").click()
    button = lab.find(".gv-all")
    expect(button).to_have_text("Try all places")
    lab.settled()
    lab.requests.clear()
    lab.page.evaluate(
        """() => {
          const all = document.querySelector('.gv-all'), sub = document.querySelector('.gv-sub');
          new MutationObserver((_, watcher) => {
            if (!sub.textContent.startsWith('8 of 49')) return;
            watcher.disconnect();
            all.click();
          }).observe(sub, { childList: true, characterData: true, subtree: true });
          all.click();
        }"""
    )
    expect(lab.find(".gv-say")).to_contain_text("With this covered")
    lab.settled()
    assert sum("component_server" in url for url in lab.requests) < 4, "not all seven times eight"
    button.click()
    expect(lab.find(".gv-sub")).to_contain_text("All 49 places were covered one by one")
    assert "where covering makes lion less likely" in lab.say
    assert lab.text(".gv-ticks span:last-child").endswith("%")
    button.click()
    expect(lab.find(".gv-say")).to_contain_text("With this covered")


def test_the_cells_fly_into_the_sum_once_and_any_key_ends_it(
    browser: Browser, server: Server
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(server.url)
    page.wait_for_selector("[data-opening]")
    assert page.locator(".gv-sky i").count() > 20
    page.keyboard.press("Shift")
    assert page.locator("[data-opening]").count() == 0
    assert plain(page.locator(".gv-total").inner_text()).endswith(": 7.52")
    page.emulate_media(reduced_motion="reduce")
    page.add_init_script(
        """new MutationObserver(() => { window.flew ||= document.querySelector('.gv-sky'); })
          .observe(document, { childList: true, subtree: true })"""
    )
    page.reload()
    page.wait_for_selector("[data-drawn]")
    page.wait_for_timeout(200)
    assert not page.evaluate("Boolean(window.flew)"), "not for who wants no motion"
    page.close()


@pytest.mark.longest
def test_the_longest_names_of_classes_fit(tall: Callable[..., Lab]) -> None:
    labels = models.MODELS[models.DEFAULT].labels
    longest = sorted(range(len(labels)), key=lambda n: len(labels[n]), reverse=True)[:20]
    for size in ((1280, 720), (1024, 768), (390, 844)):
        lab = tall(*size)
        for index in longest if size[0] > 1000 else longest[:5]:
            lab.find(".gv-classes button").first.evaluate(
                "(b, n) => { b.dataset.index = n; b.click(); }", index
            )
            expect(lab.find(".gv-say")).to_contain_text(labels[index])
            name = lab.find(f".gv-classes button[data-index='{index}'] .gv-label")
            over = "n => [n.scrollHeight - n.clientHeight, n.scrollWidth - n.clientWidth]"
            assert max(name.evaluate(over)) <= 1 or len(labels[index]) > 40, labels[index]
            assert lab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if size[0] > 1000:
                assert lab.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
                head, stage = (lab.find(p).bounding_box() for p in (".gv-words", ".gv-stage"))
                assert head["y"] + head["height"] <= stage["y"] + 1, labels[index]
                source = lab.find(".gv-source").bounding_box()
                assert head["x"] + head["width"] <= source["x"], labels[index]


# ---- nothing leaves this machine ---------------------------------------------------------------


def test_no_request_of_the_page_and_no_socket_of_the_server_goes_out(
    tall: Callable[..., Lab], server: Server, tmp_path: Path
) -> None:
    """On a cold browser cache, through upload, class and figure. The record is of the whole run."""
    lab = tall(1366, 900)
    lab.drawn_after(lambda: lab.upload(EXAMPLES_DIR / "hopper.jpg"))
    with lab.page.expect_download():
        lab.save("figure")
    lab.page.wait_for_timeout(500)
    assert len(lab.requests) > 50
    assert lab.outside() == []
    assert server.uninvited() == []


def test_the_log_of_the_server_has_no_traceback(server: Server) -> None:
    assert "Traceback" not in server.log.read_text()
