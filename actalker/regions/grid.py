"""Masks from pixels to a level's token grid."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def to_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (b, r, H, W) to (b, r, h, w): each token holds the share of its area that the mask covers.

    A token counts as inside where its share is at least one half.
    """
    return F.adaptive_avg_pool2d(mask.float(), size).to(mask.dtype if mask.is_floating_point() else None)


def to_grid_bicubic(mask: Tensor, count: int) -> Tensor:
    """Masks (b, r, H, W) to (b, r, t) on a level of t = `count` tokens, as the released code finds it.

    Its grid comes from the number of tokens and the picture's shape, bicubic, without antialiasing.
    Attention weighs with these values; branches keep the tokens that reach 1 (decimals are cut off).
    """
    rows = max(1, int(math.sqrt(count / (mask.shape[-1] / mask.shape[-2]))))
    rows += count % rows != 0
    grid = F.interpolate(mask.float(), size=(rows, max(1, count // rows)), mode="bicubic").flatten(2)
    return F.pad(
        grid, (0, count - grid.shape[2])
    )  # where no whole grid has so many tokens; cuts, if negative
