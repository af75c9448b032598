"""Pixels to latents and back, behind one interface.

Letters: b batch, f frames, H W picture size, c h w the latent's channels and size.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Codec(Protocol):
    """What the denoiser works on. Members: `PixelUnshuffle` (tiny) and `TemporalAutoencoder` (SVD)."""

    stride: int
    """Pixels a latent position covers, along each side."""

    channels: int
    """Channels of a latent."""

    def encode(self, video: Tensor) -> Tensor:
        """Video (b, f, 3, H, W) in [-1, 1] to latents (b, f, c, H/stride, W/stride)."""

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Latents to video, `chunk` frames at once so that memory does not grow with the length."""
