"""The live camera: maps a second, what a frame costs; ten at once, and a question beside them."""

import asyncio
import io
import shutil
import statistics
import time
from collections import Counter

import httpx
from PIL import Image

from gradcam_core import models
from tests.bench.crowd import drawn, explain, ready, uploaded
from tests.bench.load import ROOT, cpu, served

SECONDS = 10
CAMERAS, QUESTIONS = 10, 9
FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FRAMES = "Number(document.querySelector('.gv-shoot canvas').dataset.frames || 0)"


def one_camera(url: str, process: int) -> tuple[float, float]:
    """In Chromium, with the camera that it brings: maps a second; seconds of CPU that each costs
    the server."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *FAKE]
        )
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.goto(url)
        page.wait_for_selector("[data-drawn]", timeout=60_000)
        page.click(".gv-source .gv-camera")
        page.wait_for_function(f"{FRAMES} > 3")
        before, start, frames = cpu(process), time.monotonic(), page.evaluate(FRAMES)
        page.wait_for_timeout(1000 * SECONDS)
        frames = page.evaluate(FRAMES) - frames
        cost, taken = cpu(process) - before, time.monotonic() - start
        browser.close()
    return frames / taken, cost / frames


async def asked(client: httpx.AsyncClient, first: int) -> float:
    """Seconds that a question takes, half of them, about pictures that nobody asked about."""
    waits = []
    for number in range(first, first + QUESTIONS):
        file = await uploaded(client, drawn(number))
        start = time.monotonic()
        how, said = await explain(client, file, "")
        assert how == "complete", said
        waits.append(time.monotonic() - start)
    return statistics.median(waits)


async def ten_cameras(url: str) -> tuple[Counter[int], float, float, float]:
    """Maps of each camera; seconds; those of a question alone, and beside the cameras."""
    image = Image.open(io.BytesIO(drawn(7))).convert("RGB")
    file = io.BytesIO()
    image.resize((384, 288)).save(file, "JPEG", quality=80)
    maps: Counter[int] = Counter()
    await ready(url)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

        async def camera(number: int) -> None:
            about = {"who": str(number), "model": models.DEFAULT}
            while True:
                said = await client.post("live", params=about, content=file.getvalue())
                said.raise_for_status()
                maps[number] += 1

        alone = await asked(client, 100)
        cameras = [asyncio.create_task(camera(number)) for number in range(CAMERAS)]
        start = time.monotonic()
        beside = await asked(client, 200)
        await asyncio.sleep(max(start + SECONDS - time.monotonic(), 0))
        seconds = time.monotonic() - start
        for task in cameras:
            task.cancel()
        await asyncio.gather(*cameras, return_exceptions=True)
    return maps, seconds, alone, beside


def camera_costs() -> None:
    if not shutil.which("chromium"):
        print("\nno Chromium on this machine: the live camera was NOT measured")
        return
    with served(str(ROOT / "app.py"), "--live-cameras", "11") as (url, process):
        rate, cost = one_camera(url, process)
        maps, seconds, alone, beside = asyncio.run(ten_cameras(url))
    print(f"\n| one live camera | {rate:.0f} maps/s, {1e3 * cost:.0f} ms CPU a frame |")
    least, most = min(maps.values()) / seconds, max(maps.values()) / seconds
    print(f"| each of {CAMERAS} at once | {least:.1f} to {most:.1f} maps/s |")
    print(f"| a question alone, and beside them | {1e3 * alone:.0f}, {1e3 * beside:.0f} ms |")
    assert len(maps) == CAMERAS, "one got nothing"


if __name__ == "__main__":
    camera_costs()
