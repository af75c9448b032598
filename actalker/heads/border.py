"""A photograph without the line of one colour that many have along their edges."""

from __future__ import annotations

import numpy as np

DEEP = 0.012  # of the picture's side, and three pixels: how wide such a line is at most
UNIFORM = 3.0  # of 255, the line's own deviation at most, or a quarter of what is beside it
APART = 12.0  # of 255, its difference from what is beside it at least
STEP = 0.4  # of that, how much is the step at its edge at least


def inner(image: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in whole pixels: the part of (h, w, 3) uint8 that is the picture itself.

    A line stays where it is when a head moves; were it moved, it would become a bar.
    """
    grey = image.mean(-1)
    sides = (grey.T, grey, grey.T[::-1], grey[::-1])
    left, top, right, low = (_line(side) for side in sides)
    h, w = grey.shape
    return left, top, w - right, h - low


def _line(rows: np.ndarray) -> int:
    """How many of the first rows (h, w) are such a line: what ends in a step along the most of its length."""
    deep = min(round(DEEP * len(rows)) + 3, len(rows) // 4)
    apart = np.median(np.abs(rows[: deep + 1] - rows[deep]), axis=1)
    even = max(UNIFORM, 0.25 * float(rows[deep].std()))
    if deep < 1 or rows[0].std() > even or apart[0] < APART:
        return 0
    steps = np.median(np.abs(np.diff(rows[: deep + 1], axis=0)), axis=1)
    wide = 1 + int(steps.argmax())
    if steps.max() < STEP * apart[0]:
        return 0
    return wide + int(wide < deep and apart[wide] > 0.2 * apart[0])
