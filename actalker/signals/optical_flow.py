"""Optical flow between two pictures of a face: least squares in windows (Lucas and Kanade 1981),
coarse to fine.

The flow says how far each part of a face moved, to a fraction of a pixel, and not what the face looks like.
Nothing is learnt.

Letters: n pictures, s side in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = (4, 2, 1)  # factors by which the pictures are scaled down, one after another
STEPS = 2  # improvements of the flow at each level
WINDOW = 7  # side in pixels of the windows that are assumed to move as one
DAMPING = 0.02  # λ over the picture's mean contrast: where there is no contrast the flow stays 0


class OpticalFlow(NamedTuple):
    """The flow between two pictures, and how far it can be trusted.

    flow: (n, 2, s, s), pixels to the right and down from a position before to the same part of the face now.
    contrast: (n, 2, s, s), squared slopes to the right and down in the window, over the picture's mean.
    """

    flow: Tensor
    contrast: Tensor


@torch.no_grad()
def optical_flow(before: Tensor, now: Tensor) -> OpticalFlow:
    """Compute the flow between grey pictures (n, 1, s, s), s a multiple of 4 (Lucas and Kanade 1981).

    At each level the picture of now is moved back by the flow d so far. A step e is added that best explains,
    over a window, the difference that is left, damped by λ:

        (Σ ∇I ∇Iᵀ + λ) e = -Σ ∇I (now(x + d) - before(x)),    ∇I the mean of both pictures' slopes
    """
    with torch.autocast(before.device.type, enabled=False):
        before, now = before.float(), now.float()
        side = before.shape[-1]
        flow = before.new_zeros(len(before), 2, side // LEVELS[0], side // LEVELS[0])
        slopes = flow
        for shrink in LEVELS:
            size = (side // shrink, side // shrink)
            flow = F.interpolate(flow, size, mode="bilinear") * (size[0] / flow.shape[-1])
            a, b = (F.interpolate(picture, size, mode="area") for picture in (before, now))
            for _ in range(STEPS):
                step, slopes = _step(a, _moved(b, flow))
                flow = _mean(flow + step, 3)
    mean = slopes.mean((1, 2, 3), keepdim=True)
    return OpticalFlow(flow, slopes / (mean + 1e-6))


def _step(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the motion from a to b, (n, 2, ·, ·), at most one pixel, and the windows' squared slopes."""
    x, y = _slopes((a + b) / 2)
    t = b - a
    xx, xy, yy, xt, yt = _mean(torch.cat([x * x, x * y, y * y, x * t, y * t], 1), WINDOW).unbind(1)
    slopes = torch.stack([xx, yy], 1)
    damping = DAMPING * (xx + yy).mean((1, 2), keepdim=True) + 1e-5
    xx, yy = xx + damping, yy + damping
    motion = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 1) / (xx * yy - xy * xy)[:, None]
    return motion.clamp(-1, 1), slopes


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences to the right and down."""
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    right, left = padded[..., 1:-1, 2:], padded[..., 1:-1, :-2]
    below, above = padded[..., 2:, 1:-1], padded[..., :-2, 1:-1]
    return (right - left) / 2, (below - above) / 2


def _mean(maps: Tensor, side: int) -> Tensor:
    """Average each position over a window of this side; edges are repeated."""
    return F.avg_pool2d(F.pad(maps, (side // 2,) * 4, mode="replicate"), side, stride=1)


def _moved(picture: Tensor, flow: Tensor) -> Tensor:
    """Read the picture at each position plus its flow, bilinearly."""
    at = torch.arange(flow.shape[-1], device=flow.device) + 0.5
    still = torch.stack(torch.meshgrid(at, at, indexing="xy"))
    grid = ((still + flow) * (2 / len(at)) - 1).permute(0, 2, 3, 1)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
