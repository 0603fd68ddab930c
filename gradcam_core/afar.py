"""A network that runs elsewhere: what it is asked here, and the arrays that it answers there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcam_core.types import F32, Asked, Layer, ModelSpec, Shuffled, Target, Trace

AT_ONCE = 8  # pictures, or activations, in one question


class Afar(ABC):
    """Asks as a `network.Network` is asked; whoever is one brings the question there, in `_ask`,
    and knows shape, classes, layers and suggested.
    """

    shape: tuple[int, int, int]
    classes: int
    layers: Mapping[str, Layer]
    suggested: tuple[str, ...]

    @abstractmethod
    def _ask(self, kind: str, arguments: tuple[Any, ...], *shapes: tuple[int, ...]) -> list[F32]:
        """The arrays, of these shapes, that `arrays_for` makes there of a question."""

    @property
    def spatial_layers(self) -> dict[str, Layer]:
        """The layers that have a place (h w > 1), in the order in which they run."""
        return {n: layer for n, layer in self.layers.items() if layer.shape[0] * layer.shape[1] > 1}

    def trace(
        self,
        x: F32,
        target: Target | None = None,
        layers: Sequence[str] = (),
        shuffled: Shuffled | None = None,
    ) -> Trace:
        """One forward and one backward pass: A and G of every layer asked for.

        x (N, N, 3) preprocessed. target None: the likeliest class. layers (): the suggested ones.
        """
        layers = tuple(layers or self.suggested)
        maps = [self.layers[name].shape for name in layers]
        given = x, target, layers, shuffled
        answer = self._ask("trace", given, *[(self.classes,)] * 2, *maps, *maps)
        logits, probabilities, *made = answer
        activations = dict(zip(layers, made[: len(layers)], strict=True))
        gradients = dict(zip(layers, made[len(layers) :], strict=True))
        target = target or Target(int(logits.argmax()))
        return Trace(x, logits, probabilities, target, activations, gradients)

    def probabilities(self, pictures: F32) -> F32:
        """Of each of B preprocessed pictures (B, N, N, 3): (B, C), finite or not."""
        rows = [np.zeros((0, self.classes), np.float32)]
        for part in _parts(pictures):
            shapes = (len(part), self.classes), (len(part), 1)
            numbers, finite = self._ask("probabilities", (part,), *shapes)
            rows.append(np.where(finite > 0, numbers, np.float32(np.nan)))
        return np.concatenate(rows)

    def score(self, pictures: F32, target: Target) -> F32:
        """The score of each of B preprocessed pictures (B, N, N, 3): (B,)."""
        parts = [self._ask("score", (p, target), (len(p),))[0] for p in _parts(pictures)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def score_from(self, layer: str, activations: F32, trace: Trace) -> F32:
        """The score with each of B activations (B, h, w, K) in place of the layer's own, (B,)."""
        bare = replace(trace, activations={}, gradients={})
        parts = _parts(activations)
        made = [self._ask("score_from", (layer, p, bare), (len(p),))[0] for p in parts]
        return np.concatenate([np.zeros(0, np.float32), *made])

    def picture_gradient(self, pictures: F32, target: Target) -> F32:
        """d score / d picture of each of B preprocessed pictures (B, N, N, 3), in that shape."""
        parts = _parts(pictures)
        made = [self._ask("picture_gradient", (p, target), p.shape)[0] for p in parts]
        return np.concatenate([np.zeros((0, *self.shape), np.float32), *made])

    def guided_backprop(self, x: F32, target: Target, shuffled: Shuffled | None = None) -> F32:
        """d score / d x (N, N, 3), guided, as `network.Network.guided_backprop` says."""
        return self._ask("guided_backprop", (x, target, shuffled), self.shape)[0]


def arrays_for(spec: ModelSpec, net: Asked, kind: str, *arguments: Any) -> list[F32]:
    """What answers a question of `Afar`, where the network is."""
    if kind == "prepare":
        return [spec.preprocess(*arguments)]
    made = getattr(net, kind)(*arguments)
    if kind == "probabilities":  # only finite numbers pass a stranger's pipe
        finite = np.isfinite(made).all(1, keepdims=True)
        return [np.where(finite, made, 0), finite]
    if kind != "trace":
        return [made]
    maps = [*made.activations.values(), *made.gradients.values()]
    return [made.logits, made.probabilities, *maps]


def _parts(batch: F32) -> list[F32]:
    """What goes into one question each."""
    return [batch[n : n + AT_ONCE] for n in range(0, len(batch), AT_ONCE)]
