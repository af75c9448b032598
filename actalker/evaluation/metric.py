"""What a metric is: a number of a clip, alone or beside the real one, and all that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from .clip import Clip


@dataclass(frozen=True)
class Weights:
    """Files that some metrics need."""

    syncnet: Path | None = None
    arcface: Path | None = None
    inception: Path | None = None
    i3d: Path | None = None
    backbone: Path | None = None
    lpips: Path | None = None


Measure = Callable[[Clip, "Clip | None", Weights], float]


class Pool(Protocol):
    """A number of all clips together, such as a distance of distributions."""

    def add(self, generated: Clip, reference: Clip | None) -> None:
        """Take in a clip. Raises: Unmeasurable when it cannot be."""

    def value(self) -> float:
        """Of the clips so far. Raises: Unmeasurable when they are too few."""


@dataclass(frozen=True)
class Metric:
    """What a number is. formula: its protocol in words. worst: what a clip that has none counts as, where the
    mean is taken over all clips; None: no such mean. needs: `reference`, `face`, `landmarks`, `mesh`
    (MediaPipe's landmarker), `sound`, or a field of `Weights`. Either measure, of one clip, or pool, of all.
    """

    name: str
    unit: str
    better: Literal["higher", "lower", "none"]
    formula: str
    measure: Measure | None
    needs: tuple[str, ...] = ()
    worst: float | None = None
    pool: Callable[[Weights], Pool] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
