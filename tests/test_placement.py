"""A map lies where its evidence is. The referees: a bright spot, and a picture that holds its own
rows and columns, which the network itself carries forward."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops
from scipy import ndimage

from gradcam_core import heatmap, lookup, models, network, placement
from gradcam_core.coordinates import Walk
from gradcam_core.methods import METHODS
from gradcam_core.network import Network
from gradcam_core.pipeline import explain
from gradcam_core.placement import NOWHERE, PIECES, RUNS, STREWN
from gradcam_core.types import Method, Placement

SHAPE = (64, 48, 3)
SPOT = slice(8, 16), slice(28, 36)  # rows and columns of the only bright pixels: all evidence


@pytest.fixture(autouse=True)
def _fresh_names():
    keras.backend.clear_session()


class Do(L.Layer):
    """A layer that does what a function of TensorFlow does."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def spot(**more):
    return L.Conv2D(1, 1, kernel_initializer="ones", activation="relu", name="spot", **more)


def headed(image, a):
    """The class is the mean of `a`, so its Grad-CAM is `a` itself."""
    weights = keras.initializers.Constant([[1.0, -1.0]])
    mean = L.GlobalAveragePooling2D(name="average")(a)
    return keras.Model(image, L.Dense(2, kernel_initializer=weights, name="answer")(mean))


def looked(before, shape=SHAPE):
    """A network whose layer "spot" sees what `before` makes of the picture."""
    image = keras.Input(shape)
    return Network(headed(image, spot()(before(image))), shape)


def conv(k=4, size=3, **more):
    return L.Conv2D(k, size, padding="same", activation="relu", **more)


def grid(x):
    """8x6 cells of 8 pixels."""
    return conv(4, 8, strides=8, name="grid")(x)


# The drawing


def placed(*numbers):
    return Placement(numbers[:3], numbers[3:])


def test_a_layer_that_covers_the_picture_is_drawn_as_ever(rng):
    for h, w, size in [(7, 7, (224, 224)), (3, 5, (31, 17)), (9, 1, (4, 6))]:
        a = rng.normal(size=(h, w)).astype(np.float32)
        np.testing.assert_array_equal(heatmap.project(a, size), heatmap.upsample(a, size))
        whole = heatmap.project(a, size, placed(1, 0, 0, 0, 1, 0))
        np.testing.assert_allclose(whole, heatmap.upsample(a, size), atol=1e-6)


FOUR = np.array([[1, 2], [3, 4]], np.float32)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        # rows 1-2 and columns 2-3 of 4x6 pixels: a cell is a pixel
        (placed(0.5, 0, 0.25, 0, 1 / 3, 1 / 3), [[0, 0, 0, 0, 0, 0], [0, 0, 1, 2, 0, 0],
                                                 [0, 0, 3, 4, 0, 0], [0, 0, 0, 0, 0, 0]]),
        # mirrored left to right, in the upper left
        (placed(0.5, 0, 0, 0, -1 / 3, 1 / 3), [[2, 1, 0, 0, 0, 0], [4, 3, 0, 0, 0, 0],
                                               [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        # rows and columns exchanged, in the lower right
        (placed(0, 0.5, 0.5, 1 / 3, 0, 2 / 3), [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0],
                                                [0, 0, 0, 0, 1, 3], [0, 0, 0, 0, 2, 4]]),
        # twice the picture's height and width: each pixel lies inside one of the four cells
        (placed(2, 0, -0.5, 0, 2, -0.5), None),
    ],
)  # fmt: skip
def test_drawn_where_it_belongs_by_hand(where, expected):
    got = heatmap.project(FOUR, (4, 6), where)
    if expected is None:  # pixel row r at u = (r + .5) / 8 + .25 of the grid, in cells 2 u - .5
        u, v = (2 * ((np.arange(n) + 0.5) / n / 2 + 0.25) - 0.5 for n in (4, 6))
        expected = 1 + 2 * u.clip(0, 1)[:, None] + v.clip(0, 1)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.dtype == np.float32


def test_what_no_cell_covers_has_the_value_that_is_nothing():
    got = heatmap.project(FOUR, (4, 6), placed(0.5, 0, 0.25, 0, 1 / 3, 1 / 3), outside=0.5)
    assert got[0, 0] == got[3, 5] == 0.5
    assert got[1, 2] == 1


# The whole path: the heat lies on the spot

