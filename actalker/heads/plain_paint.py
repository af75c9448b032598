"""The colours of a frame's pixels in numpy, for machines without numba. See `kernels.paint`."""

from __future__ import annotations

import numpy as np

from .plain import bilinear
from .zips import smoothstep

STEP, CREASE, CREASE_WIDE, LASHES, LINE, FOLD = 0.05, 0.3, 0.08, 11.0, 0.15, 0.3  # as in `compiled_paint`


def mask_at(masks: np.ndarray, x: np.ndarray, y: np.ndarray, channel: int) -> np.ndarray:
    """One channel of masks (h, w, c), read bilinearly at x, y (m,) in its own pixels: (m,), 0 outside."""
    height, width = masks.shape[:2]
    out = np.zeros((len(x), 1), np.float32)
    bilinear(masks[..., channel : channel + 1], np.stack([x, y], 1), out)
    x, y = x - 0.5, y - 0.5
    return np.where((x < 0) | (y < 0) | (x >= width - 1) | (y >= height - 1), 0, out[:, 0])


def cubic(t: np.ndarray) -> np.ndarray:
    """Weights (4, m) of four neighbours at t (m,) in [0, 1) between the middle two (Keys, a = -1)."""
    a, s = -1.0, 1 - t
    return np.stack(
        [
            a * t * s * s,
            1 - (a + 3) * t * t + (a + 2) * t**3,
            1 - (a + 3) * s * s + (a + 2) * s**3,
            a * s * t * t,
        ]
    )


