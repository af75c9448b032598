"""Nested guidance: one scale a signal, and no pass that the scales do not need.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..control.conditions import Conditions, batch

Denoise = Callable[[Tensor, Tensor, Conditions], Tensor]


def passes(open_signals: list[str], scales: Mapping[str, float]) -> list[tuple[frozenset[str], float]]:
    """The passes of nested guidance: which signals are closed in each, and its coefficient.

        D = D_0 + Σ_k s_k (D_k - D_{k-1})        (ACTalker's release; FantasyTalking, 2.2)

    Pass k holds the first k signals, who it is before all others. Signals of scale 1 are in every pass, so
    they cost none; with all scales at 1 there is one pass. The coefficients sum to 1.
    """
    guided = [s for s in open_signals if scales.get(s, 1.0) != 1.0]
    steps = [scales[s] for s in guided]
    weights = [a - b for a, b in zip([1.0, *steps], [*steps, 0.0], strict=True)]
    closed = [frozenset(guided[k:]) for k in range(len(guided) + 1)]
    return [(c, w) for c, w in zip(closed, weights, strict=True) if w != 0]


def guided(denoise: Denoise, scales: Mapping[str, float], together: bool = True) -> Denoise:
    """A denoiser under guidance; `together` runs the passes as one batch, else one after another."""

    def combined(x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        parts = passes([*(["identity"] if "identity" in conditions.null else []), *conditions.open], scales)
        if len(parts) == 1:
            closed, _ = parts[0]
            return denoise(x, sigma, conditions.closed(closed) if closed else conditions)
        told = [conditions.closed(closed) for closed, _ in parts]
        if together:
            k = len(parts)
            out = denoise(x.repeat(k, 1, 1, 1, 1), sigma.repeat(k), batch(told)).chunk(k)
        else:
            out = tuple(denoise(x, sigma, one) for one in told)
        return torch.stack([w * d for (_, w), d in zip(parts, out, strict=True)]).sum(0)

    return combined
