"""Expressions of a face as numbers, and the curves on which they come and go.

Numbers are (..., 62), relative, as in `heads.face_map`. While expressions are added up, mouthClose is how far
the lips are held shut, in [0, 1]; `with_lips` turns it into the coefficient for drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ...errors import one_of
from ...heads.face_map import NUMBERS
from ...heads.model import CLOSE, COEFFICIENTS, INDEX, head_model, ours

PLACE = {name: k for k, name in enumerate(NUMBERS)}
COUNT = len(COEFFICIENTS)
SHUT = INDEX["mouthClose"]
POSE, GAZE = slice(COUNT, COUNT + 6), slice(COUNT + 6, COUNT + 8)
YAW, PITCH, ROLL, X, Y, Z = range(COUNT, COUNT + 6)
RIGHT, DOWN = COUNT + 6, COUNT + 7
SEAL = 0.8  # cm by which a jaw can drop behind lips that stay shut

EXPRESSIONS: dict[str, dict[str, float]] = {  # each at its strongest
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.45, "eyeSquint": 0.2, "mouthDimple": 0.1, "mouthClose": 1},
    "grin": {
        "mouthSmile": 0.95,
        "cheekSquint": 0.6,
        "eyeSquint": 0.3,
        "mouthUpperUp": 0.35,
        "mouthLowerDown": 0.25,
        "mouthStretch": 0.15,
        "jawOpen": 0.05,
    },
    "laugh": {
        "mouthSmile": 1.0,
        "jawOpen": 0.38,
        "mouthUpperUp": 0.45,
        "mouthLowerDown": 0.3,
        "cheekSquint": 0.75,
        "eyeSquint": 0.55,
        "browOuterUp": 0.15,
        "browInnerUp": 0.1,
        "pitch": -4,
    },
    "smirk": {"mouthSmile_L": 0.7, "cheekSquint_L": 0.3, "mouthDimple_L": 0.35, "mouthClose": 1, "roll": 2},
    "frown": {
        "mouthFrown": 0.75,
        "browDown": 0.75,
        "mouthShrugLower": 0.3,
        "eyeSquint": 0.15,
        "mouthClose": 1,
    },
    "sad": {
        "browInnerUp": 0.8,
        "mouthFrown": 0.65,
        "mouthShrugLower": 0.35,
        "eyeBlink": 0.18,
        "mouthClose": 1,
        "pitch": 5,
        "gaze down": 4,
    },
    "surprise": {
        "browInnerUp": 0.85,
        "browOuterUp": 0.85,
        "eyeWide": 0.8,
        "jawOpen": 0.28,
        "pitch": -2,
        "z": 1.0,
    },
    "anger": {
        "browDown": 0.95,
        "noseSneer": 0.4,
        "eyeSquint": 0.35,
        "mouthPress": 0.5,
        "mouthFrown": 0.35,
        "mouthClose": 1,
        "pitch": 3,
        "z": -1.0,
    },
    "disgust": {
        "noseSneer": 0.9,
        "mouthUpperUp": 0.45,
        "browDown": 0.5,
        "cheekSquint": 0.45,
        "eyeSquint": 0.4,
        "mouthFrown": 0.35,
        "mouthShrugLower": 0.3,
        "mouthClose": 0.5,
        "pitch": -3,
        "z": 1.0,
    },
    "fear": {
        "browInnerUp": 0.9,
        "browOuterUp": 0.35,
        "browDown": 0.15,
        "eyeWide": 0.9,
        "mouthStretch": 0.6,
        "jawOpen": 0.12,
        "z": 1.5,
    },
    "doubt": {
        "browOuterUp_L": 0.8,
        "browInnerUp_L": 0.35,
        "browDown_R": 0.5,
        "mouthFrown": 0.35,
        "mouthShrugLower": 0.4,
        "eyeSquint": 0.2,
        "mouthClose": 1,
        "roll": 4,
    },
    "thought": {
        "browDown": 0.4,
        "eyeSquint": 0.25,
        "mouthPress": 0.3,
        "mouthPucker": 0.25,
        "mouthClose": 1,
        "gaze right": 12,
        "gaze down": -9,
        "yaw": 4,
        "pitch": -3,
    },
    "care": {
        "browDown": 0.6,
        "eyeSquint": 0.5,
        "mouthPress": 0.4,
        "mouthRollLower": 0.25,
        "mouthClose": 1,
        "pitch": 3,
    },
    "kiss": {"mouthPucker": 0.95, "mouthFunnel": 0.15, "mouthClose": 1},
    "pout": {
        "mouthPucker": 0.55,
        "mouthShrugLower": 0.7,
        "mouthFrown": 0.4,
        "browInnerUp": 0.2,
        "browDown": 0.2,
        "mouthClose": 1,
        "pitch": 2,
    },
    "oh": {"mouthFunnel": 0.6, "mouthPucker": 0.5, "jawOpen": 0.18},
    "pressed": {"mouthPress": 0.85, "mouthRollUpper": 0.25, "mouthRollLower": 0.3, "mouthClose": 1},
    "rolled": {"mouthRollLower": 0.9, "mouthRollUpper": 0.75, "mouthClose": 1},
    "puffed": {"cheekPuff": 0.95, "mouthPress": 0.35, "mouthPucker": 0.2, "mouthClose": 1},
    "tongue": {"tongueOut": 1.0, "jawOpen": 0.25, "mouthLowerDown": 0.15},
    "teeth": {
        "mouthUpperUp": 0.6,
        "mouthLowerDown": 0.55,
        "mouthStretch": 0.5,
        "mouthSmile": 0.3,
        "cheekSquint": 0.2,
    },
    "yawn": {
        "jawOpen": 0.85,
        "eyeBlink": 0.95,
        "browInnerUp": 0.35,
        "browDown": 0.25,
        "noseSneer": 0.2,
        "cheekSquint": 0.3,
        "pitch": -5,
    },
    "wince": {"eyeBlink": 0.7, "eyeSquint": 0.8, "cheekSquint": 0.7, "browDown": 0.7, "mouthStretch": 0.5},
}


def named(values: Mapping[str, float]) -> np.ndarray:
    """Numbers (62,) float64 from values by name; a name without _L or _R sets both sides.

    Raises: InputError for an unknown name.
    """
    out = np.zeros(len(NUMBERS))
    for name, value in values.items():
        keys = ours(name) or (one_of(name, NUMBERS, "number"),)
        out[[PLACE[key] for key in keys]] = value
    return out


def with_lips(numbers: np.ndarray) -> np.ndarray:
    """Numbers (f, 62) for drawing, from numbers whose mouthClose is how far the lips are held shut.

    The lips part by the gap of the other coefficients, less up to SEAL cm where they are held shut. They
    never overlap.
    """
    closed, gap = np.clip(numbers[:, SHUT], 0, 1), gap_of(numbers)
    out = numbers.copy()
    out[:, SHUT] = (gap - np.maximum(np.maximum(gap, 0) - SEAL * closed, 0)) / CLOSE
    return out


@lru_cache(maxsize=1)
def _gaps() -> np.ndarray:
    """The gap between the lips at 1 of each coefficient, (54,) cm."""
    return head_model().gap(np.eye(COUNT))


def gap_of(numbers: np.ndarray) -> np.ndarray:
    """The gap between the lips in cm, (f,), of numbers (f, 62) without mouthClose.

    Each row is summed alone, so a frame's gap is the same in every range of frames.
    """
    return (numbers[:, :COUNT] * _gaps()).sum(1)


def limited(numbers: np.ndarray) -> np.ndarray:
    """Numbers (f, 62) clipped to the range of a face: coefficients to [0, 1], pose and gaze to its limits."""
    out = np.array(numbers)
    out[:, :COUNT] = np.clip(out[:, :COUNT], 0, 1)
    most = np.array([25, 18, 15, 6, 6, 12, 30, 22])  # degrees and cm
    return np.concatenate([out[:, :COUNT], np.clip(out[:, COUNT:], -most, most)], 1)


def ease(share: np.ndarray) -> np.ndarray:
    """The minimum-jerk curve from 0 to 1 (Flash & Hogan 1985); constant for shares below 0 and above 1."""
    s = np.clip(share, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)


def rise_and_fall(
    times: np.ndarray, start: np.ndarray, rise: np.ndarray, hold: np.ndarray, fall: np.ndarray
) -> np.ndarray:
    """The strength of n events at times (f,), (n, f) in [0, 1].

    start, rise, hold, fall: (n,) seconds, when each event begins and how long it rises, stays and falls.
    """
    since = times - start[:, None]
    up = ease(since / rise[:, None])
    return up - ease((since - (rise + hold)[:, None]) / fall[:, None])
