"""The head model: a mesh of a head that is linear in who it is and in what the face does.

ICT-FaceKit, light model (Li et al. 2020, MIT), in the compact form that `actalker.heads.make` writes.
Letters: n vertices, m identity modes, t triangles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).parents[1] / "assets" / "head" / "head.npz"
CLOSE = 3.3  # cm that mouthClose = 1 takes from the opening of the lips: what jawOpen = 1 gives
SINGLE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # a side in their name, and no pair
# fmt: off
SCORES = (  # MediaPipe's 52 blendshapes, in its order
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft",
    "noseSneerRight",
)
COEFFICIENTS = (  # the model's 53 expressions, in its order, and the tongue, which it has no shape for
    "browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R",
    "cheekPuff_L", "cheekPuff_R", "cheekSquint_L", "cheekSquint_R", "eyeBlink_L", "eyeBlink_R",
    "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L", "eyeLookOut_R",
    "eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L", "eyeWide_R", "jawForward",
    "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple_L", "mouthDimple_R", "mouthFrown_L",
    "mouthFrown_R", "mouthFunnel", "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L",
    "mouthPress_R", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmile_L", "mouthSmile_R", "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L",
    "mouthUpperUp_R", "noseSneer_L", "noseSneer_R", "tongueOut",
)
# fmt: on
INDEX = {name: k for k, name in enumerate(COEFFICIENTS)}


def ours(name: str) -> tuple[str, ...]:
    """The coefficients that a name of ARKit or MediaPipe (eyeBlinkLeft, browInnerUp) stands for; () for
    none."""
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in SINGLE:
            name = f"{name.removesuffix(side)}_{side[0]}"
    return tuple(key for key in (name, f"{name}_L", f"{name}_R") if key in INDEX)


@dataclass(frozen=True, eq=False)
class HeadModel:
    """neutral (n, 3) float32, head space, cm: the mean head, nothing moved.

    shapes (53, n, 3) float32: what each coefficient of 1 moves. mouthClose is all zero: the model's own
    undoes an open jaw and wrecks a closed one; the lips are closed by drawing. No shape moves the eyeballs:
    gaze turns them. identities (m, n, 3) float32: what one standard deviation of each mode moves.
    triangles (t, 3) int32, counter-clockwise seen from outside. part (n,) uint8: number of each vertex's
    part, in `parts`. uv (n, 2) float32: the face's own map, in [0, 1] for the face (the neck in [1, 2], and
    so on). landmark_vertices (478, 3) int32, landmark_weights (478, 3) float32: MediaPipe's points on the
    mesh; the ten of the irises lie on eyes that look ahead. landmark_spread (478,) float32, cm: how surely.
    ibug68 (68,) int32: the vertices of the 68 points of Multi-PIE.
    """

    neutral: np.ndarray
    shapes: np.ndarray
    identities: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    parts: tuple[str, ...]
    uv: np.ndarray
    landmark_vertices: np.ndarray
    landmark_weights: np.ndarray
    landmark_spread: np.ndarray
    ibug68: np.ndarray
    names: tuple[str, ...] = COEFFICIENTS
    index: dict[str, int] = field(default_factory=lambda: INDEX)

    def part_range(self, name: str) -> tuple[int, int]:
        """First vertex of a part, and the first after it."""
        k = self.parts.index(name)
        first, stop = np.searchsorted(self.part, [k, k + 1])
        return int(first), int(stop)

    def coefficients(self, **named: float) -> np.ndarray:
        """A vector (54,) float32 from names; one without _L or _R sets both sides. Raises: KeyError."""
        values = np.zeros(len(self.names), np.float32)
        for name, value in named.items():
            keys = [key for key in (name, f"{name}_L", f"{name}_R") if key in self.index]
            if not keys:
                raise KeyError(name)
            values[[self.index[key] for key in keys]] = value
        return values

    def shape(
        self, identity: np.ndarray, coefficients: np.ndarray, rows: slice | np.ndarray = slice(None)
    ) -> np.ndarray:
        """Vertices (n, 3) float32, or only `rows` of them, from identity (up to m,) and coefficients (53 or
        54,)."""
        vertices = self.neutral[rows].copy()
        for basis, values in ((self.identities, identity), (self.shapes, coefficients[: len(self.shapes)])):
            vertices += np.tensordot(np.asarray(values, np.float32), basis[: len(values), rows], 1)
        return vertices

    def at_landmarks(self, values: np.ndarray) -> np.ndarray:
        """Values (..., n, k) of the vertices at the landmarks (..., 478, k)."""
        return (values[..., self.landmark_vertices, :] * self.landmark_weights[:, :, None]).sum(-2)

    def gap(self, coefficients: np.ndarray) -> np.ndarray:
        """By how many cm coefficients (..., 54) part the middle of the inner lips, before mouthClose; may be
        negative."""
        return coefficients[..., : len(self.shapes)] @ _gaps(self)

    def opening(self, coefficients: np.ndarray) -> np.ndarray:
        """Cm between the inner lips in the middle (...,) that coefficients (..., 54) ask for: `gap` - CLOSE
        mouthClose."""
        asked = self.gap(coefficients) - CLOSE * coefficients[..., self.index["mouthClose"]]
        return np.maximum(asked, 0)

    def closing(self, coefficients: np.ndarray, opening: np.ndarray | float) -> np.ndarray:
        """The mouthClose (...,) with which coefficients (..., 54) open the lips by so many cm (...,)."""
        return (self.gap(coefficients) - opening) / CLOSE


@lru_cache(maxsize=2)
def _gaps(model: HeadModel) -> np.ndarray:
    """(53,) cm of the inner lips' gap a coefficient, between the places of landmarks 13 and 14."""
    upper, lower = (
        (model.shapes[:, model.landmark_vertices[k]] * model.landmark_weights[k, :, None]).sum(1)
        for k in (13, 14)
    )
    return (upper - lower)[:, 1].astype(np.float64)


def from_scores(scores: np.ndarray) -> np.ndarray:
    """Coefficients (54,) float32 in [0, 1] from MediaPipe's blendshapes (52,)."""
    values = np.zeros(len(COEFFICIENTS), np.float32)
    for name, score in zip(SCORES, scores, strict=True):
        values[[INDEX[key] for key in ours(name)]] = score
    return np.clip(values, 0, 1)


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """The model that comes with this package; read once, 60 MB in memory."""
    with np.load(SHIPPED) as data:
        return unpack(dict(data))


def unpack(data: dict[str, np.ndarray]) -> HeadModel:
    """The model from the arrays of its file: expressions sparse, numbers of half precision."""
    neutral = data["neutral"]
    shapes = np.zeros((len(COEFFICIENTS) - 1, *neutral.shape), np.float32)
    start = data["shape_start"]
    for k, (first, stop) in enumerate(zip(start[:-1], start[1:], strict=True)):
        shapes[k, data["shape_vertices"][first:stop]] = data["shape_moves"][first:stop]
    return HeadModel(
        neutral=neutral,
        shapes=shapes,
        identities=data["identities"].astype(np.float32),
        triangles=data["triangles"].astype(np.int32),
        part=data["part"],
        parts=tuple(str(name) for name in data["parts"]),
        uv=data["uv"],
        landmark_vertices=data["landmark_vertices"].astype(np.int32),
        landmark_weights=data["landmark_weights"],
        landmark_spread=data["landmark_spread"],
        ibug68=data["ibug68"].astype(np.int32),
    )
