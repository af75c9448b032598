"""The filter that makes a drawn head look like a photograph, a painting or a pencil drawing."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .anatomy import Anatomy
from .textures import colour, noise


def luma(frames: Tensor) -> Tensor:
    """Grey tones (f, 1, s, s) of colours (f, 3, s, s)."""
    return (frames * colour((0.299, 0.587, 0.114))).sum(1, keepdim=True)


def picture(a: Anatomy, frames: Tensor, light: Tensor) -> Tensor:
    """Frames (f, 3, s, s) in [0, 1] through the filter of the anatomy's medium; may change `frames` in place.

    light: (f, 1, s, s) on the head, with the strokes that move with it.
    """
    m, size = a.medium, frames.shape[-1]
    rng = np.random.default_rng([a.seed, 6])
    if m.sketch:
        frames = pencil(frames, light, m.sketch, m.paper)
    if m.blur * size / 128 > 0.15:
        frames = blurred(frames, m.blur * size / 128)
    if m.saturation != 1:
        grey = luma(frames)
        frames = grey.lerp(frames, m.saturation)
    frames = (frames - 0.5).mul_(m.contrast).add_(0.5 + m.brightness).mul_(colour(m.tint))
    if m.grain:
        surface = torch.as_tensor(rng.normal(size=(1, size, size)).astype(np.float32))
        frames += m.grain * (0.6 * surface + noise(rng, size, max(4, size // 6), 2))
    if m.vignette:
        at = (torch.arange(size) + 0.5) / size - 0.5
        frames *= 1 - m.vignette * 1.2 * (at.square()[None] + at.square()[:, None])
    return frames.clamp_(0, 1)


def pencil(frames: Tensor, light: Tensor, strength: float, paper: tuple[float, float, float]) -> Tensor:
    """Frames (f, 3, s, s) as a pencil drawing: grey tones divided by their surroundings ("colour dodge").

    light: (f, 1, s, s) on the head. strength: 0 leaves the frames, 1 is all graphite. paper: its colour.
    """
    size = frames.shape[-1]
    grey = luma(frames)
    around = blurred(grey, 0.03 * size)
    drawn = (grey / around.clamp(min=0.04)).clamp_(0, 1.05)
    tone = (0.55 + 0.45 * grey) * (1 - 0.12 * (light - 0.8).clamp(-1, 1))
    drawn = drawn.pow(1.6) * tone.clamp_(0, 1)
    return frames.lerp(drawn * colour(paper), strength)


def blurred(frames: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of (f, c, s, s), whose edges are repeated outwards; sigma in pixels."""
    reach = max(1, int(3 * sigma + 0.5))
    k = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    k = k / k.sum()
    c, reach = frames.shape[1], min(reach, frames.shape[-1] - 1)
    k = k[len(k) // 2 - reach : len(k) // 2 + reach + 1]
    padded = F.pad(frames, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, k.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)
    return F.conv2d(rows, k.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
