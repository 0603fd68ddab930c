"""Question -> Survey, each made once for all who ask; and models that visitors bring."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from demo.question import Posed, own_file
from demo.words import FAILED
from gradcam_core import (
    class_names,
    faithfulness,
    files,
    hide,
    lookup,
    models,
    pipeline,
    sandbox,
    steps,
    trust,
)
from gradcam_core import image as pictures
from gradcam_core.cache import Cache, weight
from gradcam_core.faithfulness import Judgement
from gradcam_core.methods import METHODS, one_pass
from gradcam_core.types import (
    F32,
    NO_IMAGE,
    U8,
    Finding,
    Head,
    Layer,
    ModelSpec,
    Placement,
    Progress,
    Question,
    Survey,
    Target,
    UserError,
)

log = logging.getLogger("gradcam_lab")

NO_MODEL = "Choose a .keras file first: model.save('my.keras') makes one."
ONE_MODEL = "Give one model at a time, and with it no more than its labels.txt."
TEACHABLE_ONLY = (
    "This page takes models of Teachable Machine only: there choose Export Model, Tensorflow, "
    "Keras, Download my model, and give the zip as it comes."
)
NO_OWN = "This network comes with the program; choose a model of your own to save."
NOT_YOURS = (
    "This network belongs to whoever runs this page, and its file is given to nobody here; choose "
    "a model that you brought."
)
NO_NUMBER = "Covered there, the picture makes the network answer with no finite number."
MODEL_GONE = "The model is no longer here; please upload it again."
KNOWN_UPLOADS = 100  # models of visitors at once; the oldest leaves
COVERED = next(iter(METHODS))  # the method of the map of a covered picture
PATIENCE = 0.2  # seconds, until who waits looks whether it is still wanted


class At(NamedTuple):
    """What is kept, and for which question."""

    question: Question
    layer: str = ""  # empty: the suggested ones; of a map: the picture itself
    method: str = ""  # empty: all of one pass


class Tiles(NamedTuple):
    """The same of four pictures in one."""

    questions: tuple[Question, ...]
    layer: str
    method: str = ""


# Bytes of each. A survey is kept without its picture, and one of a layer that is not suggested
# among few: whoever goes through all layers drives out nobody's.
_surveys: Cache[At, Survey] = Cache(240e6, weight)
_unsuggested: Cache[At, Survey] = Cache(120e6, weight)
_pictures: Cache[str, tuple[U8, tuple[str, ...]]] = Cache(100e6, weight)
_maps: Cache[At, F32] = Cache(20e6, weight)  # of methods that ask many times
_judgements: Cache[At, tuple[Judgement, float]] = Cache(256)
_mosaics: Cache[Tiles, tuple[U8, list[Survey]]] = Cache(60e6, weight)
_maps_of_mosaics: Cache[Tiles, list[F32]] = Cache(20e6, weight)
compute_slots = threading.BoundedSemaphore(os.cpu_count() or 2)
long_slot = threading.BoundedSemaphore(1)  # beside them, so that nobody waits for what takes long


def picture(question: Question) -> tuple[U8, tuple[str, ...]]:
    """The picture (H, W, 3), and what was done to it in sentences; read once for all."""
    return _pictures.get(question.picture, lambda: pictures.read(question.picture))


def drop_gone() -> None:
    """Nothing stays of pictures whose files are gone."""
    for kept in (_surveys, _unsuggested, _maps, _judgements):
        kept.forget(is_gone)
    for tiled in (_mosaics, _maps_of_mosaics):
        tiled.forget(lambda at: any(is_gone(At(question)) for question in at.questions))
    _pictures.forget(lambda file: not os.path.exists(file))


def is_gone(at: At) -> bool:
    return not os.path.exists(at.question.picture)


def survey_of(posed: Posed, layer: str = "") -> Survey:
    """The suggested layers; or the one named, if it is none of them."""
    question, spec, asked = posed
    extra = "" if layer in asked.suggested else layer

    def make() -> Survey:
        start = time.monotonic()
        image, _ = picture(question)
        layers = (extra,) if extra else asked.suggested
        with compute_slots:
            done = pipeline.look(image, spec, asked, target_in(question), layers, one_pass())
        taken = 1e3 * (time.monotonic() - start)
        log.info("%s %s %s: %.0f ms", question.model, image.shape, target_in(question), taken)
        return replace(done, image=NO_IMAGE)

    kept = (_unsuggested if extra else _surveys).get(At(question, extra), make)
    return replace(kept, image=picture(question)[0])


def target_in(question: Question) -> Target | None:
    return None if question.target is None else Target(question.target, question.rival)


def first_look(posed: Posed) -> Survey:
    """What the network itself says of the picture: at its usual side, in detail too."""
    question, spec, asked = posed
    usual = lookup.network(spec) if question.detail else asked
    plain = replace(question, target=None, rival=None, detail=False)
    return survey_of(Posed(plain, spec, usual))


def likeliest(posed: Posed) -> Posed:
    """The same question, of the class that the network itself says, as all ask it."""
    predicted = first_look(posed).target.index if posed.question.detail else None
    return posed._replace(question=replace(posed.question, target=predicted, rival=None))


def bands(posed: Posed) -> dict[str, Posed]:
    """The target; in a comparison also the rival, and the contrast: the one rather than it.

    As all ask who want the same: for the likeliest class without its number, but in detail, where
    another one may be the likeliest.
    """
    question, predicted = posed.question, first_look(posed).target.index

    def band(target: int | None, rival: int | None = None) -> Posed:
        same = rival is None and target == predicted and not question.detail
        return posed._replace(
            question=replace(question, target=None if same else target, rival=rival)
        )

    target = predicted if question.target is None else question.target
    if question.rival is None:
        return {"target": band(target)}
    if question.rival == target:
        raise UserError(lookup.SAME)
    return {
        "target": band(target),
        "rival": band(question.rival),
        "contrast": band(target, question.rival),
    }


def kept(posed: Posed) -> Posed:
    """The same question, as all ask it who want the same."""
    return list(bands(posed).values())[-1]


def map_of(posed: Posed, layer: str, method: str, progress: Progress | None = None) -> F32:
    """The signed map of a method that asks many times. progress: may end it by raising Stopped."""
    at = _place_of(posed, layer, method)

    def make() -> F32:
        trace = survey_of(posed, at.layer).trace
        with alone(progress):
            return pipeline.ask(posed.asked, trace, method, layer, progress)

    return _maps.get(at, make)


def _place_of(posed: Posed, layer: str, method: str) -> At:
    return At(posed.question, "" if METHODS[method].of_picture else layer, method)


def is_made(posed: Posed, layer: str, method: str) -> bool:
    """Whether that map is there, so that nobody need wait for it."""
    return _maps.made(_place_of(posed, layer, method))


@contextmanager
def alone(progress: Progress | None) -> Iterator[None]:
    """One at a time for what takes long. progress: told now and then by who waits; may raise."""
    while not long_slot.acquire(timeout=PATIENCE):
        if progress:
            progress(0)
    try:
        yield
    finally:
        long_slot.release()


def judgement_of(
    posed: Posed, layer: str, method: str, progress: Progress | None = None
) -> tuple[Judgement, float]:
    """Whether that map is better than chance and than the picture's centre, and the seconds that
    it took. progress: may end it by raising Stopped.
    """
    asks = method if METHODS[method].ask else ""
    signed = all_maps(posed, layer, asks, progress).get((layer, method))
    if signed is None:
        raise UserError(pipeline.not_here(method, layer))
    image, target = picture(posed.question)[0], survey_of(posed).target

    def make() -> tuple[Judgement, float]:
        with alone(progress):
            start = time.monotonic()
            given = posed.spec, posed.asked, target, layer, method, signed
            found = pipeline.finished(pipeline.examining(image, *given), progress)
            return found, time.monotonic() - start

    return _judgements.get(At(posed.question, layer, method), make)


def is_judged(posed: Posed, layer: str, method: str) -> bool:
    """Whether that is known, so that nobody need wait for it."""
    return _judgements.made(At(posed.question, layer, method))


def in_mosaic(
    four: Sequence[Posed], layer: str, progress: Progress | None = None
) -> tuple[U8, list[Survey]]:
    """Four pictures in one, as the network sees it, and what it says of the likeliest class of each
    of them, which it sees there, at that layer. One pass a class. progress: may raise Stopped.
    """
    _, spec, asked = four[0]

    def make() -> tuple[U8, list[Survey]]:
        h, w = asked.shape[:2]
        sizes = [(a, b) for a in (h // 2, h - h // 2) for b in (w // 2, w - w // 2)]
        parts = [
            pictures.fit(picture(one.question)[0], size, spec.crop)
            for one, size in zip(four, sizes, strict=True)
        ]
        whole = np.rint(faithfulness.mosaic(parts)).astype(np.uint8)
        seen = list[Survey]()
        for n, one in enumerate(four):
            if progress:
                progress(n / len(four))
            target = first_look(one).target
            with compute_slots:
                seen.append(pipeline.look(whole, spec, asked, target, (layer,), one_pass()))
        return whole, seen

    return _mosaics.get(_tiles(four, layer), make)


def is_in_mosaic(four: Sequence[Posed], layer: str, method: str) -> bool:
    """Whether its maps in that mosaic are there, so that nobody need wait for them."""
    asks = METHODS[method].ask and not _maps_of_mosaics.made(_tiles(four, layer, method))
    return not asks and _mosaics.made(_tiles(four, layer))


def _tiles(four: Sequence[Posed], layer: str, method: str = "") -> Tiles:
    return Tiles(tuple(one.question for one in four), layer, method)


def maps_in_mosaic(
    four: Sequence[Posed], layer: str, method: str, progress: Progress | None = None
) -> list[F32]:
    """The signed maps (h, w) of these four classes in the mosaic; none where it cannot be made."""
    _, seen = in_mosaic(four, layer, progress)
    if not METHODS[method].ask:
        return [one.maps[layer, method] for one in seen if (layer, method) in one.maps]

    def make() -> list[F32]:
        with alone(progress):
            return [
                pipeline.ask(
                    four[0].asked, one.trace, method, layer, share_of(progress, n, len(seen))
                )
                for n, one in enumerate(seen)
            ]

    return _maps_of_mosaics.get(_tiles(four, layer, method), make)


def share_of(progress: Progress | None, number: int, of: int) -> Progress | None:
    """The progress of one of several parts as that of the whole."""
    return progress and (lambda part: progress((number + part) / of))


def all_maps(
    posed: Posed, layer: str = "", method: str = "", progress: Progress | None = None
) -> Mapping[tuple[str, str], F32]:
    """The signed maps of every suggested layer and of one more, with those of one pass's methods.

    method: one more, that asks many times, for that layer.
    """
    maps = {**survey_of(posed).maps, **survey_of(posed, layer).maps}
    if method:
        maps[layer, method] = map_of(posed, layer, method, progress)
    return maps


def verdicts(posed: Posed, layers: Sequence[Layer]) -> dict[str, dict[str, str]]:
    """Of each of these layers and every method of one pass, what is known: a key of VERDICTS."""
    known = {}
    for layer in layers:
        is_even = even_at(survey_of(posed, layer.name), layer.name)
        known[layer.name] = {
            method: str(trust.verdict(posed.spec.title, layer, method, is_even))
            for method in one_pass()
        }
    return known


def even_at(survey: Survey, layer: str) -> bool | None:
    """`trust.even` of that layer's gradient."""
    return survey.even[layer] if survey.even else trust.even(survey.trace.gradients[layer])


