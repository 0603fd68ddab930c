"""Every refusal of a model says what to do instead; who does that gets in."""

import ast
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from nets import KERAS_2, SHAPE, save, teachable_machine

from gradcam_core import __main__ as command_line
from gradcam_core import files, hdf5, keras2, teachable, upload
from gradcam_core.types import UserError

NAMES = ("Mug", "Plant")


class Bench:
    """A folder with a good model and good exports, and ways to spoil them. Each way in raises a
    UserError, or gives what the file holds."""

    patch: pytest.MonkeyPatch

    def __init__(self, folder: Path, good: Path, export: Path):
        self.folder, self.good, self.export = folder, good, export

    def does(self, act: Callable[["Bench"], Any]) -> Any:
        """With nothing left of what was patched for it."""
        with pytest.MonkeyPatch.context() as self.patch:
            return act(self)

    # ---- ways in

    def own(self, file: str | Path, **trust: Any) -> Any:
        """--model, load_file."""
        opened = files.open_file(file, files.Trust(**trust))
        return opened.model or opened.export

    def stranger(self, file: Path) -> Any:
        """An upload; the second step is done in a process of its own."""
        files.check_upload(file)
        return self.own(file, limit=upload.MAX_FILE)

    def pupil(self, file: Path) -> Any:
        """An upload where only what Teachable Machine exports is taken."""
        return files.export_in(file)

    def typed(self, *arguments: str) -> bool:
        """The command line. What it says on standard error is the refusal."""
        said = io.StringIO()
        self.patch.setattr(sys, "stderr", said)
        if command_line.main(list(arguments)) != 0:
            raise UserError(said.getvalue().strip())
        return True

    # ---- files

    def write(self, name: str, content: bytes = b"x") -> Path:
        (self.folder / name).parent.mkdir(exist_ok=True, parents=True)
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def zipped(
        self,
        *members: tuple[str, bytes],
        name: str = "model.zip",
        packing: int = zipfile.ZIP_DEFLATED,
    ) -> Path:
        with zipfile.ZipFile(self.folder / name, "w", packing) as archive:
            for member, content in members:
                archive.writestr(member, content)
        return self.folder / name

    def folder_of_export(self) -> Path:
        with zipfile.ZipFile(self.export) as archive:
            archive.extractall(self.folder)
        return self.folder / "keras_model.h5"

    def spoiled(self, how: Callable[[Any], object], version: str = "") -> Path:
        """The good model with another description, or said to be of another Keras."""
        parts = []
        with zipfile.ZipFile(self.good) as archive:
            for name in upload.MEMBERS:
                content = archive.read(name)
                if name == "config.json":
                    config = json.loads(content)
                    how(config)
                    content = json.dumps(config).encode()
                if name == "metadata.json" and version:
                    content = json.dumps({"keras_version": version}).encode()
                parts.append((name, content))
        return self.zipped(*parts, name="spoiled.keras", packing=zipfile.ZIP_STORED)

    def saved(self, model: keras.Model, name: str = "other.keras") -> Path:
        return save(model, self.folder / name)

    def of_keras_2(self, how: Callable[[h5py.File], object]) -> Path:
        path = self.write("old.h5", (KERAS_2 / "flat.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            how(file)
        return path


def with_layer(layer: keras.Layer) -> keras.Model:
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3)(layer(image))
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def with_code() -> keras.Model:
    return with_layer(L.Lambda(lambda t: t / 255, name="scaled"))


def in_three_dimensions() -> keras.Model:
    """Of a layer that runs no code and is on no list."""
    image = keras.Input(SHAPE)
    x = L.Conv3D(2, 3)(L.Reshape((4, 8, 32, 3))(image))
    return keras.Model(image, L.Dense(3)(L.Flatten()(x)))


OWN = (
    "import keras\n\n\nclass Same(keras.layers.Layer):\n    def call(self, x):\n        return x\n"
)


def custom(b: Bench) -> tuple[Path, Path]:
    """A model with a class of its owner's, and the file that defines it."""
    module = b.write("mine.py", OWN.encode())
    file = b.saved(with_layer(files._classes_of(module)["Same"](name="same")))
    return file, module


def one_more(config: Any) -> None:
    config["config"]["layers"][1]["config"]["of_tomorrow"] = 1


def as_saved_model(config: Any) -> None:
    config["config"]["layers"][1]["class_name"] = "TFSMLayer"


def with_a_bad_name(config: Any) -> None:
    config["config"]["layers"][1]["config"]["name"] = "<b>"


def with_unknown_part(config: Any) -> None:
    config["config"]["layers"][1]["config"]["kernel_initializer"]["class_name"] = "Evil"


def with_many_layers(config: Any) -> None:
    config["config"]["layers"] *= upload.MAX_LAYERS // 4  # of five


def linked(file: h5py.File) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "x")


