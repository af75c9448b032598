"""Variants of a model, each trained with several seeds: their means, and differences with intervals.

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
    """A measure of one variant: the mean over its seeds. low, high: the bootstrap 95 % interval of the mean's
    difference from the first variant's; of the first variant, that of its mean."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """A row: a measure, of each variant."""

    what: str
    values: Mapping[str, Variant]


def variants(models: Sequence[str]) -> dict[str, list[str]]:
    """Variant -> its models, whose paths differ in a number alone (`runs/full-1/model`, `runs/full-2/model`).

    Empty where there are fewer than two variants with two seeds each.
    """
    groups: dict[str, list[str]] = {}
    for model in models:
        groups.setdefault(SEED.sub("", model), []).append(model)
    several = {name: group for name, group in groups.items() if len(group) > 1}
    return _short(several) if len(several) > 1 else {}


def _short(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The groups by the part of their paths in which they differ."""
    parts = [name.split("/") for name in groups]
    same = len({len(path) for path in parts}) == 1
    apart = [k for k in range(len(parts[0])) if len({path[k] for path in parts}) > 1] if same else []
    heads = [path[apart[0]] if len(apart) == 1 else "/".join(path) for path in parts]
    return dict(zip(heads, groups.values(), strict=True))


def compare(groups: Mapping[str, Sequence[str]], shown: Mapping[str, Shown]) -> list[Compared]:
    """The rows of which every variant has values; none without variants. shown: model -> what was seen of it.

    The bootstrap draws seeds of each variant and items; the same items of all models, where they have equally
    many, since these are the same clips.
    """
    rows = []
    for measure in MEASURES.values():
        items = {name: [_known(measure, shown[model]) for model in group] for name, group in groups.items()}
        if items and all(len(one) for group in items.values() for one in group):
            rows.append(Compared(measure.name, _differences(measure, items)))
    return rows


def _known(measure: Measure, shown: Shown) -> np.ndarray:
    """The items of one model, (n, ...), those without a value left out."""
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
    """The mean over seeds of a measure of their items."""
    return float(np.mean([measure.over(one) for one in seeds]))


def compared_table(rows: Sequence[Compared]) -> str:
    """The table in Markdown: means, and behind all but the first variant's the interval of the difference."""
    names = list(rows[0].values)
    cells = ([row.what, *(_text(row.values[name], name != names[0]) for name in names)] for row in rows)
    return markdown_table(["measured", *names], cells)


def _text(value: Variant, difference: bool) -> str:
    """A mean with an interval; bold where the difference from the first variant is not 0."""
    sign = "+" if difference else ""
    text = f"{value.mean:.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"
    return f"**{text}**" if difference and value.low * value.high > 0 else text
