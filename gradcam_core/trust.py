"""Whether the map of a layer and a method can be trusted: what was measured, or found by asking.

Measured means: how often the map's maximum lies inside the object (pointing game, Zhang et al.
2016, arXiv 1608.00507) against how often the middle of the picture does, on photographs with boxes
drawn by hand. It was done for the networks in POINTING and for no other.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from gradcam_core.methods import METHODS
from gradcam_core.types import F32, Layer, Method

Verdict = Literal["better", "alike", "worse", "exact", "mean", "unknown"]

VERDICTS: dict[Verdict, str] = {  # of a method at a layer, in words
    "better": "At this layer {method} was measured to point at the object clearly more often than "
    "the middle of the picture does.",
    "alike": "At this layer {method} was measured to point at the object about as often as the "
    "middle of the picture does.",
    "worse": "At this layer {method} was measured to point at the object no more often than the "
    "middle of the picture does: do not trust it about places.",
    "exact": "At this layer the gradient is the same at every place, so {method} loses nothing by "
    "taking its mean.",
    "mean": "{method} takes the mean of gradients that differ from place to place at this layer; "
    "whether the map still points at the right place was not measured for this network.",
    "unknown": "Whether {method} points at the right place at this layer was not measured for this "
    "network.",
}
TOKENS = (
    "The cells of this layer are tokens: by attention, or what stands in for it, each reads from "
    "the others. So a cell stands for its own place and for what it has read elsewhere. In two "
    "small networks that were trained to try this, the map pointed at the object hardly more often "
    "than the middle of the picture does."
)
CLASS_TOKEN = "What the class token has read already is in none of the cells."
GOOD: tuple[Verdict, ...] = ("better", "exact")

_AVERAGES: dict[str, Verdict] = {
    "Grad-CAM": "worse",
    "Grad-CAM++": "worse",
    "XGrad-CAM": "worse",
    "Eigen-CAM": "worse",
}
_EARLY: dict[str, Verdict] = {**_AVERAGES, "HiResCAM": "alike", "LayerCAM": "alike"}
_MIDDLE: dict[str, Verdict] = {**_AVERAGES, "HiResCAM": "better", "LayerCAM": "better"}
POINTING: dict[str, dict[str, Mapping[str, Verdict]]] = {  # title -> start of a layer -> method
    "EfficientNet-Lite0": {
        "block1": _EARLY,
        "block2": _EARLY,
        "block3": _MIDDLE,
        "block4": _MIDDLE,
        "block5": _MIDDLE,
        "block6": {**_AVERAGES, "HiResCAM": "worse", "LayerCAM": "worse"},
        "block7": {
            "Grad-CAM": "better", "Grad-CAM++": "better", "HiResCAM": "alike",
            "XGrad-CAM": "worse", "LayerCAM": "alike", "Eigen-CAM": "alike",
        },
        "top": {
            "Grad-CAM": "better", "Grad-CAM++": "better", "HiResCAM": "better",
            "XGrad-CAM": "better", "LayerCAM": "better", "Eigen-CAM": "alike",
            "Sharper Grad-CAM": "better",
        },
    },
}  # fmt: skip


def even(g: F32) -> bool | None:
    """Whether the gradient G (h, w, K) is the same at every place, but for rounding: its mean over
    places then loses nothing, and Grad-CAM, HiResCAM and XGrad-CAM are one map. None: it is zero.
    """
    top = np.abs(g).max()
    return bool(np.ptp(g, axis=(0, 1)).max() <= 1e-4 * top) if top else None


def averages(method: Method) -> bool:
    """Whether it gives a channel one weight for all places, made from gradients. Found by asking:
    of two places that differ in nothing but the sign of their gradient."""
    if not method.weights or method.class_agnostic:
        return False
    a, g = np.ones((1, 2, 1), np.float32), np.array([[[1], [-1]]], np.float32)
    return method.weights(a, g).ndim == 1


def verdict(title: str, layer: Layer, method: str, is_even: bool | None) -> Verdict:
    """What is known of this method at this layer of the network of that title.

    is_even: whether the layer's gradient is (`even`).
    """
    rows = POINTING.get(title, {}) if layer.suggested else {}
    measured = next((row for start, row in rows.items() if layer.name.startswith(start)), {})
    if method in measured:
        return measured[method]
    if is_even is None or not averages(METHODS[method]):
        return "unknown"
    if not is_even:
        return "mean"
    return "exact" if layer.leading is None else "unknown"  # tokens may have lost places before


def about_tokens(layer: Layer) -> str:
    """What attention does to the places of a layer; empty: its cells are no tokens."""
    if layer.leading is None:
        return ""
    return f"{TOKENS} {CLASS_TOKEN}" if layer.leading else TOKENS


def film_method(layer: str, best: str, contrast: bool) -> str:
    """The method that shows this layer beside the others, in the film and in the lesson: Grad-CAM
    at the best layer; before it, where the mean of the gradients forgets places, one that keeps
    them. contrast: what speaks for one class rather than another has both signs, which LayerCAM
    has not.
    """
    return "HiResCAM" if contrast else "Grad-CAM" if layer == best else "LayerCAM"
