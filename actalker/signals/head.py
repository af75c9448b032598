"""The motion of a driver's head as tokens. Letters: b batch, f frames, n tokens a frame, d width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.face_map import MOUTH, NUMBERS
from .signal import repeat_null
from .standardize import Standardize

MOST = 8.0  # usual deviations: what a driver does beyond them is not told
# what has tokens of its own, and how many: the pose is learnt late where it shares them
GROUPS = (
    ("mouth", 4, lambda name: name.startswith(MOUTH)),
    ("brow", 2, lambda name: name.startswith(("brow", "cheekSquint", "nose"))),
    ("lids", 2, lambda name: name.startswith(("eyeBlink", "eyeSquint", "eyeWide", "gaze"))),
    ("turn", 2, lambda name: name in ("yaw", "pitch", "roll")),
    ("place", 1, lambda name: name in ("x", "y", "z")),
)


@dataclass(frozen=True)
class HeadConfig:
    """tokens (b, f, 11, d), each group of numbers through two layers of its own."""

    width: int = 64  # d of the tokens
    hidden: int = 96  # of each group


class HeadEncoder(nn.Module):
    """A head's motion relative to its rest, numbers (b, f, 62) (`heads.face_map`), and the confidence
    (b, f) of each frame, to tokens (b, f, 11, d).

    Numbers count by their usual deviation (`Standardize`): what a face does a little or seldom is learnt as
    soon as what it does all the time.
    """

    name = "expression"
    reads = "motion"  # of a driving video or a take: a track of its head, not pictures of its face

    def __init__(self, config: HeadConfig | None = None) -> None:
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
        usual: Tensor = self.usual(numbers[..., None, :].to(self.null))
        loud = usual.squeeze(-2).clamp(-MOST, MOST)
        sure = confidence[..., None].to(loud)
        parts = [
            layers(torch.cat([loud[..., getattr(self, f"rows_{group}")], sure], -1))
            for group, layers in self.groups.items()
        ]
        return torch.cat(parts, -1).unflatten(-1, (-1, self.config.width))

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without a driving video."""
        return repeat_null(self.null, b, f)
