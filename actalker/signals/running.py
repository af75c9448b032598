"""Log-mel of speech minus its running means, which removes what a microphone and a voice add to every sound.

The level and the mean of each band use the sound up to LOOK_AHEAD hops after a frame and nothing later,
so live input gives the same features as a file, bit for bit. Louder hops count more in the means, and silence
not at all. All means scale with the sound, so its gain does not matter.

Letters: f frames, h hops of 10 ms (hop j is centred on sample 160 j).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache

import numpy as np
from scipy.signal import lfilter

from ..errors import InputError
from .audible import RATE
from .audio import HOP, SILENCE, WINDOW, SpeechReader, first_steps, mel_filters

BANDS = 80  # up to 8 kHz
LOOK_AHEAD = 24  # hops (240 ms) in a frame's window after the frame, and before it
CONTEXT = 2 * LOOK_AHEAD + 1
LOWEST_BAND = 3  # the first band, at 110 Hz, that counts as loudness: below are rumble and hum
MEMORY = 1000  # hops (ten seconds) after which a hop's weight in the means is 1 / e
FLOOR = 6.0  # log10 of power: 60 dB below the level counts as silence
BLOCK = 1000  # hops read at once

# the prior before any sound: level and band means of the training speech, log10 of power
USUAL_LEVEL = -1.3  # that of speech 23 dB below full scale
USUAL_BANDS = np.array(
    [
        *(-1.9, -0.9, -0.3, 0.1, 0.4, 0.5, 0.3, 0, -0.1, -0.1, -0.1, -0.2, -0.4, -0.6, -0.8, -0.9),
        *(-1, -1.1, -1.3, -1.4, -1.5, -1.7, -1.8, -1.9, -2, -2.1, -2.2, -2.2, -2.2, -2.3, -2.4, -2.4),
        *(-2.5, -2.5, -2.6, -2.7, -2.6, -2.7, -2.7, -2.8, -2.8, -2.8, -2.9, -2.9, -2.9, -2.8, -2.7, -2.7),
        *(-2.7, -2.6, -2.6, -2.7, -2.7, -2.8, -2.8, -2.8, -2.8, -2.8, -2.9, -3, -3, -3.2, -3.4, -3.6),
        *(-3.7, -3.9, -4.1, -4.2, -4.3, -4.4, -4.5, -4.6, -4.6, -4.7, -4.6, -4.6, -4.6, -4.7, -4.8, -5.3),
    ]
)  # relative to the level
EARLY = 8  # weight of the usual level, in hops, before any sound
ENOUGH = 60  # hops of sound after which the usual level has no weight
PRIOR = 50  # weight of the usual bands, in hops, in their mean


@dataclass(frozen=True)
class Hops:
    """Features of consecutive hops.

    power: (h, BANDS) mel power.
    level: (h,) running level after each hop, log10 of power.
    bands: (h, BANDS) running means of log10 of power after each hop.
    """

    power: np.ndarray
    level: np.ndarray
    bands: np.ndarray

    def __len__(self) -> int:
        return len(self.power)


NAMES = tuple(field.name for field in fields(Hops))


class SpeechStream:
    """Mel power and running means of a sound that comes in pieces.

    Hop j is returned as soon as sample 160 j + 199 has come. The result does not depend on how
    the sound is cut.
    """

    def __init__(self) -> None:
        """Begin a sound."""
        self.held: np.ndarray | None = None  # samples of incomplete hops
        self.sums = np.zeros(2 + BANDS)  # weighted sums: of weights, their squares, and bands
        self.heard = 0  # audible hops so far

    def push(self, samples: np.ndarray) -> Hops:
        """Take the next samples (n,) of the sound, at 16 kHz, and return the hops that they complete."""
        if self.held is None and len(samples):
            self.held = np.full(WINDOW // 2, samples[0], np.float64)  # the beginning must not be a step
        before = np.zeros(0) if self.held is None else self.held
        pending = np.concatenate([before, np.asarray(samples, np.float64)])
        count = max(0, (len(pending) - WINDOW) // HOP + 1)
        self.held = pending[count * HOP :].copy() if len(pending) else None
        power = mel(pending, count) if count else np.zeros((0, BANDS))
        return Hops(power, *self._means(power))

    def _means(self, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return level (h,) and bands (h, BANDS) after each hop; only audible hops change them."""
        loudness = power[:, LOWEST_BAND:].mean(1)
        audible = loudness > 10**SILENCE
        heard, loudness = power[audible], loudness[audible]
        weight = np.sqrt(np.sqrt(loudness))[:, None]  # 40 dB less counts a tenth
        logs = np.log10(np.maximum(heard, loudness[:, None] * 10**-FLOOR))
        parts = np.concatenate([weight, weight**2, weight * logs], 1)
        if len(parts):
            decay = math.exp(-1 / MEMORY)
            parts, _ = lfilter([1.0], [1.0, -decay], parts, axis=0, zi=decay * self.sums[None])
        at = np.cumsum(audible)
        sums, count = np.concatenate([self.sums[None], parts])[at], self.heard + at
        if len(at):
            self.sums, self.heard = sums[-1].copy(), int(count[-1])
        return _running(sums, count)

    def copy(self) -> SpeechStream:
        """Return a copy that continues from here on its own."""
        return copy.deepcopy(self)


