"""What a model of heads makes of performances that no training sees: numbers of motion, nothing drawn.

Letters: f frames, n signals.
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
    """What is measured of one performance; settings are those of SETTINGS.

    errors: setting -> region -> mean square difference to the truth. phrases: setting -> whether each phrase
    shows. r: group -> correlation with the truth. monotone: signal -> whether its effect grows with its gate.
    conflict: region -> what its signal does `alone` and `beside` one that contradicts it (`conflict`).
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
    """Performance `index`, as a model makes it, or, by TRUTH, as it is asked for."""
    data = _data()
    batch = collate([data[index]])
    model = None if name == TRUTH else model_of(name)
    return measure(model, batch, phases(data, index), collate([data[(index + 1) % COUNT]]))


def phases(data: PerformanceDataset, index: int) -> list[np.ndarray]:
    """What each phase of a performance's script asks for alone, (f, 62) each."""
    script = data.material(index).script
    alone = [replace(script, base="", phases=(phase,)) for phase in script.phases]
    motions = [performed(one, data.length, Fraction(data.config.fps)) for one in alone]
    return [one for one in motions if np.abs(one).max() > MOVES]


@torch.no_grad()
def measure(
    model: TalkingHeadModel | None, batch: Performance, phases: list[np.ndarray], other: Performance
) -> Acted:
    """The numbers of one performance (a batch of one); the truth's where there is no model.

    phases: what each phase of its script asks for, (f, 62) each. other: the performance whose driver
    contradicts it.
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
    """The batch under gates; a driver's gate is closed in frames where no face is seen."""
    opening = batch.gates.clone()
    for k, name in enumerate(batch.names()):
        opening[:, k] = gates[name] * batch.shown[:, k]
    return replace(batch, gates=opening)


def moved(model: TalkingHeadModel | None, batch: Performance) -> np.ndarray:
    """The motion of a batch of one, (f, 62)."""
    if model is None:
        return truth(batch)[0].numpy()
    pieces = generate(model, conditions(model, batch).frames, batch.gates.shape[-1], arrangement=LATENTS)
    return model.codec.read(torch.cat(list(pieces))).numpy()


def _energy(change: np.ndarray, region: np.ndarray) -> float:
    return float((((change * weights())[:, region > 0]) ** 2).sum(1).mean())


def shows(motion: np.ndarray, phase: np.ndarray, phases: list[np.ndarray]) -> bool:
    """Whether motion (f, 62) has half at least of what a phase asks for (f, 62), by least squares.

    Motion is taken relative to its median over frames in which no phase asks for anything.
    """
    quiet = ~np.any([np.abs(one).max(1) > 0 for one in phases], axis=0)
    rest = np.median(motion[quiet], 0) if quiet.any() else np.zeros(motion.shape[1])
    weight, inside = weights(), np.abs(phase).max(1) > 0
    there, asked = ((motion - rest) * weight)[inside], (phase * weight)[inside]
    return bool((there * asked).sum() >= HALF * (asked**2).sum())


def agreements(motion: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """The median correlation of the numbers of each group that move; groups that do not are left out.

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
    """The median correlation of motions (f, 62) over those of `numbers` that move; None where none does."""
    correlations = []
    for k in numbers:
        least = TURNS if NUMBERS[k] in CELLS and NUMBERS[k] != "tongueOut" else MOVES
        if asked[:, k].std() >= least:
            correlations.append(correlation(motion[:, k], asked[:, k]))
    return median(correlations) if correlations else None


def conflict(
    model: TalkingHeadModel | None, batch: Performance, other: Performance
) -> dict[str, dict[str, float]]:
    """What two signals lose by each other when they contradict: region -> r `alone` and `beside` the other.

    The mouth's signal is the batch's, the upper face's is another performance's (both are batches of one).
    In its region each is held against what it asks for, by the median of Pearson's r over the numbers that
    move, alone and while both are open. Regions where nothing moves are left out.
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
    """The batch with one signal of another batch: what it asks for, and its input."""
    k = batch.names().index(name)
    parts, shown = batch.parts.clone(), batch.shown.clone()
    parts[:, k], shown[:, k] = other.parts[:, k], other.shown[:, k]
    return replace(batch, parts=parts, shown=shown, arrays={**batch.arrays, name: other.arrays[name]})


def _sweeps(
    model: TalkingHeadModel | None, batch: Performance, known: Mapping[str, np.ndarray]
) -> dict[str, bool]:
    """Whether what a signal does in its own region grows with its gate, the others open."""
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
    """Every performance by every model (`takes_all`, or TRUTH), in cells: what is missing is made.

    tick: called once for each performance.
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
    """Whether a model makes motion of heads from all signals."""
    return settings_of(model).get("codec") == "FaceMotion" and signals_of(model) == list(SIGNALS)


def _measured(model: str, index: int) -> Measured:
    return Measured(act(model, index))
