"""The selective scan on CPUs: numba kernels as operators of PyTorch.

Letters: b batch, l length, r rows, d channels, e channels of a group, n state size, g groups, s sequences,
k rows with a result.
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backends import GroupedCall, Result
from ..context import Context
from ..kernels.arguments import (
    LANES,
    address,
    chunks_in,
    in_blocks,
    is_plain,
    out_of_blocks,
    places_of,
    rows,
    rows_of_order,
    scratch,
)
from ..kernels.support import numba_refuses
from ..kernels.threads import share_jobs

if TYPE_CHECKING:  # numba is optional
    from .numba_kernels import Plan

__all__ = ["numba_refuses", "scan_numba"]


@cache
def kernels() -> ModuleType:
    """The module of kernels; `numba_refuses` says whether there is one."""
    from . import numba_kernels

    return numba_kernels


def scan_numba(call: GroupedCall) -> Result:
    """Compute a call by the kernels: y in the dtype of u and the last states, as `GroupedCall` says."""
    width = call.u.shape[3]
    fill = -width % LANES
    half = call.order is None  # with an order, groups add to the same rows, which needs float32
    half = half and all(t.dtype == torch.bfloat16 for t in (call.u, call.delta))

    def whole_vectors(t: Tensor, behind: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """t, its channels padded by zeros to whole vectors in each group; behind: axes after the channels."""
        return F.pad(t.to(dtype), (0, 0) * behind + (0, fill)) if fill else t.to(dtype)

    dtype = torch.bfloat16 if half else torch.float32
    u, delta = (whole_vectors(t, 0, dtype) for t in (call.u, call.delta))
    D, bias = (None if t is None else whole_vectors(t, 0) for t in (call.D, call.delta_bias))
    initial = None if call.state is None else whole_vectors(call.state, 1)
    inputs = (u, delta, whole_vectors(call.A, 1), call.B.float(), call.C.float(), D, bias, initial)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    options = (call.order, call.lengths, call.delta_softplus, call.reverse, call.results)
    # at an operator's first call torch loads its compiler, which takes half a second
    forward = scan_forward if keep or not is_plain(u) else _scan_forward
    y, last, _ = forward(*inputs, *options, keep)
    if fill:
        y, last = y[..., :width], last[:, :, :width]
    return y.to(call.u.dtype), None if initial is None else last


# Operators and not an autograd.Function, so that torch.compile and torch.export go through them.
ARGUMENTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? bias, "
    "Tensor? initial, Tensor? order, Tensor lengths, bool softplus, bool reverse, SymInt results"
)


def _scan_forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    initial: Tensor | None,
    order: Tensor | None,
    lengths: Tensor,
    softplus: bool,
    reverse: bool,
    results: int,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The scan as an operator of PyTorch; shapes as in `GroupedCall`, e a whole number of vectors.

    initial: (s, g, e, n), states before the first steps; None: zeros.
    keep: return the states before every chunk too, which the gradients need.
    Returns: y, the last states (s, g, e, n), and the states before every chunk (chunks, g, e, n).
    """
    u, delta, B, C = (walkable(t) for t in (u, delta, B, C))
    D, bias, rate = weights(D, bias, A)
    inputs = (u, delta, A, B, C, D, bias, initial, order, lengths, softplus, reverse, results)
    y, final, states = forward_results(*inputs, keep)
    plan = plan_of(u, B, lengths, softplus=softplus, reverse=reverse, results=results)
    order = None if order is None else order.contiguous()
    start, end = None if initial is None else in_blocks(initial), torch.empty_like(final)
    tables = tuple(rows(t) for t in (u, delta, B, C, y))
    addresses = tuple(address(t) for t in (rate, D, bias, states, start, end))

    def work(first: int, last: int) -> None:
        space = scratch(plan.n * blocks(plan))
        kernel = kernels().scan_forward
        kernel((first, last), places, plan, rows_of_order(order), *tables, *addresses, space.ctypes.data)

    places, stride = places_of(lengths, len(u), kernels().CHUNK), 1 if order is None else plan.groups
    share_jobs(work, len(lengths) * plan.groups * plan.parts, steps_of(u, order) * plan.d * plan.n, stride)
    states[chunks_in(places, kernels().CHUNK) :] = 0  # read by nobody, but the same in every run
    return y, out_of_blocks(end), states


scan_forward = torch.library.custom_op(
    "actalker::scan_forward",
    _scan_forward,
    mutates_args=(),
    schema=f"({ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor)",
)


