"""The z-buffer of the model's own pictures. Needs numba at import."""

import numba
import numpy as np


@numba.njit(cache=True)
def fill(xy, z, triangles, which, place):  # type: ignore[no-untyped-def]
    """The nearest front-facing triangle of each pixel, and the weights of its corners on the surface."""
    h, w = which.shape
    depth = np.full((h, w), np.inf, np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, bx, by, cx, cy = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area > -1e-9:
            continue
        for i in range(max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)) + 1, h)):
            for j in range(max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)) + 1, w)):
                x, y = j + 0.5, i + 0.5
                u = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area / z[a]
                v = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area / z[b]
                k = ((ax - x) * (by - y) - (bx - x) * (ay - y)) / area / z[c]
                if u < 0 or v < 0 or k < 0:
                    continue
                away = 1 / (u + v + k)
                if away < depth[i, j]:
                    depth[i, j] = away
                    which[i, j] = t
                    place[i, j, 0], place[i, j, 1], place[i, j, 2] = u * away, v * away, k * away
