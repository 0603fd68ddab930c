"""Metrics against cases worked out by hand: a network whose score is the brightness of a corner."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gradcam_core import faithfulness as truth
from gradcam_core import lookup, models, pipeline
from gradcam_core.methods import METHODS
from gradcam_core.types import F32, ModelSpec, Placement, Shuffled, Target, UserError

SIZE, SHAPE = (30, 25), (6, 5)  # pixels, cells: each 5 x 5
LIGHT = 200.0
CORNER = (slice(0, 2), slice(0, 2))  # 4 of 30 cells


def pixels(grid: F32, size: tuple[int, int] = SIZE) -> F32:
    """A picture of these cells, grey."""
    h, w = (n // m for n, m in zip(size, grid.shape, strict=True))
    return np.repeat(np.kron(grid, np.ones((h, w)))[:, :, None], 3, axis=2).astype(np.float32)


def cells(value: float = 1, at: tuple[slice, slice] = CORNER) -> F32:
    grid = np.zeros(SHAPE, np.float32)
    grid[at] = value
    return grid


def corner(pictures: F32) -> F32:
    """The score: how bright the pixels of the corner's four cells are."""
    return pictures[:, :10, :10].mean(axis=(1, 2, 3))


def end_of(asking: Generator[float, None, truth.Judgement]) -> tuple[truth.Judgement, list[float]]:
    parts = []
    while True:
        try:
            parts.append(next(asking))
        except StopIteration as end:
            return end.value, parts


def judged(signed: F32, score: truth.Score = corner, picture: F32 | None = None):
    found, _ = end_of(
        truth.examine(score, pixels(cells(LIGHT)) if picture is None else picture, signed)
    )
    return found


def of_fill(found: truth.Judgement, fill: str) -> truth.OfFill:
    return next(one for one in found.fills if one.fill == fill)


# ---- what is hidden ------------------------------------------------------------------------------


def test_a_pixel_belongs_to_the_cell_over_it() -> None:
    """Four rows and five columns of pixels, two cells: five columns are two and a half each."""
    owner = truth.owners((1, 2), (2, 5), None)
    assert owner.tolist() == [[0, 0, 1, 1, 1]] * 2


def test_where_no_cell_lies_nothing_is_hidden() -> None:
    """A layer that sees the middle quarter of the columns, mirrored."""
    owner = truth.owners((1, 2), (1, 8), Placement((1, 0, 0), (0, -0.25, 0.625)))
    assert owner.tolist() == [[-1, -1, -1, 1, 0, -1, -1, -1]]
    hidden = truth.first_hidden(owner, np.array([1, 0]), 0.5)
    assert hidden.tolist() == [[False] * 3 + [True] + [False] * 4]


def test_cells_beyond_the_picture_are_no_part_of_a_test() -> None:
    """A grid of 4 x 4 over twice the picture, in its middle: 2 x 2 cells lie over pixels."""
    rim = Placement((2, 0, -0.5), (0, 2, -0.5))
    seen, owner = truth.cells_in_sight(truth.owners((4, 4), (4, 2), rim))
    assert seen.tolist() == [5, 6, 9, 10]
    assert owner.tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]
    dice = np.random.default_rng(3)
    one = dice.random((12, 10)).astype(np.float32)
    other = one * 5
    other[3:9, 2:8] = one[3:9, 2:8]  # 6 x 5 of them, at most, lie over the picture
    picture = pixels(dice.random(SHAPE).astype(np.float32) * 255)
    judgements = [end_of(truth.examine(corner, picture, grid, rim))[0] for grid in (one, other)]
    assert judgements[0] == judgements[1]
    nothing = np.ones((12, 10), np.float32)
    nothing[0, 0] = 9
    with pytest.raises(UserError, match="the same all over"):
        end_of(truth.examine(corner, picture, nothing, rim))


