"""The live camera's route: what a frame is answered, who is refused, and whose turn it is."""

import asyncio
import base64
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_fair import played, until
from visitor import MODEL

from demo import fair, live, ui
from demo.fair import Gate, Place, Visitor
from demo.question import EXAMPLES_DIR
from gradcam_core import image as pictures
from gradcam_core import models, pipeline


def jpeg(image: Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, kind)
    return file.getvalue()


LION = jpeg(Image.open(EXAMPLES_DIR / "lion.jpg").resize((384, 287)))


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(Starlette(routes=ui.routes(2))) as client:
        yield client


def ask(
    client: TestClient, frame: bytes = LION, who: str = "a", model: str = MODEL, **more: Any
) -> Any:
    return client.post("/live", params={"who": who, "model": model}, content=frame, **more)


def map_of(said: Any) -> np.ndarray:
    """As the browser reads it."""
    about = said["map"]
    q = np.frombuffer(base64.b64decode(said["bytes"]), np.int8).reshape(about["sent"])
    return q * np.where(q > 0, about["top"], about["bottom"]) / 127


def test_a_frame_is_answered_as_a_picture_is(client: TestClient) -> None:
    said = ask(client).json()
    seen = pipeline.explain(Image.open(io.BytesIO(LION)))
    assert said["classes"][0]["label"] == seen.label == "lion"
    assert said["classes"][0]["p"] == pytest.approx(seen.top(1)[0][1], rel=1e-4)
    signed = seen.maps["Grad-CAM"]
    assert map_of(said) == pytest.approx(signed, abs=float(np.abs(signed).max()) / 250)
    assert said["map"]["placement"] is None


def test_of_a_network_that_sees_the_middle_the_map_lies_there(
    client: TestClient, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 48 columns the middle 24: from a quarter on, half as wide; all rows."""
    monkeypatch.setitem(models.MODELS, "own", replace(models.MODELS[tiny], crop=True))
    frame = jpeg(Image.open(EXAMPLES_DIR / "cheetah.jpg").resize((48, 24)))
    whole, middle = (ask(client, frame, model=model).json()["map"] for model in (tiny, "own"))
    a, b, c, d, e, f = whole["placement"] or (1, 0, 0, 0, 1, 0)
    assert middle["placement"] == pytest.approx([a, b, c, d / 2, e / 2, f / 2 + 1 / 4])


@pytest.mark.parametrize(
    "frame",
    [
        jpeg(Image.new("RGB", (90, 60)), "PNG"),
        jpeg(Image.new("RGB", (60, pictures.FRAME_SIDE + 1))),
        jpeg(Image.effect_noise((500, 500), 200)),
        LION[:100],
        b"",
    ],
    ids=["another format", "large", "heavy", "cut off", "empty"],
)
def test_what_is_no_frame(client: TestClient, frame: bytes, sentence: Any) -> None:
    said = ask(client, frame)
    assert sentence(said.json()["error"]) in (pictures.NO_FRAME, pictures.DAMAGED)


def test_a_frame_may_be_as_large_as_it_may_be(client: TestClient) -> None:
    side = pictures.FRAME_SIDE
    assert ask(client, jpeg(Image.new("RGB", (side, side), "red"))).json()["classes"]


def test_a_body_is_read_no_further_than_a_frame_may_be(client: TestClient) -> None:
    came = []

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            came.append(1)
            yield bytes(pictures.FRAME_BYTES // 2)

    said = client.post("/live", params={"who": "a", "model": MODEL}, content=endless())
    assert said.json() == {"error": pictures.NO_FRAME}
    assert said.status_code == 400


def test_a_network_that_is_not_there(client: TestClient, sentence: Any) -> None:
    sentence(ask(client, model="nothing").json()["error"])


def test_pages_of_others_are_refused(client: TestClient, sentence: Any) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("none", 403)):
        said = ask(client, headers={"sec-fetch-site": site})
        assert said.status_code == status
        assert sentence(said.json()["error"]) == live.ELSEWHERE
    assert ask(client, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_seats(client: TestClient, sentence: Any) -> None:
    assert [ask(client, who=who).status_code for who in "abaacb"] == [200, 200, 200, 200, 503, 200]
    assert sentence(ask(client, who="c").json()["error"]) == live.NO_SEAT
    with TestClient(Starlette(routes=ui.routes(0))) as off:
        assert ask(off).status_code == 404
        assert off.get("/live.js").status_code == 200


def test_a_seat_is_free_ten_seconds_after_its_last_frame() -> None:
    seats, (a, b, c) = live.Seats(2), (Visitor("school", n) for n in "abc")
    assert [seats.take(a, 0), seats.take(b, 5), seats.take(c, 6)] == [True, True, False]
    assert not seats.take(c, 9.9)
    assert seats.take(a, 9.95)
    assert not seats.take(c, 14.9)
    assert seats.take(c, 15)
    assert not seats.take(b, 15)


def test_one_address_does_not_keep_all_seats_from_others() -> None:
    seats = live.Seats(3)
    assert all(seats.take(Visitor("one", n), 0) for n in "abc")
    assert not seats.take(Visitor("one", "d"), 1)
    assert seats.take(Visitor("two", "a"), 1), "instead of the last of the three"
    assert not seats.take(Visitor("one", "c"), 1)
    assert not seats.take(Visitor("two", "b"), 1), "then it would have as many as they"
    assert not live.Seats(0).take(Visitor("one", "a"), 0)


def test_a_frame_waits_where_all_that_computes_waits(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Visitor] = []
    run = Gate.run

    async def noted(gate: Gate, who: Visitor, *given: Any, **more: Any) -> Any:
        assert gate is fair.QUICK
        asked.append(who)
        return await run(gate, who, *given, **more)

    monkeypatch.setattr(Gate, "run", noted)
    ask(client)  # its network may have to be fetched
    asked.clear()
    assert ask(client, who="me").status_code == 200
    assert [who.session for who in asked] == ["live me"]


def test_of_ten_cameras_none_starves_and_a_question_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every frame takes 1, by a clock that only work moves."""
    now, begun = [0], list[str]()
    monkeypatch.setattr(fair, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def play() -> None:
        gate = Gate(1, patience=10_000)

        def work(place: Place) -> None:
            begun.append(place.who.session)
            now[0] += 1

        async def camera(name: str) -> None:
            while len(begun) < 200:
                await gate.run(Visitor("school", name), work)

        cameras = [asyncio.ensure_future(camera(f"live {n}")) for n in range(10)]
        await until(lambda: len(begun) > 90)
        before = len(begun)
        await gate.run(Visitor("school", "pupil"), work)
        assert begun.index("pupil") <= before + 1, "after the frame that was at work, if any"
        await asyncio.gather(*cameras)

    played(play())
    frames = Counter(begun[:190])
    del frames["pupil"]
    assert len(frames) == 10
    assert max(frames.values()) - min(frames.values()) <= 1
