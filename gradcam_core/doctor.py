"""The preprocessing doctor: what a model answers for each way of preparing a picture, side by side,
and which way the evidence favours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcam_core import image as pictures
from gradcam_core import lookup, models
from gradcam_core.image import AnyPicture
from gradcam_core.types import F32, U8, Asked, Finding, ModelSpec, UserError

CLEARLY = 3  # pictures by which a way must lead: by chance, among equals, in one case of eight
KNOWN = "How this network wants its pixels is known: it comes with its weights."


@dataclass(frozen=True)
class Way:
    """A way to prepare a picture, and what the model answers then."""

    preprocess: str  # a name of PREPROCESS, or "own": the row's own function
    crop: bool  # the middle of the picture; or else the whole of it, squashed
    probabilities: F32 | None  # (C,), as in a Trace; None: what comes out is no finite number

    @property
    def target(self) -> int | None:
        """The number of the likeliest class."""
        return None if self.probabilities is None else int(self.probabilities.argmax())


@dataclass(frozen=True)
class Diagnosis:
    """All ways side by side."""

    ways: tuple[Way, ...]
    used: int  # which of them this program goes by
    favoured: int | None  # which of them the evidence favours; None: nothing decides
    why: tuple[str, ...]  # in plain sentences


def diagnose(
    image: U8,
    spec: ModelSpec,
    asked: Asked,
    labelled: Sequence[tuple[AnyPicture, int | str]] = (),
) -> Diagnosis:
    """Ask the model about one picture, prepared in every way, in one batch.

    image (H, W, 3) uint8 RGB. labelled: pictures and their classes, by number or by name; each is a
    batch more. A batch is one forward pass for each way: 10 to 12, of a grey model 6 to 8.
    """
    finding = next((f for f in spec.findings if f.kind == "preprocess"), None)
    scalings = models.ways_of_scaling(asked.shape[2])
    taken = finding.taken if finding else _name(spec, scalings, asked.shape[:2])
    if taken not in scalings:
        scalings = {taken: spec.preprocess} | scalings
    names = [(name, crop) for name in scalings for crop in (False, True)]

    def answers(picture: U8) -> F32:
        fitted = {crop: pictures.fit(picture, asked.shape[:2], crop) for crop in (False, True)}
        ready = [scalings[name](fitted[crop].copy()) for name, crop in names]
        return asked.probabilities(np.stack(ready))

    ways = tuple(
        Way(name, crop, row if np.isfinite(row).all() else None)
        for (name, crop), row in zip(names, answers(image), strict=True)
    )
    used = names.index((taken, spec.crop))
    favoured, why = _by_itself(finding, used, names)
    if labelled:
        targets = [lookup.target_of(name, spec.labels, asked.classes) for _, name in labelled]
        hits = np.zeros(len(names), int)
        for (picture, _), target in zip(labelled, targets, strict=True):
            given = answers(pictures.from_any(picture)[0])
            assert target
            hits += np.all(np.isfinite(given), axis=1) & (given.argmax(1) == target.index)
        favoured, more = _by_pictures(hits.tolist(), len(labelled), used, favoured, ways)
        why.append(more)
    if lost := [way for way in ways if way.probabilities is None]:
        why.append(f"No numbers come out with: {'; '.join(map(in_words, lost))}.")
    if favoured is not None and ways[favoured].probabilities is None:
        favoured = None
    if len({way.target for way in ways}) == 1 and not lost:
        why.append("Each way finds the same class likeliest: for this picture it matters little.")
    return Diagnosis(ways, used, favoured, tuple(why))


def labelled_in(folder: Path) -> list[tuple[Path, str]]:
    """The pictures in a folder that has a folder of each class, and their classes. Raises
    UserError."""
    files = sorted(f for f in folder.glob("*/*") if f.is_file() and not f.name.startswith("."))
    if not files:
        raise UserError(
            "There are no labelled pictures; give a folder that has a folder of each class, of its "
            "name, with pictures in it."
        )
    return [(file, file.parent.name) for file in files]


def _name(
    spec: ModelSpec, scalings: Mapping[str, Callable[[F32], F32]], sides: tuple[int, int]
) -> str:
    """Which of these a row's own preprocessing is; "own": none of them."""
    rgb = np.random.default_rng(0).uniform(0, 255, (*sides, 3)).astype(np.float32)
    own = spec.preprocess(rgb.copy())
    alike = (n for n, scale in scalings.items() if np.allclose(scale(rgb), own, atol=1e-3))
    return next(alike, "own")


def _by_itself(
    finding: Finding | None, used: int, names: Sequence[tuple[str, bool]]
) -> tuple[int | None, list[str]]:
    """What the model itself says, as it was found when it was taken in."""
    if finding is None:
        return used, [KNOWN]
    if finding.basis == "guessed":
        return None, [finding.why]
    if finding.options and finding.basis == "given":
        return names.index((finding.options[0], False)), [finding.why]
    return used, [finding.why or "How it wants its pixels was given, and nothing speaks against."]


def _by_pictures(
    hits: Sequence[int], count: int, used: int, favoured: int | None, ways: Sequence[Way]
) -> tuple[int | None, str]:
    """What pictures of known classes say: `hits`, about how many each way is right. They decide
    where one leads clearly the way that is favoured so far, and each that scales otherwise.
    """
    best = max(range(len(hits)), key=lambda i: (hits[i], i == favoured, i == used))
    said = f"Of {count} pictures whose class is known it is right about {hits[best]}"
    said = f"{said} with {in_words(ways[best])}, and about {hits[used]} with {in_words(ways[used])}"
    others = {i for i, way in enumerate(ways) if way.preprocess != ways[best].preprocess}
    rivals = (others if favoured is None else others | {favoured}) - {best}
    if all(hits[best] - hits[i] >= CLEARLY for i in rivals):
        return best, f"{said}: that decides."
    return favoured, f"{said}." if favoured is not None else f"{said}: too close to decide."


def in_words(way: Way) -> str:
    how = models.SAID.get(way.preprocess, "its own preprocessing")
    return f"{how}, {'of the middle' if way.crop else 'of the whole picture'}"
