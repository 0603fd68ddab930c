"""The door for HDF5 files, and for a zip with one: a model's description and its numbers.

They are read in a process of its own, with limits where the system has them: nothing that the file
names is opened, loaded or run. Words come back as JSON, then the numbers of which this says how
many there must be.
"""

import json
import math
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam_core.types import UserError
from gradcam_core.upload import MAX_FILE, MAX_JSON, MAX_RATIO, SWOLLEN, TOO_LARGE

_HOME = Path(__file__).resolve().parent.parent
START = b"\x89HDF\r\n\x1a\n"
_READER = {"PYTHONPATH": str(_HOME), "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
_MEMORY = 1_000_000_000  # bytes
TIME = 30  # seconds
MAX_PARTS = 20_000  # groups, data sets and attributes
MAX_MEMBERS = 100  # of a zip
MAX_TEXT = 1_000_000  # bytes, of a list of names
FILTERS = {1, 2, 3}  # gzip, shuffle, a checksum
NUMBER = re.compile(r"[<|=][fiu][1248]")
MODEL = re.compile(r".+\.(h5|hdf5)", re.IGNORECASE)

UNREAD = (
    "The model file could not be read, because it is damaged, or no HDF5 file of Keras; save or "
    "export the model again."
)
LINKS = (
    "The model file takes a part of itself from somewhere else, by a link, and such a file is not "
    "opened; save the model again with model.save('my.keras')."
)
WEIGHTS_ONLY = (
    "This file holds only the weights of a model and not how its layers are joined; in the program "
    "that made it, save the whole model with model.save('my.keras')."
)
NO_MODEL_IN_ZIP = (
    "This zip holds no keras_model.h5; in Teachable Machine choose Export Model, Tensorflow, "
    "Keras, Download my model, and give the zip as it comes."
)
TWO_MODELS = "This zip holds more than one model; give a zip or a file with one."
STRANGE_NAMES = (
    "This zip has parts whose names lead out of it, so it is not opened; download the zip from "
    "Teachable Machine again and give it as it comes."
)
TOO_LONG = (
    "Reading the model file took too long, and was stopped; save the model again with "
    "model.save('my.keras')."
)


class Parts(NamedTuple):
    """What a file holds of a model."""

    description: str  # JSON
    version: str  # of the Keras that wrote it; "1": before they were noted
    layers: list[tuple[str, dict[str, NDArray[Any]]]]  # of the outermost model, in its order
    labels: str  # what stands in the labels.txt beside it


_slots = threading.BoundedSemaphore(2)


def read_parts(path: str | Path, limit: float = MAX_FILE) -> Parts:
    """What an HDF5 file, or the one in a zip, holds of a model. Raises a UserError.

    limit: bytes, of the file and of what it unpacks to; with math.inf nothing is limited but for
    what only a damaged file has.
    """
    if Path(path).stat().st_size > limit:
        raise UserError(TOO_LARGE)
    needed = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ}
    with _slots, open(path, "rb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradcam_core.hdf5", str(limit)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=needed | _READER,
            cwd=_HOME,
        )
        timer = threading.Timer(TIME if math.isfinite(limit) else 600, process.kill)
        timer.start()
        try:
            return _taken(process.stdout, limit)
        except UserError:
            raise
        except Exception as error:  # it may have been stopped, or say anything
            late = not timer.is_alive()
            raise UserError(TOO_LONG if late else UNREAD) from error
        finally:
            timer.cancel()
            with suppress(OSError):
                process.kill()
            process.communicate()


def _taken(stream: Any, limit: float) -> Parts:
    """The other side of `_give`."""
    said = json.loads(stream.readline(2 * MAX_JSON))
    if "error" in said:
        sensible = len(said["error"]) < 400 and said["error"].isprintable()
        raise UserError(said["error"] if sensible else UNREAD)
    layers, left = [], limit
    for layer, weights in said["layers"]:
        numbers = {}
        for name, shape, kind in weights:
            if not NUMBER.fullmatch(kind) or not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError
            left -= math.prod(shape) * np.dtype(kind).itemsize
            if left < 0:
                raise ValueError
            data = stream.read(math.prod(shape) * np.dtype(kind).itemsize)
            numbers[str(name)] = np.frombuffer(data, kind).reshape(shape)
        layers.append((str(layer), numbers))
    return Parts(str(said["description"]), str(said["version"]), layers, str(said["labels"]))


# ---- what runs in that process -------------------------------------------------------------------


def main(limit: float) -> None:
    """Standard input, an HDF5 file or a zip with one, to standard output."""
    with suppress(ImportError):  # a system without limits
        import resource

        if math.isfinite(limit):
            resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (TIME, TIME))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        for piece in _give(sys.stdin.buffer, limit):
            sys.stdout.buffer.write(piece)
    except UserError as error:
        sys.stdout.buffer.write(json.dumps({"error": str(error)}).encode() + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)  # to close the file in order would take a third of all the time


