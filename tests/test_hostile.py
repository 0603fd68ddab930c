"""Any picture and any model's file is taken, or refused in one of a closed list of sentences."""

import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import hostile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import save, small
from PIL import Image

from gradcam_core import files
from gradcam_core import image as door
from gradcam_core.types import UserError

HOME = Path(__file__).parent.parent
SETTINGS = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def examples(few: int, many: int):
    """A few of them each time, many where there is time."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.longest)])


# ---- pictures ------------------------------------------------------------------------------------

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
}
SIDES = st.integers(1, 90) | st.sampled_from([7, 8, 9, 160, 161, 1280, 1281])


@st.composite
def encoded(draw):
    """A picture of any format, mode, size and orientation: what is known of it, and its bytes."""
    kind = draw(st.sampled_from(list(MODES)))
    mode, w, h = draw(st.sampled_from(MODES[kind])), draw(SIDES), draw(SIDES)
    dice = np.random.default_rng(draw(st.integers(0, 9)))
    if mode == "I;16":
        image = Image.fromarray(dice.integers(0, 2**16, (h, w), np.uint16))
    else:
        image = Image.fromarray(dice.integers(0, 256, (h, w, 4), np.uint8)).convert(mode)
    options = {}
    turn = draw(st.integers(0, 9)) if kind in ("JPEG", "PNG", "WEBP") else 1
    if turn != 1:
        exif = Image.Exif()
        exif[0x0112] = turn
        options["exif"] = exif
    if kind == "JPEG":
        options["progressive"] = draw(st.booleans())
    if kind in ("GIF", "WEBP", "PNG") and mode != "I;16" and draw(st.booleans()):
        options |= {"save_all": True, "append_images": [image.rotate(180)]}
    out = io.BytesIO()
    image.save(out, kind, **options)
    return w, h, turn, out.getvalue()


@pytest.fixture
def read(tmp_path):
    def through_the_door(data):
        path = tmp_path / "upload"
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, which nobody sees
            return door.read_rgb(path)

    return through_the_door


@pytest.mark.slow
@examples(60, 1000)
def test_any_sound_picture_is_opened_upright_or_refused_for_its_size(count, read):
    @settings(SETTINGS, max_examples=count)
    @given(encoded())
    def holds(picture):
        w, h, turn, data = picture
        words = door.SMALL if min(w, h) < 8 else door.NARROW if max(w, h) > 20 * min(w, h) else ""
        if words:
            with pytest.raises(UserError) as error:
                read(data)
            assert str(error.value) == words
            return
        image = read(data)
        height, width, channels = image.shape
        assert (image.dtype, channels) == (np.uint8, 3)
        if 5 <= turn <= 8:
            height, width = width, height
        scale = max(w, h, 1280) / 1280
        assert abs(width - w / scale) <= 0.51 >= abs(height - h / scale)

    holds()


@st.composite
def broken(draw, sound):
    """Bytes with one to three damages."""
    data = draw(sound)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(data), 200)) | st.integers(0, len(data)))
        part = draw(st.integers(0, 40))
        new = draw(st.binary(max_size=8) | st.just(data[at : at + part] * 2))
        data = data[:at] + draw(st.sampled_from([new, b""])) + data[at + part :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@examples(120, 2000)
def test_any_damaged_picture_is_opened_or_refused_in_a_known_sentence(count, read):
    @settings(SETTINGS, max_examples=count)
    @given(broken(encoded().map(lambda picture: picture[-1])) | st.binary(max_size=300))
    def holds(data):
        if data[4:8] == b"ftyp":  # opened in a process of its own
            return
        try:
            image = read(data)
        except UserError as error:
            assert str(error) in hostile.PICTURES  # noqa: PT017
            return
        assert image.dtype == np.uint8
        assert image.shape[2] == 3 <= max(image.shape) <= 1280

    holds()


# ---- models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    good = save(small(), tmp_path_factory.mktemp("good") / "good.keras")
    with zipfile.ZipFile(good) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


NAMES = st.sampled_from([
    "class_name", "config", "module", "layers", "name", "registered_name", "dtype", "Lambda",
    "Dense", "keras.layers", "os.system", "__lambda__", "__tensor__", "", "..", "<b>", "\u202e",
])  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(NAMES, part, max_size=4),
    max_leaves=12,
)


@st.composite
def spoilt(draw, text):
    """A description in which one to three things are something else, or gone."""
    whole = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        node = whole
        while True:
            key = draw(
                st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
            )
            if (
                not (isinstance(node[key], dict | list) and node[key])
                or draw(st.integers(0, 4)) == 0
            ):
                break
            node = node[key]
        if draw(st.booleans()):
            node[key] = draw(ANYTHING)
        elif len(node) > 1:
            del node[key]
    return whole


def check_model(path, sentence):
    """It may go on to a process with limits, or there is one sentence for its owner."""
    try:
        files.check_upload(path)
    except UserError as error:
        sentence(error)


@examples(80, 1500)
def test_any_description_passes_or_is_refused_in_a_sentence(count, members, tmp_path, sentence):
    @settings(SETTINGS, max_examples=count)
    @given(spoilt(members["config.json"]) | ANYTHING)
    def holds(config):
        path = tmp_path / "upload.keras"
        path.write_bytes(hostile.zipped(members | {"config.json": json.dumps(config).encode()}))
        check_model(path, sentence)

    holds()


@examples(80, 1500)
def test_any_damaged_zip_passes_or_is_refused_in_a_sentence(count, members, tmp_path, sentence):
    good = hostile.zipped(members)

    @settings(SETTINGS, max_examples=count)
    @given(broken(st.just(good)), st.sampled_from([".keras", ".zip", ".h5", ""]))
    def holds(data, suffix):
        path = tmp_path / f"upload{suffix}"
        path.write_bytes(data)
        check_model(path, sentence)

    holds()


# ---- a folder of several hundred -----------------------------------------------------------------


@pytest.mark.longest
def test_of_several_hundred_hostile_files_each_has_a_known_end(tmp_path, sentence):
    """None takes 250 MB. What each took is printed by `tests/hostile.py`."""
    if sys.platform != "linux":
        pytest.skip("what a process takes is read from /proc")
    order = [sys.executable, Path(hostile.__file__), tmp_path]
    env = os.environ | {"PYTHONPATH": f"{HOME}:{HOME / 'tests'}"}
    done = subprocess.run(order, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 500
    for row in rows:
        taken = row["outcome"] in ("a picture", "a model", "an export")
        if row["kind"] == "pictures":
            assert taken or row["outcome"] in hostile.PICTURES, row
        elif not taken:
            sentence(row["outcome"])
        assert row["MB"] < 250, row
    outcomes = {row["name"].partition(" ")[2]: row["outcome"] for row in rows}
    for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        assert outcomes[f"good {name}"] == "a picture"
    assert outcomes["good.keras"] == "a model"
    assert outcomes["export.zip"] == outcomes["keras_model.h5"] == "an export"
    for name, outcome in outcomes.items():
        if name.startswith(("no picture", "too large", "bomb", "slow", "noise", "empty")):
            assert outcome not in ("a picture", "a model", "an export"), name
