"""The parallel-control Mamba layer: every open branch side by side on the same features.

Letters: b batch, f frames, h w token rows and columns, c channels, d token width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..regions.grid import to_grid
from .branch import branch_of
from .conditions import Conditions
from .config import BranchConfig
from .drop import Kept, keep, paste
from .places import Places


@dataclass(frozen=True)
class Route:
    """What one level of the network needs to know of the conditions: kept tokens and gates by signal."""

    kept: Mapping[str, Kept]
    gates: Mapping[str, Tensor]
    tokens: Mapping[str, Tensor]
    identity: Tensor


def route(conditions: Conditions, size: tuple[int, int]) -> Route:
    """Mask-drop on a token grid of (h, w), for every open signal. Same size, same route: computed once."""
    kept = {
        name: keep(
            to_grid(conditions.regions[name], size),
            conditions.mask_drop,
            conditions.generator,
            conditions.gates[name].amax(1) > 0,
        )
        for name in conditions.open
    }
    return Route(kept, conditions.gates, conditions.tokens, conditions.identity)


class ParallelControl(nn.Module):
    """o = MLP(Norm(z' + Σ_s g_s Δ_s)) + z with z' = Norm(z)   (after ACTalker, eq. 2-4).

    The branches read z' and their changes are added to it: z itself grows with depth to hundreds of times the
    size of a change, and a sum with it would drown the signals.

    A signal whose gate is 0 is not computed: the output is bit for bit that of a model without it. The
    paper sums whole features, Norm(k z + Σ Δ_s) for k open branches; closing one of them would rescale z
    in the regions of the others, so here the changes are summed. The last layer starts at zero, so that a
    pretrained network is unchanged at step 0.

    side: of the grid, where each place has features of its own that z' has too (`Places`); 0: none.
    """

    def __init__(
        self,
        channels: int,
        token_width: int,
        signals: Iterable[str],
        config: BranchConfig | None = None,
        side: int = 0,
    ) -> None:
        super().__init__()
        self.pre = nn.LayerNorm(channels)
        self.places = Places(side, channels) if side else None
        config = config or BranchConfig()
        self.branches = nn.ModuleDict({s: branch_of(channels, token_width, config) for s in signals})
        self.norm = nn.LayerNorm(channels)
        first, last = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(first, nn.GELU(), last)

    def forward(self, z: Tensor, route: Route) -> Tensor:
        """Features z (b, f, h, w, c) under the conditions of this level's route; same shape out."""
        b, f, h, w, c = z.shape
        flat = z.reshape(b, f * h * w, c)
        read = self.pre(flat)
        if self.places is not None:
            read = self.places.tokens(read)
        mixed = read
        for name, kept in route.kept.items():
            change, _ = self.branches[name](read, route.tokens[name], route.identity, kept)
            gate = route.gates[name].to(change.dtype).flatten()[kept.index // (h * w)][:, None]
            # where: what a closed frame holds, be it NaN, stays out
            mixed = paste(mixed, torch.where(gate > 0, gate * change, 0.0), kept)
        return (self.mlp(self.norm(mixed)) + flat).view_as(z)
