"""The head's kernels in numpy, for machines without numba: the same results, slowly. See `kernels`."""

from __future__ import annotations

import numpy as np

EDGE = np.float32(-1e-5)


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
    """Draws triangles (t, 3) into the arrays `triangle`, `corner` and `near` of a `kernels.Raster`.

    x0, y0: where its box begins. places (n, 2): the vertices, pixels; nearness (n,): 1 / depth; cull (t,)
    bool: skip a triangle that shows its back.
    """
    h, w = triangle.shape
    shifted = places - np.array([x0, y0], np.float32)
    for t, (pa, pb, pc) in enumerate(shifted[triangles]):
        (xa, ya), (xb, yb), (xc, yc) = pa, pb, pc
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area > -1e-6 and (cull[t] or area < 1e-6):
            continue
        left, right = (
            max(int(np.floor(min(xa, xb, xc) - 0.5)), 0),
            min(int(np.ceil(max(xa, xb, xc) + 0.5)), w),
        )
        top, low = max(int(np.floor(min(ya, yb, yc) - 0.5)), 0), min(int(np.ceil(max(ya, yb, yc) + 0.5)), h)
        if left >= right or top >= low:
            continue
        px = (np.arange(left, right, dtype=np.float32) + np.float32(0.5))[None]
        py = (np.arange(top, low, dtype=np.float32) + np.float32(0.5))[:, None]
        u = ((xb - px) * (yc - py) - (xc - px) * (yb - py)) / area
        v = ((xc - px) * (ya - py) - (xa - px) * (yc - py)) / area
        rest = 1 - u - v
        na, nb, nc = nearness[triangles[t]]
        iz = u * na + v * nb + rest * nc
        block = (slice(top, low), slice(left, right))
        wins = (u >= EDGE) & (v >= EDGE) & (rest >= EDGE) & (iz > near[block])
        near[block][wins] = iz[wins]
        triangle[block][wins] = t
        corner[block][wins] = np.stack([u, v], 2)[wins]


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
    i, j = np.nonzero(triangle >= 0)
    t = triangles[triangle[i, j]]
    u, v = corner[i, j].T
    weights = np.stack([u, v, 1 - u - v], 1) * nearness[t] / near[i, j][:, None]
    out[i, j] = (weights[..., None] * values[t]).sum(1)


def bilinear(image: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    """Reads an image (H, W, c) at places (m, 2), pixels, clamped to the border, into out (m, c)."""
    height, width = image.shape[:2]
    x = np.clip(places[:, 0] - np.float32(0.5), 0, width - 1)
    y = np.clip(places[:, 1] - np.float32(0.5), 0, height - 1)
    j, i = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    b, a = (x - j)[:, None], (y - i)[:, None]
    top = image[i, j] + b * (image[i, j + 1] - image[i, j])
    low = image[i + 1, j] + b * (image[i + 1, j + 1] - image[i + 1, j])
    out[:] = top + a * (low - top)


def normals(vertices: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    """Adds the triangles' normals, weighted by area, to their vertices in out (n, 3): not of unit length."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    n = np.cross(b - a, c - a)
    for k in range(3):
        np.add.at(out, triangles[:, k], n)


def areas(places: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    """Writes the triangles' areas on screen, negative where they face the camera, into out (t,)."""
    a, b, c = (places[triangles[:, k]] for k in range(3))
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    out[:] = 0.5 * (x1 * y2 - x2 * y1)


def unstretched(
    places: np.ndarray, triangles: np.ndarray, areas: np.ndarray, most: np.ndarray, out: np.ndarray
) -> None:
    """Multiplies out (n,), in place, by the number of triangles at each vertex that have not stretched.

    Triangle t counts 1 while ratio = area / areas[t] is at most most[t], 0 from 2 most[t] on, a smooth cubic
    between. With out = 1 / (number of triangles at the vertex) the result is a mean; see
    `kernels.unstretched`.
    places (n, 2): the vertices now, pixels.
    areas (t,): areas of the triangles before, as `areas` computes them.
    most (t,): largest ratio of a triangle that counts fully.
    """
    a, b, c = (places[triangles[:, k]] for k in range(3))
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    s = np.clip(0.5 * (x1 * y2 - x2 * y1) / np.minimum(areas, np.float32(-1e-3)) / most - 1, 0, 1)
    s = np.repeat(1 - s * s * (3 - 2 * s), 3)
    out *= np.bincount(triangles.ravel(), s, len(out)).astype(np.float32)
