"""Colour and exposure held where a clip begins: what a very long video would otherwise lose bit by bit.

Letters: k frames of a piece, H W picture size.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST_GAIN = 1.1  # a deviation is changed by this factor at most
SETTLES = 1.0  # seconds in which the usual colour follows the picture


class Steady:
    """Told a clip piece by piece, in order; each comes back with the colours of the clip's first second.

    Mean and deviation of each colour channel are followed over about a second, and a gain and an offset for
    the whole picture bring them back. They change slowly, so that what is quick, such as a blink, stays as it
    is: a drift of r a second leaves an error of about r · SETTLES, however long the clip.
    """

    def __init__(self, fps: float) -> None:
        self.second, self.share = max(1, round(fps)), 1 - 2.718281828 ** (-1 / (SETTLES * fps))
        self.seen = 0
        self.begun = torch.zeros(2, 3)  # mean and deviation of the first second
        self.usual = torch.zeros(2, 3)  # and now

    def __call__(self, video: Tensor) -> Tensor:
        """Frames (k, 3, H, W) in [-1, 1] to the same."""
        return torch.stack([self._held(frame) for frame in video]).clamp(-1, 1)

    def _held(self, frame: Tensor) -> Tensor:
        pixels = frame.float().flatten(1).cpu()
        now = torch.stack([pixels.mean(1), pixels.std(1)])
        self.seen += 1
        if self.seen <= self.second:
            self.begun += (now - self.begun) / self.seen
            self.usual = self.begun.clone()
            return frame
        self.usual += self.share * (now - self.usual)
        gain = (self.begun[1] / self.usual[1].clamp(min=1e-3)).clamp(1 / MOST_GAIN, MOST_GAIN)
        mean, goal, gain = (v.to(frame)[:, None, None] for v in (self.usual[0], self.begun[0], gain))
        return (frame - mean) * gain + goal
