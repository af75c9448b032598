"""Video: what a file holds, and its frames, upright, streaming, at their own times or at a constant rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import InputError
from ..timeline import Interval, frame_count, frame_time
from .container import FIX, decoded, is_cover, open_media

MOST_PIXELS = 64 << 20  # of one frame
NEAR = Fraction(2)  # seconds that are decoded sooner than sought


@dataclass(frozen=True)
class VideoInfo:
    """width, height: upright, square pixels. fps: mean. duration: seconds. rotation: degrees clockwise."""

    width: int
    height: int
    frames: int
    fps: Fraction
    duration: Fraction
    rotation: int
    has_sound: bool


def probe(path: str | Path) -> VideoInfo:
    """What a video file holds, counted from its packets: headers are often missing or wrong.

    Raises: InputError for files without a video track, or without frames.
    """
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        first = next(decoded(container, stream, path), None)
        if first is None:
            raise InputError(f"{path}: has no frames; export it again as MP4 (H.264)")
        height, width = _upright_size(first, stream, path)
        sound = len(container.streams.audio) > 0
        turned = -int(first.rotation) % 360
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        step = _usual_step(stream)
        times = []
        for packet in _packets(container, stream):
            start = packet.pts if packet.pts is not None else packet.dts
            times.append((start, packet.duration or 0))
        unit, count = stream.time_base, len(times)
        known = [(start, length) for start, length in times if start is not None]
        duration = step * count
        if known and len(known) == count:
            end, length = max(known)
            duration = (end - min(known)[0]) * unit + (length * unit or step)
    rate = Fraction(count) / duration
    declared = stream.average_rate
    if declared and abs(float(declared / rate) - 1) < 1e-3:
        rate = declared  # time stamps are rounded to the container's clock, this is not
    return VideoInfo(width, height, count, rate, duration, turned, sound)


def picture_start(path: str | Path) -> Fraction:
    """Seconds from a file's start, where `ffmpeg -ss` counts from, to its first picture: 0 in most files.

    Raises: InputError as `probe` does.
    """
    with open_media(path, "video") as container:
        first = next(decoded(container, _video_stream(container, path), path), None)
        if first is None:
            raise InputError(f"{path}: has no frames; export it again as MP4 (H.264)")
        if first.pts is None or container.start_time is None:
            return Fraction(0)
        return max(first.pts * first.time_base - Fraction(container.start_time, av.time_base), Fraction(0))


def read_frames(
    path: str | Path,
    fps: Fraction | None = None,
    size: int | None = None,
    limit: int | None = None,
    span: Interval | None = None,
) -> Iterator[np.ndarray]:
    """Frames of a video in order, (h, w, 3) uint8 RGB, upright, square pixels, all of the first one's size.

    Args:
        fps: None gives every frame once. Else frame k is the one shown at exactly k / fps seconds after the
            start, the last that begins at or before it, and there are frame_count(duration, fps) of them:
            variable rates are fine.
        size: scale down so that the longer side has at most this many pixels.
        limit: frames given at most.
        span: the part of the video that is read, exact; the reader seeks to it. Its first frame is the one
            shown at span.start.
    Raises: InputError for files without a video track, at once; for damaged ones, and ones that end before
        the span starts, when it comes to that.
    """
    with open_media(path, "video") as container:
        _video_stream(container, path)
    frames = _timed_frames(path, size) if span is None else _spanned(path, size, span)
    pictures = (picture for _, _, picture in frames) if fps is None else _at_constant_rate(frames, fps)
    return _limited(pictures, limit)


def _spanned(
    path: str | Path, size: int | None, span: Interval
) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
    """The frames shown in a span, with starts from 0 and durations that end with it."""
    stop = None if span.stop is None else span.stop - span.start
    held: tuple[Fraction, Fraction, np.ndarray] | None = None
    for begin, length, picture in _timed_frames(path, size, span.start):
        start = begin - span.start
        if stop is not None and start >= stop:
            break
        if held is not None and start > 0:
            yield held
        shown = max(start, Fraction(0))
        end = start + length if stop is None else min(start + length, stop)
        held = shown, max(end - shown, Fraction(0)), picture
    if held is None or held[0] + held[1] <= 0:
        raise InputError(f"{path}: ends before {float(span.start):g} s; give times inside the video")
    yield held


def _limited(pictures: Iterator[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    for k, picture in enumerate(pictures):
        if limit is not None and k >= limit:
            return
        yield picture
        if limit is not None and k + 1 >= limit:
            return


def _at_constant_rate(
    frames: Iterator[tuple[Fraction, Fraction, np.ndarray]], fps: Fraction
) -> Iterator[np.ndarray]:
    """Frames at k / fps, k = 0 .. frame_count(end, fps) - 1. Holds two or three pictures at any rates."""
    held: deque[tuple[Fraction, np.ndarray]] = deque()
    k, end = 0, Fraction(0)

    def shown(at: Fraction) -> np.ndarray:
        while len(held) > 1 and held[1][0] <= at:
            held.popleft()
        return held[0][1]

    for start, length, picture in frames:
        if held and math.ceil(held[-1][0] * fps) == math.ceil(start * fps):
            held.pop()  # no k falls between the two: never shown
        held.append((start, picture))
        end = max(end, start + length)
        while frame_time(k, fps) < start and frame_count(start, fps) > k:  # k counts, whatever follows
            yield shown(frame_time(k, fps))
            k += 1
    for j in range(k, frame_count(end, fps)):
        yield shown(frame_time(j, fps))


def _timed_frames(
    path: str | Path, size: int | None, since: Fraction = Fraction(0)
) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
    """(start, duration, picture) of every frame; the first starts at 0 and starts never go back.

    since: frames that end before it may be left out, so that a part of a long video is read soon.
    """
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        stream.thread_count = 1  # clips are worked on side by side: more threads wait for each other
        step = _usual_step(stream)
        zero, last = _seek(container, stream, path, since), Fraction(0)
        target: tuple[int, int] | None = None
        for frame in decoded(container, stream, path):
            if target is None:
                h, w = _upright_size(frame, stream, path)
                scale = 1.0 if size is None else min(1.0, size / max(h, w))
                target = max(1, round(h * scale)), max(1, round(w * scale))
            time = last + step if frame.pts is None else frame.pts * frame.time_base
            zero = time if zero is None else zero
            start = max(time - zero, last)
            length = frame.duration * frame.time_base if frame.duration and frame.time_base else step
            yield start, length, _picture(frame, target)
            last = start
        if zero is None:
            raise InputError(f"{path}: has no frames; export it again as MP4 (H.264)")


def _seek(container: Any, stream: Any, path: str | Path, since: Fraction) -> Fraction | None:
    """Go to a key frame at or before `since`, if the file can. Returns the first frame's time if it went.

    Indexes lie: where the frame that comes first after the jump is too late, nothing is left out.
    """
    if since < NEAR:
        return None
    with open_media(path, "video") as trial:
        track = _video_stream(trial, path)
        first = next(decoded(trial, track, path), None)
        if first is None or first.pts is None:
            return None
        zero = first.pts * first.time_base
        goal = math.floor((zero + since) / track.time_base)
        try:
            trial.seek(goal, stream=track, backward=True)
            there = next(decoded(trial, track, path), None)
        except (av.FFmpegError, InputError):
            return None
        if there is None or there.pts is None or there.pts > goal:
            return None
    container.seek(goal, stream=stream, backward=True)
    return zero


def _picture(frame: Any, upright: tuple[int, int]) -> np.ndarray:
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as in np.rot90
    h, w = upright if turns % 2 == 0 else upright[::-1]
    picture = frame.reformat(width=w, height=h, format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, turns))


def _upright_size(frame: Any, stream: Any, path: str | Path) -> tuple[int, int]:
    """(h, w) as a player shows the frame: turned, and with square pixels."""
    shape = Fraction(stream.sample_aspect_ratio or 1)
    h, w = frame.height, frame.width
    w = round(w * shape) if Fraction(1, 4) <= shape <= 4 else w
    if not 0 < h * w <= MOST_PIXELS:
        raise InputError(f"{path}: frames of {w} x {h} pixels; export it at 4096 x 2160 or smaller")
    return (h, w) if round(frame.rotation / 90) % 2 == 0 else (w, h)


def _video_stream(container: Any, path: str | Path) -> Any:
    for stream in container.streams.video:
        if is_cover(stream):
            continue
        if stream.codec_context is None:
            raise InputError(f"{path}: its video is of a kind that cannot be decoded; {FIX['video']}")
        return stream
    found = "holds only sound" if container.streams.audio else "has no video track"
    raise InputError(f"{path}: {found}; give a video of a face")


def _usual_step(stream: Any) -> Fraction:
    """Seconds from frame to frame where the file does not say."""
    return 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file ends in the middle of a packet
            return
        if packet is None:
            return
        if packet.size and not packet.is_discard:
            yield packet
