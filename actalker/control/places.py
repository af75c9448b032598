"""What each place of a map has of its own. Letters: b batch, f frames, h w rows and columns, c channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Places(nn.Module):
    """Learned features (side², c) of the places of a square grid, rows in reading order.

    For latents where a place always means the same, such as a face's own map: a convolution does the same
    everywhere and has to work out where it is, and until it has, nothing that is laid out in a place of its
    own is learnt.
    """

    def __init__(self, side: int, channels: int, deviation: float = 1.0) -> None:
        """deviation: of the features in the beginning."""
        super().__init__()
        self.features = nn.Parameter(deviation * torch.randn(side * side, channels))

    def tokens(self, flat: Tensor) -> Tensor:
        """Features of tokens (b, f·side², c), frame after frame, with those of their places."""
        return flat + self.features.to(flat.dtype).repeat(flat.shape[1] // len(self.features), 1)

    def planes(self, features: Tensor) -> Tensor:
        """The same for (b·f, c, side, side)."""
        side = features.shape[-1]
        return features + self.features.to(features.dtype).T.unflatten(1, (side, side))
