"""What stands before Gradio: before the real page, and before an app made by hand."""

import gzip
import json
import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import brotli
import gradio
import httpx
import pytest
import test_bare
from browser.lab import serve
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.testclient import TestClient
from test_fair import played

from demo import disk, front, handlers, ui
from demo.disk import FULL_DISK, TOO_MANY, Quota
from demo.question import Chosen
from demo.wire import View
from demo.words import FAILED, FULL
from gradcam_core import bare
from gradcam_core.types import UserError

EMBED = "'self' https://moodle.example.org"
SCRIPT = "let words = 'the same again';\n" * 100
DECODE = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}
REST = {  # what every answer but a file of the build says
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "content-security-policy": f"{front.CSP}; frame-ancestors {EMBED}",
    "cache-control": "private, no-cache",
}


@pytest.fixture
def asked() -> list[str]:
    """The addresses that came through to the app."""
    return []


@pytest.fixture
def health() -> front.Health:
    return front.Health()


@pytest.fixture
def client(asked: list[str], health: front.Health, tmp_path: Path) -> TestClient:
    """Front before an app that answers as Gradio does."""
    (tmp_path / "main-1a2b3c4d.js").write_text(SCRIPT)
    (tmp_path / "photo.jpg").write_bytes(bytes(range(256)) * 1000)

    def log(request: Request) -> None:
        asked.append(request.url.path)

    async def asset(request: Request) -> Response:
        log(request)
        file = tmp_path / request.path_params["name"]
        return FileResponse(file) if file.is_file() else Response("no such file", 404)

    async def page(request: Request) -> Response:
        log(request)
        return HTMLResponse(f"<html><head><title>{request.url}</title></head></html>")

    async def theme(request: Request) -> Response:
        return Response("body { color: black; }\n" * 50, media_type="text/css")

    async def photo(request: Request) -> Response:
        log(request)
        return FileResponse(tmp_path / "photo.jpg")

    async def stream(request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def upload(request: Request) -> Response:
        (tmp_path / "came").write_bytes(await request.body())
        return JSONResponse([str(tmp_path / "came")])

    async def join(request: Request) -> Response:
        if await request.body() == b"full":
            return JSONResponse({"detail": "Queue is full. Max size is 128."}, 503)
        return Response(await request.body(), 200, {"etag": '"a"'})

    routes = [
        Route("/assets/{name:path}", asset),
        Route("/", page),
        Route("/theme.css", theme),
        Route("/gradio_api/file=photo.jpg", photo),
        Route("/gradio_api/queue/data", stream),
        Route("/gradio_api/queue/join", join, methods=["POST"]),
        Route("/gradio_api/upload", upload, methods=["POST"]),
    ]
    quota = Quota(each=10, every=15, least=1)
    return TestClient(front.Front(Starlette(routes=routes), health, EMBED, quota))


def raw(client: Any, path: str, accepts: str = "identity", **more: str) -> tuple[Any, bytes]:
    """An answer to GET, and its body as it came over the wire."""
    headers = {"accept-encoding": accepts} | {k.replace("_", "-"): v for k, v in more.items()}
    with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


# ---- what a browser likes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepts", "how"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.2, gzip;q=0.8", "gzip"),
        ("br ; q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0.0", "identity"),
        ("identity, br;q=0.5", "identity"),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("br, *;q=0", "br"),
        ("zstd", "identity"),
        ("brotli", "identity"),
        ("", "identity"),
        ("nonsense;;q=x, ,", "identity"),
    ],
)
def test_what_a_browser_likes_best(accepts: str, how: str) -> None:
    assert front.encoding(Headers({"accept-encoding": accepts})) == how
    assert front.encoding(Headers({})) == "identity"


# ---- files of the build ------------------------------------------------------------------------


@pytest.mark.parametrize("how", DECODE)
def test_a_file_of_the_build_is_fetched_once_and_kept_for_ever(
    client: TestClient, asked: list[str], how: str
) -> None:
    for _ in range(2):
        answer, body = raw(client, "/assets/main-1a2b3c4d.js", how)
        assert DECODE[how](body).decode() == SCRIPT
        assert answer.headers["content-encoding"] == how
        assert answer.headers["content-length"] == str(len(body))
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "javascript" in answer.headers["content-type"]
    assert asked == ["/assets/main-1a2b3c4d.js"]
    assert how == "identity" or len(body) < 200


