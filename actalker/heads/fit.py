"""The head in one picture: pose, who it is, what its face does, where it looks, from the picture's
landmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..faces.face import Face
from ..faces.landmarker import human_score, look_closer
from .basis import basis_of, camera_of, expectation, inside, left_over, unit_of
from .camera import Camera, angles, pivot_of, to_camera
from .eyes import apart, ball, gaze_of, look
from .landmarks import COUNT, LIP_MIDDLES, MESH
from .model import INDEX, HeadModel, head_model
from .motion import HeadMotion
from .offset import smooth_offset
from .solve import Problem, start

LARGEST_ERROR, DOUBTFUL_ERROR = 0.03, 0.02  # of the eyes' distance
LARGEST_YAW, DOUBTFUL_YAW = 45.0, 30.0  # degrees
HUMAN = 0.55  # the detector's score of what is taken for a human face
NO_HUMAN = (
    "{name}: a human face was looked for, and what was found is hardly one (score {score:.2f} of 1); "
    "give a picture of a human face seen from the front"
)
SMALL = 0.2  # of the picture's longer side: faces below are looked at again
MOST_CUT = 0.15  # share of the landmarks beyond the border


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
    camera, seen = camera_of(points), points[:MESH] if whole else points
    basis = inside(basis_of(model, whole), seen, size)
    expected = expectation(basis, scores)
    problem = Problem(basis, seen, camera, unit_of(points), expected, identity is not None)
    first = start(basis, seen, camera, expected)
    if identity is not None:
        first = replace(first, identity=np.asarray(identity, np.float64))
    found = problem.solve(first)
    gaze, iris = np.zeros((2, 2)), 24.0
    if whole:
        balls = [ball(model, found.identity, side) for side in (0, 1)]
        gaze, iris = gaze_of(points, camera, found.R, found.T, balls)
        expected = look(expected, gaze.mean(0))  # the lids go with the eyes
        found = replace(problem, expected=expected).solve(found)
    missed, left = left_over(basis, seen, camera, found)
    offset = smooth_offset(model, left) if whole else np.zeros_like(model.neutral)
    if not whole:
        at = model.at_landmarks(model.shape(found.identity, found.coefficients)).astype(np.float64)
        points = camera.project(to_camera(at, found.R, found.T))
        points[list(LIP_MIDDLES)] = seen[[62, 66]]
    coefficients = np.append(found.coefficients, 0.0)
    skin = basis_of(model).at(found.identity, found.coefficients)
    opening, _ = apart(points, camera, found.R, found.T, skin)
    coefficients[INDEX["mouthClose"]] = model.closing(coefficients, opening)
    return HeadFit(
        camera=camera,
        identity=found.identity.astype(np.float32),
        coefficients=coefficients.astype(np.float32),
        R=found.R,
        T=found.T,
        offset=offset,
        gaze=gaze,
        iris=iris,
        error=float(np.linalg.norm(missed, axis=1).mean() / problem.unit),
        points=points,
    )


def fit_face(face: Face, image: np.ndarray, name: str = "portrait") -> HeadFit:
    """The head of an upright face that was found in a picture (h, w, 3) uint8. Doubts are told by
    `check_fit`.

    Landmarks of a face that is small in the picture are several % of the eyes' distance off: it is looked at
    again.
    Raises: InputError where the face has no landmarks, or is hardly a human one.
    """
    if face.landmarks is None:
        raise InputError(
            f"{name}: landmarks of a human face were looked for, and only a box around one was found; "
            "give a portrait of a human face seen from the front, with MediaPipe: pip install mediapipe"
        )
    if len(face.landmarks) == COUNT:
        if (score := human_score(image, face)) < HUMAN:
            raise InputError(NO_HUMAN.format(name=name, score=score))
        if face.side < SMALL * max(image.shape[:2]):
            face = look_closer(image, face) or face
    assert face.landmarks is not None
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
