"""The report of targets: a table with a row for each measure and a column for each model.

A JSON file beside the table holds the protocols and the intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...provenance import file_hash, versions, whole_file, write_sidecar
from ..evaluate import package_versions, protocol_hash
from ..statistics import interval
from ..tables import markdown_table, verdict
from .clips import Clip
from .items import Shown
from .measures import FOR_DIRECT, MEASURES, READ, Measure
from .performances import Acted
from .seen import MEASURED, Readings
from .variants import Compared, compared_table

DRAWS = 500  # of the bootstrap
FEWEST = 5  # items that have an interval
VARIANTS = (
    "Variants: means over seeds; in brackets the bootstrap 95 % interval, over seeds and items, of the "
    "difference from the first variant (of the first, of its mean). Bold: the interval leaves out 0."
)


@dataclass(frozen=True)
class Value:
    """Hold the value of a measure for one model.

    value: the number in the table.
    low, high: bootstrap 95 % interval over items; NaN for fewer than five.
    count: number of items with a value.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Line:
    """Hold one row of the table.

    what: name of the measure.
    target: in words.
    values: model -> its value.
    met: whether the first model meets the target; None where it has no value, or there is no target.
    protocol: what the number depends on beside model and clips.
    hash: of the protocol.
    """

    what: str
    target: str
    values: Mapping[str, Value]
    met: bool | None
    protocol: Mapping[str, object]
    hash: str


def shown_of(
    models: Sequence[str],
    readings: Readings,
    clips: Sequence[Clip],
    acted: Mapping[str, Sequence[Acted]],
) -> dict[str, Shown]:
    """Return model -> all readings of its output.

    Args:
        models: names.
        readings: of all models (`seen.see`).
        clips: the list that was to be made.
        acted: model -> what was measured of its performances; may lack models.
    """
    by_use: dict[str, list[Clip]] = {}
    for clip in clips:
        by_use.setdefault(clip.use, []).append(clip)
    return {model: Shown(model, readings, by_use, acted.get(model, ())) for model in models}


def lines(shown: Mapping[str, Shown]) -> list[Line]:
    """Return a row for each measure that has a value for some model.

    shown: model -> its readings; targets are checked for the first model.
    """
    out, models = [], list(shown)
    for measure in MEASURES.values():
        values = {model: _value(measure, one) for model, one in shown.items()}
        if not any(value.count for value in values.values()):
            continue
        direct = values[FOR_DIRECT].value if FOR_DIRECT in values else float("nan")
        recipe = protocol(measure)
        met = measure.met(values[models[0]].value, direct)
        out.append(
            Line(
                measure.name,
                measure.target,
                values=values,
                met=met,
                protocol=recipe,
                hash=protocol_hash(recipe),
            )
        )
    return out


def _value(measure: Measure, shown: Shown) -> Value:
    items = np.array(measure.items(shown), float)
    items = items[[bool(np.isfinite(one).all()) for one in items]] if len(items) else items
    low = high = float("nan")
    if len(items) >= FEWEST:
        low, high = interval(items, measure.over, draws=DRAWS)
    return Value(measure.over(items), low, high, len(items))


def protocol(measure: Measure) -> dict[str, object]:
    """Return all that the number of a measure depends on beside model and clips."""
    return {
        "metric": measure.name,
        "formula": measure.formula,
        "read": READ,
        "measured": MEASURED,
        "versions": package_versions(),
    }


def markdown(rows: Sequence[Line], names: Mapping[str, str]) -> str:
    """Return the table in Markdown. names: model -> the head of its column."""
    head = ["measured", "target", *names.values(), "met", "protocol"]
    cells = (
        [row.what, row.target, *(_text(row.values[m]) for m in names), verdict(row.met), f"`{row.hash}`"]
        for row in rows
    )
    return markdown_table(head, cells)


def _text(value: Value) -> str:
    return "" if np.isnan(value.value) else f"{value.value:.2f}"


def columns(models: Sequence[str]) -> dict[str, str]:
    """Return model -> a name for its column: short if the short names are all different."""
    short = {model: Path(model).name or model for model in models}
    return short if len(set(short.values())) == len(short) else {model: model for model in models}


def write_targets(
    folder: Path,
    command: str,
    models: Sequence[str],
    clips: Sequence[Clip],
    rows: Sequence[Line],
    compared: Sequence[Compared] = (),
) -> Path:
    """Write `targets.md` and `targets.json`; returns the path of the first.

    compared: rows of variants, if there are any.
    """
    path, names = folder / "targets.md", columns(models)
    text = f"`{command}`\n\nMet is said of {names[models[0]]}.\n\n{markdown(rows, names)}"
    if compared:
        text += f"\n{VARIANTS}\n\n{compared_table(compared)}"
    with whole_file(path, overwrite=True) as work:
        work.write_text(text, encoding="utf-8")
    write_sidecar(
        folder / "targets.json",
        {
            "command": command,
            "versions": versions(),
            "models": list(models),
            "clips": [_told(clip) for clip in clips],
            "rows": [asdict(row) for row in rows],
            "variants": [asdict(row) for row in compared],
        },
        overwrite=True,
    )
    return path


def _told(clip: Clip) -> dict[str, object]:
    files = {"portrait": clip.portrait, "real": clip.real, "driver": clip.driver}
    return {
        "use": clip.use,
        "number": clip.number,
        "seconds": clip.seconds,
        "files": {name: [path.name, file_hash(path)] for name, path in files.items() if path is not None},
        "speech": None if clip.speech is None else [clip.speech.name, clip.speech.digest()],
        "script": clip.script,
        "seed": clip.seed,
    }
