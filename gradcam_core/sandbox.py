"""A model that a stranger uploads runs in a process of its own, with limits on what it may take.

Questions go to it as Python objects. Nothing that comes back is unpickled: JSON, then numbers of
which this side knows how many there must be. When it dies or is late, the next question starts
another process.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, get_args

import numpy as np

from gradcam_core import BACKEND, SETTINGS, files, models
from gradcam_core.afar import Afar, arrays_for
from gradcam_core.types import (
    F32,
    Asked,
    Basis,
    Finding,
    Head,
    Layer,
    Meaning,
    ModelSpec,
    Placement,
    UserError,
)
from gradcam_core.upload import MAX_FILE

OPENING = 60.0  # seconds, until the model is there
SECONDS = 30.0  # for one answer
PROCESSES = 2  # at once; the one unused for longest is ended, and started again when it is asked
MEMORY = 2_000_000_000  # bytes; TensorFlow alone takes 300 million, ResNet50 700 million
MAX_MAPS = 600_000_000  # bytes that a model may make of one picture, all its layers together
MAX_WORDS = 5_000_000  # bytes of JSON

_living: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()  # last used, last
_counting = threading.Lock()
HOME = Path(__file__).resolve().parent.parent
ENVIRONMENT = {  # nothing of ours: a secret in it would be the model's
    **SETTINGS,
    **BACKEND,
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_HOME": os.devnull,
    "PATH": os.defpath,
    "PYTHONPATH": str(HOME),
}
LATE = (
    "The uploaded model took too long to answer and was stopped; choose a smaller model, or run "
    "this program on your own computer."
)
DEAD = (
    "The uploaded model was stopped while it was at work, most likely because it needs more memory "
    "than an upload may have; choose a smaller model, or run this program on your own computer."
)
BROKEN = (
    "The uploaded model gave an answer that makes no sense; save the model again with "
    "model.save('my.keras') and upload that file."
)
GONE = "The uploaded model's file is no longer here; upload it again."


def available() -> bool:
    """Whether this system can limit what a process takes. If not, take no uploads."""
    return find_spec("resource") is not None


class ModelProcess(Afar):
    """An uploaded model in its own process; it answers what a `network.Network` answers.

    `spec` is its row; shape, classes, head, layers, best, suggested and places are a Network's.
    Every question may raise a UserError. Safe under threads: one question at a time.
    """

    def __init__(
        self,
        path: str | Path,
        labels: Sequence[str] | None = None,
        preprocess: str | None = None,
        head: Head | None = None,
    ):
        files.check_upload(path)
        names = labels if labels is None else list(labels)
        self._order = (Path(path).resolve(), names, preprocess, head)
        self._lock = threading.Lock()
        self._end: Any = None
        with self._lock:
            said = self._start()
            _make_room(self)
            try:
                self._describe(said)
            except Exception as error:  # it may say anything
                self._stop()
                raise UserError(BROKEN) from error

    def _describe(self, said: Any) -> None:
        """Take over what the process says of the model. Raises anything if it makes no sense."""
        layers = [
            Layer(name, _sides(shape), kind, poor, suggested, _placed(*more[:1]), _count(*more[1:]))
            for name, shape, kind, poor, suggested, *more in said["layers"]
        ]
        self.shape = _sides(said["shape"])
        self.layers = {layer.name: layer for layer in layers}
        self.head: Head = said["head"]
        percent, score = said.get("meaning", (True, ""))
        self.meaning = Meaning(self.head, percent, score)
        self.best: str = said["best"]
        self.suggested = tuple(layer.name for layer in layers if layer.suggested)
        labels, notes = tuple(said["labels"]), tuple(said["notes"])
        findings = tuple(_finding(*about) for about in said["findings"])
        self.classes = len(labels)
        words = [said["title"], *labels, *notes, score, *(found.why for found in findings)]
        words += [word for layer in layers for word in (layer.name, layer.kind, layer.poor)]
        if not (
            self.head in ("softmax", "sigmoid", "linear")
            and isinstance(percent, bool)
            and self.best in self.spatial_layers
            and 4 * sum(math.prod(self.layers[n].shape) for n in self.suggested) <= MAX_MAPS
            and self.classes == len(set(labels)) == said["classes"]
            and all(len(word) <= 400 and word.isprintable() for word in words)
            and not any(re.search(r"[<>&\"'`]", layer.name + layer.kind) for layer in layers)
        ):
            raise ValueError
        self.spec = ModelSpec(
            title=said["title"],
            build=_not_here,
            preprocess=lambda rgb: self._ask("prepare", (rgb,), self.shape)[0],
            size=max(self.shape[:2]),
            labels=labels,
            shape=self.shape,
            notes=notes,
            findings=findings,
            crop=said.get("crop") is True,
            asked=lambda: self,
        )

    def told(self, head: Head) -> "ModelProcess":
        """The same network, whose numbers are said to mean this, in a process more."""
        return ModelProcess(*self._order[:3], head)

    def saved(self, about: dict[str, Any]) -> bytes:
        """The model as a .keras file of today, as its process writes it: not judged.

        about: what the file says of it.
        """
        with self._lock:
            self._revive()
            return self._exchange(("saved", (about,)), SECONDS, (), True)[0]["content"]

    def close(self) -> None:
        """End the process. Another question would start another."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._end:
            self._end()
        self._end = None

    def _start(self) -> Any:
        """A new process with the model in it; what it says of the model."""
        if not self._order[0].is_file():
            raise UserError(GONE)
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gradcam_core.sandbox", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd=HOME,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._end = weakref.finalize(self, _end, self._process, self._pipe)
        try:
            return self._exchange(self._order, OPENING, ())[0]
        except UserError:
            self._stop()
            raise

    def _ask(self, kind: str, arguments: tuple[Any, ...], *shapes: tuple[int, ...]) -> list[F32]:
        with self._lock:
            self._revive()
            return self._exchange((kind, arguments), SECONDS, shapes)[1]

    def _revive(self) -> None:
        if self._end is None or self._process.poll() is not None:
            self._stop()
            self._start()
        _make_room(self)

    def _exchange(
        self,
        question: Any,
        seconds: float,
        shapes: Sequence[tuple[int, ...]],
        with_content: bool = False,
    ) -> tuple[Any, list[F32]]:
        """A question and its answer: words, and an array of each of these shapes; with_content: a
        file, too."""
        start = time.monotonic()
        timer = threading.Timer(seconds, _kill, (self._process,))  # also where it stops half-way
        timer.start()
        try:
            self._pipe.send(question)
            said = json.loads(self._pipe.recv_bytes(MAX_WORDS))
            error = said.get("error")
            arrays = [_array(self._pipe, shape) for shape in shapes if error is None]
            if with_content and error is None:
                said["content"] = self._pipe.recv_bytes(MAX_FILE)
        except (OSError, EOFError) as problem:
            self._stop()
            raise UserError(LATE if time.monotonic() - start >= seconds else DEAD) from problem
        except Exception as problem:  # it may send anything
            self._stop()
            raise UserError(BROKEN) from problem
        finally:
            timer.cancel()
        if error is None:
            return said, arrays
        sensible = isinstance(error, str) and len(error) <= 600 and error.isprintable()
        raise UserError(error if sensible else BROKEN)


