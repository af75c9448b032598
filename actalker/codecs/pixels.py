"""Codecs whose latents are pictures: their common part, and their view of a portrait.

Letters: b batch, f frames, H W picture size, c h w the latent's channels and size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..heads.motion import HeadMotion
from ..media.image import Size, height_width
from ..regions.shapes import REGIONS, SOFT_REGIONS
from .codec import EvenInTime, Sitter, no_motion


class PixelCodec(EvenInTime, ABC):
    """A `Codec` whose latents are decoded without the portrait."""

    channels: int
    moves = False

    @abstractmethod
    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Decode latents (b, f, c, h, w) to video; see `Codec`."""

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return the shape (c, h, w) of a latent frame for pictures of this size."""
        h, w = height_width(size)
        return self.channels, h // self.stride[1], w // self.stride[2]

    def held(self, frames: int, size: Size, width: int) -> float:
        """Return about how many bytes it takes to decode so many frames at once: those of the frames."""
        h, w = height_width(size)
        return frames * 3 * h * w * width

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Decode latents, and yield frames (k, 3, H, W) in [-1, 1]; arguments as of `Codec.stream`."""
        portrait = None if still is None else self.decode(still[:, None])[0, :1]
        first = 0
        for part in latents.split(max(1, chunk // self.stride[0]), dim=1):
            video = self.decode(part, chunk)[0]
            if portrait is not None and free is not None:
                video = video[: len(free) - first]
                video = portrait + free[first : first + len(video), None].to(video) * (video - portrait)
            first += len(video)
            yield video

    def bound(self, sitter: Sitter) -> SquarePortrait:
        """Cut the part of the portrait that the model sees. Raises InputError for another view or size."""
        h, w = height_width(sitter.size)
        if sitter.view == "photo":
            raise InputError(
                f"view photo: this model draws the face alone, {w}x{h} pixels; leave --view out, or take a "
                "model of heads, such as direct"
            )
        if sitter.limit not in (None, max(h, w)):
            raise InputError(
                f"size {sitter.limit or 'own'}: this model draws {w}x{h} pixels; leave --size out, or "
                "take a model of heads, such as direct"
            )
        return SquarePortrait.of(sitter, self)


@dataclass(frozen=True, eq=False)
class SquarePortrait:
    """The part of a photograph that models with latents of pictures see and draw; a `codec.Bound`.

    picture: (h, w, 3) uint8, that part at the model's size.
    masks: region -> (h, w) in [0, 1] on the picture.
    sitter: the photograph and its face.
    codec: the codec that is bound; None where nothing is decoded.
    reference: None, so the reference is the picture's latent.
    """

    picture: np.ndarray
    masks: Mapping[str, Tensor]
    sitter: Sitter
    codec: PixelCodec | None = None
    reference: Tensor | None = None
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, sitter: Sitter, codec: PixelCodec | None = None) -> SquarePortrait:
        """Cut the part and make its regions' masks, soft ones too where the face's landmarks are known."""
        size = height_width(sitter.size)
        points = sitter.face.points().moved(sitter.square, size)
        shapes = {**REGIONS, **(SOFT_REGIONS if points.contours else {})}
        masks = {region: shape([points], size) for region, shape in shapes.items()}
        return cls(sitter.square.apply(sitter.image, size), masks, sitter, codec)

    @property
    def size(self) -> tuple[int, int]:
        """Size (h, w) of the frames."""
        return self.picture.shape[0], self.picture.shape[1]

    def place(self) -> str:
        """Return, in words, which part of the photograph the model sees."""
        h, w = self.sitter.image.shape[:2]
        left, top, right, bottom = self.seen_part()
        width, height = right - left, bottom - top
        size, start = f"{round(width)} x {round(height)}", f"({round(left)}, {round(top)})"
        x0, y0 = max(0.0, left), max(0.0, top)
        x1, y1 = min(float(w), right), min(float(h), bottom)
        beyond = 1 - max(0.0, x1 - x0) * max(0.0, y1 - y0) / (width * height)
        return f"the model sees {size} pixels from {start} of {w} x {h}" + (
            f", {beyond:.0%} of them beyond the picture" if beyond >= 0.005 else ""
        )

    def seen_part(self) -> tuple[float, float, float, float]:
        """Return that part as x0, y0, x1, y1 in the photograph's pixels."""
        return self.sitter.square.seen(self.sitter.size)

    def sketch(self) -> tuple[str, np.ndarray]:
        """Return a title and the picture that the model sees."""
        return "what the model sees", self.picture

    def record(self) -> dict[str, object]:
        """Return the square in the photograph, x, y and side in pixels, for the sidecar."""
        square = self.sitter.square
        return {"square": [round(float(v), 2) for v in (square.x, square.y, square.side)]}

    def carried(self, mask: np.ndarray) -> Tensor:
        """Cut a mask (H, W) in [0, 1] over the photograph as the picture is cut, (h, w)."""
        grey = (np.asarray(mask) * 255).round().astype(np.uint8)
        cut = self.sitter.square.apply(np.repeat(grey[..., None], 3, axis=2), self.sitter.size)
        return torch.as_tensor(cut[..., 0].astype(np.float32) / 255)

    def shown(self, mask: Tensor) -> np.ndarray:
        """Return the mask itself, since masks lie on the picture."""
        return mask.numpy()

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Yield the frames that the codec decodes; arguments as of `Codec.stream`."""
        assert self.codec is not None
        return self.codec.stream(latents, chunk, still, free)

    def motion(self, latents: Tensor, start: int, fps: float) -> HeadMotion:
        """Raise InputError: latents of pictures hold no motion."""
        raise no_motion()
