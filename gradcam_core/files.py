"""A file of a model, whoever wrote it: KINDS, one row a kind.

A row says how the kind is recognised, by its shape and not by its name, and how it is read, or in a
sentence where to go instead.
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcam_core import hdf5, keras2, teachable, upload
from gradcam_core.types import F32, UserError

if TYPE_CHECKING:
    import keras

TOLD, MARK = "metadata.json", "gradcam_lab"  # where in a .keras file more is told, and by whom
MAX_EXPORT = 20_000_000  # bytes; 2.5 million are usual
_EXPORT = "choose Export Model, Tensorflow, Keras, Download my model"
NOT_FETCHED = (
    "A model is not fetched from the network here; download its file and give the name of that."
)
NOT_THERE = "The model file does not exist; check its name."
FOLDER = "This is a folder; give the model file that is in it."
SAVED_MODEL = (
    "This folder is a SavedModel, which holds the operations of a model without its layers; in the "
    "program that made it, save the model itself with model.save('my.keras')."
)
NOT_LOADED = (
    "The model file could not be loaded: it is damaged, or holds code or layers of its own, which "
    "are not run; save a model of Keras's own layers as .keras."
)
NOTHING_CAME = "Nothing came in by standard input; hand a model's file in there, or give its name."
NO_MODULE = "The module with your own classes could not be run; check its name and its code."
MODELLESS = (
    "This file of TensorFlow holds a model without the Python that it was made of; in the program "
    "that made it, save the model of Keras itself with model.save('my.keras')."
)


class Pixels(NamedTuple):
    """How a model is given its pixels, as its file says or its kind."""

    preprocess: str  # a name of models.PREPROCESS, if the file tells the truth
    crop: bool  # the middle of the picture only
    why: str = ""  # in a sentence; empty: because the file says so


class Opened(NamedTuple):
    """What a file holds: a model of Keras, or the numbers of an export of Teachable Machine."""

    model: "keras.Model | None"
    export: Sequence[F32] = ()
    labels: str = ""  # as the file has them
    pixels: Pixels | None = None  # None: nothing is said
    notes: tuple[str, ...] = ()  # what was changed to read it


AS_TRAINED = Pixels("scale11", True, teachable.SCALED)


class Trust(NamedTuple):
    """How far the owner of a file trusts it, or how little a stranger's is."""

    limit: float = np.inf  # bytes, of a stranger's file, which is judged; inf: an own one
    code: bool = False  # whether code inside it may be run
    custom: Path | None = None  # a Python module with classes that it needs

    @property
    def own(self) -> bool:
        return self.limit == np.inf


class Given(NamedTuple):
    """What can be seen of a file before it is read."""

    path: Path
    start: bytes  # its first bytes
    members: frozenset[str]  # of a zip: names, without folders


@dataclass(frozen=True)
class Kind:
    """One kind of file: how it is recognised, and how it is read, or why it is not."""

    known: Callable[[Given], bool]
    read: Callable[[Path, Trust], Opened] | None = None
    why: str = ""


def open_file(path: str | Path, trust: Trust = Trust()) -> Opened:  # noqa: B008 (it is frozen)
    """What a model's file holds. Raises a UserError."""
    given = seen(at_hand(path))
    kind = next(kind for kind in KINDS if kind.known(given))
    if kind.read is None:
        raise UserError(kind.why)
    return kind.read(given.path, trust)


def at_hand(path: str | Path) -> Path:
    """The file of that name, or a sentence that says what it is instead."""
    if "://" in str(path) or str(path).startswith(("http:", "https:")):
        raise UserError(NOT_FETCHED)
    if str(path) == "-":
        return _from_standard_input()
    path = Path(path)
    if path.is_dir():
        raise UserError(SAVED_MODEL if (path / "saved_model.pb").is_file() else FOLDER)
    if not path.is_file():
        raise UserError(NOT_THERE)
    return path


_standing_in: list[tempfile.TemporaryDirectory[str]] = []  # for files that came by a pipe


def _from_standard_input() -> Path:
    content = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    if not content:
        raise UserError(NOTHING_CAME)
    _standing_in.append(tempfile.TemporaryDirectory())
    path = Path(_standing_in[-1].name, "model")
    path.write_bytes(content)
    return path


def seen(path: Path) -> Given:
    with path.open("rb") as file:
        start = file.read(16)
    names: list[str] = []
    if start.startswith(b"PK"):
        with suppress(Exception), zipfile.ZipFile(path) as archive:  # bytes that may be anything
            names = [name.rpartition("/")[2] for name in archive.namelist()]
    return Given(path, start, frozenset(names))


