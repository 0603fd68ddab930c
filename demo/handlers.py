"""The tab "Look": widget values in, widget values out; what goes wrong comes out as a sentence."""

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from demo import engine, words
from demo.question import (
    NAMELESS,
    Chosen,
    Posed,
    Tell,
    from_json,
    from_link,
    from_widgets,
    method_of,
    pose,
    row_of,
)
from demo.turns import Page, settle, turn
from demo.wire import (
    LIKELIEST,
    Answer,
    ClassRow,
    CoverAnswer,
    DoctorAnswer,
    FigureAnswer,
    MeaningRow,
    MethodRow,
    Packing,
    View,
    WayRow,
    class_rows,
    likely,
    pack,
    served,
    signed_map,
)
from gradcam_core import doctor, heatmap, lookup, models
from gradcam_core import image as pictures
from gradcam_core.cache import Cache, weight
from gradcam_core.methods import METHODS, placement_of
from gradcam_core.types import U8, ModelSpec, Progress, Stopped, UserError

log = logging.getLogger("gradcam_lab")

MOST_BOXES = 8

_answers: Cache[engine.At, Answer] = Cache(30e6, weight)  # bytes
_stopped: Cache[str, None] = Cache(256)  # words by which visitors ended what takes long


def take_turn(last: Chosen | None, chosen: Chosen, refusal: str = "") -> Page | None:
    """What the page says now that this is chosen; None where it says it already.

    refusal: why the network cannot be had, where that is known.
    """
    spec = row_of(chosen.model)
    chosen = chosen._replace(labels=spec.labels if spec else ())
    asking = turn(last, chosen)
    if asking is None:
        return None
    view = View(error=refusal) if refusal else view_of(asking.asks, spec, asking.alone)
    return settle(last, chosen, asking.asks, view)


def follow_link(link: str, last: Chosen | None, chosen: Chosen, refusal: str = "") -> Page | None:
    """What the page says to a link; where its network cannot be had, what it says without it.

    refusal: why not, where that is known.
    """
    asks, missing = from_link(link)
    view = View(error=refusal) if refusal else view_of(asks, row_of(asks.model), True)
    if view.answer is not None:
        linked = view.model_copy(update={"link": missing})
        return settle(None, asks, asks, linked)._replace(model=asks.model)
    page = take_turn(last, chosen)
    if page is None:  # the answer before stands
        assert last
        return Page(view.model_copy(update={"stands": True, "link": missing}), last)
    said, stands = page.view.error or view.error, page.view.answer is not None
    told = page.view.model_copy(update={"error": said, "stands": stands, "link": missing})
    return page._replace(view=told)


def view_of(asks: Chosen, spec: ModelSpec | None = None, alone: bool = False) -> View:
    """The viewer's new value, or a sentence in it; what was there before stays on the screen.

    alone: a rival that is what the network itself says is dropped, with a note.
    """

    def make() -> View:
        posed, note = from_widgets(asks, spec), ""
        question = posed.question
        if alone and question.target is None and question.rival is not None:
            predicted = engine.first_look(posed).target.index
            if predicted == question.rival:
                posed = posed._replace(question=replace(question, rival=None))
                note = words.left_alone(posed.spec, predicted)
        return shown(answer(posed), note)

    return or_a_sentence(make)


def view_at(chosen: Chosen, wanted: Mapping[str, Any], tell: Tell | None = None) -> View:
    """The same with one layer more, or one map of a method that asks many times: a wire.Wanted."""

    def make() -> View:
        posed = from_widgets(chosen)
        layer = lookup.layer_of(posed.asked, wanted.get("name")).name
        method = method_of(wanted["method"]) if wanted.get("method") else ""
        token = wanted.get("token")

        def progress(part: float) -> None:
            if is_stopped(token):
                raise Stopped
            if tell is not None:
                tell(part, f"Making {method}")

        return shown(
            answer(posed, layer, method if method and METHODS[method].ask else "", progress)
        )

    return or_a_sentence(make)


@served("stop")
def stop(token: Any) -> dict[str, bool]:
    """End what takes long, by the word that it was asked with; if it has not begun, before that."""
    if not isinstance(token, str) or not 0 < len(token) <= 100:
        raise UserError("Say what is to be stopped.")
    _stopped.get(token, lambda: None)
    return {"stopped": True}


def is_stopped(token: Any) -> bool:
    return isinstance(token, str) and token in _stopped


def or_a_sentence(make: Callable[[], View]) -> View:
    try:
        return make()
    except UserError as error:
        return View(error=str(error))
    except Stopped:
        return View(note=words.STOPPED)
    except Exception:
        log.exception("an explanation failed")
        return View(error=words.FAILED)


