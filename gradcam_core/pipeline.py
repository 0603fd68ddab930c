"""The whole path in the order it happens. Computes nothing itself."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from gradcam_core import heatmap, models
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS
from gradcam_core.types import (
    F32,
    U8,
    Explanation,
    Layer,
    ModelSpec,
    Survey,
    Target,
    Trace,
    UserError,
)

if TYPE_CHECKING:
    from gradcam_core.network import Network

SAME = "A class cannot be compared with itself; choose two different classes."
NETWORKS = 4  # kept in memory; the one unused for longest leaves


class Keep:
    """Values made once each, however many threads ask at the same moment; the oldest leave.

    limit: how much is kept, in what `cost` of a value says.
    """

    def __init__(self, limit: float, cost: Callable[[Any], float] = lambda _value: 1):
        self._limit, self._cost = limit, cost
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, list[Any]] = OrderedDict()  # key -> [lock, value, cost]

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            entry = self._entries.setdefault(key, [threading.Lock(), None, 0.0])
            self._entries.move_to_end(key)
        with entry[0]:
            if entry[1] is None:
                try:
                    entry[1] = make()
                except BaseException:
                    with self._lock:
                        self._entries.pop(key, None)  # or what fails would pile up
                    raise
                entry[2] = self._cost(entry[1])
                self._keep(key, entry)
            return entry[1]

    def __contains__(self, key: Any) -> bool:
        return key in self._entries

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        """Forget the values of these keys."""
        with self._lock:
            for key in [key for key in self._entries if unwanted(key)]:
                del self._entries[key]

    def _keep(self, newest: Any, entry: list[Any]) -> None:
        with self._lock:
            self._entries[newest] = entry  # it is not there where another thread's attempt failed
            total = sum(cost for _, _, cost in self._entries.values())
            for key, (_, value, cost) in list(self._entries.items()):
                if total <= self._limit:
                    return
                if key != newest and value is not None:
                    del self._entries[key]
                    total -= cost


_networks = Keep(NETWORKS)
LARGE = 1 << 18  # numbers in a layer; below, two threads wait longer for each other than they gain
_beside = ThreadPoolExecutor(2)


def spec_of(model: str | ModelSpec) -> ModelSpec:
    return model if isinstance(model, ModelSpec) else models.find(model)


def network(
    model: str | ModelSpec = models.DEFAULT,
    detail: bool = False,
    progress: Callable[[float], None] | None = None,
) -> "Network":
    """The network of that row, loaded and looked through once. detail: at twice its side."""
    spec = spec_of(model)
    if detail and not spec.scalable:
        raise UserError(
            f"{spec.title} cannot be run at twice its side, because the size of its input is "
            "fixed; switch detail off or choose another network."
        )

    if spec.network:
        return spec.network()

    def make() -> "Network":
        from gradcam_core.network import Network

        rows, columns, channels = spec.shape or (spec.size, spec.size, 3)
        if detail:
            model = network(spec, progress=progress).model
            rows, columns = 2 * rows, 2 * columns
        else:
            model = models.load(spec, progress)
        return Network(model, (rows, columns, channels), spec.suggested, spec.head)

    return _networks.get((spec, detail), make)


def loaded(spec: ModelSpec, detail: bool = False) -> bool:
    """Whether this network is kept in memory; an upload keeps itself, in its process."""
    return spec.network is not None or (spec, detail) in _networks


def layer_of(net: "Network", name: str | None) -> Layer:
    """The layer of that name, None the best one, or a sentence."""
    layer = net.places.get(name or net.best) if isinstance(name, str | None) else None
    if layer is None:
        raise UserError(
            f"This model has no layer of that name with places to look at; its best is {net.best}."
        )
    return layer


def target_of(
    target: int | str | Target | None, labels: Sequence[str], classes: int
) -> Target | None:
    """A class by number or by name; None stays None: the likeliest class."""
    if isinstance(target, str):
        known = {str(i): i for i in range(classes)}
        known |= {label.casefold(): i for i, label in enumerate(labels)}
        known |= {label: i for i, label in enumerate(labels)}  # "A" may be another class than "a"
        name = target.strip()
        target = known.get(name, known.get(name.casefold()))
        if target is None:
            raise UserError("There is no class of that name; give its number or its exact name.")
    if target is None:
        return None
    if not isinstance(target, Target):
        target = Target(target)
    rival = () if target.rather_than is None else (target.rather_than,)
    for i in (target.index, *rival):
        if not isinstance(i, Integral) or isinstance(i, bool) or not 0 <= int(i) < classes:
            raise UserError(f"There is no such class: they are numbered from 0 to {classes - 1}.")
    if target.index == target.rather_than:
        raise UserError(SAME)
    return replace(target, index=int(target.index), rather_than=next(map(int, rival), None))


def listed(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else () if names is None else tuple(names)


def maps_of(trace: Trace, methods: Sequence[str]) -> dict[tuple[str, str], F32]:
    """The signed map (h, w) of every layer of the trace and each of these methods."""
    return {
        (layer, method): heatmap.combine(METHODS[method].weights(a, trace.gradients[layer]), a)
        for method in methods
        for layer, a in trace.activations.items()
    }


def survey(
    image: U8,
    model: str | ModelSpec = models.DEFAULT,
    target: int | str | Target | None = None,
    layers: Sequence[str] = (),
    methods: Sequence[str] = tuple(METHODS),
    detail: bool = False,
) -> Survey:
    """One forward and one backward pass, and every map that they answer.

    image (H, W, 3) uint8 RGB. target: class number or name, a `Target`, or None for the likeliest.
    layers (): every suggested layer; one name stands for a list of it, as with methods. detail: the
    network at twice its side, where it allows that.
    """
    layers, methods = listed(layers), listed(methods)
    if not methods or any(m not in tuple(METHODS) for m in methods):
        raise UserError(f"There is no such method; choose from: {', '.join(METHODS)}.")
    image = pictures.from_array(image)
    spec = spec_of(model)
    net = network(spec, detail)
    asked = target_of(target, spec.labels, net.classes)
    names = tuple(layer_of(net, name).name for name in layers)
    x = spec.preprocess(pictures.fit(image, net.shape[:2]))
    trace = net.trace(x, asked, names)
    if any(a.size > LARGE for a in trace.activations.values()):
        # Eigen-CAM, the last of the table, is nearly half of the work: it comes first.
        jobs = {m: _beside.submit(maps_of, trace, [m]) for m in reversed(methods)}
        maps = {key: signed for m in methods for key, signed in jobs[m].result().items()}
    else:
        maps = maps_of(trace, methods)
    return Survey(image, trace.target, trace.logits, trace.probabilities, maps, trace)


def explain(
    image: U8,
    model: str | ModelSpec = models.DEFAULT,
    layer: str | None = None,
    target: int | str | Target | None = None,
    methods: Sequence[str] = ("Grad-CAM",),
    detail: bool = False,
) -> Explanation:
    """Where the network sees evidence for a class: one layer, some methods.

    image (H, W, 3) uint8 RGB. layer None: the best one. target None: the likeliest class.
    """
    name = layer_of(network(model, detail), layer).name
    seen = survey(image, model, target, (name,), methods, detail)
    maps = {method: signed for (_, method), signed in seen.maps.items()}
    size = (seen.image.shape[0], seen.image.shape[1])
    return Explanation(
        image=seen.image,
        target=seen.target.index,
        probabilities=seen.probabilities,
        layer=name,
        maps=maps,
        heatmaps={m: heatmap.upsample(heatmap.normalise(s), size) for m, s in maps.items()},
        survey=seen,
    )
