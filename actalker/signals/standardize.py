"""Tokens brought to one scale, whatever an encoder makes of its signal.

Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Tokens (b, f, n, d) less their usual mean, over their usual deviation, each number for itself.

    What varies between moments is a small part of a token; without this a control layer reads mostly what all
    moments have in common. Mean and deviation are running ones, in training too, and get no gradient. They
    change when a step is over (`settle`), by all that was seen in it: a step's parts may be seen one after
    another, or on several processes.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, n: int, d: int, momentum: float = 0.02) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(n, d))
        self.register_buffer("variance", torch.ones(n, d))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        # (3, n, d): number, sum and sum of squares of what was seen in this step, less the running mean. No
        # buffer: processes would share the first one's
        self.step: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                rows = tokens.detach().float().flatten(0, 1) - self.mean
                part = torch.stack([torch.ones_like(rows).sum(0), rows.sum(0), rows.square().sum(0)])
                self.step = part if self.step is None else self.step + part
        return ((tokens - self.mean) / (self.variance + 1e-4).sqrt()).to(tokens.dtype)

    @torch.no_grad()
    def settle(self, gather: Callable[[Tensor], Tensor] = lambda part: part) -> None:
        """Take in what was seen since the last time. gather: sums over processes."""
        if self.step is None:
            return
        count, total, squares = gather(self.step)
        self.step = None
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        share = max(self.momentum, 1 / (int(self.seen) + 1))  # the first steps count in full
        self.mean += share * mean
        self.variance.lerp_(variance + ((1 - share) * mean).square(), share)
        self.seen += 1
