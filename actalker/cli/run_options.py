"""`RunOptions` as options of a command: names, help and defaults come from the dataclass itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from docstring_parser import parse_from_object
from jsonargparse import ArgumentParser

from ..control.gates import Gates
from ..errors import InputError
from ..pipeline.options import RunOptions
from ..signals.signal import SIGNALS
from .options import pairs

PLAIN = (str, int, float, bool)
STARTS = "starts"  # a field that has one option for each signal


def add_signals(parser: ArgumentParser) -> None:
    """Add `--audio`, `--audio-start` and so on, for every signal of the table."""
    for name, signal in SIGNALS.items():
        parser.add_argument(f"--{name}", type=str | None, default=None, help=signal.help)
        if signal.start:
            parser.add_argument(f"--{name}-start", type=str | float, default="0", help=signal.start)


def add_run_options(parser: ArgumentParser) -> None:
    """Add an option for every field of `RunOptions`."""
    helps = {p.arg_name: p.description for p in parse_from_object(RunOptions).params}
    kinds = get_type_hints(RunOptions)
    for option in fields(RunOptions):
        if option.name == STARTS:
            continue
        text = _sentence(helps[option.name] or "")
        word = f"--{option.metadata.get('option', option.name).replace('_', '-')}"
        if "option" in option.metadata:
            metavar = option.metadata["metavar"]
            text += " (repeatable)"
            parser.add_argument(word, nargs="+", action="extend", type=str, metavar=metavar, help=text)
        elif kinds[option.name] is bool:
            parser.add_argument(word, action="store_true", help=text)
        else:
            parser.add_argument(
                word, type=_type(kinds[option.name], option), default=option.default, help=text
            )


def run_options(settings: Mapping[str, Any]) -> RunOptions:
    """The `RunOptions` of a command line's settings. Raises: InputError for values that cannot be used."""
    values = {
        option.name: settings[option.name]
        for option in fields(RunOptions)
        if option.name != STARTS and "option" not in option.metadata
    }
    return RunOptions(
        **values,
        gates=Gates.parse(settings["gate"] or [], SIGNALS),
        regions=pairs(settings["region"], "region", f"{next(iter(SIGNALS))}=mouth"),
        guidance={
            name: _number(f"--guidance {name}", value)
            for name, value in pairs(settings["guidance"], "guidance", f"{next(iter(SIGNALS))}=2").items()
        },
        starts={name: settings[f"{name}_start"] for name, signal in SIGNALS.items() if signal.start},
    )


def _type(kind: type | UnionType, option: Field) -> type | UnionType:
    """The type that the parser reads: plain types, and None where that is the default."""
    parts = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    plain = [part for part in parts if part in PLAIN]
    out: type | UnionType = plain[0]
    for part in plain[1:]:
        out = out | part
    return out | None if NoneType in parts and option.default is None else out


def _sentence(text: str) -> str:
    """A docstring as help of an option: one line that begins in lower case and ends without a full stop."""
    line = " ".join(text.split()).rstrip(".")
    first = line.split(" ", 1)[0]
    return line if first.isupper() else line[:1].lower() + line[1:]


def _number(where: str, text: str) -> float:
    """A text as a number. Raises: InputError that begins with `where`."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}={text}: give a number") from None
