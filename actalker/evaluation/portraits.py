"""What audio alone does to real portraits, measured with MediaPipe's landmarks on the output's frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..faces.find import choose_finder
from ..faces.landmarker import find_by_landmarker
from ..media.image import write_png
from ..pipeline.talking_head import TalkingHeadPipeline
from ..regions.shapes import REGIONS
from .ablate import Row, contact_sheet
from .sync import lagged_correlation, loudness

LEAST_FOUND = 0.5  # of the frames: with fewer faces found, lips are not measured
ENLARGED = 3  # the landmarker wants larger faces than 128 pixels hold
LIPS, EYES_AND_MOUTH = (13, 14), (33, 263, 13)  # inner lips; for the scale


def lip_opening(frames: np.ndarray, model: Path) -> np.ndarray:
    """Distance of the inner lips over that of eyes and mouth, (f,); NaN where no face is found."""
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


def measure_portraits(
    pipeline: TalkingHeadPipeline,
    paths: Sequence[Path],
    speech: Path,
    model: Path | None,
    duration: str,
    folder: Path,
    seed: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """Each picture driven by speech alone, with the gate open and closed: cells and rows.

    Writes `portraitNN.png` with frames of both into `folder`: whether it is still that person, people see.
    """
    _, landmarks = choose_finder("landmarker", model)
    pipeline.set_progress_bar_config(disable=True)
    cells = []
    for number, path in enumerate(paths):
        made = {}
        for gate in (1.0, 0.0):
            request = pipeline.prepare(
                path,
                audio=speech,
                gates={"audio": gate},
                duration=duration,
                seed=seed,
                steps=steps,
                face_model=model,
            )
            made[gate] = np.stack(list(pipeline.stream(request)))
        inputs = request.inputs
        assert inputs.portrait.crop is not None and inputs.sound is not None
        size = pipeline.model.config.size
        outside = 1 - REGIONS["face"](
            [inputs.portrait.face.points().moved(inputs.portrait.crop, size)], (size, size)
        )
        apart = np.abs(made[1.0].astype(float) - inputs.portrait.picture).mean(-1)
        lips = {gate: lip_opening(frames, landmarks) for gate, frames in made.items()}
        loud = loudness(inputs.sound, inputs.frames, inputs.fps)
        found = min(float((~np.isnan(opening)).mean()) for opening in lips.values())
        seen = found >= LEAST_FOUND
        nan = float("nan")
        shown = {
            f"audio {name}": torch.from_numpy(made[gate]).permute(0, 3, 1, 2) / 255
            for name, gate in (("open", 1.0), ("closed", 0.0))
        }
        write_png(folder / f"portrait{number:02d}.png", contact_sheet(shown), overwrite=True)
        cells.append(
            {
                "portrait": path.name,
                "correlation": lagged_correlation(lips[1.0], loud) if seen else nan,
                "movement": float(np.nanstd(lips[1.0])) if seen else nan,
                "closed movement": float(np.nanstd(lips[0.0])) if seen else nan,
                "outside": float(
                    (apart * outside.numpy()).sum() / max(1e-9, float(outside.sum()) * len(apart))
                ),
                "found": found,
            }
        )
    return {"cells": cells, "rows": portrait_rows(cells)}


def portrait_rows(cells: list[dict[str, Any]]) -> list[Row]:
    """The table's rows, from the cells."""
    follow = sum(c["correlation"] >= 0.4 for c in cells)
    # a portrait that could not be measured is NaN, which no target allows: numpy's maximum keeps it
    still = float(np.max([c["closed movement"] / max(c["movement"], 1e-9) for c in cells]))
    outside = float(np.max([c["outside"] for c in cells]))
    nan = float("nan")  # one picture is no sample of a population: no interval
    follows = f"portraits of {len(cells)} whose lips follow loudness (correlation >= 0.4)"
    return [
        Row(follows, follow, nan, nan, ">= two thirds", follow >= 2 * len(cells) / 3),
        Row("lip movement, audio closed / open, worst portrait", still, nan, nan, "<= 0.33", still <= 1 / 3),
        Row("change outside the face, worst portrait (of 255)", outside, nan, nan, "<= 2", outside <= 2),
    ]
