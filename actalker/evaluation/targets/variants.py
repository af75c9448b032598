"""Comparison of variants of a model, each trained with several seeds: means, differences and intervals.

Letters: n items, s seeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..tables import markdown_table
from .items import Shown
from .measures import MEASURES, Measure

DRAWS = 1000  # of the bootstrap
SEED = re.compile(r"-\d+(?=/|$)")  # what differs between the seeds of a variant


@dataclass(frozen=True)
class Variant:
    """Hold the value of a measure for one variant.

    mean: the mean over the seeds of the variant.
    low, high: bootstrap 95 % interval of (mean - mean of the first variant); for the first variant itself,
        the interval of its mean.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """Hold one row of the table: the name of a measure, and variant -> its value."""

    what: str
    values: Mapping[str, Variant]


def variants(models: Sequence[str]) -> dict[str, list[str]]:
    """Group models whose paths differ only in a number, such as `runs/full-1/model` and `runs/full-2/model`.

    Returns: variant -> its models, one for each seed.

    Empty where there are fewer than two variants with two seeds each.
    """
    groups: dict[str, list[str]] = {}
    for model in models:
        groups.setdefault(SEED.sub("", model), []).append(model)
    several = {name: group for name, group in groups.items() if len(group) > 1}
    return _short(several) if len(several) > 1 else {}


def _short(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the groups under short names: the one part in which their paths differ, or the whole path."""
    parts = [name.split("/") for name in groups]
    same = len({len(path) for path in parts}) == 1
    apart = [k for k in range(len(parts[0])) if len({path[k] for path in parts}) > 1] if same else []
    heads = [path[apart[0]] if len(apart) == 1 else "/".join(path) for path in parts]
    return dict(zip(heads, groups.values(), strict=True))


def compare(groups: Mapping[str, Sequence[str]], shown: Mapping[str, Shown]) -> list[Compared]:
    """Return a row for each measure that has a value in every seed of every variant.

    The bootstrap resamples the seeds within each variant, and the items. Models with equally many items share
    one resampling of them, since equally many items are those of the same clips.

    Args:
        groups: variant -> its models (`variants`); empty gives no rows.
        shown: model -> its readings.
    """
    rows = []
    for measure in MEASURES.values():
        items = {name: [_known(measure, shown[model]) for model in group] for name, group in groups.items()}
        if items and all(len(one) for group in items.values() for one in group):
            rows.append(Compared(measure.name, _differences(measure, items)))
    return rows


def _known(measure: Measure, shown: Shown) -> np.ndarray:
    """Return the items of a measure for one model, (n,) or (n, 2), without those that are not finite."""
    values = np.array(measure.items(shown), float)
    return values[[bool(np.isfinite(one).all()) for one in values]] if len(values) else values


def _differences(measure: Measure, items: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Variant]:
    rng = np.random.default_rng(0)
    draws: dict[str, list[float]] = {name: [] for name in items}
    for _ in range(DRAWS):
        rows: dict[int, np.ndarray] = {}  # number of items -> those that are drawn
        for name, group in items.items():
            seeds = [group[k] for k in rng.integers(len(group), size=len(group))]
            for one in seeds:
                rows.setdefault(len(one), rng.integers(len(one), size=len(one)))
            draws[name].append(_mean(measure, [one[rows[len(one)]] for one in seeds]))
    first = np.array(next(iter(draws.values())))
    out = {}
    for k, (name, group) in enumerate(items.items()):
        spread = np.array(draws[name]) - (first if k else 0.0)
        low, high = np.nanpercentile(spread, [2.5, 97.5])
        out[name] = Variant(_mean(measure, group), float(low), float(high))
    return out


def _mean(measure: Measure, seeds: Sequence[np.ndarray]) -> float:
    """Return the mean over seeds of the value that a measure has for each seed's items."""
    return float(np.mean([measure.over(one) for one in seeds]))


def compared_table(rows: Sequence[Compared]) -> str:
    """Return the table in Markdown, with the mean and the interval of each variant (`Variant`)."""
    names = list(rows[0].values)
    cells = ([row.what, *(_text(row.values[name], name != names[0]) for name in names)] for row in rows)
    return markdown_table(["measured", *names], cells)


def _text(value: Variant, difference: bool) -> str:
    """Write a mean with its interval; bold where an interval of a difference leaves out 0."""
    sign = "+" if difference else ""
    text = f"{value.mean:.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"
    return f"**{text}**" if difference and value.low * value.high > 0 else text
