"""The selective scan on CPUs: numba kernels as operators of PyTorch, and the threads that run them.

Letters: b batch, l length, d channels, n state size, g groups, s sequences.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .call import ScanCall

WORTH_THREADS = 2**18  # states in all, below which handing out the work takes longer than the work


@cache
def kernels() -> Any:
    """The module of kernels, or the reason why there is none: numba is optional and only this needs it."""
    try:
        from . import cpu_kernels
    except Exception as error:  # a numba that does not fit its numpy raises more than ImportError
        return f"numba does not import ({type(error).__name__}: {error}); pip install 'actalker[cpu]'"
    return cpu_kernels


def numba_refuses(u: Tensor) -> str | None:
    """Why the kernels cannot scan u, or None."""
    if u.device.type != "cpu":
        return f"the input is on {u.device.type}, the kernels need the CPU"
    if u.dtype == torch.float64:
        return "the input is float64, the kernels compute in float32"
    found = kernels()
    return found if isinstance(found, str) else None


def scan_numba(call: ScanCall) -> tuple[Tensor, Tensor]:
    """Returns (b, l, d) in the dtype of u, and the states (s, d, n)."""
    groups = call.B.shape[2]
    fill = -(call.u.shape[2] // groups) % kernels().LANES
    steps = (call.u, call.delta, call.z)
    half = all(t is None or t.dtype == torch.bfloat16 for t in steps)
    dtype = torch.bfloat16 if half else torch.float32

    def wide(t: Tensor | None, axis: int, dtype: torch.dtype = torch.float32) -> Tensor | None:
        """With channels of zeros added to each group up to whole vectors."""
        if t is None or not fill:
            return None if t is None else t.to(dtype)
        behind = (0, 0) * (t.ndim - 1 - axis)
        return F.pad(t.to(dtype).unflatten(axis, (groups, -1)), (*behind, 0, fill)).flatten(axis, axis + 1)

    def narrow(t: Tensor, axis: int) -> Tensor:
        if not fill:
            return t
        own = t.unflatten(axis, (groups, -1))
        return own.narrow(axis + 1, 0, own.shape[axis + 1] - fill).flatten(axis, axis + 1)

    u, delta, z = (wide(t, 2, dtype) for t in steps)
    A, D, bias = (wide(t, 0) for t in (call.A, call.D, call.delta_bias))
    given = (u, delta, A, call.B.float(), call.C.float(), D, z, bias, wide(call.state, 1))
    lengths = call.lengths
    if lengths is None:
        lengths = torch.full(call.u.shape[:1], call.u.shape[1])
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    y, final, _ = scan_forward(*given, lengths, call.delta_softplus, call.reverse, keep)
    return narrow(y, 2).to(call.u.dtype), narrow(final, 1)


# Operators and not an autograd.Function, so that torch.compile and torch.export go through them.
GIVEN = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? bias, "
    "Tensor? begin, Tensor lengths, bool softplus, bool reverse"
)


@torch.library.custom_op(
    "actalker::scan_forward", mutates_args=(), schema=f"({GIVEN}, bool keep) -> (Tensor, Tensor, Tensor)"
)
def scan_forward(u, delta, A, B, C, D, z, bias, begin, lengths, softplus, reverse, keep):
    """Returns y (b, l, d), the last states (s, d, n) and, with `keep`, those before every chunk."""
    u, delta, B, C, z = (None if t is None else walkable(t) for t in (u, delta, B, C, z))
    D, bias, rate = weights(D, bias, A)
    y, final, states = forward_results(u, delta, A, B, C, D, z, bias, begin, lengths, softplus, reverse, keep)
    plan = plan_of(u, B, lengths, softplus, reverse)
    start, end = None if begin is None else in_blocks(begin), torch.empty_like(final)

    def work(first: int, last: int) -> None:
        space = scratch(plan.n * blocks(plan))
        kernels().scan_forward(
            (first, last),
            places,
            plan,
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

    places = places_of(lengths, len(u), kernels().CHUNK)
    spread(work, len(lengths) * plan.groups * plan.parts, u.numel() * plan.n)
    states[chunks_in(places, kernels().CHUNK) :] = 0  # read by nobody, but the same in every run
    return y, out_of_blocks(end), states


@scan_forward.register_fake
def forward_results(u, delta, A, B, C, D, z, bias, begin, lengths, softplus, reverse, keep):
    """Empty tensors of the right shapes."""
    (b, l, d), n, s = u.shape, A.shape[1], lengths.shape[0]
    chunks = b * (l // kernels().CHUNK) + s if keep else 0  # as many as there can be
    final = A.new_empty(s, d, n)
    return u.new_empty(b, l, d), final, A.new_empty(chunks, d, n)


@torch.library.custom_op(
    "actalker::scan_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor? dfinal, Tensor states, {GIVEN}) -> ({', '.join(['Tensor'] * 9)})",
)
def scan_backward(dy, dfinal, states, u, delta, A, B, C, D, z, bias, begin, lengths, softplus, reverse):
    """The gradients of u, delta, A, B, C, D, z, bias, begin from those of y and of the last states."""
    u, delta, B, C, z, dy = (None if t is None else walkable(t) for t in (u, delta, B, C, z, dy))
    D, bias, rate = weights(D, bias, A)
    plan = plan_of(u, B, lengths, softplus, reverse)
    (b, l, d), n, s = u.shape, plan.n, len(lengths)
    du, ddelta, dz = (u.new_empty(shape) for shape in (u.shape, u.shape, 0 if z is None else u.shape))
    dB, dC = (A.new_empty(b, l, plan.groups, plan.parts, n) for _ in range(2))
    dA, dbegin, dD, dbias = A.new_empty(s, d, n), A.new_empty(s, d, n), A.new_empty(s, d), A.new_empty(s, d)
    end = None if dfinal is None else in_blocks(dfinal)

    def work(first: int, last: int) -> None:
        space = scratch(kernels().backward_vectors(n, blocks(plan)))
        kernels().scan_backward(
            (first, last),
            places,
            plan,
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

    places = places_of(lengths, b, kernels().CHUNK)
    spread(work, s * plan.groups * plan.parts, u.numel() * n)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    dA = out_of_blocks(dA.sum(0, keepdim=True))[0]
    return du, ddelta, dA, dB, dC, dD.sum(0), dz, dbias.sum(0), out_of_blocks(dbegin)


@scan_backward.register_fake
def _(dy, dfinal, states, u, delta, A, B, C, D, z, bias, begin, lengths, softplus, reverse):
    channels, gate = A.new_empty(u.shape[2]), u.new_empty(0 if z is None else u.shape)
    alike = [t.new_empty(t.shape) for t in (u, delta, A, B, C)]
    return (*alike, channels, gate, channels.clone(), A.new_empty(lengths.shape[0], *A.shape))


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.softplus, ctx.reverse, _ = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def differentiate(
    ctx: Any, dy: Tensor | None, dfinal: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    states, *tensors = ctx.saved_tensors
    dy = torch.zeros_like(tensors[0]) if dy is None else dy
    grads = scan_backward(dy, dfinal, states, *tensors, ctx.softplus, ctx.reverse)
    found = [None if t is None else grad for t, grad in zip(tensors, grads, strict=False)]
    return (*found, None, None, None, None)


scan_forward.register_autograd(differentiate, setup_context=remember)


# What a kernel is told: sizes, addresses, strides.


def plan_of(u: Tensor, B: Tensor, lengths: Tensor, softplus: bool, reverse: bool) -> Any:
    d, (groups, n) = u.shape[2], B.shape[2:]
    shares = math.ceil(torch.get_num_threads() / (len(lengths) * groups))
    parts = min(shares, d // groups // kernels().LANES)
    return kernels().Plan(d, n, groups, parts, softplus, reverse, u.dtype == torch.bfloat16)


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
    return math.ceil(plan.d // plan.groups // kernels().LANES / plan.parts)


def weights(D: Tensor | None, bias: Tensor | None, A: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """D, bias (d,) as they are; A by blocks and for exp2, cheaper than exp."""
    D, bias = (None if t is None else t.contiguous() for t in (D, bias))
    return D, bias, in_blocks(A * math.log2(math.e))


def in_blocks(t: Tensor) -> Tensor:
    """(..., d, n) to (..., d / 16, n, 16), as the kernels walk it."""
    return t.unflatten(-2, (-1, kernels().LANES)).transpose(-1, -2).contiguous()


def out_of_blocks(t: Tensor) -> Tensor:
    """Memory that holds (..., d / 16, n, 16), of shape (..., d, n), as what it says."""
    (d, n), lanes = t.shape[-2:], kernels().LANES
    return t.view(*t.shape[:-2], d // lanes, n, lanes).transpose(-1, -2).reshape(t.shape)


def walkable(t: Tensor) -> Tensor:
    """Items and steps may lie anywhere (slices of a projection need no copy), the rest lies side by side."""
    return t if t[0, 0].is_contiguous() else t.contiguous()


def rows(t: Tensor | None) -> Any:
    """Where a tensor's rows are; of None, at 0."""
    if t is None:
        return kernels().Rows(0, 0, 0)
    size = t.element_size()
    return kernels().Rows(t.data_ptr(), t.stride(0) * size, t.stride(1) * size)


def address(t: Tensor | None) -> int:
    return 0 if t is None or not t.numel() else t.data_ptr()


def scratch(vectors: int) -> np.ndarray:
    return np.empty(vectors * kernels().LANES, np.float32)  # torch.empty fills it if deterministic


# Threads of our own: numba's abort in a forked process (as the workers of a DataLoader are).


@cache
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "scan")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # threads do not survive a fork


def spread(work: Callable[[int, int], None], jobs: int, states: int) -> None:
    """Call work(first, last) for all jobs, over as many threads as PyTorch uses; the kernels hold no lock."""
    threads = min(torch.get_num_threads(), jobs)
    if threads == 1 or states < WORTH_THREADS:
        work(0, jobs)
        return
    queue = iter(range(jobs))  # shared: whoever is idle takes the next

    def drain() -> None:
        for job in queue:
            work(job, job + 1)

    others = [pool().submit(drain) for _ in range(threads - 1)]
    drain()
    for other in others:
        other.result()
