"""Sequences of different lengths, packed one behind another, around a plain scan.

Letters: b batch, l length, d channels, g groups, n state size, s sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .call import ScanCall


def as_lengths(lengths: Tensor | Sequence[int] | None, u: Tensor) -> Tensor | None:
    """The lengths as int64 (s,) on the device of u (1, l, d). Raises: InputError if they do not fit u."""
    if lengths is None:
        return None
    b, l = u.shape[:2]
    given = torch.as_tensor(lengths, dtype=None if torch.is_tensor(lengths) or len(lengths) else torch.int64)
    if given.ndim != 1 or given.is_floating_point():
        raise InputError(f"lengths: {tuple(given.shape)} {given.dtype}; give one whole number a sequence")
    if b != 1:
        raise InputError(f"lengths: u has {b} items; pack the sequences one behind another, (1, l, d)")
    # looking at values on an accelerator would wait for it
    if given.device.type == "cpu" and (int(given.sum()) != l or bool((given < 0).any())):
        raise InputError(f"lengths: {given.tolist()}; give numbers from 0 whose sum is the pack's length {l}")
    return given.to(u.device, torch.int64)


def starts_of(lengths: Tensor, l: int, reverse: bool = False) -> Tensor:
    """Where sequences of a pack of l steps start, in the order of the scan: (l,) bool."""
    ends = lengths.cumsum(0)
    at = ends - 1 if reverse else ends - lengths
    # an empty sequence starts nothing; scatter, for a selection on an accelerator would wait for it
    at = torch.where(lengths > 0, at, l)
    return torch.zeros(l + 1, dtype=torch.bool, device=lengths.device).scatter(0, at, True)[:l]


Core = Callable[..., tuple[Tensor, Tensor]]


def scan_plain(core: Core, call: ScanCall) -> tuple[Tensor, Tensor]:
    """A call by a core that knows the recurrence alone.

    core(u, delta, A, B, C, fresh, state) gives y (b, l, d) and the state (b, d, n) behind the last step;
    fresh (l,) bool or None: steps that forget what was before; state (b, d, n).
    Returns: (b, l, d) in the dtype of u, and the states (s, d, n).
    """
    u, delta, B, C, lengths = call.u, call.delta, call.B, call.C, call.lengths
    dtype = torch.promote_types(u.dtype, torch.float32)
    A, u, delta, B, C = (t.to(dtype) for t in (call.A, u, delta, B, C))
    if call.delta_bias is not None:
        delta = delta + call.delta_bias.to(dtype)
    if call.delta_softplus:
        delta = F.softplus(delta)
    turn = (lambda t: t.flip(1)) if call.reverse else (lambda t: t)
    given = [turn(u), turn(delta), turn(B), turn(C)]
    if call.state is None and lengths is not None:  # all at once, and of no sequence the state behind it
        fresh = starts_of(lengths, u.shape[1], call.reverse)
        none = u.new_zeros(1, *A.shape)
        y, _ = core(*given[:2], A, *given[2:], fresh.flip(0) if call.reverse else fresh, none)
        final = none.expand(0, -1, -1)
    elif lengths is not None:
        assert call.state is not None
        y, final = each(core, given, A, call.state.to(dtype), lengths.tolist(), call.reverse)
    else:
        state = u.new_zeros(len(u), *A.shape) if call.state is None else call.state.to(dtype)
        y, final = core(*given[:2], A, *given[2:], None, state)
    y = turn(y)
    if call.D is not None:
        y = y + call.D.to(dtype) * u
    return call.gated(y).to(call.u.dtype), final


def each(
    core: Core, given: list[Tensor], A: Tensor, states: Tensor, lengths: list[int], reverse: bool
) -> tuple[Tensor, Tensor]:
    """Sequence after sequence of a pack, each from its own state; a reversed pack starts with its last."""
    out, final, at = [], [], 0
    order = reversed(range(len(lengths))) if reverse else range(len(lengths))
    for k in order:
        u, delta, B, C = (t[:, at : at + lengths[k]] for t in given)
        state = states[k : k + 1]
        if lengths[k]:
            y, state = core(u, delta, A, B, C, None, state)
            out.append(y)
        final.append(state)
        at += lengths[k]
    return torch.cat(out, 1), torch.cat(final[::-1] if reverse else final)
