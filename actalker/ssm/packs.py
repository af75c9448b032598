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


def padding(lengths: Tensor, l: int) -> Tensor:
    """Where the steps past each item's length are, (b, l) bool."""
    return torch.arange(l, device=lengths.device) >= lengths[:, None]


def scan_plain(
    core: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None,
    delta_softplus: bool, lengths: Tensor | None, reverse: bool,
) -> Tensor:
    """Run a core that knows the recurrence alone; B, C (b, l, g, n). Returns (b, l, d).

    A step with delta 0 and u 0 neither moves the state nor adds to it, so padding is inert wherever it stands
    and `reverse` is a flip of the whole tensor. Padding is filled, never multiplied: it may hold NaN.
    """
    past = None if lengths is None else padding(lengths, u.shape[1])[..., None]
    if past is not None:
        u, delta = u.masked_fill(past, 0), delta.masked_fill(past, 0)
        B, C = B.masked_fill(past[..., None], 0), C.masked_fill(past[..., None], 0)
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = F.softplus(delta)
    if past is not None:
        delta = delta.masked_fill(past, 0)        # again: bias and softplus made it a step
    x = u
    if reverse:
        x, delta, B, C = (t.flip(1) for t in (u, delta, B, C))
    y = core(x, delta, A, B, C)
    if reverse:
        y = y.flip(1)
    return y if D is None else y + D * u
