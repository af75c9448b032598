"""The scan with one decay a head on CPUs: numba kernels as operators of PyTorch.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, s sequences.
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backends import Result, SsdCall
from ..context import Context
from ..kernels.arguments import LANES, address, chunks_in, is_plain, places_of, rows, scratch
from ..kernels.support import numba_refuses
from ..kernels.threads import share_jobs

if TYPE_CHECKING:  # numba is optional
    from .numba_kernels import Plan

__all__ = ["numba_refuses", "ssd_numba"]


@cache
def kernels() -> ModuleType:
    """The module of kernels; `numba_refuses` says whether there is one."""
    from . import numba_kernels

    return numba_kernels


def ssd_numba(call: SsdCall) -> Result:
    """Compute a call by the kernels: y and the last states, as `SsdCall` says."""
    x, dt, state = call.x, call.dt, call.state
    p = x.shape[3]
    fill = -p % LANES
    half = x.dtype == torch.bfloat16
    padded = x if half else x.float()
    padded = F.pad(padded, (0, fill)) if fill else padded
    initial = None if state is None else F.pad(state, (0, 0, 0, fill)).transpose(2, 3)
    inputs = (padded, dt, dt * call.A, call.B.float(), call.C.float(), call.D, initial)
    sizes = torch.full(x.shape[:1], x.shape[1]) if call.lengths is None else call.lengths
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    # at an operator's first call torch loads its compiler, which takes half a second
    forward = ssd_forward if keep or not is_plain(x) else _ssd_forward
    y, last, _ = forward(*inputs, sizes, call.reverse, keep)
    y = y[..., :p].to(x.dtype)
    return y, None if initial is None else last[..., :p].transpose(2, 3)


ARGUMENTS = (
    "Tensor x, Tensor dt, Tensor rate, Tensor B, Tensor C, Tensor? D, Tensor? initial, Tensor lengths, "
    "bool reverse"
)


def _ssd_forward(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial: Tensor | None,
    lengths: Tensor,
    reverse: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The scan as an operator of PyTorch.

    Args:
        x: (b, l, h, p), p a whole number of vectors.
        dt, rate: (b, l, h), step sizes and the logarithm of the decay.
        initial: (s, h, n, p), states before the first steps; None: zeros.
        keep: return the states before every chunk too, which the gradients need.
    Returns: y, the last states (s, h, n, p), and the states before every chunk (chunks, h, n, p).
    """
    x, dt, decay, B, C = (walkable(t) for t in (x, dt, rate.exp(), B, C))
    D, initial = (None if t is None else t.contiguous() for t in (D, initial))
    y, final, states = forward_results(
        x, dt, rate, B, C, D=D, initial=initial, lengths=lengths, reverse=reverse, keep=keep
    )
    plan = plan_of(x, B, 1, reverse)
    tables = tuple(rows(t) for t in (x, dt, decay, B, C, y))
    addresses = tuple(address(t) for t in (D, states, initial, final))

    def work(first: int, last: int) -> None:
        space = scratch(kernels().forward_vectors(plan.n, plan.width, most_heads(plan)))
        kernel = kernels().scan_forward
        kernel((first, last), places, plan, *tables, *addresses, space.ctypes.data)

    places = places_of(lengths, len(x), kernels().CHUNK)
    share_jobs(work, len(lengths) * plan.groups * plan.parts, x.numel() * plan.n)
    states[chunks_in(places, kernels().CHUNK) :] = 0  # read by nobody, but the same in every run
    return y, final, states


ssd_forward = torch.library.custom_op(
    "actalker::ssd_forward",
    _ssd_forward,
    mutates_args=(),
    schema=f"({ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor)",
)


