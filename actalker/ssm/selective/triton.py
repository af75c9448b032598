"""The selective scan on CUDA by kernels of our own, in Triton.

Letters: b batch, l length, d channels, n state size, g groups, s sequences; r rows, e channels of a group,
k rows with a result.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from ..backends import GroupedCall, Result, ScanCall
from ..context import Context
from ..trial import constant, eight_steps, failure, why_no_kernels
from .layouts import call_by_groups

CHUNK = 32  # steps between the states that the forward keeps
CHANNELS = 32  # of a program


@cache
def kernels() -> ModuleType:
    """The module of kernels; `why_no_triton` says whether there is one."""
    from . import triton_kernels

    return triton_kernels


@cache
def why_no_triton() -> str | None:
    """Why the kernels do not import, or None."""
    try:
        kernels()
    except Exception as error:  # a triton that does not fit raises more than ImportError
        return why_no_kernels("triton", error, "pip install triton")
    return None


def triton_refuses(u: Tensor) -> str | None:
    """Why the kernels cannot scan u, or None."""
    if u.device.type != "cuda":
        return f"the input is on {u.device.type}, the kernels need CUDA"
    if u.dtype == torch.float64:
        return "the input is float64, the kernels compute in float32"
    return why_no_triton() or trial(u.device)


@constant
@cache
def trial(device: torch.device) -> str | None:
    """Why the kernels fail on this device, or None."""

    def run() -> Tensor:
        u, B = torch.ones(1, 8, 4, device=device), torch.ones(1, 8, 1, 2, device=device)
        A = -torch.ones(4, 2, device=device)
        return call_by_groups(scan_triton, ScanCall(u, u * 0.1, A, B, B))[0][0, :, 0]

    return failure("a Triton kernel", run, eight_steps(2), "update triton and the driver")


def scan_triton(call: GroupedCall) -> Result:
    """Compute a call by the kernels: y in the dtype of u and the last states, as `GroupedCall` says."""
    b, dtype = len(call.u), call.u.dtype
    rows = (call.u, call.delta.to(dtype), call.B.float(), call.C.float())
    u, delta, B, C = (walkable(t.flatten(0, 1)) for t in rows)
    u = u.expand_as(delta)
    rest = (call.A, call.D, call.delta_bias, call.state)
    A, D, bias, initial = (None if t is None else t.float().contiguous() for t in rest)
    order, lengths, results = call.order, call.lengths, b * call.results
    chunks = (lengths + CHUNK - 1) // CHUNK
    # where each sequence lies: its first row or step, its length, the number of its first chunk
    places = torch.stack([lengths.cumsum(0) - lengths, lengths, chunks.cumsum(0) - chunks], 1)
    inputs = (u, delta, A, B, C, D, bias, initial, order, places.contiguous())
    y, last = TritonScan.apply(*inputs, call.delta_softplus, call.reverse, results)
    if order is not None:
        y = y.sum(1, keepdim=True).to(dtype)
    return y.unflatten(0, (b, -1)), None if initial is None else last


def walkable(t: Tensor) -> Tensor:
    """t (rows, g, ·), copied unless the numbers of a group lie side by side."""
    return t if t.stride(2) == 1 else t.contiguous()


class TritonScan(torch.autograd.Function):
    """The kernels with their gradients."""

    @staticmethod
    def forward(
        ctx: Context,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        bias: Tensor | None,
        initial: Tensor | None,
        order: Tensor | None,
        places: Tensor,
        softplus: bool,
        reverse: bool,
        results: int,
    ) -> tuple[Tensor, Tensor]:
        """y (results, g, e) and the last states (s, g, e, n) of u, delta (r, g, e), A, B and C (r, g, n)."""
        (r, g, e), n, s = u.shape, B.shape[2], len(places)
        steps = r if order is None else order.shape[1]
        keep = any(ctx.needs_input_grad)
        dtype = u.dtype if order is None else torch.float32  # still to be summed over groups
        y, final = u.new_empty(results, g, e, dtype=dtype), A.new_empty(s, g, e, n)
        states = A.new_empty(steps // CHUNK + s if keep else 0, g, e, n)
        block = block_of(e, n)
        kernels().scan_forward[(s, g * -(-e // block["BD"]))](
            *(u, delta, A, B, C, D, bias, order, places, y, states, initial, final),
            *strides(u, delta, B, C),
            *(steps, results, g, e, n),
            HAS_D=D is not None,
            HAS_BIAS=bias is not None,
            HAS_INITIAL=initial is not None,
            ORDERED=order is not None,
            SOFTPLUS=softplus,
            REVERSE=reverse,
            KEEP=keep,
            **block,
        )
        ctx.set_materialize_grads(False)
        ctx.softplus, ctx.reverse, ctx.results = softplus, reverse, results
        inputs = (u, delta, A, B, C, D, bias, initial, order, places)
        ctx.save_for_backward(*inputs, states)
        return y, final

    @staticmethod
    def backward(ctx: Context, dy: Tensor | None, dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of the arguments of `forward` from those of its results."""
        u, delta, A, B, C, D, bias, initial, order, places, states = ctx.saved_tensors
        (r, g, e), n, s = u.shape, B.shape[2], len(places)
        dy = u.new_zeros(ctx.results, g, e) if dy is None else dy.contiguous()
        dfinal = None if dfinal is None else dfinal.contiguous()
        block = block_of(e, n)
        parts = -(-e // block["BD"])
        # rows that stand at several steps are added to: from zero, in float32
        make, dtype = (torch.empty, u.dtype) if order is None else (torch.zeros, torch.float32)
        du, ddelta = (make(r, g, e, dtype=dtype, device=u.device) for _ in range(2))
        dB, dC = (make(r, g, parts, n, device=u.device) for _ in range(2))
        dA, dinitial, dD, dbias = (A.new_empty(s, g, e, *last) for last in ((n,), (n,), (), ()))
        past = A.new_empty(s * g * parts * CHUNK * block["BD"] * block["BN"])
        kernels().scan_backward[(s, g * parts)](
            *(u, delta, A, B, C, D, bias, order, places, dy, states, dfinal, past),
            *(du, ddelta, dA, dB, dC, dD, dbias, dinitial),
            *strides(u, delta, B, C),
            *(r if order is None else order.shape[1], ctx.results, g, e, n),
            HAS_D=D is not None,
            HAS_BIAS=bias is not None,
            HAS_FINAL=dfinal is not None,
            ORDERED=order is not None,
            SOFTPLUS=ctx.softplus,
            REVERSE=ctx.reverse,
            **block,
        )
        sums = (dA.sum(0), dB.sum(2), dC.sum(2), dD.sum(0), dbias.sum(0), dinitial)
        gradients = (du.to(u.dtype), ddelta.to(u.dtype), *sums)
        inputs = (u, delta, A, B, C, D, bias, initial)
        grads = (None if t is None else grad for t, grad in zip(inputs, gradients, strict=True))
        return (*grads, None, None, None, None, None)


def strides(*tensors: Tensor) -> list[int]:
    """The strides of each tensor (rows, g, ·) from row to row and from group to group."""
    return [t.stride(k) for t in tensors for k in (0, 1)]


def block_of(e: int, n: int) -> dict[str, int]:
    """Sizes that kernels are compiled for: steps of a chunk; channels, states of a program, powers of 2."""
    power = 1 << max(0, e - 1).bit_length()
    return {"CHUNK": CHUNK, "BD": min(CHANNELS, power), "BN": 1 << max(0, n - 1).bit_length()}
