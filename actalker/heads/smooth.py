"""Removes jitter from a track: numbers are averaged with neighbours in time that differ only by noise.

Larger changes stay as they are, however short, so that a closure of 60 ms and a blink stay whole. The noise
that a landmarker adds to the fit's numbers was measured on pictures with noise, with other compression, and
shifted by parts of a pixel. Source: the bilateral filter (Tomasi & Manduchi 1998), along time.
"""

from __future__ import annotations

import numpy as np

REACH = 0.05  # seconds: standard deviation of the weights in time
FAR = 2.5  # of it, up to where neighbours count
ALIKE = 2.5  # standard deviation of the weights in value, in those of the noise
COEFFICIENT, ANGLE, PLACE, DEPTH, GAZE = 0.015, 0.15, 0.02, 0.2, 0.4  # noise: of 1; degrees; cm; cm; degrees
OPENING, LIDS = 0.015, 0.02  # noise: cm; share of the open lid


def smoothed(
    times: np.ndarray, values: np.ndarray, noise: np.ndarray | float, pieces: np.ndarray
) -> np.ndarray:
    """Values (f, k) at times (f,), seconds, without jitter.

    noise: its standard deviation, one or (k,). pieces (f,): frames of different numbers are not averaged.
    """
    total, weight = values.astype(np.float64), np.ones(values.shape)
    for lag in range(1, len(times)):
        distance = times[lag:] - times[:-lag]
        near = (distance < FAR * REACH) & (pieces[lag:] == pieces[:-lag])
        if not near.any():
            break
        change = (values[lag:] - values[:-lag]) / (ALIKE * np.asarray(noise))
        share = np.exp(-(change**2) / 2) * (near * np.exp(-((distance / REACH) ** 2) / 2))[:, None]
        total[lag:] += share * values[:-lag]
        weight[lag:] += share
        total[:-lag] += share * values[lag:]
        weight[:-lag] += share
    return total / weight
