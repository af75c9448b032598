"""The scene's kernels, compiled by numba; `plain_scene` holds the same in numpy. Call them through `kernels`.

One thread, float32, places in pixels with centres at .5. The package's docstring defines sheet, ground and
plate. Letters: H, W the photograph, h, w the box that may change, r, c the grid's nodes.
"""

from __future__ import annotations

import numba
import numpy as np

from .compiled import FINITE

F = np.float32
GRAIN = 6.0  # of 255: a larger difference from the smooth colours is an object, which must not appear twice
OFF = 3.0  # once the head has moved by a third of a cell, the ground is filled
SHARP = (
    -1.0
)  # a of the cubic that reads the photograph, which stays as sharp as it is; as in `compiled_paint`


@numba.njit(cache=True, fastmath=FINITE)
def _at(grid: np.ndarray, y: np.float32, x: np.float32, c: int) -> np.float32:
    """Channel c of a grid (h, w, k), read bilinearly at a place in its cells (centres at .5), clamped."""
    h, w = grid.shape[:2]
    v = min(max(y - F(0.5), F(0)), F(h - 1))
    u = min(max(x - F(0.5), F(0)), F(w - 1))
    i, j = min(int(v), h - 2) if h > 1 else 0, min(int(u), w - 2) if w > 1 else 0
    a, b = v - F(i), u - F(j)
    i1, j1 = min(i + 1, h - 1), min(j + 1, w - 1)
    top = grid[i, j, c] + (grid[i, j1, c] - grid[i, j, c]) * b
    low = grid[i1, j, c] + (grid[i1, j1, c] - grid[i1, j, c]) * b
    return top + (low - top) * a


