"""Teachable Machine's exports against the answers of the Keras that wrote them."""

import json
import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest
from nets import KERAS_2, teachable_machine, teachable_machine_h5

from gradcam_core import explain, files, hdf5, lookup, models, teachable
from gradcam_core.image import MIDDLE, fit, part_seen
from gradcam_core.types import Placement, Shuffled, UserError

NAMES = ("Mug", "Plant", "Nothing")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return teachable_machine(tmp_path_factory.mktemp("export") / "converted_keras.zip", NAMES)


@pytest.fixture(scope="module")
def pupils(tmp_path_factory):
    """Two: the same backbone, each a head of its own."""
    folder = tmp_path_factory.mktemp("pupils")
    names = {7: ("left", "right"), 8: ("Mug", "Plant", "Nothing")}
    return [teachable_machine(folder / f"{n}.zip", names[n], head=n) for n in names]


@pytest.fixture(scope="module")
def said():
    """What Keras 2.15 says of a picture."""
    return np.load(KERAS_2 / "tm_full.npz")


def test_the_zip_as_it_is(export, said):
    spec = models.load_file(export)
    assert spec.labels == NAMES
    assert spec.crop
    assert [(f.taken, f.basis) for f in spec.findings] == [("scale11", "found")]
    assert "middle square" in " ".join(spec.notes)
    assert spec.preprocess(np.array([0, 127.5, 255], np.float32)).tolist() == [-1, 0, 1]
    answer = explain(said["picture"], spec)
    np.testing.assert_allclose(answer.probabilities, said["predictions"], atol=1e-6)
    assert answer.layer == said["layer"]
    np.testing.assert_allclose(answer.maps["Grad-CAM"], said["map"], rtol=1e-4, atol=1e-6)


def test_the_two_files_in_a_folder(export, tmp_path, said):
    with zipfile.ZipFile(export) as archive:
        archive.extractall(tmp_path)
    spec = models.load_file(tmp_path / "keras_model.h5")
    assert spec.labels == NAMES, "out of the labels.txt beside it"
    (tmp_path / "labels.txt").unlink()
    assert models.load_file(tmp_path / "keras_model.h5").labels == ("class 0", "class 1", "class 2")
    spec = models.load_file(tmp_path / "keras_model.h5", ["a", "b", "c"])
    assert spec.labels == ("a", "b", "c")
    answer = explain(said["picture"], spec)
    np.testing.assert_allclose(answer.probabilities, said["predictions"], atol=1e-6)


@pytest.mark.slow
def test_one_graph_for_all_and_a_backbone_once(export, pupils, said):
    """Each answers as itself, before and after another was asked."""
    first, *two = (lookup.network(models.load_file(file)) for file in (export, *pupils))
    x = said["picture"] / np.float32(127.5) - 1
    before = [net.trace(x) for net in (first, *two)]
    np.testing.assert_allclose(before[0].probabilities, said["predictions"], atol=1e-6)
    for net, file, trace in zip(two, pupils, before[1:], strict=True):
        model = models.load_file(file).build(None)  # of Keras, with weights of its own
        other = said["picture"][::-1] / np.float32(127.5) - 1
        p = np.asarray(model(np.stack([x, other])))
        assert np.abs(p[0] - p[1]).max() > 1e-4, "or the test would see nothing"
        np.testing.assert_allclose(trace.probabilities, p[0], atol=1e-5)
        np.testing.assert_allclose(net.probabilities(np.stack([x, other])), p, atol=1e-5)
        y = net.score(x[None], trace.target)
        np.testing.assert_allclose(y, trace.logits.max(keepdims=True), rtol=1e-4)
        a = trace.activations["out_relu"][None]
        np.testing.assert_allclose(net.score_from("out_relu", a, trace), y, rtol=1e-4)
    after = [net.trace(x) for net in (first, *two)]
    for one, same in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.logits, same.logits)
    assert first._compiled is two[0]._compiled is two[1]._compiled
    assert first.model is two[0].model is two[1].model
    shared = [a is b for a, b in zip(two[0]._numbers, two[1]._numbers, strict=True)]
    assert shared == [True] * 260 + [False] * 3


