"""Sound: reads any track that PyAV decodes as float samples, and mixes and resamples it block by block.

Letters: c channels, n samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import soxr
from av import AudioFrame

from ..errors import InputError
from .container import decoded, open_media, time_base
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
    """Samples of sound at a constant rate.

    samples: (c, n) float32 in [-1, 1], maybe on disk (np.memmap). rate: samples a second.
    name: of the sound, for messages: the path of a file that was read.
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
        """The length in seconds, exact."""
        return Fraction(self.samples.shape[1], self.rate)

    def cut(self, start: Fraction, stop: Fraction) -> Sound:
        """The part from start to stop seconds, without a copy and clipped to the sound.

        Raises: InputError where nothing is left.
        """
        first, last = (min(max(round(t * self.rate), 0), self.samples.shape[1]) for t in (start, stop))
        if last <= first:
            raise InputError(
                f"no sound between {float(start):g} and {float(stop):g} s; "
                f"it is {float(self.duration):g} s long"
            )
        return Sound(self.samples[:, first:last], self.rate, self.name)

    def check(self) -> None:
        """Raise InputError for samples that are not numbers, and for less than a frame of sound (40 ms)."""
        if self.duration < SHORTEST:
            raise InputError(f"sound of {1000 * float(self.duration):g} ms: give at least 40 ms")
        for start in range(0, self.samples.shape[1], BLOCK):
            wrong = ~np.isfinite(self.samples[:, start : start + BLOCK]).all(0)
            if wrong.any():
                at = (start + int(wrong.argmax())) / self.rate
                raise InputError(f"sound: has samples that are not numbers (NaN or infinite) at {at:.2f} s")

    def mono(self, rate: int = 16000) -> np.ndarray:
        """The average of all channels at `rate`, (n,) float32, n = round(duration * rate).

        Where channels cancel each other, the louder one is taken (`mixing.Mix`). The result may share memory
        with `samples`.
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
        """The mix to one channel; it looks at all samples, so it is made once."""
        return Mix(self.samples, self.rate, 1, self.name)


def read_sound(path: str | Path, limit: Fraction | None = None, start: Fraction = Fraction(0)) -> Sound:
    """Read the sound track of a sound or video file: the default one, or the first that decodes.

    Padding of the encoder is left out as the container says; gaps between packets become silence; in a video
    the sound starts with the picture. Sound beyond full scale is scaled down, or cut to it where it is a few
    samples (`to_full_scale`). Memory does not grow with the length of the sound.

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
        frames, declared = decoded(container, stream, path), None
        if container.format.name == "ogg" and stream.codec_context.name == "vorbis":
            declared = vorbis_end(path)
        if declared is not None:  # FFmpeg's own cuts at either end are wrong by some blocks
            stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual
            next(frames, None)  # the first block is not sound yet: the codec needs one before it
        track = _Track(path, frames, zero, container.format.name, declared)
        first = round(start * track.rate)
        most = None if limit is None else round(limit * track.rate)
        peak = 0.0
        for block in track:
            part = block[:, max(0, first - track.start) :]
            if part.shape[1]:
                peak = max(peak, float(np.abs(part).max()))
                store.write(part)
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
        amount = (
            f"{1000 * samples.shape[1] / track.rate:.3g} ms of sound" if samples.size else "no sound in it"
        )
        after = f" after {float(start):g} s" if start else ""
        only = "only " if samples.size else ""
        raise InputError(f"{path}: {only}{amount}{after}; give at least {1000 * SHORTEST} ms")
    if peak > 1:
        to_full_scale(samples, path)
    return Sound(samples, track.rate, str(path))


class _Track:
    """Decoded frames as blocks of samples (c, n) at their times: gaps are filled, paddings are cut.

    Args:
        zero: seconds on the file's clock of the first sample; None: where the sound begins.
        kind: name of the container's format. The times in `UNTIMED` ones are not of the file: the reader
            computes them by the first frame's rate.
        declared: samples of the whole track, where the file says how many.
    Attributes:
        rate, channels: of the first frame; later frames that differ are converted, with one warning.
        start, end: first sample of the last block that was yielded, and the one behind it.
        decoded: how many samples were decoded, those before zero too.
    """

    def __init__(
        self,
        path: str | Path,
        frames: Iterator[AudioFrame],
        zero: Fraction | None,
        kind: str,
        declared: int | None,
    ) -> None:
        self.path, self.zero, self.kind, self.declared = path, zero, kind, declared
        self.start = self.end = self.decoded = 0
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
                now = frame.pts * time_base(frame)
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

    def _packed(self, frame: AudioFrame) -> AudioFrame:
        """The frame in a format that PyAV reads: with 8 planes or more it reads past the last and crashes."""
        form = frame.format
        if not form.is_planar or self.channels < 8:
            return frame
        if form.name not in self.packers:
            self.packers[form.name] = av.AudioResampler(form.packed, self.layout, self.rate)
        (packed,) = self.packers[form.name].resample(frame)
        return packed

    def _counted(self, frame: AudioFrame) -> int | None:
        """How many samples of the last frame are sound, the rest being padding; None: all of them."""
        exact = self.kind.startswith("mov") and frame.time_base == Fraction(1, self.rate)
        if exact and 0 < (frame.duration or 0) < frame.samples:
            return frame.duration  # MP4 says so; in Ogg FFmpeg has cut the frame already, and this is less
        declared = self.declared or read_header(self.path).samples  # of ADPCM and other codecs with blocks
        inside = declared is not None and self.decoded < declared < self.decoded + frame.samples
        return declared - self.decoded if declared is not None and inside else None

    def _at_end(self, block: np.ndarray) -> np.ndarray:
        """The block, counted as the next one of the track."""
        self.start, self.end = self.end, self.end + block.shape[1]
        return block

    def _alike(self, first: AudioFrame, frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
        """All frames, converted to the rate and channels of the first."""
        yield first
        form = now = (self.rate, self.layout.name)
        change: av.AudioResampler | None = None
        warned = False
        for frame in frames:
            kind = (frame.sample_rate, frame.layout.name)
            if kind != now:
                yield from [] if change is None else change.resample(None)
                change = None if kind == form else av.AudioResampler("flt", self.layout, self.rate)
                now = kind
                if not warned:
                    message = "%s: changes its rate or channels at %.2f s; brought to those of its beginning"
                    log.warning(message, self.path, self.end / self.rate)
                warned = True
            yield from [frame] if change is None else change.resample(frame)
        yield from [] if change is None else change.resample(None)


def _with_last(frames: Iterable[AudioFrame]) -> Iterator[tuple[AudioFrame, bool]]:
    """Every frame, and whether it is the last."""
    previous = None
    for frame in frames:
        if previous is not None:
            yield previous, False
        previous = frame
    if previous is not None:
        yield previous, True


def _floats(frame: AudioFrame) -> np.ndarray:
    """The samples of a decoded frame, (c, n) float32, with a full scale of 1."""
    raw: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / 128
    if raw.dtype.kind == "i":
        return raw.astype(np.float32) / 2.0 ** (8 * raw.itemsize - 1)
    if raw.dtype == np.float64:  # numbers beyond float32 are no infinity yet
        raw = np.where(np.isfinite(raw), np.clip(raw, -LARGEST, LARGEST), raw)
    return raw.astype(np.float32)
