"""Sound: any track that PyAV reads to float samples, mixed and resampled block by block.

Letters: c channels, n samples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import soxr

from ..errors import InputError
from .container import FIX, decoded, is_cover, open_media

SHORTEST = Fraction(1, 25)  # seconds: one frame of video
MOST_CHANNELS = 64
IN_MEMORY = 64 << 20  # bytes of samples held in memory; longer sound lies in a temporary file
BLOCK = 1 << 18  # samples worked on at once
LARGEST_GAP = 60  # seconds; a larger jump of the clock is a fault of the file, not silence
COUNTED = ("wav", "w64", "aiff", "flac", "mov,mp4,m4a,3gp,3g2,mj2")  # headers that count
PIPED = 0x7FFFF000  # bytes: headers of files that were written by a pipe say more
HALF = 0.5**0.5
SURROUND = {  # left and right from FL FR FC LFE and the pairs behind (ITU-R BS.775)
    6: [[1, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF]],
    8: [[1, 0, HALF, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF, 0, HALF]],
}


@dataclass(frozen=True, eq=False)
class Sound:
    """samples: (c, n) float32 in [-1, 1], maybe on disk (np.memmap). rate: samples a second.

    Raises: InputError for samples of another shape, no channel, more than 64, and a rate below 1.
    """

    samples: np.ndarray
    rate: int

    def __post_init__(self) -> None:
        shape = np.shape(self.samples)
        if len(shape) != 2 or not 1 <= shape[0] <= MOST_CHANNELS or self.rate < 1:
            raise InputError(
                f"sound of shape {shape} at {self.rate} Hz: give (channels, samples), 1 to {MOST_CHANNELS} "
                "channels, and samples a second"
            )

    @property
    def duration(self) -> Fraction:
        """Seconds, exact."""
        return Fraction(self.samples.shape[1], self.rate)

    def cut(self, start: Fraction, stop: Fraction) -> Sound:
        """The part from start to stop seconds, without a copy; what lies outside the sound is left out."""
        first, last = (min(max(round(t * self.rate), 0), self.samples.shape[1]) for t in (start, stop))
        if last <= first:
            raise InputError(
                f"no sound between {float(start):g} and {float(stop):g} s; "
                f"it is {float(self.duration):g} s long"
            )
        return Sound(self.samples[:, first:last], self.rate)

    def check(self) -> None:
        """Raises: InputError for samples that are not numbers, and less than a frame of them."""
        if self.duration < SHORTEST:
            raise InputError(f"sound of {1000 * float(self.duration):g} ms: give at least 40 ms")
        for start in range(0, self.samples.shape[1], BLOCK):
            wrong = ~np.isfinite(self.samples[:, start : start + BLOCK]).all(0)
            if wrong.any():
                at = (start + int(wrong.argmax())) / self.rate
                raise InputError(f"sound: has samples that are not numbers (NaN or infinite) at {at:.2f} s")

    def mono(self, rate: int = 16000) -> np.ndarray:
        """All channels averaged, at `rate`: (n,) float32, n = round(duration * rate); maybe its own."""
        if rate == self.rate and len(self.samples) == 1:
            return self.samples[0]
        size = round(self.duration * rate)
        with _Store() as store:
            for block in self.blocks(rate, 1):
                store.write(block)
            return store.samples(1)[0, :size]

    def blocks(self, rate: int, channels: int) -> Iterator[np.ndarray]:
        """The sound at another rate with 1 or 2 channels, in blocks (channels, k) float32.

        Together they hold exactly round(duration * rate) samples. Resampled by soxr at high quality.
        """
        weights = _mix(self.samples.shape[0], channels)
        left, total = round(self.duration * rate), self.samples.shape[1]
        stream = None
        if rate != self.rate:
            stream = soxr.ResampleStream(self.rate, rate, channels, dtype="float32", quality=soxr.HQ)
        for start in range(0, total, BLOCK):
            block = weights @ self.samples[:, start : start + BLOCK]
            if stream is not None:
                block = stream.resample_chunk(np.ascontiguousarray(block.T), last=start + BLOCK >= total).T
            block = block[:, :left]
            left -= block.shape[1]
            yield block
        if left:
            yield np.zeros((channels, left), dtype=np.float32)


def read_sound(path: str | Path, limit: Fraction | None = None) -> Sound:
    """Read the first sound track of a sound or video file.

    Padding of the encoder is left out as the container says; gaps between packets are silence; in a video
    the sound starts with the picture. Sound beyond full scale is scaled down. Memory stays flat for hours.

    Args:
        limit: seconds; what comes later is not read.
    Raises: InputError for files without a sound track, with more than 64 channels, NaN samples, less than
        40 ms, and files that are cut off or damaged.
    """
    with open_media(path, "sound") as container, _Store() as store:
        if not container.streams.audio:
            raise InputError(f"{path}: has no sound track; give a file with sound, or leave the audio out")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: its sound is of a kind that cannot be decoded; {FIX['sound']}")
        rate, channels = stream.rate, stream.channels
        if not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"{path}: has {channels} channels; export it with {MOST_CHANNELS} at most")
        if not 1000 <= rate <= 768000:
            raise InputError(f"{path}: has {rate} samples a second; export it with 16000 to 48000")
        most = None if limit is None else round(limit * rate)
        zero, peak = _picture_start(container), 0.0
        for frame in decoded(container, stream, path):
            if frame.sample_rate != rate or frame.layout.nb_channels != channels:
                raise InputError(f"{path}: changes its rate or channels on the way; export it as WAV")
            block = _floats(frame, channels)
            peak = max(peak, float(np.abs(block).max(initial=0)), key=_nan_last)
            if not np.isfinite(peak):
                raise InputError(
                    f"{path}: has samples that are not numbers (NaN or infinite) near "
                    f"{store.length / rate:.2f} s; export it as 16-bit WAV"
                )
            if frame.pts is not None:
                now = frame.pts * frame.time_base
                zero = now if zero is None else zero
                ahead = round((now - zero) * rate) - store.length
                block = _placed(block, ahead, store, rate)
            store.write(block)
            if most is not None and store.length >= most:
                break
        else:
            _check_whole(path, container, stream, store.length)
        samples = store.samples(channels)[:, :most]
    if samples.shape[1] < SHORTEST * rate:
        found = f"only {1000 * samples.shape[1] / rate:.3g} ms of sound" if samples.size else "no sound in it"
        raise InputError(f"{path}: {found}; give at least {1000 * SHORTEST} ms")
    if peak > 1:
        for k in range(0, samples.shape[1], BLOCK):
            samples[:, k : k + BLOCK] /= peak
    return Sound(samples, rate)


class _Store:
    """Samples that arrive in blocks: in memory while they are few, then in a file without a name."""

    def __init__(self) -> None:
        self.length = 0
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # a memory map of it lives on

    def write(self, block: np.ndarray) -> None:
        """Append (c, n)."""
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


def _nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value


def _mix(own: int, wanted: int) -> np.ndarray:
    """Weights (wanted, own) from a sound's channels to 1 or 2."""
    if wanted == own <= 2:
        weights = np.eye(own)
    elif wanted == 2 and own in SURROUND:
        weights = np.array(SURROUND[own])
    else:
        weights = np.ones((wanted, own))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _floats(frame: Any, channels: int) -> np.ndarray:
    """A decoded frame's samples, (c, n) float32, full scale 1; without the padding at the end."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, channels).T
    if frame.duration and frame.time_base == Fraction(1, frame.sample_rate):
        raw = raw[:, : frame.duration]  # MP4 tells how much of the last frame counts
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / 128
    if raw.dtype.kind == "i":
        return raw.astype(np.float32) / 2.0 ** (8 * raw.itemsize - 1)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the caller refuses
        return raw.astype(np.float32)


def _picture_start(container: Any) -> Fraction | None:
    """When the video track starts, by the file's clock; None without one."""
    for video in container.streams.video:
        if video.start_time is not None and not is_cover(video):
            return video.start_time * video.time_base
    return None


