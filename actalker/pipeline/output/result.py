"""The result of a pipeline: frames of the chosen kind, their exact rate, and the sound.

Letters: f frames, h w picture size, c channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsIndex, TypeAlias, overload

import numpy as np
import torch
from diffusers.utils import BaseOutput
from numpy.typing import DTypeLike
from PIL import Image
from torch import Tensor

from ...media.sound import Sound

OUTPUT_TYPES = ("pil", "np", "pt", "latent")  # diffusers' names


class Picture(Image.Image):
    """A frame as a PIL picture that `Image.fromarray` accepts too, like an array (h, w, 3) uint8."""

    @property
    def __array_interface__(self) -> dict[str, str | bytes | int | tuple[int, ...]]:
        """NumPy's interface, with strides: `fromarray` then calls `tobytes`; pictures are no buffers."""
        return {**super().__array_interface__, "strides": (3 * self.width, 3, 1)}


class Pictures(list[Image.Image]):
    """The frames of a clip as a list of PIL pictures, which NumPy reads as one array (f, h, w, 3) uint8.

    `shape`, `dtype`, `astype` and == are those of the array.
    """

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        frames = np.stack([np.asarray(picture) for picture in self])
        return frames if dtype is None else frames.astype(dtype)

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Image.Image: ...

    @overload
    def __getitem__(self, key: slice, /) -> Pictures: ...

    def __getitem__(self, key: SupportsIndex | slice, /) -> Image.Image | Pictures:
        return Pictures(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == np.asarray(other)

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != np.asarray(other)

    def astype(self, dtype: DTypeLike) -> np.ndarray:
        """Return all frames as one array of numbers from 0 to 255."""
        return np.asarray(self, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (f, h, w, 3) of the array."""
        return (len(self), self[0].height, self[0].width, 3)

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the array, uint8."""
        return np.dtype(np.uint8)


Frames: TypeAlias = Pictures | np.ndarray | Tensor
"""Frames of one clip, of the kinds that `TalkingHeadOutput` lists."""


@dataclass
class TalkingHeadOutput(BaseOutput):
    """A clip; `out[0]` are its frames.

    frames: of one clip, so without diffusers' batch axis: `Pictures` (pil), floats in [0, 1] as an array
        (f, h, w, 3) (np) or a tensor (f, 3, h, w) (pt), or latents (f, c, h, w) (latent).
    fps: the exact frame rate.
    sound: the speech, cut to the clip, or None.
    """

    frames: Frames
    fps: Fraction
    sound: Sound | None


def as_output_type(frames: Sequence[np.ndarray], kind: str) -> Frames:
    """Convert frames (h, w, 3) uint8 to the kind `pil`, `np` or `pt` of `TalkingHeadOutput`."""
    if kind == "pil":
        pictures = Pictures(Image.fromarray(frame) for frame in frames)
        for picture in pictures:
            picture.__class__ = Picture
        return pictures
    array = np.stack(frames).astype(np.float32) / 255
    return array if kind == "np" else torch.from_numpy(array).permute(0, 3, 1, 2)


def to_uint8(video: Tensor) -> np.ndarray:
    """Convert frames (f, 3, h, w), floats in [-1, 1] or uint8, to (f, h, w, 3) uint8."""
    if video.dtype != torch.uint8:
        video = ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return video.permute(0, 2, 3, 1).cpu().numpy()


def to_float(video: Tensor) -> Tensor:
    """Convert frames (f, 3, h, w), uint8 or floats in [-1, 1], to floats in [-1, 1]."""
    return video.float() / 127.5 - 1 if video.dtype == torch.uint8 else video
