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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..control.branch import MaskedBranch
from ..control.conditions import Conditions
from ..data.puppets.clip import PuppetClip, PuppetConfig, puppet_clip, render_target
from ..data.puppets.motion import INDEX, PARTS, compose
from ..errors import InputError
from ..pipeline.folder import check_files, find_model, load_model
from ..pipeline.generate import generate
from ..pipeline.inputs import ClipInputs, gather
from ..pipeline.model import TalkingHeadModel
from ..pipeline.talking_head import to_uint8
from ..provenance import file_hash, whole_file
from ..signals.signal import SIGNALS
from ..timeline import parse_rate, parse_seconds
from .control import correlation, phrases_shown
from .jobs import run_jobs
from .metrics import flicker_of, smoothness_of
from .portraits import lagged_correlation, lip_opening, loudness
from .puppets import LONG, MOVES, puppet_inputs
from .reader import MotionReader
from .settings import Setting


@dataclass(frozen=True)
class Case:
    """What is animated. puppet: number of a held-out puppet of `seed`, or None for files.

    face_model: MediaPipe's face_landmarker.task, for the lips of portraits.
    """

    name: str
    puppet: int | None = None
    seed: int = 0
    portrait: str | None = None
    audio: str | None = None
    expression: str | None = None
    text: str | None = None
    duration: str | None = None
    face_model: str | None = None

    def signals(self) -> list[str]:
        """Signals that drive it."""
        return [name for name in SIGNALS if self.puppet is not None or getattr(self, name) is not None]

    def sources(self) -> dict[str, str]:
        """Hashes of its files."""
        given = {name: getattr(self, name) for name in ("portrait", "audio", "expression", "text")}
        return {name: file_hash(path) for name, path in given.items() if path and _is_file(path)}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def puppet_cases(count: int, seed: int) -> list[Case]:
    """So many held-out puppets."""
    return [Case(f"puppet {k}", k, seed) for k in range(count)]


