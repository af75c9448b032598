"""A study: every case under every setting, kept cell by cell, so that a second start makes what is missing.

A case is a portrait and what drives it. Its folder in `cells/` holds the frames of each setting as arrays,
and the numbers that are read from them alone.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch

from ..control.conditions import Conditions
from ..diffusion.windows import windows
from ..pipeline.generate import generate
from ..pipeline.inputs import ClipInputs
from ..pipeline.model.find import find_model
from ..pipeline.model.folder import check_files, load_model
from ..pipeline.model.model import TalkingHeadModel
from ..pipeline.options import RunOptions
from ..pipeline.output.result import to_uint8
from ..pipeline.sampling_plan import sampling_plan
from ..provenance import whole_file
from ..timeline import frame_count, parse_seconds
from .cases import FPS, Case
from .jobs import read_kept, run_jobs
from .opened import Opened, open_case, save_context
from .settings import Setting


@dataclass(frozen=True)
class Study:
    """Cases, settings, and the model of settings that name none."""

    cases: tuple[Case, ...]
    settings: tuple[Setting, ...]
    model: str = "tiny"
    steps: int | None = None


@dataclass(frozen=True)
class Cell:
    """A case under a setting. numbers: what is read from its frames alone. curve: the lips' opening, (f,).

    frames: (f, h, w, 3) uint8, read when asked for.
    """

    case: Case
    setting: Setting
    folder: Path
    key: str
    numbers: dict[str, float]
    curve: list[float] | None

    @property
    def frames(self) -> np.ndarray:
        """(f, h, w, 3) uint8, from the disk."""
        return np.load(self.folder / f"{self.key}.npy", mmap_mode="r")


@dataclass(frozen=True)
class Planned:
    """A case's folder, the keys of its cells in the order of the settings, and those that are missing."""

    case: Case
    place: Path
    keys: list[str]
    missing: list[tuple[Setting, str]]


def planned(study: Study, folder: Path) -> list[Planned]:
    """What is kept and what is missing, case by case. Raises: InputError for models that cannot be used."""
    names = [s.changes.get("model", study.model) for s in study.settings]
    hashes = {name: sorted(check_files(find_model(name)).items()) for name in dict.fromkeys(names)}
    out = []
    for case in study.cases:
        told = {k: v for k, v in vars(case).items() if k != "name"} | {"files": case.sources()}
        place = folder / "cells" / _digest(told)
        pairs = zip(study.settings, names, strict=True)
        keys = [_digest([dict(s.changes), hashes[name], study.steps]) for s, name in pairs]
        missing = [
            (s, key)
            for s, key in zip(study.settings, keys, strict=True)
            if read_kept(place / f"{key}.json") is None or not _is_whole(place / f"{key}.npy")
        ]
        if not missing and not is_zipfile(place / "context.npz"):
            missing = [(study.settings[0], keys[0])]  # it is written beside whatever is made
        out.append(Planned(case, place, keys, missing))
    return out


def _is_whole(path: Path) -> bool:
    """Whether a file holds an array: its start and its length are looked at, not its numbers."""
    try:
        np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return True


