"""The lids of an eye: their opening is set exactly in all columns, first by the blink's shape, then by a zip.

The rims of the mesh's holes are not the visible edges of the lids: those lie three mesh edges further out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .zips import COLUMNS, Zip, dense, forward, rings, smoothstep

RING = 3  # edges from the eye's hole to the visible edges of the lids
LOWER = 0.25  # share of the zip's correction that the lower lid takes
REACH = (0.12, 0.75)  # cm of skin over which the correction fades
MOST = 1.35  # of the blink's shape: the most that a column gets
TURNS = 3  # Newton steps


@dataclass(frozen=True, eq=False)
class Lids:
    """The lids of one eye, on a mesh of n vertices.

    index: index of the eye's blink among the coefficients.
    zip: the visible edges of the upper and the lower lid as a zip.
    moved (m,): indices of the vertices that the blink moves.
    shape (m, 3): displacement of the vertices `moved` by a full blink, cm.
    edges: the same displacement for the vertices of `zip.upper` and of `zip.lower`, (k, 3) each.
    skin (n,) in [0, 1]: weight of the upper lid's skin, which only a shut eye shows.
    drop (n,): how far a full blink lowers a vertex, cm.
    above, below (n,): distance to the upper and to the lower lid's edge, cm.
    across (n,): position across the eye, from -1 at the corner with the smaller x to 1 at the other.
    near (k,): indices of the vertices in a box around the eye.
    over (n,) 0 or 1: 1 on the skin of the upper lid and above it.
    under (n,) in [0, 1]: weight of the skin close below the eye, on which the lashes of a shut eye lie.
    hidden (n,) in [0, 1]: weight of skin that looks different in a shut eye than in the photograph.
    """

    index: int
    zip: Zip
    moved: np.ndarray
    shape: np.ndarray
    edges: tuple[np.ndarray, np.ndarray]
    skin: np.ndarray
    drop: np.ndarray
    above: np.ndarray
    below: np.ndarray
    across: np.ndarray
    near: np.ndarray
    over: np.ndarray
    under: np.ndarray
    hidden: np.ndarray

    @classmethod
    def of(
        cls,
        N: np.ndarray,
        blink: np.ndarray,
        index: int,
        triangles: np.ndarray,
        hole: np.ndarray,
        face: np.ndarray,
    ) -> Lids:
        """Make the lids around one eye's hole in the mesh of the neutral head N (n, 3), cm.

        blink (n, 3): displacement of the vertices by a full blink of this eye, cm.
        index: index of the blink's coefficient.
        triangles (t, 3): the skin's triangles.
        hole: indices of the vertices around the hole.
        face (n,) bool: True for vertices of the face's skin.
        """
        ring = np.full(len(N), 99)
        from_hole = rings(triangles, hole, 8)
        ring[: len(from_hole)] = from_hole
        loop = np.flatnonzero(face & (ring == RING))
        left, right = loop[N[loop, 0].argmin()], loop[N[loop, 0].argmax()]
        line = np.interp(N[loop, 0], [N[left, 0], N[right, 0]], [N[left, 1], N[right, 1]])
        over = N[loop, 1] > line
        ends = np.isin(loop, [left, right])
        upper, lower = (rim[np.argsort(N[rim, 0])] for rim in (loop[over | ends], loop[~over | ends]))
        inner = (upper != left) & (upper != right)
        upper = upper[inner]  # the corners belong to the lower edge: a vertex moves with one of them
        edges = [cKDTree(dense(N[edge])).query(N) for edge in (upper, lower)]
        middle = N[loop].mean(0)
        near = np.flatnonzero(face & (np.abs(N - middle) < [2.2, 1.6, 3.0]).all(1))
        low = edges[1][0][near] < edges[0][0][near]
        drop = np.where(face, -blink[:, 1], 0)
        is_upper = (N[:, 1] > dense(N[upper])[edges[0][1], 1] - 0.25) | (drop > 0.1)
        skin = np.maximum(smoothstep(drop, 0.3, 0.7), smoothstep(edges[0][0], 0.9, 0.25)) * is_upper * face
        moved = np.flatnonzero(
            (np.abs(blink).max(1) > 1e-3) & face & (np.linalg.norm(N - middle, axis=1) < 4.5)
        )
        under = np.minimum(1.4 * smoothstep(edges[1][0], 0.3, 0.03), 1) * ~is_upper * face
        half = (N[right, 0] - N[left, 0]) / 2
        return cls(
            index=index,
            zip=Zip.around(upper, lower, N, near, low=low, reach=REACH, beside=0.4, lower_share=LOWER),
            moved=moved,
            shape=blink[moved].astype(np.float64),
            edges=(blink[upper].astype(np.float64), blink[lower].astype(np.float64)),
            skin=skin.astype(np.float32),
            drop=drop.astype(np.float32),
            above=np.where(face, edges[0][0], 9).astype(np.float32),
            below=np.where(face, edges[1][0], 9).astype(np.float32),
            across=((N[:, 0] - N[left, 0] - half) / half).astype(np.float32),
            near=near,
            over=(is_upper * face).astype(np.float32),
            under=under.astype(np.float32),
            hidden=np.maximum(
                skin * smoothstep(edges[0][0], 0.1, 0.3), smoothstep(edges[1][0], 0.32, 0.14) * face
            ).astype(np.float32),
        )

    def opening(self, V: np.ndarray) -> np.ndarray:
        """The opening (COLUMNS,) of vertices V (n, 3), cm; negative where the lids overlap."""
        return self.zip.columns(V)[1][:, 0]

    def shut(self, V: np.ndarray, share: float) -> None:
        """Moves vertices V (n, 3), in place, so that the opening becomes (1 - share) times what it is.

        A share of 1 shuts the eye along its whole line; a negative share opens it wider.
        """
        wanted = np.maximum(self.opening(V), 0) * (1 - share)
        rims = (self.zip.upper, self.zip.lower)
        U, L = (V[rim].astype(np.float64) for rim in rims)
        t = np.linspace(-1, 1, COLUMNS)
        more = np.zeros(COLUMNS)

        def gap(more: np.ndarray) -> np.ndarray:
            """The opening (COLUMNS,) after so much more of the blink's shape in every column."""
            up, down = (
                forward(edge + np.interp(self.across[rim], t, more)[:, None] * move)
                for edge, rim, move in zip((U, L), rims, self.edges, strict=True)
            )
            x = np.linspace(max(up[0, 0], down[0, 0]), min(up[-1, 0], down[-1, 0]), COLUMNS)
            return np.interp(x, up[:, 0], up[:, 1]) - np.interp(x, down[:, 0], down[:, 1])

        for _ in range(TURNS):
            now = gap(more)
            slope = np.minimum((gap(more + 0.1) - now) / 0.1, -0.25)
            more = np.clip(more - (now - wanted) / slope, -MOST, MOST)
            more = np.convolve(np.pad(more, 2, mode="edge"), np.ones(5) / 5, mode="valid")
        V[self.moved] += (np.interp(self.across[self.moved], t, more)[:, None] * self.shape).astype(V.dtype)
        x, left = self.zip.columns(V)
        together = left[:, 1] * smoothstep(np.array(share), 0.5, 1.0) * 0.5
        self.zip.correct(V, x, wanted, together)
