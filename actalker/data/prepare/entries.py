"""The clips that a source lists: one entry each, in the same form whatever the source's layout is."""

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
    """An emotion's label for the whole clip, or for a part of it (seconds from the clip's start)."""

    name: str
    start: Fraction | None = None
    stop: Fraction | None = None


@dataclass(frozen=True)
class Entry:
    """One clip of a source, or one file in it that is no clip.

    clip: its name in the source. video: the file that holds it. span: the part of the video; None is all of
    it. box: left, top, right, bottom. box_height: None where the box is in shares of the picture; else the
    height of the picture in whose pixels it is (0: the file's own height).
    caption: a .txt or .json file beside the video. person: the id of the raw video (person_by `video`), or
    the first clip with the same face (`face`).
    problem: why it is not prepared; then status is what its row says.
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
        """The clip's unique name in folders and shards: letters, digits, - and _, with a hash at its end."""
        readable = _UNSAFE.sub("_", self.clip)[-48:].strip("_-") or "clip"
        return f"{readable}-{hashlib.sha256(self.clip.encode(errors='surrogatepass')).hexdigest()[:12]}"


def failed(clip: str, problem: str) -> Entry:
    """The entry of a clip that cannot be prepared. problem: the reason."""
    return Entry(clip, problem=" ".join(problem.split())[:300])


def left_out(clip: str, problem: str) -> Entry:
    """The entry of a file that is no clip. problem: the reason."""
    return Entry(clip, problem=problem, status="rejected")


def as_text(name: str) -> str:
    """A file's name as valid Unicode: bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
