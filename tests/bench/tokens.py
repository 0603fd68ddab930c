"""Does a transformer's map find the thing? `python -m tests.bench.tokens` trains two small ones.

They learn the shapes of `planted`, moved to any place of the picture; one reads its answer off a
class token, the other off the mean of its tokens. For a layer and method the table has how often
the map's maximum lies in the thing, and the share of the map that lies there. It takes minutes.
"""

import copy

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L

from gradcam_core import heatmap
from gradcam_core.methods import METHODS
from gradcam_core.network import Network
from gradcam_core.planted import DRAWN, THINGS, centred, drawn
from gradcam_core.types import F32, U8, Target

WIDTH, BLOCKS, SEEN, EPOCHS, NEW = 64, 3, 4000, 12, 120
FAR = 20  # pixels by which a thing is moved at most
Pictures = tuple[U8, np.ndarray, np.ndarray]


def pictures(count: int, seed: int) -> Pictures:
    """(count, N, N, 3), the numbers of their kinds, and where the thing is (count, N, N).

    Where it is: whatever differs between two things drawn by the same dice.
    """
    dice, kinds = np.random.default_rng(seed), np.arange(count) % len(THINGS)
    made, where = [], []
    for kind in kinds:
        others = [drawn(other, copy.deepcopy(dice)) for other in ("disc", "checks")]
        by = dice.integers(-FAR, FAR + 1, 2)
        made.append(np.roll(drawn(THINGS[kind], dice), by, (0, 1)))
        where.append(np.roll((others[0] != others[1]).any(-1), by, (0, 1)))
    return np.stack(made), kinds, np.stack(where)


class ClassToken(L.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.tile(self.token, [tf.shape(x)[0], 1, 1]), x], 1)


class Positions(L.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.kernel


def transformer(class_token: bool) -> keras.Model:
    """8x8 tokens out of three convolutions, then BLOCKS of attention."""
    x = image = keras.Input((DRAWN, DRAWN, 3))
    for channels in (24, 48):
        x = L.Conv2D(channels, 3, 2, "same", activation="relu", name=f"stem{channels}")(x)
    x = L.Reshape((-1, WIDTH))(L.Conv2D(WIDTH, 2, 2, name="patches")(x))
    x = Positions(name="embedded")(ClassToken()(x) if class_token else x)
    for n in range(BLOCKS):
        y = L.LayerNormalization()(x)
        x = L.Add(name=f"read{n}")([x, L.MultiHeadAttention(4, WIDTH // 4)(y, y)])
        y = L.Dense(WIDTH)(L.Dense(2 * WIDTH, "gelu")(L.LayerNormalization()(x)))
        x = L.Add(name=f"block{n}")([x, y])
    x = L.LayerNormalization(name="norm")(x)
    read = x[:, 0] if class_token else L.GlobalAveragePooling1D()(x)
    return keras.Model(image, L.Dense(len(THINGS))(read))


def trained(class_token: bool) -> keras.Model:
    keras.utils.set_random_seed(1)
    model, (seen, kinds, _) = transformer(class_token), pictures(SEEN, 0)
    steps = EPOCHS * -(-SEEN // 64)
    slowing = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, warmup_target=2e-3, warmup_steps=100
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(slowing, weight_decay=1e-3), loss)
    model.fit(centred(seen.astype(np.float32)), kinds, 64, EPOCHS, verbose=0)
    return model


def found(signed: F32, thing: np.ndarray) -> tuple[float, float]:
    heat = heatmap.project(heatmap.normalise(signed), thing.shape)
    return float(thing.flat[heat.argmax()]), float(heat[thing].sum() / max(heat.sum(), 1e-9))


def main() -> None:
    new, kinds, where = pictures(NEW, 77)
    middle = where[:, DRAWN // 2, DRAWN // 2].mean()
    print(f"the thing covers {where.mean():.0%} of the picture, and its middle in {middle:.0%}")
    for class_token in (True, False):
        net = Network(trained(class_token), (DRAWN, DRAWN, 3), head="softmax")
        x = centred(new.astype(np.float32))
        right = (net.probabilities(x).argmax(1) == kinds).mean()
        print(f"\n{'class token' if class_token else 'mean of tokens'}: {right:.0%} right")
        print("| layer | method | maximum in the thing | share of the map |\n|---|---|---|---|")
        traces = [net.trace(one, Target(int(k))) for one, k in zip(x, kinds, strict=True)]
        for name in net.suggested:
            for method in ("Grad-CAM", "HiResCAM", "LayerCAM"):
                weigh, both = METHODS[method].weights, list[tuple[float, float]]()
                assert weigh
                for trace, thing in zip(traces, where, strict=True):
                    a, g = trace.activations[name], trace.gradients[name]
                    both.append(found(heatmap.combine(weigh(a, g), a), thing))
                hits, share = np.mean(both, axis=0)
                best = " (best)" * (name == net.best)
                print(f"| {name}{best} | {method} | {hits:.0%} | {share:.0%} |")


if __name__ == "__main__":
    main()
