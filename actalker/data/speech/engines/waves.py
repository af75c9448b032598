"""WAV files of the engines' programs."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """The sound (n,) float32 in [-1, 1] of a mono file of 16 bits, and its rate.

    Raises: ValueError for other formats.
    """
    with wave.open(str(path)) as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: is not mono of 16 bits")
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return pcm.astype(np.float32) / 32768, file.getframerate()
