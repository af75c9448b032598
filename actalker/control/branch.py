"""One signal's branch: scan the tokens of its region with its condition tokens, and return their change.

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
    """Interface of a branch, a module that computes one signal's change to the features of its region.

        change, state = branch(z, tokens, identity, selection, state=None, return_state=False)

    z: (b, f·t, c) features. tokens: (b, f, n, d) the signal's condition tokens. identity: (b, m, d) identity
    tokens. selection: the k tokens to scan and change. state: the scan's state after the previous frames.
    change: (k, c). `__call__` below says more of each.
    """

    def __call__(
        self,
        z: Tensor,
        tokens: Tensor,
        identity: Tensor,
        selection: Selection,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """Compute the change of the selected tokens.

        Args:
            z: (b, f·t, c) features of a clip, frame after frame, rows in reading order.
            tokens: (b, f, n, d) the signal's condition tokens.
            identity: (b, m, d) identity tokens. The branch reads them at the beginning of a clip only, so not
                in a call that has a state.
            selection: the tokens that the branch scans and may change (`drop.select`).
            state: the scan's state after the previous frames, as the call for those frames returned it; None
                at the beginning of a clip.
            return_state: whether to return the state after these frames.
        Returns: the change (k, c), which `drop.paste` adds to the features, and the state. The state is None
            where it was not asked for, and for branches that have none because they see each frame alone.
        Raises: InputError for a state in a branch that scans in both directions.
        """
        ...


class MaskedBranch(nn.Module):
    """A masked state-space branch, Mask-SSM (ACTalker, eq. 5-7).

        z_in = D(z', M)                     keep the tokens inside the region M (`drop.select`)
        z_out = SSM(Concat(z_in, e))        scan them together with the identity and condition tokens e
        Δ = W_out Norm(z_out)               discard the outputs at e

    The paper pastes z_out over z. Here the branch returns the change Δ of the selected tokens, so that a gate
    can scale it before `drop.paste` adds it.
    """

    def __init__(self, channels: int, token_width: int, config: BranchConfig | None = None) -> None:
        """Make a branch for features of `channels` (c) and condition tokens of `token_width` (d)."""
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
        # a few condition tokens have to reach many image tokens, so they start out larger
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
        """Compute the change (k, c) of the selected tokens, and the scan's state if `return_state`.

        z: (b, f·t, c). tokens: (b, f, n, d). identity: (b, m, d). state: after the previous frames, or None
        at the beginning of a clip. `Branch.__call__` explains each.
        """
        config, scope = self.config, selection.scope or self.config.scan_scope
        if scope == "frame":  # each frame is a sequence of its own
            state, return_state = None, False
        if self.identity is None or state is not None:
            identity = identity[:, :0]
        n, m = tokens.shape[2], identity.shape[1]
        steps = selection.scan_order(n, m, config.condition_layout, scope, config.causal)
        sequences = len(steps.lengths) // len(identity)  # of each clip
        selected = z.flatten(0, 1)[selection.index]
        parts = [self.project(selected), self.condition(tokens).flatten(0, 2)]
        if self.identity is not None:
            parts.append(self.identity(identity).repeat_interleave(sequences, 0).flatten(0, 1))
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
        if self.gate is not None:  # the same condition asks for another change at another place
            y = y * F.silu(self.gate(selected)).to(y.dtype)
        return self.out(y), final


class AttentionBranch(nn.Module):
    """Cross-attention from each frame's features to its condition and identity tokens.

    This is the baseline of ACTalker's table 3. Each frame is computed alone, so there is no state.
    """

    def __init__(self, channels: int, token_width: int, config: BranchConfig) -> None:
        """Make a branch for features of `channels` (c) and condition tokens of `token_width` (d)."""
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
        """Compute the change (k, c) of the selected tokens; the second result is None.

        z: (b, f·t, c). tokens: (b, f, n, d). identity: (b, m, d). `Branch.__call__` explains each. `state`
        and `return_state` are ignored, since each frame is computed alone.
        """
        b, f = tokens.shape[:2]
        if self.config.identity:
            tokens = torch.cat([tokens, identity[:, None].expand(-1, f, -1, -1).to(tokens)], dim=2)
        q = self.query(z).unflatten(1, (f, -1)).flatten(0, 1)  # (b·f, t, c)
        k, v = self.keys(tokens).flatten(0, 1).chunk(2, dim=-1)  # (b·f, n + m, c)
        parts = (x.to(q.dtype).unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return self.out(mixed.reshape(-1, mixed.shape[-1])[selection.index]), None


def branch_of(channels: int, token_width: int, config: BranchConfig) -> MaskedBranch | AttentionBranch:
    """Make the branch that `config.form` names, for c channels and condition tokens of width d."""
    kind = AttentionBranch if config.form == "attention" else MaskedBranch
    return kind(channels, token_width, config)


def scan_of(config: BranchConfig, inner: int) -> SelectiveBlock | SsdBlock:
    """Make the state-space block that `config.form` names, over `inner` channels."""
    directions = 1 if config.causal else 2
    if config.form == "ssd":
        return SsdBlock(inner, config.state_size, config.head_size, config.conv, directions)
    return SelectiveBlock(inner, config.state_size, config.conv, directions)
