"""The table of driving signals, the one place that names them.

An entry says which part of the picture a signal may move, which encoders read it, how its input is opened,
and what the command line says of it; everything else asks the table. To add a signal, put an entry
into `SIGNALS` from any file; docs/extending.md shows how.

Letters: b batch, f frames, n tokens a frame, d width.
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
    """A class or function that is imported when it is used, so that the table needs no torch.

    >>> Late("fractions", "Fraction").load()
    <class 'fractions.Fraction'>
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import the module, and return its object of this name."""
        return getattr(importlib.import_module(self.module), self.name)


@dataclass(frozen=True)
class Kind:
    """A kind of encoder.

    encoder: its class, a `SignalEncoder` made from one argument.
    settings: the dataclass of that argument.
    """

    encoder: Late
    settings: Late


@dataclass(frozen=True)
class Signal:
    """A driving signal: its region, its encoders, and the functions that read its input.

    region: where it acts beside other signals, unless the user says otherwise: mouth, upper, face or frame.
    moves: the part that can change while it alone is open, face or frame; the rest
        of the portrait stands still.
    help: description for `--help`.
    input: name of its input in messages, one or two words, such as `sound`.
    encoders: kind -> encoder; the first kind is the default.
    open: function (value, `SignalContext`, start in seconds) -> `SignalInput`.
    file: kind of its input file, for the messages of `errors`; empty where the input may be something else.
    start: help of the option that skips the beginning of its input; empty where there is no such option.
    idle: function (`SignalContext`, frames, feeds of the other signals) -> `Feed` or None, the signal
        of a clip without input for it.
    colour: red, green and blue, 0 to 255, of its curve in previews.
    unpack: function (arrays of a training batch, encoder, generator or None, `AugmentStrategy`) -> arrays as
        the encoder takes them, augmented where there is a generator; None where the arrays need no change.
    needs: attributes that its encoders must have beside those of `SignalEncoder`.
    check: function (input, seconds of the clip, its exact frames a second) that raises `InputError`
        for an input that cannot be used, without torch; None leaves this to `open`.
    of_clip: function (`ClipWindow`) -> `ClipSignal`, the signal in a clip of a real person, for training;
        None where real clips do not have it.
    still: names of its arrays in training samples that have no time axis.
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
    """Return the kind of two classes in a module of this folder."""
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
IDENTITY = "identity"  # the person in the portrait: has an encoder and tokens, but no gate
IDENTITY_ENCODERS: dict[str, Kind] = {
    "crop": _kind("identity", "IdentityEncoder", "IdentityConfig"),
    "released": _kind("released", "ReleasedIdentity", "ReleasedIdentityConfig"),
    "own": _kind("own", "OwnMotion", "OwnMotionConfig"),
}


def check_driven(names: Iterable[str]) -> None:
    """Raise InputError unless one of these names is a signal's."""
    if SIGNALS.keys().isdisjoint(names):
        *others, last = (f"--{name}" for name in SIGNALS)
        raise InputError(f"no driving signal: give at least one of {', '.join(others)} and {last}")


class SignalEncoder(Protocol):
    """Interface of a signal's encoder, which is also an nn.Module.

    `forward` encodes the signal's input at the video's frame times, frame k at k / fps seconds, to tokens
    (b, f, n, d). A clip without the signal gets the tokens of `absent`, and its gate is closed.
    """

    name: str
    """The signal's name in `SIGNALS`, gates, regions, guidance scales and files."""

    null: Tensor
    """Learned tokens of the absent signal, (n, d)."""

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of the absent signal: `null` at every frame."""


def repeat_null(null: Tensor, *lead: int) -> Tensor:
    """Repeat tokens (n, d) over leading axes, (*lead, n, d), as a view."""
    return null.expand(*lead, *null.shape)
