"""Landmarks of heads whose coefficients, pose and gaze are known: the model's own places, seen by a pinhole
camera."""

import numpy as np

from actalker.faces.face import Face
from actalker.heads.camera import Camera, rotation, to_camera
from actalker.heads.eyes import ball
from actalker.heads.landmarks import IRISES, eyes_distance
from actalker.heads.model import SCORES, head_model, ours

SIZE = (512, 512)
CAMERA = Camera(1100.0, 256.0, 256.0)
MODEL = head_model()


def landmarks(
    identity: np.ndarray,
    coefficients: np.ndarray,
    turned: tuple[float, float, float] = (0, 0, 0),
    shift: tuple[float, float, float] = (0, -1.5, 97),
    gaze: tuple[float, float] = (0, 0),
    noise: float = 0.0,
    random: np.random.Generator | None = None,
) -> np.ndarray:
    """(478, 2) pixels. noise: standard deviation, share of the eyes' distance. gaze: degrees right and
    down."""
    at = MODEL.at_landmarks(MODEL.shape(identity, coefficients)).astype(float)
    x, y = np.radians(gaze)
    for side, first in enumerate(IRISES):
        centre, radius = ball(MODEL, identity, side)
        for k, (dx, dy) in enumerate([(0, 0), (0.4, 0), (0, 0.4), (-0.4, 0), (0, -0.4)]):
            a, b = x + dx, y - dy
            at[first + k] = centre + radius * np.array(
                [np.sin(a) * np.cos(b), -np.sin(b), np.cos(a) * np.cos(b)]
            )
    points = CAMERA.project(to_camera(at, rotation(*turned), np.array(shift, float)))
    if noise:
        assert random is not None
        points = points + random.normal(size=points.shape) * noise * eyes_distance(points)
    return points


def scores(coefficients: np.ndarray) -> np.ndarray:
    """MediaPipe's 52 blendshapes of a face whose coefficients (54,) they would read exactly."""
    values = np.zeros(52, np.float32)
    for k, name in enumerate(SCORES):
        keys = ours(name)
        if keys:
            values[k] = np.mean([coefficients[MODEL.index[key]] for key in keys])
    return values


def face(points: np.ndarray, expression: np.ndarray | None = None) -> Face:
    """A face as the landmarker would give it."""
    low, high = points[:468].min(0), points[:468].max(0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Face(box, points, "mediapipe478", expression=expression)
