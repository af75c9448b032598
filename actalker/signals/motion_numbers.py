"""The motion of a head as tokens, without learning: the numbers themselves. Letters: b batch, f frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.face_map import NUMBERS
from .signal import repeat_null


@dataclass(frozen=True)
class MotionNumbersConfig:
    """It has no settings."""


class MotionNumbers(nn.Module):
    """A head's motion relative to its rest, numbers (b, f, 62) (`heads.face_map`), to tokens (b, f, 1,
    62).
    """

    name = "expression"
    null: Tensor
    reads = "motion"  # of a driving video or a take: a track of its head, not pictures of its face

    def __init__(self, config: MotionNumbersConfig | None = None) -> None:
        super().__init__()
        self.config = config or MotionNumbersConfig()
        self.register_buffer("null", torch.zeros(1, len(NUMBERS)), persistent=False)

    def forward(self, numbers: Tensor, confidence: Tensor | None = None) -> Tensor:
        return numbers[:, :, None]

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without a driving video: nothing moves."""
        return repeat_null(self.null, b, f)
