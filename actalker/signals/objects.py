"""Read pictures, frames and sound from Python objects: of PIL, NumPy, torch, Hugging Face datasets, Gradio.

Letters: f frames, h w picture size, c channels, n samples.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from PIL import Image, ImageOps

from ..errors import InputError, kind_of
from ..heads.motion import HeadMotion
from ..media.image import decode_image, flat_rgb
from ..media.sound import Sound, read_sound

PictureInput = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor | bytes | BinaryIO
VideoInput = str | os.PathLike[str] | np.ndarray | torch.Tensor | HeadMotion | Iterable[PictureInput]
SoundInput = str | os.PathLike[str] | Sound | tuple[object, object] | Mapping[str, object] | bytes | BinaryIO
PICTURE = "a file's path, a PIL picture, or an array (h, w, 3), uint8 or floats in [0, 1]"
FRAMES = "a file's path, or frames: PIL pictures or arrays (h, w, 3), uint8 or floats in [0, 1]"
SOUND = "a file's path, a Sound, (array, rate), or {'array': ..., 'sampling_rate': ...}"
LOUDEST = 16.0  # larger float samples are whole numbers that were never scaled
DEPTHS = (1, 3, 4)  # numbers of channels of a picture: grey, RGB, RGB with alpha


def as_picture(value: PictureInput, name: str = "portrait") -> Path | np.ndarray:
    """Read a picture as (h, w, 3) uint8; a path is returned as a path.

    Args:
        value: a path, a PIL picture, an open file or its bytes; or an array or tensor (h, w), (h, w, c) or
            (c, h, w) with 1, 3 or 4 channels, whole numbers up to 255 or floats in [0, 1]; or a batch of one.
        name: for messages.
    Raises: InputError for everything else.
    """
    if isinstance(value, (str, os.PathLike)):
        return _path(value, name)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "read"):
        return decode_image(io.BytesIO(_content(value, name)), name)
    if isinstance(value, Image.Image):
        return flat_rgb(ImageOps.exif_transpose(value), name, value.info.get("icc_profile"))
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _pixels(value, name)
    raise InputError(f"{name}: is {kind_of(value)}; give {PICTURE}")


def as_frames(value: VideoInput, name: str = "driving video") -> Path | HeadMotion | Iterator[np.ndarray]:
    """Read a video as an iterator of frames (h, w, 3) uint8; a path and a head's motion are returned as such.

    Args:
        value: a path; an absolute `HeadMotion`; or frames as `as_picture` takes them, in an iterable,
            or in an array or tensor (f, h, w, c) or (f, c, h, w), or in a batch of one such.
        name: for messages.
    Raises: InputError for everything else, and, while it is read, for frames of different sizes.
    """
    if isinstance(value, (str, os.PathLike)):
        return _path(value, name)
    if isinstance(value, HeadMotion):
        return value
    if isinstance(value, (np.ndarray, torch.Tensor)):
        value = value[0] if value.ndim == 5 and len(value) == 1 else value
        if value.ndim != 4:
            raise InputError(f"{name}: an array of shape {tuple(value.shape)}; give {FRAMES}")
    elif not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray, Mapping, io.IOBase)):
        raise InputError(f"{name}: is {kind_of(value)}; give {FRAMES}")
    return _frames(value, name)


def as_sound(sound: SoundInput, name: str = "audio") -> Path | Sound:
    """Read a sound; a path is returned as a path.

    Args:
        sound: a path, a `Sound`, an open file or its bytes; (array, rate), or Gradio's (rate, array);
            a row of Hugging Face datasets; or a decoder of torchcodec. Arrays and tensors are (n,), (c, n)
            or (n, c), floats in [-1, 1] or whole numbers in their type's range.
        name: for messages.
    Raises: InputError for everything else, and for arrays without a rate.
    """
    value: object = sound
    if isinstance(value, Sound):
        return value
    if isinstance(value, (str, os.PathLike)):
        return _path(value, name)
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "read"):
        return _spooled(_content(value, name), name)
    if hasattr(value, "get_all_samples"):  # torchcodec, and datasets' Audio
        decoded = value.get_all_samples()
        value = (decoded.data, decoded.sample_rate)
    if isinstance(value, Mapping):
        array = _first(value, "array", "raw", "waveform")
        rate = _first(value, "sampling_rate", "sample_rate", "rate")
        if array is None and value.get("bytes") is not None:
            return _spooled(value["bytes"], name)
        if array is None and value.get("path") is not None:
            return Path(value["path"])
        if array is None or rate is None:
            raise InputError(
                f"{name}: a dictionary of {', '.join(map(str, value)) or 'nothing'}; give {SOUND}"
            )
        value = (array, rate)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        array, rate = value if np.ndim(value[0]) else value[::-1]
        if np.ndim(array) and not np.ndim(rate):
            return _samples(array, rate, name)
    if isinstance(value, (np.ndarray, torch.Tensor)):
        raise InputError(f"{name}: an array without its rate; give (array, rate)")
    raise InputError(f"{name}: is {kind_of(value)}; give {SOUND}")


def _samples(array: object, rate: object, name: str) -> Sound:
    """Make a sound of an array (n,), (c, n) or (n, c) and its samples a second."""
    values = _numpy(array)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim not in (1, 2) or values.dtype.kind not in "iuf" or not values.size:
        raise InputError(f"{name}: samples of shape {values.shape} {values.dtype}; give {SOUND}")
    rate = rate.item() if hasattr(rate, "item") else rate
    if not isinstance(rate, (int, float)) or not float(rate).is_integer() or rate < 1:
        raise InputError(f"{name}: a rate of {rate!r}; give samples a second, such as 16000")
    values = np.atleast_2d(values)
    if values.shape[0] > values.shape[1]:
        values = values.T
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        middle = (info.max + info.min + 1) // 2  # of unsigned samples
        values = (values.astype(np.float64) - middle) / (info.max - middle + 1)
    elif np.abs(values).max() > LOUDEST:
        raise InputError(
            f"{name}: float samples up to {np.abs(values).max():g}; give floats in [-1, 1], or whole numbers"
        )
    return Sound(np.ascontiguousarray(values, dtype=np.float32), int(rate))


def _spooled(content: bytes, name: str) -> Sound:
    """Read the sound in the bytes of a file, by way of a temporary file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound"
        path.write_bytes(content)
        try:
            return read_sound(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None


def _frames(value: Iterable[PictureInput], name: str) -> Iterator[np.ndarray]:
    """Yield pictures as (h, w, 3) uint8. Raises InputError for paths, and for frames of different sizes."""
    first = None
    for k, frame in enumerate(value):
        picture = as_picture(frame, f"{name}, frame {k}")
        if isinstance(picture, Path):
            raise InputError(
                f"{name}, frame {k}: is a path; give one video file, or pictures that are opened"
            )
        first = picture.shape if first is None else first
        if picture.shape != first:
            raise InputError(
                f"{name}, frame {k}: is {picture.shape}, the first {first}; give frames of one size"
            )
        yield picture


def _path(value: str | os.PathLike[str], name: str) -> Path:
    """Return a path. Raises InputError for the address of a web page."""
    if "://" in os.fspath(value):
        raise InputError(f"{name}: {os.fspath(value)} is an address; download it, and give the file")
    return Path(value)


def _pixels(value: np.ndarray | torch.Tensor, name: str) -> np.ndarray:
    """Read an array or tensor as (h, w, 3) uint8; argument as of `as_picture`."""
    array = _numpy(value)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    array = array[..., None] if array.ndim == 2 else array
    first, last = (array.ndim == 3 and array.shape[k] in DEPTHS for k in (0, 2))
    if first and (not last or isinstance(value, torch.Tensor)):
        array = np.moveaxis(array, 0, 2)
    if not (first or last) or array.dtype.kind not in "iuf" or not array.size:
        raise InputError(f"{name}: an array of {array.shape} {array.dtype}; give {PICTURE}")
    low, high = float(array.min()), float(array.max())
    most = {"f": 1 + 1e-3, "u": 65535 if array.dtype == np.uint16 else 255}.get(array.dtype.kind, 255)
    if not (-1e-3 if array.dtype.kind == "f" else 0) <= low <= high <= most:
        raise InputError(f"{name}: {array.dtype} values from {low:g} to {high:g}; give {PICTURE}")
    if array.dtype.kind == "f":
        array = array.clip(0, 1) * 255
    elif array.dtype == np.uint16:
        array = array / 257
    array = np.round(array).astype(np.uint8)
    if array.shape[2] == 4:
        return flat_rgb(Image.fromarray(array), name)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _numpy(value: object) -> np.ndarray:
    """Return an array, a tensor or nested lists as an array."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
    return np.asarray(value)


def _content(value: object, name: str) -> bytes:
    """Return the bytes of an open file, or the bytes themselves. Raises InputError for a file of text."""
    content = value if isinstance(value, (bytes, bytearray)) else cast("BinaryIO", value).read()
    if not isinstance(content, (bytes, bytearray)):
        raise InputError(f"{name}: a file that was opened as text; open it with 'rb'")
    return bytes(content)


def _first(values: Mapping[str, object], *names: str) -> object:
    """Return the first value under these names that is not None, else None."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def checked_picture(array: np.ndarray, name: str) -> np.ndarray:
    """Return the array. Raises InputError unless it is (h, w, 3) uint8."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(f"{name}: an array of {array.shape} {array.dtype}; give (h, w, 3) uint8, RGB")
    return array
