"""Conditions of a video's frames as those of latent frames, each of which covers several of them.

Letters: b batch, f video frames, g latent frames, r video frames that a latent frame covers at the most,
n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .conditions import Conditions


def over_latent_frames(conditions: Conditions, edges: Sequence[int], most: int) -> Conditions:
    """Conditions of latent frames (b, g, ...), made of those of the video frames (b, f, ...) they cover.

    edges: (g + 1,) rising; latent frame k covers the video frames edges[k] to edges[k + 1], at the least one.
    most: r; what covers fewer counts its last frame several times.

    A latent frame has the tokens of all its frames, (b, g, r·n, d); those of a frame at which the signal is
    closed are those of the first open one of the same latent frame. Its gate is the mean of theirs, its
    regions and maps are wherever one of theirs is.
    """
    if most == 1:
        return conditions
    rows = torch.tensor(
        [[min(a + j, z - 1) for j in range(most)] for a, z in zip(edges, edges[1:], strict=False)]
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
    """Tokens (b, g, r, n, d) under gates (b, g, r) as (b, g, r·n, d), without those of closed frames."""
    own = torch.arange(gates.shape[2], device=gates.device).expand_as(gates)
    is_open = gates > 0
    frame = torch.where(is_open, own, is_open.int().argmax(2, keepdim=True))
    chosen = tokens.gather(2, frame[..., None, None].expand_as(tokens))
    return chosen.flatten(2, 3)
