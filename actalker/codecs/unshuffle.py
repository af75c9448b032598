"""Pixels folded into channels: an exact codec without weights.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .pixels import PixelCodec

HUB_OPTIONS = ("subfolder", "revision", "cache_dir", "force_download", "local_files_only", "token", "proxies")


class PixelUnshuffle(ModelMixin, ConfigMixin, PixelCodec):
    """A codec that folds squares of `stride` x `stride` pixels into channels; decoding is exact."""

    config_name = "config.json"

    @register_to_config
    def __init__(self, stride: int = 8) -> None:
        """Make a codec; stride: side of the squares in pixels."""
        super().__init__()
        self.stride, self.channels = (1, stride, stride), 3 * stride**2
        self.register_buffer("place", torch.empty(0), persistent=False)  # tells its device and dtype

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: object) -> PixelUnshuffle:
        """Open a folder or hub id, which holds a config and no weights; options as of diffusers' models."""
        hub = {name: options[name] for name in HUB_OPTIONS if name in options}
        codec = cls.from_config(cls.load_config(folder, **hub))
        return codec.to(options.get("torch_dtype") or torch.float32).eval()

    def encode(self, video: Tensor) -> Tensor:
        """Fold video (b, f, 3, H, W) in [-1, 1] to (b, f, 3·stride², H/stride, W/stride).

        Raises: InputError for sides that the stride does not divide.
        """
        side = self.stride[1]
        if video.shape[-1] % side or video.shape[-2] % side:
            raise InputError(
                f"picture of {video.shape[-1]}x{video.shape[-2]} pixels: give multiples of {side}"
            )
        return F.pixel_unshuffle(video, side)

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Unfold latents, the inverse of `encode`, clamped to [-1, 1]; chunk has no effect."""
        return F.pixel_shuffle(latents, self.stride[1]).clamp(-1, 1)
