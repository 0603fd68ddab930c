"""What is painted over, pixel by pixel."""

import numpy as np
import pytest

from gradcam_core.hide import FILLS, hidden, rectangle
from gradcam_core.types import UserError


def test_a_box_takes_the_pixels_whose_middle_is_inside():
    """Five columns have their middles at .1 .3 .5 .7 .9, three rows at 1/6 1/2 5/6."""
    found = rectangle((0.3, 0.4, 0.7, 1), (3, 5))
    assert found.astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0]]
    assert rectangle((0, 0, 1, 1), (3, 5)).all()
    assert not rectangle((0.31, 0, 0.49, 1), (3, 5)).any()


@pytest.fixture
def picture(rng):
    return rng.uniform(0, 255, (7, 11, 3)).astype(np.float32)


@pytest.mark.parametrize("fill", FILLS)
def test_only_what_is_masked_changes(fill, picture):
    masks = [rectangle((0, 0, 0.5, 0.5), (7, 11)), rectangle((0.5, 0, 1, 1), (7, 11))]
    before = picture.copy()
    made = hidden(picture, masks, fill)
    assert made.shape == (2, 7, 11, 3)
    assert made.dtype == np.float32
    for one, mask in zip(made, masks, strict=True):
        assert (one[~mask] == picture[~mask]).all()
        assert (one[mask] != picture[mask]).mean() > 0.9
    assert (picture == before).all()


def test_what_is_painted(picture):
    everything = [np.ones((7, 11), bool)]
    assert (hidden(picture, everything, "grey") == 127.5).all()
    np.testing.assert_allclose(
        hidden(picture, everything, "mean")[0, 3, 4], picture.reshape(-1, 3).mean(0), rtol=1e-5
    )
    flat = np.full((7, 11, 3), 31, np.float32)
    np.testing.assert_allclose(hidden(flat, everything, "blur")[0], flat, rtol=1e-5)


def test_blur_takes_shapes_and_keeps_colours():
    """Of stripes one row high a Gaussian of 2 rows leaves exp(-(2 pi)^2 / 2), nothing."""
    stripes = np.zeros((24, 36, 3), np.float32)
    stripes[::2] = 200
    middle = hidden(stripes, [np.ones((24, 36), bool)], "blur")[0, 8:-8]
    assert np.abs(middle - 100).max() < 1
    halves = np.zeros((24, 36, 3), np.float32)
    halves[:, 18:] = 200
    made = hidden(halves, [np.ones((24, 36), bool)], "blur")[0, 12, :, 0]
    assert made[0] < 1
    assert made[-1] > 199
    assert made[17] + made[18] == pytest.approx(200, abs=0.1)


def test_an_unknown_way_is_refused(picture, sentence):
    with pytest.raises(UserError, match="grey, blur, mean") as error:
        hidden(picture, [], "black")
    sentence(error.value)
