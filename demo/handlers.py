"""Widget values in, widget values out; where an error becomes a message for the visitor."""

import base64
import hashlib
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import gradio as gr
import numpy as np
from gradio.data_classes import FileData, GradioModel
from gradio.utils import get_upload_folder, is_in_or_equal

from gradcam_core import heatmap, lookup, models, pipeline, sandbox
from gradcam_core import image as pictures
from gradcam_core.cache import Cache
from gradcam_core.explanation import Explanation
from gradcam_core.methods import METHODS
from gradcam_core.types import F32, U8, Head, ModelSpec, Survey, Target, UserError

log = logging.getLogger("gradcam_lab")

PREDICTED = -1  # the class selector's "whatever the network says"
NOBODY = -1  # the "rather than" selector's "no other class"
LIKELIEST = 5
WIRE = 225_000  # bytes of maps sent at most, one a cell
FAILED = "Something went wrong on the server; try once more, or choose another picture or network."
NO_PICTURE = "Drop in a picture, or choose one of the examples."
NO_MODEL = "Choose a .keras file first: model.save('my.keras') makes one."
MODEL_GONE = "The model is no longer here; please upload it again."
UPLOADS = 30  # models of visitors that are known at once; the oldest leaves
HEAVY = {"heavy": pictures.HEAVY, "heaviest": pictures.MAX_BYTES}  # refused before it is sent
SAME = lookup.SAME
NOT_UPLOADED = "The picture is no longer here; please upload it again."

EXAMPLES_DIR = Path(__file__).parent / "examples"
EXAMPLES = {  # what the gallery shows: file -> what it is good for
    "cheetah_and_lion.jpg": "Cheetah and lion: choose one or the other",
    "cheetah.jpg": "Cheetah",
    "lion.jpg": "Lion",
    "tower.jpg": "Tower",
    "hopper.jpg": "Grace Hopper",
}


class View(GradioModel):
    """What the viewer gets: the picture as a file the browser has already, the rest as numbers."""

    base: FileData | None = None
    answer: dict[str, Any] | None = None
    error: str = ""
    stands: bool = False  # with an error: the answer before is still what the page asks for
    note: str = ""  # what became of the question on the way


_surveys: Cache[Any, Survey] = Cache(300e6, lambda s: _weight(s))
_answers: Cache[Any, dict[str, Any]] = Cache(64)
_pictures: Cache[str, tuple[U8, tuple[str, ...]]] = Cache(16)
busy = threading.BoundedSemaphore(os.cpu_count() or 2)


def _weight(survey: Survey) -> float:
    trace = survey.trace
    return float(sum(a.nbytes for t in (trace.activations, trace.gradients) for a in t.values()))


def left(key: tuple[Any, ...]) -> bool:
    """Whether the network of a kept survey is no longer in memory. The survey would hold it."""
    _, model, _, detail, _ = key
    try:
        return not lookup.loaded(models.find(model), detail)
    except UserError:
        return True


def own_file(path: Any, nothing: str = NO_PICTURE, gone: str = NOT_UPLOADED) -> str:
    """The path, if it is a file that was uploaded or one of the examples; else a sentence."""
    if not isinstance(path, str) or not path or len(path) > 4096 or "\0" in path:
        raise UserError(nothing)
    real = os.path.realpath(path)
    if not any(
        is_in_or_equal(real, os.path.realpath(d)) for d in (get_upload_folder(), EXAMPLES_DIR)
    ):
        raise UserError(gone)
    if not os.path.isfile(real):  # Gradio clears the folder; a kept answer would lack its picture
        raise UserError(gone)
    return real


def take_in(path: Any, names: Any, preprocess: Any) -> str:
    """Open an uploaded model in a process of its own; the key under which `models.find` has it.

    names: class names, one a line, or nothing. preprocess: a name of PREPROCESS, or nothing.
    Raises UserError.
    """
    file = own_file(path, NO_MODEL, MODEL_GONE)
    labels = [line.strip() for line in str(names or "").splitlines() if line.strip()] or None
    if labels and any(len(name) > 100 or not name.isprintable() for name in labels):
        raise UserError("Give the class names as plain text, one a line, 100 letters at most.")
    with open(file, "rb") as model:
        content = hashlib.file_digest(model, "sha256").hexdigest()
    key = hashlib.sha256(repr((file, content, labels, preprocess)).encode()).hexdigest()
    try:
        if key not in models.UPLOADS:
            spec = sandbox.ModelProcess(file, labels, str(preprocess or "") or None).spec
            log.info("a model was taken in: %s, %d classes", spec.shape, len(spec.labels))
            models.UPLOADS[key] = spec
            while len(models.UPLOADS) > UPLOADS:
                del models.UPLOADS[next(iter(models.UPLOADS))]
    except UserError:
        raise
    except Exception as error:
        log.exception("a model could not be taken in")
        raise UserError(FAILED) from error
    return key


