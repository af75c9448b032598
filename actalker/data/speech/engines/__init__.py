"""The text-to-speech engines by name, and `engine(name)`, which loads one once in a process."""

from __future__ import annotations

from functools import cache

from ....errors import one_of
from .engine import Engine, Line, Said, Voice
from .espeak import Espeak
from .festival import Festival
from .flite import Flite
from .hibari import Hibari
from .kokoro import Kokoro

__all__ = ["ENGINES", "Engine", "Line", "Said", "Voice", "engine"]

ENGINES: dict[str, type[Engine]] = {
    one.name: one for one in (Espeak, Flite, Festival, Hibari, Kokoro)
}  # quick ones first


@cache
def engine(name: str) -> Engine:
    """The engine of a name, loaded once. Raises: InputError for an unknown name."""
    return ENGINES[one_of(name, ENGINES, "engine")]()