def test_the_encodings_of_a_file_are_not_mixed_up(client: TestClient) -> None:
    for how in ("br", "gzip", "identity", "br"):
        body = raw(client, "/assets/main-1a2b3c4d.js", how)[1]
        assert DECODE[how](body).decode() == SCRIPT


def test_a_part_of_a_file_of_the_build_is_the_whole(client: TestClient) -> None:
    """Also where it is asked for first, when there is nothing kept yet."""
    for _ in range(2):
        answer, body = raw(client, "/assets/main-1a2b3c4d.js", "br", range="bytes=0-9")
        assert answer.status_code == 200
        assert brotli.decompress(body).decode() == SCRIPT


def test_of_a_file_of_the_build_the_head_alone(client: TestClient) -> None:
    answer = client.head("/assets/main-1a2b3c4d.js", headers={"accept-encoding": "gzip"})
    body = raw(client, "/assets/main-1a2b3c4d.js", "gzip")[1]
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(body))


def test_a_file_that_is_not_there_is_not_kept(client: TestClient, asked: list[str]) -> None:
    for _ in range(2):
        answer, body = raw(client, "/assets/other.js", "br")
        assert (answer.status_code, body) == (404, b"no such file")
        assert "cache-control" not in answer.headers
    assert len(asked) == 2


def test_one_file_has_one_place_however_it_is_called(client: TestClient) -> None:
    kept = client.app.assets  # type: ignore[attr-defined]
    for name in ("/main-1a2b3c4d.js", "%2e/main-1a2b3c4d.js", "a/%2e%2e/main-1a2b3c4d.js"):
        raw(client, f"/assets/{name}", "br")
    assert not kept


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    noise = random.Random(0).randbytes(400)
    assert front.encoded(noise, "br") == (noise, "identity")
    assert front.encoded(b"", "gzip") == (b"", "identity")


# ---- the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", DECODE)
def test_the_page_is_sent_once(client: TestClient, how: str) -> None:
    answer, body = raw(client, "/?a=1", how)
    text = DECODE[how](body).decode()
    assert "<title>http://testserver/</title>" in text
    assert text.index(front.SCRIPT.decode()) < text.index("<title>")
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["vary"] == "accept-encoding"
    assert REST.items() <= dict(answer.headers).items()

    tag = answer.headers["etag"]
    for has in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        again, nothing = raw(client, "/?a=1", "gzip", if_none_match=has)
        assert (again.status_code, nothing) == (304, b"")
        assert again.headers["etag"] == tag
        assert REST.items() <= dict(again.headers).items()
        assert not {"content-encoding", "content-type", "content-length"} & set(again.headers)
    for has in ('"other"', tag.strip('W/"'), "*"):
        assert raw(client, "/?a=1", how, if_none_match=has)[0].status_code == 200


def test_another_page_has_another_name(client: TestClient) -> None:
    one, other = (raw(client, "/", host=host)[0].headers["etag"] for host in ("a.org", "b.org"))
    assert one != other
    assert raw(client, "/", host="b.org", if_none_match=one)[0].status_code == 200


@pytest.mark.parametrize(
    "other",
    [
        {"host": "b.org"}, {"x-forwarded-host": "b.org"}, {"x-forwarded-proto": "https"},
        {"x-gradio-server": "http://b.org"},
    ],
)  # fmt: skip
def test_the_page_is_made_once_for_all_who_come_by_one_address(
    client: TestClient, asked: list[str], other: dict[str, str]
) -> None:
    one = raw(client, "/", "br")
    for _ in range(3):
        again = raw(client, "/", "br", x_forwarded_for="10.0.0.7")
        assert again[1] == one[1]
        assert dict(again[0].headers) == dict(one[0].headers)
    assert asked == ["/"]
    raw(client, "/", "br", **other)
    assert asked == ["/", "/"], "Gradio writes the address into it"
    assert raw(client, "/?__theme=dark", "br")[1] == one[1]
    assert asked == ["/", "/"], "a question of another kind costs the host nothing"


