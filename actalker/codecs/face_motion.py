"""Motion of a head on the face's own map, and a portrait that is drawn with it.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..errors import InputError
from ..heads.face_map import CHANNELS, SIDE, face_map, numbers_of
from ..heads.motion import HeadMotion
from ..heads.track import track
from ..media.image import Size
from .codec import EvenInTime, Sitter
from .drawn import DrawnPortrait
from .unshuffle import HUB_OPTIONS

LARGEST = 1280  # pixels of a frame's longer side, unless another is asked for
DRAWING = 500e6  # bytes that a portrait of that size and its drawing hold


class FaceMotion(ModelMixin, ConfigMixin, EvenInTime):
    """Latents (b, f, 4, 32, 32) of **relative** motion: zeros are the portrait as it is (`heads.face_map`).

    Channels 0 to 2: displacement of the skin in the head's axes, every coefficient at equal energy;
    channel 3: cells of pose, gaze and tongue. Talking faces have a standard deviation of about 0.3.
    Decoding needs the portrait (`bound`).
    """

    config_name = "config.json"
    stride, channels, moves = (1, 1, 1), CHANNELS, True

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        made = face_map()
        self.register_buffer("basis", torch.from_numpy(made.basis), persistent=False)
        self.register_buffer("reader", torch.from_numpy(made.reader), persistent=False)
        self.register_buffer("places", torch.from_numpy(made.places), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> FaceMotion:
        """As any diffusers model from a folder or hub id; there is a config alone and no file of weights."""
        hub = {name: options[name] for name in HUB_OPTIONS if name in options}
        codec = cls.from_config(cls.load_config(folder, **hub))
        return codec.to(options.get("torch_dtype") or torch.float32).eval()

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """(4, 32, 32), whatever the picture's size."""
        return CHANNELS, SIDE, SIDE

    def held(self, frames: int, size: Size, width: int) -> float:
        """Bytes that drawing holds, about: frames are drawn one by one, as bytes."""
        return DRAWING

    def lay(self, numbers: Tensor) -> Tensor:
        """Numbers (..., 62) of relative motion as latents (..., 4, 32, 32)."""
        return torch.einsum("...k,kcxy->...cxy", numbers.to(self.basis), self.basis)

    def read(self, latents: Tensor) -> Tensor:
        """The numbers (..., 62) float32 of latents: least squares; eyeLook stays 0, it follows the gaze."""
        return latents.float().flatten(-3) @ self.reader.float().T

    def encode(self, video: Tensor | HeadMotion) -> Tensor:
        """Latents (b, f, 4, 32, 32) of a video (b, f, 3, H, W) in [-1, 1], or of a track.

        A track is laid out as it is: give a relative one. The motion of a video's head is relative to the
        first frame that shows it, which stands for frames without it too. Raises: InputError for videos
        without a face.
        """
        if isinstance(video, HeadMotion):
            return self.lay(torch.from_numpy(numbers_of(video)))[None]
        return torch.cat([self.encode(_tracked(clip)) for clip in video])

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Raises InputError: motion alone is no picture."""
        raise InputError("FaceMotion: motion becomes frames with a portrait; use bound(sitter).stream")

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """As `decode`."""
        yield self.decode(latents, chunk)

    def bound(self, sitter: Sitter) -> DrawnPortrait:
        """The portrait with a head fitted to it. Raises: InputError where none fits."""
        return DrawnPortrait(self.lay, self.read, self.places, sitter, LARGEST)


def _tracked(clip: Tensor) -> HeadMotion:
    """Relative motion of a clip (f, 3, H, W) in [-1, 1]."""
    frames = ((clip.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    motion, _ = track(((k / 25, frame) for k, frame in enumerate(frames)))
    seen = np.flatnonzero(motion.confidence > 0)
    if not len(seen):
        raise InputError(f"video: no face found in {len(frames)} of its frames; give a video of one face")
    rest = int(seen[0])
    relative = motion.relative(motion[rest : rest + 1])
    gone = (relative.confidence <= 0)[:, None]
    return HeadMotion(
        relative.times,
        np.where(gone, 0, relative.coefficients),
        np.where(gone, 0, relative.pose),
        np.where(gone, 0, relative.gaze),
        relative.confidence,
        relative.shot,
    )
