"""From numbers to pixels, by hand."""

import subprocess
import sys

import numpy as np
import pytest

from gradcam_core import heatmap
from gradcam_core.types import Placement

YELLOW = (253, 231, 37)  # the two ends of viridis as published: #fde725, #440154
VIOLET = (68, 1, 84)


def f32(rows):
    return np.array(rows, np.float32)


# Weights -> map


def test_combine_by_hand():
    a = f32([[[1, 2], [3, 4]]])  # (1, 2, 2)
    np.testing.assert_array_equal(heatmap.combine(f32([1, -1]), a), [[-1, -1]])
    np.testing.assert_array_equal(heatmap.combine(f32([[[1, 0], [-1, 2]]]), a), [[1, 5]])


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        ([[-1, 0], [2, 4]], [[0, 0], [0.5, 1]]),
        ([[-3, -1], [-2, -5]], [[0, 0], [0, 0]]),  # evidence against only
        ([[0, 0]], [[0, 0]]),
        ([[7, 7]], [[1, 1]]),
        ([[-9, 3]], [[0, 1]]),  # by the maximum, not min-max: 0 stays "no evidence"
        ([[1e-38, 5e-39]], [[1, 0.5]]),
    ],
)
def test_normalise(signed, expected):
    given = f32(signed)
    given.flags.writeable = False
    got = heatmap.normalise(given)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("for", [[1, 0], [0, 0.25]]),  # 4 is the most
        ("against", [[0, 1], [0, 0]]),  # 8 is the most
        ("both", [[0.75, 0], [0.5, 0.5625]]),  # 0 in the middle, 8 at the ends
    ],
)
def test_three_signs_by_hand(sign, expected):
    got = heatmap.signed_to_unit(f32([[4, -8], [0, 1]]), sign)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("for", [[0.5, 0], [0, 0.125]]),
        ("against", [[0, 1], [0, 0]]),
        ("both", [[0.75, 0], [0.5, 0.5625]]),
    ],
)
def test_a_scale_that_maps_share_by_hand(sign, expected):
    got = heatmap.signed_to_unit(f32([[4, -9], [0, 1]]), sign, 8)  # -9 is beyond its end
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(("sign", "level"), [("for", 0), ("against", 0), ("both", 0.5)])
def test_an_empty_map_has_no_sign(sign, level):
    assert sign in heatmap.SIGNS
    np.testing.assert_array_equal(heatmap.signed_to_unit(np.zeros((2, 3), np.float32), sign), level)


# (h, w) -> (H, W)

# Output pixel p lies over place (p + 1/2) h/H - 1/2 of the grid; outside, the edge goes on.


def test_upsample_2_by_2_to_4_by_4_by_hand():
    s = f32([0, 0.25, 0.75, 1])  # places -1/4 (edge), 1/4, 3/4, 5/4 (edge)
    got = heatmap.upsample(f32([[0, 1], [2, 3]]), (4, 4))
    np.testing.assert_allclose(got, 2 * s[:, None] + s, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "width", "expected"),
    [
        ([0, 1, 0], 6, [0, 0.25, 0.75, 0.75, 0.25, 0]),
        ([2, 6], 3, [2, 4, 6]),  # places -1/6, 1/2, 7/6
        ([1, 5], 2, [1, 5]),
        ([3], 5, [3, 3, 3, 3, 3]),
        ([0, 4, 8, 12], 2, [2, 10]),  # smaller: places 1/2, 5/2
    ],
)
def test_upsample_one_row_by_hand(row, width, expected):
    got = heatmap.upsample(f32([row]), (1, width))
    np.testing.assert_allclose(got, [expected], atol=1e-6)
    np.testing.assert_allclose(
        heatmap.upsample(f32([row]).T, (width, 1))[:, 0], expected, atol=1e-6
    )


@pytest.mark.parametrize(
    ("grid", "size"),
    [((7, 7), (224, 224)), ((14, 9), (1280, 33)), ((3, 5), (8, 160)), ((14, 14), (8, 9))],
)
def test_a_ramp_keeps_every_pixel_in_its_place(grid, size):
    def places(n, big):
        return np.clip((np.arange(big) + 0.5) * n / big - 0.5, 0, n - 1)

    ramp = np.add.outer(np.arange(grid[0]), 10 * np.arange(grid[1]))
    expected = np.add.outer(places(grid[0], size[0]), 10 * places(grid[1], size[1]))
    np.testing.assert_allclose(heatmap.upsample(f32(ramp), size), expected, rtol=1e-5, atol=1e-4)


def test_a_hot_cell_stays_where_it_was():
    grid = np.zeros((7, 7), np.float32)
    grid[2, 4] = 1
    heat = heatmap.upsample(grid, (224, 224)).astype(float)
    rows, columns = np.indices(heat.shape)
    assert (rows * heat).sum() / heat.sum() == pytest.approx(2.5 * 32 - 0.5)
    assert (columns * heat).sum() / heat.sum() == pytest.approx(4.5 * 32 - 0.5)
    assert heat.min() == 0  # cubic splines would overshoot
    assert heat.max() <= 1


