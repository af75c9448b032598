"""A codec whose latents are the motion of a head, laid out on a map of the face.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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

LARGEST = 1280  # pixels of a frame's longer side, unless the request has another limit
DRAWING = 500e6  # bytes that it takes to draw a portrait of that size


class FaceMotion(ModelMixin, ConfigMixin, EvenInTime):
    """A `Codec` with latents (b, f, 4, 32, 32) of motion **relative** to the portrait, which is all zeros.

    Channels 0 to 2 are the displacement of the skin, by position on the face's map, along the head's axes;
    each coefficient is scaled to equal energy. Channel 3 has cells for pose, gaze and tongue
    (`heads.face_map`). The latents of talking faces have a standard deviation of about 0.3. Frames need
    the portrait (`bound`).
    """

    config_name = "config.json"
    stride, channels, moves = (1, 1, 1), CHANNELS, True

    @register_to_config
    def __init__(self) -> None:
        """Make a codec; it has no settings and no weights."""
        super().__init__()
        layout = face_map()
        self.register_buffer("basis", torch.from_numpy(layout.basis), persistent=False)
        self.register_buffer("reader", torch.from_numpy(layout.reader), persistent=False)
        self.register_buffer("places", torch.from_numpy(layout.places), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: object) -> FaceMotion:
        """Open a folder or hub id, which holds a config and no weights; options as of diffusers' models."""
        hub = {name: options[name] for name in HUB_OPTIONS if name in options}
        codec = cls.from_config(cls.load_config(folder, **hub))
        return codec.to(options.get("torch_dtype") or torch.float32).eval()

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return (4, 32, 32), whatever the picture's size."""
        return CHANNELS, SIDE, SIDE

    def held(self, frames: int, size: Size, width: int) -> float:
        """Return about how many bytes it takes to draw; frames are drawn one by one, so none counts."""
        return DRAWING

    def lay(self, numbers: Tensor) -> Tensor:
        """Lay out numbers (..., 62) of relative motion as latents (..., 4, 32, 32)."""
        return torch.einsum("...k,kcxy->...cxy", numbers.to(self.basis), self.basis)

    def read(self, latents: Tensor) -> Tensor:
        """Read the numbers (..., 62) float32 from latents by least squares.

        The eyeLook coefficients are 0: they follow from the gaze.
        """
        return latents.float().flatten(-3) @ self.reader.float().T

    def encode(self, video: Tensor | HeadMotion) -> Tensor:
        """Encode a video (b, f, 3, H, W) in [-1, 1], or a track of f frames, to latents (b, f, 4, 32, 32).

        The head of a video is tracked; its motion is relative to the first frame that shows a face, and 0 at
        frames without one. A track has to be relative already.

        Raises: InputError for videos without a face.
        """
        if isinstance(video, HeadMotion):
            return self.lay(torch.from_numpy(numbers_of(video)))[None]
        return torch.cat([self.encode(_tracked(clip)) for clip in video])

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Raise InputError: frames need a portrait."""
        raise InputError("FaceMotion: motion becomes frames with a portrait; use bound(sitter).stream")

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Raise InputError, as `decode`: frames need a portrait."""
        yield self.decode(latents, chunk)

    def bound(self, sitter: Sitter) -> DrawnPortrait:
        """Fit a head to the portrait, to draw it in motion. Raises InputError where none fits."""
        return DrawnPortrait(self.lay, self.read, self.places, sitter, LARGEST)


def _tracked(clip: Tensor) -> HeadMotion:
    """Track the head of a clip (f, 3, H, W) in [-1, 1]; motion relative to the first frame with a face."""
    frames = ((clip.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    motion, _ = track(((k / 25, frame) for k, frame in enumerate(frames)))
    seen = np.flatnonzero(motion.confidence > 0)
    if not len(seen):
        raise InputError(f"video: no face found in {len(frames)} of its frames; give a video of one face")
    rest = int(seen[0])
    relative = motion.relative(motion[rest : rest + 1])
    faceless = (relative.confidence <= 0)[:, None]
    return replace(
        relative,
        coefficients=np.where(faceless, 0, relative.coefficients),
        pose=np.where(faceless, 0, relative.pose),
        gaze=np.where(faceless, 0, relative.gaze),
    )