def test_pages_that_are_kept_are_few(client: TestClient, asked: list[str]) -> None:
    for number in range(front.PAGES + 1):
        raw(client, "/", host=f"{number}.org")
    raw(client, "/", host=f"{front.PAGES}.org")
    assert len(asked) == front.PAGES + 1
    raw(client, "/", host="0.org")
    assert len(asked) == front.PAGES + 2, "the oldest left"


def test_the_pages_head_alone(client: TestClient) -> None:
    answer = client.head("/", headers={"accept-encoding": "identity"})
    whole = raw(client, "/")[0]
    assert (answer.status_code, answer.content) == (200, b"")
    assert dict(answer.headers) == dict(whole.headers)


def test_colours_are_named_too_and_hold_no_script(client: TestClient) -> None:
    answer, body = raw(client, "/theme.css?v=1", "br")
    assert brotli.decompress(body) == b"body { color: black; }\n" * 50
    again = raw(client, "/theme.css?v=1", "br", if_none_match=answer.headers["etag"])[0]
    assert again.status_code == 304


# ---- everything else ---------------------------------------------------------------------------


def test_a_stream_comes_piece_by_piece(health: front.Health) -> None:
    """Each message of Gradio's leaves at once, as it is, whatever the browser can unpack."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            piece = {"body": b"data: %d\n\n" % number, "more_body": number < 2}
            await send({"type": "http.response.body", **piece})
            assert sent[-1]["body"] == piece["body"]

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/gradio_api/queue/data", "root_path": "",
        "headers": [(b"accept-encoding", b"br, gzip")],
    }  # fmt: skip
    before = front.Front(app, health, EMBED, Quota())
    anyio.run(before, scope, None, keep)
    assert len(sent) == 4
    headers = Headers(raw=sent[0]["headers"])
    assert headers["cache-control"] == "private, no-cache"
    assert not {"content-encoding", "etag", "content-length"} & set(headers)


def test_a_stream_arrives(client: TestClient) -> None:
    answer, body = raw(client, "/gradio_api/queue/data", "br")
    assert body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_picture_is_sent_once_to_who_keeps_it(client: TestClient) -> None:
    path = "/gradio_api/file=photo.jpg"
    answer, body = raw(client, path, "br")
    assert body == bytes(range(256)) * 1000
    assert "content-encoding" not in answer.headers
    assert REST.items() <= dict(answer.headers).items()
    again, nothing = raw(client, path, "br", if_none_match=answer.headers["etag"])
    assert (again.status_code, nothing) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    assert "content-length" not in again.headers
    assert raw(client, path, if_none_match='"other"')[1] == body


def test_a_part_of_a_picture(client: TestClient) -> None:
    answer, body = raw(client, "/gradio_api/file=photo.jpg", "br", range="bytes=3-7")
    assert (answer.status_code, body) == (206, bytes([3, 4, 5, 6, 7]))
    assert answer.headers["content-range"] == "bytes 3-7/256000"


def test_what_is_posted_passes(client: TestClient) -> None:
    given = b"x" * 3_000_000
    answer = client.post("/gradio_api/queue/join", content=given, headers={"if-none-match": '"a"'})
    assert (answer.status_code, answer.content) == (200, given)
    assert REST.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("told", [True, False], ids=["of a length", "without"])
def test_a_question_is_read_no_further_than_it_may_be(
    client: TestClient, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "MOST_SAID", 10)
    monkeypatch.setattr(front, "MOST_COMMAS", 4)

    def post(pieces: list[bytes]) -> tuple[int, bytes]:
        content = b"".join(pieces) if told else iter(pieces)
        answer = client.post("/gradio_api/queue/join", content=content)
        return answer.status_code, answer.content

    assert post([b"12345", b"67890"]) == (200, b"1234567890")
    assert post([b"12345", b"67890", b"1", b"x" * 99]) == (413, front.TOO_MUCH.encode())
    assert post([b",,", b"1,2,"]) == (200, b",,1,2,")
    assert post([b",,", b"1,2,", b","]) == (413, front.TOO_MUCH.encode())


def test_an_address_is_no_longer_than_it_may_be(client: TestClient, asked: list[str]) -> None:
    """Of every one that is asked for Gradio keeps something."""
    longest = "/?" + "x" * (front.LONGEST_PATH - 1)
    assert client.get(longest).status_code == 200
    asked.clear()
    for address in (f"{longest}x", "/gradio_api/" + "x" * front.LONGEST_PATH):
        answer = client.get(address)
        assert (answer.status_code, answer.text) == (413, front.TOO_MUCH)
    assert asked == []


def test_who_has_sent_much_is_told_so(client: TestClient) -> None:
    """10 bytes from one address, 15 from all."""

    def send(content: bytes, address: str = "here") -> tuple[int, bytes]:
        here = TestClient(client.app, client=(address, 1))
        answer = here.post("/gradio_api/upload", content=content)
        if answer.status_code != 200:
            return answer.status_code, answer.content
        (path,) = answer.json()
        return 200, Path(path).read_bytes()

    assert send(b"1234567") == (200, b"1234567")
    assert send(b"1234") == (429, TOO_MANY.encode())
    assert send(b"123") == (200, b"123")
    assert send(b"1") == (429, TOO_MANY.encode())
    assert send(b"12345", "there") == (200, b"12345")
    assert send(b"1", "elsewhere") == (429, TOO_MANY.encode())
    assert client.post("/gradio_api/queue/join", content=b"anything").status_code == 200


def test_an_upload_that_the_disk_does_not_take(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred megabytes are left alone; what is refused so does not count."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    free = SimpleNamespace(free=100_000_006)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: free if folder else None)
    answer = client.post("/gradio_api/upload", content=b"1234567")
    assert (answer.status_code, answer.text) == (507, FULL_DISK)
    assert not (tmp_path / "came").exists()
    free.free += 1
    assert client.post("/gradio_api/upload", content=b"1234567").status_code == 200


def test_an_upload_that_does_not_say_its_size(client: TestClient) -> None:
    """It counts as a megabyte at least."""
    answer = client.post("/gradio_api/upload", content=iter([b"1"]))
    assert (answer.status_code, answer.text) == (429, TOO_MANY)


@pytest.mark.parametrize(
    ("largest", "came", "status", "asked_for"),
    [
        (99, [b"123", b"45", b"678"], 200, 3),
        (99, [b"123", b"45", b"6789", b"x" * 99], 429, 3),  # a third piece is more than ten
        (7, [b"123", b"45", b"6"], 413, 2),
        (99, [b"x" * 11, b"1"], 429, 1),
    ],
)
def test_what_does_not_say_its_size_is_counted_as_it_comes(
    largest: int,
    came: list[bytes],
    status: int,
    asked_for: int,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In pieces of four bytes, of ten in all; what is too much is not waited for."""
    monkeypatch.setattr(front, "PIECE", 4)
    monkeypatch.setattr(front, "LARGEST", largest)
    left, sent = list(came), list[Any]()

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/gradio_api/upload", "root_path": "",
        "headers": [], "query_string": b"", "client": ("here", 1),
    }  # fmt: skip
    anyio.run(client.app, scope, receive, keep)
    assert sent[0]["status"] == status
    assert len(came) - len(left) == asked_for
    if status == 200:
        (path,) = json.loads(sent[1]["body"])
        assert Path(path).read_bytes() == b"12345678"
        again = client.post("/gradio_api/upload", content=b"123", headers={"x-real": "1"})
        assert again.status_code == 200, "another address has its own"
        assert client.app.quota.taken[0][2] + client.app.quota.taken[1][2] == 8  # type: ignore[attr-defined]