@scan_forward.register_fake
def forward_results(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    initial: Tensor | None,
    order: Tensor | None,
    lengths: Tensor,
    softplus: bool,
    reverse: bool,
    results: int,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors for the results of `scan_forward`, without values."""
    b, s = u.shape[0], lengths.shape[0]
    chunks = b * (steps_of(u, order) // b // kernels().CHUNK) + s if keep else 0  # as many as there can be
    return u.new_empty(b, results, *u.shape[2:]), A.new_empty(s, *A.shape), A.new_empty(chunks, *A.shape)


@torch.library.custom_op(
    "actalker::scan_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor? dfinal, Tensor states, {ARGUMENTS}) -> ({', '.join(['Tensor'] * 8)})",
)
def scan_backward(
    dy: Tensor,
    dfinal: Tensor | None,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    initial: Tensor | None,
    order: Tensor | None,
    lengths: Tensor,
    softplus: bool,
    reverse: bool,
    results: int,
) -> tuple[Tensor, ...]:
    """The gradients of u, delta, A, B, C, D, bias and initial from those of y and of the last states."""
    u, delta, B, C, dy = (walkable(t) for t in (u, delta, B, C, dy))
    D, bias, rate = weights(D, bias, A)
    plan = plan_of(u, B, lengths, softplus=softplus, reverse=reverse, results=results)
    order = None if order is None else order.contiguous()
    (b, r, g, e), n, s = delta.shape, plan.n, len(lengths)
    du, ddelta = (t.new_empty(t.shape) for t in (u, delta))
    dB, dC = (torch.empty(b, r, g, plan.parts, n) for _ in range(2))
    for t in () if order is None else (du, ddelta, dB, dC):
        t[:, results:] = 0
    dA, dinitial, dD, dbias = (torch.empty(s, g, e, *last) for last in ((n,), (n,), (), ()))
    end = None if dfinal is None else in_blocks(dfinal)
    tables = tuple(rows(t) for t in (u, delta, B, C, dy, du, ddelta, dB, dC))
    addresses = tuple(address(t) for t in (rate, D, bias, states, end, dA, dD, dbias, dinitial))

    def work(first: int, last: int) -> None:
        space = scratch(kernels().backward_vectors(n, blocks(plan)))
        kernel = kernels().scan_backward
        kernel((first, last), places, plan, rows_of_order(order), *tables, *addresses, space.ctypes.data)

    places, stride = places_of(lengths, b, kernels().CHUNK), 1 if order is None else plan.groups
    share_jobs(work, s * plan.groups * plan.parts, steps_of(u, order) * plan.d * n, stride)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    dA = out_of_blocks(dA.sum(0, keepdim=True))[0]
    return du, ddelta, dA, dB, dC, dD.sum(0), dbias.sum(0), out_of_blocks(dinitial)


@scan_backward.register_fake
def backward_results(
    dy: Tensor,
    dfinal: Tensor | None,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    initial: Tensor | None,
    order: Tensor | None,
    lengths: Tensor,
    softplus: bool,
    reverse: bool,
    results: int,
) -> tuple[Tensor, ...]:
    """Tensors for the results of `scan_backward`, without values."""
    channels = A.new_empty(A.shape[:2])
    alike = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (u, delta, A, B, C)]
    return (*alike, channels, channels.clone(), A.new_empty(lengths.shape[0], *A.shape))


def remember(ctx: Context, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    """Save what the gradients of `scan_forward` need."""
    *tensors, ctx.softplus, ctx.reverse, ctx.results, _ = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def differentiate(
    ctx: Context, dy: Tensor | None, dfinal: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The gradients of the arguments of `scan_forward`, None for those that have none."""
    states, *tensors = ctx.saved_tensors
    if dy is None:
        u = tensors[0]
        dy = u.new_zeros(len(u), ctx.results, *u.shape[2:])
    switches = (ctx.softplus, ctx.reverse, ctx.results)
    grads = scan_backward(dy, dfinal, states, *tensors, *switches)
    # order and lengths, behind the others, have none
    wanted = [None if t is None else grad for t, grad in zip(tensors, grads, strict=False)]
    return (*wanted, None, None, None, None, None, None)


scan_forward.register_autograd(differentiate, setup_context=remember)


def plan_of(u: Tensor, B: Tensor, lengths: Tensor, softplus: bool, reverse: bool, results: int) -> Plan:
    """The sizes of a call, with at least one job a thread where its channels allow that."""
    (groups, n), width = B.shape[2:], u.shape[3]
    shares = math.ceil(torch.get_num_threads() / (len(lengths) * u.shape[2]))
    parts = min(shares, width // LANES)
    half = u.dtype == torch.bfloat16
    return kernels().Plan(
        d=groups * width,
        n=n,
        groups=groups,
        parts=parts,
        softplus=softplus,
        reverse=reverse,
        half=half,
        results=results,
    )


def steps_of(u: Tensor, order: Tensor | None) -> int:
    """How many steps all sequences have together."""
    return u.shape[0] * u.shape[1] if order is None else order.shape[1]


def blocks(plan: Plan) -> int:
    """Vectors of channels in the largest job."""
    return math.ceil(plan.d // plan.groups // LANES / plan.parts)


def weights(D: Tensor | None, bias: Tensor | None, A: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """D and bias (g, e) without gaps; A in blocks, times log2(e), since exp2 is cheaper than exp."""
    D, bias = (None if t is None else t.contiguous() for t in (D, bias))
    return D, bias, in_blocks(A * math.log2(math.e))


def walkable(t: Tensor) -> Tensor:
    """t, copied unless the numbers of a row lie side by side; slices of a projection need no copy."""
    return t if t.shape[3] == 1 or t.stride(3) == 1 else t.contiguous()
