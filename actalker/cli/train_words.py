"""Checks the words after `actalker train` before Lightning is imported, which alone takes seconds.

Only certain mistakes are refused: an unknown command, missing files, unknown options of groups whose names
can be read from the source of their class. Everything else is left to the parser.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from ..errors import InputError, one_of
from .options import explain

SUBCOMMANDS = {
    "fit": "train a model",
    "validate": "val/* of a checkpoint: losses on held-out clips, what each gate does",
    "test": "test/* of a checkpoint: losses on held-out clips",
    "predict": "clips of a checkpoint, as videos in the run's folder",
}
OPTIONS = (
    "run",
    "steps",
    "overwrite",
    "threads",
    "plan",
    "seed_everything",
    "config",
    "print_config",
    "help",
)
TRAINING = Path(__file__).parent.parent / "training"
CALLS = {  # arguments of Trainer.fit and its like
    "fit": ("ckpt_path", "weights_only"),
    "validate": ("ckpt_path", "verbose", "weights_only"),
    "test": ("ckpt_path", "verbose", "weights_only"),
    "predict": ("ckpt_path", "return_predictions", "weights_only"),
}


def usage() -> str:
    """The text of `actalker train --help`."""
    rows = [f"  {name:10s} {what}" for name, what in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: actalker train COMMAND --config FILE [options]",
            "",
            *rows,
            "",
            "  --config FILE            settings, such as configs/tiny.yaml",
            "  --run NAME               the run: all that it writes is in runs/NAME",
            "  --steps N                its length; warm-up and cool-down keep their shares of it",
            "  --ckpt_path last         from the run's last checkpoint (or begin: last-if-any), or a file",
            "  --overwrite              begin anew in a folder that holds a run already",
            "  --plan                   parameters, memory and speed; nothing is trained",
            "",
            "actalker train COMMAND --help tells all options, --print_config writes a complete config.",
        ]
    )


def check_words(words: Sequence[str]) -> None:
    """Raise InputError, one line, for words that are certainly wrong."""
    if not words:
        raise InputError("say what to do: actalker train fit --config FILE; see actalker train --help")
    if words[0].startswith("-"):  # options before the command are the parser's
        return
    try:
        command = one_of(words[0], SUBCOMMANDS, "actalker train: command")
    except InputError as error:
        raise InputError(f"{error}; see actalker train --help") from None
    options = dict(_pairs(words[1:]))
    configs: dict[str, object] = {}
    for name, value in _pairs(words[1:]):
        if name in ("config", "c"):
            configs |= _flat(_settings(value))
    known = _known(command)
    for name, dashed in [*((name, False) for name in configs), *((name, True) for name in options)]:
        _check_name(name, known, command, dashed)
    if {"help", "print_config"} & {name.partition(".")[0] for name in options} or "-h" in words:
        return
    values = {**configs, **options}
    path = values.get("ckpt_path")
    if isinstance(path, str) and _local(path) and path not in ("last", "last-if-any", "best", "hpc", "null"):
        _need(path, "no such checkpoint; check the path of --ckpt_path")
    shards = values.get("data.init_args.data.shards", values.get("data.data.shards"))
    if isinstance(shards, str) and not set(shards) & set(":{*?[("):  # one path: no list, pattern or address
        _need(shards, "no such folder of shards; write it with actalker prepare SOURCE --out DIR")


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and their values; that of a switch is the next word, which is not used."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("--") and len(word) > 2 or word == "-c":
            name, equals, value = word.lstrip("-").partition("=")
            yield name.rstrip("+"), value if equals else following


def _settings(path: str) -> Mapping[str, object]:
    """The settings of a config, a YAML file or JSON text. Raises: InputError where there are none."""
    if not path.lstrip().startswith("{") and not os.path.isfile(path):
        raise InputError(f"--config {path}: no such file; give a YAML file, such as configs/tiny.yaml")
    try:
        text = path if path.lstrip().startswith("{") else Path(path).read_text(encoding="utf-8")
        content: object = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"--config {path}: cannot be read as text ({why}); give a YAML file") from None
    except yaml.YAMLError:
        return {}  # the parser says where, and knows more tags
    if not isinstance(content, Mapping):
        raise InputError(f"--config {path}: holds no settings; write lines such as seed_everything: 3")
    return content


def _flat(settings: Mapping[str, object], lead: str = "") -> Iterator[tuple[str, object]]:
    """Settings by their names with dots, `group.option`, each group itself too."""
    for name, value in settings.items():
        yield f"{lead}{name}", value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{lead}{name}.")


def _check_name(name: str, known: Mapping[str, set[str]], command: str, dashed: bool) -> None:
    """Raise InputError for an unknown option. dashed: it is of the command line, not of a config."""
    group, _, rest = name.partition(".")
    inner = rest.partition(".")[0]
    if name == "c" or group in known and (not known[group] or not inner or inner in {*known[group], "help"}):
        return
    names = [f"--{g}.{option}" for g, options in known.items() for option in options] + [
        f"--{g}" for g in known
    ]
    if dashed:
        wrong = explain(f"unrecognized arguments: --{group}" + (f".{inner}" if inner else ""), names)
    else:
        near = explain(f"unrecognized arguments: --{group}" + (f".{inner}" if inner else ""), names)
        wrong = near.replace("unknown option --", "--config: unknown setting ").replace("mean --", "mean ")
    raise InputError(f"{wrong}; see actalker train {command} --help")


@cache
def _known(command: str) -> dict[str, set[str]]:
    """The groups of options, with the names in each; an empty set where they are not known."""
    spec = find_spec("lightning")
    root = Path(spec.origin).parent / "pytorch" if spec is not None and spec.origin else None
    trainer = _arguments(root / "trainer/trainer.py", "Trainer") if root else set()
    saved = _arguments(root / "callbacks/model_checkpoint.py", "ModelCheckpoint") if root else set()
    last = _arguments(TRAINING / "checkpoints.py", "LastCheckpoint")
    return {
        **{name: set() for name in (*OPTIONS, *CALLS[command], "data")},
        "trainer": trainer,
        "model": _arguments(TRAINING / "module.py", "TrainingModule"),
        "checkpoint": last | saved if saved else set(),
        "ema": _arguments(TRAINING / "averaging.py", "AverageWeights"),
        "samples": _arguments(TRAINING / "callbacks.py", "SampleVideos"),
    }


def _arguments(file: Path, name: str) -> set[str]:
    """The names of the arguments of a class, from its source."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    return {arg.arg for arg in (*part.args.args[1:], *part.args.kwonlyargs)}
    return set()


def _local(path: str) -> bool:
    """Whether a path is of this machine and names one file."""
    return "://" not in path and "{" not in path and not path.startswith("pipe:")


def _need(path: str, what: str) -> None:
    """Raise InputError where nothing is at the path; what: the end of the message."""
    if not os.path.exists(os.path.expanduser(path)):
        raise InputError(f"{path}: {what}")
