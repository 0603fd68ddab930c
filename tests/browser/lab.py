"""The app as its own process, and a page of it in the system's Chromium.

The process has no way out (`WATCHED` refuses every address but this machine's, and writes it
down), so what passes here passes offline.
"""

import base64
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import ConsoleMessage, Locator, Page, Request

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds; a machine under load loads TensorFlow in 40

WATCHED = """
import os, runpy, sys, traceback

record = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
HERE = {"", "0.0.0.0", "localhost", "::1", "::"}


def local(host):
    host = host.decode() if isinstance(host, bytes) else str(host or "")
    return host in HERE or host.startswith("127.")


def watch(event, args):
    if event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if not isinstance(address, tuple):
            return
        host = address[0]
    else:
        return
    if not local(host):
        files = [frame.filename for frame in traceback.extract_stack()]
        who = [file for file in files if "gradcam_core" in file]
        os.write(record, f"{event} {host} {who[-1] if who else '-'}\\n".encode())
        raise OSError(101, "Network is unreachable")


sys.addaudithook(watch)
sys.path.insert(0, os.getcwd())
FIRST
sys.argv = ["app.py", *sys.argv[2:]]
runpy.run_path("app.py", run_name="__main__")
"""


@dataclass
class Server:
    url: str
    record: Path  # a line for each address outside this machine that was asked for
    log: Path
    uploads: Path

    def went_out(self) -> list[tuple[str, str, str]]:
        """(what was asked, host, the file of the core that asked or "-")."""
        lines = [line.split(" ", 2) for line in self.record.read_text().splitlines()]
        return [(event, host, Path(who).name) for event, host, who in lines]

    def uninvited(self) -> list[tuple[str, str, str]]:
        """Of these all but the weights: asked for soon after the start, and when one is chosen."""
        return [line for line in self.went_out() if line[2] != "weights.py"]


