"""The picture door: any upload -> upright RGB uint8, or a sentence; RGB -> network-sized float32.

The only room that knows Pillow. Whatever the file says of itself (EXIF, GPS, names) stays here.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image, ImageOps, UnidentifiedImageError, features
from PIL.ExifTags import Base
from PIL.Image import Resampling, Transpose
from PIL.ImageFile import ImageFile

from gradcam_core.types import F32, U8, Placement, UserError

# Pillow's names -> those a visitor reads
NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "GIF": "GIF", "BMP": "BMP"}
if features.check("avif") and find_spec("resource"):  # it is opened only where it can be limited
    NAMES["AVIF"] = "AVIF"
FORMATS = tuple(NAMES)
*_FIRST, _LAST = NAMES.values()
MAX_SIDE = 1280  # pixels, of what leaves
MAX_BYTES = 25 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 8  # pixels
MAX_ASPECT = 20  # longer side / shorter side
MAX_READS = 30_000  # a PNG of 25 MB in blocks of 8 kB needs 13,000
MAX_MARKS = 500  # an honest JPEG has about ten
MAX_EXIF = 2**16  # bytes, as in a JPEG; each of its entries may claim all of them
FRAME_BYTES, FRAME_SIDE = 100_000, 512  # of a live camera
AVIF_MEMORY = 1_500_000_000  # bytes, for an AVIF
AVIF_SECONDS = 10  # of computing, for an AVIF

MISSING = "The file could not be opened; please choose it again."
EMPTY = "The file is empty; please choose another picture."
HEAVY = "The file is larger than 25 MB; please make the picture smaller and try again."
UNKNOWN = (
    f"This file is not a {', '.join(_FIRST)} or {_LAST} picture; please save it as JPEG "
    "(a HEIC photo from a phone too) and try again."
)
HARD = "The picture takes too much time or memory to open; please save it as JPEG and try again."
DAMAGED = "The picture is damaged or incomplete; please save it again or choose another one."
LARGE = "The picture has more than 40 million pixels; please make it smaller and try again."
SMALL = "The picture is less than 8 pixels wide or high; please choose a larger one."
NARROW = "One side of the picture is more than 20 times the other; please crop it and try again."
MOVES = "This picture moves; the network gets its first frame, and that is shown."
CLEAR = "This picture is transparent everywhere; the network gets the colours in it, shown here."
STRETCHED = (
    "This picture uses few of its 65,536 shades of grey; the network gets them spread from black "
    "to white, as shown here."
)
MIDDLE = "The network is given the middle of the picture, and sees nothing of what lies beside it."
NO_FRAME = "This is no frame of the live camera; please close the camera and open it anew."
NOT_RGB = (
    "Please give the picture as the path of a file, as a Pillow image or as a NumPy array of dtype "
    "uint8 and shape (H, W, 3), RGB"
)

AnyPicture = str | os.PathLike[str] | Image.Image | U8  # what `from_any` takes

JPEG_START = b"\xff\xd8"
JPEG_MARKS = (b"\xff\xda", b"Exif\0\0")  # each scan is a pass over all pixels; EXIF is joined
AVIF_STARTS = (b"ftypavif", b"ftypavis")  # after four bytes

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


def read_rgb(path: str | os.PathLike[str]) -> U8:
    """Any file -> upright RGB (H, W, 3) u8, fresh and contiguous, longest side <= MAX_SIDE.

    Only the first frame of an animation; transparency on white. Raises UserError, and nothing else.
    """
    return read(path)[0]


def read(path: str | os.PathLike[str]) -> tuple[U8, tuple[str, ...]]:
    """What `read_rgb` gives; where a browser shows something else, why: MOVES, CLEAR, STRETCHED."""
    data = _read(path)
    boxes = data[4:8] == b"ftyp"  # AVIF, HEIC, films
    return _apart(data) if boxes and "AVIF" in FORMATS else _here(data)


def read_frame(data: bytes) -> U8:
    """A frame of a live camera, a small JPEG -> RGB (H, W, 3) u8. Raises UserError."""
    try:
        with Image.open(_Upload(data), formats=("JPEG",)) as image:
            fits = max(image.size) <= FRAME_SIDE and len(data) <= FRAME_BYTES
    except Exception as error:
        raise UserError(NO_FRAME) from error
    if not fits:
        raise UserError(NO_FRAME)
    return _here(data)[0]


def from_any(picture: AnyPicture) -> tuple[U8, tuple[str, ...]]:
    """A path, a Pillow image or an RGB array -> upright RGB (H, W, 3) u8, fresh; and remarks.

    A file comes as `read` gives it; what is in memory keeps its size. Raises UserError.
    """
    if isinstance(picture, str | os.PathLike):
        return read(picture)
    if isinstance(picture, Image.Image):
        return _from_pillow(picture)
    return from_array(picture), ()


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


def part_seen(sides: tuple[int, int], size: tuple[int, int], crop: bool) -> Placement | None:
    """Where what `fit` makes of (H, W) lies in it; None: over all of it."""
    (rows, columns), (top, left, height, width) = sides, middle(sides, size)
    if not crop or (height, width) == sides:
        return None
    return Placement((height / rows, 0.0, top / rows), (0.0, width / columns, left / columns))


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


def thumbnail(image: U8, side: int) -> bytes:
    """The middle of RGB (H, W, 3) u8, side x side pixels, as the bytes of a JPEG file."""
    file = BytesIO()
    ImageOps.fit(Image.fromarray(image), (side, side)).save(
        file, format="JPEG", quality=70, optimize=True
    )
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


def _read(path: str | os.PathLike[str]) -> bytes:
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


def _here(data: bytes) -> tuple[U8, tuple[str, ...]]:
    try:
        return _decode(data)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        avif = "AVIF" in FORMATS and data[4:12] in AVIF_STARTS
        raise UserError(DAMAGED if avif else UNKNOWN) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise UserError(LARGE) from error
    except Exception as error:  # decoders meet hostile bytes: any error is the file's
        raise UserError(DAMAGED) from error


_one = threading.Lock()


def _apart(data: bytes) -> tuple[U8, tuple[str, ...]]:
    """`_here` in a process of its own, with limits, one at a time: for AVIF.

    An AVIF that says 64 x 64 may hold 16384 x 16384 pixels, and one of a megabyte a thousand hidden
    frames. Only the decoder finds out, and nothing stops it.
    """
    home = str(Path(__file__).resolve().parent.parent)
    env = {"PYTHONPATH": home, "OPENBLAS_NUM_THREADS": "1"}
    code = f"from gradcam_core import image; image._limited({AVIF_MEMORY}, {AVIF_SECONDS})"
    try:
        with _one:
            done = subprocess.run(
                [sys.executable, "-c", code], input=data, capture_output=True, env=env, timeout=60
            )
        head, _, pixels = done.stdout.partition(b"\n")
        said = json.loads(head)
        if "error" not in said:
            image = np.frombuffer(pixels, np.uint8).reshape(said["shape"])
            return image.copy(), tuple(said["remarks"])
    except Exception as error:  # stopped, or it makes no sense
        raise UserError(HARD) from error
    raise UserError(said["error"])


def _limited(memory: int, seconds: int) -> None:
    """The other side of `_apart`: one line of JSON, then the pixels."""
    import resource

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said: dict[str, Any]
    try:
        image, remarks = _here(sys.stdin.buffer.read())
        said, pixels = {"shape": image.shape, "remarks": remarks}, image.tobytes()
    except UserError as error:
        said, pixels = {"error": str(error)}, b""
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + pixels)


def _decode(data: bytes) -> tuple[U8, tuple[str, ...]]:
    """The order is the defence: the header is judged before a pixel is decoded, and the pixels are
    decoded before the EXIF is read (for PNG that hides a decoding error)."""
    if data.startswith(JPEG_START) and max(map(data.count, JPEG_MARKS)) > MAX_MARKS:
        raise UserError(DAMAGED)
    with Image.open(_Upload(data), formats=FORMATS) as image:
        width, height = image.size
        _check_size(width, height)
        scale = MAX_SIDE / max(width, height)
        _mend_key(image)
        image.draft(None, (int(width * scale), int(height * scale)))  # JPEG: decode it smaller
        image.load()
        turn = _turn(image)
        plain, remark = _eight_bits(image)
        remarks = (MOVES,) * _moves(image) + (remark,) * bool(remark)
    plain.thumbnail((MAX_SIDE, MAX_SIDE))
    return _on_white(plain, turn), remarks


def _from_pillow(image: Image.Image) -> tuple[U8, tuple[str, ...]]:
    if image.mode == "F":  # from 0 to 1, or to 255: nobody knows
        raise UserError(f"{NOT_RGB}; this image holds numbers of any size.")
    _check_size(*image.size)
    try:
        image.load()
        plain, remark = _eight_bits(image)
        return _on_white(plain, _turn(image)), (remark,) * bool(remark)
    except Exception as error:  # its file is damaged or closed
        raise UserError(DAMAGED) from error


def _on_white(plain: Image.Image, turn: Transpose | None) -> U8:
    """RGB or RGBA -> upright RGB (H, W, 3) u8."""
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


def _mend_key(image: ImageFile) -> None:
    """The transparent value of a PNG as Pillow's pixels have it, which it widens from 2 or 4 bits
    to 8, or cuts from 3 x 16: it leaves this value as the file has it."""
    key, bits = image.info.get("transparency"), image.tile[0].args if image.tile else None
    if key is not None and bits in ("L;2", "L;4"):
        image.info["transparency"] = key * (85 if bits == "L;2" else 17)
    if key is not None and bits == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _turn(image: Image.Image) -> Transpose | None:
    """What makes a loaded image upright. A damaged or too large EXIF turns nothing."""
    if any(len(image.info.get(key, "")) > MAX_EXIF for key in ("exif", "Raw profile type exif")):
        return None
    with suppress(Exception):
        return TURNS.get(image.getexif().get(Base.Orientation))
    return None


def _moves(image: Image.Image) -> bool:
    """Whether a browser plays it. A second frame that cannot be read is none."""
    with suppress(Exception):
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def _eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Any mode -> RGB, or RGBA where something may be transparent; and what was done, if much."""
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip to white
        return _eight_bits_of_grey(np.asarray(image), image.info.get("transparency"))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    plain = image if image.mode == mode else image.convert(mode)
    if mode == "RGBA" and plain.getchannel("A").getextrema() == (0, 0):  # as in many a 32-bit BMP
        return plain.convert("RGB"), CLEAR
    return plain, ""


