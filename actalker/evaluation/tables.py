"""What the tables of reports have in common: Markdown, and ranges of values that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, each line with its end."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines) + "\n"


def verdict(met: bool | None) -> str:
    """In a cell of a table: `yes`, a bold `no`, or nothing where nothing can be said."""
    return "" if met is None else "yes" if met else "**no**"


@dataclass(frozen=True)
class Range:
    """Values that are asked for, from `low` to `high`; None is no limit."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`>= low`, `<= high` or `low to high`; nothing where there is no limit."""
        limits = [f"{limit:g}" for limit in (self.low, self.high) if limit is not None]
        if len(limits) != 1:
            return " to ".join(limits)
        return f"{'>=' if self.high is None else '<='} {limits[0]}"

    def holds(self, value: float) -> bool | None:
        """Whether a value lies in the range; None where there is no limit, or the value is NaN."""
        if np.isnan(value) or (self.low is None and self.high is None):
            return None
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
