"""weights: against a server on this machine that misbehaves in every way a server can."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradcam_core import weights
from gradcam_core.types import UserError, WeightsFile

CONTENT = weights.HDF5 + b"\xff" * 600_000
HTML = b"<!DOCTYPE html><title>Log in to this network</title>"
NAME = "net.h5"
ROOT = Path(__file__).parent.parent
FETCH = """
import sys
from gradcam_core import weights
from gradcam_core.types import WeightsFile
name, url, digest = sys.argv[1:]
print("ready", flush=True)
print(weights.fetch(WeightsFile(name, url, digest, 0.6), "Net"))
"""


class Server(ThreadingHTTPServer):
    """What it sends is set by the test: status, headers, body, and whether it then falls silent."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0
        self.count = threading.Lock()
        self.status = 200
        self.body = CONTENT
        self.length: int | None = len(CONTENT)
        self.location = ""
        self.silent = False  # after the body
        self.asked = threading.Event()
        self.answer = threading.Event()  # nothing is sent before
        self.answer.set()
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"

    def send(self, body: bytes) -> None:
        self.body, self.length = body, len(body)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()

    def do_GET(self) -> None:
        with self.server.count:
            self.server.requests += 1
        self.server.asked.set()
        self.server.answer.wait(30)
        self.send_response(self.server.status)
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        try:
            self.wfile.write(self.server.body)
            self.wfile.flush()
        except OSError:  # the client has left
            return
        if self.server.silent:
            self.server.end.wait(30)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, 0.01))
        thread.start()
        yield server
        server.end.set()
        server.answer.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for weights, empty; a process that has trusted nothing; no proxy."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("GRADCAM_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(urllib.request, "_opener", None)  # remembers the proxies
    monkeypatch.setattr(weights, "_trusted", {})
    monkeypatch.setattr(weights, "_out_of_reach", {})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return folder


def row(server: Server, digest: str | None = None) -> WeightsFile:
    return WeightsFile(
        NAME, server.url, hashlib.md5(CONTENT).hexdigest() if digest is None else digest, 0.6
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {NAME + ".lock"}


def refused(file: WeightsFile) -> str:
    """The reason in the sentence; the sentence has all that the visitor needs, and no path."""
    with pytest.raises(UserError) as caught:
        weights.fetch(file, "VGG19")
    text = str(caught.value)
    before, after = "VGG19 needs the file net.h5 (", " MB), which could not be fetched because "
    assert text.startswith(before)
    assert text.endswith(
        f"; choose another network, or put the file from {file.url} into the folder named by "
        "GRADCAM_WEIGHTS_DIR where this program runs."
    )
    assert os.environ["GRADCAM_WEIGHTS_DIR"] not in text
    assert "\n" not in text
    return text.split(after)[1].split("; choose another")[0]


def start(file: WeightsFile) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, file.name, file.url, file.digest]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "digest", [hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest().upper(), ""]
)
def test_success(server: Server, place: Path, digest: str) -> None:
    file, seen = row(server, digest), list[float]()
    assert not weights.present(file)
    path = weights.fetch(file, "Net", seen.append)
    assert path == place / NAME
    assert path.read_bytes() == CONTENT
    assert names(place) == {NAME}
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[0] < 1
    assert [part for part in seen if part == 1] == seen[-1:] == [1]
    assert weights.present(file)
    assert weights.fetch(file, "Net") == path
    assert server.requests == 1


def test_length_is_not_needed_where_there_is_a_digest(server: Server) -> None:
    server.length = None
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "body", "length", "digest", "reason"),
    [
        (200, CONTENT[:300_000], len(CONTENT), None, "the connection broke off"),
        (200, CONTENT[:300_000], len(CONTENT), "", "the connection broke off"),
        (200, CONTENT[:300_000], None, None, "the server sent the wrong content"),
        (200, CONTENT, None, "", "the server sent no length"),
        (200, CONTENT, len(CONTENT), "0" * 32, "the server sent the wrong content"),
        (200, CONTENT, len(CONTENT), "0" * 64, "the server sent the wrong content"),
        (200, HTML, len(HTML), "", "the server sent the wrong content"),
        (200, HTML, len(HTML), hashlib.md5(HTML).hexdigest(), "the server sent the wrong content"),
        (200, b"", 0, "", "the server sent the wrong content"),
        (200, CONTENT, 1_300_000, None, "the server sent far more than expected"),
        (200, CONTENT * 3, None, None, "the server sent far more than expected"),
        (404, b"", 0, None, "the server said 404"),
        (503, HTML, len(HTML), None, "the server said 503"),
    ],
    ids=[
        "cut", "cut, no digest", "cut, no length", "no length, no digest", "MD5", "SHA-256",
        "HTML", "HTML with its digest", "empty", "announces too much", "sends too much",
        "404", "503",
    ],
)  # fmt: skip
def test_bad_answer(
    server: Server,
    place: Path,
    status: int,
    body: bytes,
    length: int | None,
    digest: str | None,
    reason: str,
) -> None:
    server.status, server.body, server.length = status, body, length
    assert refused(row(server, digest)) == reason
    assert names(place) == set()
    server.status = 200
    server.send(CONTENT)
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT


