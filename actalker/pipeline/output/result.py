"""What a pipeline gives back: frames of the kind that is asked for, the exact rate, and the sound.

Letters: f frames, h w picture size, c channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from ...media.sound import Sound

OUTPUT_TYPES = ("pil", "np", "pt", "latent")  # diffusers' names


class Picture(Image.Image):
    """A frame as a PIL picture that `Image.fromarray` takes as well, as it takes arrays (h, w, 3) uint8."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's. With strides `fromarray` asks for `tobytes`, which pictures have; buffers they are not."""
        return {**super().__array_interface__, "strides": (3 * self.width, 3, 1)}


class Pictures(list):
    """The frames of a clip as a list of PIL pictures, which NumPy reads as one array (f, h, w, 3) uint8.

    What is asked of it as a whole (`shape`, `dtype`, `astype`, ==) is asked of that array.
    """

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        frames = np.stack([np.asarray(picture) for picture in self])
        return frames if dtype is None else frames.astype(dtype)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return Pictures(found) if isinstance(key, slice) else found

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == np.asarray(other)

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != np.asarray(other)

    def astype(self, dtype: Any) -> np.ndarray:
        """All frames as one array of numbers from 0 to 255."""
        return np.asarray(self, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(f, h, w, 3)."""
        return (len(self), self[0].height, self[0].width, 3)

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return np.dtype(np.uint8)


@dataclass
class TalkingHeadOutput(BaseOutput):
    """A clip; `out[0]` are its frames.

    frames: of one clip, so without diffusers' batch: `Pictures` (pil), floats in [0, 1] as an array
        (f, h, w, 3) (np) or a tensor (f, 3, h, w) (pt), or latents (f, c, h, w) (latent).
    fps: exact. sound: the speech, cut to the clip, or None.
    """

    frames: Pictures | np.ndarray | Tensor
    fps: Fraction
    sound: Sound | None


def as_output_type(frames: Sequence[np.ndarray], kind: str) -> Pictures | np.ndarray | Tensor:
    """Frames (h, w, 3) uint8 as `pil`, `np` or `pt`; see `TalkingHeadOutput`."""
    if kind == "pil":
        pictures = Pictures(Image.fromarray(frame) for frame in frames)
        for picture in pictures:
            picture.__class__ = Picture
        return pictures
    array = np.stack(frames).astype(np.float32) / 255
    return array if kind == "np" else torch.from_numpy(array).permute(0, 3, 1, 2)


def to_uint8(video: Tensor) -> np.ndarray:
    """(f, 3, h, w), in [-1, 1] or uint8 already, to (f, h, w, 3) uint8."""
    if video.dtype != torch.uint8:
        video = ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return video.permute(0, 2, 3, 1).cpu().numpy()


def to_float(video: Tensor) -> Tensor:
    """(f, 3, h, w), uint8 or in [-1, 1] already, to floats in [-1, 1]."""
    return video.float() / 127.5 - 1 if video.dtype == torch.uint8 else video
