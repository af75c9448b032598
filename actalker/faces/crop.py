"""The square that a model sees: a face at its canonical place, and back.

In the canonical crop's unit square (x right, y down) the middle of the eyes is at (0.5, 0.42) and the
mouth at
height 0.68, so that a face stands where the model has learnt it to stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .face import Face

EYES_AT, MOUTH_AT = 0.42, 0.68


@dataclass(frozen=True)
class Crop:
    """A square in a picture's pixels: its left top corner and its side. It may reach beyond the picture."""

    x: float
    y: float
    side: float

    def apply(self, image: np.ndarray, size: int) -> np.ndarray:
        """Cut (h, w, 3) uint8 to (size, size, 3) uint8: antialiased, the border's pixels repeated outside."""
        h, w = image.shape[:2]
        step = self.side / size
        # a large picture is first shrunk by whole area averages over the part that is needed
        x0, y0 = int(np.floor(self.x - step)), int(np.floor(self.y - step))
        x1, y1 = int(np.ceil(self.x + self.side + step)) + 1, int(np.ceil(self.y + self.side + step)) + 1
        rows = np.clip(np.arange(y0, y1), 0, h - 1)
        columns = np.clip(np.arange(x0, x1), 0, w - 1)
        part = torch.from_numpy(image[rows[:, None], columns[None]]).permute(2, 0, 1)[None].float()
        return _resample(part, (self.x - x0, self.y - y0), self.side, size)

    def to_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (..., 2) in the picture to pixels of the cut."""
        return (np.asarray(points, float) - (self.x, self.y)) * (size / self.side)

    def from_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (..., 2) in the cut's pixels to the picture."""
        return np.asarray(points, float) * (self.side / size) + (self.x, self.y)


def _resample(part: torch.Tensor, origin: tuple[float, float], side: float, size: int) -> np.ndarray:
    """Weights of a triangle filter as wide as a target pixel (or a source pixel, if that is wider)."""

    def weights(start: float, count: int) -> torch.Tensor:
        step = side / size
        centre = start + (torch.arange(size, dtype=torch.float64) + 0.5) * step - 0.5
        distance = (torch.arange(count, dtype=torch.float64)[None] - centre[:, None]).abs() / max(step, 1.0)
        rows = (1 - distance).clamp(min=0)
        return (rows / rows.sum(1, keepdim=True)).float()

    across, down = weights(origin[0], part.shape[3]), weights(origin[1], part.shape[2])
    cut = F.linear(F.linear(part, across).transpose(2, 3), down).transpose(2, 3)[0]
    return cut.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def canonical_crop(face: Face) -> Crop:
    """The square in which the face's eyes and mouth stand at their canonical places."""
    points = face.points()
    side = points.scale / (MOUTH_AT - EYES_AT)
    middle = (points.eyes[0] + points.mouth[0]) / 2  # a tilted head leans out of the middle evenly
    down = (points.eyes[1] + points.mouth[1]) / 2
    return Crop(middle - side / 2, down - side * (EYES_AT + MOUTH_AT) / 2, side)
