"""The networks of the list in processes of their own, on this machine or on several: Ray Serve.

The page stays in front of them, in one process: a network that is asked is a `Remote`, which takes
each question to a replica, where it is answered as in this process. Replicas, which of them has
which network, and how many there are, is Ray's. What visitors bring is never sent there.
"""

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from gradcam_core import BACKEND, SETTINGS, lookup, models, pipeline, trust
from gradcam_core.afar import Afar, arrays_for
from gradcam_core.types import (
    F32,
    Asked,
    Head,
    Layer,
    Meaning,
    ModelSpec,
    Survey,
    Target,
    UserError,
)

log = logging.getLogger("gradcam_lab")

Order = Callable[[], ModelSpec]  # a row of the host's own, made from its file
Call = Callable[..., Any]  # a question's name and its arguments -> the answer of a replica

TRIES = 6
PAUSE = 0.1  # seconds before the second try, twice as many before each that follows
ANSWER_IN = 300.0  # seconds for one answer; a network's file may have to be fetched
REACHED_IN = 5.0  # seconds, a cluster that is there already
QUEUED = 64  # questions that wait for a replica
AT_WORK = 2  # questions at once in one replica
MEMORY_EACH = 1_500_000_000  # bytes that Ray sets apart for a replica
NO_RAY = "Ray Serve is not installed; pip install the requirement named serve in pyproject.toml."
NO_CLUSTER = "No Ray cluster at {} lets this machine in; docs/hosting.md says how one is started."
STOPPED_THERE = "The processes that run the networks were stopped; please try again in a minute."
UNANSWERED = "The networks took too long to answer; please try again in a minute."
OVERRUN = "Many are asking at this moment; please try again."


class About(NamedTuple):
    """What a page has to know of a network that runs elsewhere."""

    shape: tuple[int, int, int]
    classes: int
    head: Head
    meaning: Meaning
    layers: Mapping[str, Layer]
    best: str
    suggested: tuple[str, ...]


class Engine:
    """What a replica answers with: the list of networks, and the host's own before them."""

    def __init__(self, own: Mapping[str, Order]):
        for key, order in reversed(list(own.items())):
            models.put_first(key, order())
        lookup.network(next(iter(models.MODELS)))  # who comes first waits less

    def about(self, key: str, detail: bool) -> About:
        return About(*(getattr(lookup.network(key, detail), name) for name in About._fields))

    def arrays(self, key: str, detail: bool, kind: str, *arguments: Any) -> list[F32]:
        return arrays_for(models.find(key), lookup.network(key, detail), kind, *arguments)

    def look(
        self,
        key: str,
        detail: bool,
        x: F32,
        target: Target | None,
        layers: Sequence[str],
        methods: Sequence[str],
    ) -> Survey:
        """The maps; of A and G, which are much larger, those of the best layer alone."""
        net = lookup.network(key, detail)
        made = pipeline.survey_at(net, x, target, layers, methods)
        a, g = made.trace.activations, made.trace.gradients
        best = {net.best} & set(a)
        small = replace(
            made.trace,
            activations={name: a[name] for name in best},
            gradients={name: g[name] for name in best},
        )
        return replace(made, trace=small, even={name: trust.even(g[name]) for name in g})


class Remote(Afar):
    """A network of the list, where a replica has it. `call` takes a question there."""

    def __init__(self, call: Call, key: str, detail: bool):
        self._call = partial(call, key=key, detail=detail)
        told: About = self._call("about")
        self.shape, self.classes, self.head, self.meaning = told[:4]
        self.layers, self.best, self.suggested = told[4:]

    def _ask(self, kind: str, arguments: tuple[Any, ...], *shapes: tuple[int, ...]) -> list[F32]:
        return self._call("arrays", kind, *arguments)

    def look(
        self, x: F32, target: Target | None, layers: Sequence[str], methods: Sequence[str]
    ) -> Survey:
        """What `pipeline.survey_at` answers; what stayed there of A and G comes when it is read."""
        made: Survey = self._call("look", x, target, tuple(layers), tuple(methods))
        whole = cache(partial(self.trace, x, target, tuple(made.even)))
        shapes = {name: self.layers[name].shape for name in made.even}
        late = replace(
            made.trace,
            inputs=x,
            activations=Late(made.trace.activations, shapes, lambda: whole().activations),
            gradients=Late(made.trace.gradients, shapes, lambda: whole().gradients),
        )
        return replace(made, trace=late)