@pytest.mark.parametrize("body", [b"", CONTENT[:300_000]], ids=["at once", "in the middle"])
def test_stall(server: Server, place: Path, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(weights, "STALL", 0.2)
    server.body, server.silent = body, True
    assert refused(row(server)) == "the connection is too slow"
    assert names(place) == set()


def test_no_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "STALL", 0.2)
    server.answer.clear()
    assert refused(row(server)) == "the connection is too slow"


def test_no_server(place: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{NAME}"
        assert refused(WeightsFile(NAME, url, "", 575)) == "there is no connection"
    assert names(place) == set()


def test_what_could_not_be_fetched_is_remembered_until_it_can(server: Server) -> None:
    file, other = row(server), WeightsFile("other.h5", f"{server.url}/other", "", 0.6)
    server.status = 503
    assert refused(file) == weights.out_of_reach(file) == "the server said 503"
    assert weights.out_of_reach(other) == "", "another file of that server may be there"
    server.status = 200
    weights.fetch(file, "Net")
    assert weights.out_of_reach(file) == ""


def test_a_server_that_is_not_there_has_none_of_its_files(server: Server) -> None:
    here = row(server)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        away, other = (WeightsFile(NAME, address + n, "", 1) for n in "ab")
        weights.probe_servers([away, other, here])
        assert weights.out_of_reach(away) == weights.out_of_reach(other) == "there is no connection"
        weights._out_of_reach.clear()
        assert refused(away) == weights.out_of_reach(other) == "there is no connection"
    assert weights.out_of_reach(here) == ""
    assert server.requests == 0, "to probe_servers fetches nothing"


def test_a_server_that_is_back_is_no_longer_out_of_reach(server: Server) -> None:
    file = row(server)
    weights._out_of_reach[f"127.0.0.1:{server.server_port}"] = "there is no connection"
    assert weights.out_of_reach(file) == "there is no connection"
    server.status = 404  # an answer
    weights.probe_servers([file])
    assert weights.out_of_reach(file) == ""


@pytest.mark.parametrize("scheme", ["file://", "ftp://127.0.0.1", "data:,", ""])
def test_only_the_web(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "secret.h5").write_bytes(CONTENT)
    file = WeightsFile(NAME, f"{scheme}{tmp_path}/secret.h5", "", 0.6)
    with pytest.raises(UserError, match="does not begin with http"):
        weights.fetch(file, "Net")


def test_a_redirect_to_a_file_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret.h5").write_bytes(CONTENT)
    server.status, server.location = 302, f"file://{tmp_path}/secret.h5"
    assert refused(row(server)) == "the server said 302"


@pytest.mark.parametrize("proxy", ["http:nonsense", "http:/nonsense"])
def test_bad_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    weights.probe_servers([row(server)])
    assert weights.out_of_reach(row(server)) == ""
    assert refused(row(server)) == "its address or the proxy setting is wrong"


def test_two_processes_fetch_once(server: Server, place: Path) -> None:
    server.answer.clear()
    with start(row(server)) as one, start(row(server)) as two:
        for process in (one, two):
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        assert server.asked.wait(30)  # one is in the middle of it; the other waits
        server.answer.set()
        answers = [process.communicate()[0].strip() for process in (one, two)]
    assert answers == [str(place / NAME)] * 2
    assert server.requests == 1
    assert names(place) == {NAME}


def test_who_waits_too_long_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "LOCK_WAIT", 0.1)
    server.answer.clear()
    with start(row(server)) as other:
        assert server.asked.wait(30)
        assert refused(row(server)) == "another process has been fetching it for too long"
        server.answer.set()
        other.communicate()
    assert other.returncode == 0
    assert server.requests == 1