def start_of(posed: Posed) -> float | None:
    """The score without the best layer's map, if the map's cells add up to all the rest of it.

    Asked only where it can be: where the gradient is the same at every place.
    """
    survey, best = survey_of(posed), posed.asked.best
    if not even_at(survey, best):
        return None
    with compute_slots:
        return steps.head_start(posed.asked, survey.trace, best)


def part_of(posed: Posed) -> Placement | None:
    """Where what the network sees lies in the picture; None: it sees all of it."""
    h, w = picture(posed.question)[0].shape[:2]
    return pictures.part_seen((h, w), posed.asked.shape[:2], posed.spec.crop)


def _in_part(box: Sequence[float], part: Placement | None) -> Sequence[float]:
    """A box (left, top, right, bottom) of the picture, in shares of what the network sees."""
    if part is None:
        return box
    (height, _, top), (_, width, left) = part.rows, part.columns
    return [(x - s) / n for x, s, n in zip(box, (left, top) * 2, (width, height) * 2, strict=True)]


def covered(
    posed: Posed, layer: str, boxes: Sequence[Sequence[float]], fill: str
) -> tuple[list[F32], float, F32]:
    """What the network says with each of these parts of its picture painted over: B times (C,).

    And with the first of them the score of what is explained, and its Grad-CAM map (h, w) at that
    layer. boxes: (left, top, right, bottom) in shares of width and height. In detail it is the
    network at its usual side that says it.
    """
    question, spec, asked = kept(posed)
    index = first_look(posed).target.index if question.target is None else question.target
    target = Target(index, question.rival)

    def painted(shape: tuple[int, int, int]) -> list[F32]:
        square = pictures.fit(picture(question)[0], shape[:2], spec.crop)
        masks = [hide.rectangle(_in_part(box, part_of(posed)), shape[:2]) for box in boxes]
        return [spec.preprocess(one) for one in hide.hidden(square, masks, fill)]

    first, *others = painted(asked.shape)
    usual = lookup.network(spec) if question.detail else asked
    with compute_slots:
        trace = asked.trace(first, target, (layer,))
        said = [] if question.detail else [trace.probabilities]
        if rest := painted(usual.shape) if question.detail else others:
            said += list(usual.probabilities(np.stack(rest)))
        (signed,) = pipeline.maps_of(asked, trace, (layer,), (COVERED,)).values()
    if not np.isfinite(said).all():
        raise UserError(NO_NUMBER)
    scores = trace.logits[[index]] if target.rival is None else trace.logits[[index, target.rival]]
    return said, float(np.subtract.reduce(scores)), signed


