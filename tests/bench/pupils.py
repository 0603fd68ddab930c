"""Thirty pupils, each with a model of Teachable Machine: how long until the first answer, and what
a model takes."""

import os
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PUPILS = 30
AT_ONCE = os.cpu_count() or 2  # as the page opens them


def resident() -> float:
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def pupil_costs() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from nets import teachable_machine

    from demo import engine, handlers
    from demo.question import EXAMPLES, EXAMPLES_DIR, Chosen
    from gradcam_core import teachable

    folder = Path(tempfile.mkdtemp())
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    names = ["Mug", "Plant", "Nothing", "Book", "Hand"]
    files = [
        teachable_machine(folder / f"{n}.zip", names[: 2 + n % 4], head=n + 1)
        for n in range(PUPILS + 1)
    ]
    pictures = []
    for n in range(PUPILS + 1):  # to each a picture of their own
        picture = shutil.copy(EXAMPLES_DIR / list(EXAMPLES)[n % len(EXAMPLES)], folder / f"{n}.jpg")
        pictures.append(str(picture))
    engine.log.disabled = True

    def answered(n: int) -> tuple[float, float]:
        """Seconds from the common start to the first answer; of one more answer."""
        key = engine.open_upload(str(files[n]), "", "", False)
        assert handlers.view_of(Chosen(pictures[n], key)).answer
        first = time.perf_counter() - start
        begin = time.perf_counter()
        assert handlers.view_of(Chosen(pictures[n], key, 1)).answer
        return first, time.perf_counter() - begin

    start = time.perf_counter()
    teachable.make_ready()
    answered(PUPILS)
    before = resident()
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as page:
        times = list(page.map(answered, range(PUPILS)))
    firsts, later = (sorted(column) for column in zip(*times, strict=True))
    p95 = round(0.95 * PUPILS) - 1
    grown = (resident() - before) / PUPILS
    numbers = {
        id(t): t.numpy().nbytes for spec in engine.models.UPLOADS.values()
        for t in spec.asked()._numbers  # type: ignore[misc,union-attr]
    }  # fmt: skip
    print(f"\n| {PUPILS} models of Teachable Machine at once: first answer, half of them |", end="")
    print(f" {firsts[PUPILS // 2]:.1f} s |")
    print(f"| the same, 95 of 100 | {firsts[p95]:.1f} s |")
    print(f"| another class after that, half of them | {1e3 * later[PUPILS // 2]:.0f} ms |")
    print(f"| memory of a model: its numbers | {sum(numbers.values()) / 1e6 / PUPILS:.2f} MB |")
    print(f"| the process grew, a pupil, answers that are kept included | {grown:.1f} MB |")


if __name__ == "__main__":
    pupil_costs()
