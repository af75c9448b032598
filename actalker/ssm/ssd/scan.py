"""The scan with one decay a head (Mamba-2's state-space duality): one definition, several backends.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, s sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import InputError
from ..backends import Backend, Result, SsdCall, pick_backend
from ..checks import check_real, check_shapes, checked_lengths, checked_state
from ..packs import Recurrence, scan_pack
from .chunked import ssd_chunked
from .mamba import mamba_refuses, ssd_mamba
from .numba import numba_refuses, ssd_numba
from .reference import ssd_reference


def ssd_by_recurrence(recurrence: Recurrence, call: SsdCall) -> Result:
    """Compute a call by a recurrence over dt x (b, l, h, p), dt A (b, l, h), B and C (b, l, g, n)."""
    x, dt, D = call.x, call.dt, call.D
    exact = x.to(dt.dtype)
    zeros = dt.new_zeros(len(x), *x.shape[2:], call.B.shape[3])
    parts = (exact * dt[..., None], dt * call.A, call.B.to(dt.dtype), call.C.to(dt.dtype))
    y, last = scan_pack(
        recurrence, parts, zeros, lengths=call.lengths, reverse=call.reverse, state=call.state
    )
    return (y if D is None else y + D[:, None] * exact).to(x.dtype), last


SSD_BACKENDS: dict[str, Backend[SsdCall]] = {  # fastest first: `auto` takes the first that can run
    "mamba": Backend(ssd_mamba, mamba_refuses),
    "numba": Backend(ssd_numba, numba_refuses),
    "chunked": Backend(partial(ssd_by_recurrence, ssd_chunked), lambda x: None),
    "reference": Backend(partial(ssd_by_recurrence, ssd_reference), lambda x: None),
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
    state: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> Result:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_tᵀ, y_t = h_t C_t + D x_t: `selective_scan` with one A a head.

    | x, y         | dt        | A, D, dt_bias | B, C                      | lengths | state        |
    |--------------|-----------|---------------|---------------------------|---------|--------------|
    | (b, l, h, p) | (b, l, h) | (h,)          | (b, l, n) or (b, l, g, n) | (s,)    | (s, h, p, n) |

    Args:
        x: any float dtype; sums and the state are float32 (float64 for float64).
        dt: step sizes, softplus(dt + dt_bias) with `dt_softplus`, else dt + dt_bias.
        A: negative.
        B, C: with g groups, head j reads group j // (h // g).
        state: h before the first step of each sequence; None: zeros.
        lengths, reverse, return_state: as in `selective_scan`.
        backend: a name in `SSD_BACKENDS`, or "auto" for the fastest that can run this call.
    Returns: y in the dtype of x, and the states behind the last steps (s, h, p, n) or None.
    Raises: InputError, as `selective_scan`.
    Source: Dao & Gu 2024, equation 16; `mamba_ssm.mamba_chunk_scan_combined`.
    """
    named = {"x": x, "dt": dt, "A": A, "B": B, "C": C, "D": D, "dt_bias": dt_bias, "state": state}
    check_real("scan", named)
    chosen = pick_backend(backend, x, SSD_BACKENDS, streams=return_state or state is not None)
    B, C = checked_groups(x, dt, A, B=B, C=C, D=D, dt_bias=dt_bias)
    sizes = checked_lengths(lengths, x)
    sequences, shape = len(x) if sizes is None else len(sizes), (*x.shape[2:], B.shape[3])
    initial = checked_state(state, sequences, shape, return_state, x)
    if not x.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        sums = [t.sum() for t in (dt, A, B, C, D, dt_bias, initial) if t is not None]
        return x * torch.stack(sums).sum().to(x.dtype), initial if return_state else None
    with torch.autocast(x.device.type, enabled=False):
        dtype = torch.promote_types(x.dtype, torch.float32)
        steps = dt.to(dtype) if dt_bias is None else dt.to(dtype) + dt_bias.to(dtype)
        steps = F.softplus(steps) if dt_softplus else steps
        D, initial = (None if t is None else t.to(dtype) for t in (D, initial))
        call = SsdCall(x, steps, A.to(dtype), B, C, D=D, lengths=sizes, reverse=reverse, state=initial)
        y, last = chosen.run(call)
    return y, last if return_state else None


def checked_groups(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    dt_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """B and C by groups, (b, l, g, n).

    Raises: InputError naming the first tensor whose shape does not fit x (b, l, h, p) and B.
    """
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
    if x.ndim != 4 or B.ndim != 4:
        sizes = f"x {tuple(x.shape)}, B {tuple(B.shape)}"
        raise InputError(f"scan: {sizes}; give x (b, l, h, p), B (b, l, n) or (b, l, g, n)")
    (b, l, h, _), (g, n) = x.shape, B.shape[2:]
    shapes = {
        "dt": (dt, (b, l, h)),
        "A": (A, (h,)),
        "B": (B, (b, l, g, n)),
        "C": (C, (b, l, g, n)),
        "D": (D, (h,)),
        "dt_bias": (dt_bias, (h,)),
    }
    check_shapes(shapes, f"x {tuple(x.shape)} needs")
    if not g or h % g:
        raise InputError(f"scan: {h} heads do not divide into {g} groups")
    return B, C
