"""What the face's layer needs of the head model, the same for all portraits: what is drawn, and what belongs
to what.

Letters: n vertices that are drawn, t triangles. Places are the neutral head's, cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import cKDTree

from .camera import rotation, to_camera
from .kernels import rasterise
from .layer import EYE_LEFT, EYE_RIGHT, MOUTH, SKIN
from .lids import Lids
from .lips import Lips
from .model import HeadModel, head_model
from .zips import smoothstep

FRONT = 6706  # the published mesh lists the front of the face first
INSIDE = ("mouth", "gums", "tongue", "teeth_upper", "teeth_lower")
NEAR_EYE = ("socket_l", "socket_r")
BEHIND_BALL = 7.4  # z, cm, of the eyes' backs
FADE = 0.9  # cm over which the layer gives way at the face's own border
FINE = 30  # pixels a cm at which it is looked which of the mouth's triangles are ever seen
OPEN = (
    {"jawOpen": 0.9},
    {"jawOpen": 0.4, "mouthSmile": 0.9, "mouthUpperUp": 0.7, "mouthLowerDown": 0.7},
    {"jawOpen": 0.25, "mouthFunnel": 0.8, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5},
)
GUMS = (-2.8, 9.6)  # y and z, cm, above which are the front's upper gums
SIDES = ((-32, 0), (0, 0), (32, 0), (0, -18), (0, 18))  # yaw and pitch, degrees
BROWS = ((17, 22), (22, 27))  # of the 68 points


@dataclass(frozen=True, eq=False)
class Rig:
    """rows (n,): numbers of the drawn vertices in the model. triangles (t, 3) int32 of them; kinds (t,)
    uint8 and kind (n,) as in `layer`. part (n,): the model's part. neutral (n, 3), identities (m, n, 3),
    shapes (53, n, 3). neighbours: (n, n), mean over a vertex' neighbours. adjacency: (n, n), 1 where joined.
    one_sided (t,): whether a back is not seen; the mouth's walls fold at its corners.
    border (n,): 0 where the face ends, 1 inside. no_fill (n,): brows, lashes, rims: they give no colour
    away. mouth, upper (n,): how much a vertex belongs to the mouth, to eyes and brows.
    """

    model: HeadModel
    rows: np.ndarray
    triangles: np.ndarray
    kinds: np.ndarray
    one_sided: np.ndarray
    kind: np.ndarray
    part: np.ndarray
    neutral: np.ndarray
    identities: np.ndarray
    shapes: np.ndarray
    adjacency: csr_matrix
    neighbours: csr_matrix
    count: np.ndarray
    border: np.ndarray
    no_fill: np.ndarray
    from_brow: np.ndarray
    mouth: np.ndarray
    upper: np.ndarray
    ibug68: np.ndarray
    lips: Lips
    lids: tuple[Lids, Lids]

    def is_part(self, *names: str) -> np.ndarray:
        """(n,) bool: the vertices of these parts."""
        return np.isin(self.part, [self.model.parts.index(name) for name in names])

    def spread(self, values: np.ndarray, times: int) -> np.ndarray:
        """Values (n, ...) averaged over their neighbours, again and again."""
        for _ in range(times):
            values = self.neighbours @ values
        return values


@lru_cache(maxsize=1)
def face_rig() -> Rig:
    """The rig of the model that ships."""
    return make_rig(head_model())


def make_rig(model: HeadModel) -> Rig:
    """The rig of a head model."""
    names = np.array(model.parts)
    part_of = model.part[model.triangles].max(1)  # where parts meet, the inner one has the triangle
    depth = model.neutral[model.triangles, 2].max(1)
    front = (model.triangles < FRONT).all(1)
    kind_of = np.full(len(names), SKIN, np.uint8)
    kind_of[[_number(model, name) for name in INSIDE]] = MOUTH
    kind_of[_number(model, "sclera_r")], kind_of[_number(model, "sclera_l")] = EYE_LEFT, EYE_RIGHT
    drawn = (part_of == _number(model, "face")) & front
    for name in INSIDE:
        drawn |= part_of == _number(model, name)
    for name in NEAR_EYE:
        drawn |= (part_of == _number(model, name)) & (depth > BEHIND_BALL)
    for name in ("sclera_l", "sclera_r"):
        drawn |= (part_of == _number(model, name)) & (depth > BEHIND_BALL)
    drawn &= _ever_seen(model, drawn, kind_of[part_of])
    triangles = model.triangles[drawn]
    rows = np.unique(triangles)
    new = np.full(len(model.neutral), -1)
    new[rows] = np.arange(len(rows))
    triangles, kinds = new[triangles].astype(np.int32), kind_of[part_of[drawn]]
    part = model.part[rows]
    kind = kind_of[part]
    N, shapes = model.neutral[rows], np.ascontiguousarray(model.shapes[:, rows])
    n = len(rows)
    edges = _sides(triangles)
    ends = np.concatenate([edges, edges[:, ::-1]])
    adjacency = coo_matrix((np.ones(len(ends), np.float32), ends.T), shape=(n, n)).tocsr()
    adjacency.data[:] = 1
    neighbours = (diags(1 / np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)) @ adjacency).astype(
        np.float32
    )
    ibug = new[model.ibug68]
    face = (part == _number(model, "face")) & (rows < FRONT)
    skin = triangles[face[triangles].all(1)]
    pairs, times = np.unique(np.sort(_sides(skin), 1), axis=0, return_counts=True)
    rims = np.unique(pairs[times == 1])
    holes = [
        rims[(N[rims, 0] * s > 1.9) & (N[rims, 0] * s < 4.7) & (np.abs(N[rims, 1] - 3.6) < 1.0)]
        for s in (-1, 1)
    ]
    blinks = [model.index[f"eyeBlink_{side}"] for side in "RL"]
    lids = [Lids.of(N, shapes[k], k, skin, hole, face) for k, hole in zip(blinks, holes, strict=True)]
    brow = np.concatenate(
        [
            np.linspace(N[a], N[b], 12)
            for f, s in BROWS
            for a, b in zip(ibug[f : s - 1], ibug[f + 1 : s], strict=True)
        ]
    )
    from_brow = cKDTree(brow).query(N)[0]
    lashes = face & np.any(
        [(np.minimum(lid.above, lid.below) < 0.3) | (lid.drop > 0.25) for lid in lids], axis=0
    )
    middle = N[ibug[[62, 66]]].mean(0)
    return Rig(
        model=model,
        rows=rows,
        triangles=triangles,
        kinds=kinds,
        one_sided=~np.isin(part_of[drawn], [_number(model, "mouth"), _number(model, "tongue")]),
        kind=kind,
        part=part,
        neutral=N,
        identities=np.ascontiguousarray(model.identities[:, rows]),
        shapes=shapes,
        adjacency=adjacency,
        neighbours=neighbours,
        count=np.maximum(np.bincount(triangles.ravel(), minlength=n), 1).astype(np.float32),
        border=_border(N, edges[np.tile(kinds == SKIN, 3)], kind, face),
        from_brow=from_brow.astype(np.float32),
        no_fill=(kind == SKIN) & (lashes | (from_brow < 0.75)),
        mouth=np.exp(-((np.linalg.norm((N - middle) / [1.25, 1.0, 2.0], axis=1) / 3.2) ** 4)).astype(
            np.float32
        ),
        upper=(smoothstep(N[:, 1], 0.8, 2.0) * (kind != MOUTH)).astype(np.float32),
        ibug68=ibug,
        lips=Lips.of(N, shapes[model.index["jawOpen"]], skin, face, part == _number(model, "mouth")),
        lids=(lids[0], lids[1]),
    )


def _sides(triangles: np.ndarray) -> np.ndarray:
    """Both ends of every side of triangles, (3 t, 2)."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _number(model: HeadModel, name: str) -> int:
    return model.parts.index(name)