BEFORE = {
    "nothing": lambda x: x,
    "center crop": lambda x: L.CenterCrop(48, 40)(x),
    "crop": lambda x: L.Cropping2D(((4, 16), (8, 4)))(x),
    "a slice": lambda x: x[:, :32, 16:],
    "zero padding": lambda x: L.ZeroPadding2D(16)(x),
    "one-sided padding": lambda x: L.ZeroPadding2D(((0, 9), (21, 0)))(x),
    "left to right": lambda x: ops.flip(x, axis=2),
    "upside down": lambda x: x[:, ::-1],
    "a quarter turn": lambda x: ops.rot90(x, axes=(1, 2)),
    "transposed": lambda x: L.Permute((2, 1, 3))(x),
    "resized, cut to its shape": lambda x: L.Resizing(32, 32, crop_to_aspect_ratio=True)(x),
    "resized, padded to its shape": lambda x: L.Resizing(32, 32, pad_to_aspect_ratio=True)(x),
    "random flip, at rest": lambda x: L.RandomFlip()(x),
    "in the midst": lambda x: ops.flip(L.Cropping2D(((4, 8), (12, 2)))(L.ReLU()(x)), 2),
}


@pytest.mark.many
@pytest.mark.parametrize("before", BEFORE)
def test_the_heat_lies_on_the_spot(before):
    x = np.zeros(SHAPE, np.uint8)
    x[SPOT] = 255
    image = keras.Input(SHAPE)
    model = headed(image, spot()(BEFORE[before](image)))
    spec = models.from_keras(model, preprocess="scale01")
    seen = explain(x, spec, target=0)
    heat = seen.heatmaps["Grad-CAM"]
    assert seen.layer == "spot"
    assert not lookup.network(spec).layers["spot"].poor
    middle = np.argwhere(heat >= 0.99 * heat.max()).mean(0)
    np.testing.assert_allclose(middle, [11.5, 31.5], atol=1)
    assert heat[SPOT].sum() > 0.85 * heat.sum()
    left, top, right, bottom = heatmap.box(heat)
    np.testing.assert_allclose([left, top, right, bottom], [28, 8, 36, 16], atol=2)


@pytest.mark.parametrize("colours", ["viridis", "jet"])
def test_beside_a_crop_the_photograph_is_seen(colours, rng):
    """Rows 8 to 56 and columns 4 to 44 are what the network sees: pixel by pixel."""
    x = rng.integers(0, 256, SHAPE, np.uint8)
    image = keras.Input(SHAPE)
    crop = BEFORE["center crop"](image)
    spec = models.from_keras(headed(image, spot()(crop)), preprocess="scale01")
    seen = explain(x, spec, target=0)
    expected = x.copy()
    inside = slice(8, 56), slice(4, 44)
    expected[inside] = heatmap.paint(seen.heatmaps["Grad-CAM"], colours)[inside]
    np.testing.assert_array_equal(seen.overlay(colours=colours, opacity=1), expected)
    drawn = seen.figure(colours=colours).axes[1].get_images()[0].get_array()
    np.testing.assert_array_equal(drawn[:8], x[:8])
    assert not seen.heatmaps["Grad-CAM"][:8].any()


def test_a_map_of_the_picture_itself_is_not_moved(monkeypatch):
    """What a method says of the picture covers the picture, at whichever layer it is asked."""

    def asking(asked, trace, layer):
        yield 0.5
        return np.array([[0, 0], [0, 1]], np.float32)

    row = Method(None, "line", "paper", "cost", ask=asking, of_picture=True)
    monkeypatch.setitem(METHODS, "all", row)
    image = keras.Input(SHAPE)
    spec = models.from_keras(headed(image, spot()(BEFORE["crop"](image))), preprocess="scale01")
    seen = explain(np.full(SHAPE, 9, np.uint8), spec, methods=("all", "Grad-CAM"))
    assert seen.heatmaps["all"][-1, -1] == 1
    assert seen.heatmaps["Grad-CAM"][0, 0] == 0 != seen.heatmaps["Grad-CAM"][30, 30]


# What the walk finds, worked out by hand. Of 64x48: u and v are shares of the layer's own grid.

