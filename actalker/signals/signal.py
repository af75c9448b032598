"""What a driving signal is to the rest of the package.

To add a signal: one file in this folder with an encoder of the shape below, one line in `SIGNALS`,
one block in a config. Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Signal:
    """A driving signal: where it acts unless the user says otherwise, and what it is, for `--help`."""

    region: str  # mouth, upper, face or frame
    help: str


SIGNALS = {
    "audio": Signal("mouth", "speech: the mouth follows the sound"),
    "expression": Signal("upper", "a video whose facial motion and head pose are taken over"),
    "text": Signal("face", "a script: what the face does, and in which seconds"),
}


class SignalEncoder(Protocol):
    """What every encoder here is, beside being an nn.Module.

    Its `forward` turns that signal's input at the video's frame times (frame k is at k / fps seconds) into
    tokens (b, f, n, d); a signal that a clip does not have gets `absent` tokens, with its gate closed.
    """

    name: str
    """The signal's key in `SIGNALS`, gates, regions, guidance scales and file names."""

    null: Tensor
    """Learned stand-in for the absent signal, (n, d)."""

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens (b, f, n, d) of the absent signal: `null` at every frame."""


def repeat_null(null: Tensor, *lead: int) -> Tensor:
    """`null` (n, d) repeated over the leading axes: (*lead, n, d), a view."""
    return null.expand(*lead, *null.shape)


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
