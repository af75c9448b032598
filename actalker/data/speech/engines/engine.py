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
    """Describe one voice of an engine.

    name: the engine's name of the voice.
    language: a key of `sentences.SYLLABLES`, or `en`.
    licence: of the voice.
    alphabet: the alphabet of its symbols, a key of `symbols.ALPHABETS`.
    held_out: whether the voice is never trained on.
    group: name of a group of alike voices, which tables count as one.
    share: how often the voice is drawn, relative to the others.
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
    """Hold a text to say. pace, pitch: factors on the voice's own. seed: for the voice's random numbers."""

    text: str
    pace: float = 1.0
    pitch: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Said:
    """Hold the speech that an engine made of a line.

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
        """Return the command that installs the engine or its missing voices; None if nothing is missing."""
        return None if all(map(importlib.util.find_spec, cls.modules)) else PIP

    @abstractmethod
    def voices(self) -> list[Voice]:
        """Return the installed voices; an empty list where the engine is not installed."""

    @abstractmethod
    def version(self) -> str:
        """Return the name and version of the engine's package."""

    @abstractmethod
    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines with a voice, in their order; a line that it cannot say is left out."""

    def prepare(self) -> None:  # noqa: B027 (most need nothing)
        """Prepare files that several processes share, once, before they start."""

    def fresh(self) -> None:  # noqa: B027 (most have nothing to forget)
        """Reset the engine's state, so that later speech does not depend on earlier calls."""

    def draw(self, voices: Sequence[Voice], rng: Random, turn: int) -> Voice:
        """Draw the next voice by the voices' shares. turn: number of the stretch of speech."""
        return rng.choices(voices, [voice.share for voice in voices])[0]


def packaged(name: str) -> str:
    """Return the version of an installed package."""
    return metadata.version(name)


def at_rate(sound: np.ndarray, rate: float) -> np.ndarray:
    """Resample a sound (n,) to float32 at 16 kHz, made quieter where it exceeds [-1, 1]."""
    sound = np.asarray(sound, np.float32)
    if rate != RATE:
        sound = soxr.resample(sound, rate, RATE)
    return (sound / max(1.0, float(np.abs(sound).max(initial=0.0)) / 0.99)).astype(np.float32)
