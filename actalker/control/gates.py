"""Gates: how far each signal's branch is open at each time (G of ACTalker, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ..errors import InputError, one_of
from ..timeline import format_interval, format_seconds, parse_interval

if TYPE_CHECKING:  # gates are read by commands that need no torch
    import torch

Seconds = float | Fraction
Schedule = Sequence[tuple[Seconds, Seconds | None, float]]
"""Pieces (start, stop or None, value) of a gate."""


class Piece(NamedTuple):
    """A gate's value over [start, stop) in exact seconds; stop None is the end of the clip."""

    start: Fraction
    stop: Fraction | None
    value: float


class Gates:
    """One gate in [0, 1] for each signal, constant or changing over time.

    A gate is a number, or pieces (start, stop or None, value) in seconds, or the command line's text
    for them, `0@0-1.2,1@1.2-`.

    >>> gates = Gates({"audio": 1.0, "expression": [(0, 1.2, 0.0)]})
    >>> str(gates)
    'audio=1 expression=0@0-1.2,1@1.2-'

    The gate is 1 at times without a piece. Decimal times are exact: 1.2 is 6/5. Pieces may come in any order.
    Raises InputError for overlapping pieces, values outside [0, 1] and what is no number.
    """

    def __init__(self, gates: Mapping[str, str | float | Schedule]):
        self.pieces = {name: _schedule(name, gate) for name, gate in gates.items()}

    @classmethod
    def all_open(cls, signals: Iterable[str]) -> Gates:
        """Make gates that are 1 for each of these signals."""
        return cls(dict.fromkeys(signals, 1.0))

    @classmethod
    def all_closed(cls, signals: Iterable[str]) -> Gates:
        """Make gates that are 0 for each of these signals."""
        return cls(dict.fromkeys(signals, 0.0))

    @classmethod
    def parse(cls, texts: str | Iterable[str], signals: Iterable[str]) -> Gates:
        """Read `NAME=VALUE` or `NAME=VALUE@START-STOP,...`, one text for each signal.

        Args:
            texts: a list, or one string with spaces between the texts.
            signals: names that may occur; those that do not are open.
        Raises: InputError that names the piece and its column.

        >>> Gates.parse(["audio=0@0-1.2,1@1.2-"], ["audio", "text"]).describe()
        {'audio': [[0.0, 1.2, 0.0], [1.2, None, 1.0]], 'text': 1.0}
        """
        names = list(signals)
        gates: dict[str, list[tuple[Fraction, Fraction | None, float]]] = {}
        for text in texts.split() if isinstance(texts, str) else texts:
            name, equals, schedule = text.partition("=")
            if not equals:
                raise InputError(f"gate '{text}': no '='; write NAME=VALUE, for example {names[0]}=0.5")
            name = one_of(name.strip(), names, "signal in gate")
            if name in gates:
                raise InputError(f"gate '{text}': {name} is given twice; join the pieces with commas")
            gates[name] = _parse_pieces(text, schedule)
        return cls({name: gates.get(name, 1.0) for name in names})

    def change(self, **gates: float | Schedule) -> Gates:
        """Return a copy with other gates for these signals, for example to close absent ones."""
        return Gates({**self.pieces, **gates})

    def values(self, name: str, frames: int, fps: Fraction, start: int = 0) -> np.ndarray:
        """Return a signal's gate at frames start .. start + frames - 1, float32 (f,).

        Frame k is at exactly k / fps seconds, and takes the piece that holds this time.
        """
        one_of(name, self.pieces, "signal in gates")
        values = np.ones(frames, dtype=np.float32)
        for since, until, value in self.pieces[name]:
            first = max(math.ceil(since * fps) - start, 0)
            last = frames if until is None else max(math.ceil(until * fps) - start, 0)
            values[first:last] = value
        return values

    def open_signals(self) -> tuple[str, ...]:
        """Return the names of the signals whose gate is above 0 at some time."""
        return tuple(name for name, pieces in self.pieces.items() if any(piece.value > 0 for piece in pieces))

    def describe(self) -> dict[str, float | list[list[float | None]]]:
        """Return plain values for a sidecar: signal -> number, or pieces [start, stop or None, value].

        The pieces, in seconds, cover all of time.
        """
        return {
            name: pieces[0].value
            if len(pieces) == 1
            else [[float(p.start), None if p.stop is None else float(p.stop), p.value] for p in pieces]
            for name, pieces in self.pieces.items()
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={_format(pieces)}" for name, pieces in self.pieces.items())

    def __repr__(self) -> str:
        return f"Gates({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gates) and self.pieces == other.pieces


def draw_gates(
    signals: Sequence[str], generator: torch.Generator, all_open: float = 0.4, fractional: float = 0.25
) -> Gates:
    """Draw the gates of a training clip: a random non-empty subset of its signals is open (ACTalker, 3.3).

    Args:
        signals: those that the clip has.
        generator: source of the draws.
        all_open: chance that all gates are 1. Otherwise each non-empty subset is equally likely;
            the paper does not say with what chances it draws.
        fractional: chance that an open gate of such a subset is uniform in (0, 1) instead of 1.
    Raises: InputError without a signal.
    """
    import torch

    if not signals:
        raise InputError("no signal to draw gates for; the clip needs at least one")
    draw = torch.rand(2 + 2 * len(signals), generator=generator, dtype=torch.float64).tolist()
    if draw[0] < all_open:
        return Gates.all_open(signals)
    subset = 1 + int(draw[1] * (2 ** len(signals) - 1))
    gates = {}
    for k, name in enumerate(signals):
        partly = draw[2 + 2 * k] < fractional
        gates[name] = (draw[3 + 2 * k] if partly else 1.0) if subset >> k & 1 else 0.0
    return Gates(gates)


def _seconds(name: str, value: Seconds) -> Fraction:
    """Read a time exactly. Raises InputError for what is no number, or negative."""
    try:
        exact = Fraction(str(value))  # of its text: 1.2 is 6/5, which the float only approximates
    except (ValueError, ZeroDivisionError):
        raise InputError(f"gate {name}: time {value} is not a number of seconds") from None
    if exact < 0:
        raise InputError(f"gate {name}: time {value} s is negative; start at 0 or later")
    return exact


def _schedule(name: str, gate: str | float | Schedule) -> tuple[Piece, ...]:
    """Make pieces, in order, that cover all of time once: 1 fills gaps, and equal neighbours are joined."""
    schedule: Schedule
    if isinstance(gate, str):
        schedule = _parse_pieces(f"{name}={gate}", gate)
    elif isinstance(gate, Real):
        schedule = [(0, None, float(gate))]
    else:
        schedule = cast("Schedule", gate)  # mypy does not know that a float is Real
    try:
        exact = [
            Piece(_seconds(name, start), None if stop is None else _seconds(name, stop), float(value))
            for start, stop, value in schedule
        ]
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(
            f"gate {name}: cannot read {str(gate)[:60]!r}; give a number, text such as 0@0-1.2,1@1.2-, "
            "or pieces (start, stop, value)"
        ) from None
    for piece in exact:
        _check_value(f"gate {name}", piece.value)
        if piece.stop is not None and piece.stop <= piece.start:
            raise InputError(
                f"gate {name}: a piece ends at {format_seconds(piece.stop)} s, not after its "
                f"start at {format_seconds(piece.start)} s"
            )
    pieces: list[Piece] = []
    now: Fraction | None = Fraction(0)
    for piece in sorted(exact, key=lambda p: p.start):
        if now is None or piece.start < now:
            raise InputError(
                f"gate {name}: two pieces hold at {format_seconds(piece.start)} s; let one end there"
            )
        _append(pieces, Piece(now, piece.start, 1.0))
        _append(pieces, piece)
        now = piece.stop
    if now is not None:
        _append(pieces, Piece(now, None, 1.0))
    return tuple(pieces)


def _append(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece behind the others; an empty one is left out, an equal value extends the last piece."""
    if piece.start == piece.stop:
        return
    if pieces and pieces[-1].value == piece.value:
        piece = Piece(pieces.pop().start, piece.stop, piece.value)
    pieces.append(piece)


def _check_value(where: str, value: float) -> None:
    """Raise InputError, which begins with `where`, for a gate outside [0, 1]."""
    if not 0 <= value <= 1:  # also refuses NaN
        raise InputError(f"{where}: {value:g} is outside [0, 1]; use a guidance scale to go beyond 1")


def _parse_pieces(text: str, schedule: str) -> list[tuple[Fraction, Fraction | None, float]]:
    """Read `VALUE@START-STOP,...`, the end of `text`, which error messages quote."""
    pieces: list[tuple[Fraction, Fraction | None, float]] = []
    column = len(text) - len(schedule) + 1
    for piece in schedule.split(","):
        where = f"gate '{text[:60]}', column {column}"
        column += len(piece) + 1
        word, at, time = piece.partition("@")
        try:
            value = float(word)
        except ValueError:
            raise InputError(
                f"{where}: cannot read '{piece[:40]}'; write VALUE or VALUE@START-STOP, "
                "for example 0@0-1.2,1@1.2-"
            ) from None
        _check_value(where, value)
        try:
            start, stop = parse_interval(time) if at else (Fraction(0), None)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        for a, b, _ in pieces:
            if (b is None or start < b) and (stop is None or a < stop):
                raise InputError(
                    f"{where}: '{piece[:40]}' overlaps {format_interval(a, b)}; give each time one value"
                )
        pieces.append((start, stop, value))
    return pieces


def _format(pieces: Sequence[Piece]) -> str:
    """Write pieces as the command line takes them."""
    if len(pieces) == 1:
        return _number(pieces[0].value)
    return ",".join(f"{_number(piece.value)}@{format_interval(piece.start, piece.stop)}" for piece in pieces)


def _number(value: float) -> str:
    """Write a number so short that reading it gives the same."""
    return str(int(value)) if value == int(value) else repr(float(value))