WHOLE = None
MOVED = {
    "crop": (lambda x: L.Cropping2D(((8, 16), (4, 0)))(conv()(x)),
             (40/64, 0, 8/64, 0, 44/48, 4/48)),
    "slice from the end": (lambda x: x[:, -32:, :24], (0.5, 0, 0.5, 0, 0.5, 0)),
    "every second": (lambda x: x[:, ::2, ::2], WHOLE),
    "padding": (lambda x: L.ZeroPadding2D(((16, 0), (0, 24)))(x), (80/64, 0, -0.25, 0, 1.5, 0)),
    "mirrored rim": (
        lambda x: Do(lambda t: tf.pad(t, [[0, 0], [16, 16], [8, 8], [0, 0]], "REFLECT"))(x),
        (1.5, 0, -0.25, 0, 64/48, -8/48)),
    "flip": (lambda x: ops.flip(x, 2), (1, 0, 0, 0, -1, 1)),
    "flip by index": (lambda x: ops.take(x, np.arange(63, -1, -1), axis=1), (-1, 0, 1, 0, 1, 0)),
    "turn": (lambda x: ops.rot90(x, axes=(1, 2)), (0, 1, 0, -1, 0, 1)),
    "other turn": (lambda x: ops.rot90(x, k=3, axes=(1, 2)), (0, -1, 1, 1, 0, 0)),
    "transposed": (lambda x: L.Permute((2, 1, 3))(conv()(x)), (0, 1, 0, 1, 0, 0)),
    "transposed by einsum": (
        lambda x: Do(lambda t: tf.einsum("bhwc,cd->bwhd", t, tf.ones((3, 4))))(x),
        (0, 1, 0, 1, 0, 0)),
    "transposed one by one": (
        lambda x: ops.vectorized_map(lambda t: ops.transpose(t, (1, 0, 2)), x), (0, 1, 0, 1, 0, 0)),
    "shifted": (
        lambda x: ops.image.affine_transform(x, np.array([1, 0, 12, 0, 1, 16, 0, 0], np.float32)),
        (1, 0, 16/64, 0, 1, 12/48)),
    "central crop": (lambda x: Do(lambda t: tf.image.central_crop(t, 0.5))(x),
                     (0.5, 0, 0.25, 0, 0.5, 0.25)),
    "cut here, padded there": (
        lambda x: Do(lambda t: tf.image.resize_with_crop_or_pad(t, 32, 80))(x),
        (0.5, 0, 0.25, 0, 80/48, -16/48)),
    "of bytes": (lambda x: ops.cast(ops.cast(x, "uint8")[:, 8:56, 12:], "float32"),
                 (0.75, 0, 0.125, 0, 0.75, 0.25)),
    "of halves": (lambda x: conv(dtype="mixed_float16")(L.CenterCrop(32, 32)(x)),
                  (0.5, 0, 0.25, 0, 32/48, 8/48)),
    "resized, cut": (lambda x: L.Resizing(30, 30, crop_to_aspect_ratio=True)(x),
                     (0.75, 0, 0.125, 0, 1, 0)),
    "resized, padded": (lambda x: L.Resizing(30, 30, pad_to_aspect_ratio=True)(x),
                        (1, 0, 0, 0, 64/48, -8/48)),
    "resized": (lambda x: L.Resizing(31, 45)(x), WHOLE),
    "resized smoothly": (lambda x: Do(lambda t: tf.image.resize(t, (20, 20), antialias=True))(x),
                         WHOLE),
    "windows inside": (lambda x: L.Conv2D(4, 9)(L.Conv2D(4, 9)(x)),
                       (0.75, 0, 0.125, 0, 32/48, 8/48)),
    "a condition": (
        lambda x: Do(lambda t: tf.cond(
            tf.reduce_mean(t) > 0.5, lambda: t[:, ::-1], lambda: 2 * t[:, ::-1]))(x),
        (-1, 0, 1, 0, 1, 0)),
    "one column": (lambda x: L.AveragePooling2D((4, 16))(x[:, :, 32:]), (1, 0, 0, 0, 1/3, 2/3)),
    "one row": (lambda x: L.AveragePooling2D((64, 4))(x), WHOLE),
    "one row, turned": (lambda x: L.Permute((2, 1, 3))(L.AveragePooling2D((64, 4))(x)),
                        (0, 1, 0, 1, 0, 0)),
    "there and back": (lambda x: ops.flip(conv()(ops.flip(x, 1)), 1), WHOLE),
    "rolled there and back": (lambda x: ops.roll(conv()(ops.roll(x, -8, 1)), 8, 1), WHOLE),
    "cut and padded again": (lambda x: L.ZeroPadding2D(8)(L.Cropping2D(8)(x)), WHOLE),
    "focus": (lambda x: ops.concatenate([x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)], -1),
              WHOLE),
    "space to depth": (lambda x: Do(lambda t: tf.nn.space_to_depth(t, 4))(x), WHOLE),
    "depth to space": (lambda x: Do(lambda t: tf.nn.depth_to_space(t, 2))(grid(x)), WHOLE),
    "patches": (lambda x: ops.image.extract_patches(x, (8, 8)), WHOLE),
    "patches merged by hand": (
        lambda x: L.Dense(8)(ops.reshape(ops.transpose(
            ops.reshape(x, (-1, 16, 4, 12, 4, 3)), (0, 1, 3, 2, 4, 5)), (-1, 16, 12, 48))), WHOLE),
    "pooled by hand": (lambda x: ops.mean(ops.reshape(x, (-1, 16, 4, 12, 4, 3)), axis=(2, 4)),
                       WHOLE),
    "windows in the batch and back": (
        lambda x: ops.reshape(ops.transpose(ops.reshape(conv(3)(ops.reshape(ops.transpose(
            ops.reshape(x, (-1, 8, 8, 6, 8, 3)), (0, 1, 3, 2, 4, 5)), (-1, 8, 8, 3))),
            (-1, 8, 6, 8, 8, 3)), (0, 1, 3, 2, 4, 5)), (-1, 64, 48, 3)), WHOLE),
    "larger": (lambda x: L.UpSampling2D(3, interpolation="bilinear")(grid(x)), WHOLE),
    "each cell repeated": (lambda x: L.UpSampling2D(4)(L.UpSampling2D(2)(grid(x))), WHOLE),
    "a corner, repeated": (lambda x: L.UpSampling2D(8)(grid(x)[:, 4:, 3:]),
                           (0.5, 0, 0.5, 0, 0.5, 0.5)),
    "transposed convolution": (lambda x: L.Conv2DTranspose(4, 4, strides=4)(grid(x)), WHOLE),
    "dilated": (lambda x: L.DepthwiseConv2D(3, dilation_rate=4, padding="same")(x), WHOLE),
    "volume": (lambda x: ops.squeeze(L.Conv3D(4, 3, padding="same")(ops.expand_dims(x, 1)), 1),
               WHOLE),
    "group norm": (lambda x: L.GroupNormalization(2)(conv()(x)), WHOLE),
    "layer norm": (lambda x: L.LayerNormalization()(conv()(x)), WHOLE),
    "gate": (lambda x: x * L.GlobalAveragePooling2D(keepdims=True)(x), WHOLE),
    "attention beside": (
        lambda x: of_tokens(grid(x), lambda t: t + L.MultiHeadAttention(2, 4)(t, t)), WHOLE),
}  # fmt: skip


