"""One signal's branch: scan only the tokens of its region, paste the change back.

Letters: b batch, f frames, t tokens a frame (h·w), c channels, e inner channels, d token width,
n condition tokens a frame, m identity tokens, k selected tokens of the batch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ssm.block import ScanState, SelectiveBlock, SsdBlock
from .config import BranchConfig
from .drop import Selection


class Branch(Protocol):
    """What every kind of branch does: one signal's change to the features of its region."""

    def __call__(
        self,
        z: Tensor,
        tokens: Tensor,
        identity: Tensor,
        selection: Selection,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """The change of the features.

        Args:
            z: (b, f·t, c) features of a clip, frame after frame, rows in reading order.
            tokens: (b, f, n, d) the signal's tokens.
            identity: (b, m, d), read where a clip begins: not behind a state.
            selection: which of the features' tokens change (`drop.select`).
            state: of the frames before, from the call that scanned them.
            return_state: whether the state behind these frames is wanted.
        Returns: the selected tokens' change (k, c), to be pasted; and that state, None where it is not wanted
            and where a branch has none, since it sees frame by frame.
        Raises: InputError for a state where the branch scans in both directions.
        """
        ...


class MaskedBranch(nn.Module):
    """One signal's change to the features of its region (ACTalker, eq. 5-7).

    Mask-drop, add the identity and condition tokens, scan in both directions, drop them again. The output
    is the change of the selected tokens alone, so that a gate can scale it and `drop.paste` writes it back.
    """

    def __init__(self, channels: int, token_width: int, config: BranchConfig | None = None) -> None:
        super().__init__()
        self.config = config or BranchConfig()
        inner = max(8, round(channels * self.config.expand))
        self.project = nn.Linear(channels, inner, bias=False)
        self.condition = nn.Linear(token_width, inner)
        self.identity = nn.Linear(token_width, inner) if self.config.identity else None
        self.scan = scan_of(self.config, inner)
        self.norm = nn.LayerNorm(inner)
        self.gate = nn.Linear(channels, inner) if self.config.gated else None
        self.out = nn.Linear(inner, channels, bias=False)
        # few condition tokens speak to many image tokens: they start louder
        with torch.no_grad():
            self.condition.weight *= 3
            self.project.weight *= 0.3

    def forward(
        self,
        z: Tensor,
        tokens: Tensor,
        identity: Tensor,
        selection: Selection,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """As `Branch`."""
        config, scope = self.config, selection.scope or self.config.scan_scope
        if scope == "frame":  # each frame is a sequence of its own
            state, return_state = None, False
        if self.identity is None or state is not None:
            identity = identity[:, :0]
        n, m = tokens.shape[2], identity.shape[1]
        steps = selection.scan_order(n, m, config.condition_layout, scope, config.causal)
        each = len(steps.lengths) // len(identity)  # sequences of an item
        here = z.flatten(0, 1)[selection.index]
        parts = [self.project(here), self.condition(tokens).flatten(0, 2)]
        if self.identity is not None:
            parts.append(self.identity(identity).repeat_interleave(each, 0).flatten(0, 1))
        table = F.silu(torch.cat([part.to(parts[0].dtype) for part in parts]))
        y, final = self.scan(
            table,
            steps.order[: self.scan.directions],
            steps.lengths,
            results=len(selection.index),
            state=state,
            return_state=return_state,
        )
        y = self.norm(y)
        if self.gate is not None:  # what was heard means another thing in another place
            y = y * F.silu(self.gate(here)).to(y.dtype)
        return self.out(y), final


class AttentionBranch(nn.Module):
    """Cross-attention of each frame's features to its condition and identity tokens: the baseline that
    ACTalker's Table 3 puts in the place of a `MaskedBranch`. It has no state to hand on.
    """

    def __init__(self, channels: int, token_width: int, config: BranchConfig) -> None:
        super().__init__()
        self.config = config
        most = max(1, channels // config.head_size)
        self.heads = max(heads for heads in range(1, most + 1) if channels % heads == 0)
        self.query = nn.Linear(channels, channels, bias=False)
        self.keys = nn.Linear(token_width, 2 * channels)
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(
        self,
        z: Tensor,
        tokens: Tensor,
        identity: Tensor,
        selection: Selection,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """As `Branch`."""
        b, f = tokens.shape[:2]
        if self.config.identity:
            tokens = torch.cat([tokens, identity[:, None].expand(-1, f, -1, -1).to(tokens)], dim=2)
        q = self.query(z).unflatten(1, (f, -1)).flatten(0, 1)  # (b·f, t, c)
        k, v = self.keys(tokens).flatten(0, 1).chunk(2, dim=-1)  # (b·f, n + m, c)
        parts = (x.to(q.dtype).unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return self.out(mixed.reshape(-1, mixed.shape[-1])[selection.index]), None


def branch_of(channels: int, token_width: int, config: BranchConfig) -> MaskedBranch | AttentionBranch:
    """The branch that a config asks for."""
    kind = AttentionBranch if config.form == "attention" else MaskedBranch
    return kind(channels, token_width, config)


def scan_of(config: BranchConfig, inner: int) -> SelectiveBlock | SsdBlock:
    """The state-space block that a config asks for."""
    directions = 1 if config.causal else 2
    if config.form == "ssd":
        return SsdBlock(inner, config.state_size, config.head_size, config.conv, directions)
    return SelectiveBlock(inner, config.state_size, config.conv, directions)
