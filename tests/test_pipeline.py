"""The whole path on the real default network, and every value that should be refused."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gradcam_core import explain, lookup, models, survey
from gradcam_core.cache import Cache
from gradcam_core.efficientnet_lite import preprocess
from gradcam_core.methods import METHODS
from gradcam_core.types import ModelSpec, Target, UserError

LITE = "efficientnet_lite0"
SAME_BEFORE_POOLING = ("Grad-CAM", "HiResCAM", "XGrad-CAM")


@pytest.fixture(scope="module")
def cheetah(photos):
    with Image.open(photos / "cheetah1.jpg") as image:
        return np.asarray(image.convert("RGB").resize((640, 400)))


# The default network


@pytest.mark.slow
@pytest.mark.parametrize(("file", "index"), [("cheetah1.jpg", 293), ("lion.jpg", 291)])
def test_photographs_are_what_they_show(file, index, photos):
    with Image.open(photos / file) as image:
        rgb = np.asarray(image.convert("RGB"))
    seen = explain(rgb)
    assert seen.target == index == seen.probabilities.argmax()
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert seen.layer == "top_activation"
    assert seen.heatmaps["Grad-CAM"].shape == seen.image.shape[:2]
    assert seen.image.shape[0] / seen.image.shape[1] == pytest.approx(
        rgb.shape[0] / rgb.shape[1], rel=0.01
    )


def cam(rgb, index, side):
    """CAM (Zhou et al. 2016) on the plain functional model: the last A @ the dense kernel."""
    model = lookup.network(LITE).model
    square = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
    last = keras.Model(model.input, model.get_layer("top_activation").output)
    a = last(preprocess(np.asarray(square, np.float32))[None]).numpy()[0]
    kernel = model.get_layer("logits").weights[0].numpy()
    return a @ kernel[:, index] / (a.shape[0] * a.shape[1])


@pytest.mark.parametrize("index", [293, 291, 0])
def test_grad_cam_before_pooling_is_cam(index, cheetah):
    """alpha_k = kernel[k, c] / (h w), exactly; and there three methods are the same."""
    seen = explain(cheetah, target=index, methods=SAME_BEFORE_POOLING)
    expected = cam(cheetah, index, 224)
    assert expected.shape == (7, 7)
    scale = np.abs(expected).max()
    for method in SAME_BEFORE_POOLING:
        np.testing.assert_allclose(seen.maps[method], expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.slow
def test_detail_is_the_network_at_twice_its_side(cheetah):
    seen = explain(cheetah, target=293, detail=True)
    expected = cam(cheetah, 293, 448)
    assert seen.maps["Grad-CAM"].shape == expected.shape == (14, 14)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(seen.maps["Grad-CAM"], expected, rtol=1e-5, atol=1e-5 * scale)
    assert lookup.network(LITE, detail=True).model is lookup.network(LITE).model


def test_detail_keeps_the_answer_of_the_usual_side_and_says_what_it_does_to_it(monkeypatch):
    """A network whose class is the size of its picture: 10 wide "small", from 20 on "large"."""

    def build(_file):
        x = keras.Input((None, None, 3))
        a = keras.layers.Conv2D(
            1, 1, kernel_initializer="zeros", bias_initializer="ones", name="ones"
        )(x)
        cells = keras.ops.sum(a, (1, 2))  # 100 or 400
        return keras.Model(x, keras.ops.concatenate([cells * 0 + 2, cells / 100], -1))

    spec = ModelSpec(
        "Sizes", build, lambda rgb: rgb, 10, ("small", "large"), fully_convolutional=True
    )
    picture = np.full((10, 30, 3), 9, np.uint8)
    p = 1 / (1 + np.exp(1 - 2))  # softmax of 2 and 1
    assert explain(picture, spec).label == "small"
    seen = explain(picture, spec, detail=True)
    assert (seen.label, seen.layer) == ("small", "ones")
    np.testing.assert_allclose(seen.probabilities, [p, 1 - p], rtol=1e-5)
    np.testing.assert_allclose(seen.survey.logits, [2, 4], rtol=1e-5)
    assert "small 11.9 %; at its usual side 73.1 %" in seen.remarks[-1]
    assert survey(picture, spec, detail=True).target.index == 0


def test_heatmap_is_relu_maximum_and_bilinear(cheetah):
    seen = explain(cheetah, layer="block5c_add", target="lion")
    signed = seen.maps["Grad-CAM"]
    assert signed.shape == (14, 14)
    assert signed.min() < 0 < signed.max()
    heat = seen.heatmaps["Grad-CAM"]
    assert heat.shape == (400, 640)
    assert heat.min() == 0
    # pixel (0, 0) lies outside the centres of the edge: it shows the corner cell itself
    for (y, x), cell in {(0, 0): (0, 0), (399, 639): (13, 13)}.items():
        assert heat[y, x] == pytest.approx(max(signed[cell], 0) / signed.max(), abs=1e-6)


@pytest.mark.slow
def test_a_survey_is_all_explanations_at_once(cheetah):
    seen = survey(cheetah, target=Target(293, rival=291))
    layers = lookup.network().suggested
    assert "top_activation" in layers
    of_one = {(layer, name) for layer in layers for name, m in METHODS.items() if m.weights}
    assert seen.maps.keys() == of_one | {("top_activation", "Sharper Grad-CAM")}
    for layer in ("block4b_add", "top_activation"):
        here = [name for at, name in seen.maps if at == layer]
        one = explain(cheetah, layer=layer, target=Target(293, rival=291), methods=here)
        np.testing.assert_allclose(one.survey.logits, seen.logits, rtol=1e-5, atol=1e-5)
        for method, signed in one.maps.items():
            top = np.abs(signed).max()
            np.testing.assert_allclose(seen.maps[layer, method], signed, rtol=1e-3, atol=1e-4 * top)


# Values from outside. A network of two layers stands in.


def tiny_spec(labels=("Cat", "dog", "DOG", "a 7")):
    def build(_file):
        keras.utils.set_random_seed(2)
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.Conv2D(3, 3, activation="relu", name="conv"),
                layers.GlobalAveragePooling2D(keepdims=True, name="pool"),
                layers.Flatten(),
                layers.Dense(len(labels)),
            ]
        )

    return ModelSpec(
        "Tiny", build, lambda rgb: rgb / np.float32(255), 8, labels, fully_convolutional=True
    )


@pytest.fixture(scope="module")
def tiny():
    return tiny_spec()


@pytest.fixture
def noise(rng):
    return rng.integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (0, 0), (np.int64(3), 3), ("2", 2), (" cat ", 0), ("CAT", 0), ("dog", 1), ("DOG", 2),
        ("a 7", 3), (Target(1), 1), (Target(1, rival=0), 1), (Target(np.int32(2)), 2),
    ],
)  # fmt: skip
def test_a_class_by_number_or_name(target, index, tiny, noise):
    assert explain(noise, tiny, target=target).target == index


@pytest.mark.parametrize(
    "target",
    [
        True, False, np.bool_(True), float("nan"), float("inf"), 1.0, np.float32(1), -1, 4,
        10**9, -(10**30), [0], (0,), {}, b"cat", object, "", " ", "-1", "4", "1e0", "nan", "²",
        "9" * 10_000, "x" * 1_000_000, "cat\ndog", Target(True), Target(-1), Target(4),
        Target(None), Target("cat"), Target(0.0), Target([1]), Target(0, rival=4),
        Target(0, rival=-1), Target(0, rival=True), Target(0, rival="dog"),
        Target(2, rival=2),
    ],
    ids=lambda t: repr(t)[:30],
)  # fmt: skip
def test_a_bad_class_is_refused_in_a_sentence(target, tiny, noise, sentence):
    with pytest.raises(UserError, match="class") as error:
        explain(noise, tiny, target=target)
    sentence(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"layer": "nonsense"}, {"layer": "pool"}, {"layer": 0}, {"layer": ["conv"]},
        {"layer": True}, {"layer": "x" * 1_000_000}, {"methods": ("nonsense",)},
        {"methods": ()}, {"methods": ([],)},
        {"methods": (None,)}, {"methods": None}, {"methods": "nonsense"},
        {"model": "nonsense"}, {"model": None}, {"model": 1}, {"model": ["vgg19"]},
        {"model": "vgg19", "detail": True},
        {"image": None}, {"image": "a.jpg"}, {"image": np.zeros((20, 20), np.uint8)},
        {"image": np.zeros((20, 20, 3))}, {"image": np.zeros((2, 2, 3), np.uint8)},
    ],
    ids=lambda a: repr(a)[:40],
)  # fmt: skip
def test_everything_else_that_is_refused(arguments, tiny, noise, sentence):
    with pytest.raises(UserError) as error:
        explain(**{"image": noise, "model": tiny, **arguments})
    sentence(error.value)


def test_one_name_stands_for_a_list_of_it(tiny, noise):
    every = np.array(["Grad-CAM", "LayerCAM"])
    assert len(survey(noise, tiny, layers="conv", methods=every).maps) == 2
    assert list(survey(noise, tiny, layers="conv", methods="LayerCAM").maps) == [
        ("conv", "LayerCAM")
    ]


def test_a_class_is_an_int_whatever_integer_it_was_given_by(tiny, noise):
    assert type(explain(noise, tiny, target=np.int64(1)).target) is int
    seen = survey(noise, tiny, target=Target(np.int32(1), rival=np.uint8(0)))
    assert seen.target == Target(1, 0)
    assert type(seen.target.rival) is int


def test_a_survey_refuses_a_layer_of_another_network(tiny, noise, sentence):
    with pytest.raises(UserError, match="conv") as error:  # it names one that is there
        survey(noise, tiny, layers=("conv", "top_activation"))
    sentence(error.value)


@pytest.mark.parametrize("layer", [None, "", "conv"])
def test_the_best_layer_is_the_default(layer, tiny, noise):
    assert explain(noise, tiny, layer=layer).layer == "conv"


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_give_finite_maps(value, tiny):
    of_one = [name for name, m in METHODS.items() if m.weights]
    seen = explain(np.full((20, 30, 3), value, np.uint8), tiny, methods=of_one)
    for heat in seen.heatmaps.values():
        assert heat.shape == (20, 30)
        assert np.isfinite(heat).all()
        assert 0 <= heat.min() <= heat.max() <= 1


def test_a_large_array_gives_a_map_of_its_own_size(tiny):
    large = np.zeros((1500, 2000, 3), np.uint8)
    large[:, 1000:] = 255
    seen = explain(large, tiny)
    assert seen.heatmaps["Grad-CAM"].shape == (1500, 2000)
    assert np.array_equal(seen.image, large)


def test_networks_in_memory_are_bounded(monkeypatch, noise):
    monkeypatch.setattr(lookup, "_networks", Cache(lookup.NETWORKS))
    built = []

    def build(number, _file):
        built.append(number)
        return tiny_spec().build(None)

    specs = [
        replace(tiny_spec(), title=f"Tiny{n}", build=partial(build, n))
        for n in range(lookup.NETWORKS + 2)
    ]
    for spec in specs:
        explain(noise, spec)
        explain(noise, spec)
    assert built == list(range(len(specs)))
    assert len(lookup._networks._entries) == lookup.NETWORKS


def test_progress_is_passed_on(monkeypatch, tiny):
    told = []

    def load(spec, progress):
        progress(0.5)
        return spec.build(None)

    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(lookup, "_networks", Cache(2))
    lookup.network(tiny, detail=True, progress=told.append)
    assert told == [0.5]


# The article's network, from a weights file as Keras's server has it

BLOCKS = [(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)]  # VGG19: convolutions, channels
GRIDS = {
    **dict.fromkeys(("block1_conv1", "block1_conv2"), (224, 224, 64)),
    **dict.fromkeys(("block2_conv1", "block2_conv2"), (112, 112, 128)),
    **dict.fromkeys([f"block3_conv{i}" for i in (1, 2, 3, 4)], (56, 56, 256)),
    **dict.fromkeys([f"block4_conv{i}" for i in (1, 2, 3, 4)], (28, 28, 512)),
    **dict.fromkeys([f"block5_conv{i}" for i in (1, 2, 3, 4)], (14, 14, 512)),
}


def vgg19_weights(rng):
    """Layer -> kernel, bias: He's scale, so that signals stay as large as they are."""
    shapes, width = {}, 3
    for block, (count, channels) in enumerate(BLOCKS, 1):
        for c in range(1, count + 1):
            shapes[f"block{block}_conv{c}"] = (3, 3, width, channels)
            width = channels
    shapes |= {"fc1": (7 * 7 * 512, 4096), "fc2": (4096, 4096), "predictions": (4096, 1000)}
    out = {}
    for name, shape in shapes.items():
        kernel = rng.standard_normal(shape, np.float32)
        kernel *= np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        out[name] = kernel, 0.1 * rng.standard_normal(shape[-1], np.float32)
    return out


