"""The door for .keras files: what they may hold, judged before Keras opens them.

A .keras file is a ZIP with a description in JSON and the weights. Only a description in which every
class is on a list here goes on; what it costs to run is for `sandbox` to find out and to limit.
"""

import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from gradcam_core import keras2
from gradcam_core.types import UserError

MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_FILE = 120_000_000  # bytes, on disk and unpacked
MAX_JSON = 5_000_000  # bytes
MAX_RATIO = 100  # times that a member may grow when it is unpacked
MAX_DEPTH = 50
MAX_LAYERS = 3_000
NAME = re.compile(r"[^<>&\"'`/\\]{1,100}")

DAMAGED = (
    "The model file could not be loaded: it is not a .keras file, or it is damaged; save the model "
    "again with model.save('my.keras')."
)
TOO_LARGE = (
    f"The model file is larger than {MAX_FILE / 1e6:.0f} MB, also counted unpacked; give a smaller "
    "model, or run this program on your own computer."
)
SWOLLEN = (
    "The model file unpacks to far more than a model needs; save the model again with "
    "model.save('my.keras')."
)
UNKNOWN = (
    "The model file holds code, or a part that is not on the list of what may be loaded; save a "
    "model of Keras's own plain layers as .keras."
)
CROWDED = f"The model has more than {MAX_LAYERS} layers; give a smaller one."
UNREADABLE = (
    "The model has a layer whose name is not plain text; name its layers with letters, digits and "
    "underscores, and save it again."
)


class UnknownPart(UserError):
    """A part that is not on the list. layer: its name and its class, as far as they are known."""

    def __init__(self, layer: Any = None, kind: Any = None):
        super().__init__(UNKNOWN)
        self.layer, self.kind = str(layer or ""), str(kind or "")