def run_study(
    study: Study,
    folder: Path,
    engine: str = "processes",
    workers: int = 1,
    address: str | None = None,
    tick: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[list[Cell]]:
    """Make the cells that are missing; returns them case by case, in the order of the settings.

    tick: called once for each case. tell: called with the plan before the work, one line.
    Raises: InputError for inputs and models that cannot be used.
    """
    for kept in (_opened, _model):
        kept.cache_clear()  # files may have changed since another study of this process
    plans = planned(study, folder)
    todo = [one for one in plans if one.missing]
    tell(f"plan: {cost(study, plans, workers)}")
    for _ in range(len(plans) - len(todo)):
        tick()
    for one in todo:
        one.place.mkdir(parents=True, exist_ok=True)
    jobs = [(one.case, one.missing, str(one.place), study.model, study.steps) for one in todo]
    for _ in run_jobs(_make, jobs, engine, workers, address):
        tick()
    return [
        [_read(one.case, s, one.place, key) for s, key in zip(study.settings, one.keys, strict=True)]
        for one in plans
    ]


def cost(study: Study, plans: Sequence[Planned], workers: int) -> str:
    """Cells, frames and denoiser calls that are missing, and about how long they take.

    The time is that of one denoiser call here and now; reading frames and drawing the page come on top.
    """
    cells = [(one.case, setting) for one in plans for setting, _ in one.missing]
    total = len(plans) * len(study.settings)
    made = f"{total} cells (cases x settings: {len(plans)} x {len(study.settings)})"
    if not cells:
        return f"{made}, all kept from before"
    first, model = cells[0][0], cells[0][1].changes.get("model", study.model)
    loaded = _model(model)
    config = loaded.config
    frames = [_frames_of(case) for case, _ in cells]
    calls = 0
    for (_, setting), count in zip(cells, frames, strict=True):
        steps = int(setting.changes.get("steps", study.steps or config.sampling.steps))
        shifted = config.sampling.windows == "shifted"
        latents = loaded.codec.latents_of(count)
        overlapping = windows(latents, config.window, config.overlap)
        calls += steps * (-(-latents // config.window) if shifted else len(overlapping))
    together = min(workers, sum(bool(one.missing) for one in plans))
    seconds = calls * _seconds_of_a_call(first, model) / together
    kept = f", {total - len(cells)} kept from before" if total > len(cells) else ""
    lasts = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return f"{made}{kept}; {sum(frames)} frames, {calls} denoiser calls, about {lasts}"


def _frames_of(case: Case) -> int:
    assert case.duration is not None
    return frame_count(parse_seconds(case.duration), FPS)


def _seconds_of_a_call(case: Case, model: str) -> float:
    """Of one window, with all gates open, when everything is compiled and warm."""
    inputs = _opened(case, model).inputs
    count = min(inputs.frames, inputs.model.codec.frames_of(inputs.model.config.window))
    for _ in range(2):
        start = time.perf_counter()
        plan = sampling_plan(RunOptions(steps=1), inputs.model.config.sampling)
        for _ in generate(inputs.model, inputs.conditions, count, plan, codec=inputs.portrait.bound):
            pass
    return time.perf_counter() - start


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _read(case: Case, setting: Setting, place: Path, key: str) -> Cell:
    held = json.loads((place / f"{key}.json").read_text())
    return Cell(case, setting, place, key, held["numbers"], held["curve"])


@lru_cache(maxsize=2)
def _model(name: str) -> TalkingHeadModel:
    return load_model(find_model(name))


@lru_cache(maxsize=2)
def _opened(case: Case, model: str) -> Opened:
    return open_case(case, _model(model))


@torch.no_grad()
def _make(
    case: Case, missing: Sequence[tuple[Setting, str]], place: str, model: str, steps: int | None
) -> None:
    """The missing cells of one case."""
    known = None
    for setting, key in missing:
        one = _opened(case, setting.changes.get("model", model))
        if one is not known:
            save_context(one, Path(place))
            known = one
        frames = _frames(one.inputs, setting, steps)
        with whole_file(Path(place) / f"{key}.npy", overwrite=True) as work:
            np.save(work, frames)
        curve, numbers = one.read(frames)
        with whole_file(Path(place) / f"{key}.json", overwrite=True) as work:
            work.write_text(json.dumps({"numbers": numbers, "curve": curve}))


def _frames(inputs: ClipInputs, setting: Setting, steps: int | None) -> np.ndarray:
    """(f, h, w, 3) uint8: the clip under a setting."""
    options = setting.options(RunOptions(steps=steps))
    inputs = replace(inputs, gates=options.opening, regions=options.acting)
    changes = setting.changes
    plan = sampling_plan(options, inputs.model.config.sampling)

    def conditions(start: int, stop: int) -> Conditions:
        window = inputs.conditions(start, stop)
        scanning = replace(window.scanning, scope=changes.get("scan_scope"))
        if "mask_drop" in changes:
            generator = torch.Generator().manual_seed(start)
            scanning = replace(scanning, mask_drop=float(changes["mask_drop"]), generator=generator)
        return replace(window, scanning=scanning)

    codec = inputs.portrait.bound
    pieces = generate(inputs.model, conditions, inputs.frames, plan, codec=codec)
    return np.concatenate([to_uint8(piece) for piece in pieces])
