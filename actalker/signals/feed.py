"""A signal of one clip: its input as it is opened, and as tokens at the video's frame times.

Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..media.sound import Sound
from .script import Phase


@dataclass(frozen=True, eq=False)
class SignalContext:
    """What the clip and the model are to a signal that is opened.

    encoder: the signal's, of the model. device, dtype: of the model's features. fps: exact rate of the
    frames. seconds: length of the clip; None while nothing has said it. face_model: MediaPipe's
    face_landmarker.task, where it is not the one in the package. phrases: what scripts may ask for, where
    the model was taught a fixed set. liveliness: in [0, 1], how much a face moves of itself. seed: of that.
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
    """An input that is opened and checked; what takes long is done when its feed is asked for tokens."""

    @property
    def seconds(self) -> Fraction:
        """How long a clip is that this input sets the length of."""

    def feed(self, frames: int) -> Feed:
        """The signal in a clip of so many frames."""


class Feed(ABC):
    """A signal of one clip."""

    facts: Sequence[str] = ()
    """What was found in the input and decides the result, a line each, for the plan."""

    sound: Sound | None = None
    """Sound that is written beside the frames."""

    mono: np.ndarray | None = None
    """(n,) at 16 kHz, the same as one channel."""

    phases: Sequence[Phase] = ()
    """Stretches of time with words, for previews."""

    @abstractmethod
    def tokens(self, start: int, f: int) -> Tensor:
        """Tokens (1, f, n, d) of frames start .. start + f."""

    def shown(self, start: int, f: int) -> np.ndarray | None:
        """How far the input holds the signal at frames start .. start + f, (f,) in [0, 1], which scales its
        gate; None: everywhere.
        """
        return None

    def record(self) -> dict[str, Any]:
        """What a clip's sidecar says of it beside the settings."""
        return {}
