"""Grad-CAM for any Keras model: where does a convolutional network see the evidence for a class?

    from gradcam_core import explain
    explain("photo.jpg").heatmaps["Grad-CAM"]  # (H, W) float32 in [0, 1]

Importing this loads no TensorFlow; the first call does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcam_core.image import read_rgb as read_rgb
    from gradcam_core.methods import METHODS as METHODS
    from gradcam_core.models import MODELS as MODELS
    from gradcam_core.models import from_keras as from_keras
    from gradcam_core.models import load_file as load_file
    from gradcam_core.pipeline import explain as explain
    from gradcam_core.pipeline import survey as survey
    from gradcam_core.types import Target as Target
    from gradcam_core.types import UserError as UserError

SETTINGS = {  # of a program's environment, to be made before TensorFlow is loaded
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # off by TensorFlow's own choice on some processors, and slower
}
BACKEND = {"KERAS_BACKEND": "tensorflow"}  # whatever the machine's own settings say
_ROOMS = {
    "explain": "pipeline", "survey": "pipeline", "from_keras": "models", "load_file": "models",
    "read_rgb": "image", "METHODS": "methods", "MODELS": "models", "UserError": "types",
    "Target": "types",
}  # fmt: skip
__all__ = list(_ROOMS)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gradcam_core.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
