"""The parallel-control Mamba layer (PCM): all open signals' branches side by side on the same features.

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
    """One control layer: o = MLP(Norm(z' + Σ_s g_s Δ_s)) + z with z' = Norm(z)   (after ACTalker, eq. 2-4).

    Δ_s is the change of signal s's branch (`MaskedBranch`), zero outside the signal's region,
    and g_s its gate at each frame.

    Two things differ from the paper, o = MLP(Norm(z_1 + z_2)) + z with whole features z_s = z + Δ_s. There k
    open branches give Norm(k z + Σ Δ_s), and closing one of them rescales z in the regions of the others; so
    here the changes alone are summed. And the branches read z' and are added to z': with depth z grows to
    hundreds of times the size of a change, and a sum with z would drown the signals.

    A signal whose gate is 0 everywhere is not computed: the output is bit for bit that of a model without it.
    The last layer starts at zero, so that a pretrained network is unchanged at step 0.
    """

    def __init__(
        self,
        channels: int,
        token_width: int,
        signals: Iterable[str],
        config: BranchConfig | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        """Make a layer with one branch for each signal.

        Args:
            channels: c of the features.
            token_width: d of the signals' and the identity's tokens.
            signals: names of the signals.
            config: hyper-parameters of the branches.
            grid: (h, w), to add learned features of its positions to z' (`Places`); None: no features.
        """
        super().__init__()
        self.pre = nn.LayerNorm(channels)
        self.places = Places(grid, channels) if grid else None
        config = config or BranchConfig()
        self.causal = config.causal
        self.branches = nn.ModuleDict({s: branch_of(channels, token_width, config) for s in signals})
        self.norm = nn.LayerNorm(channels)
        first, last = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(first, nn.GELU(), last)

    def forward(self, z: Tensor, pass_: Pass, site: int = 0) -> Tensor:
        """Apply the layer to features z (b, f, h, w, c) under the pass's conditions; same shape out.

        site: number of the layer in its network, the key of its branches' states between passes.
        """
        b, f, h, w, c = z.shape
        flat = z.reshape(b, f * h * w, c)
        normed = self.pre(flat)  # z'
        if self.places is not None:
            normed = self.places.tokens(normed)
        mixed = normed
        conditions = pass_.conditions
        for name, selection in pass_.selections((h, w), self.causal).items():
            change, state = self.branches[name](
                normed,
                conditions.tokens[name],
                conditions.identity,
                selection,
                state=pass_.state(site, name),
                return_state=pass_.next_states is not None,
            )
            pass_.hand_on(site, name, state)
            gate = conditions.gates[name].to(change.dtype).flatten()[selection.index // (h * w)][:, None]
            # `where`, not a product with 0: a NaN in a closed frame's change has to stay out
            mixed = paste(mixed, torch.where(gate > 0, gate * change, 0.0), selection)
        return (self.mlp(self.norm(mixed)) + flat).view_as(z)
