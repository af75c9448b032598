"""The selective scan on CUDA by kernels of our own, in Triton.

Letters: b batch, l length, d channels, n state size, g groups, s sequences.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .call import ScanCall

CHUNK = 32  # steps between the states that the forward keeps
CHANNELS = 32  # of a program


@cache
def kernels() -> Any:
    """The module of kernels, or the reason why there is none."""
    try:
        from . import gpu_kernels
    except Exception as error:
        return f"triton does not import ({type(error).__name__}: {error}); pip install triton"
    return gpu_kernels


def interpreted() -> bool:
    """Whether Triton runs kernels step by step on the CPU, as tests do."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def triton_refuses(u: Tensor) -> str | None:
    """Why the kernels cannot scan u, or None."""
    if u.device.type != "cuda":
        return f"the input is on {u.device.type}, the kernels need CUDA"
    if u.dtype == torch.float64:
        return "the input is float64, the kernels compute in float32"
    found = kernels()
    return found if isinstance(found, str) else trial(u.device)


@cache
def trial(device: torch.device) -> str | None:
    """Scan eight steps: a Triton that does not fit the driver imports well and then fails."""
    try:
        u, B = torch.ones(1, 8, 4, device=device), torch.ones(1, 8, 1, 2, device=device)
        A = -torch.ones(4, 2, device=device)
        y, _ = scan_triton(ScanCall(u, u * 0.1, A, B, B, None, None, None, False, None, False, None))
        h, expected = 0.0, []
        for _ in range(8):
            h = h * 0.904837418 + 0.1  # exp(-0.1)
            expected.append(2 * h)  # two states a channel
        if not torch.allclose(y[0, :, 0].cpu(), torch.tensor(expected), atol=1e-4):
            return "the Triton kernels give wrong numbers in a trial; update triton"
    except Exception as error:
        return f"the Triton kernels fail ({type(error).__name__}: {error}); update triton and the driver"
    return None


def scan_triton(call: ScanCall) -> tuple[Tensor, Tensor]:
    """Returns (b, l, d) in the dtype of u, and the states (s, d, n)."""
    dtype = call.u.dtype
    u, delta, z = (None if t is None else t.to(dtype).contiguous() for t in (call.u, call.delta, call.z))
    rest = (call.A, call.B, call.C, call.D, call.delta_bias, call.state)
    A, B, C, D, bias, begin = (None if t is None else t.float().contiguous() for t in rest)
    sizes = call.lengths
    if sizes is None:
        sizes = torch.full((len(call.u),), call.u.shape[1], device=call.u.device)
    places = places_of(sizes, len(call.u))
    return TritonScan.apply(u, delta, A, B, C, D, z, bias, begin, places, call.delta_softplus, call.reverse)


def places_of(lengths: Tensor, b: int) -> Tensor:
    """Where each sequence lies, (s, 4): item, first step, length, and the number of its first chunk."""
    s = torch.arange(len(lengths), device=lengths.device)
    packed = b == 1
    item, start = (s * 0, lengths.cumsum(0) - lengths) if packed else (s, s * 0)
    chunks = (lengths + CHUNK - 1) // CHUNK
    return torch.stack([item, start, lengths, chunks.cumsum(0) - chunks], 1).contiguous()


class TritonScan(torch.autograd.Function):
    """The kernels with their gradients; all tensors contiguous."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *rest: Any) -> Any:
        D, z, bias, begin, places, softplus, reverse = rest
        (b, l, d), (groups, n), s = u.shape, B.shape[2:], len(places)
        keep = any(ctx.needs_input_grad)
        y, final = torch.empty_like(u), A.new_empty(s, d, n)
        states = A.new_empty(b * (l // CHUNK) + s if keep else 0, d, n)
        sizes, grid = sizes_of(u, B, A, s)
        kernels().scan_forward[grid](
            *(u, delta, A, B, C, D, z, bias, places, y, states, begin, final, *sizes),
            HAS_D=D is not None,
            HAS_Z=z is not None,
            HAS_BIAS=bias is not None,
            HAS_BEGIN=begin is not None,
            SOFTPLUS=softplus,
            REVERSE=reverse,
            KEEP=keep,
            **block_of(d // groups, n),
        )
        ctx.set_materialize_grads(False)
        ctx.softplus, ctx.reverse = softplus, reverse
        ctx.save_for_backward(u, delta, A, B, C, D, z, bias, begin, places, states)
        return y, final

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, dfinal: Tensor | None) -> Any:
        u, delta, A, B, C, D, z, bias, begin, places, states = ctx.saved_tensors
        (b, l, d), (groups, n), s = u.shape, B.shape[2:], len(places)
        dy = torch.zeros_like(u) if dy is None else dy.contiguous()
        dfinal = None if dfinal is None else dfinal.contiguous()
        sizes, grid = sizes_of(u, B, A, s)
        block = block_of(d // groups, n)
        du, ddelta, dz = torch.empty_like(u), torch.empty_like(u), None if z is None else torch.empty_like(u)
        dB, dC = (A.new_empty(b, l, groups, grid[1] // groups, n) for _ in range(2))
        dA, dbegin, dD, dbias = (
            A.new_empty(s, d, n),
            A.new_empty(s, d, n),
            A.new_empty(s, d),
            A.new_empty(s, d),
        )
        past = A.new_empty(s * grid[1] * CHUNK * block["BD"] * block["BN"])
        kernels().scan_backward[grid](
            *(u, delta, A, B, C, D, z, bias, places, dy, states, dfinal, past),
            *(du, ddelta, dA, dB, dC, dD, dz, dbias, dbegin, *sizes),
            HAS_D=D is not None,
            HAS_Z=z is not None,
            HAS_BIAS=bias is not None,
            HAS_FINAL=dfinal is not None,
            SOFTPLUS=ctx.softplus,
            REVERSE=ctx.reverse,
            **block,
        )
        found = (du, ddelta, dA.sum(0), dB.sum(3), dC.sum(3), dD.sum(0), dz, dbias.sum(0), dbegin)
        given = (u, delta, A, B, C, D, z, bias, begin)
        return (*(None if t is None else g for t, g in zip(given, found, strict=True)), None, None, None)


def sizes_of(u: Tensor, B: Tensor, A: Tensor, s: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """What every kernel is told of sizes: l, d, channels a group, n, groups; and the grid of programs."""
    (_, l, d), (groups, n) = u.shape, B.shape[2:]
    blocks = -(-(d // groups) // block_of(d // groups, n)["BD"])
    return (l, d, d // groups, n, groups), (s, groups * blocks)


def block_of(share: int, n: int) -> dict[str, int]:
    """Powers of 2: channels of a program, states."""
    power = 1 << max(0, share - 1).bit_length()
    return {"CHUNK": CHUNK, "BD": min(CHANNELS, power), "BN": 1 << max(0, n - 1).bit_length()}
