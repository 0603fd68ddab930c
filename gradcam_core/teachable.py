"""Teachable Machine's exports: a small head on a MobileNetV2 that is nearly always the same.

https://teachablemachine.withgoogle.com trains the last two layers only. Such a file is data: its
numbers go into a network that is built here, with one graph for all of them, and a backbone that
many files share is kept once.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcam_core.cache import Cache
from gradcam_core.hdf5 import Parts
from gradcam_core.types import F32, Finding, ModelSpec, UserError

if TYPE_CHECKING:
    import keras

    from gradcam_core.network import Network

SQUARE = 224
HIDDEN = 100
MOST_CLASSES = 1_000
BACKBONES = 30  # kept, 1.6 MB each
MEANT = (  # what a layer of the backbone does, in Keras's words
    "filters", "kernel_size", "strides", "padding", "dilation_rate", "data_format", "use_bias",
    "activation", "depth_multiplier", "epsilon", "max_value", "negative_slope", "threshold",
)  # fmt: skip

OTHER_NETWORK = (
    "This file has the form of a Teachable Machine model, but another network inside; give it by "
    "--model, or export an image model from Teachable Machine: Export Model, Tensorflow, Keras."
)
NOT_NUMBERS = (
    "This model's weights are not all finite numbers; train it in Teachable Machine again and "
    "export it once more."
)
SCALED = (
    "Preprocessing: pixels divided by 127.5, less 1, of the middle square of the picture, because "
    "this is a model of Teachable Machine, which does so."
)
FINDINGS = (Finding("preprocess", "scale11", "found", SCALED),)

_network: Cache[None, "Network"] = Cache(1)
_backbones: Cache[str, tuple[Any, ...]] = Cache(BACKBONES)  # digest -> its numbers as tensors


def is_export(description: Any) -> bool:
    """Whether a model described so has Teachable Machine's form.

    A Sequential of two: a network with a global average, and two dense layers, the last of them
    without bias and with a softmax.
    """
    try:
        front, head = _inside(description)
        _, pool = _inside(front)
        hidden, last = _inside(head)
        return bool(
            [pool["class_name"], hidden["class_name"], last["class_name"]]
            == ["GlobalAveragePooling2D", "Dense", "Dense"]
            and hidden["config"]["activation"] == "relu"
            and last["config"]["activation"] == "softmax"
            and not last["config"]["use_bias"]
        )
    except (ValueError, TypeError, KeyError):
        return False


def _inside(sequential: Any) -> list[Any]:
    """The layers of a Sequential, without its input."""
    if sequential["class_name"] != "Sequential":
        raise ValueError
    layers = sequential["config"]["layers"]
    return [layer for layer in layers if layer["class_name"] != "InputLayer"]


def row(numbers: Sequence[F32], labels: Sequence[str]) -> ModelSpec:
    """A row for what an export holds. labels: C unique names. Raises a UserError."""
    if not all(np.isfinite(a).all() for a in numbers):
        raise UserError(NOT_NUMBERS)
    tensors = _shared(numbers)
    network = _network.get(None, _made).filled(tensors)
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return ModelSpec(
        title=f"Teachable Machine: {', '.join(labels[:3])}{more}",
        build=lambda _file: with_numbers(tensors),
        preprocess=lambda rgb: rgb / np.float32(127.5) - 1,
        size=SQUARE,
        labels=tuple(labels),
        shape=(SQUARE, SQUARE, 3),
        notes=(SCALED,),
        findings=FINDINGS,
        asked=lambda: network,
        head="softmax",
        meaning=network.meaning,
        crop=True,
    )


def make_ready() -> None:
    """Build the one network, and its graph for a first look: whoever comes first waits less."""
    net = _network.get(None, _made)
    zeros = [np.zeros([n or 2 for n in shape], np.float32) for shape in _shapes(net.model)]
    net.filled(_tensors(zeros)).trace(np.zeros(net.shape, np.float32))


def _build() -> "keras.Model":
    """(B, 224, 224, 3) -> (B, 2), with the numbers that Keras begins with."""
    import keras

    backbone = keras.applications.MobileNetV2(
        (SQUARE, SQUARE, 3), alpha=0.35, include_top=False, weights=None
    )
    x = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
    x = keras.layers.Dense(HIDDEN, activation="relu", name="hidden")(x)
    x = keras.layers.Dense(2, activation="softmax", use_bias=False, name="classes")(x)
    return keras.Model(backbone.input, x, name="teachable_machine")


def _shapes(model: "keras.Model") -> list[tuple[int | None, ...]]:
    """Of the numbers that a file gives, in the order of the model's weights; the last ends in C."""
    *others, last = [tuple(weight.shape) for weight in model.weights]
    return [*others, (last[0], None)]


