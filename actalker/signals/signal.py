"""The table of driving signals: the one place that says what a signal is to the rest of the package.

A signal is added by a line in `SIGNALS`, from any file: what it may move, which encoders read it, how its
input is opened, and what the command line says of it. Everything else asks this table. docs/extending.md
adds one, step by step. Letters: b batch, f frames, n tokens a frame, d width.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import InputError

if TYPE_CHECKING:  # the table is read by commands that need no torch
    from torch import Tensor

HERE = __package__


@dataclass(frozen=True)
class Late:
    """A class or function that is imported when it is used: `Late("my_package.body", "BodyEncoder")`."""

    module: str
    name: str

    def load(self) -> Any:
        """The object itself."""
        return getattr(importlib.import_module(self.module), self.name)


@dataclass(frozen=True)
class Kind:
    """A kind of encoder: its class (`SignalEncoder`), which takes one argument, and the class of that."""

    encoder: Late
    settings: Late


@dataclass(frozen=True)
class Signal:
    """A driving signal.

    region: mouth, upper, face or frame: where it acts beside others, unless the user says otherwise.
    moves: face or frame: what can change while it is open alone; outside that the portrait stands still.
    help: what it is, for `--help`.
    input: what is given of it, in one or two words, for messages: `sound`.
    encoders: kind -> encoder; the first is the usual one.
    open: a function (value, `SignalContext`, start in seconds) -> `SignalInput`.
    file: what kind of file its input is (`errors` name it), where it is always one.
    start: help of the option that leaves out the beginning of its input; empty: there is no such option.
    idle: a function (`SignalContext`, frames, other signals' feeds) -> `Feed` or None: what the signal is
        where nothing is given of it.
    colour: red, green and blue, 0 to 255, of its curve in previews.
    unpack: a function (arrays of a training batch, encoder, generator, `AugmentStrategy`) -> arrays as the
        encoder takes them, changed at random where there is a generator; None: they are so already.
    needs: attributes that its encoders have beside those of `SignalEncoder`.
    check: a function (input, seconds and exact frames a second of the clip) that raises `InputError` for an
        input that cannot be used, without torch; None: what is wrong shows when it is opened.
    of_clip: a function (`ClipWindow`) -> `ClipSignal`: what a clip of real people shows of it, for training;
        None: real clips have none of it.
    still: its arrays in training samples that have no axis of time.
    """

    region: str
    moves: str
    help: str
    input: str
    encoders: Mapping[str, Kind]
    open: Late
    file: str = ""
    start: str = ""
    idle: Late | None = None
    colour: tuple[int, int, int] = (110, 110, 110)
    unpack: Late | None = None
    needs: tuple[str, ...] = ()
    check: Late | None = None
    of_clip: Late | None = None
    still: tuple[str, ...] = ()


def _kind(module: str, encoder: str, settings: str) -> Kind:
    return Kind(Late(f"{HERE}.{module}", encoder), Late(f"{HERE}.{module}", settings))


SIGNALS: dict[str, Signal] = {
    "audio": Signal(
        region="mouth",
        moves="face",
        help="speech: any file with sound",
        input="sound",
        encoders={
            "mel": _kind("audio", "AudioEncoder", "AudioConfig"),
            "speech": _kind("speech", "SpeechEncoder", "SpeechConfig"),
            "whisper": _kind("whisper", "WhisperAudio", "WhisperConfig"),
            "released": _kind("released", "ReleasedAudio", "ReleasedAudioConfig"),
        },
        open=Late(f"{HERE}.audio_input", "open_audio"),
        file="sound",
        start="seconds of the speech that are left out at its beginning, 90.5 or 1:30.5",
        colour=(214, 84, 40),
        unpack=Late(f"{HERE}.samples", "unpack_speech"),
        needs=("source",),
        check=Late(f"{HERE}.checks", "check_sound"),
        of_clip=Late(f"{HERE}.samples", "speech_of_clip"),
    ),
    "expression": Signal(
        region="upper",
        moves="frame",
        help="driving video of a face; for models of heads also a take of Live Link Face, .csv",
        input="driving video",
        encoders={
            "crops": _kind("expression", "ExpressionEncoder", "ExpressionConfig"),
            "released": _kind("released", "ReleasedMotion", "ReleasedMotionConfig"),
            "numbers": _kind("motion_numbers", "MotionNumbers", "MotionNumbersConfig"),
            "head": _kind("head", "HeadEncoder", "HeadConfig"),
        },
        open=Late(f"{HERE}.expression_input", "open_expression"),
        file="video",
        start="seconds of the driving video that are left out at its beginning; its motion is relative to "
        "the first face after them",
        idle=Late(f"{HERE}.expression_input", "live"),
        colour=(38, 110, 190),
        unpack=Late(f"{HERE}.samples", "unpack_motion"),
        check=Late(f"{HERE}.checks", "check_video"),
        of_clip=Late(f"{HERE}.samples", "motion_of_clip"),
        still=("rest",),
    ),
    "text": Signal(
        region="face",
        moves="frame",
        help='script: "a woman speaks | 0-1.2: smiles | 1.2-2.5: nods", or a YAML file',
        input="script",
        encoders={"bytes": _kind("text", "TextEncoder", "TextConfig")},
        open=Late(f"{HERE}.text_input", "open_text"),
        colour=(46, 140, 80),
        check=Late(f"{HERE}.checks", "check_script"),
        of_clip=Late(f"{HERE}.samples", "script_of_clip"),
        still=("bytes",),
    ),
}
IDENTITY = "identity"  # who the portrait shows: tokens beside the signals', with an encoder and no gate
IDENTITY_ENCODERS: dict[str, Kind] = {
    "crop": _kind("identity", "IdentityEncoder", "IdentityConfig"),
    "released": _kind("released", "ReleasedIdentity", "ReleasedIdentityConfig"),
    "own": _kind("own", "OwnMotion", "OwnMotionConfig"),
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
