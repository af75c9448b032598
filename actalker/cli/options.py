"""Parses the options of all commands, from the command line or a config file.

A wrong option gives an error message of one line.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentError
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from ..errors import InputError

TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "nothing",
}


def new_parser(command: str, description: str) -> ArgumentParser:
    """Make a parser for a command's options, with `--config file.yaml`."""
    parser = ArgumentParser(prog=f"actalker {command}", description=description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these options")
    return parser


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace | None:
    """Parse a command line; returns its options, or None after `--help`.

    Raises: InputError with one line for wrong options.
    """
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        if word == "--config" or word.startswith("--config="):
            _check_config(parser, word.partition("=")[2] or following)
    try:
        return parser.parse_args(list(argv))
    except ArgumentError as error:
        options = [option for action in parser._actions for option in action.option_strings]
        raise InputError(f"{explain(error.message, options)}; see {parser.prog} --help") from None
    except SystemExit as stop:
        if not stop.code:
            return None
        raise InputError(f"wrong options; see {parser.prog} --help") from None


def _check_config(parser: ArgumentParser, path: str) -> None:
    """Raise InputError for config files that the parser would misread.

    Such files are no text, are empty, give words for a switch, or give a mapping for a list.
    """
    if not os.path.isfile(path):
        return  # the parser says so
    try:
        with open(path, encoding="utf-8") as file:
            content: object = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"--config {path}: cannot be read as text ({why}); give a YAML file") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # the parser says where
    if not isinstance(content, Mapping):
        raise InputError(f"--config {path}: holds no settings; write lines such as seed: 3")
    known = {option.lstrip("-").replace("-", "_"): a for a in parser._actions for option in a.option_strings}
    for key, value in content.items():
        action = known.get(str(key))
        if action is None or value is None:
            continue
        if action.nargs == 0 and not isinstance(value, bool):
            shown = str(value)[:60]
            raise InputError(f"--config {path}: {key}: '{shown}' cannot be used; give true or false")
        if action.nargs == "+" and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            meant = ", ".join(_words(value))[:80]
            raise InputError(f"--config {path}: {key} takes a list of texts; write {key}: [{meant}]")


def _words(value: object) -> list[str]:
    """Return a value as the list of texts that was meant: `audio=0.5` for `{audio: 0.5}`."""
    if isinstance(value, Mapping):
        return [f"{name}={part}" for name, part in value.items()]
    return [word for one in value for word in _words(one)] if isinstance(value, list) else [str(value)]


def pairs(texts: Sequence[str] | None, option: str, example: str) -> dict[str, str]:
    """Return texts such as `["audio=2"]` as a mapping, `{"audio": "2"}`.

    option, example: for messages. Raises: InputError for another form, and for a repeated name.
    """
    out: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise InputError(f"--{option} {text}: write NAME=VALUE, for example --{option} {example}")
        if name in out:
            raise InputError(f"--{option} {text}: {name} is given twice; give it once")
        out[name] = value
    return out


def explain(message: str, options: Iterable[str], dashes: bool = True) -> str:
    """Return a parser's error message as one line that names options as they are typed.

    Args:
        message: what jsonargparse says.
        options: names of all options; the nearest is suggested in place of an unknown one.
        dashes: whether options are written with dashes where the parser's keys have underscores.
    """
    line = " ".join(str(message).split()).rstrip(".")
    if match := re.match(r"unrecognized arguments: (?P<word>\S+)", line):
        word = match["word"]
        if not word.startswith("-"):
            return f"'{word[:60]}' belongs to no option; put text with spaces into quotation marks"
        return f"unknown option {word[:60]}{_nearest(word.partition('=')[0], options)}"
    if match := re.match(r"Option '(?P<word>[^']*)' is not accepted", line):
        name = match["word"]
        return f"--config: unknown setting '{name[:60]}'{_nearest('--' + name.replace('_', '-'), options)}"
    wrong = re.match(r'Parser key "(?P<key>[^"]*)": (?P<why>.*)', line)
    if wrong is None:
        return line[:300]
    key, why = wrong["key"], wrong["why"]
    option = "--" + (key.replace("_", "-") if dashes else key)
    if inner := re.search(r"Option '(?P<word>[^']*)' is not accepted", why):
        return f"{option}: unknown setting '{inner['word'][:60]}'"
    value = re.search(r"(?:Given|Got) value: (?P<value>.*)", why)
    if value is None:
        return f"{option}: {why[:200]}"
    kinds = dict.fromkeys(TYPES.get(kind, kind) for kind in re.findall(r"Expected a <class '(\w+)'>", why))
    wanted = " or ".join(kind for kind in kinds if kind != TYPES["NoneType"])
    return f"{option}: '{value['value'][:60]}' cannot be used; give {wanted or 'another value'}"


def _nearest(option: str, options: Iterable[str]) -> str:
    """Return a question that suggests the nearest of `options`; empty where none is near."""
    near = get_close_matches(option, list(options), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
