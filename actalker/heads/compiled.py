"""The head's kernels, compiled by numba; `plain` holds the same in numpy. Call them through `kernels`.

One thread, and no sum that the compiler may rearrange (`FINITE`): the same bytes on every run. Letters: h, w
the box's pixels, n vertices, t triangles, c channels. Pixel (i, j) of a box has its centre at x0 + j + .5,
y0 + i + .5.
"""

from __future__ import annotations

import numba
import numpy as np

# What the compiler may assume: numbers are finite. It may not reorder or fuse, as `fastmath=True` lets it: a
# function that kernels call is compiled into each of them, differently, and which of its copies runs depends
# on what came from numba's cache. The cache does not notice a change of this line.
FINITE = {"nnan", "ninf"}
EDGE = np.float32(-1e-5)  # a pixel's centre on the edge of two triangles belongs to one of them at least


@numba.njit(cache=True, fastmath=FINITE)
def span(
    value: np.float32,
    growth: np.float32,
    first: np.float32,
    last: np.float32,
) -> tuple[np.float32, np.float32]:
    """The range of steps within first to last over which value + step * growth is not below EDGE."""
    if growth > np.float32(1e-9):
        return max(first, (EDGE - value) / growth), last
    if growth < np.float32(-1e-9):
        return first, min(last, (EDGE - value) / growth)
    return (first, last) if value >= EDGE else (np.float32(1), np.float32(0))


@numba.njit(cache=True, fastmath=FINITE)
def rasterise(
    places: np.ndarray,
    nearness: np.ndarray,
    triangles: np.ndarray,
    x0: int,
    y0: int,
    cull: np.ndarray,
    triangle: np.ndarray,
    corner: np.ndarray,
    near: np.ndarray,
) -> None:
    """Draws triangles (t, 3) into `triangle`, `corner` and `near` of a `kernels.Raster`, in place.

    x0, y0: where its box begins. places (n, 2): the vertices, pixels; nearness (n,): 1 / depth; cull (t,)
    bool: skip a triangle that shows its back.
    """
    h, w = triangle.shape
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        xa, ya = places[a, 0] - x0, places[a, 1] - y0
        xb, yb = places[b, 0] - x0, places[b, 1] - y0
        xc, yc = places[c, 0] - x0, places[c, 1] - y0
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area > np.float32(-1e-6) and (cull[t] or area < np.float32(1e-6)):
            continue
        left = max(int(np.floor(min(xa, xb, xc) - np.float32(0.5))), 0)
        right = min(int(np.ceil(max(xa, xb, xc) + np.float32(0.5))), w)
        top = max(int(np.floor(min(ya, yb, yc) - np.float32(0.5))), 0)
        low = min(int(np.ceil(max(ya, yb, yc) + np.float32(0.5))), h)
        if left >= right or top >= low:
            continue
        inverse = np.float32(1) / area
        ux = (yb - yc) * inverse
        vx = (yc - ya) * inverse
        wx = -ux - vx
        px = left + np.float32(0.5)
        na, nb, nc = nearness[a], nearness[b], nearness[c]
        across = ux * na + vx * nb + wx * nc
        for i in range(top, low):
            py = i + np.float32(0.5)
            u = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) * inverse
            v = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) * inverse
            rest = np.float32(1) - u - v
            first, last = span(u, ux, np.float32(0), np.float32(right - left - 1))
            first, last = span(v, vx, first, last)
            first, last = span(rest, wx, first, last)
            if first > last:
                continue
            j0, j1 = int(np.ceil(first)), int(np.floor(last))
            iz = u * na + v * nb + rest * nc
            for k in range(j0, j1 + 1):
                z = iz + k * across
                j = left + k
                if z > near[i, j]:
                    near[i, j] = z
                    triangle[i, j] = t
                    corner[i, j, 0] = u + k * ux
                    corner[i, j, 1] = v + k * vx


@numba.njit(cache=True, fastmath=FINITE)
def interpolate(
    triangle: np.ndarray,
    corner: np.ndarray,
    near: np.ndarray,
    triangles: np.ndarray,
    nearness: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
) -> None:
    """Writes vertices' values (n, c) at a raster's pixels into out (h, w, c), correct in perspective."""
    h, w = triangle.shape
    for i in range(h):
        for j in range(w):
            t = triangle[i, j]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v = corner[i, j, 0], corner[i, j, 1]
            z = np.float32(1) / near[i, j]
            wa, wb = u * nearness[a] * z, v * nearness[b] * z
            wc = (np.float32(1) - u - v) * nearness[c] * z
            for k in range(values.shape[1]):
                out[i, j, k] = wa * values[a, k] + wb * values[b, k] + wc * values[c, k]


@numba.njit(cache=True, fastmath=FINITE)
def bilinear(image: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    """Reads an image (H, W, c) at places (m, 2), pixels, clamped to the border, into out (m, c)."""
    height, width, channels = image.shape
    for n in range(len(places)):
        x = min(max(places[n, 0] - np.float32(0.5), np.float32(0)), np.float32(width - 1))
        y = min(max(places[n, 1] - np.float32(0.5), np.float32(0)), np.float32(height - 1))
        j, i = min(int(x), width - 2), min(int(y), height - 2)
        b, a = x - j, y - i
        for k in range(channels):
            top = image[i, j, k] + b * (image[i, j + 1, k] - image[i, j, k])
            low = image[i + 1, j, k] + b * (image[i + 1, j + 1, k] - image[i + 1, j, k])
            out[n, k] = top + a * (low - top)


@numba.njit(cache=True, fastmath=FINITE)
def normals(vertices: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    """Adds the triangles' normals, weighted by area, to their vertices in out (n, 3): not of unit length."""
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x1, y1, z1 = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        x2, y2, z2 = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz


@numba.njit(cache=True, fastmath=FINITE)
def areas(places: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    """Writes the triangles' areas on screen, negative where they face the camera, into out (t,)."""
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        out[t] = np.float32(0.5) * (
            (places[b, 0] - places[a, 0]) * (places[c, 1] - places[a, 1])
            - (places[c, 0] - places[a, 0]) * (places[b, 1] - places[a, 1])
        )


@numba.njit(cache=True, fastmath=FINITE)
def unstretched(
    places: np.ndarray,
    triangles: np.ndarray,
    areas: np.ndarray,
    most: np.ndarray,
    out: np.ndarray,
) -> None:
    """Multiplies out (n,), in place, by the number of triangles at each vertex that have not stretched.

    Triangle t counts 1 while ratio = area / areas[t] is at most most[t], 0 from 2 most[t] on, a smooth cubic
    between. With out = 1 / (number of triangles at the vertex) the result is a mean; see
    `kernels.unstretched`.
    places (n, 2): the vertices now, pixels.
    areas (t,): areas of the triangles before, as `areas` computes them.
    most (t,): largest ratio of a triangle that counts fully.
    """
    sums = np.zeros(len(out), np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = np.float32(0.5) * (
            (places[b, 0] - places[a, 0]) * (places[c, 1] - places[a, 1])
            - (places[c, 0] - places[a, 0]) * (places[b, 1] - places[a, 1])
        )
        s = min(
            max(area / min(areas[t], np.float32(-1e-3)) / most[t] - np.float32(1), np.float32(0)),
            np.float32(1),
        )
        s = np.float32(1) - s * s * (np.float32(3) - np.float32(2) * s)
        for v in (a, b, c):
            sums[v] += s
    for v in range(len(out)):
        out[v] *= sums[v]
