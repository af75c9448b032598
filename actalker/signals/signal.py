"""What a driving signal is to the rest of the package.

To add a signal: one file in this folder with an encoder of the shape below, one line in `SIGNALS`,
one block in a config. Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError

if TYPE_CHECKING:  # the table is read by commands that need no torch
    from torch import Tensor


@dataclass(frozen=True)
class Signal:
    """A driving signal: where it acts unless the user says otherwise, and what it is, for `--help`."""

    region: str  # mouth, upper, face or frame
    help: str


SIGNALS = {
    "audio": Signal("mouth", "speech: the mouth follows the sound"),
    "expression": Signal("upper", "a video whose facial motion and head pose are taken over"),
    "text": Signal("face", "a script: what the face does, and in which seconds"),
}


def check_driven(given: Iterable[str]) -> None:
    """Raise InputError unless a signal is among those that are given."""
    if SIGNALS.keys().isdisjoint(given):
        *others, last = (f"--{name}" for name in SIGNALS)
        raise InputError(f"no driving signal: give at least one of {', '.join(others)} and {last}")


class SignalEncoder(Protocol):
    """What every encoder here is, beside being an nn.Module.

    Its `forward` turns that signal's input at the video's frame times (frame k is at k / fps seconds) into
    tokens (b, f, n, d); a signal that a clip does not have gets `absent` tokens, with its gate closed.
    """

    name: str
    """The signal's key in `SIGNALS`, gates, regions, guidance scales and file names."""

    null: Tensor
    """Learned stand-in for the absent signal, (n, d)."""

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens (b, f, n, d) of the absent signal: `null` at every frame."""


def repeat_null(null: Tensor, *lead: int) -> Tensor:
    """`null` (n, d) repeated over the leading axes: (*lead, n, d), a view."""
    return null.expand(*lead, *null.shape)
