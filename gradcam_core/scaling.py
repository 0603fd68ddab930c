"""How a model wants its pixels: read off what it does to black and white before it learns.

Two witnesses. The first layers, up to the first that learns: for the white they were made for, what
they make of black and white lies near 0 to 1, -1 to 1, 0 to 255 or within a few standard
deviations; for another white it is off by a factor of 100 or so. And the first batch norm: it kept
mean and variance of what came to it in training. Both give a cost to each way of scaling, in
nats: about the logarithm of how much less likely it is. Where the costs are close, it is a guess.
So it is where the batch norm alone speaks: what pictures it met is unknown, and in a backbone that
was frozen it met others than the rest of the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gradcam_core.layers import LEARNED_OPS
from gradcam_core.network import sentence, tapped, traced
from gradcam_core.types import F32

SURE = 2.5  # nats by which the best way must lead; exp(2.5) is odds of 12 to 1
HOPELESS = 6.0  # nats; a best way as bad as this is none
LEVELS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)  # from black (0) to white (1), and beyond
INSIDE = slice(1, 6)  # those that a picture has
NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
LEARNED = {*LEARNED_OPS, *NORMS, "BatchMatMulV2"}
COUNTS = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # nothing of the numbers
RANGES = (  # what people scale to
    (0, 1), (-1, 1), (-0.5, 0.5), (0, 255), (-127.5, 127.5), (-1, 0), (-255, 0),
)  # fmt: skip
WIDTHS = (1, 2, 255)  # of those, for ranges that are moved by a mean colour
WAY = (1.0, 0.75, 0.5, 0.25, 0.1)  # that a batch norm may have come
PIXELS = 224 * 224  # looked at for each way, in one picture or in several small ones
RARE = {
    "scale11": 0.5,
    "caffe": 1.0,
    "torch": 1.0,
}  # nats, of a model that takes pixels as they are
RARER = {"scale11": 1.5, "caffe": 5.0, "torch": 5.0}  # nats, of one that does something to them


@dataclass(frozen=True)
class Evidence:
    """What speaks for each way of scaling."""

    costs: Mapping[str, float]  # way -> nats, least first
    sure: bool  # the first leads by SURE
    scales: bool  # the model does something to its pixels before it learns
    why: str  # what was seen, as the end of a sentence; empty: nothing that decides


@dataclass(frozen=True)
class FirstPart:
    """What a model does to a picture before it learns, and its first batch norm."""

    run: Callable[[F32], list[F32]] | None  # picture (h, w, c) -> what goes to those that learn
    norm: Callable[[F32], list[F32]] | None  # picture -> what comes to the first batch norm
    moments: tuple[F32, F32] | None  # mean and variance (K,) that it kept of that in training
    outputs: int  # numbers in the model's answer


def first_part(model: "keras.Model", shape: tuple[int, int, int]) -> FirstPart:
    """Trace the model once and cut the graph before whatever has learned."""
    entries: list[tuple[Any, tf.Tensor]] = []
    kept: dict[str, Any] = {}

    def visit(_name: str, operation: Any, sources: list[int], y: Any) -> Any:
        if not entries and isinstance(operation, keras.layers.BatchNormalization):
            made = {id(t): t for op in y.graph.get_operations() for t in op.outputs}
            entries.extend((operation, made[i]) for i in sources[:1] if i in made)
        return y

    def run(x: tf.Tensor) -> Any:
        entries.clear()
        with tapped(model, visit):
            answer = tf.nest.flatten(model(x, training=False))[0]
        front, leads = _frontier(x, model)
        found = (pair for pair in entries if id(pair[1].op) in leads)
        kept["norm"], entry = next(found, (None, None))
        kept["outputs"], kept["as it is"] = answer.shape[-1], all(t is x for t in front)
        return front, [] if entry is None else [entry]

    both = traced(run, (1, *shape))
    moments = _moments(kept["norm"])

    def part(number: int) -> Callable[[F32], list[F32]]:
        cut = tf.function(lambda x: both(x)[number]).get_concrete_function(
            tf.TensorSpec((1, *shape))
        )

        def numbers(x: F32) -> list[F32]:
            with sentence():
                return [np.asarray(t) for t in cut(tf.constant(x[None]))]

        return numbers

    return FirstPart(
        run=None if kept["as it is"] else part(0),
        norm=part(1) if moments else None,
        moments=moments,
        outputs=int(kept["outputs"]),
    )


def _frontier(x: tf.Tensor, model: "keras.Model") -> tuple[list[tf.Tensor], set[int]]:
    """The tensors made of the picture that go to what has learned; ids of all it leads to.

    A layer's own numbers that are not trained (a mean, a spread) are followed as constants are, but
    not into a convolution, a product of matrices or a batch norm: those of a frozen network.
    """
    handles = {id(v.value.handle): v.trainable for v in model.variables if _is_number(v)}
    held = {id(inner.op): handles[id(outer)] for outer, inner in x.graph.captures
            if id(outer) in handles}  # fmt: skip
    front: dict[int, tf.Tensor] = {}
    before, after = {id(x.op)}, set[int]()
    for op in x.graph.get_operations():
        sources = [id(t.op) for t in op.inputs]
        carried = [t for t in op.inputs if id(t.op) in before]
        if op.type in COUNTS:
            continue
        if not carried and not after.intersection(sources):
            trained = [held[s] for s in sources if s in held]
            if trained:
                held[id(op)] = any(trained)
            continue
        numbers = [held[s] for s in sources if s in held]
        learns = any(numbers) or (numbers and op.type in LEARNED)
        if after.intersection(sources) or learns:
            after.add(id(op))
            front |= {id(t): t for t in carried if t.dtype.is_floating}
        else:
            before.add(id(op))
    return list(front.values()), before | after


def _is_number(variable: Any) -> bool:
    return hasattr(variable.value, "handle")


def _moments(norm: Any) -> tuple[F32, F32] | None:
    """What a batch norm kept; None where it was never trained, or is damaged."""
    if norm is None:
        return None
    mean, variance = (np.asarray(m, np.float32) for m in (norm.moving_mean, norm.moving_variance))
    fresh = not mean.any() and (variance == 1).all()
    return None if fresh or not (variance >= 0).all() else (mean, variance)


# ---- what was seen -> costs ----------------------------------------------------------------------


def weigh(
    part: FirstPart, shape: tuple[int, int, int], ways: Mapping[str, Callable[[F32], F32]]
) -> Evidence:
    """The cost of each way, from both witnesses. ways: name -> (h, w, 3) in [0, 255] -> input."""
    seen = {w: _levels(part.run, shape, prepare) for w, prepare in ways.items()} if part.run else {}
    scales = any(not _same(*pair) for pair in seen.values())
    costs = {w: (RARER if scales else RARE).get(w, 0.0) for w in ways}
    if seen:
        costs = {w: cost + cost_of_levels(*seen[w]) for w, cost in costs.items()}
    sure = scales and _lead(costs, seen) >= SURE
    if part.norm and part.moments:
        pictures = typical_pictures(shape[:2])
        for w, prepare in ways.items():
            met = np.concatenate([_rows(*part.norm(prepare(rgb))) for rgb in pictures])
            costs[w] += cost_of_moments(met, *part.moments)
    costs = {w: costs[w] for w in sorted(costs, key=costs.__getitem__)}
    best = next(iter(costs))
    why = []
    if scales:
        why = [f"the model's first layers make {_range(seen[best][1])} of them"]
    if part.moments:
        why += ["the model's first batch norm is used to such numbers"]
    sure = sure and _lead(costs, seen) >= SURE and costs[best] < HOPELESS
    return Evidence(costs, sure, scales, " and ".join(why))


def _lead(costs: Mapping[str, float], seen: Mapping[str, tuple[F32, F32]]) -> float:
    """Nats by which the best way leads those of which the model makes other numbers."""
    best = min(costs, key=costs.__getitem__)
    rivals = [w for w in costs if not (seen and _same(seen[w][1], seen[best][1]))]
    return min((costs[w] - costs[best] for w in rivals if w != best), default=np.inf)


def _levels(
    run: Callable[[F32], list[F32]], shape: tuple[int, int, int], prepare: Callable[[F32], F32]
) -> tuple[F32, F32]:
    """Plain pictures from black to white, and beyond: what the model gets, and makes of them.

    (len(LEVELS), c) and (len(LEVELS), numbers at the middle of each tensor).
    """
    black, white = (prepare(np.full((*shape[:2], 3), grey, np.float32)) for grey in (0, 255))
    given = [black + np.float32(part) * (white - black) for part in LEVELS]
    made = np.stack([np.concatenate([_middle(t) for t in run(x)]) for x in given])
    if not np.isfinite(made[INSIDE]).all() or (made[INSIDE] == made[1]).all():
        made = _bands(run, given[INSIDE])
    return np.stack([_middle(x[None]) for x in given]), made


def _bands(run: Callable[[F32], list[F32]], plain: Sequence[F32]) -> F32:
    """The same, (len(LEVELS), K), of one picture with a band of each level; nothing beyond white.

    What is scaled by the picture's own range or spread makes nothing of a plain one.
    """
    n, width = len(plain), plain[0].shape[1]
    x = np.stack([plain[j * n // width][:, j] for j in range(width)], 1)
    grids = [t[0, t.shape[1] // 2] for t in run(x) if t.ndim == 4]
    made = [row[[(2 * k + 1) * len(row) // (2 * n) for k in range(n)]] for row in grids]
    if not made:
        return np.full((len(LEVELS), 1), np.nan, np.float32)
    return np.pad(np.concatenate(made, 1), ((1, 1), (0, 0)))


def _middle(tensor: F32) -> F32:
    """(B, h, w, K) or less -> (K,) at the middle place: no padding reaches it."""
    places = [n // 2 for n in tensor.shape[1:-1]]
    return tensor[(0, *places)].ravel().astype(np.float32)


def cost_of_levels(given: F32, made: F32) -> float:
    """How odd it would be to make these numbers of black to white, in nats.

    given (levels, c), made (levels, K), at LEVELS.
    """
    inside = made[INSIDE].astype(np.float64)
    if not np.isfinite(inside).all():
        return 100.0
    if _same(given, made):
        stops = (made[0] == made[1]).all() and (made[-2] == made[-1]).all()
        return -5.0 if stops else 0.0  # as it was; and it is cut off just where a picture ends
    low, high = inside.min(0), inside.max(0)
    steps = np.abs(np.diff(inside, axis=0)) > 1e-3 * (high - low) + 1e-12
    lost = 12 * (1 - steps.mean())  # several levels have become one
    idle = 0.0
    if given.shape == made.shape:
        plain = given[INSIDE]
        moved = min(np.abs(inside - plain).max(), np.abs(inside + plain).max()) / np.ptp(plain)
        idle = 5.0 * (1e-6 < moved < 0.02)  # nobody adds a layer for so little
    costs = [_cost_of_range(a, b) for a, b in zip(low, high, strict=True)]
    return float(np.mean(costs) + lost + idle)


def _cost_of_range(low: float, high: float) -> float:
    """How odd it would be to give a network numbers from low to high, in nats."""
    width = high - low
    if width <= 0:
        return 50.0
    usual = min(_off((abs(low - a) + abs(high - b)) / (b - a), 0.05) for a, b in RANGES)
    centre = _off(-low / width - 0.45, 0.2)  # where in the range zero, the mean colour, lies
    spread = _off(np.log(4 / width), 0.35)  # a picture's range is about four of its spreads
    whole = min(_off((width - w) / w, 0.05) for w in WIDTHS)
    return min(usual, 1 + centre + min(spread, whole), 50.0)


def _off(by: float, usually: float) -> float:
    """Nats of a normal distribution."""
    return (by / usually) ** 2 / 2


def cost_of_moments(met: F32, mean: F32, variance: F32) -> float:
    """How far numbers (n, K) are from the mean and variance (K,) kept of others, in nats.

    A batch norm begins with 0 and 1 and moves towards what it meets: it may have come a part of
    the way only, the same for all K.
    """
    if not np.isfinite(met).all():
        return 100.0
    centre, square = met.mean(0, dtype=np.float64), met.var(0, dtype=np.float64)
    kept = np.sqrt(variance.astype(np.float64))
    costs = []
    for part in WAY:
        spread = np.sqrt(1 - part + part * square)
        floor = 1e-3 * max(spread.max(), kept.max())  # of channels in which nothing ever happens
        ours, theirs = np.maximum(spread, floor), np.maximum(kept, floor)
        shift = np.abs(part * centre - mean) / np.maximum(ours, theirs)
        off = np.abs(np.log(ours / theirs)) + shift
        costs.append(3 * np.median(off) + 0.5 * (part < 1))
    return float(min(costs))


def _rows(tensor: F32) -> F32:
    """(.., K) -> (n, K), some thousands of places at most."""
    rows = tensor.reshape(-1, tensor.shape[-1])
    return rows[:: 1 + len(rows) // 4096]


def _same(a: F32, b: F32) -> bool:
    return a.shape == b.shape and np.allclose(a[INSIDE], b[INSIDE], rtol=1e-3, atol=1e-6)


def _range(made: F32) -> str:
    return f"{made[INSIDE].min():.3g} to {made[INSIDE].max():.3g}"


def typical_pictures(sides: tuple[int, int]) -> list[F32]:
    """Pictures (h, w, 3) in [0, 255] with the statistics of photographs: mean colour, spread, an
    amplitude that falls with 1 / frequency, colours that go together."""
    h, w = sides
    dice = np.random.default_rng(0)
    fy, fx = np.meshgrid(np.fft.fftfreq(h), np.fft.rfftfreq(w), indexing="ij")
    fall = np.maximum(np.hypot(fy, fx), 1 / max(h, w)) ** -1.1

    def field() -> Any:
        noise = np.fft.irfft2(np.fft.rfft2(dice.normal(size=(h, w))) * fall, (h, w))
        return (noise - noise.mean()) / (noise.std() + 1e-12)

    def picture(brightness: float) -> F32:
        light = field() * dice.uniform(0.5, 1.2) + brightness
        rgb = np.stack([light + 0.2 * field() + dice.normal(0, 0.2) for _ in range(3)], -1)
        return np.clip(np.array((124, 116, 104)) + 58 * rgb, 0, 255).astype(np.float32)

    count = int(np.clip(PIXELS // (h * w), 4, 16))
    return [picture(brightness) for brightness in np.linspace(-0.7, 0.7, count)]
