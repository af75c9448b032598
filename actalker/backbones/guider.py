"""The location guider: masks of face and mouth, as features that are added to the network's first ones.

Letters: b batch, f frames, r masks, H W picture size, h w the latent grid, c channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..regions.grid import to_grid


class LocationGuider(nn.Module):
    """Features of where face and mouth are (ACTalker, figure 2: `Location Guider`).

    Two convolutions over the masks and the coordinates of the latent grid, so that it takes latents of any
    size. The last one starts at zero, so that a pretrained network is unchanged at step 0.
    """

    def __init__(self, masks: int, channels: int, hidden: int = 32) -> None:
        """Make a guider for r = `masks` masks and features of `channels` (c)."""
        super().__init__()
        self.masks = masks
        self.conv_in = nn.Conv2d(masks + 2, hidden, 3, padding=1)
        self.conv_out = nn.Conv2d(hidden, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, location: Tensor, size: tuple[int, int]) -> Tensor:
        """Compute features (b·f, c, h, w) of masks (b, f, r, H, W) in [0, 1]; size: (h, w) of the grid."""
        h, w = size
        masks = to_grid(location.flatten(0, 1), size)  # (b·f, r, h, w)
        rows = torch.linspace(-1, 1, h, device=masks.device, dtype=masks.dtype)[:, None].expand(h, w)
        columns = torch.linspace(-1, 1, w, device=masks.device, dtype=masks.dtype).expand(h, w)
        grid = torch.stack([rows, columns]).expand(masks.shape[0], 2, h, w)
        return self.conv_out(F.silu(self.conv_in(torch.cat([masks, grid], dim=1))))


class ReleasedGuider(nn.Module):
    """The release's `pose_guider`: features of a mask that is drawn as a picture.

    Pairs of convolutions, each followed by SiLU; the second of a pair halves the grid. The last convolution
    starts at random, since its weights come from a checkpoint.
    """

    def __init__(
        self, channels: int = 320, blocks: tuple[int, ...] = (16, 32, 96, 256), pictures: int = 3
    ) -> None:
        """Make a guider.

        Args:
            channels: c of the features.
            blocks: channels of the first convolution and behind each pair.
            pictures: channels of the picture.
        """
        super().__init__()
        self.conv_in = nn.Conv2d(pictures, blocks[0], 3, padding=1)
        pairs: list[nn.Module] = []
        for before, after in zip(blocks, blocks[1:], strict=False):
            pairs.append(nn.Conv2d(before, before, 3, padding=1))
            pairs.append(nn.Conv2d(before, after, 3, padding=1, stride=2))
        self.blocks = nn.ModuleList(pairs)
        self.conv_out = nn.Conv2d(blocks[-1], channels, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute features (b, c, f, H/8, W/8) of pictures (b, 3, f, H, W)."""
        b = pictures.shape[0]
        z = F.silu(self.conv_in(pictures.transpose(1, 2).flatten(0, 1)))
        for block in self.blocks:
            z = F.silu(block(z))
        return self.conv_out(z).unflatten(0, (b, -1)).transpose(1, 2)
