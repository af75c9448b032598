"""Chooses the region of each signal, and reads masks that users draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError, one_of
from ..media.image import read_image
from .shapes import REGIONS, SOFT_REGIONS


def region_for(signal: str, default: str, alone: bool, override: str | Path | None = None) -> str | Path:
    """Where a signal acts: the caller's choice, else the paper's rule (ACTalker, 3.4 and supplement B.2).

    Args:
        signal: its name, for messages.
        default: its region where other signals are open too.
        alone: whether no other signal is open; it then gets the face.
        override: the caller's choice, the name of a region or the path of a mask picture.
    Returns: the name of a region, or the path of a mask picture.
    Raises: InputError for a name that is neither.
    """
    if override is None:
        return "face" if alone else default
    if isinstance(override, str) and is_region(override):
        return override
    if Path(override).suffix or Path(override).is_file():
        return Path(override)
    return one_of(str(override), {**REGIONS, **SOFT_REGIONS}, f"region for {signal}")


def is_region(choice: str | Path) -> bool:
    """Whether a choice is the name of a region, not the path of a mask picture."""
    return choice in REGIONS or choice in SOFT_REGIONS


def mask_of(choice: str, known: Mapping[str, Tensor], signal: str) -> Tensor:
    """The mask of a named region among the `known` ones.

    signal: its name, for messages. Raises: InputError for a soft region of a face without landmarks.
    """
    if choice not in known:
        raise InputError(
            f"region {signal}={choice}: needs landmarks, and this face has only a box; use "
            f"{choice.removesuffix('-soft')}, or install mediapipe"
        )
    return known[choice]


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask picture as (h, w) float32 in [0, 1], white inside, at the portrait's `size` = (h, w).

    Raises: InputError for pictures that cannot be read, of another shape than the portrait, or black.
    """
    picture = read_image(path)
    h, w = size
    if abs(picture.shape[1] / picture.shape[0] * h / w - 1) > 0.02:
        raise InputError(
            f"{path}: the mask is {picture.shape[1]} x {picture.shape[0]} pixels, the portrait {w} x {h}; "
            "draw it over the portrait"
        )
    grey = Image.fromarray(picture).convert("L").resize((w, h), Image.Resampling.BOX)
    mask = np.asarray(grey, np.float32) / 255
    if mask.max() < 0.5:
        raise InputError(f"{path}: the mask is black everywhere; paint white where the signal may act")
    return mask
