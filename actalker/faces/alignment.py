"""face-alignment's 68 points (Bulat & Tzimiropoulos 2017), where the package and its weights are on disk."""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import need
from .face import Face

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")  # never downloaded by a search for a face


def _hub() -> Path:
    root = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(root).expanduser() / "hub" / "checkpoints"


def alignment_refuses(model: Path | None) -> str | None:
    """Why face-alignment cannot run, or None. `model` is the landmarker's and not used."""
    if importlib.util.find_spec("face_alignment") is None:
        return "face-alignment is not installed; pip install 'actalker[alignment]'"
    missing = [name for name in WEIGHTS if not (_hub() / name).is_file()]
    return f"its weights are not on disk ({', '.join(missing)} in {_hub()})" if missing else None


def find_by_alignment(image: np.ndarray, model: Path | None) -> list[Face]:
    """All faces of (h, w, 3) uint8 with their 68 points."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No faces were detected")  # said by who asks
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
def _aligner() -> Any:
    package = need("alignment", "face_alignment")
    return package.FaceAlignment(
        package.LandmarksType.TWO_D, device="cpu", face_detector="sfd", compile=False
    )
