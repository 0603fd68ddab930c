"""A process answers as a Network does; what its model does to it becomes a sentence."""

import io
import json
import os
import pickle
import signal
import subprocess
import threading
import zipfile
from multiprocessing.connection import Pipe
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers as L
from nets import SHAPE, save, small

from gradcam_core import pipeline, sandbox
from gradcam_core.methods import METHODS
from gradcam_core.network import Network
from gradcam_core.sandbox import ModelProcess
from gradcam_core.types import Shuffled, Target, UserError

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="no limits on this system")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save(small(), tmp_path_factory.mktemp("good") / "good.keras")


@pytest.fixture(scope="module")
def child(good):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUR_SECRET", "hunter2")
        child = ModelProcess(good, ["a", "b", "c"])
    yield child
    child.close()


def test_a_child_answers_as_a_network_does(child):
    """The same model in this process is the referee."""
    net = Network(small(), SHAPE)
    assert child.spec.title == "good (yours)"
    assert child.spec.labels == ("a", "b", "c")
    assert child.spec.asked() is child
    assert (child.shape, child.classes, child.head) == (SHAPE, 3, net.head)
    assert (child.layers, child.best) == (net.layers, net.best)
    assert (child.suggested, child.spatial_layers) == (net.suggested, net.spatial_layers)
    rgb = np.random.default_rng(1).uniform(0, 255, SHAPE).astype(np.float32)
    x = child.spec.preprocess(rgb)
    np.testing.assert_allclose(x, rgb / 255, rtol=1e-6)
    for target in (None, Target(2), Target(1, rival=0), Target(0, probability=True)):
        ours, theirs = child.trace(x, target), net.trace(x, target)
        assert ours.target == theirs.target
        np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-6)
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
        for name in net.suggested:
            np.testing.assert_allclose(ours.activations[name], theirs.activations[name], atol=1e-6)
            np.testing.assert_allclose(ours.gradients[name], theirs.gradients[name], atol=1e-6)
    xs = np.stack([x * part for part in np.linspace(0, 1, 11)]).astype(np.float32)
    goal = theirs.target
    np.testing.assert_allclose(child.score(xs, goal), net.score(xs, goal), atol=1e-6)
    slopes = child.picture_gradient(xs, goal)
    np.testing.assert_allclose(slopes, net.picture_gradient(xs, goal), atol=1e-6)
    a = np.stack([theirs.activations["conv2"] * part for part in (0, 1, 2)]).astype(np.float32)
    scores = child.score_from("conv2", a, ours)
    np.testing.assert_allclose(scores, net.score_from("conv2", a, theirs), atol=1e-6)
    assert len(child.score(xs[:0], goal)) == len(child.score_from("conv2", a[:0], ours)) == 0
    assert child.picture_gradient(xs[:0], goal).shape == (0, *SHAPE)
    guided = child.guided_backprop(x, Target(1))
    np.testing.assert_allclose(guided, net.guided_backprop(x, Target(1)), atol=1e-6)
    both = (one.trace(x, Target(1), ("conv2",), Shuffled(1)).logits for one in (child, net))
    np.testing.assert_allclose(*both, atol=1e-6)
    both = (one.guided_backprop(x, Target(1), Shuffled(0)) for one in (child, net))
    np.testing.assert_allclose(*both, atol=1e-6)


def test_every_method_that_asks_asks_an_upload_too(child):
    net = Network(small(), SHAPE)
    x = np.random.default_rng(1).uniform(0, 1, SHAPE).astype(np.float32)
    trace = net.trace(x, Target(2), ("conv2",))
    for name in [name for name, method in METHODS.items() if method.ask]:
        ours, theirs = (pipeline.ask(one, trace, name, "conv2") for one in (child, net))
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=name)


def proc(child, what):
    path = Path(f"/proc/{child._process.pid}/{what}")
    if not path.exists():
        pytest.skip("no /proc on this system")
    return path.read_text(errors="replace")


