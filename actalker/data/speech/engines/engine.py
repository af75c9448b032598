"""What an engine of speech is."""

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

    `language` is a key of `sentences.SYLLABLES`, or `en`; `held`: never trained on; `alphabet`: of its
    symbols; `group`: the row of tables that it belongs to; `share`: how often it is drawn beside the others.
    """

    name: str
    language: str
    licence: str
    alphabet: str
    held: bool = False
    group: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Line:
    """What is to be said, and how: `pace` and `pitch` as shares of the voice's own, `seed` for its noise."""

    text: str
    pace: float = 1.0
    pitch: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Said:
    """What was said: sound (n,) float32 at 16 kHz; the engine's symbols with its own times, uncorrected."""

    line: Line
    sound: np.ndarray
    raw: list[Raw]


class Engine(ABC):
    """A text-to-speech engine on this machine."""

    name: ClassVar[str]
    minutes: ClassVar[tuple[float, float]]  # of 150, for training and held out
    modules: ClassVar[tuple[str, ...]] = ()  # what it imports
    batch: ClassVar[bool] = False  # whether many lines at once are quicker

    @classmethod
    def missing(cls) -> str | None:
        """What to type to have it, or to have all its voices; None where nothing is missing."""
        return None if all(map(importlib.util.find_spec, cls.modules)) else PIP

    @abstractmethod
    def voices(self) -> list[Voice]:
        """The voices that are there; none where the engine is missing."""

    @abstractmethod
    def version(self) -> str:
        """Of the engine's package."""

    @abstractmethod
    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """What it says; a line that it cannot say is left out."""

    def prepare(self) -> None:  # noqa: B027 (most need nothing)
        """What is done once, before several processes speak."""

    def fresh(self) -> None:  # noqa: B027 (most have nothing to forget)
        """Forget what was said before: what comes depends on nothing else."""

    def draw(self, voices: Sequence[Voice], rng: Random, turn: int) -> Voice:
        """The next voice. turn: number of the stretch of speech."""
        return rng.choices(voices, [voice.share for voice in voices])[0]


def packaged(name: str) -> str:
    """Version of an installed package."""
    return metadata.version(name)


def at_rate(sound: np.ndarray, rate: float) -> np.ndarray:
    """Sound (n,) float32 at 16 kHz, all of it within -1 and 1."""
    sound = np.asarray(sound, np.float32)
    if rate != RATE:
        sound = soxr.resample(sound, rate, RATE)
    return (sound / max(1.0, float(np.abs(sound).max(initial=0.0)) / 0.99)).astype(np.float32)
