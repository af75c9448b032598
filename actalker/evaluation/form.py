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
    """The parts of two pictures that are compared, each as left, top, right, bottom in pixels.

    The part of the generated picture is resized to the size of that of the reference.
    """

    generated: tuple[float, float, float, float]
    reference: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures that are compared."""
        x0, y0, x1, y1 = self.reference
        return x1 - x0, y1 - y0

    def points(self, generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 2) in pixels of each picture as pixels of the parts that are compared."""
        x0, y0, x1, y1 = self.generated
        scale = np.array(self.size) / (x1 - x0, y1 - y0)
        return (generated - (x0, y0)) * scale, reference - self.reference[:2]


def fit(generated: tuple[int, int], reference: tuple[int, int]) -> Fit:
    """The parts of pictures (h, w) and (H, W) that are compared: the wider picture loses its sides."""
    (h, w), (ref_height, ref_width) = generated, reference
    if w * ref_height > ref_width * h:  # the generated one is wider
        width = h * ref_width / ref_height
        return Fit(((w - width) / 2, 0.0, (w + width) / 2, float(h)), (0, 0, ref_width, ref_height))
    height = max(1, round(ref_height * w / h))
    left = (ref_width - height) // 2
    return Fit((0.0, 0.0, float(w), float(h)), (left, 0, left + height, ref_height))


def described(generated: tuple[int, int], reference: tuple[int, int]) -> str | None:
    """How pictures of the sizes (h, w) and (H, W) are cut and resized, in words; None for equal sizes."""
    if generated == reference:
        return None
    one = fit(generated, reference)
    x0, _, x1, _ = one.generated
    cut, (width, height) = "", one.size
    if x1 - x0 < generated[1]:
        cut = f", its middle {x1 - x0:.4g} columns"
    elif width < reference[1]:
        cut = f", of the reference's {reference[1]} x {reference[0]} the middle {width} columns"
    return f"generated {generated[1]} x {generated[0]}{cut}, compared at {width} x {height}"


def check_lengths(generated: Clip, reference: Clip) -> None:
    """Refuse clips that cannot be compared frame by frame.

    Raises: Unmeasurable for other rates, and for lengths that differ by more than a second.
    """
    if generated.fps != reference.fps:
        raise Unmeasurable("frame rates differ")
    if abs(len(generated.frames) - len(reference.frames)) > generated.fps:
        raise Unmeasurable("lengths differ by more than a second")


def same_form(generated: Clip, reference: Clip | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames of both clips at one size, (f, H, W, 3) uint8. Raises: Unmeasurable as `check_lengths`."""
    assert reference is not None
    check_lengths(generated, reference)
    count = min(len(generated.frames), len(reference.frames))
    ours, theirs = generated.frames[:count], reference.frames[:count]
    if ours.shape == theirs.shape:
        return ours, theirs
    one = fit(ours.shape[1:3], theirs.shape[1:3])
    x0, y0, x1, y1 = one.reference
    bicubic = Image.Resampling.BICUBIC
    sized = [np.asarray(Image.fromarray(x).resize(one.size, bicubic, box=one.generated)) for x in ours]
    return np.stack(sized), theirs[:, y0:y1, x0:x1]


def same_points(generated: Clip, reference: Clip | None) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (f, p, 2) of both clips, in pixels of the parts that are compared.

    Raises: Unmeasurable as `check_lengths`, and for landmarks of two kinds.
    """
    assert reference is not None
    check_lengths(generated, reference)
    if generated.scheme != reference.scheme:
        raise Unmeasurable("landmarks are of two kinds")
    count = min(len(generated.landmarks), len(reference.landmarks))
    one = fit(generated.frames.shape[1:3], reference.frames.shape[1:3])
    return one.points(generated.landmarks[:count], reference.landmarks[:count])
