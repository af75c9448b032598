"""The square that a model sees: a face at its canonical place, and back.

In the canonical crop's unit square (x right, y down) the middle of the eyes is at (0.5, 0.42) and the
mouth at
height 0.68, so that a face stands where the model has learnt it to stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

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
        reach = self.side / size  # pixels beside the square that the filter sees
        x0, y0 = int(np.floor(self.x - reach)), int(np.floor(self.y - reach))
        x1, y1 = int(np.ceil(self.x + self.side + reach)), int(np.ceil(self.y + self.side + reach))
        rows, columns = np.clip(np.arange(y0, y1), 0, h - 1), np.clip(np.arange(x0, x1), 0, w - 1)
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        part = Image.fromarray(np.pad(inside, (_repeats(rows), _repeats(columns), (0, 0)), mode="edge"))
        left, top = self.x - x0, self.y - y0
        box = (left, top, left + self.side, top + self.side)
        return np.array(part.resize((size, size), Image.Resampling.BILINEAR, box=box))

    def to_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (..., 2) in the picture to pixels of the cut."""
        return (np.asarray(points, float) - (self.x, self.y)) * (size / self.side)

    def from_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (..., 2) in the cut's pixels to the picture."""
        return np.asarray(points, float) * (self.side / size) + (self.x, self.y)


def _repeats(places: np.ndarray) -> tuple[int, int]:
    """How often the first and the last of rising places stand there once more."""
    first = int(np.count_nonzero(places == places[0])) - 1
    return first, int(np.count_nonzero(places == places[-1])) - 1 if places[0] != places[-1] else 0


def canonical_crop(face: Face) -> Crop:
    """The square in which the face's eyes and mouth stand at their canonical places."""
    points = face.points()
    side = points.scale / (MOUTH_AT - EYES_AT)
    middle = (points.eyes[0] + points.mouth[0]) / 2  # a tilted head leans out of the middle evenly
    down = (points.eyes[1] + points.mouth[1]) / 2
    return Crop(middle - side / 2, down - side * (EYES_AT + MOUTH_AT) / 2, side)