def _make_room(newest: ModelProcess) -> None:
    """End what was unused for longest until there are few enough; who is at work goes on."""
    with _counting:
        _living.pop(newest, None)
        _living[newest] = None
        for child in list(_living)[:-PROCESSES]:
            if child._lock.acquire(blocking=False):
                try:
                    child._stop()
                    del _living[child]
                finally:
                    child._lock.release()


def _array(pipe: Connection, shape: tuple[int, ...]) -> F32:
    data = pipe.recv_bytes(4 * math.prod(shape))
    array = np.frombuffer(data, np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError
    return array


def _sides(shape: Any) -> tuple[int, int, int]:
    h, w, k = shape
    if not all(isinstance(n, int) and 0 < n < 10**6 for n in (h, w, k)) or 4 * h * w * k > MAX_MAPS:
        raise ValueError
    return h, w, k


def _finding(kind: Any, taken: Any, basis: Any, why: Any, options: Any) -> Finding:
    """What it says of itself in names that are known. Raises ValueError for others."""
    names = {"preprocess": (*models.PREPROCESS, "own"), "head": get_args(Head)}[kind]
    if basis not in get_args(Basis) or not {taken, *options} <= set(names):
        raise ValueError
    return Finding(kind, taken, basis, why, tuple(options))


def _placed(numbers: Any = None) -> Placement | None:
    """The six numbers of a placement, or None."""
    if numbers is None:
        return None
    a, b, c, d, e, f = numbers
    if not all(type(n) in (int, float) and abs(n) < 1e6 for n in numbers) or a * e == b * d:
        raise ValueError
    return Placement((a, b, c), (d, e, f))


def _count(number: Any = None) -> int | None:
    if number is not None and not (type(number) is int and 0 <= number < 10**6):
        raise ValueError
    return number


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it may have started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes], pipe: Connection) -> None:
    _kill(process)
    process.wait()
    pipe.close()


