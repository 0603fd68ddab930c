"""What goes wrong around the whole program, and what is left afterwards."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import test_bare
from browser import lab

from demo.question import EXAMPLES_DIR
from demo.words import FAILED

LARGEST = 600_000  # bytes that any file may have: as on a disk that fills up meanwhile
FULL = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({LARGEST}, {LARGEST}))
"""


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is a file, so nobody, not even root, can make a folder in it."""
    home = tmp_path / "home"
    home.touch()
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "KERAS_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(home))
    return home


def files(server: lab.Server) -> list[Path]:
    return [path for path in server.uploads.glob("**/*") if path.is_file()]


def explained(client: httpx.Client, path: str, target: int | None = None) -> Any:
    """What the endpoint answers."""
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [image, "efficientnet_lite0", "", target, "Grad-CAM"]}
    made = client.post("gradio_api/call/explain", json=asked)
    made.raise_for_status()
    event = made.json()["event_id"]
    lines = client.get(f"gradio_api/call/explain/{event}").text.strip().splitlines()
    assert lines[-2] == "event: complete", lines  # after a sign of life each 15 seconds
    return json.loads(lines[-1].removeprefix("data: "))[0]


def given(client: httpx.Client, content: bytes) -> httpx.Response:
    return client.post("gradio_api/upload", files={"files": ("anna.jpg", content)})


def broken_off(server: lab.Server, content: bytes) -> None:
    """An upload of which half comes, until it lies on the disk."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="anna.jpg"\r\n\r\n'
    where = httpx.URL(server.url)
    with socket.create_connection((where.host, where.port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: %d\r\n\r\n" % (len(head) + 2 * len(content)) + head + content
        )
        until(lambda: files(server))
    until(lambda: not files(server))


def until(come: Any) -> None:
    arrived = threading.Event()
    for _ in range(600):
        if come():
            return
        arrived.wait(0.1)
    raise AssertionError("it does not come")


@pytest.mark.slow
def test_without_home_network_or_room_on_the_disk(tmp_path: Path, nowhere: Path) -> None:
    """It explains; of uploads that come to nothing nothing is left; and it ends in order."""
    with (
        lab.serve(tmp_path, first=FULL) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=120) as client,
    ):
        until(lambda: client.get("healthz").status_code == 200)
        broken_off(server, test_bare.FILES["JPEG"])
        answer = given(client, bytes(LARGEST + 1))
        assert (answer.status_code, answer.text) == (500, FAILED)
        assert sum(path.stat().st_size for path in files(server)) <= LARGEST
        (path,) = given(client, (EXAMPLES_DIR / "lion.jpg").read_bytes()).json()
        assert explained(client, path)["target"] == 291
    assert not server.uploads.exists()
    assert nowhere.read_bytes() == b""
    said = server.log.read_text()
    assert "anna" not in said
    assert server.uninvited() == []


@pytest.mark.slow
def test_told_to_end_while_many_ask(tmp_path: Path) -> None:
    """Each gets its answer or a connection that ends; nothing is left, and nobody hangs."""
    ends: list[str] = []
    began = threading.Barrier(5)

    def ask(client: httpx.Client, path: str, first: int) -> None:
        for target in range(first, 1000, 4):
            try:
                explained(client, path, target)
            except (httpx.HTTPError, AssertionError, IndexError):
                ends.append("ended")
                return
            if target == first:
                began.wait(120)

    with lab.serve(tmp_path) as server:
        client = httpx.Client(base_url=server.url, trust_env=False, timeout=120)
        (path,) = given(client, (EXAMPLES_DIR / "lion.jpg").read_bytes()).json()
        threads = ThreadPoolExecutor(4)
        asking = [threads.submit(ask, client, path, first) for first in range(4)]
        began.wait(120)
    for one in asking:
        one.result(60)
    assert ends == ["ended"] * 4
    assert not server.uploads.exists()
    said = server.log.read_text()
    for trace in ("FATAL", "Traceback", "anna"):
        assert trace not in said
