"""Teeth: a set that fits the face, the portrait's own where it shows them whole, and the shading of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, gaussian_filter1d, label, median_filter
from scipy.sparse.csgraph import connected_components

from .layer import MOUTH
from .rig import Rig
from .skin import blur
from .zips import smoothstep

LOWERED = 0.13  # cm by which the upper teeth hang lower than the model's: a mouth that speaks shows them
LONGER = 0.3  # of an upper tooth's height: the model's gums end so low that a smile would show little else
BROADER = (0.06, 0.0, 0.03)  # of a tooth's size: without it there are gaps between them
SHORTER = (0.0, 0.09, 0.02, 0.07, 0.1, 0.1)  # cm, from the middle outwards: the edges form no straight line
PALER = (1.0, 0.96, 0.89, 0.78, 0.62, 0.5)  # light from the middle outwards: the cheeks' shadow
CHILD = (0.9, 1.0)  # the eyes' distance over the height from the nose's bridge to the chin: adult, child
FRONT = 1.1  # cm from the middle: the teeth that the photograph has to show whole
TALL = 0.7  # cm that these have to be high: crowns, not edges between lips
NEAR_LIP = 0.5  # cm below the fitted upper lip within which a tooth's pixels have to begin
CRACK = 0.25  # cm of columns without teeth that count as a crack between two teeth
FADES = 0.07  # cm over which the photograph's teeth fade into the model's


def childlike(rig: Rig, person: np.ndarray) -> float:
    """How childlike a face is: 0 an adult's, 1 a small child's.

    It is a smooth step, between the two values of CHILD, of the ratio (distance between the outer corners of
    the eyes) / (distance from the bridge of the nose to the chin).
    person (n, 3): displacement of the vertices by the portrait's identity, cm.
    """
    eye, other, nose, chin = (rig.neutral + person)[rig.ibug68[[36, 45, 27, 8]]]
    return float(smoothstep(np.asarray(np.linalg.norm(eye - other) / np.linalg.norm(nose - chin)), *CHILD))


def teeth(rig: Rig, child: float = 0.0, lower: float = 0.0) -> np.ndarray:
    """The displacement (n, 3), cm, that makes natural teeth of the model's.

    child in [0, 1]: 1 gives a small child's, which are smaller and show less. lower: cm by which the upper
    teeth hang lower.
    """
    move = np.zeros_like(rig.neutral)
    upper = np.flatnonzero(rig.is_part("teeth_upper"))
    for name, longer in (("teeth_upper", LONGER), ("teeth_lower", -0.25 * child)):
        for number, tooth in numbered(rig, name):
            N = rig.neutral[tooth]
            middle = N.mean(0)
            move[tooth] += (N - middle) * BROADER
            edge = N[:, 1].min() if longer > 0 else N[:, 1].max()
            move[tooth, 1] += longer * (N[:, 1] - edge)
            move[tooth, 0] -= 0.08 * child * middle[0]
            if name == "teeth_upper":
                near = smoothstep(N[:, 1] - edge, 0.9, 0.0)
                move[tooth, 1] += SHORTER[number] * near
    edge = rig.neutral[upper, 1].min()
    gums = np.flatnonzero(rig.is_part("gums") & (rig.shapes[rig.model.index["jawOpen"], :, 1] > -0.8))
    move[gums, 1] += LONGER * (rig.neutral[gums, 1] - edge)
    move[np.concatenate([upper, gums]), 1] -= LOWERED * (1 - 2 * child) + lower
    return move


def numbered(rig: Rig, name: str) -> list[tuple[int, np.ndarray]]:
    """The teeth of the row `name`: the number of each, 0 in the middle to 5 at the back, and its vertices."""
    rows = np.flatnonzero(rig.is_part(name))
    count, piece = connected_components(rig.adjacency[rows][:, rows], directed=False)
    row = [rows[piece == k] for k in range(count)]
    sides = [[tooth for tooth in row if rig.neutral[tooth, 0].mean() * s > 0] for s in (-1, 1)]
    for side in sides:
        side.sort(key=lambda tooth: -rig.neutral[tooth, 2].mean())
    return [(min(k, 5), tooth) for side in sides for k, tooth in enumerate(side)]


def tone(rig: Rig, tint: float) -> np.ndarray:
    """Return the fraction of light (n, 3), RGB, that each vertex of a tooth reflects; 1 at other vertices.

    Teeth are round, warmer at the gum, greyer at the edge and darker towards the back. tint: 1, or 0 for a
    grey picture.
    """
    out = np.ones((len(rig.rows), 3), np.float32)
    for name, up in (("teeth_upper", 1), ("teeth_lower", -1)):
        for number, tooth in numbered(rig, name):
            N = rig.neutral[tooth]
            middle = N.mean(0)
            ahead = np.array([middle[0], max(middle[2] - 7.5, 0.3)])  # where the tooth looks, x and z
            ahead /= np.linalg.norm(ahead)
            across = (N[:, [0, 2]] - middle[[0, 2]]) @ np.array([ahead[1], -ahead[0]])
            u = np.clip(across / max(np.abs(across).max(), 1e-3), -1, 1)
            v = up * (N[:, 1] - (N[:, 1].min() if up > 0 else N[:, 1].max()))  # cm from the edge
            light = PALER[number] * (1 - 0.22 * np.abs(u) ** 3) * (1 - 0.1 * smoothstep(v, 0.25, 0.0))
            if up < 0:
                light *= 0.86  # in the lower lip's shadow
            warm = tint * (0.1 * smoothstep(v, 0.35, 1.1) + (0.05 if number == 2 else 0.0))[:, None]
            out[tooth] = light[:, None] * (1 - warm * np.array([0.3, 0.8, 1.6]))
    return out


@dataclass(frozen=True, eq=False)
class OwnTeeth:
    """What a photograph shows of the teeth.

    mask (h, w) in [0, 1]: the upper teeth; all 0 unless they are shown whole.
    lower: how much lower their edge lies than the edge of the model's teeth, cm; 0 unless an open mouth
        shows the edge.
    white (3,): the colour of the teeth; None where no teeth are shown.
    """

    mask: np.ndarray
    lower: float
    white: np.ndarray | None


def pale_inside(crop: np.ndarray, inside: np.ndarray, scale: float) -> np.ndarray:
    """A mask (h, w) of the teeth in a crop (h, w, 3): light for their column, and less red than the lips.

    inside (h, w) bool: the mouth's inside. scale: pixels a cm. Where all of the inside is about equally
    light, the mask is empty.
    """
    light, red = crop.mean(2), (crop[..., 0] - crop[..., 1]) / np.maximum(crop[..., 0], 0.05)
    around = binary_dilation(inside, iterations=round(0.3 * scale) + 1)
    lip = np.median(red[around & ~binary_dilation(inside, iterations=max(1, round(0.08 * scale)))])
    dark, bright = np.quantile(light[inside], [0.2, 0.9])
    if bright - dark < 0.1:
        return np.zeros_like(inside)
    tooth = np.median(red[inside & (light >= bright)])
    column = gaussian_filter1d(np.where(inside, light, 0).max(0), 0.25 * scale)
    level = 0.5 * (dark + np.clip(column, 0.6 * bright, bright))
    return inside & (light > level) & (red < max(0.5 * (tooth + lip), tooth + 0.02))


def own_teeth(rig: Rig, crop: np.ndarray, kinds: np.ndarray, places: np.ndarray, scale: float) -> OwnTeeth:
    """Return the teeth that a photograph shows: the whole upper row or none of it.

    Pieces are not used, because they would stand beside teeth of the model.
    crop (h, w, 3): the photograph around the face.
    kinds (h, w): the kind of the fitted mesh at each pixel, as in `layer`.
    places (n, 2): the vertices, pixels of the crop.
    scale: pixels per cm.
    """
    inside = kinds == MOUTH
    h, w = inside.shape
    nothing = np.zeros((h, w), np.float32)
    front = rig.is_part("teeth_upper") & (np.abs(rig.neutral[:, 0]) < FRONT)
    if inside.sum() < 60:
        return OwnTeeth(nothing, 0.0, None)
    pale = pale_inside(crop, inside, scale)
    row, column = np.arange(h)[:, None], np.arange(w)
    middle = (column >= places[front, 0].min()) & (column <= places[front, 0].max())
    white, lower = None, 0.0
    tones = crop[pale & middle]
    if len(tones) > 20:
        white = tones[tones.mean(1) >= np.quantile(tones.mean(1), 0.6)].mean(0)
    pale = binary_closing(pale, np.ones((1, 2 * max(1, round(0.06 * scale)) + 1))) & inside
    top, low = inside.argmax(0), inside.argmax(0) + inside.sum(0)
    near = pale & (row < top + np.minimum(NEAR_LIP * scale, 0.6 * (low - top)))
    toothed = near.any(0)
    start = near.argmax(0)
    after = ~pale & (row > start)
    end = np.where(toothed, after.argmax(0), 0.0)
    seen = middle & toothed & (end - start > 0.3 * scale) & (end < low - 0.15 * scale)
    if seen.sum() >= 0.5 * middle.sum():
        lower = float(np.clip((np.median(end[seen]) - places[front, 1].max()) / scale, -0.2, 0.6))
    if toothed.sum() < 2:
        return OwnTeeth(nothing, lower, white)
    cracks = np.ones(2 * max(1, round(CRACK * scale / 2)) + 1)
    whole = _longest(binary_closing(np.pad(toothed, w), cracks)[w:-w] & (low > top), middle)
    end = median_filter(np.interp(column, column[toothed], end[toothed]), round(0.6 * scale) | 1)
    front_seen = middle & whole
    if front_seen.sum() < 0.9 * middle.sum() or np.median((end - start)[front_seen & toothed]) < TALL * scale:
        return OwnTeeth(nothing, lower, white)
    mask = inside & whole & (row <= end)
    return OwnTeeth(blur(binary_dilation(mask).astype(np.float32), FADES * scale), lower, white)


def _longest(columns: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The run of columns (w,) bool that contains the most columns of `middle` (w,) bool."""
    runs, count = label(columns)
    if not count:
        return columns
    shared = np.bincount(runs[middle], minlength=count + 1)[1:]
    return runs == 1 + shared.argmax()
