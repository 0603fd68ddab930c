"""A visitor's own model, where the host allows it."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, Server, serve
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("open"), "--allow-model-upload") as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, open_server: Server) -> Iterator[Lab]:
    context = browser.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
    yield Lab(context.new_page(), open_server).open()
    context.close()


def hand_in(lab: Lab, file: Path, names: str = "") -> str:
    """Upload a model and open it; what the page then says of it."""
    own, said = lab.page.locator("#own"), lab.page.locator("#own-said .md")
    lab.more()
    if not lab.page.locator("#own-open").is_visible():
        own.get_by_text("Your own model").click()
    for old in own.get_by_role("button", name="Clear").all():
        old.click()
    with lab.page.expect_response(lambda response: "/upload?" in response.url):
        own.locator("input[type=file]").set_input_files(file)
    own.locator("#own-file").get_by_text(file.stem).first.wait_for()
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


def test_a_visitor_brings_a_model(
    visitor: Lab, small_model: Path, browser: Browser, open_server: Server
) -> None:
    assert hand_in(visitor, small_model, "cat\ndog\nlion") == "It is first in the list now."
    visitor.until("() => document.querySelector('[data-drawn]').dataset.layer === 'shapes'")
    assert visitor.layers == ["edges", "shapes"]
    rows = visitor.find(".gv-classes button").all_inner_texts()
    assert sorted(row.split()[0] for row in rows) == ["cat", "dog", "lion"]
    visitor.drawn_after(lambda: visitor.choose("class", "dog"))
    assert "dog" in visitor.say

    visitor.page.get_by_role("tab", name="How it is made").click()
    visitor.until(
        "() => document.querySelector('[data-lesson]')?.dataset.lesson.includes('shapes')"
    )
    lesson = visitor.page.locator("#lesson")
    for step in lesson.locator(".gl-nav button").all():
        step.click()
        visitor.settled()
        assert lesson.locator(".gl-error").is_hidden()

    visitor.page.get_by_role("tab", name="Look").click()
    why = visitor.complained(lambda: visitor.choose("model", "VGG19"))
    visitor.settled()
    assert visitor.error == why, "the list goes back to the model; the reason stays"
    assert "dog" in visitor.page.locator("#class input").input_value()

    guess = "How this network wants its pixels is a guess: pixels divided by 255."
    assert guess in visitor.text(".gv-guess")
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
    visitor.drawn_after(lambda: visitor.choose("model", "mine (yours)"))
    assert guess in visitor.text(".gv-guess")

    other = browser.new_context(locale="en-US").new_page()
    lab = Lab(other, open_server).open()
    other.locator("#model input").click()
    offered = other.get_by_role("option").all_inner_texts()
    assert any("VGG19" in title for title in offered)
    assert not any("mine" in title for title in offered)
    assert lab.errors == []
    other.context.close()


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