def one_map(
    posed: Posed, layer: str, method: str, progress: Progress | None = None
) -> tuple[Survey, F32]:
    """One layer and one method: the signed map (h, w), and the survey it is from. progress: of a
    method that asks many times; may end it by raising Stopped."""
    if METHODS[method].ask:
        posed = kept(posed)
        return survey_of(posed, layer), map_of(posed, layer, method, progress)
    question, spec, asked = posed
    image, _ = picture(question)
    with compute_slots:
        seen = pipeline.look(image, spec, asked, target_in(question), (layer,), (method,))
    if (layer, method) not in seen.maps:
        raise UserError(pipeline.not_here(method, layer))
    return seen, seen.maps[layer, method]


def is_brought(spec: ModelSpec) -> bool:
    """Whether a visitor brought this network. What the host brought is given to nobody."""
    return bool(spec.findings) and all(
        row.build is not spec.build for row in models.MODELS.values()
    )


def own_model_file(model: Any) -> bytes:
    """A model that a visitor brought as a .keras file of today. Raises UserError."""
    spec = models.find(model)
    if not is_brought(spec):
        raise UserError(NOT_YOURS if spec.findings else NO_OWN)
    asked, about = lookup.network(spec), models.told_of(spec)
    if isinstance(asked, sandbox.ModelProcess):
        return asked.saved(about)
    return models.saved(spec, about)


