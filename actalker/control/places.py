"""Learned features for each position of a grid.

Letters: b batch, f frames, h w rows and columns, c channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Places(nn.Module):
    """One learned feature vector for each position of a grid, (h·w, c), rows in reading order.

    It serves latents in which a position always means the same part of a face, such as `FaceMotion`'s map. A
    convolution treats all positions alike; without these features the network first has to learn where it is,
    and until then it learns nothing that belongs to one part of the face.
    """

    def __init__(self, grid: tuple[int, int], channels: int, deviation: float = 1.0) -> None:
        """Draw the features at random.

        Args:
            grid: (h, w).
            channels: c.
            deviation: standard deviation of the initial features.
        """
        super().__init__()
        self.features = nn.Parameter(deviation * torch.randn(grid[0] * grid[1], channels))

    def tokens(self, flat: Tensor) -> Tensor:
        """Add each position's features to tokens (b, f·h·w, c), frame after frame; same shape out."""
        return flat + self.features.to(flat.dtype).repeat(flat.shape[1] // len(self.features), 1)

    def planes(self, features: Tensor) -> Tensor:
        """Add each position's features to maps (b·f, c, h, w); same shape out."""
        return features + self.features.to(features.dtype).T.unflatten(1, features.shape[-2:])
