"""The inside of a portrait's mouth: the colours of teeth, gums, tongue and walls in the portrait's light."""

from __future__ import annotations

import numpy as np

from . import kernels
from .kernels import normals
from .layer import MOUTH
from .rig import Rig
from .skin import View
from .teeth import OwnTeeth, tone
from .zips import smoothstep

# A tooth's colour, fitted to the own teeth of 26 portraits: the powers of the skin's and the light's hue in
# its hue; its brightness for the light's, and the power of the skin's brightness in it.
OF_SKIN, OF_LIGHT = 0.3, 0.4
BRIGHT, DARKER = 1.05, 0.23
DEPTH = 1.25  # cm over which it grows dark
TONGUE = (5.5, 9.5)  # z, cm, from the tongue's back to its tip, which looks up to the light
FORWARD = 0.5  # cm that lips stand before the teeth without taking their light
TINT = (0.85, 1.08, 1.12)  # red light comes further
ABOVE = np.array([0.0, 0.7, 0.71])  # where the tongue's light comes from


def own_inside(rig: Rig, view: View, shown: np.ndarray) -> np.ndarray:
    """Return the largest weight of the photograph's own pixels in the colour of each vertex, (n,) in [0, 1].

    Outside the mouth it is 1. Inside the mouth it is 0, except on upper teeth of the mesh at places where the
    photograph shows upper teeth. shown (h, w): `OwnTeeth.mask`.
    """
    shows_teeth = smoothstep(kernels.bilinear(shown[..., None], view.places)[:, 0], 0.2, 0.5)
    return np.where(rig.kind == MOUTH, shows_teeth * rig.is_part("teeth_upper"), 1).astype(np.float32)


def inside_colours(
    rig: Rig,
    view: View,
    visible: np.ndarray,
    light: np.ndarray,
    skin: np.ndarray,
    tint: float,
    teeth: OwnTeeth,
) -> np.ndarray:
    """The colours (n, 3) of the mouth's inside before depth darkens them; 0 elsewhere.

    visible (n,): the result of `View.visibility`.
    light (3,): white in this portrait's light.
    skin (3,): the colour of the skin around the eyes.
    tint: 1, or 0 for a grey picture.
    teeth: the teeth that the photograph shows.
    """
    lip = lip_colour(rig, view, visible)
    white = tooth_colour(light, skin)
    if teeth.white is not None and teeth.white.mean() > 0.6 * white.mean():
        hue, shown = white / white.mean(), teeth.white / teeth.white.mean()
        if teeth.mask.any():
            hue = shown
        elif (
            shown[1] / shown[0] > (hue[1] / hue[0] + lip[1] / max(lip[0], 1e-3)) / 2
        ):  # pieces of teeth, not lips
            hue = (hue + shown) / 2
        white = teeth.white.mean() * 1.1 * hue
    hue = lip / max(lip.mean(), 1e-3)
    pink = light.mean() * (0.5 + 0.5 * hue)  # as grey as the portrait is
    gum = 0.5 * lip + 0.5 * pink * coloured((0.78, 0.56, 0.55), tint)
    colours = np.zeros((len(rig.rows), 3), np.float32)
    tooth = rig.is_part("teeth_upper", "teeth_lower")
    colours[tooth] = (np.clip(white, 0, 0.97) * tone(rig, tint))[tooth]
    gums = rig.is_part("gums")
    N = rig.neutral[gums]
    # to the lips and the middle
    near = smoothstep(N[:, 2], 8.8, 10.2) * smoothstep(np.abs(N[:, 0]), 2.2, 0.9)
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


def tooth_colour(light: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Guess the colour (3,) of the lightest part of a tooth, for a photograph that shows no teeth.

    light (3,): white in this portrait's light; skin (3,): the skin's colour. A colour cast that the skin
    shows, of a lamp or a painter, is on the teeth too, even where the eyes are painted white.
    """
    light, skin = np.maximum(light, 0.02), np.maximum(skin, 0.02)
    hue = (skin / skin.mean()) ** OF_SKIN * (light / light.mean()) ** OF_LIGHT
    return np.asarray(BRIGHT * light.mean() * skin.mean() ** DARKER * hue / hue.mean())


def lip_colour(rig: Rig, view: View, visible: np.ndarray) -> np.ndarray:
    """The mean colour (3,) of the lips, or a usual one where none are visible."""
    lips = rig.is_part("face") & (rig.lips.away < 0.9) & (rig.lips.away > 0.15) & (visible > 0.8)
    if not lips.any():
        return np.array([0.6, 0.35, 0.33])
    return kernels.bilinear(view.blurred, view.places[lips]).mean(0)


def darkness(rig: Rig, V: np.ndarray, tint: float) -> np.ndarray:
    """Return the fraction of light (n, 3), RGB, that reaches vertices V (n, 3): it falls behind the lips.

    tint: 1 for a picture with colours, in which red light reaches deepest; 0 for a grey one.
    """
    lips = V[rig.lips.zip.upper[15:26], 2].mean()
    thin = 1 + tint * (np.array(TINT) - 1)
    open_to = np.where(rig.is_part("tongue"), smoothstep(rig.neutral[:, 2], *TONGUE), 0)
    deep = (np.maximum(lips - 1.1 - V[:, 2], 0) * (1 - 0.7 * open_to))[:, None]
    return np.exp(-deep / DEPTH * thin).astype(np.float32)


def forward(rig: Rig, V: np.ndarray) -> float:
    """Return the distance in z from the upper teeth to the upper lip, cm, at least FORWARD. V (n, 3), cm."""
    lips, teeth = V[rig.lips.zip.upper[15:26], 2].mean(), V[rig.is_part("teeth_upper"), 2].max()
    return float(max(lips - teeth, FORWARD))


def coloured(colour: tuple[float, float, float], tint: float) -> np.ndarray:
    """A colour (3,) as it is (tint 1), or as a grey of the same mean (tint 0)."""
    return np.mean(colour) + tint * (np.array(colour) - np.mean(colour))
