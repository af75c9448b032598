"""Measures of control: how near a video is to another, and the effect of a gate.

Videos are (f, 3, s, s) in [0, 1]; masks (s, s) in [0, 1].
"""

from __future__ import annotations

from torch import Tensor

from . import statistics


def region_change(video: Tensor, other: Tensor, mask: Tensor) -> float:
    """Mean absolute difference of two videos inside a region."""
    apart = (video - other).abs().mean(1)
    return float((apart * mask).sum() / (mask.sum() * len(video)).clamp(min=1e-9))


def psnr(video: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, peak 1."""
    return statistics.psnr(float((video - truth).square().mean()), peak=1.0, least=1e-12)
