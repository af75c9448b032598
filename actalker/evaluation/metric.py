"""What a metric is: a number of a clip, alone or beside the real one, and all that it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from .clip import Clip


@dataclass(frozen=True)
class Weights:
    """Files of weights that some metrics need; None: not at hand."""

    syncnet: Path | None = None
    arcface: Path | None = None
    inception: Path | None = None
    i3d: Path | None = None
    backbone: Path | None = None
    lpips: Path | None = None


Measure = Callable[[Clip, "Clip | None", Weights], float]


class Pool(Protocol):
    """A number of all clips together, such as a distance of distributions. It is built of `Weights`."""

    def add(self, generated: Clip, reference: Clip | None) -> None:
        """Take in a clip and its reference. Raises: Unmeasurable when it cannot be."""

    def value(self) -> float:
        """The number of the clips so far. Raises: Unmeasurable when they are too few."""


@dataclass(frozen=True)
class Metric:
    """A number that clips have: its protocol, and what computes it.

    Either `measure`, of one clip, or `pool`, of all clips together.
    """

    name: str
    better: Literal["higher", "lower", "none"]
    formula: str
    """The protocol in words."""

    measure: Measure | None = None
    pool: Callable[[Weights], Pool] | None = None
    needs: tuple[str, ...] = ()
    """`reference`, `face`, `landmarks`, `mesh` (MediaPipe's landmarker), `sound`, or a field of `Weights`."""

    unit: str = ""
    worst: float | None = None
    """What a clip without a value counts as in the mean over all clips; None: there is no such mean."""