def check_upload(path: str | Path) -> None:
    """Raise a UserError unless a stranger's file may go on to a process of its own."""
    given = seen(at_hand(path))
    kind = next(kind for kind in KINDS if kind.known(given))
    if kind.read is None:
        raise UserError(kind.why)
    if kind.read is _read_keras:
        with _named():
            upload.admit(path)


@contextmanager
def _named() -> Iterator[None]:
    """A part that strangers' files may not hold, by the name of its layer."""
    try:
        yield
    except upload.UnknownPart as error:
        if not all(map(upload.NAME.fullmatch, (error.layer, error.kind))):
            raise
        raise UserError(
            f"The layer {error.layer} is a {error.kind}, which is not on the list of what an "
            "upload may hold; build the model without it, or run this program on your own "
            "computer and give the file by --model."
        ) from error


def export_in(path: str | Path) -> Opened | None:
    """What a stranger's file holds, if it is an export of Teachable Machine; None: another kind.

    Nothing of it is run, so it needs no process. Raises a UserError.
    """
    given = seen(at_hand(path))
    if _is_keras(given) or not (_is_hdf5(given) or _is_zip_of_hdf5(given)):
        return None
    parts = hdf5.read_parts(path, MAX_EXPORT)
    if not teachable.is_export(keras2.parsed(parts.description)):
        return None
    return Opened(None, teachable.numbers_of(parts), parts.labels, AS_TRAINED)


def _is_hdf5(given: Given) -> bool:
    return given.start.startswith(hdf5.START[:4])


def _is_keras(given: Given) -> bool:
    named = given.path.suffix.lower() == ".keras" and not _is_hdf5(given)
    return "config.json" in given.members or named


def _is_zip_of_hdf5(given: Given) -> bool:
    return any(hdf5.MODEL.fullmatch(f"/{name}") for name in given.members)


def _holds(*names: str) -> Callable[[Given], bool]:
    return lambda given: bool(given.members & set(names))


def _starts(*starts: bytes, at: int = 0) -> Callable[[Given], bool]:
    return lambda given: given.start[at:].startswith(starts)


def _ends(*suffixes: str) -> Callable[[Given], bool]:
    return lambda given: given.path.suffix.lower() in suffixes


def _read_hdf5(path: Path, trust: Trust) -> Opened:
    parts = hdf5.read_parts(path, trust.limit)
    described = keras2.parsed(parts.description)
    pixels = AS_TRAINED if teachable.is_export(described) else None
    if pixels:
        with suppress(UserError):
            return Opened(None, teachable.numbers_of(parts), parts.labels, pixels)
    with _loading(trust, described, parts.version):
        description, changes = keras2.modern(described)
        if not trust.own:
            with _named():
                upload.judge(description)
        model = keras2.opened(parts, description, not trust.code)
    notes = (keras2.repaired(changes, parts.version),) if changes else ()
    return Opened(model, (), parts.labels, pixels, notes)


def _read_keras(path: Path, trust: Trust) -> Opened:
    from keras.src.saving import saving_lib

    with _named():
        look = upload.described if trust.own else upload.admit
        description, changes, by = look(path, trust.limit)
    file: Any = BytesIO(_with(path, description)) if changes else path.open("rb")
    with file, _loading(trust, description, by):  # by its name Keras would refuse MY.KERAS
        safe = not trust.code
        model = saving_lib._load_model_from_fileobj(file, None, compile=False, safe_mode=safe)
    labels, pixels = told_in(path)
    if teachable.is_export(description):
        pixels = pixels or AS_TRAINED
    return Opened(model, (), labels, pixels, (keras2.repaired(changes, by),) if changes else ())


def with_told(content: BytesIO, about: dict[str, Any]) -> bytes:
    """A .keras file that also says this of its model; other programs do not look at it."""
    with zipfile.ZipFile(content, "a") as archive:
        said = json.loads(archive.read(TOLD)) | {MARK: about}
        archive.filelist.remove(archive.NameToInfo.pop(TOLD))
        archive.writestr(TOLD, json.dumps(said))
    return content.getvalue()


