"""The picture door: right colours, right way up, or one sentence.

Every expected value is worked out by hand, or comes from how the test itself built the file.
"""

import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, features

from gradcam_core import image as door
from gradcam_core.types import UserError

WHITE, RED, GREEN, BLUE = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, bits, colour, rows, before=b"", after=b"") -> bytes:
    """A PNG by hand. `colour` 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA; `rows` with their
    filter bytes; chunks `before` and `after` the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND", b"")


def flat_png(bits, colour, pixels: bytes, before=b"") -> bytes:
    """16 x 16 pixels; `pixels` are the bytes of one row."""
    return png(16, 16, bits, colour, (b"\0" + pixels) * 16, before)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    """One JPEG segment."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def exif(orientation: int, kind: int = 3) -> bytes:
    """Big-endian EXIF with one tag, 0x0112, a short, unless `kind` says otherwise."""
    entry = struct.pack(">HHIHH", 0x0112, kind, 1, orientation, 0)
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)


NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PLAIN = Image.new("RGB", (32, 32), RED)
ENCODED = {
    "JPEG": encode(Image.fromarray(NOISE), "JPEG"),
    "progressive": encode(Image.fromarray(NOISE), "JPEG", progressive=True),
    "PNG": encode(Image.fromarray(NOISE), "PNG"),
    "WEBP": encode(Image.fromarray(NOISE), "WEBP"),
    "GIF": encode(Image.fromarray(NOISE), "GIF"),
    "BMP": encode(Image.fromarray(NOISE), "BMP"),
}
HERE = features.check("avif") and find_spec("resource")
needs_avif = pytest.mark.skipif(not HERE, reason="this Pillow or this system opens no AVIF")
AVIF = pytest.param("AVIF", marks=needs_avif)
if HERE:
    ENCODED["AVIF"] = encode(Image.fromarray(NOISE), "AVIF")


@pytest.fixture
def read(tmp_path):
    """Bytes -> a file named .jpg -> what the door gives; the promise is checked each time."""

    def through_the_door(data: bytes, name: str = "upload.jpg"):
        path = tmp_path / name
        path.write_bytes(data)
        before = list(warnings.filters)
        image = door.read_rgb(path)
        assert warnings.filters == before
        check_promise(image)
        return image

    return through_the_door


@pytest.fixture
def told(tmp_path):
    """Bytes -> what the visitor is told of the picture."""

    def remarks(data: bytes) -> tuple[str, ...]:
        (tmp_path / "upload").write_bytes(data)
        return door.read(tmp_path / "upload")[1]

    return remarks


def check_promise(image):
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert max(image.shape) <= 1280
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert image.flags.owndata


def check_sentence(error: UserError) -> None:
    """One sentence, and nothing of the machine in it."""
    words = str(error)
    assert re.fullmatch(r"[A-Z][^.!?\n]*\.", words), words
    assert not re.search(r"Error|Warning|Exception|Traceback|[/\\<>]|\.jpg", words), words


# ---------------------------------------------------------------------------- what is refused

UNKNOWN = {
    "text": b"This is not a picture at all, it is a text.",
    "HTML": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "JSON": b'{"picture": "data:image/png;base64,iVBORw0KGgo="}',
    "PDF": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n",
    "MP4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(64),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n",
    "TIFF": encode(PLAIN, "TIFF"),
    "PPM": encode(PLAIN, "PPM"),
    "no width": png(0, 16, 8, 2, b""),
    "HEIC of another brand": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64),
}


