"""What an answer costs, as ratios to the same network's compiled forward pass in the same run.

Every contestant runs once in each round, so that a slow moment of the machine hits all of them; the
ratio is the median over rounds. `noise` is the forward pass against itself: what a 1.00 is worth.
"""

import itertools
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcam_core import SETTINGS, asking, faithfulness, lookup, models
from tests.bench import cameras, load, pupils

ROUNDS = 25
HOME = Path(__file__).parent.parent.parent


def rounds(contestants: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(count + 3):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if number >= 3:
                times[name].append(time.perf_counter() - start)
    return times


def ratios(times: dict[str, list[float]], to: str) -> dict[str, float]:
    return {
        name: statistics.median(t / base for t, base in zip(own, times[to], strict=True))
        for name, own in times.items()
    }


def forward_pass(net: Any, x: np.ndarray) -> Callable[[], object]:
    """The network's own, compiled."""
    import tensorflow as tf

    run = tf.function(lambda x: net.model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, *net.shape), tf.float32)
    )
    batch = tf.constant(x[None])
    return lambda: run(batch).numpy()


def network_costs(title: str, spec: object, image: np.ndarray, count: int) -> None:
    from gradcam_core import pipeline
    from gradcam_core.methods import one_pass

    net = lookup.network(spec)
    seen = pipeline.survey(image, spec)
    forward = forward_pass(net, seen.trace.inputs)
    best = (net.best,)
    times = rounds(
        {
            "forward": forward,
            "noise": forward,
            "one layer, one method": lambda: net.trace(seen.trace.inputs, None, best),
            "all suggested layers: A and G": lambda: net.trace(seen.trace.inputs),
            "all suggested layers x all methods": lambda: pipeline.survey(image, spec),
            "the same, second class": lambda: pipeline.survey(image, spec, 0),
        },
        count,
    )
    milliseconds = 1e3 * min(times["forward"])
    size = f"{len(net.suggested)} layers x {len(one_pass())} methods"
    print(f"\n{title}: {size}; forward {milliseconds:.0f} ms")
    for name, ratio in ratios(times, "forward").items():
        print(f"| {name} | {ratio:.2f} |")


def trust_costs(image: np.ndarray) -> None:
    """Passes of each test of a map, and how many forward passes their time is worth."""
    from gradcam_core import pipeline
    from gradcam_core.types import Target

    net, spec, method = lookup.network(), lookup.spec_of(models.DEFAULT), "Grad-CAM"
    made = pipeline.explain(image, methods=method)
    given = image, spec, net, made.survey.target, net.best, method
    forward = forward_pass(net, made.survey.trace.inputs)

    def mosaic() -> None:
        for index in range(4):
            pipeline.look(image, spec, net, Target(index), (net.best,), pipeline.one_pass())

    times = rounds(
        {
            "forward": forward,
            "mosaic": mosaic,
            "forget": lambda: pipeline.finished(pipeline.forgetting(*given)),
            "hold": lambda: pipeline.finished(pipeline.holding(*given, made.maps[method])),
        },
        5,
    )
    cost = ratios(times, "forward")
    start = time.perf_counter()
    passes = pipeline.checked(image)[1].passes
    verdict = (time.perf_counter() - start) / statistics.median(times["forward"])
    print("\n| hide and see | 1 pass |")
    print(f"| the verdict on this picture | {passes} passes, {verdict:.0f} |")
    print(f"| the mosaic of four pictures | 4 passes, {cost['mosaic']:.1f} |")
    forgets, holds = 2 * (1 + len(faithfulness.CASCADE)), 1 + len(faithfulness.CHANGES)
    print(f"| the network forgets | {forgets} passes, {cost['forget']:.1f} |")
    print(f"| does it hold | {holds} passes, {cost['hold']:.1f} |")
    print("| hit or miss | none |")