def test_what_a_photograph_says_is_gone_before_anybody_hears_where_it_lies(
    health: front.Health, tmp_path: Path
) -> None:
    """Whatever the file is called; what is no photograph stays as it came."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse([str(tmp_path / name) for name in files])(scope, receive, send)

    photo = test_bare.FILES["JPEG"]
    files = {"a.jpg": photo, "b.h5": photo, "c.keras": b"PK\3\4" + test_bare.SECRET}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    answer = TestClient(front.Front(app, health, EMBED, Quota())).post("/gradio_api/upload")
    assert answer.json() == [str(tmp_path / name) for name in files]
    assert REST.items() <= dict(answer.headers).items()
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == files | {"a.jpg": bare.picture_alone(photo), "b.h5": bare.picture_alone(photo)}


def test_an_answer_that_fails_is_a_sentence_and_a_line_of_our_log(
    health: front.Health, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise OSError(2, "No such file", "/somewhere/anna.jpg")

    answer = TestClient(front.Front(app, health, EMBED, Quota())).get("/gradio_api/file=x")
    assert (answer.status_code, answer.text) == (500, FAILED)
    (record,) = caplog.records
    assert re.fullmatch(
        r"an answer failed: FileNotFoundError at test_front\.py:\d+", record.getMessage()
    )
    assert record.exc_info is None


def test_a_full_queue_is_told_in_our_words(client: TestClient) -> None:
    answer = client.post("/gradio_api/queue/join", content=b"full")
    assert (answer.status_code, answer.json()) == (422, {"detail": FULL})
    assert int(answer.headers["content-length"]) == len(answer.content)
    below = TestClient(client.app, root_path="/lab")
    assert below.post("/lab/gradio_api/queue/join", content=b"full").json() == {"detail": FULL}


def test_under_a_sub_path(client: TestClient, asked: list[str]) -> None:
    """Whether the proxy takes it off the address or not."""
    below = TestClient(client.app, root_path="/lab")
    for at in ("/lab/", "/"):
        assert front.SCRIPT in raw(below, at)[1]
    for at in ("/lab/assets/main-1a2b3c4d.js", "/assets/main-1a2b3c4d.js"):
        assert raw(below, at)[0].headers["cache-control"] == front.FOREVER
    assert below.get("/lab/healthz").json() == {"state": "loading", "reason": ""}


# ---- health ------------------------------------------------------------------------------------


def test_health(client: TestClient, health: front.Health, asked: list[str]) -> None:
    for state, reason, status in (
        ("loading", "", 503), ("failed", "There is no network.", 503), ("ready", "", 200),
    ):  # fmt: skip
        health.state, health.reason = state, reason
        answer = client.get("/healthz")
        assert answer.status_code == status
        assert answer.json() == {"state": state, "reason": reason}
        assert answer.headers["cache-control"] == "no-store"
    assert asked == []


def test_a_start_that_fails_is_told_and_tried_again(
    health: front.Health, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = ["The disk is full.", "There is no network.", ""]
    seen = []

    def view_of(chosen: Chosen) -> View:
        seen.append((health.state, health.reason))
        assert chosen.picture == ui.FIRST_PICTURE
        return View(error=said[len(seen) - 1])

    monkeypatch.setattr(handlers, "view_of", view_of)
    monkeypatch.setattr(ui, "AGAIN", 0)
    monkeypatch.setattr(ui.models, "probe_servers", lambda: seen.append("probed"))
    ui.warm(health)
    failed = [("failed", said[0]), ("failed", said[1])]
    assert seen == [("loading", ""), *failed, "probed"]
    assert health == front.Health("ready", "")
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [said[0] in told[0], said[1] in told[1], len(told)] == [True, True, 2]


# ---- who may show it in a frame ----------------------------------------------------------------


def test_who_may_show_it_in_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADCAM_FRAME_ANCESTORS", raising=False)
    assert front.embedders() == "'self' https://huggingface.co https://*.hf.space"
    for told in ("'none'", EMBED, "https://a.example:8443/ http://[::1]:80", "*"):
        monkeypatch.setenv("GRADCAM_FRAME_ANCESTORS", f" {told} ")
        assert front.embedders() == told
    monkeypatch.setenv("GRADCAM_FRAME_ANCESTORS", " ")
    assert front.embedders() == front.EMBED


@pytest.mark.parametrize("told", ["*; script-src *", "a, b", "'self'\nx: y", "https://ä.de"])
def test_a_setting_that_would_say_more(
    told: str, monkeypatch: pytest.MonkeyPatch, sentence: Any
) -> None:
    monkeypatch.setenv("GRADCAM_FRAME_ANCESTORS", told)
    with pytest.raises(UserError, match="GRADCAM_FRAME_ANCESTORS"):
        front.embedders()


# ---- the real page -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The page as it is started, though so busily that it itself comes after more than 3 s, but
    that nothing is explained."""
    asleep = """
from types import SimpleNamespace
import httpx
from gradio import networking
from demo import ui
def late(*_given, **_more):
    raise httpx.ReadTimeout("timed out")
networking.httpx = SimpleNamespace(**vars(httpx) | {"head": late})
ui.warm = lambda health: None
"""
    with (
        serve(tmp_path_factory.mktemp("front"), first=asleep) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=60) as client,
    ):
        yield client