def told_apart(paths: Any, names: Any) -> tuple[Any, Any]:
    """Of the files that were uploaded together the model's, and the class names: those given, or
    what stands in the one file of text beside it. Raises UserError."""
    paths = paths if isinstance(paths, list) else [paths]
    texts = [one for one in paths if str(one).lower().endswith((".txt", ".csv", ".json"))]
    others = [one for one in paths if one not in texts]
    if len(others) > 1 or len(texts) > 1:
        raise UserError(ONE_MODEL)
    if texts and not str(names or "").strip():
        names = "\n".join(class_names.read_names(own_file(texts[0], NO_MODEL, MODEL_GONE)))
    return others[0] if others else None, names


def keep_own(key: str, spec: ModelSpec) -> None:
    models.UPLOADS[key] = spec
    while len(models.UPLOADS) > KNOWN_UPLOADS:
        del models.UPLOADS[next(iter(models.UPLOADS))]


def take_way(model: Any, wanted: Any) -> str:
    """A network that is taken in that way from now on; the key under which it is found.

    wanted: "head", what its numbers mean; or "preprocess" and "crop" of a way to give it its pixels
    that the doctor showed. Raises UserError.
    """
    spec = models.find(model)
    part = wanted.get if isinstance(wanted, dict) else {}.get
    head, preprocess, crop = part("head"), str(part("preprocess")), part("crop") is True
    if head:
        said = in_that_meaning(spec, head)
    else:
        said = models.in_that_way(spec, preprocess, crop, lookup.network(spec).shape[2])
    told = [finding.taken for finding in said.findings if finding.basis == "given"]
    title = spec.title.partition(" · ")[0]
    said = replace(said, title=f"{title} · {', '.join([*told, *['the middle'] * said.crop])}")
    key = hashlib.sha256(repr((model, head, preprocess, crop)).encode()).hexdigest()
    keep_own(key, said)
    return key