@contextmanager
def serve(folder: Path, *options: str, first: str = "") -> Iterator[Server]:
    """`python app.py`, with options, with its own empty folders for uploads and for weights.

    first: Python that runs before it.
    """
    (folder / "weights").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    environment = {k: v for k, v in os.environ.items() if k.lower() not in proxies} | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "GRADCAM_WEIGHTS_DIR": str(folder / "weights"),
    }
    record, log = folder / "record", folder / "log"
    record.touch()
    before = set((folder / "uploads").glob("gradcam-lab-*"))
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHED.replace("FIRST", first), str(record), *options],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/"
        end = time.monotonic() + PATIENCE
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"app.py does not serve the page:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        (uploads,) = set((folder / "uploads").glob("gradcam-lab-*")) - before
        yield Server(url, record, log, uploads)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def plain(text: str) -> str:
    """With ordinary spaces and minus signs, so that a test can compare words and read numbers."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def pixels(canvas: Locator) -> np.ndarray:
    """Of a canvas, (H, W, 4) RGBA."""
    width, height, text = canvas.evaluate(
        """canvas => {
          const {width, height} = canvas, step = 8192;
          const bytes = canvas.getContext('2d').getImageData(0, 0, width, height).data;
          let text = '';
          for (let i = 0; i < bytes.length; i += step)
            text += String.fromCharCode(...bytes.subarray(i, i + step));
          return [width, height, btoa(text)];
        }"""
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


TIDY = """([answer, picture, layer]) => {
  const page = document.querySelector('#viewer'), drawn = document.querySelector('[data-drawn]');
  if (!drawn) return false;
  const find = name => page.querySelector(`[name=${name}]`);
  if (drawn.dataset.answer !== answer) return false;
  if (page.querySelector('.gv-over img').src !== picture) return false;
  if (document.querySelector('#detail input').checked) return false;
  if (page.querySelector('.gv-play[aria-pressed=true]')) page.querySelector('.gv-play').click();
  const put = (node, value, event) => {
    if (node.value === value) return;
    node.value = value;
    node.dispatchEvent(new Event(event, {bubbles: true}));
  };
  put(find('layer'), layer, 'change');
  put(find('method'), 'Grad-CAM', 'change');
  put(find('colours'), 'viridis', 'change');
  put(find('opacity'), '50', 'input');
  put(find('swipe'), '50', 'input');
  put(find('threshold'), '15', 'input');
  for (const name of ['gv-tool', 'gv-sign']) if (!find(name).checked) find(name).click();
  if (page.querySelector('.gv-one[aria-pressed=true]')) page.querySelector('.gv-one').click();
  if (find('box').checked) find('box').click();
  for (const part of page.querySelectorAll('details')) part.open = false;
  page.querySelector('.gv-over .gv-frame').dispatchEvent(new Event('pointerleave'));
  if (!page.querySelector('.gv-drawer').hidden) page.querySelector('.gv-close').click();
  document.activeElement.blur();
  scrollTo(0, 0);
  return drawn.dataset.layer === layer;
}"""


class Lab:
    """A page that explains its first example, and what one asks of it."""

    def __init__(self, page: Page, server: Server):
        self.page, self.server = page, server
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.first: list[str | None] = []  # what the page began with: answer, picture, layer
        page.set_default_timeout(1000 * PATIENCE / 2)
        self.waiting: set[Request] = set()  # questions, and Gradio's stream of answers
        page.on("request", self._asks)
        page.on("requestfinished", lambda request: self.waiting.discard(request))
        page.on("requestfailed", lambda request: self.waiting.discard(request))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._says)

    def _says(self, message: ConsoleMessage) -> None:
        if "js_on_load" in message.text:  # Gradio catches what a part's script throws
            self.errors.append(message.text)

    def _asks(self, request: Request) -> None:
        self.requests.append(request.url)
        if "queue/" in request.url:
            self.waiting.add(request)

    def open(self, query: str = "") -> "Lab":
        self.waiting.clear()
        self.page.goto(self.server.url + query)
        self.page.wait_for_selector("[data-drawn]", timeout=1000 * PATIENCE)
        self.ended()
        self.first = [
            self.data("answer"),
            self.find(".gv-over img").get_attribute("src"),
            self.layer,
        ]
        return self

    def ended(self) -> None:
        """Wait for the end of every answer on its way: the lists may come after the drawing."""
        end = time.monotonic() + PATIENCE
        while self.waiting:
            assert time.monotonic() < end, "the answer does not end"
            self.page.wait_for_timeout(20)

    def tidy(self) -> bool:
        """Back to how the page began, where that needs no answer of the server; else False.

        But in viridis at half opacity, whose pixels do not hang on the picture, and by Grad-CAM.
        """
        return self.error == "" and self.first != [] and bool(self.page.evaluate(TIDY, self.first))

    def outside(self) -> list[str]:
        own = (self.server.url, "data:", f"blob:{self.server.url}", "about:")
        return [url for url in self.requests if not url.startswith(own)]

    # ---- what is on the screen

    def find(self, selector: str) -> Locator:
        return self.page.locator(f"#viewer {selector}")

    @property
    def say(self) -> str:
        return self.text(".gv-say")

    @property
    def error(self) -> str:
        node = self.find(".gv-error")
        return plain(node.inner_text()) if node.is_visible() else ""

    def text(self, selector: str) -> str:
        return plain(self.find(selector).inner_text())

    def data(self, name: str) -> str:
        return str(self.page.locator("[data-drawn]").get_attribute(f"data-{name}"))

    @property
    def layer(self) -> str:
        """The layer on the screen; filmstrip, select and drawing agree on it."""
        drawn = self.data("layer")
        strip = self.find(".gv-strip [aria-checked=true]").evaluate_all(
            "nodes => nodes.map(n => n.dataset.layer)"
        )
        assert self.find("[name=layer]").input_value() == drawn
        assert strip in ([drawn], [])
        return drawn

    @property
    def layers(self) -> list[str]:
        names = self.find(".gv-strip button").evaluate_all(
            "nodes => nodes.map(n => n.dataset.layer)"
        )
        return [str(name) for name in names]

    def canvas(self, selector: str = ".gv-heat") -> np.ndarray:
        return pixels(self.find(selector).first)

    # ---- what a visitor does

    def hold_up(self, after: int = 0) -> None:
        """The next question waits on its way to the server, till `settled`, and others overtake.

        after: so many pass before it.
        """
        self.first = []  # the page must be opened anew
        self.page.evaluate(
            """after => {
              const send = window.fetch;
              window.held = false;
              window.fetch = async (...all) => {
                if (String(all[0]?.url ?? all[0]).includes('queue/join') && after-- === 0) {
                  window.fetch = send;
                  window.held = true;
                  await new Promise(go => { window.letGo = go; });
                }
                return send(...all);
              };
            }""",
            after,
        )

    def is_held(self) -> None:
        """Wait until the question that is held up has set out."""
        self.until("window.held")

    def _state(self) -> tuple[str, int, int]:
        return self.data("drawn"), len(self.requests), self.find(".pending").count()

    def settled(self) -> None:
        """Wait until no question is on its way, none has an answer to come, and all is drawn."""
        if self.page.evaluate("'held' in window"):
            self.is_held()
            self.page.evaluate("letGo(); delete window.held")
        before, end = None, time.monotonic() + PATIENCE
        while before != (now := self._state()) or self.waiting or now[-1]:
            assert time.monotonic() < end, "the page does not come to rest"
            before = now
            self.page.wait_for_timeout(500)

    def until(self, expression: str, argument: Any = None) -> None:
        self.page.wait_for_function(expression, arg=argument)

    def drawn_after(self, act: Callable[[], Any]) -> None:
        """Do something, and wait until the viewer has drawn once more."""
        before = int(self.data("drawn"))
        act()
        self.until("n => Number(document.querySelector('[data-drawn]').dataset.drawn) > n", before)

    def complained(self, act: Callable[[], Any]) -> str:
        """Do something that is refused; the sentence."""
        act()
        self.find(".gv-error").wait_for(state="visible")
        return self.error

    def example(self, number: int) -> None:
        self.more(False)  # it may lie over them
        self.page.locator("#examples button.thumbnail-item").nth(number - 1).click()

    def more(self, on: bool = True) -> None:
        """Open the drawer, or close it, where it is not so already."""
        if self.find(".gv-drawer").is_visible() != on:
            self.find(".gv-more" if on else ".gv-close").click()

    def put(self, name: str, value: str) -> None:
        """Choose in one of the drawer's lists or ranges."""
        self.more()
        control = self.find(f"[name={name}]")
        if control.evaluate("n => n.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)

    def tick(self, name: str, on: bool = True) -> None:
        self.more()
        self.find(f"[name={name}]").set_checked(on)

    def save(self, what: str) -> None:
        self.more()
        self.find(f".gv-save-{what}").click()

    def upload(self, file: Path) -> None:
        self.page.locator("#picture input[type=file]").set_input_files(file)

    def choose(self, dropdown: str, text: str) -> None:
        """The first choice of a Gradio dropdown that what is typed leaves over."""
        self.search(dropdown, text)
        self.page.get_by_role("option").filter(has_text=text).first.click()

    def search(self, dropdown: str, text: str) -> None:
        """Click into a list that is filled and type, once what stood there is selected."""
        self.ended()
        self.more(dropdown != "model")
        self.page.locator(f"#{dropdown} input").click()
        self.until(
            """id => {
              const box = document.querySelector(`#${id} input`);
              return box.selectionStart === 0 && box.selectionEnd === box.value.length;
            }""",
            dropdown,
        )
        self.page.keyboard.type(text)

    def network(self, title: str) -> None:
        """A network of the list; one that is not here is behind the one line for all of these."""
        self.search("model", title)
        row = self.page.get_by_role("option").filter(has_text=title).first
        if " more · not here: " in row.inner_text():
            row.click()
            self.find(".gv-hint").wait_for(state="visible")
            self.search("model", title)
        row.click()

    def row(self, label: str) -> None:
        self.more(False)
        self.find(".gv-classes button").filter(has_text=label).first.click()

    def radio(self, name: str, value: str) -> None:
        self.more(name != "gv-tool")
        self.find(f"[name={name}][value={value}]").check()
