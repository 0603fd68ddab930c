"""A Keras model made ready to be asked: tap, compile, one pass. Arrays in, arrays out.

TensorFlow traces a Python function once and then runs a graph. While it traces, and only then,
under a lock, the `call` of a layer is wrapped to observe its output or to replace it. So any Keras
model can be looked into (functional, Sequential, nested, subclassed), and nothing is left on it.
"""

import copy
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gradcam_core.coordinates import Walk, lost
from gradcam_core.gradients import GUIDED, batch_norm, convolution
from gradcam_core.grids import as_floats, called_parts, grid_of, own_grid, used_of, with_cells
from gradcam_core.heads import answers, meaning_of, output_of, steps_back, trial_pictures
from gradcam_core.layers import (
    ASIDE,
    BRANCH,
    CUT,
    PASSED_OVER,
    RECURRENT,
    Seen,
    has_loops,
    inspect_layers,
    last_resort,
    needed_runs,
    suggest_layers,
)
from gradcam_core.placement import (
    first_lost,
    lay,
    planes_of,
    probes,
    tokens_in,
    way_round,
)
from gradcam_core.types import (
    F32,
    NOWHERE,
    STREWN,
    Head,
    Layer,
    Meaning,
    Placement,
    Shuffled,
    Target,
    Trace,
    UserError,
)

_TRACING = threading.RLock()
ASKED = 4  # layers whose place in the picture is found by asking, at most
COMPILED = 8  # compiled functions kept for each network, the least used leaves first
NOT_FINITE = (
    "The network's answer is not a finite number; its weights or its preprocessing are damaged, so "
    "there is nothing to explain."
)
LOST_TOKENS = (
    "Later layers of this model hold tokens whose places in the picture could not be followed, so "
    "the map is that of a layer before them."
)
SHARES = {"Identity", "IdentityN", "ReadVariableOp"}  # operations that make no new numbers


