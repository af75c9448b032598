"""Pictures: any file that a camera or a program writes to an upright RGB array of 8 bit, and PNG back."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from ..errors import InputError
from ..provenance import check_readable, whole_file

MOST_PIXELS = 64 << 20  # pixels decoded at most: 200 MB of RGB
SMALLEST = 8  # pixels a side
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "TGA")  # none runs a program
FIX = "save it as PNG or JPEG"


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture by its content, whatever its name: (h, w, 3) uint8, RGB, upright.

    EXIF rotation is applied, alpha is laid over white, grey becomes RGB, 16 bit become 8; of an animation
    the first picture. Above 64 megapixels a JPEG is decoded at 1/2, 1/4 or 1/8 of its size and others are
    refused, so that memory stays bounded whatever the file's header says.
    Raises: InputError for what is no picture, damaged, or smaller than 8 pixels.
    """
    path = check_readable(path, "picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size and odd metadata: both are dealt with here
        try:
            with open(path, "rb") as file:
                return _decode(path, file)
        except InputError:
            raise
        except UnidentifiedImageError:
            raise InputError(f"{path}: is not a picture that can be read; {FIX}") from None
        except Image.DecompressionBombError:
            raise InputError(f"{path}: the picture has more than 64 megapixels; make it smaller") from None
        except Exception as error:  # Pillow's readers raise anything on damaged files
            why = " ".join(str(error).split())[:100] or type(error).__name__
            raise InputError(f"{path}: the picture is damaged ({why}); copy or export it again") from None


def write_png(path: str | Path, array: np.ndarray, overwrite: bool = True) -> None:
    """Write (h, w, 3) or (h, w) uint8 as PNG; the file appears when it is whole."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise InputError(f"{path}: a PNG takes (h, w, 3) or (h, w) uint8, not {array.shape} {array.dtype}")
    with whole_file(path, overwrite) as work:
        Image.fromarray(np.ascontiguousarray(array)).save(work, format="PNG")


def _decode(path: Path, file) -> np.ndarray:  # type: ignore[no-untyped-def]
    head = file.read(12)
    file.seek(0)
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        raise InputError(f"{path}: is a HEIC picture, which cannot be read; {FIX}")
    jpeg = head[:2] == b"\xff\xd8"  # Image.open would refuse large ones before draft can help
    picture: Image.Image = JpegImagePlugin.jpeg_factory(file) if jpeg else Image.open(file, formats=FORMATS)
    w, h = picture.size
    if min(w, h) < SMALLEST:
        raise InputError(f"{path}: the picture is {w} x {h} pixels; give {SMALLEST} x {SMALLEST} or more")
    if w * h > MOST_PIXELS:
        _shrink_while_decoding(path, picture)
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _to_8_bit(path, picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))


def _shrink_while_decoding(path: Path, picture: Image.Image) -> None:
    w, h = picture.size
    # a progressive JPEG is held whole as coefficients before any scaling
    if isinstance(picture, JpegImagePlugin.JpegImageFile) and not picture.info.get("progressive"):
        for scale in (2, 4, 8):
            if math.ceil(w / scale) * math.ceil(h / scale) <= MOST_PIXELS:
                picture.draft(None, (w // scale, h // scale))
                break
    if math.prod(picture.size) > MOST_PIXELS:
        raise InputError(
            f"{path}: the picture is {w} x {h} pixels, {w * h / 1e6:.0f} megapixels; "
            "make it smaller than 64 megapixels"
        )


def _to_8_bit(path: Path, picture: Image.Image) -> Image.Image:
    """Grey of 16 bit to 8: 65535 is white."""
    if picture.mode == "F":
        raise InputError(f"{path}: the picture holds decimal numbers; save it as PNG with 8 bit")
    values = np.clip(np.asarray(picture).astype(np.float32), 0, 65535)
    return Image.fromarray(np.round(values / 257).astype(np.uint8))
