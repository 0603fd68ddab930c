"""Where the elements of a network's tensors come from in the picture, followed along its graph.

No pass is run. A tensor made of the picture has planes (4, *its shape), an axis of length 1 where
they do not change along it: row * m, column * m, spread * m and m. Row and column are shares of the
picture's height and width; m is 1 for what comes from the picture and 0 for padding; the spread is
how far apart the places are of which an element was made in equal parts.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gradcam_core.types import F32

CELLS, SHARE = 0.75, 0.04  # off by less than either, a grid still covers the whole picture
LOST = 1.5  # a spread that no place has

MOVERS = {  # operations that take elements elsewhere: they do the same to the planes
    "BatchToSpaceND", "ConcatV2", "CropAndResize", "DepthToSpace", "ExpandDims",
    "GatherNd", "GatherV2", "ImageProjectiveTransformV3", "MirrorPad", "Pack", "Pad", "PadV2",
    "Reshape", "ReverseSequence", "ReverseV2", "Roll", "ScaleAndTranslate", "Slice",
    "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze", "StridedSlice", "Tile",
    "Transpose", "Unpack",
}  # fmt: skip
PADS = ("MirrorPad", "Pad", "PadV2")
JOINS = ("ConcatV2", "Pack")  # all of their inputs may come from the picture
CALLS = {
    "If": ("then_branch", "else_branch"), "StatelessIf": ("then_branch", "else_branch"),
    "PartitionedCall": ("f",), "StatefulPartitionedCall": ("f",),
}  # fmt: skip
UP = {"Conv2DBackpropInput", "Conv3DBackpropInputV2"}  # transposed convolutions
WINDOWS = UP | {
    "AvgPool", "AvgPool3D", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Dilation2D",
    "ExtractImagePatches", "MaxPool", "MaxPool3D",
}  # fmt: skip
RESIZES = {"ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"}
REDUCES = {"Max", "Mean", "Min", "Prod", "Sum"}
PRODUCTS = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul"}
FACTS = {"OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"}  # nothing of the picture in it
MIXES = ("Cum", "FFT", "Func", "Map", "Scatter", "Shuffle", "Solve", "Sort", "TopK", "While")
RENAMED = dict.fromkeys(("dim", "reduction_indices", "split_dim", "squeeze_dims"), "axis")


class Walk:
    """The planes of every tensor that is made of the picture x (1, H, W, C), in `at`.

    moved: those to which every way from the picture leads through a crop, a turn or the like.
    Behind an operation that cannot be followed the place is lost; nothing is raised. told: what is
    known of some tensors whatever their graph looks like: their planes, by `ref`.
    """

    def __init__(self, x: Any, told: Mapping[Any, F32]):
        _, h, w, _ = x.shape
        pixels = np.ones((4, 1, h, w, 1), np.float32)
        pixels[:2, 0, :, :, 0] = middles(h, w)
        pixels[2] = 0
        self.at: dict[Any, F32] = {x.ref(): pixels}
        self.moved: set[Any] = set()
        self._told = told
        self._known: dict[Any, Any] = {}
        self._follow(x.graph)

    def _follow(self, graph: Any) -> None:
        for op in graph.get_operations():
            given = [t for t in op.inputs if t.ref() in self.at]
            if not given or op.type in FACTS:
                continue
            try:
                made = self._step(op, [self.at.get(t.ref()) for t in op.inputs])
                made = list(zip(op.outputs, made, strict=True))
                stays = all(self._before_rim(op, t).ref() in self.moved for t in given)
            except Exception:  # `tf.raw_ops` and the inside of conditions may change any time
                made, stays = [(t, lost(t.shape.rank or 0)) for t in op.outputs], False
            for t, planes in made:
                if planes is None:  # not of the picture
                    continue
                told = t.ref() in self._told
                self.at[t.ref()] = self._told[t.ref()] if told else planes
                if stays or told or (op.type in (*MOVERS, *CALLS) and displaced(planes)):
                    self.moved.add(t.ref())

    def _before_rim(self, op: Any, t: Any) -> Any:
        """The tensor before a rim was put round it, where this window reaches over the rim."""
        if op.type not in WINDOWS or t.op.type not in PADS:
            return t
        rim = np.max(self._value(t.op.inputs[1])[1:-1], axis=1)
        return t.op.inputs[0] if (rim < reach_of(op)).all() else t

    def _step(self, op: Any, ins: list[Any]) -> list[Any]:
        """The planes of each output. Raises anything where the place is lost."""
        kind, out = op.type, op.outputs[0].shape
        have = [(n, c) for n, c in enumerate(ins) if c is not None]
        n, c = have[0]
        if kind == "IdentityN":
            return ins
        if kind in CALLS:
            return self._call(op)
        if kind in WINDOWS:
            slides = ins[2] if kind in UP else ins[0]
            if goes_through_rows(slides) and reach_of(op).max() > 1:
                raise NotImplementedError
            steps = np.array(op.get_attr("strides")[1:-1], np.float32)
            if kind in UP:
                return [window(slides, out[1:-1], 1 / steps)]
            return [window(slides, out[1:-1], steps)] * len(op.outputs)
        if kind in RESIZES:
            sides, last = self._value(op.inputs[1]), int(op.get_attr("align_corners"))
            return [window(c, sides, (np.array(c.shape[2:4]) - last) / np.maximum(sides - last, 1))]
        if kind == "ConcatV2" and int(self._value(op.inputs[-1])) in (-1, out.rank - 1):
            return [merge([alike(c, -1) for _, c in have])]
        if kind == "Reshape":
            return [reshape(ins[0], op.inputs[0].shape, self._value(op.inputs[1]))]
        if kind == "Transpose":
            return [ins[0].transpose(0, *(1 + self._value(op.inputs[1])))]
        if kind in PADS:
            return [pad(ins[0], op.inputs[0].shape, self._value(op.inputs[1]))]
        if kind in MOVERS and not (kind == "Tile" and fits(op.inputs[0].shape, out)):
            return self._move(op, ins)
        if kind in REDUCES:
            axes = np.atleast_1d(self._value(op.inputs[1])) % op.inputs[0].shape.rank + 1
            c = alike(c, *axes)
            return [c if op.get_attr("keep_dims") else c.squeeze(tuple(axes))]
        if kind in PRODUCTS and len(have) == 1:
            return [product(op, n, c)]
        mixes = kind in PRODUCTS or any(part in kind for part in MIXES)
        if mixes or not all(fits(op.inputs[n].shape, out) for n, _ in have):
            raise NotImplementedError
        ones = out.rank + 1
        parts = [c.reshape(4, *[1] * (ones - c.ndim), *c.shape[1:]) for _, c in have]
        return [merge(parts)] * len(op.outputs)

    def _value(self, t: Any) -> Any:
        """The number a tensor has whatever the picture, such as a shape; None: it has none."""
        if t.ref() not in self._known:
            self._known[t.ref()] = None
            if t.ref() not in self.at:
                self._known[t.ref()] = tf.get_static_value(t)
            if self._known[t.ref()] is None and t.ref() not in self.at and len(t.op.inputs):
                args = [self._value(i) for i in t.op.inputs]
                if all(a is not None for a in args):
                    made = replay(t.op, [tf.constant(a) for a in args])
                    self._known |= zip((o.ref() for o in t.op.outputs), made, strict=True)
        return self._known[t.ref()]

    def _move(self, op: Any, ins: list[Any]) -> list[Any]:
        """The same operation, done to each plane; what is not from the picture is 0 on all."""
        first = 1 if op.type == "Split" else 0  # its axis comes first
        if op.type not in JOINS and any(c is not None for c in ins[:first] + ins[first + 1 :]):
            raise NotImplementedError  # where to is the picture's own choice
        full = [
            c if c is None else in_full(c, t.shape) for c, t in zip(ins, op.inputs, strict=True)
        ]
        planes = []
        for n in range(4):
            args = []
            for t, c in zip(op.inputs, full, strict=True):
                known = self._value(t) if c is None else c[n]
                of = tf.float32 if c is not None or t.dtype.is_floating else t.dtype
                args.append(tf.constant(np.zeros(t.shape) if known is None else known, of))
            planes.append(replay(op, args))
        return [np.stack(p) for p in zip(*planes, strict=True)]

    def _call(self, op: Any) -> list[Any]:
        """What a condition or a function of its own does; of two branches what both say."""
        given, branches = list(op.inputs), list(CALLS[op.type])
        if len(branches) == 2:
            choice = self._value(given.pop(0))
            branches = branches if choice is None else [branches[0 if choice else 1]]
        made = []
        for branch in branches:
            inner = op.graph._get_function(op.get_attr(branch).name).graph
            for outside, inside in zip(given, inner.inputs, strict=True):
                if outside.ref() in self.at:
                    self.at[inside.ref()] = self.at[outside.ref()]
                elif outside.dtype not in (tf.resource, tf.variant):
                    self._known[inside.ref()] = self._value(outside)
            self._follow(inner)
            made.append([self.at.get(t.ref()) for t in inner.outputs])
        return [merge([c for c in way if c is not None]) for way in zip(*made, strict=True)]


def middles(h: int, w: int) -> F32:
    """The middles of the cells of a grid in shares of its height and width, (2, h, w)."""
    return ((np.indices((h, w)) + 0.5) / np.array([h, w]).reshape(2, 1, 1)).astype(np.float32)


def lost(rank: int) -> F32:
    """Planes for what may come from anywhere in the picture."""
    return np.array([0.5, 0.5, LOST, 1], np.float32).reshape(4, *[1] * rank)


def in_full(planes: F32, shape: Any) -> F32:
    """(4, *shape): planes without the short cut of axes of length 1."""
    sides = shape if shape.rank else planes.shape[1:]
    full = [known or n for known, n in zip(sides, planes.shape[1:], strict=True)]
    return np.broadcast_to(planes, (4, *full))


def merge(parts: Sequence[F32] | F32) -> F32:
    """Of planes (4, ..) of equal rank those that are most local; what they differ by is spread.

    So gates, attention and norms over places lose against what goes beside them.
    """
    if all(np.array_equal(part, parts[0]) for part in parts[1:]):
        return parts[0]
    p = np.stack(np.broadcast_arrays(*parts))
    p, m = p[:, :3], p[:, 3]
    p = p / np.where(m > 0, m, 1)[:, None]
    spread = np.where(m > 0.01, p[:, 2], np.inf)
    least = spread.min(0)
    use = (spread <= least + 1e-3) & (m > 0.01)
    count = use.sum(0)
    at = np.where(use[:, None], p[:, :2], 0).sum(0) / np.maximum(count, 1)
    apart = np.where(use, np.abs(p[:, :2] - at).max(1), 0).max(0)
    spread = np.where(count, least, 0) + apart
    return np.stack([*at, spread, count > 0]).astype(np.float32)


def alike(planes: F32, *axes: int) -> F32:
    """Planes that no longer change along these axes: all elements along them merged into one."""
    axes = tuple(int(a) % planes.ndim for a in axes)
    if all(planes.shape[a] == 1 for a in axes):
        return planes
    first = np.moveaxis(planes, axes, range(len(axes)))
    merged = merge(first.reshape(-1, *first.shape[len(axes) :]))
    return np.expand_dims(merged, axes)


def reshape(planes: F32, shape: Any, new: Sequence[int]) -> F32:
    """As the tensor is reshaped, by groups of axes; one along which nothing changes stays short."""
    old = list(in_full(planes, shape).shape[1:])
    new = [int(n) if n >= 0 else -math.prod(old) // math.prod(new) for n in new]
    if not 0 < math.prod(old) == math.prod(new):  # of a shape that nobody knows before the run
        raise NotImplementedError
    full: list[int] = []
    out: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        start, end = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while (a := math.prod(old[start:i])) != (b := math.prod(new[end:j])):
            i, j = i + (a < b), j + (b < a)
        sides = planes.shape[1 + start : 1 + i]
        short = all(n == 1 for n in sides)
        if len(sides) == 2 and sides[0] > 1 == sides[1] and j - end == 1:  # each repeated
            planes = along(planes, 1 + start, new[end], 1 / old[start + 1])
            full += [new[end], 1]
        else:
            full += [1] * (i - start) if short else old[start:i]
        out += [1] * (j - end) if short else new[end:j]
    return np.broadcast_to(planes, (4, *full)).reshape(4, *out)


def window(planes: F32, sides: Sequence[int], steps: Any) -> F32:
    """Of what slides over rows and columns: a window's middle, the windows centred on their input.

    So the drift by up to half a cell that strides bring with padding "same" is not drawn: networks
    learn it away. steps: cells of the input from one of the `sides` windows to the next.
    """
    c = alike(planes, -1)
    for axis, (side, step) in enumerate(zip(sides, steps, strict=True), 2):
        c = along(c, axis, side, step)
    return c


def reach_of(op: Any) -> Any:
    """How far a window reaches along each side: the cells from its first to its last."""
    if "Pool" in op.type:
        return np.array(op.get_attr("ksize")[1:-1])
    dilations = op.get_attr("dilations")[1:-1]
    return (np.array(op.inputs[1].shape[: len(dilations)]) - 1) * dilations + 1


def goes_through_rows(planes: F32) -> bool:
    """Whether a tensor (B, h, w, K) is one line, on which one row of the picture follows another:
    what slides along it would reach from the end of a row into the next one."""
    if planes.ndim != 5 or min(planes.shape[2:4]) > 1:
        return False
    inside = planes[3, 0, ..., 0] > 0.99
    rows, columns = (plane[0, ..., 0][inside] for plane in planes[:2])
    return bool(inside.any() and min(np.ptp(rows), np.ptp(columns)) > 1e-4)


def along(planes: F32, axis: int, side: int, step: float) -> F32:
    """`side` points, `step` apart and centred on the axis; the same line goes on at its ends."""
    n = planes.shape[axis]
    if n == 1 or (step == 1 and n == side):
        return planes
    at = (n - 1) / 2 + (np.arange(side) - (side - 1) / 2) * step
    low = np.floor(at).astype(int).clip(0, n - 2)
    part = (at - low).reshape([-1 if a == axis else 1 for a in range(planes.ndim)])
    one, two = planes.take(low, axis), planes.take(low + 1, axis)
    return (one * (1 - part) + two * part).astype(np.float32)


def product(op: Any, n: int, planes: F32) -> F32:
    """Of a matrix product or einsum, input n of the picture: what it sums over is merged."""
    if op.type == "Einsum":
        equation = op.get_attr("equation").decode()
    else:
        names = ("transpose_a", "transpose_b") if op.type == "MatMul" else ("adj_x", "adj_y")
        one, two = (op.get_attr(name) for name in names)
        equation = f"...{'xy' if one else 'yx'},...{'zx' if two else 'xz'}->...yz"
    sides, out = equation.split("->")
    mine = spelled(sides.split(",")[n], op.inputs[n].shape.rank)
    out = spelled(out, op.outputs[0].shape.rank)
    summed = tuple(1 + axis for axis, label in enumerate(mine) if label not in out)
    c = alike(planes, *summed).squeeze(summed)
    kept = [label for label in mine if label in out]
    c = c.transpose(0, *(1 + kept.index(label) for label in out if label in kept))
    return np.expand_dims(c, [1 + axis for axis, label in enumerate(out) if label not in kept])


def spelled(labels: str, rank: int) -> str:
    """The labels of an einsum with digits, counted from the right, for its dots."""
    return labels.replace("...", "01234567"[8 - (rank - len(labels) + 3) :])


def pad(planes: F32, shape: Any, rim: Any) -> F32:
    """With a rim, also a mirrored one, that is none of the picture."""
    sides = zip(in_full(planes, shape).shape[1:], planes.shape[1:], rim, strict=True)
    full = [side if any(width) else n for side, n, width in sides]
    return np.pad(np.broadcast_to(planes, (4, *full)), [(0, 0), *rim])


def replay(op: Any, inputs: Sequence[Any]) -> list[Any]:
    """The operation itself, done to other tensors."""
    run = getattr(tf.raw_ops, op.type)
    takes, left, given = inspect.signature(run).parameters, list(inputs), {}
    for attr in op.op_def.attr:
        if (name := RENAMED.get(attr.name, attr.name)) in takes:
            given[name] = op.get_attr(attr.name)
    for arg in op.op_def.input_arg:
        count = op.get_attr(arg.number_attr) if arg.number_attr else 1
        given[RENAMED.get(arg.name, arg.name)] = left[:count] if arg.number_attr else left[0]
        left = left[count:]
    made = run(**given)
    return [np.asarray(t) for t in (made if isinstance(made, list | tuple) else [made])]


def fits(shape: Any, out: Any) -> bool:
    """Whether a tensor goes into one of shape `out` element by element, rows to rows."""
    sides = list(zip(reversed(shape.as_list()), reversed(out.as_list()), strict=False))
    return shape.rank <= out.rank and all(a in (1, b) or None in (a, b) for a, b in sides)


def far(off: F32, h: int, w: int) -> bool:
    """Whether places, off by so much in rows and columns (2, ..), are not those of a grid h x w."""
    most = off.reshape(2, -1).max(1, initial=0)
    return bool(((most >= SHARE) & (most * [h, w] >= CELLS)).any())


def displaced(planes: F32) -> bool:
    """Whether a tensor (1, h, w, K) does not cover the picture as a grid of its size does."""
    if planes.ndim != 5 or planes.shape[1] != 1:
        return False
    row, column, _, m = planes[:, 0, :, :, 0]
    h, w = m.shape
    off = np.abs(np.stack([row, column]) - middles(h, w) * m)
    return far(off[:, m > 0.99], h, w)
