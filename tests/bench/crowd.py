"""`make load`: many visitors at once, some of them hostile, before the real page.

An open loop: each comes at a time drawn beforehand and waits from then on, however late the server
is. A visitor opens the page, gives a picture that nobody else has, asks, and asks again for another
layer; each answer is compared with the one computed alone. All of a class come from one address. A
tenth are hostile: from another address they ask, one question after the other and without end, for
the lesson at twice the side. Linux only.
"""

import argparse
import asyncio
import io
import json
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import models, pipeline
from tests.bench.load import ROOT, cpu, served

LAYER = "block5c_add"  # of the second question
CLASS, STRANGER = {"x-forwarded-for": "10.0.0.1"}, {"x-forwarded-for": "10.9.9.9"}
FEW = [3.0, 6.0, 9.0, 12.0, 15.0]  # seconds at which five visitors come
LATEST = 180  # seconds that a visitor waits
OUTCOMES = ("answered", "refused", "failed", "wrong")


@dataclass
class Run:
    """What became of one crowd."""

    name: str
    visitors: int
    hostile: int
    outcomes: Counter[str] = field(default_factory=Counter)  # of the honest questions
    hostile_outcomes: Counter[str] = field(default_factory=Counter)
    page: list[float] = field(default_factory=list)  # seconds, from when each meant to come
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)  # from when it was asked
    memory: list[float] = field(default_factory=list)  # MB, before and after
    cpu: float = 0.0  # seconds
    back: float = 0.0  # seconds that one question takes 10 s later


def drawn(number: int) -> bytes:
    """A photograph that nobody else has: a part of an example, as a JPEG file."""
    dice = random.Random(number)
    image = Image.open(EXAMPLES_DIR / list(EXAMPLES)[number % len(EXAMPLES)]).convert("RGB")
    w, h = image.size
    left, top = dice.uniform(0, 0.3) * w, dice.uniform(0, 0.3) * h
    file = io.BytesIO()
    image.crop((int(left), int(top), int(left + 0.7 * w), int(top + 0.7 * h))).save(file, "JPEG")
    return file.getvalue()


def alone(jpeg: bytes) -> list[Any]:
    """Of both questions: the class and the map, computed here and by nobody else."""
    image = Image.open(io.BytesIO(jpeg))
    said = []
    for layer in (None, LAYER):
        seen = pipeline.explain(image, layer=layer)
        said.append((seen.target, seen.maps["Grad-CAM"]))
    return said


async def uploaded(client: httpx.AsyncClient, jpeg: bytes) -> dict[str, Any]:
    sent = await client.post("gradio_api/upload", files={"files": ("p.jpg", jpeg)})
    return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}


async def explain(client: httpx.AsyncClient, file: dict[str, Any], layer: str) -> tuple[str, Any]:
    """("complete" or "error", what came) of the public endpoint."""
    data = [file, models.DEFAULT, layer, None, "Grad-CAM"]
    asked = await client.post("gradio_api/call/explain", json={"data": data})
    if asked.status_code != 200:
        return "error", {"error": asked.json().get("detail")}
    number = asked.json()["event_id"]
    event = ""
    async with client.stream("GET", f"gradio_api/call/explain/{number}") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event in ("complete", "error"):
                return event, json.loads(line.removeprefix("data: "))
    return "error", None


def outcome(event: str, said: Any, expected: Any) -> str:
    if event == "error":
        sentence = (said or {}).get("error")
        return "refused" if isinstance(sentence, str) and sentence.endswith(".") else "failed"
    target, signed = expected
    same = said[0]["target"] == target and np.allclose(
        said[0]["map"], signed, rtol=1e-3, atol=1e-4 * np.abs(signed).max()
    )
    return "answered" if same else "wrong"


