"""Ragged sequences around a plain scan: lengths, padding, reverse within a length.

Letters: b batch, l length, d channels, g groups, n state size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError


def as_lengths(lengths: Tensor | Sequence[int] | None, u: Tensor) -> Tensor | None:
    """The lengths as int64 (b,) on the device of u (b, l, d). Raises: InputError if they do not fit u."""
    if lengths is None:
        return None
    b, l = u.shape[:2]
    given = torch.as_tensor(lengths)
    if given.shape != (b,) or given.is_floating_point():
        found = f"{tuple(given.shape)} {given.dtype}"
        raise InputError(f"lengths: {found}; give one whole number an item, ({b},)")
    # looking at values on an accelerator would wait for it
    if given.device.type == "cpu" and b and not 0 <= int(given.min()) <= int(given.max()) <= l:
        raise InputError(f"lengths: {given.tolist()}; give numbers from 0 to the sequence length {l}")
    return given.to(u.device, torch.int64)


def inert(lengths: Tensor | None, u: Tensor, delta: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, ...]:
    """The same with zeros past each item's length, filled and not multiplied: padding may hold NaN.

    With u, B and C zero a step adds nothing to the state and reads nothing from it. Nor does its decay
    matter: padding stands after the last step or, in a reversed scan, before the first, where the state is 0.
    """
    if lengths is None:
        return u, delta, B, C
    past = torch.arange(u.shape[1], device=u.device) >= lengths[:, None]  # (b, l)
    u, delta = (t.masked_fill(past[..., None], 0) for t in (u, delta))
    B, C = (t.masked_fill(past[..., None, None], 0) for t in (B, C))
    return u, delta, B, C


def scan_plain(
    core: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
    reverse: bool,
) -> Tensor:
    """`selective_scan` by a core that knows the recurrence alone. B, C (b, l, g, n). Returns (b, l, d)."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    given, A = u.dtype, A.to(dtype)
    u, delta, B, C = inert(lengths, *(t.to(dtype) for t in (u, delta, B, C)))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)
    if delta_softplus:
        delta = F.softplus(delta)
    turn = (lambda t: t.flip(1)) if reverse else (lambda t: t)
    y = turn(core(turn(u), turn(delta), A, turn(B), turn(C)))
    return (y if D is None else y + D.to(dtype) * u).to(given)
