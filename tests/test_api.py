"""The one public endpoint, asked by `gradio_client` and by whoever writes raw HTTP."""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hostile
import httpx
import numpy as np
import pytest
import test_image as made
from browser.lab import Server, serve
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo import trust
from demo.question import EXAMPLES_DIR, NO_PICTURE
from gradcam_core import heatmap, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS

CHEETAH, LION = 293, 291  # ImageNet
PICTURE = EXAMPLES_DIR / "cheetah_and_lion.jpg"
FILE = {"_type": "gradio.FileData"}  # what tells Gradio that a dict is a file
MEGABYTE = "x" * 2**20
LEAK = re.compile(
    r"Traceback|Exception|\w+Error\b|\.py\b|/tmp/|/etc/|/home/|gradcam_core|site-packages"
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def client(app: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    asked = Client(app.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
    yield asked
    asked.close()


def ask(client: Client, image: Any = None, **options: Any) -> Any:
    return client.predict(image or handle_file(PICTURE), api_name="/explain", **options)


def sentence(text: str | None) -> str:
    """One sentence for a person; None, Gradio's bare "Error", is none."""
    assert text
    assert text[0].isupper()
    assert text[-1] == "."
    assert "\n" not in text
    assert len(text) < 700
    assert not LEAK.search(text), text
    return text


def raw(app: Server, data: Any, name: str = "explain") -> tuple[str, Any]:
    """(event, data) of a call written by hand. NaN is written as Python does."""
    with httpx.Client(base_url=app.url, timeout=600, trust_env=False) as http:
        body = json.dumps({"data": data})
        first = http.post(
            f"gradio_api/call/{name}", content=body, headers={"Content-Type": "application/json"}
        )
        if first.status_code != 200:
            return f"status {first.status_code}", first.text
        said = http.get(f"gradio_api/call/{name}/{first.json()['event_id']}").text
    event, data = said.strip().splitlines()[-2:]  # after a sign of life each 15 seconds
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def refused(app: Server, image: Any, *rest: Any) -> str:
    defaults = [models.DEFAULT, "", None, "Grad-CAM"]
    event, data = raw(app, [image, *rest, *defaults[len(rest) :]])
    assert event == "error", (event, data)
    return sentence(data["error"])


def uploaded_to(app: Server, picture: Path) -> dict[str, Any]:
    """A picture in the upload folder, as a browser would name it."""
    with httpx.Client(base_url=app.url, timeout=600, trust_env=False) as http:
        answer = http.post("gradio_api/upload", files={"files": ("p.jpg", picture.read_bytes())})
    return {"path": answer.json()[0], "meta": FILE}


@pytest.fixture(scope="module")
def uploaded(app: Server) -> dict[str, Any]:
    return uploaded_to(app, PICTURE)


# ---- what it gives -----------------------------------------------------------------------------


PUBLIC = ["/explain", "/check", "/mosaic"]
NAMED = [f"{name}/" for name in PUBLIC]


def test_what_is_public(client: Client) -> None:
    info = client.view_api(return_format="dict", print_info=False)
    assert list(info["named_endpoints"]) == PUBLIC
    assert info["unnamed_endpoints"] == {}
    names = [p["parameter_name"] for p in info["named_endpoints"]["/explain"]["parameters"]]
    assert names == ["image", "model", "layer", "target", "method"]
    types = {
        p["parameter_name"]: p["type"] for p in info["named_endpoints"]["/explain"]["parameters"]
    }
    assert types["model"]["enum"] == list(models.MODELS)
    assert types["method"]["enum"] == list(METHODS)
    assert types["target"] == {"oneOf": [{"type": "null"}, {"type": "integer"}]}
    answer = info["named_endpoints"]["/explain"]["returns"][0]["type"]["properties"]
    assert {"predictions", "target", "layer", "map", "box", "overlay"} <= set(answer)


def test_the_schema_names_nothing_else(app: Server) -> None:
    info = httpx.get(f"{app.url}gradio_api/info", trust_env=False).json()
    assert list(info["named_endpoints"]) == PUBLIC
    paths = httpx.get(f"{app.url}gradio_api/openapi.json", trust_env=False).json()["paths"]
    assert {path for path in paths if not any(n in f"{path}/" for n in NAMED)} <= {
        "/gradio_api/upload"
    }


def test_the_answer(client: Client) -> None:
    got = ask(client)
    seen = pipeline.explain(pictures.read_rgb(PICTURE))

    order = np.argsort(-seen.probabilities, kind="stable")[:7]
    assert [p["index"] for p in got["predictions"]] == [int(i) for i in order]
    assert got["predictions"][0]["label"] == "lion"
    assert got["predictions"][1]["label"] == "cheetah"
    for p in got["predictions"]:
        assert p["probability"] == pytest.approx(float(seen.probabilities[p["index"]]), abs=1e-5)
    # softmax: the odds of two classes are e to the difference of their scores
    one, two = got["predictions"][:2]
    odds = np.exp(one["logit"] - two["logit"])
    assert one["probability"] / two["probability"] == pytest.approx(odds, rel=1e-4)

    assert (got["target"], got["layer"]) == (LION, "top_activation")
    signed = np.array(got["map"], np.float32)
    assert signed.shape == (7, 7)
    assert np.allclose(signed, seen.maps["Grad-CAM"], atol=1e-5)


@pytest.mark.slow
def test_a_method_that_asks_many_times(client: Client) -> None:
    got = ask(client, method="Occlusion")
    seen = pipeline.explain(pictures.read_rgb(PICTURE), methods="Occlusion")
    assert np.shape(got["map"]) == (7, 7)
    assert np.allclose(got["map"], seen.maps["Occlusion"], atol=1e-4)


def test_the_overlay_is_made_of_the_numbers(client: Client) -> None:
    """Against Pillow's own resampling; the colours of "light" are worked out in another test."""
    got = ask(client, target=CHEETAH)
    assert got["target"] == CHEETAH
    signed = np.array(got["map"], np.float32)
    positive = np.maximum(signed, 0) / signed.max()
    heat = np.asarray(Image.fromarray(positive).resize((512, 256), Image.Resampling.BILINEAR))
    with Image.open(PICTURE) as picture:
        expected = heatmap.overlay(np.asarray(picture.convert("RGB")), heat).astype(float)

    with Image.open(got["overlay"]) as overlay:
        assert overlay.format == "PNG"
        assert overlay.size == (512, 256)
        assert np.abs(np.asarray(overlay.convert("RGB"), float) - expected).mean() < 1

    left, top, right, bottom = got["box"]
    assert 0 <= left < right <= 512
    assert 0 <= top < bottom <= 256
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert x < 256, "the cheetah is on the left"
    assert left <= x < right
    assert top <= y < bottom
    # the box is tight: each of its sides touches a place above 15 %, with a pixel to spare
    strong = heat >= 0.15
    assert strong[top : top + 2, left:right].any()
    assert strong[bottom - 2 : bottom, left:right].any()
    assert strong[top:bottom, left : left + 2].any()
    assert strong[top:bottom, right - 2 : right].any()


ASKED = {"path": str(PICTURE), "model": models.DEFAULT, "target": LION, "rival": None,
         "detail": False, "layer": "top_activation", "method": "LayerCAM"}  # fmt: skip


def test_a_map_is_put_to_the_test(client: Client) -> None:
    """What the tab finds: on the lion's half with a box, and with the coldest cells hidden."""
    given = {"method": "LayerCAM", "api_name": "/check"}
    box = [0.5, 0, 1, 1]
    said = client.predict(handle_file(PICTURE), test="aim", box=box, **given)
    wanted = trust.take_aim(ASKED | {"region": {"box": box, "spots": []}})
    assert said["rows"][0]["share"] == pytest.approx(wanted["rows"][0]["share"], rel=1e-4)
    assert said["sentence"] == wanted["sentence"]
    more = {"share": 0.3, "order": "coldest", "fill": "mean"}
    said = client.predict(handle_file(PICTURE), test="hide", **more, **given)
    wanted = trust.hide_cells(ASKED | more | {"region": None})
    assert [c["index"] for c in said["classes"]] == [c["index"] for c in wanted["classes"]]
    for found, one in zip(said["classes"], wanted["classes"], strict=True):
        assert found["p"] == pytest.approx(one["p"], abs=1e-4)


@pytest.mark.slow
def test_a_mosaic_of_four(client: Client) -> None:
    names = ("cheetah", "lion", "tower", "hopper")
    files = [EXAMPLES_DIR / f"{name}.jpg" for name in names]
    said = client.predict([handle_file(file) for file in files], api_name="/mosaic")
    request = {"model": models.DEFAULT, "layer": "top_activation", "paths": list(map(str, files))}
    wanted = trust.play_mosaic(request)
    for row, one in zip(said["rows"], wanted["rows"], strict=True):
        assert (row["method"], row["share"]) == (
            one["method"],
            pytest.approx(one["share"], abs=1e-3),
        )


@pytest.mark.parametrize(
    "wrong", [{"test": "faith"}, {"box": [0, 0, 1]}, {"share": 2}, {"fill": "red"}, {"layer": "x"}]
)
def test_a_test_that_cannot_be_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises((AppError, ValueError)) as caught:
        client.predict(handle_file(PICTURE), **{"test": "hide", **wrong}, api_name="/check")
    assert not LEAK.search(str(caught.value))


def test_layer_class_and_method_are_obeyed(client: Client) -> None:
    got = ask(client, layer="block5c_add", target=CHEETAH, method="LayerCAM")
    assert (got["layer"], got["target"]) == ("block5c_add", CHEETAH)
    seen = pipeline.explain(
        pictures.read_rgb(PICTURE), layer="block5c_add", target=CHEETAH, methods=("LayerCAM",)
    )
    assert np.shape(got["map"]) == (14, 14)
    assert np.allclose(got["map"], seen.maps["LayerCAM"], atol=1e-4 * np.max(got["map"]))


def test_no_class_is_the_likeliest(client: Client) -> None:
    assert ask(client, target=None)["map"] == ask(client, target=LION)["map"]


def test_ten_at_once_get_their_own_answers(app: Server) -> None:
    """Each on a connection of its own: one `Client` may close the stream that its threads share."""
    files = {name: uploaded_to(app, EXAMPLES_DIR / name) for name in ("lion.jpg", "cheetah.jpg")}
    questions = [(name, c) for name in files for c in (None, 0, 281, CHEETAH, LION)]

    def one(question: tuple[str, int | None]) -> Any:
        name, target = question
        event, data = raw(app, [files[name], models.DEFAULT, "", target, "Grad-CAM"])
        assert event == "complete", data
        return data[0]

    with ThreadPoolExecutor(10) as visitors:
        together = list(visitors.map(one, questions))
    for (name, target), got in zip(questions, together, strict=True):
        seen = pipeline.explain(pictures.read_rgb(EXAMPLES_DIR / name), target=target)
        assert got["target"] == seen.target
        assert np.allclose(got["map"], seen.maps["Grad-CAM"], atol=1e-4)


# ---- what it refuses ---------------------------------------------------------------------------


@pytest.mark.many
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"model": "vgg"}, "choose one of: efficientnet_lite0, "),
        ({"model": None}, "choose one of: efficientnet_lite0, "),
        ({"model": ["vgg19"]}, "choose one of: efficientnet_lite0, "),
        ({"model": MEGABYTE}, "choose one of: efficientnet_lite0, "),
        ({"layer": "block5_conv4"}, "top_activation"),  # of another model
        ({"layer": ["top_activation"]}, "top_activation"),
        ({"layer": MEGABYTE}, "top_activation"),
        ({"target": 1000}, "1000"),
        ({"target": 10**9}, "1000"),
        ({"target": -1}, "1000"),
        ({"target": -2}, "1000"),
        ({"target": 1.5}, "1000"),
        ({"target": True}, "1000"),
        ({"target": "lion"}, "1000"),
        ({"target": [LION]}, "1000"),
        ({"target": {}}, "1000"),
        ({"target": MEGABYTE}, "1000"),
        ({"method": "Foo-CAM"}, "Grad-CAM, "),
        ({"method": None}, "Grad-CAM, "),
        ({"method": ["Grad-CAM"]}, "Grad-CAM, "),
        ({"method": {}}, "Grad-CAM, "),
        ({"method": MEGABYTE}, "Grad-CAM, "),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_value_gets_a_sentence_that_says_which(
    client: Client, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(AppError) as caught:
        ask(client, **options)
    assert part in sentence(str(caught.value))


def test_nan_and_infinity_are_no_classes(app: Server, uploaded: dict[str, Any]) -> None:
    for value in (float("nan"), float("inf")):
        assert "1000" in refused(app, uploaded, models.DEFAULT, "", value)


@pytest.mark.parametrize(
    "image", [{}, [], "", "x", 3, [1, 2], {"path": None}, {"meta": FILE}], ids=str
)
def test_no_picture(app: Server, image: Any) -> None:
    assert "picture" in refused(app, image)


def test_nothing_at_all(app: Server) -> None:
    for data in ([], [None], [None] * 5, ["x"] * 50):
        event, answer = raw(app, data)
        assert event == "error"
        assert sentence(answer["error"])
    assert raw(app, "x")[0] == "status 422"


FORGED = [
    "/etc/passwd", "../../../etc/passwd", "data:image/png;base64,AAAA", "data:,x",
    "http://example.com/a.jpg", "https://example.com/a.jpg", "file:///etc/passwd", "a\0b",
    str(EXAMPLES_DIR.parent / "handlers.py"),
]  # fmt: skip


@pytest.mark.parametrize("meta", [{}, {"meta": FILE}], ids=["plain", "as a file"])
@pytest.mark.parametrize("path", FORGED, ids=lambda p: ascii(p[:24]))
def test_a_path_that_was_not_uploaded(app: Server, path: str, meta: dict[str, Any]) -> None:
    """Neither read nor fetched: no name is looked up, and what it says is one sentence."""
    assert "picture" in refused(app, {"path": path, **meta})
    assert app.uninvited() == []


def test_a_path_of_a_megabyte(app: Server) -> None:
    """Gradio itself fails on it, without a word: no more is told than that."""
    assert refused(app, {"path": MEGABYTE}) == NO_PICTURE
    event, answer = raw(
        app, [{"path": MEGABYTE, "meta": FILE}, models.DEFAULT, "", None, "Grad-CAM"]
    )
    assert event == "error"
    assert not LEAK.search(json.dumps(answer))


def test_a_link_out_of_the_upload_folder(app: Server, tmp_path: Path) -> None:
    shutil.copy(PICTURE, tmp_path / "secret.jpg")
    (app.uploads / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert "picture" in refused(app, {"path": str(app.uploads / "link.jpg"), "meta": FILE})


def test_broken_pictures(client: Client, tmp_path: Path) -> None:
    whole = PICTURE.read_bytes()
    for name, content, words in (
        ("empty.jpg", b"", pictures.EMPTY),
        ("text.jpg", b"not a picture", pictures.UNKNOWN),
        ("cut.jpg", whole[: len(whole) // 2], pictures.DAMAGED),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AppError) as caught:
            ask(client, handle_file(tmp_path / name))
        assert sentence(str(caught.value)) == words
    Image.new("1", (7000, 7000)).save(tmp_path / "large.png")
    with pytest.raises(AppError, match="40 million pixels"):
        ask(client, handle_file(tmp_path / "large.png"))


NAMES = ["<img src=x onerror=alert(1)>.jpg", "\u202egpj.anna", "two\nlines anna.jpg", "anna" * 60]
NO_PICTURES = made.UNKNOWN | made.TOO_LARGE
UNLUCKY = made.BOMBS | made.SLOW | {
    f"{kind} cut at {percent} %": data[: len(data) * percent // 100]
    for kind, data in made.ENCODED.items() for percent in (1, 10, 50, 90)
}  # fmt: skip


@pytest.mark.slow
def test_whatever_is_uploaded_by_whatever_name(app: Server) -> None:
    """A known sentence, or the picture where what was wrong lay round it; the names go nowhere."""
    with httpx.Client(base_url=app.url, timeout=600, trust_env=False) as http:
        for number, (what, data) in enumerate((NO_PICTURES | UNLUCKY).items()):
            name = NAMES[number % len(NAMES)]
            (path,) = http.post("gradio_api/upload", files={"files": (name, data)}).json()
            asked = [{"path": path, "meta": FILE}, "shapes_1", "", 1, "Grad-CAM"]
            event, said = raw(app, asked)
            if event == "error":
                assert said["error"] in hostile.PICTURES, (what, said)
            else:
                assert (event, what in NO_PICTURES) == ("complete", False), (what, said)
        answer = http.post("gradio_api/upload", files={"files": ("anna.bmp", bytes(60_000_000))})
    assert answer.status_code == 413
    assert not LEAK.search(answer.text)


@pytest.mark.slow
def test_visitors_who_leave_or_never_end_are_in_nobodys_way(
    app: Server, uploaded: dict[str, Any]
) -> None:
    """Twenty send the first half of a picture, twenty ask and leave: a question is answered."""
    where = httpx.URL(app.url)
    half = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n\xff\xd8'
    asked = json.dumps({"data": [uploaded, models.DEFAULT, "", 7, "Grad-CAM"]}).encode()
    kinds = [("upload", "multipart/form-data; boundary=x", half, 9999)]
    kinds += [("call/explain", "application/json", asked, len(asked))]
    with ExitStack() as open_lines:
        for door, kind, body, length in kinds * 20:
            line = socket.create_connection((where.host, where.port))
            open_lines.enter_context(line)
            line.sendall(
                f"POST /gradio_api/{door} HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {length}\r\n\r\n".encode()
                + body
            )
            if door != "upload":
                line.close()
        event, _ = raw(app, [uploaded, models.DEFAULT, "", LION, "Grad-CAM"])
        assert event == "complete"


@pytest.mark.slow
def test_what_is_hidden_is_checked_too(
    app: Server, client: Client, uploaded: dict[str, Any]
) -> None:
    """Private endpoints are not listed, but whoever knows a name can call it."""
    other = {"path": "http://example.com/a.jpg", "meta": FILE}
    values = [
        [uploaded, models.DEFAULT, 10**9, "", False],
        [uploaded, "vgg", "", "", False],
        [{"path": "/etc/passwd", "meta": FILE}, models.DEFAULT, "", "", False],
        [other, models.DEFAULT, "", "", False],
        [uploaded, other, "", "", False],  # Gradio looks for files in every value
        [],
    ]
    names = {str(event["api_name"]) for event in client.config["dependencies"]} - {"explain"}
    assert "look" in names
    for name in names:
        for data in values:
            for rest in ([], [None]):
                _, answer = raw(app, data + rest, name)
                assert not LEAK.search(json.dumps(answer)), (name, answer)
                assert '"classes": [' not in json.dumps(answer), (name, data)
                assert "<class" not in json.dumps(answer)
    assert app.uninvited() == []


def test_after_all_that_a_good_call_is_answered(app: Server, client: Client) -> None:
    """And the log holds no traceback, and nothing that anybody sent."""
    assert ask(client)["target"] == LION
    said = app.log.read_text()
    for word in ("Traceback", "passwd", "example.com", "xxxxx", "anna", "onerror"):
        assert word not in said
