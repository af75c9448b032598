"""The selective scan: one function, several backends that give the same numbers.

Letters in this folder, as in the Mamba paper: b batch, l length, d channels, n state size, g groups,
s sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, one_of
from .call import ScanCall
from .chunked import scan_chunked
from .cpu import numba_refuses, scan_numba
from .gpu import scan_triton, triton_refuses
from .package import mamba_refuses, scan_mamba
from .packs import as_lengths, scan_plain
from .reference import scan_reference


@dataclass(frozen=True)
class Backend:
    """A way to compute the scan."""

    run: Callable[[ScanCall], tuple[Tensor, Tensor]]  # y (b, l, d) and the states behind it (s, d, n)
    refuses: Callable[[Tensor], str | None]  # why it cannot run on this u, or None
    streams: bool = True  # whether it starts from states and gives the last ones


BACKENDS = {  # fastest first: `auto` takes the first that can run
    "mamba": Backend(scan_mamba, mamba_refuses, streams=False),
    "triton": Backend(scan_triton, triton_refuses),
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
    z: Tensor | None = None,
    state: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Selective state-space recurrence h_t = exp(δ_t A) h_{t-1} + δ_t B_t u_t, y_t = C_t h_t + D u_t.

    Args:
        u, delta: (b, l, d) inputs and step sizes; δ = softplus(delta + delta_bias) with `delta_softplus`,
            else delta + delta_bias. Any float dtype; the state is float32 (float64 for float64).
        A: (d, n), negative. D, delta_bias: (d,).
        B, C: (b, l, n), or (b, l, g, n) where channel j reads group j // (d // g).
        lengths: (s,) whole numbers, 0 among them, whose sum is l: the one item, b = 1, holds sequences of
            these lengths one behind another, each of which starts anew. None: every item is a sequence.
        reverse: run from each sequence's last step to its first.
        z: (b, l, d), a gate on the result, y · silu(z).
        state: (s, d, n), h before the first step of each sequence; None: zeros.
        backend: a name in `BACKENDS`, or "auto" for the fastest that can run this call.
    Returns: (b, l, d) in the dtype of u.
    Raises: InputError on shapes that do not fit, on lengths that do not add up, and if the named backend
        cannot run this call, with the reason and the remedy.
    Source: Gu & Dao 2023, algorithm 2; `mamba_ssm.selective_scan_fn`, there channels first.
    """
    given = (u, delta, A, B, C, D, delta_bias, delta_softplus, lengths, reverse, z, state)
    return _scan(*given, wanted=False, backend=backend)[0]


def streaming_scan(
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
    z: Tensor | None = None,
    state: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """As `selective_scan`, with the states behind the last steps: (b, l, d) and (s, d, n).

    They are what a later call starts from: a sequence scanned in pieces gives what it gives in one.
    """
    given = (u, delta, A, B, C, D, delta_bias, delta_softplus, lengths, reverse, z, state)
    return _scan(*given, wanted=True, backend=backend)


def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | Sequence[int] | None,
    reverse: bool,
    z: Tensor | None,
    state: Tensor | None,
    wanted: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    streams = wanted or state is not None
    chosen = choose(backend, u, BACKENDS, streams)
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
    check(u, delta, A, B, C, D, delta_bias, z)
    fitting = as_lengths(lengths, u)
    sequences = len(u) if fitting is None else len(fitting)
    if streams and state is None:
        state = A.new_zeros(sequences, *A.shape)
    if state is not None and state.shape != (sequences, *A.shape):
        needed = (sequences, *A.shape)
        raise InputError(f"scan: state is {tuple(state.shape)}; {sequences} sequences need {needed}")
    if not u.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        sums = [t.sum() for t in (delta, A, B, C, D, delta_bias, z, state) if t is not None]
        y = u * torch.stack(sums).sum().to(u.dtype)
        return y, y.new_zeros(sequences, *A.shape) if state is None else state
    with torch.autocast(u.device.type, enabled=False):  # it would put the products in bf16
        call = ScanCall(u, delta, A, B, C, D, z, delta_bias, delta_softplus, fitting, reverse, state)
        return chosen.run(call)


def choose(backend: str, u: Tensor, backends: Mapping[str, Any], streams: bool) -> Any:
    """The backend of this name, or the first that can run on u. Raises: InputError with the reason."""

    def refusal(known: Any) -> str | None:
        if streams and not known.streams:
            return "it neither starts from a state nor gives one"
        return known.refuses(u)

    if backend == "auto":
        return next(b for b in backends.values() if refusal(b) is None)
    chosen = backends[one_of(backend, backends, "scan backend")]
    if reason := refusal(chosen):
        raise InputError(f"scan backend '{backend}' cannot run: {reason}; 'chunked' runs everywhere")
    return chosen


def check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    z: Tensor | None,
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
        "z": (z, (b, l, d)),
    }
    for name, (t, shape) in needed.items():
        if t is not None and t.shape != shape:
            sizes = f"u {tuple(u.shape)} and A {tuple(A.shape)}"
            raise InputError(f"scan: {name} is {tuple(t.shape)}; {sizes} need {shape}")
    if not g or d % g:
        raise InputError(f"scan: {d} channels do not divide into {g} groups")
