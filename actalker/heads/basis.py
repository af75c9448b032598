"""What a fit starts from: the model at the landmarks, the camera around them, what the landmarker's scores
make likely."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .camera import FLIP, Camera, to_camera
from .landmarks import CORNERS, COUNT, EYES, LIPS, MESH, OVAL
from .model import HeadModel, from_scores
from .solve import Basis, Solution

FOCAL = 2.2  # of the square's side: about a portrait lens
AROUND = 2.2  # sides of the square, in the longer side of the face's box
BELIEVED = 0.8  # of MediaPipe's blendshapes: they are read too high
OUTSIDE = 0.1  # weight of a landmark beyond the picture's border, where it was guessed
NOT_SEEN = ("eyeLook", "mouthClose", "cheekPuff", "jawForward")  # what landmarks do not tell, or gaze does


@lru_cache(maxsize=4)
def basis_of(model: HeadModel, whole: bool = True) -> Basis:
    """The model at MediaPipe's points of the skin, or at the 68 of ibug."""
    if whole:
        weights = np.ones(MESH)
        weights[list(OVAL)] = 0.35  # it slides over the skin as a head turns
        weights[list(LIPS + EYES)] = 2.5
        at = [model.at_landmarks(v)[..., :MESH, :] for v in (model.neutral, model.identities, model.shapes)]
    else:
        weights = np.full(68, 4.0)  # fewer points, each says as much
        weights[:17] = 0.5
        at = [v[..., model.ibug68, :] for v in (model.neutral, model.identities, model.shapes)]
    free = np.array([not name.startswith(NOT_SEEN) for name in model.names[: len(model.shapes)]])
    neutral, identities, shapes = (values.astype(np.float64) for values in at)
    return Basis(neutral, identities, shapes, weights, free)


def inside(basis: Basis, points: np.ndarray, size: tuple[int, int]) -> Basis:
    """The basis with less trust in points (l, 2) beyond the border of a picture of a height and width."""
    known = ((points >= 0) & (points <= size[::-1])).all(1)
    return replace(basis, weights=basis.weights * np.where(known, 1, OUTSIDE))


def expectation(basis: Basis, scores: np.ndarray | None) -> np.ndarray:
    """Coefficients (53,) that MediaPipe's blendshapes (52,) make likely; none: all zero."""
    if scores is None:
        return np.zeros(len(basis.shapes))
    return np.where(basis.free, BELIEVED * from_scores(scores)[: len(basis.shapes)].astype(np.float64), 0)


def camera_of(points: np.ndarray) -> Camera:
    """The camera of a square around landmarks (l, 2): how the photograph was cut does not matter."""
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    return Camera(FOCAL * AROUND * float((high - low).max()), float(middle[0]), float(middle[1]))


def unit_of(points: np.ndarray) -> float:
    """The distance of the eyes' outer corners of 478 or 68 points, pixels."""
    a, b = CORNERS if len(points) == COUNT else (36, 45)
    return max(float(np.linalg.norm(points[a] - points[b])), 1e-6)


def left_over(
    basis: Basis, points: np.ndarray, camera: Camera, found: Solution
) -> tuple[np.ndarray, np.ndarray]:
    """What a solution misses points (l, 2) by: in pixels (l, 2), and in cm in the picture's plane, head axes
    (l, 3)."""
    there = to_camera(basis.at(found.identity, found.coefficients), found.R, found.T)
    apart = points - camera.project(there)
    flat = np.concatenate([apart * there[:, 2:] / camera.focal, np.zeros((len(points), 1))], 1)
    return apart, flat @ (FLIP @ found.R)
