"""What training does at random: small functions of a generator, each a block of the config.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.sample import Sample


@dataclass(frozen=True)
class WindowStrategy:
    """How many frames of how many clips a step denoises; the products stay about the same."""

    short: int = 0
    """Frames of a short window; 0: every step sees whole windows."""

    short_items: int = 14
    """Clips in a step that sees short windows."""

    short_chance: float = 0.7
    """Chance of a short window."""

    whole_items: int = 4
    """Clips in a step that sees whole windows."""


def cut_window(batch: Sample, config: WindowStrategy, generator: torch.Generator) -> Sample:
    """A short window of many clips, or whole windows of some: people teach more than neighbours in time."""
    b, f = batch.frames.shape[:2]
    if not config.short or config.short >= f:
        return batch
    if torch.rand((), generator=generator) < config.short_chance:
        start = int(torch.randint(f - config.short + 1, (), generator=generator))
        return batch.window(slice(start, start + config.short), min(b, config.short_items))
    return batch.window(slice(0, f), min(b, config.whole_items))


def scattered(batch: Sample, count: int, generator: torch.Generator) -> Sample:
    """`count` frames of every clip, at random and in order; 0 gives all."""
    f = batch.frames.shape[1]
    if not 0 < count < f:
        return batch
    rows = torch.randperm(f, generator=generator)[:count].sort().values
    return batch.window(rows, len(batch.frames))


def widen_regions(
    regions: Mapping[str, Tensor], gates: Mapping[str, Tensor], face: Tensor
) -> dict[str, Tensor]:
    """The face as region of a signal that is open alone in its clip (ACTalker, 3.4).

    regions: signal -> (b, f, H, W); gates: signal -> (b, f); face: (b, f, H, W).
    """
    opened = torch.stack([gate.amax(1) > 0 for gate in gates.values()])  # (signals, b)
    alone = opened.sum(0) == 1
    out = {}
    for row, (name, region) in zip(opened, regions.items(), strict=True):
        out[name] = torch.where((alone & row)[:, None, None, None], face, region)
    return out


def drop_tokens(
    tokens: Mapping[str, Tensor],
    absent: Mapping[str, Tensor],
    chance: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Replace a clip's tokens of a signal by its null tokens, each with `chance` (condition dropout)."""
    out = {}
    for name, value in tokens.items():
        dropped = (torch.rand(value.shape[0], generator=generator) < chance).to(value.device)
        out[name] = torch.where(dropped[:, None, None, None], absent[name].to(value.dtype), value)
    return out


def mask_drop_chance(options: Sequence[float], generator: torch.Generator) -> float:
    """This step's mask-drop chance, one of `options`."""
    return options[int(torch.randint(len(options), (), generator=generator))]
