"""Whatever people hand in: each kind of file is read, or gets the sentence that leads on."""

import io
import json
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from nets import KERAS_2, SHAPE, save, small, teachable_machine, teachable_machine_h5

from gradcam_core import explain, files, hdf5, models, upload
from gradcam_core.types import UserError

HOME = Path(__file__).parent.parent
ZIP = zipfile.ZIP_DEFLATED


@pytest.fixture
def refused(sentence):
    def check(path, **how):
        with pytest.raises(UserError) as error:
            models.load_file(path, **how)
        return sentence(error.value)

    return check


# What is no file


def test_four_things_that_are_no_file_get_four_sentences(tmp_path, refused, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    said = [
        refused("https://example.org/my.keras"),
        refused(Path("https://example.org/my.keras")),
        refused(tmp_path),
        refused("-"),
        refused(tmp_path / "none.keras"),
    ]
    assert said[0] == said[1] == files.NOT_FETCHED
    assert len(set(said)) == 4


@pytest.mark.slow
def test_standard_input(small_model):
    """The advice for "-", followed."""
    code = "from gradcam_core import load_file; print(load_file('-').labels)"
    with small_model.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], cwd=HOME, stdin=file, capture_output=True
        )
    assert done.stdout.decode().strip() == "('class 0', 'class 1', 'class 2')"


def test_a_saved_model_and_a_zip_of_one(tmp_path, refused):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert refused(tmp_path) == files.SAVED_MODEL
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("model/saved_model.pb", b"x")
    assert "SavedModel" in refused(tmp_path / "model.zip")


def test_weights_only(refused, tmp_path):
    assert refused(KERAS_2 / "flat.weights.h5") == hdf5.WEIGHTS_ONLY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h5py and NumPy 2 disagree on a keyword
        small().save_weights(tmp_path / "today.weights.h5")
    assert refused(tmp_path / "today.weights.h5") == hdf5.WEIGHTS_ONLY


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("net.tflite", b"\0\0\0\0TFL3 and more", "TensorFlow Lite"),
        ("net.pt", b"PK nonsense", "PyTorch"),
        ("net.pth", b"\x80\x02}", "PyTorch"),
        ("net.onnx", b"\x08\x07", "no file of a whole Keras model"),
        ("net.pb", b"\x08\x07", "no file of a whole Keras model"),
        ("net.h5", b"hello", "could not be loaded"),
        ("net.h5", b"", "could not be loaded"),
        ("net.h5", b"\x89HDF\r\n\x1a\n and nothing", "could not be read"),
        ("net.zip", b"hello", "could not be loaded"),
        ("net", b"hello", "could not be loaded"),
    ],
)
def test_other_files(name, content, part, tmp_path, refused):
    (tmp_path / name).write_bytes(content)
    assert part in refused(tmp_path / name)


def test_a_kind_is_known_by_its_shape_and_not_by_its_name(tmp_path, small_model):
    for file, name in ((small_model, "a.zip"), (KERAS_2 / "flat.h5", "b.dat")):
        (tmp_path / name).write_bytes(file.read_bytes())
        assert len(models.load_file(tmp_path / name).labels) == 3


# Files of one's own


def looped():
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3, activation="relu", name="seen")(image)
    x = L.Reshape((30, 120))(x)
    return keras.Model(image, L.Dense(3)(L.Bidirectional(L.GRU(4))(x)))


def normed():
    image = keras.Input(SHAPE)
    x = L.SpectralNormalization(L.Conv2D(4, 3, activation="relu"))(image)
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def adapted():
    model = small()
    model.get_layer("dense").enable_lora(2)
    return model


def in_eight_bits():
    model = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.get_layer("dense").quantize("int8")
    return model


def in_time():
    image = keras.Input(SHAPE)
    x = L.Reshape((2, 16, 32, 3))(image)
    x = L.ConvLSTM2D(3, 3, return_sequences=True)(x)
    x = L.TimeDistributed(L.Conv2D(2, 3))(x)
    return keras.Model(image, L.Dense(3)(L.Flatten()(x)))


