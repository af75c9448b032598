"""The face finder of the package face-alignment: 68 points a face (Bulat & Tzimiropoulos 2017).

It runs where the package and its weights are on disk; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ..extras import need
from .face import Face

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")


class Aligner(Protocol):
    """face-alignment's model, as it is used here."""

    def get_landmarks_from_image(self, image: np.ndarray) -> list[np.ndarray] | None:
        """The points (68, 2) of each face of (h, w, 3) uint8."""


def _hub() -> Path:
    """The folder in which torch.hub keeps weights."""
    root = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(root).expanduser() / "hub" / "checkpoints"


def alignment_refuses(model: Path | None) -> str | None:
    """Why face-alignment cannot run, or None. model: of the landmarker, not used here."""
    if importlib.util.find_spec("face_alignment") is None:
        return "face-alignment is not installed; pip install 'actalker[alignment]'"
    missing = [name for name in WEIGHTS if not (_hub() / name).is_file()]
    return f"its weights are not on disk ({', '.join(missing)} in {_hub()})" if missing else None


def find_by_alignment(image: np.ndarray, model: Path | None) -> list[Face]:
    """All faces of (h, w, 3) uint8, with their 68 points. model: of the landmarker, not used here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No faces were detected")  # the caller says it
        marks = _aligner().get_landmarks_from_image(image) or []
    faces = []
    for points in marks:
        low, high = points.min(0), points.max(0)
        top = low[1] - 0.25 * (high[1] - low[1])  # the points end at the brows
        faces.append(
            Face((float(low[0]), float(top), float(high[0]), float(high[1])), points.astype(float), "ibug68")
        )
    return faces


@lru_cache(maxsize=1)
def _aligner() -> Aligner:
    """The model, loaded once. Raises: InputError where the package does not import."""
    package = need("alignment", "face_alignment")
    return package.FaceAlignment(
        package.LandmarksType.TWO_D, device="cpu", face_detector="sfd", compile=False
    )
