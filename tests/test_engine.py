"""Questions -> surveys, each made once; and models that visitors bring."""

import gc
import shutil
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from nets import KERAS_2, grown, save, teachable_machine
from visitor import MEGABYTE, PICTURE, SPEC, answered, is_a_sentence, look, refused

from demo import engine, handlers
from demo.question import EXAMPLES_DIR, pose
from gradcam_core import explain, files, lookup, models, sandbox
from gradcam_core import image as pictures
from gradcam_core.cache import Cache, weight

pytestmark = pytest.mark.usefixtures("uploads")


def test_what_is_kept_does_not_hold_networks_that_left(
    put: Callable[..., str], tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "_networks", Cache(1))
    path = put()
    assert look(path, tiny).error == ""
    network = weakref.ref(lookup.network(tiny))
    lookup._networks._entries.clear()  # it has left
    gc.collect()
    assert network() is None
    assert [at for at in engine._surveys._entries if at.question.picture == path]


def test_networks_are_told_apart(
    put: Callable[..., str], tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two with the same classes, asked the same about the same picture."""
    spec = models.from_keras(grown(2), ["cat", "dog", "lion"], "scale01", size=25)
    monkeypatch.setitem(models.MODELS, "twin", spec)
    path = put()
    one, twin = (answered(path, key, 1) for key in (tiny, "twin"))
    assert [made["model"]["key"] for made in (one, twin)] == [tiny, "twin"]
    assert one["classes"][0]["p"] != twin["classes"][0]["p"]
    assert one["bytes"] != twin["bytes"]


def test_who_asks_for_the_likeliest_class_by_number_asks_the_same(tiny: str) -> None:
    """The network says cat, number 0."""
    said = [engine.kept(pose(PICTURE, tiny, target)).question.target for target in (None, 0, 1)]
    assert said == [None, None, 1]
    every = engine.bands(pose(PICTURE, tiny, 1, 0))
    asked = {band: (p.question.target, p.question.rival) for band, p in every.items()}
    assert asked == {"target": (1, None), "rival": (None, None), "contrast": (1, 0)}
    every = engine.bands(pose(PICTURE, tiny, None, 2))
    asked = {band: (p.question.target, p.question.rival) for band, p in every.items()}
    assert asked == {"target": (None, None), "rival": (2, None), "contrast": (0, 2)}
    assert refused(lambda: engine.bands(pose(PICTURE, tiny, None, 0))) == lookup.SAME


# ---- memory ------------------------------------------------------------------------------------


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of their own limits in which nothing is kept."""
    for room, names in {
        engine: ("_surveys", "_unsuggested", "_pictures", "_maps"), handlers: ("_answers",),
    }.items():  # fmt: skip
        for name in names:
            monkeypatch.setattr(room, name, Cache(getattr(room, name)._limit, weight))


def kept(cache: Cache[Any, Any]) -> float:
    return sum(entry.cost for entry in cache._entries.values())


@pytest.mark.usefixtures("empty")
def test_all_that_is_kept_is_counted(put: Callable[..., str], tiny: str) -> None:
    """A and G of relu (23, 23, 4) and shapes (11, 11, 6), the input (25, 25, 3), the maps; the
    picture, which is not kept again in them; the answer's bytes."""
    answered(put(), tiny)
    (entry,) = engine._surveys._entries.values()
    survey = entry.made[0]
    trace = survey.trace
    arrays = [
        trace.inputs, trace.logits, trace.probabilities, *trace.activations.values(),
        *trace.gradients.values(), *survey.maps.values(),
    ]  # fmt: skip
    least = sum(array.nbytes for array in arrays)
    assert least > 4 * (25 * 25 * 3 + 2 * (23 * 23 * 4 + 11 * 11 * 6))
    assert least <= kept(engine._surveys) < 1.5 * least
    h, w, _ = pictures.read_rgb(EXAMPLES_DIR / "lion.jpg").shape
    assert 3 * h * w <= kept(engine._pictures) < 3 * h * w + 2000
    assert kept(handlers._answers) > len(answered(put(), tiny)["bytes"])


@pytest.mark.usefixtures("empty")
def test_a_picture_is_kept_once(put: Callable[..., str], tiny: str) -> None:
    path = put()
    posed = [pose(path, tiny, target) for target in (None, 1, 2)]
    (image,) = {id(engine.survey_of(one).image) for one in posed}
    assert image == id(engine.picture(posed[0].question)[0])
    assert [entry.made[0].image.size for entry in engine._surveys._entries.values()] == [0, 0, 0]


@pytest.mark.usefixtures("empty")
def test_unsuggested_layers_add_nothing_lasting(
    put: Callable[..., str], tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes through all layers drives out nobody's answer."""
    here = put()
    suggested = pose(here, tiny).asked.suggested
    extra = next(name for name in pose(here, tiny).asked.layers if name not in suggested)
    answered(here, tiny)
    before = [kept(engine._surveys), kept(handlers._answers)]
    answered(here, tiny, name=extra)
    one = kept(engine._unsuggested)
    assert one > 0
    monkeypatch.setattr(engine, "_unsuggested", Cache(2.5 * one, weight))
    for target in (0, 1, 2):
        assert answered(here, tiny, target, name=extra)["extra"]["layer"] == extra
    lasting = [kept(engine._surveys), kept(handlers._answers)]
    assert len(engine._unsuggested._entries) <= 2
    assert kept(engine._unsuggested) <= 2.5 * one
    assert lasting[1] == before[1]
    assert [at for at in engine._surveys._entries if at.layer] == []


# ---- a model of a visitor's own ----------------------------------------------------------------


@pytest.fixture
def no_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "UPLOADS", {})


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
def test_an_uploaded_model_is_explained_and_dies_with_a_sentence(
    small_model: Path, uploads: Path, put: Callable[..., str]
) -> None:
    file = shutil.copy(small_model, uploads / "mine.keras")
    key = engine.open_upload(str(file), "cat\n\n dog \nlion\n", "scale11")
    assert key not in models.MODELS
    assert models.find(key).labels == ("cat", "dog", "lion")
    assert engine.open_upload(str(file), "cat\ndog\nlion", "scale11") == key
    assert len(models.UPLOADS) == 1

    made = answered(put(), key, 2)
    x = pictures.fit(pictures.read_rgb(EXAMPLES_DIR / "lion.jpg"), (24, 24)) / 127.5 - 1
    p = np.asarray(keras.models.load_model(small_model)(x[None], training=False))[0]
    shown = {row["label"]: row["p"] for row in made["classes"]}
    assert shown == pytest.approx(dict(zip(("cat", "dog", "lion"), p, strict=True)), abs=1e-5)
    assert [row["name"] for row in made["layers"]] == ["edges", "shapes"]

    child = models.find(key).asked()  # type: ignore[misc]
    again = shutil.copy(small_model, uploads / "again.keras")
    other = engine.open_upload(str(again), "cat\ndog\nlion", "scale11")
    child._process.kill()
    child._process.wait()
    file.unlink()
    said = look(put("cheetah.jpg"), key, 2)
    assert said.answer is None
    assert said.error == sandbox.GONE
    assert look(put("cheetah.jpg"), other, 2).answer
    assert look(put("tower.jpg")).answer


@pytest.mark.many
@pytest.mark.usefixtures("no_uploads")
@pytest.mark.parametrize(
    ("content", "names", "preprocess", "part"),
    [
        (b"hello", "", "", "not a .keras file"),
        (b"", None, None, "not a .keras file"),
        (None, "only one", "", "gives 3 answers, but there are 1 names"),
        (None, "a\nb\n" + 101 * "c", "", "class names as plain text"),
        (None, "a\nb\n\u202ec", "", "class names as plain text"),
        (None, "", "tenfold", "no such preprocessing"),
        (None, "", ["scale01"], "no such preprocessing"),
    ],
)
def test_a_model_is_refused_with_a_sentence(
    content: bytes | None,
    names: Any,
    preprocess: Any,
    part: str,
    uploads: Path,
    small_model: Path,
) -> None:
    file = uploads / "mine.keras"
    file.write_bytes(small_model.read_bytes() if content is None else content)
    said = refused(lambda: engine.open_upload(str(file), names, preprocess))
    assert part in said
    assert is_a_sentence(said.replace(".keras", ""))
    assert not models.UPLOADS


@pytest.mark.parametrize("path", [None, "", 7, ["a.keras"], "a\0b", MEGABYTE])
def test_no_model_chosen(path: Any) -> None:
    assert refused(lambda: engine.open_upload(path, "", "")) == engine.NO_MODEL


def test_only_an_uploaded_model(small_model: Path) -> None:
    assert refused(lambda: engine.open_upload(str(small_model), "", "")) == engine.MODEL_GONE


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
def test_what_an_upload_s_numbers_mean_is_said_in_the_form_or_later(
    uploads: Path, put: Callable[..., str]
) -> None:
    """In its process; a way to scale its pixels that was taken before stays."""
    layers = [
        keras.Input((9, 12, 3)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    model, path, names = keras.Sequential(layers), put(), "cat\ndog\nlion"
    file = str(save(model, uploads / "plain.keras"))
    x = pictures.fit(pictures.read_rgb(path), (9, 12)) / 127.5 - 1
    y = np.asarray(model(x[None])[0])
    key = engine.open_upload(file, names, "")
    assert [f.taken for f in models.find(key).guesses] == ["scale01", "softmax"]
    key = engine.take_way(key, {"preprocess": "scale11"})
    later = engine.take_way(key, {"head": "sigmoid"})
    form = engine.open_upload(file, names, "scale11", head="sigmoid")
    for told in (later, form):
        assert not models.find(told).guesses
        shown = {row["label"]: row["p"] for row in answered(path, told)["classes"]}
        p = 1 / (1 + np.exp(-y))
        assert shown == pytest.approx(dict(zip(names.split(), p, strict=True)), abs=1e-5)


@pytest.mark.usefixtures("no_uploads")
def test_the_oldest_upload_leaves(monkeypatch: pytest.MonkeyPatch, uploads: Path) -> None:
    monkeypatch.setattr(engine, "KNOWN_UPLOADS", 3)
    monkeypatch.setattr(sandbox, "ModelProcess", lambda *_: SimpleNamespace(spec=SPEC))
    keys = []
    for number in range(5):
        (uploads / "m.keras").write_bytes(bytes([number]))
        keys.append(engine.open_upload(str(uploads / "m.keras"), "", ""))
    assert list(models.UPLOADS) == keys[2:]


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
def test_a_model_of_teachable_machine_runs_beside_the_others(
    uploads: Path, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers only: no process is started for it, whatever else the host allows."""
    monkeypatch.setattr(sandbox, "ModelProcess", lambda *_: pytest.fail("a process was started"))
    file = teachable_machine(uploads / "converted_keras.zip", ["Mug", "Plant", "Nothing"], 8)
    for any_model in (False, True):
        key = engine.open_upload(str(file), "", "", any_model)
    assert models.find(key).labels == ("Mug", "Plant", "Nothing")
    assert models.find(key).title == "Teachable Machine: Mug, Plant, Nothing"
    path = put("hopper.jpg")
    made = answered(path, key)
    image = pictures.read_rgb(path)
    x = pictures.fit(image, (224, 224), crop=True) / 127.5 - 1
    p = np.asarray(models.find(key).build(None)(x[None]))[0]
    shown = {row["label"]: row["p"] for row in made["classes"]}
    assert shown == pytest.approx(dict(zip(("Mug", "Plant", "Nothing"), p, strict=True)), abs=1e-5)
    assert made["best"] == "out_relu"
    assert "middle square" in made["found"]
    h, w = made["picture"]
    assert h > w, "a tall picture: rows are cut off above and below"
    where = [w / h, 0, (h - w) // 2 / h, 0, 1, 0]
    for row in made["layers"]:
        for one in row["maps"].values():
            assert one["placement"] == pytest.approx(where)

    posed = pose(path, key)
    edge = (h - w) // 2 / h
    boxes = [(0, 0, 1, edge), (0.25, edge + 0.25 * w / h, 0.75, edge + 0.75 * w / h)]
    (above, middle), _score, _map = engine.covered(posed, "out_relu", boxes, "grey")
    np.testing.assert_allclose(above, p, atol=1e-5)  # it does not see what is there
    painted = pictures.fit(image, (224, 224), crop=True)
    painted[56:168, 56:168] = 127.5
    x = painted / np.float32(127.5) - 1
    np.testing.assert_allclose(middle, models.find(key).build(None)(x[None])[0], atol=1e-5)
    assert np.abs(middle - p).max() > 1e-4


@pytest.mark.usefixtures("no_uploads")
def test_keras_model_and_labels_as_two_files(uploads: Path) -> None:
    with zipfile.ZipFile(teachable_machine(uploads / "c.zip", ["Mug", "Plant"], 5)) as archive:
        archive.extractall(uploads)
    files = [str(uploads / "labels.txt"), str(uploads / "keras_model.h5")]
    path, names = engine.told_apart(files, "")
    assert path == files[1]
    assert models.find(engine.open_upload(path, names, "", False)).labels == ("Mug", "Plant")
    assert engine.told_apart(files, "a\nb")[1] == "a\nb", "what is typed goes before"
    assert refused(lambda: engine.told_apart([*files, str(uploads / "c.zip")], "")) == (
        engine.ONE_MODEL
    )
    assert engine.told_apart(None, "") == (None, "")


@pytest.mark.usefixtures("no_uploads")
@pytest.mark.parametrize("name", ["flat.keras", "flat.h5"])
def test_where_only_teachable_machine_is_allowed(
    name: str, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "ModelProcess", lambda *_: pytest.fail("a process was started"))
    file = shutil.copy(KERAS_2 / name, uploads)
    said = refused(lambda: engine.open_upload(str(file), "", "", False))
    assert said == engine.TEACHABLE_ONLY
    assert is_a_sentence(said)


@pytest.mark.usefixtures("no_uploads")
def test_names_in_a_zip_are_judged_as_those_that_are_typed(uploads: Path) -> None:
    file = teachable_machine(uploads / "c.zip", ["Mug", "\u202egum"], 5)
    said = refused(lambda: engine.open_upload(str(file), "", "", False))
    assert "class names as plain text" in said


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
@pytest.mark.parametrize("name", ["flat.h5", "flat.keras", "tm_small.h5"])
def test_a_stranger_s_file_of_keras_2_goes_to_its_process(
    name: str, uploads: Path, put: Callable[..., str]
) -> None:
    """Its answer is that of the Keras that wrote it."""
    said = np.load(KERAS_2 / f"{name.partition('.')[0]}.npz")
    scaled = "none" if name.startswith("flat") else "scale11"
    file = shutil.copy(KERAS_2 / name, uploads)
    key = engine.open_upload(str(file), "", scaled)
    pictures.save_png(said["picture"], uploads / "picture.png")
    made = answered(str(uploads / "picture.png"), key)
    shown = [row["p"] for row in sorted(made["classes"], key=lambda row: row["index"])]
    assert shown == pytest.approx(said["predictions"], abs=1e-5)
    assert "was written by Keras 2.15.0" in made["found"]

    today = uploads / "today.keras"  # "save as .keras" gives the repaired file
    today.write_bytes(engine.own_model_file(key))
    again = models.load_file(today, preprocess=scaled)
    assert not any("was written by" in note for note in again.notes)
    x = said["picture"][None] * said["scale"] + said["offset"]
    np.testing.assert_allclose(
        again.build(None)(x.astype(np.float32))[0], said["predictions"], atol=1e-6
    )


def test_only_a_model_of_somebody_s_own_is_saved() -> None:
    said = refused(lambda: engine.own_model_file(models.DEFAULT))
    assert "comes with the program" in said


def test_what_the_host_brought_is_given_to_nobody(tiny: str) -> None:
    """Nor with its pixels in a way that a visitor chose."""
    way = engine.take_way(tiny, {"preprocess": "scale11", "crop": True})
    for key in (tiny, way):
        assert is_a_sentence(said := refused(lambda key=key: engine.own_model_file(key)))
        assert "belongs to whoever runs this page" in said
        assert not engine.is_brought(models.find(key))
    del models.UPLOADS[way]


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
def test_a_saved_model_still_knows_its_names_and_how_it_is_given_its_pixels(uploads: Path) -> None:
    """One of Teachable Machine, which looks at the middle square; a picture that is not square."""
    file = teachable_machine(uploads / "c.zip", ["1 Mug", "Plant", "No thing"], 5)
    key = engine.open_upload(str(file), "", "", False)
    (uploads / "today.keras").write_bytes(engine.own_model_file(key))
    before, after = models.find(key), models.load_file(uploads / "today.keras")
    assert engine.is_brought(before)
    assert after.labels == before.labels
    assert (after.crop, after.guesses) == (True, ())
    assert "because the file says so" in " ".join(after.notes)
    picture = np.random.default_rng(0).integers(0, 256, (61, 140, 3), np.uint8)
    one, two = (explain(picture, spec, layer="out_relu") for spec in (before, after))
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-6)
    np.testing.assert_allclose(
        two.maps["Grad-CAM"], one.maps["Grad-CAM"], atol=1e-5 * np.abs(one.maps["Grad-CAM"]).max()
    )
    np.testing.assert_allclose(two.heatmaps["Grad-CAM"], one.heatmaps["Grad-CAM"], atol=1e-5)
    plain = keras.models.load_model(uploads / "today.keras")
    x = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(models.load_file(file).build(None)(x), plain(x), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("no_uploads")
def test_what_a_visitor_said_of_a_model_is_saved_with_it_and_a_guess_is_not(
    uploads: Path, small_model: Path
) -> None:
    file = shutil.copy(small_model, uploads)
    guessed = engine.open_upload(str(file), "cat\ndog\nlion", "")
    way = engine.take_way(guessed, {"preprocess": "caffe", "crop": True})
    for key, name in ((guessed, "guessed"), (way, "way")):
        (uploads / f"{name}.keras").write_bytes(engine.own_model_file(key))
    spec = models.load_file(uploads / "guessed.keras")
    assert spec.labels == ("cat", "dog", "lion")
    assert [finding.basis for finding in spec.findings] == ["guessed"]
    spec = models.load_file(uploads / "way.keras")
    assert spec.labels == ("cat", "dog", "lion")
    assert (spec.crop, [finding.taken for finding in spec.findings]) == (True, ["caffe"])
    picture = np.random.default_rng(0).integers(0, 256, (40, 25, 3), np.uint8)
    one, two = (explain(picture, row).probabilities for row in (models.find(way), spec))
    np.testing.assert_allclose(two, one, atol=1e-6)
    assert models.load_file(uploads / "way.keras", preprocess="scale01").crop is False
    files.check_upload(uploads / "way.keras")


def test_the_hosts_guide_says_how_much_is_kept() -> None:
    caches = [c for room in (engine, handlers) for c in vars(room).values() if isinstance(c, Cache)]
    kept = sum(cache._limit for cache in caches if cache._limit > 1000)  # bytes; others count
    guide = Path(engine.__file__).parents[1] / "docs" / "hosting.md"
    assert f"memory, {kept / 1e6:.0f} MB at most" in guide.read_text("utf-8")
