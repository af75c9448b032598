"""The interface of a signal in one clip: its opened input, and its tokens at the video's frame times.

Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..media.sound import Sound
from .script import Phase


@dataclass(frozen=True, eq=False)
class SignalContext:
    """The clip and the model for which a signal's input is opened.

    encoder: the model's encoder of the signal.
    device, dtype: of the model's features.
    fps: exact frames a second.
    seconds: length of the clip; None while it is not known.
    face_model: path of MediaPipe's face_landmarker.task; None for the one in the package.
    phrases: actions that the model has learnt, each as its wordings; empty for models that take any text.
    liveliness: in [0, 1], how much an undriven face blinks and moves.
    seed: of those movements.
    """

    encoder: nn.Module
    device: torch.device
    dtype: torch.dtype
    fps: Fraction
    seconds: Fraction | None = None
    face_model: Path | None = None
    phrases: tuple[tuple[str, ...], ...] = ()
    liveliness: float = 0.0
    seed: int = 0


class SignalInput(Protocol):
    """An opened and checked input. Slow work is left to its feed, which does it when tokens are asked for."""

    @property
    def seconds(self) -> Fraction:
        """Length of a clip that lasts as long as this input."""

    def feed(self, frames: int) -> Feed:
        """Return the signal in a clip of so many frames."""


class Feed(ABC):
    """A signal in one clip."""

    facts: Sequence[str] = ()
    """What was measured in the input and decides the result, one line each, for the printed plan."""

    sound: Sound | None = None
    """Sound to write to the video file; None without."""

    mono: np.ndarray | None = None
    """The same sound as one channel at 16 kHz, (samples,)."""

    phases: Sequence[Phase] = ()
    """Stretches of time with text, for previews."""

    @abstractmethod
    def tokens(self, start: int, f: int) -> Tensor:
        """Return the tokens (1, f, n, d) of frames start .. start + f - 1."""

    def shown(self, start: int, f: int) -> np.ndarray | None:
        """Return how far the input contains the signal at frames start .. start + f - 1, to scale its gate.

        Returns: (f,) in [0, 1]; None for 1 everywhere.
        """
        return None

    def record(self) -> dict[str, object]:
        """Return what the clip's sidecar says of the signal beside the settings."""
        return {}
