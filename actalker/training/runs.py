"""A run's folder and length: one option for each, from which all others follow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TextIO

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_only

from ..errors import InputError
from .checkpoints import clear_leftovers, find_last

RUNS, CHECKPOINTS = "runs", "checkpoints"
PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")
ALIASES = {"bf16": "bf16-mixed", "16": "16-mixed", "32": "32-true", "None": "32-true"}
IF_ANY = "last-if-any"


def settle(config: Namespace) -> None:
    """Fill in, in place, the settings that depend on `run` and on `steps`.

    `run` names the folders of logs and checkpoints; `steps` sets the length of the training and scales the
    warm-up and cool-down of the learning rate.
    config: the parsed settings of one subcommand.
    Raises: InputError for settings with which no training is possible.
    """
    trainer, checkpoint = config.trainer, config.checkpoint
    if config.run is not None:
        trainer.default_root_dir = str(folder_of(config.run))
        checkpoint.dirpath = None
    elif trainer.default_root_dir is None:
        trainer.default_root_dir = str(folder_of("unnamed"))
    if checkpoint.dirpath is None:
        checkpoint.dirpath = str(Path(trainer.default_root_dir) / CHECKPOINTS)
    for logger in trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]:
        arguments = getattr(logger, "init_args", None)
        if arguments is not None and arguments.get("save_dir", "") in (None, "."):
            arguments.save_dir = trainer.default_root_dir
    optimizer = config.model.optimizer
    if config.steps is not None:
        if config.steps < 1:
            raise InputError(f"--steps {config.steps}: give at least 1")
        share = config.steps / optimizer.steps
        optimizer.warmup, optimizer.cooldown = (
            round(length * share) for length in (optimizer.warmup, optimizer.cooldown)
        )
        trainer.max_steps = optimizer.steps = config.steps
    data = config.data.get("init_args") if hasattr(config.data, "get") else None
    if data is not None and isinstance(data.get("steps"), int) and trainer.max_steps > 0:
        data.steps = max(data.steps, trainer.max_steps * trainer.accumulate_grad_batches)
    precision = ALIASES.get(str(trainer.precision), trainer.precision)
    if precision not in PRECISIONS:
        raise InputError(
            f"--trainer.precision {precision}: no model is trained so; give one of: {', '.join(PRECISIONS)}"
        )


def folder_of(name: str) -> Path:
    """runs/NAME; what holds a slash is a path already. Raises: InputError for names that are none."""
    if not name.strip() or name in (".", "..") or "\0" in name:
        raise InputError(f"--run {name!r}: give the run a name, or a folder")
    path = Path(name).expanduser()
    return path if os.sep in name else Path(RUNS) / path


def checkpoint_to_go_on(path: str | None, folder: Path) -> str | None:
    """The file that `--ckpt_path` means. folder: the run's checkpoints. Raises: InputError: there is none."""
    if path is None and int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0:
        path = IF_ANY  # the job was put back into the queue
    if path in ("last", IF_ANY):
        last = find_last(folder)
        if last is None and path == "last":
            raise InputError(
                f"--ckpt_path last: there is no checkpoint in {folder}; begin without, check --run, or give "
                f"--ckpt_path {IF_ANY}"
            )
        return None if last is None else str(last)
    if path in ("best", "hpc"):
        raise InputError(
            f"--ckpt_path {path}: not kept by name here; give the checkpoint's file, or --ckpt_path last"
        )
    return path


def claim(folder: Path, checkpoints: Path, goes_on_from: str | None, overwrite: bool) -> TextIO | None:
    """Make a run's folder this process's own, as long as it lives. Returns the lock, which must stay open.

    Raises: InputError when it holds another run's checkpoint, another process trains in it, or it cannot be
        written to.
    """
    if rank_zero_only.rank:
        return None
    last = find_last(checkpoints)
    if last is not None and not overwrite:
        goes_on = goes_on_from is not None and Path(goes_on_from).parent.resolve() == checkpoints.resolve()
        if not goes_on:
            raise InputError(
                f"{folder}: holds a run already ({last}); go on with --ckpt_path last, give another --run "
                "NAME, or allow --overwrite"
            )
    for place in (folder, checkpoints):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise InputError(
                f"{place}: cannot be written to ({error.strerror}); give another folder with --run"
            ) from None
    lock = _lock(folder)
    clear_leftovers(checkpoints)
    return lock


def _lock(folder: Path) -> TextIO | None:
    """A lock that ends with the process; None where the file system knows none."""
    try:
        import fcntl
    except ImportError:
        return None
    file = open(folder / ".lock", "a")  # noqa: SIM115 - kept open on purpose
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(f"{folder}: another process trains in it; give another --run NAME") from None
    except OSError:
        pass
    return file
