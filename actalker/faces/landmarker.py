"""The face finder of MediaPipe: 478 points a face. Its model file comes with this package.

Source: Kartynnik et al. 2019 (face mesh), Grishchenko et al. 2020 (attention mesh).
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import logging
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from ..errors import InputError
from .face import SCHEMES, Face
from .stderr import without_lines

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import FaceDetector, FaceLandmarker

SHIPPED = Path(__file__).parents[1] / "assets" / "face_landmarker" / "face_landmarker.task"
LARGEST = 1024  # pixels of the longer side at most: larger pictures are shrunk first
MOST_FACES = 8
LEAST_SCORE = 0.1  # of the first stage alone
WARM_UP = 16  # calls before the first real one; each takes about a millisecond
CLOSE = 2.5  # side of the square in which a face is searched again, in longer sides of its box
NEAREST = 96  # pixels a side of the smallest part of a picture that is searched by itself
APT = "apt-get install libegl1 libgles2 libgl1 libglib2.0-0"
IS_NONE = "is not a face landmarker ({why}); give MediaPipe's face_landmarker.task"
OWN_LINES = (  # of MediaPipe, absl and TensorFlow Lite, as they start
    r"[IWEF]\d{4,8} \d\d:|WARNING: (Logging|All log messages) before |INFO: \[\w+\.cc:"
    r"|INFO: (Created|Initialized) TensorFlow"
)
_CREATION = threading.Lock()


Task = TypeVar("Task", covariant=True)
Options = TypeVar("Options", contravariant=True)


class TaskKind(Protocol[Options, Task]):
    """The class of one of MediaPipe's tasks."""

    def create_from_options(self, options: Options) -> Task:
        """Load the model and start its threads."""


def landmarker_refuses(model: Path | None) -> str | None:
    """Return a message that says why the landmarker cannot run, or None if it can; `model` is not used."""
    return _missing()


@lru_cache(maxsize=1)
def _missing() -> str | None:
    """Return a message that says why MediaPipe cannot be imported, or None; it imports it to find out.

    The package itself, or a library of the system that it needs, may be missing.
    """
    if (reason := libraries_missing()) is not None:
        return reason
    try:
        with _matplotlib_silent():
            importlib.import_module("mediapipe")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return _why(error)
    return None


def libraries_missing() -> str | None:
    """Return a message that names the missing package or library of the system, or None if none is missing.

    It loads the libraries, but does not import MediaPipe, which takes seconds.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None:
        return "mediapipe is absent; pip install mediapipe"
    try:
        importlib.import_module("cv2")
        for folder in spec.submodule_search_locations or ():
            for library in Path(folder).glob("tasks/c/*mediapipe.*"):
                ctypes.CDLL(str(library))  # the package itself loads it late
    except (ImportError, OSError) as error:
        return _why(error)
    return None


def _why(error: Exception) -> str:
    """Why MediaPipe does not load, in one line: the missing library of the system, else the error itself."""
    reason = " ".join(str(error).split())[:200]
    named = re.search(r"\blib[\w.-]+\.so[.\d]*", reason)
    if named is not None:
        return f"mediapipe does not load: {named[0]} is missing or damaged; {APT}"
    return f"mediapipe does not load ({reason})"


@contextmanager
def _matplotlib_silent() -> Iterator[None]:
    """Keep matplotlib from logging its caches; MediaPipe imports it, and nothing here draws with it."""
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def find_by_landmarker(image: np.ndarray, model: Path | None = None) -> list[Face]:
    """All faces of (h, w, 3) uint8; where none is seen, faces that are small in the picture are searched.

    Raises: InputError when the file is no landmarker.
    """
    h, w = image.shape[:2]
    model = model or SHIPPED
    faces = _look(image, model, 0.0, 0.0)
    side = min(h, w)
    # its first stage is made for faces near the camera: look again in overlapping squares, then smaller ones
    for part in (side, side // 2):
        if faces or part < NEAREST or part == max(h, w):
            continue
        for y in _starts(h, part):
            for x in _starts(w, part):
                faces += _look(image[y : y + part, x : x + part], model, float(x), float(y))
    return _apart(faces)


def look_closer(image: np.ndarray, face: Face, model: Path | None = None) -> Face | None:
    """Search a face of (h, w, 3) uint8 again in a square around it; None where no face is seen there.

    The square is as much as the landmarker needs. It is faster than the whole picture, and more exact where
    the face is small.
    """
    part, left, top = _close(image, face)
    seen = [] if part.size == 0 else _look(part, model or SHIPPED, float(left), float(top))
    return min(seen, key=lambda one: float(np.hypot(*(one.middle - face.middle))), default=None)


def human_score(image: np.ndarray, face: Face, model: Path | None = None) -> float:
    """How sure the first stage is of a face of (h, w, 3) uint8 in a square around it, 0 to 1.

    People get 0.7 and more, painted and carved ones too; a cat gets 0.5.
    """
    part, _, _ = _close(image, face)
    return 0.0 if part.size == 0 else detector_score(part, model)


def _close(image: np.ndarray, face: Face) -> tuple[np.ndarray, int, int]:
    """The square around a face as far as the picture reaches, and x and y of its left top corner."""
    h, w = image.shape[:2]
    (x, y), half = face.middle, CLOSE * face.side / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    right, bottom = max(left, min(w, round(x + half))), max(top, min(h, round(y + half)))
    return image[top:bottom, left:right], left, top


def _starts(length: int, part: int) -> list[int]:
    """The starts of parts that cover a length and overlap by half or more."""
    count = max(1, -(-2 * (length - part) // part) + 1)
    return [round(k * (length - part) / max(1, count - 1)) for k in range(count)]


def _look(image: np.ndarray, model: Path, x: float, y: float) -> list[Face]:
    """Faces of a part of a picture whose left top corner is at (x, y)."""
    from PIL import Image

    h, w = image.shape[:2]
    seen = image
    if max(h, w) > LARGEST:
        size = max(1, round(w * LARGEST / max(h, w))), max(1, round(h * LARGEST / max(h, w)))
        seen = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    landmarker = _landmarker(str(model))
    import mediapipe

    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(seen))
    faces = []
    result = landmarker.detect(picture)
    parts = (result.face_landmarks, result.facial_transformation_matrixes, result.face_blendshapes)
    for marks, matrix, shapes in zip(*parts, strict=True):
        points = np.array([(mark.x * w + x, mark.y * h + y) for mark in marks])
        oval = points[list(SCHEMES["mediapipe478"].oval)]
        low, high = oval.min(0), oval.max(0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        pose = pose_of(np.asarray(matrix)[:3, :3])
        expression = np.array([shape.score for shape in shapes], np.float32)
        faces.append(Face(box, points, "mediapipe478", pose=pose, expression=expression))
    return faces


def detector_score(image: np.ndarray, model: Path | None = None) -> float:
    """How sure the first stage is of the surest face in (h, w, 3) uint8, 0 to 1; 0 where it sees none."""
    with _CREATION:
        detector = _detector(str(model or SHIPPED))
    import mediapipe

    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
    return max((float(d.categories[0].score) for d in detector.detect(picture).detections), default=0.0)


def pose_of(matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a matrix (3, 3), a scaled rotation Rz(roll) Ry(yaw) Rx(pitch).

    Axes: x right, y up, z to the camera.
    """
    m = matrix / np.linalg.norm(matrix, axis=0)
    yaw = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    angles = np.degrees([yaw, np.arctan2(m[2, 1], m[2, 2]), np.arctan2(m[1, 0], m[0, 0])])
    return float(angles[0]), float(angles[1]), float(angles[2])


