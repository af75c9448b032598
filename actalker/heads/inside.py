"""The inside of a portrait's mouth: teeth, gums, tongue and walls in the portrait's own light."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.sparse import diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from . import kernels
from .kernels import normals
from .layer import MOUTH
from .rig import Rig
from .skin import View, blur
from .zips import smoothstep

LOWERED = 0.13  # cm by which the upper teeth hang lower than the model's: a mouth that speaks shows them
LONGER = 0.5  # of an upper tooth: the model's gums end so low that a smile would show little else
BROADER = (0.06, 0.0, 0.03)  # of a tooth: else there are gaps between them
CHILD = (0.9, 1.0)  # the eyes' distance, of the height from the nose's bridge to the chin
TOOTH = (0.88, 0.825, 0.735)  # of the light
PALE = 0.32  # of its brightest channel, by which the others of a tooth differ at most
DEPTH = 1.9  # cm over which it grows dark
FORWARD = 0.5  # cm that lips stand before the teeth without taking their light
TINT = (0.85, 1.08, 1.12)  # red light comes further
KEPT = 0.02  # how fast what is known of a colour is forgotten from vertex to vertex


def edge_of_teeth(rig: Rig, crop: np.ndarray, kinds: np.ndarray, places: np.ndarray, scale: float) -> float:
    """By how many cm the edge of the upper front teeth lies lower in the photograph than the model's; 0
    where an open mouth does not show it.

    crop (h, w, 3); kinds (h, w) what the fitted mesh shows there; places (n, 2) pixels of crop; scale:
    pixels a cm.
    """
    front = np.flatnonzero(rig.is_part("teeth_upper") & (np.abs(rig.neutral[:, 0]) < 1.0))
    edge = places[front, 1].max()
    first, last = places[front, 0].min(), places[front, 0].max()
    inside = kinds == MOUTH
    if inside.sum() < 60:
        return 0.0
    pale = pale_inside(crop, inside)
    ends, columns = [], range(max(int(first), 0), min(int(np.ceil(last)), crop.shape[1]))
    for j in columns:
        rows = np.flatnonzero(inside[:, j])
        if len(rows) < 0.35 * scale:
            continue
        teeth = pale[rows, j]
        start = int(teeth.argmax())
        if not teeth.any() or start > 0.3 * scale:
            continue
        stop = start + int((~teeth[start:]).argmax()) if not teeth[start:].all() else len(rows)
        if stop - start > 0.3 * scale and stop < len(rows) - 0.15 * scale:
            ends.append(rows[stop])
    if len(ends) < 0.5 * len(columns):
        return 0.0
    return float(np.clip((np.median(ends) - edge) / scale, -0.2, 0.6))


def pale_inside(crop: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(h, w) bool: where teeth show in the mouth's inside (h, w) of a crop (h, w, 3); nowhere if all is
    alike.
    """
    if inside.sum() < 30:
        return np.zeros_like(inside)
    light = crop.mean(2)
    dark, bright = np.quantile(light[inside], [0.2, 0.9])
    grey = np.ptp(crop, axis=2) < (PALE + 0.1) * crop.max(2)
    return inside & grey & (light > 0.5 * (dark + bright)) & (bright - dark > 0.1)


def teeth_masks(crop: np.ndarray, kinds: np.ndarray, scale: float) -> np.ndarray:
    """(h, w, 2) in [0, 1] of a crop (h, w, 3): where teeth surely show, where surely none do. kinds (h, w):
    what the fitted mesh shows; scale: pixels a cm.
    """
    pale = pale_inside(crop, kinds == MOUTH)
    wide = binary_dilation(pale, iterations=max(1, round(0.12 * scale)))
    if pale.sum() > 0.5 * (kinds == MOUTH).sum():  # teeth that are shut: what shows between them is no wall
        wide[:] = True
    return blur(np.stack([pale, ~wide], 2).astype(np.float32), 0.04 * scale)