def test_one_cell_is_left_to_see() -> None:
    """Of two cells 5/6 is both, by rounding."""
    owner = np.array([[0, 0, 1, 1]])
    assert truth.first_hidden(owner, np.array([1, 0]), 5 / 6).tolist() == [
        [False, False, True, True]
    ]
    assert truth.first_hidden(owner, np.array([1, 0]), 1).all()


def test_the_hottest_come_first_and_equals_by_lot() -> None:
    signed = np.array([[1, -2, 1], [3, 0, 1]], np.float32)
    ties = np.array([0.5, 0, 0.9, 0, 0, 0.1], np.float32)
    assert truth.hottest_first(signed, ties).tolist() == [3, 5, 0, 2, 4, 1]


def test_the_centre_is_that_of_the_picture() -> None:
    """Of cells over the right half, those at its left edge are nearest to the middle."""
    blob = truth.centre_blob((3, 5))
    assert np.unravel_index(blob.argmax(), blob.shape) == (1, 2)
    assert blob[1, 2] == 1
    assert blob[0, 2] == pytest.approx(np.exp(-((1 / 3) ** 2) / (2 / 16)))
    right = truth.centre_blob((3, 4), Placement((1, 0, 0), (0, 0.5, 0.5)))
    assert np.unravel_index(right.argmax(), right.shape) == (1, 0)


def test_a_hidden_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    """By hand: one pixel in the middle of nine, direct 1/6, diagonal 1/12."""
    grey = np.array([[12, 6, 24], [18, 99, 30], [0, 60, 36]], np.float32)
    mask = grey == 99
    still = np.zeros((3, 3, 3))
    got = truth.imputed(np.repeat(grey[:, :, None], 3, axis=2), mask, still)
    expected = (6 + 18 + 30 + 60) / 6 + (12 + 24 + 0 + 36) / 12
    assert got[1, 1] == pytest.approx([expected] * 3, rel=1e-3)
    assert (got[~mask] == grey[~mask][:, None]).all()


def test_at_a_corner_only_the_neighbours_that_there_are_count() -> None:
    """3/6 ... by hand: (1/6 + 1/6 + 1/12) in all, so 0.4, 0.4 and 0.2 of them."""
    grey = np.array([[99, 10, 0], [20, 50, 0]], np.float32)
    got = truth.imputed(np.repeat(grey[:, :, None], 3, axis=2), grey == 99, np.zeros((2, 3, 3)))
    assert got[0, 0, 0] == pytest.approx(0.4 * 10 + 0.4 * 20 + 0.2 * 50, rel=1e-3)


def test_a_slope_stays_a_slope_where_it_is_hidden(rng: np.random.Generator) -> None:
    """What is linear fulfils the equation at every inner pixel: the hidden ones come back."""
    i, j = np.indices((11, 13))
    picture = np.stack([5 * i + 3 * j, 100 - 4 * i, 9 * j], axis=2).astype(np.float32)
    mask = np.zeros((11, 13), bool)
    mask[2:9, 3:10] = rng.random((7, 7)) < 0.8
    got = truth.imputed(picture, mask, np.zeros(picture.shape))
    assert np.abs(got - picture).max() < 0.5


def test_noise_is_added_to_what_is_hidden_and_cut_at_the_ends() -> None:
    picture = np.full((4, 5, 3), 250, np.float32)
    mask = np.zeros((4, 5), bool)
    mask[1, 2:4] = True
    noise = np.full(picture.shape, 3.0)
    noise[1, 3] = 20
    got = truth.imputed(picture, mask, noise)
    assert got[1, 2] == pytest.approx([253] * 3, abs=0.3)
    assert got[1, 3].tolist() == [255] * 3
    assert (got[~mask] == 250).all()


# ---- the verdict ---------------------------------------------------------------------------------


