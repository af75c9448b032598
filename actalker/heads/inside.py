"""The inside of a portrait's mouth: teeth, gums, tongue and walls in the portrait's own light."""

from __future__ import annotations

import numpy as np

from . import kernels
from .kernels import normals
from .layer import MOUTH
from .rig import Rig
from .skin import View
from .teeth import OwnTeeth, tone
from .zips import smoothstep

TOOTH = (1.0, 0.96, 0.885)  # of the light, where a tooth is lightest
GREYER = 0.3  # than the light: teeth that are as red as warm light look like gums
DEPTH = 1.25  # cm over which it grows dark
TONGUE = (5.5, 9.5)  # z, cm, from the tongue's back to its tip, which looks up to the light
FORWARD = 0.5  # cm that lips stand before the teeth without taking their light
TINT = (0.85, 1.08, 1.12)  # red light comes further
ABOVE = np.array([0.0, 0.7, 0.71])  # where the tongue's light comes from


def own_inside(rig: Rig, view: View, shown: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1]: where the photograph's inside of the mouth is what the mesh has there: upper teeth on
    upper teeth. shown (h, w): `OwnTeeth.mask`.
    """
    own = smoothstep(kernels.bilinear(shown[..., None], view.places)[:, 0], 0.2, 0.5)
    return np.where(rig.kind == MOUTH, own * rig.is_part("teeth_upper"), 1).astype(np.float32)


def inside_colours(
    rig: Rig, view: View, visible: np.ndarray, light: np.ndarray, tint: float, own: OwnTeeth
) -> np.ndarray:
    """(n, 3) before depth darkens them. light (3,): white in this portrait's light. tint: 1, or 0 for a grey
    picture. own: the photograph's teeth.
    """
    lip = lip_colour(rig, view, visible)
    white = (light + GREYER * (light.mean() - light)) * coloured(TOOTH, tint)
    if own.white is not None and own.white.mean() > 0.6 * white.mean():
        hue = own.white / own.white.mean() if own.mask.any() else white / white.mean()
        white = own.white.mean() * 1.1 * hue
    hue = lip / max(lip.mean(), 1e-3)
    pink = light.mean() * (0.5 + 0.5 * hue)  # as grey as the portrait is
    gum = 0.5 * lip + 0.5 * pink * coloured((0.78, 0.56, 0.55), tint)
    colours = np.zeros((len(rig.rows), 3), np.float32)
    tooth = rig.is_part("teeth_upper", "teeth_lower")
    colours[tooth] = (np.clip(white, 0, 0.97) * tone(rig, tint))[tooth]
    gums = rig.is_part("gums")
    N = rig.neutral[gums]
    near = smoothstep(N[:, 2], 8.8, 10.2) * smoothstep(
        np.abs(N[:, 0]), 2.2, 0.9
    )  # to the lips and the middle
    colours[gums] = gum * (0.3 + 0.7 * near * (1 - 0.4 * smoothstep(N[:, 1], -2.5, -1.8)))[:, None]
    tongue = rig.is_part("tongue")
    flesh = np.minimum(0.65 * lip + 0.45 * pink * coloured((0.75, 0.5, 0.5), tint), 0.95)
    N = rig.neutral[tongue]
    lit = np.clip(normals(rig.neutral, rig.triangles)[tongue] @ ABOVE, 0, 1)
    groove = 1 - 0.12 * np.exp(-((N[:, 0] / 0.2) ** 2)) * smoothstep(N[:, 2], 9.6, 8.8)
    colours[tongue] = flesh * ((0.45 + 0.6 * lit) * groove)[:, None]
    walls = rig.is_part("mouth")
    colours[walls] = 0.5 * gum
    return np.clip(colours, 0, 1)


def lip_colour(rig: Rig, view: View, visible: np.ndarray) -> np.ndarray:
    """Mean colour (3,) of the lips."""
    lips = rig.is_part("face") & (rig.lips.away < 0.9) & (rig.lips.away > 0.15) & (visible > 0.8)
    return (
        kernels.bilinear(view.blurred, view.places[lips]).mean(0)
        if lips.any()
        else np.array([0.6, 0.35, 0.33])
    )


def darkness(rig: Rig, V: np.ndarray, tint: float) -> np.ndarray:
    """(n, 3) how much light comes to the vertices V (n, 3): less behind the lips; of red, in a picture with
    colours (tint 1), the most.
    """
    lips = V[rig.lips.zip.upper[15:26], 2].mean()
    thin = 1 + tint * (np.array(TINT) - 1)
    open_to = np.where(rig.is_part("tongue"), smoothstep(rig.neutral[:, 2], *TONGUE), 0)
    deep = (np.maximum(lips - 1.1 - V[:, 2], 0) * (1 - 0.7 * open_to))[:, None]
    return np.exp(-deep / DEPTH * thin).astype(np.float32)


def forward(rig: Rig, V: np.ndarray) -> float:
    """Cm that the upper lip stands before the upper teeth, and at least FORWARD."""
    lips, teeth = V[rig.lips.zip.upper[15:26], 2].mean(), V[rig.is_part("teeth_upper"), 2].max()
    return float(max(lips - teeth, FORWARD))


def coloured(colour: tuple[float, float, float], tint: float) -> np.ndarray:
    """A colour (3,), made grey where the picture is (tint 0)."""
    return np.mean(colour) + tint * (np.array(colour) - np.mean(colour))
