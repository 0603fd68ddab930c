"""The whole path in the order it happens. Computes nothing itself."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from gradcam_core import blas, faithfulness, heatmap, lookup, models, trust
from gradcam_core import image as pictures
from gradcam_core.explanation import Explanation
from gradcam_core.faithfulness import Forgetting, Held, Judgement, Score
from gradcam_core.image import AnyPicture
from gradcam_core.methods import METHODS, one_pass, placement_of
from gradcam_core.types import (
    F32,
    NO_IMAGE,
    U8,
    Asked,
    Layer,
    ModelSpec,
    Placement,
    Progress,
    Shuffled,
    Survey,
    Surveyor,
    Target,
    Trace,
    UserError,
)

PARALLEL = (
    1 << 18
)  # numbers in a layer; below, two threads wait longer for each other than they gain
NO_FINITE_MAP = (
    "To what {method} asks, the network answers with no finite number; choose another method."
)
WORTH_SAYING = 0.1  # a share of the evidence that is not drawn
Made = TypeVar("Made")
_beside = ThreadPoolExecutor(2)


def look(
    image: U8,
    spec: ModelSpec,
    asked: Asked,
    target: Target | None,
    layers: Sequence[str],
    methods: Sequence[str],
) -> Survey:
    """One forward and one backward pass, and every map that they answer. No name is looked up.

    image (H, W, 3) uint8 RGB. target None: the likeliest class. methods: of one pass.
    """
    x = spec.preprocess(pictures.fit(image, asked.shape[:2], spec.crop))
    look_there = asked.look if isinstance(asked, Surveyor) else partial(survey_at, asked)
    return replace(look_there(x, target, layers, methods), image=image)


def survey_at(
    asked: Asked, x: F32, target: Target | None, layers: Sequence[str], methods: Sequence[str]
) -> Survey:
    """The same of a preprocessed picture (N, N, 3), where the network is."""
    trace = asked.trace(x, target, _with_partners(asked, layers, methods))
    if any(a.size > PARALLEL for a in trace.activations.values()):
        # Eigen-CAM, the last of the table, is nearly half of the work: it comes first.
        jobs = {m: _beside.submit(maps_of, asked, trace, layers, [m]) for m in reversed(methods)}
        maps = {key: signed for m in methods for key, signed in jobs[m].result().items()}
    else:
        maps = maps_of(asked, trace, layers, methods)
    return Survey(NO_IMAGE, trace.target, trace.logits, trace.probabilities, maps, trace)


def _with_partners(asked: Asked, layers: Sequence[str], methods: Sequence[str]) -> tuple[str, ...]:
    """These layers, then the others that methods which fuse several read with them."""
    fusions = [fusion for m in methods if (fusion := METHODS[m].fusion)]
    partners = [name for f in fusions for layer in layers for name in f.layers(asked, layer)]
    return tuple(dict.fromkeys([*layers, *partners]))


def maps_of(
    asked: Asked, trace: Trace, layers: Sequence[str], methods: Sequence[str]
) -> dict[tuple[str, str], F32]:
    """The signed map (h, w) of each of these layers and methods; what fuses, where it can."""
    maps = {}
    with blas.one_thread():
        for name in methods:
            method = METHODS[name]
            for layer in layers:
                if method.weights:
                    a, g = trace.activations[layer], trace.gradients[layer]
                    maps[layer, name] = heatmap.combine(method.weights(a, g), a)
                elif method.fusion and (read := method.fusion.layers(asked, layer)):
                    pairs = [(trace.activations[n], trace.gradients[n]) for n in read]
                    maps[layer, name] = method.fusion.map(pairs)
    return maps


def ask(
    asked: Asked, trace: Trace, method: str, layer: str, progress: Progress | None = None
) -> F32:
    """The signed map (h, w) of a method that asks the network many times.

    progress: told the part that is done; what it raises ends the work.
    """
    row = METHODS[method]
    assert row.ask
    with np.errstate(all="ignore"):
        signed = finished(row.ask(asked, trace, None if row.of_picture else layer), progress)
    if not np.isfinite(signed).all():
        raise UserError(NO_FINITE_MAP.format(method=method))
    return signed


def finished(asking: Generator[float, None, Made], progress: Progress | None = None) -> Made:
    """What comes of it in the end. progress: told the part that is done; may raise."""
    while True:
        try:
            part = next(asking)
        except StopIteration as end:
            return end.value
        if progress:
            progress(part)


def scoring(spec: ModelSpec, asked: Asked, target: Target) -> Score:
    """The score of pictures (B, N, N, 3) in [0, 255] as the network sees them, (B,)."""

    def score(seen: F32) -> F32:
        return asked.score(np.stack([spec.preprocess(one.copy()) for one in seen]), target)

    return score


def examining(
    image: U8, spec: ModelSpec, asked: Asked, target: Target, layer: str, method: str, signed: F32
) -> Generator[float, None, Judgement]:
    """`faithfulness.examine` of a map (h, w) of this layer and method, on the picture (H, W, 3).

    A map of the picture's pixels by the means of cells: what is hidden are parts, as of other maps,
    and no dust.
    """
    if METHODS[method].of_picture:
        signed = heatmap.shrink(signed, faithfulness.CELLS_A_SIDE)
    seen = pictures.fit(image, asked.shape[:2], spec.crop)
    placement = placement_of(asked.layers[layer], method)
    return faithfulness.examine(scoring(spec, asked, target), seen, signed, placement)


def checked(
    image: AnyPicture,
    model: str | ModelSpec = models.DEFAULT,
    layer: str | None = None,
    target: int | str | Target | None = None,
    method: str = "Grad-CAM",
    progress: Progress | None = None,
) -> tuple[Explanation, Judgement]:
    """An explanation, and whether its map is better than chance and than the picture's centre.

    Arguments as in `explain`. Up to `faithfulness.MOST_PASSES` passes of the network.
    """
    made = explain(image, model, layer, target, method, progress=progress)
    spec = lookup.spec_of(model)
    given = spec, lookup.network(spec), made.survey.target, made.layer, method, made.maps[method]
    return made, finished(examining(made.image, *given), progress)


def forgetting(
    image: U8, spec: ModelSpec, asked: Asked, target: Target, layer: str, method: str
) -> Generator[float, None, Forgetting]:
    """The model parameter randomisation test of a map, cascading from the last layer down.

    Two passes a step, of the same class at the same layer: Adebayo et al. 2018, arXiv 1810.03292.
    Yields the part that is done. The network in use by others stays as it is.
    """
    if METHODS[method].ask:
        raise UserError(f"{method} takes too many passes for this test; choose another method.")
    x = spec.preprocess(pictures.fit(image, asked.shape[:2], spec.crop))
    layers = _with_partners(asked, (layer,), (method,))

    def made(how: Shuffled | None) -> F32:
        return maps_of(asked, asked.trace(x, target, layers, how), (layer,), (method,))[
            layer, method
        ]

    def lines(how: Shuffled | None) -> F32:
        return np.abs(asked.guided_backprop(x, target, how)).sum(axis=-1)

    try:
        guided: list[F32] | None = [lines(None)]
    except UserError:  # it has no ReLU
        guided = None
    learned, maps = made(None), list[F32]()
    for n, share in enumerate(faithfulness.CASCADE):
        yield n / len(faithfulness.CASCADE)
        maps.append(made(Shuffled(share)))
        if guided:
            guided.append(lines(Shuffled(share)))
    return Forgetting(
        tuple(maps),
        tuple(faithfulness.rank_correlation(learned, one) for one in maps),
        tuple(faithfulness.rank_correlation(guided[0], one) for one in guided[1:])
        if guided
        else None,
    )


def holding(
    image: U8, spec: ModelSpec, asked: Asked, target: Target, layer: str, method: str, signed: F32
) -> Generator[float, None, tuple[Held, ...]]:
    """Does the map hold where the picture changes, but not what is in it? One pass a change.

    signed (h, w): the map of the picture as it is. Yields the part that is done.
    """
    if METHODS[method].ask:
        raise UserError(f"{method} takes too many passes for this test; choose another method.")
    seen = pictures.fit(image, asked.shape[:2], spec.crop)
    size, placement = (seen.shape[0], seen.shape[1]), placement_of(asked.layers[layer], method)
    layers = _with_partners(asked, (layer,), (method,))

    def heat_of(signed: F32) -> F32:
        return heatmap.project(heatmap.normalise(signed), size, placement)

    own, rows = heat_of(signed), list[Held]()
    before = asked.probabilities(spec.preprocess(seen.copy())[None])[0]
    for n, (name, change) in enumerate(faithfulness.CHANGES.items()):
        yield n / len(faithfulness.CHANGES)
        changed = change.apply(seen, np.random.default_rng(0))
        trace = asked.trace(spec.preprocess(changed.copy()), target, layers)
        heat = heat_of(maps_of(asked, trace, (layer,), (method,))[layer, method])
        after = trace.probabilities
        rows.append(
            Held(
                name,
                changed,
                float(before[target.index]),
                float(after[target.index]),
                asked.meaning.percent,
                int(before.argmax()) == int(after.argmax()),
                faithfulness.correlation(change.kept(own), change.back(heat)),
                heat,
            )
        )
    return tuple(rows)


def predicted(picture: U8, spec: ModelSpec) -> tuple[int, F32]:
    """What the network says at its usual side: the number of the class, probabilities (C,)."""
    asked = lookup.network(spec)
    fitted = pictures.fit(picture, asked.shape[:2], spec.crop)
    p = asked.probabilities(spec.preprocess(fitted)[None])[0]
    return int(p.argmax()), p


def not_here(method: str, layer: str) -> str:
    return f"{method} cannot be made at the layer {layer}; choose another layer, or another method."


def survey(
    image: AnyPicture,
    model: str | ModelSpec = models.DEFAULT,
    target: int | str | Target | None = None,
    layers: str | Sequence[str] = (),
    methods: str | Sequence[str] = (),
    detail: bool = False,
) -> Survey:
    """One forward and one backward pass, and every map that they answer.

    image: a path, a Pillow image or (H, W, 3) uint8 RGB. target: class number or name, a `Target`,
    or None for the likeliest. layers (): every suggested one; methods (): all that one pass
    answers; one name stands for a list of it. detail: the network at twice its side, where it
    allows that; the likeliest class is that of the usual side.
    """
    names = lookup.methods_of(lookup.listed(methods) or one_pass())
    if slow := [name for name in names if METHODS[name].ask]:
        raise UserError(f"{slow[0]} takes many passes, for one layer; ask for it with `explain`.")
    picture, _ = pictures.from_any(image)
    spec = lookup.spec_of(model)
    asked = lookup.network(spec, detail)
    wanted = lookup.target_of(target, spec.labels, asked.classes)
    if detail and wanted is None:
        wanted = Target(predicted(picture, spec)[0])
    found = [lookup.layer_of(asked, name).name for name in lookup.listed(layers)]
    return look(picture, spec, asked, wanted, found or asked.suggested, names)


def explain(
    image: AnyPicture,
    model: str | ModelSpec = models.DEFAULT,
    layer: str | None = None,
    target: int | str | Target | None = None,
    methods: str | Sequence[str] = ("Grad-CAM",),
    detail: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Where the network sees evidence for a class: one layer, some methods.

    image: a path, a Pillow image or (H, W, 3) uint8 RGB. layer None: the best one. target None: the
    likeliest class. detail: the network at twice its side, where it allows that; the probabilities
    are those of its usual side, and a remark says what twice the side does to them. progress: of
    methods that ask the network many times.
    """
    names = lookup.methods_of(methods)
    picture, remarks = pictures.from_any(image)
    spec = lookup.spec_of(model)
    asked = lookup.network(spec, detail)
    wanted = lookup.target_of(target, spec.labels, asked.classes)
    name = lookup.layer_of(asked, layer).name
    usual = predicted(picture, spec) if detail else None
    if usual and wanted is None:
        wanted = Target(usual[0])
    seen = look(picture, spec, asked, wanted, (name,), [m for m in names if not METHODS[m].ask])
    maps = {method: signed for (_, method), signed in seen.maps.items()}
    maps |= {m: ask(asked, seen.trace, m, name, progress) for m in names if METHODS[m].ask}
    if missing := [m for m in names if m not in maps]:
        raise UserError(not_here(missing[0], name))
    size = picture.shape[0], picture.shape[1]
    if part := pictures.part_seen(size, asked.shape[:2], spec.crop):
        remarks += (pictures.MIDDLE,)
    if usual:
        remarks += (twice_the_side(usual[1], seen, spec.labels, asked.meaning.percent),)
    placed = {m: placement_of(asked.layers[name], m, part) for m in names}
    cautions = [one for m in names for one in to_be_careful(asked.layers[name], maps[m], placed[m])]
    told = [remark(asked, seen.trace, maps[m]) for m in names if (remark := METHODS[m].remark)]
    return Explanation(
        image=picture,
        target=seen.target.index,
        probabilities=usual[1] if usual else seen.probabilities,
        layer=name,
        maps={m: maps[m] for m in names},
        heatmaps={m: heatmap.project(heatmap.normalise(maps[m]), size, placed[m]) for m in names},
        survey=seen,
        labels=spec.labels,
        meaning=asked.meaning,
        remarks=tuple(dict.fromkeys([*remarks, *cautions, *told])),
        placements={m: placement for m, placement in placed.items() if placement},
    )


def to_be_careful(layer: Layer, signed: F32, placement: Placement | None) -> list[str]:
    """What to be careful with in a map (h, w) of this layer that lies so, in sentences."""
    said = [f"This is not a good layer to explain with: {layer.poor}."] if layer.poor else []
    said += filter(None, [trust.about_tokens(layer)])
    beyond = heatmap.share_beyond(signed, placement)
    if beyond > WORTH_SAYING:
        said.append(
            f"The network puts a rim round the picture. {beyond:.0%} of the evidence lies there, "
            "and is not drawn."
        )
    return said


def twice_the_side(usual: F32, seen: Survey, labels: Sequence[str], percent: bool) -> str:
    """What that does to the answer about the class, in a sentence."""
    index = seen.target.index
    wide, said = (f"{100 * p:.3g} %" if percent else f"{p:.3g}" for p in
                  (seen.probabilities[index], usual[index]))  # fmt: skip
    return f"At twice the side the network gives {labels[index]} {wide}; at its usual side {said}."
