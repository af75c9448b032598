"""Gates: how far each signal's branch is open, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, one_of
from ..signals.script import format_interval, format_seconds, parse_interval

if TYPE_CHECKING:  # gates are read by commands that need no torch
    import torch

Seconds = float | Fraction


class Piece(NamedTuple):
    """A gate's value over [start, stop) in exact seconds; stop None: to the end."""

    start: Fraction
    stop: Fraction | None
    value: float


class Gates:
    """One gate in [0, 1] a signal: a number, or pieces (start, stop or None, value) in seconds, or the
    command line's text for them (`0@0-1.2,1@1.2-`).

    >>> gates = Gates({"audio": 1.0, "expression": [(0, 1.2, 0.0)]})
    >>> str(gates)
    'audio=1 expression=0@0-1.2,1@1.2-'

    Times that no piece names have gate 1. A decimal time is taken as written: 1.2 is 6/5. Pieces may be given
    in any order; overlapping ones, values outside [0, 1] and what is not a number raise InputError.
    """

    def __init__(self, gates: Mapping[str, str | float | Sequence[tuple[Seconds, Seconds | None, float]]]):
        self.pieces = {name: _schedule(name, gate) for name, gate in gates.items()}

    @classmethod
    def all_open(cls, signals: Iterable[str]) -> Gates:
        """Every signal at 1."""
        return cls(dict.fromkeys(signals, 1.0))

    @classmethod
    def all_closed(cls, signals: Iterable[str]) -> Gates:
        """Every signal at 0."""
        return cls(dict.fromkeys(signals, 0.0))

    @classmethod
    def parse(cls, texts: str | Iterable[str], signals: Iterable[str]) -> Gates:
        """Read `NAME=VALUE` or `NAME=VALUE@START-STOP,...`, one a signal; signals not named are open.

        texts: a list, or one string with spaces between. Raises InputError that names the piece and column.

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

    def change(self, **gates: float | Sequence[tuple[Seconds, Seconds | None, float]]) -> Gates:
        """A copy in which these signals have these gates, for example to close absent ones."""
        return Gates({**self.pieces, **gates})

    def values(self, name: str, frames: int, fps: Fraction, start: int = 0) -> np.ndarray:
        """Gate of `name` at frames start .. start + frames, float32 (f,); frame k at exactly k / fps s."""
        one_of(name, self.pieces, "signal in gates")
        out = np.ones(frames, dtype=np.float32)
        for begin, stop, value in self.pieces[name]:
            first = max(math.ceil(begin * fps) - start, 0)
            last = frames if stop is None else max(math.ceil(stop * fps) - start, 0)
            out[first:last] = value
        return out

    def open_signals(self) -> tuple[str, ...]:
        """The signals whose gate is above 0 at some time."""
        return tuple(name for name, pieces in self.pieces.items() if any(piece.value > 0 for piece in pieces))

    def describe(self) -> dict[str, float | list[list[float | None]]]:
        """For a sidecar (JSON): a number, or [start, stop or null, value] in seconds, covering all time."""
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

    __hash__ = None  # type: ignore[assignment]


def draw_gates(
    signals: Sequence[str], generator: torch.Generator, all_open: float = 0.4, fractional: float = 0.25
) -> Gates:
    """Gates for a training clip: a random non-empty subset of its signals is open, the others are closed.

    all_open: chance that all are open at 1; else each non-empty subset is as likely, and each open gate is,
    with chance `fractional`, uniform in (0, 1) instead of 1.
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
    try:
        exact = Fraction(str(value))  # by way of its text: 1.2 is 6/5, not the float beside it
    except (ValueError, ZeroDivisionError):
        raise InputError(f"gate {name}: time {value} is not a number of seconds") from None
    if exact < 0:
        raise InputError(f"gate {name}: time {value} s is negative; start at 0 or later")
    return exact


def _schedule(
    name: str, gate: str | float | Sequence[tuple[Seconds, Seconds | None, float]]
) -> tuple[Piece, ...]:
    """Pieces in order that cover all time once: gaps are filled with 1, equal neighbours joined."""
    if isinstance(gate, str):
        gate = _parse_pieces(f"{name}={gate}", gate)
    given: Any = [(0, None, gate)] if isinstance(gate, Real) else gate
    try:
        exact = [
            Piece(_seconds(name, start), None if stop is None else _seconds(name, stop), float(value))
            for start, stop, value in given
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
    if piece.start == piece.stop:
        return
    if pieces and pieces[-1].value == piece.value:
        piece = Piece(pieces.pop().start, piece.stop, piece.value)
    pieces.append(piece)


def _check_value(where: str, value: float) -> None:
    if not 0 <= value <= 1:  # also refuses NaN
        raise InputError(f"{where}: {value:g} is outside [0, 1]; use a guidance scale to go beyond 1")


def _parse_pieces(text: str, schedule: str) -> list[tuple[Fraction, Fraction | None, float]]:
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
    if len(pieces) == 1:
        return f"{pieces[0].value:.17g}"
    return ",".join(f"{piece.value:.17g}@{format_interval(piece.start, piece.stop)}" for piece in pieces)
