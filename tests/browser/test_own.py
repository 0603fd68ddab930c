"""A visitor's own model, where the host allows it."""

import base64
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L
from lab import Lab, Server, pixels, serve
from nets import KERAS_2, save, teachable_machine
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from demo import ui
from gradcam_core import models

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("open"), "--allow-model-upload") as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, open_server: Server) -> Iterator[Lab]:
    context = browser.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
    yield Lab(context.new_page(), open_server).open()
    context.close()


def drop(lab: Lab, file: Path, onto: str) -> None:
    """As from the machine's own folders."""
    held = lab.page.evaluate_handle(
        """([name, text]) => {
          const list = new DataTransfer();
          list.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
          return list;
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )
    lab.page.locator(onto).dispatch_event("drop", {"dataTransfer": held})


def hand_in(lab: Lab, file: Path, names: str = "", onto: str = "") -> str:
    """Upload a model and open it; what the page then says of it. onto: dropped there."""
    own, said = lab.page.locator("#own"), lab.page.locator("#own-said .md")
    if not onto:
        lab.more()
        if not lab.page.locator("#own-open").is_visible():
            own.get_by_text("Your own model").click()
        for old in own.get_by_role("button", name="Clear").all():
            old.click()
    with lab.page.expect_response(lambda response: "/upload?" in response.url):
        if onto:
            drop(lab, file, onto)
        else:
            own.locator("input[type=file]").set_input_files(file)
    own.locator("#own-file").get_by_text(file.stem).first.wait_for()
    if names:
        own.locator("#own-names textarea").fill(names)
    before = said.inner_text() if said.count() else ""
    own.locator("#own-open").click()
    lab.until(
        """before => {
          const said = document.querySelector('#own-said .md')?.innerText.trim();
          return said && said !== before && !said.startsWith('Opening');
        }""",
        before,
    )
    return said.inner_text().strip()


def test_by_default_nobody_uploads_a_model(lab: Lab) -> None:
    assert lab.page.locator("#own").count() == 0
    assert lab.page.locator("input[type=file]").count() == 1
    lab.more()
    said = lab.page.locator("#own-off").inner_text()
    assert "python app.py --allow-teachable-machine" in said
    lab.more(False)
    refused = lab.complained(lambda: drop(lab, KERAS_2 / "flat.h5", "#picture"))
    assert refused == ui.NO_MODELS


def test_a_pupil_drops_the_zip_of_teachable_machine(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    """Where the host has started the page with what it says above."""
    names = "Mug", "Plant", "Nothing"
    file = teachable_machine(tmp_path / "converted_keras.zip", names, 8)
    picture = np.random.default_rng(0).integers(0, 256, (12, 30, 3), np.uint8).repeat(20, 0)
    picture = picture.repeat(20, 1)  # 240 high, 600 wide
    Image.fromarray(picture).save(tmp_path / "wide.png")
    square = Image.fromarray(picture[:, 180:420]).resize((224, 224), Image.Resampling.BILINEAR)
    model = models.load_file(file).build(None)
    p = np.asarray(model(np.asarray(square, np.float32)[None] / 127.5 - 1))[0]

    with serve(tmp_path, "--allow-teachable-machine") as classroom:
        context = browser.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
        pupil = Lab(context.new_page(), classroom).open()
        pupil.more()
        pupil.page.locator("#own").get_by_text("Your own model").click()
        said = pupil.page.locator("#own").inner_text()
        assert "Export Model → Tensorflow → Keras → Download my model" in said
        assert pupil.page.locator("#own-names").count() == 0
        pupil.drawn_after(lambda: pupil.upload(tmp_path / "wide.png"))
        assert "Teachable Machine only" in hand_in(pupil, no_export(tmp_path))
        assert hand_in(pupil, file) == "It is first in the list now."
        pupil.until("() => document.querySelector('[data-drawn]').dataset.layer === 'out_relu'")
        chosen = pupil.page.locator("#model input").input_value()
        assert chosen == "Teachable Machine: Mug, Plant, Nothing"
        pupil.more(False)
        rows = pupil.find(".gv-classes button").all_inner_texts()
        found = {row.split()[0]: float(re.findall(r"([\d.]+)\s*%", row)[0]) for row in rows}
        assert set(found) == set(names)
        for name, part in zip(names, p, strict=True):
            assert found[name] == pytest.approx(100 * part, abs=0.6)
        frame, pointer = pupil.find(".gv-over .gv-frame"), pupil.find(".gv-pointer")
        size = frame.bounding_box()
        assert size
        for share, seen in ((0.25, False), (0.35, True), (0.65, True), (0.75, False)):
            frame.hover(position={"x": share * size["width"], "y": 0.5 * size["height"]})
            words = pointer.inner_text()
            assert words.startswith("Row") == seen, share
            assert (words == "No cell of this layer lies here.") != seen, share
        assert pupil.errors == []
        context.close()


def no_export(folder: Path) -> Path:
    return Path(shutil.copy(KERAS_2 / "flat.h5", folder))


def test_a_visitor_brings_a_model(
    visitor: Lab, small_model: Path, browser: Browser, open_server: Server, tmp_path: Path
) -> None:
    said = hand_in(visitor, small_model, "cat\ndog\nlion", onto="#viewer .gv-over")
    assert said == "It is first in the list now."
    visitor.until("() => document.querySelector('[data-drawn]').dataset.layer === 'shapes'")
    assert visitor.layers == ["edges", "shapes"]
    rows = visitor.find(".gv-classes button").all_inner_texts()
    assert sorted(row.split()[0] for row in rows) == ["cat", "dog", "lion"]
    visitor.drawn_after(lambda: visitor.choose("class", "dog"))
    assert "dog" in visitor.say

    visitor.page.get_by_role("button", name="Save this model as .keras").click()
    link = visitor.page.locator("#own-saved a[href*='/file=']").first
    (tmp_path / "saved.keras").write_bytes(
        visitor.page.request.get(str(link.get_attribute("href"))).body()
    )
    saved = models.load_file(tmp_path / "saved.keras")
    assert saved.labels == ("cat", "dog", "lion")
    for ours, theirs in zip(
        saved.build(None).weights, models.load_file(small_model).build(None).weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)

    guess = "How this network wants its pixels is a guess: pixels divided by 255."
    assert guess in visitor.text(".gv-guess")
    visitor.more(False)  # it lies over all that stands beside the pictures
    visitor.page.get_by_role("button", name="Compare the ways").click()
    ways = visitor.find(".gv-ways li")
    ways.first.wait_for()
    assert ways.count() == 10  # five scalings, of the whole picture and of its middle
    assert "in use" in ways.first.inner_text()
    chosen = ways.filter(has_text="127.5, less 1, of the whole picture")
    assert (
        "dog" in chosen.inner_text()
        or "cat" in chosen.inner_text()
        or "lion" in chosen.inner_text()
    )
    visitor.drawn_after(chosen.get_by_role("button", name="Take this").click)
    assert visitor.find(".gv-guess").is_hidden(), "it was given, and is a guess no longer"
    assert visitor.page.locator("#model input").input_value().endswith("scale11")
    visitor.search("model", "mine (yours)")
    option = visitor.page.get_by_role("option", name="mine (yours)", exact=True)
    visitor.drawn_after(option.click)
    assert guess in visitor.text(".gv-guess")
    assert "dog" in visitor.say, "the same classes: the one that was chosen stays"

    visitor.page.get_by_role("tab", name="How it is made").click()
    visitor.until(
        "() => document.querySelector('[data-lesson]')?.dataset.lesson.includes('shapes')"
    )
    lesson = visitor.page.locator("#lesson")
    for step in lesson.locator(".gl-nav button:visible").all():
        step.click()
        lesson.locator(".gl-next").click()
        visitor.settled()
        assert lesson.locator(".gl-error").is_hidden()

    visitor.page.get_by_role("tab", name="Look").click()
    why = visitor.complained(lambda: visitor.network("VGG19"))
    visitor.more(False)
    visitor.find(".gv-compare-ways").click(trial=True)  # the reason does not lie over it
    visitor.settled()
    assert visitor.error == why, "the list goes back to the model; the reason stays"
    assert "dog" in visitor.page.locator("#class input").input_value()

    other = browser.new_context(locale="en-US").new_page()
    lab = Lab(other, open_server).open()
    other.locator("#model input").click()
    offered = other.get_by_role("option").all_inner_texts()
    assert any("VGG19" in title for title in offered)
    assert not any("mine" in title for title in offered)
    assert lab.errors == []
    other.context.close()


def test_what_the_numbers_mean_is_said_with_one_click(visitor: Lab, tmp_path: Path) -> None:
    """Plain numbers, taken for scores of classes until somebody says that they are measured."""
    layers = [keras.Input((24, 24, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(2)]
    file = save(keras.Sequential(layers), tmp_path / "plain.keras")
    assert hand_in(visitor, file, "width\nheight") == "It is first in the list now."
    visitor.until("() => document.querySelector('.gv-classes').innerText.includes('width')")
    guess = "numbers mean is a guess: scores of classes, of which one is right."
    assert guess in visitor.text(".gv-guess")
    assert "%" in visitor.text(".gv-classes")
    visitor.more(False)
    for height, arranged in ((720, "wide"), (620, "std")):
        visitor.page.set_viewport_size({"width": 1280, "height": height})
        expect(visitor.find(".gv")).to_have_attribute("data-arr", arranged)
        fits = "document.documentElement.scrollHeight <= innerHeight"
        assert visitor.page.evaluate(fits), "two guesses have room"
    said = visitor.find(".gv-guess").get_by_role("button", name="measured numbers")
    visitor.drawn_after(said.click)
    assert guess not in visitor.text(".gv-guess")
    assert "pixels is a guess" in visitor.text(".gv-guess")
    assert "%" not in visitor.text(".gv-classes")
    assert visitor.page.locator("#model input").input_value() == "plain (yours) · linear"
    assert visitor.errors == []


def test_a_file_that_is_no_model_gets_a_sentence_and_the_page_goes_on(
    visitor: Lab, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b" " * 4_000_000)
    assert "unpacks to far more" in hand_in(visitor, tmp_path / "bomb.keras")
    (tmp_path / "text.keras").write_text("hello")
    assert "not a .keras file" in hand_in(visitor, tmp_path / "text.keras")
    visitor.drawn_after(lambda: visitor.example(3))
    assert visitor.error == ""
    assert "lion" in visitor.say
    assert visitor.errors == []


# ---- a model that crops and mirrors, so that its cells lie elsewhere in the picture

SIDES = 123, 185
SPOT = slice(40, 50), slice(120, 134)  # rows and columns of the only bright pixels
MIDDLE = np.array([45, 127]) / SIDES
# The model's input has 64x96 pixels. It drops the upper and the left 16 and mirrors the rest; 4x4
# pixels are one of 12x20 cells. The spot's row 45 / 123 * 64 = 23.4 is 7.4 below the cut: its
# second row. Column 127 / 185 * 96 = 65.9 is 30.1 from the right, where the mirror begins: eighth.
CELL = "row 2, column 8"


@pytest.fixture(scope="module")
def turning_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = keras.Input((64, 96, 3))
    x = L.Cropping2D(((16, 0), (16, 0)))(L.Rescaling(1 / 255)(image))
    x = keras.ops.flip(x, axis=2)
    x = L.Conv2D(2, 4, strides=4, kernel_initializer="ones", activation="relu", name="cells")(x)
    weights = keras.initializers.Constant([[1.0, -1.0], [0.5, -0.5]])
    answer = L.Dense(2, kernel_initializer=weights, activation="softmax")
    model = keras.Model(image, answer(L.GlobalAveragePooling2D()(x)))
    return save(model, tmp_path_factory.mktemp("turning") / "turning.keras")


def yellowest(canvas: Locator) -> np.ndarray:
    return yellowest_of(pixels(canvas))


def yellowest_of(picture: np.ndarray) -> np.ndarray:
    """The middle of what a map makes yellow, the end of viridis, as shares of the sides.

    A white spot below it counts for nothing.
    """
    return middle_of(picture[..., 0].astype(int) - picture[..., 2])


def middle_of(strength: np.ndarray) -> np.ndarray:
    """The middle of what is strongest of (H, W), as shares of the sides."""
    return (np.argwhere(strength >= 0.9 * strength.max()).mean(0) + 0.5) / strength.shape


def sides(mark: Locator) -> np.ndarray:
    """left, top, right, bottom of a node in what it lies in, as shares."""
    return np.array(
        mark.evaluate(
            """node => {
              const a = node.getBoundingClientRect(), b = node.offsetParent.getBoundingClientRect();
              return [(a.left - b.left) / b.width, (a.top - b.top) / b.height,
                (a.right - b.left) / b.width, (a.bottom - b.top) / b.height];
            }"""
        )
    )


def is_over_the_spot(mark: Locator) -> bool:
    left, top, right, bottom = sides(mark)
    (down, along), small = MIDDLE, right - left < 0.3 and bottom - top < 0.3
    return bool(left < along < right and top < down < bottom and small)


def test_all_that_is_drawn_of_a_model_that_crops_and_mirrors_lies_over_the_spot(
    visitor: Lab, turning_model: Path, tmp_path: Path
) -> None:
    picture = np.zeros((*SIDES, 3), np.uint8)
    picture[SPOT] = 255
    Image.fromarray(picture).save(tmp_path / "spot.png")
    visitor.drawn_after(lambda: visitor.upload(tmp_path / "spot.png"))
    hand_in(visitor, turning_model, "bright\ndark")
    visitor.until("() => document.querySelector('[data-drawn]').dataset.layer === 'cells'")
    visitor.put("colours", "viridis")
    visitor.put("opacity", "100")
    visitor.tick("box")

    half_a_cell = 0.03  # a cell is 1/16 of the height and 1/24 of the width
    assert yellowest(visitor.find(".gv-heat")) == pytest.approx(MIDDLE, abs=half_a_cell)
    assert is_over_the_spot(visitor.find(".gv-box"))
    thumbnail = visitor.find(".gv-strip [data-layer=cells] canvas")
    assert yellowest(thumbnail) == pytest.approx(MIDDLE, abs=half_a_cell)
    visitor.tick("box", False)
    with visitor.page.expect_download() as waited:
        visitor.save("overlay")
    with Image.open(waited.value.path()) as saved:
        over = np.asarray(saved)
    assert over.shape[:2] == SIDES
    assert yellowest_of(over) == pytest.approx(MIDDLE, abs=half_a_cell)

    visitor.more(False)
    frame, pointer = visitor.find(".gv-over .gv-frame"), visitor.find(".gv-pointer")
    size = frame.bounding_box()
    assert size
    at = {"x": MIDDLE[1] * size["width"], "y": MIDDLE[0] * size["height"]}
    frame.hover(position=at)
    assert pointer.inner_text().lower().startswith(CELL)
    assert visitor.find(".gv-cell").count() == 2
    for cell in visitor.find(".gv-cell").all():
        assert is_over_the_spot(cell)
    before = sides(visitor.find(".gv-over .gv-cell"))
    frame.press("ArrowRight")
    assert pointer.inner_text().startswith("Row 2, column 7:")
    after = sides(visitor.find(".gv-over .gv-cell"))
    assert after - before == pytest.approx([1 / 24, 0, 1 / 24, 0], abs=0.002)
    frame.hover(position={"x": 0.1 * size["width"], "y": 0.5 * size["height"]})  # cut away
    assert pointer.inner_text() == "No cell of this layer lies here."
    assert visitor.find(".gv-over .gv-cell").is_hidden()

    visitor.page.get_by_role("tab", name="How it is made").click()
    visitor.until("() => document.querySelector('[data-lesson]')?.dataset.lesson.includes('cells')")
    lesson = visitor.page.locator("#lesson")
    for title in ("Maps", "Overlay", "Score"):
        lesson.locator(".gl-nav button").filter(has_text=title).click()
        lesson.get_by_role("button", name="try it").click()
        drawn = lesson.locator(".gl-area img + canvas")
        assert drawn.count() == (2 if title == "Overlay" else 1)
        for canvas in drawn.all():
            laid = pixels(canvas)[..., 3].astype(int)
            strong = 225 - laid if title == "Maps" else laid  # paper on what is weak, or a glow
            assert middle_of(strong) == pytest.approx(MIDDLE, abs=0.05), title
    area = lesson.get_by_role("application")
    size = area.bounding_box()
    assert size
    area.click(position={"x": MIDDLE[1] * size["width"], "y": MIDDLE[0] * size["height"]})
    lesson.get_by_role("heading", name=re.compile(f"cell at {CELL}$")).wait_for()
    assert is_over_the_spot(area.locator(".gl-mark"))
    assert visitor.errors == []
