"""The parallel-control layer as ACTalker's released code has it, for its checkpoints.

It is not the paper's: every frame is a sequence of its own; the layer replaces the features, there is no
residual; a branch's scanned tokens take the place of the projected ones; identity and condition tokens stand
at the end of the sequence; both branches are summed before the norm, the projection of a closed one too.
Names of weights are the release's.

Letters: k frames of the whole batch, t tokens a frame, c channels, d width of condition tokens, w = 2c,
n tokens of a signal a frame, l length of the pack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ssm import selective_scan

STATE = 16


class ReleasedUnit(nn.Module):
    """A selective scan in two directions, summed. Steps' parameters are projections of the steps
    themselves.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width, rank = 2 * channels, math.ceil(channels / 16)
        self.rank = rank
        self.x_proj_weight = nn.Parameter(torch.randn(2, rank + 2 * STATE, width) * width**-0.5)
        self.dt_projs_weight = nn.Parameter(torch.randn(2, width, rank) * rank**-0.5)
        step = torch.exp(torch.rand(2, width) * math.log(100) + math.log(1e-3))
        self.dt_projs_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step
        decay = torch.arange(1, STATE + 1, dtype=torch.float32).log()
        self.A_logs = nn.Parameter(decay.repeat(2 * width, 1))
        self.Ds = nn.Parameter(torch.ones(2 * width))

    def forward(self, steps: Tensor, lengths: Sequence[int]) -> Tensor:
        """Packed sequences (l, w), one after another, to (l, w)."""
        width = steps.shape[1]
        total = torch.zeros_like(steps)
        for k in range(2):
            own = slice(k * width, (k + 1) * width)
            projected = F.linear(steps, self.x_proj_weight[k])
            rank, B, C = projected.split([self.rank, STATE, STATE], dim=1)
            y, _ = selective_scan(
                steps[None],
                F.linear(rank, self.dt_projs_weight[k])[None],
                -torch.exp(self.A_logs[own].float()),
                B[None],
                C[None],
                self.Ds[own].float(),
                self.dt_projs_bias[k].float(),
                delta_softplus=True,
                lengths=list(lengths),
                reverse=k == 1,
            )
            total = total + y[0]
        return total


class ReleasedControl(nn.Module):
    """The layer: two branches, audio and motion, on the same features."""

    def __init__(self, channels: int, token_width: int) -> None:
        super().__init__()
        width = 2 * channels
        self.audio_proj = nn.Linear(token_width, width, bias=False)
        self.exp_proj = nn.Linear(token_width, width, bias=False)
        self.id_proj = nn.Linear(token_width, width, bias=False)
        self.in_proj1 = nn.Linear(channels, width, bias=False)
        self.in_proj2 = nn.Linear(channels, width, bias=False)
        self.audio_unit, self.exp_unit = ReleasedUnit(channels), ReleasedUnit(channels)
        self.out_norm = nn.LayerNorm(width)
        self.out_proj = nn.Linear(width, channels, bias=False)

    def forward(
        self,
        z: Tensor,
        tokens: dict[str, Tensor],
        identity: Tensor,
        kept: dict[str, Tensor],
        gates: dict[str, Tensor],
    ) -> Tensor:
        """Features (k, t, c) to features.

        tokens: audio (k, n, d), expression (k, n, d), zero where the gate is closed. identity: (k, m, d).
        kept: audio, expression -> (k, t) bool, the tokens that a branch scans. gates: (k,) in [0, 1], how
        far what is scanned takes their place; the release knows 0 (nothing kept) and 1.
        """
        who = F.silu(self.id_proj(identity))
        audio, motion = (
            self._branch(enter(z), who, F.silu(project(tokens[signal])), kept[signal], gates[signal], unit)
            for signal, enter, project, unit in (
                ("audio", self.in_proj1, self.audio_proj, self.audio_unit),
                ("expression", self.in_proj2, self.exp_proj, self.exp_unit),
            )
        )
        return self.out_proj(self.out_norm(audio + motion))

    @staticmethod
    def _branch(
        z: Tensor, identity: Tensor, tokens: Tensor, kept: Tensor, gate: Tensor, unit: ReleasedUnit
    ) -> Tensor:
        """Tokens (k, t, w) with those that are kept replaced by what the scan makes of them."""
        counts = kept.sum(1)
        if int(counts.sum()) == 0:
            return z
        ends = torch.cat([identity, tokens], dim=1)  # (k, m + n, w)
        ends = ends * (counts > 0)[:, None, None]
        lengths = counts + ends.shape[1]
        first = lengths.cumsum(0) - lengths  # where each frame's sequence begins
        frame, place = kept.nonzero(as_tuple=True)
        rank = kept.cumsum(1)[frame, place] - 1
        steps = z.new_empty(int(lengths.sum()), z.shape[2])
        own = first[frame] + rank
        behind = (first + counts)[:, None] + torch.arange(ends.shape[1], device=z.device)
        steps[own] = z[frame, place]
        steps[behind.flatten()] = ends.flatten(0, 1)
        out, scanned = z.clone(), unit(steps, lengths.tolist())[own]
        out[frame, place] = torch.lerp(z[frame, place], scanned, gate[frame].to(z.dtype)[:, None])
        return out
