"""What a portrait does itself, as tokens: parted lips, a laugh, a turned head.

Letters: b batch, m tokens, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.face_map import CHANNELS, NUMBERS, face_map
from .signal import repeat_null


@dataclass(frozen=True)
class OwnMotionConfig:
    width: int = 64  # d of the tokens
    tokens: int = 2  # m
    hidden: int = 128


class OwnMotion(nn.Module):
    """The portrait's own motion, as the reference of `FaceMotion`'s portraits holds it in its last channels
    (b, ·, 32, 32), to identity tokens (b, m, d).
    """

    name = "identity"
    reader: Tensor
    reads = "reference"  # not the picture

    def __init__(self, config: OwnMotionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or OwnMotionConfig()
        self.register_buffer("reader", torch.from_numpy(face_map().reader), persistent=False)
        self.net = nn.Sequential(
            nn.Linear(len(NUMBERS), config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.tokens * config.width),
        )
        self.norm = nn.LayerNorm(config.width)
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, reference: Tensor) -> Tensor:
        own = reference[:, -CHANNELS:].flatten(1).to(self.reader) @ self.reader.T
        own = own.to(self.null)
        return self.norm(self.net(own).view(-1, self.config.tokens, self.config.width))

    def absent(self, b: int) -> Tensor:
        """Tokens (b, m, d) that say nothing of the portrait (for guidance)."""
        return repeat_null(self.null, b)