@ssd_forward.register_fake
def forward_results(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial: Tensor | None,
    lengths: Tensor,
    reverse: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors for the results of `ssd_forward`, without values."""
    (b, l, h, p), n, s = x.shape, B.shape[3], lengths.shape[0]
    chunks = b * (l // kernels().CHUNK) + s if keep else 0  # as many as there can be
    return x.new_empty(x.shape), dt.new_empty(s, h, n, p), dt.new_empty(chunks, h, n, p)


@torch.library.custom_op(
    "actalker::ssd_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor? dfinal, Tensor states, {ARGUMENTS}) -> ({', '.join(['Tensor'] * 7)})",
)
def ssd_backward(
    dy: Tensor,
    dfinal: Tensor | None,
    states: Tensor,
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial: Tensor | None,
    lengths: Tensor,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """The gradients of x, dt, rate, B, C, D and initial from those of y and of the last states."""
    x, dt, decay, B, C, dy = (walkable(t) for t in (x, dt, rate.exp(), B, C, dy))
    D, dfinal = (None if t is None else t.contiguous() for t in (D, dfinal))
    (b, l, h, p), n, s = x.shape, B.shape[3], len(lengths)
    plan = plan_of(x, B, s, reverse)
    dx, ddt, drate = (t.new_empty(t.shape) for t in (x, dt, decay))
    dB, dC = (dt.new_empty(b, l, plan.groups, plan.parts, n) for _ in range(2))
    dD, dinitial = dt.new_empty(s, h, LANES), dt.new_empty(s, h, n, p)
    tables = tuple(rows(t) for t in (x, dt, decay, B, C, dy, dx, ddt, drate, dB, dC))
    addresses = tuple(address(t) for t in (D, states, dfinal, dD, dinitial))

    def work(first: int, last: int) -> None:
        space = scratch(adjoint().backward_vectors(n, plan.width, most_heads(plan)))
        kernel = adjoint().scan_backward
        kernel((first, last), places, plan, *tables, *addresses, space.ctypes.data)

    places = places_of(lengths, b, kernels().CHUNK)
    share_jobs(work, s * plan.groups * plan.parts, x.numel() * n)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    return dx, ddt, drate, dB, dC, dD.sum((0, 2)), dinitial


@ssd_backward.register_fake
def backward_results(
    dy: Tensor,
    dfinal: Tensor | None,
    states: Tensor,
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial: Tensor | None,
    lengths: Tensor,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """Tensors for the results of `ssd_backward`, without values."""
    (h, p), n = x.shape[2:], B.shape[3]
    alike = [t.new_empty(t.shape) for t in (x, dt, rate, B, C)]
    return (*alike, dt.new_empty(h), dt.new_empty(lengths.shape[0], h, n, p))


def remember(ctx: Context, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    """Save what the gradients of `ssd_forward` need."""
    *tensors, ctx.reverse, _ = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def differentiate(
    ctx: Context, dy: Tensor | None, dfinal: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The gradients of the arguments of `ssd_forward`, None for those that have none."""
    states, *tensors = ctx.saved_tensors
    dy = torch.zeros_like(tensors[0]) if dy is None else dy
    grads = ssd_backward(dy, dfinal, states, *tensors, ctx.reverse)
    wanted = [None if t is None else grad for t, grad in zip(tensors, grads, strict=False)]
    return (*wanted, None, None, None)


ssd_forward.register_autograd(differentiate, setup_context=remember)


def plan_of(x: Tensor, B: Tensor, sequences: int, reverse: bool) -> Plan:
    """The sizes of a call, with at least one job a thread where its heads allow that."""
    (h, p), (groups, n) = x.shape[2:], B.shape[2:]
    parts = min(math.ceil(torch.get_num_threads() / (sequences * groups)), h // groups)
    half = x.dtype == torch.bfloat16
    return kernels().Plan(
        heads=h, width=p // LANES, n=n, groups=groups, parts=parts, reverse=reverse, half=half
    )


def most_heads(plan: Plan) -> int:
    """Heads of the largest job."""
    return math.ceil(plan.heads // plan.groups / plan.parts)


@cache
def adjoint() -> ModuleType:
    """The module of the kernel of the gradients."""
    from . import numba_adjoint

    return numba_adjoint


def walkable(t: Tensor) -> Tensor:
    """t, copied unless the numbers of a step lie side by side; items and steps may lie anywhere."""
    return t if t[0, 0].is_contiguous() else t.contiguous()
