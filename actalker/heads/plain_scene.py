"""The scene's kernels in numpy, for machines without numba. See `kernels` and `compiled_scene`.

`layers` and `cover` also serve `scene.Scene.origin`, which says where each pixel of a frame comes from.
"""

from __future__ import annotations

import numpy as np

F = np.float32
Box = tuple[int, int, int, int]
Part = tuple[slice, slice]  # rows, columns


def _at(grid: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A grid (h, w, k), read bilinearly at places (...,) in its own cells, clamped to the edge: (..., k)."""
    h, w = grid.shape[:2]
    v, u = np.clip(y - F(0.5), F(0), F(h - 1)), np.clip(x - F(0.5), F(0), F(w - 1))
    i, j = np.minimum(v.astype(int), max(h - 2, 0)), np.minimum(u.astype(int), max(w - 2, 0))
    a, b = (v - i.astype(F))[..., None], (u - j.astype(F))[..., None]
    i1, j1 = np.minimum(i + 1, h - 1), np.minimum(j + 1, w - 1)
    top = grid[i, j] + (grid[i, j1] - grid[i, j]) * b
    low = grid[i1, j] + (grid[i1, j1] - grid[i1, j]) * b
    return top + (low - top) * a


def _cubic(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """An image (h, w, k) in [0, 255], read at places (...,) by the cubic of `compiled_scene`: (..., k)."""
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


def _weights(t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The cubic's weights of four neighbours at t in [0, 1) between the middle two (Keys, a = -1)."""
    k, s = F(-1), F(1) - t
    first, last = k * t * s * s, k * s * t * t
    second = F(1) - (k + F(3)) * t * t + (k + F(2)) * t * t * t
    return first, second, F(1) - first - second - last, last


def fill(image: np.ndarray, maps: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the filled image (h, w, 3) uint8 and the opacity of the fill (h, w); see `kernels.fill`."""
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
    original = image.astype(F)
    value = original + share[..., None] * (value - original)
    out = np.clip(value + F(0.5), 0, 255).astype(np.uint8)
    return np.where(share[..., None] > 0, out, image), share


def inverse(nodes: np.ndarray, moved: np.ndarray, step: int) -> np.ndarray:
    """The places (r, c, 2) whose content lies at the nodes after they moved; see `kernels.inverse`."""
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


def places(sources: np.ndarray, step: int, pad: int, h: int, w: int) -> np.ndarray:
    """The photograph's pixels (h, w, 2) that the sheet shows in the box, from its nodes' (r, c, 2)."""
    grid = sources[pad:, pad:]
    t, b = (np.arange(h) % step).astype(F) + F(0.5), (np.arange(w) % step).astype(F) + F(0.5)
    t, b = (t * (F(1) / F(step)))[:, None, None], (b * (F(1) / F(step)))[None, :, None]
    i, j = np.arange(h) // step, np.arange(w) // step
    corner = [grid[np.ix_(i + a, j + e)] for a in (0, 1) for e in (0, 1)]
    left, right = corner[0] + (corner[2] - corner[0]) * t, corner[1] + (corner[3] - corner[1]) * t
    return left + (right - left) * b


def layers(
    picture: np.ndarray,
    share: np.ndarray,
    sources: np.ndarray,
    step: int,
    pad: int,
    bounds: Box,
    x0: int,
    y0: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what the sheet and the ground show at each pixel of the box (h, w) that begins at x0, y0.

    picture, share, step, pad: fields of `kernels.Behind`; bounds: its `inside`. sources (r, c, 2): for each
    node of the grid, the place in the photograph that the sheet shows there.

    Returns:
        there (h, w, 2): the place in the photograph that the sheet shows.
        person (h, w) in [0, 1]: coverage by the person at that place.
        filled (h, w) in [0, 1]: opacity of the filled ground.
        s (h, w) in [0, 1]: smooth step of the distance from the pixel to `there`: 0 up to 0.02 pixels, 1 from
            0.5 pixels on.
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


def cover(
    there: np.ndarray,
    person: np.ndarray,
    s: np.ndarray,
    middle: np.ndarray,
    step: int,
    pad: int,
    x0: int,
    y0: int,
    alpha: np.ndarray,
    weight: np.ndarray,
    kind: np.ndarray,
    calm: np.float32,
) -> np.ndarray:
    """Return the opacity (h, w) in [0, 1] with which the face's layer is drawn over the sheet, in its box.

    there, person, s: results of `layers`, cut to the layer's box.
    middle, step, pad: fields of `kernels.Behind`; x0, y0: its `corner`.
    alpha, weight, kind: fields of the `FaceLayer`.
    calm in [0, 1]: how much the mouth's inside is left to the sheet, see `kernels.compose`.
    """
    at = (there - (F(x0), F(y0))) * (F(1) / F(step)) + F(pad) + F(0.5)
    inner = np.where(kind == 0, np.minimum(person, _at(middle, at[..., 1], at[..., 0])[..., 0]), person)
    hidden = F(1) - s * (F(1) - inner)
    alpha = np.where(kind == 1, alpha * (F(1) - calm), alpha)
    return alpha * (hidden + (F(1) - hidden) * weight)


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
    bounds: Box,
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
    """Draws ground, sheet and face into `frame` (H, W, 3) uint8, in place; see `kernels.compose`.

    picture, plate, share, step, pad, cells, middle: fields of `kernels.Behind`; bounds: its `inside`.
    x0, y0: left top corner of the scene's box; ax, ay: left top corner of the face layer's box.
    alpha, colour, source, weight, kind: fields of the `FaceLayer`.
    """
    h, w = share.shape
    there, person, filled, s = layers(
        picture, share, sources, step=step, pad=pad, bounds=bounds, x0=x0, y0=y0
    )
    original = picture[y0 : y0 + h, x0 : x0 + w, :3].astype(F)
    below = (1 - person)[..., None] * original + filled[..., None] * (plate.astype(F) - original)
    below += person[..., None] * _cubic(picture[..., :3].astype(F), there[..., 1], there[..., 0])
    value = original + s[..., None] * (below - original)
    # the face's box within this one
    part, face = overlap((x0, y0, w, h), (ax, ay, alpha.shape[1], alpha.shape[0]))
    v, o = value[part], original[part]
    shown = cover(
        there[part], person[part], s[part], middle=middle, step=step, pad=pad, x0=x0, y0=y0,
        alpha=alpha[face], weight=weight[face], kind=kind[face], calm=calm,
    )  # fmt: skip
    al = shown[..., None]
    here = np.stack(np.meshgrid(np.arange(v.shape[1], dtype=F), np.arange(v.shape[0], dtype=F)), -1)
    here += (F(x0 + part[1].start + 0.5), F(y0 + part[0].start + 0.5))
    same = (weight[face] > F(0.999)) & (((source[face] - here) ** 2).sum(-1) < F(0.0004))
    value[part] = v + al * (np.where(same[..., None], o, colour[face] * F(255)) - v)
    frame[y0 : y0 + h, x0 : x0 + w] = np.clip(value + F(0.5), 0, 255).astype(np.uint8)


def sized(box: Box) -> Box:
    """A box x0, y0, x1, y1 as x0, y0, w, h."""
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def overlap(box: Box, other: Box) -> tuple[Part, Part]:
    """The common part of two boxes x, y, w, h, as rows and columns of the one and of the other."""
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, low = min(box[0] + box[2], other[0] + other[2]), min(box[1] + box[3], other[1] + other[3])
    first, second = (
        (slice(top - y, max(low, top) - y), slice(left - x, max(right, left) - x))
        for x, y in (box[:2], other[:2])
    )
    return first, second
