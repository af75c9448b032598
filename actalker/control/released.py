"""The parallel-control layer of ACTalker's released code, for its checkpoints.

It differs from the paper's. Each frame is its own sequence. The layer replaces the features; there is no
residual. The paste happens between the projections, in the space of width 2c: a branch's scanned tokens
replace its projected ones. Identity and condition tokens stand at the end of the sequence. The sum before the
norm holds the projection of a closed branch too. The weights have the names of the release.

Letters: k frames of the whole batch, t tokens a frame, c channels, d width of condition tokens, w = 2c,
m identity tokens, n tokens of a signal a frame, l steps of all sequences.
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
    """Selective scans in both directions, summed (Gu & Dao 2023, algorithm 2).

    The step size δ and the projections B and C of each step are linear functions of the step itself, with
    weights of their own in each direction. Unlike Mamba's block there is no convolution and no gate.
    """

    def __init__(self, channels: int) -> None:
        """Make a unit of width w = 2 `channels`, with the release's initial values."""
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
        """Scan packed sequences: steps (l, w), one sequence behind the other, of width w; same shape out.

        lengths: steps of each sequence, l in all; each begins with a state of zeros.
        """
        width = steps.shape[1]
        total = torch.zeros_like(steps)
        for k in range(2):
            rows = slice(k * width, (k + 1) * width)  # of this direction
            projected = F.linear(steps, self.x_proj_weight[k])
            rank, B, C = projected.split([self.rank, STATE, STATE], dim=1)
            y, _ = selective_scan(
                steps[None],
                F.linear(rank, self.dt_projs_weight[k])[None],
                -torch.exp(self.A_logs[rows].float()),
                B[None],
                C[None],
                D=self.Ds[rows].float(),
                delta_bias=self.dt_projs_bias[k].float(),
                delta_softplus=True,
                lengths=list(lengths),
                reverse=k == 1,
            )
            total = total + y[0]
        return total


class ReleasedControl(nn.Module):
    """The release's layer: an audio and a motion branch on the same features.

    o = W_out Norm(z_1 + z_2), where z_s = W_s z with the tokens inside the region replaced by their scan
    """

    def __init__(self, channels: int, token_width: int) -> None:
        """Make a layer for features of `channels` (c) and condition tokens of `token_width` (d)."""
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
        selected: dict[str, Tensor],
        gates: dict[str, Tensor],
    ) -> Tensor:
        """Compute new features (k, t, c) from features z (k, t, c).

        Args:
            tokens: `audio` and `expression` -> (k, n, d), zeros where the gate is closed.
            identity: (k, m, d).
            selected: signal -> (k, t) bool, the tokens that its branch scans.
            gates: signal -> (k,) in [0, 1], the share of the scan in a selected token; the rest is its
                projection. The release has 0, with no token selected, and 1.
        """
        person = F.silu(self.id_proj(identity))
        audio, motion = (
            self._branch(
                enter(z),
                torch.cat([person, F.silu(project(tokens[signal]))], dim=1),  # (k, m + n, w)
                selected[signal],
                gates[signal],
                unit,
            )
            for signal, enter, project, unit in (
                ("audio", self.in_proj1, self.audio_proj, self.audio_unit),
                ("expression", self.in_proj2, self.exp_proj, self.exp_unit),
            )
        )
        return self.out_proj(self.out_norm(audio + motion))

    @staticmethod
    def _branch(z: Tensor, ends: Tensor, selected: Tensor, gate: Tensor, unit: ReleasedUnit) -> Tensor:
        """Replace the selected tokens of z (k, t, w) by their scan, with `ends` (k, m + n, w) behind them."""
        counts = selected.sum(1)
        if int(counts.sum()) == 0:
            return z
        ends = ends * (counts > 0)[:, None, None]
        lengths = counts + ends.shape[1]
        first = lengths.cumsum(0) - lengths  # where each frame's sequence begins
        frame, place = selected.nonzero(as_tuple=True)
        rank = selected.cumsum(1)[frame, place] - 1
        steps = z.new_empty(int(lengths.sum()), z.shape[2])
        rows = first[frame] + rank  # of the selected tokens among the steps
        behind = (first + counts)[:, None] + torch.arange(ends.shape[1], device=z.device)
        steps[rows] = z[frame, place]
        steps[behind.flatten()] = ends.flatten(0, 1)
        out, scanned = z.clone(), unit(steps, lengths.tolist())[rows]
        out[frame, place] = torch.lerp(z[frame, place], scanned, gate[frame].to(z.dtype)[:, None])
        return out
