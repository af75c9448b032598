"""Measures of control: errors by region, the effect of a gate, phrases that were shown.

Videos are (f, 3, s, s) in [0, 1]; masks (s, s) in [0, 1].
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..data.puppets.phrases import ONSET, action_of
from ..signals.script import Script

ASIDE = 0.05  # seconds beside a phase that count as neither in nor out


def region_error(video: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Mean squared error inside a region."""
    apart = (video - truth).square().mean(1)  # (f, s, s)
    return float((apart * mask).sum() / (mask.sum() * len(video)).clamp(min=1e-9))


def region_change(video: Tensor, other: Tensor, mask: Tensor) -> float:
    """Mean absolute difference inside a region."""
    apart = (video - other).abs().mean(1)
    return float((apart * mask).sum() / (mask.sum() * len(video)).clamp(min=1e-9))


def psnr(video: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, peak 1."""
    return float(-10 * (video - truth).square().mean().clamp(min=1e-12).log10())


def phrases_shown(motion: np.ndarray, script: Script, fps: float) -> list[bool]:
    """For each phase whose words mean an action: whether measured motion (f, P) shows it in its frames.

    Inside are the frames of the phase without its onset and end, outside those of no phase.
    """
    times = np.arange(len(motion)) / fps
    outside = np.ones(len(times), bool)
    for phase in script.phases:
        outside &= (times < float(phase.start) - ASIDE) | (times > float(phase.stop) + ASIDE)
    shown = []
    for phase in script.phases:
        inside = (times >= float(phase.start) + ONSET) & (times <= float(phase.stop) - ONSET)
        action = action_of(phase.text)
        if action is not None and inside.sum() >= 3:
            shown.append(action.shown(motion[inside], motion[outside]))
    return shown
