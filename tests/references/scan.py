"""The selective scan by the paper's equation, step by step: nothing shared with ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def scan_loop(
    u,
    delta,
    A,
    B,
    C,
    D=None,
    delta_bias=None,
    delta_softplus=False,
    lengths=None,
    reverse=False,
    state=None,
) -> tuple[Tensor, Tensor]:
    """Arguments of `selective_scan`; y, and the states behind the last steps."""
    l = u.shape[1]
    places = [(b, 0, l) for b in range(len(u))]
    if lengths is not None:
        ends = torch.as_tensor(lengths, dtype=torch.int64).cumsum(0).tolist()
        places = list(zip([0] * len(ends), [0, *ends], ends, strict=False))
    y = [[torch.zeros(u.shape[2], dtype=u.dtype)] * l for _ in u]
    final = []
    for s, (b, start, stop) in enumerate(places):
        h = torch.zeros(A.shape, dtype=u.dtype) if state is None else state[s]
        for t in range(stop - 1, start - 1, -1) if reverse else range(start, stop):
            step = delta[b, t] if delta_bias is None else delta[b, t] + delta_bias
            if delta_softplus:
                step = F.softplus(step)
            h = torch.exp(step[:, None] * A) * h + (step * u[b, t])[:, None] * rows(B, b, t, u.shape[2])
            out = (h * rows(C, b, t, u.shape[2])).sum(1) + (0 if D is None else D * u[b, t])
            y[b][t] = out
        final.append(h)
    out = torch.stack([torch.stack(row) if row else u[b] for b, row in enumerate(y)]) if len(u) else u
    # has a gradient where nothing is scanned, too
    return out + 0 * A.sum(), torch.stack(final) + 0 * A.sum() if final else A.new_zeros(0, *A.shape)


def rows(B: Tensor, b: int, t: int, d: int) -> Tensor:
    """What every channel reads: (n,) or (g, n) -> (d, n), channel j from group j // (d // g)."""
    if B.ndim == 3:
        return B[b, t].expand(d, -1)
    return B[b, t][torch.arange(d) // (d // B.shape[2])]