def shown(made: Answer, note: str = "") -> View:
    file = still(made["path"]) if made["remarks"] else made["path"]
    said = " ".join(filter(None, [*made["remarks"], note]))
    return View(base=FileData(path=file), answer=dict(made), note=said)


def still(file: str) -> str:
    """A picture of what was read, beside the file of which a browser shows something else."""
    frame = Path(f"{file}.still.png")
    if not frame.exists():
        pictures.save_png(pictures.read_rgb(file), frame)
    return str(frame)


def choices(page: Page) -> list[tuple[str, int]]:
    """The classes that go with an answer, its likeliest first."""
    made = page.view.answer
    assert made
    likeliest = [(c["index"], c["p"]) for c in made["classes"][:LIKELIEST]]
    return words.class_choices(page.last.labels, likeliest, made["model"]["percent"])


def method_rows() -> list[MethodRow]:
    return [
        {
            "name": name,
            "line": row.line,
            "cost": row.cost,
            "paper": row.paper,
            "against": row.against,
            "class_agnostic": row.class_agnostic,
            "asks": row.ask is not None,
            "fuses": row.fusion is not None,
            "of_picture": row.of_picture,
        }
        for name, row in METHODS.items()
    ]


def answer(
    posed: Posed, layer: str = "", method: str = "", progress: Progress | None = None
) -> Answer:
    """What the viewer needs, made once. layer, method: what is wanted beside all the rest."""
    question, spec, asked = posed

    def make() -> Answer:
        first, every = engine.first_look(posed), engine.bands(posed)
        maps = {
            band: engine.all_maps(one, layer, method, engine.share_of(progress, n, len(every)))
            for n, (band, one) in enumerate(every.items())
        }
        order = [x for x in asked.layers.values() if x.name in (*asked.suggested, layer)]
        target = first.target.index if question.target is None else question.target
        h, w = first.image.shape[:2]
        part = engine.part_of(posed)
        return {
            **pack(maps, order, asked.best, engine.verdicts(every["target"], order), part),
            "model": {
                "key": question.model,
                "title": spec.title,
                "head": asked.head,
                "percent": asked.meaning.percent,
                "score": asked.meaning.score,
                "crop": part is not None,
                "own": bool(spec.findings),
                "brought": engine.is_brought(spec),
                "guesses": [words.guess(finding) for finding in spec.guesses],
                "meanings": meanings_of(spec),
                "input": asked.shape[:2],
            },
            "picture": [h, w],
            "path": question.picture,
            "remarks": list(engine.picture(question)[1]),
            "best": asked.best,
            "strength": {
                f"{name}/{way}": max(float(signed.max()), 0)
                for (name, way), signed in engine.all_maps(engine.likeliest(posed), layer).items()
            },
            "starts": {band: engine.start_of(one) for band, one in every.items()},
            "doctor": [(x.name, x.shape, x.kind, x.poor) for x in asked.layers.values()],
            "found": words.found_out(spec, asked),
            "classes": class_rows_of(posed),
            "count": asked.classes,
            "target": target,
            "rival": question.rival,
            "predicted": question.target is None,
            "detail": question.detail,
            "twice": twice(posed),
            "extra": {"layer": layer, "method": method} if layer else None,
            "fully_convolutional": spec.fully_convolutional,
        }

    if layer and layer not in asked.suggested:
        return make()  # out of surveys that are few: it drives out no answer
    return _answers.get(engine.At(question, layer, method), make)


def meanings_of(spec: ModelSpec) -> list[MeaningRow]:
    """What a network's numbers may mean, where that is a guess."""
    return [
        {"head": head, "words": models.SENSES[head], "taken": head == finding.taken}
        for finding in spec.guesses
        if finding.kind == "head"
        for head in models.SENSES
        if head in (finding.taken, *finding.options)
    ]


def forget_gone() -> None:
    """Nothing stays of pictures whose files are gone."""
    _answers.forget(engine.is_gone)
    engine.drop_gone()


@served("labels")
def labels(model: Any) -> dict[str, list[str]]:
    """The names of a network's classes, for the search."""
    return {"labels": list(models.find(model).labels)}


# ---- how a network wants its pixels --------------------------------------------------------------


