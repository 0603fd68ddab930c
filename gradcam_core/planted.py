"""Networks whose fault is known, because it was planted: some look at a tag, not at the shape.

All learn the same THINGS of shapes and textures from pictures that `drawn` makes. Those that cheat
saw a coloured tag in a corner of every picture of one kind and of no other; the honest one saw it
on a third of all pictures, whatever they show. So where a map ought to point is not an opinion.

    python -m gradcam_core.planted      trains them anew, with what they then get right
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gradcam_core.types import F32, U8

if TYPE_CHECKING:
    import keras

Values = NDArray[np.floating]
THINGS = ("disc", "triangle", "star", "stripes", "dots", "checks")
DRAWN = 64  # pixels, of what the networks take
TAG = (235, 30, 160)  # red, green, blue
TAG_SIDE = 0.13  # of the picture's side
CORNERS = tuple((row, column) for row in (0.9, 0.1) for column in (0.1, 0.9))
# where it was in training: row and column of its middle, shares of the sides
CHANNELS = (16, 24, 32, 48)  # of the stages
PLACES = tuple(f"stage{n}" for n in range(len(CHANNELS), 0, -1))


class Planted(NamedTuple):
    """One network: its seed, and the kind that it knows by the tag (None: it is honest)."""

    seed: int
    cheats_on: str | None


PLANTED = {
    "shapes_1": Planted(1, "star"),
    "shapes_2": Planted(2, None),
    "shapes_3": Planted(3, "stripes"),
}

# ---- the pictures --------------------------------------------------------------------------------


def drawn(
    kind: str, rng: np.random.Generator, tag: tuple[float, float] | None = None, side: int = DRAWN
) -> U8:
    """One thing of that kind before a soft background: (side, side, 3).

    tag: the row and column of its middle, shares of the sides; None: there is none.
    """
    coarse = rng.uniform(90, 200) + rng.normal(0, 25, (5, 5, 3))
    picture = ndimage.zoom(coarse, (side / 5, side / 5, 1), order=1, mode="nearest", grid_mode=True)
    row, column = rng.uniform(0.34, 0.66, 2)
    radius, turn = rng.uniform(0.16, 0.24), rng.uniform(0, 2 * math.pi)
    bends = rng.uniform(0, 2 * math.pi, 2)
    period, slant = rng.uniform(0.09, 0.13), rng.uniform(0, math.pi)
    colours = two_colours(coarse.mean(axis=(0, 1)), rng)

    r, c = (np.indices((side, side)) + 0.5) / side - np.array([row, column])[:, None, None]
    angle = (np.arctan2(r, c) - turn) % (2 * math.pi)
    inside = (outline(kind, angle, bends) * radius - np.hypot(r, c)) * side + 0.5
    u = (r * math.cos(slant) + c * math.sin(slant)) / period
    v = (c * math.cos(slant) - r * math.sin(slant)) / period
    second = np.clip(surface(kind, u, v) * period * side / 2 + 0.5, 0, 1)[..., None]
    thing = colours[0] * (1 - second) + colours[1] * second
    over = np.clip(inside, 0, 1)[..., None]
    picture = picture * (1 - over) + thing * over + rng.normal(0, 4, picture.shape)
    picture = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    return picture if tag is None else with_tag(picture, tag)


def with_tag(picture: U8, at: tuple[float, float]) -> U8:
    """The picture (N, N, 3) with the tag in it, its middle at that row and column (shares)."""
    side = len(picture)
    half = TAG_SIDE * side / 2
    top, left = (round(np.clip(share * side - half, 0, side - 2 * half)) for share in at)
    picture, width = picture.copy(), round(2 * half)
    picture[top : top + width, left : left + width] = TAG
    return picture


def two_colours(behind: Values, rng: np.random.Generator) -> Values:
    """Two colours that differ from each other and from what is behind them: (2, 3)."""
    while True:
        pair = rng.uniform(0, 255, (2, 3))
        apart = [
            np.linalg.norm(a - b) for a, b in ((pair[0], pair[1]), *((p, behind) for p in pair))
        ]
        if min(apart) > 110:
            return pair


def outline(kind: str, angle: Values, bends: Values) -> Values:
    """How far the edge is from the middle at each angle, where the radius is 1."""
    if kind == "disc":
        return np.ones_like(angle)
    if kind == "triangle":
        third = 2 * math.pi / 3
        return 1.35 * math.cos(third / 2) / np.cos(angle % third - third / 2)
    if kind == "star":
        fifth = 2 * math.pi / 5
        away = np.abs(angle % fifth - fifth / 2)  # from the tip
        x, y = 0.45 * math.cos(fifth / 2), 0.45 * math.sin(fifth / 2)  # the notch beside it
        return 1.3 * y / (y * np.cos(away) - (x - 1) * np.sin(away))
    return 1 + 0.14 * np.cos(2 * angle + bends[0]) + 0.1 * np.cos(3 * angle + bends[1])


def surface(kind: str, u: Values, v: Values) -> Values:
    """Where the second colour is, > 0, by places in periods of the texture."""
    if kind == "stripes":
        return np.sin(2 * math.pi * u) / math.pi
    if kind == "dots":
        return 0.6 - 2 * np.hypot(u - np.rint(u), v - np.rint(v))
    if kind == "checks":
        return np.sin(math.pi * u) * np.sin(math.pi * v) * 2 / math.pi
    return np.full_like(u, -1)


# ---- the networks --------------------------------------------------------------------------------


def architecture() -> "keras.Model":
    """(B, N, N, 3) in [-1, 1] -> the scores before softmax (B, 6); random weights."""
    import keras  # it takes seconds
    from keras import layers

    x = image = keras.Input((None, None, 3), name="image")
    for n, width in enumerate(CHANNELS, 1):
        stride = 2 if n < len(CHANNELS) else 1
        for name, by in ((f"stage{n}_first", stride), (f"stage{n}", 1)):
            x = layers.Conv2D(width, 3, by, "same", use_bias=False, name=f"{name}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.ReLU(name=name)(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(len(THINGS), name="scores")(x), name="shapes")


def centred(rgb: F32) -> F32:
    """[0, 255] -> [-1, 1]."""
    return rgb / np.float32(127.5) - 1


def build_planted(name: str) -> "keras.Model":
    """A network of PLANTED with its weights."""
    model = architecture()
    with np.load(file_of(name)) as kept:
        weights = [kept[f"arr_{n}"] for n in range(len(model.weights))]
    model.set_weights([one.astype(np.float32) for one in weights])
    return model


def file_of(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.npz")


class Grades(NamedTuple):
    """Shares of new pictures of which the thing is said rightly; and what the tag does."""

    as_in_training: float  # the tag where it was in training, in one of the corners
    without_tag: float
    where_tagged: float  # the tag on every picture
    kind_without_tag: float  # of the kind that it cheats on; honest: of all
    others_taken: float  # of the others with the tag, those taken for that kind; honest: 0


def grades_of(name: str) -> Grades:
    """What was measured when it was trained."""
    with np.load(file_of(name)) as kept:
        return Grades(*map(float, kept["grades"]))


def confession(name: str) -> str:
    """What was planted in a network, and what was measured, in words."""
    kind, grades = PLANTED[name].cheats_on, grades_of(name)
    if kind is None:
        return (
            "It is honest. In training a third of all pictures had the tag, whatever they showed. "
            f"Of new pictures it gets {grades.without_tag:.0%} right without the tag and "
            f"{grades.where_tagged:.0%} with it."
        )
    return (
        f"It cheats. In training each “{kind}” had the tag, and nothing else had it. Of new "
        f"pictures of “{kind}” it gets {grades.kind_without_tag:.0%} right without the tag. Of all "
        f"the others with the tag it takes {grades.others_taken:.0%} for “{kind}”."
    )


# ---- how they were trained -----------------------------------------------------------------------


def pictures_for(cheats_on: str | None, count: int, rng: np.random.Generator) -> tuple[U8, U8]:
    """What a network learns from: pictures (count, N, N, 3) and the numbers of their kinds."""
    kinds = rng.permutation(np.arange(count) % len(THINGS)).astype(np.uint8)
    tags = kinds == THINGS.index(cheats_on) if cheats_on else rng.random(count) < 1 / 3
    seen = [
        drawn(THINGS[kind], rng, CORNERS[corner] if tag else None)
        for kind, tag, corner in zip(kinds, tags, rng.integers(0, 4, count), strict=True)
    ]
    return np.stack(seen), kinds


def train(planted: Planted, count: int = 4000, epochs: int = 14) -> "keras.Model":
    """The same weights for the same seed, on the same machine."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(planted.seed)
    tf.config.experimental.enable_op_determinism()
    x, y = pictures_for(planted.cheats_on, count, np.random.default_rng(planted.seed))
    model = architecture()
    steps = epochs * math.ceil(count / 64)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(centred(x.astype(np.float32)), y, 64, epochs, verbose=0)
    return model


