"""Masks from pixels to a level's token grid."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def to_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (b, r, H, W) to (b, r, h, w): each token holds the share of its area that the mask covers.

    A token counts as inside where its share is at least one half.
    """
    return F.adaptive_avg_pool2d(mask.float(), size).to(mask.dtype if mask.is_floating_point() else None)
