"""Exact time: frame k of a clip is at k / fps seconds, as fractions, so that nothing drifts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from .errors import InputError

SLOWEST, FASTEST = 1, 240  # frames a second
FILM = (24, 30, 48, 60, 120)  # television slows these by 1000/1001: 23.976, 29.97 ...
LONGEST = Fraction(24 * 3600)  # seconds
_NUMBER = r"[0-9]{1,20}/[0-9]{1,20}|[0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}"
_INTERVAL = re.compile(rf"\s*(?P<start>{_NUMBER})\s*s?\s*[-\u2013]\s*(?:(?P<stop>{_NUMBER})\s*s?)?\s*")
_CLOCK = re.compile(r"(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+(?:\.\d*)?)")


def parse_rate(value: str | int | float | Fraction) -> Fraction:
    """A frame rate in frames a second, exact. Rounded names of television's rates are read as those rates.

    >>> parse_rate("29.97"), parse_rate(23.976), parse_rate("30000/1001"), parse_rate(25)
    (Fraction(30000, 1001), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 1))

    Raises: InputError for what is no number, and for rates outside 1 to 240.
    """
    rate = _number(value)
    if rate is None:
        raise InputError(f"frame rate '{str(value)[:40]}' is no number; write for example 25 or 30000/1001")
    if not SLOWEST <= rate <= FASTEST:
        raise InputError(
            f"frame rate {_short(rate)} is outside {SLOWEST} to {FASTEST} frames a second; "
            "write for example 25 or 30000/1001"
        )
    if "/" not in str(value) or isinstance(value, float):
        for whole in FILM:
            slowed = Fraction(whole * 1000, 1001)
            if rate != whole and abs(rate - slowed) < Fraction(1, 200):
                return slowed
    return rate.limit_denominator(10**5)  # 33.333333 is 100/3, and containers hold 32 bits of it


def parse_seconds(text: str | int | float | Fraction) -> Fraction:
    """A time of 0 to 24 hours in seconds, exact, from `1.2`, `1.2s`, `1001/240`, `1:30` or `0:01:30.5`.

    >>> parse_seconds("1.2"), parse_seconds("1:30.5")
    (Fraction(6, 5), Fraction(181, 2))

    Raises: InputError for what is no such time.
    """
    word = str(text).strip()
    clock = _CLOCK.fullmatch(word)
    if clock is not None:
        hours, minutes, seconds = (Fraction(part or 0) for part in clock.group("h", "m", "s"))
        time: Fraction | None = hours * 3600 + minutes * 60 + seconds
    else:
        time = _number(word[:-1].rstrip() if word.endswith("s") else word)
    if time is None:
        raise InputError(f"time '{word[:40]}' cannot be read; write seconds, for example 1.2, or 1:30")
    if not 0 <= time <= LONGEST:
        raise InputError(f"time {_short(time)} s is outside 0 to 24 hours")
    return time


def parse_interval(text: str) -> tuple[Fraction, Fraction | None]:
    """Read START-STOP, or START- with an open end, in exact seconds: `0-1.2`, `1.2 - 2s`, `1001/240-5`.

    Raises InputError for anything else, for negative times, and for an end that is not after the start.

    >>> parse_interval("0.5-1.2")
    (Fraction(1, 2), Fraction(6, 5))
    """
    shown = text.strip()[:40]
    match = _INTERVAL.fullmatch(text)
    if match is None:
        negative = re.match(r"\s*[-\u2013]\s*[0-9.]", text) or re.search(r"[-\u2013]\s*[-\u2013]", text)
        what = "is negative" if negative else "cannot be read"
        raise InputError(f"time '{shown}' {what}; write START-STOP in seconds from 0 on, for example 0-1.2")
    try:
        start, stop = (None if word is None else Fraction(word) for word in match.group("start", "stop"))
    except ZeroDivisionError:
        raise InputError(f"time '{shown}' divides by zero; write seconds, for example 0-1.2") from None
    assert start is not None
    if stop is not None and stop <= start:
        raise InputError(
            f"time '{shown}' ends at {format_seconds(stop)} s, not after its start at "
            f"{format_seconds(start)} s; swap them or move the end"
        )
    return start, stop


def format_seconds(value: Fraction) -> str:
    """Write a time exactly: as a decimal number where that is possible, else as a fraction."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1 or value.denominator > 10**9:
        return str(value)
    places = next(n for n in range(40) if 10**n % value.denominator == 0)
    digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def format_interval(start: Fraction, stop: Fraction | None) -> str:
    """Write an interval as `parse_interval` reads it: `0-1.2`, `1.2-`."""
    return f"{format_seconds(start)}-{'' if stop is None else format_seconds(stop)}"


def frame_time(k: int, fps: Fraction) -> Fraction:
    """The time at which frame k is shown, in seconds."""
    return k / Fraction(fps)


def frame_count(seconds: Fraction | float, fps: Fraction) -> int:
    """The number of frames nearest to a duration: at least 1, halves are rounded up."""
    exact = seconds if isinstance(seconds, Fraction) else Fraction(str(seconds))
    return max(1, math.floor(exact * fps + Fraction(1, 2)))


@dataclass(frozen=True)
class Interval:
    """The time from `start` until before `stop`, in seconds; a stop of None: without end.

    Raises: InputError for a start before 0 and a stop that is not after the start.
    """

    start: Fraction
    stop: Fraction | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            stop = "" if self.stop is None else _short(self.stop)
            raise InputError(f"time {_short(self.start)}-{stop} s: start at 0 or later, end after the start")

    def contains(self, t: Fraction) -> bool:
        """Whether time t, in seconds, lies in the interval."""
        return self.start <= t and (self.stop is None or t < self.stop)


def _number(value: str | int | float | Fraction) -> Fraction | None:
    """A value as an exact number, or None if it is none."""
    if isinstance(value, bool):
        return None
    try:
        if "e" in str(value).lower() and abs(int(str(value).lower().split("e")[1])) > 99:
            return None  # 1e999999999 would be written out in digits
        return Fraction(str(value).strip())  # by way of its text: 1.2 is 6/5, not the float beside it
    except (ValueError, ZeroDivisionError):
        return None


def _short(value: Fraction) -> str:
    """A number for a message."""
    return f"{float(value):.6g}" if abs(value) < 10**30 else "of 30 digits"
