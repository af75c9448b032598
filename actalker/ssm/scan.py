"""The selective scan: one function, several backends that give the same numbers.

Letters in this folder, as in the Mamba paper: b batch, l length, d channels, n state size, g groups,
s sequences; r rows, e channels of a group, k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, one_of
from .call import GroupedCall, ScanCall, check_real
from .chunked import scan_chunked
from .cpu import numba_refuses, scan_numba
from .gpu import scan_triton, triton_refuses
from .package import mamba_refuses, scan_mamba
from .packs import GroupedScan, as_lengths, by_gathering, by_groups, can_look, scan_plain
from .reference import scan_reference


@dataclass(frozen=True)
class Backend:
    """A way to compute the scan."""

    run: Callable[[ScanCall], tuple[Tensor, Tensor]]  # y (b, l, d) and the states behind it (s, d, n)
    refuses: Callable[[Tensor], str | None]  # why it cannot run on this u, or None
    streams: bool = True  # whether it starts from states and gives the last ones
    ordered: GroupedScan | None = None  # reads rows in an order itself


def by_kernels(scan: GroupedScan, refuses: Callable[[Tensor], str | None]) -> Backend:
    """A backend whose kernels read rows by groups and in an order."""
    return Backend(partial(by_groups, scan), refuses, ordered=scan)


BACKENDS = {  # fastest first: `auto` takes the first that can run
    "mamba": Backend(scan_mamba, mamba_refuses, streams=False),
    "triton": by_kernels(scan_triton, triton_refuses),
    "numba": by_kernels(scan_numba, numba_refuses),
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
        backend: a name in `BACKENDS`, or "auto" for the fastest that can run this call.
    Returns: (b, l, d) in the dtype of u.
    Raises: InputError on complex and whole numbers, shapes that do not fit, lengths that do not add up, and
        if the named backend cannot run this call, with the reason and the remedy.
    Source: Gu & Dao 2023, algorithm 2; `mamba_ssm.selective_scan_fn`, there channels first.
    """
    B, C = check(u, delta, A, B, C, D, delta_bias, z)
    chosen = choose(backend, u, BACKENDS)
    sizes = as_lengths(lengths, u)
    return run(chosen, ScanCall(u, delta, A, B, C, D, z, delta_bias, delta_softplus, sizes, reverse, None))[0]


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
    """As `selective_scan`, from states to states: a sequence scanned in pieces gives what it gives in one.

    state: (s, d, n), h before the first step of each sequence; None: zeros.
    Returns: (b, l, d), and the states behind the last steps, (s, d, n), which a later call starts from.
    """
    B, C = check(u, delta, A, B, C, D, delta_bias, z)
    chosen = choose(backend, u, BACKENDS, streams=True)
    sizes = as_lengths(lengths, u)
    begin = checked_state(state, len(u) if sizes is None else len(sizes), A)
    return run(chosen, ScanCall(u, delta, A, B, C, D, z, delta_bias, delta_softplus, sizes, reverse, begin))