def file_cases(
    portraits: Sequence[Path],
    audio: Sequence[str],
    expression: Sequence[str],
    text: Sequence[str],
    duration: str | None,
    face_model: str | None,
) -> list[Case]:
    """Every portrait with every speech, driving video and script. Raises: InputError without any of these."""
    if portraits and not (audio or expression or text):
        raise InputError("--portraits: nothing drives them; give --audio, --expression or --text")
    cases = []
    nothing: list[str | None] = [None]
    drivers = product(*[[*given] if given else nothing for given in (audio, expression, text)])
    for portrait, (a, e, t) in product(portraits, list(drivers)):
        more = [Path(x).stem for x, many in ((a, audio), (e, expression)) if x and len(many) > 1]
        if t and len(text) > 1:
            more.append(f"script {text.index(t) + 1}")
        name = ", ".join([portrait.stem, *more])
        cases.append(Case(name, None, 0, str(portrait), a, e, t, duration, face_model))
    names = [case.name for case in cases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--portraits: two cases are called '{twice}'; give files of different names")
    return cases


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


def applicable(settings: Sequence[Setting], cases: Sequence[Case]) -> list[Setting]:
    """The settings that change only signals that some case has."""
    there = {name for case in cases for name in case.signals()}
    return [s for s in settings if s.signals() <= there or not s.changes or "model" in s.changes]


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
    opened: dict[str, _Opened] = {}
    for setting, key in missing:
        name = setting.changes.get("model", model)
        if name not in opened:
            opened[name] = _open(case, _model(name))
            _save_context(opened[name], Path(place))
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
    scales = {**model.config.sampling.guidance, **{k: float(v) for k, v in setting.of("guidance").items()}}

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


@dataclass
class _Opened:
    """A case that is ready to be made, and what its frames are read with."""

    case: Case
    inputs: ClipInputs
    clip: PuppetClip | None
    reader: MotionReader | None

    def read(self, frames: np.ndarray, setting: Setting) -> tuple[list[float] | None, dict[str, float]]:
        """The lips' opening in every frame, if it can be read, and the numbers of a cell."""
        numbers = {"smoothness": smoothness_of(frames), "flicker": flicker_of(frames)}
        curve = (
            self._read_portrait(frames, numbers)
            if self.clip is None
            else self._read_puppet(_pictures(frames), setting, numbers)
        )
        known = {name: value for name, value in numbers.items() if np.isfinite(value)}
        return None if curve is None else [round(float(v), 5) for v in curve], known

    def _read_puppet(self, video: Tensor, setting: Setting, numbers: dict[str, float]) -> np.ndarray:
        clip, reader = self.clip, self.reader
        assert clip is not None and reader is not None
        fps, count = float(clip.config.fps), len(video)
        values = setting.gates().values
        gates = {name: values(name, count, self.inputs.fps) for name in SIGNALS}
        motion, whole = reader.read(video), compose(clip.parts, dict.fromkeys(SIGNALS, 1.0))
        moves = [INDEX[c] for c in PARTS["expression"] if whole[:, INDEX[c]].std() > MOVES / 2]
        truth = render_target(clip, gates)
        numbers["psnr"] = float(-10 * (video - truth).square().mean().clamp(min=1e-10).log10())
        if whole[:, INDEX["jaw"]].std() >= MOVES / 2:
            numbers["lips"] = correlation(motion[:, INDEX["jaw"]], whole[:, INDEX["jaw"]])
        if moves:
            numbers["expression"] = float(np.mean([correlation(motion[:, c], whole[:, c]) for c in moves]))
        shown = phrases_shown(motion, clip.script, fps)
        if shown:
            numbers["phrases"] = float(np.mean(shown))
        return motion[:, INDEX["jaw"]]

    def _read_portrait(self, frames: np.ndarray, numbers: dict[str, float]) -> np.ndarray | None:
        case, inputs = self.case, self.inputs
        if case.face_model is None:
            return None
        lips = lip_opening(frames, Path(case.face_model))
        if np.isnan(lips).mean() > 0.5:
            return None
        if inputs.sound is not None:
            loud = loudness(inputs.sound, inputs.frames, inputs.fps)
            numbers["lips"] = lagged_correlation(lips, loud)
        known = np.flatnonzero(~np.isnan(lips))
        return np.interp(np.arange(len(lips)), known, lips[known])


def _pictures(frames: np.ndarray) -> Tensor:
    """(f, h, w, 3) uint8 to (f, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def _open(case: Case, model: TalkingHeadModel) -> _Opened:
    if case.puppet is not None:
        config = PuppetConfig(frames=LONG, size=model.config.size, lead=False)
        clip = puppet_clip(case.seed, case.puppet, config)
        inputs = puppet_inputs(model, clip)
        return _Opened(case, inputs, clip, MotionReader(clip.puppet, clip.points, seed=case.puppet))
    assert case.portrait is not None
    inputs = gather(
        model,
        case.portrait,
        case.audio,
        case.expression,
        case.text,
        None,
        {},
        parse_rate(25),
        None if case.duration is None else parse_seconds(case.duration),
        "face",
        None if case.face_model is None else Path(case.face_model),
    )
    return _Opened(case, inputs, None, None)


def _save_context(opened: _Opened, place: Path) -> None:
    """What the report needs beside the frames: the regions, a puppet's true video, and the speech."""
    inputs = opened.inputs
    held = {name: mask.numpy() for name, mask in inputs.portrait.masks.items()}
    held["fps"] = np.array([inputs.fps.numerator, inputs.fps.denominator])
    if inputs.sound is not None:
        held["sound"], held["rate"] = inputs.sound.samples, np.array(inputs.sound.rate)
    if opened.clip is not None:
        truth = render_target(opened.clip, dict.fromkeys(SIGNALS, 1.0))
        held["truth"] = to_uint8(truth * 2 - 1)
    with whole_file(place / "context.npz", overwrite=True) as work:
        np.savez_compressed(work, **held)  # type: ignore[arg-type]
