"""The track of a head through a video: its motion at the frames' own times, and one identity for all frames.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..faces.face import Face
from ..faces.find import face_model
from ..faces.landmarker import find_by_landmarker, human_score, landmarker_refuses, look_closer
from ..faces.upright import face_angle
from .basis import basis_of, camera_of, expectation, inside, left_over, unit_of
from .camera import FLIP, PIVOT, Camera, angles, rotation, to_camera
from .cuts import other_picture, shots, thumbnail
from .eyes import ball, gaze_of, look, openings
from .fit import HUMAN, NO_HUMAN
from .landmarks import MESH
from .model import INDEX, HeadModel, head_model
from .motion import HeadMotion
from .smooth import ANGLE, COEFFICIENT, DEPTH, GAZE, LIDS, OPENING, PLACE, smoothed
from .solve import MOST, Basis, Problem, Solution, start
from .zips import smoothstep

NEAR = 0.5  # of the face's longer side: a face is still the same one if its middle moved by less
ASKED_FOR_UP = 3  # first faces whose upright direction is looked for
KNOWN_FROM = 8  # frames that the identity is fitted to
FIRST_STEPS, STEPS = 12, 4  # of the fit of a shot's first frame, and of one that starts at the frame before
OPEN = 0.9  # quantile of the lids' opening that counts as the person's open eye
WINK = (0.45, 0.75)  # of the open eye: lids whose openings differ by more wink
HIDES = 30.0  # degrees of yaw from which on the far eye does not count at all
WIDEST = -0.3  # eyeBlink of lids that are further open than that
SURE, LOST = 0.015, 0.06  # error, of the eyes' distance, of a fit that is trusted, and of one that is not
LEAST_SURE = 0.05  # confidence of a face that is there
FACE = np.array([0.0, 0.0, 8.0])  # the middle of the face, head space: the pose's place is smoothed there
NO_FACE = (
    "{name}: landmarks of a human face were looked for in {frames} frames, and none were found; "
    "give a video of a human face seen from the front"
)


@dataclass(frozen=True, eq=False)
class Frames:
    """The faces of a video. times (f,): seconds. faces: one a frame, with landmarks, or None.

    changed (f,) bool: whether a frame shows another scene than the one before. size: height and width of the
    frames, pixels, after they were turned upright.
    """

    times: np.ndarray
    faces: tuple[Face | None, ...]
    changed: np.ndarray
    size: tuple[int, int]


def track(
    frames: Iterable[tuple[float, np.ndarray]], name: str = "video", model: Path | None = None
) -> tuple[HeadMotion, np.ndarray]:
    """The absolute motion of the largest face of a video, and its identity (m,).

    Args:
        frames: time in seconds and picture (h, w, 3) uint8 of every frame, in order
            (`media.video.timed_frames`).
        name: of the video, for messages.
        model: MediaPipe's face_landmarker.task, instead of the one in this package.

    In frames without a face confidence is 0, and numbers are interpolated from the frames around. After a cut
    `shot` grows by one.
    Raises: InputError where no frame shows a face, or MediaPipe cannot run.
    """
    seen = watch(frames, name, model)
    if not any(seen.faces):
        raise InputError(NO_FACE.format(name=name, frames=len(seen.times)))
    return fit_track(seen)


def watch(
    frames: Iterable[tuple[float, np.ndarray]], name: str = "video", model: Path | None = None
) -> Frames:
    """Finds one face in every frame and turns it upright.

    It takes the largest face at first and after a cut, then the face at the same place. Arguments as in
    `track`. Raises: InputError where MediaPipe cannot run, or the face is hardly a human one.
    """
    path = face_model(model)
    if (reason := landmarker_refuses(path)) is not None:
        raise InputError(f"{name}: a head is followed by MediaPipe's landmarks, but {reason}")
    times: list[float] = []
    faces: list[Face | None] = []
    changed: list[bool] = []
    turns: list[int] = []
    scores: list[float] = []
    size, last, before = (1, 1), None, None
    for time, frame in frames:
        small = thumbnail(frame)
        changed.append(before is not None and other_picture(before, small))
        before = small
        face = None if last is None or changed[-1] else look_closer(frame, last, path)
        if face is None or last is None or np.hypot(*(face.middle - last.middle)) > NEAR * last.side:
            face = max(find_by_landmarker(frame, path), key=lambda one: one.area, default=None)
            face = face and (look_closer(frame, face, path) or face)  # as the frames after it are seen
        if face is not None and len(turns) < ASKED_FOR_UP:
            angle, sure = face_angle(frame, face, path)
            turns.append(-round(angle / 90) % 4 if sure else 0)
            scores.append(human_score(frame, face, path))
        times.append(float(time))
        faces.append(None if face is None else _small(face))
        last, size = face, (frame.shape[0], frame.shape[1])
    if scores and max(scores) < HUMAN:
        raise InputError(NO_HUMAN.format(name=name, score=max(scores)))
    for _ in range(turns[0] if len(set(turns)) == 1 else 0):
        faces = [None if face is None else _turned(face, size[1]) for face in faces]
        size = size[::-1]
    return Frames(np.array(times), tuple(faces), np.array(changed), size)


def _small(face: Face) -> Face:
    """The same face in half the memory, for a long video has many."""
    return replace(face, landmarks=_points(face).astype(np.float32))


def _turned(face: Face, width: int) -> Face:
    """A face after its picture, `width` pixels wide, is turned by a quarter counter-clockwise."""
    x, y = _points(face).T
    x0, y0, x1, y1 = face.box
    return replace(face, box=(y0, width - x1, y1, width - x0), landmarks=np.stack([y, width - x], 1))


@dataclass(frozen=True, eq=False)
class Readings:
    """The numbers of every frame's fit.

    coefficients (f, 53); angles (f, 3): yaw, pitch, roll, degrees; place (f, 3): of `FACE` in camera space,
    cm; gaze (f, 2), degrees; lids (f, 2) and opening (f, 1): as `eyes.openings` gives them; error (f, 1): as
    in `HeadFit`.
    """

    coefficients: np.ndarray
    angles: np.ndarray
    place: np.ndarray
    gaze: np.ndarray
    lids: np.ndarray
    opening: np.ndarray
    error: np.ndarray

    def each(self, change: Callable[[str, np.ndarray], np.ndarray]) -> Readings:
        """The readings with each array replaced by `change` of its name and itself."""
        return Readings(**{one.name: change(one.name, getattr(self, one.name)) for one in fields(self)})


NOISE: dict[str, float | np.ndarray] = {
    "coefficients": COEFFICIENT,
    "angles": ANGLE,
    "place": np.array([PLACE, PLACE, DEPTH]),
    "gaze": GAZE,
    "lids": LIDS,
    "opening": OPENING,
}


def fit_track(seen: Frames) -> tuple[HeadMotion, np.ndarray]:
    """The absolute motion and the identity (m,) of a face that at least one frame shows."""
    model = head_model()
    shot = shots(seen.times, seen.faces, seen.changed)
    there = np.array([face is not None for face in seen.faces])
    numbers, counts = np.unique(shot[there], return_counts=True)
    identity, basis = _person(model, seen, np.flatnonzero(there & (shot == numbers[counts.argmax()])))
    balls = [ball(model, identity, side) for side in (0, 1)]
    sizes = {
        "coefficients": len(model.shapes),
        "angles": 3,
        "place": 3,
        "gaze": 2,
        "lids": 2,
        "opening": 1,
        "error": 1,
    }
    readings = Readings(**{name: np.zeros((len(shot), size)) for name, size in sizes.items()})
    for number in numbers:
        part = np.flatnonzero(there & (shot == number))
        camera = _camera(np.stack([_points(seen.faces[k]) for k in part]))
        last: Solution | None = None
        for k in part:
            problem = _problem(basis, seen.faces[k], seen.size, camera)
            first = last or start(basis, problem.points, camera, problem.expected)
            head = problem.solve(first, STEPS if last else FIRST_STEPS)
            last = _read(problem, head, _points(seen.faces[k]), balls, into=readings, k=int(k))
    readings = readings.each(lambda name, values: _filled(seen.times, values, there, shot))
    return _motion(model, seen.times, readings, there, shot), identity


def _points(face: Face | None) -> np.ndarray:
    """The landmarks (478, 2), pixels, of a face that is there."""
    assert face is not None and face.landmarks is not None
    return face.landmarks


def _camera(points: np.ndarray) -> Camera:
    """One camera for points (f, 478, 2), pixels: the median of the frames' own."""
    cameras = [camera_of(one) for one in points]
    focal, x, y = np.median([(one.focal, one.cx, one.cy) for one in cameras], 0)
    return Camera(float(focal), float(x), float(y))


