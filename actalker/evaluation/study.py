"""A study: every case under every setting, in cells, so that a second start makes only what is missing.

A case is a portrait and what drives it. A cell of it holds the frames of one setting and the numbers that are
read from them alone; one more holds what the case's cells have in common.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from ..control.conditions import Conditions
from ..diffusion.windows import windows
from ..pipeline.generate import generate
from ..pipeline.inputs import ClipInputs
from ..pipeline.options import RunOptions
from ..pipeline.output.result import to_uint8
from ..pipeline.sampling_plan import sampling_plan
from ..timeline import frame_count, parse_seconds
from .cases import FPS, Case
from .cells import CELL_FOLDER, Job, Measured, key_of, read_array, read_values, run_cells
from .jobs import Workers
from .models import model_files, model_of
from .opened import Opened, measured_context, open_case
from .settings import Setting


@dataclass(frozen=True)
class Study:
    """Describe a study: its cases and settings; model and steps are used where a setting names none."""

    cases: tuple[Case, ...]
    settings: tuple[Setting, ...]
    model: str = "tiny"
    steps: int | None = None

    def model_under(self, setting: Setting) -> str:
        """The name of the model that a setting runs."""
        return setting.changes.get("model", self.model)


@dataclass(frozen=True)
class Cell:
    """Hold one case under one setting.

    folder, key: where its arrays are.
    numbers: measures of its frames alone.
    curve: the lips' opening, (f,); None where it could not be read.
    context: key of the cell with what all cells of the case share.
    """

    case: Case
    setting: Setting
    folder: Path
    key: str
    numbers: dict[str, float]
    curve: list[float] | None
    context: str = ""

    @property
    def frames(self) -> np.ndarray:
        """Return the frames (f, h, w, 3) uint8, read from the disk."""
        return read_array(self.folder, self.key, "frames")


@dataclass(frozen=True)
class CasePlan:
    """The keys of a case's cells, in the order of the settings, and of its context.

    missing: settings whose cell is not there.
    """

    case: Case
    keys: tuple[str, ...]
    context: str
    missing: tuple[Setting, ...]


def planned(study: Study, folder: Path) -> list[CasePlan]:
    """What there is and what is missing, case by case. Raises: InputError for models that cannot be used."""
    names = dict.fromkeys(study.model_under(setting) for setting in study.settings)
    files = {name: model_files(name) for name in names}
    out = []
    for case in study.cases:
        recipe, first = case.recipe(), files[study.model_under(study.settings[0])]
        keys = tuple(
            key_of("frames", recipe, dict(s.changes), files[study.model_under(s)], study.steps)
            for s in study.settings
        )
        pairs = zip(study.settings, keys, strict=True)
        missing = tuple(s for s, key in pairs if read_values(folder / CELL_FOLDER, key) is None)
        out.append(CasePlan(case, keys, key_of("context", recipe, first), missing))
    return out


def run_study(
    study: Study,
    folder: Path,
    workers: Workers,
    tick: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[list[Cell]]:
    """Make the cells that are missing; returns them case by case, in the order of the settings.

    tick: called once for each cell. tell: called with the plan before the work, one line.
    Raises: InputError for inputs and models that cannot be used.
    """
    plans, place = planned(study, folder), folder / CELL_FOLDER
    tell(f"plan: {cost(study, plans, workers.count)}")
    jobs = [job for number, plan in enumerate(plans) for job in _jobs(study, plan, f"case {number}")]
    values = iter(run_cells(jobs, place, workers, tick))
    study_cells = []
    for plan in plans:
        next(values)  # of the context
        study_cells.append(
            [
                Cell(plan.case, s, place, key, **next(values), context=plan.context)
                for s, key in zip(study.settings, plan.keys, strict=True)
            ]
        )
    return study_cells


def cell_count(study: Study) -> int:
    """How many cells a study has, contexts of its cases among them."""
    return len(study.cases) * (len(study.settings) + 1)


def _jobs(study: Study, plan: CasePlan, group: str) -> list[Job]:
    """The context of a case and its cells: made in one process, which opens the case once."""
    first = study.model_under(study.settings[0])
    jobs = [Job(plan.context, partial(_context, plan.case, first), group)]
    for setting, key in zip(study.settings, plan.keys, strict=True):
        make = partial(_measured, plan.case, setting, study.model_under(setting), study.steps)
        jobs.append(Job(key, make, group))
    return jobs


def cost(study: Study, plans: Sequence[CasePlan], workers: int) -> str:
    """Cells, frames and denoiser calls that are missing, and about how long they take.

    The time is that of one denoiser call here and now; reading frames and drawing the page come on top.
    """
    cells = [(plan.case, setting) for plan in plans for setting in plan.missing]
    total = len(plans) * len(study.settings)
    summary = f"{total} cells (cases x settings: {len(plans)} x {len(study.settings)})"
    if not cells:
        return f"{summary}, all kept from before"
    first, model = cells[0][0], study.model_under(cells[0][1])
    loaded = model_of(model)
    config = loaded.config
    frames = [_frames_of(case) for case, _ in cells]
    calls = 0
    for (_, setting), count in zip(cells, frames, strict=True):
        steps = int(setting.changes.get("steps", study.steps or config.sampling.steps))
        shifted = config.sampling.windows == "shifted"
        latents = loaded.codec.latents_of(count)
        overlapping = windows(latents, config.window, config.overlap)
        calls += steps * (-(-latents // config.window) if shifted else len(overlapping))
    together = min(workers, sum(bool(plan.missing) for plan in plans))
    seconds = calls * _seconds_of_a_call(first, model) / together
    before = f", {total - len(cells)} kept from before" if total > len(cells) else ""
    lasts = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return f"{summary}{before}; {sum(frames)} frames, {calls} denoiser calls, about {lasts}"


def _frames_of(case: Case) -> int:
    assert case.duration is not None
    return frame_count(parse_seconds(case.duration), FPS)


def _seconds_of_a_call(case: Case, model: str) -> float:
    """Seconds of one denoiser call with all gates open, when everything is compiled and warm."""
    inputs = opened(case, model).inputs
    count = min(inputs.frames, inputs.model.codec.frames_of(inputs.model.config.window))
    for _ in range(2):
        start = time.perf_counter()
        plan = sampling_plan(RunOptions(steps=1), inputs.model.config.sampling)
        for _ in generate(inputs.model, inputs.conditions, count, plan, codec=inputs.portrait.bound):
            pass
    return time.perf_counter() - start


def opened(case: Case, model: str) -> Opened:
    """Open a case for a model. The two cases used last stay in memory until one of their files changes."""
    return _opened(case, model, key_of(case.recipe(), model_files(model)))


@lru_cache(maxsize=2)
def _opened(case: Case, model: str, files: str) -> Opened:
    return open_case(case, model_of(model))


@torch.no_grad()
def _context(case: Case, model: str) -> Measured:
    """Make the cell that holds what all cells of a case share: masks and sound."""
    return measured_context(opened(case, model))


@torch.no_grad()
def _measured(case: Case, setting: Setting, model: str, steps: int | None) -> Measured:
    """The cell of a case under a setting: its frames, and what is read from them alone."""
    one = opened(case, model)
    frames = _frames(one.inputs, setting, steps)
    curve, numbers = one.read(frames)
    return Measured({"numbers": numbers, "curve": curve}, {"frames": frames})


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
