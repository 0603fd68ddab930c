"""May one look here? Every layer with a grid, and why it is poor, from the traced graph itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gradcam_core.types import Layer

Seen = tuple[str, Any, list[int], Any]  # name, layer, ids of its inputs, output
SUGGESTED = 20  # layers suggested at most where they are found by rule

PASSES_ON = {  # classes of Keras itself
    "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "AlphaDropout", "AveragePool",
    "AveragePooling2D", "CenterCrop", "Cropping2D", "Dropout", "GaussianDropout", "GaussianNoise",
    "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Identity", "MaxPool", "MaxPooling2D", "Pad",
    "Permute", "Reshape", "SpatialDropout2D", "Transpose", "UpSampling2D", "ZeroPadding2D",
}  # fmt: skip
RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
ACTIVATIONS = (
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax",
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Silu", "Gelu", "HardSwish", "HardSilu",
)  # fmt: skip
LEARNED_OPS = {
    "Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3D", "MatMul", "Einsum",
}  # fmt: skip
ACTIVATION_OPS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Tanh", "Sigmoid"}
SHAPES = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # nothing of the numbers
CUTS = {  # numbers come out, and no gradient goes back in
    "StopGradient", "Round", "Rint", "Floor", "Ceil", "Sign", "FloorDiv", "PyFunc",
    "PyFuncStateless", "HSVToRGB",
}  # fmt: skip
LOOPS = {  # inside them the graph is not followed
    "While", "StatelessWhile", "If", "StatelessIf", "Case", "PartitionedCall",
    "StatefulPartitionedCall",
}  # fmt: skip
PICTURE = "only the picture, prepared for the network"
CUT = "the gradient is cut on the way from here to the answer (rounding, argmax or stop_gradient)"
ASIDE = "it does not lead to the answer"
BRANCH = "one of several branches: another path leads round it"
PASSED_OVER = "after it only the class token is read, and its other tokens no more"


def inspect_layers(
    seen: Sequence[Seen],
    x: tf.Tensor,
    y: tf.Tensor,
    tokens: Mapping[int, tuple[int, int, int]],
    needed: Mapping[str, tuple[int, ...]],
) -> dict[str, Layer]:
    """Each layer with a (1, h, w, K) output, and why it is poor, from the traced graph itself.

    seen: in the order of the run. A layer is a good place to look if every path from the picture x
    to the answer y goes through its output (no branch leads round it), and if it is not only
    half-way: before its activation, or thinned by pooling. Where no gradient comes, no map can be
    made at all. The insides of loops are left out: nothing outside can see them. tokens: the
    outputs (1, tokens, K) that are laid out as a grid, too, by id: how many come before it, h, w.
    needed: what `needed_runs` says; the last of those stands for them all.
    """
    order, live = _between(x, y)
    leading, smooth = _leading(x, y), _smooth(y)
    round_it = _bypassed(order, live)
    first = next((n for n, op in enumerate(order) if op.type in LEARNED_OPS), 0)
    layers: dict[str, Layer] = {}
    makers: dict[int, str] = {}
    half_way: set[int] = set()
    done: set[int] = set()
    for _, operation, sources, _ in seen:
        if not hasattr(operation, "layers"):
            (half_way if type(operation).__name__ in NORMS + ACTIVATIONS else done).update(sources)
    half_way -= done
    inside = tuple(f"{name}/" for name, operation, *_ in seen if isinstance(operation, ATTENTION))
    calls: Counter[str] = Counter()
    for name, operation, sources, tensor in seen:
        calls[name] += 1
        if name in needed and calls[name] != needed[name][-1] + 1:
            continue
        grid = tokens.get(id(tensor))
        if not tf.is_tensor(tensor) or not (grid or tensor.shape.rank == 4):
            continue
        if name.startswith(inside):
            continue
        if tensor.graph is not x.graph:
            layers.pop(name, None)
            continue
        if hasattr(operation, "layers") and id(tensor) in makers:
            continue  # an inner model: its last layer stands for it
        if None in tensor.shape[1:] or not tensor.dtype.is_floating:
            continue
        kind = type(operation).__name__
        before, h, w = grid or (None, *tensor.shape[1:3])
        poor = ""
        if h * w == 1:
            poor = "1×1: no place left"
        elif live.get(id(tensor.op), first) < first:
            poor = PICTURE
        elif id(tensor.op) not in leading:
            poor = ASIDE
        elif id(tensor.op) not in smooth:
            poor = CUT
        elif passes_on(operation) and any(
            source in makers and (grid or source not in tokens) for source in sources
        ):
            poor = "only passes on the layer before it"
        elif id(tensor) in makers:
            poor = "does not change what the layer before it says"
        elif id(tensor.op) in round_it and name not in needed:
            poor = BRANCH
        elif id(tensor) in half_way or (
            id(tensor) not in done and any(c.type in ACTIVATION_OPS for c in tensor.consumers())
        ):
            poor = "before the activation"
        makers.setdefault(id(tensor), name)
        layers.pop(name, None)
        shape = int(h), int(w), int(tensor.shape[-1])
        merges = _merges(tensor, seen, live)
        layers[name] = Layer(name, shape, kind, poor, merges, leading=before)
    return layers


def needed_runs(seen: Sequence[Seen], x: tf.Tensor, y: tf.Tensor) -> dict[str, tuple[int, ...]]:
    """Of a layer that runs several times the numbers of those runs through which, together, every
    path from the picture x to the answer y leads, and of which none can be spared. Layers round
    which a path leads are left out.
    """
    outputs: dict[str, list[Any]] = {}
    for name, *_, tensor in seen:
        outputs.setdefault(name, []).append(tensor)
    shared = {name: tensors for name, tensors in outputs.items() if len(tensors) > 1}
    order, live = _between(x, y)
    before = [
        [live[id(t.op)] for t in op.inputs if id(t.op) in live and _carries(t)] for op in order
    ]

    def lead_through(ends: set[int | None]) -> bool:
        reached = [True, *[False] * (len(order) - 1)]
        for n, sources in enumerate(before[1:], 1):
            reached[n] = n not in ends and any(reached[m] for m in sources)
        return not reached[-1]

    needed = {}
    for name, tensors in shared.items():
        grids = {n: t for n, t in enumerate(tensors) if tf.is_tensor(t) and t.shape.rank == 4}
        ends = {n: live.get(id(t.op)) for n, t in grids.items()}
        if not lead_through(set(ends.values())):
            continue
        for number in grids:
            rest = {n: end for n, end in ends.items() if n != number}
            if lead_through(set(rest.values())):
                ends = rest
        needed[name] = tuple(ends)
    return needed


def passes_on(operation: Any) -> bool:
    """Whether this makes nothing of its own out of what it gets. A visitor's own class may."""
    kind = type(operation)
    return kind.__name__ in PASSES_ON and kind.__module__.partition(".")[0] == "keras"