def asking_costs(image: np.ndarray) -> None:
    """Methods that ask many times: processor time of one map, in that of forward passes, and how
    much it may be. A forward pass is timed after each, so that both see the same machine.
    """
    from gradcam_core import pipeline

    net = lookup.network()
    seen = pipeline.survey(image)
    forward = forward_pass(net, seen.trace.inputs)

    def processor(run: Callable[[], object], times: int = 1) -> float:
        start = time.process_time()
        for _ in range(times):
            run()
        return (time.process_time() - start) / times

    def tails(layer: str) -> None:
        a = seen.trace.activations[layer]
        for start in range(0, a.shape[-1], asking.TOGETHER):
            count = min(asking.TOGETHER, a.shape[-1] - start)
            net.score_from(layer, np.repeat(a[None], count, axis=0), seen.trace)

    def of(method: str, layer: str = net.best) -> Callable[[], object]:
        return lambda: pipeline.ask(net, seen.trace, method, layer)

    middle = "block5c_add"
    rows: dict[str, tuple[Callable[[], object], str]] = {
        "Ablation-CAM, 1,280 channels of the last layer": (of("Ablation-CAM"), "40"),
        f"Ablation-CAM, 112 channels of {middle}": (
            of("Ablation-CAM", middle),
            "the next and 20 %",
        ),
        "112 batched tails of the same": (lambda: tails(middle), ""),
        "Score-CAM, 320 channels": (of("Score-CAM", "block7a_project_bn"), "210"),
        "Occlusion, 49 pictures": (of("Occlusion"), ""),
        "Fine occlusion, 196 pictures": (of("Fine occlusion"), "130"),
        "Gradient times input": (of("Gradient times input"), ""),
        "SmoothGrad, 50 copies": (of("SmoothGrad"), ""),
        "Integrated gradients, 50 steps": (of("Integrated gradients"), "100"),
    }
    print("\n| a map of | processor time, in forward passes | at most |")
    for name, (run, most) in rows.items():
        run()
        cost = processor(run) / processor(forward, 15)
        print(f"| {name} | {cost:.0f} | {most} |", flush=True)


def print_survey_ratio(picture: str) -> None:
    """What a survey costs in this process, whatever its environment is."""
    from gradcam_core import pipeline, read_rgb

    image = read_rgb(picture)
    forward = forward_pass(lookup.network(), pipeline.survey(image).trace.inputs)
    times = rounds({"forward": forward, "survey": lambda: pipeline.survey(image)}, ROUNDS)
    print(f"{ratios(times, 'forward')['survey']:.2f}")


def library_costs(picture: Path) -> None:
    """A survey in a fresh process without any variable, as in a notebook, and with one that holds
    NumPy's threads back: the two should be the same.
    """
    code = "import sys; from tests.bench import __main__; __main__.print_survey_ratio(sys.argv[1])"
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for title, more in (
        ("as a library, in a process without any variable", {}),
        ("the same with OPENBLAS_NUM_THREADS=1", {"OPENBLAS_NUM_THREADS": "1"}),
    ):
        run = [sys.executable, "-c", code, str(picture)]
        done = subprocess.run(run, cwd=HOME, env=bare | more, stdout=subprocess.PIPE, check=True)
        print(f"| {title} | {done.stdout.decode().strip()} |")


def endpoint_costs(image: np.ndarray) -> None:
    import gradio as gr
    from gradio_client import Client, handle_file

    from demo import engine, ui
    from gradcam_core import image as pictures
    from gradcam_core import pipeline

    file = Path(tempfile.mkdtemp()) / "picture.png"
    pictures.save_png(image, file)
    with gr.Blocks() as echo:
        entry, out = gr.Image(type="filepath"), gr.Image()
        gr.Button().click(lambda path: path, entry, out, api_name="echo")
    with ui.build_page() as page:
        pass
    options = {"prevent_thread_lock": True, "quiet": True, "show_error": True}
    urls = [app.launch(**options)[1] for app in (echo, page)]
    one, two = (Client(url, verbose=False) for url in urls)
    engine.log.disabled = True
    times = rounds(
        {
            "echo": lambda: one.predict(handle_file(str(file)), api_name="/echo"),
            "endpoint": lambda: two.predict(handle_file(str(file)), api_name="/explain"),
            "alone": lambda: pipeline.explain(image),
        },
        ROUNDS,
    )
    over = [
        (whole - alone) / echoed
        for whole, alone, echoed in zip(
            times["endpoint"], times["alone"], times["echo"], strict=True
        )
    ]
    print(
        "\n| the page's endpoint over its own work, to an endpoint that echoes the picture |",
        end="",
    )
    print(f" {statistics.median(over):.2f} |")
    for app in (echo, page):
        app.close()


