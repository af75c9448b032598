"""How branches run, whatever the conditions of a clip say."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Scanning:
    """How the branches of a forward pass run.

    mask_drop: chance that a token outside a signal's region is left out of its scan (ACTalker, 3.3).
    generator: of that choice; needed where mask_drop < 1.
    scope: `clip`, one sequence a clip, or `frame`, one a frame; None: as each branch's config says.
    idle: branches of closed signals run too, on no tokens, so that in training all processes use the same
        weights in a step.
    """

    mask_drop: float = 1.0
    generator: torch.Generator | None = None
    scope: str | None = None
    idle: bool = False
