"""The selective scan: one function, several backends that give the same numbers.

Letters in this folder, as in the Mamba paper: b batch, l length, d channels, n state size, g groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import InputError, one_of
from .chunked import scan_chunked
from .cpu import numba_refuses, scan_numba
from .package import mamba_refuses, scan_mamba
from .packs import as_lengths, scan_plain
from .reference import scan_reference


@dataclass(frozen=True)
class Backend:
    """A way to compute the scan."""

    run: Callable[..., Tensor]  # `selective_scan` with B, C (b, l, g, n) and lengths a tensor
    refuses: Callable[[Tensor], str | None]  # why it cannot run on this u, or None


BACKENDS = {  # fastest first: `auto` takes the first that can run
    "mamba": Backend(scan_mamba, mamba_refuses),
    "numba": Backend(scan_numba, numba_refuses),
    "chunked": Backend(partial(scan_plain, scan_chunked), lambda u: None),
    "reference": Backend(partial(scan_plain, scan_reference), lambda u: None),
}


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    lengths: Tensor | Sequence[int] | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Selective state-space recurrence h_t = exp(δ_t A) h_{t-1} + δ_t B_t u_t, y_t = C_t h_t + D u_t.

    Args:
        u, delta: (b, l, d) inputs and step sizes; δ = softplus(delta + delta_bias) with `delta_softplus`,
            else delta + delta_bias. Any float dtype; the state is float32 (float64 for float64).
        A: (d, n), negative. D, delta_bias: (d,).
        B, C: (b, l, n), or (b, l, g, n) where channel j reads group j // (d // g).
        lengths: (b,) whole numbers in 0..l: steps past an item's length are inert, give 0 and get gradient 0,
            whatever they hold.
        reverse: run from each item's last step to its first.
        backend: a name in `BACKENDS`, or "auto" for the fastest that can run this call.
    Returns: (b, l, d) in the dtype of u.
    Raises: InputError on shapes that do not fit, on lengths out of range, and if the named backend cannot run
        this call, with the reason and the remedy.
    Source: Gu & Dao 2023, algorithm 2; `mamba_ssm.selective_scan_fn`, there channels first.
    """
    chosen = choose(backend, u)
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
    check(u, delta, A, B, C, D, delta_bias)
    lengths = as_lengths(lengths, u)
    if not u.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        sums = [t.sum() for t in (delta, A, B, C, D, delta_bias) if t is not None]
        return u * torch.stack(sums).sum().to(u.dtype)
    with torch.autocast(u.device.type, enabled=False):  # it would put the products in bf16
        return chosen.run(u, delta, A, B, C, D, delta_bias, delta_softplus, lengths, reverse)


def choose(backend: str, u: Tensor) -> Backend:
    """The backend of this name, or the fastest that can run on u. Raises: InputError with the reason."""
    if backend == "auto":
        return next(b for b in BACKENDS.values() if b.refuses(u) is None)
    chosen = BACKENDS[one_of(backend, BACKENDS, "scan backend")]
    if reason := chosen.refuses(u):
        raise InputError(f"scan backend '{backend}' cannot run: {reason}; 'chunked' runs everywhere")
    return chosen


def check(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> None:
    """Raise InputError naming the first tensor whose shape does not fit u (b, l, d) and A (d, n)."""
    if u.ndim != 3 or A.ndim != 2 or B.ndim != 4:
        raise InputError(
            f"scan: u {tuple(u.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}; "
            "give u (b, l, d), A (d, n), B (b, l, n) or (b, l, g, n)"
        )
    (b, l, d), n, g = u.shape, A.shape[1], B.shape[2]
    needed = {
        "delta": (delta, (b, l, d)),
        "A": (A, (d, n)),
        "B": (B, (b, l, g, n)),
        "C": (C, (b, l, g, n)),
        "D": (D, (d,)),
        "delta_bias": (delta_bias, (d,)),
    }
    for name, (t, shape) in needed.items():
        if t is not None and t.shape != shape:
            sizes = f"u {tuple(u.shape)} and A {tuple(A.shape)}"
            raise InputError(f"scan: {name} is {tuple(t.shape)}; {sizes} need {shape}")
    if not g or d % g:
        raise InputError(f"scan: {d} channels do not divide into {g} groups")
