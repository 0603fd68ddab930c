"""A folder of several hundred hostile or unlucky files, and what becomes of each at its door.

    PYTHONPATH=.:tests python tests/hostile.py FOLDER

writes them there and prints a line of JSON for each: its name, what became of it, how many seconds
that took, and by how many MB the process grew meanwhile. What becomes of a picture is "a picture"
or a sentence of PICTURES, of a model "a model" (it may go on to a process with limits), "an export"
or a sentence.
"""

import io
import json
import re
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import test_image as made
from nets import save, small, teachable_machine, teachable_machine_h5
from PIL import Image

from gradcam_core import files
from gradcam_core import image as door
from gradcam_core.types import UserError

PICTURES = {door.EMPTY, door.HEAVY, door.UNKNOWN, door.HARD, door.DAMAGED, door.LARGE, door.SMALL}
PICTURES |= {door.NARROW}
CUTS = (0.01, 0.1, 0.5, 0.9, 0.99)


def damaged(data: bytes, dice: np.random.Generator) -> bytes:
    """Bits flipped, bytes dropped, doubled, made zero or added, at one to three places."""
    for _ in range(dice.integers(1, 4)):
        at, count = int(dice.integers(len(data) + 1)), int(dice.integers(1, 60))
        head, part, tail = data[:at], data[at : at + count], data[at + count :]
        flipped = bytes(b ^ (1 << int(dice.integers(8))) for b in part[:1]) + part[1:]
        junk = part + dice.bytes(count)
        data = head + [flipped, b"", part * 2, bytes(len(part)), junk][dice.integers(5)] + tail
    return data


def spoilt(node: Any, dice: np.random.Generator) -> None:
    """Something in a description made of dictionaries and lists is another thing."""
    junk = [None, -1, 0, 1.5, 10**12, float("nan"), "x", "", "../x", "Lambda", [], {}, [[]], True]
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[dice.integers(len(keys))]
        if not isinstance(node[key], dict | list) or not node[key] or dice.random() < 0.2:
            break
        node = node[key]
    if dice.random() < 0.2:
        del node[key]
    else:
        node[key] = junk[dice.integers(len(junk))]


def pictures() -> Iterator[tuple[str, bytes]]:
    dice = np.random.default_rng(0)
    bombs = {name: made.png(16, 16, 8, 2, made.ROWS, bomb) for name, bomb in made.BOMBS.items()}
    for kind, data in made.ENCODED.items():
        yield f"good {kind}", data
        yield from ((f"{kind} cut at {cut}", data[: int(len(data) * cut)]) for cut in CUTS)
        if kind != "AVIF":  # each is opened in a process of its own
            yield from ((f"{kind} damaged {n}", damaged(data, dice)) for n in range(25))
    for name, group in (
        ("no picture", made.UNKNOWN),
        ("too large", made.TOO_LARGE),
        ("bomb", bombs),
        ("slow", made.SLOW),
    ):
        yield from ((f"{name}, {what}", data) for what, data in group.items())
    for width, height in ((1, 1), (7, 100), (1, 5000), (8, 161), (8, 160), (4000, 3000)):
        yield f"{width}x{height}", made.rgb(width, height)
    for turn in (*range(11), 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"turned {turn}", made.encode(made.PLAIN, "JPEG", exif=exif)
    frames = [Image.new("RGB", (640, 480), (n % 256, 0, 0)) for n in range(500)]
    film = {"save_all": True, "append_images": frames[1:]}
    yield "GIF of 500 frames", made.encode(frames[0], "GIF", **film)
    yield "WebP of 500 frames", made.encode(frames[0], "WEBP", **film)
    yield "24 MP JPEG", made.encode(Image.new("RGB", (6000, 4000)), "JPEG")
    yield "empty", b""
    yield "26 MB of nothing", bytes(26 * 2**20)
    yield from ((f"noise {n}", dice.bytes(int(dice.integers(1, 5000)))) for n in range(30))


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def models(folder: Path) -> Iterator[tuple[str, bytes]]:
    dice = np.random.default_rng(1)
    good = save(small(), folder / "good.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    export = teachable_machine(folder / "export.zip", ["Mug", "Plant"], 5).read_bytes()
    numbers = teachable_machine_h5(2, 5)
    for name, data, times in (
        ("good.keras", good, 40), ("export.zip", export, 10), ("keras_model.h5", numbers, 10),
    ):  # fmt: skip
        yield name, data
        yield from ((f"cut at {cut} {name}", data[: int(len(data) * cut)]) for cut in CUTS)
        yield from ((f"damaged {n} {name}", damaged(data, dice)) for n in range(times))
    for n in range(150):
        config = json.loads(members["config.json"])
        for _ in range(dice.integers(1, 4)):
            spoilt(config, dice)
        yield f"spoilt {n}.keras", zipped(members | {"config.json": json.dumps(config).encode()})
    for what, text in {
        "nested": b"[" * 10**5, "deep": b'{"config":' * 10**4, "long": b'"' + b"x" * 6_000_000,
        "no JSON": b"\xff\xfe", "a number": b"1e999", "a list": b"[]", "null": b"null",
    }.items():  # fmt: skip
        yield f"{what}.keras", zipped(members | {"config.json": text})
    weights = "model.weights.h5"
    for what, more in {
        "bomb": {weights: bytes(200_000_000)}, "no weights": {weights: b""},
        "other weights": {weights: numbers}, "one more": {"run.py": b"x"},
        "outside": {"../../x": b"x"}, "absolute": {"/etc/x": b"x"},
    }.items():  # fmt: skip
        yield f"{what}.keras", zipped(members | more)
    yield "stored in another way.keras", zipped(members, zipfile.ZIP_LZMA)
    for name in ("x.onnx", "x.pt", "x.tflite", "x.pb", "x.json", "x.keras", "x.h5", "x.zip", "x"):
        yield f"noise {name}", dice.bytes(2000)
        yield f"empty {name}", b""


def becomes_of_picture(path: Path) -> str:
    try:
        door.read(path)
    except UserError as error:
        return str(error)
    return "a picture"


def becomes_of_model(path: Path) -> str:
    try:
        files.check_upload(path)
        return "an export" if files.export_in(path) else "a model"
    except UserError as error:
        return str(error)


def memory(key: str) -> float:
    """MB that this process takes, VmRSS, or took at most, VmHWM."""
    said = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", said)[1]) / 1000


def main(folder: Path) -> None:
    for kind, made_of, becomes in (
        ("pictures", pictures(), becomes_of_picture), ("models", models(folder), becomes_of_model),
    ):  # fmt: skip
        (folder / kind).mkdir()
        for number, (name, data) in enumerate(made_of):
            path = folder / kind / f"{number:03} {name.replace('/', '-')}"
            path.write_bytes(data)
            del data
            Path("/proc/self/clear_refs").write_text("5")  # the most it took begins anew
            before, start = memory("VmRSS"), time.perf_counter()
            outcome = becomes(path)
            took, grew = time.perf_counter() - start, memory("VmHWM") - before
            row = {"kind": kind, "name": path.name, "outcome": outcome, "seconds": took, "MB": grew}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
