"""The room that gets files of weights: found and verified, or fetched once and verified.

A file is believed only after its content was checked: digest, signature and length. It appears
under its name in one step (a rename), so a file that is half there never has that name.
"""

import errno
import hashlib
import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.client import HTTPException, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from gradcam_core.types import UserError, WeightsFile

STALL = 30.0  # seconds without a byte
LOCK_WAIT = 3600.0  # seconds for another process to finish the same file
KNOCK = 5.0  # seconds for a server to say that it is there
CHUNK = 1 << 20  # bytes
MEGABYTE = 1_000_000  # bytes
HDF5 = b"\x89HDF\r\n\x1a\n"

REASONS: dict[type[Exception], str] = {  # the first that fits
    URLError: "there is no connection",
    Timeout: "another process has been fetching it for too long",
    TimeoutError: "the connection is too slow",
    HTTPException: "the connection broke off",
    ConnectionError: "the connection broke off",
    ssl.SSLError: "the connection broke off",
    PermissionError: "the folder for weights cannot be used",
}

_trusted: dict[tuple[Path, str], tuple[int, int]] = {}  # path, digest -> size, mtime when checked
_out_of_reach: dict[str, str] = {}  # address or its server -> why nothing came, the last time


class _FetchError(Exception):
    """Why a file could not be fetched, in words that follow "because"."""


def folder() -> Path:
    """The folder that takes new files; one of our own in the temp directory if need be."""
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        wanted = _wanted()
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    user = getattr(os, "getuid", int)()
    spare = Path(tempfile.gettempdir(), f"gradcam-weights-{user}")
    spare.mkdir(mode=0o700, exist_ok=True)
    if spare.lstat().st_uid != user:  # somebody else could put files there
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return spare


def present(file: WeightsFile) -> bool:
    """Whether a file that looks finished is there. Cheap: its digest is not computed."""
    try:
        return any(_looks_whole(place / file.name) for place in _places())
    except OSError:
        return False


def out_of_reach(file: WeightsFile) -> str:
    """Why nothing came when this file, or its server, was last asked; empty: no reason is known."""
    return _out_of_reach.get(file.url) or _out_of_reach.get(_server(file.url), "")


def probe_servers(files: Iterable[WeightsFile]) -> None:
    """Ask the server of each of these files whether it answers, once a server; fetch nothing."""
    for server, url in {_server(file.url): file.url for file in files}.items():
        try:
            urlopen(Request(url, method="HEAD"), timeout=KNOCK).close()
        except HTTPError as error:
            error.close()  # an answer, too: only to fetch the file shows what it is worth
        except (ValueError, InvalidURL):
            continue  # a wrong address or proxy: to fetch the file says so
        except (OSError, HTTPException) as error:
            _out_of_reach[server] = _reason(error)
            continue
        _out_of_reach.pop(server, None)


def fetch(file: WeightsFile, title: str, progress: Callable[[float], None] | None = None) -> Path:
    """The finished, verified file; fetched if it is not there.

    title: what needs it, for the sentence on failure. progress: called with the part done, 0..1.
    """
    try:
        for place in _places():
            if _verified(place / file.name, file.digest):
                return place / file.name
        path = folder() / file.name
        with FileLock(path.with_name(file.name + ".lock"), timeout=LOCK_WAIT):
            if not _verified(path, file.digest):  # else another process was faster
                _replace(path, file, progress or (lambda _fraction: None))
        _out_of_reach.pop(file.url, None)
        _out_of_reach.pop(_server(file.url), None)
        return path
    except (OSError, HTTPException, _FetchError) as error:
        reason = _reason(error)
        unreached = isinstance(error, URLError) and not isinstance(error, HTTPError)
        _out_of_reach[_server(file.url) if unreached else file.url] = reason
        raise UserError(
            f"{title} needs the file {file.name} ({file.megabytes:.0f} MB), which could not be "
            f"fetched because {reason}; choose another network, or put the file from {file.url} "
            "into the folder named by GRADCAM_WEIGHTS_DIR where this program runs."
        ) from error


