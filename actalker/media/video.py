"""Video: describes a file, and reads its frames, upright, at their own times or at a constant rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av import Packet, VideoFrame
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import InputError
from ..timeline import Interval, frame_count, frame_time
from .colour import BT2020_MATRIX, UNKNOWN, Colours
from .container import FIX, decoded, is_cover, open_media, time_base

MOST_PIXELS = 64 << 20  # of one frame
NEAR = Fraction(2)  # seconds that are decoded faster than they are sought
EARLY = Fraction(1, 20)  # seconds before a picture begins at which it may stand for a moment
DOLBY = ("dvh1", "dvhe")  # HEVC whose colours only Dolby Vision's decoders know, where it names no others


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    width, height: in pixels, upright and with square pixels. fps: the mean. duration: in seconds.
    mirrored, rotation: what a player does with the stored picture: left and right change places, then it is
    turned by 0, 90, 180 or 270 degrees clockwise.
    """

    width: int
    height: int
    frames: int
    fps: Fraction
    duration: Fraction
    mirrored: bool
    rotation: int
    has_sound: bool


def probe(path: str | Path) -> VideoInfo:
    """Describe a video file by counting its packets: headers are often missing or wrong.

    Raises: InputError for files without a video track, or without frames.
    """
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        first = next(decoded(container, stream, path), None)
        if first is None:
            raise InputError(f"{path}: has no frames; export it again as MP4 (H.264)")
        height, width = _upright_size(first, stream, path)
        sound = len(container.streams.audio) > 0
        aside, over, down = _turn(first)
        mirrored, turned = aside ^ over ^ down, (90 if over else 270) if aside else 180 * down
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        step = _usual_step(stream)
        times = []
        for packet in _packets(container, stream):
            start = packet.pts if packet.pts is not None else packet.dts
            times.append((start, packet.duration or 0))
        unit, count = time_base(stream), len(times)
        known = [(start, length) for start, length in times if start is not None]
        duration = step * count
        if known and len(known) == count:
            end, length = max(known)
            duration = (end - min(known)[0]) * unit + (length * unit or step)
    rate = Fraction(count) / duration
    declared = stream.average_rate
    if declared and abs(float(declared / rate) - 1) < 1e-3:
        rate = declared  # time stamps are rounded to the container's clock, this is not
    return VideoInfo(
        width=width,
        height=height,
        frames=count,
        fps=rate,
        duration=duration,
        mirrored=mirrored,
        rotation=turned,
        has_sound=sound,
    )


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
        return max(first.pts * time_base(first) - Fraction(container.start_time, av.time_base), Fraction(0))


def read_frames(
    path: str | Path,
    fps: Fraction | None = None,
    size: int | None = None,
    limit: int | None = None,
    span: Interval | None = None,
) -> Iterator[np.ndarray]:
    """Frames of a video in order, (h, w, 3) uint8 RGB, upright, square pixels, all of the first one's size.

    Args:
        fps: None gives every frame once. Else output frame k is the source frame whose start is nearest to
            k / fps seconds; a source frame that starts more than `EARLY` seconds after that is not taken.
            There are frame_count(duration, fps) output frames. The source may have a variable rate.
        size: scale down so that the longer side has at most this many pixels.
        limit: the most frames to read.
        span: the part of the video that is read, exact; the reader seeks to it. Without `fps` its first
            frame is the one shown at span.start.
    HDR (PQ, HLG) and wide gamuts are converted for an SDR display (`Colours.to_sdr`).
    Raises: InputError at once for files without a video track; while reading, for damaged files and ones that
        end before the span starts.
    """
    with open_media(path, "video") as container:
        _video_stream(container, path)
    frames = _timed_frames(path, size) if span is None else _spanned(path, size, span)
    stop = None if span is None or span.stop is None else span.stop - span.start
    if fps is not None:
        return _limited(_at_constant_rate(frames, fps, stop), limit)
    return _limited((picture for start, _, picture in frames if stop is None or start < stop), limit)


