"""The only room that runs TensorFlow: tap, compile, one pass. Arrays in, arrays out.

TensorFlow traces a Python function once and then runs a graph. While it traces, and only then,
under a lock, the `call` of a layer is wrapped to observe its output or to replace it. So any Keras
model can be looked into (functional, Sequential, nested, subclassed), and nothing is left on it.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gradcam_core.types import F32, Head, Layer, Target, Trace, UserError

Seen = tuple[str, Any, list[int], Any]  # name, layer, ids of its inputs, output
_TRACING = threading.RLock()
COMPILED = 8  # compiled functions kept for each network, the least used leaves first
NOT_FINITE = (
    "The network's answer is not a finite number; its weights or its preprocessing are damaged, so "
    "there is nothing to explain."
)
SUGGESTED = 20  # layers suggested at most where they are found by rule

PASSES_ON = {  # classes of Keras itself
    "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "AlphaDropout", "AveragePool",
    "AveragePooling2D", "CenterCrop", "Cropping2D", "Dropout", "GaussianDropout", "GaussianNoise",
    "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Identity", "MaxPool", "MaxPooling2D", "Pad",
    "Permute", "Reshape", "SpatialDropout2D", "Transpose", "UpSampling2D", "ZeroPadding2D",
}  # fmt: skip
ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
ACTIVATIONS = (
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax",
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Silu", "Gelu", "HardSwish", "HardSilu",
)  # fmt: skip
SHARES = {"Identity", "IdentityN", "ReadVariableOp"}  # operations that make no new numbers
LEARNED_OPS = {
    "Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3D", "MatMul", "Einsum",
}  # fmt: skip
BLENDS = {  # operations that make probabilities out of probabilities
    "Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose", "ConcatV2", "Pack",
    "StridedSlice", "AddV2", "AddN", "BiasAdd", "Sub", "Mul", "RealDiv", "Mean", "Sum", "Max",
    "Min", "Maximum", "Minimum",
}  # fmt: skip
ACTIVATION_OPS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Tanh", "Sigmoid"}
GUIDED: dict[str, Callable[[Any, tf.Tensor], tf.Tensor]] = {  # ReLU-like -> its own gradient
    "Relu": lambda op, g: tf.raw_ops.ReluGrad(gradients=g, features=op.outputs[0]),
    "Relu6": lambda op, g: tf.raw_ops.Relu6Grad(gradients=g, features=op.outputs[0]),
    "Elu": lambda op, g: tf.raw_ops.EluGrad(gradients=g, outputs=op.outputs[0]),
    "Selu": lambda op, g: tf.raw_ops.SeluGrad(gradients=g, outputs=op.outputs[0]),
    "Softplus": lambda op, g: tf.raw_ops.SoftplusGrad(gradients=g, features=op.inputs[0]),
    "LeakyRelu": lambda op, g: tf.raw_ops.LeakyReluGrad(
        gradients=g, features=op.inputs[0], alpha=op.get_attr("alpha")
    ),
}


def operations(model: keras.Model, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything inside a model that is called with tensors, inner models included, by path."""
    inner = getattr(model, "operations", None) or model._flatten_layers(False, False)
    for operation in inner:
        name = f"{path}{operation.name}"
        yield name, operation
        if hasattr(operation, "_flatten_layers"):
            yield from operations(operation, f"{name}/")


