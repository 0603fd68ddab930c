"""What stands before Gradio, seen from a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import PATIENCE, Lab, Server, serve
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from demo.words import FULL

BUSY = """
import asyncio
from pathlib import Path
from demo import fair
real = fair.Gate._wait
async def waits(self, place, tell, gone):
    while Path("{file}").exists():
        tell and tell(2)
        await asyncio.sleep(0.1)
    await real(self, place, tell, gone)
fair.Gate._wait = waits
"""


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """One who was never here."""
    context = browser.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
    yield context
    context.close()


@contextmanager
def wire(page: Page) -> Iterator[dict[str, int]]:
    """What goes over the wire meanwhile: address -> bytes, with headers, as they were packed."""
    tools = page.context.new_cdp_session(page)
    tools.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def begun(event: Any) -> None:
        names[event["requestId"]] = event["request"]["url"]

    def finished(event: Any) -> None:
        if event["encodedDataLength"]:
            sizes[names[event["requestId"]]] = event["encodedDataLength"]

    tools.on("Network.requestWillBeSent", begun)
    tools.on("Network.loadingFinished", finished)
    yield sizes
    tools.detach()


def test_a_second_visit_costs_little(visitor: BrowserContext, server: Server) -> None:
    """In bytes; without the answer, which is as large as it is."""
    lab = Lab(visitor.new_page(), server)
    with wire(lab.page) as first:
        lab.open()
    with wire(lab.page) as second:
        lab.open()
    first, second = (
        {url: size for url, size in sizes.items() if "/queue/data" not in url}
        for sizes in (first, second)
    )
    assert server.url in first
    assert sum(first.values()) < 450_000
    assert sum(second.values()) < 40_000
    assert not [url for url in second if "/assets/" in url]
    assert not [url for url in first if "hls" in url or "Gallery" in url or "Video" in url]
    pictures = [url for url in first if "/file=" in url]
    assert [Path(url).name for url in pictures] == ["cheetah_and_lion.jpg"]
    assert first[pictures[0]] <= 120_000, "the others are thumbnails, inside the page"


def test_the_page_works_under_its_headers(
    visitor: BrowserContext, server: Server, photos: Path
) -> None:
    """Picture, lesson and the description of the endpoint; nothing is complained of."""
    said: list[tuple[str, str]] = []
    asked: list[str] = []
    page = visitor.new_page()
    page.on(
        "request",
        lambda r: asked.append(r.post_data_json["fn_name"]) if "component_s" in r.url else None,
    )
    page.on(
        "console",
        lambda m: said.append((m.text, m.location["url"])) if m.type == "error" else None,
    )
    lab = Lab(page, server).open()
    lab.drawn_after(lambda: lab.upload(photos / "cheetah.jpg"))
    assert "speaks for cheetah" in lab.say
    assert "lesson" not in asked, "what a tab needs comes when it is opened"
    page.get_by_role("tab", name="How it is made").click()
    expect(page.locator("#lesson .gl-fig img").first).to_be_visible()
    assert asked.count("lesson") == 1
    page.get_by_role("tab", name="Look").click()
    lab.more()
    page.get_by_role("button", name="Use via API").click()
    expect(page.get_by_text("/explain").first).to_be_visible()
    policy = page.request.get(server.url).headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; script-src 'self' ")
    # Gradio's panel asks for what this page does not offer, and says so of itself.
    off = ("/gradio_api/mcp/schema", "/monitoring/summary")
    assert [line for line in said if not line[1].endswith(off)] == []
    assert lab.outside() == []


@pytest.mark.slow
def test_a_script_from_elsewhere_does_not_run(visitor: BrowserContext, server: Server) -> None:
    lab = Lab(visitor.new_page(), server).open()
    refused = lab.page.evaluate(
        """() => new Promise((done) => {
          addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));
          const script = document.createElement('script');
          script.src = 'http://localhost:9/x.js';
          document.body.append(script);
        })"""
    )
    assert refused == "script-src-elem"


# ---- between the page and its server -----------------------------------------------------------


def below(server: Server, strip: str) -> Any:
    """A proxy that hands on what is under a sub-path, and nothing else."""

    def hand_on(route: Route) -> None:
        path = route.request.url.removeprefix(server.url)
        if path == strip.rstrip("/"):
            path = strip
        if path.startswith(strip):
            route.fulfill(response=route.fetch(url=server.url + path.removeprefix(strip)))
        else:
            route.fulfill(status=404, body="not here")

    return hand_on


@pytest.mark.parametrize("opened", ["lab/", "lab"])
def test_a_sub_path_of_which_the_server_was_not_told(
    visitor: BrowserContext, server: Server, opened: str
) -> None:
    page = visitor.new_page()
    page.route("**/*", below(server, "lab/"))
    page.goto(server.url + opened)
    line = page.get_by_role("alert").filter(has_text="GRADIO_ROOT_PATH")
    here = f"{server.url}lab"
    expect(line).to_have_text(
        f"This page is at {here}, but its server believes that it is at {server.url[:-1]}; "
        f"whoever runs it must set GRADIO_ROOT_PATH to {here}.",
        timeout=1000 * PATIENCE,
    )
    page.unroute_all(behavior="ignoreErrors")


def test_the_page_says_what_becomes_of_a_picture(lab: Lab) -> None:
    lab.more()
    expect(lab.page.get_by_text("is deleted within the hour.")).to_be_visible()


def test_a_page_in_its_place_says_nothing(lab: Lab) -> None:
    assert lab.page.locator("#front").count() == 0


@pytest.mark.slow
def test_a_proxy_that_lets_no_large_file_through(
    visitor: BrowserContext, server: Server, photos: Path
) -> None:
    lab = Lab(visitor.new_page(), server).open()
    own = "<html><head><title>413 Request Entity Too Large</title></head></html>"
    lab.page.route("**/upload?*", lambda route: route.fulfill(status=413, body=own))
    lab.upload(photos / "cheetah.jpg")
    told = lab.page.get_by_test_id("toast-body").first
    expect(told).to_contain_text("please choose a smaller one.")
    expect(told).not_to_contain_text("Entity")


@pytest.mark.slow
def test_a_full_queue_is_told_in_our_words(visitor: BrowserContext, server: Server) -> None:
    """And the page is not lost by it. Front makes a 422 of Gradio's 503."""
    lab = Lab(visitor.new_page(), server).open()
    full = {"status": 422, "json": {"detail": FULL}}
    lab.page.route("**/queue/join?*", lambda route: route.fulfill(**full))
    lab.example(2)
    expect(lab.page.get_by_test_id("toast-body").first).to_contain_text(FULL)
    lab.page.unroute_all(behavior="ignoreErrors")
    lab.drawn_after(lambda: lab.example(3))


