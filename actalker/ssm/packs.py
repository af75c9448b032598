"""Sequences of different lengths, packed one behind another, around a plain scan.

Letters: b batch, l length, d channels, g groups, n state size, s sequences; r rows, e channels of a group,
k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .call import GroupedCall, ScanCall


def as_lengths(lengths: Tensor | Sequence[int] | None, u: Tensor) -> Tensor | None:
    """The lengths as int64 (s,) on the device of u (1, l, d). Raises: InputError if they do not fit u."""
    if lengths is None:
        return None
    b, l = u.shape[:2]
    given = torch.as_tensor(lengths, dtype=None if torch.is_tensor(lengths) or len(lengths) else torch.int64)
    if given.ndim != 1 or given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise InputError(f"lengths: {tuple(given.shape)} {given.dtype}; give one whole number a sequence")
    if b != 1:
        raise InputError(f"lengths: u has {b} items; pack the sequences one behind another, (1, l, d)")
    if can_look(given) and (int(given.sum()) != l or bool((given < 0).any())):
        raise InputError(f"lengths: {given.tolist()}; give numbers from 0 whose sum is the pack's length {l}")
    return given.to(u.device, torch.int64)


def can_look(t: Tensor) -> bool:
    """Whether values can be checked: an accelerator would be waited for, a compiler knows none yet."""
    return t.device.type == "cpu" and not torch.compiler.is_compiling()


def starts_of(lengths: Tensor, l: int, reverse: bool = False) -> Tensor:
    """Where sequences of a pack of l steps start, in the order of the scan: (l,) bool."""
    ends = lengths.cumsum(0)
    at = ends - 1 if reverse else ends - lengths
    # an empty sequence starts nothing; scatter, for a selection on an accelerator would wait for it
    at = torch.where(lengths > 0, at, l)
    return torch.zeros(l + 1, dtype=torch.bool, device=lengths.device).scatter(0, at, True)[:l]


Core = Callable[..., tuple[Tensor, Tensor]]
"""A recurrence alone: (*parts, fresh, state) to y and the state behind the last step. Parts (b, l, ...) are
what it reads at each step; fresh (l,) bool or None: steps that forget what was before; state (b, ...)."""


def scan_plain(core: Core, call: ScanCall) -> tuple[Tensor, Tensor]:
    """A call by a core whose parts are u, delta (b, l, d), B, C (b, l, g, n), behind A (d, n).

    Returns: (b, l, d) in the dtype of u, and the states (s, d, n).
    """
    dtype = torch.promote_types(call.u.dtype, torch.float32)
    A, u, delta, B, C = (t.to(dtype) for t in (call.A, call.u, call.delta, call.B, call.C))
    if call.delta_bias is not None:
        delta = delta + call.delta_bias.to(dtype)
    if call.delta_softplus:
        delta = F.softplus(delta)
    state = None if call.state is None else call.state.to(dtype)
    begin = u.new_zeros(len(u), *A.shape)
    y, final = core_over_packs(partial(core, A), (u, delta, B, C), begin, call.lengths, call.reverse, state)
    if call.D is not None:
        y = y + call.D.to(dtype) * u
    return call.gated(y).to(call.u.dtype), final


def core_over_packs(
    core: Core,
    parts: Sequence[Tensor],
    begin: Tensor,
    lengths: Tensor | None,
    reverse: bool,
    state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """A core over packs, in either direction.

    begin: (b, ...) zeros like a state. Returns y, and the states behind the last steps (s, ...); of a pack
    that was given no state, zeros: all its sequences go through the core at once.
    """
    turned = [t.flip(1) if reverse else t for t in parts]
    if lengths is None:
        y, final = core(*turned, None, begin if state is None else state)
    elif state is None:
        fresh = starts_of(lengths, parts[0].shape[1], reverse)
        y, _ = core(*turned, fresh.flip(0) if reverse else fresh, begin)
        final = begin.expand(len(lengths), *begin.shape[1:])
    else:
        y, final = each(core, turned, state, lengths.tolist(), reverse)
    return y.flip(1) if reverse else y, final


def each(
    core: Core, turned: list[Tensor], states: Tensor, lengths: list[int], reverse: bool
) -> tuple[Tensor, Tensor]:
    """Sequence after sequence of a pack, each from its own state; a reversed pack starts with its last."""
    out, final, at = [], [], 0
    for k in reversed(range(len(lengths))) if reverse else range(len(lengths)):
        state = states[k : k + 1]
        if lengths[k]:
            y, state = core(*(t[:, at : at + lengths[k]] for t in turned), None, state)
            out.append(y)
        final.append(state)
        at += lengths[k]
    return torch.cat(out, 1), torch.cat(final[::-1] if reverse else final)


GroupedScan = Callable[[GroupedCall], tuple[Tensor, Tensor]]


def by_groups(scan: GroupedScan, call: ScanCall) -> tuple[Tensor, Tensor]:
    """A call by kernels that see channels by groups. Returns (b, l, d), and the states (s, d, n)."""
    groups, lengths = call.B.shape[2], call.lengths
    if lengths is None:
        lengths = torch.full(call.u.shape[:1], call.u.shape[1], device=call.u.device)

    def split(t: Tensor, axis: int) -> Tensor:
        return t.unflatten(axis, (groups, -1))

    y, final = scan(
        GroupedCall(
            u=split(call.u, 2),
            delta=split(call.delta, 2),
            A=split(call.A, 0),
            B=call.B,
            C=call.C,
            D=None if call.D is None else split(call.D, 0),
            z=None if call.z is None else split(call.z, 2),
            delta_bias=None if call.delta_bias is None else split(call.delta_bias, 0),
            delta_softplus=call.delta_softplus,
            order=None,
            lengths=lengths,
            reverse=call.reverse,
            results=call.u.shape[1],
            state=None if call.state is None else split(call.state, 1),
        )
    )
    return y.flatten(2), final.flatten(1, 2)


def by_gathering(
    run: Callable[[ScanCall], tuple[Tensor, Tensor]], call: GroupedCall
) -> tuple[Tensor, Tensor]:
    """A call with an order, by a scan that knows packs alone: the steps are laid out."""
    order, u = call.order, call.u[0, :, 0]
    assert order is not None
    own = torch.arange(len(order), device=order.device)[:, None]
    delta, B, C = (t[0][order, own].transpose(0, 1)[None] for t in (call.delta, call.B, call.C))
    laid, delta = u[order].transpose(0, 1)[None].flatten(2), delta.flatten(2)
    D, bias = (None if t is None else t.flatten() for t in (call.D, call.delta_bias))
    state = None if call.state is None else call.state.flatten(1, 2)
    A, softplus = call.A.flatten(0, 1), call.delta_softplus
    y, final = run(ScanCall(laid, delta, A, B, C, D, None, bias, softplus, call.lengths, False, state))
    final = final if state is None else final.unflatten(1, call.A.shape[:2])
    y = to_rows(y[0].unflatten(1, call.A.shape[:2]), order, len(u), call.results)
    return y[None, :, None], final


def to_rows(steps: Tensor, order: Tensor, rows: int, results: int) -> Tensor:
    """What stands at the steps of g orders, (l, g, e), summed in the first `results` of so many rows, (k, e).

    Rows from there on may stand at several steps.
    """
    own = torch.arange(len(order), device=order.device)[:, None]
    out = steps.new_zeros(rows, *steps.shape[1:])
    return out.index_put((order, own.expand_as(order)), steps.transpose(0, 1))[:results].sum(1)
