"""The part of the head model that is drawn as the face's layer, with its masks and neighbours.

It is the same for all portraits. Letters: n drawn vertices, t drawn triangles, m identity modes. Coordinates
are those of the neutral head, cm.
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
NEAR_EYE, BALLS = ("socket_l", "socket_r"), ("sclera_l", "sclera_r")
BEHIND_BALL = 7.4  # z, cm, of the eyes' backs
FADE = 0.9  # cm over which the layer fades out at the face's own border
FINE = 30  # pixels a cm of the drawings that say which of the mouth's triangles are ever seen
OPEN = (  # expressions that show the mouth's inside
    {"jawOpen": 0.9},
    {"jawOpen": 0.4, "mouthSmile": 0.9, "mouthUpperUp": 0.7, "mouthLowerDown": 0.7},
    {"jawOpen": 0.25, "mouthFunnel": 0.8, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5},
)
GUMS = (-2.8, 9.6)  # y and z, cm, above which are the front's upper gums
SIDES = ((-32, 0), (0, 0), (32, 0), (0, -18), (0, 18))  # yaw and pitch, degrees
BROWS = ((17, 22), (22, 27))  # of the 68 points


@dataclass(frozen=True, eq=False)
class Rig:
    """The drawn mesh of all portraits.

    rows (n,): indices of the drawn vertices in the model. triangles (t, 3) int32: indices into the drawn
    vertices. kinds (t,) uint8, kind (n,) uint8: SKIN, MOUTH, EYE_LEFT or EYE_RIGHT of `layer`, by triangle
    and by vertex. one_sided (t,) bool: triangles whose backs are not drawn; those of the mouth's walls and
    of the tongue are, for they fold. part (n,): index into the model's `parts`.
    neutral (n, 3), identities (m, n, 3), shapes (53, n, 3) float32: as in `HeadModel`.
    adjacency (n, n), sparse: 1 where an edge joins two vertices. neighbours (n, n), sparse: a product with it
    is the mean over a vertex's neighbours. count (n,) float32: triangles at a vertex, at least 1.
    border (n,): 0 where the face ends, 1 from FADE inside of it. from_brow (n,): cm to the nearest brow.
    no_fill (n,) bool: lashes and brows, whose colours are not spread over the skin. mouth, upper (n,) in
    [0, 1]: how much a vertex belongs to the mouth, and to eyes and brows.
    ibug68 (68,): drawn vertices of the 68 points of Multi-PIE. lips: their rims. lids: of the image's left
    and right eye.
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
        """A mask (n,) bool of the vertices that belong to one of the model's parts `names`."""
        return np.isin(self.part, [self.model.parts.index(name) for name in names])

    def spread(self, values: np.ndarray, times: int) -> np.ndarray:
        """Values (n, ...) of the vertices, replaced `times` times by the mean of their neighbours'."""
        for _ in range(times):
            values = self.neighbours @ values
        return values


@lru_cache(maxsize=1)
def face_rig() -> Rig:
    """The rig of the head model that comes with this package, built once."""
    return make_rig(head_model())


