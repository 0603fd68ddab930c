"""Networks still to be fetched, from a server that is away, says no, or sends one half at first."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import pytest
from lab import Lab, plain, serve
from nets import save_as_keras_2
from playwright.sync_api import Browser, Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ELSEWHERE = """
from dataclasses import replace
from gradcam_core import models
spec = models.MODELS["mobilenet"]
models.MODELS["mobilenet"] = replace(spec, weights=replace(spec.weights, url="{url}"))
"""


class Host(ThreadingHTTPServer):
    """Has one file; sends the second half of it when `rest` is set, and before `open` only 503."""

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.rest, self.open = body, threading.Event(), False


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_HEAD(self) -> None:
        self.send_response(200 if self.server.open else 503)
        self.end_headers()

    def do_GET(self) -> None:
        if not self.server.open:
            self.do_HEAD()
            return
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.rest.wait(60)
        self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """With the weights of a MobileNet that nobody trained, in the format that Keras publishes."""
    keras.utils.set_random_seed(1)
    file = save_as_keras_2(keras.applications.MobileNet(weights=None), tmp_path / "net.h5")
    with Host(file.read_bytes()) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield host
        host.rest.set()
        host.shutdown()


@pytest.fixture
def visitor(browser: Browser, host: Host, tmp_path: Path) -> Iterator[Lab]:
    first = ELSEWHERE.format(url=f"http://127.0.0.1:{host.server_port}/net.h5")
    with serve(tmp_path, first=first) as running:
        context = browser.new_context(locale="en-US", viewport={"width": 1366, "height": 900})
        yield Lab(context.new_page(), running).open()
        context.close()


def listed(lab: Lab, title: str) -> Locator:
    """The row of a network, with the list open; unfolded, where it is not here."""
    row = lab.page.get_by_role("option", name=re.compile(f"^{title}"))
    fold = lab.page.get_by_role("option", name=" more · not here: ")
    for _ in range(2):
        lab.page.keyboard.press("Escape")
        lab.page.locator("#model input").blur()
        lab.page.locator("#model input").click()
        lab.page.get_by_role("option").first.wait_for()
        if row.count():
            break
        fold.click()
        expect(lab.find(".gv-hint")).to_contain_text("with the reasons")
    return row.first


def grey(row: Locator) -> bool:
    """Whether it is written otherwise than the network that is there."""
    style = "node => getComputedStyle(node).color + getComputedStyle(node).fontStyle"
    default = row.page.get_by_role("option", name="EfficientNet-Lite0")
    return bool(row.evaluate(style) != default.evaluate(style))


def test_what_cannot_be_had_is_grey_with_the_reason_and_what_can_is_fetched_in_sight(
    visitor: Lab, host: Host
) -> None:
    # The server of all the others is not reached from here: known without anybody's choice.
    for _ in range(20):
        visitor.open()
        row = listed(visitor, "VGG19")
        if "not here" in row.inner_text():
            break
        visitor.page.wait_for_timeout(500)
    assert "VGG19 · not here: there is no connection" in plain(row.inner_text())
    assert grey(row)
    row = listed(visitor, "MobileNet ·")
    assert "17 MB, fetched once" in plain(row.inner_text())
    assert not grey(row)

    # One that is refused is grey from then on, and what was there before stays.
    sentence = visitor.complained(row.click)
    assert "could not be fetched because the server said 503" in sentence
    visitor.settled()
    assert visitor.page.locator("#model input").input_value() == "EfficientNet-Lite0"
    row = listed(visitor, "MobileNet ·")
    assert "not here: the server said 503" in plain(row.inner_text())
    assert grey(row)

    # It may be chosen again; the page says how far it is, and goes on when it is there.
    host.open = True
    row.click()
    shown = visitor.page.locator("#viewer").get_by_text("Fetching MobileNet")
    shown.wait_for()
    visitor.until(
        "() => /(4[5-9]|50)\\.?\\d* ?%/.test(document.querySelector('#viewer').innerText)"
    )
    assert visitor.data("answer").startswith("efficientnet_lite0")
    host.rest.set()
    visitor.until(
        "() => document.querySelector('[data-drawn]').dataset.answer.startsWith('mobilenet/')"
    )
    shown.wait_for(state="hidden")
    assert visitor.error == ""
    assert visitor.page.locator("#model input").input_value() == "MobileNet"
    assert not grey(listed(visitor, "MobileNet"))
    assert visitor.errors == []
