"""Whether the CPU kernels can run: numba is optional, and only they need it."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ..trial import constant, why_no_kernels


def numba_refuses(u: Tensor) -> str | None:
    """Why the kernels cannot scan u, or None."""
    if u.device.type != "cpu":
        return f"the input is on {u.device.type}, the kernels need the CPU"
    if u.dtype == torch.float64:
        return "the input is float64, the kernels compute in float32"
    return why_no_numba()


@constant  # a function of its own: the mark does not show through a cache
def why_no_numba() -> str | None:
    """Why numba cannot compile the kernels here, or None."""
    return try_numba()


@cache
def try_numba() -> str | None:
    """`why_no_numba`, tried once in a process."""
    try:
        from . import matrix  # noqa: F401
    except Exception as error:  # a numba that does not fit its numpy raises more than ImportError
        return why_no_kernels("numba", error, "pip install numba")
    return None
