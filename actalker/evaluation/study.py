"""A study: every case under every setting, kept cell by cell, so that a second start makes what is missing.

A case is a held-out puppet, whose true video is known, or files: a portrait and what drives it. Its folder in
`cells/` holds the frames of each setting as arrays, and the numbers that are read from them alone.

Letters: f frames, h w picture size, s side of a frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..control.branch import MaskedBranch
from ..control.conditions import Conditions
from ..pipeline.find import find_model
from ..pipeline.folder import check_files, load_model
from ..pipeline.generate import generate
from ..pipeline.inputs import ClipInputs
from ..pipeline.model import TalkingHeadModel
from ..pipeline.result import to_uint8
from ..provenance import whole_file
from .cases import Case
from .jobs import run_jobs
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

    frames: (f, h, w, 3) uint8, read when asked for. truth: of a puppet under these gates.
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


def run_study(
    study: Study,
    folder: Path,
    engine: str = "processes",
    workers: int = 1,
    address: str | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[list[Cell]]:
    """Make the cells that are missing; returns them case by case, in the order of the settings.

    tick: called once for each case. Raises: InputError for inputs and models that cannot be used.
    """
    models = {s.changes.get("model", study.model) for s in study.settings}
    hashes = {name: sorted(check_files(find_model(name)).items()) for name in models}
    jobs = []
    plans: list[tuple[Case, Path, list[str]]] = []
    for case in study.cases:
        told = {k: v for k, v in vars(case).items() if k != "name"} | {"files": case.sources()}
        place = folder / "cells" / _digest(told)
        keys = [
            _digest([dict(s.changes), hashes[s.changes.get("model", study.model)], study.steps])
            for s in study.settings
        ]
        plans.append((case, place, keys))
        missing = [
            (s, key)
            for s, key in zip(study.settings, keys, strict=True)
            if not (place / f"{key}.json").is_file()
        ]
        if missing:
            place.mkdir(parents=True, exist_ok=True)
            jobs.append((case, missing, str(place), study.model, study.steps))
        else:
            tick()
    for _ in run_jobs(_make, jobs, engine, workers, address):
        tick()
    return [
        [_read(case, s, place, key) for s, key in zip(study.settings, keys, strict=True)]
        for case, place, keys in plans
    ]


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _read(case: Case, setting: Setting, place: Path, key: str) -> Cell:
    held = json.loads((place / f"{key}.json").read_text())
    return Cell(case, setting, place, key, held["numbers"], held["curve"])


@lru_cache(maxsize=2)
def _model(name: str) -> TalkingHeadModel:
    return load_model(find_model(name))


@torch.no_grad()
def _make(
    case: Case, missing: Sequence[tuple[Setting, str]], place: str, model: str, steps: int | None
) -> None:
    """The missing cells of one case."""
    opened: dict[str, Opened] = {}
    for setting, key in missing:
        name = setting.changes.get("model", model)
        if name not in opened:
            opened[name] = open_case(case, _model(name))
            save_context(opened[name], Path(place))
        one = opened[name]
        frames = _frames(one.inputs, setting, steps)
        with whole_file(Path(place) / f"{key}.npy", overwrite=True) as work:
            np.save(work, frames)
        curve, numbers = one.read(frames, setting)
        with whole_file(Path(place) / f"{key}.json", overwrite=True) as work:
            work.write_text(json.dumps({"numbers": numbers, "curve": curve}))


def _frames(inputs: ClipInputs, setting: Setting, steps: int | None) -> np.ndarray:
    """(f, h, w, 3) uint8: the clip under a setting."""
    told = replace(inputs, gates=setting.gates(), regions=setting.of("region"))
    drop, model = setting.changes.get("mask_drop"), inputs.model
    scales = {k: float(v) for k, v in setting.of("guidance").items()}

    def conditions(start: int, stop: int) -> Conditions:
        made = told.conditions(start, stop)
        if drop is None:
            return made
        return replace(made, mask_drop=float(drop), generator=torch.Generator().manual_seed(start))

    with _scanning(model, setting.changes.get("scan_scope")):
        own = int(setting.changes["steps"]) if "steps" in setting.changes else steps
        seed = int(setting.changes.get("seed", 0))
        return np.concatenate(
            [to_uint8(piece) for piece in generate(model, conditions, told.frames, seed, own, scales=scales)]
        )


@contextmanager
def _scanning(model: TalkingHeadModel, scope: str | None) -> Iterator[None]:
    """Inside, branches scan a clip, or each frame, whatever they were trained to do."""
    branches = [m for m in model.network.modules() if isinstance(m, MaskedBranch)]
    own = [branch.config for branch in branches]
    try:
        for branch in branches if scope is not None else ():
            branch.config = replace(branch.config, scan_scope=scope)  # type: ignore[arg-type]
        yield
    finally:
        for branch, config in zip(branches, own, strict=True):
            branch.config = config
