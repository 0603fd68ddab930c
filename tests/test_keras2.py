"""Files of Keras 2 against the answers of the Keras that wrote them."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from nets import KERAS_2, SHAPE, save, teachable_machine

from gradcam_core import explain, hdf5, keras2, models, upload
from gradcam_core.types import UserError

FILES = ["flat.h5", "flat.keras", "tm_small.h5", "tm_small.keras"]


@pytest.mark.many
@pytest.mark.parametrize("name", FILES)
def test_answers_and_maps_are_those_of_keras_2(name, tmp_path):
    said = np.load(KERAS_2 / f"{name.partition('.')[0]}.npz")
    given = "none" if name.startswith("flat") else None  # it scales by itself
    spec = models.load_file(KERAS_2 / name, preprocess=given)
    layer = next(n for n in _layers(spec) if n.endswith(str(said["layer"])))
    answer = explain(said["picture"], spec, layer)
    np.testing.assert_allclose(answer.probabilities, said["predictions"], atol=1e-6)
    np.testing.assert_allclose(answer.maps["Grad-CAM"], said["map"], rtol=1e-4, atol=1e-6)
    again = models.load_file(save(spec.build(None), tmp_path / "again.keras"), preprocess="none")
    assert not any("was written by" in note for note in again.notes), "what is saved is today's"
    for ours, saved in zip(spec.build(None).weights, again.build(None).weights, strict=True):
        np.testing.assert_array_equal(ours, saved)


def _layers(spec):
    from gradcam_core import lookup

    return lookup.network(spec).layers


@pytest.mark.parametrize("name", FILES)
def test_what_was_repaired_is_said(name, sentence):
    notes = [n for n in models.load_file(KERAS_2 / name).notes if "was written by" in n]
    assert len(notes) == 1
    said = sentence(notes[0])
    assert "Keras 2.15.0" in said
    assert f"Keras {keras.__version__}" in said
    assert ("groups of DepthwiseConv2D" in said) == name.startswith("tm_small")


@pytest.mark.parametrize("name", ["flat.h5", "tm_small.h5"])
def test_every_number_is_that_of_the_file(name):
    """Found by its name, not by the order in which Keras keeps it."""
    model = models.load_file(KERAS_2 / name).build(None)
    ours = {v.path.removeprefix("depthwise_").rpartition("/")[2]: v for v in model.weights}
    assert ours
    with h5py.File(KERAS_2 / name) as file:
        theirs = {}
        file["model_weights"].visititems(
            lambda path, a: (
                theirs.update({path.rpartition(":")[0]: a[()]})
                if isinstance(a, h5py.Dataset)
                else None
            )
        )
    assert len(theirs) == len(model.weights)
    for variable in model.weights:
        layer, part = variable.path.split("/")[-2:]
        depthwise = part == "kernel" and "depthwise" in layer
        (match,) = [
            a
            for path, a in theirs.items()
            if path.endswith(f"{layer}/{'depthwise_' * depthwise}{part}")
        ]
        np.testing.assert_array_equal(variable, match)


def test_a_file_of_today_is_left_as_it_is(small_model):
    description, changes, _ = upload.admit(small_model)
    assert changes == ()
    assert keras2.modern(description) == (description, ())


def test_the_ends_of_a_model_of_today_stay():
    """Inputs that are given as a list stay one."""
    image = keras.Input(SHAPE)
    model = keras.Model([image], [L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(image)))])
    description = keras.saving.serialize_keras_object(model)
    assert keras2.modern(description) == (description, ())


def described(**config):
    return {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 9, 9, 3], "name": "i"},
                },
                {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": 3, **config}},
            ],
        },
    }


def test_initialisers_and_precision_of_keras_2():
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    zeros = {"class_name": "Zeros", "config": {}}
    l2 = {"class_name": "L2", "config": {"l2": 0.5}}
    found, changes = keras2.modern(
        described(dtype=policy, kernel_initializer=zeros, kernel_regularizer=l2)
    )
    upload.judge(found)
    model = keras.saving.deserialize_keras_object(found, safe_mode=True)
    (conv,) = model.layers
    assert conv.compute_dtype == "float16"
    assert not np.asarray(conv.kernel).any()
    assert float(conv.kernel_regularizer.l2) == 0.5
    assert "how precision is named" in changes


@pytest.mark.parametrize("evil", ["os.system", "Lambda", "TFOpLambda", "Evil"])
def test_a_layer_that_is_not_known_is_refused(evil, sentence):
    description = described()
    description["config"]["layers"][1]["class_name"] = evil
    with pytest.raises(UserError) as error:
        upload.judge(keras2.modern(description)[0])
    sentence(error.value)


def test_a_setting_that_means_something_is_not_dropped():
    one = {"class_name": "DepthwiseConv2D", "config": {"kernel_size": 3, "groups": 2}}
    found, changes = keras2.modern(one)
    assert found["config"]["groups"] == 2
    assert not any("groups" in change for change in changes)


def operation(name, function, source, **given):
    return {
        "class_name": "TFOpLambda",
        "config": {"name": name, "trainable": True, "dtype": "float32", "function": function},
        "name": name,
        "inbound_nodes": [[source, 0, 0, {**given, "name": None}]],
    }


def functional(*layers):
    image = {"batch_input_shape": [None, 9, 9, 3], "dtype": "float32", "name": "i"}
    first = {"class_name": "InputLayer", "config": image, "name": "i", "inbound_nodes": []}
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    config = {"name": "m", "layers": [first, *layers], **ends}
    return {"class_name": "Functional", "config": config}


def test_arithmetic_on_pixels_is_a_layer():
    """What keras.applications' preprocess_input leaves in a model: x / 127.5 - 1."""
    found, changes = keras2.modern(
        functional(
            operation("tf.math.truediv", "math.truediv", "i", y=127.5),
            operation("tf.math.subtract", "math.subtract", "tf.math.truediv", y=1.0),
        )
    )
    upload.judge(found)
    model = keras.saving.deserialize_keras_object(found, safe_mode=True)
    x = np.random.default_rng(0).uniform(0, 255, (1, 9, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(model(x), x / 127.5 - 1, atol=1e-6)
    assert "arithmetic on pixels" in changes


@pytest.mark.parametrize(
    ("function", "y"),
    [
        ("io.read_file", 1.0),
        ("math.truediv", 0),
        ("math.truediv", [1.0]),
        ("math.add", ["i", 0, 0]),
    ],
)
def test_other_operations_are_not_guessed(function, y, sentence):
    one = functional(operation("x", function, "i", y=y))
    with pytest.raises(UserError) as error:
        upload.judge(keras2.modern(one)[0])
    sentence(error.value)


def test_numbers_go_by_name_and_not_by_order():
    """Two branches that are as large: which comes first is a matter of the version."""

    def conv(name):
        config = {"name": name, "filters": 2, "kernel_size": [1, 1], "use_bias": False}
        nodes = [[["i", 0, 0, {}]]]
        return {"class_name": "Conv2D", "config": config, "name": name, "inbound_nodes": nodes}

    add = {
        "class_name": "Concatenate",
        "config": {"name": "both"},
        "name": "both",
        "inbound_nodes": [[["left", 0, 0, {}], ["right", 0, 0, {}]]],
    }
    description = keras2.modern(functional(conv("left"), conv("right"), add))[0]
    numbers = {
        name: np.full((1, 1, 3, 2), n, np.float32) for n, name in ((1, "left"), (2, "right"))
    }
    for order in (("left", "right"), ("right", "left")):
        layers = [(name, {f"{name}/kernel:0": numbers[name]}) for name in order]
        evil = {
            "optimizer": {"class_name": "Evil", "config": {}}
        }  # nobody judged it: it is dropped
        described_so = description | {"compile_config": evil}
        model = keras2.opened(hdf5.Parts("", "2", layers, ""), described_so)
        np.testing.assert_array_equal(model(np.ones((1, 9, 9, 3)))[0, 0, 0], [3, 3, 6, 6])
    inner = description | {"config": description["config"] | {"name": "inner"}}
    outer = {
        "module": "keras", "class_name": "Sequential", "registered_name": None,
        "config": {"name": "s", "layers": [description["config"]["layers"][0], inner]},
    }  # fmt: skip
    backwards = {f"{name}/kernel:0": numbers[name] for name in ("right", "left")}
    model = keras2.opened(hdf5.Parts("", "2", [("inner", backwards)], ""), outer)
    np.testing.assert_array_equal(model(np.ones((1, 9, 9, 3)))[0, 0, 0], [3, 3, 6, 6])


def test_a_rotation_of_keras_3_0(tmp_path):
    """Keras 3.0 to 3.3 wrote down a value_range, which later ones refuse."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            L.RandomRotation(0.1),
            L.Conv2D(2, 3),
            L.GlobalMaxPooling2D(),
            L.Dense(2),
        ]
    )
    path = save(model, tmp_path / "today.keras")
    old = tmp_path / "old.keras"
    with zipfile.ZipFile(path) as today, zipfile.ZipFile(old, "w") as archive:
        for name in today.namelist():
            text = today.read(name)
            if name == "config.json":
                config = json.loads(text)
                rotation = config["config"]["layers"][1]
                assert rotation["class_name"] == "RandomRotation"
                rotation["config"]["value_range"] = [0, 255]
                text = json.dumps(config)
            if name == "metadata.json":
                text = json.dumps({"keras_version": "3.3.3"})
            archive.writestr(name, text)
    with pytest.raises(Exception, match="value_range"):
        keras.models.load_model(old, compile=False)
    spec = models.load_file(old)
    assert any(
        "Keras 3.3.3" in note and "value_range of RandomRotation" in note for note in spec.notes
    )
    x = np.random.default_rng(0).uniform(size=(1, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(
        spec.build(None)(x, training=False), model(x, training=False), rtol=1e-6
    )


@pytest.mark.slow
def test_teachable_machine_read_as_any_file_of_keras_2(tmp_path):
    """With a preprocessing given it goes the way of all others, to the same numbers."""
    said = np.load(KERAS_2 / "tm_full.npz")
    file = teachable_machine(tmp_path / "converted_keras.zip", ["a", "b", "c"])
    model = models.load_file(file, preprocess="scale11").build(None)
    x = said["picture"][None] / np.float32(127.5) - 1
    np.testing.assert_allclose(model(x)[0], said["predictions"], atol=1e-6)


def test_nothing_that_a_description_names_is_imported(monkeypatch):
    """Every name of a module is one that does not exist, or that would be seen."""
    imported = []
    monkeypatch.setattr("importlib.import_module", imported.append)
    description = described(kernel_initializer={"class_name": "Zeros", "config": {}})
    description["config"]["layers"][1] |= {"module": "antigravity", "registered_name": "x>Conv2D"}
    with pytest.raises(UserError):
        upload.judge(keras2.modern(description)[0])
    assert imported == []
