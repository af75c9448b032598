"""Regions of a face over a clip: rectangles as in the paper (ACTalker, supplement A.3), and tight soft ones.

A region is a function of the face's points, in one portrait or in every frame of a clip, and of the picture's
size (h, w); it returns a mask (h, w) in [0, 1]. With a portrait alone the later motion is not known, so the
rectangles are widened by how far a head usually moves. Margins are in units of the distance from the eyes to
the mouth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..faces.face import Box, FacePoints

REACH = 0.3  # how far a head moves to a side, from its portrait
FACE_MARGIN, FOREHEAD = 0.12, 0.45  # of the face's size; above the brows
MOUTH_ABOVE, MOUTH_BESIDE, CHIN_BELOW = 0.2, 0.25, 0.1

Shape = Callable[[Sequence[FacePoints], tuple[int, int]], Tensor]


def _filled(box: Box, size: tuple[int, int]) -> Tensor:
    """A rectangle as a mask (h, w); a pixel that it covers in part gets that share."""
    h, w = size
    x0, y0, x1, y1 = box

    def covered(low: float, high: float, count: int) -> Tensor:
        at = torch.arange(count, dtype=torch.float64)
        return ((at + 1).clamp(max=high) - at.clamp(min=low)).clamp(0, 1)

    return (covered(y0, y1, h)[:, None] * covered(x0, x1, w)).float()


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box around all boxes."""
    rows = np.asarray(boxes)
    low, high = rows[:, :2].min(0), rows[:, 2:].max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _mouth_box(points: Sequence[FacePoints]) -> Box:
    """The rectangle of `mouth`."""
    unit = float(np.mean([p.scale for p in points]))
    reach = REACH * unit if len(points) == 1 else 0.0
    lips = _around([p.lips for p in points])
    beside = MOUTH_BESIDE * (lips[2] - lips[0]) + reach
    chin = max(p.chin[1] for p in points)
    return (
        lips[0] - beside,
        lips[1] - MOUTH_ABOVE * unit,
        lips[2] + beside,
        chin + CHIN_BELOW * unit + reach / 2,
    )


def _face_box(points: Sequence[FacePoints]) -> Box:
    """The face's part of `face`."""
    unit = float(np.mean([p.scale for p in points]))
    reach = REACH * unit if len(points) == 1 else 0.0
    x0, y0, x1, y1 = _around([p.box for p in points])
    y0 = min(y0, min(p.brow_y for p in points) - FOREHEAD * unit)
    y1 = max(y1, max(p.chin[1] for p in points))
    side, below = FACE_MARGIN * (x1 - x0), FACE_MARGIN * (y1 - y0) / 2
    return x0 - side - reach / 2, y0 - reach / 2, x1 + side + reach / 2, y1 + below + reach / 2


def mouth(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The rectangle around the lips of all frames, down to the chin, since the jaw moves with speech."""
    return _filled(_mouth_box(points), size)


def face(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The rectangle around the face of all frames, with the rectangle of the mouth."""
    return torch.maximum(_filled(_face_box(points), size), mouth(points, size))


def upper(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The face without the mouth: a rectangle with a rectangular hole."""
    return face(points, size) - mouth(points, size)


def frame(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The whole picture."""
    return torch.ones(size)


def _soft(points: Sequence[FacePoints], size: tuple[int, int], name: str, grow: float) -> Tensor:
    """The union of the convex hulls of an outline, grown by `grow` units, with a soft edge of that width.

    name: of the outline, `lips` or `face`. Raises: InputError for a face without landmarks.
    """
    from skimage.morphology import convex_hull_image

    if any(name not in p.contours for p in points):
        raise InputError("a soft region needs landmarks, and this face has only a box; use the plain one")
    hull = np.zeros(size, bool)
    for p in points:
        line = np.asarray(p.contours[name])
        inside = np.zeros(size, bool)
        dense = np.concatenate([line + (np.roll(line, -1, 0) - line) * t for t in np.linspace(0, 1, 16)])
        x = np.clip(np.floor(dense[:, 0]).astype(int), 0, size[1] - 1)
        y = np.clip(np.floor(dense[:, 1]).astype(int), 0, size[0] - 1)
        inside[y, x] = True
        hull |= convex_hull_image(inside)
    from scipy.ndimage import distance_transform_edt

    unit = float(np.mean([p.scale for p in points]))
    width = max(1.0, grow * unit)
    outside = distance_transform_edt(~hull)
    return torch.from_numpy(np.clip(1.5 - outside / width, 0, 1).astype(np.float32))


def mouth_soft(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The outline of the lips over the clip, with a soft edge; needs landmarks."""
    return _soft(points, size, "lips", 0.25)


def face_soft(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The outline of the face over the clip, with a soft edge; needs landmarks."""
    return _soft(points, size, "face", 0.15)


def upper_soft(points: Sequence[FacePoints], size: tuple[int, int]) -> Tensor:
    """The soft face without the soft mouth; needs landmarks."""
    return (face_soft(points, size) - mouth_soft(points, size)).clamp(min=0)


REGIONS: dict[str, Shape] = {"mouth": mouth, "upper": upper, "face": face, "frame": frame}
SOFT_REGIONS: dict[str, Shape] = {"mouth-soft": mouth_soft, "upper-soft": upper_soft, "face-soft": face_soft}
