"""Follows one face through a video, and counts the faces of each frame.

Letters: k frames that are searched, p landmarks. Pixels: x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .crop import Crop, canonical_crop
from .face import Face
from .find import FINDERS, choose_finder
from .upright import face_angle

SPARSE = 5  # a finder without landmarks is slow: it searches one frame in so many
LOOKED_AT_FOR_UP = (0, 5, 10)  # numbers of the faces whose direction is measured
NEAR = 0.5  # a face is the one before if its middle moved by less than this share of its size


@dataclass(frozen=True, eq=False)
class Track:
    """A face through the frames of a video that were searched.

    faces: in each frame, None where it was not found. counts: how many faces each frame has.
    turns: quarter turns counter-clockwise that set the face upright; 0 also where that is not known.
    """

    faces: tuple[Face | None, ...]
    counts: tuple[int, ...]
    turns: int = 0

    @property
    def share(self) -> float:
        """The share of the frames in which the face was found."""
        return sum(face is not None for face in self.faces) / len(self.faces)

    @property
    def found(self) -> list[Face]:
        """The face in the frames in which it was found."""
        return [face for face in self.faces if face is not None]

    def boxes(self) -> np.ndarray:
        """Its boxes (k, 4), x0, y0, x1, y1, with gaps filled in straight lines.

        Raises: InputError where no frame has a face.
        """
        return _filled([None if face is None else np.asarray(face.box) for face in self.faces])

    def landmarks(self) -> np.ndarray | None:
        """Its landmarks (k, p, 2) with gaps filled in straight lines, or None where only boxes are known."""
        if any(face.landmarks is None for face in self.found):
            return None
        return _filled([None if face is None else face.landmarks for face in self.faces])

    def poses(self) -> np.ndarray | None:
        """Its yaw, pitch and roll (k, 3) in degrees with gaps filled, or None where they are not known."""
        if any(face.pose is None for face in self.found):
            return None
        return _filled([None if face is None else np.asarray(face.pose) for face in self.faces])

    def expressions(self) -> np.ndarray | None:
        """Its blendshapes (k, 52) in [0, 1] with gaps filled, or None where they are not known."""
        if any(face.expression is None for face in self.found):
            return None
        return _filled([None if face is None else face.expression for face in self.faces])

    def squares(self, reach: float) -> np.ndarray:
        """Squares that follow the face, (k, 3): x, y and side, with gaps filled.

        They are centred on its landmarks, or without them on its box; their side is `reach` times the longer
        side of that.
        """
        marks, boxes = self.landmarks(), self.boxes()
        if marks is not None:
            boxes = np.concatenate([marks.min(1), marks.max(1)], axis=1)
        low, high = boxes[:, :2], boxes[:, 2:]
        side = reach * (high - low).max(axis=1, keepdims=True)
        return np.concatenate([(low + high - side) / 2, side], axis=1)

    def crop(self) -> Crop:
        """One canonical square for the whole video: the median of those of its frames."""
        squares = [canonical_crop(face) for face in self.found]
        middle = np.median([(s.x + s.side / 2, s.y + s.side / 2, s.side) for s in squares], axis=0)
        x, y, side = (float(value) for value in middle)
        return Crop(x - side / 2, y - side / 2, side)


def track_face(frames: Iterable[np.ndarray], finder: str = "auto", model: Path | None = None) -> Track:
    """Follow the largest face of the first frame that has one.

    In the next frames it is the face nearest to where it was last, or the largest one if none is near.

    Args:
        frames: (h, w, 3) uint8 RGB, in order.
        finder, model: as in `find_faces`.
    Raises: InputError when there are no frames or the finder cannot run.
    """
    name, path = choose_finder(finder, model)
    find = FINDERS[name].find
    faces: list[Face | None] = []
    counts, turns = [], []
    last: Face | None = None
    seen = 0
    for frame in frames:
        candidates = sorted(find(frame, path), key=lambda face: -face.area)
        counts.append(len(candidates))
        near = None if last is None else min(candidates, key=lambda face: _distance(face, last), default=None)
        chosen = near if near is not None and _distance(near, last) < NEAR else next(iter(candidates), None)
        faces.append(chosen)
        last = chosen or last
        if chosen is not None and chosen.pose is not None and seen in LOOKED_AT_FOR_UP:
            angle, sure = face_angle(frame, chosen, path)
            turns.append(-round(angle / 90) % 4 if sure else 0)
        seen += chosen is not None
    if not faces:
        raise InputError("there are no frames to find a face in")
    return Track(tuple(faces), tuple(counts), turns[0] if len(set(turns)) == 1 else 0)


def at_every_frame(rows: np.ndarray, at: np.ndarray, total: int) -> np.ndarray:
    """Values (k, ...) at frames `at` (k,), interpolated linearly to all frames: (total, ...) float32."""
    if len(at) == total:
        return rows.astype(np.float32)
    flat = rows.reshape(len(rows), -1)
    filled = np.stack([np.interp(np.arange(total), at, column) for column in flat.T], axis=1)
    return filled.reshape(total, *rows.shape[1:]).astype(np.float32)


def _distance(face: Face, other: Face | None) -> float:
    """The distance between the middles of two faces, in sizes of the other one."""
    assert other is not None
    a, b = np.asarray(face.box), np.asarray(other.box)
    apart = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return float(np.hypot(*apart) / max(1.0, np.sqrt(other.area)))


def _filled(rows: list[np.ndarray | None]) -> np.ndarray:
    """Rows with the missing ones interpolated in straight lines. Raises: InputError if all are missing."""
    known = [k for k, row in enumerate(rows) if row is not None]
    if not known:
        raise InputError("no face found in any frame")
    values = np.stack([np.asarray(rows[k], float) for k in known])
    flat = values.reshape(len(known), -1)
    at = np.arange(len(rows))
    filled = np.stack([np.interp(at, known, column) for column in flat.T], axis=1)
    return filled.reshape(len(rows), *values.shape[1:])