def timed_frames(path: str | Path, size: int | None = None) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Every frame of a video, and the second at which it begins, the first at 0.

    Frames and errors are as in `read_frames`.
    """
    with open_media(path, "video") as container:
        _video_stream(container, path)
    return ((start, picture) for start, _, picture in _timed_frames(path, size))


def _spanned(
    path: str | Path, size: int | None, span: Interval
) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
    """Yield (start, duration, picture) of the frames shown in a span; starts are relative to span.start."""
    previous: tuple[Fraction, Fraction, np.ndarray] | None = None
    for time, length, picture in _timed_frames(path, size, span.start):
        start = time - span.start
        if previous is not None and start > 0:
            yield previous
        previous = start, length, picture
        if span.stop is not None and time >= span.stop:
            break
    if previous is None or previous[0] + previous[1] <= 0:
        raise InputError(f"{path}: ends before {float(span.start):g} s; give times inside the video")
    yield previous


def _limited(pictures: Iterator[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    """The first `limit` pictures, without asking for one more."""
    for k, picture in enumerate(pictures):
        if limit is not None and k >= limit:
            return
        yield picture
        if limit is not None and k + 1 >= limit:
            return


def _at_constant_rate(
    frames: Iterator[tuple[Fraction, Fraction, np.ndarray]], fps: Fraction, stop: Fraction | None = None
) -> Iterator[np.ndarray]:
    """Yield, for k = 0 .. frame_count(end, fps) - 1, the frame whose start is nearest to k / fps seconds.

    frames: start, duration and picture of each frame. end: the end of the last frame, or `stop` if it is
    earlier. A frame is taken at most `EARLY` seconds before its start. At most two or three pictures are in
    memory, whatever the rates.
    """
    chosen: deque[np.ndarray] = deque()  # for moments that are shown if the video goes on long enough
    before: tuple[Fraction, np.ndarray] | None = None
    k, end = 0, Fraction(0)
    for start, length, picture in frames:
        while before is not None and (moment := frame_time(k + len(chosen), fps)) < start:
            early = start - moment < moment - before[0] and start - moment <= EARLY
            chosen.append(picture if early else before[1])
            if frame_count(start if stop is None else min(start, stop), fps) > k:
                yield chosen.popleft()
                k += 1
        before, end = (start, picture), max(end, start + length)
    assert before is not None  # a video without frames has raised already
    for j in range(frame_count(end if stop is None else min(end, stop), fps) - k):
        yield chosen[j] if j < len(chosen) else before[1]


def _timed_frames(
    path: str | Path, size: int | None, since: Fraction = Fraction(0)
) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
    """(start, duration, picture) of every frame; the first starts at 0 and starts never go back.

    since: frames that end before it may be left out, so that a part of a long video is read soon.
    """
    with open_media(path, "video") as container:
        stream = _video_stream(container, path)
        stream.thread_count = 1  # clips are worked on side by side: more threads wait for each other
        step, tags = _usual_step(stream), _tags(stream.codec_context)
        zero, last = _seek(container, stream, path, since), Fraction(0)
        target: tuple[int, int] | None = None
        for frame in decoded(container, stream, path):
            if target is None:
                h, w = _upright_size(frame, stream, path)
                scale = 1.0 if size is None else min(1.0, size / max(h, w))
                target = max(1, round(h * scale)), max(1, round(w * scale))
            time = last + step if frame.pts is None else frame.pts * time_base(frame)
            zero = time if zero is None else zero
            start = max(time - zero, last)
            length = frame.duration * frame.time_base if frame.duration and frame.time_base else step
            yield start, length, _picture(frame, target, tags)
            last = start
        if zero is None:
            raise InputError(f"{path}: has no frames; export it again as MP4 (H.264)")


def _seek(
    container: InputContainer, stream: VideoStream, path: str | Path, since: Fraction
) -> Fraction | None:
    """Seek to a key frame at or before `since`, if the file can.

    Indexes may be wrong: where the first frame after the jump is too late, nothing is skipped.
    Returns: the time of the file's first frame if frames were skipped, else None.
    """
    if since < NEAR:
        return None
    with open_media(path, "video") as trial:
        track = _video_stream(trial, path)
        first = next(decoded(trial, track, path), None)
        if first is None or first.pts is None:
            return None
        zero = first.pts * time_base(first)
        goal = math.floor((zero + since) / time_base(track))
        try:
            trial.seek(goal, stream=track, backward=True)
            there = next(decoded(trial, track, path), None)
        except (av.FFmpegError, InputError):
            return None
        if there is None or there.pts is None or there.pts > goal:
            return None
    container.seek(goal, stream=stream, backward=True)
    return zero


def _picture(frame: VideoFrame, upright: tuple[int, int], tags: tuple[int, int, int]) -> np.ndarray:
    """A frame as (h, w, 3) uint8 RGB of the size `upright` = (h, w), turned as a player shows it.

    tags: the container's colour tags, for those that the frame does not have.
    """
    aside, over, down = _turn(frame)
    h, w = upright[::-1] if aside else upright
    both = zip(_tags(frame), tags, strict=True)
    primaries, transfer, matrix = (default if tag in UNKNOWN else tag for tag, default in both)
    colours = Colours(primaries, transfer)
    picture: np.ndarray
    if colours.converted:
        matrix = BT2020_MATRIX if colours.hdr and matrix in UNKNOWN else matrix
        deep = frame.reformat(w, h, "rgb48le", src_colorspace=matrix, interpolation="AREA")
        picture = colours.to_sdr(deep.to_ndarray())
    else:
        picture = frame.reformat(w, h, "rgb24", interpolation="AREA").to_ndarray()
    if aside:
        picture = picture.swapaxes(0, 1)
    return np.ascontiguousarray(picture[:: -1 if down else 1, :: -1 if over else 1])


def _tags(source: VideoFrame | VideoCodecContext) -> tuple[int, int, int]:
    """The colour tags of a frame or a decoder: primaries, transfer and matrix, numbers of ITU-T H.273."""
    return int(source.color_primaries), int(source.color_trc), int(source.colorspace)


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How a player brings a frame upright, by its display matrix, which takes (x, y) to (ax + cy, bx + dy).

    Returns: whether rows and columns are swapped, then whether left and right are, then up and down.
    """
    for data in cast("Iterator[SideData]", frame.side_data):
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            if abs(b) + abs(c) > abs(a) + abs(d):
                return True, c < 0, b < 0
            return False, a < 0, d < 0
    return False, False, False