def test_front_stands_before_the_real_page(real: httpx.Client) -> None:
    answer, body = raw(real, "/", "br")
    page = brotli.decompress(body).decode()
    assert "Grad-CAM Lab" in page
    assert page.count(front.SCRIPT.decode()) == 1
    assert (
        "frame-ancestors 'self' https://huggingface.co"
        in (answer.headers["content-security-policy"])
    )
    tag = answer.headers["etag"]
    assert raw(real, "/", "br", if_none_match=tag)[0].status_code == 304
    assert real.head("/").headers["etag"] == tag
    assert real.get("/healthz").json() == {"state": "loading", "reason": ""}
    theme = re.search(r"theme\.css\?v=\w+|\"theme_hash\"", page)
    assert theme
    assert raw(real, "/theme.css", "br")[0].headers["content-encoding"] == "br"


def test_gradios_page_does_not_hang_on_what_is_behind_the_question_mark() -> None:
    """So it is kept for all of them together."""

    async def answers() -> list[str]:
        with gradio.Blocks() as page:
            gradio.Textbox("here")
        behind = httpx.ASGITransport(gradio.mount_gradio_app(FastAPI(), page, "/"))
        async with httpx.AsyncClient(transport=behind, base_url="http://a.org") as client:
            return [(await client.get(f"/{query}")).text for query in queries]

    queries = "", "?__theme=dark&view=api&p=lion.jpg"
    plain, asked = played(answers())
    assert "here" in plain
    assert asked == plain


