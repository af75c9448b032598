"""The scan with one decay a head in plain PyTorch: matrix products inside chunks, states between them.

Letters: b batch, l length, h heads, p channels of a head, n state size, g groups, e heads a group (h = g e),
j chunks, q steps in a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 64


def ssd_chunked(
    drive: Tensor, rate: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """h_t = exp(rate_t) h_{t-1} + B_t drive_t, y_t = C_t h_t, with h_{t-1} = 0 at fresh steps.

    | drive        | rate      | B, C         | fresh      | state        | y            |
    |--------------|-----------|--------------|------------|--------------|--------------|
    | (b, l, h, p) | (b, l, h) | (b, l, g, n) | (l,), bool | (b, h, p, n) | (b, l, h, p) |

    l is at least 1, rate at most 0, all tensors of one dtype; fresh may be None.
    Differentiable any number of times.
    Returns: y and the last state.
    Source: Dao & Gu 2024, section 6 and listing 1.
    """
    b, l, heads, _ = drive.shape
    groups = B.shape[2]
    chunk = min(CHUNK, l)
    fill = -l % chunk

    def chunks(t: Tensor) -> Tensor:
        """(b, l, x, ...) -> (b, j, x, q, ...), padded by steps that change nothing."""
        padded = F.pad(t, (0, 0) * (t.ndim - 2) + (0, fill))
        return padded.unflatten(1, (-1, chunk)).transpose(2, 3)

    x, rate_ = chunks(drive), chunks(rate)  # (b, j, h, q, p), (b, j, h, q)
    B_, C_ = chunks(B), chunks(C)  # (b, j, g, q, n)
    of_head = torch.arange(heads, device=x.device) // (heads // groups)
    starts = rate.new_zeros(rate_.shape[1], chunk, dtype=torch.bool)
    if fresh is not None:
        starts = F.pad(fresh, (0, fill)).view(-1, chunk)
    sequence = starts.cumsum(1)  # (j, q) how many sequences have begun in the chunk
    gone = sequence[:, None, :] != sequence[:, :, None]  # (j, q, q) another sequence

    # from step s to step t > s: the sum of rates over s + 1 .. t, each by itself; a difference of
    # cumulative sums has no digits left behind a long step
    below = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).tril(-1)
    sums = rate_[..., None].expand(*rate_.shape, chunk).masked_fill(~below, 0).cumsum(-2)
    sums = sums.masked_fill(~(below | below.new_ones(chunk).diag()), -torch.inf)
    reach = sums.masked_fill(gone[:, None], -torch.inf).exp()  # (b, j, h, q, q)
    y = (reach * (C_ @ B_.transpose(-1, -2))[:, :, of_head]) @ x

    # what a chunk leaves behind, and what is left of it a chunk later
    last = F.pad(rate_[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)  # over the steps behind
    left = last.exp() * (sequence == sequence[:, -1:])[:, None]
    adds = (x * left[..., None]).transpose(-1, -2) @ B_[:, :, of_head]  # (b, j, h, p, n)
    whole = rate_.sum(-1).exp() * (sequence[:, -1] == 0)[:, None]  # (b, j, h)
    before = []
    for j in range(adds.shape[1]):
        before.append(state)
        state = whole[:, j, :, None, None] * state + adds[:, j]
    enters = rate_.cumsum(-1).exp() * (sequence == 0)[:, None]  # (b, j, h, q)
    heard = C_[:, :, of_head] @ torch.stack(before, 1).transpose(-1, -2)  # (b, j, h, q, p)
    y = y + enters[..., None] * heard
    return y.transpose(2, 3).flatten(1, 2)[:, :l], state
