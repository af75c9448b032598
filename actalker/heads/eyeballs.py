"""A portrait's eyeballs: their colours, also where the lids hide them, and how they turn."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from .camera import FLIP, Camera, rotation, to_camera
from .kernels import bilinear

STEP = 0.05  # radians a row of an eye's map, from the iris' middle outwards
ROWS, COLUMNS = 30, 48
SPREADS = (1.0, 2.0, 4.0, 8.0)  # rows over which known colours of the white spread


def direction(gaze: np.ndarray) -> np.ndarray:
    """The unit vector (3,), head space, of a gaze (2,), degrees to the image's right and down."""
    x, y = np.radians(gaze)
    return np.array([np.sin(x) * np.cos(y), -np.sin(y), np.cos(x) * np.cos(y)])


def axes(gaze: np.ndarray) -> np.ndarray:
    """An eye's axes, the rows of (3, 3), head space: the direction of a gaze (2,), and two across it."""
    z = direction(gaze)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([z, x, np.cross(z, x)])


def seen_map(
    crop: np.ndarray,
    corner: tuple[int, int],
    shown: np.ndarray,
    ball: tuple[np.ndarray, float],
    camera: Camera,
    R: np.ndarray,
    T: np.ndarray,
    gaze: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The colours of an eyeball that a photograph shows, as a map around the iris.

    crop (h, w, 3): of the photograph, from its pixel `corner` on; shown (h, w) in [0, 1]: where it shows this
    eyeball; ball: centre and radius; gaze (2,): where the photographed eye looks.
    Returns colours (ROWS, COLUMNS, 3), by the angle from the iris' middle and the angle around it, and a mask
    (ROWS, COLUMNS) of those that are known.
    """
    away = STEP * (np.arange(ROWS) + 0.5)[:, None]
    round_ = 2 * np.pi * np.arange(COLUMNS)[None] / COLUMNS
    z, x, y = axes(gaze)
    side = np.cos(round_)[..., None] * x + np.sin(round_)[..., None] * y
    d = np.cos(away)[..., None] * z + np.sin(away)[..., None] * side
    centre, radius = ball
    places = camera.project(to_camera(centre + radius * d, R, T)) - np.asarray(corner)
    h, w = shown.shape
    inside = ((places > 1) & (places < [w - 1, h - 1])).all(-1)
    known = inside & ((d @ (FLIP @ R).T)[..., 2] < -0.2) & (bilinear(shown[..., None], places)[..., 0] > 0.6)
    return bilinear(crop, places), known


def whole_map(
    colours: np.ndarray, known: np.ndarray, iris: float, white: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """An eyeball's map (ROWS, COLUMNS, 3) without gaps, from colours that are `known` only in parts.

    The iris is completed from its other directions; the white spreads from where it is known and fades to the
    colour `white` (3,). Where nothing is known, it is a plain eye. iris: radius, degrees. light (3,): white
    in this portrait's light.
    """
    radius = np.radians(iris)
    middle = STEP * (np.arange(ROWS) + 0.5)
    inner = middle < 1.04 * radius
    plain = np.where((middle < 0.42 * radius)[:, None], 0.08 * light, 0.25 * light)
    count = known.sum(1)
    mean = (colours * known[..., None]).sum(1) / np.maximum(count, 1)[:, None]
    rows = np.flatnonzero(inner & (count >= 4))
    out = np.empty_like(colours)
    if len(rows) >= 2:
        plain = np.stack([np.interp(middle, middle[rows], mean[rows, c]) for c in range(3)], 1)
    out[inner] = plain[inner, None]
    weight = np.where(inner[:, None], 0, known).astype(np.float32)
    outer = np.broadcast_to(white, colours.shape).astype(np.float32)
    for spread in reversed(SPREADS):
        sigma = (spread, spread * 1.5)
        near = gaussian_filter(weight, sigma, mode=("nearest", "wrap"))
        there = gaussian_filter(colours * weight[..., None], (*sigma, 0), mode=("nearest", "wrap", "nearest"))
        share = np.clip(near / 0.12, 0, 1)[..., None]
        outer = share * there / np.maximum(near, 1e-4)[..., None] + (1 - share) * outer
    out[~inner] = outer[~inner]
    soft = gaussian_filter(known.astype(np.float32), 1.0, mode=("nearest", "wrap"))
    share = np.clip((soft - 0.5) / 0.4, 0, 1)[..., None] * known[..., None]
    return np.ascontiguousarray(share * colours + (1 - share) * out, np.float32)


def parameters(
    ball: tuple[np.ndarray, float],
    camera: Camera,
    R: np.ndarray,
    T: np.ndarray,
    gaze: np.ndarray,
    moved: np.ndarray,
) -> np.ndarray:
    """The numbers (37,) float32 of one eye that `kernels.paint` takes.

    ball: centre and radius. R, T: the portrait's pose. gaze (2,): where the portrait's eye looks, degrees.
    moved (2,): degrees by which it turns from there.
    """
    centre, radius = ball
    turned = rotation(float(moved[0]), float(moved[1]), 0.0)
    there = to_camera(np.asarray(centre, np.float64), R, T)
    return np.concatenate(
        [
            centre, [radius], turned.T.ravel(), (FLIP @ R).ravel(), there,
            [camera.focal, camera.cx, camera.cy], axes(gaze).ravel(),
        ]
    ).astype(np.float32)  # fmt: skip
