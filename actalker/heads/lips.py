"""The lips: their opening is set exactly, and closed lips meet along their whole line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .zips import COLUMNS, Zip, dense, rings, smoothstep

UPPER_RING, LOWER_RING = 8, 7  # edges from the mouth's hole to where the lips touch
LOWER = 0.66  # share of a correction that the lower lip takes
REACH = (0.3, 2.0)  # cm of skin over which a correction fades
MIDDLE = slice(COLUMNS // 2 - 2, COLUMNS // 2 + 3)
JAW = 0.45  # cm of a correction from which on the jaw goes along
LENS = np.sqrt(np.clip(1 - np.linspace(-1, 1, COLUMNS) ** 2, 0, 1))


@dataclass(frozen=True, eq=False)
class Lips:
    """The lips of a mesh of n vertices.

    zip: the rims at which the lips touch. away (n,): distance of a vertex from them on opened lips, cm; 9
    far from the mouth. jaw (n, 3): displacement by jawOpen = 1; jaw_gap: cm by which it opens the lips'
    middle.
    """

    zip: Zip
    away: np.ndarray
    jaw: np.ndarray
    jaw_gap: float

    @classmethod
    def of(
        cls, N: np.ndarray, jaw: np.ndarray, triangles: np.ndarray, face: np.ndarray, walls: np.ndarray
    ) -> Lips:
        """The lips of the neutral head N (n, 3).

        jaw (n, 3): displacement by jawOpen = 1. triangles (t, 3): of the skin. face, walls (n,) bool: the
        vertices of the skin and of the mouth's inside.
        """
        opened = N + 0.5 * jaw
        pairs, times = np.unique(_edges(triangles), axis=0, return_counts=True)
        hole = np.unique(pairs[times == 1])
        hole = hole[(np.abs(N[hole, 0]) < 2.5) & (np.abs(N[hole, 1] + 3.4) < 0.8) & (N[hole, 2] > 9)]
        ring = np.full(len(N), 99)
        from_hole = rings(triangles, hole, 12)
        ring[: len(from_hole)] = from_hole
        goes = jaw[:, 1] < -1.6
        upper, lower = (
            _across(N, np.flatnonzero(face & (ring == k) & (goes == below)))
            for k, below in ((UPPER_RING, False), (LOWER_RING, True))
        )
        near = np.flatnonzero(
            (face | walls) & (np.abs(N[:, 0]) < 4.5) & (np.abs(N[:, 1] + 3.6) < 3.4) & (N[:, 2] > 7.0)
        )
        rims = Zip.around(
            upper, lower, opened, near, low=goes[near], reach=REACH, beside=1.0, lower_share=LOWER
        )
        away = np.full(len(N), 9.0, np.float32)
        away[near] = np.where(
            goes[near], *(cKDTree(dense(opened[rim])).query(opened[near])[0] for rim in (lower, upper))
        )
        first = cls(rims, away, jaw.astype(np.float32), 1.0)
        gain = first.middle(opened) - first.middle(N)
        return cls(rims, away, first.jaw, 2 * gain)

    def middle(self, V: np.ndarray) -> float:
        """The gap in the middle of the lips, cm, of vertices V (n, 3); negative where they overlap."""
        return float(self.zip.columns(V)[1][MIDDLE, 0].mean())

    def set(self, V: np.ndarray, opening: float, open_jaw: float = 0.0) -> None:
        """Moves the lips of V (n, 3), in place, so that the gap in their middle is `opening` cm >= 0.

        The gap is nowhere negative and keeps its form: it shrinks everywhere in the same ratio, or grows by
        the form of a lens. open_jaw: the jawOpen in V. Where much has to be closed it is taken back, so that
        the chin is not squeezed.
        """
        middle = self.middle(V)
        if middle - opening > JAW and open_jaw > 0:
            back = min((middle - opening - JAW) / self.jaw_gap, open_jaw)
            V -= np.float32(back) * self.jaw
        x, gap = self.zip.columns(V)
        now = np.maximum(gap[:, 0], 0)
        middle = float(now[MIDDLE].mean())
        wanted = now * min(opening / middle, 1.0) if middle > 1e-6 else np.zeros(COLUMNS)
        if opening > 0:
            wanted = wanted + (opening - wanted[MIDDLE].mean()) / LENS[MIDDLE].mean() * LENS
        together = gap[:, 1] * np.clip(1 - wanted / np.maximum(now, 1e-3), 0, 1) * smoothstep(now, 0.0, 0.15)
        self.zip.correct(V, x, wanted, together)


def _edges(triangles: np.ndarray) -> np.ndarray:
    """Both ends of every side of every triangle (3 t, 2), the lower number first."""
    return np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)


def _across(N: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """The vertices of a rim, from the image's left to its right."""
    return rim[np.argsort(N[rim, 0])]