def test_a_map_that_points_at_what_counts_is_better() -> None:
    """With the mean colour the corner falls from 200 to 200 * 4 / 30 with the first fifth of the
    hottest cells, and stays as it is while four fifths of the coldest go."""
    found = judged(cells())
    assert found.ruling == "better"
    assert truth.sentence_of(found) == "Better than chance and than the picture’s centre."
    mean = of_fill(found, "mean")
    assert mean.shares == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert mean.map.hottest == pytest.approx([LIGHT * 4 / 30] * 4)
    assert mean.map.coldest == pytest.approx([LIGHT] * 4)
    assert mean.map.gap == pytest.approx((LIGHT - LIGHT * 4 / 30) / 2)
    assert found.whole == pytest.approx(LIGHT)
    assert [one.fill for one in found.fills] == ["blur", "mean", "linear"]
    assert [one.p for one in found.fills] == [pytest.approx(0.05), pytest.approx(0.05), None]
    assert "all 19 shuffled maps (p = 0.05)" in truth.said_by(mean)


@pytest.mark.parametrize("seed", range(5))
def test_a_map_that_points_away_is_no_better_than_the_centre(seed: int) -> None:
    found, _ = end_of(truth.examine(corner, pixels(cells(LIGHT)), -cells(), seed=seed))
    assert found.ruling == "centre"
    assert truth.sentence_of(found) == "No better than the picture’s centre."
    assert of_fill(found, "mean").map.gap == pytest.approx(-(LIGHT - LIGHT * 4 / 30) / 2)


def test_the_centre_itself_is_no_better_than_the_centre() -> None:
    """Even where what counts is there: equal maps get equal numbers, noise and all."""
    middle = (slice(2, 4), slice(2, 3))

    def score(pictures: F32) -> F32:
        return pictures[:, 10:20, 10:15].mean(axis=(1, 2, 3))

    picture = pixels(cells(LIGHT, middle))
    found = judged(truth.centre_blob(SHAPE), score, picture)
    assert found.ruling == "centre"
    for one in found.fills:
        assert one.map == one.centre
        assert one.map.gap > 0


def test_cells_that_are_shuffled_are_not_better_than_chance(rng: np.random.Generator) -> None:
    """Of 40 such maps not one in ten is called better; at p = .05 and the centre, 2 are awaited."""
    grid = cells(1) + np.arange(30, dtype=np.float32).reshape(SHAPE) / 100
    rulings = [judged(rng.permutation(grid.ravel()).reshape(SHAPE)).ruling for _ in range(40)]
    assert rulings.count("better") < 4
    assert "undecided" in rulings
    assert "centre" in rulings


def test_where_the_fills_differ_it_is_undecided() -> None:
    """The corner has the picture's mean colour: painted so it stays. Blurred, it gets dark."""
    grid = cells(100)
    grid[3:] = 2 * 26 * 100 / 15 / 2  # 15 of the other 26 cells: the mean of all 30 is 100
    picture = pixels(grid)
    assert picture.mean() == pytest.approx(100)
    found = judged(cells(), corner, picture)
    assert of_fill(found, "mean").map.gap == pytest.approx(0, abs=1e-3)
    assert [one.beats_centre for one in found.fills] == [True, False, True]
    assert found.ruling == "undecided"
    assert truth.sentence_of(found) == "Undecided: it depends on what is painted over."


def test_where_every_order_does_as_well_the_first_shuffled_map_ends_it() -> None:
    """What counts are the places that are covered last: all but the centre, for this score."""

    def score(pictures: F32) -> F32:  # the two cells of the middle shall go last
        return pictures[:, 10:20, 10:15].mean(axis=(1, 2, 3)) * -1

    picture = pixels(cells(LIGHT, (slice(2, 4), slice(2, 3))))
    grid = np.zeros(SHAPE, np.float32)
    grid[0, 0] = 1  # by lot as good as any
    found = judged(grid, score, picture)
    assert found.ruling == "undecided"
    assert truth.sentence_of(found) == (
        "Undecided: better than the picture’s centre, but shuffled cells did as well."
    )
    last = [one for one in found.fills if one.shuffled]
    assert {len(one.shuffled) for one in last} == {len(last[0].shuffled)}
    assert any(one.as_good == 1 for one in last)
    assert any("1 of " in truth.said_by(one) for one in last)
    assert len(last[0].shuffled) < truth.SHUFFLED


