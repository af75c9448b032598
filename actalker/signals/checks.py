"""Check the signals' inputs early and without torch."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from ..media.sound import SHORTEST, read_sound
from ..media.video import probe
from ..timeline import frame_count
from .script import parse_script


def check_sound(path: str | Path, seconds: Fraction, fps: Fraction) -> None:
    """Raise InputError for a file without readable sound; arguments as of `Signal.check`."""
    read_sound(path, limit=max(seconds, SHORTEST))


def check_video(path: str | Path, seconds: Fraction, fps: Fraction) -> None:
    """Raise InputError for a file that is no video; arguments as of `Signal.check`."""
    probe(path)


def check_script(text: str | Path, seconds: Fraction, fps: Fraction) -> None:
    """Raise InputError for what is no script, and for one that ends after the clip."""
    length = max(seconds, frame_count(seconds, fps) / fps)
    parse_script(text, duration=length).check(length)
