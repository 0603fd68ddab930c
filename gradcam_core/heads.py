"""What a model's output means: which numbers are explained, and which are shown.

The graph says it where the model ends in a softmax or sigmoid. Where it does not, the model is
asked: what is a probability for every trial picture is one already, however it was made.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from gradcam_core.types import F32, Finding, Head, Meaning, UserError

BLENDS = {  # operations that make probabilities out of probabilities, if what they make is one
    "Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose", "ConcatV2", "Pack",
    "StridedSlice", "AddV2", "AddN", "BiasAdd", "Sub", "Mul", "RealDiv", "Mean", "Sum", "Max",
    "Min", "Maximum", "Minimum",
}  # fmt: skip
BY_HAND = {  # of which people make a softmax or sigmoid, and its logarithm
    "Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "AddV2", "Sub", "Mul", "RealDiv",
    "Neg", "Exp", "Log", "Sum", "Reciprocal", "Inv", "Tanh", "Softplus", "Expm1", "Log1p", "Pow",
}  # fmt: skip
MOST_STEPS = 12  # operations at most between logits and what is made of them by hand
RANGES = ((0, 1), (-1, 1), (0, 10), (0, 255), (0, 2550))  # what models take, and ten times that
TRIALS = 2 * len(RANGES) + 3  # pictures, and so forward passes
ENOUGH = 4  # of them; one may lie in [0, 1] by luck
ROUNDING = 1e-3  # how far off a probability may be, made in half precision
PROBABILITY = "the probability itself, since no score before it was found"
LOGARITHM = "the logarithm of the probability"
OUTPUT = "the output itself"
PROBABILITY_OR_NUMBER = (
    "The answer is one number between 0 and 1, and this may be a probability or a measured number: "
    "say head='sigmoid' (or give two names, for no and yes) or head='linear'; until then it is "
    "shown and explained as the number that it is."
)
NUMBER_OR_SCORE = (
    "The answer is one plain number and is taken for a measured one, which is a guess: if it is "
    "the score of a yes or no, say so by head= or --head: sigmoid."
)
SCORES_OR_NUMBERS = (
    "The answers are plain numbers and are taken for the scores of classes of which one is right, "
    "which is a guess: if each is the score of a yes or no, or a measured number, say so by head= "
    "or --head: sigmoid, linear."
)
PROBABILITIES_OR_NUMBERS = (
    "The answers lie between 0 and 1 and do not add up to 1, so they are taken for probabilities, "
    "each a yes or no of its own; if they are measured numbers, say head='linear'."
)
ALWAYS_ONE = (
    "The answer is one number that is 1 for every picture, as a softmax over one number is: this "
    "is a mistake in the model, which needs a sigmoid there, and there is nothing to explain."
)
ALWAYS_THE_SAME = (
    "The answer was the same for every trial picture, from black to white, so there may be nothing "
    "to explain."
)


def bare(tensor: tf.Tensor) -> tf.Tensor:
    """The same numbers before they were only cast or reshaped."""
    while tensor.op.type in ("Identity", "Cast", "Reshape", "Squeeze"):
        tensor = tensor.op.inputs[0]
    return tensor


def of_probabilities(output: tf.Tensor) -> bool:
    """Whether an answer is put together from softmax or sigmoid outputs and from nothing else."""
    found, met, todo = False, set(), [output]
    while todo:
        op = todo.pop().op
        if op.type in ("Softmax", "Sigmoid"):
            found = True
        elif op.type not in (*BLENDS, "Const"):
            return False
        elif id(op) not in met:
            met.add(id(op))
            todo += [t for t in op.inputs if t.dtype.is_floating]
    return found


def ending(output: tf.Tensor) -> tuple[Head | None, list[tf.Tensor]]:
    """By what a model ends, softmax or sigmoid if any, and what comes out of that.

    Sigmoids that are joined to one answer end it together.
    """
    classes, last = output.shape[-1], bare(output)
    ends = list(last.op.inputs[:-1]) if last.op.type == "ConcatV2" else [last]
    if all(bare(t).op.type == "Sigmoid" for t in ends):
        return "sigmoid", ends
    softmax = last.op.type in ("Softmax", "LogSoftmax") and last.shape[-1] in (classes, None)
    return ("softmax" if softmax and classes != 1 else None), [last]


def steps_back(output: tf.Tensor) -> dict[tuple[int, ...], tf.Tensor]:
    """What may have been the logits of probabilities made by hand, the first that is made first.

    By path: the number of the input to follow at each operation, from the output on.
    """
    found: dict[tuple[int, ...], tf.Tensor] = {}
    met = {id(output)}
    todo: deque[tuple[tuple[int, ...], tf.Tensor]] = deque([((), output)])
    while todo:
        path, tensor = todo.popleft()
        for number, source in enumerate(tensor.op.inputs):
            by_hand = tensor.op.type in BY_HAND and source.dtype.is_floating
            if not by_hand or len(path) == MOST_STEPS or id(source) in met:
                continue
            met.add(id(source))
            todo.append(((*path, number), source))
            if source.op.type != "Const" and source.shape.num_elements() == output.shape[-1]:
                found[*path, number] = source
    made = {id(op): number for number, op in enumerate(output.graph.get_operations())}
    return dict(sorted(found.items(), key=lambda item: made[id(item[1].op)]))


def output_of(model: keras.Model, x: tf.Tensor) -> tf.Tensor:
    """The model's answer (B, C) to pictures, or a sentence where it gives another."""
    output, *more = tf.nest.flatten(model(x, training=False))
    if more or output.shape.rank != 2:
        raise UserError(
            "This model does not answer with one row of class scores; "
            "give a model with a single output of shape (batch, classes)."
        )
    return output


