"""Jitter out of a track: every number is averaged with its neighbours in time that differ by no more than
noise does.

What a landmarker's noise does to the fit was measured: pictures with noise, other compression, shifted by
parts of a pixel (`LEAST`). Changes that are larger stay as they are, however short, so a closure of 60 ms and
a blink stay whole. Source: the bilateral filter (Tomasi & Manduchi 1998), along time.
"""

from __future__ import annotations

import numpy as np

REACH = 0.05  # seconds: standard deviation of the weights in time
FAR = 2.5  # of it, up to where neighbours count
ALIKE = 2.5  # standard deviations of the noise, the weights' own in value
COEFFICIENT, ANGLE, PLACE, DEPTH, GAZE = 0.015, 0.15, 0.02, 0.2, 0.4  # noise: of 1; degrees; cm; cm; degrees
OPENING, LIDS = 0.015, 0.02  # cm; share of the open lid


def smoothed(
    times: np.ndarray, values: np.ndarray, noise: np.ndarray | float, pieces: np.ndarray
) -> np.ndarray:
    """Values (f, k) at times (f,), seconds, without noise of a standard deviation, (k,) or one.

    pieces (f,): frames of different numbers have nothing to do with each other.
    """
    total, weight = values.astype(np.float64), np.ones(values.shape)
    for lag in range(1, len(times)):
        apart = times[lag:] - times[:-lag]
        near = (apart < FAR * REACH) & (pieces[lag:] == pieces[:-lag])
        if not near.any():
            break
        change = (values[lag:] - values[:-lag]) / (ALIKE * np.asarray(noise))
        share = np.exp(-(change**2) / 2) * (near * np.exp(-((apart / REACH) ** 2) / 2))[:, None]
        total[lag:] += share * values[:-lag]
        weight[lag:] += share
        total[:-lag] += share * values[lag:]
        weight[:-lag] += share
    return total / weight
