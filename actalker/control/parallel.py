"""The parallel-control Mamba layer: every open branch side by side on the same features.

Letters: b batch, f frames, h w token rows and columns, c channels, d token width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .branch import branch_of
from .config import BranchConfig
from .drop import paste
from .pass_ import Pass
from .places import Places


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
        self.causal = config.causal
        self.branches = nn.ModuleDict({s: branch_of(channels, token_width, config) for s in signals})
        self.norm = nn.LayerNorm(channels)
        first, last = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(first, nn.GELU(), last)

    def forward(self, z: Tensor, pass_: Pass, site: int = 0) -> Tensor:
        """Features z (b, f, h, w, c) under the conditions of a forward pass; same shape out.

        site: the layer's number in its network, by which passes hand on its branches' states.
        """
        b, f, h, w, c = z.shape
        flat = z.reshape(b, f * h * w, c)
        read = self.pre(flat)
        if self.places is not None:
            read = self.places.tokens(read)
        mixed = read
        conditions = pass_.conditions
        for name, selection in pass_.selections((h, w), self.causal).items():
            change, state = self.branches[name](
                read,
                conditions.tokens[name],
                conditions.identity,
                selection,
                state=pass_.state(site, name),
                return_state=pass_.next_states is not None,
            )
            pass_.hand_on(site, name, state)
            gate = conditions.gates[name].to(change.dtype).flatten()[selection.index // (h * w)][:, None]
            # where: what a closed frame holds, be it NaN, stays out
            mixed = paste(mixed, torch.where(gate > 0, gate * change, 0.0), selection)
        return (self.mlp(self.norm(mixed)) + flat).view_as(z)
