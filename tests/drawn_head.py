"""A head whose motion is known: a photograph drawn by our own renderer, as a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from skimage import data

from actalker.faces.landmarker import find_by_landmarker
from actalker.heads.drawing import HeadPortrait
from actalker.heads.fit import fit_face
from actalker.heads.model import INDEX, head_model
from actalker.heads.outline import person_outline
from actalker.media.writer import VideoWriter

MODEL, F, FPS = head_model(), 36, 25
CLOSED, SHUT = slice(22, 26), slice(28, 31)  # frames


def asked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative coefficients (f, 54), pose (f, 6) and gaze (f, 2): turns, lips, lids, a glance."""
    t = np.arange(F)
    opens = 0.3 * np.clip(np.sin(2 * np.pi * t / 12), 0, None)
    coefficients = np.stack([MODEL.coefficients(jawOpen=value) for value in opens])
    coefficients[CLOSED, INDEX["mouthClose"]] = 0.3  # more than she opens
    for side in "LR":
        coefficients[SHUT, INDEX[f"eyeBlink_{side}"]] = 1.0
    wave = np.sin(2 * np.pi * t / F) * np.minimum(t / 4, 1)
    pose = np.stack([9 * wave, 4 * wave, -6 * wave, 0.5 * wave, 0 * wave, 0 * wave], 1)
    gaze = np.stack([np.where((t > 6) & (t < 20), 14.0, 0.0), 0.0 * t], 1)
    return coefficients, pose, gaze


def draw_video(path: Path) -> Path:
    """The motion that is `asked`, drawn into a photograph."""
    photograph = np.ascontiguousarray(data.astronaut()[:360, 60:420])  # NASA, public domain
    seen = max(find_by_landmarker(photograph), key=lambda face: face.area)
    portrait = HeadPortrait(photograph, fit_face(seen, photograph), person_outline(photograph))
    with VideoWriter(path, Fraction(FPS), (360, 360)) as writer:
        for frame in zip(*asked(), strict=True):
            writer.write(portrait.draw(*frame).frame)
    return path
