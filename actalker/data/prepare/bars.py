"""Stage `bars`: finds black bars at a picture's sides, the same for a whole clip, so that they are cut off.

Letters: h, w size of the picture.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ...media.video import read_frames
from .cut import part
from .stages import Values, Work

LOOKS = Fraction(2)  # frames a second that are looked at
DARK = 40  # of 255: a bar is no lighter
EVEN = 10  # of 255: how much lighter than its median a bar's pixels may be
STRAY = 0.01  # share of a line's pixels that may be lighter still, because of a codec
STRAIGHT = 0.35  # share of a bar's inner edge that must be lit beside it: a dark room has no such edge
SOFT = 4  # pixels in which the edge may blur


def measure_bars(work: Work, config: None) -> Values:
    """The widths of the bars at the picture's `left`, `top`, `right` and `bottom`, in pixels."""
    video, span = work.entry.video, part(work)
    assert video is not None
    brightest: np.ndarray | None = None
    for frame in read_frames(video, LOOKS, span=span):
        light = frame.max(2)
        brightest = light if brightest is None else np.maximum(brightest, light)
        if not _any_dark_side(brightest):
            break  # what is lit once is no bar: for most clips the first frame decides
    assert brightest is not None
    return dict(zip(("left", "top", "right", "bottom"), find_bars(brightest), strict=True))


def _any_dark_side(brightest: np.ndarray) -> bool:
    sides = (brightest[:, 0], brightest[0], brightest[:, -1], brightest[-1])
    return any(np.quantile(side, 1 - STRAY) <= DARK + EVEN for side in sides)


def find_bars(brightest: np.ndarray) -> tuple[int, int, int, int]:
    """The widths of the bars at the left, top, right and bottom of a clip, in pixels.

    brightest: (h, w) uint8, the maximum of each pixel over all frames and channels. A bar is dark and even
    from the border to a straight edge; a dark background ends at the person's outline, which is not straight.
    """
    h, w = brightest.shape
    dark = [int(np.median(side)) for side in (brightest[:, 0], brightest[0], brightest[:, -1], brightest[-1])]
    level = min(dark)
    if level > DARK:
        return 0, 0, 0, 0
    lit = brightest > level + EVEN
    columns, rows = (np.flatnonzero(lit.mean(axis) > STRAY) for axis in (0, 1))
    if not columns.size or not rows.size:
        return 0, 0, 0, 0  # black all over
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    left = _edge(lit[y0:y1, x0 : x0 + SOFT])
    right = _edge(lit[y0:y1, x1 - SOFT : x1][:, ::-1])
    top = _edge(lit[y0 : y0 + SOFT, x0:x1].T)
    bottom = _edge(lit[y1 - SOFT : y1, x0:x1][::-1].T)
    return (
        int(x0 + left) if x0 and left is not None else 0,
        int(y0 + top) if y0 and top is not None else 0,
        int(w - x1 + right) if x1 < w and right is not None else 0,
        int(h - y1 + bottom) if y1 < h and bottom is not None else 0,
    )


def _edge(lit: np.ndarray) -> int | None:
    """The number of the first of a side's lines (n, SOFT), counted inwards, that is lit along its length."""
    straight = np.flatnonzero(lit.mean(0) >= STRAIGHT)
    return int(straight[0]) if straight.size else None