def _ever_seen(model: HeadModel, drawn: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """(t,) bool: of the drawn triangles all but those of teeth and gums that no open mouth shows."""
    numbers = np.flatnonzero(drawn)
    triangles = model.triangles[numbers]
    walls = np.isin(model.part[triangles].max(1), [_number(model, "mouth"), _number(model, "tongue")])
    seen = (kinds[numbers] != MOUTH) | walls  # behind a missing wall there would be a hole
    gums = (model.part[triangles] == _number(model, "gums")).any(1)  # a lip that rises high uncovers them
    seen |= gums & (model.neutral[triangles, 1:] > GUMS).all((1, 2))
    for asked in OPEN:
        V = model.shape(np.zeros(0), model.coefficients(**asked))
        for yaw, pitch in SIDES:
            there = to_camera(
                V, rotation(yaw, pitch, 0.0).astype(np.float32), np.array([0, 0, 90], np.float32)
            )
            places = there[:, :2] / there[:, 2:] * np.float32(FINE * 90)
            middle = places[model.ibug68[[62, 66]]].mean(0)
            x0, y0 = np.floor(middle - 4 * FINE).astype(int)
            box = (int(x0), int(y0), int(x0 + 8 * FINE), int(y0 + 8 * FINE))
            shown = rasterise(places, there[:, 2], triangles, box).triangle
            seen[np.unique(shown[shown >= 0])] = True
    near = np.zeros(len(model.neutral), bool)
    near[triangles[seen].ravel()] = True
    out = np.zeros(len(drawn), bool)
    out[numbers[seen | near[triangles].all(1)]] = True
    return out


def _border(N: np.ndarray, edges: np.ndarray, kind: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(n,) float32, 0 at the outer border of the front of the face, 1 from FADE inside of it."""
    pairs, times = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    rim = np.unique(pairs[times == 1])
    outer = (N[rim, 2] < 7.5) | (N[rim, 1] > 9) | (N[rim, 1] < -9)
    rim = rim[outer & face[rim]]
    away = cKDTree(N[rim]).query(N)[0]
    return np.where(kind == SKIN, np.clip(away / FADE, 0, 1), 1).astype(np.float32)
