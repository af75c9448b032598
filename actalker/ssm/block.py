"""The bidirectional state-space block: two scans over two orders of the same tokens.

Letters: l length of the pack, s sequences, e inner channels, n state size, r rank of the step sizes, h heads,
p channels of a head, k taps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from .conv import causal_conv, last_steps
from .scan import selective_scan, streaming_scan
from .ssd import ssd_scan


class ScanState(NamedTuple):
    """What the forward direction of a block remembers of the steps before.

    scan: the state of every sequence, (s, e, n), or (s, h, p, n) with one decay a head. tail: (s, k - 1, e)
    their last steps, where the block has a convolution.
    """

    scan: Tensor
    tail: Tensor | None


class BidirectionalScan(nn.Module):
    """Selective scans over a forward and a backward pack, one set of parameters a direction.

    The caller lays the tokens out twice, since "backward" may be more than a reversal: condition tokens
    stand before their frame in both directions.

    Initialised so that every token is heard for about a frame: step sizes log-uniform in [0.3, 1],
    A = -(1..n) / 64, and B and C near one common vector (a bias, as in Mamba-3), so that C·B starts at 1 and
    the state is a fading sum of what went by. With the usual start for language (steps of 0.001 to 0.1, no
    bias) condition tokens make 1 % of what image tokens read, and training does not find them.
    """

    def __init__(
        self,
        inner: int,
        state_size: int = 16,
        rank: int | None = None,
        conv: int = 0,
        backend: str = "auto",
    ) -> None:
        """conv: taps of a causal convolution in front of each scan; 0: none. backend: of `selective_scan`."""
        super().__init__()
        self.inner, self.state_size, self.backend = inner, state_size, backend
        self.rank = rank or math.ceil(inner / 16)
        self.conv = CausalConv(inner, conv) if conv else None
        self.select = selectors(inner, self.rank, state_size)
        step = [nn.Linear(self.rank, inner, bias=False) for _ in range(2)]
        for layer in step:
            nn.init.uniform_(layer.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.step = nn.ModuleList(step)
        self.step_bias = nn.Parameter(starting_steps(2 * inner))
        self.log_decay = nn.Parameter((torch.arange(1, state_size + 1) / 64).log().repeat(2 * inner, 1))
        self.skip = nn.Parameter(torch.ones(2 * inner))

    def forward(
        self,
        ahead: Tensor,
        back: Tensor,
        lengths: Tensor,
        state: ScanState | None = None,
        streams: bool = False,
    ) -> tuple[Tensor, Tensor, ScanState | None]:
        """Scan both packs of sequences.

        Args:
            ahead, back: (l, e) the tokens in the two orders, sequence behind sequence.
            lengths: (s,) steps of each sequence.
            state: what the forward direction starts from; None: nothing.
            streams: whether its last state is wanted.
        Returns: the two outputs, (l, e) each, in the orders of the inputs, and that state, in float32.
        """
        dtype = ahead.dtype
        ahead, back, tail = convolved(self.conv, ahead, back, lengths, state, streams)
        rows = [select(x) for select, x in zip(self.select, (ahead, back), strict=True)]
        low, B, C = by_direction(rows, self.rank, self.state_size)
        delta = torch.cat([step(t) for step, t in zip(self.step, low.unbind(1), strict=True)], dim=-1)
        given = (
            torch.cat([ahead, back], dim=-1)[None].float(),
            delta[None].float(),
            -self.log_decay.float().exp(),  # the state decays over thousands of steps: keep it in float32
            B[None].float(),
            C[None].float(),
            self.skip.float(),
            self.step_bias.float(),
        )
        if streams or state is not None:
            begin = None if state is None else torch.cat([state.scan, torch.zeros_like(state.scan)], 1)
            y, last = streaming_scan(*given, True, lengths=lengths, state=begin, backend=self.backend)
            final = ScanState(last[:, : self.inner], tail)
        else:
            y, final = selective_scan(*given, True, lengths=lengths, backend=self.backend), None
        forth, other = y[0].to(dtype).split(self.inner, dim=-1)
        return forth, other, final


class BidirectionalHeads(nn.Module):
    """The same block with one decay a head (Mamba-2): cheaper a state, so that it can have more of them."""

    def __init__(
        self, inner: int, state_size: int = 64, head_size: int = 64, conv: int = 0, backend: str = "auto"
    ) -> None:
        """head_size: channels of a head, of which inner is a multiple. backend: of `ssd_scan`."""
        super().__init__()
        if head_size < 1 or inner % head_size:
            raise InputError(f"head_size {head_size}: the branch has {inner} inner channels, give a divisor")
        self.inner, self.state_size, self.backend = inner, state_size, backend
        self.heads, self.head_size = inner // head_size, head_size
        self.conv = CausalConv(inner, conv) if conv else None
        self.select = selectors(inner, self.heads, state_size)
        self.step_bias = nn.Parameter(starting_steps(2 * self.heads))
        self.log_decay = nn.Parameter((torch.linspace(1, 16, self.heads) / 64).log().repeat(2))
        self.skip = nn.Parameter(torch.ones(2 * self.heads))

    def forward(
        self,
        ahead: Tensor,
        back: Tensor,
        lengths: Tensor,
        state: ScanState | None = None,
        streams: bool = False,
    ) -> tuple[Tensor, Tensor, ScanState | None]:
        """As `BidirectionalScan.forward`."""
        dtype = ahead.dtype
        ahead, back, tail = convolved(self.conv, ahead, back, lengths, state, streams)
        rows = [select(x) for select, x in zip(self.select, (ahead, back), strict=True)]
        steps, B, C = by_direction(rows, self.heads, self.state_size)
        begin = None
        if state is not None:
            begin = torch.cat([state.scan, torch.zeros_like(state.scan)], 1)
        elif streams:
            shape = (len(lengths), 2 * self.heads, self.head_size, self.state_size)
            begin = torch.zeros(shape, device=ahead.device)
        y, last = ssd_scan(
            torch.cat([ahead, back], dim=-1)[None].float().unflatten(2, (2 * self.heads, -1)),
            steps.flatten(1)[None].float(),
            -self.log_decay.float().exp(),
            B[None].float(),
            C[None].float(),
            self.skip.float(),
            self.step_bias.float(),
            True,
            lengths=lengths,
            state=begin,
            backend=self.backend,
        )
        forth, other = y[0].flatten(1).to(dtype).split(self.inner, dim=-1)
        final = None if begin is None else ScanState(last[:, : self.heads], tail)
        return forth, other, final


class CausalConv(nn.Module):
    """One short convolution a direction, and a SiLU; it starts as almost the identity."""

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        if taps < 2:
            raise InputError(f"conv: {taps} taps; give 2 or more, or 0 for none")
        weight = torch.randn(2, channels, taps) * 0.02
        weight[..., -1] += 1
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(2, channels))

    def forward(self, x: Tensor, direction: int, lengths: Tensor, tail: Tensor | None = None) -> Tensor:
        """(l, e) of direction 0 or 1 -> (l, e)."""
        weight, bias = self.weight[direction].to(x.dtype), self.bias[direction].to(x.dtype)
        return F.silu(causal_conv(x, weight, bias, lengths, tail))


def convolved(
    conv: CausalConv | None,
    ahead: Tensor,
    back: Tensor,
    lengths: Tensor,
    state: ScanState | None,
    streams: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Both packs behind a block's convolution, if it has one, and the tail for what follows."""
    if conv is None:
        return ahead, back, None
    before = None if state is None else state.tail
    tail = last_steps(ahead, lengths, conv.weight.shape[2], before) if streams else None
    return conv(ahead, 0, lengths, before), conv(back, 1, lengths), tail


def selectors(inner: int, low: int, state_size: int) -> nn.ModuleList:
    """A direction's projection each, to `low` numbers for the step sizes, B and C."""
    select = [nn.Linear(inner, low + 2 * state_size) for _ in range(2)]
    for layer in select:
        nn.init.zeros_(layer.bias[:low])
        nn.init.constant_(layer.bias[low:], state_size**-0.5)
    return nn.ModuleList(select)


def by_direction(rows: list[Tensor], low: int, state_size: int) -> list[Tensor]:
    """What the selectors give, (l, low + 2 n) each, as (l, 2, low), B (l, 2, n) and C (l, 2, n)."""
    return list(torch.stack(rows, dim=1).split([low, state_size, state_size], dim=-1))


def starting_steps(count: int) -> Tensor:
    """Step sizes log-uniform in [0.3, 1], before the softplus."""
    steps = torch.exp((torch.rand(count) - 1) * math.log(1 / 0.3))
    return steps + torch.log(-torch.expm1(-steps))  # inverse of softplus
