"""scikit-image's cascade of local binary patterns: a box for upright frontal faces, always at hand.

The detector answers many times around a face and now and then where there is none, and what it takes for
a face's size hangs on the size of the picture. It is asked about the picture and its mirror image at
several sizes; answers that agree are averaged, and a group counts only when enough of them agree.
A picture in which few agree is asked about again, continued beyond its border: a face that the border cuts
is not seen otherwise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .face import Face

SEEN = (120, 150, 190, 240)  # pixels of the longer side that the detector sees, one size after another
BEYOND = 0.15  # of the shorter side, by which the picture is continued: its outermost pixels, repeated
LEAST_SHARE = 0.12  # of the shorter side: smaller faces are not looked for
SCALES = 1.05
LEAST_VOTES = 8
SURE = 30  # votes with which a face is taken for whole
# from the middle of the detector's square to the sides of the face's box, in its width: medians over ten
# faces whose landmarks are known
LEFT, TOP, RIGHT, BOTTOM = -0.44, -0.46, 0.47, 0.58


def find_by_cascade(image: np.ndarray) -> list[Face]:
    """All faces of (h, w, 3) uint8, those that most answers agree on first."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    faces = _faces(grey, 0.0)
    if _best(faces) < SURE:
        faces = max(faces, _faces(grey, BEYOND), key=_best)
    return [face for face in faces if face.score >= 0.7 * _best(faces)]


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _faces(grey: np.ndarray, beyond: float) -> list[Face]:
    """Faces of a picture (h, w) that is continued by a share of its shorter side; score: how many agree."""
    from skimage.transform import resize

    h, w = grey.shape
    answers: list[tuple[float, float, float]] = []
    for scale in sorted({min(seen / max(h, w), 1.0) for seen in SEEN}):
        small = grey
        if scale < 1:
            small = resize(grey, (max(1, round(h * scale)), max(1, round(w * scale))), anti_aliasing=True)
        if min(small.shape) < 24:
            continue
        least = max(20, round(min(small.shape) * LEAST_SHARE))
        edge = round(min(small.shape) * beyond)
        small = np.pad(small, edge, mode="edge")
        for mirrored in (False, True):
            for x, y, side in _answers(small[:, ::-1] if mirrored else small, least):
                left = small.shape[1] - x - side if mirrored else x
                middle = (left + side / 2 - edge, y + side / 2 - edge, side)
                answers.append(tuple(v / scale for v in middle))  # type: ignore[arg-type]
    faces = []
    for group in _groups(np.array(answers).reshape(-1, 3)):
        if len(group) < LEAST_VOTES:
            continue
        x, y, side = np.median(group, axis=0)
        box = (x + LEFT * side, y + TOP * side, x + RIGHT * side, y + BOTTOM * side)
        faces.append(Face(tuple(float(v) for v in box), score=float(len(group))))  # type: ignore[arg-type]
    return faces


def _answers(grey: np.ndarray, least: int) -> list[tuple[float, float, float]]:
    """(x, y, side) of every window of at least so many pixels that the cascade takes for a face."""
    found = _cascade().detect_multi_scale(
        np.ascontiguousarray(grey),
        scale_factor=SCALES,
        step_ratio=1,
        min_size=(least, least),
        max_size=(min(grey.shape),) * 2,
        min_neighbor_number=1,
        intersection_score_threshold=0.99,
    )
    return [(d["c"], d["r"], d["width"]) for d in found]


def _groups(answers: np.ndarray) -> list[np.ndarray]:
    """Answers (k, 3: middle, side) that lie on one another, as connected groups, the largest first."""
    left = list(range(len(answers)))
    groups = []
    while left:
        queue, group = [left.pop(0)], []
        while queue:
            at = queue.pop()
            group.append(at)
            middle, side = answers[:, :2], answers[:, 2]
            small = np.minimum(side, side[at])
            near = (np.abs(middle - middle[at]).max(1) < 0.35 * small) & (
                np.maximum(side, side[at]) < 1.7 * small
            )
            linked = [k for k in left if near[k]]
            left = [k for k in left if not near[k]]
            queue += linked
        groups.append(answers[group])
    return sorted(groups, key=len, reverse=True)


@lru_cache(maxsize=1)
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
