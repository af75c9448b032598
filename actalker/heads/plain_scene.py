"""The scene's kernels in numpy, for machines without numba; `compiled_scene` says what each one does.

`layers` also says, on request, where each pixel of a frame comes from.
"""

from __future__ import annotations

import numpy as np

F = np.float32


def _at(grid, y, x):
    """grid (h, w, k) at places of its own cells (...,), bilinear, held at the edge: (..., k)."""
    h, w = grid.shape[:2]
    v, u = np.clip(y - F(0.5), F(0), F(h - 1)), np.clip(x - F(0.5), F(0), F(w - 1))
    i, j = np.minimum(v.astype(int), max(h - 2, 0)), np.minimum(u.astype(int), max(w - 2, 0))
    a, b = (v - i.astype(F))[..., None], (u - j.astype(F))[..., None]
    i1, j1 = np.minimum(i + 1, h - 1), np.minimum(j + 1, w - 1)
    top = grid[i, j] + (grid[i, j1] - grid[i, j]) * b
    low = grid[i1, j] + (grid[i1, j1] - grid[i1, j]) * b
    return top + (low - top) * a


def _cubic(image, y, x):
    """image (h, w, k) in 0 to 255 at places (...,), by the cubic of `compiled_scene`: (..., k)."""
    h, w = image.shape[:2]
    v, u = np.clip(y - F(0.5), F(0), F(h - 1)), np.clip(x - F(0.5), F(0), F(w - 1))
    i, j = np.minimum(v.astype(int), max(h - 2, 0)), np.minimum(u.astype(int), max(w - 2, 0))
    out = np.zeros((*y.shape, image.shape[2]), F)
    b = u - j.astype(F)
    middle = np.zeros_like(b), F(1) - b, b, np.zeros_like(b)
    for row, down in enumerate(_weights(v - i.astype(F))):
        for column, across in enumerate(_weights(b) if row in (1, 2) else middle):
            at = np.clip(i - 1 + row, 0, h - 1), np.clip(j - 1 + column, 0, w - 1)
            out += (down * across)[..., None] * image[at]
    return np.clip(out, 0, 255)


def _weights(t):
    k, s = F(-1), F(1) - t
    first, last = k * t * s * s, k * s * t * t
    second = F(1) - (k + F(3)) * t * t + (k + F(2)) * t * t * t
    return first, second, F(1) - first - second - last, last


def fill(image, maps, step):
    h, w = image.shape[:2]
    scale = F(1.0 / step)
    y, x = np.meshgrid(
        (np.arange(h, dtype=F) + F(0.5)) * scale, (np.arange(w, dtype=F) + F(0.5)) * scale, indexing="ij"
    )
    here = _at(maps, y, x)
    share = np.where(here[..., 6] > F(0.004), here[..., 6], F(0))
    qx = np.arange(w, dtype=F) + F(0.5) + here[..., 3]
    qy = np.arange(h, dtype=F)[:, None] + F(0.5) + here[..., 4]
    inside = (qx >= 0) & (qy >= 0) & (qx < w) & (qy < h)
    qx, qy = np.where(inside, qx, F(0)), np.where(inside, qy, F(0))
    there = _at(maps, qy * scale, qx * scale)
    seen = np.where(inside, there[..., 5], F(0))[..., None]
    grain = image[qy.astype(int), qx.astype(int)].astype(F) - there[..., :3]
    value = here[..., :3] + seen * np.clip(grain, F(-6), F(6))
    own = image.astype(F)
    value = own + share[..., None] * (value - own)
    out = np.clip(value + F(0.5), 0, 255).astype(np.uint8)
    return np.where(share[..., None] > 0, out, image), share


def inverse(nodes, moved, step):
    rows, columns = nodes.shape[:2]
    out = nodes.copy()
    grid = (moved - nodes[0, 0]) * (F(1.0) / F(step))
    corners = (grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:])
    origins = (nodes[:-1, :-1], nodes[:-1, 1:], nodes[1:, :-1], nodes[1:, 1:])
    for half in (1, 2):
        (ax, ay), (bx, by), (cx, cy) = (np.moveaxis(corners[k].reshape(-1, 2), 1, 0) for k in (0, half, 3))
        start, middle, end = (origins[k].reshape(-1, 2) for k in (0, half, 3))
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        flat = np.abs(area) < F(1e-6)
        part = F(1.0) / np.where(flat, F(1), area)
        top, left = (
            np.ceil(np.minimum(np.minimum(a, b), c) - F(1e-4)).astype(int)
            for a, b, c in ((ay, by, cy), (ax, bx, cx))
        )
        low, right = (
            np.floor(np.maximum(np.maximum(a, b), c) + F(1e-4)).astype(int)
            for a, b, c in ((ay, by, cy), (ax, bx, cx))
        )
        for dv in range(int((low - top).max()) + 1):
            for du in range(int((right - left).max()) + 1):
                v, u = top + dv, left + du
                px, py = u.astype(F), v.astype(F)
                wa = ((bx - px) * (cy - py) - (cx - px) * (by - py)) * part
                wb = ((cx - px) * (ay - py) - (ax - px) * (cy - py)) * part
                wc = F(1.0) - wa - wb
                hit = ~flat & (np.minimum(np.minimum(wa, wb), wc) >= F(-1e-4)) & (v <= low) & (u <= right)
                hit &= (v >= 0) & (v < rows) & (u >= 0) & (u < columns)
                value = wa[:, None] * start + wb[:, None] * middle + wc[:, None] * end
                out[v[hit], u[hit]] = value[hit]
    return out