SWITCHES = """async () => {
  const buttons = document.querySelectorAll('.gv-strip button'), times = [];
  for (let i = 0; i < 60; i++) {
    await new Promise(done => setTimeout(done, 30));
    const start = performance.now();
    buttons[i % buttons.length].click();
    times.push(performance.now() - start);
  }
  return times;
}"""
COVERS = """async () => {
  const wait = ms => new Promise(done => setTimeout(done, ms)), times = [];
  document.querySelector('[name=gv-tool][value=cover]').click();
  await wait(2000);
  for (let i = 0; i < 60; i++) {
    const key = ['ArrowRight', 'ArrowDown', 'ArrowLeft', 'ArrowUp'][Math.floor(i / 3) % 4];
    const start = performance.now();
    times.push(await new Promise(done => {
      const seen = new MutationObserver(() => {
        seen.disconnect();
        done(performance.now() - start);
      });
      seen.observe(document.querySelector('.gv-classes'), {
        subtree: true, childList: true, characterData: true, attributes: true,
      });
      document.querySelector('.gv-hand').dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true }));
    }));
    await wait(60);
  }
  return times;
}"""


def browser_costs() -> None:
    """The work of a click on a layer in the filmstrip, up to where the browser may paint it; and
    the time from a move of the patch that covers to the bars, the network really run."""
    from playwright.sync_api import sync_playwright

    from demo import ui

    chromium = shutil.which("chromium")
    if not chromium:
        print("\nno Chromium on this machine: layer switch and cover were NOT measured")
        return
    with ui.build_page() as page:
        pass
    url = page.launch(prevent_thread_lock=True, quiet=True)[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1366, "height": 900})
        tab.goto(url)
        tab.wait_for_selector("[data-drawn]", timeout=60_000)
        times, covers = tab.evaluate(SWITCHES), tab.evaluate(COVERS)
        browser.close()
    page.close()
    median, cover, net = statistics.median(times), statistics.median(covers), lookup.network()
    forward = forward_pass(net, np.zeros(net.shape, np.float32))
    passes = cover / 1e3 / statistics.median(rounds({"forward": forward}, ROUNDS)["forward"])
    print("\n| another layer in the browser, to one frame of a 60 Hz screen |", end="")
    print(f" {median * 60 / 1000:.2f} ({median:.0f} ms) |")
    print(
        f"| from a move of the patch to the bars | {cover:.0f} ms ({passes:.1f} forward passes) |"
    )


def memory_costs() -> None:
    """What the process grows by over requests that all differ, after the caches are full."""
    from demo import engine, handlers
    from demo.question import EXAMPLES, EXAMPLES_DIR, Chosen

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    files = [str(EXAMPLES_DIR / name) for name in EXAMPLES]
    engine.log.disabled = True
    sizes = []
    for number in range(600):
        handlers.view_of(Chosen(files[number % len(files)], "efficientnet_lite0", number))
        if number % 100 == 99:
            sizes.append(resident())
    grown = ", ".join(f"{b - a:+.0f}" for a, b in itertools.pairwise(sizes))
    print("\n| memory in MB after 100 requests, then what each further 100 added |", end="")
    print(f" {sizes[0]:.0f}: {grown} |")


def main() -> None:
    os.environ |= SETTINGS | os.environ
    from demo.question import EXAMPLES, EXAMPLES_DIR
    from gradcam_core import image as pictures

    picture = EXAMPLES_DIR / next(iter(EXAMPLES))
    image = pictures.read_rgb(picture)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    memory_costs()
    network_costs("EfficientNet-Lite0", models.find(models.DEFAULT), image, ROUNDS)
    trust_costs(image)
    asking_costs(image)
    library_costs(picture)
    random = replace(models.find("vgg19"), weights=None)  # numbers do not matter for the time
    network_costs("VGG19 (random weights)", random, image, 9)
    endpoint_costs(image)
    browser_costs()
    load.page_costs()
    pupils.pupil_costs()
    cameras.camera_costs()


if __name__ == "__main__":
    main()
