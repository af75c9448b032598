"""Pixels folded into channels: the codec of `tiny`, exact and without weights.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError


class PixelUnshuffle(ModelMixin, ConfigMixin):
    """Squares of `stride` x `stride` pixels become channels; the inverse gives them back, bit for bit."""

    config_name = "config.json"

    @register_to_config
    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride, self.channels = stride, 3 * stride**2

    def encode(self, video: Tensor) -> Tensor:
        """(b, f, 3, H, W) in [-1, 1] -> (b, f, 3·stride², H/stride, W/stride)."""
        if video.shape[-1] % self.stride or video.shape[-2] % self.stride:
            raise InputError(
                f"picture of {video.shape[-1]}x{video.shape[-2]} pixels: give multiples of {self.stride}"
            )
        return F.pixel_unshuffle(video, self.stride)

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """The inverse of `encode`; clamped to [-1, 1]."""
        return F.pixel_shuffle(latents, self.stride).clamp(-1, 1)
