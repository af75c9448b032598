"""Frames between generated frames, made from each pair of neighbours.

Letters: h w picture size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ...provenance import check_readable

Between = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(frame, next frame, place in (0, 1)) -> the frame there; all (h, w, 3) uint8."""


def blend(before: np.ndarray, after: np.ndarray, place: float) -> np.ndarray:
    """Mix two frames linearly: no motion is estimated, and no model is needed."""
    mixed = (1 - place) * before.astype(np.float32) + place * after.astype(np.float32)
    return mixed.round().astype(np.uint8)


def load_between(name: str | Path) -> Between:
    """Load an interpolator: `linear`, or the path of a TorchScript file, such as an exported RIFE.

    Its `forward(before, after, place)` takes two (1, 3, h, w) in [0, 1] and a number in (0, 1), and returns
    the frame there, (1, 3, h, w).

    Raises: InputError for files that are no TorchScript.
    """
    if str(name) == "linear":
        return blend
    path = check_readable(name, "TorchScript file")
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        words = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: no TorchScript file ({words}); give one, or the interpolator linear"
        ) from None

    @torch.no_grad()
    def between(before: np.ndarray, after: np.ndarray, place: float) -> np.ndarray:
        one, other = (torch.from_numpy(f).permute(2, 0, 1)[None].float() / 255 for f in (before, after))
        try:
            result = network(one, other, place)
        except RuntimeError as error:
            words = " ".join(str(error).split())[:120]
            raise InputError(f"{path}: cannot interpolate frames of {before.shape} ({words})") from None
        if not isinstance(result, torch.Tensor) or result.shape != one.shape:
            raise InputError(f"{path}: its result is no frame of {tuple(one.shape)}; give another model")
        return (result[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

    return between


def interpolated(frames: Iterable[np.ndarray], factor: int, between: Between) -> Iterator[np.ndarray]:
    """Yield `factor` frames for each frame, evenly spaced in time; the last frame is repeated."""
    before: np.ndarray | None = None
    for frame in frames:
        if before is not None:
            yield before
            for k in range(1, factor):
                yield between(before, frame, k / factor)
        before = frame
    if before is not None:
        yield from [before] * factor
