"""Whether a portrait wears glasses, and which skin they hold still: frames do not bend with brows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from .kernels import bilinear
from .rig import Rig
from .skin import View
from .zips import smoothstep

ROWS = 40  # of a strip down the face
BRIDGE = (-0.45, 0.45, 2.4, 4.9)  # x and y, cm of the neutral head: a frame crosses it
UNDER = ((-4.0, -2.4, 0.6, 2.3), (2.4, 4.0, 0.6, 2.3))  # under the eyes a rim does
UNSURE, SURE = 0.40, 0.50  # of the lines' contrast; faces without glasses reach 0.36
HELD = 0.85  # of the skin's motion around the eyes that glasses stop


def glasses(rig: Rig, view: View) -> float:
    """How sure it is, in [0, 1], that the portrait wears glasses.

    A frame shows as lines across the bridge of the nose and across both cheeks under the eyes.
    """
    return float(
        smoothstep(
            np.array(_line(rig, view, BRIDGE) + 1.5 * min(_line(rig, view, u) for u in UNDER)), UNSURE, SURE
        )
    )


def under_frame(rig: Rig) -> np.ndarray:
    """(n,) in [0, 1]: how far a vertex is skin under a frame; lids are not, for they move behind it."""
    x, y, z = rig.neutral.T
    zone = smoothstep(y, -0.3, 0.7) * smoothstep(y, 6.2, 5.2) * smoothstep(z, 0.0, 2.0)
    for lids in rig.lids:
        zone = zone * np.maximum(smoothstep(np.minimum(lids.above, lids.below), 0.35, 0.8), 0)
    return (zone * rig.is_part("face")).astype(np.float32)


def _line(rig: Rig, view: View, strip: tuple[float, float, float, float]) -> float:
    """The strongest line across a strip of the face, as a share of the strip's light."""
    rows, weights = _strip(rig, strip)
    places = (view.places[rows] * weights[..., None]).sum(1).astype(np.float32)
    light = bilinear(view.crop, places).mean(1).reshape(ROWS, -1).mean(1)
    return float(np.abs(light - gaussian_filter1d(light, 6, mode="nearest")).max() / max(light.mean(), 0.15))


@lru_cache(maxsize=8)
def _strip(rig: Rig, strip: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Three vertices and their weights for every point of a strip, row by row from below."""
    skin = np.flatnonzero(rig.is_part("face") & (rig.neutral[:, 2] > 5))
    x0, x1, y0, y1 = strip
    y, x = np.meshgrid(np.linspace(y0, y1, ROWS), np.linspace(x0, x1, 5), indexing="ij")
    away, nearest = cKDTree(rig.neutral[skin, :2]).query(np.stack([x.ravel(), y.ravel()], 1), k=3)
    weights = 1 / (away + 1e-3)
    return skin[nearest], weights / weights.sum(1, keepdims=True)
