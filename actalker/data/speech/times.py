"""Corrections of the engines' phone times.

Engines mark phones late, each in its own way: neural ones because their durations were learned so, espeak-ng
because it marks a stop at its burst. Festival and flite are exact. `benchmarks/speech.py` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...heads.articulation import Phone

LATE = {"hibari": 0.058, "kokoro": 0.060}  # seconds that all phones are marked late
CLOSURE = 0.050  # of a voiceless stop, before espeak-ng's mark
BURST = 0.012  # seconds that its burst lasts
EARLY = 0.005  # voiced stops and nasals: their lips are together a little before the mark
VOICED = 0.6  # share of a voiced stop's length that is closure
NASAL_LATE = 0.012  # seconds that the end of a nasal is marked late
SHORTEST = 0.005


def corrected(marked: Sequence[Phone], engine: str, seconds: float) -> list[Phone]:
    """An engine's phones with corrected times, inside a sound of `seconds`.

    marked: phones with the times that the engine marks, in order.
    """
    late = LATE.get(engine, 0.0)
    moved = _stops_moved(marked) if engine == "espeak" else marked
    inside = [
        Phone(max(p.start - late, 0.0), min(p.end - late, seconds), p.symbol, p.stressed) for p in moved
    ]
    return [p for p in inside if p.end > p.start]


def _stops_moved(marked: Sequence[Phone]) -> list[Phone]:
    """Phones of espeak-ng with stops and nasals moved to where the lips close; their neighbours make room."""
    bounds = [[p.start, p.end] for p in marked]
    for index, phone in enumerate(marked):
        length = phone.end - phone.start
        if phone.symbol in "ptkcq":
            start, end = max(0.0, phone.start - CLOSURE), phone.start + BURST
        elif phone.symbol in "bdɡgɟɢ":
            start, end = phone.start - EARLY, phone.start + VOICED * length
        elif phone.symbol in "mnŋɲɱ":
            start, end = phone.start - EARLY, phone.end - NASAL_LATE
        else:
            continue
        if index:
            before = bounds[index - 1]
            before[1] = max(before[0] + SHORTEST, min(before[1], start))
            start = max(start, before[1])
        end = max(end, start + 2 * SHORTEST)
        bounds[index] = [max(start, 0.0), end]
        if index + 1 < len(marked):
            bounds[index + 1][0] = end
            bounds[index + 1][1] = max(bounds[index + 1][1], end + SHORTEST)
    return [Phone(s, e, p.symbol, p.stressed) for (s, e), p in zip(bounds, marked, strict=True)]
