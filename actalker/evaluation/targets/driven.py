"""Measures of a driven face, and of a face that lives: what is read of the output against the driver's own.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..facial import blink_spans
from ..statistics import correlation

MOVES = 0.05  # standard deviation of a blendshape that the driver moves
BROWS, LIDS = 0.008, 0.02  # of the brows' height, of the lids' opening (`Reading`)
TURNS = 1.0  # degrees, of an angle
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
    """How one channel follows a driver. amplitude: standard deviation of the output over the driver's."""

    r: float
    amplitude: float


def followed(output: np.ndarray, driver: np.ndarray, least: float = MOVES) -> Followed | None:
    """A channel of the output (f,) against the driver's; None where the driver hardly moves it.

    Frames where either shows no face are left out; the longer one is cut.
    """
    count = min(len(output), len(driver))
    known = ~np.isnan(output[:count]) & ~np.isnan(driver[:count])
    one, other = output[:count][known], driver[:count][known]
    if len(other) <= 5 or other.std() < least:
        return None
    return Followed(correlation(one, other), float(one.std() / other.std()))


def blinks_a_minute(lids: np.ndarray, fps: float) -> float:
    """Blinks (`facial.blink_spans`) of a curve of the lids' opening (f,), a minute."""
    known = lids[~np.isnan(lids)]
    return 60 * len(blink_spans(known, fps)) / (len(known) / fps) if len(known) else float("nan")


def blink_intervals(lids: np.ndarray, fps: float) -> np.ndarray:
    """Seconds from the beginning of each blink to that of the next."""
    known = lids[~np.isnan(lids)]
    return np.diff([start for start, _ in blink_spans(known, fps)])


def irregularity(intervals: Sequence[float] | np.ndarray) -> float:
    """The standard deviation of intervals over their mean; NaN for fewer than three."""
    seconds = np.asarray(intervals, float)
    return float(seconds.std() / seconds.mean()) if len(seconds) >= 3 else float("nan")


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two curves (f,) over the deviation of the first; independent ones are about 1.1."""
    count = min(len(one), len(other))
    spread = float(np.nanstd(one))
    difference = float(np.nanmean(np.abs(one[:count] - other[:count])))
    return difference / spread if spread > 1e-9 else 0.0
