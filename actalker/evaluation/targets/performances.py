"""Measures of the motion that a model makes of held-out performances; no pictures are drawn.

A performance holds the signals of a synthetic clip and the motion that they ask for, its truth. Motion is
62 numbers per frame (`heads.face_map`). Letters: f frames, n signals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from ...data.performances.dataset import PerformanceConfig, PerformanceDataset
from ...data.performances.performance import Performance
from ...data.performances.scripts import performed
from ...data.performances.told import conditions, number_regions, truth
from ...data.sample import collate
from ...heads.face_map import CELLS, MOUTH, NUMBERS, weights
from ...pipeline.generate import generate
from ...pipeline.model.memory import LATENTS
from ...pipeline.model.model import TalkingHeadModel
from ...signals.signal import SIGNALS
from ..cells import CELL_FOLDER, Job, Measured, key_of, run_cells
from ..jobs import Workers
from ..models import model_files, model_of, settings_of, signals_of
from ..statistics import correlation, is_monotone, median
from .makers import CLOSED, TRUTH

MEASURED = 2  # to be raised when performances are made or measured in another way
SEED, COUNT = 2_000_000, 20  # trainings begin at 0 and validate from 1,000,000 on
SECONDS, FPS = 6.0, 25
SETTINGS: Mapping[str, tuple[str, ...]] = {  # what is closed
    "open": (),
    "audio closed": (CLOSED,),
    "expression closed": ("expression",),
    "expression and text closed": ("expression", "text"),
}
GATES = (0.0, 0.25, 0.5, 0.75, 1.0)
WINDOW = 14  # frames of a sweep
MOVES, TURNS = 0.05, 1.0  # standard deviation of a number that moves; of degrees
LITTLE = 0.1  # effect of an open gate (of a coefficient's 1, over a window) below which it does nothing
HALF = 0.5  # of a phrase's motion: what shows
GROUPS = {
    "mouth": lambda name: name.startswith(MOUTH),
    "jaw": lambda name: name == "jawOpen",
    "smile": lambda name: name.startswith("mouthSmile"),
    "lids": lambda name: name.startswith("eyeBlink"),
    "brows": lambda name: name.startswith("brow"),
    "pose": lambda name: name in ("yaw", "pitch", "roll"),
    "gaze": lambda name: name.startswith("gaze"),
}


class Acted(TypedDict):
    """Hold what is measured of one performance; the settings are the keys of `SETTINGS`.

    errors: setting -> region -> mean square difference to the truth.
    phrases: setting -> whether the motion shows each phrase of the script.
    r: group of `GROUPS` -> correlation with the truth, with all gates open.
    monotone: signal -> whether its effect grows with its gate.
    conflict: region -> r of its signal `alone` and `beside` a contradicting signal (`conflict`).
    """

    errors: dict[str, dict[str, float]]
    phrases: dict[str, list[bool]]
    r: dict[str, float]
    monotone: dict[str, bool]
    conflict: dict[str, dict[str, float]]


@lru_cache(maxsize=1)
def _data() -> PerformanceDataset:
    frames = round(SECONDS * FPS)
    return PerformanceDataset(PerformanceConfig(SEED, frames, SECONDS, FPS), COUNT)


def act(name: str, index: int) -> Acted:
    """Measure performance `index` as a model makes it.

    name: the model; `truth` measures the motion that the signals ask for, in place of a model's.
    """
    data = _data()
    batch = collate([data[index]])
    model = None if name == TRUTH else model_of(name)
    return measure(model, batch, phases(data, index), collate([data[(index + 1) % COUNT]]))


def phases(data: PerformanceDataset, index: int) -> list[np.ndarray]:
    """Return the motion that each phase of a performance's script asks for alone, a list of (f, 62).

    Phases that ask for hardly any motion are left out.
    """
    script = data.material(index).script
    alone = [replace(script, base="", phases=(phase,)) for phase in script.phases]
    motions = [performed(one, data.length, Fraction(data.config.fps)) for one in alone]
    return [one for one in motions if np.abs(one).max() > MOVES]


@torch.no_grad()
def measure(
    model: TalkingHeadModel | None, batch: Performance, phases: list[np.ndarray], other: Performance
) -> Acted:
    """Measure what a model makes of one performance.

    Args:
        model: the model; None measures the truth in its place.
        batch: the performance, as a batch of one.
        phases: the motion that each phase of its script asks for, (f, 62) each.
        other: another performance, whose driver contradicts the signals of this one.
    """
    opened = gated(batch, dict.fromkeys(SIGNALS, 1.0))
    asked = truth(opened)[0].numpy()
    motions = {}
    for setting, closed in SETTINGS.items():
        motions[setting] = moved(model, gated(batch, {s: float(s not in closed) for s in SIGNALS}))
    known = {name: mask.numpy() for name, mask in number_regions(batch.portrait).items()}
    errors = {
        setting: {region: _energy(numbers - asked, known[region]) for region in ("mouth", "upper")}
        for setting, numbers in motions.items()
    }
    shown = {
        setting: [shows(numbers, phase, phases) for phase in phases] for setting, numbers in motions.items()
    }
    return {
        "errors": errors,
        "phrases": shown,
        "r": agreements(motions["open"], asked),
        "monotone": _sweeps(model, batch, known),
        "conflict": conflict(model, batch, other),
    }


def gated(batch: Performance, gates: Mapping[str, float]) -> Performance:
    """Return the batch under other gates.

    gates: signal -> gate. A driver's gate is 0 in the frames that show no face.
    """
    opening = batch.gates.clone()
    for k, name in enumerate(batch.names()):
        opening[:, k] = gates[name] * batch.shown[:, k]
    return replace(batch, gates=opening)


def moved(model: TalkingHeadModel | None, batch: Performance) -> np.ndarray:
    """Return the motion that a model makes of a batch of one, (f, 62); without a model, the truth."""
    if model is None:
        return truth(batch)[0].numpy()
    pieces = generate(model, conditions(model, batch).frames, batch.gates.shape[-1], arrangement=LATENTS)
    return model.codec.read(torch.cat(list(pieces))).numpy()


def _energy(change: np.ndarray, region: np.ndarray) -> float:
    return float((((change * weights())[:, region > 0]) ** 2).sum(1).mean())


def shows(motion: np.ndarray, phase: np.ndarray, phases: list[np.ndarray]) -> bool:
    """Return whether a motion (f, 62) shows at least half of a phase (f, 62), by least squares.

    That is, s >= 0.5 for the s that minimises |motion - s phase|² over the frames of the phase. The motion is
    taken relative to its median over the frames in which no phase of `phases` asks for anything.
    """
    quiet = ~np.any([np.abs(one).max(1) > 0 for one in phases], axis=0)
    rest = np.median(motion[quiet], 0) if quiet.any() else np.zeros(motion.shape[1])
    weight, inside = weights(), np.abs(phase).max(1) > 0
    there, asked = ((motion - rest) * weight)[inside], (phase * weight)[inside]
    return bool((there * asked).sum() >= HALF * (asked**2).sum())


def agreements(motion: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Return group of `GROUPS` -> `agreement` of its numbers; groups in which nothing moves are left out.

    motion, asked: (f, 62).
    """
    out = {}
    for group, holds in GROUPS.items():
        numbers = [k for k, name in enumerate(NUMBERS) if holds(name)]
        value = agreement(motion, asked, numbers)
        if value is not None:
            out[group] = value
    return out


