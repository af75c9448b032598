"""Stores decoded samples, in memory while they are few and on disk when they are many; sets their full scale.

Letters: c channels, n samples.
"""

from __future__ import annotations

import logging
import tempfile
from typing import IO

import numpy as np

from ..errors import InputError

log = logging.getLogger("actalker")
IN_MEMORY = 64 << 20  # bytes of samples in memory at most; longer sound lies in a temporary file
BLOCK = 1 << 18  # samples worked on at once
FEW = 1000  # one sample in so many beyond full scale is a click, more are a track with another scale
LEAST = 8  # so many clicks count as a few, however short the sound
FAR = 4.0  # a sample so many times beyond all but a few others is no part of the sound
WHOLE = (2.0**15, 2.0**23, 2.0**31)  # full scales of whole numbers: 16, 24 and 32 bits
STEPS = 16  # of the histogram, per octave


class Store:
    """Collects samples that arrive in blocks: in memory while they are few, then in a file without a name."""

    def __init__(self) -> None:
        self.length = 0
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # a memory map of it lives on

    def write(self, block: np.ndarray) -> None:
        """Append a block (c, n)."""
        self.length += block.shape[1]
        self._parts.append(np.ascontiguousarray(block.T, dtype=np.float32))
        if self._file is None and self.length * block.shape[0] * 4 <= IN_MEMORY:
            return
        try:
            self._file = self._file or tempfile.TemporaryFile(prefix="actalker-")  # noqa: SIM115
            for part in self._parts:
                self._file.write(part.data)
        except OSError as error:
            raise InputError(
                f"no room for decoded sound in {tempfile.gettempdir()} ({error.strerror}); "
                "set TMPDIR to a folder on a larger disk, or cut the sound"
            ) from None
        self._parts = []

    def samples(self, channels: int) -> np.ndarray:
        """All that was written, (channels, n) float32."""
        if self._file is None:
            return np.ascontiguousarray(np.concatenate([np.zeros((0, channels), np.float32), *self._parts]).T)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r+", shape=(self.length, channels)).T


def to_full_scale(samples: np.ndarray, name: object) -> None:
    """Bring finite samples (c, n), some of them beyond [-1, 1], into it, in place.

    A few samples beyond full scale, such as clicks and the overshoots of lossy codecs, are clipped. A track
    with more of them is divided by its full scale first. If its samples are integers, that is 2^15, 2^23 or
    2^31. Else it is the largest sample; but if this is more than FAR times the level that all samples except
    a few stay below, it is that level. A change that can be heard is logged in one line, with the sound's
    `name`.
    """
    blocks = [samples[:, k : k + BLOCK] for k in range(0, samples.shape[1], BLOCK)]
    sizes = np.zeros(STEPS * 130, np.int64)  # how many samples between 2^(k / STEPS) and the next
    peak, sounding = 0.0, 0
    for block in blocks:
        size = np.abs(block)
        peak, sounding = max(peak, float(size.max(initial=0))), sounding + int(np.count_nonzero(size))
        beyond = size[size > 1].astype(np.float64)
        sizes += np.bincount((STEPS * np.log2(beyond)).astype(np.int64), minlength=len(sizes))
    few = max(LEAST, sounding // FEW)
    scale, far = 1.0, int(sizes[STEPS:].sum())
    if sizes.sum() > few:
        above = np.cumsum(sizes[::-1])[::-1]  # how many are at least as large
        level = 2.0 ** ((int(np.flatnonzero(above > few)[-1]) + 1) / STEPS)
        scale = peak if peak <= FAR * level else level
        far = int(above[min(int(STEPS * np.log2(scale)) + STEPS, len(above) - 1)])
        if scale > 2 and scale <= WHOLE[-1] and all(_whole(block, scale) for block in blocks):
            scale = next(full for full in WHOLE if full >= min(scale, peak))
            message = "%s: its samples are whole numbers beyond full scale, read as %d-bit ones"
            log.warning(message, name, round(np.log2(scale)) + 1)
        elif scale > 2:
            log.warning("%s: its samples go up to %.4g, scaled down to full scale", name, scale)
    if far and peak > 2 * scale:
        log.warning("%s: samples far beyond full scale were cut to it (%d)", name, far)
    for block in blocks:
        block /= scale
        np.clip(block, -1, 1, out=block)


def _whole(block: np.ndarray, scale: float) -> bool:
    """Whether all samples up to `scale` are whole numbers."""
    return bool(((block == np.rint(block)) | (np.abs(block) > scale)).all())