def in_that_meaning(spec: ModelSpec, head: Any) -> ModelSpec:
    """The same network, whose numbers are said to mean this, wherever it runs. Raises UserError."""
    models.may_be_meant(spec, head)
    asked = lookup.network(spec)
    if not isinstance(asked, sandbox.ModelProcess):
        return models.with_meaning(spec, head)
    said = asked.told(head).spec
    said = replace(said, findings=(*said.findings, Finding("head", head, "given")))
    pixels = next(finding for finding in spec.findings if finding.kind == "preprocess")
    if pixels.basis != "given":
        return said
    return models.in_that_way(said, pixels.taken, spec.crop, asked.shape[2])


def open_upload(
    path: Any, names: Any, preprocess: Any, any_model: bool = True, head: Any = None
) -> str:
    """Open an uploaded model; the key under which `models.find` has it.

    names: class names, as `class_names` takes them, or nothing. preprocess: a name of PREPROCESS,
    or nothing; head: a key of SENSES, or nothing. any_model: in a process of its own; or else only
    what Teachable Machine exports, which is data. Raises UserError.
    """
    file = own_file(path, NO_MODEL, MODEL_GONE)
    labels = class_names.names_in(str(names)) if str(names or "").strip() else None
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    key = hashlib.sha256(repr((file, digest, labels, preprocess, head)).encode()).hexdigest()
    try:
        if key not in models.UPLOADS:
            spec = _taken_in(file, labels, str(preprocess or "") or None, any_model, head or None)
            log.info("a model was taken in: %s, %d classes", spec.shape, len(spec.labels))
            keep_own(key, spec)
    except UserError:
        raise
    except Exception as error:
        log.exception("a model could not be taken in")
        raise UserError(FAILED) from error
    return key


def _taken_in(
    file: str, labels: list[str] | None, preprocess: str | None, any_model: bool, head: Head | None
) -> ModelSpec:
    try:
        opened = None if preprocess or head else files.export_in(file)
    except UserError:
        if not any_model:
            raise
        opened = None
    if not opened and not any_model:
        raise UserError(TEACHABLE_ONLY)
    if opened and labels is None and opened.labels:
        labels = class_names.names_in(opened.labels)
    if labels and any(len(name) > 100 or not name.isprintable() for name in labels):
        raise UserError("Give the class names as plain text, one a line, 100 letters at most.")
    if opened:
        return models.row_of_file(opened, "", labels)
    return sandbox.ModelProcess(file, labels, preprocess, head).spec
