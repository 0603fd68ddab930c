"""The page in a real browser. Without one: loudly skipped, and under CI failed."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from lab import PATIENCE, Lab, Server, serve
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

expect.set_options(timeout=1000 * PATIENCE / 2)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MISSING = "no Chromium on this machine: the page was NOT tested (apt-get install chromium)"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not CHROMIUM:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def browser(server: Server) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def with_camera(browser: Browser) -> Iterator[BrowserContext]:
    """Another Chromium, with the camera that it brings: it films what moves, and is allowed."""
    chromium = browser.browser_type.launch(
        executable_path=CHROMIUM, args=[*ARGUMENTS, *FAKE_CAMERA]
    )
    yield chromium.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
    chromium.close()


@pytest.fixture(scope="session")
def desktop(browser: Browser) -> BrowserContext:
    return browser.new_context(
        locale="en-US",
        viewport={"width": 1366, "height": 900},
        color_scheme="light",
        reduced_motion="reduce",
    )


@pytest.fixture(scope="session")
def shared(desktop: BrowserContext, server: Server) -> Iterator[Lab]:
    page = desktop.new_page()
    yield Lab(page, server).open()
    page.close()


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    """The page as a visitor finds it. Whatever a test does: no request leaves, no script fails."""
    shared.requests.clear()
    shared.errors.clear()
    if not shared.tidy():
        shared.open()
        assert shared.tidy()
    yield shared
    shared.page.unroute_all(behavior="ignoreErrors")
    assert shared.outside() == []
    assert shared.errors == []


@pytest.fixture
def tall(browser: Browser, server: Server) -> Iterator[Callable[..., Lab]]:
    """Opens the page on another screen: `tall(width=390, height=844, dark=True)`."""
    contexts = []

    def open_page(width: int, height: int, dark: bool = False) -> Lab:
        contexts.append(
            browser.new_context(
                locale="en-US",
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
            )
        )
        return Lab(contexts[-1].new_page(), server).open("?__theme=dark" if dark else "")

    yield open_page
    for context in contexts:
        context.close()
