"""What a denoiser works on, behind one interface: latents, and the portrait that they are turned into
frames with.

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

VIEWS = ("photo", "face")


class EvenInTime:
    """Latent frames that cover `stride[0]` video frames each, the last of a clip the rest; see `Codec`."""

    stride: tuple[int, int, int]

    def latents_of(self, frames: int) -> int:
        """Latent frames of a video of so many frames."""
        return -(-frames // self.stride[0])

    def frames_of(self, latents: int) -> int:
        """Video frames that so many latent frames cover."""
        return latents * self.stride[0]


@dataclass(frozen=True, eq=False)
class Sitter:
    """A portrait, as a codec is bound to it.

    image: (H, W, 3) uint8, upright. face: in its pixels. square: what models see of it that make pictures.
    size: of those pictures, (height, width) or the side of a square. name: of the file, for messages.
    view: what is shown: a name in `VIEWS`; None: as the codec does. limit: of the frames' longer side,
    pixels; 0 is none; None: the codec's own.
    """

    image: np.ndarray
    face: Face
    square: Crop
    size: Size
    name: str = "portrait"
    view: str | None = None
    limit: int | None = None


class Bound(Protocol):
    """A codec that knows its clip's portrait."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the frames that it decodes."""

    @property
    def picture(self) -> np.ndarray:
        """(h, w, 3) uint8, what is seen of the portrait."""

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Region -> (h, w) in [0, 1], where a signal may act, on what the network is told of places."""

    @property
    def reference(self) -> Tensor | None:
        """(1, c, h, w), what the network is told of the portrait; None: the picture's latent
        (`Codec.encode`).
        """

    @property
    def facts(self) -> tuple[str, ...]:
        """What was found and decides the result, a line each."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What frames that were made cannot show as it was asked, a line each."""

    def place(self) -> str:
        """In words, which part of the photograph is seen."""

    def seen_part(self) -> tuple[float, float, float, float]:
        """That part, x0, y0, x1, y1 in the photograph's pixels."""

    def sketch(self) -> tuple[str, np.ndarray]:
        """A title, and a picture (h, w, 3) uint8 that shows people what was found in the portrait."""

    def record(self) -> dict[str, object]:
        """For the sidecar: where in the photograph that is."""

    def carried(self, mask: np.ndarray) -> Tensor:
        """A mask (H, W) in [0, 1] over the photograph, where `masks` lie."""

    def shown(self, mask: Tensor) -> np.ndarray:
        """The inverse for people: a mask of `masks` over `picture`, (h, w) in [0, 1]."""

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """As `Codec.stream`."""

    def motion(self, latents: Tensor, start: int, fps: float) -> HeadMotion:
        """The motion that latents (1, f, c, h, w) hold, absolute. Raises: InputError where they hold
        pictures.
        """


class Codec(Protocol):
    """Latents and frames. Members: `PixelUnshuffle`, `TemporalAutoencoder` (SVD), `FaceMotion` (heads).

    The first two make pictures of latents alone; `FaceMotion` needs the portrait that it is bound to.
    """

    stride: tuple[int, int, int]
    """Video frames, rows and columns of pixels that a latent position covers, at the most."""

    def latents_of(self, frames: int) -> int:
        """Latent frames of a video of so many frames."""

    def frames_of(self, latents: int) -> int:
        """Video frames that the first so many latent frames of a clip cover; 0 cover 0."""

    channels: int
    """Channels of a latent."""

    moves: bool
    """Whether latents are motion, so that motion can be read from them."""

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """(c, h, w) of a model whose picture has this size."""

    def held(self, frames: int, size: Size, width: int) -> float:
        """Bytes that decoding so many frames at once holds, about. width: bytes of a number."""

    def encode(self, video: Tensor) -> Tensor:
        """Video (b, f, 3, H, W) in [-1, 1] to latents (b, latents_of(f), c, h, w)."""

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Latents (b, f, c, h, w) to video (b, frames_of(f), 3, H, W), `chunk` frames at once so that memory
        does not grow with the length.
        """

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Latents (1, f, c, h, w) to frames (k, 3, H, W), floats in [-1, 1] or uint8, a few at a time, in
        order; `chunk` frames at once.

        still, free: (1, c, h, w) the portrait's latent and (frames, H, W) in [0, 1]: where this is 0, the
        portrait stands.
        """

    def bound(self, sitter: Sitter) -> Bound:
        """The codec of a clip with this portrait. Raises: InputError for portraits that it cannot use."""


def no_motion() -> InputError:
    """What is said where motion is asked of a codec whose latents are pictures."""
    return InputError("this model makes pictures and knows no motion; take a model of heads, such as direct")
