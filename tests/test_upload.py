"""Hostile files get one sentence before Keras sees them; what Keras itself saves passes."""

import json
import struct
import warnings
import zipfile

import keras
import numpy as np
import pytest
from keras import layers as L
from nets import SHAPE, save, small

from gradcam_core import models, upload
from gradcam_core.types import UserError
from gradcam_core.upload import admit


def written(path, members, kind=zipfile.ZIP_STORED):
    """A ZIP of these (name, bytes), which may repeat a name."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", kind) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save(small(), tmp_path_factory.mktemp("good") / "good.keras")


@pytest.fixture(scope="module")
def members(good):
    with zipfile.ZipFile(good) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def refused(tmp_path, good, sentence):
    """Fails unless a file is refused with that sentence, and the good one passes after it."""

    def judge(content, words, kind=zipfile.ZIP_STORED):
        path = tmp_path / "upload.keras"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            written(path, content.items() if isinstance(content, dict) else content, kind)
        with pytest.raises(UserError) as error:
            admit(path)
        assert str(error.value) == words
        sentence(error.value)
        admit(good)

    return judge


@pytest.fixture
def described(members):
    """The members with another description of the network."""

    def change(how):
        config = json.loads(members["config.json"])
        how(config)
        return members | {"config.json": json.dumps(config).encode()}

    return change


def layer(config, name):
    return next(x for x in config["config"]["layers"] if x["config"]["name"] == name)


# The file


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"PK\x03\x04 nonsense", b"\x89HDF\r\n\x1a\n" + bytes(99)]
)
def test_not_a_zip(data, refused):
    refused(data, upload.DAMAGED)


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated(part, good, refused):
    data = good.read_bytes()
    refused(data[: int(part * len(data))], upload.DAMAGED)


def test_not_there_or_a_folder(tmp_path, sentence):
    (tmp_path / "folder.keras").mkdir()
    for name in ("nowhere.keras", "folder.keras"):
        with pytest.raises(UserError) as error:
            admit(tmp_path / name)
        sentence(error.value)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "assets/words.txt", "code.py"])
def test_a_member_more(name, members, refused):
    refused(members | {name: b"x"}, upload.DAMAGED)


def test_a_member_less_or_twice(members, refused):
    for name in members:
        refused({n: data for n, data in members.items() if n != name}, upload.DAMAGED)
    refused([*members.items(), ("config.json", b"{}")], upload.DAMAGED)


def test_a_zip_bomb(members, refused):
    bomb = members | {"model.weights.h5": bytes(30_000_000)}
    refused(bomb, upload.SWOLLEN, zipfile.ZIP_DEFLATED)
    refused(members | {"config.json": b" " * 6_000_000}, upload.SWOLLEN)
    refused(members | {"metadata.json": b" " * 6_000_000}, upload.SWOLLEN)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_keras_does_not_use(kind, members, refused):
    refused(members, upload.DAMAGED, kind)


def test_a_packed_file_is_no_bomb(members, tmp_path):
    admit(written(tmp_path / "packed.keras", members.items(), zipfile.ZIP_DEFLATED))


def test_an_encrypted_member(good, refused):
    """Bit 0 of the flags, which stand 8 bytes after the start of each entry of the directory."""
    data = bytearray(good.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    refused(bytes(data), upload.DAMAGED)


def test_a_size_that_is_a_lie(members, good, refused):
    """A description that says it is 10 bytes long, in both of its headers."""
    size = struct.pack("<I", len(members["config.json"]))
    refused(good.read_bytes().replace(size, struct.pack("<I", 10)), upload.DAMAGED)


def test_a_file_that_is_too_large(good, tmp_path, sentence):
    size = good.stat().st_size
    admit(good, limit=size)
    with pytest.raises(UserError) as error:
        admit(good, limit=size - 1)
    assert str(error.value) == upload.TOO_LARGE
    sentence(error.value)
    with (tmp_path / "hole.keras").open("wb") as file:
        file.truncate(upload.MAX_FILE + 1)
    with pytest.raises(UserError, match="larger than 120 MB"):
        admit(tmp_path / "hole.keras")


# The description


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"[" * 10_000 + b"]" * 10_000, b"{}",
     b'{"class_name": "Functional"}', b'{"class_name": "Functional", "module": "keras"}',
     b"1" * 5_000],
)  # fmt: skip
def test_not_a_description(text, members, refused):
    refused(members | {"config.json": text}, upload.DAMAGED)


def test_deep_nesting(described, refused, tmp_path):
    def deep(times):
        def change(config):
            node = []
            for _ in range(times):
                node = [node]
            layer(config, "conv1")["config"]["deep"] = node

        return described(change)

    refused(deep(60), upload.DAMAGED)
    admit(written(tmp_path / "deep.keras", deep(30).items()))


def test_too_many_layers(described, refused):
    def grow(config):
        config["config"]["layers"] += [layer(config, "conv1")] * 3_000

    refused(described(grow), upload.CROWDED)


def part(module, kind, **more):
    return {"module": module, "class_name": kind, "config": {}, "registered_name": None, **more}


EVIL_PARTS = [
    part("builtins", "eval"),
    part("os", "system"),
    part("keras.layers", "Lambda"),
    part("keras.layers", "Conv2D"),  # a layer where there should be none
    part("keras", "Sequential", config={"layers": []}),
    part("keras.initializers", "Identity", registered_name="evil>Identity"),
    part("keras.utils", "get_file"),
    part("keras.saving", "load_model"),
    part("builtins", "function", config="eval"),
    {"class_name": "__lambda__", "config": {"value": "x"}},
    {"class_name": "__typespec__", "config": [], "module": "tensorflow", "registered_name": "x"},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "<U100000000"}},
    {"class_name": "Zeros", "config": {}},  # the old format, in which Keras looks elsewhere
]


@pytest.mark.parametrize("evil", EVIL_PARTS)
@pytest.mark.parametrize("key", ["kernel_initializer", "activation", "dtype", "anything"])
def test_parts_that_are_not_known(evil, key, described, refused):
    refused(described(lambda c: layer(c, "conv1")["config"].update({key: evil})), upload.UNKNOWN)


@pytest.mark.parametrize("evil", [part(["keras"], "Zeros"), part("keras.initializers", {"x": 1})])
def test_names_that_are_no_names(evil, described, refused, tmp_path):
    path = tmp_path / "odd.keras"
    changed = described(lambda c: layer(c, "conv1")["config"].update(kernel_initializer=evil))
    with pytest.raises(UserError):
        admit(written(path, changed.items()))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "Lambda"),
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.layers", "JaxLayer"),
        ("keras.layers", "FlaxLayer"),
        ("keras.layers", "TextVectorization"),
        ("keras.layers", "StringLookup"),
        ("keras.layers", "IntegerLookup"),
        ("keras.layers", "Hashing"),
        ("keras.layers", "TimeDistributed"),
        ("keras.src.layers.core.lambda_layer", "Lambda"),
        ("keras.src.ops.core", "Map"),
        ("evil", "Conv2D"),
        ("os", "system"),
        (None, "Conv2D"),
        ("keras.layers", None),
        ("keras.layers", "<script>alert(1)</script>"),
        ("keras.initializers", "Zeros"),  # a part where a layer should be
    ],
)
def test_layers_that_are_not_known(module, name, described, refused):
    def change(config):
        layer(config, "conv1").update(module=module, class_name=name, registered_name=None)

    refused(described(change), upload.UNKNOWN)


@pytest.mark.parametrize("name", ["evil>Conv2D", "Dense", "os.system", ""])
def test_a_registered_name_that_leads_elsewhere(name, described, refused):
    changed = described(lambda c: layer(c, "conv1").update(registered_name=name))
    refused(changed, upload.UNKNOWN)


def test_a_layer_is_no_model(members, refused):
    config = part("keras.layers", "Dense", config={"units": 3})
    refused(members | {"config.json": json.dumps(config).encode()}, upload.UNKNOWN)


def test_a_lambda_that_keras_saved(tmp_path, refused):
    inner = keras.Sequential([keras.Input(SHAPE), L.Lambda(lambda x: x / 255), L.Conv2D(2, 3)])
    model = keras.Sequential([inner, L.GlobalMaxPooling2D(), L.Dense(2)])
    refused(save(model, tmp_path / "lambda.keras").read_bytes(), upload.UNKNOWN)


def test_what_an_inner_model_would_compile(tmp_path, refused):
    """The outermost is dropped by load_model(compile=False), an inner one is not."""
    inner = keras.Sequential([keras.Input(SHAPE), L.Conv2D(2, 3)])
    path = save(keras.Sequential([inner, L.GlobalMaxPooling2D(), L.Dense(2)]), tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["compile_config"] = part("evil", "evil")
    admit(written(path, (members | {"config.json": json.dumps(config)}).items()))
    nested = next(x for x in config["config"]["layers"] if x["class_name"] == "Sequential")
    nested["compile_config"] = {"optimizer": part("evil", "evil")}
    refused(members | {"config.json": json.dumps(config)}, upload.UNKNOWN)


@pytest.mark.parametrize("name", ["<img src=x>", "con\u202ev1", "a/b", "", "two\nlines", "x" * 200])
def test_names_that_are_not_plain_text(name, described, refused):
    refused(described(lambda c: layer(c, "conv1").update(name=name)), upload.UNREADABLE)
    changed = described(lambda c: layer(c, "conv1")["config"].update(name=name))
    refused(changed, upload.UNREADABLE)
    inner = part("keras.layers", "ReLU", config={"name": name})
    changed = described(lambda c: layer(c, "conv1")["config"].update(activation=inner))
    refused(changed, upload.UNREADABLE)


def test_any_damage_is_a_sentence_or_passes(members, rng, tmp_path, sentence):
    """Values replaced at random places: nothing but a UserError comes out."""
    junk = [None, -1, 1.5, 10**12, "x", "", [], {}, [[]], True, float("nan"), ["image", 0, 0]]
    path = tmp_path / "upload.keras"
    for _ in range(200):
        node = config = json.loads(members["config.json"])
        while node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = keys[rng.integers(len(keys))]
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
                node[key] = junk[rng.integers(len(junk))]
                break
            node = node[key]
        written(path, (members | {"config.json": json.dumps(config)}).items())
        try:
            admit(path)
        except UserError as error:
            sentence(error)


# What passes


def sequential():
    return keras.Sequential([keras.Input((32, 32, 1)), L.Rescaling(1 / 255), L.Flatten()])


def transfer():
    """As in Keras's own guide: augmentation, preprocessing as operations, a backbone inside."""
    image = keras.Input((96, 96, 3))
    x = keras.Sequential([L.RandomFlip(), L.RandomRotation(0.1)])(image)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    inner = keras.Sequential([keras.Input((96, 96, 3)), L.Conv2D(4, 3)])
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(inner(x, training=False)))
    return keras.Model(image, L.Dense(1, "sigmoid", kernel_regularizer="l2")(x))


