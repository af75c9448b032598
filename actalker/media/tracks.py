"""Chooses the sound track of a file, tells when its picture begins, and checks that the track is whole."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from ..errors import InputError
from .container import FIX, decoded, is_cover, open_media, time_base
from .headers import read_header

log = logging.getLogger("actalker")
COUNTED = ("wav", "w64", "aiff", "au", "caf", "flac", "mov,mp4,m4a,3gp,3g2,mj2")  # headers that count
MISSING = 0.5  # seconds less than the header says: cut off
PLACEHOLDER = 1000  # a header that says so many times what is there was written before the sound


def sound_track(container: InputContainer, path: str | Path) -> AudioStream:
    """The sound track to read: the default one, else the first that decodes; logged where there are several.

    Raises: InputError for files without a sound track, and tracks of a kind that cannot be decoded.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        raise InputError(f"{path}: has no sound track; give a file with sound, or leave the audio out")
    known = [track for track in tracks if track.codec_context is not None]
    chosen = next(iter(known), None)
    if len(tracks) > 1:
        # in the order of the file, those marked as default before the others
        order = sorted(known, key=lambda track: not _is_default(track))
        chosen = next((track for track in order if _decodes(path, track.index)), None)
    if chosen is None:
        raise InputError(f"{path}: its sound is of a kind that cannot be decoded; {FIX['sound']}")
    if len(tracks) > 1:
        marks = [track for track in tracks if _is_default(track)]
        why = "the first that decodes" if chosen not in marks or len(marks) > 1 else "marked as default"
        number = tracks.index(chosen) + 1
        log.warning("%s: has %d sound tracks; number %d is read, %s", path, len(tracks), number, why)
    return chosen


def picture_start(container: InputContainer, path: str | Path) -> Fraction | None:
    """When the first picture is shown, seconds on the file's clock; None for a file without pictures.

    Pictures before it that a player decodes and does not show are not counted.
    """
    for video in container.streams.video:
        if is_cover(video):
            continue
        if video.codec_context is not None and container.format.name != "avi":  # which knows no such time
            try:
                with open_media(path, "video") as trial:
                    stream = next(track for track in trial.streams.video if track.index == video.index)
                    stream.thread_count = 1
                    first = next(decoded(trial, stream, path), None)
            except InputError:
                first = None
            if first is not None and first.pts is not None:
                return first.pts * time_base(first)
        if video.start_time is not None:
            return video.start_time * time_base(video)
    return None


def check_whole(path: str | Path, container: InputContainer, stream: AudioStream, read: float) -> None:
    """Raise InputError where the header promises more than the `read` seconds that were decoded.

    Sizes that pipes and servers wrote before the sound was known do not count.
    """
    if container.format.name not in COUNTED or not stream.duration or stream.duration < 0:
        return
    declared = float(stream.duration * time_base(stream))
    header = read_header(path).seconds  # FFmpeg says what is there, the header what there was
    declared = declared if header is None else header
    late = float(max(0, stream.start_time or 0) * time_base(stream))
    if declared > PLACEHOLDER * max(read, 0.04) or read + late >= declared - MISSING:
        return
    raise InputError(f"{path}: is cut off, {read:.1f} of {declared:.1f} s are there; copy or export it again")


def _is_default(stream: Stream) -> bool:
    """Whether the file marks a stream as the default one."""
    return bool(stream.disposition & av.stream.Disposition.default)


def _decodes(path: str | Path, index: int) -> bool:
    """Whether the sound track of this index among the file's streams gives a frame."""
    try:
        with open_media(path, "sound") as trial:
            stream = next(track for track in trial.streams.audio if track.index == index)
            return next(decoded(trial, stream, path), None) is not None
    except InputError:
        return False