def test_a_child_has_limits_and_no_secrets(child):
    child.trace(np.zeros(SHAPE, np.float32))
    limits = {line[:25].strip(): line[25:].split() for line in proc(child, "limits").splitlines()}
    assert limits["Max data size"][:2] == ["2000000000", "2000000000"]
    assert limits["Max file size"][:2] == ["0", "0"]
    assert limits["Max core file size"][:2] == ["0", "0"]
    assert limits["Max cpu time"][0] != "unlimited"
    names = {entry.split("=")[0] for entry in proc(child, "environ").split("\0") if entry}
    assert names == set(sandbox.ENVIRONMENT)
    assert "hunter2" not in proc(child, "environ")


@pytest.mark.slow
def test_a_child_that_dies_is_a_sentence_and_comes_back(child, sentence):
    x = np.ones(SHAPE, np.float32)
    before = child.trace(x).logits
    os.kill(child._process.pid, signal.SIGKILL)  # between two questions
    child._process.wait()
    np.testing.assert_allclose(child.trace(x).logits, before, atol=1e-6)
    os.kill(child._process.pid, signal.SIGSTOP)  # during one: it will not be answered
    threading.Timer(0.5, os.kill, (child._process.pid, signal.SIGKILL)).start()
    with pytest.raises(UserError) as error:
        child.trace(x)
    assert str(error.value) == sandbox.DEAD
    sentence(error.value)
    np.testing.assert_allclose(child.trace(x).logits, before, atol=1e-6)


@pytest.mark.slow
def test_a_child_that_dies_while_it_opens_its_model(good, child, monkeypatch, sentence):
    """At its start, and when the next question has started it anew."""
    processes, real, fatal = [], subprocess.Popen, [True]

    def start(*command, **options):
        processes.append(real(*command, **options))
        if fatal:
            processes[-1].kill()
        return processes[-1]

    monkeypatch.setattr(sandbox.subprocess, "Popen", start)
    with pytest.raises(UserError) as error:
        ModelProcess(good)
    assert sentence(error.value) == sandbox.DEAD
    x = np.ones(SHAPE, np.float32)
    child.close()
    with pytest.raises(UserError) as error:
        child.trace(x)
    assert str(error.value) == sandbox.DEAD
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2, "none is left"
    fatal.clear()
    assert child.trace(x).logits.shape == (3,)
    assert len(processes) == 3


@pytest.mark.slow
def test_a_child_that_dies_while_it_saves(child, sentence):
    child.trace(np.ones(SHAPE, np.float32))
    os.kill(child._process.pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (child._process.pid, signal.SIGKILL)).start()
    with pytest.raises(UserError) as error:
        child.saved({"labels": ["a", "b", "c"]})
    assert sentence(error.value) == sandbox.DEAD
    assert zipfile.is_zipfile(io.BytesIO(child.saved({"labels": ["a", "b", "c"]})))


@pytest.mark.slow
def test_a_child_that_hangs_is_a_sentence_and_comes_back(child, monkeypatch, sentence):
    x = np.ones(SHAPE, np.float32)
    before = child.trace(x).logits
    os.kill(child._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "SECONDS", 0.5)
        with pytest.raises(UserError) as error:
            child.trace(x)
    assert str(error.value) == sandbox.LATE
    sentence(error.value)
    np.testing.assert_allclose(child.trace(x).logits, before, atol=1e-6)


@pytest.mark.slow
def test_nobody_is_killed_once_the_answer_is_there(child, monkeypatch):
    """What would end a process that is late is called off, after a refusal too."""
    timers = []

    class Timer(threading.Timer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            timers.append(self)

    monkeypatch.setattr(sandbox.threading, "Timer", Timer)
    child.score(np.zeros((1, *SHAPE), np.float32), Target(0))
    with pytest.raises(UserError):
        child.trace(np.full(SHAPE, np.nan, np.float32))
    assert len(timers) == 2
    assert all(timer.finished.is_set() for timer in timers)


@pytest.mark.slow
def test_a_child_whose_file_is_gone(good, tmp_path, sentence):
    path = tmp_path / "gone.keras"
    path.write_bytes(good.read_bytes())
    child = ModelProcess(path)
    path.unlink()
    child.trace(np.ones(SHAPE, np.float32))  # it is still in memory
    process = child._process
    child.close()
    assert process.poll() is not None
    with pytest.raises(UserError) as error:
        child.trace(np.ones(SHAPE, np.float32))
    assert str(error.value) == sandbox.GONE
    sentence(error.value)


@pytest.mark.slow
def test_no_orphan_is_left(good):
    child = ModelProcess(good)
    process = child._process
    child._pipe.close()  # as when this process is killed
    assert process.wait(60) is not None
    child.close()


@pytest.mark.slow
def test_many_threads_ask_one_child(child):
    pictures = [np.full(SHAPE, n / 8, np.float32) for n in range(8)]
    alone = [child.trace(x).logits for x in pictures]
    found = [None] * 8

    def ask(n):
        found[n] = child.trace(pictures[n]).logits

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found, alone, atol=1e-6)


