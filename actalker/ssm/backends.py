"""What a backend of a scan is, and the calls that it computes.

Letters: b batch, l length, d channels, n state size, g groups, s sequences, h heads, p channels of a head;
r rows, e channels of a group, k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from ..errors import InputError, one_of


@dataclass(frozen=True)
class ScanCall:
    """A call of `selective_scan`, with checked arguments.

    | u, delta  | A      | B, C         | D, delta_bias | lengths     | state     |
    |-----------|--------|--------------|---------------|-------------|-----------|
    | (b, l, d) | (d, n) | (b, l, g, n) | (d,)          | (s,), int64 | (s, d, n) |

    A backend returns y (b, l, d) in the dtype of u, and the states behind the last steps (s, d, n), or None
    where the call has no state. Without lengths every item is a sequence, s = b; with them b is 1, and they
    lie on the device of u.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_softplus: bool = False
    lengths: Tensor | None = None
    reverse: bool = False
    state: Tensor | None = None


@dataclass(frozen=True)
class GroupedCall:
    """A call of `selective_scan` or `ordered_scan` with channels by groups, as kernels read it.

    | u, delta     | A         | B, C         | D, delta_bias | lengths | state        |
    |--------------|-----------|--------------|---------------|---------|--------------|
    | (b, r, g, e) | (g, e, n) | (b, r, g, n) | (g, e)        | (s,)    | (s, g, e, n) |

    Kernels return y (b, r, g, e), and the states behind the last steps (s, g, e, n), or None where the call
    has no state. With an order (g, l), b is 1, u is (1, r, 1, e), and y is the sum over groups,
    (1, results, 1, e).
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    order: Tensor | None
    lengths: Tensor
    reverse: bool
    results: int
    state: Tensor | None


@dataclass(frozen=True)
class SsdCall:
    """A call of `ssd_scan`, with checked arguments; dt are the final step sizes, after the softplus.

    | x            | dt        | A, D | B, C         | lengths     | state        |
    |--------------|-----------|------|--------------|-------------|--------------|
    | (b, l, h, p) | (b, l, h) | (h,) | (b, l, g, n) | (s,), int64 | (s, h, p, n) |

    dt, A, D and state are float32, or float64 for float64. A backend returns y (b, l, h, p) in the dtype of
    x, and the states behind the last steps (s, h, p, n), or None where the call has no state; lengths are as
    in `ScanCall`.
    """

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    lengths: Tensor | None = None
    reverse: bool = False
    state: Tensor | None = None


Result = tuple[Tensor, Tensor | None]
"""y, and the states behind the last steps where the call has a state."""

GroupedScan = Callable[[GroupedCall], Result]

Call = TypeVar("Call", ScanCall, SsdCall)


@dataclass(frozen=True)
class Backend(Generic[Call]):
    """A way to compute a scan."""

    run: Callable[[Call], Result]
    """Computes a call that is not empty, outside autocast."""

    refuses: Callable[[Tensor], str | None]
    """Why it cannot run on this u (or x), or None."""

    streams: bool = True
    """Whether it starts from states and gives the last ones."""

    ordered: GroupedScan | None = None
    """Kernels that read rows in an order themselves; None: the steps are laid out for `run`."""


def pick_backend(
    name: str, u: Tensor, backends: Mapping[str, Backend[Call]], streams: bool = False
) -> Backend[Call]:
    """The backend of this name, or for "auto" the first of them that can run on u.

    streams: whether the call starts from states or asks for the last ones.
    Raises: InputError with the reason and the remedy if the named one cannot run.
    """

    def refusal(backend: Backend[Call]) -> str | None:
        if streams and not backend.streams:
            return "it neither starts from a state nor gives one"
        return backend.refuses(u)

    if name == "auto":
        return next(b for b in backends.values() if refusal(b) is None)
    backend = backends[one_of(name, backends, "scan backend")]
    if reason := refusal(backend):
        raise InputError(f"scan backend '{name}' cannot run: {reason}; 'chunked' runs everywhere")
    return backend
