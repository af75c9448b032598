"""The bidirectional state-space block: two selective scans over two orders of the same tokens.

Letters: l length of the pack, s sequences, e inner channels, n state size, r rank of the step sizes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .scan import selective_scan, streaming_scan


class BidirectionalScan(nn.Module):
    """Selective scans over a forward and a backward sequence, one set of parameters a direction.

    The caller lays the tokens out twice, since "backward" may be more than a reversal: condition tokens
    stand before their frame in both directions.

    Initialised so that every token is heard for about a frame: step sizes log-uniform in [0.3, 1],
    A = -(1..n) / 64, and B and C near one common vector (a bias, as in Mamba-3), so that C·B starts at 1
    and the
    state is a fading sum of what went by. With the usual start for language (steps of 0.001 to 0.1, no bias)
    condition tokens make 1 % of what image tokens read, and training does not find them.
    """

    def __init__(
        self, inner: int, state_size: int = 16, rank: int | None = None, backend: str = "auto"
    ) -> None:
        super().__init__()
        self.inner, self.state_size, self.backend = inner, state_size, backend
        self.rank = rank or math.ceil(inner / 16)
        select = [nn.Linear(inner, self.rank + 2 * state_size) for _ in range(2)]
        for layer in select:
            nn.init.zeros_(layer.bias[: self.rank])
            nn.init.constant_(layer.bias[self.rank :], state_size**-0.5)
        step = [nn.Linear(self.rank, inner, bias=False) for _ in range(2)]
        for layer in step:
            nn.init.uniform_(layer.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.select, self.step = nn.ModuleList(select), nn.ModuleList(step)
        steps = torch.exp((torch.rand(2 * inner) - 1) * math.log(1 / 0.3))
        self.step_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # inverse of softplus
        self.log_decay = nn.Parameter((torch.arange(1, state_size + 1) / 64).log().repeat(2 * inner, 1))
        self.skip = nn.Parameter(torch.ones(2 * inner))

    def forward(
        self,
        ahead: Tensor,
        back: Tensor,
        lengths: Tensor,
        state: Tensor | None = None,
        streams: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scan both packs of sequences.

        Args:
            ahead, back: (l, e) the tokens in the two orders, sequence behind sequence.
            lengths: (s,) steps of each sequence.
            state: (s, e, n) what the forward direction starts from; None: nothing.
            streams: whether its last states are wanted.
        Returns: the two outputs, (l, e) each, in the orders of the inputs, and the forward direction's last
            states (s, e, n), in float32, if they are wanted.
        """
        delta, B, C = [], [], []
        for x, select, step in zip((ahead, back), self.select, self.step, strict=True):
            low, drive, read = select(x).split([self.rank, self.state_size, self.state_size], dim=-1)
            delta.append(step(low))
            B.append(drive)
            C.append(read)
        given = (
            torch.cat([ahead, back], dim=-1)[None].float(),
            torch.cat(delta, dim=-1)[None].float(),
            -self.log_decay.float().exp(),  # the state decays over thousands of steps: keep it in float32
            torch.stack(B, dim=1)[None].float(),
            torch.stack(C, dim=1)[None].float(),
            self.skip.float(),
            self.step_bias.float(),
        )
        final = None
        if streams or state is not None:
            begin = None if state is None else torch.cat([state, torch.zeros_like(state)], 1)
            y, last = streaming_scan(*given, True, lengths=lengths, state=begin, backend=self.backend)
            final = last[:, : self.inner]
        else:
            y = selective_scan(*given, True, lengths=lengths, backend=self.backend)
        y_ahead, y_back = y[0].to(ahead.dtype).split(self.inner, dim=-1)
        return y_ahead, y_back, final
