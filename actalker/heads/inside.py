"""The inside of a portrait's mouth: teeth, gums, tongue and walls in the portrait's own light."""

from __future__ import annotations

import numpy as np

from .kernels import bilinear, normals
from .rig import Rig
from .skin import View
from .zips import smoothstep

LOWERED = 0.18  # cm by which the upper teeth hang lower than the model's: a mouth that speaks shows them
BROADER = (0.06, 0.0, 0.03)  # of a tooth: else there are gaps between them
TOOTH = (0.90, 0.87, 0.80)  # of the light
GUM, GUM_LIGHT, GUM_OF_LIP = (0.80, 0.50, 0.50), 0.45, (0.95, 0.78, 0.80)
DEPTH = 2.6  # cm over which it grows dark


def teeth(rig: Rig, child: float = 0.0) -> np.ndarray:
    """What makes a set of teeth of the model's (n, 3), cm: child in [0, 1], shorter and smaller ones."""
    move = np.zeros_like(rig.neutral)
    for name, sign in (("teeth_upper", -1.0), ("teeth_lower", 1.0)):
        rows = np.flatnonzero(rig.is_part(name))
        for tooth in pieces(rig, rows):
            N = rig.neutral[tooth]
            middle = N.mean(0)
            move[tooth] += (N - middle) * BROADER
            root = N[:, 1].max() if sign < 0 else N[:, 1].min()
            move[tooth, 1] += -0.30 * child * (N[:, 1] - root)
            move[tooth, 0] += -0.10 * child * middle[0]
        if sign < 0:
            move[rows, 1] -= LOWERED
    return move


def pieces(rig: Rig, rows: np.ndarray) -> list[np.ndarray]:
    """Connected pieces of the mesh among the vertices `rows`."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(rig.adjacency[rows][:, rows], directed=False)
    return [rows[label == k] for k in range(count)]


def inside_colours(
    rig: Rig,
    view: View,
    visible: np.ndarray,
    fill: np.ndarray,
    light: np.ndarray,
    shown: np.ndarray,
    V: np.ndarray,
) -> np.ndarray:
    """(n, 3) before depth darkens them. light (3,): white in this portrait's light. shown (h, w) bool: where
    the photograph shows the inside. V (n, 3): the portrait's own shape.
    """
    lips = rig.is_part("face") & (rig.lips.away < 0.9) & (rig.lips.away > 0.15) & (visible > 0.8)
    lip = bilinear(view.blurred, view.places[lips]).mean(0) if lips.any() else np.array([0.6, 0.35, 0.33])
    white = light * np.array(TOOTH)
    if shown.sum() > 60:
        own = view.crop[shown]
        bright = own[own.mean(1) >= np.quantile(own.mean(1), 0.75)].mean(0)
        if bright.mean() > 0.6 * white.mean() and np.ptp(bright) < 0.3:
            white = bright * 1.03
    gum = 0.55 * lip * np.array(GUM_OF_LIP)
    gum = gum + GUM_LIGHT * light.mean() * np.array(GUM) * (0.5 * lip / max(lip.mean(), 1e-3) + 0.5)
    colours = np.zeros((len(rig.rows), 3), np.float32)
    tooth = rig.is_part("teeth_upper", "teeth_lower")
    away = np.stack([rig.neutral[:, 0], 0 * rig.neutral[:, 0], np.maximum(rig.neutral[:, 2] - 5.0, 0.1)], 1)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    round_ = 0.62 + 0.40 * np.clip((normals(rig.neutral, rig.triangles) * away).sum(1), 0, 1) ** 0.8
    colours[tooth] = np.clip(white, 0, 0.97) * round_[tooth, None]
    colours[rig.is_part("gums")] = np.minimum(gum * 1.2, 0.95)
    colours[rig.is_part("tongue")] = np.minimum(gum * 1.25, 0.95)
    walls = rig.is_part("mouth")
    deep = smoothstep(V[:, 2], 8.2, 10.6)[:, None]
    colours[walls] = (deep * fill + (1 - deep) * gum * 0.55)[walls]
    return colours


def darkness(rig: Rig, V: np.ndarray) -> np.ndarray:
    """(n,) how much light comes to the vertices V (n, 3): less behind the lips."""
    lips = V[rig.lips.zip.upper[15:26], 2].mean()
    return np.exp(-np.maximum(lips - 1.2 - V[:, 2], 0) / DEPTH)
