"""The public endpoint: asked by programs, and by the link at the foot of the page."""

import hashlib
import logging
from pathlib import Path
from typing import Literal, TypedDict

import gradio as gr
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demo import engine
from demo.question import method_of, pose
from demo.wire import class_rows, six_numbers
from demo.words import FAILED
from gradcam_core import heatmap, lookup, models
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS, placement_of
from gradcam_core.types import UserError

log = logging.getLogger("gradcam_lab")


class Prediction(TypedDict):
    index: int
    label: str
    probability: float
    logit: float


class Reply(TypedDict):
    predictions: list[Prediction]
    target: int
    layer: str
    map: list[list[float]]
    placement: list[float] | None
    box: list[int] | None
    overlay: FileData


def endpoint(
    image: FileData,
    model: Literal[tuple(models.MODELS)] = models.DEFAULT,  # type: ignore[valid-type]
    layer: str = "",
    target: int | None = None,
    method: Literal[tuple(METHODS)] = next(iter(METHODS)),  # type: ignore[valid-type]
) -> Reply:
    """Where a network sees the evidence for a class.

    Args:
        image: an uploaded picture
        model: which network
        layer: which layer; empty for the network's best
        target: number of the class; null for the likeliest
        method: which method
    Returns:
        The likeliest classes; the signed map (h, w) before its ReLU; its placement, null where it
        covers all of the picture, else a, b, c, d, e, f: the middle of cell (i, j), at u = (i +
        1/2) / h and v = (j + 1/2) / w of the map, lies in row a u + b v + c and column d u + e v +
        f, shares of the picture's sides; the overlay as a PNG file, its longest side 1280 pixels
        at most; the box (left, top, right, bottom), in pixels of the overlay, round what is above
        15 % of the maximum.
    """
    try:
        posed = pose(image.get("path") if isinstance(image, dict) else None, model, target)
        found, way = lookup.layer_of(posed.asked, layer), method_of(method)
        name, placement = found.name, placement_of(found, way, engine.part_of(posed))
        seen, signed = engine.one_map(posed, name, way)
        heat = heatmap.project(heatmap.normalise(signed), seen.image.shape[:2], placement)
        question = posed.question, seen.target.index, name, way
        folder = Path(get_upload_folder()) / hashlib.sha256(repr(question).encode()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        pictures.save_png(heatmap.overlay(seen.image, heat), folder / "overlay.png")
        box = heatmap.box(heat)
        likeliest = class_rows(seen.probabilities, seen.logits, posed.spec.labels)
        return {
            "predictions": [
                {"index": c["index"], "label": c["label"], "probability": c["p"], "logit": c["y"]}
                for c in likeliest
            ],
            "target": seen.target.index,
            "layer": name,
            "map": signed.tolist(),
            "placement": six_numbers(placement),
            "box": list(box) if box else None,
            "overlay": FileData(path=str(folder / "overlay.png")).model_dump(),
        }
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception:
        log.exception("an API call failed")
        raise gr.Error(FAILED, print_exception=False) from None
