"""What a visit costs before anything is asked: the page with and without what stands before Gradio.

Both servers run in turn on one machine and have one client: curl, six files at a time as a browser,
of the addresses that Chromium asked for. 30 visitors come within 2 seconds, at times drawn
beforehand; each waits from when it meant to come. Server CPU is read from the system's count.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
VISITORS, WITHIN = 30, 2.0  # seconds
SERVER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from demo import front, ui
async def straight(self, scope, receive, send):
    await self.app(scope, receive, send)
if sys.argv.pop(1) == "without":
    front.Front.__call__ = straight
ui.warm = lambda health: None
ui.launch(quiet=True)
"""


@contextmanager
def served(*command: str) -> Iterator[tuple[str, int]]:
    """Address and process of a page that Python starts by these words."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | own, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, "the page is not served"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/", process.pid
    finally:
        process.terminate()
        process.wait()


def visit(url: str) -> tuple[list[str], int, int]:
    """What Chromium asks for before the answer; bytes over the wire, at first and once more."""
    from playwright.sync_api import sync_playwright

    asked: dict[str, str] = {}
    sizes: list[int] = []

    def began(event: dict[str, object]) -> None:
        request = event["request"]
        assert isinstance(request, dict)
        if request["method"] == "GET" and "/queue/" not in request["url"]:
            asked[str(event["requestId"])] = request["url"]

    def ended(event: dict[str, object]) -> None:
        if event["requestId"] in asked:
            sizes.append(int(str(event["encodedDataLength"])))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_context().new_page()
        tools = page.context.new_cdp_session(page)
        tools.send("Network.enable")
        tools.on("Network.requestWillBeSent", began)
        tools.on("Network.loadingFinished", ended)
        totals = []
        for _ in range(2):
            sizes.clear()
            page.goto(url)
            page.wait_for_selector("#examples img, #examples button")
            page.wait_for_timeout(5000)
            totals.append(sum(sizes))
        browser.close()
    files = [u for u in dict.fromkeys(asked.values()) if u.startswith(url) and "heartbeat" not in u]
    return files, totals[0], totals[1]


def cpu(process: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def crowd(files: list[str], process: int) -> tuple[list[float], float]:
    """Seconds that each visitor waits for all files, and what each costs the server."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(f'url = "{file}"\noutput = "/dev/null"\n' for file in files)
        listed.flush()
        command = [
            "curl", "--silent", "--no-progress-meter", "--fail",
            "--parallel", "--parallel-max", "6",
            "--header", "Accept-Encoding: gzip, deflate, br, zstd", "--config", listed.name,
        ]  # fmt: skip
        subprocess.run(
            command, check=True, stderr=subprocess.DEVNULL
        )  # the first of all, who finds nothing compressed
        times = np.sort(np.random.default_rng(0).uniform(0, WITHIN, VISITORS))
        waits: list[float] = []

        def come(meant: float) -> None:
            time.sleep(max(meant - time.monotonic(), 0))
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            waits.append(time.monotonic() - meant)

        before, start = cpu(process), time.monotonic()
        threads = [threading.Thread(target=come, args=[start + at]) for at in times]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(waits) == VISITORS, "a visitor got an error"
        return sorted(waits), (cpu(process) - before) / VISITORS


def page_costs() -> None:
    for tool in ("chromium", "curl"):
        if not shutil.which(tool):
            print(f"\nno {tool} on this machine: the first load of the page was NOT measured")
            return
    print("\n| a visit | server CPU | of 30 in 2 s: half waited | 95 % | first visit | second |")
    for how in ("without", "with"):
        with served("-c", SERVER, str(ROOT), how) as (url, process):
            files, cold, warm = visit(url)
            waits, cost = crowd(files, process)
        tail = waits[round(0.95 * (VISITORS - 1))]
        print(
            f"| {how} the front, {len(files)} files | {1e3 * cost:.0f} ms | "
            f"{statistics.median(waits):.2f} s | {tail:.2f} s | {cold / 1e3:.0f} kB | "
            f"{warm / 1e3:.0f} kB |"
        )


if __name__ == "__main__":
    page_costs()