def _give(file: Any, limit: float) -> Iterator[bytes]:
    """One line of JSON, then the numbers."""
    import h5py

    labels = ""
    try:
        if file.read(len(START)) != START:
            content, labels = _unzipped(file, limit)
            file = BytesIO(content)
        file.seek(0)
        h5 = h5py.File(file, "r")
        _look_through(h5, limit)
        if "model_config" not in h5.attrs:
            raise UserError(WEIGHTS_ONLY if _only_weights(h5) else UNREAD)
        description, version = (_text(h5.attrs, name) for name in ("model_config", "keras_version"))
        root = h5["model_weights"]
        layers = [
            (name, [(weight, root[name][weight]) for weight in _names(root[name], "weight")])
            for name in _names(root, "layer")
        ]
        said = {
            "description": description,
            "version": version,
            "labels": labels,
            "layers": [
                (name, [(w, a.shape, a.dtype.newbyteorder("=").str) for w, a in weights])
                for name, weights in layers
            ],
        }
        yield json.dumps(said).encode() + b"\n"
        for _, weights in layers:
            for _, a in weights:
                numbers = np.asarray(a[()])
                yield np.ascontiguousarray(numbers.astype(a.dtype.newbyteorder("="))).tobytes()
    except UserError:
        raise
    except Exception as error:  # of bytes that may be anything
        raise UserError(UNREAD) from error


def _unzipped(file: Any, limit: float) -> tuple[bytes, str]:
    """The one model of a zip, and its labels.txt. Nothing is written anywhere."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and "__MACOSX" not in m.filename]
        if len(members) > MAX_MEMBERS:
            raise UserError(NO_MODEL_IN_ZIP)
        if any(
            ".." in m.filename.split("/") or m.filename.startswith("/") or "\\" in m.filename
            for m in members
        ):
            raise UserError(STRANGE_NAMES)
        models = [m for m in members if MODEL.fullmatch(m.filename)]
        if len(models) != 1:
            raise UserError(TWO_MODELS if models else NO_MODEL_IN_ZIP)
        texts = [m for m in members if m.filename.rpartition("/")[2] == "labels.txt"]
        content = _member(archive, models[0], limit)
        text = _member(archive, texts[0], MAX_TEXT) if texts else b""
    return content, text.decode("utf-8-sig", "replace")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: float) -> bytes:
    if member.file_size > limit:
        raise UserError(TOO_LARGE)
    if member.file_size > MAX_RATIO * member.compress_size + 1_000:
        raise UserError(SWOLLEN)
    return archive.read(member)


def _look_through(h5: Any, limit: float) -> None:
    """Raise a UserError for whatever leads out of this file, or claims to be larger than it is."""
    import h5py

    parts, total = 0, 0
    met = set()
    groups = [h5]
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(LINKS)
            part = group[name]
            place = h5py.h5o.get_info(part.id).addr
            parts += 1 + len(part.attrs)
            if parts > MAX_PARTS:
                raise UserError(UNREAD)
            if place in met:
                continue
            met.add(place)
            if isinstance(part, h5py.Group):
                groups.append(part)
                continue
            if not isinstance(part, h5py.Dataset):
                raise UserError(UNREAD)
            made = part.id.get_create_plist()
            if part.is_virtual or part.external:
                raise UserError(LINKS)
            if {made.get_filter(n)[0] for n in range(made.get_nfilters())} - FILTERS:
                raise UserError(UNREAD)
            if part.dtype.kind not in "fiu":
                raise UserError(UNREAD)
            size = math.prod(part.shape) * part.dtype.itemsize
            total += size
            if total > limit:
                raise UserError(TOO_LARGE)
            if size > MAX_RATIO * part.id.get_storage_size() + 1_000:
                raise UserError(SWOLLEN)


def _only_weights(h5: Any) -> bool:
    return "layer_names" in h5.attrs or "layers" in h5 or "_layer_checkpoint_dependencies" in h5


def _text(attributes: Any, name: str) -> str:
    said = attributes.get(name, "1")
    return said.decode() if isinstance(said, bytes) else str(said)


def _names(group: Any, of: str) -> Sequence[str]:
    """An attribute that Keras cuts into pieces where it is long."""
    key = f"{of}_names"
    pieces = [key] if key in group.attrs else []
    while f"{key}{len(pieces)}" in group.attrs:
        pieces.append(f"{key}{len(pieces)}")
    found = [name for piece in pieces for name in group.attrs[piece]]
    if len(found) > MAX_PARTS:
        raise UserError(UNREAD)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]


if __name__ == "__main__":
    main(float(sys.argv[1]))