@numba.njit(cache=True, fastmath=FINITE)
def fill(image: np.ndarray, maps: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the filled image (h, w, 3) uint8 and the opacity of the fill (h, w); see `kernels.fill`."""
    h, w = image.shape[:2]
    out = image.copy()
    share = np.zeros((h, w), np.float32)
    scale = F(1.0 / step)
    for i in range(h):
        y = (F(i) + F(0.5)) * scale
        for j in range(w):
            x = (F(j) + F(0.5)) * scale
            s = _at(maps, y, x, 6)
            if s <= F(0.004):
                continue
            share[i, j] = s
            qx = F(j) + F(0.5) + _at(maps, y, x, 3)
            qy = F(i) + F(0.5) + _at(maps, y, x, 4)
            seen = F(0)
            if qx >= F(0) and qy >= F(0) and qx < F(w) and qy < F(h):
                seen = _at(maps, qy * scale, qx * scale, 5)
            for c in range(3):
                value = _at(maps, y, x, c)
                if seen > F(0):
                    grain = F(image[int(qy), int(qx), c]) - _at(maps, qy * scale, qx * scale, c)
                    value += seen * min(max(grain, F(-GRAIN)), F(GRAIN))
                value = F(image[i, j, c]) + s * (value - F(image[i, j, c]))
                out[i, j, c] = np.uint8(min(max(value + F(0.5), F(0)), F(255)))
    return out, share


@numba.njit(cache=True, fastmath=FINITE)
def inverse(nodes: np.ndarray, moved: np.ndarray, step: int) -> np.ndarray:
    """The places (r, c, 2) whose content lies at the nodes after they moved; see `kernels.inverse`."""
    rows, columns = nodes.shape[:2]
    out = nodes.copy()
    x0, y0, scale = nodes[0, 0, 0], nodes[0, 0, 1], F(1.0) / F(step)
    for i in range(rows - 1):
        for j in range(columns - 1):
            for half in range(2):
                # in cells: the corner shared by both halves, and the two others
                ax, ay = (moved[i, j, 0] - x0) * scale, (moved[i, j, 1] - y0) * scale
                cx, cy = (moved[i + 1, j + 1, 0] - x0) * scale, (moved[i + 1, j + 1, 1] - y0) * scale
                bi, bj = (i, j + 1) if half == 0 else (i + 1, j)
                bx, by = (moved[bi, bj, 0] - x0) * scale, (moved[bi, bj, 1] - y0) * scale
                area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
                if abs(area) < F(1e-6):
                    continue
                part = F(1.0) / area
                top = max(int(np.ceil(min(ay, by, cy) - F(1e-4))), 0)
                low = min(int(np.floor(max(ay, by, cy) + F(1e-4))), rows - 1)
                left = max(int(np.ceil(min(ax, bx, cx) - F(1e-4))), 0)
                right = min(int(np.floor(max(ax, bx, cx) + F(1e-4))), columns - 1)
                for v in range(top, low + 1):
                    for u in range(left, right + 1):
                        px, py = F(u), F(v)
                        wa = ((bx - px) * (cy - py) - (cx - px) * (by - py)) * part
                        wb = ((cx - px) * (ay - py) - (ax - px) * (cy - py)) * part
                        wc = F(1.0) - wa - wb
                        if wa < F(-1e-4) or wb < F(-1e-4) or wc < F(-1e-4):
                            continue
                        for k in range(2):
                            out[v, u, k] = (
                                wa * nodes[i, j, k] + wb * nodes[bi, bj, k] + wc * nodes[i + 1, j + 1, k]
                            )
    return out


@numba.njit(cache=True, fastmath=FINITE)
def _cubic(
    picture: np.ndarray,
    i: int,
    j: int,
    a: np.float32,
    b: np.float32,
) -> tuple[np.float32, np.float32, np.float32]:
    """RGB in [0, 255] between pixels (i, j) and (i + 1, j + 1), a share a down and b to the right (Keys)."""
    height, width = picture.shape[:2]
    one, k = F(1.0), F(SHARP)
    c, d = one - a, one - b
    y0, y3 = k * a * c * c, k * c * a * a
    y1 = one - (k + F(3.0)) * a * a + (k + F(2.0)) * a * a * a
    y2 = one - y0 - y1 - y3
    x0, x3 = k * b * d * d, k * d * b * b
    x1 = one - (k + F(3.0)) * b * b + (k + F(2.0)) * b * b * b
    x2 = one - x0 - x1 - x3
    left, right = max(j - 1, 0), min(j + 2, width - 1)
    r0, r1, r2 = F(0.0), F(0.0), F(0.0)
    for row in range(4):
        y = min(max(i - 1 + row, 0), height - 1)
        p = picture[y]
        if row == 0 or row == 3:  # the corners' weights are below 0.01: they are the middle's
            w = y0 if row == 0 else y3
            r0 += w * (d * F(p[j, 0]) + b * F(p[j + 1, 0]))
            r1 += w * (d * F(p[j, 1]) + b * F(p[j + 1, 1]))
            r2 += w * (d * F(p[j, 2]) + b * F(p[j + 1, 2]))
        else:
            w = y1 if row == 1 else y2
            r0 += w * (x0 * F(p[left, 0]) + x1 * F(p[j, 0]) + x2 * F(p[j + 1, 0]) + x3 * F(p[right, 0]))
            r1 += w * (x0 * F(p[left, 1]) + x1 * F(p[j, 1]) + x2 * F(p[j + 1, 1]) + x3 * F(p[right, 1]))
            r2 += w * (x0 * F(p[left, 2]) + x1 * F(p[j, 2]) + x2 * F(p[j + 1, 2]) + x3 * F(p[right, 2]))
    return (
        min(max(r0, F(0.0)), F(255.0)),
        min(max(r1, F(0.0)), F(255.0)),
        min(max(r2, F(0.0)), F(255.0)),
    )


@numba.njit(cache=True, fastmath=FINITE)
def compose(
    frame: np.ndarray,
    picture: np.ndarray,
    plate: np.ndarray,
    share: np.ndarray,
    sources: np.ndarray,
    step: int,
    pad: int,
    cells: np.ndarray,
    middle: np.ndarray,
    bounds: tuple[int, int, int, int],
    x0: int,
    y0: int,
    alpha: np.ndarray,
    colour: np.ndarray,
    source: np.ndarray,
    weight: np.ndarray,
    kind: np.ndarray,
    calm: np.float32,
    ax: int,
    ay: int,
) -> None:
    """Draws the ground, the sheet over it and the face over both into `frame` (H, W, 3) uint8, in place.

    frame: holds the photograph before the call.
    picture, plate, share, step, pad, cells, middle: fields of `kernels.Behind`; bounds: its `inside`.
    x0, y0: left top corner of the box (h, w) that may change: `Behind.corner`.
    sources (r, c, 2): for each node, the place in the photograph that the sheet shows there.
    alpha, colour, source, weight, kind: fields of the `FaceLayer`; ax, ay: left top corner of its box.
    calm: see `kernels.compose`.
    Where the sheet shows the person outside the face's middle (`middle` < 1), only those pixels of the face
    are drawn over it that come from the photograph (`weight`).
    """
    H, W = frame.shape[:2]
    h, w = share.shape
    fh, fw = alpha.shape
    rows, columns = sources.shape[:2]
    bx0, by0, bx1, by1 = F(bounds[0]), F(bounds[1]), F(bounds[2]), F(bounds[3])
    one, half, zero = F(1.0), F(0.5), F(0.0)
    part = one / F(step)
    for r in range(pad, rows - 1):
        for c in range(pad, columns - 1):
            top, left = y0 + (r - pad) * step, x0 + (c - pad) * step
            low, right = min(top + step, y0 + h), min(left + step, x0 + w)
            if low <= top or right <= left:
                continue
            p00x, p00y = sources[r, c, 0], sources[r, c, 1]
            p01x, p01y = sources[r, c + 1, 0], sources[r, c + 1, 1]
            p10x, p10y = sources[r + 1, c, 0], sources[r + 1, c, 1]
            p11x, p11y = sources[r + 1, c + 1, 0], sources[r + 1, c + 1, 1]
            # how far its corners have moved: the least and the most
            ux, uy = F(0.25) * (p00x + p01x + p10x + p11x), F(0.25) * (p00y + p01y + p10y + p11y)
            ux, uy = ux - F(left) - half * F(step), uy - F(top) - half * F(step)
            apart = max(abs(p00x - F(left) - ux), abs(p00y - F(top) - uy))
            apart = max(apart, abs(p01x - F(left + step) - ux), abs(p01y - F(top) - uy))
            apart = max(apart, abs(p10x - F(left) - ux), abs(p10y - F(top + step) - uy))
            apart = max(apart, abs(p11x - F(left + step) - ux), abs(p11y - F(top + step) - uy))
            still, solid = max(abs(ux), abs(uy)) + apart < F(0.01), False
            gone, clear = max(abs(ux), abs(uy)) - apart > half, False
            faced = top < ay + fh and low > ay and left < ax + fw and right > ax
            if not still:  # any of the person where the cell comes from, or was where it is?
                i0 = min(max(int((min(p00y, p01y, p10y, p11y) - F(y0)) * part + F(pad)), 0), rows - 2)
                i1 = min(max(int((max(p00y, p01y, p10y, p11y) - F(y0)) * part + F(pad)), 0), rows - 2)
                j0 = min(max(int((min(p00x, p01x, p10x, p11x) - F(x0)) * part + F(pad)), 0), columns - 2)
                j1 = min(max(int((max(p00x, p01x, p10x, p11x) - F(x0)) * part + F(pad)), 0), columns - 2)
                most, least = cells[r, c], cells[i0, j0]
                for i in range(i0, i1 + 1):
                    for j in range(j0, j1 + 1):
                        most, least = max(most, cells[i, j]), min(least, cells[i, j])
                still = most == 0 and not faced
                solid = least == 2
                clear = gone and solid
            if still and not faced:
                continue
            for y in range(top, low):
                b = (F(y - top) + half) * part
                lx, ly = p00x + (p10x - p00x) * b, p00y + (p10y - p00y) * b
                dx, dy = (p01x + (p11x - p01x) * b - lx) * part, (p01y + (p11y - p01y) * b - ly) * part
                hy = F(y) + half
                for x in range(left, right):
                    hx = F(x) + half
                    al = zero
                    if faced and y >= ay and y < ay + fh and x >= ax and x < ax + fw:
                        al = alpha[y - ay, x - ax]
                        if kind[y - ay, x - ax] == 1:
                            al *= one - calm
                    if still and al <= zero:
                        continue
                    if gone and al >= one and weight[y - ay, x - ax] > F(0.999):  # nothing but the face
                        i, j = y - ay, x - ax
                        frame[y, x, 0] = np.uint8(colour[i, j, 0] * F(255.0) + half)
                        frame[y, x, 1] = np.uint8(colour[i, j, 1] * F(255.0) + half)
                        frame[y, x, 2] = np.uint8(colour[i, j, 2] * F(255.0) + half)
                        continue
                    t = F(x - left) + half
                    gx, gy = lx + dx * t, ly + dy * t
                    if clear and al <= zero:  # nothing but the person, clearly moved
                        gx, gy = gx - half, gy - half
                        i, j = max(int(gy), 0), max(int(gx), 0)
                        v0, v1, v2 = _cubic(picture, i, j, gy - F(i), gx - F(j))
                        frame[y, x, 0] = np.uint8(v0 + half)
                        frame[y, x, 1] = np.uint8(v1 + half)
                        frame[y, x, 2] = np.uint8(v2 + half)
                        continue
                    own0, own1, own2 = F(picture[y, x, 0]), F(picture[y, x, 1]), F(picture[y, x, 2])
                    v0, v1, v2 = own0, own1, own2
                    hidden = one
                    if not still and (al < one or weight[y - ay, x - ax] < one):
                        moved = (gx - hx) * (gx - hx) + (gy - hy) * (gy - hy)
                        if moved > F(0.0004):
                            moved = np.sqrt(moved)
                            m, f = one, zero
                            # nothing is there beyond the photograph's border
                            inside = min(min(gx - bx0, bx1 - gx), min(gy - by0, by1 - gy))
                            inside = min(max(inside + one, zero), one)
                            gx = min(max(gx, bx0 + half), bx1 - half) - half
                            gy = min(max(gy, by0 + half), by1 - half) - half
                            i, j = max(min(int(gy), H - 2), 0), max(min(int(gx), W - 2), 0)
                            a, e = gy - F(i), gx - F(j)
                            if not solid:
                                m = (one - a) * (one - e) * F(picture[i, j, 3])
                                m += (one - a) * e * F(picture[i, j + 1, 3])
                                m += a * (one - e) * F(picture[i + 1, j, 3])
                                m += a * e * F(picture[i + 1, j + 1, 3])
                                m *= inside * F(1.0 / 255.0)
                                # what was here gives way to the fill as the head moves off
                                f = (one - m) * share[y - y0, x - x0] * min(moved * part * F(OFF), one)
                            q0, q1, q2 = (one - m) * own0, (one - m) * own1, (one - m) * own2
                            if f > zero:
                                q0 += f * (F(plate[y - y0, x - x0, 0]) - own0)
                                q1 += f * (F(plate[y - y0, x - x0, 1]) - own1)
                                q2 += f * (F(plate[y - y0, x - x0, 2]) - own2)
                            if m > zero:
                                r0, r1, r2 = _cubic(picture, i, j, a, e)
                                q0, q1, q2 = q0 + m * r0, q1 + m * r1, q2 + m * r2
                            s = min((moved - F(0.02)) * F(1.0 / 0.48), one)
                            s = s * s * (F(3.0) - F(2.0) * s)
                            v0, v1, v2 = v0 + s * (q0 - v0), v1 + s * (q1 - v1), v2 + s * (q2 - v2)
                            if al > zero and kind[y - ay, x - ax] == 0:
                                gx = (gx + half - F(x0)) * part + F(pad) + half
                                gy = (gy + half - F(y0)) * part + F(pad) + half
                                m = min(m, _at(middle, gy, gx, 0))
                            hidden = one - s * (one - m)
                    if al > zero:  # what the photograph does not show of the face
                        al *= hidden + (one - hidden) * weight[y - ay, x - ax]
                    if al > zero:
                        i, j = y - ay, x - ax
                        same = zero
                        if weight[i, j] > F(0.999):
                            ox, oy = source[i, j, 0] - hx, source[i, j, 1] - hy
                            if ox * ox + oy * oy < F(0.0004):
                                same = one
                        if same == zero:
                            v0 += al * (colour[i, j, 0] * F(255.0) - v0)
                            v1 += al * (colour[i, j, 1] * F(255.0) - v1)
                            v2 += al * (colour[i, j, 2] * F(255.0) - v2)
                        else:
                            v0, v1, v2 = v0 + al * (own0 - v0), v1 + al * (own1 - v1), v2 + al * (own2 - v2)
                    frame[y, x, 0] = np.uint8(min(max(v0 + half, zero), F(255.0)))
                    frame[y, x, 1] = np.uint8(min(max(v1 + half, zero), F(255.0)))
                    frame[y, x, 2] = np.uint8(min(max(v2 + half, zero), F(255.0)))