@pytest.mark.parametrize("side", range(1, 41))
def test_upsample_has_exactly_the_size_asked_for(side):
    for height, width in ((1280, 853), (8, 160), (333, 1279)):
        assert heatmap.upsample(np.ones((side, 7), np.float32), (height, width)).shape == (
            height,
            width,
        )


# Colours


def test_viridis_has_its_published_ends():
    assert tuple(heatmap.palette("viridis")[0]) == VIOLET
    assert tuple(heatmap.palette("viridis")[255]) == YELLOW


@pytest.mark.parametrize("name", [*heatmap.COLOURS, heatmap.DIVERGING])
def test_every_colour_map_is_256_rgb(name):
    colours = heatmap.palette(name)
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) > 190


@pytest.mark.parametrize("name", ["turbo", "jet", heatmap.DIVERGING])
def test_hot_is_red_and_cold_is_blue(name):
    cold, hot = (c.astype(int) for c in heatmap.palette(name)[[20, 235]])
    assert hot[0] > hot[2] + 50
    assert cold[2] > cold[0] + 50


def test_white_is_zero_on_the_diverging_map():
    assert heatmap.paint(f32([[0.5]]), heatmap.DIVERGING).min() >= 245


def test_paint_rounds_to_the_nearest_colour_and_clips():
    heat = f32([[-1, 0, 0.4 / 255, 0.6 / 255, 1, 2]])
    expected = heatmap.palette("viridis")[[0, 0, 0, 1, 255, 255]]
    np.testing.assert_array_equal(heatmap.paint(heat, "viridis")[0], expected)


def test_overlay_by_hand():
    image = np.full((1, 2, 3), 100, np.uint8)
    got = heatmap.overlay(image, f32([[1, 0]]), "viridis", 0.25)
    # 75 + YELLOW / 4 = 138.25, 132.75, 84.25; 75 + VIOLET / 4 = 92, 75.25, 96
    np.testing.assert_array_equal(got, [[[138, 133, 84], [92, 75, 96]]])
    assert got.dtype == np.uint8


@pytest.mark.parametrize("colours", ["viridis", heatmap.DIVERGING])
def test_where_there_is_no_map_the_photograph_is_seen(colours):
    image = np.full((1, 3, 3), 100, np.uint8)
    got = heatmap.overlay(image, f32([[heatmap.NO_MAP, 0, 1]]), colours, 1)
    cold, hot = heatmap.palette(colours)[[0, 255]]
    np.testing.assert_array_equal(got, [[[100, 100, 100], cold, hot]])


@pytest.mark.parametrize(("colours", "nothing"), [("light", 0), ("light, both signs", 0.5)])
def test_in_the_muted_look_it_is_muted_there_too(rng, colours, nothing):
    image = rng.integers(0, 256, (4, 5, 3), np.uint8)
    heat = rng.random((4, 5), np.float32)
    heat[1:, 2:] = nothing
    expected = heatmap.overlay(image, heat, colours)
    heat[1:, 2:] = heatmap.NO_MAP
    np.testing.assert_array_equal(heatmap.overlay(image, heat, colours), expected)


def test_evidence_that_lies_beyond_the_picture_by_hand():
    """Three rows over the middle third of a grid's height: only the middle one is in the picture;
    of three columns, mirrored and moved by a half, the first is beyond the right edge."""
    signed = f32([[1, 2, -5], [4, 1, 3], [0, 2, 3]])
    rows = Placement((3, 0, -1), (0, 1, 0))
    assert heatmap.share_beyond(signed, rows) == pytest.approx(8 / 16)
    columns = Placement((1, 0, 0), (0, -1, 1.5))
    assert heatmap.share_beyond(signed, columns) == pytest.approx(5 / 16)
    assert heatmap.share_beyond(signed, None) == 0
    assert heatmap.share_beyond(-np.abs(signed), rows) == 0


def test_overlay_from_nothing_to_everything(rng):
    image = rng.integers(0, 256, (4, 5, 3), np.uint8)
    heat = rng.random((4, 5), np.float32)
    np.testing.assert_array_equal(heatmap.overlay(image, heat, "jet", 0), image)
    np.testing.assert_array_equal(
        heatmap.overlay(image, heat, "jet", 1), heatmap.paint(heat, "jet")
    )


def test_grey_by_hand():
    assert (heatmap.grey(np.zeros((4, 4, 3), np.float32)) == 128).all()
    values = np.tile(f32([4, -4, 0]), (20, 20, 1))
    values[0, 0] = 1000, -1000, 2  # 3 numbers of 1200: fewer than one in 200, so 4 is the most
    got = heatmap.grey(values)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[0, 0], [255, 1, 192])  # 128 + 127 / 2 = 191.5
    np.testing.assert_array_equal(got[9, 9], [255, 1, 128])


# The paper's box


def test_box_is_round_the_largest_part_at_or_above_15_percent():
    heat = f32(
        [
            [0, 0, 0, 0, 0, 0, 0, 100],  # the strongest, but one pixel
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 15, 20, 0, 0, 0, 0, 0],
            [0, 0, 20, 16, 14, 0, 0, 0],  # 14 is below 15 % of 100
            [0, 0, 0, 0, 30, 0, 0, 0],  # touches by a corner only: another part
        ]
    )
    assert heatmap.box(heat) == (1, 2, 4, 4)
    assert heatmap.box(heat, threshold=0.25) == (7, 0, 8, 1)  # two of one pixel: the first


