"""A photograph's file without what it says of itself: where it was taken, when, by whom.

Only bytes are left out; no pixel is decoded, so the picture stays what it was, which way up it is
included. Of a damaged file what is understood stays. The parts of each format: ITU-T T.81 and T.871
(JPEG), W3C PNG, Google's WebP container, GIF89a, ISO/IEC 14496-12 and 23008-12 (AVIF, HEIC).
"""

import re
import zlib
from collections.abc import Callable, Iterator
from struct import error as too_short
from struct import pack, unpack_from

MOST_PIECES = 30_000  # that are looked at; an honest PNG of 25 MB has 3,000 and a GIF 100,000
MOST_BLOCKS = 1_000_000  # of 255 bytes at most each, of a GIF
MARKER = re.compile(
    rb"\xff[^\x00\xd0-\xd7\xff]"
)  # in the pixels of a JPEG only those have no meaning
OF_JPEG = (b"\xe0JFIF\0", b"\xe2ICC_PROFILE\0", b"\xeeAdobe")  # what says how colours are meant
OF_PNG = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP",
    b"sBIT", b"acTL", b"fcTL", b"fdAT",
}  # fmt: skip
OF_WEBP = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
OF_GIF = (b"NETSCAPE2.0", b"ANIMEXTS1.0")  # how often it moves
ORIENTATION = 0x0112  # the tag of EXIF
NUMBERS = {1: "B", 3: "H", 4: "I"}  # kinds of TIFF
NO_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"


def picture_alone(data: bytes) -> bytes:
    """The file with the picture alone; of a kind that is not known here, as it was."""
    known = (strip for at, start, strip in BY_START if data[at:].startswith(start))
    return next(known, bytes)(data)


def is_known(start: bytes) -> bool:
    """Whether `picture_alone` knows the kind of a file with these first 16 bytes."""
    return any(start[at:].startswith(begins) for at, begins, _ in BY_START)


def orientation(exif: bytes) -> int:
    """Which way up, from 1 to 8, as TIFF has it; 1, as it is, where nothing is said."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = unpack_from(f"{order}I", exif, 4)
        (count,) = unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _ = unpack_from(f"{order}HHI", exif, at)
            if tag == ORIENTATION and kind in NUMBERS:
                (way,) = unpack_from(order + NUMBERS[kind], exif, at + 8)
                return way if 1 <= way <= 8 else 1
    except too_short:
        pass
    return 1


def exif_of(way: int) -> bytes:
    """EXIF that says which way up, and nothing else."""
    return b"MM\0*\0\0\0\x08" + pack(">HHHIHHI", 1, ORIENTATION, 3, 1, way, 0, 0)


def _jpeg(data: bytes) -> bytes:
    kept, at, in_scan, way = [data[:2]], 2, False, 1
    for _ in range(MOST_PIECES):
        mark = MARKER.search(data, at)
        if in_scan:
            kept.append(data[at : mark.start() if mark else None])
        if not mark:
            break
        code, start = mark.group()[1:], mark.end()
        if code == b"\xd9":
            return b"".join([*kept, mark.group()])  # behind the end lie other pictures, films
        at = start + int.from_bytes(data[start : start + 2], "big")
        piece, said = data[mark.start() : at], data[start + 2 : at]
        in_scan = code == b"\xda"
        if code == b"\xe1" and said.startswith(b"Exif\0\0") and way == 1:
            way = orientation(said)
            exif = b"Exif\0\0" + exif_of(way)
            kept += [b"\xff\xe1" + pack(">H", 2 + len(exif)) + exif] if way > 1 else []
        elif (code + said).startswith(OF_JPEG) or not (
            b"\xe0" <= code <= b"\xef" or code == b"\xfe"
        ):
            kept.append(piece)
    return b"".join(kept)


def _png(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    for _ in range(MOST_PIECES):
        kind, body = data[at + 4 : at + 8], at + 8
        end = body + int.from_bytes(data[at : at + 4], "big")
        if kind == b"eXIf" and (way := orientation(data[body:end])) > 1:
            said = kind + exif_of(way)
            kept.append(pack(">I", len(said) - 4) + said + pack(">I", zlib.crc32(said)))
        if kind in OF_PNG:
            kept.append(data[at : end + 4])
        at = end + 4
        if kind in (b"IEND", b""):
            break
    return b"".join(kept)


def _webp(data: bytes) -> bytes:
    kept, at, way = [b"WEBP"], 12, 1
    for _ in range(MOST_PIECES):
        kind, body = data[at : at + 4], at + 8
        end = body + int.from_bytes(data[at + 4 : body], "little")
        if kind == b"EXIF":
            way = orientation(data[body:end])
        if kind in OF_WEBP:
            kept.append(data[at : end + end % 2])
        at = end + end % 2
        if not kind:
            break
    exif = exif_of(way)
    if len(kept) > 1 and kept[1].startswith(b"VP8X"):
        flags = kept[1][8] & ~12 | 8 * (way > 1)  # EXIF is 8, XMP 4
        kept[1] = kept[1][:8] + bytes([flags]) + kept[1][9:]
        kept += [b"EXIF" + pack("<I", len(exif)) + exif] if way > 1 else []
    content = b"".join(kept)
    return b"RIFF" + pack("<I", len(content)) + content


def _gif(data: bytes) -> bytes:
    def colours(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0

    blocks = 0

    def after(at: int) -> int:
        """Behind a row of blocks, each with its length before it."""
        nonlocal blocks
        while at < len(data) and data[at] and blocks < MOST_BLOCKS:
            at, blocks = at + 1 + data[at], blocks + 1
        return at + 1

    at = 13 + colours(data[10] if len(data) > 10 else 0)
    kept = [data[:at]]
    for _ in range(MOST_PIECES):
        kind, start = data[at : at + 1], at
        if kind == b"," and at + 9 < len(data):
            at = after(at + 10 + colours(data[at + 9]) + 1)
            kept.append(data[start:at])
        elif kind == b"!":
            at = after(at + 2)
            control = data[start + 1 : start + 2] == b"\xf9"
            kept += [data[start:at]] if control or data[start + 3 : start + 14] in OF_GIF else []
        else:
            break
    return b"".join([*kept, b";"])


def _boxes(data: bytes | bytearray, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of what stands in a box."""
    for _ in range(MOST_PIECES):
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        body = at + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        after = min(at + size if size else end, end)
        if body > after:
            return
        yield kind, body, after
        at = after


