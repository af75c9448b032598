"""MediaPipe's face landmarker: 478 points a face, from its model file.

Source: Kartynnik et al. 2019 (face mesh), Grishchenko et al. 2020 (attention mesh).
"""

from __future__ import annotations

import atexit
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..extras import need
from .face import SCHEMES, Face

LARGEST = 1024  # pixels a side that the finder sees
MOST_FACES = 8
NEEDED = "needs MediaPipe's face_landmarker.task: --face-model FILE, or ACTALKER_FACE_MODEL=FILE"


def landmarker_refuses(model: Path | None) -> str | None:
    """Why the landmarker cannot run, or None."""
    if importlib.util.find_spec("mediapipe") is None:
        return "mediapipe is not installed; pip install 'actalker[face]'"
    return None if model is not None else NEEDED


def find_by_landmarker(image: np.ndarray, model: Path | None) -> list[Face]:
    """All faces of (h, w, 3) uint8; where none is seen, faces that are small in the picture are looked for.

    Raises: InputError when the file is no landmarker.
    """
    if model is None:
        raise InputError(f"the face landmarker {NEEDED}")
    h, w = image.shape[:2]
    faces = _look(image, model, 0.0, 0.0)
    if faces or min(h, w) < 256:
        return faces
    # its first stage is made for faces near the camera: look again in overlapping halves
    for y in (0, h // 4, h // 2):
        for x in (0, w // 4, w // 2):
            faces += _look(image[y : y + h // 2, x : x + w // 2], model, float(x), float(y))
    return _apart(faces)


def _look(image: np.ndarray, model: Path, x: float, y: float) -> list[Face]:
    """Faces of a part of a picture whose left top corner is at (x, y)."""
    from PIL import Image

    h, w = image.shape[:2]
    seen = image
    if max(h, w) > LARGEST:
        size = max(1, round(w * LARGEST / max(h, w))), max(1, round(h * LARGEST / max(h, w)))
        seen = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    mediapipe = need("face", "mediapipe")
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(seen))
    faces = []
    found = _landmarker(str(model)).detect(picture)
    parts = (found.face_landmarks, found.facial_transformation_matrixes, found.face_blendshapes)
    for marks, matrix, shapes in zip(*parts, strict=True):
        points = np.array([(mark.x * w + x, mark.y * h + y) for mark in marks])
        low, high = (
            points[list(SCHEMES["mediapipe478"].oval)].min(0),
            points[list(SCHEMES["mediapipe478"].oval)].max(0),
        )
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        pose = pose_of(np.asarray(matrix)[:3, :3])
        expression = np.array([shape.score for shape in shapes], np.float32)
        faces.append(Face(box, points, "mediapipe478", pose=pose, expression=expression))
    return faces


def pose_of(matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a rotation Rz(roll) Ry(yaw) Rx(pitch), x right, y up, z to the
    camera.
    """
    m = matrix / np.linalg.norm(matrix, axis=0)
    yaw = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    angles = np.degrees([yaw, np.arctan2(m[2, 1], m[2, 2]), np.arctan2(m[1, 0], m[0, 0])])
    return tuple(float(angle) for angle in angles)  # type: ignore[return-value]


def _apart(faces: list[Face]) -> list[Face]:
    """Each face once: the largest of those that overlap."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.area):
        middle = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
        if not any(k.box[0] <= middle[0] <= k.box[2] and k.box[1] <= middle[1] <= k.box[3] for k in kept):
            kept.append(face)
    return kept


@lru_cache(maxsize=2)
def _landmarker(model: str) -> Any:
    """The loaded model. Raises: InputError when the file is no landmarker."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    need("face", "mediapipe")
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

    try:
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=model),
            num_faces=MOST_FACES,
            output_facial_transformation_matrixes=True,
            output_face_blendshapes=True,
        )
        landmarker = FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:100]
        raise InputError(
            f"{model}: is not a face landmarker ({why}); give MediaPipe's face_landmarker.task"
        ) from None
    # its clean-up needs threads that are gone when the program ends, and would complain; the system cleans up
    atexit.register(setattr, landmarker, "_handle", None)
    return landmarker