def photograph_at(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) in [0, 1], read by the cubic at x, y (m,), clamped to the border: (m, 3)."""
    height, width = image.shape[:2]
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    j, i = x.astype(int), y.astype(int)
    wx, wy = cubic(x - j), cubic(y - i)
    out = np.zeros((len(x), 3), np.float32)
    for k in range(4):
        row = np.clip(i - 1 + k, 0, height - 1)
        for m in range(4):
            out += (wy[k] * wx[m])[:, None] * image[row, np.clip(j - 1 + m, 0, width - 1)]
    return np.clip(out, 0, 1)


def _run(inside: np.ndarray) -> np.ndarray:
    """The length (h, w) of the run of `inside` (h, w) bool that ends at each pixel, down its column."""
    out = np.zeros(inside.shape, np.float32)
    count = np.zeros(inside.shape[1], np.float32)
    for i, row in enumerate(inside):
        count = np.where(row, count + 1, 0)
        out[i] = count
    return out


def shade(kind: np.ndarray, reach: np.ndarray, out: np.ndarray) -> None:
    """Writes the shadow of lips and lids into out (h, w), which is 1; see `kernels.shade`."""
    whole = (kind > 0) & (kind < 255)
    beside = np.minimum(_run(whole[::-1])[::-1], _run(whole.T).T)
    beside = np.minimum(beside, _run(whole.T[::-1])[::-1].T)
    for k in (1, 2, 3):
        inside = kind == k
        deep, dark, side = (reach[0], 0.78, 0.85) if k == 1 else (reach[1], 0.55, 0.85)
        from_top = dark + (1 - dark) * smoothstep((_run(inside) - 0.5) / deep, 0, 1)
        out[inside] = (from_top * (side + (1 - side) * smoothstep((beside - 0.5) / deep, 0, 1)))[inside]


def paint(
    triangle: np.ndarray,
    corner: np.ndarray,
    near: np.ndarray,
    triangles: np.ndarray,
    kinds: np.ndarray,
    nearness: np.ndarray,
    values: np.ndarray,
    x0: int,
    y0: int,
    image: np.ndarray,
    masks: np.ndarray,
    mx: np.float32,
    my: np.float32,
    eyes: np.ndarray,
    tables: np.ndarray,
    still: np.ndarray,
    shadow: np.ndarray,
    grain: np.ndarray,
    cheek: np.ndarray,
    lash: np.ndarray,
    alpha: np.ndarray,
    colour: np.ndarray,
    source: np.ndarray,
    weight: np.ndarray,
    kind: np.ndarray,
) -> None:
    """Writes alpha, colour, source and weight of a `FaceLayer`; see `kernels.paint` and its `Paint`.

    triangle, corner, near: fields of the raster; x0, y0: left top corner of its box. mx, my: left top corner
    of the masks. nearness (n,): 1 / depth of the vertices. shadow (h, w): the result of `shade`.
    """
    i, j = np.nonzero(triangle >= 0)
    t = triangle[i, j]
    rows = triangles[t]
    u, w = corner[i, j].T
    corners = np.stack([u, w, 1 - u - w], 1) * nearness[rows] / near[i, j][:, None]
    v = (corners[..., None] * values[rows]).sum(1)
    what = kinds[t]
    here = np.stack([j + x0, i + y0], 1) + np.float32(0.5)
    tone = v[:, 6:9].copy()
    place = v[:, :2] / np.where(what >= 2, 1, v[:, 2])[:, None]
    share, keep, cover = v[:, 3].copy(), v[:, 4].copy(), np.ones(len(t), np.float32)
    for e in (0, 1):
        at = what == 2 + e
        p = eyes[e]
        d = v[at, :3] - p[:3]
        far = np.linalg.norm(d, axis=1)
        d /= far[:, None]
        before = d @ p[4:13].reshape(3, 3).T
        c = before @ p[13:22].reshape(3, 3).T
        depth = p[24] + far * c[:, 2]
        place[at] = (p[22:24] + far[:, None] * c[:, :2]) / depth[:, None] * p[25] + p[26:28]
        loose, tight = (mask_at(masks, place[at, 0] - mx, place[at, 1] - my, k) for k in (2, 3))
        s = still[1 + e]
        share[at] = smoothstep(loose * s + tight * (1 - s), 0.35, 0.8) * smoothstep(-c[:, 2], 0.1, 0.3)
        rows, columns = tables.shape[1:3]
        row = np.clip(np.arccos(np.clip(before @ p[28:31], -1, 1)) / STEP - 0.5, 0, rows - 1.001)
        around = np.arctan2(before @ p[34:37], before @ p[31:34]) / (2 * np.pi) * columns % columns
        k, m = row.astype(int), np.minimum(around.astype(int), columns - 1)
        f, g = (row - k)[:, None], (around - m)[:, None]
        left, right = (tables[e, k, c] * (1 - f) + tables[e, k + 1, c] * f for c in (m, (m + 1) % columns))
        tone[at] = (left + g * (right - left)) * shadow[i[at], j[at]][:, None]
        keep[at] = s
    at = what == 1
    loose, tight = (mask_at(masks, place[at, 0] - mx, place[at, 1] - my, k) for k in (0, 1))
    teeth = mask_at(masks, place[at, 0] - mx, place[at, 1] - my, 4)
    share[at] *= smoothstep(np.where(v[at, 9] > 0.5, teeth, 0), 0.3, 0.7)
    share[at] *= smoothstep(loose * still[0] + tight * (1 - still[0]), 0.35, 0.75)
    tone[at] *= shadow[i[at], j[at]][:, None]
    at = what == 0
    cover[at] = smoothstep(v[at, 5], 0, 1)
    at &= (v[:, 9] > 0.3) & (share < 0.95)
    tone[at] += photograph_at(grain, place[at, 0] + cheek[0], place[at, 1] + cheek[1]) - 0.5
    gap = np.linalg.norm(place - here, axis=1)
    share = np.maximum(share, keep * (1 - smoothstep(gap, 0.02, 0.25)))[:, None]
    seen = photograph_at(image, place[:, 0], place[:, 1])
    seen = np.where((gap <= 0.02)[:, None], image[i + y0, j + x0], seen)
    shown = share * seen + (1 - share) * tone
    lids = (what == 0) & (v[:, 13] + v[:, 14] > 0.004)
    shown[lids], left = _lids(shown[lids], v[lids], lash)
    share[lids] *= left
    colour[i, j] = shown
    source[i, j], weight[i, j], alpha[i, j] = place, share[:, 0], cover


def _lids(shown: np.ndarray, v: np.ndarray, lash: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours `shown` (m, 3) of shut lids with crease, lit bow and lashes added.

    v (m, 15): the values at the pixels, columns as in `kernels.paint`. Also returns a factor (m, 1) on the
    weight of the photograph's own pixels.
    """
    lit = 0.06 * np.exp(-(((v[:, 10] - 0.62) / 0.22) ** 2)) - 0.08 * np.exp(
        -(((v[:, 10] - CREASE) / CREASE_WIDE) ** 2)
    )
    dark = v[:, 13] * np.exp(-((v[:, 11] / LINE) ** 2)) * lash[3]
    lean = v[:, 12] * LASHES * (1 + 0.25 * (1 - v[:, 14]))
    number = np.floor(lean + 0.5)
    odd = np.sin(number.astype(np.float32) * np.float32(12.9898)) * np.float32(43758.547)
    long = 0.65 + 0.35 * lash[4] * (odd - np.floor(odd))
    t = np.clip((v[:, 14] - (1 - long)) / long, 0, 1)
    tuft = lash[4] * np.maximum(1 - np.abs(lean - number) * 2.2, 0) + (1 - lash[4]) * 0.45
    hair = tuft * t * t * (3 - 2 * t)
    below = np.minimum(hair + smoothstep(v[:, 14], 0.8, 1), 1) * lash[3]
    dark = np.where(v[:, 14] > 0, np.maximum(dark, below), dark)
    dark = (dark * smoothstep(np.abs(v[:, 12]), 1.05, 0.75))[:, None]
    lit = (v[:, 13] * lit)[:, None]
    left = (1 - dark) * (1 - np.minimum(12 * np.abs(lit), 1))
    shown = shown * (1 + lit)
    return shown + dark * (lash[:3] - shown), left


