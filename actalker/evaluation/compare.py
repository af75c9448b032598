"""Comparison of two runs of `evaluate` over the same clips."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from typing_extensions import NotRequired, TypedDict

from ..errors import InputError
from ..provenance import check_readable
from .statistics import mean_interval
from .tables import markdown_table

RUN = "metrics.json of actalker evaluate"
FEWEST = 6  # differences that Wilcoxon's signed ranks are taken of


class RunRow(TypedDict):
    """Describe one metric in `metrics.json`: the value of each clip, and why clips have no value."""

    metric: str
    hash: str
    clips: dict[str, float | None]
    protocol: dict[str, object]
    value: NotRequired[float | None]
    failures: NotRequired[dict[str, int] | None]


class Run(TypedDict):
    """Describe the part of `metrics.json` that is read here; `evaluate` writes the file."""

    rows: list[RunRow]


@dataclass(frozen=True)
class Difference:
    """Hold the difference of one metric between two runs.

    metric: its name.
    count: number of clips that have a value in both runs.
    value: mean over these clips of (second run - first run).
    low, high: bootstrap 95 % interval of the mean; None for a single clip.
    p: p-value of Wilcoxon's signed-rank test; None for fewer than six clips, and where nothing differs.
    """

    metric: str
    count: int
    value: float
    low: float | None
    high: float | None
    p: float | None


@dataclass
class Comparison:
    """Hold the metrics that could be compared. skipped: each other metric -> the reason."""

    rows: list[Difference] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def read_run(path: str | Path) -> Run:
    """Read a `metrics.json`. Raises: InputError for other files."""
    path = check_readable(path, "metrics.json")
    try:
        run = json.loads(path.read_text(encoding="utf-8-sig"))  # as Windows' editors leave it too
        for row in run["rows"]:
            texts = isinstance(row["metric"], str) and isinstance(row["hash"], str)
            if not texts or not all(_is_value(value) for value in row["clips"].values()):
                raise TypeError
            dict(row["protocol"]), dict(row.get("failures") or {})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(f"{path}: is no {RUN}; give the one that it wrote") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return cast(Run, dict(run))


def _is_value(value: object) -> bool:
    if isinstance(value, int):
        float(value)  # raises for what no float holds
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def compare(one: Run, other: Run, force: bool = False) -> Comparison:
    """Compare two runs, read by `read_run`, over the clips that have a value in both.

    Raises: InputError when a metric was made by different protocols, unless forced; when no metric has values
        of the same clips in both.
    """
    first, second = ({row["metric"]: row for row in run["rows"]} for run in (one, other))
    comparison = Comparison()
    for name in [*first, *(name for name in second if name not in first)]:
        if name not in first or name not in second:
            comparison.skipped[name] = f"only in the {'first' if name in first else 'second'} run"
            continue
        row, match = first[name], second[name]
        values = [_known(one) for one in (row, match)]
        clips = [clip for clip in values[0] if clip in values[1]]
        if not clips:
            comparison.skipped[name] = _why_not(row, match, values)
            continue
        if row["hash"] != match["hash"] and not force:
            apart = [k for k in row["protocol"] if row["protocol"][k] != match["protocol"].get(k)]
            apart += [k for k in match["protocol"] if k not in row["protocol"]]
            raise InputError(
                f"{name}: the protocols differ ({', '.join(apart) or 'hash'}); measure both alike, or --force"
            )
        comparison.rows.append(_difference(name, np.array([values[1][c] - values[0][c] for c in clips])))
    if not comparison.rows:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(comparison.skipped.items())[:3])
        raise InputError(
            f"nothing can be compared ({why or 'both runs are empty'}); give runs over the same clips"
        )
    return comparison


def _known(row: RunRow) -> dict[str, float]:
    return {clip: float(v) for clip, v in row["clips"].items() if v is not None and math.isfinite(v)}


def _why_not(row: RunRow, match: RunRow, values: list[dict[str, float]]) -> str:
    """Return the reason why a metric of both runs cannot be compared clip by clip."""
    whole = [v for one in (row, match) if isinstance(v := one.get("value"), (int, float))]
    if not values[0] and not values[1] and len(whole) == 2:
        return f"one number of all clips together, {whole[0]:.4g} and {whole[1]:.4g}"
    for one, which, known in ((row, "first", values[0]), (match, "second", values[1])):
        if not known:
            reasons = dict(one.get("failures") or {})
            listed = ", ".join(f"{reason} ({count})" for reason, count in list(reasons.items())[:2])
            return f"no values in the {which} run" + (f": {listed}" if listed else "")
    return "no clip has a value in both runs"


def _difference(name: str, apart: np.ndarray) -> Difference:
    low, high = mean_interval(apart)
    p = None
    if len(apart) >= FEWEST and np.any(apart):
        from scipy.stats import wilcoxon

        p = float(wilcoxon(apart).pvalue)
    return Difference(name, len(apart), value=float(apart.mean()), low=low, high=high, p=p)


def markdown(comparison: Comparison) -> str:
    """Return the table in Markdown, then a list of the metrics that were not compared, with reasons."""
    cells = (
        [
            row.metric,
            f"{row.value:.4g}",
            "" if row.low is None else f"{row.low:.4g} to {row.high:.4g}",
            str(row.count),
            "" if row.p is None else f"{row.p:.3g}",
        ]
        for row in comparison.rows
    )
    head = ["metric", "second less first", "95 % interval", "clips", "p"]
    skipped = "".join(f"- {name}: skipped; {why}\n" for name, why in comparison.skipped.items())
    return markdown_table(head, cells) + skipped