def answers(output: tf.Tensor, meaning: Meaning) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores (B, C), and what is shown (B, C), of a model's output (B, C).

    Shown is what the model itself answers, or of plain numbers taken for logits what they make. One
    probability p becomes the two answers 1 - p, p, and its logit z becomes -z, z.
    """
    single = output.shape[-1] == 1
    if meaning.path is None:
        head, ends = ending(output)
        parts = [tf.reshape(bare(t).op.inputs[0], tf.shape(t)) for t in ends] if head else [output]
        joined = tf.concat(parts, bare(output).op.inputs[-1]) if len(parts) > 1 else parts[0]
        y = tf.cast(tf.reshape(joined, tf.shape(output)), tf.float32)
        if single and meaning.head == "sigmoid":
            y = tf.concat([-y, y], -1)
        return y, tf.nn.softmax(y) if meaning.head == "softmax" else tf.sigmoid(y)
    score, shown = output, tf.cast(output, tf.float32)
    for number in meaning.path:
        score = score.op.inputs[number]
    y = tf.cast(tf.reshape(score, tf.shape(output)), tf.float32)
    shown = tf.exp(shown) if meaning.log else shown
    if single and meaning.percent:
        y = tf.concat([-y if meaning.head == "sigmoid" else 1 - y, y], -1)
        shown = tf.concat([1 - shown, shown], -1)
    return y, shown


def trial_pictures(shape: tuple[int, int, int]) -> Iterator[F32]:
    """TRIALS pictures (N, N, 3): black, white, noise, smooth ones, and numbers ten times too large.

    How the model takes its pixels is not known here, so there are some for each way.
    """
    dice = np.random.default_rng(0)
    h, w, channels = shape
    rows, columns = np.ogrid[:h, :w]
    for value in (0, 1, 255):
        yield np.full(shape, value, np.float32)
    for low, high in RANGES:
        turns, starts = dice.uniform(-1.5, 1.5, (2, channels)), dice.uniform(size=channels)
        waves = rows[..., None] / h * turns[0] + columns[..., None] / w * turns[1] + starts
        for picture in (dice.uniform(size=shape), 0.5 + 0.5 * np.cos(2 * np.pi * waves)):
            yield (low + (high - low) * picture).astype(np.float32)


def meaning_of(
    output: tf.Tensor,
    back: Sequence[tuple[int, ...]],
    look: Callable[[tf.Tensor], Sequence[tf.Tensor]],
    shape: tuple[int, int, int],
    told: Head | None = None,
) -> Meaning:
    """What a model's output means: as told, as seen on its graph, or by TRIALS forward passes.

    look: of a picture (1, N, N, 3), the output and what `steps_back` found, whose paths are `back`.
    The trials come one at a time: together they are not faster, and take the memory of them all.
    """
    if told == "linear":
        return plain(output.shape[1], told)
    head, _ = ending(output)
    if head:
        return Meaning(head, score=f"the score before {head}")
    said = []
    for picture in trial_pictures(shape):
        with suppress(tf.errors.OpError):  # a model may refuse numbers that it does not know
            said.append([np.float32(t).ravel() for t in look(tf.constant(picture[None]))])
    said = [row for row in said if np.isfinite(row[0]).all()]
    numbers, *before = (
        np.reshape([row[n] for row in said], (-1, output.shape[1])) for n in range(1 + len(back))
    )
    blend = of_probabilities(output)
    return meaning_by_trials(numbers, dict(zip(back, before, strict=True)), blend, told)


def meaning_by_trials(
    output: F32, back: Mapping[tuple[int, ...], F32], blend: bool, told: Head | None
) -> Meaning:
    """What an answer means that ends in no softmax or sigmoid: what it was for trial pictures.

    output (T, C). back: what `steps_back` found, (T, C) each. blend: `of_probabilities`. told: what
    plain numbers are said to be; probabilities are seen, so that nothing is squashed twice.
    """
    single, probability = output.shape[1] == 1, Meaning("linear", score=PROBABILITY, path=())
    numbers = plain(output.shape[1], "linear" if blend and told is None else told)
    if len(output) < ENOUGH:  # the model does not take such pictures
        return probability if blend else numbers
    log = bool(output.max() < ROUNDING and output.min() < -ROUNDING)
    p = np.exp(output) if log else output
    inside = p.min() > -ROUNDING and p.max() < 1 + ROUNDING
    whole = inside and np.abs(p.sum(axis=1) - 1).max() < 10 * ROUNDING
    if np.allclose(output, output[0], 1e-5, 1e-7):
        notes = (ALWAYS_ONE,) if single and whole else (ALWAYS_THE_SAME,)
        sure = inside and (whole or blend)
        return replace(probability if sure else numbers, notes=notes)
    if inside and not blend and (found := by_hand(p, back)):
        head, path = found
        return Meaning(head, score=f"the score before {head}", path=path, log=log)
    if log and whole:
        return Meaning("softmax", score=LOGARITHM, path=(), log=True)
    if log or not inside or (told == "softmax" and not whole):
        return numbers
    if whole or blend or told:
        return probability
    if single:
        return replace(numbers, notes=(PROBABILITY_OR_NUMBER,))
    return replace(probability, notes=(PROBABILITIES_OR_NUMBERS,), guessed=("linear",))


def plain(classes: int, told: Head | None) -> Meaning:
    """Numbers that are no probabilities: one is a measurement, several are logits, unless told."""
    if told == "linear" or (classes == 1 and told is None):
        number = Meaning("linear", percent=False, score=OUTPUT, path=())
        return number if told else replace(number, guessed=("sigmoid",))
    head = told or "softmax"
    scores = Meaning(head, score=f"the output, taken for the score before {head}")
    return scores if told else replace(scores, guessed=("sigmoid", "linear"))


def guess_of(meaning: Meaning) -> Finding | None:
    """As what an output is meant, where that is a guess."""
    if not meaning.guessed:
        return None
    plain = SCORES_OR_NUMBERS if meaning.head == "softmax" else NUMBER_OR_SCORE
    why = next((note for note in meaning.notes if "head=" in note), plain)
    # probabilities that nobody has to make any more are those of a sigmoid
    taken = "sigmoid" if meaning.percent and meaning.head == "linear" else meaning.head
    return Finding("head", taken, "guessed", why, meaning.guessed)


def by_hand(p: F32, back: Mapping[tuple[int, ...], F32]) -> tuple[Head, tuple[int, ...]] | None:
    """Of what tensor probabilities p (T, C) are the softmax or sigmoid, if of any: the first made.

    Only what is neither 0 nor 1 proves it: there any large number would do.
    """
    unsure = ((p > 0.01) & (p < 0.99)).any(axis=1)
    if unsure.sum() < 2:
        return None
    for path, z in back.items():
        if np.isfinite(z).all():
            e = np.exp(z - z.max(axis=1, keepdims=True))
            softmax, sigmoid = e / e.sum(axis=1, keepdims=True), 0.5 + 0.5 * np.tanh(z / 2)
            if p.shape[1] > 1 and np.allclose(softmax, p, rtol=0, atol=ROUNDING):
                return "softmax", path
            if np.allclose(sigmoid, p, rtol=0, atol=ROUNDING):
                return "sigmoid", path
    return None
