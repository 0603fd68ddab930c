"""What a layer puts out, as one grid of cells, and such a grid as its output again. Tensors only.

Most layers are a grid already. A list of tokens is laid out, and a layer that runs several times is
put together as `Layer.runs` says.
"""

from collections.abc import Sequence

import tensorflow as tf

from gradcam_core.types import Layer, Run


def as_floats(tensor: tf.Tensor) -> tf.Tensor:
    """(1, h, w, K) of any precision -> (h, w, K) float32; some gradients name only some rows."""
    return tf.cast(tf.convert_to_tensor(tensor)[0], tf.float32)


def own_grid(tensor: tf.Tensor, layer: Layer) -> tf.Tensor:
    """The same of a layer of tokens (1, tokens, K): those that form the grid."""
    made = as_floats(tensor)
    return made if layer.leading is None else tf.reshape(made[layer.leading :], layer.shape)


def used_of(outputs: Sequence[tf.Tensor], layer: Layer) -> list[tf.Tensor]:
    """Of the outputs of a layer's runs those of which its grid is made; of one grid the last."""
    numbers = [run.number for row in layer.runs for block in row for run in block]
    return [outputs[n] for n in numbers] or [outputs[-1]]


def grid_of(used: Sequence[tf.Tensor], layer: Layer) -> tf.Tensor:
    """What `used_of` says, put together: (h, w, K) float32."""
    if not layer.runs:
        return own_grid(used[0], layer)

    def laid(tensor: tf.Tensor, run: Run) -> tf.Tensor:
        cells = own_grid(tensor, layer)
        cells = tf.transpose(cells, (1, 0, 2)) if run.turned else cells
        return tf.reverse(cells, run.mirrored) if run.mirrored else cells

    left = iter(used)
    rows = (
        [tf.concat([laid(next(left), run) for run in block], 2) for block in row]
        for row in layer.runs
    )
    return tf.concat([tf.concat(row, 1) for row in rows], 0)


def called_parts(cells: tf.Tensor, layer: Layer, calls: int) -> dict[int, tf.Tensor]:
    """What `grid_of` has put together taken apart again: (B, h, w, K) by the number of the run."""
    if not layer.runs:
        return {calls - 1: cells}
    parts = {}
    for row, strip in zip(layer.runs, tf.split(cells, len(layer.runs), 1), strict=True):
        for block, piece in zip(row, tf.split(strip, len(row), 2), strict=True):
            for run, part in zip(block, tf.split(piece, len(block), 3), strict=True):
                back = [1 + axis for axis in run.mirrored]
                part = tf.reverse(part, back) if back else part
                parts[run.number] = tf.transpose(part, (0, 2, 1, 3)) if run.turned else part
    return parts


def with_cells(tensor: tf.Tensor, cells: tf.Tensor, layer: Layer) -> tf.Tensor:
    """A layer's output with cells (B, h, w, K) in the place of its own."""
    cells = tf.cast(cells, tensor.dtype)
    if layer.leading is None:
        return cells
    h, w, channels = layer.shape
    return tf.concat([tensor[:, : layer.leading], tf.reshape(cells, (-1, h * w, channels))], 1)
