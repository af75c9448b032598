"""MediaPipe's measurements of the faces in frames.

They check drawn frames independently, since the code that draws does not use MediaPipe.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...faces.landmarker import find_by_landmarker, look_closer
from ...heads.fit import SMALL
from ...heads.landmarks import EYE_CORNERS, LIDS, LIP_MIDDLES, eyes_distance
from ...heads.model import SCORES

MOUTH_CORNERS = (61, 291)
BROW_ENDS, INNER_CORNERS = ((55, 107), (285, 336)), (133, 362)  # of each side
NOSE_BASE = 2

LEAST_ERROR = 1e-3  # mean squared error (of 255) below which two pictures count as equal
LARGEST = 1280  # pixels of the longer side of measured pictures; `infer` reduces larger ones to it too


def at_most(picture: np.ndarray) -> np.ndarray:
    """Return a picture (h, w, 3) uint8, reduced to a longer side of 1280 pixels where it is larger."""
    h, w = picture.shape[:2]
    if max(h, w) <= LARGEST:
        return picture
    size = round(w * LARGEST / max(h, w)), round(h * LARGEST / max(h, w))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class Reading:
    """Hold MediaPipe's reading of f frames; values are NaN in frames where no face was found.

    points: (f, 478, 2) landmarks, in pixels.
    shapes: (f, 52) scores of MediaPipe's blendshapes.
    pose: (f, 3) yaw, pitch, roll in degrees.
    """

    points: np.ndarray
    shapes: np.ndarray
    pose: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Return (f,) bool, whether a face was found."""
        return ~np.isnan(self.pose[:, 0])

    @property
    def eyes(self) -> np.ndarray:
        """Return (f,) the distance of the outer corners of the eyes, in pixels."""
        return eyes_distance(self.points)

    @property
    def opening(self) -> np.ndarray:
        """Return (f,) the distance of the inner lips / that of the outer corners of the eyes."""
        return self._apart(*LIP_MIDDLES) / self.eyes

    @property
    def width(self) -> np.ndarray:
        """Return (f,) the distance of the corners of the mouth / that of the outer corners of the eyes."""
        return self._apart(*MOUTH_CORNERS) / self.eyes

    @property
    def lids(self) -> np.ndarray:
        """Return (f,) the distance of the lids / width of the eye, mean of both eyes."""
        pairs = zip(LIDS, EYE_CORNERS, strict=True)
        ratios = [self._apart(*lids) / self._apart(*corners) for lids, corners in pairs]
        return np.mean(ratios, axis=0)

    @property
    def brows(self) -> np.ndarray:
        """Return (f,) the height of the brows, mean of both.

        It is (distance of a brow's inner end from the eye's inner corner) / (distance of the outer corners of
        the eyes).
        """
        heights = [
            np.linalg.norm(self.points[:, list(ends)].mean(1) - self.points[:, corner], axis=-1)
            for ends, corner in zip(BROW_ENDS, INNER_CORNERS, strict=True)
        ]
        return np.mean(heights, axis=0) / self.eyes

    def shape(self, name: str) -> np.ndarray:
        """Return (f,) the score of a blendshape; where it has two sides, their mean."""
        sides = [k for k, score in enumerate(SCORES) if score in (name, f"{name}Left", f"{name}Right")]
        return self.shapes[:, sides].mean(1)

    def gaze(self) -> np.ndarray:
        """Return (f, 2) how far the eyes look to the image's right and down, in MediaPipe's scores."""
        part = self.shape_of
        right = (part("eyeLookOutLeft") - part("eyeLookInLeft")) / 2
        right = right + (part("eyeLookInRight") - part("eyeLookOutRight")) / 2
        down = self.shape("eyeLookDown") - self.shape("eyeLookUp")
        return np.stack([right, down], 1)

    def shape_of(self, name: str) -> np.ndarray:
        """Return (f,) the score of the blendshape of exactly this name, such as one side of a pair."""
        return self.shapes[:, SCORES.index(name)]

    def _apart(self, a: int, b: int) -> np.ndarray:
        return np.linalg.norm(self.points[:, a] - self.points[:, b], axis=-1)


def read_frames(frames: Iterable[np.ndarray]) -> Reading:
    """Read the largest face in each frame (h, w, 3) uint8."""
    points, shapes, poses = [], [], []
    for frame in frames:
        faces = find_by_landmarker(frame)
        if faces:
            face = max(faces, key=lambda one: one.area)
            if face.side < SMALL * max(frame.shape[:2]):
                face = look_closer(frame, face) or face
            assert face.landmarks is not None and face.expression is not None and face.pose is not None
            points.append(face.landmarks)
            shapes.append(face.expression)
            poses.append(face.pose)
        else:
            points.append(np.full((478, 2), np.nan))
            shapes.append(np.full(len(SCORES), np.nan))
            poses.append((np.nan,) * 3)
    return Reading(np.array(points), np.array(shapes, float), np.array(poses, float))