def agreement(motion: np.ndarray, asked: np.ndarray, numbers: Sequence[int] | np.ndarray) -> float | None:
    """Return the median, over columns that move, of the correlation of `motion` with `asked`, (f, 62) each.

    numbers: the columns to look at. A column moves where its standard deviation in `asked` is at least 0.05,
        or 1 for angles (degrees) and places (cm).
    Returns: None where no column moves.
    """
    correlations = []
    for k in numbers:
        least = TURNS if NUMBERS[k] in CELLS and NUMBERS[k] != "tongueOut" else MOVES
        if asked[:, k].std() >= least:
            correlations.append(correlation(motion[:, k], asked[:, k]))
    return median(correlations) if correlations else None


def conflict(
    model: TalkingHeadModel | None, batch: Performance, other: Performance
) -> dict[str, dict[str, float]]:
    """Measure how much two contradicting signals disturb each other.

    The signal of the mouth is that of `batch`, the signal of the upper face that of `other` (both are batches
    of one).

    Returns: region (`mouth`, `upper`) -> `agreement` of the motion in it with what its signal asks for:
        `alone`, with only this signal open, and `beside`, with both open. Regions where nothing moves are
        left out.
    """
    owner = {signal.region: name for name, signal in SIGNALS.items() if signal.region in ("mouth", "upper")}
    mixed = with_signal(batch, other, owner["upper"])
    both = dict.fromkeys(SIGNALS, 0.0) | dict.fromkeys(owner.values(), 1.0)
    asked = truth(gated(mixed, both))[0].numpy()
    beside = moved(model, gated(mixed, both))
    inside = number_regions(batch.portrait)
    out = {}
    for region, name in owner.items():
        alone = moved(model, gated(mixed, {**dict.fromkeys(SIGNALS, 0.0), name: 1.0}))
        numbers = np.flatnonzero(inside[region].numpy())
        before, now = (agreement(one, asked, numbers) for one in (alone, beside))
        if before is not None and now is not None:
            out[region] = {"alone": before, "beside": now}
    return out


