"""Speech to what the mouth does: articulators by a convolutional net, and their tokens.

The net learns from synthetic speech, where the articulators are known; a network that draws learns from true
articulators through `speak`. Articulators are means of what may be: a likely closure is half a closure.
Whoever draws them sharpens them, once: `speak` here, `heads.articulation.mouth` there.

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

STRIDE = 4  # hops from one output of the net to the next, at 25 frames a second
SIGNED = "width"  # the articulator in [-1, 1]
WIDEST = 1.15  # what jaw and lips reach in stressed vowels
CLOSURES = tuple(ARTICULATORS.index(name) for name in ("close", "tuck"))


@dataclass(frozen=True)
class SpeechConfig:
    """The net is fixed; tokens are for a network that draws."""

    width: int = 64  # d of the tokens
    tokens: int = 4  # n tokens a frame
    hidden: int = 64  # numbers between the articulators and their tokens


class Residual(nn.Module):
    """(b, c, l) plus what a convolution over three places finds, (b, c, l - 2 dilation)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        convolution = nn.Conv1d(width, width, 3, dilation=dilation)
        self.change = nn.Sequential(nn.Dropout(0.1), convolution, nn.BatchNorm1d(width), nn.SiLU())

    def forward(self, z: Tensor) -> Tensor:
        kept: Tensor = z[..., self.dilation : -self.dilation]
        return kept + self.change(z)


class Listener(nn.Module):
    """Features (b, h, m) to articulators and phones, an output for every STRIDE hops.

    Each output sees CONTEXT hops and nothing else: a window gives exactly what a sequence does.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv1d(bands, 96, 5), nn.BatchNorm1d(96), nn.SiLU()),
            *(nn.Conv1d(96, 128, 5, stride=2), nn.BatchNorm1d(128), nn.SiLU()),
            *(nn.Conv1d(128, 128, 5, stride=STRIDE // 2), nn.BatchNorm1d(128), nn.SiLU()),
            *(Residual(128, dilation) for dilation in (1, 2, 1)),
        )
        self.articulators = nn.Conv1d(128, len(ARTICULATORS), 1)
        self.phones = nn.Conv1d(128, len(PHONES), 1)  # of use in training alone

    def train(self, mode: bool = True) -> Listener:
        """A net that is frozen is not trained: its means and deviations of batches stay as well."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Articulators (b, l, 9) before `bounded`, and logits of PHONES (b, l, p), of
        l = (h - CONTEXT) // STRIDE + 1 outputs.
        """
        z = self.net(features.transpose(1, 2))  # (b, 128, l)
        return self.articulators(z).transpose(1, 2), self.phones(z).transpose(1, 2)


def bounded(raw: Tensor) -> Tensor:
    """Numbers (..., 9) as articulators in their ranges."""
    parts = []
    for k, name in enumerate(ARTICULATORS):
        value = raw[..., k]
        if name == SIGNED:
            parts.append(torch.tanh(value))
        else:
            parts.append(torch.sigmoid(value) * (WIDEST if name in ("jaw", "lips") else 1.0))
    return torch.stack(parts, -1)


class SpeechEncoder(nn.Module):
    """Windows of speech (b, f, CONTEXT, BANDS), or articulators (b, f, 9), to tokens (b, f, n, d)."""

    name = "audio"

    def __init__(self, config: SpeechConfig) -> None:
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
        """Windows (b, f, CONTEXT, BANDS) to articulators (b, f, 9) as they are likely: not sharpened."""
        raw, _ = self.listen(features.flatten(0, 1))  # (b·f, 1, 9)
        return bounded(raw[:, 0]).unflatten(0, features.shape[:2])

    def speak(self, articulators: Tensor) -> Tensor:
        """Articulators (b, f, 9) as `articulators` or `heads.articulation.at_frames` give them, to tokens."""
        values = list(articulators.unbind(-1))
        for k in CLOSURES:
            values[k] = sharpened(values[k])
        tokens: Tensor = self.say(torch.stack(values, -1))
        return self.norm(tokens.unflatten(-1, (self.config.tokens, self.config.width)))

    def forward(self, speech: Tensor) -> Tensor:
        return self.speak(self.articulators(speech) if speech.ndim == 4 else speech)

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without sound, (b, f, n, d)."""
        return repeat_null(self.null, b, f)


def sharpened(share: Tensor) -> Tensor:
    """As `heads.articulation.sharpened`."""
    return ((share - 0.15) / 0.30).clamp(0, 1)


def at_outputs(features: Tensor) -> Tensor:
    """Sequences of features (b, h, m) in windows (b, l, CONTEXT, m), those of the net's outputs."""
    return features.unfold(1, RunningMel.form[0], STRIDE).transpose(2, 3)
