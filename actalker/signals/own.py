"""Encoder of the expression and pose in the portrait itself: parted lips, a laugh, a turned head.

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
    """Settings of `OwnMotion`."""

    width: int = 64  # d of the tokens
    tokens: int = 2  # m tokens a portrait
    hidden: int = 128  # width of the hidden layer


class OwnMotion(nn.Module):
    """Encoder of the portrait's own expression and pose to identity tokens.

    Its input is the network's reference (b, c, 32, 32), made by the codec `FaceMotion`. The last CHANNELS
    (4) channels of the reference are a face map (`heads.face_map`) of the portrait's own
    expression and pose; the encoder reads its 62 numbers.
    """

    name = "identity"
    reader: Tensor
    reads = "reference"  # the network's reference, not the picture

    def __init__(self, config: OwnMotionConfig | None = None) -> None:
        """Make an encoder with new weights."""
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
        """Encode references (b, ·, 32, 32) to tokens (b, m, d)."""
        numbers = reference[:, -CHANNELS:].flatten(1).to(self.reader) @ self.reader.T
        return self.norm(self.net(numbers.to(self.null)).view(-1, self.config.tokens, self.config.width))

    def absent(self, b: int) -> Tensor:
        """Return the tokens (b, m, d) of no portrait, for guidance."""
        return repeat_null(self.null, b)
