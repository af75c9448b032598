"""Brings masks from pixels to the token grid of a level of the network."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def to_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (b, r, H, W) on a grid (h, w): (b, r, h, w), the share of each token that the mask covers.

    A token counts as inside where its share is at least one half.
    """
    return F.adaptive_avg_pool2d(mask.float(), size).to(mask.dtype if mask.is_floating_point() else None)


def to_grid_bicubic(mask: Tensor, count: int) -> Tensor:
    """Masks (b, r, H, W) on a level of t = `count` tokens, as the released code computes them: (b, r, t).

    The grid follows from the number of tokens and the picture's shape; bicubic, without antialiasing.
    Attention weighs with these values; branches keep the tokens that reach 1 (decimals are cut off).
    """
    rows = max(1, int(math.sqrt(count / (mask.shape[-1] / mask.shape[-2]))))
    rows += count % rows != 0
    grid = F.interpolate(mask.float(), size=(rows, max(1, count // rows)), mode="bicubic").flatten(2)
    # where no whole grid has so many tokens; cuts, if negative
    return F.pad(grid, (0, count - grid.shape[2]))
