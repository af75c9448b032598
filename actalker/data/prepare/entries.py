"""What a source lists: an entry a clip, whatever the layout, with what is wrong with it said at once."""

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
    """A label of the whole clip, or of a part of it (seconds from the clip's start)."""

    name: str
    start: Fraction | None = None
    stop: Fraction | None = None


@dataclass(frozen=True)
class Entry:
    """One clip, or one file that is none.

    clip: its name in the source. video: the file that holds it. span: the part of the video; None is all of
    it. box: left, top, right, bottom. box_height: None, and the box is in shares of the picture; else in
    pixels of a picture that is so high (0: of the file's own height).
    caption: a .txt or .json file beside the video. person: the id of the raw video (person_by `video`), or
    the first clip with the same face (`face`).
    problem: why there is nothing to do, with its status.
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
        """A name for folders and shards: letters, digits, - and _ only, different for different clips."""
        readable = _UNSAFE.sub("_", self.clip)[-48:].strip("_-") or "clip"
        return f"{readable}-{hashlib.sha256(self.clip.encode(errors='surrogatepass')).hexdigest()[:12]}"


def failed(clip: str, problem: str) -> Entry:
    """A clip that cannot be prepared."""
    return Entry(clip, problem=" ".join(problem.split())[:300])


def left_out(clip: str, problem: str) -> Entry:
    """A file of the source that is no clip."""
    return Entry(clip, problem=problem, status="rejected")


def as_text(name: str) -> str:
    """A name as text: names on disk may hold bytes that are none, which become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
