"""Measure how much a clip moves: SVD's micro-conditions of head and expression motion, as buckets 0 to 128.

Letters: f frames, p landmarks.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError, one_of

BUCKETS = 128  # the largest
HEAD_SCALE, EXPRESSION_SCALE = 256, 1024  # buckets for a mean motion of one face diagonal, as in the release

ANCHORS = {  # scheme: a point fixed to the skull, the number of points that count as the face
    "mediapipe478": (1, 468),  # nose tip; without the ten points of the irises
    "ibug68": (30, 68),  # nose tip
    "released256": (80, 102),  # as in ACTalker's released code
}


def motion_buckets(landmarks: np.ndarray, scheme: str = "mediapipe478") -> tuple[int, int]:
    """Return the (head, expression) buckets of a clip, 0 to 128, as ACTalker's released code defines them.

    Head motion is the mean distance of the anchor point to its mean over time. Expression motion is the mean
    distance of the points, relative to the anchor, to their means over time; a turn of the head counts as
    expression too, since only its shift is removed. Both are divided by the diagonal of the first frame's
    landmarks, multiplied by 256 and 1024, truncated and clipped.

    Args:
        landmarks: (f, p, 2) in pixels.
        scheme: a name in `ANCHORS`.
    Raises: InputError for missing points, and for a face without extent.
    """
    one_of(scheme, ANCHORS, "landmark scheme")
    anchor, count = ANCHORS[scheme]
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[0] == 0 or points.shape[1] < count or points.shape[2] < 2:
        raise InputError(f"landmarks of shape {points.shape}: {scheme} needs (frames, {count} or more, 2)")
    points = points[:, :, :2]
    if not np.isfinite(points).all():
        raise InputError("landmarks hold missing points; fill the gaps of the track first")
    diagonal = float(np.linalg.norm(np.ptp(points[0], axis=0)))
    if diagonal == 0:
        raise InputError("all landmarks of the first frame lie on one point; find the face again")
    head = _spread(points[:, anchor]) / diagonal
    expression = _spread(points[:, :count] - points[:, anchor, None]) / diagonal
    return _bucket(head * HEAD_SCALE), _bucket(expression * EXPRESSION_SCALE)


def _spread(points: np.ndarray) -> float:
    """Return the mean distance of points (f, ..., 2) to their means over time."""
    return float(np.linalg.norm(points - points.mean(axis=0), axis=-1).mean())


def _bucket(score: float) -> int:
    """Truncate and clip a score to a bucket."""
    return int(min(max(score, 0), BUCKETS))


def expression_variance(landmarks: np.ndarray, scheme: str = "mediapipe478") -> float:
    """Return how much the parts of a face move relative to one another, in squared sizes of the face.

    It is the variance of landmarks, from which FantasyTalking's motion intensity of the expression is made,
    not yet normalised. The paper does not say how frames are aligned; here each is shifted by its mean
    and divided by its size, so that the head's motion does not count. The variance over time of each point
    is summed over x and y, and averaged over the points.

    Args:
        landmarks: (f, p, 2) in pixels.
        scheme: a name in `ANCHORS`.
    Raises: InputError for a frame whose landmarks are all one point.
    """
    one_of(scheme, ANCHORS, "landmark scheme")
    points = np.asarray(landmarks, dtype=np.float64)[:, : ANCHORS[scheme][1], :2]
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=-1).mean(axis=-1))
    if not np.all(size > 0):
        raise InputError("all landmarks of a frame lie on one point; find the face again")
    return float((centred / size[:, None, None]).var(axis=0).sum(axis=-1).mean())
