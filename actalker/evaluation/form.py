"""Pictures of two clips brought to one form, where sizes or aspects differ: only then can they be compared.

Letters: f frames, h w picture size of the generated clip, H W of the reference, p landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .clip import Clip, Unmeasurable

PAIRS = (  # part of the protocol of every metric with a reference
    "clips of different rates are both read at the generated one's, nearest frames; of two aspects the wider "
    "picture loses its sides; a generated picture of another size is resized to the reference's (Pillow's "
    "bicubic, antialiased); the longer clip is cut to the shorter, by a second at most"
)


@dataclass(frozen=True)
class Fit:
    """What of two pictures is compared. made: left, top, right, bottom in the generated one, which is resized
    to the size of `real`, the same of the reference in whole pixels.
    """

    made: tuple[float, float, float, float]
    real: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is compared."""
        x0, y0, x1, y1 = self.real
        return x1 - x0, y1 - y0

    def points(self, made: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 2) in pixels of each picture to pixels of what is compared."""
        x0, y0, x1, y1 = self.made
        scale = np.array(self.size) / (x1 - x0, y1 - y0)
        return (made - (x0, y0)) * scale, real - self.real[:2]


def fit(made: tuple[int, int], real: tuple[int, int]) -> Fit:
    """Of pictures (h, w) and (H, W)."""
    (h, w), (high, wide) = made, real
    if w * high > wide * h:  # the generated one is wider
        kept = h * wide / high
        return Fit(((w - kept) / 2, 0.0, (w + kept) / 2, float(h)), (0, 0, wide, high))
    kept_of_real = max(1, round(high * w / h))
    left = (wide - kept_of_real) // 2
    return Fit((0.0, 0.0, float(w), float(h)), (left, 0, left + kept_of_real, high))


def described(made: tuple[int, int], real: tuple[int, int]) -> str | None:
    """What is done to pictures (h, w) and (H, W) before they are compared; None for nothing."""
    if made == real:
        return None
    one = fit(made, real)
    x0, _, x1, _ = one.made
    cut, (wide, high) = "", one.size
    if x1 - x0 < made[1]:
        cut = f", its middle {x1 - x0:.4g} columns"
    elif wide < real[1]:
        cut = f", of the reference's {real[1]} x {real[0]} the middle {wide} columns"
    return f"generated {made[1]} x {made[0]}{cut}, compared at {wide} x {high}"


def check_lengths(made: Clip, real: Clip) -> None:
    """Raises: Unmeasurable for other rates, and for lengths that differ by more than a second."""
    if made.fps != real.fps:
        raise Unmeasurable("frame rates differ")
    if abs(len(made.frames) - len(real.frames)) > made.fps:
        raise Unmeasurable("lengths differ by more than a second")


def same_form(made: Clip, real: Clip | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames of both, (f, H, W, 3) uint8. Raises: Unmeasurable as `check_lengths`."""
    assert real is not None
    check_lengths(made, real)
    count = min(len(made.frames), len(real.frames))
    ours, theirs = made.frames[:count], real.frames[:count]
    if ours.shape == theirs.shape:
        return ours, theirs
    one = fit(ours.shape[1:3], theirs.shape[1:3])
    x0, y0, x1, y1 = one.real
    bicubic = Image.Resampling.BICUBIC
    sized = [np.asarray(Image.fromarray(x).resize(one.size, bicubic, box=one.made)) for x in ours]
    return np.stack(sized), theirs[:, y0:y1, x0:x1]


def same_points(made: Clip, real: Clip | None) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (f, p, 2) of both in pixels of what is compared.

    Raises: Unmeasurable as `check_lengths`, and for landmarks of two kinds.
    """
    assert real is not None
    check_lengths(made, real)
    if made.scheme != real.scheme:
        raise Unmeasurable("landmarks are of two kinds")
    count = min(len(made.landmarks), len(real.landmarks))
    one = fit(made.frames.shape[1:3], real.frames.shape[1:3])
    return one.points(made.landmarks[:count], real.landmarks[:count])
