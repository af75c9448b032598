"""What the commands' options have in common: one line for a wrong one, a config file for all of them."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

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
    """A parser with `--config file.yaml`."""
    parser = ArgumentParser(prog=f"actalker {command}", description=description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these options")
    return parser


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace | None:
    """The options; None after `--help`. Raises: InputError, one line, for wrong ones."""
    try:
        return parser.parse_args(list(argv))
    except ArgumentError as error:
        options = [option for action in parser._actions for option in action.option_strings]
        raise InputError(f"{explain(error.message, options)}; see {parser.prog} --help") from None
    except SystemExit as stop:
        if not stop.code:
            return None
        raise InputError(f"wrong options; see {parser.prog} --help") from None


def pairs(texts: Sequence[str] | None, option: str, example: str) -> dict[str, str]:
    """`["audio=2"]` to `{"audio": "2"}`."""
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
    """The parser's message as one line in the words of the command line.

    dashes: whether the options' words are joined by dashes, where the parser's keys have underscores.
    """
    line = " ".join(str(message).split()).rstrip(".")
    if found := re.match(r"unrecognized arguments: (?P<word>\S+)", line):
        word = found["word"]
        if not word.startswith("-"):
            return f"'{word[:60]}' belongs to no option; put text with spaces into quotation marks"
        return f"unknown option {word[:60]}{_nearest(word.partition('=')[0], options)}"
    if found := re.match(r"Option '(?P<word>[^']*)' is not accepted", line):
        name = found["word"]
        return f"--config: unknown setting '{name[:60]}'{_nearest('--' + name.replace('_', '-'), options)}"
    wrong = re.match(r'Parser key "(?P<key>[^"]*)": (?P<why>.*)', line)
    if wrong is None:
        return line[:300]
    key, why = wrong["key"], wrong["why"]
    option = "--" + (key.replace("_", "-") if dashes else key)
    if inner := re.search(r"Option '(?P<word>[^']*)' is not accepted", why):
        return f"{option}: unknown setting '{inner['word'][:60]}'"
    given = re.search(r"(?:Given|Got) value: (?P<value>.*)", why)
    if "item assignment" in why:  # one word where a repeatable option takes a list
        return f"--config: {key} takes a list; write {key}: [NAME=VALUE]"
    if given is None:
        return f"{option}: {why[:200]}"
    kinds = dict.fromkeys(TYPES.get(kind, kind) for kind in re.findall(r"Expected a <class '(\w+)'>", why))
    wanted = " or ".join(kind for kind in kinds if kind != TYPES["NoneType"])
    return f"{option}: '{given['value'][:60]}' cannot be used; give {wanted or 'another value'}"


def _nearest(option: str, options: Iterable[str]) -> str:
    near = get_close_matches(option, list(options), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