def places(sources, step, pad, h, w):
    """What the sheet shows at the pixels of the box: (h, w, 2) from the grid's (r, c, 2)."""
    grid = sources[pad:, pad:]
    t, b = (np.arange(h) % step).astype(F) + F(0.5), (np.arange(w) % step).astype(F) + F(0.5)
    t, b = (t * (F(1) / F(step)))[:, None, None], (b * (F(1) / F(step)))[None, :, None]
    i, j = np.arange(h) // step, np.arange(w) // step
    corner = [grid[np.ix_(i + a, j + e)] for a in (0, 1) for e in (0, 1)]
    left, right = corner[0] + (corner[2] - corner[0]) * t, corner[1] + (corner[3] - corner[1]) * t
    return left + (right - left) * b


def layers(picture, share, sources, step, pad, bounds, x0, y0):
    """Of the box's pixels: what the sheet shows there (h, w, 2); how much of the person that is; how much of
    the filled ground is seen; how far a pixel has left the photograph's own behind: (h, w) each.
    """
    h, w = share.shape
    there = places(sources, step, pad, h, w)
    here = np.stack(np.meshgrid(np.arange(w, dtype=F) + F(x0 + 0.5), np.arange(h, dtype=F) + F(y0 + 0.5)), -1)
    moved = np.sqrt(((there - here) ** 2).sum(-1))
    low, high = (np.array(corner, F) for corner in (bounds[:2], bounds[2:]))
    inside = np.minimum(there - low, high - there).min(-1)
    there = np.clip(there, low + F(0.5), high - F(0.5))
    person = _at(picture[..., 3:].astype(F), there[..., 1], there[..., 0])[..., 0]
    person = person * np.clip(inside + F(1), 0, 1).astype(F) * F(1 / 255)
    filled = (1 - person) * share * np.minimum(moved * F(3 / step), F(1))
    s = np.clip((moved - F(0.02)) * F(1 / 0.48), 0, 1)
    s = s * s * (F(3) - F(2) * s)
    return there, person, filled, s


def cover(there, person, s, middle, step, pad, x0, y0, alpha, weight, kind, calm):
    """How far the face's layer covers the sheet: (h, w), all of the layer's box."""
    at = (there - (F(x0), F(y0))) * (F(1) / F(step)) + F(pad) + F(0.5)
    inner = np.where(kind == 0, np.minimum(person, _at(middle, at[..., 1], at[..., 0])[..., 0]), person)
    held = F(1) - s * (F(1) - inner)
    alpha = np.where(kind == 1, alpha * (F(1) - calm), alpha)
    return alpha * (held + (F(1) - held) * weight)


def compose(
    frame,
    picture,
    plate,
    share,
    sources,
    step,
    pad,
    cells,
    middle,
    bounds,
    x0,
    y0,
    alpha,
    colour,
    source,
    weight,
    kind,
    calm,
    ax,
    ay,
):
    h, w = share.shape
    there, person, filled, s = layers(picture, share, sources, step, pad, bounds, x0, y0)
    own = picture[y0 : y0 + h, x0 : x0 + w, :3].astype(F)
    below = (1 - person)[..., None] * own + filled[..., None] * (plate.astype(F) - own)
    below += person[..., None] * _cubic(picture[..., :3].astype(F), there[..., 1], there[..., 0])
    value = own + s[..., None] * (below - own)
    # the face's box within this one
    part, face = overlap((x0, y0, w, h), (ax, ay, alpha.shape[1], alpha.shape[0]))
    v, o = value[part], own[part]
    shown = cover(
        there[part],
        person[part],
        s[part],
        middle,
        step,
        pad,
        x0,
        y0,
        alpha[face],
        weight[face],
        kind[face],
        calm,
    )
    al = shown[..., None]
    here = np.stack(np.meshgrid(np.arange(v.shape[1], dtype=F), np.arange(v.shape[0], dtype=F)), -1)
    here += (F(x0 + part[1].start + 0.5), F(y0 + part[0].start + 0.5))
    same = (weight[face] > F(0.999)) & (((source[face] - here) ** 2).sum(-1) < F(0.0004))
    value[part] = v + al * (np.where(same[..., None], o, colour[face] * F(255)) - v)
    frame[y0 : y0 + h, x0 : x0 + w] = np.clip(value + F(0.5), 0, 255).astype(np.uint8)


def sized(box):
    """A box (x0, y0, x1, y1) as (x0, y0, w, h)."""
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def overlap(box, other):
    """Where two boxes (x, y, w, h) meet, as slices of the one and of the other."""
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, low = min(box[0] + box[2], other[0] + other[2]), min(box[1] + box[3], other[1] + other[3])
    return tuple(
        (slice(top - y, max(low, top) - y), slice(left - x, max(right, left) - x))
        for x, y in (box[:2], other[:2])
    )
