"""Metrics of pictures: how near they are to the real ones, and how they change over time.

Letters: f frames, h w picture size, y the mean luminance of a frame (Rec. 601, of 255).
"""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from . import statistics
from .clip import Clip, Unmeasurable
from .form import same_form
from .metric import Weights

LUMA = np.array([0.299, 0.587, 0.114])


def psnr(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Peak signal-to-noise ratio in dB, mean over frames."""
    one, other = same_form(generated, reference)
    errors = [((a.astype(float) - b) ** 2).mean() for a, b in zip(one, other, strict=True)]
    return float(np.mean([statistics.psnr(error) for error in errors]))


def ssim(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Structural similarity, mean over frames and colours.

    Raises: Unmeasurable for pictures smaller than its window, 11 pixels.
    """
    one, other = same_form(generated, reference)
    if min(one.shape[1:3]) < 11:
        raise Unmeasurable("pictures are smaller than 11 pixels")
    settings = {"channel_axis": 2, "data_range": 255, "gaussian_weights": True, "sigma": 1.5}
    pairs = zip(one, other, strict=True)
    return float(
        np.mean([structural_similarity(a, b, use_sample_covariance=False, **settings) for a, b in pairs])
    )


def smoothness_of(frames: np.ndarray) -> float:
    """1 less the mean distance of odd frames to the mean of their neighbours (the idea of VBench's metric).

    frames: (f, h, w, 3) uint8. NaN for fewer than three.
    """
    odd = [
        np.abs(frames[k] - (frames[k - 1].astype(np.float32) + frames[k + 1]) / 2).mean()
        for k in range(1, len(frames) - 1, 2)
    ]
    return 1 - float(np.mean(odd)) / 255 if odd else float("nan")


def smoothness(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """`smoothness_of` a clip. Raises: Unmeasurable for fewer than three frames."""
    return _long_enough(smoothness_of(generated.frames))


def _long_enough(value: float) -> float:
    if np.isnan(value):
        raise Unmeasurable("less than three frames")
    return value


def luminance(frames: np.ndarray) -> np.ndarray:
    """Mean luminance of each frame, (f,)."""
    return frames.mean((1, 2)) @ LUMA


def flicker_of(frames: np.ndarray) -> float:
    """Mean absolute second difference of the mean luminance, of 255; NaN for fewer than three frames."""
    return float(np.abs(np.diff(luminance(frames), 2)).mean()) if len(frames) > 2 else float("nan")


def flicker(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """`flicker_of` a clip. Raises: Unmeasurable for fewer than three frames."""
    return _long_enough(flicker_of(generated.frames))


def colour_drift(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Length of the difference between the mean colours of the last and of the first second, of 255."""
    second = max(1, round(float(generated.fps)))
    first, last = generated.frames[:second].mean((0, 1, 2)), generated.frames[-second:].mean((0, 1, 2))
    return float(np.linalg.norm(last - first))


def background(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Mean change against the first frame outside all boxes of the face, of 255.

    Raises: Unmeasurable where the face fills the picture.
    """
    boxes = generated.track.boxes()
    h, w = generated.frames.shape[1:3]
    x0, y0 = np.floor(boxes[:, :2].min(0)).astype(int)
    x1, y1 = np.ceil(boxes[:, 2:].max(0)).astype(int)
    outside = np.ones((h, w), bool)
    outside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
    if outside.mean() < 0.05:
        raise Unmeasurable("the face fills the picture")
    first = generated.frames[0].astype(float)
    return float(np.mean([np.abs(frame - first)[outside].mean() for frame in generated.frames]))


def seam(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """The largest mean change between neighbouring frames over the median one.

    Raises: Unmeasurable for fewer than three frames, and where nothing moves.
    """
    if len(generated.frames) < 3:
        raise Unmeasurable("less than three frames")
    pairs = zip(generated.frames[1:], generated.frames[:-1], strict=True)
    jumps = np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairs])
    usual = float(np.median(jumps))
    if usual == 0:
        raise Unmeasurable("the pictures stand still")
    return float(jumps.max()) / usual
