"""The colours of a frame's pixels, compiled by numba; `plain_paint` holds the same in numpy. See
`kernels.paint`.
"""

from __future__ import annotations

import numba
import numpy as np

from .compiled import FINITE

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
STEP, TURN = np.float32(0.05), np.float32(2 * np.pi)  # of the eyes' maps: radians a row, all around
CREASE, CREASE_WIDE = np.float32(0.3), np.float32(0.08)  # cm of the blink's drop where a shut lid folds
FOLD = np.float32(0.3)  # cm of depth between neighbours from which on one hides the other
LINE = np.float32(0.15)  # cm: width of the line of lashes
LASHES = np.float32(11.0)  # number of a lower lid's lashes from its middle to its end


@numba.njit(cache=True, fastmath=FINITE, inline="always")
def step(x: np.float32, low: np.float32, high: np.float32) -> np.float32:
    """0 below low, 1 above high, a smooth cubic between."""
    t = min(max((x - low) / (high - low), ZERO), ONE)
    return t * t * (np.float32(3) - np.float32(2) * t)


@numba.njit(cache=True, fastmath=FINITE)
def mask_at(masks: np.ndarray, x: np.float32, y: np.float32, channel: int) -> np.float32:
    """One channel of masks (h, w, c), read bilinearly at x, y in its own pixels; 0 outside."""
    height, width = masks.shape[:2]
    x, y = x - HALF, y - HALF
    if x < 0 or y < 0 or x >= width - 1 or y >= height - 1:
        return ZERO
    j, i = int(x), int(y)
    b, a = x - j, y - i
    top = masks[i, j, channel] + b * (masks[i, j + 1, channel] - masks[i, j, channel])
    low = masks[i + 1, j, channel] + b * (masks[i + 1, j + 1, channel] - masks[i + 1, j, channel])
    return top + a * (low - top)