@contextmanager
def tapped(model: keras.Model, visit: Callable[..., Any]) -> Iterator[None]:
    """While this lasts, each layer's output y = call(x) becomes `visit(name, layer, ids of x, y)`.

    What the layers would write (losses, states, counters) goes to a scope that is thrown away; and
    a `call` that is a tf.function of its own runs as plain Python, or its inside would be hidden.
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
                lend(operation, "call", watch(name, operation, normalisation(operation)))
                if convolve := convolution(operation):
                    lend(operation, "convolution_op", partial(convolve, operation))
            with keras.StatelessScope(collect_losses=True):
                yield
        finally:
            tf.config.run_functions_eagerly(eager)
            for operation, method, own in borrowed:
                del operation.__dict__[method]
                if own is not None:
                    operation.__dict__[method] = own


def convolution(operation: Any) -> Callable[..., tf.Tensor] | None:
    """What a Conv2D computes itself by, where TensorFlow's own is slow or has no gradient.

    None for all others, and for a layer of somebody's that convolves in a way of its own.
    """
    conv = keras.layers.Conv2D
    if not isinstance(operation, conv):
        return None
    if getattr(operation.convolution_op, "__func__", None) is not conv.convolution_op:
        return None
    if operation.groups > 1:
        return grouped
    return pointwise if operation.kernel_size == operation.strides == (1, 1) else None


def pointwise(layer: Any, inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
    """A 1x1 Conv2D, (B, h, w, K), with the gradient of the matrix product that it is.

    TensorFlow's gradient of a convolution is slower. The kernel has its gradient too: it may have
    been made from the picture. One that is no longer 1x1 when it comes here (padded by the layer's
    own `call`) is left to Keras.
    """
    kernel = tf.convert_to_tensor(kernel)
    convolve = partial(keras.layers.Conv2D.convolution_op, layer)
    if kernel.shape[:2] != (1, 1):
        return convolve(inputs, kernel)

    def run(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(g: tf.Tensor) -> Any:
            g = tf.reshape(g, (-1, g.shape[-1]))
            to_x = tf.reshape(tf.matmul(g, kernel[0, 0], transpose_b=True), tf.shape(x))
            rows = tf.reshape(x, (-1, x.shape[-1]))
            return to_x, tf.matmul(rows, g, transpose_a=True)[None, None]

        return convolve(x, kernel), gradient

    return tf.custom_gradient(run)(inputs, kernel)


def grouped(layer: Any, inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
    """A Conv2D with groups, (B, h, w, K), of operations that also have a gradient on a CPU.

    TensorFlow's own has none there. One channel a group (ConvNeXt) is a depthwise convolution.
    """
    kernel, padding = tf.convert_to_tensor(kernel), layer.padding.upper()
    strides, dilations = layer.strides, layer.dilation_rate
    h, w, per_group, width = kernel.shape
    if per_group == 1 and strides[0] == strides[1]:
        each = tf.reshape(kernel, (h, w, layer.groups, width // layer.groups))
        return tf.nn.depthwise_conv2d(inputs, each, (1, *strides, 1), padding, dilations=dilations)
    parts = zip(tf.split(inputs, layer.groups, -1), tf.split(kernel, layer.groups, -1), strict=True)
    made = [tf.nn.conv2d(part, k, strides, padding, dilations=dilations) for part, k in parts]
    return tf.concat(made, -1)


def normalisation(operation: Any) -> Callable[..., Any]:
    """The `call` of a layer, and for Keras's own batch norm one that is faster."""
    call: Callable[..., Any] = operation.call
    own = getattr(call, "__func__", None) is keras.layers.BatchNormalization.call
    return partial(normalised, operation, call) if own else call