def _problem(basis: Basis, face: Face | None, size: tuple[int, int], camera: Camera | None = None) -> Problem:
    """The fit of a face in a picture of a height and width: with a camera of its own, all is fitted.

    With the `camera` of a shot, `basis` is the person's, and the identity stays.
    """
    points = _points(face)
    skin = points[:MESH]
    return Problem(
        inside(basis, skin, size),
        skin,
        camera or camera_of(points),
        unit=unit_of(points),
        expected=expectation(basis, face.expression if face else None),
        identity_fixed=camera is not None,
    )


def _person(model: HeadModel, seen: Frames, rows: np.ndarray) -> tuple[np.ndarray, Basis]:
    """The identity (m,) of the face in some frames, and a basis whose neutral head is this person's.

    What the fits of these frames leave over on average belongs to the person.
    """
    chosen = np.unique(rows[np.linspace(0, len(rows) - 1, KNOWN_FROM).round().astype(int)])
    basis = basis_of(model)
    solved, information = [], []
    for k in chosen:
        problem = _problem(basis, seen.faces[k], seen.size)
        head = problem.solve(start(basis, problem.points, problem.camera, problem.expected))
        solved.append((problem, head))
        information.append(problem.identity_information(head))
    trust = len(information) ** -0.5  # landmarks err alike in every frame
    matrix = trust * sum(one for one, _ in information) + np.eye(len(basis.identities))
    vector = trust * sum(one for _, one in information)
    identity = np.clip(np.linalg.solve(matrix, vector), -MOST, MOST)
    left = []
    for problem, head in solved:
        head = replace(problem, identity_fixed=True).solve(replace(head, identity=identity))
        left.append(left_over(problem.basis, problem.points, problem.camera, head)[1])
    neutral = basis.neutral + np.tensordot(identity, basis.identities, 1) + np.mean(left, 0)
    return identity.astype(np.float32), replace(basis, neutral=neutral, identities=basis.identities[:0])


