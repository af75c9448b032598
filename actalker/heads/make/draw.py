"""Plain pictures of the head model for a landmarker to read: flat colours, one light, a z-buffer."""

from __future__ import annotations

import numpy as np
from skimage.measure import points_in_poly

from ..camera import Camera, to_camera
from ..kernels import interpolate, normals, rasterise
from ..model import HeadModel

SKIN, LIPS, BROWS = (0.79, 0.60, 0.51), (0.64, 0.33, 0.31), (0.25, 0.17, 0.12)
WHITE, IRIS, PUPIL = (0.90, 0.88, 0.86), (0.32, 0.21, 0.12), (0.03, 0.03, 0.03)
TEETH, INSIDE, GROUND = (0.86, 0.83, 0.76), (0.35, 0.13, 0.12), (0.45, 0.5, 0.55)
IRIS_ANGLE, PUPIL_ANGLE = 24.0, 10.0  # degrees from the eyeball's front
BROW = 0.4  # cm: half a brow's height
LIGHT = np.array([0.25, -0.45, -0.86])  # direction towards the light, camera axes


def colours(model: HeadModel) -> np.ndarray:
    """The vertices' colours (n, 3) in [0, 1]: skin, lips, brows, eyes, teeth and the mouth's inside."""
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
    """A picture of a head without lashes.

    vertices (n, 3): head space; colour (n, 3) in [0, 1]; side: s, pixels. Returns the picture (s, s, 3)
    uint8, a mask (s, s) of the face's skin, and each pixel's point on the neutral mesh (s, s, 3), cm.
    """
    there = to_camera(vertices, R, T).astype(np.float32)
    triangles = model.triangles[(model.triangles < model.part_range("lash_l")[0]).all(1)]
    raster = rasterise(camera.project(there), there[:, 2], triangles, (0, 0, side, side))
    light = 0.5 + 0.5 * np.clip(normals(there, triangles) @ LIGHT, 0, 1)
    values = np.concatenate([colour * light[:, None], model.neutral], 1)
    shown = interpolate(raster, triangles, there[:, 2], values)
    shown[raster.triangle < 0, :3] = GROUND
    skin = (raster.triangle >= 0) & (triangles[raster.triangle] < model.part_range("face")[1]).all(-1)
    return (np.clip(shown[..., :3], 0, 1) * 255).astype(np.uint8), skin, shown[..., 3:]
