"""Files of Keras 2, and of early Keras 3: their description put into today's form.

Only the JSON is changed, by the rules here; nothing that it names is imported. The numbers stay.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from gradcam_core.types import UserError

if TYPE_CHECKING:
    import keras

    from gradcam_core.hdf5 import Parts

MODELS_OF_KERAS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}
PARTS_OF_LAYERS = {  # the end of a setting's name -> where its class is
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
}
ARITHMETIC: dict[str, Callable[[float], tuple[float, float]]] = {  # x op y -> scale, offset of x
    "math.truediv": lambda y: (1 / y, 0),
    "math.divide": lambda y: (1 / y, 0),
    "math.multiply": lambda y: (y, 0),
    "math.subtract": lambda y: (1, -y),
    "math.add": lambda y: (1, y),
    "__operators__.add": lambda y: (1, y),
}
ANY = object()
VERSION = re.compile(r"[\w.+-]{1,20}")
_SAME_FOR_ALL = {"groups": 1}
_NO_KERNEL = dict.fromkeys(("kernel_initializer", "kernel_regularizer", "kernel_constraint"), ANY)
_ROWS_FIRST = {"time_major": False}
NO_LONGER: dict[str, dict[str, Any]] = {  # class -> settings that are gone, and what they must be
    "DepthwiseConv1D": _SAME_FOR_ALL,
    "DepthwiseConv2D": _SAME_FOR_ALL,
    "SeparableConv1D": _SAME_FOR_ALL | _NO_KERNEL,
    "SeparableConv2D": _SAME_FOR_ALL | _NO_KERNEL,
    "Conv1DTranspose": _SAME_FOR_ALL,
    "Conv2DTranspose": _SAME_FOR_ALL,
    "RandomRotation": {"value_range": ANY},  # of training only
    "GRU": _ROWS_FIRST,
    "LSTM": _ROWS_FIRST,
    "SimpleRNN": _ROWS_FIRST,
}

MISFIT = (
    "The model file could not be loaded: its weights do not fit its description; save the model "
    "again with model.save('my.keras')."
)


def modern(description: Any) -> tuple[Any, tuple[str, ...]]:
    """A model's description in today's form, and what was changed in it, in words."""
    changed: dict[str, None] = {}
    return _model(description, changed), tuple(changed)


def repaired(changes: Sequence[str], by: str) -> str:
    """One sentence about what was changed. by: the version of the Keras that wrote the file."""
    from importlib.metadata import version  # not above: who only reads HDF5 does without

    by = by if VERSION.fullmatch(by) else "2"
    return (
        f"The file was written by Keras {by}, and its description is put into the form of Keras "
        f"{version('keras')}: {', '.join(changes)}; its numbers stay as they are."
    )


def _model(node: Any, changed: dict[str, None]) -> Any:
    """A model or a layer."""
    if not isinstance(node, dict) or "class_name" not in node:
        return node
    if node["class_name"] == "TFOpLambda":
        node = _operation(node, changed)
    node, name = dict(node), node["class_name"]
    module = str(node.get("module", "")).removeprefix("tf_")
    old = name in MODELS_OF_KERAS and (not module or ".engine." in module)
    if old:
        name = node["class_name"] = "Functional" if name == "Model" else name
        node |= {"module": MODELS_OF_KERAS[name], "registered_name": None}
        changed["where its classes are"] = None
    elif module != str(node.get("module")):
        node |= {"module": module or "keras.layers", "registered_name": None}
        changed["where its classes are"] = None
    config = node.get("config")
    if not isinstance(config, dict):
        return node
    config = {key: _part(key, value, not module, changed) for key, value in config.items()}
    for setting, neutral in NO_LONGER.get(name, {}).items():
        if setting in config and (neutral is ANY or config[setting] == neutral):
            del config[setting]
            changed[f"{setting} of {name}"] = None
    axis = config.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
        changed["axis of BatchNormalization"] = None
    if isinstance(config.get("layer"), dict):  # of a wrapper
        config["layer"] = _model(config["layer"], changed)
    if isinstance(config.get("layers"), list):
        config["layers"] = [_model(layer, changed) for layer in config["layers"]]
        for key in ("input_layers", "output_layers"):
            ends = config.get(key)
            if old and isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
                config[key] = ends[0]
                changed["where a model begins and ends"] = None
    node["config"] = config
    return node


def _operation(node: dict[str, Any], changed: dict[str, None]) -> dict[str, Any]:
    """x / 127.5, x - 1 and the like, outside of any layer, as the Rescaling that they are."""
    function, nodes = node["config"].get("function"), node.get("inbound_nodes")
    if function not in ARITHMETIC or not isinstance(nodes, list) or len(nodes) != 1:
        return node
    source, number, output, given = nodes[0]
    y = given.get("y")
    if type(y) not in (int, float) or not y:
        return node
    scale, offset = ARITHMETIC[function](y)
    name = re.sub(r"\W", "_", node["config"]["name"])
    config = {"name": name, "dtype": "float32", "scale": scale, "offset": offset}
    changed["arithmetic on pixels"] = None
    return {
        "module": "keras.layers", "class_name": "Rescaling", "registered_name": None,
        "config": config, "name": node["name"],
        "inbound_nodes": [[[source, number, output, {}]]],
    }  # fmt: skip


def _part(key: str, value: Any, bare: bool, changed: dict[str, None]) -> Any:
    """What a layer is made with: an initialiser, a precision. bare: the layer names no modules."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    name, module = value["class_name"], value.get("module", "")
    if name == "Policy" and module in ("", "keras.mixed_precision"):
        changed["how precision is named"] = None
        config = {"name": value["config"]["name"]}
        return value | {"module": "keras", "class_name": "DTypePolicy", "config": config,
                        "registered_name": None}  # fmt: skip
    home = PARTS_OF_LAYERS.get(key.rpartition("_")[2])
    if "module" in value or home is None or not bare:
        return value
    return value | {"module": home, "registered_name": None}


