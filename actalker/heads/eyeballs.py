"""A portrait's eyeballs: their colours beyond what the lids leave open, and how they turn."""

from __future__ import annotations

import numpy as np

from .camera import FLIP, Camera, rotation, to_camera

STEP = 0.05  # radians a row of the colours' table
ROWS = 32


def direction(gaze: np.ndarray) -> np.ndarray:
    """Unit vector (3,), head space, of degrees to the image's right and down."""
    x, y = np.radians(gaze)
    return np.array([np.sin(x) * np.cos(y), -np.sin(y), np.cos(x) * np.cos(y)])


def ring_colours(
    crop: np.ndarray,
    corner: tuple[int, int],
    shown: np.ndarray,
    ball: tuple[np.ndarray, float],
    camera: Camera,
    R: np.ndarray,
    T: np.ndarray,
    gaze: np.ndarray,
    iris: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (ROWS, 3) by the angle from the iris' middle, NaN where nothing is shown; and those (k, 3) of
    the white.

    crop (h, w, 3) from pixel `corner` on; shown (h, w) bool: where it shows this eyeball. iris: radius,
    degrees.
    """
    table = np.full((ROWS, 3), np.nan, np.float32)
    i, j = np.nonzero(shown)
    if len(i) < 12:
        return table, np.zeros((0, 3), np.float32)
    centre, radius = ball
    middle = to_camera(np.asarray(centre, np.float64), R, T)
    rays = camera.ray(np.stack([j + 0.5 + corner[0], i + 0.5 + corner[1]], 1))
    along = rays @ middle
    hit = rays * (along - np.sqrt(np.maximum(along**2 - middle @ middle + radius**2, 0)))[:, None] - middle
    hit = hit @ (FLIP @ R)
    hit /= np.linalg.norm(hit, axis=1, keepdims=True)
    angle = np.arccos(np.clip(hit @ direction(gaze), -1, 1))
    colours = crop[i, j]
    row = (angle / STEP).astype(int)
    for k in range(ROWS):
        at = row == k
        if at.sum() >= 3:
            table[k] = np.median(colours[at], 0)
    return table, colours[angle > 1.15 * np.radians(iris)]


def whole_eye(table: np.ndarray, iris: float, white: np.ndarray, light: np.ndarray) -> np.ndarray:
    """A table (ROWS, 3) without gaps: iris from iris, white from white, and a plain eye where nothing is
    known.
    """
    radius = np.radians(iris)
    middle = STEP * (np.arange(ROWS) + 0.5)
    model = np.where(
        (middle < 0.42 * radius)[:, None],
        0.08 * light,
        np.where((middle < radius)[:, None], 0.25 * light, white),
    )
    table = table.copy()
    inner = middle < 1.02 * radius
    for zone in (inner, ~inner):
        known = np.isfinite(table[:, 0]) & zone
        if known.sum() >= 2:
            for c in range(3):
                table[zone, c] = np.interp(middle[zone], middle[known], table[known, c])
        else:
            table[zone] = model[zone]
    far = middle > 1.25 * radius
    table[far] = 0.5 * table[far] + 0.5 * white
    return table.astype(np.float32)


def parameters(
    ball: tuple[np.ndarray, float],
    camera: Camera,
    R: np.ndarray,
    T: np.ndarray,
    own: np.ndarray,
    moved: np.ndarray,
) -> np.ndarray:
    """(31,) what `kernels.paint` needs of one eye: R, T the portrait's pose, own (2,) its gaze, moved (2,)
    degrees by which it turns now.
    """
    centre, radius = ball
    turned = rotation(float(moved[0]), float(moved[1]), 0.0)
    there = to_camera(np.asarray(centre, np.float64), R, T)
    return np.concatenate(
        [
            centre, [radius], turned.T.ravel(), (FLIP @ R).ravel(), there,
            [camera.focal, camera.cx, camera.cy], direction(own),
        ]
    ).astype(np.float32)  # fmt: skip
