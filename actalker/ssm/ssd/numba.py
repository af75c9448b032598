"""The scan with one decay a head on CPUs: numba kernels as operators of PyTorch.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, s sequences.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backends import Result, SsdCall
from ..kernels.arguments import LANES, address, chunks_in, places_of, rows, scratch
from ..kernels.support import numba_refuses
from ..kernels.threads import share_jobs

__all__ = ["numba_refuses", "ssd_numba"]


@cache
def kernels() -> Any:
    """The module of kernels; `numba_refuses` says whether there is one."""
    from . import numba_kernels

    return numba_kernels


def ssd_numba(call: SsdCall) -> Result:
    """As `SsdCall` says."""
    x, dt, state = call.x, call.dt, call.state
    p = x.shape[3]
    fill = -p % LANES
    half = x.dtype == torch.bfloat16
    wide = F.pad(x if half else x.float(), (0, fill)) if fill else x if half else x.float()
    begin = None if state is None else F.pad(state, (0, 0, 0, fill)).transpose(2, 3)
    inputs = (wide, dt, dt * call.A, call.B.float(), call.C.float(), call.D, begin)
    sizes = torch.full(x.shape[:1], x.shape[1]) if call.lengths is None else call.lengths
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    y, last, _ = ssd_forward(*inputs, sizes, call.reverse, keep)
    y = y[..., :p].to(x.dtype)
    return y, None if begin is None else last[..., :p].transpose(2, 3)


ARGUMENTS = (
    "Tensor x, Tensor dt, Tensor rate, Tensor B, Tensor C, Tensor? D, Tensor? begin, Tensor lengths, "
    "bool reverse"
)


@torch.library.custom_op(
    "actalker::ssd_forward", mutates_args=(), schema=f"({ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor)"
)
def ssd_forward(x, dt, rate, B, C, D, begin, lengths, reverse, keep):
    """x (b, l, h, p), p whole vectors; dt, rate (b, l, h), the logarithm of the decay; begin (s, h, n, p).
    Returns y, the last states and, with `keep`, those before every chunk."""
    x, dt, decay, B, C = (walkable(t) for t in (x, dt, rate.exp(), B, C))
    D, begin = (None if t is None else t.contiguous() for t in (D, begin))
    y, final, states = forward_results(x, dt, rate, B, C, D, begin, lengths, reverse, keep)
    plan = plan_of(x, B, 1, reverse)

    def work(first: int, last: int) -> None:
        space = scratch(kernels().forward_vectors(plan.n, plan.wide, most_heads(plan)))
        kernels().scan_forward(
            (first, last),
            places,
            plan,
            rows(x),
            rows(dt),
            rows(decay),
            rows(B),
            rows(C),
            rows(y),
            address(D),
            address(states),
            address(begin),
            address(final),
            space.ctypes.data,
        )

    places = places_of(lengths, len(x), kernels().CHUNK)
    share_jobs(work, len(lengths) * plan.groups * plan.parts, x.numel() * plan.n)
    states[chunks_in(places, kernels().CHUNK) :] = 0  # read by nobody, but the same in every run
    return y, final, states


@ssd_forward.register_fake
def forward_results(x, dt, rate, B, C, D, begin, lengths, reverse, keep):
    """Empty tensors of the right shapes."""
    (b, l, h, p), n, s = x.shape, B.shape[3], lengths.shape[0]
    chunks = b * (l // kernels().CHUNK) + s if keep else 0  # as many as there can be
    return x.new_empty(x.shape), dt.new_empty(s, h, n, p), dt.new_empty(chunks, h, n, p)


@torch.library.custom_op(
    "actalker::ssd_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor? dfinal, Tensor states, {ARGUMENTS}) -> ({', '.join(['Tensor'] * 7)})",
)
def ssd_backward(dy, dfinal, states, x, dt, rate, B, C, D, begin, lengths, reverse):
    """The gradients of x, dt, rate, B, C, D, begin from those of y and of the last states."""
    x, dt, decay, B, C, dy = (walkable(t) for t in (x, dt, rate.exp(), B, C, dy))
    D, dfinal = (None if t is None else t.contiguous() for t in (D, dfinal))
    (b, l, h, p), n, s = x.shape, B.shape[3], len(lengths)
    plan = plan_of(x, B, s, reverse)
    dx, ddt, drate = (t.new_empty(t.shape) for t in (x, dt, decay))
    dB, dC = (dt.new_empty(b, l, plan.groups, plan.parts, n) for _ in range(2))
    dD, dbegin = dt.new_empty(s, h, LANES), dt.new_empty(s, h, n, p)

    def work(first: int, last: int) -> None:
        space = scratch(adjoint().backward_vectors(n, plan.wide, most_heads(plan)))
        adjoint().scan_backward(
            (first, last),
            places,
            plan,
            rows(x),
            rows(dt),
            rows(decay),
            rows(B),
            rows(C),
            rows(dy),
            rows(dx),
            rows(ddt),
            rows(drate),
            rows(dB),
            rows(dC),
            address(D),
            address(states),
            address(dfinal),
            address(dD),
            address(dbegin),
            space.ctypes.data,
        )

    places = places_of(lengths, b, kernels().CHUNK)
    share_jobs(work, s * plan.groups * plan.parts, x.numel() * n)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    return dx, ddt, drate, dB, dC, dD.sum((0, 2)), dbegin


@ssd_backward.register_fake
def _(dy, dfinal, states, x, dt, rate, B, C, D, begin, lengths, reverse):
    (h, p), n = x.shape[2:], B.shape[3]
    alike = [t.new_empty(t.shape) for t in (x, dt, rate, B, C)]
    return (*alike, dt.new_empty(h), dt.new_empty(lengths.shape[0], h, n, p))


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.reverse, _ = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def differentiate(
    ctx: Any, dy: Tensor | None, dfinal: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    states, *tensors = ctx.saved_tensors
    dy = torch.zeros_like(tensors[0]) if dy is None else dy
    grads = ssd_backward(dy, dfinal, states, *tensors, ctx.reverse)
    wanted = [None if t is None else grad for t, grad in zip(tensors, grads, strict=False)]
    return (*wanted, None, None, None)


ssd_forward.register_autograd(differentiate, setup_context=remember)


def plan_of(x: Tensor, B: Tensor, sequences: int, reverse: bool) -> Any:
    (h, p), (groups, n) = x.shape[2:], B.shape[2:]
    parts = min(math.ceil(torch.get_num_threads() / (sequences * groups)), h // groups)
    half = x.dtype == torch.bfloat16
    return kernels().Plan(h, p // LANES, n, groups, parts, reverse, half)


def most_heads(plan: Any) -> int:
    """Of a job."""
    return math.ceil(plan.heads // plan.groups / plan.parts)


@cache
def adjoint() -> Any:
    """The module of the backward's kernel."""
    from . import numba_adjoint

    return numba_adjoint


def walkable(t: Tensor) -> Tensor:
    """Items and steps may lie anywhere, the rest lies side by side."""
    return t if t[0, 0].is_contiguous() else t.contiguous()
