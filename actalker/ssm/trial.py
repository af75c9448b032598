"""Trial calls of foreign kernels: built for another PyTorch or another GPU they import well and then fail."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def failure(name: str, run: Callable[[], Tensor], expected: Tensor, remedy: str) -> str | None:
    """Why the kernels called `name` are not usable, or None: they raise, or give not what is expected."""
    try:
        found = run().cpu().float()
    except Exception as error:  # whatever a foreign binary raises
        return f"{name} fails ({type(error).__name__}: {error}); {remedy}"
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-2):
        return f"{name} gives wrong numbers in a trial; {remedy}"
    return None


def eight_steps(states: int) -> Tensor:
    """y (8,) of a channel with u = B = C = 1, A = -1 and steps of 0.1, summed over so many equal states."""
    return states * 0.1 * torch.exp(-0.1 * torch.arange(8.0)).cumsum(0)