def make_rig(model: HeadModel) -> Rig:
    """The rig of a head model: its front, eyes and mouth, without what no expression shows."""
    drawn, triangle_parts, part_kinds = _drawn(model)
    triangles, kinds = model.triangles[drawn], part_kinds[triangle_parts[drawn]]
    rows = np.unique(triangles)
    index = np.full(len(model.neutral), -1)  # of a model's vertex among the drawn ones
    index[rows] = np.arange(len(rows))
    triangles = index[triangles].astype(np.int32)
    part = model.part[rows]
    kind = part_kinds[part]
    N, shapes = model.neutral[rows], np.ascontiguousarray(model.shapes[:, rows])
    n = len(rows)
    edges = _sides(triangles)
    adjacency, neighbours = _graph(edges, n)
    ibug = index[model.ibug68]
    face = (part == _number(model, "face")) & (rows < FRONT)
    skin = triangles[face[triangles].all(1)]
    blinks = [model.index[f"eyeBlink_{side}"] for side in "RL"]
    lids = [
        Lids.of(N, blink=shapes[k], index=k, triangles=skin, hole=hole, face=face)
        for k, hole in zip(blinks, _eye_holes(N, skin), strict=True)
    ]
    from_brow = _distance_from_brows(N, ibug)
    lashes = face & np.any(
        [(np.minimum(lid.above, lid.below) < 0.3) | (lid.drop > 0.25) for lid in lids], axis=0
    )
    middle = N[ibug[[62, 66]]].mean(0)
    mouth = np.exp(-((np.linalg.norm((N - middle) / [1.25, 1.0, 2.0], axis=1) / 3.2) ** 4))
    return Rig(
        model=model,
        rows=rows,
        triangles=triangles,
        kinds=kinds,
        one_sided=~np.isin(triangle_parts[drawn], [_number(model, "mouth"), _number(model, "tongue")]),
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
        mouth=mouth.astype(np.float32),
        upper=(smoothstep(N[:, 1], 0.8, 2.0) * (kind != MOUTH)).astype(np.float32),
        ibug68=ibug,
        lips=Lips.of(N, shapes[model.index["jawOpen"]], skin, face, part == _number(model, "mouth")),
        lids=(lids[0], lids[1]),
    )


def _drawn(model: HeadModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the model's triangles are drawn (bool), the part of every triangle, the kind of every part."""
    parts = model.part[model.triangles].max(1)  # where parts meet, the inner one has the triangle
    depth = model.neutral[model.triangles, 2].max(1)
    kinds = np.full(len(model.parts), SKIN, np.uint8)
    kinds[[_number(model, name) for name in INSIDE]] = MOUTH
    kinds[_number(model, "sclera_r")], kinds[_number(model, "sclera_l")] = EYE_LEFT, EYE_RIGHT
    drawn = (parts == _number(model, "face")) & (model.triangles < FRONT).all(1)
    for name in INSIDE:
        drawn |= parts == _number(model, name)
    for name in (*NEAR_EYE, *BALLS):
        drawn |= (parts == _number(model, name)) & (depth > BEHIND_BALL)
    return drawn & _ever_seen(model, drawn, kinds[parts]), parts, kinds


def _graph(edges: np.ndarray, n: int) -> tuple[csr_matrix, csr_matrix]:
    """`adjacency` and `neighbours` of a `Rig`, from the edges (k, 2) of n vertices."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    adjacency = coo_matrix((np.ones(len(ends), np.float32), ends.T), shape=(n, n)).tocsr()
    adjacency.data[:] = 1
    mean = diags(1 / np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)) @ adjacency
    return adjacency, mean.astype(np.float32)


def _eye_holes(N: np.ndarray, skin: np.ndarray) -> list[np.ndarray]:
    """The vertices around the holes that the skin leaves for the image's left and right eye."""
    pairs, times = np.unique(np.sort(_sides(skin), 1), axis=0, return_counts=True)
    rims = np.unique(pairs[times == 1])
    return [
        rims[(N[rims, 0] * s > 1.9) & (N[rims, 0] * s < 4.7) & (np.abs(N[rims, 1] - 3.6) < 1.0)]
        for s in (-1, 1)
    ]


def _distance_from_brows(N: np.ndarray, ibug: np.ndarray) -> np.ndarray:
    """(n,) cm from vertices N (n, 3) to the nearest brow's line."""
    brows = np.concatenate(
        [
            np.linspace(N[a], N[b], 12)
            for f, s in BROWS
            for a, b in zip(ibug[f : s - 1], ibug[f + 1 : s], strict=True)
        ]
    )
    return cKDTree(brows).query(N)[0]


def _sides(triangles: np.ndarray) -> np.ndarray:
    """Both ends of every side of triangles, (3 t, 2)."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _number(model: HeadModel, name: str) -> int:
    """The index of a part of the model."""
    return model.parts.index(name)


def _ever_seen(model: HeadModel, drawn: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """A mask of the model's triangles: those of `drawn` but for teeth and gums that no open mouth shows.

    kinds: of the triangles, as in `layer`. The mouth is drawn for the expressions OPEN from the sides SIDES.
    """
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
