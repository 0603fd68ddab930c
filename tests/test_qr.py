"""The address for others, and its code."""

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from demo import qr

VIEW = "#p=lion&c=291&k=Grad-CAM%2B%2B"
CASES = [  # GRADIO_SERVER_NAME, what stands in the browser, what others type
    ("0.0.0.0", "http://127.0.0.1:7860/", "http://10.1.2.3:7860/"),
    ("::", "http://[::1]:7860/lab/", "http://10.1.2.3:7860/lab/"),
    ("10.1.2.4", "https://localhost/", "https://10.1.2.4/"),
    ("fd00::7", "http://localhost:80/", "http://[fd00::7]:80/"),
    ("0.0.0.0", "http://0.0.0.0:7860/", "http://10.1.2.3:7860/"),
    ("0.0.0.0", "http://lab.localhost:7860/", "http://10.1.2.3:7860/"),
    ("0.0.0.0", "http://school.example:7860/", "http://school.example:7860/"),
    ("", "https://huggingface.co/spaces/me/lab", "https://huggingface.co/spaces/me/lab"),
    ("127.0.0.1", "http://192.168.0.9:7860/", "http://192.168.0.9:7860/"),
]


@pytest.fixture(autouse=True)
def _no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests run."""
    monkeypatch.setattr(qr, "CONTAINERS", ())


@pytest.mark.parametrize(("name", "here", "there"), CASES)
def test_the_address_under_which_others_reach_the_page(
    name: str, here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    monkeypatch.setattr(qr, "own_address", lambda: "10.1.2.3")
    assert qr.for_others(here + VIEW) == there + VIEW
    assert qr.code({"link": here + VIEW})["link"] == there + VIEW


@pytest.mark.parametrize("name", ["", "127.0.0.1", "localhost", "::1", "0.0.0.0"])
def test_there_may_be_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of them in a machine without a network."""
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    monkeypatch.setattr(qr, "own_address", lambda: "")
    for link in ("http://127.0.0.1:7860/", "http://localhost:7860/", "http://[::1]/"):
        assert qr.code({"link": link + VIEW}) == {"error": qr.ONLY_HERE}


def test_of_a_container_s_own_address_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Any
) -> None:
    """Nobody else reaches that one; but a page that was opened by another address has a code."""
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setattr(qr, "own_address", lambda: "172.17.0.2")
    monkeypatch.setattr(qr, "CONTAINERS", (str(tmp_path / "none"), str(tmp_path)))
    said = qr.code({"link": "http://localhost:7860/" + VIEW})
    assert said == {"error": qr.NOT_BY_THAT}
    assert "open it by the one" in sentence(said["error"])
    link = "http://192.168.0.9:7860/" + VIEW
    assert qr.code({"link": link})["link"] == link


@pytest.mark.parametrize(
    "asked",
    [None, {}, {"link": 7}, {"link": ""}, {"link": "javascript:alert(1)"}, {"link": "http://[:"},
     {"link": "https://example.org/" + "x" * qr.LONGEST}],
)  # fmt: skip
def test_of_what_is_no_link_there_is_no_code(asked: Any) -> None:
    assert qr.code(asked) == {"error": qr.NO_LINK}


def test_the_longest_link_has_a_code() -> None:
    link = "https://example.org/#" + "x" * (qr.LONGEST - 21)
    assert len(link) == qr.LONGEST
    assert qr.code({"link": link})["picture"].startswith("data:image/svg+xml")


def test_without_a_network_there_is_no_address_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_args: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(qr.socket, "socket", fails)
    assert qr.own_address() == ""


def bits_of(picture: str) -> list[list[int]]:
    """The modules of a code that is drawn as strokes of height 1: `M` and `m` move, `h` draws."""
    kind, _, text = picture.partition(",")
    svg = base64.b64decode(text).decode() if kind.endswith("base64") else unquote(text)
    side = round(int(re.findall(r"width=.(\d+)", svg)[0]) / 4)
    rows, (x, y) = [[0] * side for _ in range(side)], (0.0, 0.0)
    for move, numbers in re.findall(r"([Mmh])(-?[\d.]+(?: ?-?[\d.]+)?)", svg.rpartition(" d=")[2]):
        first, *rest = (float(n) for n in re.findall(r"-?[\d.]+", numbers))
        if move == "h":
            for n in range(round(first)):
                rows[int(y)][round(x) + n] = 1
            x += first
        else:
            x, y = (first, rest[0]) if move == "M" else (x + first, y + rest[0])
    return rows


def test_the_code_says_the_link() -> None:
    """Read as ISO/IEC 18004 has it, from the picture: the bytes, unmasked, up and down in pairs of
    columns. Version 1 of the lowest level, which holds 17 bytes, but here level M: 14."""
    link = "http://a.de/"
    rows = bits_of(qr.code({"link": link})["picture"])
    assert len(rows) == 21 + 2 * 4, "with the quiet zone"
    bits = [row[4:-4] for row in rows[4:-4]]
    number = int("".join(str(bits[8][x]) for x in (0, 1, 2, 3, 4)), 2) ^ 0b10101
    assert number >> 3 == 0b00, "level M"
    mask = [
        lambda i, j: (i + j) % 2, lambda i, j: i % 2, lambda i, j: j % 3,
        lambda i, j: (i + j) % 3, lambda i, j: (i // 2 + j // 3) % 2,
        lambda i, j: i * j % 2 + i * j % 3, lambda i, j: (i * j % 2 + i * j % 3) % 2,
        lambda i, j: ((i + j) % 2 + i * j % 3) % 2,
    ][number & 7]  # fmt: skip
    read = []
    for n, right in enumerate((20, 18, 16, 14, 12, 10, 8, 5, 3, 1)):
        for y in range(21) if n % 2 else reversed(range(21)):
            for x in (right, right - 1):
                corner = (y < 9 and (x < 9 or x > 12)) or (y > 12 and x < 9)
                if not corner and y != 6:
                    read.append(bits[y][x] ^ (mask(y, x) == 0))
    text = "".join(map(str, read))
    assert int(text[:4], 2) == 0b0100, "bytes"
    length = int(text[4:12], 2)
    assert bytes(int(text[12 + 8 * n : 20 + 8 * n], 2) for n in range(length)) == link.encode()