def write_legacy_h5(path, weights):
    """The layout of vgg19_weights_tf_dim_ordering_tf_kernels.h5 (Keras 1 and 2)."""
    order = []
    for block, (count, _) in enumerate(BLOCKS, 1):
        order += [f"block{block}_conv{c}" for c in range(1, count + 1)] + [f"block{block}_pool"]
    order += ["flatten", "fc1", "fc2", "predictions"]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in order]
        for name in order:
            group = file.create_group(name)
            parts = weights.get(name, ())
            names = [f"{name}_{kind}_1:0" for kind in ("W", "b")[: len(parts)]]
            group.attrs["weight_names"] = [n.encode() for n in names]
            for part, array in zip(names, parts, strict=True):
                group[part] = array


def vgg19_by_hand(weights, rgb, index):
    """(logits, Grad-CAM at block5_conv4): bare convolutions, then NumPy forward and back."""
    square = Image.fromarray(rgb).resize((224, 224), Image.Resampling.BILINEAR)
    bgr = np.asarray(square, np.float32)[..., ::-1] - np.float32([103.939, 116.779, 123.68])
    a = bgr[None]
    for block, (count, _) in enumerate(BLOCKS, 1):
        for c in range(1, count + 1):
            kernel, bias = weights[f"block{block}_conv{c}"]
            a = tf.nn.relu(tf.nn.conv2d(a, kernel, 1, "SAME") + bias)
        if block < 5:
            a = tf.nn.max_pool2d(a, 2, 2, "VALID")
    a = a.numpy()[0]  # (14, 14, 512)

    windows = a.reshape(7, 2, 7, 2, 512).transpose(0, 2, 4, 1, 3).reshape(7, 7, 512, 4)
    v = windows.max(axis=-1).ravel()
    masks = []
    for name in ("fc1", "fc2"):
        kernel, bias = weights[name]
        v = np.maximum(v @ kernel + bias, 0)
        masks.append(v > 0)
    kernel, bias = weights["predictions"]
    logits = v @ kernel + bias
    g = kernel[:, index] * masks[1]
    g = (weights["fc2"][0] @ g) * masks[0]
    g = (weights["fc1"][0] @ g).reshape(7, 7, 512)
    # Each window hands its gradient to its maximum, so the sum over places stays as it is.
    alpha = g.sum(axis=(0, 1)) / (14 * 14)
    return logits, a @ alpha


@pytest.mark.slow
def test_vgg19_from_its_weights_file(rng, cheetah, monkeypatch):
    monkeypatch.setattr(lookup, "_networks", Cache(1))
    weights = vgg19_weights(rng)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vgg19.h5")
        write_legacy_h5(file, weights)
        spec = models.with_file(models.find("vgg19"), file)
        net = lookup.network(spec)
    convolutions = {
        n: layer.shape for n, layer in net.spatial_layers.items() if layer.kind == "Conv2D"
    }
    assert list(convolutions.items()) == list(GRIDS.items())
    assert len(convolutions) == 16
    assert net.suggested == tuple(GRIDS)
    assert (net.best, net.head) == ("block5_conv4", "softmax")

    seen = explain(cheetah, spec, target=7)
    logits, expected = vgg19_by_hand(weights, cheetah, 7)
    np.testing.assert_allclose(seen.survey.logits, logits, atol=1e-4 * np.abs(logits).max())
    e = np.exp(logits - logits.max())
    np.testing.assert_allclose(seen.probabilities, e / e.sum(), rtol=1e-2, atol=1e-6)
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(seen.maps["Grad-CAM"], expected, atol=1e-4 * scale)
    assert seen.layer == "block5_conv4"