def normalised(layer: Any, call: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """A BatchNormalization that no longer learns, (B, h, w, K), as a single operation.

    TensorFlow joins it with the convolution before it, and a pass over EfficientNet-Lite0 takes a
    tenth less time. TensorFlow's own gradient would work out that of scale and offset each time.
    """
    single = inputs.dtype == layer.compute_dtype == "float32" and inputs.shape.rank == 4
    if not single or layer.axis not in (-1, 3) or training:
        return call(inputs, training=training, mask=mask)
    moments = layer.moving_mean, layer.moving_variance
    mean, variance = (tf.cast(moment, tf.float32) for moment in moments)
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones_like(mean)
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros_like(mean)
    epsilon = layer.epsilon

    def run(x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        def gradient(g: tf.Tensor) -> Any:
            inverse = tf.math.rsqrt(variance + epsilon)
            slope, total = scale * inverse, tf.reduce_sum(g, (0, 1, 2))
            along = tf.reduce_sum(g * (x - mean), (0, 1, 2))
            to_moments = -total * slope, -along * slope * inverse**2 / 2
            return g * slope, along * inverse, total, *to_moments

        given = {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
        norm = tf.raw_ops.FusedBatchNormV3(x=x, epsilon=epsilon, is_training=False, **given)
        return norm.y, gradient

    return tf.custom_gradient(run)(inputs, scale, offset, mean, variance)


def traced(run: Callable[..., Any], *inputs: Any) -> Callable[..., Any]:
    """`run` as a graph for inputs of these shapes (float32) or types (scalars)."""
    specs = [tf.TensorSpec(i) if isinstance(i, tuple) else tf.TensorSpec((), i) for i in inputs]
    return tf.function(run, autograph=False).get_concrete_function(*specs)


def bare(tensor: tf.Tensor) -> tf.Tensor:
    """The same numbers before they were only cast or reshaped."""
    while tensor.op.type in ("Identity", "Cast", "Reshape", "Squeeze"):
        tensor = tensor.op.inputs[0]
    return tensor


def of_probabilities(output: tf.Tensor) -> bool:
    """Whether an answer is put together from softmax or sigmoid outputs and from nothing else."""
    found, met, todo = False, set(), [output]
    while todo:
        op = todo.pop().op
        if op.type in ("Softmax", "Sigmoid"):
            found = True
        elif op.type not in (*BLENDS, "Const"):
            return False
        elif id(op) not in met:
            met.add(id(op))
            todo += [t for t in op.inputs if t.dtype.is_floating]
    return found


def logits_of(output: tf.Tensor) -> tuple[tf.Tensor, Head]:
    """(B, C) before its last softmax or sigmoid, and which of them it was.

    An answer put together from such outputs (the mean of two networks) has no logits, it stands for
    itself, as a "linear" one does; one such number p becomes the two answers 1 - p, p.
    """
    classes, last = output.shape[-1], bare(output)
    joined = last.op.type == "ConcatV2"
    ends = last.op.inputs[:-1] if joined else [last]
    parts = [bare(t) for t in ends]
    if all(part.op.type == "Sigmoid" for part in parts):
        pairs = zip(parts, ends, strict=True)
        inner = [tf.cast(tf.reshape(p.op.inputs[0], tf.shape(t)), tf.float32) for p, t in pairs]
        y = tf.concat(inner, last.op.inputs[-1] if joined else -1)
        return tf.reshape(y, (-1, classes)), "sigmoid"
    if last.op.type in ("Softmax", "LogSoftmax") and last.shape[-1] in (classes, None):
        return tf.reshape(last.op.inputs[0], (-1, classes)), "softmax"
    if of_probabilities(output):
        return output if classes > 1 else tf.concat([1 - output, output], -1), "linear"
    return output, "softmax" if classes > 1 else "linear"


def answers(
    model: keras.Model, x: tf.Tensor, head: Head | None = None
) -> tuple[tf.Tensor, tf.Tensor, Head]:
    """Logits (B, C) and probabilities (B, C). One sigmoid z becomes the two answers -z, z.

    head: what the output means, where it cannot be seen on the graph: "linear" is the output
    itself, otherwise logits are taken for what goes into a softmax or sigmoid of that name.
    """
    output, *more = tf.nest.flatten(model(x, training=False))
    if more or output.shape.rank != 2:
        raise UserError(
            "This model does not answer with one row of class scores; "
            "give a model with a single output of shape (batch, classes)."
        )
    y, found = (output, head) if head == "linear" else logits_of(output)
    y, head = tf.cast(y, tf.float32), head or found
    if head == "softmax":
        return y, tf.nn.softmax(y), head
    if head == "linear":
        return y, y, head
    if y.shape[-1] == 1:
        y = tf.concat([-y, y], axis=-1)
    return y, tf.sigmoid(y), head


class Network:
    """A Keras model made ready to be asked at one input size. The model itself stays as it was.

    head: what the output means, None: found. `layers` has every layer whose output has four axes,
    in the order in which they run, but for the insides of attention, which are no grids; `best` the
    one to look at first; `suggested` those worth looking at, from early to late; `bytes` what the
    model makes of one picture, all its tensors together. Safe under threads.
    """

    def __init__(
        self,
        model: keras.Model,
        shape: tuple[int, int, int],
        suggested: Sequence[str] = (),
        head: Head | None = None,
    ):
        if keras.config.backend() != "tensorflow":
            raise UserError(
                "The gradients here are TensorFlow's: set KERAS_BACKEND=tensorflow before Keras is "
                "imported."
            )
        self.model, self.shape = model, shape
        self._answers = partial(answers, model, head=head)
        self._compiled: OrderedDict[Any, Callable[..., Any]] = OrderedDict()
        self._look(suggested)

    def _look(self, suggested: Sequence[str]) -> None:
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
            with tapped(self.model, visit):
                kept["x"], (kept["y"], _, self.head) = x, self._answers(x)
            return kept["y"]

        try:
            with _TRACING:
                if isinstance(self.model, keras.Sequential) and not self.model.built:
                    self.model.build((None, *self.shape))
                if not self.model.built:
                    self.model(np.zeros((1, *self.shape), np.float32), training=False)
            graph = traced(run, (1, *self.shape)).graph  # type: ignore[attr-defined]
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
        self.classes = int(kept["y"].shape[-1])
        self._calls = Counter(name for name, *_ in seen)
        layers = judge(seen, kept["x"], kept["y"])
        good = [layer.name for layer in layers.values() if not layer.poor]
        if not good:
            good = [n for n, layer in layers.items() if layer.shape[0] * layer.shape[1] > 1]
        if not good:
            raise UserError(
                "This model has no feature map to look at: none of its layers has a grid of more "
                "than one cell; Grad-CAM needs a convolutional network."
            )
        self.best = suggested[0] if suggested else good[-1]
        chosen = set(suggested) or found(layers)
        self.layers = {
            name: replace(layer, suggested=name in chosen or name == self.best)
            for name, layer in layers.items()
        }
        self.suggested = tuple(n for n, layer in self.layers.items() if layer.suggested)

    @property
    def places(self) -> dict[str, Layer]:
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
        with sentence(), tapped(self.model, lambda *seen: seen[-1]):
            y = np.asarray(tf.nest.flatten(self.model(x[None], training=False))[0])
        if not np.isfinite(y).all():
            raise UserError(NOT_FINITE)

    def _run(self, key: Any, make: Callable[[], Callable[..., Any]], *inputs: Any) -> Any:
        """The compiled function of that key, made where it is new, on these arrays."""
        with sentence():
            with _TRACING:
                function = self._compiled.pop(key, None) or make()
                self._compiled[key] = function
                while len(self._compiled) > COMPILED:
                    self._compiled.popitem(last=False)
            return function(*map(tf.constant, inputs))

    def _compile_trace(self, layers: tuple[str, ...]) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, guess: tf.Tensor, as_p: tf.Tensor) -> Any:
            tensors: dict[str, tf.Tensor] = {}
            with tf.GradientTape() as tape:

                def visit(name: str, _operation: Any, _x: Any, y: Any) -> Any:
                    if name in wanted:
                        tape.watch(y)
                        tensors[name] = y
                    return y

                with tapped(self.model, visit):
                    y, p, _ = self._answers(x)
                weights = tf.where(guess, tf.one_hot(tf.argmax(y[0]), self.classes), weights)
                score = tf.reduce_sum(weights * tf.where(as_p, p[0], y[0]))
            a = [tensors[name] for name in layers]
            g = tape.gradient(score, a, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return y[0], p[0], [_plain(t) for t in a], [_plain(t) for t in g]

        wanted = set(layers)
        return traced(run, (1, *self.shape), (self.classes,), tf.bool, tf.bool)

    def _compile_score(self, layer: str | None) -> Callable[..., Any]:
        """score(x, a, weights, as_p) (B,): of B inputs x, or of B activations a put in at layer."""
        a_shape = self.layers[layer].shape if layer else ()

        def run(x: tf.Tensor, a: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            calls: Counter[str] = Counter()

            def visit(name: str, _operation: Any, _x: Any, y: Any) -> Any:
                calls[name] += 1  # of a layer that is called twice, A is its last output
                here = name == layer and calls[name] == self._calls[name]
                return tf.cast(a, y.dtype) if here else y

            if layer:
                x = tf.repeat(x, tf.shape(a)[0], axis=0)
            with tapped(self.model, visit):
                y, p, _ = self._answers(x)
            return tf.reduce_sum(weights * tf.where(as_p, p, y), axis=-1)

        return traced(run, (None, *self.shape), (None, *a_shape), (self.classes,), tf.bool)

    def _compile_guided(self) -> Callable[..., Any]:
        def run(x: tf.Tensor, weights: tf.Tensor, as_p: tf.Tensor) -> tf.Tensor:
            rules = dict.fromkeys(GUIDED, "GradcamGuided")
            with x.graph.gradient_override_map(rules), tapped(self.model, lambda *seen: seen[-1]):
                y, p, _ = self._answers(x)
            if not any(op.type in GUIDED for op in x.graph.get_operations()):
                raise UserError(
                    "This network has no ReLU, so guided backpropagation would show the plain "
                    "gradient; choose one with ReLU, such as VGG or ResNet."
                )
            score = tf.reduce_sum(weights * tf.where(as_p, p[0], y[0]))
            return _plain(tf.gradients(score, x, unconnected_gradients="zero")[0])

        return traced(run, (1, *self.shape), (self.classes,), tf.bool)

    def _weights(self, target: Target) -> F32:
        """(C,): score = sum of weights * y; 1 at the class, -1 at the one it is held against."""
        weights = np.zeros(self.classes, np.float32)
        weights[target.index] += 1
        if target.rather_than is not None:
            weights[target.rather_than] -= 1
        return weights

    def trace(self, x: F32, target: Target | None = None, layers: Sequence[str] = ()) -> Trace:
        """One forward and one backward pass: A and G of every layer asked for.

        x (N, N, 3) preprocessed. target None: the likeliest class. layers (): the suggested ones.
        """
        self._check(x)
        layers = tuple(layers or self.suggested)
        weights = self._weights(target) if target else np.zeros(self.classes, np.float32)
        as_p = bool(target and target.probability)
        make = partial(self._compile_trace, layers)
        y, p, a, g = self._run(layers, make, x[None], weights, target is None, as_p)
        logits, probabilities = y.numpy(), p.numpy()
        activations = {name: _shared(t) for name, t in zip(layers, a, strict=True)}
        gradients = {name: _shared(t) for name, t in zip(layers, g, strict=True)}
        numbers = [logits, *activations.values(), *gradients.values()]
        if not all(map(finite, numbers)):
            raise UserError(NOT_FINITE)
        target = target or Target(int(logits.argmax()))
        scale = self._weights(target)

        def score_inputs(xs: F32) -> F32:
            make, nowhere = partial(self._compile_score, None), np.zeros(len(xs), np.float32)
            return self._run("inputs", make, xs, nowhere, scale, as_p).numpy()

        def score_activations(layer: str, activations: F32) -> F32:
            make = partial(self._compile_score, layer)
            return self._run(("at", layer), make, x[None], activations, scale, as_p).numpy()

        return Trace(
            inputs=x,
            logits=logits,
            probabilities=probabilities,
            target=target,
            activations=activations,
            gradients=gradients,
            score_inputs=score_inputs,
            score_activations=score_activations,
        )

    def guided_backprop(self, x: F32, target: Target) -> F32:
        """d score / d x (N, N, 3) where each ReLU also drops negative gradients on the way back.

        R = f'(z) ReLU(R from above), f the activation: Springenberg et al. 2014 (arXiv 1412.6806);
        used by Guided Grad-CAM (section 3.2). x (N, N, 3) preprocessed. Holds for every operation
        in `GUIDED`, whether a layer, fused into one or called as a function. Swish and GELU are
        left as they are; PReLU and hard-swish are made of several operations, and only the ReLUs
        inside them are guided. A network without any in `GUIDED` gets a UserError.
        """
        weights = self._weights(target)
        make = self._compile_guided
        return self._run("guided", make, x[None], weights, target.probability).numpy()


@contextmanager
def sentence() -> Iterator[None]:
    """For what a model's operations raise when they run: no kernel, no memory, no gradient."""
    try:
        yield
    except (tf.errors.OpError, LookupError) as error:
        raise UserError(
            "TensorFlow cannot run this model, or not its gradient, on this computer; choose a "
            "smaller model, or one of more common layers."
        ) from error


def finite(numbers: F32) -> bool:
    """Whether all are. A sum of squares is quickly asked; where it overflows, they may still be."""
    return bool(np.isfinite(np.vdot(numbers, numbers)) or np.isfinite(numbers).all())


def _guided(op: Any, gradient: tf.Tensor) -> tf.Tensor:
    return GUIDED[op.type](op, tf.nn.relu(gradient))


with suppress(KeyError):  # once for TensorFlow, also where this file is loaded twice
    tf.RegisterGradient("GradcamGuided")(_guided)


def _plain(tensor: tf.Tensor) -> tf.Tensor:
    """(1, h, w, K) of any precision -> (h, w, K) float32."""
    return tf.cast(tensor[0], tf.float32)


def _shared(tensor: tf.Tensor) -> F32:
    """A tensor's own memory as an array that cannot be written to: VGG19's A and G are 110 MB."""
    return np.asarray(memoryview(tensor))


def judge(seen: Sequence[Seen], x: tf.Tensor, y: tf.Tensor) -> dict[str, Layer]:
    """Each layer with a (1, h, w, K) output, and why it is poor, from the traced graph itself.

    seen: in the order of the run. A layer is a good place to look if every path from the picture x
    to the answer y goes through its output (no branch leads round it), and if it is not only
    half-way: before its activation, or thinned by pooling.
    """
    order, live = _between(x, y)
    round_it = _bypassed(order, live)
    first = next((n for n, op in enumerate(order) if op.type in LEARNED_OPS), 0)
    layers: dict[str, Layer] = {}
    makers: dict[int, str] = {}
    half_way: set[int] = set()
    done: set[int] = set()
    for _, operation, sources, _ in seen:
        if not hasattr(operation, "layers"):
            (half_way if type(operation).__name__ in NORMS + ACTIVATIONS else done).update(sources)
    half_way -= done
    inside = tuple(f"{name}/" for name, operation, *_ in seen if isinstance(operation, ATTENTION))
    for name, operation, sources, tensor in seen:
        if not tf.is_tensor(tensor) or tensor.shape.rank != 4 or name.startswith(inside):
            continue
        if hasattr(operation, "layers") and id(tensor) in makers:
            continue  # an inner model: its last layer stands for it
        if None in tensor.shape[1:] or not tensor.dtype.is_floating:
            continue
        kind = type(operation).__name__
        h, w, k = (int(n) for n in tensor.shape[1:])
        poor = ""
        if h * w == 1:
            poor = "1×1: no place left"
        elif passes_on(operation) and any(source in makers for source in sources):
            poor = "only passes on the layer before it"
        elif live.get(id(tensor.op), first) < first:
            poor = "only the picture, prepared for the network"
        elif id(tensor.op) not in live:
            poor = "does not lead to the answer"
        elif id(tensor) in makers:
            poor = "does not change what the layer before it says"
        elif id(tensor.op) in round_it:
            poor = "one of several branches: another path leads round it"
        elif id(tensor) in half_way or (
            id(tensor) not in done and any(c.type in ACTIVATION_OPS for c in tensor.consumers())
        ):
            poor = "before the activation"
        makers.setdefault(id(tensor), name)
        layers.pop(name, None)
        layers[name] = Layer(name, (h, w, k), kind, poor, _merges(tensor, seen, live))
    return layers


def passes_on(operation: Any) -> bool:
    """Whether this makes nothing of its own out of what it gets. A visitor's own class may."""
    kind = type(operation)
    return kind.__name__ in PASSES_ON and kind.__module__.partition(".")[0] == "keras"


def found(layers: dict[str, Layer]) -> set[str]:
    """Of the good layers the block outputs and the last of each grid, thinned to SUGGESTED.

    A grid without a good layer gives its last merge among the widest: the output of a cell, where
    each cell also takes the output of the one before the last (NASNet), so that all are bypassed.
    """
    good = [layer for layer in layers.values() if not layer.poor]
    stages = {layer.shape[:2]: layer.name for layer in good}
    cells: dict[tuple[int, int], Layer] = {}
    for layer in layers.values():
        grid = layer.shape[:2]
        if layer.suggested and grid not in stages and grid != (1, 1):
            cells[grid] = max(layer, cells.get(grid, layer), key=lambda cell: cell.shape[2])
    merges = [layer.name for layer in good if layer.suggested and layer.name not in stages.values()]
    chosen = {*stages.values(), *(cell.name for cell in cells.values())}
    room = max(SUGGESTED - len(chosen), 0)
    if len(merges) > room:
        merges = [merges[i] for i in np.linspace(0, len(merges) - 1, room).round().astype(int)]
    return {*chosen, *merges}


def _between(x: tf.Tensor, y: tf.Tensor) -> tuple[list[Any], dict[int, int]]:
    """The operations by which the picture x becomes the answer y, in order, and their numbers."""
    back, todo = set(), [y.op]
    while todo:
        op = todo.pop()
        if id(op) not in back:
            back.add(id(op))
            todo += [t.op for t in op.inputs if _carries(t)]
    order: list[Any] = []
    live = {id(x.op): 0}
    for op in x.graph.get_operations():
        leads = any(id(t.op) in live and _carries(t) for t in op.inputs)
        if id(op) in back and (leads or op is x.op):
            live[id(op)] = len(order)
            order.append(op)
    return order, live


def _bypassed(order: list[Any], live: dict[int, int]) -> set[int]:
    """The operations round which another path leads: some earlier output is used after them."""
    last = list(range(len(order)))
    for number, op in enumerate(order):
        for tensor in op.inputs:
            if id(tensor.op) in live:
                last[live[id(tensor.op)]] = number
    farthest, bypassed = 0, set()
    for number, op in enumerate(order):
        if farthest > number:
            bypassed.add(id(op))
        farthest = max(farthest, last[number])
    return bypassed


def _merges(tensor: tf.Tensor, seen: Sequence[Seen], live: dict[int, int]) -> bool:
    """Whether branches come together in this output, before its norm and activation if any."""
    sources = {
        id(y): x
        for _, operation, x, y in seen
        if type(operation).__name__ in NORMS + ACTIVATIONS
        and id(y) not in x  # not Activation("linear")
    }
    outputs = {id(y): y for *_, y in seen if tf.is_tensor(y)}
    while id(tensor) in sources and sources[id(tensor)][0] in outputs:
        tensor = outputs[sources[id(tensor)][0]]
    if tensor.op.type not in ("AddV2", "Add", "AddN", "ConcatV2"):
        return False
    return sum(id(t.op) in live and _carries(t) for t in tensor.op.inputs) > 1


def _carries(tensor: tf.Tensor) -> bool:
    """Whether a tensor carries something of the picture: numbers, or a grid of bytes; no shapes."""
    return bool(tensor.dtype.is_floating or tensor.shape.rank == 4)
