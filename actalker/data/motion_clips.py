"""Shards of real clips to performances: the motion that was tracked in them, under gates. No picture is read.

What a clip shows is known, not which signal asked for what of it. So speech and driver ask for the whole of
it each: alone they move the whole face, together the speech moves the mouth and the driver the rest, and the
sum is what the clip shows. A script asks for nothing; in its phases, whose share cannot be told apart, its
gate is closed.

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
    """Chance that a window's motion is that of a mirror image."""

    audio: dict[str, Any] = field(default_factory=lambda: {"kind": "speech"})
    """Settings of the model's encoder of speech (`model.model.audio`): it says what is read of a sound."""


@dataclass(frozen=True, eq=False)
class Material:
    """A whole clip: own (62,), its motion relative to that (f, 62), how surely it was seen (f,), the frames
    of each shot (f,), what is read of its speech (f, ...), or None, and its script.
    """

    own: np.ndarray
    numbers: np.ndarray
    seen: np.ndarray
    shot: np.ndarray
    speech: np.ndarray | None
    script: Script | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.numbers.nbytes + (0 if self.speech is None else self.speech.nbytes)


class MotionClipDataset(ClipSet[Performance]):
    """Windows of clips as performances."""

    config: MotionClipConfig

    def __init__(
        self, config: MotionClipConfig, training: bool = True, index: Sequence[Clip] | None = None
    ) -> None:
        super().__init__(config, training, index)
        self.speech = speech_of(config.audio)
        self.kept: dict[int, Material] = {}
        self.room = KEPT

    def usable(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The clips with a track."""
        found = [clip for clip in clips if MEMBER in clip.members]
        if not found:
            raise InputError(
                f"{self.config.shards}: holds no {MEMBER}; prepare the clips again, with --motion: what is "
                "there already is not repeated"
            )
        if len(found) < len(clips) and self.training:
            log.warning(
                "%d of %d clips have no %s and are left out; prepare them again, with --motion",
                *(len(clips) - len(found), len(clips), MEMBER),
            )
        return found

    def sample(self, place: int, index: int) -> Performance:
        """The window of a place, of clip `index`. Raises: Damaged."""
        config, made = self.config, self.material(index)
        generator = self.generator(place)
        first = _first(made, config.frames, generator)
        rows, rate = slice(first, first + config.frames), Fraction(config.fps)
        own, numbers, seen = made.own, made.numbers[rows], made.seen[rows]
        if torch.rand((), generator=generator) < config.mirror:
            own, numbers = mirrored(own), mirrored(numbers)
        window = ClipWindow(
            frames=config.frames,
            first=first,
            rate=rate,
            features=None if made.speech is None else made.speech[rows].astype(np.float32),
            silence=self.speech.silence(config.frames),
            script=made.script,
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
            own=torch.from_numpy(own),
            parts=torch.from_numpy(np.stack([parts[name] for name in self.signals])),
            shown=torch.from_numpy(np.stack([shown[name] for name in self.signals])),
            arrays={name: signal.arrays for name, signal in has.items()},
            gates=torch.from_numpy(np.stack([opened[name] for name in self.signals])).float(),
            micro=torch.tensor([float(rate), 0.0, 0.0]),
            index=torch.tensor(index),
            signals=signal_names(self.signals),
        )

    def material(self, index: int) -> Material:
        """Clip `index`; the first that are read are kept, as many as there is room for. Raises: Damaged."""
        if index in self.kept:
            return self.kept[index]
        made = self._read(self.clips[index])
        if made.size <= self.room:
            self.kept[index] = made
            self.room -= made.size
        return made

    def _read(self, clip: Clip) -> Material:
        held, fps = clip.read("json", "wav", MEMBER), self.config.fps
        meta = self.meta(clip, held["json"])
        motion = read_motion(held[MEMBER], clip.frames)
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
        own = _numbers(numbers_of(motion[rest : rest + 1]))[0]
        own[[NUMBERS.index(name) for name in "xyz"]] = 0
        speech = None
        if meta["sound"] and "wav" in held:
            mono = read_sound(held["wav"], clip.frames / fps)
            speech = self.speech.reader(mono, Fraction(fps))(clip.frames).astype(np.float16)
        return Material(
            own=own,
            numbers=_numbers(numbers_of(relative_to(motion, rest, rest, present))),
            seen=motion.confidence.astype(np.float32),
            shot=motion.shot,
            speech=speech,
            script=script_of(meta["script"], self.config.phases),
        )


def _numbers(numbers: np.ndarray) -> np.ndarray:
    """Numbers (f, 62) as a map has them: eyeLook follows the gaze and is 0."""
    out = numbers.copy()
    out[:, [k for k, name in enumerate(NUMBERS) if name.startswith(FOLLOWS)]] = 0
    return out


def _first(made: Material, frames: int, generator: torch.Generator) -> int:
    """Where a window begins: in one shot and with a face in every frame, where there is such a window."""
    windows = np.lib.stride_tricks.sliding_window_view
    seen = windows(made.seen > 0, frames).sum(1)
    whole = windows(made.shot, frames)
    score = seen - frames * (whole[:, 0] != whole[:, -1])
    best = np.flatnonzero(score == score.max())
    return int(best[int(torch.randint(len(best), (), generator=generator))])
