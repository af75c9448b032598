"""Measures which way is up for a face, by MediaPipe's landmarks and its detector.

The landmarker also fits an upright face to one that stands on its head, with a small roll. So the face is
measured in all four quarter turns of the picture. The detector, which has learnt upright faces, gives its
best score to the turn in which the face is nearest to upright.
Measurements that agree with that one are averaged.

Angles: degrees, counter-clockwise, of the face in the picture; 0 is upright.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .face import Face
from .landmarker import detector_score, find_by_landmarker

LIES = {  # quarter turns counter-clockwise that set a face upright: how it lies, and words for the turns
    1: ("the face lies on its side", "by 90 degrees counter-clockwise"),
    2: ("the face is upside down", "by 180 degrees"),
    3: ("the face lies on its side", "by 90 degrees clockwise"),
}
AROUND = 2.0  # side of the square that is measured, in longer sides of the face's box
SEEN = 384  # pixels of that square's side
LARGEST = 1536  # pixels a side of the picture in which a face is searched first
AGREE = 40.0  # degrees: measurements that differ by less mean the same direction
SURE = 0.05  # lead of the best score over those of other directions, from which it is sure


def face_angle(image: np.ndarray, face: Face, model: Path | None = None) -> tuple[float, bool]:
    """The angle by which a face of (h, w, 3) uint8 is turned, in (-180, 180], and whether it is sure.

    face: as the landmarker finds it in the picture.
    """
    part = _around(image, face)
    angles, scores = [], []
    for turn in range(4):
        turned = np.ascontiguousarray(np.rot90(part, turn))
        faces = find_by_landmarker(turned, model)
        pose = max(faces, key=lambda face: face.area).pose if faces else None
        if pose is not None:
            angles.append(pose[2] - 90 * turn)
            scores.append(detector_score(turned, model))
    assert face.pose is not None
    if not angles:
        return face.pose[2], False
    best = int(np.argmax(scores))
    apart = _wrapped(np.array(angles) - angles[best])
    agree = np.abs(apart) <= AGREE
    others = np.array(scores)[~agree]
    angle = angles[best] + np.average(apart[agree], weights=np.array(scores)[agree] + 1e-6)
    return float(_wrapped(angle)), scores[best] - others.max(initial=0.0) >= SURE


def upright(image: np.ndarray, model: Path | None = None) -> tuple[int, bool]:
    """The quarter turns counter-clockwise, 0 to 3, that set the largest face of (h, w, 3) uint8 upright.

    Returns: the turns, and whether they are sure; (0, True) where no face is seen in any turn.
    """
    small = _smaller(image, LARGEST)
    for turn in range(4):
        turned = np.ascontiguousarray(np.rot90(small, turn))
        faces = find_by_landmarker(turned, model)
        if faces:
            angle, sure = face_angle(turned, max(faces, key=lambda face: face.area), model)
            return (turn - round(angle / 90)) % 4, sure
    return 0, True


def _around(image: np.ndarray, face: Face) -> np.ndarray:
    """The square around a face, as far as the picture reaches, with at most SEEN pixels a side."""
    h, w = image.shape[:2]
    x0, y0, x1, y1 = face.box
    half = AROUND * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    part = image[top : max(top + 1, min(h, round(y + half))), left : max(left + 1, min(w, round(x + half)))]
    return _smaller(part, SEEN)


def _smaller(image: np.ndarray, most: int) -> np.ndarray:
    """The picture, shrunk to at most `most` pixels a side."""
    h, w = image.shape[:2]
    if max(h, w) <= most:
        return np.ascontiguousarray(image)
    size = max(1, round(w * most / max(h, w))), max(1, round(h * most / max(h, w)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX))


def _wrapped(angle: float | np.ndarray) -> np.ndarray:
    """Angles in degrees brought into (-180, 180]."""
    return 180 - (180 - np.asarray(angle)) % 360
