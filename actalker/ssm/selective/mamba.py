"""Adapter to the CUDA kernels of the `mamba-ssm` package, which are tried before they are used.

Only the compiled module `selective_scan_cuda` is imported, never the package: without the module that fails,
and with it that takes seconds and imports a library of language models.

Letters: b batch, l length, d channels, g groups, n state size.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from ..backends import Result, ScanCall
from ..context import Context
from ..trial import MAMBA_INSTALL, constant, eight_steps, failure, package_refuses


def mamba_refuses(u: Tensor) -> str | None:
    """Why the CUDA package cannot scan u, or None."""
    return package_refuses(u) or trial(u.device)


@constant
@cache
def trial(device: torch.device) -> str | None:
    """Why the compiled module fails on this device, or None."""

    def run() -> Tensor:
        u, B = torch.ones(1, 4, 8, device=device), torch.ones(1, 1, 2, 8, device=device)
        A = -torch.ones(4, 2, device=device)
        kernel = import_module("selective_scan_cuda")
        D = gate = bias = None
        return kernel.fwd(*(u, u * 0.1, A, B, B, D, gate, bias), False)[0][0, 0]

    return failure("selective_scan_cuda of mamba-ssm", run, eight_steps(2), MAMBA_INSTALL)


def scan_mamba(call: ScanCall) -> Result:
    """Compute a call without states: (b, l, d) in the dtype of u, and None."""
    u, lengths = call.u, call.lengths
    inputs = [u, *(t.to(u.dtype) for t in (call.delta, call.B, call.C))]
    if lengths is not None:
        forget = FORGET if u.dtype != torch.float16 else FORGET_HALF
        inputs = [with_gaps(t, lengths, fill) for t, fill in zip(inputs, (0, forget, 0, 0), strict=True)]
    # channels first: u, delta (b, d, l), B, C (b, g, n, l)
    u, delta, B, C = (t.flip(1).movedim(1, -1) if call.reverse else t.movedim(1, -1) for t in inputs)
    D, bias = (None if t is None else t.float() for t in (call.D, call.delta_bias))
    y = PackageScan.apply(call.delta_softplus, u, delta, call.A.float(), B, C, D, bias).movedim(-1, 1)
    y = y.flip(1) if call.reverse else y
    if lengths is not None:
        y = y.index_select(1, steps_between_gaps(lengths, call.u.shape[1]))
    return y, None


# The kernels know no packs: between two sequences stands a step so long that the state decays to 0.
FORGET, FORGET_HALF = 1e12, 6e4  # float16 holds no more


def steps_between_gaps(lengths: Tensor, l: int) -> Tensor:
    """Where the steps of a pack stand once one step is put between neighbouring sequences, (l,)."""
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths, output_size=l)
    return torch.arange(l, device=lengths.device) + owner


def with_gaps(t: Tensor, lengths: Tensor, fill: float) -> Tensor:
    """A pack (1, l, ...) with a step of `fill` between neighbouring sequences, (1, l + s - 1, ...)."""
    padded = t.new_full((1, t.shape[1] + max(0, len(lengths) - 1), *t.shape[2:]), fill)
    return padded.index_copy(1, steps_between_gaps(lengths, t.shape[1]), t)


class PackageScan(torch.autograd.Function):
    """The package's kernels, channels first, without its Python layer."""

    @staticmethod
    def forward(ctx: Context, softplus: bool, *inputs: Tensor | None) -> Tensor:
        """y (b, d, l) of u, delta, A, B, C, D and the bias; u, delta (b, d, l), B, C (b, g, n, l)."""
        *tensors, D, bias = (None if t is None else t.contiguous() for t in inputs)
        gate = None
        y, states, *_ = import_module("selective_scan_cuda").fwd(*tensors, D, gate, bias, softplus)
        ctx.softplus = softplus
        ctx.save_for_backward(*tensors, D, bias, states)
        return y

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the arguments of `forward` from that of y."""
        *tensors, D, bias, states = ctx.saved_tensors
        gate = output = gate_gradient = None
        before, after = (*tensors, D, gate, bias), (states, output, gate_gradient, ctx.softplus, False)
        grads = import_module("selective_scan_cuda").bwd(*before, dy.contiguous(), *after)
        inputs = (*tensors, D, bias)
        wanted = [None if t is None else grad.to(t.dtype) for grad, t in zip(grads, inputs, strict=False)]
        return (None, *wanted)
