"""Rotations of a head and the camera that looks at it.

Head space: x to the image's right (the person's left), y up, z to the front; cm. Camera space: x to the
right, y down, z away from the camera; cm. Pixels: x to the right, y down, pixel centres at .5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLIP = np.diag([1.0, -1.0, -1.0])  # head axes to camera axes
PIVOT = np.array([0.0, -8.0, -1.0])  # where the head turns on the neck, head space


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation R = Rz(roll) Ry(yaw) Rx(pitch), (3, 3), in head axes.

    Angles are degrees. Yaw > 0 turns the nose to the image's right, pitch > 0 the nose down, roll > 0 the
    head clockwise as the camera sees it. (`faces.landmarker.pose_of` counts roll counter-clockwise.)
    """
    y, p, r = np.radians([yaw, pitch, roll])
    turned = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nodded = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rolled = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return rolled @ turned @ nodded


def angles(R: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (3,), degrees, of a rotation R (3, 3): the inverse of `rotation` for |yaw| < 90."""
    yaw = np.arcsin(np.clip(-R[2, 0], -1, 1))
    return np.degrees([yaw, np.arctan2(R[2, 1], R[2, 2]), np.arctan2(-R[1, 0], R[0, 0])])


def turn(vector: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) about a vector (3,), by its length in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector)) + 1e-12
    x, y, z = vector / angle
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def to_camera(points: np.ndarray, R: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Points (..., 3) of head space, moved to camera space: FLIP R h + T."""
    return points @ (FLIP @ R).T.astype(points.dtype) + np.asarray(T, points.dtype)


def pivot_of(R: np.ndarray, T: np.ndarray) -> np.ndarray:
    """The pivot (3,) in camera space, cm, of a head in the pose R (3, 3), T (3,)."""
    return FLIP @ R @ PIVOT + T


def shift_of(R: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """The translation T (3,) that puts the pivot of a head turned by R at `pivot` (3,) in camera space."""
    return np.asarray(pivot) - FLIP @ R @ PIVOT


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: its focal length and its principal point cx, cy, in pixels of the photograph."""

    focal: float
    cx: float
    cy: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """The pixels (..., 2) at which points (..., 3) of camera space are seen."""
        centre = np.array([self.cx, self.cy], points.dtype)
        return points[..., :2] / points[..., 2:] * points.dtype.type(self.focal) + centre

    def ray(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors (..., 3) from the camera through pixels (..., 2)."""
        flat = (np.asarray(pixels, float) - (self.cx, self.cy)) / self.focal
        rays = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], -1)
        return rays / np.linalg.norm(rays, axis=-1, keepdims=True)