@pytest.mark.parametrize("data", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_no_picture(read, data):
    with pytest.raises(UserError, match="save it as JPEG") as caught:
        read(data)
    check_sentence(caught.value)


def jpeg_of_size(side: int) -> bytes:
    """A JPEG of some hundred bytes whose header claims side x side pixels."""
    data = encode(PLAIN, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def webp_canvas(side: int) -> bytes:
    """A WebP animation on a canvas of side x side pixels, its only frame 32 x 32."""
    u24 = [struct.pack("<I", n)[:3] for n in (0, 0, 31, 31, 100)]
    canvas = struct.pack("<I", side - 1)[:3] * 2
    frame = b"".join(u24) + b"\0" + encode(PLAIN, "WEBP", lossless=True)[12:]
    body = b"WEBP"
    for kind, data in (
        (b"VP8X", b"\x02\0\0\0" + canvas),
        (b"ANIM", bytes(6)),
        (b"ANMF", frame),
    ):
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_of_size(width: int, height: int) -> bytes:
    """The header of a 24-bit BMP, without its pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


TOO_LARGE = {
    "400 MP PNG": png(20_000, 20_000, 8, 2, b""),
    "2^62 pixels": png(2**31, 2**31, 8, 2, b""),
    "100 MP, where Pillow warns": png(10_000, 10_000, 8, 2, b""),
    "89 MP of 1 bit, where it does not": png(9459, 9459, 1, 0, bytes(1184 * 9459)),
    "88 MP JPEG of 1 kB": jpeg_of_size(9400),
    "one row over 40 MP": png(8000, 5001, 8, 2, b""),
    "WebP canvas of 4 GP": webp_canvas(65_535),
    "GIF screen of 4 GP": b"GIF89a" + b"\xff\xff\xff\xff" + encode(PLAIN, "GIF")[10:],
    "BMP of 60 MP": bmp_of_size(10_000, 6_000),
}


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
def test_too_many_pixels(read, data, action):
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(UserError, match="40 million pixels") as caught:
            read(data)
    check_sentence(caught.value)


def test_exactly_40_million_pixels_pass(read):
    rows = (b"\0" + b"\xff" * 1000) * 5000
    image = read(png(8000, 5000, 1, 0, rows))
    assert image.shape == (800, 1280, 3)
    assert (image == 255).all()


def rgb(width: int, height: int) -> bytes:
    return encode(Image.new("RGB", (width, height), RED), "PNG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (rgb(1, 1), "8 pixels"),
        (rgb(7, 100), "8 pixels"),
        (rgb(100, 7), "8 pixels"),
        (rgb(1, 5000), "8 pixels"),
        (rgb(8, 161), "20 times"),
        (rgb(161, 8), "20 times"),
    ],
)
def test_wrong_size(read, data, words):
    with pytest.raises(UserError, match=words) as caught:
        read(data)
    check_sentence(caught.value)


@pytest.mark.parametrize(("width", "height"), [(8, 8), (8, 160), (160, 8)])
def test_just_the_right_size(read, width, height):
    assert read(rgb(width, height)).shape == (height, width, 3)


@pytest.mark.parametrize("start", [bmp_of_size(4000, 5000), b""])
def test_more_than_25_mb_on_disk(tmp_path, start):
    path = tmp_path / "60MB.bmp"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(60_000_054)
    with pytest.raises(UserError, match="25 MB") as caught:
        door.read_rgb(path)
    check_sentence(caught.value)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
@pytest.mark.parametrize("kind", ENCODED)
def test_never_half_a_picture(read, kind, percent):
    data = ENCODED[kind]
    with pytest.raises(UserError) as caught:
        read(data[: len(data) * percent // 100])
    check_sentence(caught.value)


def zeros(mib: int) -> bytes:
    """What zlib makes of so many MiB of zeros, made from one; the checksum by its definition."""
    packer = zlib.compressobj(9)
    one = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return one + one[2:] * (mib - 1) + b"\3\0" + struct.pack(">HH", mib * 2**20 % 65521, 1)


assert zlib.decompress(zeros(3)) == bytes(3 * 2**20)

BOMBS = {
    "zTXt": chunk(b"zTXt", b"k\0\0" + zeros(256)),
    "iTXt": chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(256)),
    "iCCP": chunk(b"iCCP", b"k\0\0" + zeros(256)),
}
ROWS = (b"\0" + bytes(48)) * 16


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_text_that_expands_to_256_mib(read, bomb, where):
    with pytest.raises(UserError, match="damaged") as caught:
        read(png(16, 16, 8, 2, ROWS, **{where: bomb}))
    check_sentence(caught.value)


def gif_comments(comments: bytes) -> bytes:
    """A GIF with these extensions before its picture; the colour table has 2^(n + 1) entries."""
    data = encode(PLAIN, "GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + comments + data[at:]


def many_scans(count: int) -> bytes:
    """A grey progressive JPEG with `count` scans of 10 bytes and some."""
    tables = segment(0xC4, b"\x00\x01" + bytes(16)) + segment(0xC4, b"\x10\x01" + bytes(16))
    frame = segment(0xC2, struct.pack(">BHHB", 8, 16, 16, 1) + b"\x01\x11\0")
    first = segment(0xDA, b"\x01\x01\0\0\0\0") + b"\0"
    more = segment(0xDA, b"\x01\x01\0\x01\x3f\0") + b"\0"
    scans = first + more * (count - 1)
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + frame + tables + scans + b"\xff\xd9"


JPEG = encode(PLAIN, "JPEG")
SLOW = {  # each kept Pillow busy for 4 s to some minutes
    "GIF of one long comment": gif_comments(b"!\xfe" + b"\1a" * 2**20 + b"\0"),
    "GIF of comments": gif_comments(b"!\xfe\1a\0" * 2**20),
    "JPEG of EXIF": JPEG[:2] + segment(0xE1, b"Exif\0\0a") * 2**20 + JPEG[2:],
    "JPEG of comments": JPEG[:2] + segment(0xFE, b"a") * 2**21 + JPEG[2:],
    "JPEG of scans": many_scans(501),
    "PNG of chunks": png(16, 16, 8, 2, ROWS, chunk(b"prIv", b"") * 2**20),
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
def test_headers_that_take_for_ever(read, data):
    with pytest.raises(UserError, match="damaged") as caught:
        read(data)
    check_sentence(caught.value)


def test_some_scans_are_honest(read):
    assert read(many_scans(20)).shape == (16, 16, 3)


def avif_that_says(width: int, height: int, image: Image.Image) -> bytes:
    """An AVIF of this image whose `ispe` box claims another size."""
    data = encode(image, "AVIF", speed=10)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def avif_of_frames(count: int, image: Image.Image) -> bytes:
    """An AVIF of one image that is decoded so many times; the last item of `iloc` is its length."""
    data = encode(image, "AVIF", speed=10)
    head, frame = data[: data.index(b"mdat") - 4], data[data.index(b"mdat") + 4 :]
    old, new = struct.pack(">I", len(frame)), struct.pack(">I", len(frame) * count)
    assert head.count(old) == 1
    return (
        head.replace(old, new) + struct.pack(">I", len(frame) * count + 8) + b"mdat" + frame * count
    )


@needs_avif
@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (8000, 5001, "40 million"),
        (7, 100, "8 pixels"),
        (8, 161, "20 times"),
        (0, 16, "damaged"),
        (2**31, 2**31, "damaged"),
    ],
)
def test_the_size_an_avif_claims(read, width, height, words):
    with pytest.raises(UserError, match=words) as caught:
        read(avif_that_says(width, height, PLAIN))
    check_sentence(caught.value)


@needs_avif
def test_an_avif_has_so_much_memory(read, monkeypatch):
    """1 kB that says it is 64 x 64 and holds 36 million pixels."""
    monkeypatch.setattr(door, "AVIF_MEMORY", 100_000_000)
    assert read(encode(PLAIN, "AVIF")).shape == (32, 32, 3)
    with pytest.raises(UserError) as caught:
        read(avif_that_says(64, 64, Image.new("RGB", (6000, 6000))))
    check_sentence(caught.value)


@needs_avif
def test_an_avif_has_so_much_time(read, monkeypatch):
    """16 million pixels, 500 times in a file of 200 kB."""
    monkeypatch.setattr(door, "AVIF_SECONDS", 1)
    with pytest.raises(UserError, match="too much time") as caught:
        read(avif_of_frames(500, Image.new("L", (4000, 4000))))
    check_sentence(caught.value)


@needs_avif
def test_an_avif_is_opened_in_a_process_of_its_own(read, monkeypatch):
    """Whatever becomes of it: what it says that makes no sense is a sentence, too."""
    run, data = subprocess.run, encode(STORED, "AVIF")
    assert np.abs(read(data)[8:12, 4:8] - np.array(RED)).max() <= 3
    for answer in (b"", b"{}\n", b"null\n", b'{"shape": [9, 9, 3], "remarks": []}\nshort'):
        monkeypatch.setattr(subprocess, "run", lambda *_, a=answer, **__: Mock(stdout=a))
        with pytest.raises(UserError, match="save it as JPEG"):
            read(data)
    monkeypatch.setattr(subprocess, "run", Mock(side_effect=OSError("no more processes")))
    with pytest.raises(UserError, match="save it as JPEG"):
        read(data)
    monkeypatch.setattr(subprocess, "run", run)
    assert corners(read(data)) == UPRIGHT[1]


@needs_avif
def test_a_damaged_avif_is_not_said_to_be_none(read):
    with pytest.raises(UserError, match="damaged"):
        read(ENCODED["AVIF"][:100])


SAYS = (
    "from PIL import features; features.check = lambda name: {}; from gradcam_core import image; "
    "print(image.FORMATS, image.UNKNOWN)"
)


@pytest.mark.skipif(not find_spec("resource"), reason="this system opens no AVIF")
@pytest.mark.parametrize("there", [True, False])
def test_avif_is_named_where_it_is_taken(there):
    order = [sys.executable, "-c", SAYS.format(there)]
    said = subprocess.run(order, capture_output=True, text=True, check=True).stdout
    assert ("'AVIF'" in said) == there
    assert (" PNG, WebP, GIF, BMP or AVIF picture;" in said) == there
    assert (" PNG, WebP, GIF or BMP picture;" in said) != there


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODED)
def test_flipped_bits_give_a_picture_or_a_sentence(read, kind):
    random = np.random.default_rng(1)
    for _ in range(40):
        data = bytearray(ENCODED[kind])
        for at in random.integers(0, len(data) if random.random() < 0.5 else 200, 3):
            data[at] ^= 1 << int(random.integers(8))
        try:
            read(bytes(data))
        except UserError as error:
            check_sentence(error)


@pytest.mark.parametrize(
    "name",
    [
        "nowhere.jpg",
        "",
        "no\0name.jpg",
        "x" * 300,
        "<b>bold</b>.jpg",
        "\u202egpj.exe",
        "two\nlines",
    ],
)
def test_no_such_file(tmp_path, name):
    with pytest.raises(UserError, match="could not be opened") as caught:
        door.read_rgb(tmp_path / name)
    check_sentence(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match="could not be opened") as caught:
        door.read_rgb(tmp_path / "pipe.jpg")
    check_sentence(caught.value)


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "\u202egpj.exe", "two\nlines", "n" * 240]
)
def test_the_name_says_nothing(read, name):
    assert (read(rgb(16, 16), name) == RED).all()
    with pytest.raises(UserError) as caught:
        read(b"no picture", name)
    assert name not in str(caught.value)


# --------------------------------------------------------------------------- what comes out right

GREY_16 = b"".join(bytes((17 * i, 0x33)) for i in range(16))  # the high byte is what counts
RAMP = [(17 * i, 17 * i, 17 * i) for i in range(16)]  # 0x11 = 17
PALETTE = chunk(b"PLTE", bytes(RED + GREEN + BLUE + WHITE))
BITS = [(255 * (i % 2),) * 3 for i in range(16)]


def key(*value: int) -> bytes:
    """The chunk of a PNG that makes one value transparent."""
    return chunk(b"tRNS", struct.pack(f">{len(value)}H", *value))


COLOURS = {
    "16-bit grey": (flat_png(16, 0, GREY_16), RAMP),
    "16-bit grey, one clear": (
        flat_png(16, 0, GREY_16, chunk(b"tRNS", b"\x11\x33")),
        [RAMP[0], WHITE, *RAMP[2:]],
    ),
    "16-bit RGB": (flat_png(16, 2, b"\x12\x34\x56\x78\x9a\xbc" * 16), [(0x12, 0x56, 0x9A)] * 16),
    "1 bit": (flat_png(1, 0, b"\x55\x55"), BITS),
    "2 bits": (flat_png(2, 0, b"\x1b" * 4), [(85 * (i % 4),) * 3 for i in range(16)]),
    "4 bits": (flat_png(4, 0, bytes.fromhex("0123456789abcdef")), RAMP),
    "1 bit, black clear": (flat_png(1, 0, b"\x55\x55", key(0)), [WHITE] * 16),
    "2 bits, one clear": (
        flat_png(2, 0, b"\x1b" * 4, key(1)),
        [(0, 0, 0), WHITE, (170, 170, 170), WHITE] * 4,
    ),
    "4 bits, one clear": (
        flat_png(4, 0, bytes.fromhex("0123456789abcdef"), key(2)),
        [*RAMP[:2], WHITE, *RAMP[3:]],
    ),
    "RGB, one clear": (
        flat_png(8, 2, bytes((*RED, *GREEN)) * 8, key(255, 0, 0)),
        [WHITE, GREEN] * 8,
    ),
    "16-bit RGB, one clear": (  # the other has upper bytes that are the lower ones of the clear one
        flat_png(
            16, 2, b"\x12\x34\x56\x78\x9a\xbc\x34\0\x78\0\xbc\0" * 8, key(0x1234, 0x5678, 0x9ABC)
        ),
        [WHITE, (0x34, 0x78, 0xBC)] * 8,
    ),
    "16-bit grey + alpha": (
        flat_png(16, 4, b"\x12\x34\xff\xff\0\0\x33\x33" * 8),
        [(0x12,) * 3, (204,) * 3] * 8,
    ),
    "8-bit grey, one clear": (
        flat_png(8, 0, bytes(range(16)), chunk(b"tRNS", b"\0\7")),
        [(i, i, i) if i != 7 else WHITE for i in range(16)],
    ),
    # on white: 255 - alpha + value * alpha / 255
    "LA": (
        flat_png(8, 4, b"\0\xff\0\0\0\x33\x64\xff" * 4),
        [(0,) * 3, WHITE, (204,) * 3, (100,) * 3] * 4,
    ),
    "RGBA": (
        flat_png(8, 6, bytes((*RED, 255, *RED, 0, *RED, 51, *BLUE, 102)) * 4),
        [RED, WHITE, (255, 204, 204), (153, 153, 255)] * 4,
    ),
    "P": (flat_png(8, 3, bytes((0, 1, 2, 3) * 4), PALETTE), [RED, GREEN, BLUE, WHITE] * 4),
    "P, some clear": (
        flat_png(8, 3, bytes((0, 1, 2, 3) * 4), PALETTE + chunk(b"tRNS", b"\0\xff\x66")),
        [WHITE, GREEN, (153, 153, 255), WHITE] * 4,
    ),
}


@pytest.mark.parametrize(("data", "row"), COLOURS.values(), ids=COLOURS)
def test_colours(read, told, data, row):
    assert read(data).tolist() == [[list(pixel) for pixel in row]] * 16
    assert told(data) == ()


def bmp_32(pixel: bytes) -> bytes:
    """16 x 16 pixels of four bytes B, G, R, A, whose header says that there is an alpha."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    info = struct.pack("<IiiHHIIiiII", 108, 16, 16, 1, 32, 3, 1024, 0, 0, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 122 + 1024, 0, 0, 122) + info + pixel * 256


green = Image.new("P", (16, 16), 0)
green.putpalette(GREEN)
UNSEEN = {  # alpha zero everywhere -> the colours of the first two pixels
    "BMP": (bmp_32(bytes((30, 20, 10, 0))), [(10, 20, 30)] * 2),
    "LA": (flat_png(8, 4, b"\x64\0\xc8\0" * 8), [(100,) * 3, (200,) * 3]),
    "16-bit LA": (flat_png(16, 4, b"\x64\x12\0\0\xc8\x34\0\0" * 8), [(100,) * 3, (200,) * 3]),
    "RGBA": (flat_png(8, 6, bytes((*RED, 0, *BLUE, 0)) * 8), [RED, BLUE]),
    "16-bit RGBA": (
        flat_png(16, 6, (b"\xff\xff" + bytes(8) + b"\xff\xff" + bytes(4)) * 8),
        [RED, GREEN],
    ),
    "P": (flat_png(8, 3, bytes((0, 1) * 8), PALETTE + chunk(b"tRNS", b"\0\0")), [RED, GREEN]),
    "L": (flat_png(8, 0, b"\x64" * 16, key(100)), [(100,) * 3] * 2),
    "4 bits": (flat_png(4, 0, b"\x44" * 8, key(4)), [(68,) * 3] * 2),
    "1 bit": (flat_png(1, 0, b"\0\0", key(0)), [(0,) * 3] * 2),
    "RGB": (flat_png(8, 2, bytes(RED) * 16, key(255, 0, 0)), [RED] * 2),
    "16-bit grey": (flat_png(16, 0, b"\x12\x34" * 16, key(0x1234)), [(0x12,) * 3] * 2),
    "WebP": (
        encode(Image.new("RGBA", (16, 16), (*RED, 0)), "WEBP", lossless=True, exact=True),
        [RED] * 2,
    ),
    "GIF": (encode(green, "GIF", transparency=0), [GREEN] * 2),
}


@pytest.mark.parametrize(("data", "pixels"), UNSEEN.values(), ids=UNSEEN)
def test_alpha_that_is_zero_everywhere_is_none(read, told, data, pixels):
    assert read(data)[0, :2].tolist() == [list(pixel) for pixel in pixels]
    assert (read(data)[:, ::2] == pixels[0]).all()
    assert told(data) == (door.CLEAR,)
    check_sentence(UserError(door.CLEAR))


def test_one_pixel_that_is_seen_is_enough(read, told):
    """... for the others to be white."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[3, 5] = (*BLUE, 255)
    data = encode(Image.fromarray(pixels), "PNG")
    image = read(data)
    assert (image[3, 5] == BLUE).all()
    assert (image == WHITE).all(axis=2).sum() == 255
    assert told(data) == ()


def test_a_large_picture_without_a_seen_pixel_keeps_its_colours(read):
    """To reduce it with its alpha would leave black."""
    image = read(encode(Image.new("RGBA", (2000, 1000), (*RED, 0)), "PNG"))
    assert image.shape == (640, 1280, 3)
    assert (image == RED).all()


def grey_16(*row: int, clear: int | None = None) -> bytes:
    """A PNG of 16-bit grey, these values over and over."""
    values = struct.pack(f">{len(row)}H", *row) * (16 // len(row))
    return flat_png(16, 0, values, b"" if clear is None else key(clear))


STRETCHED = {  # 255 (v - least) / (greatest - least), by hand
    "8 bits": (grey_16(0, 1, 51, 255), [0, 1, 51, 255]),
    "10 bits": (grey_16(0, 341, 682, 1023), [0, 85, 170, 255]),
    "12 bits": (grey_16(0, 273, 819, 4095), [0, 17, 51, 255]),
    "14 bits, all but one": (grey_16(3, 5463, 10923, 16383), [0, 85, 170, 255]),
    "14 bits, a part": (grey_16(1000, 2000, 3000, 16300), [0, 17, 33, 255]),  # 16.7, 33.3
    "an offset": (grey_16(32768, 32768 + 819, 32768 + 1638, 36863), [0, 51, 102, 255]),
    "at the very top": (grey_16(61441, 61441 + 2047, 65000, 65535), [0, 128, 222, 255]),
    "a mask": (grey_16(0, 1), [0, 255]),
    "12 bits, black clear": (grey_16(0, 95, 1695, 4095, clear=0), [255, 0, 102, 255]),
    "12 bits, a clear white": (grey_16(0, 273, 4095, 65535, clear=65535), [0, 17, 255, 255]),
    "two shades, one between clear": (grey_16(5, 7, 6, 6, clear=6), [0, 255, 255, 255]),
}


@pytest.mark.parametrize(("data", "row"), STRETCHED.values(), ids=STRETCHED)
def test_few_of_the_shades_are_stretched_and_that_is_said(read, told, data, row):
    assert read(data)[:, : len(row)].tolist() == [[[v] * 3 for v in row]] * 16
    assert told(data) == (door.STRETCHED,)
    check_sentence(UserError(door.STRETCHED))


AS_THEY_ARE = {  # the upper byte
    "the whole range": grey_16(0, 21845, 43690, 65535),
    "a dark photo with a light in it": grey_16(0, 100, 4095, 16384),
    "fog": grey_16(30000, 31000, 33000, 34096),
    "all zero": grey_16(0),
    "all one": grey_16(1),
    "all the same": grey_16(3000),
    "all white": grey_16(65535),
    "one shade, the rest clear": grey_16(3000, 9, 9, 3000, clear=9),
    "a dark 8-bit picture, times 257": grey_16(0, 257, 514, 10 * 257),
    "a dark 8-bit picture, times 256": grey_16(0, 256, 512, 2560),
}


@pytest.mark.parametrize("data", AS_THEY_ARE.values(), ids=AS_THEY_ARE)
def test_other_16_bit_pictures_stay_as_they_are(read, told, data):
    with Image.open(BytesIO(data)) as stored:
        values, clear = np.asarray(stored).astype(int), stored.info.get("transparency")
    expected = np.where(values == clear, 255, values // 256)
    assert (read(data) == expected[..., None]).all()
    assert told(data) == ()


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((0, 0, 0, 0), WHITE),
        ((0, 255, 255, 0), RED),
        ((255, 0, 255, 0), GREEN),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_cmyk(read, ink, colour):
    image = read(encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100))
    assert np.abs(image - np.array(colour)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_what_is_lossless_stays(read, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (read(encode(Image.fromarray(NOISE), kind, **options)) == NOISE).all()


# Stored: R G above B W. Orientation -> upright. The standard says on which sides of the upright
# picture the first row and the first column are found; 6: row at the right, column at the top.
UPRIGHT = {
    1: "RG BW",
    2: "GR WB",
    3: "WB GR",
    4: "BW RG",
    5: "RB GW",
    6: "BR WG",
    7: "WG BR",
    8: "GW RB",
    0: "RG BW",
    9: "RG BW",
    65535: "RG BW",
}
STORED = Image.new("RGB", (48, 32), WHITE)
STORED.paste(RED, (0, 0, 24, 16))
STORED.paste(GREEN, (24, 0, 48, 16))
STORED.paste(BLUE, (0, 16, 24, 32))


def corners(image) -> str:
    names = {WHITE: "W", RED: "R", GREEN: "G", BLUE: "B"}
    four = (names[tuple(int(v > 127) * 255 for v in image[y, x])] for y in (4, -4) for x in (4, -4))
    return "{}{} {}{}".format(*four)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", AVIF])
@pytest.mark.parametrize(("orientation", "expected"), UPRIGHT.items())
def test_orientation(read, orientation, expected, kind):
    image = read(encode(STORED, kind, exif=exif(orientation)))
    assert image.shape == ((48, 32, 3) if orientation in (5, 6, 7, 8) else (32, 48, 3))
    assert corners(image) == expected


DAMAGED_EXIF = {
    "no TIFF": b"Exif\0\0nonsense",
    "cut": exif(6)[:15],
    "tag of an unknown kind": exif(6, kind=99),
    "raw bytes for a number": exif(6, kind=7),
    "a table outside": b"Exif\0\0MM\0*\xff\xff\xff\xff",
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("data", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF)
def test_a_damaged_exif_turns_nothing(read, data, kind):
    assert corners(read(encode(STORED, kind, exif=data))) == "RG BW"


def with_exif(kind: str, size: int) -> bytes:
    """STORED with the EXIF of a picture that lies on its side, so many bytes of it."""
    data = exif(6).ljust(size, b"\0")
    plain = encode(STORED, kind.removesuffix(" text"), **({"exif": data} if kind == "WEBP" else {}))
    if kind == "JPEG":  # in segments, which are joined
        parts = [data[6:][at : at + 65_000] for at in range(0, size - 6, 65_000)]
        return plain[:2] + b"".join(segment(0xE1, b"Exif\0\0" + p) for p in parts) + plain[2:]
    if kind == "PNG":
        return plain[:33] + chunk(b"eXIf", data[6:]) + plain[33:]
    if kind == "PNG text":
        text = f"\nexif\n{size:8}\n{data.hex()}".encode()
        return plain[:33] + chunk(b"tEXt", b"Raw profile type exif\0" + text) + plain[33:]
    return plain


@pytest.mark.parametrize(
    ("size", "expected"), [(2**15 - 100, "BR WG"), (2**16 + 7, "RG BW"), (10**6, "RG BW")]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG text", "WEBP"])
def test_an_exif_of_more_than_64_kb_is_not_read(read, kind, size, expected):
    """Each of 65,535 entries may claim all of it: 20 MB with 200 such entries take 4 GB."""
    assert corners(read(with_exif(kind, size))) == expected


def test_a_large_turned_jpeg(read):
    image = read(encode(STORED.resize((3000, 2000)), "JPEG", exif=exif(6)))
    assert image.shape == (1280, 853, 3)  # 1280 * 2000 / 3000 = 853.3
    assert corners(image) == "BR WG"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "MPO", AVIF])
def test_the_first_frame_only(read, kind):
    """MPO is what many telephones call JPEG."""
    count = {"MPO": 2, "AVIF": 9}.get(kind, 499)
    frames = [Image.new("RGB", (16, 16), (0, n % 256, 255)) for n in range(count)]
    data = encode(Image.new("RGB", (16, 16), RED), kind, save_all=True, append_images=frames)
    assert np.abs(read(data) - np.array(RED)).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "MPO", AVIF])
def test_what_a_browser_would_play(tmp_path, kind):
    """Of the two pictures in an MPO browsers show the first, as of every JPEG."""
    file, one = tmp_path / "file", Image.new("RGB", (16, 16), RED)
    file.write_bytes(encode(one, kind))
    assert door.MOVES not in door.read(file)[1]
    other = [Image.new("RGB", (16, 16), GREEN)]
    file.write_bytes(encode(one, kind, save_all=True, append_images=other))
    assert door.read(file)[1] == ((door.MOVES,) if kind != "MPO" else ())


@pytest.mark.parametrize("blocks", [b"\1a" * 2**20, b"\xff" + b"a" * 255 * 2**12])
def test_what_comes_after_the_first_frame_is_read_with_the_same_limits(
    tmp_path, monkeypatch, blocks
):
    reads = []

    class Counted(door._Upload):
        def read(self, size=-1, /):
            reads.append(size)
            return super().read(size)

    monkeypatch.setattr(door, "_Upload", Counted)
    file, one = tmp_path / "file.gif", encode(PLAIN, "GIF")
    file.write_bytes(one[:-1] + b"!\xfe" + blocks + b"\0;")
    assert door.MOVES not in door.read(file)[1]
    assert 0 < len(reads) <= door.MAX_READS + 1


def test_a_second_frame_that_is_cut_is_none(tmp_path):
    other = [Image.new("RGB", PLAIN.size, GREEN)]
    data = encode(PLAIN, "GIF", save_all=True, append_images=other)
    first = len(encode(PLAIN, "GIF")) - 1
    found = set()
    for end in range(first, len(data)):
        (tmp_path / "cut.gif").write_bytes(data[:end])
        found.add(door.MOVES in door.read(tmp_path / "cut.gif")[1])
    assert found == {False, True}
    assert door.read_rgb(tmp_path / "cut.gif").shape == (*PLAIN.size[::-1], 3)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((1280, 640), (640, 1280, 3)),
        ((2560, 320), (160, 1280, 3)),
        ((500, 2000), (1280, 320, 3)),
        ((5120, 256), (64, 1280, 3)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", AVIF])
def test_the_longest_side_is_1280(read, size, shape, kind):
    assert read(encode(Image.new("RGB", size, GREEN), kind)).shape == shape


@pytest.mark.parametrize("value", [0, 255])
def test_all_black_and_all_white(read, value):
    assert (read(encode(Image.new("L", (16, 16), value), "PNG")) == value).all()


def test_many_at_once(tmp_path):
    """Good and bad in turn in eight threads: every answer is the one it would have had alone."""
    (tmp_path / "good").write_bytes(ENCODED["PNG"])
    (tmp_path / "bad").write_bytes(TOO_LARGE["100 MP, where Pillow warns"])

    def outcome(name: str) -> str:
        try:
            return "same" if (door.read_rgb(tmp_path / name) == NOISE).all() else "wrong"
        except UserError as error:
            return "large" if "40 million" in str(error) else "wrong"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, ["good", "bad"] * 100)) == ["same", "large"] * 100


# ------------------------------------------------------------------------------ arrays in Python


def test_an_array_is_taken_as_it_is():
    image = door.from_array(NOISE)
    assert (image == NOISE).all()
    assert not np.shares_memory(image, NOISE)
    check_promise(image)


def test_a_turned_and_mirrored_view_is_taken():
    view = NOISE.transpose(1, 0, 2)[:, ::-1]
    image = door.from_array(view)
    assert (image == view).all()
    check_promise(image)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((16, 16, 3), np.float32), "float32"),
        (np.zeros((16, 16, 3), np.int64), "int64"),
        (np.zeros((16, 16), np.uint8), r"\(16, 16\)"),
        (np.zeros((16, 16, 4), np.uint8), r"\(16, 16, 4\)"),
        (np.zeros((1, 16, 16, 3), np.uint8), r"\(1, 16, 16, 3\)"),
        (np.array("text"), "U4"),
        ([[[0, 0, 0]]], "list"),
        (None, "NoneType"),
        ("picture", "str"),
        (np.zeros((0, 16, 3), np.uint8), "8 pixels"),
        (np.zeros((7, 16, 3), np.uint8), "8 pixels"),
        (np.zeros((8, 161, 3), np.uint8), "20 times"),
        (np.broadcast_to(np.uint8(0), (8000, 5001, 3)), "40 million"),
    ],
)
def test_what_is_no_rgb_array(array, words):
    with pytest.raises(UserError, match=words) as caught:
        door.from_array(array)
    assert re.fullmatch(r"[A-Z][^.!?\n]*\.", str(caught.value).replace("<U4", "U4"))


# -------------------------------------------------------------------- pictures from Pillow, paths


@pytest.mark.parametrize(("orientation", "expected"), UPRIGHT.items())
def test_a_pillow_image_is_as_upright_as_its_file(tmp_path, orientation, expected):
    path = tmp_path / "turned.png"
    path.write_bytes(encode(STORED, "PNG", exif=exif(orientation)))
    with Image.open(path) as stored:
        image, _ = door.from_any(stored)
    assert corners(image) == expected
    assert np.array_equal(image, door.from_any(path)[0])
    assert np.array_equal(image, door.from_any(str(path))[0])


def test_a_pillow_image_keeps_its_size():
    wide = Image.new("RGB", (1400, 300), BLUE)
    assert door.from_any(wide)[0].shape == (300, 1400, 3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 200, (200, 200, 200)),
        ("LA", (200, 51), (244, 244, 244)),  # a fifth of grey on white
        ("LA", (200, 0), (200, 200, 200)),  # transparent everywhere is transparent nowhere
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black on white
        ("CMYK", (0, 255, 255, 0), RED),
        ("I;16", 0x6400, (100, 100, 100)),
    ],
)
def test_a_pillow_image_of_another_mode(mode, colour, expected):
    image, _ = door.from_any(Image.new(mode, (17, 9), colour))
    check_promise(image)
    assert (image == expected).all()


def cut():
    return Image.open(BytesIO(ENCODED["PNG"][:-2000]))


def closed():
    image = Image.open(BytesIO(ENCODED["PNG"]))
    image.close()
    return image


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (cut, "damaged"),
        (closed, "damaged"),
        (lambda: Image.new("F", (16, 16)), "numbers of any size"),
        (lambda: Image.new("RGB", (7, 16)), "8 pixels"),
        (lambda: Image.new("1", (8000, 5001)), "40 million"),
        (lambda: None, "not as NoneType"),
        (lambda: b"a.jpg", "not as bytes"),
        (lambda: "nowhere.jpg", "could not be opened"),
    ],
)
def test_what_is_none_of_these(make, words, sentence):
    with pytest.raises(UserError, match=words) as error:
        door.from_any(make())
    sentence(error.value)


# ----------------------------------------------------------------------------- resizing, writing


def test_fit_squashes_and_does_not_crop():
    """Left half red, right half blue, 4 times as wide as high: so is the square."""
    image = np.zeros((64, 256, 3), np.uint8)
    image[:, :128] = RED
    image[:, 128:] = BLUE
    square = door.fit(image, (32, 32))
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.float32
    assert square.flags.writeable
    assert (square[:, :14] == RED).all()
    assert (square[:, 18:] == BLUE).all()


def test_fit_averages_when_it_reduces():
    """A fine chessboard becomes grey: 127.5, rounded. A filter that picks pixels would not."""
    image = np.zeros((256, 256, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    inside = door.fit(image, (32, 32))[2:-2, 2:-2]
    assert np.abs(inside - 127.5).max() <= 1


def test_fit_interpolates_when_it_enlarges():
    """Half-pixel centres: the centre of new pixel i is (i + 0.5) / 2 - 0.5 of the old ones."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 200
    assert door.fit(image, (4, 4))[:, :, 0].tolist() == [[0, 50, 150, 200]] * 4


def test_fit_to_rows_and_columns():
    """Left half red, right half blue, on a grid of 8 rows and 32 columns."""
    image = np.zeros((64, 256, 3), np.uint8)
    image[:, :128] = RED
    image[:, 128:] = BLUE
    small = door.fit(image, (8, 32))
    assert small.shape == (8, 32, 3)
    assert (small[:, :15] == RED).all()
    assert (small[:, 17:] == BLUE).all()


@pytest.mark.parametrize("first", range(10))
def test_fit_of_stripes_keeps_their_mean(first):
    """Every tenth row white, 320 rows on 32: whichever it is, a tenth of the light is left."""
    image = np.zeros((320, 320, 3), np.uint8)
    image[first::10] = 255
    small = door.fit(image, (32, 320))
    assert small.shape == (32, 320, 3)
    assert np.abs(small[2:-2] - 25.5).max() < 12
    assert abs(small[2:-2].mean() - 25.5) <= 1


@pytest.mark.parametrize(
    ("sides", "size", "expected"),
    [
        ((9, 20), (4, 4), (0, 5, 9, 9)),
        ((20, 9), (4, 4), (5, 0, 9, 9)),
        ((9, 9), (4, 4), (0, 0, 9, 9)),
        ((9, 20), (5, 10), (0, 1, 9, 18)),
        ((9, 21), (10, 5), (0, 8, 9, 4)),  # half of 9 is rounded to the even 4
    ],
)
def test_the_middle_of_a_picture(sides, size, expected):
    assert door.middle(sides, size) == expected


def test_fit_crops_where_it_is_asked_to():
    rgb = np.full((9, 20, 3), 255, np.uint8)
    rgb[:, 5:14] = 51
    assert (door.fit(rgb, (4, 4), crop=True) == 51).all()


def test_fit_leaves_its_argument_alone():
    image = NOISE[:60, :60].copy()
    square = door.fit(image, (60, 60))
    assert (square == image).all()
    square[:] = -1
    assert (image == NOISE[:60, :60]).all()


def test_png_keeps_every_pixel_and_only_pixels(tmp_path):
    path = tmp_path / "out.png"
    door.save_png(NOISE, path)
    assert (door.read_rgb(path) == NOISE).all()
    data, at, kinds = path.read_bytes(), 8, set()
    while at < len(data):
        kinds.add(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4])
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_who_reads_a_png_while_it_is_written_again_gets_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    door.save_png(np.asarray(PLAIN), path)
    whole = path.read_bytes()
    with path.open("rb") as reader:
        door.save_png(NOISE, path)
        assert reader.read() == whole
    assert (door.read_rgb(path) == NOISE).all()
    monkeypatch.setattr(os, "replace", Mock(side_effect=OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        door.save_png(np.asarray(PLAIN), path)
    assert (door.read_rgb(path) == NOISE).all()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_place_comes_out(read, tmp_path, kind):
    tags = Image.Exif()
    tags[0x8825] = {1: "N", 2: (48.0, 51.0, 29.0), 29: "1999:12:31"}  # GPS, its date stamp
    tags[0x010E] = "SECRET-PLACE"  # description
    data = encode(PLAIN, kind, exif=tags.tobytes())
    assert b"SECRET-PLACE" in data
    assert b"1999:12:31" in data
    door.save_png(read(data), tmp_path / "out")
    written = (tmp_path / "out").read_bytes()
    for trace in (b"SECRET-PLACE", b"1999:12:31", b"Exif", b"eXIf", b"\xff\xe1"):
        assert trace not in written


def test_a_thumbnail_is_the_middle_as_a_small_jpeg():
    """Of three stripes the one in the middle, not all three squashed."""
    stripes = np.zeros((40, 120, 3), np.uint8)
    for n in range(3):
        stripes[:, 40 * n : 40 * (n + 1), n] = 200
    for turned in (stripes, stripes.transpose(1, 0, 2)):
        file = door.thumbnail(np.ascontiguousarray(turned), 16)
        with Image.open(BytesIO(file)) as small:
            assert (small.format, small.size) == ("JPEG", (16, 16))
            assert np.abs(np.asarray(small, int) - [0, 200, 0]).max() < 12
