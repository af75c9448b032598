"""Encoder of the person in a portrait. Letters: b batch, m tokens, d width, s side in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .signal import repeat_null


@dataclass(frozen=True)
class IdentityConfig:
    """Settings of `IdentityEncoder`."""

    width: int = 64  # d of the tokens
    tokens: int = 4  # m tokens a portrait; the picture's detail enters by the reference's latents
    channels: tuple[int, ...] = (24, 48, 96, 128)  # convolutions of stride 2
    size: int = 64  # side in pixels to which a portrait is scaled first, so that all sizes cost the same


class IdentityEncoder(nn.Module):
    """Encoder of a portrait of any size to a few identity tokens: convolutions, then one linear layer."""

    name = "identity"

    def __init__(self, config: IdentityConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for before, after in zip((3, *config.channels), config.channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        side = config.size // 2 ** len(config.channels) // 2
        self.net = nn.Sequential(
            *layers,
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(config.channels[-1] * side * side, config.tokens * config.width),
        )
        self.norm = nn.LayerNorm(config.width)
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, portrait: Tensor) -> Tensor:
        """Encode portraits (b, 3, s, s) in [-1, 1] to tokens (b, m, d)."""
        small = F.interpolate(portrait, (self.config.size, self.config.size), mode="area")
        return self.norm(self.net(small).view(-1, self.config.tokens, self.config.width))

    def absent(self, b: int) -> Tensor:
        """Return the tokens (b, m, d) of nobody, for guidance."""
        return repeat_null(self.null, b)
