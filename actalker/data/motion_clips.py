"""Performances from shards of real clips: the motion tracked in them, under gates. No picture is read.

It is known what a clip shows, but not which signal caused which part of it. So speech and driver each ask for
all of it: alone they move the whole face, together the speech moves the mouth and the driver the rest, and
their sum is what the clip shows. A script asks for nothing: its share cannot be told from the others', so its
gate is closed during its phases.

Letters: f frames.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ..control.gates import Gates, draw_gates
from ..errors import InputError
from ..heads.face_map import FOLLOWS, NUMBERS, mirrored, numbers_of
from ..heads.rest import calm_face, relative_to
from ..signals.encoders import speech_of
from ..signals.samples import ClipWindow
from ..signals.script import Script
from .clip_set import ClipSet, ClipSetConfig, script_of
from .members import Damaged, read_motion, read_sound
from .performances.performance import Performance
from .sample import signal_names
from .shards import Clip

MEMBER = "motion.npz"
KEPT = 256 << 20  # bytes of clips that are kept in memory, in each process
log = logging.getLogger("actalker")


@dataclass(frozen=True)
class MotionClipConfig(ClipSetConfig):
    """How performances are cut from the tracks of prepared clips (`actalker prepare --motion`)."""

    fractional: float = 0.25
    """Chance that an open gate is neither 0 nor 1."""

    mirror: float = 0.5
    """Chance that a window's motion is mirrored."""

    audio: dict[str, Any] = field(default_factory=lambda: {"kind": "speech"})
    """Settings of the model's audio encoder (`model.model.audio`), which decide the audio features."""


@dataclass(frozen=True, eq=False)
class Material:
    """What samples need of a whole clip.

    rest: (62,) numbers of its calmest frame. numbers: (f, 62) its motion relative to that. seen: (f,) the
    tracker's confidence, 0 without a face. shot: (f,) the number of each frame's shot. speech: (f, ...) audio
    features, or None without sound. script: None without one.
    """

    rest: np.ndarray
    numbers: np.ndarray
    seen: np.ndarray
    shot: np.ndarray
    speech: np.ndarray | None
    script: Script | None

    @property
    def size(self) -> int:
        """Bytes of its large arrays."""
        return self.numbers.nbytes + (0 if self.speech is None else self.speech.nbytes)


