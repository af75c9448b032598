"""The interface of text-to-speech engines, and what goes in and comes out."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from random import Random
from typing import ClassVar

import numpy as np
import soxr

from ..symbols import Raw

RATE = 16000
PIP = "pip install 'actalker[speech]'"


@dataclass(frozen=True)
class Voice:
    """One voice of an engine.

    language: a key of `sentences.SYLLABLES`, or `en`. alphabet: of its symbols, a key of `symbols.ALPHABETS`.
    held_out: whether it is never trained on. group: of alike voices, by which tables count. share: how often
    it is drawn, relative to the others.
    """

    name: str
    language: str
    licence: str
    alphabet: str
    held_out: bool = False
    group: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Line:
    """A text to say, and how: `pace` and `pitch` relative to the voice's own, `seed` for its noise."""

    text: str
    pace: float = 1.0
    pitch: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Said:
    """Speech of an engine.

    sound: (n,) float32 at 16 kHz. raw: the engine's symbols with its own times, not corrected.
    """

    line: Line
    sound: np.ndarray
    raw: list[Raw]


class Engine(ABC):
    """A text-to-speech engine on this machine."""

    name: ClassVar[str]
    minutes: ClassVar[tuple[float, float]]  # for training and held out, where all engines make 150
    modules: ClassVar[tuple[str, ...]] = ()  # what it imports
    batch: ClassVar[bool] = False  # whether saying many lines at once is quicker

    @classmethod
    def missing(cls) -> str | None:
        """The command that installs the engine or its missing voices; None where nothing is missing."""
        return None if all(map(importlib.util.find_spec, cls.modules)) else PIP

    @abstractmethod
    def voices(self) -> list[Voice]:
        """The installed voices; none where the engine is not installed."""

    @abstractmethod
    def version(self) -> str:
        """The name and version of the engine's package."""

    @abstractmethod
    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines with a voice, in their order; a line that it cannot say is left out."""

    def prepare(self) -> None:  # noqa: B027 (most need nothing)
        """Prepare files that several processes share, once, before they start."""

    def fresh(self) -> None:  # noqa: B027 (most have nothing to forget)
        """Forget what was said before, so that what comes does not depend on it."""

    def draw(self, voices: Sequence[Voice], rng: Random, turn: int) -> Voice:
        """The next voice, drawn by its share. turn: number of the stretch of speech."""
        return rng.choices(voices, [voice.share for voice in voices])[0]


def packaged(name: str) -> str:
    """The version of an installed package."""
    return metadata.version(name)


def at_rate(sound: np.ndarray, rate: float) -> np.ndarray:
    """A sound (n,) of any rate as float32 at 16 kHz, made quieter where it exceeds [-1, 1]."""
    sound = np.asarray(sound, np.float32)
    if rate != RATE:
        sound = soxr.resample(sound, rate, RATE)
    return (sound / max(1.0, float(np.abs(sound).max(initial=0.0)) / 0.99)).astype(np.float32)
