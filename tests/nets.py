"""Networks that nobody trained, and how they are saved."""

import gzip
import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers as L
from keras.src.legacy.saving import legacy_h5_format

SHAPE = (32, 32, 3)
KERAS_2 = Path(__file__).parent / "data" / "keras2"  # as Keras 2.15 writes: see made_by.txt there


def save(model: keras.Model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h5py and NumPy 2 disagree on a keyword
        model.save(path)
    return path


def save_as_keras_2(model: keras.Model, path: Path) -> Path:
    """Its weights in the format of the files that Keras fetches."""
    with h5py.File(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h5py and NumPy 2 disagree on a keyword
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def small() -> keras.Model:
    """32x32 pixels, three classes."""
    keras.utils.set_random_seed(1)
    x = image = keras.Input(SHAPE, name="image")
    x = L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", name="conv1")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Conv2D(6, 3, activation="relu", name="conv2")(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, L.Dense(3, name="dense")(x), name="small")


def grown(seed: int = 1) -> keras.Model:
    """Pictures of any size, three classes; "norm" is below zero at many places."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((None, None, 3)),
        L.Conv2D(4, 3, name="edges"),
        L.BatchNormalization(name="norm"),
        L.ReLU(name="relu"),
        L.Conv2D(6, 3, strides=2, activation="relu", name="shapes"),
        L.GlobalAveragePooling2D(),
        L.Dense(3),
    ]
    return keras.Sequential(layers)


def teachable_machine_h5(classes: int = 3, head: int | None = None) -> bytes:
    """A keras_model.h5 of Teachable Machine's form, with random numbers: those of made_by.txt.

    In these hardly anything of the picture reaches the end. head: a seed of numbers for the head,
    on a backbone, always the same one, in which it does.
    """
    description = json.loads(gzip.decompress((KERAS_2 / "teachable.json.gz").read_bytes()))
    front, end = description["config"]["layers"][1:]
    end["config"]["layers"][-1]["config"]["units"] = classes
    backbone = front["config"]["layers"][1]["config"]["layers"]
    like = keras.applications.MobileNetV2(
        (224, 224, 3), alpha=0.35, include_top=False, weights=None
    )
    dice = np.random.default_rng(3)

    def numbers(name: str, shape: Sequence[int]) -> np.ndarray:
        each = 9 if head is not None and "depthwise_kernel" in name else int(np.prod(shape[:-1]))
        drawn = dice.normal(0, (2 / max(1, each)) ** 0.5, shape)
        if "variance" in name:
            drawn = np.abs(drawn) * 0.2 + 0.8
        elif "gamma" in name:
            drawn = drawn * 0.1 + 1
        elif any(word in name for word in ("beta", "mean", "bias")):
            drawn = drawn * 0.1
        return drawn.astype("float32")

    body = {}
    for layer in (like.get_layer(one["config"]["name"]) for one in backbone[1:]):
        for weight in layer.weights:
            depthwise = "depthwise_" * (weight.name == "kernel" and "Depthwise" in str(type(layer)))
            name = f"{layer.name}/{depthwise}{weight.name}:0"
            body[name] = numbers(name, weight.shape)
    body = dict(sorted(body.items(), key=lambda named: "moving" in named[0]))  # as Keras 2 does
    if head is not None:
        dice = np.random.default_rng(head)
    shapes = {"dense_2/kernel:0": (1280, 100), "dense_2/bias:0": (100,)}
    shapes["dense_3/kernel:0"] = (100, classes)
    groups = {"sequential_3": body, "sequential_4": {n: numbers(n, s) for n, s in shapes.items()}}
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.attrs["model_config"] = json.dumps(description)
        file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in groups]
        for layer_name, weights in groups.items():
            group = root.create_group(layer_name)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, a in weights.items():
                group[name] = a
    return out.getvalue()


def teachable_machine(path: Path, names: Sequence[str], head: int | None = None) -> Path:
    """The zip that Teachable Machine gives to its users."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keras_model.h5", teachable_machine_h5(len(names), head))
        archive.writestr("labels.txt", "".join(f"{n} {name}\n" for n, name in enumerate(names)))
    return path
