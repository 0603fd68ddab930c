"""Maps on their way to the browser."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from visitor import sent

from demo import wire
from gradcam_core.methods import METHODS
from gradcam_core.types import F32, Layer, Placement


def test_the_side_of_the_sent_maps() -> None:
    """By hand, for six methods. VGG19 has convolutions of 224 (2), 112 (2), 56, 28, 14 (4 each).

    One class, at most 112:  6 * (4 * 112^2 + 4 * 56^2 + 4 * 28^2 + 4 * 14^2) = 399,840 bytes
               at most  56:  6 * (8 * 56^2 + 4 * 28^2 + 4 * 14^2) = 174,048
    Two classes and their difference, at most 56: 3 * 174,048; at most 28: 18 * (12 * 784 + 4 * 196)
    = 183,456.
    """
    vgg19 = [
        (n, n) for n, count in ((224, 2), (112, 2), (56, 4), (28, 4), (14, 4)) for _ in range(count)
    ]
    assert wire.MAX_SENT == 225_000
    assert wire.side_limit(6 * vgg19) == 56
    assert wire.side_limit(18 * vgg19) == 28
    assert wire.side_limit(6 * [(7, 7)]) == 448
    assert wire.side_limit([(448, 448)]) == 448  # 200,704
    assert wire.side_limit(2 * [(448, 448)]) == 224
    assert wire.side_limit(6 * [(10, 2000)]) == 448  # 6 * 10 * 448


def test_of_equally_likely_classes_the_one_with_the_higher_score_comes_first() -> None:
    """As it is explained: 1 - 1e-9 and 1 - 2e-9 are both 1 in 32 bits, and all of a fresh network
    are equally likely."""
    p, y = np.float32([1, 0, 1, 1, 0]), np.float32([20, -90, 21, 20, -80])
    assert [row["index"] for row in wire.class_rows(p, y, "abcde")] == [2, 0, 3, 4, 1]
    ninths = np.full(9, np.float32(1 / 9))
    rows = wire.class_rows(ninths, np.zeros(9, np.float32), "abcdefghi", (8,))
    assert [(row["index"], row["rank"]) for row in rows] == [
        (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (8, 9),
    ]  # fmt: skip


def packed(maps: dict[str, F32], bands: tuple[str, ...] = ("target",)) -> wire.Packed:
    """These maps of layers as if every method had made them."""
    layers = [Layer(name, (*grid.shape, 1), "Conv2D") for name, grid in maps.items()]
    of_one = {(layer, method): grid for layer, grid in maps.items() for method in METHODS}
    last = list(maps)[-1]
    return wire.pack(dict.fromkeys(bands, of_one), layers, last, {name: {} for name in maps})


def test_packed_maps_come_back_within_half_a_step_of_their_own_sign() -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(14, 14)).astype(np.float32)
    maps = {
        "plain": plain,
        "tiny": plain * np.float32(1e-12),
        "huge": plain * np.float32(1e12),
        "mostly for": np.where(plain > 0, plain, plain / 1000),
        "mostly against": np.where(plain < 0, plain, plain / 1000),
        "for": np.abs(plain),
        "against": -np.abs(plain),
        "nothing": np.zeros((7, 9), np.float32),
    }
    answer = packed(maps)
    assert [row["name"] for row in answer["layers"]] == list(maps)
    for (layer, band, method), got in sent(answer).items():
        signed = maps[layer]
        assert band == "target"
        assert method in METHODS
        top, bottom = max(signed.max(), 0), max(-signed.min(), 0)
        step = np.where(signed > 0, top, bottom) / 127
        assert (np.abs(got - signed) <= 0.5001 * step).all(), layer
        assert np.abs(got - signed).max() <= max(top, bottom) / 127
    assert json.dumps(answer, allow_nan=False)


def test_the_numbers_that_go_with_a_map() -> None:
    """By hand: two of six places below zero, the largest 3, the smallest -1."""
    grid = np.array([[3, 0, -1], [1.5, -0.5, 0]], np.float32)
    answer = packed({"layer": grid})
    about = answer["layers"][0]["maps"]["target/Grad-CAM"]
    assert about["sent"] == [2, 3]
    assert (about["min"], about["max"]) == (-1, 3)
    assert (about["top"], about["bottom"]) == (3, 1)
    assert about["cut"] == {"for": pytest.approx(2 / 6), "against": pytest.approx(2 / 6)}
    data = np.frombuffer(base64.b64decode(answer["bytes"]), np.int8)[:6].reshape(2, 3)
    assert data[0].tolist() == [127, 0, -127]
    assert data[1].tolist() in ([64, -64, 0], [63, -63, 0], [64, -63, 0], [63, -64, 0])


def test_a_map_says_where_its_cells_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """But what a method says of the picture itself lies over all of it."""
    everywhere = replace(METHODS["Grad-CAM"], of_picture=True)
    monkeypatch.setitem(METHODS, "everywhere", everywhere)
    grid = np.ones((2, 3), np.float32)
    placement = Placement((0.5, 0, 0.25), (0, -1, 1))
    layers = [
        Layer("whole", (2, 3, 1), "Conv2D"),
        Layer("cropped", (2, 3, 1), "Conv2D", placement=placement),
    ]
    maps = {(x.name, method): grid for x in layers for method in ("Grad-CAM", "everywhere")}
    packed = wire.pack({"target": maps}, layers, "whole", {"whole": {}, "cropped": {}})
    found = {
        (row["name"], key): about["placement"]
        for row in packed["layers"]
        for key, about in row["maps"].items()
    }
    assert found == {
        ("whole", "target/Grad-CAM"): None,
        ("whole", "target/everywhere"): None,
        ("cropped", "target/Grad-CAM"): [0.5, 0, 0.25, 0, -1, 1],
        ("cropped", "target/everywhere"): None,
    }


@pytest.mark.parametrize("bands", [("target",), ("target", "rival", "contrast")], ids=len)
def test_what_is_sent_stays_small(bands: tuple[str, ...]) -> None:
    """Layers as large as VGG16's at 224, and twenty of a network at 448."""
    for sides in ([224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14], [224] + [112] * 19):
        maps = {f"layer{n}": np.ones((side, side), np.float32) for n, side in enumerate(sides)}
        answer = packed(maps, bands)
        assert len(base64.b64decode(answer["bytes"])) <= wire.MAX_SENT
        assert len(sent(answer)) == len(maps) * len(METHODS) * len(bands)
