"""The selective scan on CPUs: numba kernels as operators of PyTorch.

Letters: b batch, l length, r rows, d channels, e channels of a group, n state size, g groups, s sequences,
k rows with a result.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .call import GroupedCall
from .threads import spread
from .trial import constant, why_no_kernels


@cache
def kernels() -> Any:
    """The module of kernels, or the reason why there is none: numba is optional and only this needs it."""
    try:
        from . import cpu_kernels
    except Exception as error:  # a numba that does not fit its numpy raises more than ImportError
        return why_no_kernels("numba", error, "pip install numba")
    return cpu_kernels


@constant
def missing() -> str | None:
    """Why there are no kernels, or None."""
    found = kernels()
    return found if isinstance(found, str) else None


@constant
def lanes() -> int:
    """Channels side by side in a vector."""
    return int(kernels().LANES)


def numba_refuses(u: Tensor) -> str | None:
    """Why the kernels cannot scan u, or None."""
    if u.device.type != "cpu":
        return f"the input is on {u.device.type}, the kernels need the CPU"
    if u.dtype == torch.float64:
        return "the input is float64, the kernels compute in float32"
    return missing()


def scan_numba(call: GroupedCall) -> tuple[Tensor, Tensor]:
    """As `GroupedCall` says; y in the dtype of u."""
    width = call.u.shape[3]
    fill = -width % lanes()
    half = call.order is None  # rows that are added to are so in float32
    half = half and all(t is None or t.dtype == torch.bfloat16 for t in (call.u, call.delta, call.z))

    def wide(t: Tensor | None, behind: int, dtype: torch.dtype = torch.float32) -> Tensor | None:
        """With channels of zeros added to each group up to whole vectors; behind: axes after them."""
        if t is None or not fill:
            return None if t is None else t.to(dtype)
        return F.pad(t.to(dtype), (0, 0) * behind + (0, fill))

    dtype = torch.bfloat16 if half else torch.float32
    u, delta, z = (wide(t, 0, dtype) for t in (call.u, call.delta, call.z))
    D, bias = wide(call.D, 0), wide(call.delta_bias, 0)
    given = (u, delta, wide(call.A, 1), call.B.float(), call.C.float(), D, z, bias, wide(call.state, 1))
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    where = (call.order, call.lengths, call.delta_softplus, call.reverse, call.results)
    y, final, _ = scan_forward(*given, *where, keep)
    if fill:
        y, final = y[..., :width], final[:, :, :width]
    return y.to(call.u.dtype), final


# Operators and not an autograd.Function, so that torch.compile and torch.export go through them.
GIVEN = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? bias, "
    "Tensor? begin, Tensor? order, Tensor lengths, bool softplus, bool reverse, SymInt results"
)


@torch.library.custom_op(
    "actalker::scan_forward", mutates_args=(), schema=f"({GIVEN}, bool keep) -> (Tensor, Tensor, Tensor)"
)
def scan_forward(u, delta, A, B, C, D, z, bias, begin, order, lengths, softplus, reverse, results, keep):
    """Returns y, the last states and, with `keep`, those before every chunk (chunks, g, e, n)."""
    u, delta, B, C, z = (None if t is None else walkable(t) for t in (u, delta, B, C, z))
    D, bias, rate = weights(D, bias, A)
    given = (u, delta, A, B, C, D, z, bias, begin, order, lengths, softplus, reverse, results)
    y, final, states = forward_results(*given, keep)
    plan = plan_of(u, B, lengths, softplus, reverse, results)
    order = None if order is None else order.contiguous()
    start, end = None if begin is None else in_blocks(begin), torch.empty_like(final)

    def work(first: int, last: int) -> None:
        space = scratch(plan.n * blocks(plan))
        kernels().scan_forward(
            (first, last),
            places,
            plan,
            rows_of(order),
            rows(u),
            rows(delta),
            rows(B),
            rows(C),
            rows(z),
            rows(y),
            address(rate),
            address(D),
            address(bias),
            address(states),
            address(start),
            address(end),
            space.ctypes.data,
        )

    places, stride = places_of(lengths, len(u), kernels().CHUNK), 1 if order is None else plan.groups
    spread(work, len(lengths) * plan.groups * plan.parts, steps_of(u, order) * plan.d * plan.n, stride)
    states[chunks_in(places, kernels().CHUNK) :] = 0  # read by nobody, but the same in every run
    return y, out_of_blocks(end), states


@scan_forward.register_fake
def forward_results(u, delta, A, B, C, D, z, bias, begin, order, lengths, softplus, reverse, results, keep):
    """Tensors of the right shapes."""
    b, s = u.shape[0], lengths.shape[0]
    chunks = b * (steps_of(u, order) // b // kernels().CHUNK) + s if keep else 0  # as many as there can be
    return u.new_empty(b, results, *u.shape[2:]), A.new_empty(s, *A.shape), A.new_empty(chunks, *A.shape)


@torch.library.custom_op(
    "actalker::scan_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor? dfinal, Tensor states, {GIVEN}) -> ({', '.join(['Tensor'] * 9)})",
)
def scan_backward(
    dy, dfinal, states, u, delta, A, B, C, D, z, bias, begin, order, lengths, softplus, reverse, results
):
    """The gradients of u, delta, A, B, C, D, z, bias, begin from those of y and of the last states."""
    u, delta, B, C, z, dy = (None if t is None else walkable(t) for t in (u, delta, B, C, z, dy))
    D, bias, rate = weights(D, bias, A)
    plan = plan_of(u, B, lengths, softplus, reverse, results)
    order = None if order is None else order.contiguous()
    (b, r, g, e), n, s = delta.shape, plan.n, len(lengths)
    du, ddelta, dz = (t.new_empty(t.shape) for t in (u, delta, u[:0] if z is None else z))
    dB, dC = (torch.empty(b, r, g, plan.parts, n) for _ in range(2))
    for t in () if order is None else (du, ddelta, dB, dC):
        t[:, results:] = 0
    dA, dbegin, dD, dbias = (torch.empty(s, g, e, *last) for last in ((n,), (n,), (), ()))
    end = None if dfinal is None else in_blocks(dfinal)

    def work(first: int, last: int) -> None:
        space = scratch(kernels().backward_vectors(n, blocks(plan)))
        kernels().scan_backward(
            (first, last),
            places,
            plan,
            rows_of(order),
            rows(u),
            rows(delta),
            rows(B),
            rows(C),
            rows(z),
            rows(dy),
            rows(du),
            rows(ddelta),
            rows(dB),
            rows(dC),
            rows(dz if z is not None else None),
            address(rate),
            address(D),
            address(bias),
            address(states),
            address(end),
            address(dA),
            address(dD),
            address(dbias),
            address(dbegin),
            space.ctypes.data,
        )

    places, stride = places_of(lengths, b, kernels().CHUNK), 1 if order is None else plan.groups
    spread(work, s * plan.groups * plan.parts, steps_of(u, order) * plan.d * n, stride)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    dA = out_of_blocks(dA.sum(0, keepdim=True))[0]
    return du, ddelta, dA, dB, dC, dD.sum(0), dz, dbias.sum(0), out_of_blocks(dbegin)


@scan_backward.register_fake
def _(dy, dfinal, states, u, delta, A, B, C, D, z, bias, begin, order, lengths, softplus, reverse, results):
    channels, gate = A.new_empty(A.shape[:2]), torch.empty_like(u[:0] if z is None else z)
    alike = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (u, delta, A, B, C)]
    return (*alike, channels, gate, channels.clone(), A.new_empty(lengths.shape[0], *A.shape))


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.softplus, ctx.reverse, ctx.results, _ = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def differentiate(
    ctx: Any, dy: Tensor | None, dfinal: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    states, *tensors = ctx.saved_tensors
    if dy is None:
        u = tensors[0]
        dy = u.new_zeros(len(u), ctx.results, *u.shape[2:])
    grads = scan_backward(dy, dfinal, states, *tensors, ctx.softplus, ctx.reverse, ctx.results)
    found = [
        None if t is None else grad for t, grad in zip(tensors, grads, strict=False)
    ]  # not of order, lengths
    return (*found, None, None, None, None, None, None)


scan_forward.register_autograd(differentiate, setup_context=remember)


# What a kernel is told: sizes, addresses, strides.


def plan_of(u: Tensor, B: Tensor, lengths: Tensor, softplus: bool, reverse: bool, results: int) -> Any:
    (groups, n), width = B.shape[2:], u.shape[3]
    shares = math.ceil(torch.get_num_threads() / (len(lengths) * u.shape[2]))
    parts = min(shares, width // lanes())
    half = u.dtype == torch.bfloat16
    return kernels().Plan(groups * width, n, groups, parts, softplus, reverse, half, results)


def steps_of(u: Tensor, order: Tensor | None) -> int:
    """Steps of all sequences."""
    return u.shape[0] * u.shape[1] if order is None else order.shape[1]


def places_of(lengths: Tensor, b: int, chunk: int) -> np.ndarray:
    """Where each sequence lies, (s, 4): item, first step, length, and the number of its first chunk."""
    size = lengths.numpy()
    packed = b == 1
    item = np.zeros_like(size) if packed else np.arange(b)
    start = size.cumsum() - size if packed else np.zeros_like(size)
    chunks = -(-size // chunk)
    return np.stack([item, start, size, chunks.cumsum() - chunks], 1)


def chunks_in(places: np.ndarray, chunk: int) -> int:
    """How many chunks all sequences have."""
    return int(places[-1, 3] - (-places[-1, 2] // chunk)) if len(places) else 0


def blocks(plan: Any) -> int:
    """Vectors of channels in the largest job."""
    return math.ceil(plan.d // plan.groups // lanes() / plan.parts)


def weights(D: Tensor | None, bias: Tensor | None, A: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """D, bias (g, e) as they are; A by blocks and for exp2, cheaper than exp."""
    D, bias = (None if t is None else t.contiguous() for t in (D, bias))
    return D, bias, in_blocks(A * math.log2(math.e))


def in_blocks(t: Tensor) -> Tensor:
    """(..., d, n) to (..., d / 16, n, 16), as the kernels walk it."""
    return t.unflatten(-2, (-1, lanes())).transpose(-1, -2).contiguous()


def out_of_blocks(t: Tensor) -> Tensor:
    """Memory that holds (..., d / 16, n, 16), of shape (..., d, n), as what it says."""
    d, n = t.shape[-2:]
    return t.view(*t.shape[:-2], d // lanes(), n, lanes()).transpose(-1, -2).reshape(t.shape).contiguous()


def walkable(t: Tensor) -> Tensor:
    """Items, rows and groups may lie anywhere, so that slices of a projection need no copy."""
    return t if t.shape[3] == 1 or t.stride(3) == 1 else t.contiguous()


def rows(t: Tensor | None) -> Any:
    """Where a tensor's rows are; of None, at 0."""
    if t is None:
        return kernels().Rows(0, 0, 0, 0)
    size = t.element_size()
    group = t.stride(2) if t.shape[2] > 1 else 0  # or one for all
    return kernels().Rows(t.data_ptr(), size * t.stride(0), size * t.stride(1), size * group)


def rows_of(order: Tensor | None) -> Any:
    """Where the rows' numbers are."""
    if order is None:
        return kernels().Rows(0, 0, 0, 0)
    return kernels().Rows(order.data_ptr(), 0, order.element_size(), order.stride(0) * order.element_size())


def address(t: Tensor | None) -> int:
    return 0 if t is None or not t.numel() else t.data_ptr()


def scratch(vectors: int) -> np.ndarray:
    """So many vectors, each in one cache line: one that lies in two costs two loads."""
    space = np.empty((vectors + 1) * lanes(), np.float32)  # torch.empty fills it if deterministic
    first = -space.ctypes.data // space.itemsize % lanes()
    return space[first : first + vectors * lanes()]