def own_inside(rig: Rig, view: View, shown: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1]: where the photograph's inside of the mouth is what the mesh has there: teeth on teeth,
    none on tongue, gums and walls. shown (h, w, 2): `teeth_masks`.
    """
    teeth, none = smoothstep(kernels.bilinear(shown, view.places), 0.3, 0.6).T
    tooth = rig.is_part("teeth_upper", "teeth_lower")
    return np.where(rig.kind == MOUTH, np.where(tooth, teeth, none), 1).astype(np.float32)


def childlike(rig: Rig, person: np.ndarray) -> float:
    """0 for the face of an adult, 1 of a small child: by how wide its eyes stand for its height from nose to
    chin.

    person (n, 3): what the portrait's identity moves, cm.
    """
    eye, other, nose, chin = (rig.neutral + person)[rig.ibug68[[36, 45, 27, 8]]]
    return float(smoothstep(np.asarray(np.linalg.norm(eye - other) / np.linalg.norm(nose - chin)), *CHILD))


def teeth(rig: Rig, child: float = 0.0, lower: float = 0.0) -> np.ndarray:
    """What makes a set of teeth of the model's (n, 3), cm: child in [0, 1], smaller ones that show less;
    lower: cm by which the upper ones hang lower.
    """
    move = np.zeros_like(rig.neutral)
    upper = np.flatnonzero(rig.is_part("teeth_upper"))
    for name, longer in (("teeth_upper", LONGER), ("teeth_lower", -0.25 * child)):
        for tooth in pieces(rig, np.flatnonzero(rig.is_part(name))):
            N = rig.neutral[tooth]
            middle = N.mean(0)
            move[tooth] += (N - middle) * BROADER
            edge = N[:, 1].min() if longer > 0 else N[:, 1].max()
            move[tooth, 1] += longer * (N[:, 1] - edge)
            move[tooth, 0] -= 0.08 * child * middle[0]
    edge = rig.neutral[upper, 1].min()
    gums = np.flatnonzero(rig.is_part("gums") & (rig.shapes[rig.model.index["jawOpen"], :, 1] > -0.8))
    move[gums, 1] += LONGER * (rig.neutral[gums, 1] - edge)
    move[np.concatenate([upper, gums]), 1] -= LOWERED * (1 - 2 * child) + lower
    return move


def pieces(rig: Rig, rows: np.ndarray) -> list[np.ndarray]:
    """Connected pieces of the mesh among the vertices `rows`."""
    count, label = connected_components(rig.adjacency[rows][:, rows], directed=False)
    return [rows[label == k] for k in range(count)]


def inside_colours(
    rig: Rig,
    view: View,
    visible: np.ndarray,
    fill: np.ndarray,
    light: np.ndarray,
    tint: float,
    shown: np.ndarray,
    V: np.ndarray,
) -> np.ndarray:
    """(n, 3) before depth darkens them. light (3,): white in this portrait's light. tint: 1, or 0 for a grey
    picture. shown (h, w): how surely the photograph shows the inside. V (n, 3): the portrait's own shape.
    """
    lip = lip_colour(rig, view, visible)
    white = light * coloured(TOOTH, tint)
    sure = shown > 0.6
    if sure.sum() > 60:
        own = view.crop[sure]
        bright = own[own.mean(1) >= np.quantile(own.mean(1), 0.75)].mean(0)
        if bright.mean() > 0.6 * white.mean() and np.ptp(bright) < PALE * bright.max():
            white = bright * 1.03
    hue = lip / max(lip.mean(), 1e-3)
    pink = light.mean() * (0.5 + 0.5 * hue)  # as grey as the portrait is
    gum = 0.5 * lip + 0.5 * pink * coloured((0.78, 0.56, 0.55), tint)
    colours = np.zeros((len(rig.rows), 3), np.float32)
    tooth = rig.is_part("teeth_upper", "teeth_lower")
    away = np.stack([rig.neutral[:, 0], 0 * rig.neutral[:, 0], np.maximum(rig.neutral[:, 2] - 5.0, 0.1)], 1)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    round_ = 0.6 + 0.4 * np.clip((normals(rig.neutral, rig.triangles) * away).sum(1), 0, 1) ** 0.7
    colours[tooth] = np.clip(white, 0, 0.97) * round_[tooth, None]
    back = tooth[:, None] * 0.75 * smoothstep(rig.neutral[:, 2], 9.7, 8.3)[:, None]  # in the cheeks' shadow
    colours += back * (0.7 * gum - colours)
    colours[rig.is_part("gums")] = np.minimum(gum, 0.95)
    colours[rig.is_part("tongue")] = np.minimum(
        0.65 * lip + 0.45 * pink * coloured((0.75, 0.5, 0.5), tint), 0.95
    )
    walls = rig.is_part("mouth")
    deep = smoothstep(V[:, 2], 8.6, 10.6)[:, None]
    colours[walls] = (deep * 0.8 * fill + (1 - deep) * gum * 0.5)[walls]
    return matched(rig, view, colours, shown, darkness(rig, V, tint))


def lip_colour(rig: Rig, view: View, visible: np.ndarray) -> np.ndarray:
    """Mean colour (3,) of the lips."""
    lips = rig.is_part("face") & (rig.lips.away < 0.9) & (rig.lips.away > 0.15) & (visible > 0.8)
    return (
        kernels.bilinear(view.blurred, view.places[lips]).mean(0)
        if lips.any()
        else np.array([0.6, 0.35, 0.33])
    )


def matched(rig: Rig, view: View, colours: np.ndarray, shown: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Colours (n, 3) that meet what the photograph shows of the inside (`shown` (h, w)) without a step.

    dark (n, 3): `darkness` of the portrait's own shape.
    """
    inside = np.flatnonzero(rig.kind == MOUTH)
    known = view.seen[inside] & (kernels.bilinear(shown[..., None], view.places[inside])[:, 0] > 0.7)
    if known.sum() < 20:
        return colours
    own = kernels.bilinear(view.crop, view.places[inside])
    tooth = rig.is_part("teeth_upper", "teeth_lower")[inside]
    white = colours[inside].mean(1) * dark[inside].mean(1)
    pale = (own.mean(1) > 0.55 * white) & (np.ptp(own, axis=1) < PALE * own.max(1))
    known &= ~tooth | pale  # a tooth, not the tongue before it
    ratio = np.log((own + 0.02) / (colours[inside] * dark[inside] + 0.02))
    w = known.astype(np.float64)
    A = rig.adjacency[inside][:, inside]
    laplacian = diags(np.asarray(A.sum(1)).ravel()) - A
    system = diags(w + KEPT) + laplacian
    solved = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        w[:, None] * ratio
    )
    out = colours.copy()
    most = np.where(tooth, 0.5, 0.1)[:, None]  # what lies behind teeth may have got their colour
    out[inside] = np.clip(colours[inside] * np.exp(np.clip(solved, -1.0, most)), 0, 1)
    return out


def darkness(rig: Rig, V: np.ndarray, tint: float) -> np.ndarray:
    """(n, 3) how much light comes to the vertices V (n, 3): less behind the lips; of red, in a picture with
    colours (tint 1), the most.
    """
    lips = V[rig.lips.zip.upper[15:26], 2].mean()
    thin = 1 + tint * (np.array(TINT) - 1)
    deep = np.maximum(lips - 1.1 - V[:, 2], 0)[:, None]
    return np.exp(-deep / DEPTH * thin).astype(np.float32)


def forward(rig: Rig, V: np.ndarray) -> float:
    """Cm that the upper lip stands before the upper teeth, and at least FORWARD."""
    lips, teeth = V[rig.lips.zip.upper[15:26], 2].mean(), V[rig.is_part("teeth_upper"), 2].max()
    return float(max(lips - teeth, FORWARD))


def coloured(colour: tuple[float, float, float], tint: float) -> np.ndarray:
    """A colour (3,), made grey where the picture is (tint 0)."""
    return np.mean(colour) + tint * (np.array(colour) - np.mean(colour))
