"""What a model's output means: which numbers are the logits, which the probabilities."""

import keras
import tensorflow as tf

from gradcam_core.types import Head, UserError

BLENDS = {  # operations that make probabilities out of probabilities
    "Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose", "ConcatV2", "Pack",
    "StridedSlice", "AddV2", "AddN", "BiasAdd", "Sub", "Mul", "RealDiv", "Mean", "Sum", "Max",
    "Min", "Maximum", "Minimum",
}  # fmt: skip


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
