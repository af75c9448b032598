"""The head in one picture, fitted to its landmarks: pose, identity, expression and gaze."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..faces.face import Face
from ..faces.landmarker import human_score, look_closer
from .basis import basis_of, camera_of, expectation, inside, left_over, unit_of
from .camera import Camera, angles, pivot_of, to_camera
from .eyes import ball, gaze_of, look, openings
from .landmarks import COUNT, LIP_MIDDLES, MESH
from .model import INDEX, HeadModel, head_model
from .motion import HeadMotion
from .offset import smooth_offset
from .solve import Problem, start

LARGEST_ERROR, DOUBTFUL_ERROR = 0.03, 0.02  # of the eyes' distance
LARGEST_YAW, DOUBTFUL_YAW = 45.0, 30.0  # degrees
HUMAN = 0.55  # the detector's score from which on a face counts as human
NO_HUMAN = (
    "{name}: a human face was looked for, and what was found is hardly one (score {score:.2f} of 1); "
    "give a picture of a human face seen from the front"
)
SMALL = 0.2  # of the picture's longer side: smaller faces are read a second time, closer
MOST_CUT = 0.15  # share of the landmarks beyond the border that can be drawn


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head in a picture.

    camera: of the picture's pixels. identity (m,) float32: standard deviations of the model's modes.
    coefficients (54,) float32: the portrait's expression, as an absolute `HeadMotion` has it. R (3, 3), T
    (3,): from head space to camera space. offset (n, 3) float32: displacement of the vertices that the linear
    model misses, cm, head space. gaze (2, 2): degrees to the image's right and down, relative to the head, of
    the image's left and right eye. iris: its radius as an angle at the eyeball's middle, degrees. error: mean
    distance of the skin's landmarks from the linear model's, as a share of the eyes' distance. points (478,
    2): the landmarks, pixels.
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
        """The pose (6,): yaw, pitch, roll in degrees, then x, y, z of the pivot in camera space, cm."""
        return np.concatenate([angles(self.R), pivot_of(self.R, self.T)])

    @property
    def motion(self) -> HeadMotion:
        """The fit as an absolute motion of one frame."""
        return HeadMotion(
            times=np.zeros(1),
            coefficients=self.coefficients[None],
            pose=self.pose[None],
            gaze=self.gaze.mean(0)[None],
            confidence=np.ones(1),
            shot=np.zeros(1, int),
        )

    def vertices(self, model: HeadModel | None = None) -> np.ndarray:
        """The vertices (n, 3) float32, head space, of the mesh that lies on the picture's landmarks.

        model: None for the one that ships.
        """
        return (model or head_model()).shape(self.identity, self.coefficients) + self.offset


def fit_head(
    points: np.ndarray,
    size: tuple[int, int],
    scores: np.ndarray | None = None,
    identity: np.ndarray | None = None,
    model: HeadModel | None = None,
) -> HeadFit:
    """Fits the head model to the landmarks of one picture.

    Args:
        points: (478, 2) MediaPipe's landmarks, pixels; or the 68 of Multi-PIE, which do not show the gaze.
        size: the picture's height and width; landmarks beyond its border are guesses and count less.
        scores: (52,) MediaPipe's blendshapes, or None.
        identity: (m,) this person's identity where it is known; it is kept.
        model: None for the one that ships.
    """
    model = model or head_model()
    points = np.asarray(points, np.float64)
    whole = len(points) == COUNT
    camera, seen = camera_of(points), points[:MESH] if whole else points
    basis = inside(basis_of(model, whole), seen, size)
    expected = expectation(basis, scores)
    problem = Problem(
        basis, seen, camera, unit=unit_of(points), expected=expected, identity_fixed=identity is not None
    )
    first = start(basis, seen, camera, expected)
    if identity is not None:
        first = replace(first, identity=np.asarray(identity, np.float64))
    head = problem.solve(first)
    gaze, iris = np.zeros((2, 2)), 24.0
    if whole:
        balls = [ball(model, head.identity, side) for side in (0, 1)]
        gaze, iris = gaze_of(points, camera, head.R, head.T, balls)
        expected = look(expected, gaze.mean(0))  # the lids go with the eyes
        head = replace(problem, expected=expected).solve(head)
    missed, left = left_over(basis, seen, camera, head)
    offset = smooth_offset(model, left) if whole else np.zeros_like(model.neutral)
    if not whole:
        at = model.at_landmarks(model.shape(head.identity, head.coefficients)).astype(np.float64)
        points = camera.project(to_camera(at, head.R, head.T))
        points[list(LIP_MIDDLES)] = seen[[62, 66]]
    coefficients = np.append(head.coefficients, 0.0)
    skin = basis_of(model).at(head.identity, head.coefficients)
    opening, _ = openings(points, camera, head.R, head.T, skin)
    coefficients[INDEX["mouthClose"]] = model.closing(coefficients, opening)
    return HeadFit(
        camera=camera,
        identity=head.identity.astype(np.float32),
        coefficients=coefficients.astype(np.float32),
        R=head.R,
        T=head.T,
        offset=offset,
        gaze=gaze,
        iris=iris,
        error=float(np.linalg.norm(missed, axis=1).mean() / problem.unit),
        points=points,
    )


def fit_face(face: Face, image: np.ndarray, name: str = "portrait") -> HeadFit:
    """Fits the head model to an upright face of a picture (h, w, 3) uint8; `check_fit` says what is doubtful.

    A face that is small in the picture is read a second time, closer: its landmarks are off by several % of
    the eyes' distance. name: of the picture, for messages.
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
    """Messages for the user about what is doubtful in a fit to a picture (h, w, 3).

    name: of the picture, for messages. Raises: InputError for a fit that cannot be drawn, because it misses
    the landmarks, is turned too far, or is cut by the picture's border.
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
