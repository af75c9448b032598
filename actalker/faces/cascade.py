"""scikit-image's cascade of local binary patterns: a box for upright frontal faces, always at hand.

The detector answers many times around a face and now and then where there is none. It is asked about the
picture and
its mirror image; answers that agree are averaged, and a group counts only when enough of them agree.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .face import Face

SEEN = 240  # pixels of the longer side that the detector sees
LEAST_SHARE = 0.12  # of the shorter side: smaller faces are not looked for
SCALES = 1.05
LEAST_VOTES = 4
# from the detector's square to the face's box, in its width
LEFT, TOP, RIGHT, BOTTOM = 0.03, 0.02, 0.99, 1.18


def find_by_cascade(image: np.ndarray) -> list[Face]:
    """All faces of (h, w, 3) uint8, those that most answers agree on first."""
    from skimage.transform import resize

    h, w = image.shape[:2]
    scale = min(1.0, SEEN / max(h, w))
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    if scale < 1:
        grey = resize(grey, (max(1, round(h * scale)), max(1, round(w * scale))), anti_aliasing=True)
    least = max(20, round(min(grey.shape) * LEAST_SHARE))
    if min(grey.shape) < 24:
        return []
    answers = [
        *_answers(grey, least),
        *(
            (grey.shape[1] - x - side, y, side)
            for x, y, side in _answers(np.ascontiguousarray(grey[:, ::-1]), least)
        ),
    ]
    faces = []
    for group in _groups(np.array(answers, float).reshape(-1, 3)):
        if len(group) < LEAST_VOTES:
            continue
        x, y, side = np.median(group, axis=0) / scale
        box = (x + LEFT * side, y + TOP * side, x + RIGHT * side, y + BOTTOM * side)
        faces.append(Face(tuple(float(v) for v in box), score=float(len(group))))  # type: ignore[arg-type]
    best = max((face.score for face in faces), default=0.0)
    return [face for face in faces if face.score >= 0.6 * best]


def _answers(grey: np.ndarray, least: int) -> list[tuple[float, float, float]]:
    """(x, y, side) of every window that the cascade takes for a face."""
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
    """Answers (k, 3) that lie on one another, as connected groups, the largest first."""
    left = list(range(len(answers)))
    groups = []
    while left:
        queue, group = [left.pop(0)], []
        while queue:
            at = queue.pop()
            group.append(at)
            middle, side = answers[:, :2] + answers[:, 2:] / 2, answers[:, 2]
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
