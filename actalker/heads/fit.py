"""The head in one picture: pose, who it is, what its face does, where it looks, from the picture's
landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError
from ..faces.face import Face
from .camera import FLIP, Camera, angles, pivot_of, to_camera
from .eyes import ball, gaze_of, lips_apart, look
from .landmarks import (
    CORNERS,
    COUNT,
    EYES,
    LIP_MIDDLES,
    LIPS,
    MESH,
    OVAL,
    eyes_distance,
)
from .model import CLOSE, COEFFICIENTS, HeadModel, from_scores, head_model
from .motion import HeadMotion
from .offset import smooth_offset
from .solve import Basis, Problem, Solution, start

FOCAL = 2.2  # of the square's side: about a portrait lens
AROUND = 2.2  # sides of the square, in the longer side of the face's box
BELIEVED = 0.8  # of MediaPipe's blendshapes: they are read too high
OUTSIDE = 0.1  # weight of a landmark beyond the picture's border, where it was guessed
LARGEST_ERROR, DOUBTFUL_ERROR = 0.03, 0.02  # of the eyes' distance
LARGEST_YAW, DOUBTFUL_YAW = 45.0, 30.0  # degrees
MOST_CUT = 0.15  # share of the landmarks beyond the border
NOT_SEEN = (
    "eyeLook",
    "mouthClose",
    "cheekPuff",
    "jawForward",
    "tongueOut",
)  # what landmarks do not tell, or gaze does


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head in a picture.

    camera: of the picture's pixels. identity (m,) float32: standard deviations of the model's modes.
    coefficients (54,) float32: the portrait's own expression, `HeadMotion`'s reading. R (3, 3), T (3,): to
    camera space. offset (n, 3) float32: what the linear model leaves over, cm, head space. gaze (2, 2):
    degrees to the image's right and down, relative to the head, of the image's left and right eye. iris:
    radius as an angle at the eyeball's middle, degrees. error: mean distance of the skin's landmarks from the
    linear model's, share of the eyes' distance. points (478, 2): the landmarks, pixels.
    """

    camera: Camera
    identity: np.ndarray
    coefficients: np.ndarray
    R: np.ndarray
    T: np.ndarray
    offset: np.ndarray
    gaze: np.ndarray
    iris: float
    error: float
    points: np.ndarray

    @property
    def pose(self) -> np.ndarray:
        """Yaw, pitch, roll in degrees, and the pivot's x, y, z in camera space, cm: (6,)."""
        return np.concatenate([angles(self.R), pivot_of(self.R, self.T)])

    @property
    def motion(self) -> HeadMotion:
        """The fit as a track of one frame, absolute."""
        return HeadMotion(
            np.zeros(1),
            self.coefficients[None],
            self.pose[None],
            self.gaze.mean(0)[None],
            np.ones(1),
            np.zeros(1, int),
        )

    def vertices(self, model: HeadModel | None = None) -> np.ndarray:
        """The mesh (n, 3) float32 in head space, on the picture's landmarks."""
        return (model or head_model()).shape(self.identity, self.coefficients) + self.offset


def fit_head(
    points: np.ndarray,
    size: tuple[int, int],
    scores: np.ndarray | None = None,
    identity: np.ndarray | None = None,
    model: HeadModel | None = None,
) -> HeadFit:
    """The head of a picture.

    Args:
        points: (478, 2) pixels of MediaPipe's landmarks, or the 68 of ibug, which tell less: no gaze.
        size: the picture's height and width: landmarks beyond its border were guessed and count less.
        scores: (52,) MediaPipe's blendshapes, or None.
        identity: of this person, if it is known.
        model: another than the one that ships.
    """
    model = model or head_model()
    points = np.asarray(points, np.float64)
    whole = len(points) == COUNT
    camera, unit = camera_of(points), _unit(points)
    basis = _basis(model, whole)
    seen = points[:MESH] if whole else points
    inside = ((seen >= 0) & (seen <= size[::-1])).all(1)
    basis = Basis(
        basis.neutral,
        basis.identities,
        basis.shapes,
        basis.weights * np.where(inside, 1, OUTSIDE),
        basis.free,
    )
    expected = (
        np.zeros(len(model.shapes)) if scores is None else BELIEVED * from_scores(scores)[:-1].astype(float)
    )
    expected = np.where(basis.free, expected, 0)
    first = start(basis, seen, camera, expected)
    if identity is not None:
        first = Solution(first.R, first.T, np.asarray(identity, np.float64), expected)
    found = Problem(basis, seen, camera, unit, expected, identity is not None).solve(first)
    gaze, iris = np.zeros((2, 2)), 24.0
    if whole:
        gaze, iris = gaze_of(
            points, camera, found.R, found.T, [ball(model, found.identity, side) for side in (0, 1)]
        )
        expected = look(np.append(expected, 0), gaze.mean(0))[:-1]  # the lids go with the eyes
        found = Problem(basis, seen, camera, unit, expected, identity is not None).solve(found)
    h = basis.at(found.identity, found.coefficients)
    there = to_camera(h, found.R, found.T)
    apart = seen - camera.project(there)
    left = np.concatenate([apart * there[:, 2:] / camera.focal, np.zeros((len(h), 1))], 1) @ (FLIP @ found.R)
    offset = smooth_offset(model, left) if whole else np.zeros_like(model.neutral)
    if not whole:
        at = model.at_landmarks(model.shape(found.identity, found.coefficients)).astype(np.float64)
        points = camera.project(to_camera(at, found.R, found.T))
    return HeadFit(
        camera=camera,
        identity=found.identity.astype(np.float32),
        coefficients=with_openings(model, found, points, camera).astype(np.float32),
        R=found.R,
        T=found.T,
        offset=offset,
        gaze=gaze,
        iris=iris,
        error=float(np.linalg.norm(apart, axis=1).mean() / unit),
        points=points,
    )