def opened(parts: "Parts", description: Mapping[str, Any], safe: bool = True) -> "keras.Model":
    """The model of a description in today's form, with the file's numbers. safe: code in it is
    not run. Raises a UserError, or whatever Keras raises."""
    import keras

    described = {key: value for key, value in description.items() if key != "compile_config"}
    model = keras.saving.deserialize_keras_object(deepcopy(described), safe_mode=safe)
    if not isinstance(model, keras.Model):
        raise UserError(MISFIT)
    if not model.built:
        raise UserError(
            "The file does not say how large the model's pictures are; in the program that made "
            "it, run the model once, then save it with model.save('my.keras')."
        )
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    numbers = {name: weights for name, weights in parts.layers if weights}
    if set(layers) != set(numbers):
        raise UserError(MISFIT)
    for name, layer in layers.items():
        own = [*layer.trainable_weights, *layer.non_trainable_weights]
        arrays = _in_order(own, numbers[name])
        if [tuple(v.shape) for v in own] != [a.shape for a in arrays]:
            raise UserError(MISFIT)
        for variable, a in zip(own, arrays, strict=True):
            variable.assign(a)
    return model


def _in_order(own: Sequence[Any], weights: Mapping[str, Any]) -> list[Any]:
    """The numbers of these weights: by their names, or where those do not tell them apart, as both
    Keras 2 and 3 count them."""
    ours = [_ending(variable.path) for variable in own]
    theirs = {_ending(name): a for name, a in weights.items()}
    told_by_name = len(set(ours)) == len(ours) == len(weights) and set(ours) == set(theirs)
    return [theirs[name] for name in ours] if told_by_name else list(weights.values())


def _ending(path: str) -> str:
    """Layer and part: "inner/conv/kernel:0" -> "conv/kernel". In Keras 3 each kernel is one."""
    name = "/".join(path.partition(":")[0].split("/")[-2:])
    return name.replace("depthwise_kernel", "kernel")


def parsed(text: str) -> Any:
    """JSON of a file. Raises a UserError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(MISFIT) from error
