"""Speech without what no mouth makes: a constant offset, and whatever lies below about 40 Hz.

An offset is the fault of cheap microphones. Where sound begins, or digital silence ends, it is a step from
0: a click at all frequencies, which opens the mouth. So the local mean is taken out first, only where there
is sound, and only then the low frequencies. Digital silence stays what it is.

What is heard at a sample depends on the samples from `BACK` before it to `AHEAD` behind it and on no other: a
stream that is read in pieces sounds as the whole.
"""

from __future__ import annotations

from functools import cache

import numpy as np

RATE = 16000  # Hz: speech holds little above 8 kHz that a face could show
LOWEST = 50  # Hz: half an amplitude is left; a thousandth at 32 Hz, all at 68 Hz
TAPS = 800  # samples of the filter on either side, 50 ms
SHARP = 5.65  # Kaiser's beta: 60 dB
QUIET = 1e-4  # digital silence: -80 dBFS and less, as resampling leaves it beside a step
SILENCE = 80  # samples (5 ms) of it in a row
PAST, COMING = 6400, 1280  # samples (400 and 80 ms) whose mean is the offset
RINGS = 96  # samples (6 ms) at a step that ring
SHARE = 0.1  # of the local amplitude: a mean below it is speech's own, one of twice as much is an offset
AHEAD = TAPS + COMING + 2 * RINGS + SILENCE  # samples, 147 ms
BACK = TAPS + PAST + 2 * RINGS + SILENCE
EDGE = 320  # samples (20 ms) at the edges of sound where more and more of the low frequencies is taken out
GRID = RATE  # samples that are worked on at once, from whole multiples on: the same in every range


def audible(mono: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Samples begin .. end of a sound (n,) at 16 kHz as they are heard, float64; zeros outside the sound."""
    out = np.zeros(end - begin)
    for first in range(begin // GRID * GRID, end, GRID):
        low, high = max(first, begin, 0), min(first + GRID, end, len(mono))
        if low < high:
            out[low - begin : high - begin] = _grid(mono, first)[low - first : high - first]
    return out


def _grid(mono: np.ndarray, first: int) -> np.ndarray:
    """Samples first .. first + GRID."""
    begin, end = first - BACK, first + GRID + AHEAD
    inside = np.asarray(mono[max(begin, 0) : max(end, 0)], dtype=np.float64)
    left = min(max(-begin, 0), end - begin)
    samples, share = _without_offset(np.pad(inside, (left, end - begin - left - len(inside))))
    around = samples[BACK - TAPS : BACK + GRID + TAPS]
    low = np.fft.irfft(np.fft.rfft(around) * _low(), len(around))[TAPS : TAPS + GRID]
    here = slice(BACK, BACK + GRID)
    return samples[here] - share[here] * low


@cache
def _low() -> np.ndarray:
    """What of each frequency of GRID + 2 TAPS samples is low, at no delay."""
    k = np.arange(-TAPS, TAPS + 1)
    low = np.sinc(2 * LOWEST / RATE * k) * np.kaiser(len(k), SHARP)
    around = np.zeros(GRID + 2 * TAPS)
    around[k] = low / low.sum()
    return np.fft.rfft(around).real


def _without_offset(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples without their local mean; and how far low frequencies are to be taken out, [0, 1].

    Only where there is sound: at its edges nothing is taken out that would be a step there. Where an offset
    that would be heard has begun or ended, what the step leaves of itself fades.
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
    """Which of the flags stand in a row of at least SILENCE."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)
    change = np.zeros(len(flags) + 1, np.int64)
    kept = edges[edges[:, 1] - edges[:, 0] >= SILENCE]
    np.add.at(change, kept[:, 0], 1)
    np.add.at(change, kept[:, 1], -1)
    return np.cumsum(change)[:-1] > 0


def _sums(values: np.ndarray) -> np.ndarray:
    """Of each sample: the sum from PAST before it to COMING behind it."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    n = np.arange(len(values))
    return total[np.minimum(n + COMING + 1, len(values))] - total[np.maximum(n - PAST, 0)]
