"""The one door: raw values of widgets, of JSON and of API calls -> one Question, or a sentence.

Here each name is looked up, once; what it stands for is passed on.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from gradio.utils import get_upload_folder, is_in_or_equal

from gradcam_core import lookup, models
from gradcam_core.types import Asked, ModelSpec, Question, UserError

NO_PICTURE = "Drop in a picture, or choose one of the examples."
NOT_UPLOADED = "The picture is no longer here; please upload it again."
NAMELESS = "Ask by the names of the question's parts."

EXAMPLES_DIR = Path(__file__).resolve().parent / "examples"
EXAMPLES = {  # what the gallery shows: file -> what it is good for
    "cheetah_and_lion.jpg": "Cheetah and lion: choose one or the other",
    "cheetah.jpg": "Cheetah",
    "lion.jpg": "Lion",
    "tower.jpg": "Eiffel Tower: not among the 1000 classes",
    "hopper.jpg": "Grace Hopper",
}

Tell = Callable[[float, str], object]  # the part that is done, in [0, 1], and of what


class Posed(NamedTuple):
    """A question, and what its names stand for."""

    question: Question
    spec: ModelSpec
    asked: Asked


class Chosen(NamedTuple):
    """What the widgets say, as they say it; "" for the likeliest class and for no other class."""

    picture: Any
    model: Any
    target: Any = ""
    rival: Any = ""
    detail: Any = False
    labels: tuple[str, ...] = ()  # what target and rival are numbers of


def pose(
    picture: Any,
    model: Any,
    target: Any = None,
    rival: Any = None,
    detail: Any = False,
    spec: ModelSpec | None = None,
) -> Posed:
    """The question, and its network made ready. Raises UserError.

    target, rival: None for none. spec: the row of the model, from whoever has it already.
    """
    file, row = own_file(picture), spec or models.find(model)
    wide = bool(detail) and row.fully_convolutional
    question = Question(file, model, class_of(target, row), class_of(rival, row), wide)
    if question.rival is not None and question.rival == question.target:
        raise UserError(lookup.SAME)
    return Posed(question, row, lookup.network(row, wide))


def from_widgets(chosen: Chosen, spec: ModelSpec | None = None) -> Posed:
    target, rival = (None if value == "" else value for value in (chosen.target, chosen.rival))
    return pose(chosen.picture, chosen.model, target, rival, chosen.detail, spec)


def from_json(request: Any) -> tuple[Posed, str]:
    """What the browser asks, and the layer that it asks about."""
    if not isinstance(request, dict):
        raise UserError(NAMELESS)
    part = request.get
    posed = pose(part("path"), part("model"), part("target"), part("rival"), part("detail"))
    return posed, lookup.layer_of(posed.asked, part("layer")).name


def from_link(link: str) -> tuple[Chosen, list[str]]:
    """What a link asks for, as usual where it says nothing; the keys of what is not to be had here.

    link: JSON, [what stands behind the #, what the browser's tab alone knows: {"path", "model"}].
    The keys are those of viewer/address.js, or "own", "mine": of somebody's own picture, network.
    """
    try:
        behind, kept = json.loads(link)
    except (ValueError, TypeError, RecursionError):  # of no page of ours
        behind, kept = "", None
    kept = kept if isinstance(kept, dict) else {}
    asks = dict(parse_qsl(str(behind).removeprefix("#")))
    if "ver" in asks:  # of another version of the page
        asks = {}
    examples = {Path(file).stem: str(EXAMPLES_DIR / file) for file in EXAMPLES}
    picture, model = next(iter(examples.values())), next(iter(models.MODELS))
    missing = []
    if asks.get("p") == "own":
        try:
            picture = own_file(kept.get("path"))
        except UserError:
            missing.append("own")
    elif (name := asks.get("p", Path(picture).stem)) in examples:
        picture = examples[name]
    else:
        missing.append("p")
    if asks.get("m") == "mine":
        if str(kept.get("model")) in models.UPLOADS:
            model = str(kept["model"])
        else:
            missing.append("mine")
    elif (name := asks.get("m", model)) in models.MODELS:
        model = name
    else:
        missing.append("m")
    spec = models.find(model)
    if missing:  # a class was asked for of that picture and network
        asks = {}
    numbers: dict[str, Any] = {}
    for key in ("c", "r"):
        text = asks.get(key, "")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else -1
        here = 0 <= number < len(spec.labels) and number not in numbers.values()
        numbers[key] = number if here else ""
        if text and not here:
            missing.append(key)
    wide = asks.get("d") == "1"
    if wide and not spec.fully_convolutional:
        missing.append("d")
    wide = wide and spec.fully_convolutional
    return Chosen(picture, model, numbers["c"], numbers["r"], wide, spec.labels), missing


# ---- what a raw value stands for -----------------------------------------------------------------


def own_file(path: Any, nothing: str = NO_PICTURE, gone: str = NOT_UPLOADED) -> str:
    """The path, if it is a file that was uploaded or one of the examples; else a sentence."""
    if not isinstance(path, str) or not path or len(path) > 4096:
        raise UserError(nothing)
    try:
        real = os.path.realpath(path)
    except ValueError as error:  # no name of a file
        raise UserError(nothing) from error
    if not any(
        is_in_or_equal(real, os.path.realpath(d)) for d in (get_upload_folder(), EXAMPLES_DIR)
    ):
        raise UserError(gone)
    if not os.path.isfile(real):  # Gradio clears the folder; a kept answer would lack its picture
        raise UserError(gone)
    return real


def row_of(model: Any) -> ModelSpec | None:
    """The network's row; None where there is none of that name."""
    try:
        return models.find(model)
    except UserError:
        return None


def class_of(value: Any, spec: ModelSpec) -> int | None:
    """The number of a class, None for none chosen, or a sentence."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < len(spec.labels):
        raise UserError(
            f"There is no such class: choose one of the {len(spec.labels)} in the list."
        )
    return value


def method_of(name: Any) -> str:
    return lookup.methods_of((name,))[0]
