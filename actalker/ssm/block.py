"""The state-space block: a scan in one or two orders of the same tokens, with parameters of its own for each.

Letters: r tokens, k of them with a result, l steps of an order, s sequences, g directions (1 or 2), e inner
channels, n state size, h heads, p channels of a head, q taps of the convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..errors import InputError
from .conv import causal_conv, last_steps
from .packs import sum_over_orders
from .selective.scan import ordered_scan, selective_scan
from .ssd.scan import ssd_scan


class ScanState(NamedTuple):
    """What a block with one direction carries from the steps before to those to come, by sequence.

    scan: the state of the scan, (s, e, n), or (s, h, p, n) with one decay a head, in float32.
    tail: the last steps before the convolution, (s, q - 1, e); None in a block without one.
    """

    scan: Tensor
    tail: Tensor | None


class SelectiveBlock(nn.Module):
    """Selective scans in a forward and a backward order, one set of parameters a direction.

    The caller gives the orders, since "backward" may be more than a reversal: condition tokens stand before
    their frame in both directions.

    Initialised so that a token's influence lasts about one frame: step sizes log-uniform in [0.3, 1],
    A = -(1..n) / 64, and B and C near one common vector (a bias, as in Mamba-3), so that C·B starts at 1 and
    the state is a fading sum of the tokens before. With the usual start for language (steps of 0.001 to 0.1,
    no bias) condition tokens make 1 % of what image tokens read, and training does not find them.
    """

    backend = "auto"
    """The backend of `selective_scan`."""

    def __init__(self, inner: int, state_size: int = 16, conv: int = 0, directions: int = 2) -> None:
        """inner: e. conv: taps of a causal convolution in front of each scan; 0: none. directions: 2, or 1
        for the forward order alone.

        Raises: InputError for one tap.
        """
        super().__init__()
        self.inner, self.state_size, self.directions = inner, state_size, directions
        self.rank = math.ceil(inner / 16)
        self.conv = CausalConv(inner, conv, directions) if conv else None
        self.select = selectors(inner, self.rank, state_size, directions)
        step = [nn.Linear(self.rank, inner, bias=False) for _ in range(directions)]
        for layer in step:
            nn.init.uniform_(layer.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.step = nn.ModuleList(step)
        self.step_bias = nn.Parameter(starting_steps(directions * inner))
        decay = (torch.arange(1, state_size + 1) / 64).log()
        self.log_decay = nn.Parameter(decay.repeat(directions * inner, 1))
        self.skip = nn.Parameter(torch.ones(directions * inner))

    def forward(
        self,
        tokens: Tensor,
        order: Tensor,
        lengths: Tensor,
        results: int,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """Scan the tokens in every direction's order.

        Args:
            tokens: (r, e); the first k stand at one step of every order, the others may stand at several.
            order: (g, l) int64, the token of each step, forward and backward, sequence behind sequence.
            lengths: (s,) steps of each sequence.
            results: k, how many tokens have a result; the others are only read.
            state: the state before the first steps; None: zeros. Only with one direction.
            return_state: return the state behind the last steps. Only with one direction.
        Returns: the sum over directions for the first k tokens, (k, e), and the last state or None.
        Raises: InputError for a state where there are two directions.
        """
        check_directions(self.directions, state, return_state)
        if self.conv is not None:
            steps, tail = tokens_in_order(
                tokens, order, self.conv, lengths=lengths, state=state, return_state=return_state
            )
            y, last = self.scan_steps(steps, lengths, None if state is None else state.scan, return_state)
            y = sum_over_orders(y, order, len(tokens), results)
            return y.to(tokens.dtype), None if last is None else ScanState(last, tail)
        delta, A, B, C, D, bias = self.selected(joint_linear(self.select, tokens))
        y, last = ordered_scan(
            tokens.float(),
            delta,
            A,
            B,
            C,
            D=D,
            delta_bias=bias,
            order=order,
            lengths=lengths,
            results=results,
            delta_softplus=True,
            state=None if state is None else state.scan[:, None],
            return_state=return_state,
            backend=self.backend,
        )
        return y.to(tokens.dtype), None if last is None else ScanState(last[:, 0], None)

    def scan_steps(
        self, steps: Tensor, lengths: Tensor, state: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Scan the steps of every order, (l, g, e), each direction with its own parameters.

        Returns: y (l, g, e), and the scan's state (s, e, n), or None if not asked for.
        """
        delta, A, B, C, D, bias = self.selected(per_direction_linear(self.select, steps))
        y, last = selective_scan(
            steps.float().flatten(1)[None],
            delta.flatten(1)[None],
            A.flatten(0, 1),
            B[None],
            C[None],
            D=D.flatten(),
            delta_bias=bias.flatten(),
            delta_softplus=True,
            lengths=lengths,
            state=state,
            return_state=return_state,
            backend=self.backend,
        )
        return y[0].unflatten(1, (self.directions, -1)), last

    def selected(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The scan's arguments beside its input, from the output of `select`, (·, g, rank + 2 n).

        Returns: delta (·, g, e), A (g, e, n), B, C (·, g, n), D and bias (g, e), all in float32, since
        a state decays over thousands of steps.
        """
        low, B, C = rows.split([self.rank, self.state_size, self.state_size], dim=-1)
        weights = (-self.log_decay.float().exp(), self.skip.float(), self.step_bias.float())
        A, D, bias = (t.unflatten(0, (self.directions, -1)) for t in weights)
        return per_direction_linear(self.step, low).float(), A, B.float(), C.float(), D, bias


class SsdBlock(nn.Module):
    """A `SelectiveBlock` with one decay a head (Mamba-2).

    A state costs less time, so that a block can have more of them.
    """

    backend = "auto"
    """The backend of `ssd_scan`."""

    def __init__(
        self, inner: int, state_size: int = 64, head_size: int = 64, conv: int = 0, directions: int = 2
    ) -> None:
        """inner, conv, directions: as in `SelectiveBlock`. head_size: channels of a head.

        Raises: InputError where inner is no multiple of head_size, and for one tap.
        """
        super().__init__()
        if head_size < 1 or inner % head_size:
            raise InputError(f"head_size {head_size}: the branch has {inner} inner channels, give a divisor")
        self.inner, self.state_size, self.directions = inner, state_size, directions
        self.heads, self.head_size = inner // head_size, head_size
        self.conv = CausalConv(inner, conv, directions) if conv else None
        self.select = selectors(inner, self.heads, state_size, directions)
        self.step_bias = nn.Parameter(starting_steps(directions * self.heads))
        self.log_decay = nn.Parameter((torch.linspace(1, 16, self.heads) / 64).log().repeat(directions))
        self.skip = nn.Parameter(torch.ones(directions * self.heads))

    def forward(
        self,
        tokens: Tensor,
        order: Tensor,
        lengths: Tensor,
        results: int,
        state: ScanState | None = None,
        return_state: bool = False,
    ) -> tuple[Tensor, ScanState | None]:
        """As `SelectiveBlock.forward`."""
        check_directions(self.directions, state, return_state)
        steps, tail = tokens_in_order(
            tokens, order, self.conv, lengths=lengths, state=state, return_state=return_state
        )
        rows = per_direction_linear(self.select, steps)
        dt, B, C = rows.split([self.heads, self.state_size, self.state_size], dim=-1)
        y, last = ssd_scan(
            steps.float().reshape(1, -1, self.directions * self.heads, self.head_size),
            dt.flatten(1)[None].float(),
            -self.log_decay.float().exp(),
            B[None].float(),
            C[None].float(),
            D=self.skip.float(),
            dt_bias=self.step_bias.float(),
            dt_softplus=True,
            lengths=lengths,
            state=None if state is None else state.scan,
            return_state=return_state,
            backend=self.backend,
        )
        y = y[0].flatten(1).unflatten(1, (self.directions, -1))
        y = sum_over_orders(y, order, len(tokens), results)
        return y.to(tokens.dtype), None if last is None else ScanState(last, tail)


class CausalConv(nn.Module):
    """A short causal convolution for each direction, then a SiLU; initialised near the identity."""

    def __init__(self, channels: int, taps: int, directions: int = 2) -> None:
        """Raises: InputError for one tap, which would be no convolution."""
        super().__init__()
        if taps < 2:
            raise InputError(f"conv: {taps} taps; give 2 or more, or 0 for none")
        weight = torch.randn(directions, channels, taps) * 0.02
        weight[..., -1] += 1
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(directions, channels))

    def forward(self, x: Tensor, direction: int, lengths: Tensor, tail: Tensor | None = None) -> Tensor:
        """Convolve the steps (l, e) of one direction, 0 or 1; lengths and tail are as in `causal_conv`."""
        return causal_conv(x, self.weight[direction], self.bias[direction], lengths, tail, silu=True)


def check_directions(directions: int, state: ScanState | None, return_state: bool) -> None:
    """Raise InputError where a block that also scans backwards is called with a state or asked for one."""
    if directions > 1 and (return_state or state is not None):
        raise InputError(
            "state: a scan in both directions needs the frames to come; "
            "give the branch `directions: forward`, or scan the clip as a whole"
        )


def tokens_in_order(
    tokens: Tensor,
    order: Tensor,
    conv: CausalConv | None,
    lengths: Tensor,
    state: ScanState | None,
    return_state: bool,
) -> tuple[Tensor, Tensor | None]:
    """The tokens at the steps of every order, after the convolution if there is one.

    Returns: (l, g, e), and the convolution's tail for the frames to come, (s, q - 1, e), or None.
    """
    steps = tokens[order]  # (g, l, e)
    if conv is None:
        return steps.transpose(0, 1), None
    before = None if state is None else state.tail
    tail = last_steps(steps[0], lengths, conv.weight.shape[2], before) if return_state else None
    out = [conv(x, direction, lengths, before) for direction, x in enumerate(steps)]
    return torch.stack(out, 1), tail


def joint_linear(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply every direction's layer to the same rows, (r, ·) -> (r, g, ·)."""
    if not untouched(layers):
        return torch.stack([layer(x) for layer in layers], 1)
    weight, bias = (torch.cat([getattr(layer, k) for layer in layers]) for k in ("weight", "bias"))
    return F.linear(x, weight, bias).unflatten(1, (len(layers), -1))


def per_direction_linear(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply each direction's layer to that direction's rows, (r, g, ·) -> (r, g, ·)."""
    if not untouched(layers):
        return torch.stack([layer(x[:, k]) for k, layer in enumerate(layers)], 1)
    weight = torch.stack([layer.weight.t() for layer in layers])
    y = torch.bmm(x.transpose(0, 1), weight.to(x.dtype)).transpose(0, 1)
    if layers[0].bias is None:
        return y
    return y + torch.stack([layer.bias for layer in layers]).to(y.dtype)


def untouched(layers: nn.ModuleList) -> TypeGuard[Sequence[nn.Linear]]:
    """Whether layers are plain Linears, so that their weights may be used without calling `forward`.

    Adapters and quantisation put another class in a Linear's place; casting, offloading and parametrisation
    put hooks, a `forward` of the instance or tensors of another class.
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
            if t is not None and type(t) not in PLAIN and not is_traced(t):
                return False
    return True


PLAIN = (nn.Parameter, Tensor)


def is_traced(t: Tensor) -> bool:
    """Whether t stands for another tensor while PyTorch records a graph."""
    return torch.compiler.is_compiling() and not is_traceable_wrapper_subclass(t)


def selectors(inner: int, low: int, state_size: int, directions: int) -> nn.ModuleList:
    """Each direction's projection of `inner` channels to `low` numbers for the step sizes, B and C."""
    select = [nn.Linear(inner, low + 2 * state_size) for _ in range(directions)]
    for layer in select:
        nn.init.zeros_(layer.bias[:low])
        nn.init.constant_(layer.bias[low:], state_size**-0.5)
    return nn.ModuleList(select)


def starting_steps(count: int) -> Tensor:
    """`count` random biases whose softplus, the step size, is log-uniform in [0.3, 1]."""
    steps = torch.exp((torch.rand(count) - 1) * math.log(1 / 0.3))
    return steps + torch.log(-torch.expm1(-steps))  # inverse of softplus
