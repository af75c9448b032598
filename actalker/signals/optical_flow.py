"""Where every part of a face went between two pictures: Lucas and Kanade's least squares, coarse to fine.

What a face looks like drops out of the flow, how far it moved remains, to a fraction of a pixel. Nothing is
learnt. Letters: n pictures, s side in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = (4, 2, 1)  # how much smaller the pictures are in which motion is looked for, one after another
STEPS = 2  # improvements in each
WINDOW = 7  # pixels a side that are taken to move alike
DAMPING = 0.02  # of the picture's mean contrast: without contrast there is no motion


class OpticalFlow(NamedTuple):
    """flow: (n, 2, s, s), pixels to the right and down from a place before to the same place of the face now.

    contrast: (n, 2, s, s), squared slopes to the right and down around it, over the picture's mean: how far
    the flow can be trusted.
    """

    flow: Tensor
    contrast: Tensor


@torch.no_grad()
def optical_flow(before: Tensor, now: Tensor) -> OpticalFlow:
    """The motion between grey pictures (n, 1, s, s), s a multiple of 4 (Lucas and Kanade 1981).

    In every level the picture of now is moved back by the motion d that is known already, and a step e is
    added that makes up best, over a window, for what is left, damped by λ:

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
    """Motion from a to b, at most a pixel, (n, 2, ·, ·), and the windows' squared slopes."""
    x, y = _slopes((a + b) / 2)
    t = b - a
    xx, xy, yy, xt, yt = _mean(torch.cat([x * x, x * y, y * y, x * t, y * t], 1), WINDOW).unbind(1)
    slopes = torch.stack([xx, yy], 1)
    damping = DAMPING * (xx + yy).mean((1, 2), keepdim=True) + 1e-5
    xx, yy = xx + damping, yy + damping
    motion = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 1) / (xx * yy - xy * xy)[:, None]
    return motion.clamp(-1, 1), slopes


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    wide = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _mean(maps: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(F.pad(maps, (side // 2,) * 4, mode="replicate"), side, stride=1)


def _moved(picture: Tensor, flow: Tensor) -> Tensor:
    """The picture read where the flow points."""
    at = torch.arange(flow.shape[-1], device=flow.device) + 0.5
    still = torch.stack(torch.meshgrid(at, at, indexing="xy"))
    grid = ((still + flow) * (2 / len(at)) - 1).permute(0, 2, 3, 1)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