def caffe():
    image = keras.Input((16, 16, 3))
    x = keras.applications.resnet50.preprocess_input(image)
    x = keras.ops.relu(L.Conv2D(4, 3)(x)) * 2
    return keras.Model(image, L.Dense(2)(keras.ops.mean(x, axis=(1, 2))))


def transformer():
    image = keras.Input((16, 16, 3))
    x = L.Reshape((16, 8))(L.Conv2D(8, 4, 4)(image))
    x = x + L.MultiHeadAttention(2, 4)(L.LayerNormalization()(x), L.LayerNormalization()(x))
    x = keras.ops.reshape(L.Dense(8, "gelu")(x), (-1, 4, 4, 8))
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(L.SeparableConv2D(4, 3)(x))))


def through(x):
    """The numbers as they are, by many ways that people write."""
    ops = keras.ops
    x = ops.where(x > 0, x, 0.1 * x)
    x = ops.flip(ops.roll(x, 1, 1), 2)
    x = ops.moveaxis(ops.swapaxes(x, 1, 2), 1, 2)
    x = ops.reciprocal(1 + ops.rsqrt(1 + ops.square(x)))
    x = ops.mod(x, 3.0) + ops.sign(x) + ops.floor(x) + ops.round(x) + ops.ceil(x)
    x = x + ops.ones_like(x) + ops.zeros_like(x) + ops.full_like(x, 2)
    x = x + ops.sin(x) + ops.cos(x) + ops.arctan(x) + ops.erf(x) + ops.expm1(-ops.abs(x))
    x = x + ops.log1p(ops.abs(x)) + ops.log2(ops.abs(x) + 1) + ops.log10(ops.abs(x) + 1)
    x = x - ops.amin(x, axis=-1, keepdims=True) - ops.cumsum(x, axis=-1) + ops.stop_gradient(x)
    x = ops.where(ops.logical_and(x < 9, ops.logical_or(x <= 1, x >= 2)), x, x // 2)
    x = ops.where(ops.logical_or(ops.logical_not(ops.equal(x, 1)), ops.not_equal(x, 2)), x, 0.0)
    one, two = ops.split(ops.tile(ops.repeat(x, 2, -1), (1, 1, 1, 2)), 2, axis=-1)
    x = one + ops.take(two, [0, 1], axis=-1)[..., :1] + ops.prod(two, axis=-1, keepdims=True)
    x = ops.where(ops.any(x > 0, axis=-1, keepdims=True), x, 0.0)
    x = ops.where(ops.all(x > 0, axis=-1, keepdims=True), x, 0.0)
    x = x + ops.expand_dims(ops.average(x, axis=-1), -1)
    x = x + ops.broadcast_to(ops.mean(x, axis=0), (1, 16, 16, 6))
    x = ops.image.resize(x, (8, 8))
    x = ops.concatenate([x, ops.std(x, -1, True), ops.var(x, -1, True)], -1)
    x = x + ops.cast(ops.argmax(x, -1, keepdims=True) + ops.argmin(x, -1, keepdims=True), "float32")
    x = ops.tensordot(ops.dot(x, np.eye(x.shape[-1], dtype="f4")), np.eye(x.shape[-1]), 1)
    return x + ops.logsumexp(x, axis=-1, keepdims=True)


KINKS = (
    "celu", "glu", "hard_shrink", "hard_tanh", "log_sigmoid", "normalize", "soft_shrink",
    "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink",
)  # fmt: skip
AUGMENTING = {
    "AugMix": (), "AutoContrast": (), "CutMix": (), "Equalization": (), "MixUp": (),
    "RandAugment": (), "RandomColorDegeneration": (0.1,), "RandomColorJitter": (),
    "RandomElasticTransform": (), "RandomErasing": (), "RandomGaussianBlur": (),
    "RandomGrayscale": (), "RandomHue": (0.1,), "RandomInvert": (), "RandomPerspective": (),
    "RandomPosterization": (4,), "RandomSaturation": (0.1,), "RandomSharpness": (0.1,),
    "Solarization": (),
}  # fmt: skip
PLAIN = {  # what stands between the picture and the last layers
    "many operations": through,
    "einsum": lambda x: keras.ops.einsum("bijk->bikj", x),
    "threshold": lambda x: keras.ops.threshold(x, 0.1, 0.0),
    "grey": keras.ops.image.rgb_to_grayscale,
    "a layer as activation": L.Conv2D(4, 3, activation=L.LeakyReLU(0.1)),
    "another": L.Conv2D(4, 3, activation=L.PReLU(shared_axes=[1, 2])),
    "a third": L.Dense(4, activation=L.ReLU(6.0)),
    "a fourth": L.Dense(4, activation=L.Activation("gelu")),
    "a fifth": L.Dense(4, activation=L.Softmax()),
    "a sixth": L.Dense(4, activation=L.ELU()),
    **{kink: getattr(keras.ops, kink) for kink in KINKS},
    **{name: getattr(L, name)(*some) for name, some in AUGMENTING.items()},
}


@pytest.mark.many
@pytest.mark.parametrize("part", PLAIN)
def test_honest_parts_pass_and_load(part, tmp_path):
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 4 if part == "glu" else 3))
    x = PLAIN[part](image)
    last = L.Conv2D(4, 3, name="last")(x)
    model = keras.Model(image, L.Dense(2, name="scores")(L.GlobalAveragePooling2D()(last)))
    path = save(model, tmp_path / "model.keras")
    admit(path)
    again = keras.models.load_model(path, compile=False, safe_mode=True)
    x = np.random.default_rng(1).uniform(0, 1, (1, *image.shape[1:])).astype(np.float32)
    np.testing.assert_allclose(again(x, training=False), model(x, training=False), rtol=1e-5)