def _read(
    problem: Problem,
    head: Solution,
    points: np.ndarray,
    balls: list[tuple[np.ndarray, float]],
    into: Readings,
    k: int,
) -> Solution:
    """Writes the numbers of frame k to row k of `into`; returns its solution.

    head: solves the problem without the gaze. points (478, 2): the frame's landmarks, pixels. balls: the
    image's left and right eyeball, as `eyes.ball` gives them.
    """
    basis, camera = problem.basis, problem.camera
    gaze = gaze_of(points, camera, head.R, head.T, balls)[0].mean(0)
    head = replace(problem, expected=look(problem.expected, gaze)).solve(head, STEPS)
    missed, _ = left_over(basis, problem.points, camera, head)
    skin = basis.at(head.identity, head.coefficients)
    into.opening[k], into.lids[k] = openings(points, camera, head.R, head.T, skin)
    into.coefficients[k], into.angles[k], into.gaze[k] = head.coefficients, angles(head.R), gaze
    into.place[k] = to_camera(FACE, head.R, head.T)
    into.error[k] = np.linalg.norm(missed, axis=1).mean() / problem.unit
    return head


def _filled(times: np.ndarray, values: np.ndarray, there: np.ndarray, shot: np.ndarray) -> np.ndarray:
    """Values (f, k) in which frames without a face are interpolated from those of their shot with one.

    there (f,) bool: frames that show a face. shot (f,): their numbers.
    """
    out = values.copy()
    for number in np.unique(shot[there]):
        known, rows = there & (shot == number), shot == number
        for column in range(values.shape[1]):
            out[rows, column] = np.interp(times[rows], times[known], values[known, column])
    return out


def _together(lids: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Openings of the lids (f, 2), the image's left and right, made alike except in winks, as people's are.

    The eye that a turned head hides is read worse, and counts less. yaw: (f,), degrees.
    """
    right = 0.5 - 0.5 * np.clip(yaw / HIDES, -1, 1)
    mean = (1 - right) * lids[:, 0] + right * lids[:, 1]
    wink = smoothstep(np.abs(lids[:, 0] - lids[:, 1]), *WINK)[:, None]
    return mean[:, None] + wink * (lids - mean[:, None])


def _motion(
    model: HeadModel, times: np.ndarray, readings: Readings, there: np.ndarray, shot: np.ndarray
) -> HeadMotion:
    """The absolute motion out of the frames' readings: smoothed, with lids and lips from their openings."""
    open_lids = np.maximum(np.quantile(readings.lids[there], OPEN, axis=0), 1e-3)
    shares = readings.each(lambda name, values: values / open_lids if name == "lids" else values)
    error = shares.error[:, 0]
    pieces = 2 * shot + there  # a gap is a piece of its own
    calm = shares.each(
        lambda name, values: smoothed(times, values, NOISE[name], pieces) if name in NOISE else values
    )
    coefficients = look(np.append(calm.coefficients, np.zeros((len(times), 1)), 1), calm.gaze)
    lids = _together(calm.lids, calm.angles[:, 0])
    for side, column in (("R", 0), ("L", 1)):  # the person's right eye is the image's left
        coefficients[:, INDEX[f"eyeBlink_{side}"]] = np.maximum(1 - lids[:, column], WIDEST)
    coefficients[:, INDEX["mouthClose"]] = model.closing(coefficients, calm.opening[:, 0])
    pose = np.zeros((len(times), 6))
    pose[:, :3] = calm.angles
    for k, turned in enumerate(calm.angles):
        R = rotation(*turned)
        pose[k, 3:] = calm.place[k] + FLIP @ R @ (PIVOT - FACE)
    return HeadMotion(
        times=times,
        coefficients=coefficients,
        pose=pose,
        gaze=calm.gaze,
        confidence=np.where(there, np.clip((LOST - error) / (LOST - SURE), LEAST_SURE, 1), 0),
        shot=shot,
    )
