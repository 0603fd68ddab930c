"""Where each layer's grid lies in the picture, or why it cannot be laid over it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from gradcam_core.coordinates import LOST, Walk, alike, far, lost, middles
from gradcam_core.types import F32, Layer, Placement

PIECES = "the picture is cut into pieces, and this is the map of one of them"
RUNS = "runs several times, at different places of the picture, and this is the map of its last run"
STREWN = "its cells could not be laid over the picture in rows and columns"
NOWHERE = (PIECES, RUNS, STREWN)
LOCAL = 0.05  # a share of the picture by which some tokens may be less local than others
NEAR = 0.01  # a share of the picture that is not worth placing


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
    layers: Mapping[str, Layer], runs: Sequence[tuple[str, Any]], walk: Walk
) -> dict[str, Layer]:
    """The layers with their placement; poor is one whose cells cannot be laid over the picture.

    runs: name and output of each run of each layer.
    """
    nowhere = {rank: lost(rank) for rank in (3, 4)}
    found: dict[str, list[Placement | str | None]] = {}
    met: dict[tuple[int, bool], Placement | str | None] = {}
    for name, y in runs:
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
        found.setdefault(name, []).append(met[key])
    laid = {}
    for name, layer in layers.items():
        places = found[name]
        if layer.shape[0] * layer.shape[1] == 1:
            laid[name] = layer
        elif places.count(places[0]) < len(places):
            laid[name] = replace(layer, poor=RUNS, suggested=False)
        elif isinstance(places[0], str):
            laid[name] = replace(layer, poor=places[0], suggested=False)
        else:
            laid[name] = replace(layer, placement=places[0])
    return laid


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
    corners = np.array([[a / 2 / h, b / 2 / w] for a in (1, 2 * h - 1) for b in (1, 2 * w - 1)]).T
    away = np.abs(matrix[:, :2] @ corners + matrix[:, 2:] - corners)
    if away.max() < NEAR if moved else not far(away, h, w):
        return None
    rows, columns = (tuple(numbers) for numbers in np.round(matrix, 6).tolist())
    return Placement(rows, columns)
