"""Cases whose files are opened for a model, and the measures read from their frames.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..faces.find import choose_finder
from ..faces.landmarker import find_by_landmarker
from ..pipeline.inputs import ClipInputs, gather
from ..pipeline.model.model import TalkingHeadModel
from ..pipeline.options import RunOptions
from .cases import FPS, Case
from .cells import Measured
from .frames import flicker_of, smoothness_of
from .sync import lagged_correlation, loudness

MASKS = ("mouth", "upper", "face")  # regions in which changes are measured
ENLARGED = 3  # the landmarker wants larger faces than 128 pixels hold
LIPS, EYES_AND_MOUTH = (13, 14), (33, 263, 13)  # inner lips; for the scale


@dataclass
class Opened:
    """Hold a case with its files read and encoded."""

    case: Case
    inputs: ClipInputs

    def read(self, frames: np.ndarray) -> tuple[list[float] | None, dict[str, float]]:
        """Measure frames (f, h, w, 3) uint8.

        Returns: the lips' opening in each frame, or None where it cannot be read; and name -> number.
        """
        numbers = {"smoothness": smoothness_of(frames), "flicker": flicker_of(frames)}
        curve = self._lips(frames, numbers)
        known = {name: value for name, value in numbers.items() if np.isfinite(value)}
        return None if curve is None else [round(float(v), 5) for v in curve], known

    def _lips(self, frames: np.ndarray, numbers: dict[str, float]) -> np.ndarray | None:
        case, inputs = self.case, self.inputs
        finder, landmarks = choose_finder("auto", None if case.face_model is None else Path(case.face_model))
        if finder != "landmarker":
            return None
        lips = lip_opening(frames, landmarks)
        if np.isnan(lips).mean() > 0.5:
            return None
        if inputs.sound is not None:
            loud = loudness(inputs.sound, inputs.frames, inputs.fps)
            numbers["lips"] = lagged_correlation(lips, loud)
        known = np.flatnonzero(~np.isnan(lips))
        return np.interp(np.arange(len(lips)), known, lips[known])


def lip_opening(frames: np.ndarray, model: Path) -> np.ndarray:
    """Return distance of the inner lips / distance from eyes to mouth, (f,); NaN where no face is found.

    frames: (f, h, w, 3) uint8. model: MediaPipe's face_landmarker.task.
    """
    out = np.full(len(frames), np.nan)
    for k, frame in enumerate(frames):
        side = frame.shape[0] * ENLARGED
        large = np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
        faces = find_by_landmarker(large, model)
        if faces and faces[0].landmarks is not None:
            marks = faces[0].landmarks
            unit = np.hypot(
                *((marks[EYES_AND_MOUTH[0]] + marks[EYES_AND_MOUTH[1]]) / 2 - marks[EYES_AND_MOUTH[2]])
            )
            out[k] = np.hypot(*(marks[LIPS[0]] - marks[LIPS[1]])) / unit
    return out


def open_case(case: Case, model: TalkingHeadModel) -> Opened:
    """Read a case's files for a model. Raises: InputError for files that cannot be used."""
    options = RunOptions(fps=FPS, duration=case.duration, face_model=case.face_model, liveliness=0.0)
    return Opened(case, gather(model, case.portrait, case.inputs(), options))


def measured_context(opened: Opened) -> Measured:
    """Make the cell that all cells of a case share: the region masks in the picture, and the sound."""
    inputs = opened.inputs
    bound, sound = inputs.portrait.bound, inputs.sound
    arrays = {name: np.asarray(bound.shown(bound.masks[name])) for name in MASKS}
    if sound is not None:
        arrays["sound"] = sound.samples
    values = {"fps": str(inputs.fps), "sampling_rate": None if sound is None else sound.rate}
    return Measured(values, arrays)
