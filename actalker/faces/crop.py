"""The square crop that a model sees, with the face at its canonical place.

In the unit square of the canonical crop (x right, y down) the middle of the eyes is at (0.5, 0.42) and the
mouth at height 0.68, so that a face stands where the model has learnt to expect it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..media.image import Size, height_width
from .face import Face

EYES_AT, MOUTH_AT = 0.42, 0.68


@dataclass(frozen=True)
class Crop:
    """A square of a picture, in its pixels: left top corner and side. It may reach beyond the picture.

    Cuts need not be square: the square fills their shorter side; along the longer side they show what lies
    beside the square, evenly on both sides.
    """

    x: float
    y: float
    side: float

    def seen(self, size: Size) -> tuple[float, float, float, float]:
        """The part of the picture that a cut of this size shows: x0, y0, x1, y1 in its pixels."""
        beside, above = self._margins(size)
        x1, y1 = self.x + self.side + beside, self.y + self.side + above
        return self.x - beside, self.y - above, x1, y1

    def _margins(self, size: Size) -> tuple[float, float]:
        """How far a cut of this size reaches beyond the square: to each side, and above and below it."""
        height, width = height_width(size)
        short = min(height, width)
        return self.side * (width - short) / short / 2, self.side * (height - short) / short / 2

    def apply(self, image: np.ndarray, size: Size) -> np.ndarray:
        """Cut (h, w, 3) uint8 to a picture of this size, uint8, antialiased.

        Beyond the picture, the pixels of its border are repeated.
        """
        h, w = image.shape[:2]
        height, width = height_width(size)
        reach = self.side / min(height, width)  # pixels beside the cut that the filter sees
        (left, top, right, bottom), (beside, above) = self.seen(size), self._margins(size)
        x0, y0 = int(np.floor(left - reach)), int(np.floor(top - reach))
        x1, y1 = int(np.ceil(right + reach)), int(np.ceil(bottom + reach))
        rows, columns = np.clip(np.arange(y0, y1), 0, h - 1), np.clip(np.arange(x0, x1), 0, w - 1)
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        part = Image.fromarray(np.pad(inside, (_repeats(rows), _repeats(columns), (0, 0)), mode="edge"))
        left, top = left - x0, top - y0
        box = (left, top, left + self.side + 2 * beside, top + self.side + 2 * above)
        return np.array(part.resize((width, height), Image.Resampling.BILINEAR, box=box))

    def to_crop(self, points: np.ndarray, size: Size) -> np.ndarray:
        """Points (..., 2) of the picture, in pixels of a cut of this size."""
        return (np.asarray(points, float) - self.seen(size)[:2]) * (min(height_width(size)) / self.side)

    def from_crop(self, points: np.ndarray, size: Size) -> np.ndarray:
        """Points (..., 2) in pixels of a cut of this size, as points of the picture."""
        return np.asarray(points, float) * (self.side / min(height_width(size))) + self.seen(size)[:2]


def _repeats(places: np.ndarray) -> tuple[int, int]:
    """How often the first and the last of rising numbers are repeated."""
    first = int(np.count_nonzero(places == places[0])) - 1
    return first, int(np.count_nonzero(places == places[-1])) - 1 if places[0] != places[-1] else 0


def centred_crop(shape: tuple[int, ...], size: Size) -> Crop:
    """The crop whose cut of this size is the largest in the middle of a picture (h, w, ...)."""
    height, width = height_width(size)
    short = min(height, width)
    side = min(shape[0] * short / height, shape[1] * short / width)
    return Crop((shape[1] - side) / 2, (shape[0] - side) / 2, side)


def canonical_crop(face: Face) -> Crop:
    """The square in which the face's eyes and mouth stand at their canonical places."""
    points = face.points()
    side = points.scale / (MOUTH_AT - EYES_AT)
    middle = (points.eyes[0] + points.mouth[0]) / 2  # a tilted head leans out of the middle evenly
    down = (points.eyes[1] + points.mouth[1]) / 2
    return Crop(middle - side / 2, down - side * (EYES_AT + MOUTH_AT) / 2, side)