def soften(
    kind: np.ndarray,
    near: np.ndarray,
    source: np.ndarray,
    x0: int,
    y0: int,
    colour: np.ndarray,
    alpha: np.ndarray,
    out: np.ndarray,
    out_alpha: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Blends pixels at edges with their neighbours (1 2 1 both ways).

    It reads colour and alpha, and writes out and out_alpha, which hold copies of them before the call. A
    pixel is at an edge if a neighbour is of another kind, or if both are skin and |depth difference| > FOLD.
    Blending is full where `source` is >= 0.5 pixels away, none where it has not moved. Painted pixels
    of the mouth's inside (kind 1, weight < 0.5) are blended too, so that teeth get smooth edges.
    """
    h, w = kind.shape
    middle = kind[1:-1, 1:-1]
    edge = np.zeros(middle.shape, bool)
    for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        there = np.s_[1 + di : h - 1 + di, 1 + dj : w - 1 + dj]
        hidden = np.abs(near[1:-1, 1:-1] - near[there]) > FOLD * near[1:-1, 1:-1] * near[there]
        edge |= (kind[there] != middle) | ((middle == 0) & hidden)
    drawn = (middle == 1) & (weight[1:-1, 1:-1] < 0.5)
    i, j = np.nonzero(edge | drawn)
    i, j = i + 1, j + 1
    empty = kind[i, j] == 255
    gap = np.linalg.norm(source[i, j] - (np.stack([j + x0, i + y0], 1) + 0.5), axis=1)
    moved = np.where(empty | drawn[i - 1, j - 1], 1, np.minimum(gap / 0.5, 1))
    total, cover, blend = np.zeros(len(i)), np.zeros(len(i)), np.zeros((len(i), 3))
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            share = (2 - abs(di)) * (2 - abs(dj)) * alpha[i + di, j + dj]
            cover += share
            total += share
            blend += share[:, None] * colour[i + di, j + dj]
    known = (total > 0) & (moved > 0)
    places, empty = (i[known], j[known]), empty[known]
    moved, cover, blend = moved[known], cover[known], blend[known] / total[known, None]
    start = np.where(empty[:, None], blend, colour[places])
    out[places] = start + moved[:, None] * (blend - start)
    faded = alpha[places] + moved * (np.minimum(cover / 16, alpha[places]) - alpha[places])
    weight[places] *= np.where(empty, 1, 1 - 0.5 * moved)
    out_alpha[places] = np.where(empty, out_alpha[places], faded)
