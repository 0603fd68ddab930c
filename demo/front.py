"""What stands before Gradio: files compressed once, a page that is sent only when it has changed,
headers, /healthz, and sentences for what goes wrong between the browser and the server."""

import asyncio
import gzip
import json
import logging
import os
import re
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.disk import FULL_DISK, TOO_MANY, Quota, has_room, strip
from demo.words import FAILED, FULL
from gradcam_core.types import UserError

log = logging.getLogger("gradcam_lab")

FOREVER = "public, max-age=31536000, immutable"
LONGEST_PATH = 2000  # bytes, with what stands behind the ?; Gradio remembers names in it for ever
MOST_SAID = 4_000_000  # bytes of a request that is no upload; Gradio reads it whole
MOST_COMMAS = 50_000  # in it: each value is looked at on the loop that all visitors share
PIECE = 1_000_000  # bytes, in which an upload is counted that does not say its size
TOO_MUCH = "This asks with more words than a question has; please ask more briefly."
REFUSED = {413: "", 429: TOO_MANY, 507: FULL_DISK}  # uploads; front.js has words for the first
LARGEST = 2.5e8  # bytes of one upload, two files maybe; Gradio's own limit is for each file
NOW = "private, no-cache"  # kept by this browser, which asks each time whether it still stands
EMBED = "'self' https://huggingface.co https://*.hf.space"  # who may show the page in a frame
NO_EMBED = (
    "GRADCAM_FRAME_ANCESTORS must be addresses with spaces between them, as in "
    "'self' https://moodle.example.org."
)
PAGES = 32  # that are kept as they were sent
BY = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
SCRIPT = Path(__file__).with_name("front.js").read_bytes()
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
CSP = (  # gr.HTML evaluates its templates and scripts; Gradio's configuration is an inline script
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
ENCODERS: dict[str, Callable[[bytes, bool], bytes]] = {  # a body, and whether it is done once
    "br": lambda body, once: brotli.compress(body, quality=11 if once else 9),
    "gzip": lambda body, once: gzip.compress(body, 9 if once else 6),
    "identity": lambda body, _once: body,  # said in the header: else Gradio would compress it
}


@dataclass
class Health:
    """Whether the page can explain a picture; with "failed" why not, in a sentence."""

    state: Literal["loading", "ready", "failed"] = "loading"
    reason: str = ""


def place_of(error: Exception) -> str:
    """Of an error its kind and where it was raised: its words may hold what a visitor gave."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def embedders() -> str:
    """Who may show the page in a frame, as the host set it or as it is by default."""
    asked = os.environ.get("GRADCAM_FRAME_ANCESTORS", "").strip() or EMBED
    if not re.fullmatch(r"[\w:/.*'\[\] -]+", asked, re.ASCII):
        raise UserError(NO_EMBED)
    return asked


def encoding(asked: Headers) -> str:
    """Of ENCODERS what the browser likes best; the first of equals."""
    accepted = asked.get("accept-encoding", "").lower()
    found = re.findall(r"([\w*-]+)\s*(?:;\s*q=([01](?:\.\d*)?))?\s*(?:,|$)", accepted)
    likes = {name: float(q or 1) for name, q in found}
    rest = likes.get("*", 0)
    best = max(ENCODERS, key=lambda name: likes.get(name, rest))
    return best if likes.get(best, rest) > 0 else "identity"


def encoded(body: bytes, how: str, once: bool = False) -> tuple[bytes, str]:
    """The body and how it is encoded: as asked, or plain where that makes it no smaller."""
    packed = ENCODERS[how](body, once)
    return (packed, how) if len(packed) < len(body) else (body, "identity")


def asked_for(scope: Scope) -> tuple[object, ...]:
    """All that Gradio's page hangs on: which one, and the address by which a visitor came. What
    stands behind a ? is for the browser: of Gradio's own only the links to stored states, of which
    this page has none."""
    asked = Headers(scope=scope)
    came = (scope.get(name) for name in ("scheme", "root_path", "path"))
    return encoding(asked), *(scope.get("server") or ()), *came, *map(asked.get, BY)


def known(asked: Headers, tag: str) -> bool:
    """Whether the browser says that it has the content that is named so."""
    return tag.removeprefix("W/") in re.findall(r'"[^"]*"', asked.get("if-none-match", ""))


class Front:
    """ASGI middleware: `launch(app_kwargs={"middleware": [Middleware(Front, ...)]})`.

    embed: whose frames may hold the page, as `embedders` gives it. quota: of what is uploaded.
    """

    def __init__(self, app: ASGIApp, health: Health, embed: str, quota: Quota):
        self.app, self.health, self.quota = app, health, quota
        self.headers = HEADERS | {"content-security-policy": f"{CSP}; frame-ancestors {embed}"}
        self.assets: dict[tuple[str, str], tuple[bytes, dict[str, str]]] = {}
        self.pages: dict[tuple[object, ...], tuple[bytes, dict[str, str]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if len(path) + len(scope.get("query_string", b"")) > LONGEST_PATH:
            answer = self.refused
        elif scope["method"] == "POST" and path == "/gradio_api/upload":
            answer = self.upload
        elif path == "/gradio_api/process_recording":  # leaves files where nobody sweeps
            answer = self.nothing
        elif scope["method"] not in ("GET", "HEAD"):
            answer = self.said
        elif path == "/healthz":
            answer = self.told
        elif re.fullmatch(r"/assets/[\w.-]{1,200}", path, re.ASCII):
            answer = self.asset  # one address a file: all are kept
        elif re.fullmatch(r"/|/theme\.css|/\w+\.js", path, re.ASCII):
            answer = self.page
        else:
            answer = self.passed
        begun = False

        async def sends(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await answer(scope, receive, sends)
        except ClientDisconnect:
            pass
        except Exception as error:
            log.error("an answer failed: %s", place_of(error))
            if not begun:
                await PlainTextResponse(FAILED, 500)(scope, receive, send)

    async def nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", 404)(scope, receive, send)

    async def refused(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(TOO_MUCH, 413)(scope, receive, send)

    async def said(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A question in JSON: of one that is too long no more is read."""
        came, commas, size = 0, 0, Headers(scope=scope).get("content-length", "")

        async def counting() -> Message:
            nonlocal came, commas
            message = await receive()
            piece = message.get("body", b"")
            came, commas = came + len(piece), commas + piece.count(b",")
            if came > MOST_SAID or commas > MOST_COMMAS:
                raise HTTPException(413, TOO_MUCH)
            return message

        if size.isascii() and size.isdecimal() and int(size) > MOST_SAID:
            await self.refused(scope, receive, send)
        else:
            await self.passed(scope, counting, send)

    async def told(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 200 if self.health.state == "ready" else 503
        answer = JSONResponse(asdict(self.health), status, {"cache-control": "no-store"})
        await answer(scope, receive, send)

    async def upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """So much of each visitor, counted before it comes or as it comes; and of a photograph
        nothing is left but the picture before anybody hears where it lies."""
        size = Headers(scope=scope).get("content-length", "")
        address = scope["client"][0] if scope.get("client") else ""
        came, counted, status, whole = 0, 0, 200, False
        held: list[Message] = []

        def count(more: int) -> None:
            nonlocal counted, status
            counted += more
            if counted > LARGEST:
                status = 413
            elif not has_room(more):
                status = 507
            elif not self.quota.take(address, more, time.monotonic()):
                status = 429

        async def counting() -> Message:
            nonlocal came, whole
            message = await receive()
            left = message["type"] == "http.disconnect" and not whole
            whole = whole or not message.get("more_body")
            came += len(message.get("body", b""))
            if came > counted:
                count(max(came - counted, PIECE))
            if status != 200 or left:
                raise MultiPartException("")  # then Gradio leaves nothing of it on the disk
            return message

        async def hold(message: Message) -> None:
            held.append(message)

        count(int(size) if size.isascii() and size.isdecimal() else PIECE)
        if status == 200:
            with suppress(MultiPartException):
                await self.passed(scope, counting, hold)
        if status != 200:
            await PlainTextResponse(REFUSED[status], status)(scope, receive, send)
            return
        start, *parts = held
        if start["status"] == 200:
            for path in json.loads(b"".join(part.get("body", b"") for part in parts)):
                await asyncio.to_thread(strip, Path(path))
        for message in held:
            await send(message)

    async def asset(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A file that Gradio was built with, named by its content: compressed once, kept."""
        how = encoding(Headers(scope=scope))
        key = scope["path"], how
        if key not in self.assets:
            answer = await self.whole({**scope, "headers": []}, receive)
            if answer.status_code != 200:
                return await answer(scope, receive, send)
            body, how = encoded(bytes(answer.body), how, once=True)
            headers = {"content-type": answer.headers["content-type"], "content-encoding": how}
            headers |= {"cache-control": FOREVER, "vary": "accept-encoding"}
            self.assets[key] = body, headers | {"x-content-type-options": "nosniff"}
        body, headers = self.assets[key]
        return await Response(body, 200, headers)(scope, receive, send)

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page, its colours, a script: made once for all, and sent to who does not have it."""
        key, asked = asked_for(scope), Headers(scope=scope)
        if key not in self.pages:
            answer = await self.whole({**scope, "query_string": b""}, receive)
            if answer.status_code != 200:
                return await answer(scope, receive, send)
            script = b"<head><script>" + SCRIPT + b"</script>"
            text = bytes(answer.body).replace(b"<head>", script, 1)
            body, how = encoded(text, encoding(asked))
            # weak: it names the content, however that is encoded
            named = {"etag": f'W/"{sha256(text).hexdigest()[:32]}"', "cache-control": NOW}
            kind = {"content-type": answer.headers["content-type"], "content-encoding": how}
            while len(self.pages) >= PAGES:
                del self.pages[next(iter(self.pages))]
            self.pages[key] = body, named | kind
        body, headers = self.pages[key]
        headers = self.headers | {"vary": "accept-encoding"} | headers
        if known(asked, headers["etag"]):
            del headers["content-type"], headers["content-encoding"]
            return await Response(status_code=304, headers=headers)(scope, receive, send)
        return await Response(body, 200, headers)(scope, receive, send)

    async def whole(self, scope: Scope, receive: Receive) -> Response:
        """An answer of Gradio's that is no stream, with its body."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app({**scope, "method": "GET"}, receive, collect)
        start, *parts = messages
        body = b"".join(part.get("body", b"") for part in parts)
        return Response(body, start["status"], dict(Headers(raw=start["headers"])))

    async def passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Anything else, as it comes, streams too; a file only to who does not have it."""
        asked, read = Headers(scope=scope), scope["method"] in ("GET", "HEAD")
        old = False

        async def dressed(message: Message) -> None:
            nonlocal old
            if old:  # what is left of what is not sent
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] == 503 and scope["path"].endswith("/queue/join"):
                    # for a full queue Gradio's page has words of its own; of a 422 it shows these
                    old = True
                    await JSONResponse({"detail": FULL}, 422)(scope, receive, send)
                    return
                for name, value in {**self.headers, "cache-control": NOW}.items():
                    headers.setdefault(name, value)
                tag = headers.get("etag", "none")
                old = read and message["status"] == 200 and known(asked, tag)
                if old:
                    del headers["content-length"], headers["content-type"]
                    await send({**message, "status": 304})
                    message = {"type": "http.response.body"}
            await send(message)

        await self.app(scope, receive, dressed)