def told_in(path: Path) -> tuple[str, Pixels | None]:
    """The class names in a .keras file, and how its model is given its pixels, as `with_told` put
    them there; nothing, where they make no sense."""
    with zipfile.ZipFile(path) as archive:
        said = json.loads(archive.read(TOLD)).get(MARK)
    said = said if isinstance(said, dict) else {}
    names, preprocess = said.get("labels"), said.get("preprocess")
    sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
    pixels = Pixels(preprocess, said.get("crop") is True) if isinstance(preprocess, str) else None
    return json.dumps(names) if sound else "", pixels


@contextmanager
def _loading(trust: Trust, description: Any, by: str) -> Iterator[None]:
    """Keras loads a model here, with the owner's classes; what it raises becomes a sentence."""
    import keras

    own = _classes_of(trust.custom) if trust.custom else {}
    try:
        with keras.saving.custom_object_scope(own):
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(_why(description, by) if trust.own else NOT_LOADED) from error


def _classes_of(module: Path) -> dict[str, Any]:
    """What a module of the owner defines: its classes and functions, by name."""
    try:
        found = spec_from_file_location(module.stem, module)
        assert found
        assert found.loader
        made = module_from_spec(found)
        found.loader.exec_module(made)
    except Exception as error:  # another's code may raise anything
        raise UserError(NO_MODULE) from error
    own = {n: x for n, x in vars(made).items() if getattr(x, "__module__", "") == module.stem}
    return own | {f"Custom>{name}": x for name, x in own.items()}


def _why(description: Any, by: str) -> str:
    """Why Keras may not have loaded an own file, and what helps."""
    for layer in _layers_in(description):
        name, kind = layer["config"].get("name", "?"), str(layer["class_name"])
        if not all(map(upload.NAME.fullmatch, (str(name), kind))):
            continue
        if kind == "TFSMLayer":
            return MODELLESS
        if kind == "Lambda":
            return (
                f"The model file could not be loaded: its layer {name} holds code, a Lambda, which "
                "is run only if you trust the file; then add --trust, or in Python trust=True."
            )
        if not str(layer.get("module") or "keras").startswith("keras"):
            return (
                f"The model file could not be loaded: its layer {name} is a {kind}, which is not "
                "Keras's own; give the Python file that defines it by --custom, or in Python by "
                "custom=."
            )
    if by != version("keras") and keras2.VERSION.fullmatch(by):
        return (
            f"The model file could not be loaded: it was written by Keras {by}, and this is Keras "
            f"{version('keras')}; it may also be damaged, so save it again, if you can with this "
            "one."
        )
    return NOT_LOADED


def _layers_in(node: Any) -> Iterator[dict[str, Any]]:
    """Whatever is described by class and settings, inner ones included."""
    if isinstance(node, dict):
        if isinstance(node.get("config"), dict) and "class_name" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _layers_in(part)


def _with(path: Path, description: Any) -> bytes:
    """A .keras file with another description."""
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in upload.MEMBERS:
            text = json.dumps(description) if name == "config.json" else old.read(name)
            new.writestr(name, text)
    return out.getvalue()


KINDS = (
    Kind(_is_keras, _read_keras),
    Kind(_is_hdf5, _read_hdf5),
    Kind(_is_zip_of_hdf5, _read_hdf5),
    Kind(
        _holds("model.json", "weights.bin"),
        why=f"This zip is Teachable Machine's export for Tensorflow.js; {_EXPORT}.",
    ),
    Kind(
        _holds("model_unquant.tflite", "model.tflite", "vww_96_grayscale_quantized.tflite"),
        why=f"This zip is Teachable Machine's export for Tensorflow Lite; {_EXPORT}.",
    ),
    Kind(
        _holds("saved_model.pb"),
        why=SAVED_MODEL.replace("folder", "zip"),
    ),
    Kind(
        _starts(b"TFL3", at=4),
        why="This is a TensorFlow Lite file, which has no gradients; in the program that made it, "
        "save the model of Keras it was made from with model.save('my.keras').",
    ),
    Kind(
        lambda given: "data.pkl" in given.members or _ends(".pt", ".pth", ".ckpt")(given),
        why="This is a file of PyTorch, and only models of Keras can be opened here; build the "
        "same network in Keras, copy the weights, and save it with model.save('my.keras').",
    ),
    Kind(
        _ends(".onnx", ".pb", ".json", ".tflite", ".pkl"),
        why="This is no file of a whole Keras model; in the program that made the model, save it "
        "with model.save('my.keras').",
    ),
    Kind(
        lambda _given: True,
        why="The model file could not be loaded: it is no .keras file, no .h5 file and no zip of "
        "Teachable Machine, or it is damaged; save the model with model.save('my.keras').",
    ),
)
