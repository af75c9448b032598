"""Adapter to the CUDA kernels of the `mamba-ssm` package, found by trying them.

The package itself is never imported: without its compiled module that fails, with it that takes seconds and
pulls in a language-model library. The compiled module `selective_scan_cuda` stands alone.

Letters: b batch, l length, d channels, g groups, n state size.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from .call import ScanCall, SsdCall
from .packs import core_over_packs
from .trial import constant, eight_steps, failure

INSTALL = "install it beside a CUDA build of PyTorch: pip install --no-build-isolation 'actalker[cuda]'"


def mamba_refuses(u: Tensor) -> str | None:
    """Why the CUDA package cannot scan u, or None."""
    if u.device.type != "cuda":
        return f"the input is on {u.device.type}, the package needs CUDA"
    if u.dtype == torch.float64:
        return "the package knows no float64"
    return trial(u.device)


@constant
@cache
def trial(device: torch.device) -> str | None:
    """Why the compiled module fails on this device, or None."""

    def run() -> Tensor:
        u, B = torch.ones(1, 4, 8, device=device), torch.ones(1, 1, 2, 8, device=device)
        A = -torch.ones(4, 2, device=device)
        kernel = import_module("selective_scan_cuda")
        return kernel.fwd(u, u * 0.1, A, B, B, None, None, None, False)[0][0, 0]

    return failure("selective_scan_cuda of mamba-ssm", run, eight_steps(2), INSTALL)


def scan_mamba(call: ScanCall) -> tuple[Tensor, Tensor]:
    """A call without states. Returns (b, l, d) in the dtype of u, and no states."""
    u, lengths = call.u, call.lengths
    given = [u, *(t.to(u.dtype) for t in (call.delta, call.B, call.C))]
    if lengths is not None:
        forget = FORGET if u.dtype != torch.float16 else FORGET_HALF
        given = [apart(t, lengths, fill) for t, fill in zip(given, (0, forget, 0, 0), strict=True)]
    # channels first: u, delta (b, d, l), B, C (b, g, n, l)
    u, delta, B, C = (t.flip(1).movedim(1, -1) if call.reverse else t.movedim(1, -1) for t in given)
    D, bias = (None if t is None else t.float() for t in (call.D, call.delta_bias))
    y = PackageScan.apply(call.delta_softplus, u, delta, call.A.float(), B, C, D, bias).movedim(-1, 1)
    y = y.flip(1) if call.reverse else y
    if lengths is not None:
        y = y.index_select(1, places(lengths, call.u.shape[1]))
    return call.gated(y), y.new_empty(0)


# The kernels know no packs: between two sequences stands a step so long that the state decays to 0.
FORGET, FORGET_HALF = 1e12, 6e4  # float16 holds no more


def places(lengths: Tensor, l: int) -> Tensor:
    """Where the steps of a pack stand once one step is put between neighbouring sequences, (l,)."""
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths, output_size=l)
    return torch.arange(l, device=lengths.device) + owner


def apart(t: Tensor, lengths: Tensor, fill: float) -> Tensor:
    """A pack (1, l, ...) with a step of `fill` between neighbouring sequences, (1, l + s - 1, ...)."""
    wide = t.new_full((1, t.shape[1] + max(0, len(lengths) - 1), *t.shape[2:]), fill)
    return wide.index_copy(1, places(lengths, t.shape[1]), t)


class PackageScan(torch.autograd.Function):
    """The package's kernels, channels first, without its Python layer."""

    @staticmethod
    def forward(ctx: Any, softplus: bool, *inputs: Tensor | None) -> Tensor:
        *given, D, bias = (None if t is None else t.contiguous() for t in inputs)
        gate = None
        y, states, *_ = import_module("selective_scan_cuda").fwd(*given, D, gate, bias, softplus)
        ctx.softplus = softplus
        ctx.save_for_backward(*given, D, bias, states)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        *given, D, bias, states = ctx.saved_tensors
        gate = output = gate_gradient = None
        grads = import_module("selective_scan_cuda").bwd(
            *given, D, gate, bias, dy.contiguous(), states, output, gate_gradient, ctx.softplus, False
        )
        found = [
            None if t is None else grad.to(t.dtype) for grad, t in zip(grads, (*given, D, bias), strict=False)
        ]
        return (None, *found)


def mamba_heads_refuses(x: Tensor) -> str | None:
    """Why the package cannot scan x with one decay a head, or None."""
    if x.device.type != "cuda":
        return f"the input is on {x.device.type}, the package needs CUDA"
    if x.dtype == torch.float64:
        return "the package knows no float64"
    return heads_trial(x.device)


@constant
@cache
def heads_trial(device: torch.device) -> str | None:
    """Why the package's Triton kernels fail on this device, or None."""

    def run() -> Tensor:
        x, B = torch.ones(1, 8, 2, 16, device=device), torch.ones(1, 8, 1, 16, device=device)
        step, A = torch.full((1, 8, 2), 0.1, device=device), -torch.ones(2, device=device)
        return ssd_mamba(SsdCall(x, step, A, B, B, None, None, False, None))[0][0, :, 0, 0]

    return failure("mamba_chunk_scan_combined of mamba-ssm", run, eight_steps(16), INSTALL)


def ssd_mamba(call: SsdCall) -> tuple[Tensor, Tensor]:
    """As `ssd.SsdBackend.run`."""
    scan = import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined
    x, A, D = call.x, call.A, call.D

    def core(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor) -> Any:
        sequence = None if fresh is None else fresh.cumsum(0).to(torch.int32).expand(1, -1).contiguous()
        begin = None if fresh is not None else state
        given = (t.contiguous() for t in (x, dt, A, B.to(x.dtype), C.to(x.dtype)))
        return scan(*given, chunk_size=64, initial_states=begin, seq_idx=sequence, return_final_states=True)

    begin = call.dt.new_zeros(len(x), *x.shape[2:], call.B.shape[3])
    parts = (x, call.dt, call.B, call.C)
    y, final = core_over_packs(core, parts, begin, call.lengths, call.reverse, call.state)
    return (y if D is None else y + D[:, None].to(y.dtype) * x).to(x.dtype), final