def operations(model: keras.Model, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything inside a model that is called with tensors, inner models included, by path."""
    inner = getattr(model, "operations", None) or model._flatten_layers(False, False)
    for operation in inner:
        name = f"{path}{operation.name}"
        yield name, operation
        if hasattr(operation, "_flatten_layers"):
            yield from operations(operation, f"{name}/")


@contextmanager
def tapped(
    model: keras.Model, visit: Callable[..., Any], weights: Sequence[tuple[Any, tf.Tensor]] = ()
) -> Iterator[None]:
    """While this lasts, each layer's output y = call(x) becomes `visit(name, layer, ids of x, y)`.

    weights: numbers in the place of some variables' own. What the layers would write (losses,
    states, counters) goes to a scope that is thrown away; and a `call` that is a tf.function of its
    own runs as plain Python, or its inside would be hidden.
    """

    def watch(name: str, operation: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def observed(*args: Any, **kwargs: Any) -> Any:
            sources = [id(t) for t in tf.nest.flatten((args, kwargs)) if tf.is_tensor(t)]
            return visit(name, operation, sources, call(*args, **kwargs))

        return observed

    def lend(operation: Any, method: str, ours: Callable[..., Any]) -> None:
        borrowed.append((operation, method, operation.__dict__.get(method)))
        operation.__dict__[method] = ours

    with _TRACING:
        borrowed: list[tuple[Any, str, Any]] = []
        eager = tf.config.functions_run_eagerly()
        try:
            tf.config.run_functions_eagerly(True)
            met: set[int] = set()
            for name, operation in operations(model):
                if id(operation) in met:
                    continue
                met.add(id(operation))
                lend(operation, "call", watch(name, operation, batch_norm(operation)))
                if convolve := convolution(operation):
                    lend(operation, "convolution_op", partial(convolve, operation))
            with keras.StatelessScope(collect_losses=True):
                for variable, numbers in weights:
                    variable.assign(numbers)
                yield
        finally:
            tf.config.run_functions_eagerly(eager)
            for operation, method, own in borrowed:
                del operation.__dict__[method]
                if own is not None:
                    operation.__dict__[method] = own


def traced(run: Callable[..., Any], *inputs: Any) -> Callable[..., Any]:
    """`run` as a graph for inputs of these shapes (float32) or types (scalars)."""
    specs = [tf.TensorSpec(i) if isinstance(i, tuple) else tf.TensorSpec((), i) for i in inputs]
    return tf.function(run, autograph=False).get_concrete_function(*specs)


class Network:
    """A Keras model made ready to be asked at one input size. The model itself stays as it was.

    head: what the output is said to mean; meaning: what was found before, None: it is found now, by
    TRIALS forward passes where the graph does not say it. most: `bytes` that are allowed, before
    anything runs. `layers` has every layer whose output has four axes, in the order in which they
    run, but for the insides of attention and of loops; `best` the one to look at first; `suggested`
    those worth looking at, from early to late; `notes` what is doubtful, in sentences; `bytes` what
    the model makes of one picture, all its tensors together. Safe under threads.

    fed: shapes of numbers that stand for the model's weights, in their order, and are an input of
    its graphs: so one graph serves all whom `filled` gives numbers of their own. (): its weights.
    """

    def __init__(
        self,
        model: keras.Model,
        shape: tuple[int, int, int],
        suggested: Sequence[str] = (),
        head: Head | None = None,
        meaning: Meaning | None = None,
        most: float = np.inf,
        fed: Sequence[tuple[int | None, ...]] = (),
    ):
        if keras.config.backend() != "tensorflow":
            raise UserError(
                "The gradients here are TensorFlow's: set KERAS_BACKEND=tensorflow before Keras is "
                "imported."
            )
        self.model, self.shape = model, shape
        self._weights: list[tuple[Any, tf.Tensor]] = []  # in the place of the model's own
        self._fed, self._numbers = tuple(fed), tuple[tf.Tensor, ...]()
        self._variables: Sequence[Any] = model.weights  # that what is fed stands for
        self._compiled: OrderedDict[Any, Callable[..., Any]] = OrderedDict()
        self._look(suggested, head, meaning, most)

    def _look(
        self,
        suggested: Sequence[str],
        head: Head | None,
        meaning: Meaning | None,
        most: float,
    ) -> None:
        formats = {
            getattr(operation, "data_format", None) for _, operation in operations(self.model)
        }
        if "channels_first" in formats:
            raise UserError(
                "This model has layers that put the channels before the rows and columns; convert "
                "it to channels_last."
            )
        seen: list[Seen] = []

        def visit(name: str, operation: Any, x: Any, y: Any) -> Any:
            seen.append((name, operation, x, y))
            return y

        kept: dict[str, Any] = {}

        def run(x: tf.Tensor) -> tf.Tensor:
            with tapped(self.model, visit, self._weights):
                kept["x"], kept["y"] = x, output_of(self.model, x)
            kept["back"] = steps_back(kept["y"])
            return [kept["y"], *kept["back"].values()]

        try:
            with _TRACING:
                if isinstance(self.model, keras.Sequential) and not self.model.built:
                    self.model.build((None, *self.shape))
                if not self.model.built:
                    self.model(np.zeros((1, *self.shape), np.float32), training=False)
            look = traced(run, (1, *self.shape))
            graph = look.graph  # type: ignore[attr-defined]
        except UserError:
            raise
        except tf.errors.OperatorNotAllowedInGraphError as error:
            raise UserError(
                "This model decides by the numbers of its tensors, in a Python if or loop, so its "
                "gradient cannot be traced; write it with keras.ops.cond or keras.ops.where."
            ) from error
        except Exception as error:  # another's model: its code may raise anything
            if "scope name" in str(error):
                raise UserError(
                    "This model has a layer whose name TensorFlow does not take; name its layers "
                    "with letters from a to z, digits and underscores only."
                ) from error
            raise UserError(
                f"This model cannot be run on one picture of {'×'.join(map(str, self.shape))} "
                "numbers; check how many inputs it takes, and their size."
            ) from error
        makers = [op for op in graph.get_operations() if op.type not in SHARES]
        made = [t.shape for op in makers for t in op.outputs if t.shape.rank is not None]
        self.bytes = 4 * sum(shape.num_elements() or 0 for shape in made)
        if self.bytes > most:
            raise UserError(
                f"This model makes {self.bytes / 1e6:.0f} MB of feature maps from one picture, and "
                f"{most / 1e6:.0f} MB are allowed; choose a smaller model, or run this program on "
                "your own computer."
            )
        output, back = kept["y"], kept["back"]
        self.meaning = meaning or meaning_of(output, tuple(back), look, self.shape, head)
        self.head, self.notes = self.meaning.head, self.meaning.notes
        with graph.as_default():
            y, _ = answers(output, self.meaning)
        self.classes = int(y.shape[-1])
        self._calls = Counter(name for name, *_ in seen)
        self._weighted = weighted(operation for _, operation, *_ in seen)
        runs = [(name, made) for name, _, _, made in seen]
        needed = needed_runs(seen, kept["x"], y)
        read = tf.nest.flatten([y for _, layer, _, y in seen if isinstance(layer, RECURRENT)])
        told = {t.ref(): lost(3) for t in read if tf.is_tensor(t) and t.shape.rank == 3}
        most_told = 0 if told else ASKED  # nothing is asked of what reads the places one by one
        while True:
            walk = Walk(kept["x"], told)
            inspected = inspect_layers(seen, kept["x"], y, tokens_in(runs, walk), needed)
            layers = lay(inspected, runs, walk, needed)
            on_the_way = [n for n, x in inspected.items() if x.poor not in (ASIDE, BRANCH)]
            asks = len(told) < most_told
            unknown = first_lost(on_the_way, layers, runs, walk) if asks else None
            found = self._found(layers, *unknown) if unknown else None
            if not unknown or not found:
                break
            told[dict(runs)[unknown[0]].ref()] = planes_of(found, layers[unknown[0]])
        self.layers: Mapping[str, Layer] = layers
        if has_loops(graph):
            layers |= {name: replace(layers[name], poor=CUT) for name in self._cut()}
        layers |= {name: replace(layers[name], poor=PASSED_OVER) for name in self._unread()}
        good = [layer.name for layer in layers.values() if not layer.poor]
        placed = {n: layer for n, layer in layers.items() if layer.poor not in NOWHERE}
        best = good[-1] if good else last_resort(placed) or last_resort(layers)
        if not best:
            raise UserError(
                "This model has no feature map to look at: none of its layers has a grid of more "
                "than one cell; Grad-CAM needs a convolutional network."
            )
        if not good and not suggested:
            self.notes += (
                "No layer of this model is a good place to look: one is chosen for want of a "
                f"better, and its map may mislead ({layers[best].poor}).",
            )
        self.best = suggested[0] if suggested else best
        after = list(layers.values())[list(layers).index(self.best) :]
        strewn = [x for x in after if x.poor == STREWN and not inspected[x.name].poor]
        if any(layer.leading is not None for layer in strewn):
            self.notes += (LOST_TOKENS,)
        chosen = set(suggested) or suggest_layers(layers)
        self.layers = {
            name: replace(layer, suggested=name in chosen or name == self.best)
            for name, layer in layers.items()
        }
        self.suggested = tuple(n for n, layer in self.layers.items() if layer.suggested)

    def _found(
        self, layers: Mapping[str, Layer], name: str, source: str | None
    ) -> Placement | None:
        """Where a layer's cells lie that the graph does not tell, found by asking, by 20 forward
        passes: the last layer before it that has a place (None: the picture) is changed at nine
        places of two pictures. None: the answer is not clear.
        """
        layer, before = layers[name], layers[source] if source else None
        grid = before.shape if before else self.shape

        def run(x: tf.Tensor, change: tf.Tensor) -> Any:
            made = {source: x[0]}

            def visit(called: str, _operation: Any, _x: Any, y: Any) -> Any:
                if before and called == source:
                    made[source] = own_grid(y, before)
                    return with_cells(y, (made[source] + change)[None], before)
                if called == name:
                    made[name] = own_grid(y, layer)
                return y

            with tapped(self.model, visit):
                output_of(self.model, x if before else x + change)
            return made[source], made[name]

        blocks, places = probes(grid[:2], layer.shape[:2])
        dice, moved = np.random.default_rng(0), list[F32]()
        with suppress(UserError), sentence():
            ask = traced(run, (1, *self.shape), grid)
            for picture in islice(trial_pictures(self.shape), 3, 5):  # the first are of one colour
                x = tf.constant(picture[None])
                a, at_rest = ask(x, tf.zeros(grid))
                noise = dice.normal(0, a.numpy().std() or 1, grid).astype(np.float32)
                for block in blocks:
                    change = np.zeros_like(noise)
                    change[block] = noise[block]
                    _, b = ask(x, tf.constant(change))
                    moved.append(((b - at_rest).numpy() ** 2).sum(-1))
        if len(moved) < 2 * len(blocks):
            return None
        way = way_round(np.reshape(moved, (2, len(blocks), *layer.shape[:2])), places)
        return way and way.inside(before.placement if before else None)

    def _cut(self) -> list[str]:
        """The good layers that get no gradient at all, although the answer depends on them.

        Asked where the graph is not followed, with trial pictures until each layer had one.
        """
        names = tuple(name for name, layer in self.layers.items() if not layer.poor)
        silent, traces = set(names), list[Trace]()
        for picture in trial_pictures(self.shape):
            if not silent:
                return []
            with suppress(UserError):
                traces.append(self.trace(picture, None, names))
                silent = {n for n in silent if not traces[-1].gradients[n].any()}
        others = {n: np.array([t.activations[n] for t in traces]) for n in silent if traces}
        return [n for n, a in others.items() if np.ptp(self.score_from(n, a, traces[0])) > 0]

    def _unread(self) -> list[str]:
        """The good layers of tokens with a class token that get no gradient at any place, as after
        the last attention where the answer is read off that token. Asked with two pictures.
        """
        names = tuple(n for n, layer in self.layers.items() if layer.leading and not layer.poor)
        if not names:
            return []
        traces = list[Trace]()
        for picture in islice(trial_pictures(self.shape), 3, 5):  # the first are of one colour
            with suppress(UserError):
                traces.append(self.trace(picture, None, names))
        return [n for n in names if traces and not any(t.gradients[n].any() for t in traces)]

    def _answers(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return answers(output_of(self.model, x), self.meaning)

    @property
    def spatial_layers(self) -> dict[str, Layer]:
        """The layers that have a place (h w > 1), in the order in which they run."""
        return {n: layer for n, layer in self.layers.items() if layer.shape[0] * layer.shape[1] > 1}

    def _check(self, x: F32) -> None:
        if x.shape != self.shape:
            raise UserError(
                f"The preprocessing makes an array of shape {x.shape} of the picture, but the "
                f"model takes {self.shape}; let it keep the rows and columns as they are."
            )
        if not finite(x):
            raise UserError(NOT_FINITE)

    def try_out(self, x: F32) -> None:
        """Run the model once as Python does, x (N, N, 3) preprocessed.

        Compiled, its ReLUs may make zeros of what is no number, and nobody would see the damage.
        """
        self._check(x)
        with sentence(), tapped(self.model, _as_is, self._weights):
            y = np.asarray(tf.nest.flatten(self.model(x[None], training=False))[0])
        if not np.isfinite(y).all():
            raise UserError(NOT_FINITE)

    def _run(self, key: Any, make: Callable[[], Callable[..., Any]], *inputs: Any) -> Any:
        """The compiled function of that key, made where it is new, on these arrays."""
        with sentence():
            key = key, len(self._fed)
            with _TRACING:
                function = self._compiled.pop(key, None) or make()
                self._compiled[key] = function
                while len(self._compiled) > COMPILED:
                    self._compiled.popitem(last=False)
            return function(*self._numbers, *map(tf.constant, inputs))

    def _traced(self, run: Callable[..., Any], *inputs: Any) -> Callable[..., Any]:
        """`run` as a graph that takes what is fed before its own inputs."""

        def fed(*given: tf.Tensor) -> Any:
            own = self._weights
            try:
                if self._fed:
                    self._weights = list(zip(self._variables, given, strict=False))
                return run(*given[len(self._fed) :])
            finally:
                self._weights = own

        return traced(fed, *self._fed, *inputs)

    def _compile_trace(self, layers: tuple[str, ...]) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, guess: tf.Tensor, as_p: tf.Tensor) -> Any:
            tensors: dict[str, list[tf.Tensor]] = {name: [] for name in layers}
            with tf.GradientTape() as tape:

                def visit(name: str, _operation: Any, _x: Any, y: Any) -> Any:
                    if name in tensors:
                        tape.watch(y)
                        tensors[name].append(y)
                    return y

                with tapped(self.model, visit, self._weights):
                    y, p = self._answers(x)
                weights = tf.where(guess, tf.one_hot(tf.argmax(y[0]), tf.shape(y)[1]), weights)
                score = tf.reduce_sum(weights * tf.where(as_p, p[0], y[0]))
            places = [self.layers[name] for name in layers]
            a = [used_of(tensors[layer.name], layer) for layer in places]
            g = tape.gradient(score, a, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            made = (
                [grid_of(ts, at) for ts, at in zip(all_, places, strict=True)] for all_ in (a, g)
            )
            return y[0], p[0], *made

        return self._traced(run, (1, *self.shape), (None,), tf.bool, tf.bool)

    def _compile_probabilities(self) -> Callable[..., Any]:
        def run(x: tf.Tensor) -> tf.Tensor:
            with tapped(self.model, _as_is, self._weights):
                return self._answers(x)[1]

        return self._traced(run, (None, *self.shape))

    def _compile_score(self) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            with tapped(self.model, _as_is, self._weights):
                y, p = self._answers(x)
            return tf.reduce_sum(weights * tf.where(as_p, p, y), axis=-1)

        return self._traced(run, (None, *self.shape), (None,), tf.bool)

    def _compile_score_from(self, layer: str) -> Callable[..., Any]:
        """score(x, a, weights, as_p) (B,): of one x with B activations a put in at the layer."""

        def run(x: tf.Tensor, a: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            calls, parts = Counter[str](), called_parts(a, self.layers[layer], self._calls[layer])

            def visit(name: str, _operation: Any, _x: Any, y: Any) -> Any:
                calls[name] += 1
                if name != layer or calls[name] - 1 not in parts:
                    return y
                return with_cells(y, parts[calls[name] - 1], self.layers[layer])

            x = tf.repeat(x, tf.shape(a)[0], axis=0)
            with tapped(self.model, visit, self._weights):
                y, p = self._answers(x)
            return tf.reduce_sum(weights * tf.where(as_p, p, y), axis=-1)

        grid = self.layers[layer].shape
        return self._traced(run, (1, *self.shape), (None, *grid), (None,), tf.bool)

    def _compile_gradient(self) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            with tapped(self.model, _as_is, self._weights):
                y, p = self._answers(x)
            score = tf.reduce_sum(weights * tf.where(as_p, p, y))
            return tf.cast(tf.gradients(score, x, unconnected_gradients="zero")[0], tf.float32)

        return self._traced(run, (None, *self.shape), (None,), tf.bool)

    def _compile_guided(self) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            rules = dict.fromkeys(GUIDED, "GradcamGuided")
            with x.graph.gradient_override_map(rules), tapped(self.model, _as_is, self._weights):
                y, p = self._answers(x)
            if not any(op.type in GUIDED for op in x.graph.get_operations()):
                raise UserError(
                    "This network has no ReLU, so guided backpropagation would show the plain "
                    "gradient; choose one with ReLU, such as VGG or ResNet."
                )
            score = tf.reduce_sum(weights * tf.where(as_p, p[0], y[0]))
            return as_floats(tf.gradients(score, x, unconnected_gradients="zero")[0])

        return self._traced(run, (1, *self.shape), (None,), tf.bool)

    def _signs(self, target: Target) -> F32:
        """(C,): score = sum of weights * y; 1 at the class, -1 at the one it is held against."""
        weights = np.zeros(self.classes, np.float32)
        weights[target.index] += 1
        if target.rival is not None:
            weights[target.rival] -= 1
        return weights

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
        if shuffled:
            return self._forgetful(shuffled).trace(x, target, layers)
        self._check(x)
        layers = tuple(layers or self.suggested)
        weights = self._signs(target) if target else np.zeros(self.classes, np.float32)
        as_p = bool(target and target.probability)
        make = partial(self._compile_trace, layers)
        y, p, a, g = self._run(layers, make, x[None], weights, target is None, as_p)
        logits, probabilities = y.numpy(), p.numpy()
        activations = {name: _shared(t) for name, t in zip(layers, a, strict=True)}
        gradients = {name: _shared(t) for name, t in zip(layers, g, strict=True)}
        numbers = [logits, probabilities, *activations.values(), *gradients.values()]
        if not all(map(finite, numbers)):
            raise UserError(NOT_FINITE)
        target = target or Target(int(logits.argmax()))
        return Trace(x, logits, probabilities, target, activations, gradients)

    def probabilities(self, pictures: F32) -> F32:
        """Of each of B preprocessed pictures (B, N, N, 3): (B, C), finite or not."""
        return self._run("probabilities", self._compile_probabilities, pictures).numpy()

    def score(self, pictures: F32, target: Target) -> F32:
        """The score of each of B preprocessed pictures (B, N, N, 3): (B,)."""
        signs = self._signs(target)
        return self._run("score", self._compile_score, pictures, signs, target.probability).numpy()

    def score_from(self, layer: str, activations: F32, trace: Trace) -> F32:
        """The score with each of B activations (B, h, w, K) in the place of the layer's own, (B,).

        Only what comes after the layer then depends on them; the rest sees the trace's picture.
        """
        make, signs = partial(self._compile_score_from, layer), self._signs(trace.target)
        given = trace.inputs[None], activations, signs, trace.target.probability
        return self._run(("score from", layer), make, *given).numpy()

    def picture_gradient(self, pictures: F32, target: Target) -> F32:
        """d score / d picture of each of B preprocessed pictures (B, N, N, 3), in that shape."""
        given = pictures, self._signs(target), target.probability
        return self._run("gradient", self._compile_gradient, *given).numpy()

    def guided_backprop(self, x: F32, target: Target, shuffled: Shuffled | None = None) -> F32:
        """d score / d x (N, N, 3) where each ReLU also drops negative gradients on the way back.

        R = f'(z) ReLU(R from above), f the activation: Springenberg et al. 2014 (arXiv 1412.6806);
        used by Guided Grad-CAM (section 3.2). x (N, N, 3) preprocessed. Holds for every operation
        in `GUIDED`, whether a layer, fused into one or called as a function. Swish and GELU are
        left as they are; PReLU and hard-swish are made of several operations, and only the ReLUs
        inside them are guided. A network without any in `GUIDED` gets a UserError.
        """
        if shuffled:
            return self._forgetful(shuffled).guided_backprop(x, target)
        weights = self._signs(target)
        make = self._compile_guided
        return self._run("guided", make, x[None], weights, target.probability).numpy()

    def _forgetful(self, how: Shuffled) -> "Network":
        """The same network with those weights shuffled. The model stays as it is, and one graph
        serves all: the weights are its input.
        """
        count = max(1, round(how.share * len(self._weighted)))
        lost = {id(variable) for layer in self._weighted[-count:] for variable in layer}
        other = copy.copy(self)
        if not self._fed:
            other._variables = [v for v in self.model.weights if v.numpy().dtype.kind == "f"]
            other._numbers = tuple(tf.constant(v.numpy(), tf.float32) for v in other._variables)
            other._fed = tuple(tuple(v.shape) for v in other._variables)
        other._numbers = tuple(
            shuffle(numbers, (how.seed, n)) if id(variable) in lost else numbers
            for n, (variable, numbers) in enumerate(
                zip(other._variables, other._numbers, strict=True)
            )
        )
        return other

    def filled(self, numbers: Sequence[tf.Tensor]) -> "Network":
        """The same network, with the same graphs, where what is fed are these numbers.

        The last of them ends in C.
        """
        other = copy.copy(self)
        other._numbers, other.classes = tuple(numbers), int(numbers[-1].shape[-1])
        return other


@contextmanager
def sentence() -> Iterator[None]:
    """For what a model's operations raise when they run: no kernel, no memory, no gradient."""
    try:
        yield
    except UserError:
        raise
    except (tf.errors.OpError, LookupError, ValueError) as error:
        raise UserError(
            "TensorFlow cannot run this model, or not its gradient, on this computer; choose a "
            "smaller model, or one of more common layers."
        ) from error


