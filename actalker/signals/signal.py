"""What a driving signal is to the rest of the package.

To add a signal: one file in this folder with an encoder of the shape below, one line in `SIGNALS`,
one block in a config. Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

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
    moments have in common. Mean and deviation are running ones, in training too, and get no gradient.
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

    def forward(self, tokens: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                rows = tokens.detach().float().flatten(0, 1)
                mean, variance = rows.mean(0), rows.var(0, unbiased=False)
                share = max(self.momentum, 1 / (int(self.seen) + 1))  # the first batches count in full
                self.mean.lerp_(mean, share)
                self.variance.lerp_(variance + (mean - self.mean).square(), share)
                self.seen += 1
        return ((tokens - self.mean) / (self.variance + 1e-4).sqrt()).to(tokens.dtype)
