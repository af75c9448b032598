"""The form of a clip's script in JSON: a base text, and phases with their times in seconds."""

from __future__ import annotations

from typing_extensions import TypedDict


class TimedText(TypedDict):
    """What a clip shows from `start` to `end`, seconds."""

    text: str
    start: float
    end: float


class ClipScript(TypedDict):
    """A script: the text of the whole clip, and what it shows at which times."""

    base: str
    phases: list[TimedText]