def ordered_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    order: Tensor,
    lengths: Tensor,
    results: int,
    state: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Scans of the same rows in g orders, each with parameters of its own, summed: `selective_scan` of packs
    that nobody lays out, where some rows may stand at several steps or at none.

    Args:
        u: (r, e) rows. delta: (r, g, e); B, C: (r, g, n). A: (g, e, n), D, delta_bias: (g, e).
        order: (g, l) int64, the row of each step, sequence behind sequence.
        lengths: (s,) steps of each sequence, the same in all orders.
        results: k, rows that have a result: each of them stands at one step of every order. None of the
            others is shared by two sequences.
        state: (s, g, e, n), h before the first step of each sequence; None: zeros.
    Returns: (k, e) in the dtype of u; the states behind the last steps (s, g, e, n), only where a state was
        given, else anything.
    Raises: InputError, as `selective_scan`.
    """
    check_order(u, delta, A, B, C, D, delta_bias, order, results)
    chosen = choose(backend, u, BACKENDS, streams=state is not None)
    sizes = as_lengths(lengths, order[:1])
    assert sizes is not None
    state = None if state is None else checked_state(state, len(sizes), A)
    call = GroupedCall(
        u=u[None, :, None],
        delta=delta[None],
        A=A,
        B=B[None],
        C=C[None],
        D=D,
        z=None,
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
        order=order.contiguous(),
        lengths=sizes,
        reverse=False,
        results=results,
        state=state,
    )
    kernels = chosen.ordered if order.numel() else None
    with torch.autocast(u.device.type, enabled=False):
        y, final = kernels(call) if kernels else by_gathering(partial(run, chosen), call)
    return y[0, :, 0], final


def run(backend: Backend, call: ScanCall) -> tuple[Tensor, Tensor]:
    """The call by the backend, which need not know of nothing and of autocast."""
    u, begin = call.u, call.state
    if not u.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        given = (call.delta, call.A, call.B, call.C, call.D, call.delta_bias, call.z, begin)
        y = u * torch.stack([t.sum() for t in given if t is not None]).sum().to(u.dtype)
        sequences = len(u) if call.lengths is None else len(call.lengths)
        return y, y.new_zeros(sequences, *call.A.shape) if begin is None else begin
    with torch.autocast(u.device.type, enabled=False):  # it would put the products in bf16
        return backend.run(call)


def choose(backend: str, u: Tensor, backends: Mapping[str, Any], streams: bool = False) -> Any:
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
) -> tuple[Tensor, Tensor]:
    """B and C by groups, (b, l, g, n). Raises: InputError naming the first tensor that does not hold floats
    or whose shape does not fit u (b, l, d) and A (d, n)."""
    named = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias, "z": z}
    check_real("scan", named)
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
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
    check_shapes(needed, u, A)
    if not g or d % g:
        raise InputError(f"scan: {d} channels do not divide into {g} groups")
    return B, C


def check_shapes(needed: Mapping[str, tuple[Tensor | None, tuple[int, ...]]], u: Tensor, A: Tensor) -> None:
    """Raise InputError naming the first tensor whose shape is not what u and A need."""
    for name, (t, shape) in needed.items():
        if t is not None and t.shape != shape:
            sizes = f"u {tuple(u.shape)} and A {tuple(A.shape)}"
            raise InputError(f"scan: {name} is {tuple(t.shape)}; {sizes} need {shape}")


def checked_state(state: Tensor | None, sequences: int, A: Tensor) -> Tensor:
    """The states (s, *A.shape), zeros for None. Raises: InputError."""
    needed = (sequences, *A.shape)
    check_real("scan", {"state": state})
    if state is not None and state.shape != needed:
        raise InputError(f"scan: state is {tuple(state.shape)}; {sequences} sequences need {needed}")
    return A.new_zeros(needed) if state is None else state


def check_order(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    order: Tensor,
    results: int,
) -> None:
    """Raise InputError naming the first tensor that does not hold floats or whose shape does not fit u
    (r, e), A (g, e, n), or rows that are none."""
    check_real("scan", {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias})
    if u.ndim != 2 or A.ndim != 3 or order.ndim != 2 or order.dtype != torch.int64:
        raise InputError(
            f"scan: u {tuple(u.shape)}, A {tuple(A.shape)}, order {tuple(order.shape)} {order.dtype}; "
            "give u (r, e), A (g, e, n), order (g, l) of int64"
        )
    (r, e), (g, _, n) = u.shape, A.shape
    needed = {
        "delta": (delta, (r, g, e)),
        "A": (A, (g, e, n)),
        "B": (B, (r, g, n)),
        "C": (C, (r, g, n)),
        "D": (D, (g, e)),
        "delta_bias": (delta_bias, (g, e)),
        "order": (order, (g, order.shape[1])),
    }
    check_shapes(needed, u, A)
    looks = can_look(order)
    standing = (order < results).sum(1).tolist() if looks else [results]
    if results > r or any(count != results for count in standing):
        raise InputError(f"scan: {results} results; u has {r} rows, of which {standing} stand in the orders")
    if looks and order.numel() and not (int(order.min()) >= 0 and int(order.max()) < r):
        raise InputError(f"scan: order names rows {int(order.min())} to {int(order.max())}; u has {r}")
