"""An encoder of a head's motion that has no weights: tokens are the numbers. Letters: b batch, f frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.face_map import NUMBERS
from .signal import repeat_null


@dataclass(frozen=True)
class MotionNumbersConfig:
    """Settings of `MotionNumbers`: it has none."""


class MotionNumbers(nn.Module):
    """The numbers of a head's motion relative to its rest (`heads.face_map`) as one token a frame."""

    name = "expression"
    null: Tensor
    reads = "motion"  # the track of a driver's head, not pictures of its face

    def __init__(self, config: MotionNumbersConfig | None = None) -> None:
        """Make the encoder."""
        super().__init__()
        self.config = config or MotionNumbersConfig()
        self.register_buffer("null", torch.zeros(1, len(NUMBERS)), persistent=False)

    def forward(self, numbers: Tensor, confidence: Tensor | None = None) -> Tensor:
        """Return numbers (b, f, 62) as tokens (b, f, 1, 62); the confidence is ignored."""
        return numbers[:, :, None]

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, 1, 62) of a clip without a driver: zeros, so nothing moves."""
        return repeat_null(self.null, b, f)