def _wanted() -> Path:
    """The folder that was asked for, else that of Keras, so that what it fetched is used."""
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras", "models")
    return Path(os.environ.get("GRADCAM_WEIGHTS_DIR") or keras).expanduser()


def _places() -> list[Path]:
    """Where a file may be: also in a folder that can be read but not written."""
    try:
        return [_wanted(), folder()]
    except RuntimeError:
        return [folder()]


def _looks_whole(path: Path) -> bool:
    """Whether it can be read, is HDF5 and is not shorter than it says itself."""
    try:
        with path.open("rb") as stream:
            head = stream.read(48)
    except OSError:
        return False
    if not head.startswith(HDF5):
        return False
    if head[8:9] == b"\0" and head[13:14] == b"\x08":  # superblock 0, addresses of 8 bytes
        return int.from_bytes(head[40:48], "little") <= path.stat().st_size  # its end of file
    return True


def _verified(path: Path, digest: str) -> bool:
    """Whether the content is right; read in full once, then trusted while it is unchanged."""
    if not _looks_whole(path):
        return False
    stat = path.stat()
    state = stat.st_size, stat.st_mtime_ns
    if _trusted.get((path, digest)) == state:
        return True
    if digest:
        with path.open("rb") as stream:
            make = hashlib.md5 if len(digest) == 32 else hashlib.sha256
            found = hashlib.file_digest(stream, lambda: make(usedforsecurity=False))
        if found.hexdigest() != digest.lower():
            return False
    _trusted[path, digest] = state
    return True


def _replace(path: Path, file: WeightsFile, progress: Callable[[float], None]) -> None:
    """Put a fresh, verified file there, and what was there aside. The lock is held."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # left by a process that was killed
    if path.exists():
        path.replace(path.with_name(path.name + ".damaged"))
    try:
        _download(file, part, progress)
        if not _verified(part, file.digest):
            raise _FetchError("the server sent the wrong content")
        part.replace(path)
        _trusted[path, file.digest] = _trusted.pop((part, file.digest))  # size, mtime are kept
    finally:
        part.unlink(missing_ok=True)
    progress(1.0)


def _download(file: WeightsFile, part: Path, progress: Callable[[float], None]) -> None:
    """The body of the answer, on the disk. Its content is not looked at."""
    if not _web(file.url):
        raise _FetchError("its address does not begin with http:// or https://")
    expected = int(file.megabytes * MEGABYTE)
    if shutil.disk_usage(part.parent).free < expected:
        raise _FetchError("the disk is full")
    try:
        response = urlopen(file.url, timeout=STALL)
    except (ValueError, InvalidURL) as error:
        raise _FetchError("its address or the proxy setting is wrong") from error
    with response, part.open("xb") as out:
        if not _web(response.url):
            raise _FetchError("the server pointed to another kind of address")
        length: int | None = response.length
        if length is None and not file.digest:
            raise _FetchError("the server sent no length")  # no way to know that it is whole
        done, shown = 0, 0.0
        while chunk := response.read1(CHUNK):  # what is there: read() would wait for all of it
            done += len(chunk)
            if max(done, length or 0) > 2 * expected:
                raise _FetchError("the server sent far more than expected")
            out.write(chunk)
            fraction = min(done / (length or expected), 1.0)
            if shown + 0.01 <= fraction < 1:  # it is 1 when the content was checked, too
                shown = fraction
                progress(fraction)
        if length is not None and done != length:
            raise _FetchError("the connection broke off")
        out.flush()
        os.fsync(out.fileno())


def _server(url: str) -> str:
    return urlsplit(url).netloc


def _web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _reason(error: Exception) -> str:
    """The few words that follow "because". No path: the page shows them."""
    if isinstance(error, _FetchError):
        return str(error)
    if isinstance(error, HTTPError):
        error.close()
        return f"the server said {error.code}"
    if isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError):
        return "the connection is not secure"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    for kind, words in REASONS.items():
        if isinstance(error, kind):
            return words
    return f"the system said: {getattr(error, 'strerror', None) or type(error).__name__}"
