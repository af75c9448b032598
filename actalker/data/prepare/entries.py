"""The clips that a source lists, one entry for each, in one form for sources of every layout."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ...timeline import Interval

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Emotion:
    """Hold an emotion's label. start, stop: seconds from the clip's start; None for the whole clip."""

    name: str
    start: Fraction | None = None
    stop: Fraction | None = None


@dataclass(frozen=True)
class Entry:
    """Hold one clip of a source, or one file of it that is no clip.

    clip: the clip's name in the source.
    video: the file that holds the clip.
    span: the part of the video; None for all of it.
    box: the part of the picture: left, top, right, bottom.
    box_height: unit of the box. None: shares of the picture. Else pixels of a picture of this height; 0
        stands for the height of the video itself.
    caption: a .txt or .json file beside the video.
    texts, appearance, actions: descriptions of the clip that the source gives.
    emotions: labels that the source gives.
    person: who is seen: the id of the raw video, or the first clip with the same face.
    person_by: by which of these people are told apart, `video` or `face`.
    problem: the reason why the clip is not prepared; None for a clip to prepare.
    status: what the row of the manifest says in case of a problem: `failed` or `rejected`.
    """

    clip: str
    video: Path | None = None
    span: Interval | None = None
    box: tuple[float, float, float, float] | None = None
    box_height: int | None = None
    caption: Path | None = None
    texts: tuple[str, ...] = ()
    appearance: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    emotions: tuple[Emotion, ...] = ()
    person: str = ""
    person_by: str = "video"
    problem: str | None = None
    status: str = field(default="failed", kw_only=True)

    @property
    def key(self) -> str:
        """Return the clip's unique name in folders and shards: letters, digits, - and _, then a hash."""
        readable = _UNSAFE.sub("_", self.clip)[-48:].strip("_-") or "clip"
        return f"{readable}-{hashlib.sha256(self.clip.encode(errors='surrogatepass')).hexdigest()[:12]}"


def failed(clip: str, problem: str) -> Entry:
    """Make the entry of a clip that cannot be prepared. problem: the reason."""
    return Entry(clip, problem=" ".join(problem.split())[:300])


def left_out(clip: str, problem: str) -> Entry:
    """Make the entry of a file that is no clip. problem: the reason."""
    return Entry(clip, problem=problem, status="rejected")


def as_text(name: str) -> str:
    """Return a file's name as valid Unicode, in which bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