async def visit(url: str, jpeg: bytes, expected: list[Any], meant: float, run: Run) -> None:
    await asyncio.sleep(max(meant - time.monotonic(), 0))
    try:
        async with httpx.AsyncClient(
            base_url=url, headers=CLASS, timeout=LATEST, trust_env=False
        ) as client:
            (await client.get("")).raise_for_status()
            run.page.append(time.monotonic() - meant)
            file = await uploaded(client, jpeg)
            how = outcome(*await explain(client, file, ""), expected[0])
            run.outcomes[how] += 1
            if how == "answered":
                run.first.append(time.monotonic() - meant)
            start = time.monotonic()
            how = outcome(*await explain(client, file, LAYER), expected[1])
            run.outcomes[how] += 1
            if how == "answered":
                run.second.append(time.monotonic() - start)
    except (httpx.HTTPError, ValueError, KeyError, IndexError):
        run.outcomes["failed"] += 1


async def attack(url: str, lesson: int, number: int, run: Run) -> None:
    """The most expensive call beside the queue, for another class each time, so that it is new."""
    dice = random.Random(number)
    async with httpx.AsyncClient(
        base_url=url, headers=STRANGER, timeout=LATEST, trust_env=False
    ) as client:
        file = await uploaded(client, drawn(1))
        while True:
            about = {
                "path": file["path"], "model": models.DEFAULT, "detail": True,
                "target": dice.randrange(1000), "rival": None, "layer": "top_activation",
            }  # fmt: skip
            body = {
                "data": about, "component_id": lesson, "fn_name": "lesson",
                "session_hash": f"hostile{number}",
            }  # fmt: skip
            try:
                answer = (await client.post("gradio_api/component_server", json=body)).json()
                run.hostile_outcomes["refused" if "error" in answer else "answered"] += 1
            except (httpx.HTTPError, ValueError):
                run.hostile_outcomes["failed"] += 1
            await asyncio.sleep(0.05)


