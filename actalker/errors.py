"""Errors for mistakes of the user, each said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A mistake in the user's input: the command line prints it as one line and exits with 2."""


def one_of(name: str, allowed: Iterable[str], what: str) -> str:
    """Return `name` if it is allowed, else raise an `InputError` that suggests the nearest allowed name.

    what: the kind of name, for the message.

    >>> one_of("mouth", ["mouth", "face"], "region")
    'mouth'
    """
    allowed = list(allowed)
    if name in allowed:
        return name
    near = get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise InputError(f"{what} '{name}' is unknown; {hint}There are: {', '.join(allowed)}")


def whole(value: object, what: str, most: int, least: int = 1, hint: str = "") -> int:
    """The value as a whole number from `least` to `most`, else an `InputError` that states the range.

    what: the name of the number; hint: words behind the least one; both for the message.

    >>> whole(3, "steps", 1000)
    3
    """
    if not hasattr(value, "__index__") or not least <= value.__index__() <= most:
        shown = f"2^{most.bit_length()} - 1" if most > 10**9 else most
        raise InputError(f"{what} {value!r}: give a number from {least}{hint} to {shown}")
    return value.__index__()


def kind_of(value: object) -> str:
    """A value's type in words, for a message.

    >>> kind_of([1, 2])
    'a list of 2'
    """
    name = type(value).__name__
    length = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}{length}"
