"""Pictures: reads any common file as an upright RGB array of 8 bit, and writes PNG."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from ..errors import InputError
from ..extras import need
from ..provenance import check_readable, whole_file

MOST_PIXELS = 64 << 20  # pixels decoded at most: 200 MB of RGB
SMALLEST = 8  # pixels a side
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "TGA")  # none runs a program
FIX = "save it as PNG or JPEG"
AVIF = {b"avif", b"avis"}  # brands of ISO's file format for pictures (HEIF) by what they are coded with
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
END = b"\xff\xd9"  # of a JPEG

Size = int | tuple[int, int]
"""Of a picture: (height, width) in pixels, or the side of a square."""


def height_width(size: Size) -> tuple[int, int]:
    """(height, width) of a size; a plain number is the side of a square."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture by its content, whatever its name: (h, w, 3) uint8, RGB, upright.

    EXIF rotation is applied, colours of another profile become sRGB, alpha is laid over white, grey becomes
    RGB, 16 bit become 8; of an animation the first picture. HEIC needs the package pillow-heif. Above 64
    megapixels a JPEG is decoded at 1/2, 1/4 or 1/8 of its size and others are refused, so that memory stays
    bounded whatever the file's header says.
    Raises: InputError for what is no picture, damaged, or smaller than 8 pixels.
    """
    path = check_readable(path, "picture")
    with open(path, "rb") as file:
        return decode_image(file, path)


def decode_image(file: IO[bytes], path: str | Path) -> np.ndarray:
    """`read_image` of an open file; path: its name in errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size and odd metadata: both are dealt with here
        try:
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


def write_png(path: str | Path, array: np.ndarray, overwrite: bool = True, says: str | None = None) -> None:
    """Write (h, w, 3) or (h, w) uint8 as PNG; the file appears when it is whole.

    says: the comment in its metadata; None: it has none.
    Raises: InputError for another array, or where the file cannot be written.
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise InputError(f"{path}: a PNG takes (h, w, 3) or (h, w) uint8, not {array.shape} {array.dtype}")
    with whole_file(path, overwrite) as work:
        info = PngImagePlugin.PngInfo()
        if says is not None:
            info.add_text("Comment", says)
        Image.fromarray(np.ascontiguousarray(array)).save(work, format="PNG", pnginfo=info)


def flat_rgb(picture: Image.Image, name: str | Path, profile: bytes | None = None) -> np.ndarray:
    """A picture of any of Pillow's modes as (h, w, 3) uint8: 8 bit, sRGB, alpha over white.

    name: of the picture, for errors. profile: the ICC profile of its colours; None: they are sRGB's.
    """
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _to_8_bit(name, picture)
    if profile:
        picture = _to_srgb(picture, profile)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))


def _decode(path: str | Path, file: IO[bytes]) -> np.ndarray:
    """`decode_image`, with Pillow's own errors."""
    head = file.read(4096)
    file.seek(0)
    if _coded_as(head) == "HEIC":
        picture: Image.Image = _heic(path, file)
    elif _coded_as(head) == "AVIF" and head[8:12] not in AVIF:  # Pillow knows it by the first brand alone
        picture = Image.open(io.BytesIO(head[:8] + b"avif" + file.read()[12:]), formats=["AVIF"])
    elif head[:2] == b"\xff\xd8":  # Image.open would refuse large ones before draft can help
        picture = JpegImagePlugin.jpeg_factory(_whole_jpeg(file))
    else:
        picture = Image.open(file, formats=FORMATS)
    w, h = picture.size
    if min(w, h) < SMALLEST:
        raise InputError(f"{path}: the picture is {w} x {h} pixels; give {SMALLEST} x {SMALLEST} or more")
    if w * h > MOST_PIXELS:
        _shrink_while_decoding(path, picture)
    picture.load()
    profile = picture.info.get("icc_profile")
    picture = ImageOps.exif_transpose(picture)
    return flat_rgb(picture, path, profile)


def is_still(path: str | Path) -> bool:
    """Whether a file that FFmpeg may open as video holds one picture: AVIF, HEIC, GIF, PNG or WebP."""
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = file.read(4096)
            if (kind := _coded_as(head)) is not None or head[4:8] != b"ftyp":
                file.seek(0)
                return kind == "HEIC" or not getattr(Image.open(file, formats=FORMATS), "is_animated", False)
    except Exception:  # Pillow's readers raise anything; what is no picture to them may be a video
        pass
    return False


def _coded_as(head: bytes) -> str | None:
    """ "AVIF" or "HEIC", by all the brands in a file's first box; None for other files."""
    if head[4:8] != b"ftyp":
        return None
    box = head[: int.from_bytes(head[:4], "big")]
    brands = {box[8:12], *(box[k : k + 4] for k in range(16, len(box), 4))}
    if brands & AVIF:
        return "AVIF"
    return "HEIC" if brands & HEIC or brands & {b"mif1", b"msf1"} else None


def _heic(path: str | Path, file: IO[bytes]) -> Image.Image:
    """A HEIC picture by pillow-heif. Raises: InputError where that is not installed."""
    try:
        heif = need("heif", "pillow_heif")
    except InputError as error:
        raise InputError(f"{path}: is a HEIC picture; {error}, or {FIX}") from None
    return heif.HeifImageFile(file)


def _whole_jpeg(file: IO[bytes]) -> IO[bytes]:
    """The JPEG with its end mark, where only that is missing: no pixel depends on it.

    A JPEG that lacks more stays as it is, and is refused as damaged when it is decoded.
    """
    data = file.read()
    file.seek(0)
    if END in data[-4096:]:
        return file
    data = data.removesuffix(END[:1])
    pictures = []
    for filling in (b"\x55", b"\xaa"):
        trial = JpegImagePlugin.jpeg_factory(io.BytesIO(data + filling * 256 + END))
        if math.prod(trial.size) > MOST_PIXELS:
            return file
        pictures.append(trial.tobytes())
    return io.BytesIO(data + END) if pictures[0] == pictures[1] else file


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB; unchanged where its colour profile cannot be read."""
    mode, alpha = picture.mode, None
    if mode in ("RGBA", "LA"):
        alpha, picture = picture.getchannel("A"), picture.convert(mode[:-1])
    elif mode not in ("RGB", "L", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of another number of channels
        changed = None
    picture = picture if changed is None else changed
    if alpha is not None:
        picture = picture.convert("RGB")
        picture.putalpha(alpha)
    return picture


def _shrink_while_decoding(path: str | Path, picture: Image.Image) -> None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size. Raises: InputError where that is not enough."""
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


def _to_8_bit(path: str | Path, picture: Image.Image) -> Image.Image:
    """Grey of 16 bit as 8 bit; 65535 is white."""
    if picture.mode == "F":
        raise InputError(f"{path}: the picture holds decimal numbers; save it as PNG with 8 bit")
    values = np.clip(np.asarray(picture).astype(np.float32), 0, 65535)
    return Image.fromarray(np.round(values / 257).astype(np.uint8))