def _not_here(_file: Path | None) -> Any:
    raise UserError("An uploaded model runs in a process of its own and is not built here.")


# ---- what runs in that process -------------------------------------------------------------------


def serve(pipe: Connection) -> None:
    """Open the model that is asked for, then answer questions until the other side is gone."""
    import resource

    def no_more(what: int, amount: int) -> None:
        resource.setrlimit(what, (amount, amount))

    def more_time(seconds: float) -> None:
        until = math.ceil(time.process_time() + seconds * (os.cpu_count() or 1))
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))

    order = pipe.recv()
    no_more(resource.RLIMIT_DATA, MEMORY)
    no_more(resource.RLIMIT_CORE, 0)
    more_time(OPENING)
    import gradcam_core.network  # noqa: F401  # TensorFlow tries to write a file when it is loaded

    no_more(resource.RLIMIT_FSIZE, 0)
    try:
        spec, net, said = _opened(*order)
    except Exception as error:
        _send(pipe, {"error": _sentence(error)})
        return
    _send(pipe, said)
    while True:
        kind, arguments = pipe.recv()
        more_time(SECONDS)
        try:
            content = models.saved(spec, *arguments) if kind == "saved" else b""
            arrays = [] if content else arrays_for(spec, net, kind, *arguments)
        except Exception as error:
            _send(pipe, {"error": _sentence(error)})
        else:
            _send(pipe, {}, arrays)
            if content:
                pipe.send_bytes(content)


def _opened(
    path: Path,
    labels: list[str] | None,
    preprocess: str | None,
    head: Head | None = None,
) -> tuple[ModelSpec, Asked, Any]:
    """The row, the Network, and what is said of them; refused before it is run if it is costly."""
    from gradcam_core.network import Network

    spec = models.load_file(path, labels, preprocess, head, most=MAX_MAPS)
    assert spec.shape
    net: Asked = Network(spec.build(None), spec.shape, head=spec.head, meaning=spec.meaning)
    told: dict[str, Any] = {"title": spec.title, "labels": spec.labels, "notes": spec.notes}
    told["shape"] = net.shape
    told["crop"] = spec.crop
    told["findings"] = [(f.kind, f.taken, f.basis, f.why, f.options) for f in spec.findings]
    layers = [
        (
            x.name,
            x.shape,
            x.kind,
            x.poor,
            x.suggested,
            x.placement and x.placement.numbers,
            x.leading,
        )
        for x in net.layers.values()
    ]
    found = {"classes": net.classes, "head": net.head, "best": net.best, "layers": layers}
    meaning = {"meaning": (net.meaning.percent, net.meaning.score)}
    return spec, net, told | found | meaning


def _sentence(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, MemoryError) or "ResourceExhausted" in type(cause).__name__:
        return DEAD
    return str(error) if isinstance(error, UserError) else BROKEN


def _send(pipe: Connection, words: Any, arrays: Sequence[F32] = ()) -> None:
    pipe.send_bytes(json.dumps(words).encode())
    for array in arrays:
        pipe.send_bytes(np.ascontiguousarray(array, np.float32).tobytes())


if __name__ == "__main__":
    try:
        serve(Connection(int(sys.argv[1])))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit()
