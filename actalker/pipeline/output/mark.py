"""A small visible mark on generated pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "AI-generated"
SHARE, LEAST = 0.03, 9  # of the picture's height, and pixels: how high its letters are
MOST = 0.6  # of the picture's width
STRENGTH = 0.75  # of the letters; their rims are as strong


class Mark:
    """Draws the mark into the bottom right corner of frames (h, w, 3) uint8.

    size: (h, w) of all frames of the clip.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        h, w = size
        points = max(LEAST, round(SHARE * h))
        while True:
            font = ImageFont.load_default(points)
            x0, y0, x1, y1 = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox(
                (0, 0), TEXT, font, stroke_width=1
            )
            if x1 - x0 <= MOST * w or points <= 4:
                break
            points -= 1
        apart = max(1, points // 2)
        at = (w - apart - x1, h - apart - y1)
        light, rim = (Image.new("L", (w, h)) for _ in range(2))
        ImageDraw.Draw(light).text(at, TEXT, 255, font)
        ImageDraw.Draw(rim).text(at, TEXT, 255, font, stroke_width=1)
        y, x = max(0, int(at[1] + y0)), max(0, int(at[0] + x0))
        self.corner = (slice(y, h), slice(x, w))
        letters, around = (np.asarray(one, np.float32)[self.corner][..., None] / 255 for one in (light, rim))
        self.share, self.colour = STRENGTH * around, 255 * letters

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return a marked copy of a frame."""
        marked = frame.copy()
        under = marked[self.corner]
        marked[self.corner] = np.round(under + self.share * (self.colour - under)).astype(np.uint8)
        return marked
