"""A zip: two rims of skin, lips or lids, whose gap is measured in columns and set exactly.

Columns stand side by side across the rims; gaps are measured along the head's up. A correction moves the rims
and fades out over the skin around.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

COLUMNS = 41
TURNS = 8  # corrections at most until all columns are right: each moves a rim by the error at its vertices' x


@dataclass(frozen=True, eq=False)
class Zip:
    """Two rims and the skin that moves with them.

    upper, lower: indices of the rims' vertices, from the image's left to its right.
    moved (m,): indices of the vertices that a correction moves.
    falls (m,) in [0, 1]: the fraction of the rim's correction by which each of these vertices moves.
    low (m,) bool: True if the vertex follows the lower rim, else the upper one.
    lower_share: the fraction of a gap's correction that the lower rim makes; the upper rim makes the rest.
    """

    upper: np.ndarray
    lower: np.ndarray
    moved: np.ndarray
    falls: np.ndarray
    low: np.ndarray
    lower_share: float

    @classmethod
    def around(
        cls, upper: np.ndarray, lower: np.ndarray, N: np.ndarray, near: np.ndarray, low: np.ndarray,
        reach: tuple[float, float], beside: float, lower_share: float,
    ) -> Zip:  # fmt: skip
        """The zip of two rims that moves the vertices `near` (k,) around them.

        N (n, 3): the mesh with its rims parted, cm.
        low (k,) bool: True for vertices that follow the lower rim.
        reach: two distances from the rim, cm: up to the first vertices move fully, beyond the second not.
        beside: distance in x beyond the rims' ends, cm, over which the motion fades to nothing.
        lower_share: see `Zip`.
        """
        away = np.where(low, *(cKDTree(dense(N[rim])).query(N[near])[0] for rim in (lower, upper)))
        ends = min(N[upper[0], 0], N[lower[0], 0]), max(N[upper[-1], 0], N[lower[-1], 0])
        past = np.maximum(ends[0] - N[near, 0], N[near, 0] - ends[1])
        falls = smoothstep(away, reach[1], reach[0]) * smoothstep(past, beside, 0.0)
        rims = np.concatenate([upper, lower])
        falls[np.isin(near, rims)] = 1
        low = np.where(np.isin(near, rims), np.isin(near, lower), low)
        keep = falls > 1e-3
        return cls(
            upper,
            lower,
            moved=near[keep],
            falls=falls[keep].astype(np.float32),
            low=low[keep],
            lower_share=lower_share,
        )

    def columns(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The x (COLUMNS,) of the columns and their gaps (COLUMNS, 2) in y and z, cm, in vertices V."""
        U, L = forward(V[self.upper]), forward(V[self.lower])
        x = between(U, L)
        gap = [np.interp(x, U[:, 0], U[:, k]) - np.interp(x, L[:, 0], L[:, k]) for k in (1, 2)]
        return x, np.stack(gap, 1)

    def correct(self, V: np.ndarray, x: np.ndarray, wanted: np.ndarray, together: np.ndarray) -> None:
        """Sets the gap in y of the columns at x (COLUMNS,) to `wanted` (COLUMNS,), cm; changes V in place.

        together (COLUMNS,): cm by which the rims come nearer in z.
        """
        U, L = forward(V[self.upper]), forward(V[self.lower])
        total = np.zeros(len(x))
        for _ in range(TURNS):
            left = np.interp(x, U[:, 0], U[:, 1]) - np.interp(x, L[:, 0], L[:, 1]) - wanted
            total += left
            if np.abs(left).max() < 1e-4:
                break
            U[:, 1] -= (1 - self.lower_share) * np.interp(U[:, 0], x, left)
            L[:, 1] += self.lower_share * np.interp(L[:, 0], x, left)
        at = V[self.moved, 0]
        share = np.where(self.low, self.lower_share, self.lower_share - 1) * self.falls
        V[self.moved, 1] += (share * np.interp(at, x, total)).astype(V.dtype)
        V[self.moved, 2] += (share * np.interp(at, x, together)).astype(V.dtype)


def rings(triangles: np.ndarray, start: np.ndarray, count: int) -> np.ndarray:
    """How many edges each vertex (n,) is away from the vertices `start`, at most `count`."""
    away = np.full(int(triangles.max()) + 1, count)
    away[start] = 0
    for k in range(1, count):
        touched = triangles[(away[triangles] == k - 1).any(1)].ravel()
        away[touched] = np.minimum(away[touched], k)
    return away


def forward(line: np.ndarray) -> np.ndarray:
    """A rim (k, 3) in float64 with x made to increase, for a pucker can fold its ends."""
    line = line.astype(np.float64)
    line[:, 0] = np.maximum.accumulate(line[:, 0]) + 1e-7 * np.arange(len(line))
    return line


def between(U: np.ndarray, L: np.ndarray) -> np.ndarray:
    """The x (COLUMNS,) of columns across the part where two rims (k, 3) lie over each other."""
    return np.linspace(max(U[0, 0], L[0, 0]), min(U[-1, 0], L[-1, 0]), COLUMNS)


def dense(line: np.ndarray, times: int = 8) -> np.ndarray:
    """A line of points (k, 3) with `times` as many, interpolated between them."""
    t = np.linspace(0, len(line) - 1, (len(line) - 1) * times + 1)
    return np.stack([np.interp(t, np.arange(len(line)), line[:, k]) for k in range(3)], 1)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, a smooth cubic between; with low > high it falls instead."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