def test_its_map_is_that_of_the_equation(pupils, said):
    """At the last layer Grad-CAM is the class's weights times the activations: by hand."""
    spec = models.load_file(pupils[1])
    answer = explain(said["picture"], spec)
    net = lookup.network(spec)
    a = answer.survey.trace.activations["out_relu"]
    hidden, bias, last = (np.asarray(n, np.float64) for n in net._numbers[-3:])
    lit = a.mean((0, 1), dtype=np.float64) @ hidden + bias > 0
    alpha = hidden @ (lit * last[:, answer.target]) / 49
    np.testing.assert_allclose(answer.maps["Grad-CAM"], a @ alpha, rtol=1e-3, atol=1e-6)


def test_shuffled_it_is_another_with_the_same_graph(pupils, said):
    net = lookup.network(models.load_file(pupils[0]))
    x = said["picture"] / np.float32(127.5) - 1
    before, graphs = net.trace(x), set(net._compiled)
    other = net.trace(x, None, (), Shuffled(1))
    assert set(net._compiled) == graphs
    assert np.abs(other.probabilities - before.probabilities).max() > 1e-3
    np.testing.assert_array_equal(net.trace(x).logits, before.logits)
    for a, b in zip(net._numbers, net._forgetful(Shuffled(1))._numbers, strict=True):
        np.testing.assert_array_equal(np.sort(a, None), np.sort(b, None))


def test_it_sees_the_middle_square(pupils, rng):
    """Of a wide picture the left and the right are cut off, as Teachable Machine does."""
    spec = models.load_file(pupils[0])
    wide = rng.integers(0, 256, (100, 180, 3), np.uint8)
    middle = np.ascontiguousarray(wide[:, 40:140])
    np.testing.assert_array_equal(fit(wide, (224, 224), spec.crop), fit(middle, (224, 224)))
    seen, alone = (explain(picture, spec, "block_13_expand_relu") for picture in (wide, middle))
    np.testing.assert_array_equal(seen.probabilities, alone.probabilities)
    np.testing.assert_array_equal(seen.maps["Grad-CAM"], alone.maps["Grad-CAM"])
    heat = seen.heatmaps["Grad-CAM"]  # it covers what was seen
    assert heat.shape == (100, 180)
    np.testing.assert_allclose(heat[:, 40:140], alone.heatmaps["Grad-CAM"], atol=1e-5)
    assert not heat[:, :40].any()
    assert not heat[:, 140:].any()
    assert alone.heatmaps["Grad-CAM"].max() > 0
    assert MIDDLE in seen.remarks
    assert MIDDLE not in alone.remarks


def test_where_what_is_seen_lies():
    """Of a tall picture 90 high and 60 wide: rows 15 to 75."""
    assert part_seen((90, 60), (224, 224), True) == Placement((60 / 90, 0, 15 / 90), (0, 1, 0))
    assert part_seen((90, 60), (224, 224), False) is None
    assert part_seen((60, 60), (224, 224), True) is None
    turned = Placement((0, 1, 0), (-1, 0, 1))  # of a layer that turns the picture
    inside = turned.inside(part_seen((90, 60), (224, 224), True))
    assert inside.rows == pytest.approx((0, 60 / 90, 15 / 90))
    assert inside.columns == pytest.approx((-1, 0, 1))
    assert turned.inside(None) is turned


@pytest.mark.slow
def test_what_its_owner_says_goes(export):
    spec = models.load_file(export, preprocess="scale01")
    assert not spec.crop
    assert spec.findings[0].basis == "given"
    x = spec.preprocess(np.full((2, 2, 3), 255, np.float32))
    assert x.max() == 1
    assert spec.labels == NAMES


def test_the_same_form_with_another_network_is_read_as_a_file_of_keras_2():
    spec = models.load_file(KERAS_2 / "tm_small.h5", ["one", "two"])
    small = np.load(KERAS_2 / "tm_small.npz")
    answer = explain(small["picture"], spec)
    np.testing.assert_allclose(answer.probabilities, small["predictions"], atol=1e-6)
    assert spec.crop
    assert spec.asked is None


