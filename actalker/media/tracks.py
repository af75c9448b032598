"""Which sound track of a file is read, where its picture begins, and whether the track is whole."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import InputError
from .container import FIX, decoded, is_cover, open_media
from .headers import read_header

log = logging.getLogger("actalker")
COUNTED = ("wav", "w64", "aiff", "au", "caf", "flac", "mov,mp4,m4a,3gp,3g2,mj2")  # headers that count
MISSING = 0.5  # seconds less than the header says: cut off
PLACEHOLDER = 1000  # a header that says so many times what is there was written before the sound


def sound_track(container: Any, path: str | Path) -> Any:
    """The sound track that is read: the default one, or the first that decodes; said where there are several.

    Raises: InputError for files without a sound track, and tracks of a kind that cannot be decoded.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        raise InputError(f"{path}: has no sound track; give a file with sound, or leave the audio out")
    known = [track for track in tracks if track.codec_context is not None]
    if len(tracks) > 1:
        # in the order of the file, those marked as default before the others
        order = sorted(known, key=lambda track: not _is_default(track))
        known = [next((track for track in order if _decodes(path, track.index)), None)]
    if not known or known[0] is None:
        raise InputError(f"{path}: its sound is of a kind that cannot be decoded; {FIX['sound']}")
    if len(tracks) > 1:
        marks = [track for track in tracks if _is_default(track)]
        why = "the first that decodes" if known[0] not in marks or len(marks) > 1 else "marked as default"
        number = tracks.index(known[0]) + 1
        log.warning("%s: has %d sound tracks; number %d is read, %s", path, len(tracks), number, why)
    return known[0]


def picture_start(container: Any, path: str | Path) -> Fraction | None:
    """When the first picture is shown, seconds on the file's clock; None for a file without pictures.

    The first one that a player shows: what comes before it in the file, for decoding only, does not count.
    """
    for video in container.streams.video:
        if is_cover(video):
            continue
        if video.codec_context is not None and container.format.name != "avi":  # which knows no such time
            try:
                with open_media(path, "video") as trial:
                    stream = trial.streams[video.index]
                    stream.thread_count = 1
                    first = next(decoded(trial, stream, path), None)
            except InputError:
                first = None
            if first is not None and first.pts is not None:
                return first.pts * first.time_base
        if video.start_time is not None:
            return video.start_time * video.time_base
    return None


def check_whole(path: str | Path, container: Any, stream: Any, read: float) -> None:
    """Raise InputError where a header tells of more than the `read` seconds that were decoded.

    Sizes that were written before the sound was known, by pipes and servers, tell nothing.
    """
    if container.format.name not in COUNTED or not stream.duration or stream.duration < 0:
        return
    told = float(stream.duration * stream.time_base)
    header = read_header(path).seconds  # FFmpeg tells what is there, the header what was
    told = told if header is None else header
    late = float(max(0, stream.start_time or 0) * stream.time_base)
    if told > PLACEHOLDER * max(read, 0.04) or read + late >= told - MISSING:
        return
    raise InputError(f"{path}: is cut off, {read:.1f} of {told:.1f} s are there; copy or export it again")


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def _decodes(path: str | Path, index: int) -> bool:
    """Whether a track gives a frame."""
    try:
        with open_media(path, "sound") as trial:
            return next(decoded(trial, trial.streams[index], path), None) is not None
    except InputError:
        return False
