"""What the commands' options have in common: one line for a wrong one, a config file for all of them."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from ..errors import InputError


def new_parser(command: str, description: str) -> ArgumentParser:
    """A parser with `--config file.yaml`."""
    parser = ArgumentParser(prog=f"actalker {command}", description=description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these options")
    return parser


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace | None:
    """The options; None after `--help`. Raises: InputError, one line, for wrong ones."""
    try:
        return parser.parse_args(list(argv))
    except ArgumentError as error:
        raise InputError(f"{_one_line(error.message)}; see {parser.prog} --help") from None
    except SystemExit as stop:
        if not stop.code:
            return None
        raise InputError(f"wrong options; see {parser.prog} --help") from None


def pairs(texts: Sequence[str] | None, option: str, example: str) -> dict[str, str]:
    """`["audio=2"]` to `{"audio": "2"}`."""
    out: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--{option} {text}: write NAME=VALUE, for example --{option} {example}")
        if name in out:
            raise InputError(f"--{option} {text}: {name} is given twice; give it once")
        out[name.strip()] = value.strip()
    return out


def _one_line(message: Any) -> str:
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return " ".join(lines)[:300].rstrip(".")
