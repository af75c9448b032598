"""The selective scan: one definition, several backends that give the same numbers.

Letters in this folder, as in the Mamba paper: b batch, l length, d channels, n state size, g groups,
s sequences; r rows, e channels of a group, k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ...errors import InputError
from ..backends import Backend, GroupedCall, GroupedScan, Result, ScanCall, pick_backend
from ..checks import can_look, check_real, check_shapes, checked_lengths, checked_state
from .chunked import scan_chunked
from .layouts import call_by_groups, scan_after_gathering, scan_by_recurrence
from .mamba import mamba_refuses, scan_mamba
from .numba import numba_refuses, scan_numba
from .reference import scan_reference
from .triton import scan_triton, triton_refuses


def grouped_backend(scan: GroupedScan, refuses: Callable[[Tensor], str | None]) -> Backend[ScanCall]:
    """Make a `Backend` from kernels that take a `GroupedCall`, so channels split into groups.

    The kernels read rows by the call's gather index `order` themselves.
    scan: the kernels, GroupedCall -> (y, last states or None).
    refuses: u -> a message that says why the kernels cannot scan u, or None if they can.
    """
    return Backend(partial(call_by_groups, scan), refuses, ordered=scan)


BACKENDS: dict[str, Backend[ScanCall]] = {  # fastest first: `auto` takes the first that can run
    "mamba": Backend(scan_mamba, mamba_refuses, streams=False),
    "triton": grouped_backend(scan_triton, triton_refuses),
    "numba": grouped_backend(scan_numba, numba_refuses),
    "chunked": Backend(partial(scan_by_recurrence, scan_chunked), lambda u: None),
    "reference": Backend(partial(scan_by_recurrence, scan_reference), lambda u: None),
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
    state: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> Result:
    """Selective state-space recurrence h_t = exp(δ_t A) h_{t-1} + δ_t B_t u_t, y_t = C_t h_t + D u_t.

    | u, delta  | A      | B, C                      | D, delta_bias | lengths | state     | y         |
    |-----------|--------|---------------------------|---------------|---------|-----------|-----------|
    | (b, l, d) | (d, n) | (b, l, n) or (b, l, g, n) | (d,)          | (s,)    | (s, d, n) | (b, l, d) |

    Args:
        u, delta: inputs and step sizes; δ = softplus(delta + delta_bias) with `delta_softplus`, else
            delta + delta_bias. Any float dtype; the state is float32 (float64 for float64).
        A: negative.
        B, C: with g groups, channel j reads group j // (d // g).
        lengths: whole numbers, 0 among them, whose sum is l: the one item, b = 1, holds sequences of these
            lengths one behind another, each of which starts anew. None: every item is a sequence, s = b.
        reverse: run from each sequence's last step to its first.
        state: h before the first step of each sequence; None: zeros.
        return_state: return the states behind the last steps. A sequence scanned in pieces, each from the
            last state of the piece before it, has the same result as scanned in one.
        backend: a name in `BACKENDS`, or "auto" for the fastest that can run this call.
    Returns: y in the dtype of u, and the states behind the last steps (s, d, n) or None.
    Raises: InputError on complex and whole numbers, shapes that do not fit, lengths that do not add up, and
        if the named backend cannot run this call, with the reason and the remedy.
    Source: Gu & Dao 2023, algorithm 2; `mamba_ssm.selective_scan_fn`, there channels first.
    """
    named = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    check_real("scan", named | {"state": state})
    B, C = checked_groups(u, delta, A, B=B, C=C, D=D, delta_bias=delta_bias)
    chosen = pick_backend(backend, u, BACKENDS, streams=return_state or state is not None)
    sizes = checked_lengths(lengths, u)
    initial = checked_state(state, len(u) if sizes is None else len(sizes), tuple(A.shape), return_state, A)
    call = ScanCall(
        u=u,
        delta=delta,
        A=A,
        B=B,
        C=C,
        D=D,
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
        lengths=sizes,
        reverse=reverse,
        state=initial,
    )
    y, last = call_backend(chosen, call)
    return y, last if return_state else None


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
    delta_softplus: bool = False,
    state: Tensor | None = None,
    return_state: bool = False,
    backend: str = "auto",
) -> Result:
    """The sum of g selective scans over one table of rows, each visiting the rows in its own order.

    The same result as gathering the rows into packs first, without the copies.

    | u      | delta     | A         | B, C      | D, delta_bias | order  | lengths | state        | y      |
    |--------|-----------|-----------|-----------|---------------|--------|---------|--------------|--------|
    | (r, e) | (r, g, e) | (g, e, n) | (r, g, n) | (g, e)        | (g, l) | (s,)    | (s, g, e, n) | (k, e) |

    Args:
        order: int64, the row of each step, sequence behind sequence.
        lengths: steps of each sequence, the same in all orders.
        results: k, rows that have a result: each of them stands at one step of every order. The others may
            stand at several steps or at none, but not in two sequences.
        state: h before the first step of each sequence; None: zeros.
        delta_softplus, return_state, backend: as in `selective_scan`.
    Returns: y in the dtype of u, and the states behind the last steps (s, g, e, n) or None.
    Raises: InputError, as `selective_scan`.
    """
    named = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    check_real("scan", named | {"state": state})
    check_ordered(u, delta, A, B=B, C=C, D=D, delta_bias=delta_bias, order=order)
    check_rows(order, len(u), results)
    chosen = pick_backend(backend, u, BACKENDS, streams=return_state or state is not None)
    sizes = checked_lengths(lengths, order[:1])
    assert sizes is not None
    call = GroupedCall(
        u=u[None, :, None],
        delta=delta[None],
        A=A,
        B=B[None],
        C=C[None],
        D=D,
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
        order=order.contiguous(),
        lengths=sizes,
        reverse=False,
        results=results,
        state=checked_state(state, len(sizes), tuple(A.shape), return_state, A),
    )
    y, last = call_in_order(chosen, call)
    return y[0, :, 0], last if return_state else None


def call_in_order(backend: Backend[ScanCall], call: GroupedCall) -> Result:
    """Run a backend on a call with an order: its own kernels, or its scan of packs over gathered rows."""
    assert call.order is not None
    kernels = backend.ordered if call.order.numel() else None
    with torch.autocast(call.u.device.type, enabled=False):
        if kernels is not None:
            return kernels(call)
        return scan_after_gathering(partial(call_backend, backend), call, call.order)


def call_backend(backend: Backend[ScanCall], call: ScanCall) -> Result:
    """Run a backend. Empty inputs and autocast are handled here, so backends need not."""
    u = call.u
    if not u.numel():  # nothing to scan: empty, with gradients that are 0 and not None
        inputs = (call.delta, call.A, call.B, call.C, call.D, call.delta_bias, call.state)
        y = u * torch.stack([t.sum() for t in inputs if t is not None]).sum().to(u.dtype)
        return y, call.state
    with torch.autocast(u.device.type, enabled=False):  # it would put the products in bf16
        return backend.run(call)


def checked_groups(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """B and C by groups, (b, l, g, n).

    Raises: InputError naming the first tensor whose shape does not fit u (b, l, d) and A (d, n).
    """
    B, C = (t[:, :, None] if t.ndim == 3 else t for t in (B, C))
    if u.ndim != 3 or A.ndim != 2 or B.ndim != 4:
        raise InputError(
            f"scan: u {tuple(u.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}; "
            "give u (b, l, d), A (d, n), B (b, l, n) or (b, l, g, n)"
        )
    (b, l, d), n, g = u.shape, A.shape[1], B.shape[2]
    shapes = {
        "delta": (delta, (b, l, d)),
        "A": (A, (d, n)),
        "B": (B, (b, l, g, n)),
        "C": (C, (b, l, g, n)),
        "D": (D, (d,)),
        "delta_bias": (delta_bias, (d,)),
    }
    check_shapes(shapes, f"u {tuple(u.shape)} and A {tuple(A.shape)} need")
    if not g or d % g:
        raise InputError(f"scan: {d} channels do not divide into {g} groups")
    return B, C


def check_ordered(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    order: Tensor,
) -> None:
    """Raise InputError naming the first tensor whose shape does not fit u (r, e) and A (g, e, n)."""
    if u.ndim != 2 or A.ndim != 3 or order.ndim != 2 or order.dtype != torch.int64:
        raise InputError(
            f"scan: u {tuple(u.shape)}, A {tuple(A.shape)}, order {tuple(order.shape)} {order.dtype}; "
            "give u (r, e), A (g, e, n), order (g, l) of int64"
        )
    (r, e), (g, _, n) = u.shape, A.shape
    shapes = {
        "delta": (delta, (r, g, e)),
        "A": (A, (g, e, n)),
        "B": (B, (r, g, n)),
        "C": (C, (r, g, n)),
        "D": (D, (g, e)),
        "delta_bias": (delta_bias, (g, e)),
        "order": (order, (g, order.shape[1])),
    }
    check_shapes(shapes, f"u {tuple(u.shape)} and A {tuple(A.shape)} need")


def check_rows(order: Tensor, rows: int, results: int) -> None:
    """Raise InputError where orders (g, l) name rows that do not exist, or visit another number of the first
    `results` rows than there are.
    """
    looks = can_look(order)
    visited = (order < results).sum(1).tolist() if looks else [results]
    if results > rows or any(count != results for count in visited):
        raise InputError(
            f"scan: {results} results; u has {rows} rows, of which {visited} stand in the orders"
        )
    if looks and order.numel() and not (int(order.min()) >= 0 and int(order.max()) < rows):
        raise InputError(f"scan: order names rows {int(order.min())} to {int(order.max())}; u has {rows}")
