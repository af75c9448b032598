"""How the branches of one forward pass run, apart from the conditions themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Scanning:
    """How the branches of one forward pass run; the defaults are those of inference.

    mask_drop: chance in [0, 1] that a branch leaves out a token outside its signal's region.
        1 is the mask-drop of ACTalker (eq. 5), where a branch scans its region alone.
    generator: source of that choice; required where mask_drop is below 1.
    scope: `clip` scans a clip as one sequence, `frame` scans each frame as its own sequence; None leaves the
        choice to each branch's config.
    idle: whether the branches of closed signals also run, on zero tokens. Distributed training needs this:
        every process then uses the same weights in a step, whatever signals its clips have.
    """

    mask_drop: float = 1.0
    generator: torch.Generator | None = None
    scope: str | None = None
    idle: bool = False