def suggest_layers(layers: dict[str, Layer]) -> set[str]:
    """Of the good layers the block outputs and the last of each grid, thinned to SUGGESTED.

    A grid without a good layer gives its last merge among the widest: the output of a cell, where
    each cell also takes the output of the one before the last (NASNet), so that all are bypassed.
    """
    good = [layer for layer in layers.values() if not layer.poor]
    stages = {layer.shape[:2]: layer.name for layer in good}
    cells: dict[tuple[int, int], Layer] = {}
    for layer in layers.values():
        grid = layer.shape[:2]
        if layer.suggested and grid not in stages and grid != (1, 1):
            cells[grid] = max(layer, cells.get(grid, layer), key=lambda cell: cell.shape[2])
    merges = [layer.name for layer in good if layer.suggested and layer.name not in stages.values()]
    chosen = {*stages.values(), *(cell.name for cell in cells.values())}
    room = max(SUGGESTED - len(chosen), 0)
    if len(merges) > room:
        merges = [merges[i] for i in np.linspace(0, len(merges) - 1, room).round().astype(int)]
    return {*chosen, *merges}


def last_resort(layers: Mapping[str, Layer]) -> str | None:
    """The layer to look at where none is good; None: none has a grid.

    The last that has a gradient, or else the last that leads to the answer, or else the last.
    """
    grids = [layer for layer in layers.values() if layer.shape[0] * layer.shape[1] > 1]
    for useless in ((PICTURE, ASIDE, CUT, PASSED_OVER), (PICTURE, ASIDE), ()):
        if left := [layer.name for layer in grids if layer.poor not in useless]:
            return left[-1]
    return None


