"""The whole path in the order it happens. Computes nothing itself."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gradcam_core import heatmap, image as pictures, models
from gradcam_core.methods import METHODS
from gradcam_core.types import Explanation, Layer, ModelSpec, Survey, Target, U8, UserError

if TYPE_CHECKING:
    from gradcam_core.network import Network

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
                entry[1] = make()
                entry[2] = self._cost(entry[1])
                self._trim(key)
            return entry[1]

    def _trim(self, newest: Any) -> None:
        with self._lock:
            total = sum(cost for _, _, cost in self._entries.values())
            for key, (_, value, cost) in list(self._entries.items()):
                if total <= self._limit:
                    return
                if key != newest and value is not None:
                    del self._entries[key]
                    total -= cost


_loaded = Keep(NETWORKS)
_networks = Keep(2 * NETWORKS)


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
            f"{spec.title} cannot be run at twice its side, because its dense layers fix the size of "
            "its input; switch detail off or choose another model."
        )

    def make() -> "Network":
        from gradcam_core.network import Network

        side = spec.size * (2 if detail else 1)
        keras_model = _loaded.get(spec, partial(models.load, spec, progress))
        return Network(keras_model, (side, side, 3), spec.suggested)

    found: Network = _networks.get((spec, detail), make)
    return found


def layer_of(net: "Network", name: str | None) -> Layer:
    """The layer of that name, None the best one, or a sentence."""
    layer = net.places.get(name or net.best) if _is(name, str) else None
    if layer is None:
        raise UserError(
            f"This model has no layer of that name with a place to look at; {net.best} is its best one."
        )
    return layer


def target_of(
    target: int | str | Target | None, labels: Sequence[str], classes: int
) -> Target | None:
    """A class by number or by name; None stays None: the likeliest class."""
    if isinstance(target, str):
        names = {label.casefold(): i for i, label in enumerate(labels)}
        if target.strip().casefold() not in names and not target.strip().isdecimal():
            raise UserError("There is no class of that name; give its number or its exact name.")
        key = target.strip().casefold()
        target = names[key] if key in names else int(key)
    if _is(target, int):
        target = None if target is None else Target(int(target))  # type: ignore[arg-type]
    if target is None:
        return None
    if not isinstance(target, Target) or not all(
        _is(i, int) and (i is None or 0 <= i < classes) for i in (target.index, target.rather_than)
    ):
        raise UserError(f"There is no such class: classes are numbered from 0 to {classes - 1}.")
    if target.index == target.rather_than:
        raise UserError("A class cannot be compared with itself; choose two different classes.")
    return target


def _is(value: object, kind: type) -> bool:
    return value is None or (isinstance(value, kind) and not isinstance(value, bool))


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
    layers (): every suggested layer. detail: the network at twice its side, where it allows that.
    """
    unknown = [m for m in methods if m not in METHODS]
    if unknown or not methods:
        raise UserError(f"There is no such method; choose from: {', '.join(METHODS)}.")
    image = pictures.from_array(image)
    spec = spec_of(model)
    net = network(spec, detail)
    asked = target_of(target, spec.labels, net.classes)
    names = tuple(layer_of(net, name).name for name in layers)
    x = spec.preprocess(pictures.fit(image, net.shape[0]))
    trace = net.trace(x, asked, names)
    maps = {
        (layer, method): heatmap.combine(METHODS[method].weights(a, trace.gradients[layer]), a)
        for layer, a in trace.activations.items()
        for method in methods
    }
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
