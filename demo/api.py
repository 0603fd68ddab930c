"""The public endpoint: asked by programs, and by the link at the foot of the page."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

import gradio as gr
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demo import engine, trust
from demo.question import method_of, pose
from demo.wire import class_rows, six_numbers
from demo.words import FAILED, STOPPED
from gradcam_core import heatmap, hide, lookup, models
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS, placement_of
from gradcam_core.types import Progress, Stopped, UserError

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
    progress: Progress | None = None,
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
        seen, signed = engine.one_map(posed, name, way, progress)
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
    except Stopped:
        raise gr.Error(STOPPED, print_exception=False) from None
    except Exception:
        log.exception("an API call failed")
        raise gr.Error(FAILED, print_exception=False) from None


TESTS = {
    "verdict": trust.verdict_on, "hide": trust.hide_cells, "forget": trust.forget_all,
    "hold": trust.does_it_hold, "aim": trust.take_aim,
}  # fmt: skip


def check(
    image: FileData,
    model: Literal[tuple(models.MODELS)] = models.DEFAULT,  # type: ignore[valid-type]
    layer: str = "",
    target: int | None = None,
    method: Literal[tuple(METHODS)] = next(iter(METHODS)),  # type: ignore[valid-type]
    test: Literal[tuple(TESTS)] = next(iter(TESTS)),  # type: ignore[valid-type]
    box: list[float] | None = None,
    share: float = 0.2,
    order: Literal["hottest", "coldest"] = "hottest",
    fill: Literal[tuple(hide.FILLS)] = "blur",  # type: ignore[valid-type]
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Whether a map can be trusted: the tests of the tab "Can I trust it?".

    Args:
        image: an uploaded picture
        model: which network
        layer: which layer; empty for the network's best
        target: number of the class; null for the likeliest
        method: which method made the map
        test: verdict (better than chance and than the picture's centre?), hide (what the network
            says with a part hidden), forget (the map as the weights are shuffled), hold (picture
            mirrored, moved, with noise), aim (pointing game, weighting game, IoU)
        box: left, top, right, bottom in shares of the sides: round the object, of aim; or what to
            hide
        share: of the cells to hide, where there is no box
        order: which cells
        fill: what is painted over them
    Returns:
        What the test found: numbers and a sentence.
    """
    if not isinstance(test, str) or test not in TESTS:
        raise gr.Error(f"Choose a test: {', '.join(TESTS)}.", print_exception=False)
    try:
        path = image.get("path") if isinstance(image, dict) else None
        posed = pose(path, model, target)
        target = engine.likeliest(posed).question.target
        name = lookup.layer_of(posed.asked, layer).name
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception:
        log.exception("an API call failed")
        raise gr.Error(FAILED, print_exception=False) from None
    region = None if box is None else {"box": box, "spots": []}
    asked = {"path": path, "model": model, "layer": name, "target": target, "method": method}
    asked |= {"region": region, "share": share, "order": order, "fill": fill}
    return answered(TESTS[test](asked | {"rival": None, "detail": False}, progress=progress))


def takes_long(given: Mapping[str, Any]) -> bool:
    """Whether `check`, given these, asks many times; each other test takes four passes at most."""
    return given["test"] in ("verdict", "forget")


def pointing_game(
    images: list[FileData],
    model: Literal[tuple(models.MODELS)] = models.DEFAULT,  # type: ignore[valid-type]
    layer: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The grid pointing game: the share of heat in the right quarter, for every method.

    Args:
        images: four uploaded pictures of four classes
        model: which network
        layer: which layer; empty for the network's best
    Returns:
        The quarters and what the network says of each; the methods and their shares; 0.25 is
        chance.
    """
    files = images if isinstance(images, list) else []
    paths = [file.get("path") if isinstance(file, dict) else None for file in files]
    asked = {"model": model, "layer": layer, "paths": paths}
    return answered(trust.play_mosaic(asked, progress=progress))


def answered(said: dict[str, Any]) -> dict[str, Any]:
    """The same; a refusal as Gradio's."""
    if "error" in said:
        raise gr.Error(said["error"], print_exception=False)
    return said
