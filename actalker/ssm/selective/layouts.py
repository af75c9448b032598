"""Brings a call of the selective scan into the form of a backend: a recurrence, groups, or gathered rows.

Letters: b batch, l length, d channels, g groups, n state size, s sequences; r rows, e channels of a group,
k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backends import GroupedCall, GroupedScan, Result, ScanCall
from ..packs import Recurrence, scan_pack, sum_over_orders


def scan_by_recurrence(recurrence: Recurrence, call: ScanCall) -> Result:
    """Compute a call by a recurrence that takes A (d, n), u, delta (b, l, d), B and C (b, l, g, n)."""
    dtype = torch.promote_types(call.u.dtype, torch.float32)
    A, u, delta, B, C = (t.to(dtype) for t in (call.A, call.u, call.delta, call.B, call.C))
    if call.delta_bias is not None:
        delta = delta + call.delta_bias.to(dtype)
    if call.delta_softplus:
        delta = F.softplus(delta)
    state = None if call.state is None else call.state.to(dtype)
    zeros = u.new_zeros(len(u), *A.shape)
    y, last = scan_pack(
        partial(recurrence, A),
        (u, delta, B, C),
        zeros,
        lengths=call.lengths,
        reverse=call.reverse,
        state=state,
    )
    if call.D is not None:
        y = y + call.D.to(dtype) * u
    return y.to(call.u.dtype), last


def call_by_groups(scan: GroupedScan, call: ScanCall) -> Result:
    """Compute a call by kernels that take channels by groups."""
    groups, lengths = call.B.shape[2], call.lengths
    if lengths is None:
        lengths = torch.full(call.u.shape[:1], call.u.shape[1], device=call.u.device)

    def split(t: Tensor, axis: int) -> Tensor:
        return t.unflatten(axis, (groups, -1))

    y, last = scan(
        GroupedCall(
            u=split(call.u, 2),
            delta=split(call.delta, 2),
            A=split(call.A, 0),
            B=call.B,
            C=call.C,
            D=None if call.D is None else split(call.D, 0),
            delta_bias=None if call.delta_bias is None else split(call.delta_bias, 0),
            delta_softplus=call.delta_softplus,
            order=None,
            lengths=lengths,
            reverse=call.reverse,
            results=call.u.shape[1],
            state=None if call.state is None else split(call.state, 1),
        )
    )
    return y.flatten(2), None if last is None else last.flatten(1, 2)


def scan_after_gathering(scan: Callable[[ScanCall], Result], call: GroupedCall, order: Tensor) -> Result:
    """Compute a call with an order (g, l) by a scan of packs, after gathering the rows of each step.

    The channels of all groups stand side by side in the pack.
    """
    u, sizes = call.u[0, :, 0], call.A.shape[:2]
    group = torch.arange(len(order), device=order.device)[:, None]
    delta, B, C = (t[0][order, group].transpose(0, 1)[None] for t in (call.delta, call.B, call.C))
    y, last = scan(
        ScanCall(
            u=u[order].transpose(0, 1)[None].flatten(2),
            delta=delta.flatten(2),
            A=call.A.flatten(0, 1),
            B=B,
            C=C,
            D=None if call.D is None else call.D.flatten(),
            delta_bias=None if call.delta_bias is None else call.delta_bias.flatten(),
            delta_softplus=call.delta_softplus,
            lengths=call.lengths,
            reverse=False,
            state=None if call.state is None else call.state.flatten(1, 2),
        )
    )
    y = sum_over_orders(y[0].unflatten(1, sizes), order, len(u), call.results)
    return y[None, :, None], None if last is None else last.unflatten(1, sizes)