@pytest.mark.parametrize(
    "said",
    [
        None, 3, [], {"labels": 3}, {"labels": ["a", 3, "c"]}, {"crop": True},
        {"preprocess": "scale99", "crop": True}, {"preprocess": [], "crop": True},
    ],
)  # fmt: skip
def test_what_a_file_says_that_makes_no_sense_is_not_heard(said, small_model, tmp_path):
    content = io.BytesIO(small_model.read_bytes())
    (tmp_path / "mine.keras").write_bytes(files.with_told(content, said))
    spec = models.load_file(tmp_path / "mine.keras")
    assert spec.labels == ("class 0", "class 1", "class 2")
    assert not spec.crop
    assert [finding.basis for finding in spec.findings] == ["guessed"]
    with zipfile.ZipFile(tmp_path / "mine.keras") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == upload.MEMBERS
        assert "keras_version" in json.loads(archive.read("metadata.json"))


@pytest.mark.many
@pytest.mark.parametrize("make", [looped, normed, adapted, in_eight_bits, in_time])
def test_what_keras_loads_in_safe_mode_is_loaded(make, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    spec = models.load_file(save(model, tmp_path / "mine.keras"))
    x = np.random.default_rng(0).uniform(size=(1, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(
        spec.build(None)(x, training=False), model(x, training=False), rtol=1e-4, atol=1e-5
    )


def test_layers_over_time_get_a_map_that_says_it_may_mislead(tmp_path):
    """By hand: two steps of 16x32; two convolutions, of time and within it, leave 12x28 cells."""
    keras.utils.set_random_seed(0)
    spec = models.load_file(save(in_time(), tmp_path / "mine.keras"), preprocess="scale01")
    seen = explain(np.random.default_rng(0).integers(0, 256, (41, 25, 3), np.uint8), spec)
    signed = seen.maps["Grad-CAM"]
    assert re.fullmatch(r"time_distributed\w*/conv2d\w*", seen.layer)
    assert signed.shape == (12, 28)
    assert np.isfinite(signed).all()
    (note,) = spec.notes
    assert "its map may mislead" in note


@pytest.mark.parametrize("make", [looped, normed, in_time])
def test_the_list_for_strangers_has_layers_that_run_no_code(make, tmp_path):
    upload.admit(save(make(), tmp_path / "theirs.keras"))


@pytest.mark.parametrize("wrapper", [L.TimeDistributed, L.SpectralNormalization])
def test_what_a_wrapper_holds_is_judged_like_all_others(wrapper, tmp_path, sentence):
    description = keras.saving.serialize_keras_object(normed())
    held = next(x for x in description["config"]["layers"] if "Spectral" in x["class_name"])
    held["class_name"] = wrapper.__name__
    upload.judge(description)
    held["config"]["layer"] |= {"class_name": "Lambda"}
    with pytest.raises(UserError) as error:
        upload.judge(description)
    sentence(error.value)


def with_code():
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3)(L.Lambda(lambda t: t / 255, name="scaled")(image))
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def test_a_lambda_runs_where_its_owner_trusts_it(tmp_path, refused):
    model = with_code()
    path = save(model, tmp_path / "code.keras")
    said = refused(path)
    assert "scaled holds code" in said
    assert "--trust" in said
    spec = models.load_file(path, trust=True)
    x = np.random.default_rng(0).uniform(0, 255, (1, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(spec.build(None)(x), model(x), rtol=1e-5)


OWN = """
import keras


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable(package="mine")
class Thrice(keras.layers.Layer):
    def call(self, x):
        return 3 * x
"""


@pytest.mark.parametrize("kind", ["Twice", "Thrice"])
def test_classes_of_ones_own(kind, tmp_path, refused, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN)
    made = files._classes_of(tmp_path / "mine.py")
    image = keras.Input(SHAPE)
    x = made[kind](name="louder")(L.Conv2D(4, 3)(image))
    model = keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    path = save(model, tmp_path / "own.keras")
    keras.saving.get_custom_objects().clear()
    said = refused(path)
    assert f"louder is a {kind}" in said
    assert "--custom" in said
    spec = models.load_file(path, custom=tmp_path / "mine.py")
    x = np.random.default_rng(0).uniform(size=(1, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(spec.build(None)(x), model(x), rtol=1e-5)
    keras.saving.get_custom_objects().clear()


def test_a_module_that_cannot_be_run(tmp_path, small_model, refused):
    (tmp_path / "mine.py").write_text("raise ValueError")
    assert refused(small_model, custom=tmp_path / "mine.py") == files.NO_MODULE
    assert refused(small_model, custom=tmp_path / "none.py") == files.NO_MODULE


def test_a_refusal_names_the_layer(tmp_path, sentence):
    path = save(with_code(), tmp_path / "code.keras")
    with pytest.raises(UserError, match="The layer scaled is a Lambda") as error:
        files.check_upload(path)
    assert "--model" in sentence(error.value)


def test_a_file_of_another_version_names_both(small_model, tmp_path, refused):
    """Of a Keras to come, with a setting that this one does not know."""
    path = tmp_path / "later.keras"
    with zipfile.ZipFile(small_model) as today, zipfile.ZipFile(path, "w") as later:
        for name in today.namelist():
            text = today.read(name)
            if name == "config.json":
                config = json.loads(text)
                config["config"]["layers"][1]["config"]["of_tomorrow"] = 1
                text = json.dumps(config)
            later.writestr(name, text if name != "metadata.json" else '{"keras_version": "4.1.0"}')
    said = refused(path)
    assert "Keras 4.1.0" in said
    assert f"Keras {keras.__version__}" in said


# Hostile HDF5, and hostile zips


def hostile(how):
    """A keras_model.h5 to which something was done."""
    content = io.BytesIO(teachable_machine_h5(2, 5))
    with h5py.File(content, "r+") as file:
        how(file)
    return content.getvalue()


KERNEL = "model_weights/sequential_4/dense_3/kernel:0"


def soft_link(file):
    del file[KERNEL]
    file["elsewhere"] = np.zeros((100, 2), np.float32)
    file[KERNEL] = h5py.SoftLink("/elsewhere")


def external_link(file):
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "x")


def external_storage(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (100, 2), "f4", external=[("/etc/passwd", 0, 800)])


def virtual(file):
    del file[KERNEL]
    layout = h5py.VirtualLayout((100, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (100, 2))
    file.create_virtual_dataset(KERNEL, layout)


def compression_bomb(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (5000, 1000), "f4", compression="gzip", data=np.zeros((5000, 1000)))


def huge_shape(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (10**7, 10**7), "f4", chunks=(100, 100))


def shape_without_numbers(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (1000, 1000), "f4", chunks=(100, 100))


def circle(file):
    file["model_weights/again"] = file["model_weights"]


def many(file):
    group = file.create_group("more")
    for number in range(hdf5.MAX_PARTS + 1):
        group.create_group(str(number))


def of_text(file):
    del file[KERNEL]
    file[KERNEL] = "hello"


def missing(file):
    del file[KERNEL]


@pytest.mark.many
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (soft_link, hdf5.LINKS),
        (external_link, hdf5.LINKS),
        (external_storage, hdf5.LINKS),
        (virtual, hdf5.LINKS),
        (compression_bomb, upload.SWOLLEN),
        (huge_shape, upload.TOO_LARGE),
        (shape_without_numbers, upload.SWOLLEN),
        (many, hdf5.UNREAD),
        (of_text, hdf5.UNREAD),
        (missing, hdf5.UNREAD),
    ],
)
def test_hostile_hdf5(how, words, tmp_path, sentence):
    path = tmp_path / "keras_model.h5"
    path.write_bytes(hostile(how))
    with pytest.raises(UserError) as error:
        hdf5.read_parts(path)
    assert str(error.value) == words
    sentence(error.value)


def test_a_group_that_holds_itself_is_no_endless_way(tmp_path):
    path = tmp_path / "keras_model.h5"
    path.write_bytes(hostile(circle))
    assert [len(weights) for _, weights in hdf5.read_parts(path).layers] == [260, 3]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_hdf5(part, tmp_path, sentence):
    content = teachable_machine_h5(2, 5)
    path = tmp_path / "keras_model.h5"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError) as error:
        hdf5.read_parts(path)
    sentence(error.value)


def test_a_file_that_is_too_large(tmp_path, sentence):
    path = tmp_path / "keras_model.h5"
    path.write_bytes(teachable_machine_h5(2, 5))
    with pytest.raises(UserError) as error:
        hdf5.read_parts(path, 1_000_000)
    assert str(error.value) == upload.TOO_LARGE


def zipped(path, *members):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", ZIP) as archive:
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_hostile_zips(tmp_path, sentence):
    model, path = teachable_machine_h5(2, 5), tmp_path / "c.zip"
    for members, words in (
        ([("../keras_model.h5", model)], hdf5.STRANGE_NAMES),
        ([("/etc/keras_model.h5", model)], hdf5.STRANGE_NAMES),
        ([("a.h5", model), ("b.h5", model)], hdf5.TWO_MODELS),
        ([("keras_model.h5", model), ("keras_model.h5", model)], hdf5.TWO_MODELS),
        ([("keras_model.h5", bytes(50_000_000))], upload.SWOLLEN),
        ([("keras_model.h5", b"hello")], hdf5.UNREAD),
        (
            [("keras_model.h5", model), *((f"{n}.txt", b"") for n in range(200))],
            hdf5.NO_MODEL_IN_ZIP,
        ),
    ):
        with pytest.raises(UserError) as error:
            hdf5.read_parts(zipped(path, *members))
        assert str(error.value) == words
        sentence(error.value)
    zipped(path, ("folder/keras_model.h5", model), ("__MACOSX/folder/._keras_model.h5", b"x"))
    assert len(hdf5.read_parts(path).layers) == 2


def test_a_zip_that_says_it_unpacks_to_ten_gigabytes(tmp_path, sentence):
    """In the directory at its end, 24 bytes after the start of each entry."""
    path = teachable_machine(tmp_path / "c.zip", ["a", "b"], 5)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (4_000_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError) as error:
        hdf5.read_parts(path)
    assert str(error.value) == upload.TOO_LARGE
    sentence(error.value)


def test_who_reads_an_hdf5_has_limits(tmp_path, monkeypatch):
    """A stranger's file is read with them, wherever a system has them."""
    started = []
    popen = subprocess.Popen

    def watched(command, **options):
        started.append((command[-1], options["env"]))
        return popen(command, **options)

    monkeypatch.setattr(hdf5.subprocess, "Popen", watched)
    monkeypatch.setenv("SECRET", "x")
    hdf5.read_parts(KERAS_2 / "flat.h5")
    ((limit, environment),) = started
    assert float(limit) == upload.MAX_FILE
    assert "SECRET" not in environment


def test_where_a_system_has_no_limits_a_plain_process_reads():
    code = (
        "import sys; sys.modules['resource'] = None; from gradcam_core import hdf5; hdf5.main(1e8)"
    )
    with (KERAS_2 / "flat.h5").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=HOME, stdin=file, capture_output=True, check=True
        )
    parts = hdf5._taken(io.BytesIO(done.stdout), 1e8)
    with_limits = hdf5.read_parts(KERAS_2 / "flat.h5")
    assert parts.description == with_limits.description
    assert [list(weights) for _, weights in parts.layers] == [
        list(weights) for _, weights in with_limits.layers
    ]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{}\n",
        b'{"error": 3}\n',
        b'{"layers": [["a", [["w", [10], "<f4"]]]], "description": "", "version": ""}\n',
        b'{"layers": [["a", [["w", [1000000000], "<f4"]]]], "description": "", "version": ""}\n',
        b'{"layers": [["a", [["w", [-1], "<f4"]]]], "description": "", "version": ""}\n',
        b'{"layers": [["a", [["w", [1], "O"]]]], "description": "", "version": "", "labels": ""}\n',
    ],
)
def test_what_comes_back_is_not_believed(said):
    """Whatever that process was made to say: never an array of less than was promised."""
    with pytest.raises((ValueError, TypeError, KeyError)):
        hdf5._taken(io.BytesIO(said), upload.MAX_FILE)