def with_openings(model: HeadModel, found: Solution, points: np.ndarray, camera: Camera) -> np.ndarray:
    """Coefficients (54,) of a solution, with mouthClose set so that the lips open as far as the landmarks
    say."""
    coefficients = np.append(found.coefficients, 0.0)
    at = _basis(model, True).at(found.identity, found.coefficients)
    eyes = float(eyes_distance(at))
    opening = lips_apart(points, camera, found.R, found.T, at[list(LIP_MIDDLES)].mean(0), eyes)
    coefficients[COEFFICIENTS.index("mouthClose")] = (model.gap(coefficients) - opening) / CLOSE
    return coefficients


def camera_of(points: np.ndarray) -> Camera:
    """The camera of a square around landmarks (l, 2): how the photograph was cut does not matter."""
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    return Camera(FOCAL * AROUND * float((high - low).max()), float(middle[0]), float(middle[1]))


def _unit(points: np.ndarray) -> float:
    """The eyes' distance of 478 or 68 points, pixels."""
    a, b = CORNERS if len(points) == COUNT else (36, 45)
    return max(float(np.linalg.norm(points[a] - points[b])), 1e-6)


@lru_cache(maxsize=4)
def _basis(model: HeadModel, whole: bool) -> Basis:
    """The model at MediaPipe's points of the skin, or at the 68."""
    if whole:
        weights = np.ones(MESH)
        weights[list(OVAL)] = 0.35  # it slides over the skin as a head turns
        weights[list(LIPS + EYES)] = 2.5
        at = [model.at_landmarks(v)[..., :MESH, :] for v in (model.neutral, model.identities, model.shapes)]
    else:
        weights = np.full(68, 4.0)  # fewer points, each says as much
        weights[:17] = 0.5
        at = [v[..., model.ibug68, :] for v in (model.neutral, model.identities, model.shapes)]
    free = np.array([not name.startswith(NOT_SEEN) for name in model.names[: len(model.shapes)]])
    neutral, identities, shapes = (values.astype(np.float64) for values in at)
    return Basis(neutral, identities, shapes, weights, free)


def fit_face(face: Face, image: np.ndarray, name: str = "portrait") -> HeadFit:
    """The head of a face that was found in a picture (h, w, 3). Doubts are told by `check_fit`.

    Raises: InputError where the face has no landmarks.
    """
    if face.landmarks is None:
        raise InputError(
            f"{name}: landmarks of a human face were looked for, and only a box around one was found; "
            "give a portrait of a human face seen from the front, with MediaPipe: pip install mediapipe"
        )
    return fit_head(face.landmarks, image.shape[:2], face.expression)


def check_fit(fit: HeadFit, image: np.ndarray, name: str = "portrait") -> list[str]:
    """What is doubtful about a fit to a picture (h, w, 3), for the user.

    Raises: InputError for a fit that cannot be drawn: not on the landmarks, turned too far, cut by the
    border.
    """
    h, w = image.shape[:2]
    skin = fit.points[:MESH]
    cut = 1 - float(((skin >= 0) & (skin <= (w, h))).all(1).mean())
    yaw = float(fit.pose[0])
    if cut > MOST_CUT:
        raise InputError(
            f"{name}: a whole face was looked for, and {100 * cut:.0f} % of it lie beyond the picture's "
            "border; give a portrait that shows the face from the forehead to the chin"
        )
    if abs(yaw) > LARGEST_YAW:
        raise InputError(
            f"{name}: a face seen from the front was looked for, and this one is turned by {abs(yaw):.0f} "
            f"degrees; give a portrait turned by at most {LARGEST_YAW:.0f}"
        )
    if fit.error > LARGEST_ERROR:
        raise InputError(
            f"{name}: a head was fitted, and misses the landmarks by {100 * fit.error:.1f} % of the eyes' "
            f"distance, of which {100 * LARGEST_ERROR:.0f} % can be drawn; give another portrait of a human"
        )
    notes = []
    if cut > 0:
        notes.append(f"{name}: {100 * cut:.0f} % of the face lie beyond the picture's border and are guessed")
    if abs(yaw) > DOUBTFUL_YAW:
        notes.append(f"{name}: the face is turned by {abs(yaw):.0f} degrees; its far side is hardly seen")
    if fit.error > DOUBTFUL_ERROR:
        notes.append(
            f"{name}: the head misses the landmarks by {100 * fit.error:.1f} % of the eyes' distance"
        )
    return notes
