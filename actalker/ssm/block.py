"""The bidirectional state-space block: two scans over two orders of the same tokens.

Letters: r tokens, k of them with a result, l steps of an order, s sequences, e inner channels, n state size,
h heads, p channels of a head, q taps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..errors import InputError
from .conv import causal_conv, last_steps
from .packs import to_rows
from .scan import ordered_scan, selective_scan, streaming_scan
from .ssd import ssd_scan


class ScanState(NamedTuple):
    """What the forward direction of a block remembers of the steps before.

    scan: the state of every sequence, (s, e, n), or (s, h, p, n) with one decay a head. tail: (s, k - 1, e)
    their last steps, where the block has a convolution.
    """

    scan: Tensor
    tail: Tensor | None


class BidirectionalScan(nn.Module):
    """Selective scans in a forward and a backward order, one set of parameters a direction.

    The caller gives both orders, since "backward" may be more than a reversal: condition tokens stand before
    their frame in both directions.

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
        tokens: Tensor,
        order: Tensor,
        lengths: Tensor,
        results: int,
        state: ScanState | None = None,
        streams: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """Scan the tokens in both orders.

        Args:
            tokens: (r, e); none but the first `results` may stand at several steps.
            order: (2, l) int64, the token of each step, forward and backward, sequence behind sequence.
            lengths: (s,) steps of each sequence.
            results: k, tokens that are changed; the others are heard and dropped.
            state: what the forward direction starts from; None: nothing.
            streams: whether its last state is wanted.
        Returns: both directions' sum for the first k tokens, (k, e), and that state, in float32.
        """
        begin = None
        if streams or state is not None:
            begin = both_ways(state, (len(lengths), 2, self.inner, self.state_size), tokens.device)
        if self.conv is None:
            y, last = ordered_scan(
                tokens.float(),
                *self.selected(shared(self.select, tokens)),
                order=order,
                lengths=lengths,
                results=results,
                state=begin,
                delta_softplus=True,
                backend=self.backend,
            )
            tail = None
        else:
            laid, tail = laid_out(tokens, order, self.conv, lengths, state, streams)
            delta, A, B, C, D, bias = self.selected(apart(self.select, laid))
            laid, delta, B, C = (t[None] for t in (laid.float().flatten(1), delta.flatten(1), B, C))
            A, D, bias = A.flatten(0, 1), D.flatten(), bias.flatten()
            given = (laid, delta, A, B, C, D, bias, True, lengths)
            if begin is None:
                y = last = selective_scan(*given, backend=self.backend)
            else:
                y, last = streaming_scan(*given, state=begin.flatten(1, 2), backend=self.backend)
                last = last.unflatten(1, (2, -1))
            y = to_rows(y[0].unflatten(1, (2, -1)), order, len(tokens), results)
        return y.to(tokens.dtype), ScanState(last[:, 0], tail) if streams else None

    def selected(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What scans read beside the tokens, from what `select` gives (·, 2, rank + 2 n): delta (·, 2, e),
        A (2, e, n), B, C (·, 2, n), D, bias (2, e), in float32, for a state decays over thousands of steps.
        """
        low, B, C = rows.split([self.rank, self.state_size, self.state_size], dim=-1)
        weights = (-self.log_decay.float().exp(), self.skip.float(), self.step_bias.float())
        A, D, bias = (t.unflatten(0, (2, -1)) for t in weights)
        return apart(self.step, low).float(), A, B.float(), C.float(), D, bias


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
        tokens: Tensor,
        order: Tensor,
        lengths: Tensor,
        results: int,
        state: ScanState | None = None,
        streams: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """As `BidirectionalScan.forward`."""
        begin = None
        if streams or state is not None:
            shape = (len(lengths), 2, self.heads, self.head_size, self.state_size)
            begin = both_ways(state, shape, tokens.device).flatten(1, 2)
        laid, tail = laid_out(tokens, order, self.conv, lengths, state, streams)
        rows = apart(self.select, laid)
        steps, B, C = rows.split([self.heads, self.state_size, self.state_size], dim=-1)
        y, last = ssd_scan(
            laid.float().reshape(1, -1, 2 * self.heads, self.head_size),
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
        y = to_rows(y[0].flatten(1).unflatten(1, (2, -1)), order, len(tokens), results)
        final = ScanState(last[:, : self.heads], tail) if streams else None
        return y.to(tokens.dtype), final


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
        return causal_conv(x, self.weight[direction], self.bias[direction], lengths, tail, silu=True)


def both_ways(state: ScanState | None, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """What both directions start from, (s, 2, ...): the backward one from nothing."""
    begin = torch.zeros(shape, device=device)
    return begin if state is None else torch.stack([state.scan, begin[:, 1]], 1)


def laid_out(
    tokens: Tensor,
    order: Tensor,
    conv: CausalConv | None,
    lengths: Tensor,
    state: ScanState | None,
    streams: bool,
) -> tuple[Tensor, Tensor | None]:
    """The tokens at the steps of both orders, (l, 2, e), behind the convolution if there is one, and the tail
    for what follows."""
    if conv is None:
        return tokens[order].transpose(0, 1), None
    ahead, back = tokens[order]
    before = None if state is None else state.tail
    tail = last_steps(ahead, lengths, conv.weight.shape[2], before) if streams else None
    return torch.stack([conv(ahead, 0, lengths, before), conv(back, 1, lengths)], 1), tail


def shared(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Both directions' layers on the same rows, (r, ·) -> (r, 2, ·)."""
    if not untouched(layers):
        return torch.stack([layer(x) for layer in layers], 1)
    weight, bias = (torch.cat([getattr(layer, k) for layer in layers]) for k in ("weight", "bias"))
    return F.linear(x, weight, bias).unflatten(1, (2, -1))


def apart(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Each direction's layer on rows of its own, (r, 2, ·) -> (r, 2, ·)."""
    if not untouched(layers):
        return torch.stack([layer(x[:, k]) for k, layer in enumerate(layers)], 1)
    weight = torch.stack([layer.weight.t() for layer in layers])  # type: ignore[operator, union-attr]
    y = torch.bmm(x.transpose(0, 1), weight.to(x.dtype)).transpose(0, 1)
    if layers[0].bias is None:
        return y
    return y + torch.stack([layer.bias for layer in layers]).to(y.dtype)  # type: ignore[misc]


def untouched(layers: nn.ModuleList) -> bool:
    """Whether layers are Linears and no more, so that their weights may be read past their `forward`.

    Adapters and quantisation put another class in its place; casting, offloading and parametrisation put
    hooks, a `forward` of the instance or tensors of another class.
    """
    if _has_any_global_hook():
        return False
    for layer in layers:
        if type(layer) is not nn.Linear or "forward" in layer.__dict__:
            return False
        if layer._forward_hooks or layer._forward_pre_hooks:
            return False
        if layer._backward_hooks or layer._backward_pre_hooks:
            return False
        for t in layer._parameters.values():
            if t is not None and type(t) not in PLAIN and not stand_in(t):
                return False
    return True


PLAIN = (nn.Parameter, Tensor)


def stand_in(t: Tensor) -> bool:
    """Whether PyTorch has put a tensor in another's place to record a graph."""
    return torch.compiler.is_compiling() and not is_traceable_wrapper_subclass(t)


def selectors(inner: int, low: int, state_size: int) -> nn.ModuleList:
    """A direction's projection each, to `low` numbers for the step sizes, B and C."""
    select = [nn.Linear(inner, low + 2 * state_size) for _ in range(2)]
    for layer in select:
        nn.init.zeros_(layer.bias[:low])
        nn.init.constant_(layer.bias[low:], state_size**-0.5)
    return nn.ModuleList(select)


def starting_steps(count: int) -> Tensor:
    """Step sizes log-uniform in [0.3, 1], before the softplus."""
    steps = torch.exp((torch.rand(count) - 1) * math.log(1 / 0.3))
    return steps + torch.log(-torch.expm1(-steps))  # inverse of softplus