MODEL_CLASSES = {
    ("keras", "Functional"), ("keras", "Sequential"), ("keras.models", "Functional"),
    ("keras.models", "Sequential"), ("keras.src.models.functional", "Functional"),
    ("keras.src.models.sequential", "Sequential"),
}  # fmt: skip
LAYER_CLASSES = {  # module -> classes that may stand in a model, as layers or as operations
    "keras.layers": {
        "Activation", "ActivityRegularization", "Add", "AdditiveAttention", "AlphaDropout",
        "Attention", "AugMix", "AutoContrast", "Average", "AveragePooling1D", "AveragePooling2D",
        "BatchNormalization", "Bidirectional", "CenterCrop", "Concatenate", "Conv1D",
        "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "ConvLSTM1D", "ConvLSTM2D", "Cropping1D",
        "Cropping2D", "CutMix", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dot", "Dropout",
        "ELU", "EinsumDense", "Embedding", "Equalization", "Flatten", "GRU", "GaussianDropout",
        "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
        "GlobalMaxPooling2D", "GroupNormalization", "GroupQueryAttention", "Identity", "InputLayer",
        "LSTM", "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D",
        "Maximum", "Minimum", "MixUp", "MultiHeadAttention", "Multiply", "Normalization", "PReLU",
        "Permute", "RMSNormalization", "RandAugment", "RandomBrightness", "RandomColorDegeneration",
        "RandomColorJitter", "RandomContrast", "RandomCrop", "RandomElasticTransform",
        "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
        "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
        "RandomSaturation", "RandomSharpness", "RandomTranslation", "RandomZoom", "ReLU",
        "RepeatVector", "Rescaling", "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D",
        "SimpleRNN", "Softmax", "Solarization", "SpatialDropout1D", "SpatialDropout2D",
        "SpectralNormalization", "Subtract", "TimeDistributed", "UnitNormalization", "UpSampling1D",
        "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
    },
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
    "keras.src.ops.core": {"Cast", "StopGradient"},
    "keras.src.ops.image": {"RGBToGrayscale", "Resize"},
    "keras.src.ops.math": {"Erf", "Logsumexp", "Rsqrt"},
    "keras.src.ops.nn": {
        "AveragePool", "Celu", "Conv",
        "DepthwiseConv", "Elu", "Gelu", "Glu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh",
        "LeakyRelu", "LogSigmoid", "LogSoftmax", "MaxPool", "Normalize", "Relu", "Relu6", "Selu",
        "Sigmoid", "Silu", "SoftShrink", "Softmax", "Softplus", "Softsign", "SparsePlus",
        "SparseSigmoid", "Sparsemax", "Squareplus", "TanhShrink", "Threshold",
    },
    "keras.src.ops.numpy": {
        "Absolute", "Add", "All", "Amax", "Amin", "Any", "Arctan", "Argmax", "Argmin", "Average",
        "BroadcastTo", "Ceil", "Clip", "Concatenate", "Cos", "Cumsum", "Divide", "Dot", "Einsum",
        "Equal", "Exp", "ExpandDims", "Expm1", "Flip", "Floor", "FloorDivide", "FullLike",
        "GetItem", "Greater", "GreaterEqual", "Less", "LessEqual", "Log", "Log10", "Log1p", "Log2",
        "LogicalAnd", "LogicalNot", "LogicalOr", "Matmul", "Max", "Maximum", "Mean", "Min",
        "Minimum", "Mod", "Moveaxis", "Multiply", "Negative", "NotEqual", "OnesLike", "Pad",
        "Power", "Prod", "Reciprocal", "Repeat", "Reshape", "Roll", "Round", "Sign", "Sin", "Split",
        "Sqrt", "Square", "Squeeze", "Stack", "Std", "Subtract", "Sum", "Swapaxes", "Take", "Tanh",
        "Tensordot", "Tile", "Transpose", "TrueDivide", "Var", "Where", "ZerosLike",
    },
}  # fmt: skip
WRAPPERS = {"Bidirectional", "SpectralNormalization", "TimeDistributed"}  # hold another layer
PART_CLASSES = {  # module -> classes that a layer may be made with
    "keras": {"DTypePolicy"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.initializers": {
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity",
        "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform",
        "TruncatedNormal", "VarianceScaling", "Zeros",
    },
    "keras.layers": {"Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"},  # activation=
    "keras.regularizers": {"L1", "L2", "L1L2", "OrthogonalRegularizer"},
}  # fmt: skip
VALUES = {"__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
DTYPES = {"bfloat16", "bool", "float16", "float32", "float64", "int32", "int64", "uint8"}


def admit(path: str | Path, limit: float = MAX_FILE) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """What `described` says of a .keras file. Raises a UserError unless it may be given to Keras.

    No shape is looked at: a file that passes may still ask for more memory than there is.
    """
    found = described(path, limit)
    judge(found[0])
    return found


def described(
    path: str | Path, limit: float = MAX_FILE
) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """What a .keras file says of its model, in today's form; what was changed for that; and by
    which Keras it was written. Raises a UserError.

    limit: bytes, of the file and of what it unpacks to.
    """
    try:
        description, by = _description(Path(path), limit)
        modern, changes = keras2.modern(description)
    except UserError:
        raise
    except Exception as error:  # of bytes that may be anything
        raise UserError(DAMAGED) from error
    return modern, changes, by


def judge(description: Any) -> None:
    """Raise a UserError unless every class in a model's description is one of those below."""
    counts: Counter[str] = Counter()
    try:
        _judge_dict(description, "model", 0, counts)
    except UserError:
        raise
    except Exception as error:
        raise UserError(DAMAGED) from error
    if counts["layer"] > MAX_LAYERS:
        raise UserError(CROWDED)


def _description(path: Path, limit: float) -> tuple[Any, str]:
    """What config.json says, and which Keras wrote it, once the ZIP is known to be small and to
    hold nothing else."""
    if path.stat().st_size > limit:
        raise UserError(TOO_LARGE)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sorted(member.filename for member in members) != MEMBERS:
            raise UserError(DAMAGED)
        if any(m.flag_bits & 1 or m.compress_type not in PACKINGS for m in members):
            raise UserError(DAMAGED)
        for member in members:
            most = MAX_JSON if member.filename.endswith(".json") else limit
            if member.file_size > min(most, MAX_RATIO * member.compress_size + 1_000):
                raise UserError(SWOLLEN)
        if sum(member.file_size for member in members) > limit:
            raise UserError(TOO_LARGE)
        by = str(json.loads(archive.read("metadata.json")).get("keras_version"))[:20]
        return json.loads(archive.read("config.json")), by


def _judge(node: Any, place: str, depth: int, counts: Counter[str]) -> None:
    """Every class that this names is known in its place: "layer" or "part"."""
    if depth > MAX_DEPTH:
        raise UserError(DAMAGED)
    if isinstance(node, list):
        for item in node:
            _judge(item, place, depth + 1, counts)
    elif isinstance(node, dict):
        _judge_dict(node, place, depth, counts)
    elif place != "part":
        raise UserError(DAMAGED)


def _judge_dict(node: dict[str, Any], place: str, depth: int, counts: Counter[str]) -> None:
    """The same of a dictionary; the outermost stands in the place "model"."""
    counts[place] += 1
    holds_layers = False
    if place != "part" or {"class_name", "module", "registered_name"} & node.keys():
        name, module, config = node["class_name"], node.get("module"), node["config"]
        holds_layers = place != "part" and (module, name) in MODEL_CLASSES
        if node.get("registered_name") not in (None, name):
            raise UserError(UNKNOWN)
        if place == "part":
            _judge_part(name, module, config)
        elif not holds_layers and (
            place == "model" or name not in LAYER_CLASSES.get(str(module), ())
        ):
            raise UnknownPart(config.get("name"), name)
        if place != "part" and name in WRAPPERS and not isinstance(config.get("layer"), dict):
            raise UnknownPart(config.get("name"), name)
        if place != "part" or module == "keras.layers":
            _judge_names(node.get("name"), config.get("name"))
    for key, value in node.items():
        if key == "compile_config" and (place == "model" or not value):
            continue  # load_model(compile=False) drops that of the outermost model
        if key == "config" and place != "part" and name in WRAPPERS:
            for inner, part in value.items():
                held = inner in ("layer", "backward_layer") and part is not None
                _judge(part, "layer" if held else "part", depth + 2, counts)
        elif key == "config" and holds_layers:
            for inner, part in value.items():
                _judge(part, "layer" if inner == "layers" else "part", depth + 2, counts)
        else:
            _judge(value, "part", depth + 1, counts)


def _judge_part(name: Any, module: Any, config: Any) -> None:
    tensor = name in ("__tensor__", "__numpy__")
    known = name in VALUES if module is None else name in PART_CLASSES.get(str(module), ())
    if not known or (tensor and config["dtype"] not in DTYPES):
        raise UserError(UNKNOWN)


def _judge_names(*names: Any) -> None:
    for name in names:
        if name is not None and not (NAME.fullmatch(name) and name.isprintable()):
            raise UserError(UNREADABLE)
