"""Grad-CAM for any Keras model: where does a convolutional network see the evidence for a class?

    from gradcam_core import explain
    explain(image).heatmaps["Grad-CAM"]  # (H, W) float32 in [0, 1]

Importing this loads no TensorFlow; the first call does.
"""

from importlib import import_module
from typing import Any

SETTINGS = {  # of a program's environment, to be made before TensorFlow is loaded
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # off by TensorFlow's own choice on some processors, and slower
}
BACKEND = {"KERAS_BACKEND": "tensorflow"}  # whatever the machine's own settings say
_ROOMS = {
    "explain": "pipeline", "survey": "pipeline", "METHODS": "methods", "MODELS": "models",
    "UserError": "types", "Target": "types",
}  # fmt: skip
__all__ = list(_ROOMS)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(name)
    return getattr(import_module(f"gradcam_core.{_ROOMS[name]}"), name)
