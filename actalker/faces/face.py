"""A face in a picture, and the few points of it that everything else is measured from.

Pixels: x to the right, y down; left and right are the image's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..media.image import Size, height_width

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1


class Square(Protocol):
    """A square in a picture, around which cuts are taken (`Crop`)."""

    @property
    def side(self) -> float:
        """Its width and height, in the picture's pixels."""

    def seen(self, size: Size) -> Box:
        """The part of the picture that a cut of this size shows, in the picture's pixels."""


@dataclass(frozen=True)
class FacePoints:
    """Where the parts of a face are, in pixels.

    contours: name -> (k, 2) closed outlines, `lips` and `face`, where landmarks are known.
    """

    eye_left: Point
    eye_right: Point
    mouth: Point
    lips: Box
    chin: Point
    brow_y: float
    box: Box
    contours: dict[str, np.ndarray] = field(default_factory=dict, compare=False)

    @property
    def eyes(self) -> Point:
        """The middle between the eyes."""
        return (self.eye_left[0] + self.eye_right[0]) / 2, (self.eye_left[1] + self.eye_right[1]) / 2

    @property
    def scale(self) -> float:
        """Distance from the middle of the eyes to the mouth: the unit of margins around a face."""
        return float(np.hypot(self.mouth[0] - self.eyes[0], self.mouth[1] - self.eyes[1]))

    def moved(self, square: Square, size: Size) -> FacePoints:
        """The same points in the pixels of a cut of this size."""
        k, (left, top, _, _) = min(height_width(size)) / square.side, square.seen(size)

        def at(point: Point) -> Point:
            return (point[0] - left) * k, (point[1] - top) * k

        def box(b: Box) -> Box:
            return *at((b[0], b[1])), *at((b[2], b[3]))

        return FacePoints(
            eye_left=at(self.eye_left),
            eye_right=at(self.eye_right),
            mouth=at(self.mouth),
            lips=box(self.lips),
            chin=at(self.chin),
            brow_y=(self.brow_y - top) * k,
            box=box(self.box),
            contours={name: (line - (left, top)) * k for name, line in self.contours.items()},
        )


@dataclass(frozen=True)
class Scheme:
    """Which landmarks of a finder are which part of the face: rows of its landmark array."""

    eye_left: tuple[int, ...]
    eye_right: tuple[int, ...]
    mouth: tuple[int, ...]
    lips: tuple[int, ...]
    chin: int
    brows: tuple[int, ...]
    oval: tuple[int, ...]


_MESH_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_MESH_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
SCHEMES = {
    "mediapipe478": Scheme(
        eye_left=(33, 133),
        eye_right=(362, 263),
        mouth=(61, 291, 0, 17),
        lips=_MESH_LIPS,
        chin=152,
        brows=(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
        oval=_MESH_OVAL,
    ),
    "ibug68": Scheme(
        eye_left=(36, 39),
        eye_right=(42, 45),
        mouth=(48, 54, 51, 57),
        lips=tuple(range(48, 60)),
        chin=8,
        brows=tuple(range(17, 27)),
        oval=(*range(17), *range(26, 16, -1)),
    ),
}


@dataclass(frozen=True)
class Face:
    """A face in a picture, as a finder sees it.

    box: x0, y0, x1, y1 from the forehead to the chin, ear to ear. score: higher is surer.
    landmarks: (p, 2) of `scheme`, or None where the finder knows only the box.
    pose: yaw, pitch and roll in degrees, 0 into the camera, or None where the finder does not know them. Yaw
    grows to the image's right, pitch downwards and roll counter-clockwise.
    expression: MediaPipe's blendshapes, (52,) in [0, 1], or None.
    """

    box: Box
    landmarks: np.ndarray | None = None
    scheme: str | None = None
    score: float = 1.0
    pose: tuple[float, float, float] | None = None
    expression: np.ndarray | None = None

    @property
    def area(self) -> float:
        """The area of the box, in square pixels."""
        return max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1])

    @property
    def side(self) -> float:
        """The longer side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def middle(self) -> np.ndarray:
        """The middle of the box, (2,) pixels."""
        return np.array([self.box[0] + self.box[2], self.box[1] + self.box[3]]) / 2

    def points(self) -> FacePoints:
        """Where its parts are: by its landmarks, or without them by the proportions of an upright face."""
        if self.landmarks is None or self.scheme is None:
            return self._from_box()
        marks, scheme = np.asarray(self.landmarks, float), SCHEMES[self.scheme]

        def middle(rows: tuple[int, ...]) -> Point:
            x, y = marks[list(rows)].mean(0)
            return float(x), float(y)

        def around(rows: tuple[int, ...]) -> Box:
            low, high = marks[list(rows)].min(0), marks[list(rows)].max(0)
            return float(low[0]), float(low[1]), float(high[0]), float(high[1])

        return FacePoints(
            eye_left=middle(scheme.eye_left),
            eye_right=middle(scheme.eye_right),
            mouth=middle(scheme.mouth),
            lips=around(scheme.lips),
            chin=(float(marks[scheme.chin, 0]), float(marks[scheme.chin, 1])),
            brow_y=float(marks[list(scheme.brows), 1].mean()),
            box=self.box,
            contours={"lips": marks[list(scheme.lips)], "face": marks[list(scheme.oval)]},
        )

    def _from_box(self) -> FacePoints:
        """The points by the proportions of an upright face in the box."""
        x0, y0, x1, y1 = self.box
        w, h, cx = x1 - x0, y1 - y0, (x0 + x1) / 2

        def row(share: float) -> float:
            return y0 + share * h

        return FacePoints(
            eye_left=(cx - 0.22 * w, row(EYES)),
            eye_right=(cx + 0.22 * w, row(EYES)),
            mouth=(cx, row(MOUTH)),
            lips=(cx - 0.19 * w, row(MOUTH - 0.04), cx + 0.19 * w, row(MOUTH + 0.06)),
            chin=(cx, y1),
            brow_y=row(EYES - 0.1),
            box=self.box,
        )


EYES, MOUTH = 0.32, 0.75  # of the height of a face from the forehead to the chin
