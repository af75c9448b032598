"""How much a clip moves: the micro-conditions head motion and expression motion, as buckets 0 to 128.

Letters: f frames, p landmarks.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError, one_of

BUCKETS = 128
HEAD_SCALE, EXPRESSION_SCALE = 256, 1024  # buckets in a mean motion of one face diagonal (release)

ANCHORS = {  # scheme: a point fixed to the skull, how many points count as the face
    "mediapipe478": (1, 468),  # nose tip; without the ten points of the irises
    "ibug68": (30, 68),  # nose tip
    "released256": (80, 102),  # as in ACTalker's released code
}


def motion_buckets(landmarks: np.ndarray, scheme: str = "mediapipe478") -> tuple[int, int]:
    """(head, expression) buckets of a clip's landmarks (f, p, 2), in pixels, after ACTalker's released code.

    Head: mean distance of the anchor point to its mean over time. Expression: mean distance of the points,
    taken relative to the anchor, to their means over time. Both as parts of the diagonal of the first frame's
    landmarks, times 256 and 1024, truncated and kept within 0 .. 128. (Turning the head counts as expression
    too: only its shift is removed.) Raises InputError for missing points, or a face without extent.
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
    """Mean distance to the mean over time; frames first, x and y last."""
    return float(np.linalg.norm(points - points.mean(axis=0), axis=-1).mean())


def _bucket(score: float) -> int:
    return int(min(max(score, 0), BUCKETS))


def expression_variance(landmarks: np.ndarray, scheme: str = "mediapipe478") -> float:
    """How much a face's parts move against one another: the coefficient of expression, before it is
    normalised.

    Every frame is shifted and scaled to the mean and the size of the first (FantasyTalking, 2.1.6, names the
    variance of landmarks; the alignment is ours), then the variance over time of each point, summed over x
    and y, is averaged over the points, in squared sizes of the face. landmarks: (f, p, 2), pixels.
    """
    one_of(scheme, ANCHORS, "landmark scheme")
    points = np.asarray(landmarks, dtype=np.float64)[:, : ANCHORS[scheme][1], :2]
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=-1).mean(axis=-1))
    if not np.all(size > 0):
        raise InputError("all landmarks of a frame lie on one point; find the face again")
    return float((centred / size[:, None, None]).var(axis=0).sum(axis=-1).mean())