def has_loops(graph: tf.Graph) -> bool:
    """Whether there are operations into which `inspect_layers` does not see."""
    return any(op.type in LOOPS for op in graph.get_operations())


def _leading(x: tf.Tensor, y: tf.Tensor) -> set[int]:
    """The operations by which the answer y depends on the picture x, by whatever kind of number."""
    back, todo = set(), [y.op]
    while todo:
        op = todo.pop()
        if id(op) not in back and op.type not in SHAPES:
            back.add(id(op))
            todo += [t.op for t in op.inputs]
    leading = {id(x.op)}
    for op in x.graph.get_operations():
        if id(op) in back and any(id(t.op) in leading for t in op.inputs):
            leading.add(id(op))
    return leading


def _smooth(y: tf.Tensor) -> set[int]:
    """The operations to whose outputs a gradient of y comes back."""
    smooth, todo = set(), [y.op]
    while todo:
        op = todo.pop()
        if id(op) not in smooth:
            smooth.add(id(op))
            if op.type not in CUTS | SHAPES:
                todo += [t.op for t in op.inputs if _has_gradient(t)]
    return smooth


def _has_gradient(tensor: tf.Tensor) -> bool:
    kind = tensor.dtype
    return bool(kind.is_floating or kind.is_complex or kind == tf.variant)  # a list of a loop


def _between(x: tf.Tensor, y: tf.Tensor) -> tuple[list[Any], dict[int, int]]:
    """The operations by which the picture x becomes the answer y, in order, and their numbers."""
    back, todo = set(), [y.op]
    while todo:
        op = todo.pop()
        if id(op) not in back:
            back.add(id(op))
            todo += [t.op for t in op.inputs if _carries(t)]
    order: list[Any] = []
    live = {id(x.op): 0}
    for op in x.graph.get_operations():
        leads = any(id(t.op) in live and _carries(t) for t in op.inputs)
        if id(op) in back and (leads or op is x.op):
            live[id(op)] = len(order)
            order.append(op)
    return order, live


def _bypassed(order: list[Any], live: dict[int, int]) -> set[int]:
    """The operations round which another path leads: some earlier output is used after them."""
    last = list(range(len(order)))
    for number, op in enumerate(order):
        for tensor in op.inputs:
            if id(tensor.op) in live:
                last[live[id(tensor.op)]] = number
    farthest, bypassed = 0, set()
    for number, op in enumerate(order):
        if farthest > number:
            bypassed.add(id(op))
        farthest = max(farthest, last[number])
    return bypassed


def _merges(tensor: tf.Tensor, seen: Sequence[Seen], live: dict[int, int]) -> bool:
    """Whether branches come together in this output, before its norm and activation if any."""
    sources = {
        id(y): x
        for _, operation, x, y in seen
        if type(operation).__name__ in NORMS + ACTIVATIONS
        and id(y) not in x  # not Activation("linear")
    }
    outputs = {id(y): y for *_, y in seen if tf.is_tensor(y)}
    while id(tensor) in sources and sources[id(tensor)][0] in outputs:
        tensor = outputs[sources[id(tensor)][0]]
    if tensor.op.type not in ("AddV2", "Add", "AddN", "ConcatV2"):
        return False
    return sum(id(t.op) in live and _carries(t) for t in tensor.op.inputs) > 1


def _carries(tensor: tf.Tensor) -> bool:
    """Whether a tensor carries something of the picture: numbers, or a grid of bytes; no shapes."""
    return _has_gradient(tensor) or tensor.shape.rank == 4