def with_signal(batch: Performance, other: Performance, name: str) -> Performance:
    """Return the batch with one signal of another batch: its input and the motion that it asks for."""
    k = batch.names().index(name)
    parts, shown = batch.parts.clone(), batch.shown.clone()
    parts[:, k], shown[:, k] = other.parts[:, k], other.shown[:, k]
    return replace(batch, parts=parts, shown=shown, arrays={**batch.arrays, name: other.arrays[name]})


def _sweeps(
    model: TalkingHeadModel | None, batch: Performance, known: Mapping[str, np.ndarray]
) -> dict[str, bool]:
    """Return signal -> whether its effect in its own region grows with its gate, all others open."""
    window, grows = batch.window(slice(WINDOW), 1), {}
    for signal in SIGNALS:

        def under(gate: float, signal: str = signal) -> Performance:
            return gated(window, {**dict.fromkeys(SIGNALS, 1.0), signal: gate})

        region = known[SIGNALS[signal].region]
        if _effect(truth(under(1.0))[0] - truth(under(0.0))[0], region) < LITTLE:
            continue
        shut, *more = (moved(model, under(gate)) for gate in GATES)
        grows[signal] = is_monotone([0.0, *(_effect(one - shut, region) for one in more)])
    return grows


def _effect(change: np.ndarray | Tensor, region: np.ndarray) -> float:
    return _energy(np.asarray(change), region) ** 0.5


def perform_all(
    models: Sequence[str],
    folder: Path,
    workers: Workers,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, list[Acted]]:
    """Measure every performance of every model; results are kept as cells, and only missing ones are made.

    Args:
        models: names of models that take all signals (`takes_all`), or `truth`.
        folder: of the report, which holds the folder of cells.
        workers: the processes to use.
        tick: called once for each performance of each model.
    Returns: model -> the result for each performance, in order.
    """
    jobs = []
    for model in models:
        files = model if model == TRUTH else model_files(model)
        for index in range(COUNT):
            key = key_of("performance", [MEASURED, SEED, SECONDS, index], files)
            jobs.append(Job(key, partial(_measured, model, index)))
    values = cast(list[Acted], run_cells(jobs, folder / CELL_FOLDER, workers, tick))
    return {model: values[k * COUNT : (k + 1) * COUNT] for k, model in enumerate(models)}


def takes_all(model: str) -> bool:
    """Return whether a model makes motion (not pictures), and takes all signals."""
    return settings_of(model).get("codec") == "FaceMotion" and signals_of(model) == list(SIGNALS)


def _measured(model: str, index: int) -> Measured:
    return Measured(act(model, index))
