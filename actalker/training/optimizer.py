"""AdamW and its learning rate over a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up, a constant rate, and a linear cool-down at the end.

    The cool-down's place is the one thing that depends on the length of the training, so that a run can be
    resumed with another length.
    """

    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 100
    """Steps of the linear warm-up."""
    steps: int = 10000
    """Where the cool-down ends; the rate stays at `final` afterwards."""
    cooldown: int = 2000
    """Steps of the linear cool-down."""
    final: float = 0.02
    """Last learning rate, as a share of the first."""

    def rate(self, step: int) -> float:
        """Factor on the learning rate at `step`."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        left = min(1.0, max(0.0, (self.steps - step) / max(1, self.cooldown)))
        return rise * (self.final + (1 - self.final) * left)


def decayed_and_plain(weights: Sequence[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights that decay, and vectors and single numbers, which do not: the two groups of the optimiser."""
    return [p for p in weights if p.ndim > 1], [p for p in weights if p.ndim <= 1]


def new_adamw(weights: Sequence[nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over weights; vectors and single numbers do not decay."""
    decayed, plain = decayed_and_plain(weights)
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=config.betas,
    )
