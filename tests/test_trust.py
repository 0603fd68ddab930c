"""What is said of a map: measured for one network, found by asking for the others."""

from dataclasses import replace

import numpy as np
import pytest

from gradcam_core import lookup, pipeline
from gradcam_core.methods import METHODS
from gradcam_core.trust import GOOD, POINTING, VERDICTS, averages, even, film_method, verdict
from gradcam_core.types import Layer, Target

LITE = "EfficientNet-Lite0"


def layer(name, suggested=True):
    return Layer(name, (2, 3, 4), "Conv2D", suggested=suggested)


@pytest.fixture
def uneven():
    g = np.ones((2, 3, 4), np.float32)
    g[1, 2, 3] = -1
    return g


def test_a_gradient_is_even_where_its_places_agree(uneven):
    assert even(np.broadcast_to(np.float32([1, -2, 0, 5]), (2, 3, 4)))
    assert not even(uneven)
    assert not even(np.broadcast_to(np.float32([[[1]], [[2]]]), (2, 3, 1)))  # along rows only
    assert even(np.zeros((2, 3, 4), np.float32)) is None  # no gradient loses nothing, nor says it
    rounding = np.ones((2, 3, 4), np.float32)
    rounding[0, 1, 0] += 3e-6
    assert even(rounding)
    one = np.float32([1e-6, 1])[None, None].repeat(3, 1)
    one[0, 1, 0] = -1e-6  # of a channel that hardly counts
    assert even(one)


def test_which_methods_take_a_mean():
    assert [m for m, row in METHODS.items() if averages(row)] == [
        "Grad-CAM", "Grad-CAM++", "XGrad-CAM",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [  # out of the table of the measurement: the middle of the picture scores .80
        ("top_activation", "Grad-CAM", "better"), ("top_activation", "Eigen-CAM", "alike"),
        ("top_activation", "Sharper Grad-CAM", "better"),
        ("block7a_project_bn", "XGrad-CAM", "worse"), ("block7a_project_bn", "LayerCAM", "alike"),
        ("block6a_project_bn", "LayerCAM", "worse"), ("block6d_add", "HiResCAM", "worse"),
        ("block5c_add", "LayerCAM", "better"), ("block5c_add", "Grad-CAM", "worse"),
        ("block3b_add", "HiResCAM", "better"), ("block2b_add", "LayerCAM", "alike"),
        ("block1a_project_bn", "Grad-CAM++", "worse"),
    ],
)  # fmt: skip
def test_what_was_measured_is_said(name, method, expected):
    assert verdict(LITE, layer(name), method, name == "top_activation") == expected


def test_what_was_not_measured_is_not_claimed():
    assert verdict("ResNet50", layer("block5c_add"), "LayerCAM", False) == "unknown"
    assert verdict("ResNet50", layer("block5c_add"), "Grad-CAM", False) == "mean"
    assert verdict("ResNet50", layer("post"), "Grad-CAM", True) == "exact"
    assert verdict("ResNet50", layer("post"), "Eigen-CAM", True) == "unknown"
    assert verdict(LITE, layer("stem_conv"), "Grad-CAM", False) == "mean"
    assert verdict("ResNet50", layer("post"), "Grad-CAM", None) == "unknown"
    assert verdict("ViT", replace(layer("norm"), leading=1), "Grad-CAM", True) == "unknown"
    inside = layer("block5c_dwconv", suggested=False)
    assert verdict(LITE, inside, "LayerCAM", False) == "unknown"


def test_the_table_names_methods_and_layers_that_there_are():
    net = lookup.network()
    for start, row in POINTING[LITE].items():
        assert set(row) <= set(METHODS)
        assert any(name.startswith(start) for name in net.suggested)
    assert all(any(n.startswith(s) for s in POINTING[LITE]) for n in net.suggested)


def test_every_verdict_is_a_sentence(sentence):
    assert all(sentence(said.format(method="Grad-CAM")) for said in VERDICTS.values())
    assert set(GOOD) < set(VERDICTS)


def test_the_film_keeps_places_where_the_mean_would_forget_them():
    assert film_method("last", "last", contrast=False) == "Grad-CAM"
    assert film_method("early", "last", contrast=False) == "LayerCAM"
    assert film_method("early", "last", contrast=True) == "HiResCAM"
    assert film_method("last", "last", contrast=True) == "HiResCAM"


def test_the_default_network_has_an_even_gradient_at_its_last_layer_only(rng):
    image = rng.integers(0, 256, (31, 45, 3), np.uint8)
    trace = pipeline.survey(image, target=Target(7)).trace
    assert [n for n, g in trace.gradients.items() if even(g)] == ["top_activation"]
