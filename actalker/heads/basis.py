"""The inputs of a fit: the model at the landmarks, the camera, and the coefficients that scores suggest.

Letters: l landmarks.
"""

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
BELIEVED = 0.8  # of MediaPipe's blendshapes: it scores them too high
OUTSIDE = 0.1  # weight of a landmark beyond the picture's border, where it is a guess
NOT_SEEN = ("eyeLook", "mouthClose", "cheekPuff", "jawForward")  # landmarks do not show these, or gaze does


@lru_cache(maxsize=4)
def basis_of(model: HeadModel, whole: bool = True) -> Basis:
    """The model at the 468 points of MediaPipe's skin, or, where not `whole`, at the 68 of Multi-PIE."""
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
    """The basis with lower weights for points (l, 2), pixels, that lie outside a picture.

    size: the picture's height and width.
    """
    known = ((points >= 0) & (points <= size[::-1])).all(1)
    return replace(basis, weights=basis.weights * np.where(known, 1, OUTSIDE))


def expectation(basis: Basis, scores: np.ndarray | None) -> np.ndarray:
    """Coefficients (53,) that MediaPipe's blendshapes `scores` (52,) suggest; all zero without scores."""
    if scores is None:
        return np.zeros(len(basis.shapes))
    return np.where(basis.free, BELIEVED * from_scores(scores)[: len(basis.shapes)].astype(np.float64), 0)


def camera_of(points: np.ndarray) -> Camera:
    """A camera that looks at the middle of landmarks (l, 2), pixels, as if from a square picture around them.

    It depends on the face alone, not on how the photograph was cropped.
    """
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    return Camera(FOCAL * AROUND * float((high - low).max()), float(middle[0]), float(middle[1]))


def unit_of(points: np.ndarray) -> float:
    """The distance between the eyes' outer corners, pixels, of points (478 or 68, 2)."""
    a, b = CORNERS if len(points) == COUNT else (36, 45)
    return max(float(np.linalg.norm(points[a] - points[b])), 1e-6)


def left_over(
    basis: Basis, points: np.ndarray, camera: Camera, solution: Solution
) -> tuple[np.ndarray, np.ndarray]:
    """The residual of a solution at points (l, 2), pixels.

    Returns it in pixels (l, 2), and in cm within the picture's plane, turned into the head's axes (l, 3).
    """
    there = to_camera(basis.at(solution.identity, solution.coefficients), solution.R, solution.T)
    missed = points - camera.project(there)
    flat = np.concatenate([missed * there[:, 2:] / camera.focal, np.zeros((len(points), 1))], 1)
    return missed, flat @ (FLIP @ solution.R)