@numba.njit(cache=True, fastmath=FINITE)
def cubic(t: np.float32) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Weights of four neighbours at t in [0, 1) between the middle two (Keys, a = -1)."""
    s = ONE - t
    a, b, c = np.float32(-1.0), np.float32(2.0), np.float32(1.0)
    return a * t * s * s, ONE - b * t * t + c * t * t * t, ONE - b * s * s + c * s * s * s, a * s * t * t


@numba.njit(cache=True, fastmath=FINITE)
def photograph_at(
    image: np.ndarray,
    x: np.float32,
    y: np.float32,
) -> tuple[np.float32, np.float32, np.float32]:
    """RGB of an image (H, W, 3) in [0, 1], read by the cubic at x, y, clamped to the border."""
    height, width = image.shape[:2]
    x = min(max(x - HALF, ZERO), np.float32(width - 1))
    y = min(max(y - HALF, ZERO), np.float32(height - 1))
    j, i = int(x), int(y)
    xa, xb, xc, xd = cubic(x - j)
    ya, yb, yc, yd = cubic(y - i)
    ja, jc, jd = max(j - 1, 0), min(j + 1, width - 1), min(j + 2, width - 1)
    r = g = b = ZERO
    for k in range(4):
        weight = ya if k == 0 else (yb if k == 1 else (yc if k == 2 else yd))
        n = min(max(i - 1 + k, 0), height - 1)
        r += weight * (
            xa * image[n, ja, 0] + xb * image[n, j, 0] + xc * image[n, jc, 0] + xd * image[n, jd, 0]
        )
        g += weight * (
            xa * image[n, ja, 1] + xb * image[n, j, 1] + xc * image[n, jc, 1] + xd * image[n, jd, 1]
        )
        b += weight * (
            xa * image[n, ja, 2] + xb * image[n, j, 2] + xc * image[n, jc, 2] + xd * image[n, jd, 2]
        )
    return min(max(r, ZERO), ONE), min(max(g, ZERO), ONE), min(max(b, ZERO), ONE)


@numba.njit(cache=True, fastmath=FINITE)
def shade(kind: np.ndarray, reach: np.ndarray, out: np.ndarray) -> None:
    """Writes the shadow of lips and lids into out (h, w), which is 1; see `kernels.shade`.

    It falls from above and, more weakly, from all sides.
    """
    h, w = kind.shape
    top, low, left, right = h, 0, w, 0
    for i in range(h):
        for j in range(w):
            if 0 < kind[i, j] < 255:
                top, low, left, right = min(top, i), max(low, i + 1), min(left, j), max(right, j + 1)
    beside = np.zeros((h, w), np.float32)
    for i in range(top, low):
        run = ZERO
        for j in range(left, right):
            run = run + ONE if 0 < kind[i, j] < 255 else ZERO
            beside[i, j] = run
        run = ZERO
        for j in range(right - 1, left - 1, -1):
            run = run + ONE if 0 < kind[i, j] < 255 else ZERO
            beside[i, j] = min(beside[i, j], run)
    for j in range(left, right):
        run = ZERO
        for i in range(low - 1, top - 1, -1):
            run = run + ONE if 0 < kind[i, j] < 255 else ZERO
            beside[i, j] = min(beside[i, j], run)
        run = ZERO
        for i in range(top, low):
            k = kind[i, j]
            if k == 255 or k == 0:
                run = ZERO
                continue
            run = run + ONE if i > 0 and kind[i - 1, j] == k else ONE
            deep = reach[0] if k == 1 else reach[1]
            dark = np.float32(0.78) if k == 1 else np.float32(0.55)
            side = np.float32(0.85) if k == 1 else np.float32(0.85)
            near = step((beside[i, j] - HALF) / deep, ZERO, ONE)
            above = dark + (ONE - dark) * step((run - HALF) / deep, ZERO, ONE)
            out[i, j] = above * (side + (ONE - side) * near)


@numba.njit(cache=True, fastmath=FINITE)
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
    h, w = triangle.shape
    v = np.zeros(values.shape[1], np.float32)
    eye = np.zeros(3, np.float32)
    for i in range(h):
        for j in range(w):
            t = triangle[i, j]
            if t < 0:
                continue
            va, vb, vc = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            z = ONE / near[i, j]
            wa, wb = corner[i, j, 0] * nearness[va] * z, corner[i, j, 1] * nearness[vb] * z
            wc = (ONE - corner[i, j, 0] - corner[i, j, 1]) * nearness[vc] * z
            for k in range(6):
                v[k] = wa * values[va, k] + wb * values[vb, k] + wc * values[vc, k]
            what = kinds[t]
            hx, hy = np.float32(x0 + j) + HALF, np.float32(y0 + i) + HALF
            tr = tg = tb = ZERO
            lid = False
            if what == 0:
                qx, qy = v[0] / v[2], v[1] / v[2]
                gap = np.sqrt((qx - hx) ** 2 + (qy - hy) ** 2)
                ww = max(v[3], v[4] * (ONE - step(gap, np.float32(0.02), np.float32(0.25))))
                lid = values[va, 9] + values[vb, 9] + values[vc, 9] > ZERO or (
                    values[va, 14] + values[vb, 14] + values[vc, 14] > ZERO
                )
                if v[5] <= ZERO:  # gives way to what is behind it
                    source[i, j, 0], source[i, j, 1], weight[i, j] = qx, qy, ww
                    continue
                if ww >= ONE and not lid:
                    if gap <= np.float32(0.02):
                        for k in range(3):
                            colour[i, j, k] = image[y0 + i, x0 + j, k]
                    else:
                        tr, tg, tb = photograph_at(image, qx, qy)
                        colour[i, j, 0], colour[i, j, 1], colour[i, j, 2] = tr, tg, tb
                    source[i, j, 0], source[i, j, 1] = qx, qy
                    weight[i, j], alpha[i, j] = ww, step(v[5], ZERO, ONE)
                    continue
            if what < 2:
                for k in range(6, 10):
                    v[k] = wa * values[va, k] + wb * values[vb, k] + wc * values[vc, k]
                tr, tg, tb = v[6], v[7], v[8]
            if lid:
                for k in range(10, 15):
                    v[k] = wa * values[va, k] + wb * values[vb, k] + wc * values[vc, k]
            if what >= 2:  # the ball turns: where was this point of it in the photograph
                e = eyes[what - 2]
                dx, dy, dz = v[0] - e[0], v[1] - e[1], v[2] - e[2]
                far = np.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx / far, dy / far, dz / far
                ox = e[4] * dx + e[5] * dy + e[6] * dz
                oy = e[7] * dx + e[8] * dy + e[9] * dz
                oz = e[10] * dx + e[11] * dy + e[12] * dz
                cx = e[13] * ox + e[14] * oy + e[15] * oz
                cy = e[16] * ox + e[17] * oy + e[18] * oz
                cz = e[19] * ox + e[20] * oy + e[21] * oz
                depth = e[24] + far * cz
                qx = (e[22] + far * cx) / depth * e[25] + e[26]
                qy = (e[23] + far * cy) / depth * e[25] + e[27]
                loose = mask_at(masks, qx - mx, qy - my, 2)
                tight = mask_at(masks, qx - mx, qy - my, 3)
                s = still[what - 1]
                ww = step(loose * s + tight * (ONE - s), np.float32(0.35), np.float32(0.8))
                ww *= step(-cz, np.float32(0.1), np.float32(0.3))
                along = min(max(ox * e[28] + oy * e[29] + oz * e[30], -ONE), ONE)
                row = min(max(np.arccos(along) / STEP - HALF, ZERO), np.float32(tables.shape[1] - 1.001))
                turn = np.arctan2(ox * e[34] + oy * e[35] + oz * e[36], ox * e[31] + oy * e[32] + oz * e[33])
                around = turn / TURN * np.float32(tables.shape[2])
                if around < 0:
                    around += np.float32(tables.shape[2])
                k0, m0 = int(row), int(around)
                f, o = row - k0, around - m0
                m0 = m0 % tables.shape[2]
                m1 = (m0 + 1) % tables.shape[2]
                for k in range(3):
                    left = tables[what - 2, k0, m0, k] * (ONE - f) + tables[what - 2, k0 + 1, m0, k] * f
                    right = tables[what - 2, k0, m1, k] * (ONE - f) + tables[what - 2, k0 + 1, m1, k] * f
                    eye[k] = (left + o * (right - left)) * shadow[i, j]
                tr, tg, tb = eye[0], eye[1], eye[2]
                keep, al = s, ONE
            else:
                qx, qy = v[0] / v[2], v[1] / v[2]
                ww, keep, al = v[3], v[4], ONE
                if what == 1:
                    loose = mask_at(masks, qx - mx, qy - my, 0)
                    tight = mask_at(masks, qx - mx, qy - my, 1)
                    same = mask_at(masks, qx - mx, qy - my, 4) if v[9] > HALF else ZERO  # teeth on teeth
                    ww *= step(same, np.float32(0.3), np.float32(0.7))
                    ww *= step(
                        loose * still[0] + tight * (ONE - still[0]), np.float32(0.35), np.float32(0.75)
                    )
                    tr, tg, tb = tr * shadow[i, j], tg * shadow[i, j], tb * shadow[i, j]
                else:
                    al = step(v[5], ZERO, ONE)
                    if v[9] > np.float32(0.3) and ww < np.float32(0.95):
                        r, g, b = photograph_at(grain, qx + cheek[0], qy + cheek[1])
                        tr, tg, tb = tr + r - HALF, tg + g - HALF, tb + b - HALF
            gap = np.sqrt((qx - hx) ** 2 + (qy - hy) ** 2)
            ww = max(ww, keep * (ONE - step(gap, np.float32(0.02), np.float32(0.25))))
            if ww > ZERO:
                if gap <= np.float32(0.02):
                    n, m = y0 + i, x0 + j
                    r, g, b = image[n, m, 0], image[n, m, 1], image[n, m, 2]
                else:
                    r, g, b = photograph_at(image, qx, qy)
                tr = ww * r + (ONE - ww) * tr
                tg = ww * g + (ONE - ww) * tg
                tb = ww * b + (ONE - ww) * tb
            if lid and v[13] + v[14] > np.float32(0.004):
                fold = (v[10] - CREASE) / CREASE_WIDE
                bow = (v[10] - np.float32(0.62)) / np.float32(0.22)
                lit = ONE + v[13] * (
                    np.float32(0.06) * np.exp(-bow * bow) - np.float32(0.08) * np.exp(-fold * fold)
                )
                line = v[11] / LINE
                dark = v[13] * np.exp(-line * line) * lash[3]
                if v[14] > ZERO:  # lashes of a shut eye lie on the lower lid, fanned out
                    lean = v[12] * LASHES * (ONE + np.float32(0.25) * (ONE - v[14]))
                    number = np.floor(lean + HALF)
                    off = abs(lean - number) * np.float32(2.2)
                    odd = np.sin(number * np.float32(12.9898)) * np.float32(43758.547)
                    long = np.float32(0.65) + np.float32(0.35) * lash[4] * (odd - np.floor(odd))
                    tuft = lash[4] * max(ONE - off, ZERO) + (ONE - lash[4]) * np.float32(0.45)
                    hair = tuft * step(v[14], ONE - long, ONE)
                    dark = max(dark, min(hair + step(v[14], np.float32(0.8), ONE), ONE) * lash[3])
                dark *= step(abs(v[12]), np.float32(1.05), np.float32(0.75))  # none beyond the corners
                ww *= (ONE - dark) * (
                    ONE - min(np.float32(12) * abs(lit - ONE), ONE)
                )  # no longer the photograph's
                tr, tg, tb = tr * lit, tg * lit, tb * lit
                tr += dark * (lash[0] - tr)
                tg += dark * (lash[1] - tg)
                tb += dark * (lash[2] - tb)
            colour[i, j, 0], colour[i, j, 1], colour[i, j, 2] = tr, tg, tb
            source[i, j, 0], source[i, j, 1] = qx, qy
            weight[i, j], alpha[i, j] = ww, al


@numba.njit(cache=True, fastmath=FINITE)
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
    for i in range(1, h - 1):
        for j in range(1, w - 1):
            k = kind[i, j]
            edge = False
            for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                edge = edge or kind[i + di, j + dj] != k
                if k == 0:
                    there = near[i + di, j + dj]
                    edge = edge or abs(near[i, j] - there) > FOLD * near[i, j] * there
            inside = k == 1 and weight[i, j] < HALF
            if not edge and not inside:
                continue
            moved = ONE
            if k != 255 and not inside:
                dx = source[i, j, 0] - (x0 + j + HALF)
                dy = source[i, j, 1] - (y0 + i + HALF)
                moved = min(np.sqrt(dx * dx + dy * dy) / HALF, ONE)
            if moved <= 0:
                continue
            r = g = b = total = cover = ZERO
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    share = np.float32((2 - abs(di)) * (2 - abs(dj)))
                    cover += share * alpha[i + di, j + dj]
                    share *= alpha[i + di, j + dj]
                    r += share * colour[i + di, j + dj, 0]
                    g += share * colour[i + di, j + dj, 1]
                    b += share * colour[i + di, j + dj, 2]
                    total += share
            if total > 0:
                for m, c in enumerate((r, g, b)):
                    start = colour[i, j, m] if k != 255 else c / total
                    out[i, j, m] = start + moved * (c / total - start)
            if k != 255:
                weight[i, j] *= ONE - HALF * moved
                out_alpha[i, j] = alpha[i, j] + moved * (
                    min(cover / np.float32(16), alpha[i, j]) - alpha[i, j]
                )