def test_box_of_nothing_and_of_everything():
    assert heatmap.box(np.zeros((3, 4), np.float32)) is None
    assert heatmap.box(np.ones((3, 4), np.float32)) == (0, 0, 4, 3)


# Numbers about a map


def test_relu_zeroed_fraction_by_hand():
    assert heatmap.relu_zeroed_fraction(f32([[-1, 0], [2, -3]])) == 0.5  # zero itself is not cut
    assert heatmap.relu_zeroed_fraction(f32([[1, 2]])) == 0


# The article's figure


def test_a_long_title_stays_above_its_picture():
    words = "tights for gymnastics, a one-piece leotard, or a sport jersey rather than a dog"
    image = np.zeros((40, 80, 3), np.uint8)
    drawn = heatmap.figure(image, image, f"291: {words}\nGrad-CAM\nEfficientNet-Lite0, top")
    heatmap.figure_png(drawn)  # lays it out
    left, right, *_ = drawn.axes
    title = right.title.get_window_extent()
    assert title.x0 >= left.get_window_extent().x1
    assert title.x1 <= drawn.bbox.x1
    assert (
        right.title.get_text().replace("\n", " ")
        == f"291: {words} Grad-CAM EfficientNet-Lite0, top"
    )


def test_the_scale_of_a_figure_says_what_its_end_is():
    image = np.zeros((4, 8, 3), np.uint8)
    for of in ("", " of three maps"):
        scale = heatmap.figure(image, image, "t", of=of).axes[-1]
        assert scale.get_ylabel() == f"share of the strongest evidence{of}"


@pytest.fixture
def figure(rng):
    image, over = rng.integers(0, 256, (2, 6, 9, 3), np.uint8)
    title = r"293: cheetah $\nomath$"  # own labels may look like TeX
    return heatmap.figure(image, over, title), image, over, title


def test_figure_is_the_articles(figure):
    fig, image, over, title = figure
    left, right, bar = fig.axes
    assert left.get_title() == "Original image"
    assert right.get_title() == title
    np.testing.assert_array_equal(left.images[0].get_array(), image)
    np.testing.assert_array_equal(right.images[0].get_array(), over)
    assert not left.axison
    assert not right.axison
    assert bar.get_ylim() == (0, 1)


def test_the_figure_frames_the_box_on_the_overlay(rng):
    """Pixels 2 to 4 of a row cover 1.5 to 4.5 where the middle of the first pixel is at 0."""
    pictures = rng.integers(0, 256, (2, 6, 9, 3), np.uint8)
    left, right, _ = heatmap.figure(*pictures, "title", frame=(2, 1, 5, 3)).axes
    assert not left.patches
    assert {tuple(frame.get_bbox().extents) for frame in right.patches} == {(1.5, 0.5, 4.5, 2.5)}
    assert (right.get_xlim(), right.get_ylim()) == ((-0.5, 8.5), (5.5, -0.5)), "nothing moves"


def test_the_scale_of_both_signs_has_zero_in_the_middle(rng):
    pictures = rng.integers(0, 256, (2, 6, 9, 3), np.uint8)
    *_, bar = heatmap.figure(*pictures, "title", heatmap.DIVERGING).axes
    assert bar.get_ylim() == (-1, 1)
    assert "against" in bar.get_ylabel()


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("pdf", b"%PDF"), ("svg", b"<?xml")],
)
def test_figure_is_saved_as_its_name_says(figure, suffix, start, tmp_path):
    heatmap.save_figure(figure[0], tmp_path / f"a.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(start)


def test_figure_png_is_a_png(figure):
    assert heatmap.figure_png(figure[0]).startswith(b"\x89PNG")


def test_no_pyplot():
    """pyplot is global state, and a page has threads."""
    program = (
        "import sys, numpy as np\n"
        "from gradcam_core import heatmap as h\n"
        "h.figure_png(h.figure(*np.zeros((2, 8, 8, 3), np.uint8), 'title'))\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shrink_takes_the_mean_of_whole_blocks():
    grid = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert heatmap.shrink(grid, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert heatmap.shrink(grid, 1).tolist() == [[7.5]]
    assert heatmap.shrink(grid, 4) is grid
    assert heatmap.shrink(grid, 7) is grid
    assert heatmap.shrink(np.ones((5, 12), np.float32), 4).tolist() == [[1] * 4] * 2


def test_shrink_shares_out_the_cells_that_lie_on_an_edge():
    """Three cells into two: the middle one belongs half to either."""
    grid = np.array([[3, 6, 9]], np.float32)
    assert heatmap.shrink(grid, 2).tolist() == [[4, 8]]
    last = np.zeros((35, 35), np.float32)
    last[-1, -1] = 1
    small = heatmap.shrink(last, 17)
    assert small[-1, -1] == pytest.approx((17 / 35) ** 2)
    assert small.mean() == pytest.approx(last.mean())
