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

from .packs import inert

INSTALL = "install it beside a CUDA build of PyTorch: pip install --no-build-isolation 'actalker[cuda]'"


def mamba_refuses(u: Tensor) -> str | None:
    """Why the CUDA package cannot scan u, or None."""
    if u.device.type != "cuda":
        return f"the input is on {u.device.type}, the package needs CUDA"
    if u.dtype == torch.float64:
        return "the package knows no float64"
    return trial(u.device)


@cache
def trial(device: torch.device) -> str | None:
    """Scan eight steps: a module built for another PyTorch or another GPU imports well and then fails."""
    try:
        kernel = import_module("selective_scan_cuda")
        u = torch.ones(1, 4, 8, device=device)
        B = torch.ones(1, 1, 2, 8, device=device)
        y = kernel.fwd(u, u * 0.1, -torch.ones(4, 2, device=device), B, B, None, None, None, False)[0]
        h, expected = 0.0, []
        for _ in range(8):
            h = h * 0.904837418 + 0.1  # exp(-0.1)
            expected.append(2 * h)  # two states a channel
        if not torch.allclose(y[0, 0].cpu(), torch.tensor(expected), atol=1e-4):
            return "selective_scan_cuda of mamba-ssm gives wrong numbers in a trial; reinstall mamba-ssm"
    except Exception as error:  # whatever a foreign binary raises: it is then not usable
        return f"selective_scan_cuda of mamba-ssm fails ({type(error).__name__}: {error}); {INSTALL}"
    return None


def scan_mamba(
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
    given = inert(lengths, *(t.to(u.dtype) for t in (u, delta, B, C)))
    # channels first: u, delta (b, d, l), B, C (b, g, n, l)
    u, delta, B, C = (t.flip(1).movedim(1, -1) if reverse else t.movedim(1, -1) for t in given)
    D, delta_bias = (None if t is None else t.float() for t in (D, delta_bias))
    y = PackageScan.apply(delta_softplus, u, delta, A.float(), B, C, D, delta_bias).movedim(-1, 1)
    return y.flip(1) if reverse else y


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
