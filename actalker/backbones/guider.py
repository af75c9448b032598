"""The location guider: where face and mouth are, added to the network's first features.

Letters: b batch, f frames, r masks, H W picture size, h w the latent grid, c channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..regions.grid import to_grid


class LocationGuider(nn.Module):
    """Region masks and the grid's coordinates to features (ACTalker, figure 2: `Location Guider`).

    The last layer starts at zero, so that a pretrained network is unchanged at step 0.
    """

    def __init__(self, masks: int, channels: int, hidden: int = 32) -> None:
        super().__init__()
        self.masks = masks
        self.conv_in = nn.Conv2d(masks + 2, hidden, 3, padding=1)
        self.conv_out = nn.Conv2d(hidden, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, location: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks (b, f, r, H, W) in [0, 1] -> (b·f, c, h, w) on the latent grid."""
        h, w = size
        masks = to_grid(location.flatten(0, 1), size)  # (b·f, r, h, w)
        rows = torch.linspace(-1, 1, h, device=masks.device, dtype=masks.dtype)[:, None].expand(h, w)
        columns = torch.linspace(-1, 1, w, device=masks.device, dtype=masks.dtype).expand(h, w)
        grid = torch.stack([rows, columns]).expand(masks.shape[0], 2, h, w)
        return self.conv_out(F.silu(self.conv_in(torch.cat([masks, grid], dim=1))))