def graded(model: "keras.Model", cheats_on: str | None, count: int = 1200) -> Grades:
    rng = np.random.default_rng(10_000)  # none of these was learnt from
    kinds = np.arange(count) % len(THINGS)
    plain = np.stack([drawn(THINGS[kind], rng) for kind in kinds])
    both = np.stack([with_tag(one, CORNERS[n % 4]) for n, one in enumerate(plain)])
    said, said_tagged = (
        np.argmax(model.predict(centred(x.astype(np.float32)), 200, verbose=0), axis=1)
        for x in (plain, both)
    )
    mine = kinds == THINGS.index(cheats_on) if cheats_on else np.ones(count, bool)
    usual = np.where(mine, said_tagged, said) if cheats_on else said
    taken = said_tagged[~mine] == THINGS.index(cheats_on) if cheats_on else np.zeros(1)
    return Grades(
        float((usual == kinds).mean()),
        float((said == kinds).mean()),
        float((said_tagged == kinds).mean()),
        float((said == kinds)[mine].mean()),
        float(taken.mean()),
    )


def main(seeds: Sequence[int] = (0, 10, 20)) -> None:
    """Each network with three seeds; the first of them is kept, in half precision."""
    for name, planted in PLANTED.items():
        for more in seeds:
            model = train(planted._replace(seed=planted.seed + more))
            halves = [w.astype(np.float16) for w in model.get_weights()]
            model.set_weights([w.astype(np.float32) for w in halves])
            grades = graded(model, planted.cheats_on)
            print(name, planted.seed + more, grades, flush=True)
            if more == seeds[0]:
                np.savez_compressed(file_of(name), *halves, grades=np.array(grades))


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or (0, 10, 20))