@pytest.mark.slow
def test_who_waits_is_told_the_place(visitor: BrowserContext, tmp_path: Path) -> None:
    """While others are at work: here for as long as a file is there."""
    with serve(tmp_path, first=BUSY.format(file=tmp_path / "busy")) as server:
        lab = Lab(visitor.new_page(), server).open()
        (tmp_path / "busy").touch()
        lab.example(2)
        told = lab.page.locator("#viewer").get_by_text("Before yours: 2 questions.")
        told.wait_for()
        lab.drawn_after((tmp_path / "busy").unlink)
        told.wait_for(state="hidden")


@pytest.mark.slow
def test_after_a_restart_the_picture_must_be_given_again(
    visitor: BrowserContext, server: Server, photos: Path
) -> None:
    """Gradio loads the page anew when another server answers; this tells that from a reload."""
    lab = Lab(visitor.new_page(), server).open()
    lab.drawn_after(lambda: lab.upload(photos / "cheetah.jpg"))
    given = lab.page.evaluate("sessionStorage.getItem('given-to')")
    assert given == lab.page.evaluate("String(gradio_config.app_id)")
    lab.open()
    assert lab.page.locator("#front").count() == 0

    lab.drawn_after(lambda: lab.upload(photos / "cheetah.jpg"))
    lab.page.evaluate("sessionStorage.setItem('given-to', '1')")
    lab.open()
    expect(lab.page.locator("#front")).to_contain_text("please give it again.")
    lab.open()
    assert lab.page.locator("#front").count() == 0, "it was said"