def changed(how):
    """An export whose description, or whose numbers, are others."""
    content = BytesIO(teachable_machine_h5())
    with h5py.File(content, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        how(description, file["model_weights"])
        file.attrs["model_config"] = json.dumps(description)
    return content.getvalue()


def layer(description, name):
    front = description["config"]["layers"][1]
    return next(x for x in front["config"]["layers"][1]["config"]["layers"] if x["name"] == name)


def other_stride(description, _weights):
    layer(description, "Conv1")["config"]["strides"] = [1, 1]


def other_way(description, _weights):
    layer(description, "block_2_add")["inbound_nodes"][0][0][0] = "block_2_project_BN"


def other_epsilon(description, _weights):
    layer(description, "bn_Conv1")["config"]["epsilon"] = 0.1


def other_width(_description, weights):
    del weights["sequential_4/dense_2/bias:0"]
    weights["sequential_4/dense_2/bias:0"] = np.zeros(50, np.float32)


@pytest.mark.many
@pytest.mark.parametrize("how", [other_stride, other_way, other_epsilon, other_width])
def test_another_network_is_not_taken_for_it(how, tmp_path, sentence):
    file = tmp_path / "keras_model.h5"
    file.write_bytes(changed(how))
    with pytest.raises(UserError, match="another network inside") as error:
        teachable.numbers_of(hdf5.read_parts(file))
    sentence(error.value)


def test_a_layer_without_what_it_needs_is_no_export():
    assert not teachable.is_export(None)
    empty = {"class_name": "Dense", "config": {}}
    pool = {"class_name": "GlobalAveragePooling2D", "config": {}}

    def two(*layers):
        return {"class_name": "Sequential", "config": {"layers": list(layers)}}

    assert not teachable.is_export(two(two(empty, pool), two(empty, empty)))


def test_numbers_that_are_none(tmp_path, sentence):
    def damage(_description, weights):
        weights["sequential_4/dense_2/bias:0"][3] = np.nan

    file = tmp_path / "keras_model.h5"
    file.write_bytes(changed(damage))
    with pytest.raises(UserError, match="finite") as error:
        models.load_file(file)
    sentence(error.value)


def test_names_that_do_not_fit(export, sentence):
    with pytest.raises(UserError, match="3 answers, but there are 2 names") as error:
        models.load_file(export, ["a", "b"])
    sentence(error.value)


@pytest.mark.parametrize(
    ("member", "words"),
    [("weights.bin", "Tensorflow.js"), ("model_unquant.tflite", "Tensorflow Lite")],
)
def test_the_other_exports_of_teachable_machine_say_which_to_choose(
    member, words, tmp_path, sentence
):
    with zipfile.ZipFile(tmp_path / "converted.zip", "w") as archive:
        archive.writestr(member, b"x")
        archive.writestr("labels.txt", "0 a\n")
    with pytest.raises(UserError, match=words) as error:
        files.open_file(tmp_path / "converted.zip")
    assert "Export Model, Tensorflow, Keras, Download my model" in sentence(error.value)


def test_thirty_pupils(pupils, said):
    """Each is answered by a head of its own; together they take one backbone."""
    numbers = teachable.numbers_of(hdf5.read_parts(pupils[0]))
    dice, heads, x = np.random.default_rng(0), [], said["picture"] / np.float32(127.5) - 1
    for n in range(30):
        shapes = (1280, 100), (100,), (100, 2 + n % 4)
        heads.append([dice.normal(0, 0.1, shape).astype(np.float32) for shape in shapes])
    rows = [
        teachable.row([*numbers[:-3], *head], [str(i) for i in range(head[-1].shape[1])])
        for head in heads
    ]
    nets = [lookup.network(row) for row in rows]
    features = nets[0].trace(x).activations["out_relu"].mean((0, 1), dtype=np.float64)
    for net, (hidden, bias, last) in zip(nets, heads, strict=True):
        y = np.maximum(features @ hidden + bias, 0) @ last
        p = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        trace = net.trace(x)
        np.testing.assert_allclose(trace.probabilities, p, atol=1e-5)
        assert trace.target.index == p.argmax()
    kept = {id(t): t.numpy().nbytes for net in nets for t in net._numbers}
    assert sum(kept.values()) < 30 * 2e6 / 2
    assert len({id(net._compiled) for net in nets}) == 1
