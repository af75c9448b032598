"""SVD's variational autoencoder with its temporal decoder, as a codec.

Letters: b batch, f frames, H W picture size, c h w the latent's channels and size.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLTemporalDecoder
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..media.image import Size, height_width
from .pixels import PixelCodec

DECODED_MAPS = 7  # feature maps of the decoder's finest level that a frame takes while it is decoded


class TemporalAutoencoder(AutoencoderKLTemporalDecoder, PixelCodec):
    """diffusers' `AutoencoderKLTemporalDecoder` as a `Codec`; folders of SVD's VAE load unchanged."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",),
        block_out_channels: tuple[int, ...] = (64,),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        sample_size: int = 32,
        scaling_factor: float = 0.18215,
        force_upcast: bool = True,
    ) -> None:
        """Make an autoencoder; arguments as of diffusers' class.

        Each entry of block_out_channels but the first halves the grid, so the stride is 2^(entries - 1);
        8 for SVD. scaling_factor multiplies latents, so that they have about unit variance.
        """
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            sample_size=sample_size,
            scaling_factor=scaling_factor,
            force_upcast=force_upcast,
        )
        self.channels = latent_channels
        side = 2 ** (len(block_out_channels) - 1)
        self.stride = (1, side, side)

    def held(self, frames: int, size: Size, width: int) -> float:
        """Return about how many bytes it takes to decode so many frames at once; arguments as of `Codec`."""
        h, w = height_width(size)
        return DECODED_MAPS * frames * h * w * self.config.block_out_channels[0] * width

    # diffusers' own encode and decode, with other shapes, stay reachable through that class
    def encode(self, video: Tensor) -> Tensor:
        """Encode video (b, f, 3, H, W) in [-1, 1] to scaled latents (b, f, c, h, w), the posterior's mode."""
        frames = video.flatten(0, 1)
        latents = torch.cat(
            [super(TemporalAutoencoder, self).encode(x).latent_dist.mode() for x in frames.split(8)]
        )
        return latents.unflatten(0, video.shape[:2]) * self.config.scaling_factor

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Decode scaled latents (b, f, c, h, w) to video (b, f, 3, H, W) in [-1, 1].

        chunk: frames decoded at once. The decoder's temporal layers see these frames together, and no others.
        """
        clips = []
        for clip in latents / self.config.scaling_factor:
            parts = [
                AutoencoderKLTemporalDecoder.decode(self, part, num_frames=len(part)).sample
                for part in clip.split(chunk)
            ]
            clips.append(torch.cat(parts))
        return torch.stack(clips).clamp(-1, 1)
