"""A network that runs elsewhere answers as it does here; a replica that dies loses no request."""

import json
import os
import pickle
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from visitor import answered

from demo import engine, lesson
from demo.question import pose
from gradcam_core import cluster, lookup, models, pipeline
from gradcam_core.cache import weight
from gradcam_core.methods import one_pass
from gradcam_core.types import Shuffled, Target, UserError

HOME = Path(__file__).parent.parent


class Wire:
    """Takes questions to an Engine in this process, as a cluster does: as bytes there and back."""

    def __init__(self) -> None:
        self.engine = cluster.Engine({})
        self.asked: Counter[str] = Counter()

    def __call__(self, question: str, *arguments: Any, key: str, detail: bool) -> Any:
        self.asked[question if question != "arrays" else arguments[0]] += 1
        sent = pickle.loads(pickle.dumps(arguments))
        try:
            answer = getattr(self.engine, question)(key, detail, *sent)
        except UserError as error:
            raise UserError(str(error)) from None
        return pickle.loads(pickle.dumps(answer))


@pytest.fixture
def wire(tiny: str, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """ "tiny" here, and the same network as "away", which is asked over the wire."""
    here = models.MODELS[tiny]
    monkeypatch.setattr(models, "MODELS", {tiny: here})
    wire = Wire()
    away = replace(here, elsewhere=partial(cluster.Remote, wire, tiny))
    monkeypatch.setitem(models.MODELS, "away", away)
    return wire


@pytest.mark.parametrize("detail", [False, True])
def test_every_question_is_answered_as_here(
    wire: Wire, detail: bool, rng: np.random.Generator
) -> None:
    """The same network asked without a wire is the referee."""
    here, away = lookup.network("tiny", detail), lookup.network("away", detail)
    assert isinstance(away, cluster.Remote)
    assert away.shape == ((50, 50, 3) if detail else (25, 25, 3))
    for name in cluster.About._fields:
        assert getattr(away, name) == getattr(here, name), name
    assert list(away.spatial_layers) == ["edges", "norm", "relu", "shapes"]
    xs = rng.normal(size=(11, *away.shape)).astype(np.float32)
    target = Target(2, rival=0)
    for how in (None, Shuffled(1)):
        one, other = (net.trace(xs[0], target, ("shapes", "relu"), how) for net in (here, away))
        np.testing.assert_array_equal(other.logits, one.logits)
        np.testing.assert_array_equal(other.probabilities, one.probabilities)
        for kind in ("activations", "gradients"):
            a, b = getattr(one, kind), getattr(other, kind)
            assert list(b) == ["shapes", "relu"]
            assert all((a[name] == b[name]).all() for name in a)
        guided = [net.guided_backprop(xs[0], target, how) for net in (here, away)]
        np.testing.assert_array_equal(*guided)
    assert away.trace(xs[0]).target == here.trace(xs[0]).target
    np.testing.assert_array_equal(away.probabilities(xs), here.probabilities(xs))
    np.testing.assert_array_equal(away.score(xs, target), here.score(xs, target))
    np.testing.assert_array_equal(
        away.picture_gradient(xs, target), here.picture_gradient(xs, target)
    )
    trace = here.trace(xs[0], target)
    a = rng.normal(size=(11, *away.layers["shapes"].shape)).astype(np.float32)
    np.testing.assert_array_equal(
        away.score_from("shapes", a, trace), here.score_from("shapes", a, trace)
    )
    assert wire.asked["score"] == 2, "eight pictures and three"


def test_maps_are_made_there_and_the_rest_comes_when_it_is_read(
    wire: Wire, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, (31, 45, 3), np.uint8)
    here, away = lookup.network("tiny"), lookup.network("away")
    wire.asked.clear()
    asked = Target(1), here.suggested, one_pass()
    one = pipeline.look(image, models.find("tiny"), here, *asked)
    other = pipeline.look(image, models.find("away"), away, *asked)
    assert wire.asked == {"look": 1}
    assert other.image is image
    assert list(other.maps) == list(one.maps)
    for at, signed in one.maps.items():
        np.testing.assert_array_equal(other.maps[at], signed)
    a, g = other.trace.activations, other.trace.gradients
    np.testing.assert_array_equal(a[here.best], one.trace.activations[here.best])
    assert wire.asked == {"look": 1}, "what the page reads itself has come along"
    full = 4 * sum(np.prod(here.layers[name].shape) for name in one.trace.activations)
    assert weight(a) >= full, "what may come is counted"
    for name in one.trace.gradients:
        np.testing.assert_array_equal(g[name], one.trace.gradients[name])
        np.testing.assert_array_equal(a[name], one.trace.activations[name])
    assert wire.asked == {"look": 1, "trace": 1}


def test_the_page_says_the_same(wire: Wire, put: Callable[..., str]) -> None:
    """Of a look two questions go over the wire: the maps, and what the head adds to them."""
    picture = put()
    for question in ((), (2,), (2, 0), (2, 0, True)):
        wire.asked.clear()
        there = answered(picture, "away", *question)
        if question == (2,):
            assert wire.asked == {"look": 1, "score_from": 1}
        here = answered(picture, "tiny", *question)
        assert there["model"].pop("key") == "away"
        assert here["model"].pop("key") == "tiny"
        assert there == here
    said = [
        lesson.whole({"path": picture, "model": model, "layer": "relu"})
        for model in ("tiny", "away")
    ]
    assert json.dumps(said[0]) == json.dumps(said[1])


def test_a_network_elsewhere_is_brought_before_it_is_asked(
    wire: Wire, put: Callable[..., str]
) -> None:
    """So nobody's turn is spent on fetching it."""
    away = models.find("away")
    assert not lookup.loaded(away)
    posed = pose(put(), "away")
    assert lookup.loaded(away)
    assert not lookup.loaded(away, detail=True)
    assert wire.asked == {"about": 1}
    assert engine.survey_of(posed).target.index in range(3)


def test_what_is_refused_there_is_refused_here(wire: Wire, rng: np.random.Generator) -> None:
    x = rng.normal(size=(24, 25, 3)).astype(np.float32)
    said = []
    for name in ("tiny", "away"):
        with pytest.raises(UserError) as error:
            lookup.network(name).trace(x)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_all_rows_but_those_that_answer_here_are_behind(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, away = models.find("tiny"), lookup.network("away")
    rows = {"tiny": tiny, "pupil's": replace(tiny, asked=lambda: away)}
    monkeypatch.setattr(models, "MODELS", rows)
    cluster.put_behind(wire)
    assert models.find("pupil's").elsewhere is None
    behind = models.find("tiny")
    assert behind.elsewhere
    assert behind == replace(tiny, elsewhere=behind.elsewhere)


def test_what_a_visitor_says_of_a_network_holds_here(wire: Wire) -> None:
    """There it still means what the host said."""
    away = models.find("away")
    assert models.with_meaning(away, "linear").elsewhere is None
    assert models.in_that_way(away, "none", True, 3).elsewhere is away.elsewhere


def test_a_replica_has_the_hosts_own_before_the_list(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    order = partial(models.load_file, small_model, ["a", "b", "c"], "scale01")
    own = pickle.loads(pickle.dumps({"own": order, "own2": order}))
    replica = cluster.Engine(own)
    assert list(models.MODELS)[:2] == ["own", "own2"]
    assert replica.about("own", False).classes == 3


def test_without_ray_one_is_told(monkeypatch: pytest.MonkeyPatch, sentence: Any) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="serve") as error:
        cluster.start(2, {})
    sentence(error.value)


@pytest.mark.parametrize("refusal", [None, ConnectionError, RuntimeError])
def test_a_cluster_that_lets_nobody_in_is_named(
    monkeypatch: pytest.MonkeyPatch, sentence: Any, refusal: type[Exception] | None
) -> None:
    """None: nobody answers there, so Ray, which would try for ever, is not even asked."""

    def init(**_options: Any) -> None:
        assert refusal
        raise refusal("at " + "x" * 99)

    ray = SimpleNamespace(
        init=init, serve=None, exceptions=SimpleNamespace(AuthenticationError=RuntimeError)
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(cluster, "find_spec", lambda name: name == "ray")
    with socket.create_server(("127.0.0.1", 0)) as answers:
        address = f"127.0.0.1:{answers.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        if not refusal:
            answers.close()
        with pytest.raises(UserError, match=address) as error:
            cluster.start(2, {})
    sentence(error.value)


@pytest.mark.longest
@pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed: its replicas are untested")
def test_a_replica_killed_under_load_loses_no_request(tmp_path: Path, small_model: Path) -> None:
    """The page before two replicas, in a network that has only the loopback."""
    command = [sys.executable, "-m", "tests.replicas", str(tmp_path), str(small_model)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=1200)
    if done.returncode == 77:
        pytest.skip("no network of its own is allowed here: Ray would listen on every address")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["killed"], "while it had a question"
    assert found["asked_again"] >= 1
    assert found["wrong"] == []
    assert found["answered"] >= 40
    assert found["own"] == 3
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert found["nice"] == [here, here], "beside a busy neighbour they have their share"
    assert found["went_out"] == []
    assert found["left"] == []
