"""The face finder that is always there: scikit-image's cascade of local binary patterns.

It gives boxes of upright frontal faces. The cascade answers many times around a face, now and then where
there is none, and the face size it gives depends on the size of the picture. So it runs on the picture and
its mirror image at several sizes; answers that agree are averaged, and a group counts only if enough of them
agree. If no face is confirmed, it runs again on the picture extended beyond its border, which shows faces
that the border cuts.

Even answers that agree may be of a cheek, of eyes and nose alone, or of a sleeve. `confirm.py` searches
around each of them for eyes, nose and mouth at their places, which gives the true size of the face, or no
face at all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .confirm import search
from .crop import EYES_AT, MOUTH_AT, canonical_crop
from .face import EYES, MOUTH, Box, Face

if TYPE_CHECKING:
    from skimage.feature import Cascade

LARGEST = 960  # pixels of the longer side: of larger pictures, whole blocks of pixels are averaged first
SEEN = (120, 150, 190, 240)  # pixels of the longer side that the detector sees, one size after another
BEYOND = 0.15  # of the shorter side, by which the picture is extended: its outermost pixels, repeated
LEAST_SHARE = 0.12  # of the shorter side: smaller faces are not looked for
SCALES = 1.1
LEAST_VOTES = 4
MOST_GROUPS = 4  # groups of answers that are confirmed, those with most votes first
LEAST_SCORE, LEAST_LEAD = 2.0, 1.0  # of a face that is confirmed; its lead is over other sizes and places
# from the middle of the detector's square to the sides of the face's box, in its width: medians over ten
# faces whose landmarks are known
LEFT, TOP, RIGHT, BOTTOM = -0.44, -0.46, 0.47, 0.58


def find_by_cascade(image: np.ndarray) -> list[Face]:
    """All confirmed faces of (h, w, 3) uint8, those that look most like a face first."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    shrink = max(1, max(picture.size) // LARGEST)
    grey = np.asarray(picture.reduce(shrink), np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    for beyond in (0.0, BEYOND):
        if confirmed := _confirmed(grey, _faces(grey / 255, beyond)):
            return [_face(square * shrink, score) for score, square in confirmed]
    return []


def _confirmed(grey: np.ndarray, groups: list[Face]) -> list[tuple[float, np.ndarray]]:
    """The score and the canonical square (3,) of each face near one of the groups of answers."""
    candidates: list[tuple[float, np.ndarray]] = []
    for group in sorted(groups, key=lambda face: -face.score)[:MOST_GROUPS]:
        near = canonical_crop(group)
        square, score, lead = search(grey, np.array([near.x, near.y, near.side]))
        if score >= LEAST_SCORE and lead >= LEAST_LEAD and _is_upright(grey, square, score):
            candidates.append((score, square))
    faces: list[tuple[float, np.ndarray]] = []
    for score, square in sorted(candidates, key=lambda one: -one[0]):
        others = [other for _, other in faces]
        if not any(_overlap(square, other) for other in others):
            faces.append((score, square))
    return faces


def _is_upright(grey: np.ndarray, square: np.ndarray, score: float) -> bool:
    """Whether the square looks less like a face in each of the other quarter turns.

    A face that is upside down has two eyes as well.
    """
    x, y, side = square
    left, top = max(0, int(x - side)), max(0, int(y - side))
    part = grey[top : int(np.ceil(y + 2 * side)), left : int(np.ceil(x + 2 * side))]
    middle = np.array([x + side / 2 - left, y + side / 2 - top])
    for _ in range(3):
        middle = np.array([middle[1], part.shape[1] - middle[0]])  # a quarter turn counter-clockwise
        part = np.rot90(part)
        if search(part, np.array([*(middle - side / 2), side]))[1] >= score:
            return False
    return True


def _overlap(square: np.ndarray, other: np.ndarray) -> bool:
    """Whether the middle of the smaller square lies in the inner half of the larger one."""
    small, large = sorted((square, other), key=lambda one: one[2])
    apart = np.abs(small[:2] + small[2] / 2 - large[:2] - large[2] / 2)
    return bool(apart.max() < 0.25 * large[2])


def _face(square: np.ndarray, score: float) -> Face:
    """The face whose canonical square this is."""
    x, y, side = (float(value) for value in square)
    height = (MOUTH_AT - EYES_AT) * side / (MOUTH - EYES)
    width = height * (RIGHT - LEFT) / (BOTTOM - TOP)
    top = y + (EYES_AT + MOUTH_AT) / 2 * side - (EYES + MOUTH) / 2 * height
    middle = x + side / 2
    return Face((middle - width / 2, top, middle + width / 2, top + height), score=score)


def _faces(grey: np.ndarray, beyond: float) -> list[Face]:
    """Groups of the cascade's answers to a picture (h, w) of 0 to 1, as faces; score: answers that agree.

    beyond: share of the shorter side by which the picture is extended.
    """
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
                middle = (left + side / 2 - edge, y + side / 2 - edge)
                answers.append((middle[0] / scale, middle[1] / scale, side / scale))
    faces = []
    for group in _groups(np.array(answers).reshape(-1, 3)):
        if len(group) < LEAST_VOTES:
            continue
        x, y, side = (float(value) for value in np.median(group, axis=0))
        box: Box = (x + LEFT * side, y + TOP * side, x + RIGHT * side, y + BOTTOM * side)
        faces.append(Face(box, score=float(len(group))))
    return faces


def _answers(grey: np.ndarray, least: int) -> list[tuple[float, float, float]]:
    """x, y and side of every window that the cascade takes for a face; least: pixels of its side."""
    windows = _cascade().detect_multi_scale(
        np.ascontiguousarray(grey),
        scale_factor=SCALES,
        step_ratio=1,
        min_size=(least, least),
        max_size=(min(grey.shape),) * 2,
        min_neighbor_number=1,
        intersection_score_threshold=0.99,
    )
    return [(d["c"], d["r"], d["width"]) for d in windows]


def _groups(answers: np.ndarray) -> list[np.ndarray]:
    """Connected groups of answers (k, 3: middle and side) that lie on one another, the largest first."""
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
def _cascade() -> Cascade:
    """The trained cascade, loaded once."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