def weighted(operations: Iterable[Any]) -> list[list[Any]]:
    """The weights of every layer that has any of its own, in the order in which they first run."""
    layers, met = list[list[Any]](), set[int]()
    for operation in operations:
        own = [v for v in getattr(operation, "weights", ()) if id(v) not in met]
        met |= set(map(id, own))
        layers += [own] if own else []
    return layers


def shuffle(numbers: tf.Tensor, seed: tuple[int, ...]) -> tf.Tensor:
    """The same numbers in another order."""
    mixed = np.random.default_rng(seed).permutation(numbers.numpy().ravel())
    return tf.constant(mixed.reshape(numbers.shape))


def constants(numbers: Sequence[F32]) -> list[tf.Tensor]:
    """The same as TensorFlow takes them, for `Network.filled`."""
    return [tf.constant(a) for a in numbers]


def _as_is(*seen: Any) -> Any:
    """What `tapped` asks for where nothing is to be changed."""
    return seen[-1]


def finite(numbers: F32) -> bool:
    """Whether all are. A sum of squares is quickly asked; where it overflows, they may still be."""
    return bool(np.isfinite(np.vdot(numbers, numbers)) or np.isfinite(numbers).all())


def _shared(tensor: tf.Tensor) -> F32:
    """A tensor's own memory as an array that cannot be written to: VGG19's A and G are 110 MB."""
    return np.asarray(memoryview(tensor))
