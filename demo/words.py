"""Numbers and facts in words, for a visitor."""

from collections.abc import Sequence
from typing import cast

from gradcam_core import models
from gradcam_core.types import Asked, Finding, Head, ModelSpec, Target

FAILED = "Something went wrong on the server; try once more, or choose another picture or network."
STOPPED = "Stopped."
UNFOLDED = "The list now shows them, with the reasons. Choose one, and the page says what helps."
FULL = "Many are asking at this moment; please try once more in some seconds."


def place_in_line(before: int) -> str:
    """What is said to who waits."""
    if before == 0:
        return "You are next."
    return f"Before yours: {before} question{'s' * (before > 1)}."


def folded(titles: Sequence[str]) -> str:
    """One line for all networks that cannot be had now; by their names it is found, too."""
    return f"{len(titles)} more · not here: {', '.join(titles)}"


def percent(p: float) -> str:
    if 0 < p < 1e-4:
        return "below 0.01 %"
    if 0.9999 < p < 1:
        return "above 99.99 %"
    places = 0 if p in (0, 1) or 0.0995 <= p < 0.995 else 1 if 0.01 <= p < 0.0995 else 2
    return f"{100 * p:.{places}f} %"


def told(p: float, in_percent: bool) -> str:
    """A probability in percent, any other number as it is."""
    return percent(p) if in_percent else f"{p:.3g}"


def class_choices(
    labels: Sequence[str], likeliest: Sequence[tuple[int, float]] = (), in_percent: bool = True
) -> list[tuple[str, int]]:
    """The likeliest classes with their probabilities, then all the others, name and number."""
    taken = {i for i, _ in likeliest}
    return [(f"{labels[i]} · {told(p, in_percent)} · {i}", i) for i, p in likeliest] + [
        (f"{name} · {i}", i) for i, name in enumerate(labels) if i not in taken
    ]


def found_out(spec: ModelSpec, asked: Asked) -> str:
    """What was found out about a network."""
    h, w, channels = asked.shape
    clear = sum(not layer.poor for layer in asked.layers.values())
    best = asked.layers[asked.best]
    chosen = (
        f"Chosen for want of a better one: {best.name}. It is poor, because: {best.poor}."
        if best.poor
        else f"Chosen: {best.name}, the last one before places are averaged or flattened away."
    )
    return " ".join(
        [
            f"Input: {h}×{w} with {channels} channel{'s' if channels > 1 else ''}.",
            f"Answer: {asked.classes} class{'es' * (asked.classes > 1)}; what is explained is "
            f"{asked.meaning.score}.",
            f"{len(asked.layers)} layers with a grid; nothing speaks against {clear} of them.",
            chosen,
            *spec.notes,
        ]
    )


def guess(finding: Finding) -> str:
    """What is taken for granted of a model, short: it stands beside each answer."""
    if finding.kind == "head":
        meant = models.SENSES[cast(Head, finding.taken)]
        return f"What this network’s numbers mean is a guess: {meant}."
    how = models.SAID.get(finding.taken, "its own")
    return f"How this network wants its pixels is a guess: {how}."


def left_alone(spec: ModelSpec, index: int) -> str:
    """Why a comparison is gone: the network predicts the class held against."""
    return f"{spec.title} itself says {spec.labels[index]}, so nothing is left to compare it with."


def figure_title(
    spec: ModelSpec, asked: Asked, target: Target, p: float, layer: str, method: str, sign: str
) -> str:
    """The class with its p, the method and its sign, the network and its layer: three lines."""
    name = f"{target.index}: {spec.labels[target.index]} ({told(p, asked.meaning.percent)})"
    rather = "" if target.rival is None else f" rather than {spec.labels[target.rival]}"
    how = {"for": "", "against": ", evidence against", "both": ", evidence for and against"}[sign]
    return f"{name}{rather}\n{method}{how}\n{spec.title}, {layer}"