def _made() -> "Network":
    from gradcam_core.network import Network

    model = _build()
    return Network(model, (SQUARE, SQUARE, 3), fed=_shapes(model))


def _tensors(numbers: Sequence[F32]) -> list[Any]:
    from gradcam_core.network import constants

    return constants(numbers)


def _shared(numbers: Sequence[F32]) -> list[Any]:
    """These numbers as tensors; those of a backbone that is known are the same ones."""
    *backbone, kernel, bias, last = numbers
    digest = hashlib.sha256(b"".join(a.tobytes() for a in backbone)).hexdigest()
    shared = _backbones.get(digest, lambda: tuple(_tensors(backbone)))
    return [*shared, *_tensors([kernel, bias, last])]


def with_numbers(numbers: Sequence[Any]) -> "keras.Model":
    """A model of Keras with these numbers, to be saved."""
    import keras

    model = _build()
    *_, last = model.layers
    ending = keras.layers.Dense(
        numbers[-1].shape[1], activation="softmax", use_bias=False, name="classes"
    )
    model = keras.Model(model.input, ending(last.input), name="teachable_machine")
    model.set_weights([np.asarray(a) for a in numbers])
    return model


def numbers_of(parts: Parts) -> list[F32]:
    """What an export holds, in the order of our model's weights; the last is (100, C).

    Raises a UserError if it is of another network.
    """
    net = _network.get(None, _made)
    try:
        front, _head = _inside(json.loads(parts.description))
        backbone, _ = _inside(front)
        (_, front_numbers), (_, head_numbers) = [layer for layer in parts.layers if layer[1]]
        found = [_by_name(front_numbers), *(_by_name({n: a}) for n, a in head_numbers.items())]
        if plan(backbone["config"]["layers"]) != _own_plan():
            raise ValueError
        ours = [w.path.split("/")[-2:] for w in net.model.weights]
        numbers = [found[0].pop((layer, part)) for layer, part in ours[:-3]]
        numbers += [next(iter(one.values())) for one in found[1:]]
        fits = [len(s) == a.ndim and all(n in (None, m) for n, m in zip(s, a.shape, strict=True))
                for s, a in zip(_shapes(net.model), numbers, strict=True)]  # fmt: skip
        if found[0] or not all(fits) or not 0 < numbers[-1].shape[1] <= MOST_CLASSES:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(OTHER_NETWORK) from error
    return [np.asarray(a, np.float32) for a in numbers]


@lru_cache
def _own_plan() -> list[Any]:
    """The `plan` of the backbone that is built here."""
    model = _network.get(None, _made).model
    return plan(json.loads(json.dumps(model.get_config()))["layers"][:-3])


def _by_name(weights: Any) -> dict[tuple[str, str], F32]:
    """Layer and part, as in "bn_Conv1/gamma:0" -> numbers. Keras 3 has kernels only."""
    paths = {name: name.partition(":")[0].split("/") for name in weights}
    return {
        (path[-2], path[-1].removeprefix("depthwise_")): weights[n] for n, path in paths.items()
    }


def plan(layers: Any) -> list[Any]:
    """What each layer is, does and gets its input from, whichever Keras describes it."""
    start = {layer["config"]["name"] for layer in layers if layer["class_name"] == "InputLayer"}
    return sorted(
        (
            layer["class_name"],
            layer["config"]["name"],
            ["" if name in start else name for name in _sources(layer["inbound_nodes"])],
            json.dumps({key: layer["config"].get(key) for key in MEANT}),
        )
        for layer in layers
        if layer["class_name"] != "InputLayer"
    )


def _sources(node: Any) -> Iterator[str]:
    """The names of the layers that are named in it: ["Conv1", 0, 0, ..]."""
    if isinstance(node, list) and node and isinstance(node[0], str):
        yield node[0]
    elif isinstance(node, list | dict):
        for part in node.values() if isinstance(node, dict) else node:
            yield from _sources(part)
