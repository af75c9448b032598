"""What a study animates: held-out puppets, whose true video is known, and portraits with what drives them.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.puppets.clip import PuppetClip, PuppetConfig, puppet_clip, render_target
from ..data.puppets.motion import INDEX, PARTS, compose
from ..errors import InputError
from ..pipeline.inputs import ClipInputs, gather
from ..pipeline.model import TalkingHeadModel
from ..pipeline.talking_head import to_uint8
from ..provenance import file_hash, whole_file
from ..signals.signal import SIGNALS
from ..timeline import parse_rate, parse_seconds
from .control import phrases_shown
from .frames import flicker_of, smoothness_of
from .portraits import lip_opening
from .puppets import LONG, MOVES, puppet_inputs
from .reader import MotionReader
from .settings import Setting
from .statistics import correlation
from .sync import lagged_correlation, loudness


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


@dataclass
class Opened:
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


def open_case(case: Case, model: TalkingHeadModel) -> Opened:
    if case.puppet is not None:
        config = PuppetConfig(frames=LONG, size=model.config.size, lead=False)
        clip = puppet_clip(case.seed, case.puppet, config)
        inputs = puppet_inputs(model, clip)
        return Opened(case, inputs, clip, MotionReader(clip.puppet, clip.points, seed=case.puppet))
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
    return Opened(case, inputs, None, None)


def save_context(opened: Opened, place: Path) -> None:
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
