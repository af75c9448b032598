"""What a backend of the scan is asked to do.

Letters: b batch, l length, d channels, n state size, g groups, s sequences, h heads, p channels of a head;
r rows, e channels of a group, k rows with a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError


def check_real(what: str, given: Mapping[str, Tensor | None]) -> None:
    """Raise InputError naming the first tensor that does not hold real numbers as floats."""
    for name, t in given.items():
        if t is None or (isinstance(t, Tensor) and t.is_floating_point()):
            continue
        if not isinstance(t, Tensor):
            raise InputError(f"{what}: {name} is of type {type(t).__name__}; give a torch.Tensor")
        dtype = str(t.dtype).removeprefix("torch.")
        meant = f"{name}.real, if that is meant" if t.is_complex() else f"{name}.float()"
        raise InputError(f"{what}: {name} is {dtype}; give real numbers as floats, {meant}")


@dataclass(frozen=True)
class ScanCall:
    """The arguments of `streaming_scan`, checked: B, C (b, l, g, n); lengths int64 (s,) on the device of u.

    Without lengths every item is a sequence, s = b; with them b is 1.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    lengths: Tensor | None
    reverse: bool
    state: Tensor | None

    def gated(self, y: Tensor) -> Tensor:
        """y · silu(z), where there is a z."""
        return y if self.z is None else y * F.silu(self.z.to(y.dtype))


@dataclass(frozen=True)
class GroupedCall:
    """`streaming_scan` and `ordered_scan` as kernels see them: u, delta, z (b, r, g, e), B, C (b, r, g, n),
    A (g, e, n), D, delta_bias (g, e), state (s, g, e, n). Gives y (b, r, g, e) and the last states
    (s, g, e, n).

    With an order (g, l), b is 1, u (1, r, 1, e), and y (1, results, 1, e), the sum over groups.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    order: Tensor | None
    lengths: Tensor
    reverse: bool
    results: int
    state: Tensor | None


@dataclass(frozen=True)
class SsdCall:
    """The arguments of `ssd_scan`, checked: x (b, l, h, p), dt (b, l, h) the step sizes themselves, A, D
    (h,), B, C (b, l, g, n), state (s, h, p, n); lengths as in `ScanCall`.

    dt, A, D and state are float32, or float64 for float64.
    """

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    lengths: Tensor | None
    reverse: bool
    state: Tensor | None