def _upright_size(frame: VideoFrame, stream: VideoStream, path: str | Path) -> tuple[int, int]:
    """The size (h, w) at which a player shows the frame: turned, and with square pixels."""
    shape = Fraction(stream.sample_aspect_ratio or 1)
    h, w = frame.height, frame.width
    w = round(w * shape) if Fraction(1, 4) <= shape <= 4 else w
    if not 0 < h * w <= MOST_PIXELS:
        raise InputError(f"{path}: frames of {w} x {h} pixels; export it at 4096 x 2160 or smaller")
    return (w, h) if _turn(frame)[0] else (h, w)


def _video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """The first video stream that is no cover picture. Raises: InputError where it cannot be shown."""
    for stream in container.streams.video:
        if is_cover(stream):
            continue
        if stream.codec_context is None:
            raise InputError(f"{path}: its video is of a kind that cannot be decoded; {FIX['video']}")
        if stream.codec_context.codec_tag in DOLBY and stream.codec_context.color_trc in UNKNOWN:
            raise InputError(
                f"{path}: is Dolby Vision without a picture that others can show; export it as SDR or HLG"
            )
        return stream
    lack = "holds only sound" if container.streams.audio else "has no video track"
    raise InputError(f"{path}: {lack}; give a video of a face")


def _usual_step(stream: VideoStream) -> Fraction:
    """Seconds from frame to frame, for frames whose duration the file does not say."""
    return 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of a stream that hold frames to be shown."""
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
