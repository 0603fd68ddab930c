"""A network that nobody trained, and how one is saved without a warning."""

import warnings
from pathlib import Path

import h5py
import keras
from keras import layers as L
from keras.src.legacy.saving import legacy_h5_format

SHAPE = (32, 32, 3)


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