def unbuilt(file: h5py.File) -> None:
    layers = [{"class_name": "Dense", "config": {"name": "dense", "units": 3}}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    file.attrs["model_config"] = json.dumps(config)


def less(file: h5py.File) -> None:
    """The weights of another model than it describes."""
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][-1]["config"]["units"] = 7
    file.attrs["model_config"] = json.dumps(config)


def shortened(b: Bench) -> None:
    b.patch.setattr(hdf5, "TIME", 0)


def nan_export(b: Bench) -> Any:
    numbers = [np.array(a) for a in b.own(b.export)]
    numbers[-1][0, 0] = np.nan
    return teachable.row(numbers, NAMES)


def piped(b: Bench, content: bytes) -> Any:
    b.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return b.own("-")


class Refusal(NamedTuple):
    """What is refused, with which words, and what follows of them."""

    words: str
    refused: Callable[[Bench], Any]
    follows: tuple[Callable[[Bench], Any], ...]


def saved_again(b: Bench) -> Any:
    """model.save('my.keras'), in a program that has the model."""
    return b.own(b.good)


@cache
def taken(export: Path) -> Any:
    return files.export_in(export)


def exported(b: Bench) -> Any:
    """Export Model, Tensorflow, Keras, Download my model: the same zip each time."""
    return taken(b.export)


def list_layers(b: Bench, *more: str) -> Any:
    return b.typed("--model", "tiny", "--list-layers", *more)


