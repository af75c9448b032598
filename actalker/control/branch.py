"""One signal's branch: scan only the tokens of its region, paste the change back.

Letters: b batch, f frames, t tokens a frame (h·w), c channels, e inner channels, d token width,
n condition tokens a frame, m identity tokens, k kept tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ssm.block import BidirectionalScan
from .config import BranchConfig
from .drop import Kept, arrange, orders, paste, per_frame, pick, take


class MaskedBranch(nn.Module):
    """One signal's change to the features of its region (ACTalker, eq. 5-7).

    Mask-drop, append the identity and condition tokens, scan in both directions, drop them again, paste.
    The output is the change alone, so that a gate can scale it: zero outside the region, exactly.
    """

    def __init__(self, channels: int, token_width: int, config: BranchConfig | None = None) -> None:
        super().__init__()
        self.config = config or BranchConfig()
        inner = max(8, round(channels * self.config.expand))
        self.project = nn.Linear(channels, inner, bias=False)
        self.condition = nn.Linear(token_width, inner)
        self.identity = nn.Linear(token_width, inner)
        self.scan = BidirectionalScan(inner, self.config.state_size)
        self.norm = nn.LayerNorm(inner)
        self.out = nn.Linear(inner, channels, bias=False)
        # few condition tokens speak to many image tokens: they start louder
        with torch.no_grad():
            self.condition.weight *= 3
            self.project.weight *= 0.3

    def forward(self, z: Tensor, tokens: Tensor, identity: Tensor, kept: Kept) -> Tensor:
        """The change of the features.

        Args:
            z: (b, f·t, c) features of a clip, frame after frame, rows in reading order.
            tokens: (b, f, n, d) the signal's tokens.
            identity: (b, m, d).
            kept: which of the f·t tokens are scanned (`drop.keep`).
        Returns: (b, f·t, c), zero outside the region.
        """
        b, f, n, _ = tokens.shape
        features = F.silu(self.project(take(z, kept.index)))  # (b, k, e)
        conditions = F.silu(self.condition(tokens))  # (b, f, n, e)
        identity = F.silu(self.identity(identity))  # (b, m, e)
        if self.config.scan_scope == "frame":
            frames, rows = per_frame(kept)
            features = take(features.repeat_interleave(f, 0), rows)  # (b·f, k', e)
            y = self._scan(
                features, conditions.view(b * f, 1, n, -1), identity.repeat_interleave(f, 0), frames
            )
            y = _join(y, rows, b, kept.index.shape[1])
        else:
            y = self._scan(features, conditions, identity, kept)
        return paste(self.out(self.norm(y)), kept)

    def _scan(self, features: Tensor, conditions: Tensor, identity: Tensor, kept: Kept) -> Tensor:
        """Both directions over features (b, k, e), summed: (b, k, e)."""
        layout = self.config.condition_layout
        ahead, back, lengths = orders(kept, conditions.shape[2], identity.shape[1], layout)
        forth = arrange(features, conditions, identity, ahead)
        other = arrange(features, conditions, identity, back)
        y_forth, y_other = self.scan(forth, other, lengths)
        return pick(y_forth, ahead) + pick(y_other, back)


def _join(y: Tensor, rows: Tensor, b: int, k: int) -> Tensor:
    """Frames' tokens (b·f, k', e) back into the clips' lists (b, k, e)."""
    width = y.shape[-1]
    rows = rows.view(b, -1)
    out = y.new_zeros(b, k + 1, width)
    return out.scatter(1, rows[..., None].expand(-1, -1, width), y.reshape(b, rows.shape[1], width))[:, :k]
