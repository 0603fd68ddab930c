"""All methods side by side: on one picture, at one layer, and beside what knows nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from demo import engine
from demo.question import Posed, from_json, method_of, pose
from demo.trust import (
    CENTRE,
    four_of,
    in_test,
    map_in_view,
    mean_of,
    paths_of,
    shares_in_quarters,
    waiting_for,
)
from demo.wire import SharesAnswer, SideAnswer, SideMap, SideRow, served, small_url
from gradcam_core import faithfulness, heatmap
from gradcam_core.faithfulness import CELLS_A_SIDE
from gradcam_core.methods import METHODS, one_pass, placement_of
from gradcam_core.types import F32, Layer, Placement, Progress, UserError

LARGE_SIDE = 288  # pixels: of the picture under a map
BRIGHTEST = 99  # percent: what is above is drawn alike in a map of pixels
SHUFFLED_BY = next(iter(METHODS))  # the method whose cells stand for chance in another order
SHUFFLED_CELLS = f"{SHUFFLED_BY}, shuffled"
CHANCE = {
    SHUFFLED_CELLS: f"The cells of {SHUFFLED_BY} in another order. A map must beat it.",
    CENTRE: "A blob that knows nothing of the picture. Photographers put things in the middle.",
}


# ---- the maps ------------------------------------------------------------------------------------


def chance_map(name: str, layer: Layer, signed: F32) -> F32:
    """What stands for chance at a layer, (h, w). signed: the map whose cells are shuffled."""
    if name == CENTRE:
        return faithfulness.centre_blob(layer.shape[:2], layer.placement)
    return np.random.default_rng(0).permutation(signed.ravel()).reshape(signed.shape)


def maps_there(posed: Posed, layer: str) -> dict[str, F32]:
    """Of each row the signed map (h, w), if nobody need wait for it."""
    at_once = engine.all_maps(posed, layer)
    found = {m: at_once[layer, m] for m in one_pass() if (layer, m) in at_once}
    row = posed.asked.layers[layer]
    found |= {name: chance_map(name, row, found[SHUFFLED_BY]) for name in CHANCE}
    made = [m for m in METHODS if METHODS[m].ask and engine.is_made(posed, layer, m)]
    return found | {m: engine.map_of(posed, layer, m) for m in made}


def placed(posed: Posed, layer: str, name: str) -> Placement | None:
    row = posed.asked.layers[layer]
    return row.placement if name in CHANCE else placement_of(row, name)


def in_common(signed: F32, placement: Placement | None) -> F32:
    """A map on the grid on which all are compared, CELLS_A_SIDE a side."""
    small = heatmap.shrink(signed, CELLS_A_SIDE)
    return heatmap.project(small, (CELLS_A_SIDE, CELLS_A_SIDE), placement)


def side_map(posed: Posed, layer: str, name: str, maps: dict[str, F32]) -> SideMap:
    """The map of one of these rows on the picture, and how like the others it is."""
    signed, placement = maps[name], placed(posed, layer, name)
    _, seen, _ = in_test(posed, layer, SHUFFLED_BY)
    top = float(np.percentile(signed, BRIGHTEST)) if is_of_pixels(posed, name, signed) else 0
    unit = heatmap.signed_to_unit(signed, "for", max(top, 0))
    heat = heatmap.project(unit, (seen.shape[0], seen.shape[1]), placement)
    common = {one: in_common(m, placed(posed, layer, one)) for one, m in maps.items()}
    return {
        "overlay": small_url(heatmap.overlay(seen, heat), LARGE_SIDE),
        "cells": list(signed.shape),
        "notes": notes_on(posed, name, signed),
        "like": {
            one: faithfulness.rank_correlation(common[name], other)
            for one, other in common.items()
            if one != name
        },
    }


def is_of_pixels(posed: Posed, name: str, signed: F32) -> bool:
    row = METHODS.get(name)
    return row is not None and row.of_picture and signed.shape == posed.asked.shape[:2]


def notes_on(posed: Posed, name: str, signed: F32) -> list[str]:
    """What the numbers of a map are, in sentences."""
    row, sides = METHODS.get(name), "×".join(map(str, signed.shape))
    if name == CENTRE:
        return []
    if is_of_pixels(posed, name, signed):
        said = [
            f"{sides} pixels. Each number says how the score reacts to that pixel alone, so "
            "neighbours differ. The brightest hundredth is drawn alike.",
            f"It is tested and compared by the means of {CELLS_A_SIDE}×{CELLS_A_SIDE} parts.",
        ]
    elif row and row.of_picture:
        said = [f"{sides} parts. Each number is what covering just that part takes from the score."]
    else:
        said = [f"{sides} cells of the layer. Each stands for a region, and fades into the next."]
    if row and row.remark:
        said.append(row.remark(posed.asked, engine.survey_of(posed).trace, signed))
    return said


@served("sides")
def all_rows(request: Any) -> SideAnswer:
    """A row for each method that has a map at the layer, and for what knows nothing; what nobody
    need wait for is in it: a wire.SideRequest."""
    posed, layer = from_json(request)
    posed = engine.kept(posed)
    maps, rows = maps_there(posed, layer), list[SideRow]()
    for name in (*METHODS, *CHANCE):
        row = METHODS.get(name)
        if name not in maps and not (row and row.ask):
            continue  # it cannot be made at this layer
        judged = row is not None and engine.is_judged(posed, layer, name)
        one: SideRow = {
            "of": name,
            "line": row.line if row else CHANCE[name],
            "cost": row.cost if row else "",
            "passes": row.passes(posed.asked, layer) if row and row.passes else 0,
            "tail": row is not None and row.tail,
            "chance": row is None,
            "map": side_map(posed, layer, name, maps) if name in maps else None,
            "ruling": engine.judgement_of(posed, layer, name)[0].ruling if judged else None,
        }
        rows.append(one)
    return {"rows": rows, "shares": shares_there(request, layer)}


@served("side")
def make_side(request: Any, progress: Progress | None = None) -> SideMap:
    """The map of a row that takes many passes: a wire.SideRequest."""
    with waiting_for(request, progress) as tell:
        posed, layer, method, signed = map_in_view(request, tell)
    return side_map(posed, layer, method, {**maps_there(posed, layer), method: signed})


# ---- their shares in the mosaic ------------------------------------------------------------------


@served("shares")
def shares_in_mosaic(request: Any, progress: Progress | None = None) -> SharesAnswer:
    """Of the method that a wire.SideRequest names, and of all that come with one pass."""
    with waiting_for(request, progress) as tell:
        four, layer = four_of(request, tell)
        methods = dict.fromkeys([*one_pass(), method_of(request.get("method"))])
        return {"shares": shares_by(four, layer, methods, tell)}


def shares_there(request: Any, layer: str) -> dict[str, float | None]:
    """Of all rows whose share nobody need wait for: of a wire.SideRequest."""
    try:
        four = [pose(path, request.get("model")) for path in paths_of(request)]
    except UserError:  # it is said where they are asked for
        return {}
    return shares_by(four, layer, [m for m in METHODS if engine.is_in_mosaic(four, layer, m)])


def shares_by(
    four: Sequence[Posed], layer: str, methods: Iterable[str], progress: Progress | None = None
) -> dict[str, float | None]:
    """How much heat of these methods lies in the right quarter; and of what knows nothing."""
    asked, shares = four[0].asked, dict[str, float | None]()
    row = asked.layers[layer]
    for method in methods:
        if signed := engine.maps_in_mosaic(four, layer, method, progress):
            shares[method] = mean_of(shares_in_quarters(asked, signed, placement_of(row, method)))
    if shares:
        mixed = engine.maps_in_mosaic(four, layer, SHUFFLED_BY)
        for name in CHANCE:
            guesses = [chance_map(name, row, signed) for signed in mixed]
            shares[name] = mean_of(shares_in_quarters(asked, guesses, row.placement))
    return shares
