"""The interface of codecs: from video to the latents of a denoiser, and from latents to frames.

Letters: b batch, f frames, H W picture size, c h w the latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..faces.crop import Crop
from ..faces.face import Face
from ..heads.motion import HeadMotion
from ..media.image import Size

VIEWS = ("photo", "face")  # the whole photograph, or the square around the face


class EvenInTime:
    """The time axis of codecs whose latent frames cover `stride[0]` video frames each.

    The last latent frame of a clip may cover fewer.
    """

    stride: tuple[int, int, int]

    def latents_of(self, frames: int) -> int:
        """Return the number of latent frames of a video of so many frames."""
        return -(-frames // self.stride[0])

    def frames_of(self, latents: int) -> int:
        """Return how many video frames so many latent frames cover at the most."""
        return latents * self.stride[0]


@dataclass(frozen=True, eq=False)
class Sitter:
    """Hold a portrait and how it is to be shown, for `Codec.bound`.

    image: (H, W, 3) uint8, upright.
    face: the face, in pixels of the image.
    square: the part of the image that is cut out for codecs whose latents are pictures.
    size: the size to which this part is resized, (height, width) or the side of a square, in pixels.
    name: name of the file, for messages.
    view: the part that the frames show, a name in `VIEWS`; None leaves the choice to the codec.
    limit: the most pixels of the frames' longer side; 0 is no limit, None is the codec's own limit.
    """

    image: np.ndarray
    face: Face
    square: Crop
    size: Size
    name: str = "portrait"
    view: str | None = None
    limit: int | None = None


class Bound(Protocol):
    """Interface of a codec that is bound to the portrait of one clip."""

    @property
    def size(self) -> tuple[int, int]:
        """Return the size (h, w) of the decoded frames."""

    @property
    def picture(self) -> np.ndarray:
        """Return the part of the portrait that the frames show, (h, w, 3) uint8."""

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Return region -> mask (h, w) in [0, 1] in the coordinates of the codec.

        These are the coordinates of `picture`, or, where latents are motion, those of the face's map.
        """

    @property
    def reference(self) -> Tensor | None:
        """Return the latent of the portrait for the network, (1, c, h, w).

        None means that it is the latent of `picture`, which the caller encodes.
        """

    @property
    def facts(self) -> tuple[str, ...]:
        """Return what was measured in the portrait and decides the result, one line for each fact."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return where the frames drawn so far fall short of the motion asked for, one line for each note."""

    def place(self) -> str:
        """Return, in words, which part of the photograph the frames show."""

    def seen_part(self) -> tuple[float, float, float, float]:
        """Return the part of the photograph that the frames show, x0, y0, x1, y1 in its pixels."""

    def sketch(self) -> tuple[str, np.ndarray]:
        """Return a title and a picture (h, w, 3) uint8 that shows how the portrait was understood."""

    def record(self) -> dict[str, object]:
        """Return what the sidecar says of the portrait, among it the part of the photograph that is shown."""

    def carried(self, mask: np.ndarray) -> Tensor:
        """Map a mask (H, W) in [0, 1] over the photograph to the coordinates of `masks`."""

    def shown(self, mask: Tensor) -> np.ndarray:
        """Map a mask from the coordinates of `masks` to those of `picture`, (h, w) in [0, 1], for display."""

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Yield the frames of latents (1, f, c, h, w); the arguments are those of `Codec.stream`."""

    def motion(self, latents: Tensor, start: int, fps: float) -> HeadMotion:
        """Return the absolute motion in latents (1, f, c, h, w).

        Args:
            latents: clean ones.
            start: number of the first frame in the clip.
            fps: frames a second, for the times of the motion.
        Raises: InputError for latents of pictures.
        """


class Codec(Protocol):
    """Interface of codecs, which map video to latents and back.

    `PixelUnshuffle` and `TemporalAutoencoder` (SVD) have latents of pictures, which they decode alone;
    `FaceMotion` has latents of a head's motion, and draws frames of the portrait that it is bound to.
    """

    stride: tuple[int, int, int]
    """Video frames (at most), rows of pixels and columns of pixels that one latent position covers."""

    def latents_of(self, frames: int) -> int:
        """Return the number of latent frames of a video of so many frames."""

    def frames_of(self, latents: int) -> int:
        """Return how many video frames the first so many latent frames of a clip cover; 0 cover 0."""

    channels: int
    """Number of channels of a latent, c."""

    moves: bool
    """Whether latents are motion, so that `Bound.motion` can read it."""

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return the shape (c, h, w) of a latent frame for pictures of this size."""

    def held(self, frames: int, size: Size, width: int) -> float:
        """Return about how many bytes it takes to decode frames, for the memory plan.

        Args:
            frames: number of frames decoded at once.
            size: size of a frame, (height, width) or the side of a square, in pixels.
            width: bytes per number.
        """

    def encode(self, video: Tensor) -> Tensor:
        """Encode video (b, f, 3, H, W) in [-1, 1] to latents (b, latents_of(f), c, h, w)."""

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Decode latents (b, f, c, h, w) to video (b, frames_of(f), 3, H, W) in [-1, 1].

        chunk: frames decoded at once, so that memory does not grow with the length.
        """

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Decode latents, and yield their frames in order, a few at a time: (k, 3, H, W).

        Args:
            latents: (1, f, c, h, w).
            chunk: frames decoded at once.
            still: (1, c, h, w), the portrait's latent; needed with `free`.
            free: (frames, H, W) in [0, 1], where the picture may move; the portrait shows where it is 0.
        Returns: floats in [-1, 1], or uint8.
        """

    def bound(self, sitter: Sitter) -> Bound:
        """Bind the codec to a clip's portrait. Raises InputError for a portrait that it cannot use."""


def no_motion() -> InputError:
    """Return the error of `Bound.motion` for codecs whose latents are pictures."""
    return InputError("this model makes pictures and knows no motion; take a model of heads, such as direct")
