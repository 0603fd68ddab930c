"""Teachable Machine's exports against the answers of the Keras that wrote them."""

import json
import zipfile
from io import BytesIO

import h5py
import numpy as np
import pytest
from nets import KERAS_2, teachable_machine, teachable_machine_h5

from gradcam_core import explain, files, hdf5, lookup, models, teachable
from gradcam_core.image import fit
from gradcam_core.types import UserError

NAMES = ("Mug", "Plant", "Nothing")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return teachable_machine(tmp_path_factory.mktemp("export") / "converted_keras.zip", NAMES)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another pupil's: the same backbone, another head, two classes."""
    folder = tmp_path_factory.mktemp("other")
    return teachable_machine(folder / "converted_keras.zip", ("left", "right"), head=7)


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


def test_one_graph_and_one_backbone_for_all(export, other, said):
    """Each answers as itself, before and after the other was asked."""
    one, two = (lookup.network(models.load_file(file)) for file in (export, other))
    x = said["picture"] / np.float32(127.5) - 1
    before, there, after = one.trace(x), two.trace(x), one.trace(x)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    np.testing.assert_allclose(before.probabilities, said["predictions"], atol=1e-6)
    assert there.probabilities.shape == (2,)
    built = models.load_file(other).build(None)  # a model of Keras, with weights of its own
    np.testing.assert_allclose(there.probabilities, built(x[None])[0], atol=1e-6)
    np.testing.assert_allclose(two.probabilities(x[None])[0], there.probabilities, atol=1e-6)
    np.testing.assert_allclose(two.score(x[None], there.target), there.logits.max(), rtol=1e-5)
    assert one._compiled is two._compiled
    assert one.model is two.model
    shared = [a is b for a, b in zip(one._numbers, two._numbers, strict=True)]
    assert shared == [True] * 260 + [False] * 3


def test_shuffled_it_is_another_with_the_same_graph(export, said):
    net = lookup.network(models.load_file(export))
    x = said["picture"] / np.float32(127.5) - 1
    other = net.randomised(1)
    assert other._compiled is net._compiled
    assert np.abs(other.trace(x).probabilities - said["predictions"]).max() > 1e-3
    np.testing.assert_allclose(net.trace(x).probabilities, said["predictions"], atol=1e-6)
    for a, b in zip(net._numbers, other._numbers, strict=True):
        np.testing.assert_array_equal(np.sort(a, None), np.sort(b, None))


def test_it_sees_the_middle_square(export, rng):
    """Of a wide picture the left and the right are cut off, as Teachable Machine does."""
    spec = models.load_file(export)
    wide = rng.integers(0, 256, (100, 180, 3), np.uint8)
    middle = np.ascontiguousarray(wide[:, 40:140])
    np.testing.assert_array_equal(fit(wide, (224, 224), spec.crop), fit(middle, (224, 224)))
    seen, alone = explain(wide, spec), explain(middle, spec)
    np.testing.assert_array_equal(seen.probabilities, alone.probabilities)
    np.testing.assert_array_equal(seen.maps["Grad-CAM"], alone.maps["Grad-CAM"])


def test_what_its_owner_says_goes(export, said):
    spec = models.load_file(export, preprocess="scale01")
    assert not spec.crop
    assert spec.findings[0].basis == "given"
    x = spec.preprocess(np.full((2, 2, 3), 255, np.float32))
    assert x.max() == 1
    assert spec.labels == NAMES


def test_the_same_form_with_another_network_is_read_as_a_file_of_keras_2(said):
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


@pytest.mark.parametrize("how", [other_stride, other_way, other_epsilon, other_width])
def test_another_network_is_not_taken_for_it(how, tmp_path, sentence):
    file = tmp_path / "keras_model.h5"
    file.write_bytes(changed(how))
    with pytest.raises(UserError, match="another network inside") as error:
        teachable.numbers_of(hdf5.read_parts(file))
    sentence(error.value)


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
