"""The head model: a mesh of a head that is linear in a person's identity and in the face's expression.

It is the light model of ICT-FaceKit (Li et al. 2020, MIT), in the compact form that `actalker.heads.make`
writes. Letters: n vertices, m identity modes, t triangles.
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
    """Our coefficients for a name of ARKit or MediaPipe (eyeBlinkLeft, browInnerUp); () for none."""
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in SINGLE:
            name = f"{name.removesuffix(side)}_{side[0]}"
    return tuple(key for key in (name, f"{name}_L", f"{name}_R") if key in INDEX)


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The mean head and the displacements that identity and expression add to it, in head space, cm.

    neutral (n, 3) float32: the mean head at rest. shapes (53, n, 3) float32: displacement by a coefficient
    of 1. That of mouthClose is all zero, for the published one undoes an open jaw and wrecks a closed one;
    drawing closes the lips instead. No shape moves the eyeballs: gaze turns them. identities (m, n, 3)
    float32: displacement by one standard deviation of each mode.
    triangles (t, 3) int32: counter-clockwise seen from outside. part (n,) uint8: index of each vertex's part
    in `parts`. uv (n, 2) float32: texture coordinates, in [0, 1] for the face (in [1, 2] for the neck, and so
    on). landmark_vertices (478, 3) int32, landmark_weights (478, 3) float32: MediaPipe's points on the mesh,
    each as a weighted mean of three vertices; the ten of the irises lie on eyes that look ahead.
    landmark_spread (478,) float32: how far pictures disagree about a point's place, cm. ibug68 (68,) int32:
    the vertices of the 68 points of Multi-PIE. names, index: the coefficients' names and their order.
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
        """The range of a part's vertices: the first one, and the first after them."""
        k = self.parts.index(name)
        first, stop = np.searchsorted(self.part, [k, k + 1])
        return int(first), int(stop)

    def coefficients(self, **named: float) -> np.ndarray:
        """Coefficients (54,) float32 by name, the others 0; a name without _L or _R sets both sides.

        Raises: KeyError for a name that no coefficient has.
        """
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
        """The vertices (n, 3) float32 of a head, or only `rows` of them.

        identity: (up to m,) standard deviations of the modes. coefficients: (53 or 54,).
        """
        vertices = self.neutral[rows].copy()
        for basis, values in ((self.identities, identity), (self.shapes, coefficients[: len(self.shapes)])):
            vertices += np.tensordot(np.asarray(values, np.float32), basis[: len(values), rows], 1)
        return vertices

    def at_landmarks(self, values: np.ndarray) -> np.ndarray:
        """Values of the vertices (..., n, k), interpolated at the landmarks (..., 478, k)."""
        return (values[..., self.landmark_vertices, :] * self.landmark_weights[:, :, None]).sum(-2)

    def gap(self, coefficients: np.ndarray) -> np.ndarray:
        """The gap (...,) between the middles of the inner lips, cm, without mouthClose.

        coefficients: (..., 54). It is negative where the lips would lie over each other.
        """
        return coefficients[..., : len(self.shapes)] @ _gaps(self)

    def opening(self, coefficients: np.ndarray) -> np.ndarray:
        """The opening (...,) between the middles of the inner lips, cm >= 0: `gap` - CLOSE mouthClose.

        coefficients: (..., 54).
        """
        gap = self.gap(coefficients) - CLOSE * coefficients[..., self.index["mouthClose"]]
        return np.maximum(gap, 0)

    def closing(self, coefficients: np.ndarray, opening: np.ndarray | float) -> np.ndarray:
        """The mouthClose (...,) that gives the lips an `opening` (...,), cm, with coefficients (..., 54)."""
        return (self.gap(coefficients) - opening) / CLOSE


@lru_cache(maxsize=2)
def _gaps(model: HeadModel) -> np.ndarray:
    """How far a coefficient of 1 parts the landmarks 13 and 14 of the inner lips, cm: (53,)."""
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
    """The model that comes with this package: 60 MB in memory, read once."""
    with np.load(SHIPPED) as data:
        return unpack(dict(data))


def unpack(data: dict[str, np.ndarray]) -> HeadModel:
    """The model from the arrays of its file, in which shapes are sparse and in half precision."""
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
