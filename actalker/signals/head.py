"""Encoder of a driver's head motion. Letters: b batch, f frames, n tokens a frame, d width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.face_map import MOUTH, NUMBERS
from .signal import repeat_null
from .standardize import Standardize

MOST = 8.0  # standard deviations at which a number is clamped
# (name, tokens, which numbers): groups have their own tokens, since a pose that shares them is learnt late
GROUPS = (
    ("mouth", 4, lambda name: name.startswith(MOUTH)),
    ("brow", 2, lambda name: name.startswith(("brow", "cheekSquint", "nose"))),
    ("lids", 2, lambda name: name.startswith(("eyeBlink", "eyeSquint", "eyeWide", "gaze"))),
    ("turn", 2, lambda name: name in ("yaw", "pitch", "roll")),
    ("place", 1, lambda name: name in ("x", "y", "z")),
)


@dataclass(frozen=True)
class HeadConfig:
    """Settings of `HeadEncoder`; its 11 tokens are fixed by `GROUPS`."""

    width: int = 64  # d of the tokens
    hidden: int = 96  # width of the layers of each group


class HeadEncoder(nn.Module):
    """Encoder of a head's motion relative to its rest, as numbers (`heads.face_map`), to 11 tokens a frame.

    Each number is divided by its standard deviation (`Standardize`), so that small and rare movements are
    learnt as soon as frequent ones.
    """

    name = "expression"
    reads = "motion"  # the track of a driver's head, not pictures of its face

    def __init__(self, config: HeadConfig | None = None) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config = config = config or HeadConfig()
        self.usual = Standardize(1, len(NUMBERS))
        self.groups = nn.ModuleDict()
        for group, tokens, belongs in GROUPS:
            rows = [k for k, name in enumerate(NUMBERS) if belongs(name)]
            self.register_buffer(f"rows_{group}", torch.tensor(rows), persistent=False)
            self.groups[group] = nn.Sequential(
                nn.Linear(len(rows) + 1, config.hidden),
                nn.SiLU(),
                nn.Linear(config.hidden, config.hidden),
                nn.SiLU(),
                nn.Linear(config.hidden, tokens * config.width),
            )
        self.null = nn.Parameter(0.02 * torch.randn(sum(n for _, n, _ in GROUPS), config.width))

    def forward(self, numbers: Tensor, confidence: Tensor) -> Tensor:
        """Encode numbers (b, f, 62) and their confidence (b, f) in [0, 1] to tokens (b, f, 11, d)."""
        standard: Tensor = self.usual(numbers[..., None, :].to(self.null))
        standard = standard.squeeze(-2).clamp(-MOST, MOST)
        confidence = confidence[..., None].to(standard)
        parts = [
            layers(torch.cat([standard[..., getattr(self, f"rows_{group}")], confidence], -1))
            for group, layers in self.groups.items()
        ]
        return torch.cat(parts, -1).unflatten(-1, (-1, self.config.width))

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, 11, d) of a clip without a driver."""
        return repeat_null(self.null, b, f)
