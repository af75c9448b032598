"""Constant colour and exposure over a very long clip, where they would otherwise drift.

Letters: k frames of a piece, H W picture size.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST_GAIN = 1.1  # a deviation is changed by this factor at most
SETTLES = 1.0  # seconds in which the usual colour follows the picture


class Steady:
    """Gives all frames of a clip the colours of its first second; called with one piece after another.

    Mean and deviation of each colour channel are averaged over about a second, and one gain and one offset
    for the whole picture bring them back to those of the first second. Gain and offset change slowly, so that
    quick changes, such as a blink, stay as they are. A drift of r a second leaves an error of about
    r · SETTLES, however long the clip.

    fps: frames a second.
    """

    def __init__(self, fps: float) -> None:
        self.second, self.share = max(1, round(fps)), 1 - 2.718281828 ** (-1 / (SETTLES * fps))
        self.seen = 0
        self.goal = torch.zeros(2, 3)  # mean and deviation of the first second
        self.usual = torch.zeros(2, 3)  # those of about the last second

    def __call__(self, video: Tensor) -> Tensor:
        """Correct the next frames, (k, 3, H, W) in [-1, 1]."""
        return torch.stack([self._corrected(frame) for frame in video]).clamp(-1, 1)

    def _corrected(self, frame: Tensor) -> Tensor:
        """The next frame (3, H, W) with the colours of the first second."""
        pixels = frame.float().flatten(1).cpu()
        now = torch.stack([pixels.mean(1), pixels.std(1)])
        self.seen += 1
        if self.seen <= self.second:
            self.goal += (now - self.goal) / self.seen
            self.usual = self.goal.clone()
            return frame
        self.usual += self.share * (now - self.usual)
        gain = (self.goal[1] / self.usual[1].clamp(min=1e-3)).clamp(1 / MOST_GAIN, MOST_GAIN)
        mean, goal, gain = (v.to(frame)[:, None, None] for v in (self.usual[0], self.goal[0], gain))
        return (frame - mean) * gain + goal
