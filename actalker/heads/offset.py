"""Spreads the residual of a fit smoothly over the mesh: lips, lids and brows then lie on the picture's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .landmarks import EYE_LEFT, EYE_RIGHT, MESH, OVAL
from .model import HeadModel

SPREAD = ("face", "headneck", "mouth", "socket_l", "socket_r", "lash_l", "lash_r")
NEAR, FAR = 1.2, 4.0  # cm: half of the kernel falls soon, half late
REACH, FADE = 1.5, 3.0  # cm from the landmarks: up to where the offset is whole, and how it decays from there
STEADY = (61, 291, 0, 17, 2, 164)  # landmarks around the lips, with which teeth and gums move
RIDGE, OVAL_RIDGE = 0.02, 0.6  # the face's outline slides over the skin as a head turns: followed less


def smooth_offset(model: HeadModel, left: np.ndarray) -> np.ndarray:
    """Offsets (n, 3) float32 of the vertices from the residual `left` (468, 3) at the skin's landmarks.

    Both are in cm, head space. This is kernel regression over distances on a face with open mouth and eyes,
    so that the lips do not pull each other.
    """
    kernel, solved, rows = _kernel(model)
    offset = np.zeros_like(model.neutral)
    offset[rows] = kernel @ (solved @ left).astype(np.float32)
    for part, points in (("sclera_r", EYE_LEFT), ("sclera_l", EYE_RIGHT)):
        offset[slice(*model.part_range(part))] = left[list(points)].mean(0)
    for part in ("gums", "tongue", "teeth_upper", "teeth_lower"):
        offset[slice(*model.part_range(part))] = left[list(STEADY)].mean(0)
    return offset


@lru_cache(maxsize=2)
def _kernel(model: HeadModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The regression's matrices: weights at landmarks to mesh rows, residuals to weights; and those rows.

    They are (k, 468) float32, (468, 468) float64 and (k,).
    """
    opened = model.coefficients(jawOpen=0.7, eyeWide=1.0)
    vertices = model.shape(np.zeros(0), opened)
    points = model.at_landmarks(vertices)[:MESH]
    rows = np.concatenate([np.arange(*model.part_range(part)) for part in SPREAD])
    ridge = np.full(MESH, RIDGE)
    ridge[list(OVAL)] = OVAL_RIDGE
    solved = np.linalg.inv(_falling(_distances(points, points)).astype(np.float64) + np.diag(ridge))
    distances = _distances(vertices[rows], points)
    fade = np.exp(-np.maximum(distances.min(1) - REACH, 0) / FADE)
    return _falling(distances) * fade[:, None], solved, rows


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances (i, j) float32 between the rows of (i, 3) and (j, 3)."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0), dtype=np.float32)


def _falling(distance: np.ndarray) -> np.ndarray:
    """The kernel of distances, cm: 1 at 0, a sum of two exponentials."""
    return (0.5 * np.exp(-distance / NEAR) + 0.5 * np.exp(-distance / FAR)).astype(np.float32)