def _apart(faces: list[Face]) -> list[Face]:
    """Return each face once: of faces that overlap, the largest."""
    separate: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.area):
        middle = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
        boxes = (other.box for other in separate)
        if not any(x0 <= middle[0] <= x1 and y0 <= middle[1] <= y1 for x0, y0, x1, y1 in boxes):
            separate.append(face)
    return separate


def _landmarker(model: str) -> FaceLandmarker:
    """The loaded model, one for all threads. Raises: InputError when the file is no landmarker."""
    with _CREATION:
        return _created(model)


@lru_cache(maxsize=2)
def _created(model: str) -> FaceLandmarker:
    """Load the model for `_landmarker`, which calls this for one thread at a time."""
    if (reason := _missing()) is not None:
        raise InputError(reason)
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=model),
        num_faces=MOST_FACES,
        output_facial_transformation_matrixes=True,
        output_face_blendshapes=True,
    )
    return silently(FaceLandmarker, options, model, IS_NONE)


@lru_cache(maxsize=2)
def _detector(model: str) -> FaceDetector:
    """The first stage alone, from the landmarker's file."""
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceDetector, FaceDetectorOptions

    with zipfile.ZipFile(model) as parts:
        base = BaseOptions(model_asset_buffer=parts.read("face_detector.tflite"))
    options = FaceDetectorOptions(base_options=base, min_detection_confidence=LEAST_SCORE)
    return silently(FaceDetector, options, model, IS_NONE)


def silently(
    kind: TaskKind[Options, Task], options: Options, model: str, otherwise: str, call: str = "detect"
) -> Task:
    """Create one of MediaPipe's tasks with its log lines suppressed, and return the task.

    The task is run WARM_UP times on a black picture, since the first calls log lines too.

    Args:
        kind: the task's class.
        options: the options that the task is created from.
        model: path of the task's model file, for messages.
        otherwise: message for a file that is no model of this task, with `{why}` for MediaPipe's own words.
        call: name of the task's method that takes a picture, for the warm-up.
    Raises: InputError for a file that is no model of this task.
    """
    import mediapipe

    black = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.zeros((64, 64, 3), np.uint8))
    try:
        with without_lines(OWN_LINES):
            task = kind.create_from_options(options)
            # its threads log that they have begun, and once in a process that an input is not aligned,
            # which depends on where in memory an input lies
            for _ in range(WARM_UP):
                getattr(task, call)(black)
    except (RuntimeError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:100]
        raise InputError(f"{model}: {otherwise.format(why=why)}") from None
    # its clean-up needs threads that are gone when the program ends, and would complain; the system cleans up
    atexit.register(setattr, task, "_handle", None)
    return task