def memory(process: int) -> float:
    """MB that a process has in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def crowd(
    url: str, process: int, name: str, times: list[float], hostile: int, jpegs: list[Any]
) -> Run:
    """times: seconds from now at which visitors come. jpegs: (file, what it gives), one each."""
    run = Run(name, len(times), hostile)
    async with httpx.AsyncClient(base_url=url, timeout=LATEST, trust_env=False) as client:
        parts = (await client.get("config")).json()["components"]
        lesson = next(p["id"] for p in parts if p["props"].get("elem_id") == "lesson")
        run.memory.append(memory(process))
        before = cpu(process)
        start = time.monotonic() + 2 * bool(hostile)  # they are there already
        attacks = [asyncio.create_task(attack(url, lesson, n, run)) for n in range(hostile)]
        visits = [visit(url, *jpeg, start + at, run) for at, jpeg in zip(times, jpegs, strict=True)]
        await asyncio.gather(*visits)
        for task in attacks:
            task.cancel()  # they leave
        await asyncio.gather(*attacks, return_exceptions=True)
        run.cpu = cpu(process) - before
        await asyncio.sleep(10)
        asked = time.monotonic()
        await explain(client, await uploaded(client, drawn(2)), "")
        run.back = time.monotonic() - asked
        run.memory.append(memory(process))
    return run


async def growth(url: str, process: int, many: int) -> list[float]:
    """MB after each 100 different pictures on the page, six visitors at a time, each a new one."""
    numbers, sizes, done = iter(range(10_000, 10_000 + many)), [], 0
    async with httpx.AsyncClient(base_url=url, timeout=LATEST, trust_env=False) as client:
        events = (await client.get("config")).json()["dependencies"]
        look = next(event["id"] for event in events if event["api_name"] == "look")

        async def answers() -> None:
            nonlocal done
            for number in numbers:
                file = await uploaded(client, drawn(number))
                session = f"visitor{number}"
                widgets = [file, models.DEFAULT, "", "", False, None, None, ""]
                body = {"data": widgets, "fn_index": look, "session_hash": session}
                (await client.post("gradio_api/queue/join", json=body)).raise_for_status()
                said = await client.get("gradio_api/queue/data", params={"session_hash": session})
                assert '"classes"' in said.text, said.text[:500]
                done += 1
                if done % 100 == 0:
                    sizes.append(memory(process))
                    print(f"{done} pictures: {sizes[-1]:.0f} MB", flush=True)

        await asyncio.gather(*(answers() for _ in range(6)))
    return sizes


async def ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        while (await client.get("gradio_api/app_id")).status_code != 200:
            await asyncio.sleep(0.2)
        file = await uploaded(client, drawn(0))
        for layer in ("", LAYER):
            await explain(client, file, layer)


async def capacity(url: str, jpegs: list[Any]) -> float:
    """Visitors a second where four are there at any moment."""
    start, run = time.monotonic(), Run("", 0, 0)
    left = iter(jpegs)

    async def one_after_the_other() -> None:
        for jpeg in left:
            await visit(url, *jpeg, time.monotonic(), run)

    await asyncio.gather(*(one_after_the_other() for _ in range(4)))
    return len(jpegs) / (time.monotonic() - start)


def poisson(rate: float, seconds: float, dice: random.Random) -> list[float]:
    times, at = [], dice.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += dice.expovariate(rate)
    return times


def burst(many: int, dice: random.Random) -> list[float]:
    return sorted(dice.uniform(0, 2) for _ in range(many))


async def all_of_it(url: str, process: int, which: str) -> dict[str, Any]:
    dice, numbers = random.Random(0), iter(range(10_000))

    def fresh(many: int) -> list[tuple[bytes, list[Any]]]:
        files = [drawn(next(numbers)) for _ in range(many)]
        return [(file, alone(file)) for file in files]

    await ready(url)
    runs = []

    async def came(name: str, times: list[float], hostile: int) -> None:
        runs.append(await crowd(url, process, name, times, hostile, fresh(len(times))))
        print(line(vars(runs[-1])), flush=True)

    if which == "short":
        await came("burst of 6, 1 hostile", burst(6, dice), 1)
        return {"runs": [vars(run) for run in runs]}
    if which == "hostile":
        await came("5 visitors, 60 hostile, page just started", FEW, 60)
        return {"runs": [vars(run) for run in runs]}
    rate = await capacity(url, fresh(20))
    print(f"capacity: {rate:.2f} visitors a second", flush=True)
    await came("burst of 30", burst(30, dice), 0)
    await came("burst of 30, 3 hostile", burst(30, dice), 3)
    await came("burst of 60, 6 hostile", burst(60, dice), 6)
    for part in (0.3, 1, 2):
        times = poisson(part * rate, 20, dice)
        await came(f"Poisson, {part:g} of capacity", times, max(1, len(times) // 10))
    await came("5 visitors, 60 hostile", FEW, 60)
    return {"capacity": rate, "runs": [vars(run) for run in runs]}


HEADING = (
    "| crowd | answered, refused, failed, wrong | page p50 / p95 | first answer p50 / p95 / p99 "
    "| again p50 / p95 | server CPU | memory before, after | one question, 10 s later |\n"
    "|---|---|---|---|---|---|---|---|"
)
INTRO = """# Many visitors at once

Written by `make load`; the numbers are in [load.json](load.json). The real page runs on one machine
together with its visitors, who so take a part of its cores. Each opens the page, gives a picture
that nobody else has, asks, and asks again for another layer; each answer is compared with the one
computed alone. They come at times drawn beforehand and wait from then on, however late the server
is. The hostile ones ask without end, one question after the other, for the most expensive thing
that there is, the lesson at twice the side; the last row is of a page that has just started.

![Of each crowd, which part has its first answer after how long](load.png)

