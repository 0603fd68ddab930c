"""Of a photograph's file the picture stays, to the last pixel, and nothing that it says."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from gradcam_core import bare, image

SECRET, DATE = b"SECRET-PLACE", b"1999:12:31"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">SECRET-PLACE</x:xmpmeta>'
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SIDES = 31, 45  # rows, columns
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIDES, 3), np.uint8)
PICTURE, OTHER = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)


def exif(way: int = 6) -> bytes:
    """A description, a place on earth with its date, and which way up."""
    tags = Image.Exif()
    tags[Base.ImageDescription] = SECRET.decode()
    tags[IFD.GPSInfo] = {1: "N", 2: (48.0, 51.0, 29.0), 29: DATE.decode()}
    tags[Base.Orientation] = way
    return tags.tobytes()


def encode(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind, **how)  # type: ignore[arg-type]
    return file.getvalue()


def segment(code: int, said: bytes) -> bytes:
    return bytes((0xFF, code)) + struct.pack(">H", 2 + len(said)) + said


def jpeg(**how: object) -> bytes:
    """As a phone makes them: EXIF, XMP, IPTC, a comment; behind its end a picture and a film."""
    two = {"save_all": True, "append_images": [OTHER]}
    plain = encode("MPO", exif=exif(), icc_profile=PROFILE, comment=SECRET, **two, **how)
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    iptc = segment(0xED, b"Photoshop 3.0\0" + SECRET)
    return plain[:2] + xmp + iptc + plain[2:] + b"....ftypmp42" + SECRET


def png() -> bytes:
    plain, said = encode("PNG", exif=exif(), icc_profile=PROFILE), b""
    for kind in (b"tEXt", b"iTXt"):
        text = kind + b"Comment\0" + SECRET
        said += struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return plain[:33] + said + plain[33:] + SECRET


def gif() -> bytes:
    return encode("GIF", save_all=True, append_images=[OTHER], comment=SECRET, loop=0) + SECRET


FILES = {
    "JPEG": jpeg(),
    "progressive JPEG": jpeg(progressive=True),
    "PNG": png(),
    "WebP": encode("WEBP", lossless=True, exif=exif(), xmp=XMP, icc_profile=PROFILE) + SECRET,
    "lossy WebP": encode("WEBP", exif=exif(3), xmp=XMP),
    "GIF": gif(),
}
if "AVIF" in image.FORMATS:
    FILES["AVIF"] = encode("AVIF", exif=exif(8), xmp=XMP, icc_profile=PROFILE)


@pytest.mark.parametrize("kind", FILES)
def test_the_picture_stays_and_nothing_else(kind, tmp_path):
    before, after = FILES[kind], bare.picture_alone(FILES[kind])
    assert SECRET in before
    for trace in (SECRET, DATE, b"xmpmeta"):
        assert trace not in after
    (tmp_path / "before").write_bytes(before)
    (tmp_path / "after").write_bytes(after)
    seen, remarks = image.read(tmp_path / "after")
    stood, stood_remarks = image.read(tmp_path / "before")
    np.testing.assert_array_equal(seen, stood)
    assert remarks == stood_remarks
    with Image.open(io.BytesIO(before)) as was, Image.open(io.BytesIO(after)) as now:
        assert now.getexif().get_ifd(IFD.GPSInfo) == {}
        assert set(now.getexif()) <= {Base.Orientation}
        assert now.info.get("icc_profile") == was.info.get("icc_profile")
        assert now.info.get("loop") == was.info.get("loop")
        frames = 1 if was.format == "MPO" else getattr(was, "n_frames", 1)
        assert getattr(now, "n_frames", 1) == frames
    assert bare.picture_alone(after) == after
    assert bare.is_known(before[:16])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("way", range(1, 9))
def test_which_way_up_stays(kind, way):
    after = bare.picture_alone(encode(kind, exif=exif(way)))
    with Image.open(io.BytesIO(after)) as seen:
        assert seen.getexif().get(Base.Orientation, 1) == way
    if kind == "WEBP":
        assert after[20] & 0b1100 == 0b1000 * (way > 1), "it says whether it has EXIF, and no XMP"


def test_of_a_photograph_in_heic_or_tiff_what_is_said_goes_too():
    """They are refused as pictures, but may lie on the disk for an hour."""
    file = io.BytesIO()
    PICTURE.save(file, "TIFF", description=SECRET.decode())
    assert SECRET in file.getvalue()
    assert bare.picture_alone(file.getvalue()) == file.getvalue()[:16]
    heic = heif(b"Exif", SECRET)
    assert SECRET in heic
    after = bare.picture_alone(heic)
    assert SECRET not in after
    assert (len(after), after[:40]) == (len(heic), heic[:40])


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def heif(kind: bytes, said: bytes, places: bytes = b"", version: int = 0) -> bytes:
    """A file with one thing beside the picture, after the boxes; places: another list of them."""
    ftyp = box(b"ftyp", b"heicmif1heic")
    item = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 7, 0) + kind + b"\0")
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", 1) + item)

    def meta(at: int) -> bytes:
        one = struct.pack(">HHHHII", 1, 7, 0, 1, at, len(said))
        iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0]) + (places or one))
        return box(b"meta", bytes(4) + iinf + iloc)

    before = ftyp + meta(0)
    return ftyp + meta(len(before) + 8) + box(b"mdat", said + b"pixels")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\3\4" + SECRET, b"\x89HDF\r\n\x1a\n" + SECRET, b"BM" + SECRET, b"cat\ndog", b"",
        b"RIFF\0\0\0\0WAVE" + SECRET,
    ],
)  # fmt: skip
def test_what_is_no_photograph_stays_as_it_is(data):
    assert bare.picture_alone(data) == data
    assert not bare.is_known(data[:16])


HUGE = struct.pack(">HHH", 1, 7, 0) + b"\xff\xff" * 5000
BOMBS = {
    "all marks": b"\xff" * 1_000_000,
    "segments of nothing": b"\xff\xd8" + b"\xff\xe1\0\0" * 250_000,
    "no scan ends": b"\xff\xd8\xff\xda\0\2" + b"\xff\0" * 500_000,
    "chunks of nothing": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IDAT\0\0\0\0" * 80_000,
    "blocks of nothing": b"GIF89a" + bytes(7) + b"!\xfe\1\0" * 250_000,
    "one block of nothing": b"GIF89a" + bytes(7) + b"!\xfe" + b"\1\0" * 500_000,
    "pieces of WebP": b"RIFF\0\0\0\0WEBP" + b"ALPH\0\0\0\0" * 100_000,
    "boxes of nothing": b"\0\0\0\x08ftyp" + b"\0\0\0\x08meta" * 100_000,
    "places without end": heif(b"Exif", SECRET, HUGE),
    "the same place": heif(b"Exif", bytes(100_000), struct.pack(">HHHH", 1, 7, 0, 65535)
                           + struct.pack(">II", 0, 100_000) * 65535),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_comes_to_an_end(bomb):
    assert len(bare.picture_alone(BOMBS[bomb])) <= len(BOMBS[bomb]) + 40


@pytest.mark.parametrize(("sizes", "extents"), [(0x0000, b""), (0x4400, struct.pack(">II", 0, 99))])
def test_places_in_a_file_are_followed_so_often_and_painted_over_once(sizes, extents):
    """By hand: items that each have 40,000 parts, of no size or all the same one."""
    items = struct.pack(">HHH", 7, 0, 40_000) + extents * 40_000
    data = bytes(4) + struct.pack(">HH", sizes, 3) + 3 * items
    places = list(bare._places(data, 0, len(data), 0))
    assert 0 < len(places) <= bare.MOST_PIECES
    assert sum(stop - start for _, start, stop in places) <= len(data)


@pytest.mark.parametrize("kind", FILES)
def test_of_a_damaged_file_nothing_is_said_either(kind, rng):
    """Cut anywhere, or with bytes that are others: it comes to an end, and does not grow."""
    data = np.frombuffer(FILES[kind], np.uint8)
    for _ in range(100):
        damaged = data[: rng.integers(1, len(data))].copy()
        places = rng.integers(0, len(damaged), 5)
        damaged[places] = rng.integers(0, 256, 5)
        assert len(bare.picture_alone(damaged.tobytes())) <= len(damaged) + 60
    for cut in range(0, len(data), 97):
        assert SECRET not in bare.picture_alone(FILES[kind][:cut])


@pytest.mark.parametrize(
    ("said", "way"),
    [
        (b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0), 6),
        (b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 3, 1, 5, 0), 5),
        (b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x112, 4, 1, 3), 3),
        (b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 3, 1, 9, 0), 1),
        (b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 2, 1, 6, 0), 1),
        (b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHIHH", 0x113, 3, 1, 6, 0), 1),
        (b"MM\0*\xff\xff\xff\xff", 1),
        (b"nonsense", 1),
        (b"", 1),
        (bare.exif_of(7), 7),
    ],
)
def test_the_one_number_that_is_read(said, way):
    assert bare.orientation(said) == way