@pytest.mark.parametrize("make", [small, sequential, transfer, caffe, transformer])
def test_what_keras_saves_passes(make, tmp_path):
    admit(save(make(), tmp_path / "model.keras"))


def test_a_trained_model_passes(tmp_path):
    model = small()
    model.compile("adam", "mse")
    model.fit(np.zeros((1, *SHAPE)), np.zeros((1, 3)), verbose=0)
    admit(save(model, tmp_path / "model.keras"))


def test_load_file_asks_first(good, members, tmp_path, sentence):
    assert models.load_file(good).labels == ("class 0", "class 1", "class 2")
    path = written(tmp_path / "more.keras", (members | {"more.txt": b"x"}).items())
    with pytest.raises(UserError) as error:
        models.load_file(path)
    assert str(error.value) == upload.DAMAGED
    sentence(error.value)


@pytest.mark.longest
@pytest.mark.parametrize("key", [key for key, spec in models.MODELS.items() if spec.weights])
def test_every_network_of_keras_on_the_list_passes(key, members, tmp_path):
    """Its description as Keras writes it; the weights, up to 575 MB, are another's."""
    model = models.MODELS[key].build(None)
    config = json.dumps(keras.saving.serialize_keras_object(model)).encode()
    admit(written(tmp_path / "model.keras", (members | {"config.json": config}).items()))
