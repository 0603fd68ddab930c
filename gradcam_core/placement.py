"""Where each layer's grid lies in the picture, or why it cannot be laid over it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from gradcam_core.coordinates import Walk, alike, far, lost, middles
from gradcam_core.types import F32, Layer, Placement

PIECES = "the picture is cut into pieces, and this is the map of one of them"
RUNS = "runs several times, at different places of the picture, and this is the map of its last run"
STREWN = "its cells could not be laid over the picture in rows and columns"
NOWHERE = (PIECES, RUNS, STREWN)
NEAR = 0.01  # a share of the picture that is not worth placing


def lay(layers: Mapping[str, Layer], runs: Sequence[tuple[str, Any]], x: Any) -> dict[str, Layer]:
    """The layers with their placement; poor is one whose cells cannot be laid over the picture x.

    runs: name and output of each run of each layer.
    """
    walk, nowhere = Walk(x), lost(4)
    found: dict[str, list[Placement | str | None]] = {}
    met: dict[tuple[int, bool], Placement | str | None] = {}
    for name, y in runs:
        if name in layers and tf.is_tensor(y) and y.shape.rank == 4:
            planes, moved = walk.at.get(y.ref(), nowhere), y.ref() in walk.moved
            key = id(planes), moved
            if key not in met:
                try:
                    met[key] = fitted(planes, y.shape, moved)
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