# A process that is not ours any more


class Sends(ModelProcess):
    """A ModelProcess on the other side of whose pipe stands what the test puts there."""

    def __init__(self, *blocks):
        self._lock, self._end = threading.Lock(), lambda: None
        self._process = SimpleNamespace(poll=lambda: None, kill=lambda: None)
        self._pipe, theirs = Pipe()
        for block in blocks:
            theirs.send_bytes(block)
        self._theirs = theirs


@pytest.mark.parametrize(
    "blocks",
    [
        (pickle.dumps({}),),
        (b"nope",),
        (b"[" * 100_000,),
        (b"[]",),
        (b"{}", b"\0" * 8),  # too few numbers
        (b"{}", np.full(3, np.nan, np.float32).tobytes()),
        (json.dumps({"error": "x" * 10_000}).encode(),),
        (json.dumps({"error": 3}).encode(),),
        (json.dumps({"error": "two\nlines"}).encode(),),
    ],
)
def test_an_answer_that_makes_no_sense(blocks, sentence):
    with pytest.raises(UserError) as error:
        Sends(*blocks)._ask("trace", (), (3,))
    assert str(error.value) == sandbox.BROKEN
    sentence(error.value)


def test_an_answer_that_is_too_long(monkeypatch, sentence):
    with pytest.raises(UserError) as error:
        Sends(b"{}", bytes(16))._ask("trace", (), (3,))
    sentence(error.value)
    monkeypatch.setattr(sandbox, "MAX_WORDS", 10)
    with pytest.raises(UserError) as error:
        Sends(b'{"more": "than ten"}')._ask("trace", ())
    sentence(error.value)


SAID = {
    "shape": [8, 8, 3], "classes": 3, "head": "softmax", "best": "conv", "title": "x",
    "labels": ["a", "b", "c"], "notes": [], "findings": [],
    "layers": [["conv", [4, 4, 2], "Conv2D", "", True]],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"best": "nowhere"}, {"classes": 4}, {"head": "evil"}, {"labels": ["a", "a", "b"]},
        {"labels": ["a\nb", "c", "d"]}, {"shape": [0, 1, 3]}, {"shape": [1]}, {"title": 3},
        {"layers": []}, {"layers": [["<b>", [4, 4, 3], "x", "", True]], "best": "<b>"},
        {"layers": [["conv", [1, 2], "x", "", True]]}, {"layers": 3}, {"best": None},
        {"layers": [[name, [5_000, 5_000, 5], "x", "", True] for name in ("conv", "b", "c")]},
        {"notes": None}, {"meaning": [1, "x"]}, {"meaning": [True, "a\nb"]}, {"meaning": [True]},
        {"meaning": [True, "x" * 401]}, {"meaning": [True, "x", []]}, {"meaning": "yes"},
        {"layers": [["conv", [10**5, 10**5, 3], "x", "", True]]},
        {"findings": None}, {"findings": [["preprocess", "evil", "found", "", []]]},
        {"findings": [["preprocess", "none", "sworn", "", []]]},
        {"findings": [["preprocess", "none", "found", "", ["evil"]]]},
        {"findings": [["colour", "none", "found", "", []]]},
        {"findings": [["head", "none", "found", "", []]]},
        {"findings": [["preprocess", "none", "found", "two\nlines", []]]},
        {"findings": [["preprocess", "none", "found", 3, []]]},
        *({"layers": [["conv", [4, 4, 2], "Conv2D", "", True, place]]} for place in [
            [1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, None], [1, 0, 0, 0, 1, "0"],
            [1, 0, 0, 0, 1, float("nan")], [1, 0, float("inf"), 0, 1, 0], [1e9, 0, 0, 0, 1, 0],
            [0.5, 1, 0, 1, 2, 0], [True, 0, 0, 0, 1, 0], "012345", 3,
        ]),
        *({"layers": [["conv", [4, 4, 2], "Conv2D", "", True, None, count]]} for count in [
            -1, 1.0, True, "1", 10**7, [],
        ]),
    ],
)  # fmt: skip
def test_a_description_that_makes_no_sense(change):
    child = Sends()
    child._describe(SAID)
    assert child.suggested == ("conv",)
    with pytest.raises(Exception):  # noqa: B017, PT011  # any: it becomes one sentence
        child._describe(SAID | change)