class MotionClipDataset(ClipSet[Performance]):
    """Windows of clips as performances. Arguments: as `ClipSet`."""

    config: MotionClipConfig

    def __init__(
        self, config: MotionClipConfig, training: bool = True, index: Sequence[Clip] | None = None
    ) -> None:
        super().__init__(config, training, index)
        self.speech = speech_of(config.audio)
        self.materials: dict[int, Material] = {}
        self.room = KEPT

    def usable(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The clips with a track of the head. Raises: InputError where none has one."""
        tracked = [clip for clip in clips if MEMBER in clip.members]
        if not tracked:
            raise InputError(
                f"{self.config.shards}: holds no {MEMBER}; prepare the clips again, with --motion: what is "
                "there already is not repeated"
            )
        if len(tracked) < len(clips) and self.training:
            log.warning(
                "%d of %d clips have no %s and are left out; prepare them again, with --motion",
                *(len(clips) - len(tracked), len(clips), MEMBER),
            )
        return tracked

    def sample(self, place: int, index: int) -> Performance:
        """The window of clip `index` that belongs to a place. Raises: Damaged."""
        config, material = self.config, self.material(index)
        generator = self.generator(place)
        first = _first(material, config.frames, generator)
        rows, rate = slice(first, first + config.frames), Fraction(config.fps)
        portrait, numbers, seen = material.rest, material.numbers[rows], material.seen[rows]
        if torch.rand((), generator=generator) < config.mirror:
            portrait, numbers = mirrored(portrait), mirrored(numbers)
        window = ClipWindow(
            frames=config.frames,
            first=first,
            rate=rate,
            features=None if material.speech is None else material.speech[rows].astype(np.float32),
            silence=self.speech.silence(config.frames),
            script=material.script,
            phases=config.phases,
            motion={
                "numbers": torch.from_numpy(numbers.copy()),
                "confidence": torch.from_numpy(seen.copy()),
            },
        )
        has = self.of_clip(window)
        present = [name for name, signal in has.items() if signal.present or not signal.asks]
        drawn = draw_gates(present, generator, config.all_open, config.fractional)
        gates = Gates({**dict.fromkeys(self.signals, 0.0), **drawn.pieces})
        everywhere = np.ones(config.frames, bool)
        shown = {
            name: (everywhere if signal.shown is None else signal.shown).astype(np.float32)
            for name, signal in has.items()
        }
        opened = {name: gates.values(name, config.frames, rate) * shown[name] for name in self.signals}
        parts = {name: numbers if signal.asks else np.zeros_like(numbers) for name, signal in has.items()}
        return Performance(
            portrait=torch.from_numpy(portrait),
            parts=torch.from_numpy(np.stack([parts[name] for name in self.signals])),
            shown=torch.from_numpy(np.stack([shown[name] for name in self.signals])),
            arrays={name: signal.arrays for name, signal in has.items()},
            gates=torch.from_numpy(np.stack([opened[name] for name in self.signals])).float(),
            micro=torch.tensor([float(rate), 0.0, 0.0]),
            index=torch.tensor(index),
            signals=signal_names(self.signals),
        )

    def material(self, index: int) -> Material:
        """What samples need of clip `index`, kept in memory up to KEPT bytes of clips. Raises: Damaged."""
        if index in self.materials:
            return self.materials[index]
        material = self._read(self.clips[index])
        if material.size <= self.room:
            self.materials[index] = material
            self.room -= material.size
        return material

    def _read(self, clip: Clip) -> Material:
        """Read what samples need of a clip. Raises: Damaged; InputError for clips of another frame rate."""
        members, fps = clip.read("json", "wav", MEMBER), self.config.fps
        meta = self.meta(clip, members["json"])
        motion = read_motion(members[MEMBER], clip.frames)
        if clip.frames > 1 and abs((motion.times[-1] - motion.times[0]) * fps / (clip.frames - 1) - 1) > 0.01:
            rate = (clip.frames - 1) / (motion.times[-1] - motion.times[0])
            raise InputError(
                f"{self.config.shards}: {clip.name} has {rate:.4g} frames a second, the training {fps}; "
                f"prepare the clips with --render.fps {fps}, or give the data their rate as fps"
            )
        present = motion.confidence > 0
        if not present.any():
            raise Damaged(f"its {MEMBER} shows no face")
        rest = calm_face(motion)
        still = _numbers(numbers_of(motion[rest : rest + 1]))[0]
        still[[NUMBERS.index(name) for name in "xyz"]] = 0
        speech = None
        if meta["sound"] and "wav" in members:
            mono = read_sound(members["wav"], clip.frames / fps)
            speech = self.speech.reader(mono, Fraction(fps))(clip.frames).astype(np.float16)
        return Material(
            rest=still,
            numbers=_numbers(numbers_of(relative_to(motion, rest, rest, present))),
            seen=motion.confidence.astype(np.float32),
            shot=motion.shot,
            speech=speech,
            script=script_of(meta["script"], self.config.phases),
        )


def _numbers(numbers: np.ndarray) -> np.ndarray:
    """Numbers (f, 62) with eyeLook set to 0, because maps derive it from the gaze."""
    out = numbers.copy()
    out[:, [k for k, name in enumerate(NUMBERS) if name.startswith(FOLLOWS)]] = 0
    return out


def _first(material: Material, frames: int, generator: torch.Generator) -> int:
    """The first frame of a window, drawn among those with the most frames that show a face, in one shot."""
    windows = np.lib.stride_tricks.sliding_window_view
    seen = windows(material.seen > 0, frames).sum(1)
    whole = windows(material.shot, frames)
    score = seen - frames * (whole[:, 0] != whole[:, -1])
    best = np.flatnonzero(score == score.max())
    return int(best[int(torch.randint(len(best), (), generator=generator))])