def _placed(block: np.ndarray, ahead: int, store: _Store, rate: int) -> np.ndarray:
    """Silence before a block that starts later than the last one ended; cut what lies before the picture."""
    largest = LARGEST_GAP * rate
    if store.length == 0 and -largest <= ahead < 0:
        return block[:, -ahead:]
    smallest = 0 if store.length == 0 else rate // 10  # clocks of containers jitter by milliseconds
    if smallest < ahead <= largest:
        for k in range(0, ahead, BLOCK):
            store.write(np.zeros((block.shape[0], min(BLOCK, ahead - k)), dtype=np.float32))
    return block


def _check_whole(path: str | Path, container: Any, stream: Any, length: int) -> None:
    if container.format.name not in COUNTED or not stream.duration:
        return
    told, read = float(stream.duration * stream.time_base), length / stream.rate
    if container.format.name == "wav":  # FFmpeg tells what is there, the header what was
        told = _wav_seconds(path) or told
    if read + max(0, stream.start_time or 0) * stream.time_base < told - 0.5:
        raise InputError(f"{path}: is cut off, {read:.1f} of {told:.1f} s are there; copy or export it again")


def _wav_seconds(path: str | Path) -> float | None:
    """Seconds of sound by the header of a RIFF file; None where it does not say (written by a pipe)."""
    rate = 0
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return None
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return size / rate if rate and size < PIPED else None
            chunk = file.read(12) if head[:4] == b"fmt " else b""
            rate = int.from_bytes(chunk[8:], "little") or rate  # bytes a second
            file.seek(size + size % 2 - len(chunk), 1)
    return None
