"""Encoder of speech by way of articulators: a convolutional net estimates them, and they become tokens.

The net learns from synthetic speech, whose true articulators are known. A denoiser is trained on tokens of
true articulators, which `SpeechEncoder.speak` encodes. The net predicts expected values, so a closure of the
lips that is uncertain comes out as a half-closed mouth. `sharpened` turns such a value into open or closed.
It is applied once, where articulators are used: by `speak` here, and by `heads.articulation.mouth` for drawn
heads.

Letters: b batch, f frames, h hops, m bands, n tokens a frame, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads.articulation import ARTICULATORS, PHONES
from .running import RunningMel
from .signal import repeat_null
from .standardize import Standardize

STRIDE = 4  # hops from one output of the net to the next: a frame at 25 frames a second
SIGNED = "width"  # the one articulator in [-1, 1]; the others begin at 0
WIDEST = 1.15  # of jaw and lips, in stressed vowels
CLOSURES = tuple(ARTICULATORS.index(name) for name in ("close", "tuck"))


@dataclass(frozen=True)
class SpeechConfig:
    """Settings of `SpeechEncoder`'s tokens; the net that listens has none."""

    width: int = 64  # d of the tokens
    tokens: int = 4  # n tokens a frame
    hidden: int = 64  # width of the layer between articulators and tokens


class Residual(nn.Module):
    """A residual block over time: a dilated convolution of three taps, without padding."""

    def __init__(self, width: int, dilation: int) -> None:
        """Make a block of `width` channels."""
        super().__init__()
        self.dilation = dilation
        convolution = nn.Conv1d(width, width, 3, dilation=dilation)
        self.change = nn.Sequential(nn.Dropout(0.1), convolution, nn.BatchNorm1d(width), nn.SiLU())

    def forward(self, z: Tensor) -> Tensor:
        """Map (b, c, l) to (b, c, l - 2 dilation)."""
        inner: Tensor = z[..., self.dilation : -self.dilation]
        return inner + self.change(z)


class Listener(nn.Module):
    """Convolutional net from features of speech to articulators and phones, one output each STRIDE hops.

    No layer pads, so an output depends on CONTEXT hops alone, and a window gives what a sequence does.
    """

    def __init__(self, bands: int) -> None:
        """Make a net with new weights; bands: m."""
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv1d(bands, 96, 5), nn.BatchNorm1d(96), nn.SiLU()),
            *(nn.Conv1d(96, 128, 5, stride=2), nn.BatchNorm1d(128), nn.SiLU()),
            *(nn.Conv1d(128, 128, 5, stride=STRIDE // 2), nn.BatchNorm1d(128), nn.SiLU()),
            *(Residual(128, dilation) for dilation in (1, 2, 1)),
        )
        self.articulators = nn.Conv1d(128, len(ARTICULATORS), 1)
        self.phones = nn.Conv1d(128, len(PHONES), 1)  # an auxiliary target of training

    def train(self, mode: bool = True) -> Listener:
        """Set the mode; a frozen net stays in evaluation mode, so that its batch statistics stay too."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate articulators and phones from features (b, h, m).

        Returns: articulators (b, l, 9) before `bounded`, and logits of PHONES (b, l, phones), with
            l = (h - CONTEXT) // STRIDE + 1.
        """
        z = self.net(features.transpose(1, 2))  # (b, 128, l)
        return self.articulators(z).transpose(1, 2), self.phones(z).transpose(1, 2)


def bounded(raw: Tensor) -> Tensor:
    """Map numbers (..., 9) to the ranges of the articulators: (0, 1), (-1, 1), or (0, WIDEST)."""
    parts = []
    for k, name in enumerate(ARTICULATORS):
        value = raw[..., k]
        if name == SIGNED:
            parts.append(torch.tanh(value))
        else:
            parts.append(torch.sigmoid(value) * (WIDEST if name in ("jaw", "lips") else 1.0))
    return torch.stack(parts, -1)


class SpeechEncoder(nn.Module):
    """Encoder of windows of speech (`RunningMel`), or of known articulators, to tokens."""

    name = "audio"

    def __init__(self, config: SpeechConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config, self.source = config, RunningMel()
        self.listen = Listener(self.source.form[1])
        self.say = nn.Sequential(
            nn.Linear(len(ARTICULATORS), config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.tokens * config.width),
        )
        self.norm = nn.Sequential(nn.LayerNorm(config.width), Standardize(config.tokens, config.width))
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def articulators(self, features: Tensor) -> Tensor:
        """Estimate the articulators (b, f, 9) of windows (b, f, CONTEXT, BANDS); they are not sharpened."""
        raw, _ = self.listen(features.flatten(0, 1))  # (b·f, 1, 9)
        return bounded(raw[:, 0]).unflatten(0, features.shape[:2])

    def speak(self, articulators: Tensor) -> Tensor:
        """Encode articulators (b, f, 9) to tokens (b, f, n, d).

        They come from `articulators` or from `heads.articulation.at_frames`.
        """
        values = list(articulators.unbind(-1))
        for k in CLOSURES:
            values[k] = sharpened(values[k])
        tokens: Tensor = self.say(torch.stack(values, -1))
        return self.norm(tokens.unflatten(-1, (self.config.tokens, self.config.width)))

    def forward(self, speech: Tensor) -> Tensor:
        """Encode windows (b, f, CONTEXT, BANDS) or articulators (b, f, 9) to tokens (b, f, n, d)."""
        return self.speak(self.articulators(speech) if speech.ndim == 4 else speech)

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of a clip without sound."""
        return repeat_null(self.null, b, f)


def sharpened(share: Tensor) -> Tensor:
    """Map expected closures to closures: clip((share - 0.15) / 0.30, 0, 1), as in `heads.articulation`."""
    return ((share - 0.15) / 0.30).clamp(0, 1)


def at_outputs(features: Tensor) -> Tensor:
    """Return the windows (b, l, CONTEXT, m) of features (b, h, m) that belong to the net's outputs."""
    return features.unfold(1, RunningMel.form[0], STRIDE).transpose(2, 3)
