"""Files of torch.save, new and old, read without running anything that they hold."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .provenance import check_readable

ZIP = b"PK\x03\x04"  # what torch's newer format begins with; only such a file can stay on the disk
REASONS = {  # words of torch's messages, which advise to run the program: what is said instead
    r"GLOBAL ([\w.]+)|global ([\w.]+) was not an allowed": "it holds the program {}, which is not run",
    r"TorchScript": "it is TorchScript",
    r"corrupt|EOF|central directory|Ran out of input|Invalid argument": "it is cut off or damaged",
    r"Weights only load failed": "it is not in torch's format",
}


def read_weights(path: str | Path, what: str = "file of weights", hint: str = "check the file") -> Any:
    """What a file of torch.save holds: tensors, on the CPU, and plain containers.

    Tensors of the newer format stay on the disk until they are used.

    Args:
        what: should be in the file, for messages.
        hint: what to do, for messages.
    Raises: InputError for other files, and for those that need a program to be run.
    """
    path = check_readable(path, what)
    with open(path, "rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused right after
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a file that is no weights can make the reader raise anything
        raise InputError(f"{path}: is no {what} ({_reason(str(error))}); {hint}") from None


def _reason(message: str) -> str:
    line = " ".join(message.split())
    for words, reason in REASONS.items():
        if found := re.search(words, line):
            return reason.format(next((name for name in found.groups() if name), ""))
    return line[:100] or "it is cut off or damaged"


def state_dict(path: str | Path) -> dict[str, Tensor]:
    """A file's tensors by name, also from under `state_dict`, without DataParallel's `module.`.

    Raises: InputError for files that hold something else.
    """
    held = read_weights(path)
    if isinstance(held, Mapping) and isinstance(held.get("state_dict"), Mapping):
        held = held["state_dict"]
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise InputError(f"{path}: holds no weights by name")
    return {str(name).removeprefix("module."): value for name, value in held.items()}
