"""Stage `probe`: what kind of video a file holds, and the hash of its bytes."""

from __future__ import annotations

from fractions import Fraction

from PIL import Image

from ...errors import InputError
from ...media.video import picture_start, probe, read_frames
from ...provenance import file_hash
from ...timeline import Interval
from .entries import Entry
from .settings import ProbeLimits
from .stages import Values, Work

THUMB = "thumb.jpg"
THUMB_SIDE = 160  # pixels of the longer side


def file_state(entry: Entry) -> list[object]:
    """The path, size and time of change of an entry's video: they differ once the file has changed."""
    assert entry.video is not None
    try:
        state = entry.video.stat()
    except OSError:
        return [str(entry.video)]
    return [str(entry.video), state.st_size, state.st_mtime_ns]


def measure_probe(work: Work, config: None) -> Values:
    """The video's size in pixels, frames, rate, duration in seconds, sound and hash; writes thumb.jpg.

    `late`: seconds from the file's start to the picture's, a fraction as text. `duration`: of the picture.
    thumb.jpg is a small picture of the clip for the report.
    Raises: InputError for a file that is no video.
    """
    video = work.entry.video
    assert video is not None
    info = probe(video)
    if info.frames < 2:
        raise InputError(f"{video}: has one frame; it is a picture")
    late, span = picture_start(video), work.entry.span or Interval(Fraction(0))
    stop = info.duration if span.stop is None else min(info.duration, span.stop - late)
    at = max(span.start - late, Fraction(0))
    at += (stop - at) / 3
    if 0 <= at < info.duration:
        seen = next(read_frames(video, size=THUMB_SIDE, span=Interval(at)))
        Image.fromarray(seen).save(work.folder / THUMB, quality=80)
    return {
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "fps": float(info.fps),
        "duration": float(info.duration),
        "late": str(late),
        "sound": info.has_sound,
        "hash": file_hash(video),
    }


def judge_probe(values: Values, limits: ProbeLimits) -> str | None:
    """The reason to reject a video that is too large, or has no sound where sound is required, or None."""
    if values["width"] * values["height"] > limits.most_pixels:
        return (
            f"its frames are {values['width']} x {values['height']} pixels, more than "
            f"--probe.most_pixels {limits.most_pixels}"
        )
    if limits.sound == "required" and not values["sound"]:
        return "has no sound track; --probe.sound optional keeps it"
    return None