@pytest.mark.parametrize("how", ["br", "gzip", "identity", "br;q=0", "br;q=0, gzip"])
def test_gradio_adds_nothing_to_what_is_encoded(real: httpx.Client, how: str) -> None:
    """Its own compression stands before Front, and looks for "br" anywhere in the header."""
    names = re.findall(r"\./(assets/[\w.-]+)", real.get("/").text)
    assert len(names) == 2
    plain = {name: raw(real, name)[1] for name in names}
    for name in names:
        answer, body = raw(real, name, how)
        done = answer.headers["content-encoding"]
        assert done == {"br;q=0": "identity", "br;q=0, gzip": "gzip"}.get(how, how)
        assert DECODE[done](body) == plain[name]
        assert answer.headers["cache-control"] == front.FOREVER


def test_every_file_of_the_build_is_named_by_its_content(photos: Path) -> None:
    """So they may be kept for ever. A place for each is all that `assets` can grow to."""
    folder = photos.parents[1] / "templates" / "frontend" / "assets"
    names = [file.name for file in folder.iterdir()]
    assert len(names) > 500
    unnamed = [n for n in names if not re.fullmatch(r"[\w.-]+-[\w-]{8,}\.\w+", n, re.ASCII)]
    assert unnamed == []


def test_files_beside_the_build_are_revalidated(real: httpx.Client) -> None:
    path = "/static/img/logo.svg"
    answer = real.get(path)
    assert answer.status_code == 200
    tag = answer.headers["etag"]
    assert raw(real, path, "br", if_none_match=tag)[0].status_code == 304
    large = "/static/fonts/Lora/Lora-Regular.woff2"
    tag = real.get(large).headers["etag"]
    again, nothing = raw(real, large, if_none_match=tag)
    assert (again.status_code, nothing) == (304, b"")


def test_nothing_for_videos_is_loaded(real: httpx.Client) -> None:
    """Gradio's gallery would bring a player of 0.5 MB."""
    assert '"type":"gallery"' not in real.get("/").text
