"""Measures of how well a face follows its driver, and of how lively it is, from MediaPipe's curves.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..facial import blink_spans
from ..statistics import correlation

MOVES = 0.05  # standard deviation of a blendshape that the driver moves
BROWS, LIDS = 0.008, 0.02  # the same for the brows' height and for the lids' opening (`Reading`)
TURNS = 1.0  # the same for an angle, degrees
SHAPES = {  # channel: MediaPipe's score
    "jaw": "jawOpen",
    "smile": "mouthSmile",
    "pucker": "mouthPucker",
    "blink": "eyeBlink",
    "browInnerUp": "browInnerUp",
    "browDown": "browDown",
}
ANGLES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Followed:
    """Hold how one channel follows a driver.

    r: Pearson's correlation. amplitude: std(output) / std(driver).
    """

    r: float
    amplitude: float


def followed(output: np.ndarray, driver: np.ndarray, least: float = MOVES) -> Followed | None:
    """Compare a channel of the output (f,) with the same channel of the driver (f',).

    Frames without a face in either (NaN) are left out, and the longer curve is cut.

    Returns: None where std(driver) < `least`, or fewer than six frames are left.
    """
    count = min(len(output), len(driver))
    known = ~np.isnan(output[:count]) & ~np.isnan(driver[:count])
    one, other = output[:count][known], driver[:count][known]
    if len(other) <= 5 or other.std() < least:
        return None
    return Followed(correlation(one, other), float(one.std() / other.std()))


def blinks_a_minute(lids: np.ndarray, fps: float) -> float:
    """Return the blinks per minute (`facial.blink_spans`) in a curve of the lids' opening (f,)."""
    known = lids[~np.isnan(lids)]
    return 60 * len(blink_spans(known, fps)) / (len(known) / fps) if len(known) else float("nan")


def blink_intervals(lids: np.ndarray, fps: float) -> np.ndarray:
    """Return the times in seconds from the beginning of each blink to the beginning of the next."""
    known = lids[~np.isnan(lids)]
    return np.diff([start for start, _ in blink_spans(known, fps)])


def irregularity(intervals: Sequence[float] | np.ndarray) -> float:
    """Return std / mean of intervals; NaN for fewer than three."""
    seconds = np.asarray(intervals, float)
    return float(seconds.std() / seconds.mean()) if len(seconds) >= 3 else float("nan")


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return mean |one - other| / std(one) of two curves (f,), about 1.1 for independent curves.

    The longer curve is cut. The result is 0 where `one` does not move.
    """
    count = min(len(one), len(other))
    spread = float(np.nanstd(one))
    difference = float(np.nanmean(np.abs(one[:count] - other[:count])))
    return difference / spread if spread > 1e-9 else 0.0
