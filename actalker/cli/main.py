"""The table of commands. Each is imported only when it runs, so that `--help` answers at once."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence

from .. import __version__
from ..errors import InputError, one_of
from .quick import Process

COMMANDS = {
    "infer": ("infer", "portrait, speech, facial motion and script to a video"),
    "face": ("face", "a portrait with another expression, turned, or a sheet of twenty such"),
    "track": ("track", "a video's head motion as a take of Live Link Face"),
    "speech": ("speech", "speech of text-to-speech engines, with phone times, to learn lips from"),
    "prepare": ("prepare", "clips or raw videos to training shards"),
    "train": ("train", "train a model (LightningCLI: fit, validate, test, predict)"),
    "export": ("export", "a training checkpoint to a model folder"),
    "import-released": ("import_released", "ACTalker's released files to a model folder"),
    "check-released": ("check_released", "our form of the released network against a file's outputs"),
    "evaluate": ("evaluate", "metrics of videos, with their protocol"),
    "compare": ("compare", "two runs of evaluate, clip by clip"),
    "ablate": ("ablate", "what each gate does, measured on portraits"),
    "demo": ("demo", "the two demonstration videos"),
    "doctor": ("doctor", "what is there, what is missing, what to type"),
}


def usage() -> str:
    """What `actalker --help` prints."""
    rows = [f"  {name:16s} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["usage: actalker COMMAND [options]", "", *rows, "", "actalker COMMAND --help tells more."]
    )


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM, as schedulers send it): it ends as with Ctrl-C."""


def _terminate(*_: object) -> None:
    raise Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns the exit code: 0, 2 for bad input (one line on stderr), 130 for Ctrl-C, 143 for SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        return _run(argv)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(argv)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    Process.whole = argv is None
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a path is printed whatever the terminal's encoding
    try:
        code = _command(words)
        sys.stdout.flush()  # here a full disk can still be told
        return code
    except InputError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as end:
        print("interrupted; nothing half-written was left", file=sys.stderr)
        return 143 if isinstance(end, Terminated) else 130
    except BrokenPipeError:
        _close_output()
        return 141
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        _close_output()
        print(
            f"error: standard output: cannot be written ({error.strerror}); free space there", file=sys.stderr
        )
        return 2


def _command(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"actalker {__version__}")
        return 0
    module, _ = COMMANDS[one_of(words[0], COMMANDS, "command")]
    return int(importlib.import_module(f".{module}", __package__).run(words[1:]) or 0)


def _close_output() -> None:
    """What is still held back for standard output goes nowhere: nobody can take it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