def _running(sums: np.ndarray, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return level (h,) and bands (h, BANDS) of weighted sums (h, 2 + BANDS); heard: audible hops (h,)."""
    early = EARLY * np.maximum(1 - heard / ENOUGH, 0)
    usual = 10 ** (USUAL_LEVEL / 4)
    ratio = (sums[:, 1] + early * usual**2) / (sums[:, 0] + early * usual)
    level = 4 * np.log10(ratio)  # a mean in which louder hops count more
    prior = (PRIOR * ratio)[:, None]
    bands = sums[:, 2:] + prior * (level[:, None] + USUAL_BANDS)
    return level, bands / (sums[:, :1] + prior)


@cache
def _filters() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mel filters one after another: their bins, their weights, and where each begins."""
    filters = mel_filters(BANDS)
    band, bins = np.nonzero(filters.T)
    return bins, filters[bins, band], np.searchsorted(band, np.arange(BANDS))


def mel(samples: np.ndarray, hops: int) -> np.ndarray:
    """Return the mel power (h, BANDS) of windows of WINDOW samples that begin at samples 0, HOP, 2 HOP, ...

    The mean of each window is removed first. A row depends on its window alone, bit for bit.
    `audio.mel_power` is not used here: its last bits depend on the range of hops that are computed together,
    and it needs 150 ms of sound after a window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: hops * HOP : HOP]
    spectrum = np.fft.rfft(windows * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)))
    spectrum[:, 1] += spectrum[:, 0] / 2  # an offset under Hann's window is 1 and -1/2
    spectrum[:, 0] = 0
    bins, weights, begins = _filters()
    return np.add.reduceat(np.abs(spectrum)[:, bins] ** 2 * weights, begins, axis=1)


def levelled(log: np.ndarray, level: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return (max(log, level - FLOOR) - bands) / 2, clipped to [-2, 2], (..., h, BANDS) float32.

    So power is floored at 60 dB below the level, and 2 means 40 dB above a band's mean.
    log: (..., h, BANDS), log10 of mel power.
    level: (...), the running level, log10 of power.
    bands: (..., BANDS), running means of log10 of power.
    """
    log = np.maximum(log, (level - FLOOR)[..., None, None])
    return np.clip((log - bands[..., None, :]) / 2, -2, 2).astype(np.float32)


class RunningReader:
    """The `SpeechReader` of `RunningMel`: it keeps the stream's state every ten seconds of the sound."""

    def __init__(self, mono: np.ndarray, fps: Fraction) -> None:
        """Begin reading a sound (n,) at 16 kHz. Raises InputError for several channels."""
        if mono.ndim != 1:
            raise InputError(f"sound of shape {mono.shape}: give one channel, (samples,), at {RATE} Hz")
        self.mono, self.fps, self.streams = mono, fps, [SpeechStream()]

    def __call__(self, frames: int, start: int = 0) -> np.ndarray:
        """Return the windows of frames start .. start + frames - 1, (f, CONTEXT, BANDS)."""
        if frames < 1 or start < 0:
            raise InputError(f"frames {start} to {start + frames}: ask for at least one, from 0 on")
        centres = first_steps(self.fps, frames, start, RATE // HOP, Fraction(0))
        first, last = int(centres[0]) - LOOK_AHEAD, int(centres[-1]) + LOOK_AHEAD
        hops = self._hops(max(first, 0), last + 1)
        log = np.log10(np.maximum(hops.power, 1e-20))
        log = np.pad(log, ((max(-first, 0), 0), (0, 0)), constant_values=-20)
        windows = log[(centres - centres[0])[:, None] + np.arange(CONTEXT)]
        at = centres + LOOK_AHEAD - max(first, 0)
        return levelled(windows, hops.level[at], hops.bands[at])

    def _hops(self, first: int, stop: int) -> Hops:
        """Return hops first .. stop - 1."""
        block = first // BLOCK
        while len(self.streams) <= block:
            stream = self.streams[-1].copy()
            stream.push(self._samples(len(self.streams) - 1, len(self.streams)))
            self.streams.append(stream)
        stream, parts = self.streams[block].copy(), []
        for k in range(block, (stop - 1) // BLOCK + 1):
            parts.append(stream.push(self._samples(k, k + 1)))
        cut = slice(first - block * BLOCK, stop - block * BLOCK)
        power, level, bands = (np.concatenate([getattr(p, name) for p in parts])[cut] for name in NAMES)
        return Hops(power, level, bands)

    def _samples(self, first: int, stop: int) -> np.ndarray:
        """Return the samples that complete the blocks first .. stop - 1 of hops.

        After its end the sound's last sample is repeated.
        """
        low, high = (k * BLOCK * HOP + (WINDOW // 2 - HOP) * (k > 0) for k in (first, stop))
        samples = np.asarray(self.mono[low:high], np.float64)
        last = self.mono[-1] if len(self.mono) else 0.0  # the end must not be a step
        return np.pad(samples, (0, high - low - len(samples)), constant_values=last)


class RunningMel:
    """`SpeechFeatures`: windows of log-mel minus its running means around each frame, (f, CONTEXT, BANDS)."""

    form: tuple[int, ...] = (CONTEXT, BANDS)

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Return the reader of a sound (n,) at 16 kHz; frame k is at k / fps seconds."""
        return RunningReader(mono, fps)

    def silence(self, frames: int) -> np.ndarray:
        """Return the windows of a sound that is silent from its beginning."""
        window = RunningReader(np.zeros(0), Fraction(25))(1)
        return np.repeat(window, frames, 0)
