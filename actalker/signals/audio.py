"""Speech as log-mel windows at exact frame times, and a small convolutional encoder of them.

Letters: b batch, f frames, n tokens a frame, d width. A hop is 10 ms; hop j is centred on sample 160 j.
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
WINDOW = 400  # samples, 25 ms, as Whisper has, whose extractor is the reference in the tests
SILENCE = -6.0  # log10 of mean mel power, about -66 dBFS; anything below is no speech
MELS = 64  # bands up to 8 kHz
CONTEXT = 48  # hops (480 ms) in a frame's window: a syllable and its neighbours
BLOCK = 1000  # hops read at once (ten seconds), so that hours of sound take little memory


def _hz(mel: np.ndarray) -> np.ndarray:
    """Convert mel to Hz on Slaney's scale.

    Linear up to 15 mel (1 kHz), then 27 mel for each factor of 6.4.
    """
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


@cache
def mel_filters(mels: int) -> np.ndarray:
    """Return triangular filters of equal area (Slaney) from 0 Hz to RATE / 2, float64 (WINDOW // 2
    + 1, mels).

    They equal `transformers.audio_utils.mel_filter_bank(..., norm="slaney", mel_scale="slaney")`.
    """
    top = 15 + 27 * math.log(RATE / 2 / 1000) / math.log(6.4)
    edges = _hz(np.linspace(0, top, mels + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)


def mel_power(mono: np.ndarray, first: int, hops: int, mels: int = MELS) -> np.ndarray:
    """Compute the mel power of hops first .. first + hops - 1, float64 (hops, mels); 0 outside the sound.

    The sound is cleaned first (`audible`), so an offset and frequencies below 40 Hz have no power. Only the
    samples that are needed are read, so `mono` (n,), at 16 kHz, may be a memmap of hours.

    Raises: InputError for a sound of several channels.
    """
    if mono.ndim != 1:
        raise InputError(f"sound of shape {mono.shape}: give one channel, (samples,), at {RATE} Hz")
    if hops > BLOCK:
        parts = [mel_power(mono, first + k, min(BLOCK, hops - k), mels) for k in range(0, hops, BLOCK)]
        return np.concatenate(parts)
    start = first * HOP - WINDOW // 2
    samples = audible(mono, start, start + (hops - 1) * HOP + WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.abs(np.fft.rfft(windows * hann)) ** 2 @ mel_filters(mels)


def _loudness(mono: np.ndarray) -> Iterator[np.ndarray]:
    """Yield log10 of the mean mel power of a sound's hops, in blocks."""
    hops = len(mono) // HOP + 1
    for first in range(0, hops, BLOCK):
        power = mel_power(mono, first, min(BLOCK, hops - first))
        yield np.log10(np.maximum(power.mean(axis=1), 1e-20))


def loudness(mono: np.ndarray, hops: np.ndarray) -> np.ndarray:
    """Return the loudness (f,) of these hops (f,), ascending: the square root of their mean mel power."""
    first = int(hops[0])
    power = mel_power(mono, first, int(hops[-1]) - first + 1).mean(axis=1)
    return np.sqrt(power)[hops - first]


def loudness_reference(mono: np.ndarray) -> float:
    """Return the level of a sound's speech: the 95th percentile of log10 mean mel power over
    its audible hops.

    A percentile, so that a click does not set the level; audible hops, so that pauses do not either. It is at
    least `SILENCE`. mono: (n,) at 16 kHz, read in blocks of ten seconds.
    """
    loudness = np.concatenate(list(_loudness(mono)))
    audible = loudness[loudness > SILENCE]
    return float(np.percentile(audible, 95)) if audible.size else SILENCE


