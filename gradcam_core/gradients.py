"""Kernels and gradients in place of TensorFlow's, where those are slow, missing or unguided.

What a layer computes stays the same; `network.tapped` lends these to layers while it traces.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import keras
import tensorflow as tf

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


def batch_norm(operation: Any) -> Callable[..., Any]:
    """The `call` of a layer, and for Keras's own batch norm one that is faster."""
    call: Callable[..., Any] = operation.call
    own = getattr(call, "__func__", None) is keras.layers.BatchNormalization.call
    return partial(fused_batch_norm, operation, call) if own else call


def fused_batch_norm(
    layer: Any, call: Any, inputs: Any, training: Any = None, mask: Any = None
) -> Any:
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


def _guided(op: Any, gradient: tf.Tensor) -> tf.Tensor:
    return GUIDED[op.type](op, tf.nn.relu(gradient))


with suppress(KeyError):  # once for TensorFlow, also where this file is loaded twice
    tf.RegisterGradient("GradcamGuided")(_guided)
