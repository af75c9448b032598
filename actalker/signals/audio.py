"""Speech to tokens: log-mel context windows on exact frame times, and a small encoder.

Letters: b batch, f frames, n tokens a frame, d width. A hop is 10 ms: hop j is centred on sample 160 j.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .audible import RATE, audible
from .signal import repeat_null
from .standardize import Standardize

HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms; as Whisper, whose extractor is the reference in the tests
SILENCE = -6.0  # log10 of mean mel power, about -66 dBFS: nothing below it is taken for speech
MELS = 64  # bands up to 8 kHz
CONTEXT = 48  # hops (480 ms) around a frame: a syllable and its neighbours
BLOCK = 1000  # hops read at once (ten seconds): bounds the memory for hours of sound


def _hz(mel: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: 15 mel a kHz up to 1 kHz, then 27 steps of log(6.4)."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


@cache
def mel_filters(mels: int) -> np.ndarray:
    """Triangular filters of equal area (Slaney), float64 (WINDOW // 2 + 1, mels), 0 Hz to RATE / 2.

    The same as `transformers.audio_utils.mel_filter_bank(..., norm="slaney", mel_scale="slaney")`.
    """
    top = 15 + 27 * math.log(RATE / 2 / 1000) / math.log(6.4)
    edges = _hz(np.linspace(0, top, mels + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)


def mel_power(mono: np.ndarray, first: int, hops: int, mels: int = MELS) -> np.ndarray:
    """Mel power of hops `first` to `first + hops`, float64 (hops, mels); silence outside the sound.

    Of what is audible: an offset and what lies below 40 Hz make no power. Reads only the samples that it
    needs, so `mono` (n,) may be a memmap of hours.
    """
    if mono.ndim != 1:
        raise InputError(f"sound of shape {mono.shape}: give one channel, (samples,), at {RATE} Hz")
    if hops > BLOCK:
        parts = [mel_power(mono, first + k, min(BLOCK, hops - k), mels) for k in range(0, hops, BLOCK)]
        return np.concatenate(parts)
    begin = first * HOP - WINDOW // 2
    samples = audible(mono, begin, begin + (hops - 1) * HOP + WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.abs(np.fft.rfft(windows * hann)) ** 2 @ mel_filters(mels)


def _loudness(mono: np.ndarray) -> Iterator[np.ndarray]:
    hops = len(mono) // HOP + 1
    for first in range(0, hops, BLOCK):
        power = mel_power(mono, first, min(BLOCK, hops - first))
        yield np.log10(np.maximum(power.mean(axis=1), 1e-20))


def loudness(mono: np.ndarray, hops: np.ndarray) -> np.ndarray:
    """How loud hops (f,), growing, are: the square root of the mean mel power, (f,)."""
    first = int(hops[0])
    power = mel_power(mono, first, int(hops[-1]) - first + 1).mean(axis=1)
    return np.sqrt(power)[hops - first]


def loudness_reference(mono: np.ndarray) -> float:
    """How loud a sound's speech is: the 95th percentile over its audible hops of log10 mean mel power.

    A percentile, so that one click does not set the level; audible hops only, so that long pauses do not
    either. Never below `SILENCE`. mono: (n,) at 16 kHz; read in blocks of ten seconds.
    """
    loudness = np.concatenate(list(_loudness(mono)))
    audible = loudness[loudness > SILENCE]
    return float(np.percentile(audible, 95)) if audible.size else SILENCE


def first_steps(fps: Fraction, frames: int, start: int, rate: int, offset: Fraction) -> np.ndarray:
    """For frames start .. start + frames: the whole step nearest to (k / fps) · rate + offset, exactly, (f,).

    Integer arithmetic on the fractions: no drift, however long the video (ties go up).
    """
    scale = rate / Fraction(fps)
    shift = offset + Fraction(1, 2)
    base = math.lcm(scale.denominator, shift.denominator)
    step, add = int(scale * base), int(shift * base)
    return np.array([(k * step + add) // base for k in range(start, start + frames)], dtype=np.int64)


class SpeechReader(Protocol):
    """A sound that is read in ranges: features of frames start .. start + frames, (f, ...) float32."""

    def __call__(self, frames: int, start: int = 0) -> np.ndarray: ...


class SpeechFeatures(Protocol):
    """What speech is to a model before its encoder: the one place that knows is the encoder's kind."""

    @property
    def form(self) -> tuple[int, ...]:
        """Shape of one frame's features."""

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """mono: (n,) at 16 kHz; frame k is at k / fps seconds."""

    def silence(self, frames: int) -> np.ndarray:
        """Features where there is no sound."""


def mel_features(
    mono: np.ndarray, fps: Fraction, frames: int, start: int = 0, reference: float | None = None
) -> np.ndarray:
    """Log-mel windows of frames start .. start + frames, float32 (f, CONTEXT, MELS) in [-1, 1].

    Window k is centred on (start + k) / fps seconds, to the nearest hop. Levels are relative to
    `reference` (default: `loudness_reference(mono)`; give it when reading a long sound in ranges), so
    the recording's gain does not matter: 0 is 20 dB below the speech, 1 and -1 are 40 dB away from 0.
    Silence, before, in or after the sound, is -1 everywhere.
    """
    if frames < 1 or start < 0:
        raise InputError(f"frames {start} to {start + frames}: ask for at least one, from 0 on")
    level = loudness_reference(mono) if reference is None else reference
    first = first_steps(fps, frames, start, RATE // HOP, Fraction(1 - CONTEXT, 2))
    power = mel_power(mono, int(first[0]), int(first[-1] - first[0]) + CONTEXT)
    relative = np.log10(np.maximum(power, 1e-20)) - level
    scaled = np.clip((relative + 2) / 4, -1, 1).astype(np.float32)
    return scaled[(first - first[0])[:, None] + np.arange(CONTEXT)]


class MelFeatures:
    """Log-mel windows around each frame, (f, CONTEXT, MELS)."""

    form: tuple[int, ...] = (CONTEXT, MELS)

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Windows of ranges of a sound's frames, all relative to the loudness of the whole."""
        level = loudness_reference(mono)
        return lambda frames, start=0: mel_features(mono, fps, frames, start, level)

    def silence(self, frames: int) -> np.ndarray:
        """Windows where there is no sound."""
        return np.full((frames, *self.form), -1, np.float32)


@dataclass(frozen=True)
class AudioConfig:
    """The form of the features is fixed (`CONTEXT`, `MELS`): stored ones fit every encoder."""

    width: int = 64  # d of the tokens
    tokens: int = 2  # n tokens a frame: jaw and lips move apart
    hidden: int = 96  # channels of the two convolutions over time
    mixed: int = 256  # numbers made of the whole window: what a sound means depends on voice and neighbours


class AudioEncoder(nn.Module):
    """Log-mel windows (b, f, CONTEXT, MELS) to tokens (b, f, n, d)."""

    name = "audio"

    def __init__(self, config: AudioConfig):
        super().__init__()
        self.config, self.source = config, MelFeatures()
        self.net = nn.Sequential(
            nn.Conv1d(MELS, config.hidden, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv1d(config.hidden, config.hidden, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(CONTEXT // 4 * config.hidden, config.mixed),
            nn.SiLU(),
            nn.Linear(config.mixed, config.tokens * config.width),
        )
        self.norm = nn.Sequential(nn.LayerNorm(config.width), Standardize(config.tokens, config.width))
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, features: Tensor) -> Tensor:
        b, f, _, _ = features.shape
        z = self.net(features.flatten(0, 1).transpose(1, 2))  # (b·f, n·d)
        return self.norm(z.view(b, f, self.config.tokens, self.config.width))

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without sound, (b, f, n, d)."""
        return repeat_null(self.null, b, f)