TABLE = [
    Refusal(
        files.NOT_FETCHED,
        lambda b: b.own("https://example.org/my.keras"),
        (lambda b: b.own(b.good),),
    ),
    Refusal(files.NOT_THERE, lambda b: b.own(b.folder / "no.keras"), (lambda b: b.own(b.good),)),
    Refusal(
        files.FOLDER,
        lambda b: b.own(b.folder_of_export().parent),
        (lambda b: b.own(b.folder_of_export()),),
    ),
    Refusal(files.SAVED_MODEL, lambda b: b.own(b.write("saved_model.pb").parent), (saved_again,)),
    Refusal(
        "This zip is a SavedModel", lambda b: b.own(b.zipped(("saved_model.pb", b"x"))),
        (saved_again,),
    ),
    Refusal(files.NOTHING_CAME, lambda b: piped(b, b""),
            (lambda b: piped(b, b.good.read_bytes()), lambda b: b.own(b.good))),
    Refusal(
        files.NO_MODULE,
        lambda b: b.own(b.good, custom=b.folder / "none.py"),
        (lambda b: b.own(b.good, custom=b.write("mine.py", OWN.encode())),),
    ),
    Refusal(files.MODELLESS, lambda b: b.own(b.spoiled(as_saved_model)), (saved_again,)),
    Refusal(
        files.NOT_LOADED,
        lambda b: b.own(b.spoiled(lambda c: c["config"]["layers"].pop(1), keras.__version__)),
        (saved_again,),
    ),
    Refusal(
        "it may also be damaged, so save it again",
        lambda b: b.own(b.spoiled(one_more, "4.1.0")),
        (saved_again,),
    ),
    Refusal(
        "then add --trust, or in Python trust=True",
        lambda b: b.own(b.saved(with_code())),
        (lambda b: b.own(b.saved(with_code()), code=True),),
    ),
    Refusal(
        "give the Python file that defines it by --custom",
        lambda b: b.own(custom(b)[0]),
        (lambda b: b.own(custom(b)[0], custom=custom(b)[1]),),
    ),
    Refusal(
        "which is not on the list of what an upload may hold",
        lambda b: b.stranger(b.saved(in_three_dimensions())),
        (lambda b: b.stranger(b.good), lambda b: b.own(b.saved(in_three_dimensions()))),
    ),
    Refusal(
        "Tensorflow.js",
        lambda b: b.own(b.zipped(("model.json", b"{}"), ("weights.bin", b"x"))),
        (exported,),
    ),
    Refusal(
        "Tensorflow Lite",
        lambda b: b.own(b.zipped(("model_unquant.tflite", b"x"), ("labels.txt", b"a"))),
        (exported,),
    ),
    Refusal(
        "TensorFlow Lite file", lambda b: b.own(b.write("a.tflite", b"\0\0\0\0TFL3")),
        (saved_again,),
    ),
    Refusal("file of PyTorch", lambda b: b.own(b.write("a.pth")), (saved_again,)),
    Refusal(
        "no file of a whole Keras model", lambda b: b.own(b.write("a.onnx")), (saved_again,)
    ),
    Refusal(
        "no .h5 file and no zip of Teachable Machine",
        lambda b: b.own(b.write("a.h5", b"hello")),
        (saved_again, exported),
    ),
    Refusal(
        teachable.OTHER_NETWORK,
        lambda b: b.pupil(KERAS_2 / "tm_small.h5"),
        (lambda b: b.own(KERAS_2 / "tm_small.h5"), exported),
    ),
    Refusal(teachable.NOT_NUMBERS, nan_export, (exported,)),
    Refusal(keras2.MISFIT, lambda b: b.stranger(b.of_keras_2(less)), (saved_again,)),
    Refusal(
        "does not say how large the model's pictures are",
        lambda b: b.own(b.of_keras_2(unbuilt)),
        (saved_again,),
    ),
    Refusal(
        hdf5.UNREAD, lambda b: b.own(b.write("a.h5", hdf5.START + b"x")), (saved_again, exported)
    ),
    Refusal(hdf5.LINKS, lambda b: b.stranger(b.of_keras_2(linked)), (saved_again,)),
    Refusal(hdf5.WEIGHTS_ONLY, lambda b: b.own(KERAS_2 / "flat.weights.h5"), (saved_again,)),
    Refusal(
        hdf5.NO_MODEL_IN_ZIP,
        lambda b: b.pupil(b.zipped(("a.h5", b"x"), *((f"{n}", b"") for n in range(100)))),
        (exported,),
    ),
    Refusal(
        hdf5.TWO_MODELS,
        lambda b: b.pupil(b.zipped(("a.h5", b"x"), ("b.h5", b"x"))),
        (exported, lambda b: b.own(b.folder_of_export())),
    ),
    Refusal(hdf5.STRANGE_NAMES, lambda b: b.pupil(b.zipped(("../a.h5", b"x"))), (exported,)),
    Refusal(
        hdf5.TOO_LONG,
        lambda b: (shortened(b), b.stranger(KERAS_2 / "flat.h5")),
        (saved_again,),
    ),
    Refusal(upload.DAMAGED, lambda b: b.own(b.write("a.keras", b"hello")), (saved_again,)),
    Refusal(
        upload.TOO_LARGE,
        lambda b: (b.patch.setattr(upload, "MAX_FILE", 100), b.own(b.good, limit=100)),
        (lambda b: b.stranger(b.good), lambda b: b.own(b.good)),
    ),
    Refusal(
        upload.SWOLLEN,
        lambda b: b.stranger(
            b.zipped(*((name, bytes(4_000_000)) for name in upload.MEMBERS), name="a.keras")
        ),
        (saved_again,),
    ),
    Refusal(
        upload.UNKNOWN,
        lambda b: b.stranger(b.spoiled(with_unknown_part)),
        (lambda b: b.stranger(b.good),),
    ),
    Refusal(
        upload.CROWDED,
        lambda b: b.stranger(b.spoiled(with_many_layers)),
        (lambda b: b.stranger(b.good),),
    ),
    Refusal(
        upload.UNREADABLE,
        lambda b: b.stranger(b.spoiled(with_a_bad_name)),
        (lambda b: b.stranger(b.good),),
    ),
    Refusal(
        "or list the layers with --list-layers",
        lambda b: b.typed("--model", "tiny"),
        (list_layers, lambda b: b.typed("--model", "tiny", "-i", "PICTURE", "-o", "out.png")),
    ),
    Refusal(
        "name a file with --output",
        lambda b: b.typed("--model", "tiny", "-q", "-i", "PICTURE"),
        (lambda b: b.typed("--model", "tiny", "-q", "-i", "PICTURE", "-o", "out.png"),),
    ),
    Refusal(
        "The name of the output must end in one of",
        lambda b: b.typed("--model", "tiny", "-i", "PICTURE", "-o", "a.xyz"),
        (lambda b: b.typed("--model", "tiny", "-i", "PICTURE", "-o", "out.png"),),
    ),
    Refusal(
        "choose another --output",
        lambda b: b.typed("--model", "tiny", "-i", "PICTURE", "-o", "no/such/folder/a.png"),
        (lambda b: b.typed("--model", "tiny", "-i", "PICTURE", "-o", "out.png"),),
    ),
    Refusal(
        "leave --weights out", lambda b: list_layers(b, "--weights", "a.h5"), (list_layers,)
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teachable_machine(tmp_path_factory.mktemp("export") / "converted_keras.zip", NAMES)


@pytest.fixture
def bench(
    tmp_path: Path, small_model: Path, export: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    from demo.question import EXAMPLES_DIR

    monkeypatch.chdir(tmp_path)
    (tmp_path / "PICTURE").write_bytes((EXAMPLES_DIR / "lion.jpg").read_bytes())
    yield Bench(tmp_path, small_model, export)
    keras.saving.get_custom_objects().clear()


@pytest.mark.many
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.words[:50])
def test_who_follows_a_refusal_gets_in(
    row: Refusal, bench: Bench, sentence: Callable[[object], str]
) -> None:
    with pytest.raises(UserError) as caught:
        bench.does(row.refused)
    assert row.words in sentence(caught.value)
    for follow in row.follows:
        assert bench.does(follow)


# ---- the table is whole ------------------------------------------------------------------------

NOTES = ("Preprocessing: pixels divided", "The file was written by Keras")  # refuse nothing


def refusals_of(module: Any) -> set[tuple[str, ...]]:
    """The sentences in a room's text, each by its parts that do not change."""
    tree = ast.parse(Path(module.__file__).read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    doc = {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, documented)}
    inside = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    found = set()
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
        if id(node) in inside or not texts or doc.intersection(texts):
            continue
        whole = "{}".join(texts)
        if re.fullmatch(r"[A-Z].{30,}[.}]?", whole) and re.search(
            r"; |, (by|because|to be) ", whole
        ):
            found.add(tuple(texts))
    return found


@pytest.mark.parametrize("module", [files, teachable, keras2, hdf5, upload, command_line])
def test_every_refusal_is_in_the_table(module: Any) -> None:
    words = [row.words for row in TABLE]
    sentences = refusals_of(module)
    assert sentences or module is command_line
    for parts in sentences:
        known = any(word in part or part in word for part in parts for word in words if part[20:])
        assert known or parts[0].startswith(NOTES), parts
