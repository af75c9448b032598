"""Sound: any track that PyAV reads to float samples, mixed and resampled block by block.

Letters: c channels, n samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr

from ..errors import InputError
from .container import decoded, open_media
from .headers import read_header, refuse_swapped, vorbis_end
from .mixing import Mix
from .store import BLOCK, Store, to_full_scale
from .tracks import check_whole, picture_start, sound_track

log = logging.getLogger("actalker")
SHORTEST = Fraction(1, 25)  # seconds: one frame of video
MOST_CHANNELS = 64
LARGEST_GAP = 60  # seconds; a larger jump of the clock is a fault of the file, not silence
UNTIMED = ("aac", "mp3", "ac3", "eac3", "loas")  # streams without a container
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Sound:
    """samples: (c, n) float32 in [-1, 1], maybe on disk (np.memmap). rate: samples a second.
    name: what it is called where something is said of it, the file for one that was read.

    Raises: InputError for samples of another shape, no channel, more than 64, and a rate below 1.
    """

    samples: np.ndarray
    rate: int
    name: str = "sound"

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
        return Sound(self.samples[:, first:last], self.rate, self.name)

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
        """All channels averaged, at `rate`: (n,) float32, n = round(duration * rate); maybe its own.

        Where the channels cancel each other, the louder one (`mixing.Mix`).
        """
        if rate == self.rate and len(self.samples) == 1:
            return self.samples[0]
        size = round(self.duration * rate)
        with Store() as store:
            for block in self.blocks(rate, 1):
                store.write(block)
            return store.samples(1)[0, :size]

    def blocks(self, rate: int, channels: int) -> Iterator[np.ndarray]:
        """The sound at another rate with 1 or 2 channels, in blocks (channels, k) float32.

        Together they hold exactly round(duration * rate) samples. Resampled by soxr at high quality. A sound
        of 1 or 2 channels keeps them as they are.
        """
        mix = self._mono if channels == 1 else Mix(self.samples, self.rate, channels, self.name)
        left, total = round(self.duration * rate), self.samples.shape[1]
        stream = None
        if rate != self.rate:
            stream = soxr.ResampleStream(self.rate, rate, channels, dtype="float32", quality=soxr.HQ)
        for start in range(0, total, BLOCK):
            block = mix(self.samples[:, start : start + BLOCK], start)
            if stream is not None:
                block = stream.resample_chunk(np.ascontiguousarray(block.T), last=start + BLOCK >= total).T
            block = block[:, :left]
            left -= block.shape[1]
            yield block
        if left:
            yield np.zeros((channels, left), dtype=np.float32)

    @cached_property
    def _mono(self) -> Mix:
        return Mix(self.samples, self.rate, 1, self.name)


def read_sound(path: str | Path, limit: Fraction | None = None, start: Fraction = Fraction(0)) -> Sound:
    """Read the sound track of a sound or video file: the default one, or the first that decodes.

    Padding of the encoder is left out as the container says; gaps between packets are silence; in a video
    the sound starts with the picture. Sound beyond full scale is scaled down, or cut to it where it is a few
    samples (`to_full_scale`). Memory stays flat for hours.

    Args:
        limit: seconds; what comes later is not read.
        start: seconds, exact to the sample; what comes before is decoded and not kept.
    Raises: InputError for files without a sound track, with more than 64 channels, NaN samples, less than
        40 ms, files that are cut off or damaged, and ones that end before `start`.
    """
    refuse_swapped(path)
    with open_media(path, "sound") as container, Store() as store:
        stream = sound_track(container, path)
        zero = picture_start(container, path)
        frames, told = decoded(container, stream, path), None
        if container.format.name == "ogg" and stream.codec_context.name == "vorbis":
            told = vorbis_end(path)
        if told is not None:  # FFmpeg's own cuts at either end are wrong by some blocks
            stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual
            next(frames, None)  # what a first block makes without one before it
        track = _Track(path, frames, zero, container.format.name, told)
        first = round(start * track.rate)
        most = None if limit is None else round(limit * track.rate)
        peak = 0.0
        for block in track:
            kept = block[:, max(0, first - track.begin) :]
            if kept.shape[1]:
                peak = max(peak, float(np.abs(kept).max()))
                store.write(kept)
            if most is not None and store.length >= most:
                break
        else:
            check_whole(path, container, stream, track.decoded / track.rate)
        samples = store.samples(track.channels)[:, :most]
    if start and not samples.size:
        ends = track.end / track.rate
        raise InputError(
            f"{path}: its sound ends at {ends:.2f} s; start before that, not at {float(start):g} s"
        )
    if samples.shape[1] < SHORTEST * track.rate:
        found = (
            f"{1000 * samples.shape[1] / track.rate:.3g} ms of sound" if samples.size else "no sound in it"
        )
        after = f" after {float(start):g} s" if start else ""
        only = "only " if samples.size else ""
        raise InputError(f"{path}: {only}{found}{after}; give at least {1000 * SHORTEST} ms")
    if peak > 1:
        to_full_scale(samples, path)
    return Sound(samples, track.rate, str(path))


class _Track:
    """Decoded frames as blocks (c, n) in their places from `zero` on: gaps filled, paddings cut.

    zero: seconds on the file's clock of the first sample; None: where the sound begins. kind: of container;
    the times of `UNTIMED` ones are those of a reader that takes the first frame's rate for all.
    rate, channels: of the first frame; later ones that differ are brought to it, with one warning.
    told: samples of the whole track, where it is known.
    begin, end: place of the block that was given last. decoded: samples, those before zero too.
    """

    def __init__(
        self, path: str | Path, frames: Iterator[Any], zero: Fraction | None, kind: str, told: int | None
    ) -> None:
        self.path, self.zero, self.kind, self.told = path, zero, kind, told
        self.begin = self.end = self.decoded = 0
        first = next(frames, None)
        if first is None:
            raise InputError(f"{path}: no sound in it; give at least {1000 * SHORTEST} ms")
        self.rate, self.channels = first.sample_rate, first.layout.nb_channels
        self.layout = first.layout
        self.packers: dict[str, av.AudioResampler] = {}
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise InputError(f"{path}: has {self.channels} channels; export it with {MOST_CHANNELS} at most")
        if not 1000 <= self.rate <= 768000:
            raise InputError(f"{path}: has {self.rate} samples a second; export it with 16000 to 48000")
        self.frames = self._alike(first, frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame, last in _with_last(self.frames):
            block = _floats(self._packed(frame))
            if last:
                block = block[:, : self._counted(frame)]
            if not np.isfinite(block).all():
                raise InputError(
                    f"{self.path}: has samples that are not numbers (NaN or infinite) near "
                    f"{self.end / self.rate:.2f} s; export it as 16-bit WAV"
                )
            self.decoded += block.shape[1]
            if frame.pts is not None and (self.kind not in UNTIMED or self.end == 0):
                now = frame.pts * frame.time_base
                self.zero = now if self.zero is None else self.zero
                ahead = round((now - self.zero) * self.rate) - self.end
                largest = LARGEST_GAP * self.rate
                smallest = 0 if self.end == 0 else self.rate // 10  # clocks jitter by milliseconds
                if self.end == 0 and -largest <= ahead < 0:
                    block = block[:, -ahead:]
                elif smallest < ahead <= largest:
                    for k in range(0, ahead, BLOCK):
                        yield self._at_end(np.zeros((self.channels, min(BLOCK, ahead - k)), np.float32))
            yield self._at_end(block)

    def _packed(self, frame: Any) -> Any:
        """The frame in a form that PyAV reads: from 8 planes on it reads past the last, and dies."""
        form = frame.format
        if not form.is_planar or self.channels < 8:
            return frame
        if form.name not in self.packers:
            self.packers[form.name] = av.AudioResampler(form.packed, self.layout, self.rate)
        (packed,) = self.packers[form.name].resample(frame)
        return packed

    def _counted(self, frame: Any) -> int | None:
        """How many samples of the last frame are sound: the rest fills a block of the codec."""
        exact = self.kind.startswith("mov") and frame.time_base == Fraction(1, self.rate)
        if exact and 0 < (frame.duration or 0) < frame.samples:
            return frame.duration  # MP4 tells; in Ogg FFmpeg has cut the frame already, and this is less
        told = self.told or read_header(self.path).samples  # of ADPCM and other codecs with blocks
        inside = told is not None and self.decoded < told < self.decoded + frame.samples
        return told - self.decoded if told is not None and inside else None

    def _at_end(self, block: np.ndarray) -> np.ndarray:
        self.begin, self.end = self.end, self.end + block.shape[1]
        return block

    def _alike(self, first: Any, frames: Iterator[Any]) -> Iterator[Any]:
        """All frames with the rate and channels of the first."""
        yield first
        form = now = (self.rate, self.layout.name)
        change, said = None, False
        for frame in frames:
            kind = (frame.sample_rate, frame.layout.name)
            if kind != now:
                yield from [] if change is None else change.resample(None)
                change = None if kind == form else av.AudioResampler("flt", self.layout, self.rate)
                now = kind
                if not said:
                    told = "%s: changes its rate or channels at %.2f s; brought to those of its beginning"
                    log.warning(told, self.path, self.end / self.rate)
                said = True
            yield from [frame] if change is None else change.resample(frame)
        yield from [] if change is None else change.resample(None)


def _with_last(frames: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Every frame, and whether it is the last."""
    held = None
    for frame in frames:
        if held is not None:
            yield held, False
        held = frame
    if held is not None:
        yield held, True


def _floats(frame: Any) -> np.ndarray:
    """A decoded frame's samples, (c, n) float32, full scale 1."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / 128
    if raw.dtype.kind == "i":
        return raw.astype(np.float32) / 2.0 ** (8 * raw.itemsize - 1)
    if raw.dtype == np.float64:  # numbers beyond float32 are no infinity yet
        raw = np.where(np.isfinite(raw), np.clip(raw, -LARGEST, LARGEST), raw)
    return raw.astype(np.float32)
