"""How far a portrait's head may go: what a photograph does not show is not turned into view."""

from __future__ import annotations

import numpy as np

YAW, PITCH = 25.0, 20.0  # degrees to either side that a frontal portrait carries
HIDDEN = 0.7, 0.35  # of its own angle, what is taken from the way back: there is the side it hides
SEEN = 0.1, 0.1  # of it, what is added to the way on
FARTHEST = 55.0  # degrees from the front
ROLL = 40.0  # from the portrait's own: the neck twists, nothing comes into view
SHIFT = 5.0  # cm that the pivot moves in the picture's plane: shoulders hardly follow
DEPTH = 0.25  # of the distance from the camera
LEAST = 3.0  # degrees that are free to either side: small motions stay small
GIVES = 0.75  # of a limit from which on it gives way softly


def limited(own: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The pose (6,) that is drawn where `asked` (6,) is asked of a portrait whose pose is `own` (6,).

    Both as in `HeadMotion.pose`, `asked` relative. Below three quarters of a limit nothing changes; beyond,
    the pose comes nearer and nearer to the limit, growing all the time, so that a motion has no step in it.
    Small motions from a portrait that is itself beyond a limit stay small: what it shows, it shows.
    """
    drawn = np.array(asked, np.float64)
    for axis, reach in ((0, YAW), (1, PITCH)):
        angle = abs(float(own[axis]))
        on = min(reach + SEEN[axis] * angle, FARTHEST - angle)
        back = reach - HIDDEN[axis] * angle
        low, high = (-back, on) if own[axis] > 0 else (-on, back)
        drawn[axis] = _soft(drawn[axis], low, high)
    drawn[2] = _soft(drawn[2], -ROLL, ROLL)
    away = float(np.hypot(drawn[3], drawn[4]))
    if away > 0:
        drawn[3:5] *= _soft(away, -SHIFT, SHIFT) / away
    drawn[5] = _soft(drawn[5], -DEPTH * own[5], DEPTH * own[5])
    return drawn


def _soft(value: float, low: float, high: float) -> float:
    """value, kept within low < 0 < high: the same near 0, ever slower towards the limit."""
    limit = max(high if value > 0 else -low, LEAST)
    free = GIVES * limit
    size = abs(float(value))
    if size > free:
        size = free + (limit - free) * float(np.tanh((size - free) / (limit - free)))
    return float(np.copysign(size, value))
