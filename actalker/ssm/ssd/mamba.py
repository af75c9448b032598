"""Adapter to the CUDA kernels with one decay a head of the `mamba-ssm` package, tried before they are used.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, s sequences.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from ..backends import Result, SsdCall
from ..packs import scan_pack
from ..trial import MAMBA_INSTALL, constant, eight_steps, failure, package_refuses


def mamba_refuses(x: Tensor) -> str | None:
    """Why the package cannot scan x with one decay a head, or None."""
    return package_refuses(x) or trial(x.device)


@constant
@cache
def trial(device: torch.device) -> str | None:
    """Why the package's Triton kernels fail on this device, or None."""

    def run() -> Tensor:
        x, B = torch.ones(1, 8, 2, 16, device=device), torch.ones(1, 8, 1, 16, device=device)
        step, A = torch.full((1, 8, 2), 0.1, device=device), -torch.ones(2, device=device)
        return ssd_mamba(SsdCall(x, step, A, B, B))[0][0, :, 0, 0]

    return failure("mamba_chunk_scan_combined of mamba-ssm", run, eight_steps(16), MAMBA_INSTALL)


def ssd_mamba(call: SsdCall) -> Result:
    """Compute a call by the package: y and the last states, as `SsdCall` says."""
    scan = import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined
    x, A, D = call.x, call.A, call.D

    def recurrence(
        x: Tensor, dt: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        sequence = None if fresh is None else fresh.cumsum(0).to(torch.int32).expand(1, -1).contiguous()
        initial = None if fresh is not None else state
        inputs = (t.contiguous() for t in (x, dt, A, B.to(x.dtype), C.to(x.dtype)))
        return scan(
            *inputs, chunk_size=64, initial_states=initial, seq_idx=sequence, return_final_states=True
        )

    zeros = call.dt.new_zeros(len(x), *x.shape[2:], call.B.shape[3])
    parts = (x, call.dt, call.B, call.C)
    y, last = scan_pack(
        recurrence, parts, zeros, lengths=call.lengths, reverse=call.reverse, state=call.state
    )
    return (y if D is None else y + D[:, None].to(y.dtype) * x).to(x.dtype), last