def read(path: str) -> tuple[U8, tuple[str, ...]]:
    """`pictures.read`, done once for all surveys of a picture."""
    return _pictures.get(path, lambda: pictures.read(path))


def survey(
    path: str, model: str, target: Target | None, detail: bool, layers: tuple[str, ...] = ()
) -> Survey:
    """The survey of a picture, computed once however many visitors ask for it."""

    def make() -> Survey:
        start = time.monotonic()
        image, _ = read(path)
        with busy:
            done = pipeline.survey(image, model, target, layers, detail=detail)
        log.info("%s %s %s: %.0f ms", model, image.shape, target, 1e3 * (time.monotonic() - start))
        return done

    return _surveys.get((path, model, target, detail, layers), make)


def side_limit(cells: list[tuple[int, int]], bands: int) -> int:
    """The longest side a map may be sent with, so that all of them stay below WIRE bytes."""
    for limit in (448, 224, 112, 56, 28):
        if bands * sum(min(h, limit) * min(w, limit) for h, w in cells) <= WIRE:
            return limit
    return 14


def shrink(grid: F32, limit: int) -> F32:
    """(h, w) -> at most (limit, limit): each new cell the mean over its part of the whole."""
    if max(grid.shape) <= limit:
        return grid
    rows, columns = (shares(n, -(-n * limit // max(grid.shape))) for n in grid.shape)
    return np.asarray(rows @ grid @ columns.T, np.float32)


def shares(many: int, few: int) -> F32:
    """(few, many): of each of `few` equal parts of a line, how much each of `many` takes up."""
    edges, cells = np.arange(few + 1)[:, None] * many / few, np.arange(many)
    covered = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    return (np.maximum(covered, 0) * few / many).astype(np.float32)


class Wire:
    """Signed maps on their way to the browser, a signed byte a cell.

    A byte b stands for b / 127 of the largest value if positive, of the smallest if negative: so
    both signs have 127 steps, however unequal they are.
    """

    def __init__(self, limit: int):
        self._limit, self._bytes = limit, io.BytesIO()

    def put(self, signed: F32) -> dict[str, Any]:
        """Where this map (h, w) lies, its grid as sent, and what its two ends stand for."""
        small = shrink(signed, self._limit)
        top, bottom = max(float(small.max()), 0.0), max(float(-small.min()), 0.0)
        part = np.where(small > 0, small / (top or 1), small / (bottom or 1))
        at = self._bytes.tell()
        self._bytes.write(np.rint(127 * part).astype(np.int8).tobytes())
        return {"at": at, "sent": list(small.shape), "top": top, "bottom": bottom}

    def text(self) -> str:
        return base64.b64encode(self._bytes.getvalue()).decode()


def pack(surveys: dict[str, Survey], order: list[str]) -> dict[str, Any]:
    """The signed maps as bytes, with the numbers they came from.

    surveys: "a" the class; for a comparison "b" the other, "ab" the one rather than the other.
    """
    first = surveys["a"].maps
    shapes = [first[layer, next(iter(METHODS))].shape for layer in order]
    wire = Wire(side_limit([(h, w) for h, w in shapes], len(METHODS) * len(surveys)))
    rows = []
    for layer in order:
        grids = {}
        for band, seen in surveys.items():
            for method in METHODS:
                signed = seen.maps[layer, method]
                grids[f"{band}/{method}"] = wire.put(signed) | {
                    "min": float(signed.min()),
                    "max": float(signed.max()),
                    "cut": {
                        "for": heatmap.relu_zeroed_fraction(signed),
                        "against": heatmap.relu_zeroed_fraction(-signed),
                    },
                }
        rows.append({"name": layer, "maps": grids})
    return {"layers": rows, "bytes": wire.text()}


HEADS = {
    "softmax": "one class of many, by softmax; explained is the score before it",
    "sigmoid": "a yes or no for each answer, by sigmoid; explained is the score before it",
    "linear": "the output itself; explained is that number",
}


def found(spec: ModelSpec, net: Any) -> str:
    """What was found out about a network, in words."""
    h, w, channels = net.shape
    good = sum(not layer.poor for layer in net.layers.values())
    return " ".join(
        [
            f"Input: {h}×{w} with {channels} channel{'s' if channels > 1 else ''}.",
            f"Answer: {net.classes} class{'es' * (net.classes > 1)}, {HEADS[net.head]}.",
            f"{len(net.layers)} layers with a grid, {good} of them good to look at.",
            f"Chosen: {net.best}, the last one before places are averaged or flattened away.",
            *spec.notes,
        ]
    )


def likeliest(p: F32, labels: tuple[str, ...], count: int = LIKELIEST) -> list[tuple[int, str]]:
    return [(int(i), labels[i]) for i in p.argsort()[::-1][:count]]


def answer(
    path: str, model: str, index: int, other: int, detail: bool, extra: str = ""
) -> dict[str, Any]:
    """What the viewer needs for a picture, a model and a class, as JSON. Made once."""

    def make() -> dict[str, Any]:
        spec = models.find(model)
        net = lookup.network(spec, detail)
        predicted = survey(path, model, None, detail)
        chosen = predicted.target.index if index == PREDICTED else index
        targets = {"a": None if chosen == predicted.target.index else Target(chosen)}
        if other != NOBODY:
            targets |= {"b": Target(other), "ab": Target(chosen, other)}
        seen = {band: survey(path, model, target, detail) for band, target in targets.items()}
        order = list(net.suggested)
        if extra and extra not in order:
            for band, target in targets.items():
                more = survey(path, model, target, detail, (extra,))
                seen[band] = replace(seen[band], maps={**seen[band].maps, **more.maps})
            order = [name for name in net.spatial_layers if name in net.suggested or name == extra]
        p, y = predicted.probabilities, predicted.logits
        ranks = {int(i): n for n, i in enumerate(p.argsort()[::-1], 1)}
        shown = dict.fromkeys([i for i, _ in likeliest(p, spec.labels)] + [chosen])
        if other != NOBODY:
            shown[other] = None
        h, w = predicted.image.shape[:2]
        packed = pack(seen, order)
        for row in packed["layers"]:
            layer = net.layers[row["name"]]
            row |= {"shape": layer.shape, "poor": layer.poor, "suggested": layer.suggested}
        return packed | {
            "model": {
                "key": model,
                "title": spec.title,
                "head": net.head,
                "input": net.shape[:2],
            },
            "picture": [h, w],
            "path": path,
            "remarks": read(path)[1],
            "best": net.best,
            "doctor": [[x.name, x.shape, x.kind, x.poor] for x in net.layers.values()],
            "found": found(spec, net),
            "classes": [
                {
                    "index": i,
                    "label": spec.labels[i],
                    "p": float(p[i]),
                    "y": float(y[i]),
                    "rank": ranks[i],
                }
                for i in shown
            ],
            "count": net.classes,
            "target": chosen,
            "other": other,
            "predicted": index == PREDICTED,
            "detail": detail,
            "extra": extra,
            "scalable": spec.fully_convolutional,
        }

    return _answers.get((path, model, index, other, detail, extra), make)


def class_choices(
    spec: ModelSpec, p: F32 | None = None, head: Head = "softmax"
) -> list[tuple[str, int]]:
    """The likeliest classes with their probabilities, then all the others, name and number."""
    first = likeliest(p, spec.labels) if p is not None else []
    taken = {i for i, _ in first}
    return [(f"{name} · {told(p[i], head)} · {i}", i) for i, name in first if p is not None] + [
        (f"{name} · {i}", i) for i, name in enumerate(spec.labels) if i not in taken
    ]


def percent(p: float) -> str:
    if 0 < p < 1e-4:
        return "below 0.01 %"
    if 0.9999 < p < 1:
        return "above 99.99 %"
    places = 0 if p in (0, 1) or 0.0995 <= p < 0.995 else 1 if 0.01 <= p < 0.0995 else 2
    return f"{100 * p:.{places}f} %"


def told(p: float, head: Head) -> str:
    """A probability in percent; of a "linear" head, the output itself."""
    return f"{p:.3g}" if head == "linear" else percent(p)


def class_of(value: Any, spec: ModelSpec, nothing: int) -> int:
    """The number of a class, `nothing` for none chosen, or a sentence."""
    if value is None:
        return nothing
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not nothing <= value < len(spec.labels)
    ):
        raise UserError(
            f"There is no such class: choose one of the {len(spec.labels)} in the list."
        )
    return value


def look(
    path: Any,
    model: Any,
    index: Any,
    other: Any,
    detail: Any,
    extra: str = "",
    progress: Callable[..., Any] | None = None,
) -> View:
    """The viewer's new value, or a sentence in it; what was there before stays on the screen."""
    try:
        file = own_file(path)
        spec = models.find(model)
        chosen, rival = class_of(index, spec, PREDICTED), class_of(other, spec, NOBODY)
        wide = bool(detail) and spec.fully_convolutional

        def fetching(part: float) -> None:
            if progress is not None:  # Gradio's has a length, of nothing
                progress(part, desc=f"Fetching {spec.title}")

        net = lookup.network(spec, wide, fetching)
        _surveys.drop(left)
        if extra:
            lookup.layer_of(net, extra)
        made = answer(file, model, chosen, rival, wide, extra)
        shown = still(file) if made["remarks"] else file  # as the network sees it
        return View(base=FileData(path=shown), answer=made, note=" ".join(made["remarks"]))
    except UserError as error:
        return View(error=str(error))
    except Exception:
        log.exception("an explanation failed")
        return View(error=FAILED)


def still(file: str) -> str:
    """A picture of what was read, beside the file of which a browser shows something else."""
    frame = Path(f"{file}.still.png")
    if not frame.exists():
        pictures.save_png(read(file)[0], frame)
    return str(frame)


def alone(made: View, model: str) -> View:
    """With the reason why a comparison is gone: the network predicts the class held against."""
    assert made.answer
    label = next(c["label"] for c in made.answer["classes"] if c["index"] == made.answer["target"])
    title = models.find(model).title
    note = f"{title} itself says {label}, so nothing is left to compare it with."
    return made.model_copy(update={"note": f"{made.note} {note}".lstrip()})


def other_classes(one: str, two: str) -> bool:
    """Whether these two networks do not know the same classes."""
    return models.find(one).labels != models.find(two).labels


def choices(path: str, model: str, detail: bool) -> list[tuple[str, int]]:
    """The class lists for a picture that has been looked at: its likeliest classes first."""
    spec = models.find(model)
    wide = detail and spec.fully_convolutional
    seen = survey(own_file(path), model, None, wide)
    return class_choices(spec, seen.probabilities, lookup.network(spec, wide).head)


def figure(request: dict[str, Any]) -> dict[str, str]:
    """The article's figure of what the viewer shows, as a PNG in base64, or a sentence."""
    try:
        if not isinstance(request, dict):
            raise UserError("Ask for a figure by the names of its parts.")
        file, spec = own_file(request.get("path")), models.find(request.get("model"))  # type: ignore[arg-type]
        layer, method, sign = (request.get(key) for key in ("layer", "method", "sign"))
        colours = heatmap.DIVERGING if sign == "both" else request.get("colours")
        every = *heatmap.COLOURS, heatmap.DIVERGING
        if method not in tuple(METHODS) or colours not in every:
            raise UserError("There is no such method or colour map; choose one from the list.")
        if sign not in heatmap.SIGNS:
            raise UserError("Show the evidence for, against, or both.")
        chosen = class_of(request.get("target"), spec, PREDICTED)
        other = class_of(request.get("other"), spec, NOBODY)
        target = Target(chosen, None if other == NOBODY else other) if chosen != PREDICTED else None
        opacity = request.get("opacity", 0.5)
        if type(opacity) not in (int, float) or not 0 <= opacity <= 1:
            raise UserError("The opacity must be a number from 0 to 1.")
        detail = bool(request.get("detail")) and spec.fully_convolutional
        top = request.get("top", 0)
        if type(top) not in (int, float) or not 0 <= top < 1e38:
            raise UserError("The end of the scale must be a number that is not negative.")
        box = box_of(request.get("box"))
        head = lookup.network(spec, detail).head  # fetched, if it must be, before `busy`
        with busy:
            e = pipeline.explain(pictures.read_rgb(file), spec, layer, target, (method,), detail)
            unit = heatmap.signed_to_unit(e.maps[method], sign, top)
            heat = heatmap.upsample(unit, e.image.shape[:2])
            over = heatmap.overlay(e.image, heat, colours, opacity)
            title = figure_title(spec, head, e, method, sign)
            of = " of three maps" if top else ""  # two classes and their difference
            drawn = heatmap.figure(e.image, over, title, colours, frame_of(box, e.image), of)
        return {"png": base64.b64encode(heatmap.figure_png(drawn)).decode()}
    except UserError as error:
        return {"error": str(error)}
    except Exception:
        log.exception("a figure failed")
        return {"error": FAILED}


def box_of(given: Any) -> list[float] | None:
    """The box that is on the screen: left, top, right, bottom as shares of width and height."""
    if given is None:
        return None
    if not isinstance(given, list) or [type(n) in (int, float) for n in given] != [True] * 4:
        raise UserError("The box needs its four edges.")
    left, top, right, bottom = given
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError("The edges of the box must lie inside the picture.")
    return given


def frame_of(box: list[float] | None, image: U8) -> tuple[int, int, int, int] | None:
    """The same in pixels."""
    if box is None:
        return None
    (h, w), (left, top, right, bottom) = image.shape[:2], box
    return round(left * w), round(top * h), round(right * w), round(bottom * h)


def figure_title(spec: ModelSpec, head: Head, e: Explanation, method: str, sign: str) -> str:
    name = f"{e.target}: {spec.labels[e.target]} ({told(float(e.probabilities[e.target]), head)})"
    rival = e.survey.target.rival
    rather = f" rather than {spec.labels[rival]}" if rival is not None else ""
    how = {"for": "", "against": ", evidence against", "both": ", evidence for and against"}[sign]
    return f"{name}{rather}\n{method}{how}\n{spec.title}, {e.layer}"


class Prediction(TypedDict):
    index: int
    label: str
    probability: float
    logit: float


class Answer(TypedDict):
    predictions: list[Prediction]
    target: int
    layer: str
    map: list[list[float]]
    box: list[int] | None
    overlay: FileData


def explain(
    image: FileData,
    model: Literal[tuple(models.MODELS)] = models.DEFAULT,  # type: ignore[valid-type]
    layer: str = "",
    target: int = PREDICTED,
    method: Literal[tuple(METHODS)] = next(iter(METHODS)),  # type: ignore[valid-type]
) -> Answer:
    """Where a network sees the evidence for a class.

    Args:
        image: an uploaded picture
        model: which network
        layer: which layer; empty for the network's best
        target: number of the class; -1 for the likeliest
        method: which method
    Returns:
        The likeliest classes; the signed map (h, w) before its ReLU; the overlay as a PNG file,
        its longest side 1280 pixels at most; the box (left, top, right, bottom), in pixels of the
        overlay, round what is above 15 % of the maximum.
    """
    try:
        path = own_file(image.get("path") if isinstance(image, dict) else None)
        spec = models.find(model)
        chosen = class_of(target, spec, PREDICTED)
        lookup.network(spec)  # fetched, if it must be, before `busy`
        with busy:
            done = pipeline.explain(
                pictures.read_rgb(path), spec, layer or None,
                None if chosen == PREDICTED else chosen, (method,),
            )  # fmt: skip
        heat = done.heatmaps[method]
        question = path, model, done.layer, done.target, method
        name = hashlib.sha256(repr(question).encode()).hexdigest()
        folder = Path(get_upload_folder()) / name
        folder.mkdir(parents=True, exist_ok=True)
        pictures.save_png(heatmap.overlay(done.image, heat), folder / "overlay.png")
        box = heatmap.box(heat)
        y = done.survey.logits
        return {
            "predictions": [
                {
                    "index": i,
                    "label": n,
                    "probability": float(done.probabilities[i]),
                    "logit": float(y[i]),
                }
                for i, n in likeliest(done.probabilities, spec.labels)
            ],
            "target": done.target,
            "layer": done.layer,
            "map": done.maps[method].tolist(),
            "box": list(box) if box else None,
            "overlay": FileData(path=str(folder / "overlay.png")).model_dump(),
        }
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception:
        log.exception("an API call failed")
        raise gr.Error(FAILED, print_exception=False) from None
