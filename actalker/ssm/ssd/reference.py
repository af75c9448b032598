"""The recurrence with one decay a head, one step at a time: slow, and the reference of the tests.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ssd_reference(
    drive: Tensor, rate: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """h_t = exp(rate_t) h_{t-1} + B_t drive_t, y_t = C_t h_t, with h_{t-1} = 0 at fresh steps.

    | drive        | rate      | B, C         | fresh      | state        | y            |
    |--------------|-----------|--------------|------------|--------------|--------------|
    | (b, l, h, p) | (b, l, h) | (b, l, g, n) | (l,), bool | (b, h, p, n) | (b, l, h, p) |

    l is at least 1, rate at most 0, all tensors of one dtype; fresh may be None.
    Returns: y and the last state.
    """
    share = drive.shape[2] // B.shape[2]
    h, y = state, []
    goes_on = [None] * drive.shape[1] if fresh is None else (~fresh).to(drive.dtype).unbind()
    for x_t, rate_t, B_t, C_t, on in zip(*(t.unbind(1) for t in (drive, rate, B, C)), goes_on, strict=True):
        B_t, C_t = B_t.repeat_interleave(share, 1)[:, :, None], C_t.repeat_interleave(share, 1)[:, :, None]
        decay = rate_t.exp()[..., None, None]
        h = (decay if on is None else decay * on) * h + x_t[..., None] * B_t
        y.append((h * C_t).sum(-1))
    return torch.stack(y, 1), h
