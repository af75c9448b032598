"""Metrics of faces: landmarks, blinks, expressions, poses, and who it is.

Letters: f frames, p landmarks.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ..faces.face import SCHEMES
from ..signals.resnet import identity_vectors, load_identity
from .clip import Clip, Unmeasurable
from .form import same_points
from .metric import Weights
from .statistics import correlation

SHUT, OPEN = 0.75, 0.85  # of a clip's usual opening of the lids: below, a blink begins; above, it is over
LIDS = {  # of each eye: rows of the upper and of the lower lid
    "mediapipe478": (([159, 158], [145, 153]), ([386, 385], [374, 380])),
    "ibug68": (([37, 38], [41, 40]), ([43, 44], [47, 46])),
}
STILL = 0.01  # standard deviation of a blendshape that does not move
INNER_LIPS = {"mediapipe478": (13, 14), "ibug68": (62, 66)}
LONGEST_BLINK = 0.5  # seconds: what lasts longer is a closed eye


def landmark_distance(made: Clip, real: Clip | None, mouth: bool) -> float:
    """Mean distance of landmarks over the real face's distance between the eyes, in each frame."""
    one, other = same_points(made, real)
    scheme = SCHEMES[made.scheme]
    rows = list(scheme.lips) if mouth else slice(None)
    apart = np.linalg.norm(one[:, rows] - other[:, rows], axis=-1).mean(1)
    eyes = [other[:, list(side)].mean(1) for side in (scheme.eye_left, scheme.eye_right)]
    between = np.linalg.norm(eyes[0] - eyes[1], axis=-1)
    return float((apart / np.maximum(between, 1e-6)).mean())


def lmd(made: Clip, real: Clip | None, weights: Weights) -> float:
    return landmark_distance(made, real, mouth=False)


def mouth_lmd(made: Clip, real: Clip | None, weights: Weights) -> float:
    return landmark_distance(made, real, mouth=True)


def lid_opening(landmarks: np.ndarray, scheme: str) -> np.ndarray:
    """Distance between the lids over the eye's width, the mean of both eyes, (f,)."""
    corners = (SCHEMES[scheme].eye_left, SCHEMES[scheme].eye_right)
    ratios = []
    for (inner, outer), (upper, lower) in zip(corners, LIDS[scheme], strict=True):
        height = np.linalg.norm(landmarks[:, upper].mean(1) - landmarks[:, lower].mean(1), axis=-1)
        width = np.linalg.norm(landmarks[:, inner] - landmarks[:, outer], axis=-1)
        ratios.append(height / np.maximum(width, 1e-6))
    return np.mean(ratios, axis=0)


def lips_apart(landmarks: np.ndarray, scheme: str) -> np.ndarray:
    """Distance of the inner lips over that between the eyes, (f,)."""
    upper, lower = INNER_LIPS[scheme]
    left, right = (
        landmarks[:, list(rows)].mean(1) for rows in (SCHEMES[scheme].eye_left, SCHEMES[scheme].eye_right)
    )
    unit = np.linalg.norm(left - right, axis=-1)
    return np.linalg.norm(landmarks[:, upper] - landmarks[:, lower], axis=-1) / np.maximum(unit, 1e-6)


def blink_spans(opening: np.ndarray, fps: float) -> list[tuple[float, float]]:
    """(start, length) in seconds of each blink in a curve of the lids' opening (f,).

    A blink begins where the opening falls below 0.75 of its upper quartile, and is over where it is above
    0.85 of it again; closed eyes that stay so for more than half a second are none.
    """
    usual = float(np.quantile(opening, 0.75))
    found, begun = [], None
    for k, value in enumerate(opening):
        if begun is None and value < SHUT * usual:
            begun = k
        elif begun is not None and value > OPEN * usual:
            seconds = (k - begun) / fps
            if seconds <= LONGEST_BLINK:
                found.append((begun / fps, seconds))
            begun = None
    return found


def blinks(opening: np.ndarray, fps: float) -> list[float]:
    """Seconds of each blink (`blink_spans`)."""
    return [seconds for _, seconds in blink_spans(opening, fps)]


def blink_rate(made: Clip, real: Clip | None, weights: Weights) -> float:
    found = blinks(lid_opening(made.landmarks, made.scheme), float(made.fps))
    return 60 * len(found) / (len(made.frames) / float(made.fps))


def blink_length(made: Clip, real: Clip | None, weights: Weights) -> float:
    found = blinks(lid_opening(made.landmarks, made.scheme), float(made.fps))
    if not found:
        raise Unmeasurable("no blink")
    return float(np.mean(found))


@lru_cache(maxsize=2)
def identity_net(path: Path) -> torch.nn.Module:
    """ArcFace's network, read once. Raises: InputError for files that hold something else."""
    return load_identity(path)


def csim(made: Clip, real: Clip | None, weights: Weights) -> float:
    assert real is not None and weights.arcface is not None
    who = _who(weights.arcface, real.heads(112)[:1])
    return float((_who(weights.arcface, made.heads(112)) @ who.T).mean())


def _who(path: Path, heads: np.ndarray) -> torch.Tensor:
    """ArcFace's unit vectors (f, 512) of squares (f, 112, 112, 3) uint8."""
    return identity_vectors(identity_net(path), heads)


def identity_drift(made: Clip, real: Clip | None, weights: Weights) -> float:
    assert weights.arcface is not None
    vectors = _who(weights.arcface, made.heads(112))
    second = max(1, round(float(made.fps)))
    first, last = (
        torch.nn.functional.normalize(v.mean(0), dim=0) for v in (vectors[:second], vectors[-second:])
    )
    return 1 - float(first @ last)


def expression_distance(made: Clip, real: Clip | None, weights: Weights) -> float:
    one, other = _both(made, real, "expressions")
    return float(np.abs(one - other).mean())


def pose_distance(made: Clip, real: Clip | None, weights: Weights) -> float:
    one, other = _both(made, real, "poses")
    return float(np.abs(one - other).mean())


def expression_transfer(made: Clip, real: Clip | None, weights: Weights) -> float:
    one, other = _both(made, real, "expressions")
    moves = other.std(0) > STILL
    if not moves.any():
        raise Unmeasurable("the reference's face does not move")
    return float(
        np.mean([correlation(a, b) for a, b in zip(one[:, moves].T, other[:, moves].T, strict=True)])
    )


def _both(made: Clip, real: Clip | None, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the faces of both, cut to the shorter clip."""
    assert real is not None
    if made.fps != real.fps:
        raise Unmeasurable("frame rates differ")
    one, other = getattr(made, what), getattr(real, what)
    count = min(len(one), len(other))
    return one[:count], other[:count]
