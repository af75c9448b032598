"""The part of a photograph inside the line of one colour that many photographs have along their edges."""

from __future__ import annotations

import numpy as np

DEEP = 0.012  # of the picture's side, and three pixels: how wide such a line is at most
UNIFORM = 3.0  # of 255, the line's own deviation at most, or a quarter of what is beside it
APART = 12.0  # of 255, its difference from what is beside it at least
STEP = 0.4  # of that, how much is the step at its edge at least


def inner(image: np.ndarray) -> tuple[int, int, int, int]:
    """The box of an image (h, w, 3) uint8 without lines along its edges: x0, y0, x1, y1 in whole pixels.

    Such a line must stay where it is when the head moves; moved with it, it would become a bar.
    """
    grey = image.mean(-1)
    sides = (grey.T, grey, grey.T[::-1], grey[::-1])
    left, top, right, low = (_line(side) for side in sides)
    h, w = grey.shape
    return left, top, w - right, h - low


def _line(rows: np.ndarray) -> int:
    """How many of the first rows of a grey image (h, w) are a line; it ends in a step along most columns."""
    deep = min(round(DEEP * len(rows)) + 3, len(rows) // 4)
    contrast = np.median(np.abs(rows[: deep + 1] - rows[deep]), axis=1)
    even = max(UNIFORM, 0.25 * float(rows[deep].std()))
    if deep < 1 or rows[0].std() > even or contrast[0] < APART:
        return 0
    steps = np.median(np.abs(np.diff(rows[: deep + 1], axis=0)), axis=1)
    width = 1 + int(steps.argmax())
    if steps.max() < STEP * contrast[0]:
        return 0
    return width + int(width < deep and contrast[width] > 0.2 * contrast[0])
