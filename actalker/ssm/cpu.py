"""The selective scan on CPUs: numba kernels as operators of PyTorch, and the threads that run them.

Letters: b batch, l length, d channels, n state size, g groups.
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


def scan_numba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
    reverse: bool,
) -> Tensor:
    """As `selective_scan`, with B, C (b, l, g, n). Returns (b, l, d) in the dtype of u."""
    groups = B.shape[2]
    fill = -(u.shape[2] // groups) % kernels().LANES

    def wide(t: Tensor | None, axis: int) -> Tensor | None:
        """float32, with channels of zeros added to each group up to whole vectors."""
        if t is None or not fill:
            return None if t is None else t.float()
        behind = (0, 0) * (t.ndim - 1 - axis)
        return F.pad(t.float().unflatten(axis, (groups, -1)), (*behind, 0, fill)).flatten(axis, axis + 1)

    given = (wide(u, 2), wide(delta, 2), wide(A, 0), B.float(), C.float(), wide(D, 0), wide(delta_bias, 0))
    if lengths is None:
        lengths = torch.full(u.shape[:1], u.shape[1])
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    y, _ = scan_forward(*given, lengths, delta_softplus, reverse, keep)
    if fill:
        y = y.unflatten(2, (groups, -1))[..., :-fill].flatten(2)
    return y.to(u.dtype)


# Operators and not an autograd.Function, so that torch.compile and torch.export go through them.
GIVEN = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? bias, Tensor lengths, "
    "bool softplus, bool reverse"
)


@torch.library.custom_op(
    "actalker::scan_forward", mutates_args=(), schema=f"({GIVEN}, bool keep) -> (Tensor, Tensor)"
)
def scan_forward(u, delta, A, B, C, D, bias, lengths, softplus, reverse, keep):
    """Returns y (b, l, d) and, with `keep`, the state before every chunk, for the backward."""
    u, delta, B, C = (walkable(t) for t in (u, delta, B, C))
    D, bias, rate = weights(D, bias, A)
    y, states = forward_results(u, delta, A, B, C, D, bias, lengths, softplus, reverse, keep)
    plan = plan_of(u, B, softplus, reverse)

    def work(first: int, last: int) -> None:
        space = scratch(plan.n * blocks(plan))
        kernels().scan_forward(
            (first, last),
            lengths.numpy(),
            plan,
            rows(u),
            rows(delta),
            rows(B),
            rows(C),
            rows(y),
            address(rate),
            address(D),
            address(bias),
            address(states),
            space.ctypes.data,
        )

    spread(work, plan, len(u))
    return y, states


@scan_forward.register_fake
def forward_results(u, delta, A, B, C, D, bias, lengths, softplus, reverse, keep):
    """Empty tensors of the right shapes."""
    (b, l, d), n = u.shape, A.shape[1]
    chunks = (l + kernels().CHUNK - 1) // kernels().CHUNK
    return u.new_empty(b, l, d), u.new_empty(b if keep else 0, chunks, d, n)


@torch.library.custom_op(
    "actalker::scan_backward",
    mutates_args=(),
    schema=f"(Tensor dy, Tensor states, {GIVEN}) -> ({', '.join(['Tensor'] * 7)})",
)
def scan_backward(dy, states, u, delta, A, B, C, D, bias, lengths, softplus, reverse):
    """The gradients of u, delta, A, B, C, D, bias from dy (b, l, d) and the states that the forward kept."""
    u, delta, B, C, dy = (walkable(t) for t in (u, delta, B, C, dy))
    D, bias, rate = weights(D, bias, A)
    plan = plan_of(u, B, softplus, reverse)
    (b, l, d), n = u.shape, plan.n
    du, ddelta = u.new_empty(b, l, d), u.new_empty(b, l, d)
    dB, dC = (u.new_empty(b, l, plan.groups, plan.parts, n) for _ in range(2))
    dA, dD, dbias = u.new_empty(b, d, n), u.new_empty(b, d), u.new_empty(b, d)

    def work(first: int, last: int) -> None:
        space = scratch(kernels().backward_vectors(n, blocks(plan)))
        kernels().scan_backward(
            (first, last),
            lengths.numpy(),
            plan,
            rows(u),
            rows(delta),
            rows(B),
            rows(C),
            rows(dy),
            rows(du),
            rows(ddelta),
            rows(dB),
            rows(dC),
            address(rate),
            address(D),
            address(bias),
            address(states),
            address(dA),
            address(dD),
            address(dbias),
            space.ctypes.data,
        )

    spread(work, plan, b)
    dB, dC = (t.sum(3) if plan.parts > 1 else t.squeeze(3) for t in (dB, dC))
    dA = dA.sum(0).view(-1, n, kernels().LANES).transpose(1, 2).reshape(d, n)
    return du, ddelta, dA, dB, dC, dD.sum(0), dbias.sum(0)


@scan_backward.register_fake
def _(dy, states, u, delta, A, B, C, D, bias, lengths, softplus, reverse):
    channels = u.new_empty(u.shape[2])
    return tuple(t.new_empty(t.shape) for t in (u, delta, A, B, C, channels, channels))


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.softplus, ctx.reverse, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *tensors)


def differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    states, *tensors = ctx.saved_tensors
    grads = scan_backward(dy, states, *tensors, ctx.softplus, ctx.reverse)
    found = [None if t is None else grad for t, grad in zip(tensors, grads, strict=False)]
    return (*found, None, None, None, None)


scan_forward.register_autograd(differentiate, setup_context=remember)


# What a kernel is told: sizes, addresses, strides.


def plan_of(u: Tensor, B: Tensor, softplus: bool, reverse: bool) -> Any:
    (b, l, d), (groups, n) = u.shape, B.shape[2:]
    threads = torch.get_num_threads()
    parts = min(math.ceil(threads / (b * groups)), d // groups // kernels().LANES)
    return kernels().Plan(l, d, n, groups, parts, softplus, reverse)


def blocks(plan: Any) -> int:
    """Vectors of channels in the largest job."""
    return math.ceil(plan.d // plan.groups // kernels().LANES / plan.parts)


def weights(D: Tensor | None, bias: Tensor | None, A: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """D, bias (d,) as they are; A (d, n) by blocks, (d / 16, n, 16), and for exp2, cheaper than exp."""
    D, bias = (None if t is None else t.contiguous() for t in (D, bias))
    rate = (A * math.log2(math.e)).unflatten(0, (-1, kernels().LANES)).transpose(1, 2)
    return D, bias, rate.contiguous()


def walkable(t: Tensor) -> Tensor:
    """Items and steps may lie anywhere (slices of a projection need no copy), the rest lies side by side."""
    return t if t[0, 0].is_contiguous() else t.contiguous()


def rows(t: Tensor) -> Any:
    return kernels().Rows(t.data_ptr(), t.stride(0) * 4, t.stride(1) * 4)


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


def spread(work: Callable[[int, int], None], plan: Any, b: int) -> None:
    """Call work(first, last) for all jobs, over as many threads as PyTorch uses; the kernels hold no lock."""
    jobs = b * plan.groups * plan.parts
    threads = min(torch.get_num_threads(), jobs)
    if threads == 1 or b * plan.l * plan.d * plan.n < WORTH_THREADS:
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
