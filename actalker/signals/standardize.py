"""Standardise tokens: zero mean and unit variance over time, whatever scale an encoder's tokens have.

Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """(x - mean) / √(variance + ε) of tokens (b, f, n, d), with a running mean and variance of each number.

    What changes from frame to frame is a small part of a token; without this a control layer would read
    mostly what all frames have in common. Unlike batch norm it uses the running statistics in training too,
    without gradient. They change at the end of a step (`settle`), by all tokens of the step,
    so that its parts may be computed one after another or on several processes.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, n: int, d: int, momentum: float = 0.02) -> None:
        """Make the statistics of n tokens of width d; momentum: share of a step in them, later on."""
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(n, d))
        self.register_buffer("variance", torch.ones(n, d))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        # (3, n, d): count, sum and sum of squares of this step's tokens less the running mean. No buffer:
        # distributed training copies the first process's buffers to the others
        self.step: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Standardise tokens (b, f, n, d), same shape and dtype; in training also add them to the step's."""
        if self.training:
            with torch.no_grad():
                rows = tokens.detach().float().flatten(0, 1) - self.mean
                part = torch.stack([torch.ones_like(rows).sum(0), rows.sum(0), rows.square().sum(0)])
                self.step = part if self.step is None else self.step + part
        return ((tokens - self.mean) / (self.variance + 1e-4).sqrt()).to(tokens.dtype)

    @torch.no_grad()
    def settle(self, gather: Callable[[Tensor], Tensor] = lambda part: part) -> None:
        """Update the running statistics by the tokens since the last call; gather sums over processes."""
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
