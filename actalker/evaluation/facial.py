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


def landmark_distance(generated: Clip, reference: Clip | None, mouth: bool) -> float:
    """Mean distance of landmarks to the reference's, over the distance between the reference's eyes."""
    one, other = same_points(generated, reference)
    scheme = SCHEMES[generated.scheme]
    rows = list(scheme.lips) if mouth else slice(None)
    apart = np.linalg.norm(one[:, rows] - other[:, rows], axis=-1).mean(1)
    eyes = [other[:, list(side)].mean(1) for side in (scheme.eye_left, scheme.eye_right)]
    between = np.linalg.norm(eyes[0] - eyes[1], axis=-1)
    return float((apart / np.maximum(between, 1e-6)).mean())


def lmd(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Landmark distance over the whole face, in eye distances."""
    return landmark_distance(generated, reference, mouth=False)


def mouth_lmd(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Landmark distance over the outline of the lips, in eye distances."""
    return landmark_distance(generated, reference, mouth=True)


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
    spans, begun = [], None
    for k, value in enumerate(opening):
        if begun is None and value < SHUT * usual:
            begun = k
        elif begun is not None and value > OPEN * usual:
            seconds = (k - begun) / fps
            if seconds <= LONGEST_BLINK:
                spans.append((begun / fps, seconds))
            begun = None
    return spans


def blinks(opening: np.ndarray, fps: float) -> list[float]:
    """Seconds of each blink (`blink_spans`)."""
    return [seconds for _, seconds in blink_spans(opening, fps)]


def blink_rate(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Blinks a minute (`blink_spans`)."""
    lengths = blinks(lid_opening(generated.landmarks, generated.scheme), float(generated.fps))
    return 60 * len(lengths) / (len(generated.frames) / float(generated.fps))


def blink_length(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean length of the blinks, seconds. Raises: Unmeasurable for a clip without one."""
    lengths = blinks(lid_opening(generated.landmarks, generated.scheme), float(generated.fps))
    if not lengths:
        raise Unmeasurable("no blink")
    return float(np.mean(lengths))


@lru_cache(maxsize=2)
def identity_net(path: Path) -> torch.nn.Module:
    """ArcFace's network, read once. Raises: InputError for files that hold something else."""
    return load_identity(path)


def csim(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean cosine of ArcFace's vectors (Deng et al. 2019) of each frame and of the reference's first."""
    assert reference is not None and weights.arcface is not None
    who = _who(weights.arcface, reference.heads(112)[:1])
    return float((_who(weights.arcface, generated.heads(112)) @ who.T).mean())


def _who(path: Path, heads: np.ndarray) -> torch.Tensor:
    """ArcFace's unit vectors (f, 512) of squares (f, 112, 112, 3) uint8."""
    return identity_vectors(identity_net(path), heads)


def identity_drift(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """1 - cosine of the mean ArcFace vectors of the clip's first and last second; 0: the same person."""
    assert weights.arcface is not None
    vectors = _who(weights.arcface, generated.heads(112))
    second = max(1, round(float(generated.fps)))
    first, last = (
        torch.nn.functional.normalize(v.mean(0), dim=0) for v in (vectors[:second], vectors[-second:])
    )
    return 1 - float(first @ last)


def expression_distance(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean absolute difference of MediaPipe's 52 blendshapes to the reference's."""
    one, other = _both(generated, reference, "expressions")
    return float(np.abs(one - other).mean())


def pose_distance(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean absolute difference of yaw, pitch and roll to the reference's, degrees."""
    one, other = _both(generated, reference, "poses")
    return float(np.abs(one - other).mean())


def expression_transfer(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean correlation of the blendshapes that move in the reference.

    Raises: Unmeasurable where none moves.
    """
    one, other = _both(generated, reference, "expressions")
    moves = other.std(0) > STILL
    if not moves.any():
        raise Unmeasurable("the reference's face does not move")
    return float(
        np.mean([correlation(a, b) for a, b in zip(one[:, moves].T, other[:, moves].T, strict=True)])
    )


def _both(generated: Clip, reference: Clip | None, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the faces of both, cut to the shorter clip."""
    assert reference is not None
    if generated.fps != reference.fps:
        raise Unmeasurable("frame rates differ")
    one, other = getattr(generated, what), getattr(reference, what)
    count = min(len(one), len(other))
    return one[:count], other[:count]