@served("doctor")
def diagnosis(request: Any) -> DoctorAnswer:
    """All ways of preparing the picture side by side; request: its path and the model."""
    if not isinstance(request, dict):
        raise UserError(NAMELESS)
    posed = pose(request.get("path"), request.get("model"))
    image, _ = engine.picture(posed.question)
    with engine.compute_slots:
        found = doctor.diagnose(image, posed.spec, posed.asked)

    def row(number: int, way: doctor.Way) -> WayRow:
        index, p = way.target, way.probabilities
        return {
            "preprocess": way.preprocess,
            "crop": way.crop,
            "words": doctor.in_words(way),
            "label": "" if index is None else posed.spec.labels[index],
            "p": 0.0 if index is None or p is None else float(p[index]),
            "used": number == found.used,
            "favoured": number == found.favoured,
        }

    return {"ways": [row(*way) for way in enumerate(found.ways)], "why": list(found.why)}


def own_model_path(model: Any) -> str:
    """The path of a .keras file of today that holds a model of somebody's own."""
    folder = Path(get_upload_folder()) / hashlib.sha256(f"saved {model}".encode()).hexdigest()
    if not (folder / "model.keras").is_file():  # each once, however often it is asked for
        content = engine.own_model_file(model)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part").write_bytes(content)
        (folder / "part").replace(folder / "model.keras")
    return str(folder / "model.keras")


# ---- the figure ----------------------------------------------------------------------------------


@served("figure")
def draw(request: Any) -> FigureAnswer:
    """The article's figure of what the viewer shows; request: a wire.FigureRequest."""
    posed, layer = from_json(request)
    method, sign = method_of(request.get("method")), request.get("sign")
    if sign not in heatmap.SIGNS:
        raise UserError("Show the evidence for, against, or both.")
    colours = request.get("colours", heatmap.COLOURS[0])
    if colours not in heatmap.COLOURS:
        raise UserError("There is no such colour map; choose one from the list.")
    if sign == "both":
        colours = heatmap.diverging(colours)
    opacity, top = request.get("opacity", 0.5), request.get("top", 0)
    if type(opacity) not in (int, float) or not 0 <= opacity <= 1:
        raise UserError("The opacity must be a number from 0 to 1.")
    if type(top) not in (int, float) or not 0 <= top < 1e38:
        raise UserError("The end of the scale must be a number that is not negative.")
    box = box_of(request.get("box"))
    seen, signed = engine.one_map(posed, layer, method)
    p = float(engine.first_look(posed).probabilities[seen.target.index])
    with engine.compute_slots:
        unit = heatmap.signed_to_unit(signed, sign, top)
        placement = placement_of(posed.asked.layers[layer], method, engine.part_of(posed))
        heat = heatmap.project(unit, seen.image.shape[:2], placement, heatmap.NO_MAP)
        over = heatmap.overlay(seen.image, heat, colours, opacity)
        title = words.figure_title(posed.spec, posed.asked, seen.target, p, layer, method, sign)
        of = " on the page" if top else ""  # its scale is that of more than this map
        drawn = heatmap.figure(seen.image, over, title, colours, frame_of(box, seen.image), of)
        return {"png": base64.b64encode(heatmap.figure_png(drawn)).decode()}


@served("cover")
def cover(request: Any) -> CoverAnswer:
    """What the network says with parts of its picture covered; request: a wire.CoverRequest."""
    posed, layer = from_json(request)
    boxes = request.get("boxes")
    if not isinstance(boxes, list) or not 0 < len(boxes) <= MOST_BOXES:
        raise UserError(f"Cover one to {MOST_BOXES} parts of the picture at a time.")
    parts = [box for given in boxes if (box := box_of(given))]
    if len(parts) < len(boxes):
        raise UserError("The box needs its four edges.")
    said, score, signed = engine.covered(posed, layer, parts, request.get("fill"))
    shown = [row["index"] for row in class_rows_of(posed)]
    packing, part = Packing(max(signed.shape)), engine.part_of(posed)
    placement = placement_of(posed.asked.layers[layer], engine.COVERED, part)
    return {
        "classes": [likely(p, p, posed.spec.labels, shown) for p in said],
        "score": score,
        "map": signed_map(packing, signed, placement),
        "bytes": packing.text(),
    }


def class_rows_of(posed: Posed) -> list[ClassRow]:
    """The classes that stand beside a picture: the likeliest, and those of the question."""
    question, first = posed.question, engine.first_look(posed)
    also = [index for index in (question.target, question.rival) if index is not None]
    rows = class_rows(first.probabilities, first.logits, posed.spec.labels, also)
    if not question.detail:
        return rows
    wide = engine.survey_of(engine.likeliest(posed))  # the score is that of the maps
    return [{**row, "y": float(wide.logits[row["index"]])} for row in rows]


def twice(posed: Posed) -> list[float] | None:
    """How likely these classes are at twice the side, in detail."""
    if not posed.question.detail:
        return None
    p = engine.survey_of(engine.likeliest(posed)).probabilities
    return [float(p[row["index"]]) for row in class_rows_of(posed)]


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
