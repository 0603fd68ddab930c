"""Where each layer's grid lies in the picture, or why it cannot be laid over it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gradcam_core.coordinates import LOST, Walk, alike, far, lost, middles
from gradcam_core.types import F32, NOWHERE, PIECES, RUNS, STREWN, UNLIKE, Layer, Placement, Run

LOCAL = 0.05  # a share of the picture by which some tokens may be less local than others
NEAR = 0.01  # a share of the picture that is not worth placing
LEAST = 4  # rows and columns of a grid whose way round may be found by asking
WAYS = [  # to mirror and turn a grid
    np.diag(signs)[:: 1 if upright else -1]
    for upright in (True, False)
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))
]


class Part(NamedTuple):
    """One run of a layer."""

    number: int  # which of them, from 0
    shape: tuple[int, ...]  # h, w, K
    place: Placement | str | None  # as `fitted` says


def tokens_in(runs: Sequence[tuple[str, Any]], walk: Walk) -> dict[int, tuple[int, int, int]]:
    """The outputs (1, tokens, K) whose tokens form a grid: id -> how many come before it, h, w.

    So many tokens as at an earlier layer are taken for the same grid, even where they cannot be
    followed any more: `lay` then says so. runs: name and output of each run of each layer.
    """
    grids: dict[int, tuple[int, int, int]] = {}
    known: dict[int, tuple[int, int, int]] = {}
    for _, y in runs:
        if tf.is_tensor(y) and y.shape.rank == 3 and y.ref() in walk.at:
            with suppress(Exception):  # of a shape that was not known before the run
                planes, count = walk.at[y.ref()], y.shape[1]
                grid = grid_of_tokens(planes, y.shape)
                if grid and fitted(cells_of(planes, *grid), (1, *grid[1:], 1), True) != STREWN:
                    known[count] = grids[id(y)] = grid
                elif count in known:
                    grids[id(y)] = known[count]
    return grids


def grid_of_tokens(planes: F32, shape: Any) -> tuple[int, int, int] | None:
    """How many tokens of (1, tokens, K) come before those that are places of the picture, and the
    rows and columns of those; None: they are no grid of two rows or more.

    Whatever comes before is no place at all, as a class token, or is made of all of them.
    """
    if shape[0] not in (1, None) or planes.shape[1] != 1:
        return None
    row, column, spread, m = np.broadcast_to(alike(planes, -1), (4, 1, shape[1], 1))[:, 0, :, 0]
    inside = m > 0.99
    local = inside & (spread <= spread[inside].min(initial=LOST) + LOCAL)
    leading = int(local.argmax())
    steps = np.diff(np.stack([row, column])[:, leading:])
    if not local[leading:].all() or steps.shape[1] < 3:
        return None
    turns = np.abs(steps - steps[:, :1]).max(0) > 0.5 * np.abs(steps[:, 0]).max()
    w = int(turns.argmax()) + 1
    count = steps.shape[1] + 1
    return (leading, count // w, w) if turns.any() and count % w == 0 else None


def cells_of(planes: F32, leading: int, h: int, w: int) -> F32:
    """The planes of tokens (1, tokens, K) as those of a grid (1, h, w, 1)."""
    full = np.broadcast_to(alike(planes, -1), (4, 1, leading + h * w, 1))
    return full[:, :, leading:].reshape(4, 1, h, w, 1)


def lay(
    layers: Mapping[str, Layer],
    runs: Sequence[tuple[str, Any]],
    walk: Walk,
    needed: Mapping[str, tuple[int, ...]],
) -> dict[str, Layer]:
    """The layers with their placement; poor is one whose cells cannot be laid over the picture.

    runs: name and output of each run of each layer. needed: what `layers.needed_runs` says.
    """
    nowhere = {rank: lost(rank) for rank in (3, 4)}
    found: dict[str, list[Part]] = {}
    met: dict[tuple[int, bool], Placement | str | None] = {}
    calls: Counter[str] = Counter()
    for name, y in runs:
        calls[name] += 1
        if name not in layers or not tf.is_tensor(y):
            continue
        leading, (h, w, _) = layers[name].leading, layers[name].shape
        if y.shape.rank != (4 if leading is None else 3):
            continue
        planes, moved = walk.at.get(y.ref(), nowhere[y.shape.rank]), y.ref() in walk.moved
        key = id(planes), moved
        if key not in met:
            try:
                if leading is None:
                    met[key] = fitted(planes, y.shape, moved)
                else:
                    met[key] = fitted(cells_of(planes, leading, h, w), (1, h, w, 1), moved)
            except Exception:  # of a shape that was not known before the run
                met[key] = STREWN
        shape = tuple(y.shape[1:]) if leading is None else layers[name].shape
        found.setdefault(name, []).append(Part(calls[name] - 1, shape, met[key]))
    laid = {}
    for name, layer in layers.items():
        parts = found[name]
        together = [part for part in parts if part.number in needed.get(name, ())] or parts[-1:]
        number, _, place = together[-1]
        if number < calls[name] - 1:
            layer = replace(layer, runs=(((Run(number, False, ()),),),))
        if layer.shape[0] * layer.shape[1] == 1:
            laid[name] = layer
        elif len(together) > 1:
            laid[name] = put_together(layer, together)
        elif name not in needed and any(part.place != place for part in parts):
            laid[name] = replace(layer, poor=RUNS, suggested=False)
        elif isinstance(place, str):
            laid[name] = replace(layer, poor=place, suggested=False)
        else:
            laid[name] = replace(layer, placement=place)
    return laid


def put_together(layer: Layer, parts: Sequence[Part]) -> Layer:
    """The layer with one grid out of those of several runs: what covers other places of the picture
    is laid beside it, and what covers the same, maybe mirrored or turned, becomes more channels.

    Poor is a layer whose runs overlap otherwise, leave gaps, or have no place.
    """
    poor = replace(layer, poor=RUNS, suggested=False)
    if len({(min(part.shape[:2]), max(part.shape[:2]), part.shape[2]) for part in parts}) > 1:
        return replace(poor, poor=UNLIKE)
    blocks = []
    for number, (h, w, _), place in parts:
        if isinstance(place, str):
            return replace(poor, poor=place)
        (a, b, top), (c, d, left) = (place.rows, place.columns) if place else ((1, 0, 0), (0, 1, 0))
        if turned := abs(b) > abs(a):
            h, w, a, b, c, d = w, h, b, a, d, c
        if max(abs(b / a) * h, abs(c / d) * w) >= 0.5:
            return poor
        run = Run(number, turned, tuple(axis for axis, way in enumerate((a, d)) if way < 0))
        blocks.append((run, np.array([h, w]), [top + min(a, 0), left + min(d, 0)], np.abs([a, d])))
    _, size, _, sides = blocks[0]
    start = np.min([corner for _, _, corner, _ in blocks], axis=0)
    table: dict[tuple[int, int], tuple[Run, ...]] = {}
    for run, its, corner, own in blocks:
        row, column = at = np.rint((corner - start) / sides).astype(int)
        off = np.abs([corner - start - at * sides, own - sides]) / sides * size
        if (its != size).any() or off.max() >= 0.5:
            return poor
        table[row, column] = *table.get((row, column), ()), run
    rows, columns = np.max(list(table), axis=0) + 1
    if len(table) < rows * columns or len({len(beside) for beside in table.values()}) > 1:
        return poor
    grid = tuple(tuple(table[i, j] for j in range(columns)) for i in range(rows))
    h, w = (size * [rows, columns]).tolist()
    matrix = np.array([[rows * sides[0], 0, start[0]], [0, columns * sides[1], start[1]]])
    placement = settled(matrix, h, w, False)  # each run may have the drift of its strides
    shape = h, w, layer.shape[2] * len(grid[0][0])
    return replace(layer, shape=shape, placement=placement, runs=grid)


def fitted(planes: F32, shape: Any, moved: bool) -> Placement | str | None:
    """Where the cells of a tensor (B, h, w, K) lie; None: over the whole picture; or why nowhere.

    moved: whether a crop or the like is on the way, after which a grid is laid exactly.
    """
    c, (h, w) = alike(planes, -1), shape[1:3]
    if shape[0] not in (1, None) or c.shape[1] != 1:
        return PIECES
    c = np.broadcast_to(c, (4, 1, h, w, 1))[:, 0, :, :, 0].astype(np.float64)
    inside = c[3] > 0.99
    cells = middles(h, w)[:, inside].astype(np.float64)
    places, spread = c[:2, inside] / c[3, inside], c[2, inside]
    axes = [n for n, side in enumerate((h, w)) if side > 1]
    known = np.stack([*cells[axes], np.ones(cells.shape[1])], axis=1)
    solved, _, rank, _ = np.linalg.lstsq(known, places.T)
    if rank < len(axes) + 1:
        return STREWN
    matrix = np.zeros((2, 3))
    matrix[:, [*axes, 2]] = solved.T
    if len(axes) == 1:  # a single row or column: upright, as long as there is room in the picture
        along = int(abs(matrix[0, axes[0]]) >= abs(matrix[1, axes[0]]))
        middle = places[along].mean()
        length = 2 * min(middle, 1 - middle)
        matrix[along, 1 - axes[0]] = length
        matrix[along, 2] -= length / 2
    side = np.maximum(np.abs(matrix[:, :2]) @ [1 / h, 1 / w], 0.1 / max(h, w))
    off = np.abs(places - matrix[:, :2] @ cells - matrix[:, 2:]) / side[:, None]
    if off.max() >= 1 or spread.max() >= side.min() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        return STREWN
    return settled(matrix, h, w, moved)


def settled(matrix: Any, h: int, w: int, moved: bool) -> Placement | None:
    """The placement of a grid by its matrix (2, 3); None: over the whole picture, or nearly so.

    moved: as for `fitted`.
    """
    corners = np.array([[a / 2 / h, b / 2 / w] for a in (1, 2 * h - 1) for b in (1, 2 * w - 1)]).T
    away = np.abs(matrix[:, :2] @ corners + matrix[:, 2:] - corners)
    if away.max() < NEAR if moved else not far(away, h, w):
        return None
    rows, columns = (tuple(numbers) for numbers in np.round(matrix, 6).tolist())
    return Placement(rows, columns)


def first_lost(
    names: Sequence[str], laid: Mapping[str, Layer], runs: Sequence[tuple[str, Any]], walk: Walk
) -> tuple[str, str | None] | None:
    """The first of these layers that the walk has lost, and the last before it that it has not, of
    which it is made; None: that is the picture. Of grids with LEAST rows and columns that run once.

    laid: what `lay` says of all layers.
    """
    outputs, times = dict(runs), Counter(name for name, _ in runs)
    known = list[str]()
    for name, layer in laid.items():
        planes = walk.at.get(outputs[name].ref()) if times[name] == 1 else None
        if planes is None or min(layer.shape[:2]) < LEAST:
            continue
        if layer.poor not in NOWHERE:
            known.append(name)
        elif name in names and (planes[2] >= LOST * planes[3]).all():
            before = made_of(outputs[name])
            return name, next((n for n in known[::-1] if id(outputs[n].op) in before), None)
    return None


def made_of(tensor: Any) -> set[int]:
    """The operations by which it is made."""
    before, todo = set[int](), [tensor.op]
    while todo:
        op = todo.pop()
        if id(op) not in before:
            before.add(id(op))
            todo += [t.op for t in op.inputs]
    return before


def probes(source: tuple[int, int], grid: tuple[int, int]) -> tuple[list[tuple[slice, ...]], F32]:
    """Nine blocks of a grid `source`, its corners among them, each no smaller than a cell of
    another grid; and their middles in shares of its height and width (9, 2).
    """
    count = min(*source, *grid, 8)
    edges = [np.linspace(0, side, count + 1).round().astype(int) for side in source]
    at = [(i, j) for i in (0, count // 2, count - 1) for j in (0, count // 2, count - 1)]
    blocks = [
        tuple(slice(e[n], e[n + 1]) for e, n in zip(edges, where, strict=True)) for where in at
    ]
    middle = [[(part.start + part.stop) / 2 for part in block] for block in blocks]
    return blocks, (np.array(middle) / source).astype(np.float32)


def way_round(moved: F32, places: F32) -> Placement | None:
    """How a grid (h, w) lies over another one, by what each cell did when that one was changed at
    some places (n, 2); None: that is not clear, or is not the same each time.

    moved: (times, n, h, w), how much each cell changed.
    """
    h, w = moved.shape[-2:]
    total = moved.sum((-2, -1))
    if not (np.isfinite(total).all() and (total > 0).all()):
        return None
    middle = np.stack([(moved * at).sum((-2, -1)) / total for at in middles(h, w)], -1)
    for way in WAYS:
        expected = 0.5 + (places - 0.5) @ way
        if not far(np.abs(middle - expected).transpose(2, 0, 1), h, w):
            rows, columns = ((float(a), float(b), float(1 - a - b) / 2) for a, b in way)
            return Placement(rows, columns)
    return None


def planes_of(placement: Placement, layer: Layer) -> F32:
    """The planes of an output whose grid lies so in the picture."""
    h, w, _ = layer.shape
    matrix = np.array([placement.rows, placement.columns])
    at = np.tensordot(matrix[:, :2], middles(h, w), 1) + matrix[:, 2:, None]
    planes = np.stack([*at, np.zeros((h, w)), np.ones((h, w))]).astype(np.float32)
    if layer.leading is None:
        return planes.reshape(4, 1, h, w, 1)
    return np.pad(planes.reshape(4, 1, h * w, 1), [(0, 0), (0, 0), (layer.leading, 0), (0, 0)])