# ---- on a network --------------------------------------------------------------------------------


def looks_at_a_corner(*first: Any) -> ModelSpec:
    """24 x 24 pixels; after these layers 6 x 6 cells, "cells", and the mean of four of them."""
    import keras

    layers = [
        keras.Input((24, 24, 3)), *first, keras.layers.Flatten(),
        keras.layers.Dense(2, use_bias=False),
    ]  # fmt: skip
    model = keras.Sequential(layers)
    weights = np.zeros((6, 6, 3, 2), np.float32)
    weights[:2, :2, :, 0] = 1 / 12
    model.layers[-1].set_weights([weights.reshape(-1, 2)])
    return models.from_keras(model, ["corner", "nothing"], "none", head="linear")


def corner_of_middle(side: int) -> np.ndarray:
    """(24, 48, 3): black, but for the first third of the middle square of that side, both ways."""
    picture, top, left = np.zeros((24, 48, 3), np.uint8), (24 - side) // 2, (48 - side) // 2
    picture[top : top + side // 3, left : left + side // 3] = int(LIGHT)
    return picture


def test_what_is_hidden_is_what_the_network_sees() -> None:
    """It looks at the middle square, 24 x 24, whose corner of 8 x 8 counts: the mean is 200 / 9."""
    import keras

    spec = replace(looks_at_a_corner(keras.layers.AveragePooling2D(4, name="cells")), crop=True)
    made, found = pipeline.checked(corner_of_middle(24), spec, "cells", 0, "HiResCAM")
    mean = of_fill(found, "mean").map
    assert found.ruling == "better"
    assert found.whole == pytest.approx(LIGHT)
    assert mean.hottest == pytest.approx([LIGHT / 9] * 4)
    assert mean.coldest == pytest.approx([LIGHT] * 4)
    assert made.label == "corner"


def test_what_is_hidden_is_where_the_cells_lie() -> None:
    """The layer's cells cover the middle 12 x 12 of 24 x 24 pixels, two of 4 x 4 count."""
    import keras

    inner = [keras.layers.Cropping2D(6), keras.layers.AveragePooling2D(2, name="cells")]
    spec = replace(looks_at_a_corner(*inner), crop=True)
    _, found = pipeline.checked(corner_of_middle(12), spec, "cells", 0, "HiResCAM")
    mean = of_fill(found, "mean").map
    assert found.ruling == "better"
    assert mean.hottest == pytest.approx([LIGHT / 36] * 4)
    assert mean.coldest == pytest.approx([LIGHT] * 4)


# ---- what it costs -------------------------------------------------------------------------------


def counted(score: truth.Score) -> tuple[truth.Score, Callable[[], int]]:
    seen: list[int] = []

    def counting(pictures: F32) -> F32:
        seen.append(len(pictures))
        return score(pictures)

    return counting, lambda: sum(seen)


@pytest.mark.parametrize(("grid", "passes"), [(cells(), 357), (-cells(), 53)], ids=["to", "from"])
def test_it_stops_when_the_sentence_cannot_change(grid: F32, passes: int) -> None:
    """1 + two orders of map and centre at 4, 4 and 5 steps; then 19 times two orders at 4 and 4."""
    score, so_far = counted(corner)
    found, parts = end_of(truth.examine(score, pixels(cells(LIGHT)), grid))
    assert found.passes == so_far() == passes
    assert passes <= truth.MOST_PASSES <= 400
    assert parts == sorted(parts)
    assert 0 < parts[0] < parts[-1] < 1


def test_whoever_stops_asking_ends_it() -> None:
    score, so_far = counted(corner)
    asking = truth.examine(score, pixels(cells(LIGHT)), cells())
    next(asking)
    asking.close()
    assert so_far() == 1


def test_a_map_without_a_difference_is_refused(sentence: Callable[[object], str]) -> None:
    with pytest.raises(UserError) as caught:
        judged(np.zeros(SHAPE, np.float32))
    sentence(caught.value)


def test_no_finite_number_is_refused(sentence: Callable[[object], str]) -> None:
    def score(pictures: F32) -> F32:
        return np.where(corner(pictures) < LIGHT, np.nan, 1)

    with pytest.raises(UserError) as caught:
        judged(cells(), score)
    sentence(caught.value)


# ---- where the truth is known --------------------------------------------------------------------


def test_a_mosaic_has_its_pictures_in_reading_order() -> None:
    parts = [np.full((2, 3, 3), n, np.float32) for n in range(4)]
    made = truth.mosaic(parts)
    assert made[:, :, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    for n in range(4):
        mask = truth.quarter(n, (4, 6))
        assert (made[mask] == n).all()
        assert mask.sum() == 6


def test_the_share_inside_is_of_what_is_above_zero() -> None:
    heat = np.array([[3, -5, 1], [0, 2, 4]], np.float32)
    mask = np.array([[True, True, False], [False, False, True]])
    assert truth.share_inside(heat, mask) == pytest.approx(0.7)
    assert truth.share_inside(np.ones((4, 6), np.float32), truth.quarter(2, (4, 6))) == 0.25
    assert truth.share_inside(-heat * (heat > 0), mask) is None


def test_the_maximum_points_inside_or_not() -> None:
    heat = np.array([[3, -5, 1], [0, 2, 4]], np.float32)
    assert truth.points_inside(heat, heat == 4)
    assert not truth.points_inside(heat, heat == 3)


def test_boxes_overlap_by_what_they_share() -> None:
    """4 x 2 and 3 x 4 share 1 x 2: of 8 + 12 - 2."""
    assert truth.overlap((0, 0, 4, 2), (3, 0, 6, 4)) == pytest.approx(2 / 18)
    assert truth.overlap((0, 0, 4, 2), (0, 0, 4, 2)) == 1
    assert truth.overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_ranks_are_correlated_not_values() -> None:
    """1 - 6 sum d^2 / n (n^2 - 1): d is 0, 0, 1, 1 of 4: 1 - 12 / 60."""
    one = np.array([[1, 10], [100, 1000]], np.float32)
    assert truth.rank_correlation(one, one**2) == pytest.approx(1)
    assert truth.rank_correlation(one, -one) == pytest.approx(-1)
    assert truth.rank_correlation(one, np.array([[1, 2], [4, 3]])) == pytest.approx(0.8)
    assert truth.rank_correlation(one, np.ones((2, 2), np.float32)) == 0


def test_how_a_map_lies_to_a_region_that_was_drawn() -> None:
    """Hot cells 5, 1 and 4 of 10 in a row of 3 x 4; the region has the first two columns."""
    heat = np.zeros((3, 4), np.float32)
    heat[1] = [5, 1, 0, 4]
    mask = np.zeros((3, 4), bool)
    mask[:, :2] = True
    found = truth.aim(heat, mask)
    assert found.hit
    assert found.share == pytest.approx(0.6)
    assert found.overlap == pytest.approx(2 / 6)  # the box is the two hot cells of the 3 x 2
    other = truth.aim(heat, ~mask)
    assert not other.hit
    assert other.share == pytest.approx(0.4)
    assert other.overlap == 0
    cold = truth.aim(-heat, mask)
    assert (cold.share, cold.overlap) == (None, None)


@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_region_has_an_inside_and_an_outside(
    all_of_it: bool, sentence: Callable[[object], str]
) -> None:
    with pytest.raises(UserError) as caught:
        truth.aim(np.ones((3, 4), np.float32), np.full((3, 4), all_of_it))
    sentence(caught.value)


# ---- does it hold --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["mirror", "shift"])
def test_what_was_changed_is_mapped_back(change: str, rng: np.random.Generator) -> None:
    """The heat of a changed picture, if it goes with the picture, lies where it did before."""
    row, heat = truth.CHANGES[change], rng.random((28, 43)).astype(np.float32)
    moved = row.apply(np.repeat(heat[:, :, None], 3, axis=2), rng)[:, :, 0]
    assert not np.array_equal(moved, heat)
    np.testing.assert_array_equal(row.back(moved), row.kept(heat))
    assert row.kept(heat).size >= 0.85 * heat.size


def test_a_shift_is_a_fourteenth_of_the_sides(rng: np.random.Generator) -> None:
    picture = rng.random((28, 43, 3)).astype(np.float32)
    shifted = truth.CHANGES["shift"].apply(picture, rng)
    np.testing.assert_array_equal(shifted[2:, 3:], picture[:-2, :-3])
    np.testing.assert_array_equal(shifted[0, 3:], picture[0, :-3])


def test_noise_is_small_and_stays_a_picture(rng: np.random.Generator) -> None:
    picture = np.full((60, 70, 3), 128, np.float32)
    made = truth.CHANGES["noise"].apply(picture, rng)
    assert np.std(made) == pytest.approx(12, rel=0.05)
    assert truth.CHANGES["noise"].apply(picture * 0, rng).min() == 0


def test_each_change_gets_its_sentence(sentence: Callable[[object], str]) -> None:
    heat, picture = np.zeros((2, 3), np.float32), np.zeros((2, 3, 3), np.float32)

    def said(after: float, same: bool, alike: float) -> str:
        held = truth.Held("mirror", picture, 0.5, after, True, same, alike, heat)
        return sentence(truth.said_of(held))

    assert said(0.35, True, 0.9) == "The answer and the map hold."
    assert said(0.35, True, 0.7).startswith("The answer holds, but the map moves")
    assert (
        said(0.2, True, 0.7) == said(0.5, False, 0.7) == "The answer changes, and the map with it."
    )
    assert said(0.2, True, 0.9).startswith("The answer changes and the map hardly")


@pytest.mark.parametrize("unit", [0.001, 1, 1000])
def test_a_number_that_is_no_probability_holds_in_its_own_unit(unit: float) -> None:
    """A fifth of it, whatever it is measured in."""
    heat, picture = np.zeros((2, 3), np.float32), np.zeros((2, 3, 3), np.float32)

    def holds(before: float, after: float) -> bool:
        given = before * unit, after * unit, False, True, 0.9, heat
        return truth.Held("noise", picture, *given).answer_holds

    assert holds(-5, -5.9)
    assert not holds(-5, -6.1)


def test_the_alarm_is_for_what_stays_when_all_is_forgotten(
    sentence: Callable[[object], str],
) -> None:
    def found(*alike: float, cells: tuple[int, int] = (4, 5)) -> truth.Forgetting:
        return truth.Forgetting((np.zeros(cells, np.float32),) * len(alike), alike, None)

    assert found(0.1, 0.6).alarm
    assert not found(0.9, 0.4).alarm
    assert sentence(truth.said_when_forgotten(found(0.6))).startswith("Alarm")
    assert truth.said_when_forgotten(found(0.4)).startswith("No alarm")
    for few in ((3, 5), (1, 2)):
        assert found(0.1, 0.6, cells=few).alarm is None
        assert sentence(truth.said_when_forgotten(found(0.6, cells=few))).startswith("No word")


# ---- the whole path, on networks of which every number is known ----------------------------------

SIDES = (12, 20, 3)


def with_head(*head: Any) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    convolutions = [keras.layers.Conv2D(n, 1, activation="relu", name=f"at{n}") for n in (3, 5)]
    return keras.Sequential([keras.Input(SIDES), *convolutions, *head])


def asked_of(model: Any) -> tuple[ModelSpec, Any]:
    spec = ModelSpec(
        "Small", lambda _: model, lambda rgb: rgb / np.float32(255), 20, ("up", "down"),
        ("at5",), shape=SIDES,
    )  # fmt: skip
    return spec, lookup.network(spec)


def test_a_map_of_shuffled_weights_is_that_of_a_network_with_such_weights(
    rng: np.random.Generator,
) -> None:
    import keras

    model = with_head(keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2))
    spec, asked = asked_of(model)
    image = rng.integers(0, 256, SIDES, np.uint8)
    asking = pipeline.forgetting(image, spec, asked, Target(1), "at5", "Grad-CAM")
    found = pipeline.finished(asking)
    assert len(found.maps) == len(found.alike) == len(found.guided or ()) == len(truth.CASCADE)
    before = pipeline.look(image, spec, asked, Target(1), ("at5",), ("Grad-CAM",))
    referee = keras.models.clone_model(model)
    for share, signed, alike in zip(truth.CASCADE, found.maps, found.alike, strict=True):
        numbers = asked._forgetful(Shuffled(share))._numbers
        referee.set_weights([np.asarray(one) for one in numbers])
        a = keras.Model(referee.inputs[0], referee.get_layer("at5").output)(image[None] / 255)
        alpha = referee.weights[-2].numpy()[:, 1] / (12 * 20)  # d mean(a) @ w / d a
        np.testing.assert_allclose(signed, a[0].numpy() @ alpha, atol=1e-7)
        of_ranks = stats.spearmanr(signed.ravel(), before.maps["at5", "Grad-CAM"].ravel())
        assert alike == pytest.approx(of_ranks.statistic, abs=1e-6)
    assert found.alike[0] < 0.999


def test_a_map_goes_with_the_picture_or_it_does_not(rng: np.random.Generator) -> None:
    """Pointwise layers and a mean know no place: what they show is moved as the picture is. A
    dense layer that reads one corner only keeps its map there."""
    import keras

    image = rng.integers(0, 256, SIDES, np.uint8)
    ends = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)
    for head, moves in (ends, True), ((keras.layers.Flatten(), keras.layers.Dense(2)), False):
        spec, asked = asked_of(with_head(*head))
        positive = [np.abs(weight) + 0.01 for weight in asked.model.get_weights()]
        asked.model.set_weights(positive)  # so that the map is not empty
        if not moves:
            corner = np.zeros((12, 20, 5, 2), np.float32)
            corner[:4, :5] = 1
            asked.model.layers[-1].set_weights([corner.reshape(-1, 2), np.zeros(2)])
        given = spec, asked, Target(0), "at5", "HiResCAM"
        seen = pipeline.look(image, spec, asked, Target(0), ("at5",), ("HiResCAM",))
        asking = pipeline.holding(image, *given, seen.maps["at5", "HiResCAM"])
        held = {one.change: one for one in pipeline.finished(asking)}
        if moves:
            assert [held[n].alike for n in ("mirror", "shift")] == pytest.approx([1, 1])
            assert held["mirror"].after == pytest.approx(held["mirror"].before, abs=1e-6)
        else:
            assert held["mirror"].alike < 0.2
        p = asked.probabilities((image[None, :, ::-1] / 255).astype(np.float32))[0]
        assert held["mirror"].after == pytest.approx(p[0], abs=1e-6)


@pytest.mark.parametrize("asking", [pipeline.forgetting, pipeline.holding])
def test_methods_that_ask_are_not_tested_so(
    asking: Any, monkeypatch: pytest.MonkeyPatch, sentence: Callable[[object], str]
) -> None:
    slow = replace(METHODS["Grad-CAM"], ask=lambda *_: iter(()))
    monkeypatch.setitem(METHODS, "Slow", slow)
    given = [None] * 4 + ["at5", "Slow"] + ([None] if asking is pipeline.holding else [])
    with pytest.raises(UserError) as caught:
        pipeline.finished(asking(*given))
    sentence(caught.value)
