"""Remove from speech what no mouth makes: a constant offset, and frequencies below about 40 Hz.

Cheap microphones add an offset. At the beginning of sound, or the end of digital silence, it is a step
from 0, a click at all frequencies, which would open the mouth. So the local mean is removed first,
only where there is sound, and then the low frequencies. Digital silence stays as it is.

The result at a sample depends only on the samples from `BACK` before it to `AHEAD` after it, so a stream
that is read in pieces gives the same result as the whole sound.
"""

from __future__ import annotations

from functools import cache

import numpy as np

RATE = 16000  # Hz: speech holds little above 8 kHz that a face could show
LOWEST = 50  # Hz at which half the amplitude remains; a thousandth at 32 Hz, all of it at 68 Hz
TAPS = 800  # samples of the filter on either side, 50 ms
SHARP = 5.65  # Kaiser's beta: 60 dB
QUIET = 1e-4  # digital silence is at most -80 dBFS, as resampling leaves it beside a step
SILENCE = 80  # samples (5 ms) of it in a row
PAST, COMING = 6400, 1280  # samples (400 and 80 ms) whose mean is the offset
RINGS = 96  # samples (6 ms) of ringing at a step
SHARE = 0.1  # of the local amplitude: a smaller mean belongs to the speech, twice as much is an offset
AHEAD = TAPS + COMING + 2 * RINGS + SILENCE  # samples, 147 ms
BACK = TAPS + PAST + 2 * RINGS + SILENCE
EDGE = 320  # samples (20 ms) at the edges of sound over which the removal of low frequencies sets in
GRID = RATE  # samples computed at once, starting at multiples of it, so that ranges do not matter


def audible(mono: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return samples start .. stop - 1 of a sound (n,), cleaned, float64.

    mono is at 16 kHz; the result is 0 outside the sound.
    """
    out = np.zeros(stop - start)
    for first in range(start // GRID * GRID, stop, GRID):
        low, high = max(first, start, 0), min(first + GRID, stop, len(mono))
        if low < high:
            out[low - start : high - start] = _grid(mono, first)[low - first : high - first]
    return out


def _grid(mono: np.ndarray, first: int) -> np.ndarray:
    """Return the cleaned samples first .. first + GRID - 1, (GRID,)."""
    start, stop = first - BACK, first + GRID + AHEAD
    inside = np.asarray(mono[max(start, 0) : max(stop, 0)], dtype=np.float64)
    left = min(max(-start, 0), stop - start)
    samples, share = _without_offset(np.pad(inside, (left, stop - start - left - len(inside))))
    around = samples[BACK - TAPS : BACK + GRID + TAPS]
    low = np.fft.irfft(np.fft.rfft(around) * _low(), len(around))[TAPS : TAPS + GRID]
    here = slice(BACK, BACK + GRID)
    return samples[here] - share[here] * low


@cache
def _low() -> np.ndarray:
    """Return the low-pass filter's gain at each frequency of GRID + 2 TAPS samples; its phase is zero."""
    k = np.arange(-TAPS, TAPS + 1)
    low = np.sinc(2 * LOWEST / RATE * k) * np.kaiser(len(k), SHARP)
    around = np.zeros(GRID + 2 * TAPS)
    around[k] = low / low.sum()
    return np.fft.rfft(around).real


def _without_offset(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove the local mean of samples (n,) where there is sound.

    Returns: the samples, and how far to remove their low frequencies, (n,) in [0, 1]. It is 0 at the edges of
    sound, where a removal would itself be a step. Where an audible offset begins or ends, the ringing of its
    step is faded out.
    """
    sound = ~_long(np.abs(samples) <= QUIET)
    edges = np.flatnonzero(np.diff(sound, prepend=False, append=False)).reshape(-1, 2)
    steady = sound.copy()  # without the ringing of steps
    for start, stop in edges:
        steady[start : start + RINGS] = steady[max(start, stop - RINGS) : stop] = False
    count = np.maximum(_sums(steady), 1)
    mean, size = _sums(steady * samples) / count, np.sqrt(_sums(steady * samples**2) / count)
    offset = mean * np.clip(np.abs(mean) / np.maximum(SHARE * size, 1e-20) - 1, 0, 1)
    out, share = np.where(sound, samples - offset, samples), np.zeros(len(samples))
    for start, stop in edges:
        along = np.arange(stop - start)
        share[start:stop] = np.minimum(np.minimum(along, along[::-1]) / EDGE, 1)
        fade = np.clip(along / RINGS - 1, 0, 1)
        if offset[start]:
            out[start:stop] *= fade
        if offset[stop - 1]:
            out[start:stop] *= fade[::-1]
    return out, share


def _long(flags: np.ndarray) -> np.ndarray:
    """Return which of the flags (n,) belong to a run of at least SILENCE."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)
    change = np.zeros(len(flags) + 1, np.int64)
    runs = edges[edges[:, 1] - edges[:, 0] >= SILENCE]
    np.add.at(change, runs[:, 0], 1)
    np.add.at(change, runs[:, 1], -1)
    return np.cumsum(change)[:-1] > 0


def _sums(values: np.ndarray) -> np.ndarray:
    """Return for each sample (n,) the sum of values from PAST before it to COMING after it."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    n = np.arange(len(values))
    return total[np.minimum(n + COMING + 1, len(values))] - total[np.maximum(n - PAST, 0)]
