"""The scan with one decay a head (Mamba-2's state-space duality): one function, several backends.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, s sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .call import SsdCall, check_real
from .cpu import numba_refuses
from .package import mamba_heads_refuses, ssd_mamba
from .packs import as_lengths, core_over_packs
from .reference import ssd_reference
from .scan import choose
from .ssd_chunked import ssd_chunked
from .ssd_cpu import ssd_numba


def ssd_plain(
    core: Callable[..., tuple[Tensor, Tensor]],
    call: SsdCall,
) -> tuple[Tensor, Tensor]:
    """By a core that knows the recurrence alone, as `SsdBackend.run`."""
    x, dt, D = call.x, call.dt, call.D
    wide = x.to(dt.dtype)
    begin = dt.new_zeros(len(x), *x.shape[2:], call.B.shape[3])
    parts = (wide * dt[..., None], dt * call.A, call.B.to(dt.dtype), call.C.to(dt.dtype))
    y, final = core_over_packs(core, parts, begin, call.lengths, call.reverse, call.state)
    return (y if D is None else y + D[:, None] * wide).to(x.dtype), final


@dataclass(frozen=True)
class SsdBackend:
    """A way to compute the scan."""

    run: Callable[[SsdCall], tuple[Tensor, Tensor]]
    """To y (b, l, h, p) in the dtype of x and the last states (s, h, p, n)."""

    refuses: Callable[[Tensor], str | None]
    """Why it cannot run on this x, or None."""

    streams: bool = True


SSD_BACKENDS = {  # fastest first: `auto` takes the first that can run
    "mamba": SsdBackend(ssd_mamba, mamba_heads_refuses),
    "numba": SsdBackend(ssd_numba, numba_refuses),
    "chunked": SsdBackend(partial(ssd_plain, ssd_chunked), lambda x: None),
    "reference": SsdBackend(partial(ssd_plain, ssd_reference), lambda x: None),
}


def ssd_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    lengths: Tensor | Sequence[int] | None = None,
    reverse: bool = False,
    z: Tensor | None = None,
    state: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_tᵀ, y_t = h_t C_t + D x_t: `selective_scan` with one A a head.

    Args:
        x: (b, l, h, p), any float dtype. dt: (b, l, h), softplus(dt + dt_bias) with `dt_softplus`.
        A: (h,), negative. D, dt_bias: (h,).
        B, C: (b, l, n), or (b, l, g, n) where head j reads group j // (h // g).
        lengths, reverse: as in `selective_scan`.
        z: (b, l, h, p), a gate on the result, y · silu(z).
        state: (s, h, p, n), h before the first step of each sequence; None: zeros.
        backend: a name in `SSD_BACKENDS`, or "auto".
    Returns: y (b, l, h, p) in the dtype of x, and the states behind the last steps (s, h, p, n); the latter
        only where a state was given or nothing is packed, else anything.
    Raises: InputError, as `selective_scan`.
    Source: Dao & Gu 2024, equation 16; `mamba_ssm.mamba_chunk_scan_combined`.
    """
    named = {"x": x, "dt": dt, "A": A, "B": B, "C": C, "D": D, "dt_bias": dt_bias, "z": z, "state": state}
    check_real("scan", named)
    chosen = choose(backend, x, SSD_BACKENDS, state is not None)
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
    check(x, dt, A, B, C, D, dt_bias, z)
    sizes = as_lengths(lengths, x.flatten(2))
    sequences = len(x) if sizes is None else len(sizes)
    shape = (sequences, *x.shape[2:], B.shape[3])
    if state is not None and state.shape != shape:
        raise InputError(f"scan: state is {tuple(state.shape)}; {sequences} sequences need {shape}")
    if not x.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        sums = [t.sum() for t in (dt, A, B, C, D, dt_bias, z, state) if t is not None]
        return x * torch.stack(sums).sum().to(x.dtype), x.new_zeros(shape) if state is None else state
    with torch.autocast(x.device.type, enabled=False):
        dtype = torch.promote_types(x.dtype, torch.float32)
        steps = dt.to(dtype) if dt_bias is None else dt.to(dtype) + dt_bias.to(dtype)
        steps = F.softplus(steps) if dt_softplus else steps
        D, state = (None if t is None else t.to(dtype) for t in (D, state))
        y, final = chosen.run(SsdCall(x, steps, A.to(dtype), B, C, D, sizes, reverse, state))
        return y if z is None else y * F.silu(z), final


def check(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    dt_bias: Tensor | None,
    z: Tensor | None,
) -> None:
    """Raise InputError naming the first tensor whose shape does not fit x (b, l, h, p) and B (b, l, g, n)."""
    if x.ndim != 4 or B.ndim != 4:
        given = f"x {tuple(x.shape)}, B {tuple(B.shape)}"
        raise InputError(f"scan: {given}; give x (b, l, h, p), B (b, l, n) or (b, l, g, n)")
    (b, l, h, p), (g, n) = x.shape, B.shape[2:]
    needed = {
        "dt": (dt, (b, l, h)),
        "A": (A, (h,)),
        "B": (B, (b, l, g, n)),
        "C": (C, (b, l, g, n)),
        "D": (D, (h,)),
        "dt_bias": (dt_bias, (h,)),
        "z": (z, (b, l, h, p)),
    }
    for name, (t, shape) in needed.items():
        if t is not None and t.shape != shape:
            raise InputError(f"scan: {name} is {tuple(t.shape)}; x {tuple(x.shape)} needs {shape}")
    if not g or h % g:
        raise InputError(f"scan: {h} heads do not divide into {g} groups")
