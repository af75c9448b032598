"""Conditions at latent frames, for codecs whose latent frames cover several video frames each.

Letters: b batch, f video frames, g latent frames, r the most video frames that one latent frame covers,
n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .conditions import Conditions


def over_latent_frames(conditions: Conditions, edges: Sequence[int], most: int) -> Conditions:
    """Gather conditions of video frames (b, f, ...) into conditions of latent frames (b, g, ...).

    A latent frame takes the tokens of all r video frames that it covers, (b, g, r·n, d). Where a signal is
    closed at one of those frames, the tokens of the first open one stand in. Its gate is the mean of their
    gates; its regions and maps are the maximum over them, since a mask must cover every frame.

    Args:
        conditions: of the video frames.
        edges: (g + 1,) rising; latent frame k covers the video frames edges[k] .. edges[k + 1] - 1,
            one at least.
        most: r. A latent frame that covers fewer counts its last video frame several times.
    """
    if most == 1:
        return conditions
    rows = torch.tensor(
        [
            [min(first + j, stop - 1) for j in range(most)]
            for first, stop in zip(edges, edges[1:], strict=False)
        ]
    )

    def grouped(x: Tensor) -> Tensor:
        return x[:, rows.to(x.device)]  # (b, g, r, ...)

    gates = {name: grouped(gate) for name, gate in conditions.gates.items()}
    return replace(
        conditions,
        tokens={name: _open_tokens(grouped(x), gates[name]) for name, x in conditions.tokens.items()},
        regions={name: grouped(x).amax(2) for name, x in conditions.regions.items()},
        gates={name: gate.mean(2) for name, gate in gates.items()},
        maps={name: grouped(x).amax(2) for name, x in conditions.maps.items()},
    )


def _open_tokens(tokens: Tensor, gates: Tensor) -> Tensor:
    """Join tokens (b, g, r, n, d) to (b, g, r·n, d), with open frames' tokens at closed frames (b, g, r)."""
    index = torch.arange(gates.shape[2], device=gates.device).expand_as(gates)
    is_open = gates > 0
    frame = torch.where(is_open, index, is_open.int().argmax(2, keepdim=True))
    chosen = tokens.gather(2, frame[..., None, None].expand_as(tokens))
    return chosen.flatten(2, 3)
