"""The selective scan by the paper's equation, item by item and step by step: nothing shared with ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def scan_loop(
    u, delta, A, B, C, D=None, delta_bias=None, delta_softplus=False, lengths=None, reverse=False
) -> Tensor:
    """Arguments of `selective_scan`. An item is cut to its length first and filled up with zeros last."""
    items = []
    for b in range(u.shape[0]):
        length = u.shape[1] if lengths is None else int(lengths[b])
        order = range(length - 1, -1, -1) if reverse else range(length)
        h = torch.zeros(A.shape, dtype=u.dtype)
        y = [torch.zeros(u.shape[2], dtype=u.dtype)] * u.shape[1]
        for t in order:
            step = delta[b, t] if delta_bias is None else delta[b, t] + delta_bias
            if delta_softplus:
                step = F.softplus(step)
            h = torch.exp(step[:, None] * A) * h + (step * u[b, t])[:, None] * rows(B, b, t, u.shape[2])
            y[t] = (h * rows(C, b, t, u.shape[2])).sum(1) + (0 if D is None else D * u[b, t])
        items.append(torch.stack(y) if y else u[b])
    return torch.stack(items) + 0 * A.sum()  # has a gradient where nothing is scanned, too


def rows(B: Tensor, b: int, t: int, d: int) -> Tensor:
    """What every channel reads: (n,) or (g, n) -> (d, n), channel j from group j // (d // g)."""
    if B.ndim == 3:
        return B[b, t].expand(d, -1)
    return B[b, t][torch.arange(d) // (d // B.shape[2])]
