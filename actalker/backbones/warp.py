"""The portrait warped by a motion field, and what warping cannot give, drawn at the scale of pixels.

Letters: b batch, f frames, c h w a latent's channels and size, H W picture size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def warp(reference: Tensor, flow: Tensor, stride: int = 1) -> Tensor:
    """The reference, each place taken from where the motion field points.

    Args:
        reference: (b, c, h, w) latent; with a stride above 1, pixels folded into channels.
        flow: (b, f, 2, ·, ·) x and y in latent positions, at any resolution.
        stride: pixels a latent position covers.
    Returns: (b, f, c, h, w). A field of zeros gives the reference back.
    """
    b, f = flow.shape[:2]
    picture = F.pixel_shuffle(reference, stride) if stride > 1 else reference
    height, width = picture.shape[-2:]
    field = F.interpolate(flow.flatten(0, 1), (height, width), mode="bilinear", align_corners=False)
    scale = torch.tensor([2.0 * stride / width, 2.0 * stride / height], device=flow.device, dtype=flow.dtype)
    rows = (torch.arange(height, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / height) - 1
    columns = (torch.arange(width, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / width) - 1
    still = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
    grid = still + field.permute(0, 2, 3, 1) * scale
    frames = picture[:, None].expand(-1, f, -1, -1, -1).flatten(0, 1)
    moved = F.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return (F.pixel_unshuffle(moved, stride) if stride > 1 else moved).unflatten(0, (b, f))


class DetailHead(nn.Module):
    """Draws on the warped portrait what is finer than a latent position: lips, teeth, lids.

    The warped pixels, two by two, are changed by convolutions that the network's features steer at every
    place: scale and shift in front of each (SPADE, Park et al. 2019, eq. 1, without normalisation). The
    last layer starts at zero.
    """

    def __init__(self, features: int, stride: int, width: int, blocks: int = 2, guides: int = 16) -> None:
        """stride: pixels that a latent position folds, even; width: channels at two by two pixels."""
        super().__init__()
        self.stride = stride
        self.spread = nn.Conv2d(features, guides * (stride // 2) ** 2, 1)
        self.conv_in = nn.Conv2d(12 + guides, width, 3, padding=1)
        self.steer = nn.ModuleList([nn.Conv2d(guides, 2 * width, 1) for _ in range(blocks)])
        self.blocks = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(blocks)])
        self.conv_out = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, features: Tensor, centre: Tensor) -> Tensor:
        """Features (n, c, h, w) and warped portraits (n, 3·stride², h, w) to changes of those portraits."""
        pixels = F.pixel_unshuffle(F.pixel_shuffle(centre, self.stride), 2)
        guide = F.pixel_shuffle(self.spread(features), self.stride // 2)
        hidden = self.conv_in(torch.cat([pixels.to(guide.dtype), guide], dim=1))
        for steer, block in zip(self.steer, self.blocks, strict=True):
            scale, shift = steer(guide).chunk(2, dim=1)
            hidden = hidden + block(F.silu(hidden * (1 + scale) + shift))
        return F.pixel_unshuffle(F.pixel_shuffle(self.conv_out(F.silu(hidden)), 2), self.stride)
