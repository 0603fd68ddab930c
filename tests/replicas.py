"""The page before two replicas of Ray Serve, one of which is killed under load.

    python -m tests.replicas FOLDER MODEL.keras

In a network of its own that has only the loopback, for Ray listens on every address; exit status
77 where the system allows no such network. What came of it: FOLDER/found.json.
"""

import ctypes
import fcntl
import itertools
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from gradcam_core import BACKEND, SETTINGS

os.environ |= SETTINGS | os.environ | BACKEND

from gradio_client import Client, handle_file

from demo.question import EXAMPLES_DIR
from gradcam_core import explain
from tests.browser import lab

PICTURE = str(EXAMPLES_DIR / "lion.jpg")
LAYERS = ("block7a_project_bn", "block5c_add")
CALLERS = 4
LOST = "a replica was lost"


def loopback_only() -> None:
    """Leave the network of this machine. Raises OSError where that is not allowed."""
    new_network, set_flags, up = 0x40000000, 0x8914, 0x1 | 0x40  # sched.h, sockios.h, if.h
    if ctypes.CDLL(None, use_errno=True).unshare(new_network):
        raise OSError(ctypes.get_errno(), "no network of its own")
    fcntl.ioctl(socket.socket(), set_flags, struct.pack("16sh", b"lo", up))


def inside(title: str = "") -> list[int]:
    """The other processes in this network whose command begins so."""
    ours, found = os.readlink("/proc/self/ns/net"), []
    for process in Path("/proc").iterdir():
        try:
            number = int(process.name)
            same = os.readlink(process / "ns" / "net") == ours
            command = (process / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if same and command.startswith(title) and number != os.getpid():
            found.append(number)
    return found


def until(come: Callable[[], Any], seconds: float = 300) -> Any:
    """What is there, once it is."""
    end = time.monotonic() + seconds
    while not (there := come()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)
    return there


def crowd(server: lab.Server) -> tuple[bool, list[tuple[int, str, Any]]]:
    """Whether a replica was killed while it had a question, and all answers: class, layer, map."""
    over, classes = threading.Event(), itertools.count()
    answers: list[tuple[int, str, Any]] = []

    def ask(layer: str) -> None:
        client = Client(server.url, verbose=False, download_files=False)
        while not over.is_set():
            number = next(classes)
            made = client.predict(
                handle_file(PICTURE), layer=layer, target=number, api_name="/explain"
            )
            answers.append((number, layer, made["map"]))

    def lost() -> bool:
        return LOST in server.log.read_text()

    def more_than(number: int) -> bool:
        return len(answers) > number or lost() or any(caller.done() for caller in callers)

    with ThreadPoolExecutor(CALLERS) as threads:
        callers = [threads.submit(ask, LAYERS[n % len(LAYERS)]) for n in range(CALLERS)]
        try:
            until(partial(more_than, 10))
            for _ in range(3):
                victim = until(lambda: len(found := inside("ray::ServeReplica")) > 1 and found)[0]
                os.kill(victim, signal.SIGSTOP)  # what it has been asked stays unanswered
                before = len(answers)
                until(partial(more_than, before + 8), 30)
                os.kill(victim, signal.SIGKILL)
                until(partial(more_than, before + 30))
                if lost():
                    break
            until(lambda: len(answers) >= 40 or any(caller.done() for caller in callers))
        finally:
            over.set()
        for caller in callers:
            caller.result()
    return lost(), answers


def main(folder: Path, model: str) -> int:
    try:
        loopback_only()
    except OSError:
        return 77
    lab.PATIENCE = 300
    with (
        TemporaryDirectory(prefix="ray-") as records,
        patch.dict(os.environ, {"RAY_TMPDIR": records, "HOME": records}),
        lab.serve(folder, "--replicas", "2", "--model", model) as server,
    ):
        until(lambda: lab._answers(f"{server.url}healthz"))
        client = Client(server.url, verbose=False, download_files=False)
        own = client.predict(handle_file(PICTURE), model="own", api_name="/explain")
        nice = [os.getpriority(os.PRIO_PROCESS, one) for one in inside("ray::ServeReplica")]
        killed, answers = crowd(server)
    wrong = []
    for number, layer, made in answers:
        alone = explain(PICTURE, layer=layer, target=number).maps["Grad-CAM"]
        if not np.allclose(made, alone, atol=1e-4 * np.abs(alone).max()):
            wrong.append(number)
    with suppress(AssertionError):
        until(lambda: not inside(), 30)
    found = {
        "killed": killed,
        "asked_again": server.log.read_text().count(LOST),
        "answered": len(answers),
        "wrong": wrong,
        "own": len(own["predictions"]),
        "nice": nice,
        "went_out": server.uninvited(),
        "left": inside(),
    }
    (folder / "found.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
