"""The recurrence as the paper writes it, one step at a time: slow, and in float64 the reference of the tests.

Letters, as in the Mamba paper: b batch, l length, d channels, g groups, n state size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scan_reference(
    A: Tensor, u: Tensor, delta: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """h_t = exp(δ_t A) h_{t-1} + δ_t B_t u_t, y_t = C_t h_t, with h_{t-1} = 0 at fresh steps.

    | A      | u, delta  | B, C         | fresh      | state     | y         |
    |--------|-----------|--------------|------------|-----------|-----------|
    | (d, n) | (b, l, d) | (b, l, g, n) | (l,), bool | (b, d, n) | (b, l, d) |

    l is at least 1, all tensors of one dtype; fresh may be None.
    Returns: y and the last state.
    """
    share = u.shape[2] // B.shape[2]  # channels that read one group
    h, y = state, []
    goes_on = [None] * u.shape[1] if fresh is None else (~fresh).to(u.dtype).unbind()
    # unbind, not an index per step: the gradient of an index is a tensor of full size, l of them
    steps = zip(*(t.unbind(1) for t in (u, delta, B, C)), goes_on, strict=True)
    for u_t, delta_t, B_t, C_t, on in steps:
        B_t, C_t = B_t.repeat_interleave(share, 1), C_t.repeat_interleave(share, 1)  # (b, d, n)
        decay = torch.exp(delta_t[..., None] * A)
        h = (decay if on is None else decay * on) * h + (delta_t * u_t)[..., None] * B_t
        y.append((h * C_t).sum(-1))
    return torch.stack(y, 1), h
