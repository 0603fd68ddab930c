"""Names -> the network, layer, class and methods that they stand for; or a sentence."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

from gradcam_core import models
from gradcam_core.cache import Cache
from gradcam_core.methods import METHODS
from gradcam_core.types import Asked, Layer, ModelSpec, Progress, Target, UserError

SAME = "A class cannot be compared with itself; choose two different classes."
NETWORKS = 4  # kept in memory; the one unused for longest leaves

_networks: Cache[tuple[ModelSpec, bool], Asked] = Cache(NETWORKS)


def spec_of(model: str | ModelSpec) -> ModelSpec:
    return model if isinstance(model, ModelSpec) else models.find(model)


def network(
    model: str | ModelSpec = models.DEFAULT, detail: bool = False, progress: Progress | None = None
) -> Asked:
    """The network of that row, loaded and looked through once. detail: at twice its side."""
    spec = spec_of(model)
    if detail and not spec.fully_convolutional:
        raise UserError(
            f"{spec.title} cannot be run at twice its side, because the size of its input is "
            "fixed; switch detail off or choose another network."
        )
    if spec.asked:
        return spec.asked()

    def make() -> Asked:
        if spec.elsewhere:
            return spec.elsewhere(detail)
        from gradcam_core.network import Network

        rows, columns, channels = spec.shape or (spec.size, spec.size, 3)
        if not detail:
            model = models.load(spec, progress)
            given = spec.suggested, spec.head, spec.meaning
            return Network(model, (rows, columns, channels), *given)
        usual = network(spec, progress=progress)
        assert isinstance(usual, Network)
        given = spec.suggested, spec.head, usual.meaning
        return Network(usual.model, (2 * rows, 2 * columns, channels), *given)

    return _networks.get((spec, detail), make)


def loaded(spec: ModelSpec, detail: bool = False) -> bool:
    """Whether this network is kept in memory; an upload keeps itself, in its process."""
    return spec.asked is not None or _networks.made((spec, detail))


def layer_of(asked: Asked, name: str | None) -> Layer:
    """The layer of that name, None the best one, or a sentence."""
    layer = asked.spatial_layers.get(name or asked.best) if isinstance(name, str | None) else None
    if layer is None:
        raise UserError(
            "This model has no layer of that name with places to look at; its best is "
            f"{asked.best}."
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
    rivals = () if target.rival is None else (target.rival,)
    for i in (target.index, *rivals):
        if not isinstance(i, Integral) or isinstance(i, bool) or not 0 <= int(i) < classes:
            raise UserError(f"There is no such class: they are numbered from 0 to {classes - 1}.")
    if target.index == target.rival:
        raise UserError(SAME)
    return replace(target, index=int(target.index), rival=next(map(int, rivals), None))


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else () if names is None else tuple(names)


def methods_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """The rows of METHODS of that name or those names, or a sentence."""
    found = listed(names)
    if not found or any(name not in tuple(METHODS) for name in found):
        raise UserError(f"There is no such method; choose from: {', '.join(METHODS)}.")
    return found