def _eight_bits_of_grey(grey: np.ndarray[Any, Any], clear: int | None) -> tuple[Image.Image, str]:
    """(H, W) u16 -> RGB, and what was done. `clear`: the value that is transparent.

    The upper byte is kept, as for every 16-bit picture. Two kinds of data would come out all but
    uniform, and are stretched instead, the least value black, the greatest white: data of 14 bits
    or fewer (no value reaches a quarter of white; in a photograph some light does) and data of 12
    bits or fewer above some offset (all values within a sixteenth; fog has more). What is an 8-bit
    picture (bytes times 256 or 257) stays what it would be with 8 bits. So does one single value.
    Of 16-bit colour Pillow hands over the upper bytes only: there is nothing to stretch.
    """
    seen = grey if clear is None else grey[grey != clear]
    remark = "" if seen.size else CLEAR
    if remark:
        seen, clear = grey, None
    low, high = int(seen.min()), int(seen.max())
    shades = np.arange(2**16)
    table = shades >> 8
    few = high < 2**14 or high - low < 2**12
    if few and low < high and (seen % 256).any() and (seen % 257).any():
        table = np.rint((shades.clip(low, high) - low) * 255 / (high - low))
        remark = STRETCHED
    if clear is not None:
        table[clear] = 255
    return Image.fromarray(table.astype(np.uint8)[grey]).convert("RGB"), remark