class Late(Mapping[str, F32]):
    """A or G of these layers: some at hand, all others when one of them is first read."""

    def __init__(
        self,
        at_hand: Mapping[str, F32],
        shapes: Mapping[str, tuple[int, int, int]],
        fetch: Callable[[], Mapping[str, F32]],
    ):
        self.at_hand, self.shapes, self.fetch = at_hand, shapes, fetch

    def __getitem__(self, name: str) -> F32:
        return self.at_hand[name] if name in self.at_hand else self.fetch()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __sizeof__(self) -> int:
        """What is kept of it is counted before it comes."""
        late = [shape for name, shape in self.shapes.items() if name not in self.at_hand]
        return object.__sizeof__(self) + 4 * sum(map(math.prod, late))


def put_behind(call: Call) -> None:
    """Have every row of the list answered there; what is in memory already stays here."""
    for key, spec in models.MODELS.items():
        if not spec.asked:
            there: Callable[[bool], Asked] = partial(Remote, call, key)
            models.MODELS[key] = replace(spec, elsewhere=there)


def start(least: int, own: Mapping[str, Order]) -> tuple[int, Callable[[], None]]:
    """Answer with so many replicas or more, as the machines have room; how many questions they take
    at once, and what ends them.

    On the cluster that RAY_ADDRESS names, else on this machine. own: the host's own networks, which
    are in the list already. Raises UserError.
    """
    if not find_spec("ray"):
        raise UserError(NO_RAY)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else it reports to its makers
    os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: beside a busy neighbour none runs
    import ray
    from ray import serve

    alone = "RAY_ADDRESS" not in os.environ
    here = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if alone else {}
    try:
        _reach(os.environ.get("RAY_ADDRESS", ""))
        ray.init(namespace="gradcam-lab", log_to_driver=False, logging_level="WARNING", **here)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise UserError(NO_CLUSTER.format(os.environ.get("RAY_ADDRESS", "this machine"))) from error
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    serve.start(proxy_location="Disabled", logging_config=quiet)
    room = ray.cluster_resources()
    fit = int(room["memory"] / MEMORY_EACH)
    if least > fit:
        raise UserError(f"There is not memory enough for {least} replicas, but for {fit}.")
    most = max(least, min(fit, int(room["CPU"])))
    needs = {
        "num_cpus": min(1, room["CPU"] / least),
        "num_gpus": int(min(1, room.get("GPU", 0) // least)),
        "memory": MEMORY_EACH,
    }
    there = {name: os.environ[name] for name in ("GRADCAM_WEIGHTS_DIR",) if name in os.environ}
    there |= SETTINGS | BACKEND | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    deployment = serve.deployment(
        _replica(serve),
        name="networks",
        max_ongoing_requests=AT_WORK,
        max_queued_requests=QUEUED,
        autoscaling_config={
            "min_replicas": least,
            "max_replicas": most,
            "target_ongoing_requests": 1,
        },
        ray_actor_options={**needs, "runtime_env": {"env_vars": there}},
        logging_config=quiet,
    )
    handle = serve.run(deployment.bind(own), name="gradcam-lab", route_prefix=None)
    put_behind(partial(_patiently, handle))
    return AT_WORK * most, ray.shutdown


def _reach(address: str) -> None:
    """Raises ConnectionError where nobody answers at HOST:PORT: Ray would try for ever."""
    host, _, port = address.rpartition(":")
    if "/" in host or not port.isdecimal():  # of ray://HOST:PORT and "auto" Ray knows more
        return
    try:
        socket.create_connection((host, int(port)), REACHED_IN).close()
    except OSError as error:
        raise ConnectionError from error


def _replica(serve: Any) -> type:
    """An Engine that says which networks it has, so that Ray asks it for those."""

    class Replica(Engine):
        async def bring(self, key: str) -> str:
            await asyncio.to_thread(lookup.network, key)  # beside the questions after its health
            return key

        bring = serve.multiplexed(max_num_models_per_replica=lookup.NETWORKS)(bring)

        async def answer(self, question: str, detail: bool, arguments: tuple[Any, ...]) -> Any:
            key = await self.bring(serve.get_multiplexed_model_id())
            return await asyncio.to_thread(getattr(self, question), key, detail, *arguments)

    return Replica


def _patiently(handle: Any, question: str, *arguments: Any, key: str, detail: bool) -> Any:
    """A replica's answer. Where it dies meanwhile another one is asked: Ray itself asks once."""
    from ray import exceptions
    from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError

    ask = handle.options(multiplexed_model_id=key).answer.remote
    for n in range(TRIES):
        try:
            return ask(question, detail, arguments).result(timeout_s=ANSWER_IN)
        except (
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            ReplicaUnavailableError,
        ):
            log.warning("a replica was lost; its question is asked again")
            time.sleep(PAUSE * 2**n)
        except BackPressureError:
            raise UserError(OVERRUN) from None
        except TimeoutError:
            raise UserError(UNANSWERED) from None
        except UserError as error:  # Ray's, of two classes: its text is a traceback
            raise UserError(str(getattr(error, "cause", error))) from None
    raise UserError(STOPPED_THERE)