def test_killed_in_the_middle(server: Server, place: Path) -> None:
    server.body, server.silent = CONTENT[:300_000], True
    part = place / (NAME + ".part")
    with start(row(server)) as process:
        assert server.asked.wait(30)
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
        process.kill()
    assert names(place) == {part.name}
    assert not weights.present(row(server))
    server.silent = False
    server.send(CONTENT)
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT
    assert names(place) == {NAME}


@pytest.mark.parametrize(
    "damaged",
    [b"", HTML, CONTENT[:-1], CONTENT[:-1] + b"\0"],
    ids=["empty", "HTML", "stump", "one byte"],
)
def test_damaged_cache_is_put_aside(server: Server, place: Path, damaged: bytes) -> None:
    place.mkdir()
    (place / NAME).write_bytes(damaged)
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT
    assert (place / (NAME + ".damaged")).read_bytes() == damaged
    assert names(place) == {NAME, NAME + ".damaged"}


def test_damage_after_it_was_trusted(server: Server) -> None:
    path = weights.fetch(row(server), "Net")
    path.write_bytes(CONTENT[:-1])
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT
    assert server.requests == 2


def test_stump_without_a_digest(server: Server, place: Path) -> None:
    """Version 0 of the superblock of HDF5 says at byte 40 where the file ends."""
    head = weights.HDF5 + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(24) + (1000).to_bytes(8, "little")
    place.mkdir()
    (place / NAME).write_bytes(head + bytes(1000 - len(head)))
    assert weights.present(row(server, ""))
    (place / NAME).write_bytes(head + bytes(999 - len(head)))
    assert not weights.present(row(server, ""))
    assert weights.fetch(row(server, ""), "Net").read_bytes() == CONTENT


def test_disk_full(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=599_999))
    assert refused(row(server)) == "the disk is full"
    assert server.requests == 0


def test_disk_fills_up(server: Server, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused(row(server)) == "the disk is full"
    assert names(place) == set()


def test_progress_that_raises_leaves_nothing(server: Server, place: Path) -> None:
    def leave(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.fetch(row(server), "Net", leave)
    assert names(place) == set()
    assert weights.fetch(row(server), "Net").read_bytes() == CONTENT


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert weights.folder() == tmp_path / "weights"
    monkeypatch.delenv("GRADCAM_WEIGHTS_DIR")
    assert weights.folder() == tmp_path / "keras" / "models"
    monkeypatch.delenv("KERAS_HOME")
    assert weights.folder() == tmp_path / "home" / ".keras" / "models"
    assert weights.folder().is_dir()


def test_a_folder_that_cannot_be_made_falls_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file, so nobody, not even root, can make a folder in it")
    monkeypatch.delenv("GRADCAM_WEIGHTS_DIR")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = weights.fetch(row(server), "Net")
    assert path.read_bytes() == CONTENT
    assert path.parent.parent == tmp_path  # where the fixture has put the temp directory
    assert path.parent.stat().st_mode & 0o077 == 0
    assert weights.present(row(server))
    assert weights.fetch(row(server), "Net") == path
    assert server.requests == 1


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_can_only_be_read(
    server: Server, place: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    place.mkdir()
    if there:
        (place / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not stop root
    path = weights.fetch(row(server), "Net")
    assert path.read_bytes() == CONTENT
    assert (path == place / NAME) == there
    assert server.requests == (not there)
    assert list(place.iterdir()) == [path] * there


def test_a_spare_folder_of_somebody_else_is_not_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.getuid() + 1
    (tmp_path / f"gradcam-weights-{user}").mkdir()  # ours, so not theirs
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert refused(row(server)) == "the folder for weights cannot be used"
    assert not weights.present(row(server))
    assert server.requests == 0


def test_offline_with_the_file_in_place(server: Server, place: Path) -> None:
    place.mkdir()
    (place / NAME).write_bytes(CONTENT)
    assert weights.present(row(server))
    assert weights.fetch(row(server), "Net") == place / NAME
    assert server.requests == 0
    assert list(place.iterdir()) == [place / NAME]  # not even a lock