def first_steps(fps: Fraction, frames: int, start: int, rate: int, offset: Fraction) -> np.ndarray:
    """Return the integer step nearest to (k / fps) · rate + offset for frames k = start .. start +
    frames - 1.

    The arithmetic is exact, on integers, so there is no drift in a long video; ties are rounded up.

    Args:
        fps: exact frames a second.
        frames: f.
        start: number of the first frame.
        rate: steps a second.
        offset: in steps.
    Returns: (f,) int64.
    """
    scale = rate / Fraction(fps)
    shift = offset + Fraction(1, 2)
    base = math.lcm(scale.denominator, shift.denominator)
    step, add = int(scale * base), int(shift * base)
    return np.array([(k * step + add) // base for k in range(start, start + frames)], dtype=np.int64)


class SpeechReader(Protocol):
    """A function that returns the features of a range of a sound's frames."""

    def __call__(self, frames: int, start: int = 0) -> np.ndarray:
        """Return the features of frames start .. start + frames - 1, (f, ...) float32."""


class SpeechFeatures(Protocol):
    """The features of speech that an encoder reads; each kind of encoder has its own."""

    @property
    def form(self) -> tuple[int, ...]:
        """Shape of one frame's features."""

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Return the reader of a sound (n,) at 16 kHz; frame k is at k / fps seconds."""

    def silence(self, frames: int) -> np.ndarray:
        """Return the features of silence, (frames, ...) float32."""


def mel_features(
    mono: np.ndarray, fps: Fraction, frames: int, start: int = 0, reference: float | None = None
) -> np.ndarray:
    """Compute the log-mel windows of frames start .. start + frames - 1, float32 (f, CONTEXT, MELS)
    in [-1, 1].

    Window k is centred on (start + k) / fps seconds, to the nearest hop. Levels are relative to `reference`,
    so the recording's gain does not matter: 0 is 20 dB below the speech, 1 and -1 are 40 dB from 0. Silence,
    also before and after the sound, is -1.

    Args:
        mono: (n,) at 16 kHz.
        fps: exact frames a second.
        frames: f.
        start: number of the first frame.
        reference: level of the speech; `loudness_reference(mono)` without one. Pass it to read a long
            sound in ranges.
    Raises: InputError for a range without frames, or before frame 0.
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
    """`SpeechFeatures` of log-mel windows around each frame, (f, CONTEXT, MELS) (`mel_features`)."""

    form: tuple[int, ...] = (CONTEXT, MELS)

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Return the reader of a sound (n,) at 16 kHz; levels are relative to the loudness of the whole."""
        level = loudness_reference(mono)
        return lambda frames, start=0: mel_features(mono, fps, frames, start, level)

    def silence(self, frames: int) -> np.ndarray:
        """Return the windows of silence, -1 everywhere."""
        return np.full((frames, *self.form), -1, np.float32)


@dataclass(frozen=True)
class AudioConfig:
    """Settings of `AudioEncoder`. The features' shape is fixed, so that stored ones fit every encoder."""

    width: int = 64  # d of the tokens
    tokens: int = 2  # n tokens a frame: jaw and lips move apart
    hidden: int = 96  # channels of the two convolutions over time
    mixed: int = 256  # features of the whole window, since a sound's meaning depends on its neighbours


class AudioEncoder(nn.Module):
    """Encoder of log-mel windows (`MelFeatures`): two convolutions over time, then linear layers."""

    name = "audio"

    def __init__(self, config: AudioConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config, self.source = config, MelFeatures()
        self.net = nn.Sequential(
            *(nn.Conv1d(MELS, config.hidden, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Conv1d(config.hidden, config.hidden, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Flatten(), nn.Linear(CONTEXT // 4 * config.hidden, config.mixed), nn.SiLU()),
            nn.Linear(config.mixed, config.tokens * config.width),
        )
        self.norm = nn.Sequential(nn.LayerNorm(config.width), Standardize(config.tokens, config.width))
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, features: Tensor) -> Tensor:
        """Encode windows (b, f, CONTEXT, MELS) to tokens (b, f, n, d)."""
        b, f, _, _ = features.shape
        z = self.net(features.flatten(0, 1).transpose(1, 2))  # (b·f, n·d)
        return self.norm(z.view(b, f, self.config.tokens, self.config.width))

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of a clip without sound."""
        return repeat_null(self.null, b, f)
