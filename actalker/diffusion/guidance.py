"""Nested classifier-free guidance: one scale for each signal, and no pass that the scales do not need.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..control.conditions import Conditions, batch

Denoise = Callable[[Tensor, Tensor, Conditions], Tensor]
"""(x (b, f, c, h, w), σ (b,), conditions of the same b) -> the clean estimate, shaped as x."""


def passes(open_signals: list[str], scales: Mapping[str, float]) -> list[tuple[frozenset[str], float]]:
    """List the passes of nested guidance: the signals that each pass drops, and its coefficient.

        D = D_0 + Σ_k s_k (D_k - D_{k-1})        (as in the releases of ACTalker and FantasyTalking)

    Pass k has the first k signals. Collected by pass, D_k has the coefficient s_k - s_{k+1}, with s_0 = 1 and
    0 behind the last; they sum to 1. A signal of scale 1 is in every pass and costs none, so with all scales
    at 1 there is one pass. Passes with coefficient 0 are left out.

    Args:
        open_signals: names in the order of the sum, `identity` first where it is guided.
        scales: signal -> s_k; 1 for signals without one.
    """
    guided = [s for s in open_signals if scales.get(s, 1.0) != 1.0]
    steps = [scales[s] for s in guided]
    weights = [a - b for a, b in zip([1.0, *steps], [*steps, 0.0], strict=True)]
    closed = [frozenset(guided[k:]) for k in range(len(guided) + 1)]
    return [(c, w) for c, w in zip(closed, weights, strict=True) if w != 0]


def guided(denoise: Denoise, scales: Mapping[str, float], together: bool = True) -> Denoise:
    """Return the denoiser under nested guidance (`passes`).

    Args:
        denoise: the denoiser to guide.
        scales: signal or `identity` -> scale. Identity is guided where the conditions hold its null tokens.
        together: whether the passes run as one batch; else one after another, in less memory.
    """

    def combined(x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        parts = passes([*(["identity"] if "identity" in conditions.null else []), *conditions.open], scales)
        if len(parts) == 1:
            closed, _ = parts[0]
            return denoise(x, sigma, conditions.closed(closed) if closed else conditions)
        each = [conditions.closed(closed) for closed, _ in parts]
        if together:
            k = len(parts)
            out = denoise(x.repeat(k, 1, 1, 1, 1), sigma.repeat(k), batch(each)).chunk(k)
        else:
            out = tuple(denoise(x, sigma, one) for one in each)
        return torch.stack([w * d for (_, w), d in zip(parts, out, strict=True)]).sum(0)

    return combined