def of_tokens(x, change):
    h, w, k = x.shape[1:]
    return ops.reshape(change(ops.reshape(x, (-1, h * w, k))), (-1, h, w, k))


def across(t):
    """A dense layer over the places, as in a mixer."""
    return ops.transpose(L.Dense(t.shape[1])(ops.transpose(t, (0, 2, 1))), (0, 2, 1))


@pytest.mark.many
@pytest.mark.parametrize("case", MOVED)
def test_where_the_cells_lie(case):
    before, numbers = MOVED[case]
    layer = looked(before).layers["spot"]
    assert layer.poor not in NOWHERE
    if numbers is None:
        assert layer.placement is None
    else:
        np.testing.assert_allclose(layer.placement.numbers, numbers, atol=2e-3)


STRANGE = {
    "rolled": lambda x: ops.roll(x, 24, 1),
    "halves exchanged": lambda x: ops.concatenate([x[:, 32:], x[:, :32]], 1),
    "rows broken anew": lambda x: ops.reshape(x, (-1, 32, 96, 3)),
    "columns shuffled": lambda x: ops.take(x, np.random.default_rng(0).permutation(48), axis=2),
    "sorted": lambda x: ops.sort(x, axis=1),
    "by their order": lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    "summed along": lambda x: ops.cumsum(x, axis=1),
    "laid upon its mirror": lambda x: x + ops.flip(x, 2),
    "beside its mirror": lambda x: ops.concatenate([x, ops.flip(x, 2)], -1),
    "tiled": lambda x: ops.tile(x, (1, 2, 2, 1)),
    "of waves": lambda x: Do(lambda t: tf.abs(tf.signal.fft2d(tf.cast(t, tf.complex64))))(x),
    "rows mixed": lambda x: Do(lambda t: tf.einsum("bhwc,hg->bgwc", t, tf.ones((64, 64))))(x),
    "rows mixed from the left": lambda x: Do(lambda t: tf.matmul(tf.ones((48, 48)), t))(x),
    "flattened": lambda x: L.Reshape((8, 6, 4))(L.Dense(192)(L.Flatten()(grid(x)))),
    "mixer": lambda x: of_tokens(grid(x), across),
    "attention alone": lambda x: of_tokens(grid(x), lambda t: L.MultiHeadAttention(2, 4)(t, t)),
    "line by line": lambda x: L.Reshape((64, 24, 2))(
        L.LSTM(48, return_sequences=True)(L.Reshape((64, 144))(x))),
    "this way or that": lambda x: Do(
        lambda t: tf.cond(tf.reduce_mean(t) > 0.5, lambda: t, lambda: t[:, :, ::-1]))(x),
    "turned as the picture says": lambda x: Do(lambda t: tf.raw_ops.ImageProjectiveTransformV3(
        images=t, transforms=tf.reshape(t[:, :1, :8, 0], (1, 8)), output_shape=(64, 48),
        fill_value=0.0, interpolation="BILINEAR"))(x),
    "where the picture says": lambda x: Do(lambda t: tf.gather(
        t, tf.cast(tf.reduce_mean(t, (0, 2, 3)), tf.int32), axis=1))(x),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_laid_in_rows_and_columns_is_told(case):
    net = looked(lambda x: STRANGE[case](conv(3, name="good")(x)))
    layer = net.layers["spot"]
    assert layer.poor == STREWN
    assert layer.placement is None
    assert not layer.suggested
    assert net.best != "spot"


# What the graph does not tell is found by asking, if the answer is clear


def by_numpy(change, shape=(64, 48, 3)):
    """Nothing can be followed through it."""
    return lambda x: Do(
        lambda t: tf.reshape(
            tf.numpy_function(lambda a: np.ascontiguousarray(change(a)), [t], tf.float32),
            (-1, *shape),
        )
    )(x)


def in_a_loop(change):
    return lambda x: ops.map(change, x)


def one_after_the_other(x):
    turned = ops.map(lambda t: ops.transpose(t, (1, 0, 2)), x)
    return ops.map(lambda t: t[:, ::-1], conv(name="between")(turned))


TURNED = {
    "as it is": (by_numpy(lambda a: a), WHOLE),
    "transposed": (in_a_loop(lambda t: ops.transpose(t, (1, 0, 2))), (0, 1, 0, 1, 0, 0)),
    "left to right": (in_a_loop(lambda t: t[:, ::-1]), (1, 0, 0, 0, -1, 1)),
    "upside down": (by_numpy(lambda a: a[:, ::-1]), (-1, 0, 1, 0, 1, 0)),
    "half a turn": (by_numpy(lambda a: a[:, ::-1, ::-1]), (-1, 0, 1, 0, -1, 1)),
    "a quarter turn": (
        by_numpy(lambda a: np.rot90(a, axes=(1, 2)), (48, 64, 3)), (0, 1, 0, -1, 0, 1)),
    "the other": (by_numpy(lambda a: np.rot90(a, 3, (1, 2)), (48, 64, 3)), (0, -1, 1, 1, 0, 0)),
    "the other diagonal": (
        by_numpy(lambda a: a[:, ::-1, ::-1].transpose(0, 2, 1, 3), (48, 64, 3)),
        (0, -1, 1, -1, 0, 1)),
    "finer before than after": (
        lambda x: by_numpy(lambda a: a[:, ::8, ::-8], (8, 6, 3))(x), (1, 0, 0, 0, -1, 1)),
    "what comes after it is followed": (
        lambda x: L.Cropping2D(((0, 24), (16, 0)))(in_a_loop(lambda t: ops.transpose(t, (1, 0, 2)))(
            x)), (0, 48/64, 16/64, 24/48, 0, 0)),
    "after a crop": (
        lambda x: by_numpy(lambda a: a[:, :, ::-1], (32, 24, 3))(x[:, 16:48, 24:]),
        (0.5, 0, 0.25, 0, -0.5, 1)),
    "one after the other": (one_after_the_other, (0, -1, 1, 1, 0, 0)),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize(("number", "case"), list(enumerate(TURNED)))
def test_which_way_round_a_layer_lies_is_asked(number, case):
    """After another layer, or at the picture itself."""
    before, numbers = TURNED[case]
    layer = looked(lambda x: before(conv(3)(x) if number % 2 else x)).layers["spot"]
    assert layer.poor not in NOWHERE
    if numbers is None:
        assert layer.placement is None
    else:
        np.testing.assert_allclose(layer.placement.numbers, numbers, atol=2e-3)


UNCLEAR = {
    "cut at one side": in_a_loop(lambda t: t[7:]),
    "rolled": by_numpy(lambda a: np.roll(a, 12, 2)),
    "sorted": by_numpy(lambda a: np.sort(a, 1)),
    "beside its mirror": by_numpy(lambda a: a + a[:, :, ::-1]),
    "half of it the mean": by_numpy(lambda a: a / 48 + a.mean((1, 2), keepdims=True)),
    "nothing of it": by_numpy(np.zeros_like),
    "by what the picture is": by_numpy(
        lambda a: a[:, ::-1] if np.abs(np.diff(a, axis=2)).mean() > 0.2 else a
    ),
    "a small grid": lambda x: by_numpy(lambda a: a[:, :, ::-1], (3, 48, 3))(
        L.AveragePooling2D((21, 1))(x)),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize("case", UNCLEAR)
def test_an_unclear_answer_is_none(case):
    layer = looked(UNCLEAR[case]).layers["spot"]
    assert (layer.poor, layer.placement) == (STREWN, None)


def test_a_way_round_by_hand():
    """A grid of 4x5 cells that lies upside down: a change at the top moves its bottom."""
    blocks, places = placement.probes((8, 10), (4, 5))
    assert [[(p.start, p.stop) for p in block] for block in blocks][:2] == [
        [(0, 2), (0, 2)], [(0, 2), (5, 8)]
    ]  # fmt: skip
    expected = [[1 / 8, 1 / 10], [1 / 8, 6.5 / 10], [7 / 8, 9 / 10]]
    np.testing.assert_allclose(places[[0, 1, -1]], expected, rtol=1e-6)
    moved = np.zeros((2, 9, 4, 5), np.float32)
    for n, (row, column) in enumerate(places):
        moved[:, n, 3 - int(row * 4), int(column * 5)] = 1
    found = placement.way_round(moved, places)
    assert found.numbers == (-1, 0, 1, 0, 1, 0)
    for other in (moved[1, :, ::-1], moved[1] * np.nan, moved[1] * 0):  # of the other picture
        assert placement.way_round(np.stack([moved[0], other]), places) is None


def test_what_is_asked_is_told_in_passes(monkeypatch):
    """Twenty for a layer, of ASKED layers at most."""
    passes, layers, counts = [], [], []

    def counted(a):
        passes.append(1)
        return a

    def probes(*sides):
        layers.append(sides)
        return placement.probes(*sides)

    monkeypatch.setattr(network, "probes", probes)
    for most in (0, 1):
        monkeypatch.setattr(network, "ASKED", most)
        passes.clear()
        looked(by_numpy(counted))
        counts.append(len(passes))
    assert counts[1] - counts[0] == 20
    image = x = keras.Input(SHAPE)
    for _ in range(3):
        x = in_a_loop(lambda t: t * 2)(x)
    model = headed(image, spot()(x))
    for most in (2, 3):
        monkeypatch.setattr(network, "ASKED", most)
        layers.clear()
        assert (Network(model, SHAPE).layers["spot"].poor == STREWN) == (most < 3)
        assert len(layers) == most


# Pieces, and layers that run more than once


def strips(x):
    return ops.reshape(x, (-1, 16, 48, 3))


def test_strips_in_the_batch_are_told():
    image = keras.Input(SHAPE)
    a = spot()(strips(conv(3, name="good")(image)))
    mean = ops.mean(ops.reshape(L.GlobalAveragePooling2D()(a), (-1, 4, 1)), axis=1)
    net = Network(keras.Model(image, L.Dense(2)(mean)), SHAPE)
    assert net.layers["spot"].poor == PIECES
    assert net.best == "good"


def test_without_any_other_layer_the_caveat_stays():
    image = keras.Input(SHAPE)
    a = spot()(strips(image))
    mean = ops.mean(ops.reshape(L.GlobalAveragePooling2D()(a), (-1, 4, 1)), axis=1)
    net = Network(keras.Model(image, L.Dense(2)(mean)), SHAPE)
    assert (net.best, net.layers["spot"].poor) == ("spot", PIECES)


def test_of_poor_layers_the_best_is_one_that_has_a_place():
    image = keras.Input(SHAPE)
    ways = conv(3, name="left")(image), conv(3, name="right")(ops.flip(image, 2))
    net = Network(headed(image, spot()(L.Add(name="sum")(ways))), SHAPE)
    assert net.layers["spot"].poor == net.layers["sum"].poor == STREWN
    assert net.suggested == ("right",)
    assert all(layer.poor for layer in net.layers.values())
    assert net.best == "right"


def averaged(parts):
    h, w, k = parts[0].shape[1:]
    encoder = keras.Sequential(
        [keras.Input((h, w, k)), spot(), L.GlobalAveragePooling2D()], name="encoder"
    )
    return L.Average()([encoder(part) for part in parts])


@pytest.mark.many
@pytest.mark.parametrize(
    "cut",
    [
        lambda x: [x[:, :40], x[:, 24:]],
        lambda x: [x[:, :32, :24], x[:, 32:, 24:]],
        lambda x: [x[:, :32], x[:, 32:], x[:, 32:]],
        lambda x: [x[:, :32, :24], x[:, 32:, 24:], x[:, :32, 24:], x[:, 28:60, :24]],
    ],
    ids=["halves that overlap", "two of four", "one twice", "tiles not in a row"],
)
def test_a_layer_that_runs_at_several_places_is_told(cut):
    image = keras.Input(SHAPE)
    x = conv(3, name="good")(image)
    net = Network(keras.Model(image, L.Dense(2)(averaged(cut(x)))), SHAPE)
    assert net.layers["encoder/spot"].poor == RUNS
    assert net.best == "good"


def test_a_layer_that_runs_twice_at_one_place_is_no_matter():
    image = keras.Input(SHAPE)
    again = spot()
    net = Network(headed(image, again(conv(1)(again(conv(1)(image))))), SHAPE)
    assert not net.layers["spot"].poor


# After a crop all that comes is placed, however few its cells are


@pytest.mark.parametrize(
    ("crop", "numbers"),
    [
        (L.CenterCrop(56, 56), (0.875, 0, 0.0625, 0, 0.875, 0.0625)),
        (L.Cropping2D(((8, 0), (0, 8))), (0.875, 0, 0.125, 0, 0.875, 0)),
    ],
)
def test_after_a_crop_all_layers_are_placed(crop, numbers):
    """At 7x7 the middle of the corner is off by 0.38 cell: left alone it would be "whole"."""
    image = keras.Input((64, 64, 3))
    x = crop(image)
    for n in range(3):
        short = x
        x = L.ReLU(name=f"at{n}")(L.BatchNormalization()(conv(4, strides=2)(x)))
        x = L.Add(name=f"sum{n}")([x, L.Conv2D(4, 1, strides=2)(short)])
    net = Network(headed(image, x), (64, 64, 3))
    assert net.layers["sum2"].shape == (7, 7, 4)
    for name in ("at0", "sum0", "at1", "sum1", "at2", "sum2"):
        np.testing.assert_allclose(net.layers[name].placement.numbers, numbers, atol=1e-5)


@pytest.mark.many
@pytest.mark.parametrize("rim", [((0, 1), (0, 1)), ((1, 1), (1, 1)), ((1, 0), (1, 0))])
def test_the_rim_for_a_window_is_no_padding_of_the_picture(rim):
    """As in MobileNet, EfficientNet, ResNet: padded by hand, then a convolution without padding."""
    image = x = keras.Input((64, 48, 3))
    for n in range(3):
        x = L.Conv2D(4, 3, strides=2, activation="relu", name=f"at{n}")(L.ZeroPadding2D(rim)(x))
    net = Network(headed(image, x), (64, 48, 3))
    assert [net.layers[f"at{n}"].placement for n in range(3)] == [None] * 3
    assert not any(layer.poor in NOWHERE for layer in net.layers.values())


# Any chain of moves, against what the network itself carries forward


def chain(dice, x):
    """One to four moves in a row, with random sizes."""
    for _ in range(dice.integers(1, 5)):
        h, w = x.shape[1:3]
        up, left = int(dice.integers(0, h // 3)), int(dice.integers(0, w // 3))
        down, right = int(dice.integers(0, h // 3)), int(dice.integers(0, w // 3))
        sides = [max(5, int(side * dice.uniform(0.5, 1.7))) for side in (h, w)]
        moves = [
            L.Cropping2D(((up, down), (left, right))),
            L.ZeroPadding2D(((up, down), (left, right))),
            lambda x, up=up, right=right: x[:, up:, : x.shape[2] - right],
            lambda x: ops.flip(x, 1),
            lambda x: ops.flip(x, 2),
            L.Permute((2, 1, 3)),
            lambda x, k=1 + 2 * (up % 2): ops.rot90(x, k=k, axes=(1, 2)),
            L.Resizing(*sides),
            L.Resizing(*sides, crop_to_aspect_ratio=True),
            L.Resizing(*sides, pad_to_aspect_ratio=True),
            L.AveragePooling2D(2),
            L.UpSampling2D(2, interpolation="bilinear"),
        ]
        if min(h, w) < 12:
            return x
        x = moves[dice.integers(len(moves))](x)
    return x


@pytest.mark.many
@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(n, marks=pytest.mark.slow) for n in range(8, 120))]
)
def test_any_chain_of_moves(seed):
    dice = np.random.default_rng(seed)
    size = tuple(int(n) for n in dice.integers(41, 90, 2))
    image = keras.Input((*size, 3))
    x = chain(dice, image)
    carry = keras.Model(image, x)
    layer = Network(headed(image, spot()(x)), (*size, 3)).layers["spot"]
    h, w = layer.shape[:2]

    own = np.ones((*size, 3), np.float32)  # each pixel: its row, its column, 1
    own[..., :2] = ((np.indices(size) + 0.5).T / size).transpose(1, 0, 2)
    rows, columns, inside = np.moveaxis(carry(own[None])[0].numpy(), -1, 0)
    full = inside > 0.999
    assert layer.poor not in NOWHERE
    cells = np.stack(np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij"))
    where = layer.placement or placed(1, 0, 0, 0, 1, 0)
    matrix = np.array([where.rows, where.columns])
    said = np.tensordot(matrix[:, :2], cells, 1) + matrix[:, 2:, None]
    a_cell = np.abs(matrix[:, :2]) @ [1 / h, 1 / w]  # as shares of the picture
    inner = ndimage.binary_erosion(
        full, iterations=max(1, min(h, w) // 5)
    )  # resizing bends the rim
    off = np.abs(said - [rows, columns])[:, inner if inner.any() else full].max(1)
    # what pooling leaves over is a drift below half a cell; "whole" may be off by what it allows
    assert (off < (0.51 * a_cell if layer.placement else np.maximum(0.8 * a_cell, 0.045))).all()

    near = ndimage.binary_erosion(full)
    i, j = dice.permutation(np.argwhere(near))[0]
    spot_at = np.array([rows[i, j], columns[i, j]]) * size
    half = np.maximum(a_cell * size, 1)
    low, high = np.floor(spot_at - half).astype(int).clip(0), np.ceil(spot_at + half).astype(int)
    picture = np.zeros((*size, 3), np.float32)
    picture[low[0] : high[0], low[1] : high[1]] = 1
    a = carry(picture[None])[0].numpy().sum(-1)
    heat = heatmap.project(heatmap.normalise(a), size, layer.placement)
    middle = np.argwhere(heat >= 0.95 * heat.max()).mean(0) + 0.5
    slack = 0.5 * half if layer.placement else np.maximum(half, 0.05 * np.array(size))
    assert (low - slack <= middle).all()
    assert (middle <= high + slack).all()


# Nothing fails to load


def test_what_cannot_be_followed_loads_all_the_same(monkeypatch):
    def broken(*_):
        raise AttributeError("TensorFlow has changed")

    monkeypatch.setattr(Walk, "_step", broken)
    assert looked(conv(name="good")).layers["good"].placement is None  # it was asked
    monkeypatch.setattr(network, "ASKED", 0)
    net = looked(conv(name="good"))
    assert {layer.poor for layer in net.layers.values()} == {STREWN}
    assert net.best == "spot"
    monkeypatch.undo()
    monkeypatch.setattr(placement, "fitted", broken)
    assert {layer.poor for layer in looked(conv(name="good")).layers.values()} == {STREWN}


# The networks of the list: all that is suggested covers the whole picture


def check_stock(key, factor=1):
    spec = models.MODELS[key]
    side = factor * spec.size
    net = Network(spec.build(None), (side, side, 3), spec.suggested, spec.head)
    places = {name: (net.layers[name].placement, net.layers[name].poor) for name in net.suggested}
    assert {name for name, (place, poor) in places.items() if place or poor in NOWHERE} == set()
    assert not any(layer.poor in NOWHERE for layer in net.layers.values())


@pytest.mark.parametrize("key", ["efficientnet_lite0", "mobilenet_v3_small"])
def test_a_network_of_the_list_covers_the_picture(key):
    check_stock(key)


@pytest.mark.longest
@pytest.mark.parametrize("key", models.MODELS)
def test_every_network_of_the_list_covers_the_picture(key):
    check_stock(key)
    if models.MODELS[key].fully_convolutional:
        check_stock(key, 2)


@pytest.mark.slow
def test_a_crop_before_a_deep_network():
    image = keras.Input((256, 256, 3))
    deep = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3))
    net = Network(headed(image, deep(L.CenterCrop(224, 224)(image))), (256, 256, 3))
    assert net.layers[net.best].shape[:2] == (7, 7)
    for name in net.suggested:
        got = net.layers[name].placement.numbers
        np.testing.assert_allclose(got, (0.875, 0, 0.0625, 0, 0.875, 0.0625), atol=1e-4)
