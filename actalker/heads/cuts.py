"""The cuts of a video: the picture and the face in it change at once, or the face jumps.

Letters: f frames, s side of a thumbnail.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..faces.face import Face

SIDE = 24  # s, pixels
UNLIKE = 0.15  # one minus the correlation of two thumbnails, from which a picture counts as another one
STILL = 0.03  # of the face's size: a face that moves by less has not jumped
# of the face's size: bony landmarks that differ by more are those of two people (true of 97 in 100 pairs)
OTHER = 0.02
JUMP, LEAP = 0.12, 0.5  # of the face's size: a step that stands alone, and one that is too long for any head
ALONE = 4.0  # times as long as the steps before and after
GROWN = 1.5  # times as large, or as small
ABSENT = 1.0  # seconds without a face, after which another shot begins
SPAN = 3.0  # of a face's size, in the mean distance of these landmarks from their middle
BONY = (33, 133, 362, 263, 168, 6, 1, 2, 98, 327)  # landmarks that hardly move in a face: eyes' corners, nose


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 as a small grey one (s, s) float32, to compare scenes by."""
    small = Image.fromarray(picture).resize((4 * SIDE, 4 * SIDE), Image.Resampling.NEAREST)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BOX).convert("L"), np.float32)


def shots(times: np.ndarray, faces: tuple[Face | None, ...], changed: np.ndarray) -> np.ndarray:
    """The number of each frame's shot, (f,) int from 0 on: a shot has no cut inside.

    times (f,): seconds. faces: with landmarks of MediaPipe. changed (f,) bool: whether a frame shows another
    scene than the frame before (`other_picture`). A frame without a face belongs to the shot before it.
    """
    rows = np.flatnonzero([face is not None for face in faces])
    cut = np.zeros(len(faces), bool)
    if len(rows):
        points = np.stack(
            [face.landmarks[list(BONY)] for face in faces if face is not None and face.landmarks is not None]
        )
        middle = points.mean(1)
        size = np.linalg.norm(points - middle[:, None], axis=2).mean(1) * SPAN
        shape = (points - middle[:, None]) / size[:, None, None]
        grown = np.abs(np.log(size[1:] / size[:-1]))
        step = np.linalg.norm(np.diff(middle, axis=0), axis=1) / size[:-1]
        bent = np.linalg.norm(np.diff(shape, axis=0), axis=2).mean(1)
        around = np.maximum(np.append(0, step)[:-1], np.append(step, 0)[1:])
        other = np.diff(np.cumsum(changed)[rows]) > 0  # since the last face
        cut[rows[1:]] = (
            (step > LEAP)
            | ((step > JUMP) & (step > ALONE * around))
            | (grown > np.log(GROWN))
            | (other & ((step > STILL) | (bent > OTHER)))
            | (np.diff(times[rows]) > ABSENT)
        )
    return np.cumsum(cut)


def other_picture(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two thumbnails (s, s) show different scenes; a flash or a fade changes only their light."""
    a, b = a - a.mean(), b - b.mean()
    both = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return both > 1e-3 and 1 - float((a * b).sum()) / both > UNLIKE
