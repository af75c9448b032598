"""Effects of settings in a study: changes of the frames by region, and how independent the signals are.

A case is a portrait with what drives it; a cell holds the frames of one case under one setting.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..errors import InputError
from ..media.sound import Sound
from ..signals.signal import SIGNALS
from .cells import read_array, read_values
from .opened import MASKS
from .statistics import is_monotone, mean_interval
from .study import Cell

REGIONS = ("mouth", "upper", "outside")
COLUMNS = {  # name -> unit and meaning; the formulas are in docs/evaluation.md
    "change_mouth": "of 255, mean change in the mouth's region against the first setting",
    "change_upper": "of 255, the same in the upper face",
    "change_outside": "of 255, the same outside the face",
    "lips": "correlation of the lips' opening with the speech's loudness",
    "smoothness": "1 is smooth",
    "flicker": "of 255",
}


@dataclass(frozen=True, eq=False)
class Context:
    """Hold what all cells of one case share.

    masks: region -> (h, w) in [0, 1].
    fps: frames per second.
    sound: None for a case without sound.
    """

    masks: dict[str, np.ndarray]
    fps: Fraction
    sound: Sound | None


def context_of(cell: Cell) -> Context:
    """Read what all cells of a case share, as `run_study` wrote it. cell: any cell of the case.

    Raises: InputError where the file is missing or damaged.
    """
    folder, key = cell.folder, cell.context
    values = read_values(folder, key)
    if values is None:
        raise InputError(f"{folder}: the cell {key} is missing or damaged; start the study again")
    masks = {name: np.array(read_array(folder, key, name)) for name in MASKS}
    masks["outside"] = 1 - masks["face"]
    rate = values["sampling_rate"]
    sound = None if rate is None else Sound(np.array(read_array(folder, key, "sound")), rate)
    return Context(masks, Fraction(values["fps"]), sound)


def mean_in(values: np.ndarray, mask: np.ndarray) -> float:
    """Return sum(values mask) / sum(mask) of (h, w) each; NaN for an empty mask."""
    total = float(mask.sum())
    return float((values * mask).sum() / total) if total > 0 else float("nan")


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference (0 to 255) of two videos over frames and colours, (h, w).

    one, other: (f, h, w, 3) uint8; the longer video is cut.
    """
    count = min(len(one), len(other))
    total = np.zeros(one.shape[1:3])
    for a, b in zip(one[:count], other[:count], strict=True):
        total += np.abs(a.astype(np.int16) - b).mean(-1)
    return total / count


def effects(cells: Sequence[Cell], context: Context) -> list[dict[str, float]]:
    """Return the numbers of each cell of a case: changes by region from the first cell, and its own."""
    out = []
    for cell in cells:
        change = apart(cell.frames, cells[0].frames)
        out.append({f"change_{r}": mean_in(change, context.masks[r]) for r in REGIONS} | cell.numbers)
    return out


@dataclass(frozen=True)
class Value:
    """Hold a mean over cases.

    low, high: bootstrap 95 % interval; None for a single case.
    count: number of cases with a value.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def summary(values: Sequence[float]) -> Value | None:
    """Return the mean of the finite values and its interval; None where no value is finite."""
    known = np.array([v for v in values if np.isfinite(v)])
    if not len(known):
        return None
    low, high = mean_interval(known)
    return Value(float(known.mean()), low, high, len(known))


@dataclass(frozen=True)
class Control:
    """Hold how well a signal keeps to its own region.

    signal: its name.
    responsiveness: mean change (0 to 255) in its own region when its gate closes.
    leakage: (mean change in the rest of the picture) / responsiveness.
    regions: region of `REGIONS` -> the mean change in it.
    monotone: share of cases in which its effect grows with its gate; None without gates between 0 and 1.
    """

    signal: str
    responsiveness: Value
    leakage: Value
    regions: dict[str, Value]
    monotone: float | None


def control(study: Sequence[Sequence[Cell]], contexts: Sequence[Context]) -> list[Control]:
    """Measure what closing the gate of each signal changes, and where.

    Signals that no setting closes alone are left out. study: the cells of each case. contexts: one for each
    case.
    """
    out = []
    for name in SIGNALS:
        rows = [_closing(name, cells, c) for cells, c in zip(study, contexts, strict=True)]
        closings = [row for row in rows if row is not None]
        if not closings:
            continue
        inside, leak, regions = zip(*closings, strict=True)
        total = {r: summary([row[r] for row in regions]) for r in REGIONS}
        grows = [
            g
            for g in (_grows(name, cells, c) for cells, c in zip(study, contexts, strict=True))
            if g is not None
        ]
        values = summary(inside), summary(leak)
        if values[0] is None or values[1] is None:
            continue
        out.append(
            Control(
                name,
                values[0],
                values[1],
                {r: v for r, v in total.items() if v is not None},
                float(np.mean(grows)) if grows else None,
            )
        )
    return out


def _alone(name: str, cells: Sequence[Cell]) -> dict[float, Cell]:
    """Return gate of a signal -> the cell in which nothing else is changed; the first setting has gate 1."""
    out = {}
    for cell in cells:
        changes = cell.setting.changes
        if not changes:
            out[1.0] = cell
        elif list(changes) == [f"gate.{name}"] and "@" not in changes[f"gate.{name}"]:
            out[float(changes[f"gate.{name}"])] = cell
    return out


def _closing(
    name: str, cells: Sequence[Cell], context: Context
) -> tuple[float, float, dict[str, float]] | None:
    gates = _alone(name, cells)
    if not {0.0, 1.0} <= gates.keys() or name not in gates[1.0].case.signals():
        return None
    change = apart(gates[1.0].frames, gates[0.0].frames)
    mask = context.masks[SIGNALS[name].region]
    inside, rest = mean_in(change, mask), mean_in(change, 1 - mask)
    regions = {r: mean_in(change, context.masks[r]) for r in REGIONS}
    return inside, rest / inside if inside > 0 else float("nan"), regions


def _grows(name: str, cells: Sequence[Cell], context: Context) -> bool | None:
    gates = _alone(name, cells)
    if len(gates) < 3 or 0.0 not in gates or name not in cells[0].case.signals():
        return None
    effects = [
        mean_in(apart(gates[g].frames, gates[0.0].frames), context.masks[SIGNALS[name].region])
        for g in sorted(gates)
    ]
    return is_monotone(effects) if effects[-1] > 0 else None
