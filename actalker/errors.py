"""What a user can get wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A mistake in what the user gave: the command line prints it as one line and exits 2."""


def one_of(name: str, allowed: Iterable[str], what: str) -> str:
    """Return `name` if it is allowed, else raise an `InputError` that offers the nearest name.

    >>> one_of("mouth", ["mouth", "face"], "region")
    'mouth'
    """
    allowed = list(allowed)
    if name in allowed:
        return name
    near = get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise InputError(f"{what} '{name}' is unknown; {hint}There are: {', '.join(allowed)}")