def _boxed(data: bytes) -> bytes:
    """What is said lies anywhere, at places that are counted: it is painted over."""
    out = bytearray(data)
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            inner = {kind: (a, b) for kind, a, b in _boxes(data, start + 4, end)}
            said = dict(_items(data, *inner.get(b"iinf", (0, 0))))
            home = inner.get(b"idat", (0, 0))[0]
            for item, a, b in _places(data, *inner.get(b"iloc", (0, 0)), home):
                if item in said:
                    filled = NO_EXIF if said[item] == b"Exif" else b""
                    out[a:b] = filled.ljust(b - a, b"\0")[: b - a]
    return bytes(out)


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Number and kind of what is no picture."""
    wide = data[start : start + 1] != b"\0"
    for _, at, _ in _boxes(data, start + (8 if wide else 6), end):
        size = 4 if data[at : at + 1] == b"\x03" else 2
        kind = data[at + 6 + size : at + 10 + size]
        if kind in (b"Exif", b"mime", b"uri "):
            yield int.from_bytes(data[at + 4 : at + 4 + size], "big"), kind


def _places(data: bytes, at: int, end: int, home: int) -> Iterator[tuple[int, int, int]]:
    """Number of each thing, and from where to where it lies. home: where the box's own begin."""

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at], "big")

    version, _, sizes = number(1), number(3), number(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    number(4 if version == 2 else 2)
    left, painted = MOST_PIECES, 0
    while at < end:
        item = number(4 if version == 2 else 2)
        inside = version > 0 and number(2) & 15 == 1
        number(2)
        base = number(of_base)
        for _ in range(number(2)):
            number(of_index if version else 0)
            start = min(base + number(of_offset) + home * inside, len(data))
            stop = min(start + number(of_length), len(data))
            left, painted = left - 1, painted + stop - start
            if at > end or left < 0 or painted > len(data):
                return
            yield item, start, stop


def _beginning(data: bytes) -> bytes:
    """Of what is shown nowhere: enough to say what it is."""
    return data[:16]


BY_START: tuple[tuple[int, bytes, Callable[[bytes], bytes]], ...] = (
    (0, b"\xff\xd8", _jpeg),
    (0, b"\x89PNG\r\n\x1a\n", _png),
    (8, b"WEBP", _webp),
    (0, b"GIF8", _gif),
    (4, b"ftyp", _boxed),
    (0, b"II*\0", _beginning),  # TIFF, and what cameras make of it
    (0, b"MM\0*", _beginning),
)