@pytest.mark.slow
def test_a_child_says_where_its_layers_lie(tmp_path):
    """Mirrored, and the lower three quarters: row 0.75 u + 0.25, column 1 - v."""
    image = keras.Input(SHAPE)
    x = L.Cropping2D(((8, 0), (0, 0)))(image)
    a = L.Conv2D(4, 3, padding="same", name="conv")(keras.ops.flip(x, axis=2))
    tokens = L.Dense(5, "relu", name="tokens")(L.Reshape((-1, 4))(a))
    model = keras.Model(image, L.Dense(3)(L.GlobalAveragePooling1D()(tokens)))
    path = save(model, tmp_path / "model.keras")
    child = ModelProcess(path)
    trace = child.trace(np.ones(SHAPE, np.float32), None, ("tokens",))
    child.close()
    for name in ("conv", "tokens"):
        numbers = child.layers[name].placement.numbers
        np.testing.assert_allclose(numbers, (0.75, 0, 0.25, 0, -1, 1), atol=1e-5)
    assert (child.best, child.layers["tokens"].leading) == ("tokens", 0)
    assert trace.activations["tokens"].shape == (24, 32, 5)


def test_what_the_process_lets_pass_makes_sense_here(tmp_path, monkeypatch):
    """Thirty layers that hand on one tensor of 82 kB are one tensor, on both sides."""
    image = keras.Input(SHAPE)
    x = L.Conv2D(20, 3, padding="same")(image)
    for _ in range(30):
        x = L.Dropout(0.1)(x)
    model = keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    path = save(model, tmp_path / "model.keras")
    monkeypatch.setattr(sandbox, "MAX_MAPS", 1_000_000)
    _, _, said = sandbox._opened(path, ["a", "a", "a (0)"], None)
    child = Sends()
    child._describe(json.loads(json.dumps(said)))
    assert len(child.spatial_layers) == 31
    assert child.spec.labels == ("a (0) (0)", "a (1)", "a (0) (2)")
    monkeypatch.setattr(sandbox, "MAX_MAPS", 80_000)
    with pytest.raises(UserError, match="MB of feature maps"):
        sandbox._opened(path, None, None)


def test_what_was_found_at_load_is_told(tmp_path):
    """What the output means, what is doubtful about it, and where the gradient is cut."""
    image = keras.Input(SHAPE)
    a = L.Conv2D(4, 3, activation="relu", name="conv")(image)
    g = keras.ops.round(L.GlobalAveragePooling2D()(a) * 10)
    model = keras.Model(image, L.Dense(2, "hard_sigmoid")(g))
    _, net, said = sandbox._opened(save(model, tmp_path / "model.keras"), None, None)
    child = Sends()
    child._describe(json.loads(json.dumps(said)))
    for found in (child, net):
        assert found.head == found.meaning.head == "linear"
        assert found.meaning.percent
        assert found.meaning.score.startswith("the probability itself")
        assert "gradient is cut" in found.layers["conv"].poor
    assert any("do not add up to 1" in note for note in child.spec.notes)
    assert any("No layer of this model is a good place" in note for note in child.spec.notes)


def test_who_is_ended_takes_along_what_it_started():
    script = "(sleep 60; echo alive) & echo ready; wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"ready\n"
    sandbox._end(process, Pipe()[0])
    with process.stdout as rest:
        assert rest.read() == b""  # its end is there when nobody is left who could write