"""


def line(run: Mapping[str, Any]) -> str:
    def at(times: list[float], *parts: float) -> str:
        return " / ".join(f"{np.quantile(times, p):.2f}" for p in parts) if times else "-"

    counts = ", ".join(str(run["outcomes"].get(k, 0)) for k in OUTCOMES)
    return (
        f"| {run['name']} | {counts} | {at(run['page'], 0.5, 0.95)} s | "
        f"{at(run['first'], 0.5, 0.95, 0.99)} s | {at(run['second'], 0.5, 0.95)} s | "
        f"{run['cpu']:.1f} s | {run['memory'][0]:.0f}, {run['memory'][1]:.0f} MB | "
        f"{run['back']:.2f} s |"
    )


def slope(sizes: Sequence[float]) -> float:
    """MB an answer from the 1,000th to the last, of sizes after each 100: the least squares."""
    late = sizes[9:]
    return float(np.polyfit(100 * np.arange(len(late)), late, 1)[0])


def aims(report: Mapping[str, Any]) -> list[tuple[str, float, float, str]]:
    """What was to be reached: in words, what was measured, what it may be at most, its unit."""
    runs, sizes = report.get("runs", []), report.get("sizes", [])
    rows: list[tuple[str, float, float, str]] = []
    if runs:
        count = {k: sum(run["outcomes"].get(k, 0) for run in runs) for k in OUTCOMES}
        rows += [
            ("wrong answers", count["wrong"], 0, ""),
            ("failed, without a sentence", count["failed"], 0, ""),
            ("memory after any of them", max(max(run["memory"]) for run in runs), 1800, " MB"),
            ("one question, 10 s after a crowd", max(run["back"] for run in runs), 5, " s"),
        ]
    rows += [
        (
            f"the longest first answer of an honest visitor, {run['name']}",
            max(run["first"]),
            5,
            " s",
        )
        for run in runs
        if run["hostile"] >= 60 and run["first"]
    ]
    if len(sizes) > 10:
        many = 100 * len(sizes)
        rows.append((f"memory, answer 1,000 to {many:,}", 1000 * slope(sizes), 50, " MB in 1,000"))
    return rows


def document(report: Mapping[str, Any]) -> str:
    """The report as a page, what was missed included."""
    parts = [INTRO, HEADING, *map(line, report.get("runs", []))]
    if "capacity" in report:
        parts.append(f"\nFour at a time it serves {report['capacity']:.2f} visitors a second.")
    parts.append("\n| aim | measured | at most | |\n|---|---|---|---|")
    for words, measured, most, unit in aims(report):
        met = "met" if measured <= most else "**missed**"
        parts.append(f"| {words} | {measured:.4g}{unit} | {most:g}{unit} | {met} |")
    return "\n".join(parts) + "\n"


def draw(report: dict[str, Any], file: Path) -> None:
    """Of each crowd, which part of the visitors had the first answer after how long."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for run in report["runs"]:
        waits = sorted(run["first"])
        if waits:
            shares = [100 * (n + 1) / run["visitors"] for n in range(len(waits))]
            axes.step(waits, shares, where="post", label=run["name"])
    axes.set(
        xlabel="seconds from when a visitor meant to come", ylabel="% have the first answer",
        xscale="log", ylim=(0, 101),
    )  # fmt: skip
    axes.legend(frameon=False)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the program, or an older one")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where the report goes")
    parser.add_argument("--which", choices=("all", "short", "hostile"), default="all")
    parser.add_argument(
        "--memory",
        type=int,
        default=0,
        help="only this: after so many pictures, added to the report",
    )
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    file = options.out / "load.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    app = str(options.root / "app.py")
    if options.memory:
        with served(app) as (url, process):
            report["sizes"] = asyncio.run(growth(url, process, options.memory))
    else:
        print(HEADING)
        parts = []
        for which in ("most", "hostile") if options.which == "all" else (options.which,):
            with served(app) as (url, process):
                parts.append(asyncio.run(all_of_it(url, process, which)))
        report |= parts[0] | {"runs": [run for part in parts for run in part["runs"]]}
        draw(report, options.out / "load.png")
    file.write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "load.md").write_text(document(report))


if __name__ == "__main__":
    main()
