"""Limits of a portrait's pose: a head is not turned so far that unseen parts of it come into view."""

from __future__ import annotations

import numpy as np

YAW, PITCH = 25.0, 20.0  # degrees to either side that a frontal portrait can be turned
HIDDEN = 0.7, 0.35  # of a turned portrait's angle, subtracted from turns back: they show the side it hides
SEEN = 0.1, 0.1  # of its angle, added to turns further on
FARTHEST = 55.0  # degrees from the front
ROLL = 40.0  # degrees from the portrait's own roll: the neck twists, nothing comes into view
SHIFT = 5.0  # cm that the pivot moves in the picture's plane: shoulders hardly follow
DEPTH = 0.25  # of the distance from the camera
LEAST = 3.0  # degrees that are free to either side, whatever the portrait's angle
GIVES = 0.75  # of a limit: below nothing is changed


def limited(portrait: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The relative pose (6,) that is drawn for the relative pose `asked` (6,).

    portrait (6,): the portrait's pose. All are as in `HeadMotion.pose`. Below three quarters of a limit
    nothing is changed. Above, the pose approaches the limit without reaching it and without a step in the
    motion. A portrait that is itself beyond a limit can still be turned a little.
    """
    drawn = np.array(asked, np.float64)
    for axis, reach in ((0, YAW), (1, PITCH)):
        angle = abs(float(portrait[axis]))
        on = min(reach + SEEN[axis] * angle, FARTHEST - angle)
        back = reach - HIDDEN[axis] * angle
        low, high = (-back, on) if portrait[axis] > 0 else (-on, back)
        drawn[axis] = _soft(drawn[axis], low, high)
    drawn[2] = _soft(drawn[2], -ROLL, ROLL)
    away = float(np.hypot(drawn[3], drawn[4]))
    if away > 0:
        drawn[3:5] *= _soft(away, -SHIFT, SHIFT) / away
    drawn[5] = _soft(drawn[5], -DEPTH * portrait[5], DEPTH * portrait[5])
    return drawn


def _soft(value: float, low: float, high: float) -> float:
    """A value compressed into low < 0 < high: unchanged near 0, ever slower towards the limit."""
    limit = max(high if value > 0 else -low, LEAST)
    free = GIVES * limit
    size = abs(float(value))
    if size > free:
        size = free + (limit - free) * float(np.tanh((size - free) / (limit - free)))
    return float(np.copysign(size, value))
