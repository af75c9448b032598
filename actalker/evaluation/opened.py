"""Cases that are ready to be made, and what is read from their frames.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.puppets.clip import PuppetClip, PuppetConfig, puppet_clip, render_target
from ..data.puppets.motion import INDEX, PARTS, compose
from ..faces.find import choose_finder
from ..pipeline.inputs import ClipInputs, gather
from ..pipeline.model import TalkingHeadModel
from ..pipeline.result import to_uint8
from ..provenance import whole_file
from ..signals.signal import SIGNALS
from ..timeline import parse_seconds
from .cases import FPS, Case
from .control import phrases_shown
from .frames import flicker_of, smoothness_of
from .portraits import lip_opening
from .puppets import LONG, MOVES, puppet_inputs
from .reader import MotionReader
from .settings import Setting
from .statistics import correlation
from .sync import lagged_correlation, loudness


@dataclass
class Opened:
    """A case that is ready to be made, and what its frames are read with."""

    case: Case
    inputs: ClipInputs
    clip: PuppetClip | None

    @cached_property
    def reader(self) -> MotionReader:
        """Of a puppet's motion, fitted when it is first asked for: that takes some seconds."""
        assert self.clip is not None and self.case.puppet is not None
        return MotionReader(self.clip.puppet, self.clip.points, seed=self.case.puppet)

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
        assert clip is not None
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
        finder, landmarks = choose_finder("auto", None if case.face_model is None else Path(case.face_model))
        if finder != "landmarker":
            return None
        lips = lip_opening(frames, landmarks)
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
    """Read a case's files, or draw its puppet. Raises: InputError for files that cannot be used."""
    if case.puppet is not None:
        config = PuppetConfig(frames=LONG, size=model.config.size, lead=False)
        clip = puppet_clip(case.seed, case.puppet, config)
        inputs = puppet_inputs(model, clip)
        return Opened(case, inputs, clip)
    assert case.portrait is not None
    inputs = gather(
        model,
        case.portrait,
        case.audio,
        case.expression,
        case.text,
        None,
        {},
        FPS,
        None if case.duration is None else parse_seconds(case.duration),
        "face",
        None if case.face_model is None else Path(case.face_model),
    )
    return Opened(case, inputs, None)


def save_context(opened: Opened, place: Path) -> None:
    """What the report needs beside the frames: the regions, a puppet's true video, and the speech."""
    inputs = opened.inputs
    bound = inputs.portrait.bound
    held = {name: bound.shown(mask) for name, mask in bound.masks.items()}
    held["fps"] = np.array([inputs.fps.numerator, inputs.fps.denominator])
    if inputs.sound is not None:
        held["sound"], held["rate"] = inputs.sound.samples, np.array(inputs.sound.rate)
    if opened.clip is not None:
        truth = render_target(opened.clip, dict.fromkeys(SIGNALS, 1.0))
        held["truth"] = to_uint8(truth * 2 - 1)
    with whole_file(place / "context.npz", overwrite=True) as work:
        np.savez_compressed(work, **held)  # type: ignore[arg-type]
