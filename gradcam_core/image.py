"""The picture door: any upload -> upright RGB uint8, or a sentence; RGB -> network-sized float32.

The only room that knows Pillow. Whatever the file says of itself (EXIF, GPS, names) stays here.
"""

import os
import secrets
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.Image import Resampling, Transpose

from gradcam_core.types import F32, U8, UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_SIDE = 1280  # pixels, of what leaves
MAX_BYTES = 25 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 8  # pixels
MAX_ASPECT = 20  # longer side / shorter side
MAX_READS = 30_000  # a PNG of 25 MB in blocks of 8 kB needs 13,000
MAX_MARKS = 500  # an honest JPEG has about ten

MISSING = "The file could not be opened; please choose it again."
EMPTY = "The file is empty; please choose another picture."
HEAVY = "The file is larger than 25 MB; please make the picture smaller and try again."
UNKNOWN = (
    "This file is not a JPEG, PNG, WebP, GIF or BMP picture; please save it as JPEG "
    "(a HEIC photo from a phone too) and try again."
)
DAMAGED = "The picture is damaged or incomplete; please save it again or choose another one."
LARGE = "The picture has more than 40 million pixels; please make it smaller and try again."
SMALL = "The picture is less than 8 pixels wide or high; please choose a larger one."
NARROW = "One side of the picture is more than 20 times the other; please crop it and try again."
NOT_RGB = "Please give the picture as a NumPy array of dtype uint8 and shape (H, W, 3), RGB"

JPEG_START = b"\xff\xd8"
JPEG_MARKS = (b"\xff\xda", b"Exif\0\0")  # each scan is a pass over all pixels; EXIF is joined

# EXIF orientation -> what makes the picture upright; 1 and illegal values: nothing
TURNS: dict[Any, Transpose] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


class _Upload(BytesIO):
    """Bytes that are read a limited number of times. Pillow's parsers go block by block, and some
    join what they find in quadratic time: a GIF of 4 MB, all comments, takes 80 s."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError("too many small blocks")
        return super().read(size)


def read_rgb(path: str | Path) -> U8:
    """Any file -> upright RGB (H, W, 3) u8, fresh and contiguous, longest side <= MAX_SIDE.

    Only the first frame of an animation; transparency on white. Raises UserError, and nothing else.
    """
    data = _read(path)
    try:
        return _decode(data)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(UNKNOWN) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise UserError(LARGE) from error
    except Exception as error:  # decoders meet hostile bytes: any error is the file's
        raise UserError(DAMAGED) from error


def moves(path: str | Path) -> bool:
    """Whether a browser plays this file, of which `read_rgb` takes the first frame.

    A second frame that cannot be read is none.
    """
    with suppress(Exception), Image.open(_Upload(_read(path)), formats=FORMATS) as image:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def from_array(image: Any) -> U8:
    """RGB (H, W, 3) u8 of any size that is allowed -> a copy of it. Raises UserError."""
    if not isinstance(image, np.ndarray):
        raise UserError(f"{NOT_RGB}, not as {type(image).__name__}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"{NOT_RGB}; this one has dtype {image.dtype} and shape {image.shape}.")
    _check_size(image.shape[1], image.shape[0])
    return image.copy()


def middle(sides: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Of (H, W) the largest part about the middle with the shape of (h, w): top, left, sides."""
    (rows, columns), (h, w) = sides, size
    height, width = min(rows, round(columns * h / w)), min(columns, round(rows * w / h))
    return (rows - height) // 2, (columns - width) // 2, height, width


def fit(image: U8, size: tuple[int, int], crop: bool = False) -> F32:
    """RGB (H, W, 3) u8 -> (h, w, 3) f32 in [0, 255], fresh: squashed, or its `middle` alone."""
    if crop:
        top, left, height, width = middle((image.shape[0], image.shape[1]), size)
        image = image[top : top + height, left : left + width]
    h, w = size
    return np.array(Image.fromarray(image).resize((w, h), Resampling.BILINEAR), dtype=np.float32)


def png(image: U8) -> bytes:
    """RGB (H, W, 3) u8 as the bytes of a PNG file, without metadata."""
    file = BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def save_png(image: U8, path: str | Path) -> None:
    """Write RGB (H, W, 3) u8 without loss and without metadata. Raises OSError.

    Whoever reads the path meanwhile gets a whole picture, the one before or this one.
    """
    part = Path(f"{path}.{secrets.token_hex(8)}.part")
    try:
        Image.fromarray(image).save(part, format="PNG", compress_level=1)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: str | Path) -> bytes:
    """At most MAX_BYTES from disk. By bytes, not by path: Pillow would map a BMP into memory, and
    a file that is cut short while mapped ends the process."""
    try:
        if not Path(path).is_file():  # or a pipe would be waited for
            raise OSError
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(MISSING) from error
    if not data:
        raise UserError(EMPTY)
    if len(data) > MAX_BYTES:
        raise UserError(HEAVY)
    return data


def _decode(data: bytes) -> U8:
    """The order is the defence: the header is judged before a pixel is decoded, and the pixels are
    decoded before the EXIF is read (for PNG that hides a decoding error)."""
    if data.startswith(JPEG_START) and max(map(data.count, JPEG_MARKS)) > MAX_MARKS:
        raise UserError(DAMAGED)
    with Image.open(_Upload(data), formats=FORMATS) as image:
        width, height = image.size
        _check_size(width, height)
        scale = MAX_SIDE / max(width, height)
        image.draft(None, (int(width * scale), int(height * scale)))  # JPEG: decode it smaller
        image.load()
        turn = _turn(image)
        plain = _eight_bits(image)
    plain.thumbnail((MAX_SIDE, MAX_SIDE))
    if turn is not None:
        plain = plain.transpose(turn)
    if plain.mode == "RGBA":
        white = Image.new("RGBA", plain.size, "white")
        plain = Image.alpha_composite(white, plain).convert("RGB")
    return np.array(plain)


def _check_size(width: int, height: int) -> None:
    """Pillow itself warns at 89 million pixels only, once a process, and decodes."""
    if width * height > MAX_PIXELS:
        raise UserError(LARGE)
    if min(width, height) < MIN_SIDE:
        raise UserError(SMALL)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(NARROW)


def _turn(image: Image.Image) -> Transpose | None:
    """What makes a loaded image upright. A damaged EXIF turns nothing."""
    with suppress(Exception):
        return TURNS.get(image.getexif().get(Base.Orientation))
    return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode -> RGB, or RGBA where something may be transparent."""
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip to white
        grey = np.asarray(image)
        clear = image.info.get("transparency", -1)
        image = Image.fromarray((np.where(grey == clear, 0xFFFF, grey) >> 8).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)
