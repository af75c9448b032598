"""Plain pictures of the model itself, for a landmarker to look at: flat colours, one light, a z-buffer."""

from __future__ import annotations

import numpy as np
from skimage.measure import points_in_poly

from ..camera import Camera, to_camera
from ..model import HeadModel

SKIN, LIPS, BROWS = (0.79, 0.60, 0.51), (0.64, 0.33, 0.31), (0.25, 0.17, 0.12)
WHITE, IRIS, PUPIL = (0.90, 0.88, 0.86), (0.32, 0.21, 0.12), (0.03, 0.03, 0.03)
TEETH, INSIDE, GROUND = (0.86, 0.83, 0.76), (0.35, 0.13, 0.12), (0.45, 0.5, 0.55)
IRIS_ANGLE, PUPIL_ANGLE = 24.0, 10.0  # degrees from the eyeball's front
BROW = 0.4  # cm: half a brow's height
LIGHT = np.array([0.25, -0.45, -0.86])  # towards it, camera axes


def colours(model: HeadModel) -> np.ndarray:
    """Plain colours of the vertices (n, 3) in [0, 1]."""
    v, marks = model.neutral, model.neutral[model.ibug68]
    colour = np.tile(np.array(SKIN, np.float32), (len(v), 1))
    front = (np.arange(len(v)) < model.part_range("face")[1]) & (v[:, 2] > 6)
    colour[front & points_in_poly(v[:, :2], marks[48:60, :2])] = LIPS
    for brow in (marks[17:22], marks[22:27]):
        line = np.concatenate([np.linspace(a, b, 20) for a, b in zip(brow[:-1], brow[1:], strict=True)])
        near = np.linalg.norm(v[front][:, None] - line, axis=2).min(1) < BROW
        colour[np.flatnonzero(front)[near]] = BROWS
    for part in ("teeth_upper", "teeth_lower"):
        colour[slice(*model.part_range(part))] = TEETH
    for part in ("gums", "tongue", "mouth"):
        colour[slice(*model.part_range(part))] = INSIDE
    for part in ("sclera_l", "sclera_r"):
        rows = slice(*model.part_range(part))
        out = v[rows] - (v[rows].min(0) + v[rows].max(0)) / 2
        ahead = np.degrees(np.arccos(np.clip(out[:, 2] / np.linalg.norm(out, axis=1), -1, 1)))
        colour[rows] = np.where(
            ahead[:, None] < PUPIL_ANGLE, PUPIL, np.where(ahead[:, None] < IRIS_ANGLE, IRIS, WHITE)
        )
    return colour


def draw(
    model: HeadModel,
    vertices: np.ndarray,
    R: np.ndarray,
    T: np.ndarray,
    camera: Camera,
    side: int,
    colour: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (s, s, 3) uint8, the triangle of each pixel (s, s), -1 for none, and the place in it (s, s,
    3)."""
    from .fill_kernels import fill  # needs numba

    there = to_camera(vertices, R, T)
    lashes = model.part_range("lash_l")[0]
    triangles = model.triangles[
        (model.triangles < lashes).all(1)
    ]  # the last ones: the numbers of the others stay
    which = np.full((side, side), -1, np.int32)
    place = np.zeros((side, side, 3), np.float32)
    fill(camera.project(there).astype(np.float32), there[:, 2].astype(np.float32), triangles, which, place)
    edges = there[triangles[:, 1]] - there[triangles[:, 0]], there[triangles[:, 2]] - there[triangles[:, 0]]
    facing = np.cross(*edges)
    normal = np.stack(
        [sum(np.bincount(triangles[:, k], facing[:, d], len(vertices)) for k in range(3)) for d in range(3)],
        1,
    )
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    lit = colour * (0.5 + 0.5 * np.clip(normal @ LIGHT, 0, 1))[:, None]
    picture = (lit[triangles[which]] * place[..., None]).sum(-2)
    picture[which < 0] = GROUND
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), which, place