@pytest.mark.slow
def test_a_child_leads_a_group_of_its_own(child):
    child.trace(np.zeros(SHAPE, np.float32))
    assert os.getpgid(child._process.pid) == child._process.pid != os.getpgid(0)


# Files that pass the door and are refused inside


def changed(path, good, name, **what):
    """The small model with a layer described otherwise than it was saved."""
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    layer = next(x for x in config["config"]["layers"] if x["config"]["name"] == name)
    layer["config"].update(what)
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (members | {"config.json": json.dumps(config)}).items():
            archive.writestr(member, data)
    return path


def with_nan():
    model = small()
    model.layers[-1].set_weights([np.full((6, 3), np.nan), np.zeros(3)])
    return model


def two_inputs():
    a, b = keras.Input(SHAPE), keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(L.Add()([a, b])))
    return keras.Model([a, b], L.Dense(2)(x))


def no_map():
    image = keras.Input(SHAPE)
    return keras.Model(image, L.Dense(2)(L.Flatten()(image)))


def enlarged():
    image = keras.Input(SHAPE)
    x = L.UpSampling2D(10_000)(L.Conv2D(2, 3)(image))
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))


def wide():
    image = keras.Input((1_000, 1_000, 3))
    x = L.Conv2D(200, 3)(image)
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))


@pytest.mark.many
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "words"),
    [(with_nan, "finite"), (two_inputs, "several inputs"), (no_map, "no feature map"),
     (enlarged, "MB of feature maps"), (wide, "MB of feature maps")],
)  # fmt: skip
def test_models_that_are_refused(make, words, good, tmp_path, sentence):
    with pytest.raises(UserError, match=words) as error:
        ModelProcess(save(make(), tmp_path / "upload.keras"))
    sentence(error.value)


@pytest.mark.many
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("dense", {"units": 10**9}, "needs more memory"),  # 6 x 10^9 numbers
        ("conv1", {"filters": 10**9}, "needs more memory"),
        ("conv1", {"kernel_size": [20, 20], "filters": 10**6}, "needs more memory"),
        ("image", {"batch_shape": [None, 10**5, 10**5, 3]}, "MB of feature maps"),
        ("image", {"batch_shape": [None, 2_500, 2_500, 3]}, "MB of feature maps"),
        ("dense", {"units": 10**30}, "could not be loaded"),  # no number of TensorFlow's
        ("dense", {"units": -5}, "could not be loaded"),
        ("conv1", {"kernel_size": [10**5, 10**5]}, "could not be loaded"),  # more than the picture
    ],
)
def test_bombs(name, what, words, good, child, tmp_path, monkeypatch, sentence):
    monkeypatch.setattr(sandbox, "OPENING", 600.0)  # on a busy machine time must not be the reason
    with pytest.raises(UserError, match=words) as error:
        ModelProcess(changed(tmp_path / "upload.keras", good, name, **what))
    sentence(error.value)
    assert np.isfinite(child.trace(np.zeros(SHAPE, np.float32)).logits).all()


@pytest.mark.slow
def test_a_truncated_file_and_options_that_do_not_fit(good, tmp_path, sentence):
    path = tmp_path / "upload.keras"
    with zipfile.ZipFile(good) as whole, zipfile.ZipFile(path, "w") as damaged:
        for member in whole.namelist():
            data = whole.read(member)
            damaged.writestr(member, data[: len(data) // 2] if member.endswith("h5") else data)
    for file, words, more in (
        (path, "could not be loaded", {}),
        (good, "3 answers", {"labels": ["a"]}),
        (good, "no such preprocessing", {"preprocess": "x"}),
    ):
        with pytest.raises(UserError, match=words) as error:
            ModelProcess(file, **more)
        sentence(error.value)


@pytest.mark.longest
def test_a_network_of_keras(tmp_path):
    model = keras.applications.MobileNetV2(weights=None)
    child = ModelProcess(save(model, tmp_path / "upload.keras"))
    x = np.random.default_rng(0).uniform(-1, 1, (224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(
        child.trace(x).probabilities, model(x[None], training=False)[0], atol=1e-6
    )
    child.close()
