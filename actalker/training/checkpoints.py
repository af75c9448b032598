"""Checkpoints: written whole or not at all, in the run's own folder, and checked before they are read."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, Strategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from ..errors import InputError
from ..weights import read_torch
from .interrupt import NAMES, Interrupted, Signals, requeue, tell

LAST = "last.ckpt"
PART, OLD = ".part", ".old"  # a checkpoint that is being written; a folder that another one replaces


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it when it is on the disk, never through TMPDIR.

    The previous one stays until then. On object stores (`s3://` and the like) Lightning's way is taken: they
    show a file only when it is whole.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, object], path: str | os.PathLike, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint.

        Raises: InputError that names the place where the disk is full or cannot be written to.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        part = target.with_name(target.name + PART)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
            _sync_folder(target.parent)
        except (OSError, RuntimeError) as error:  # torch wraps what the file says
            raise _no_place(target, error) from None
        finally:
            with suppress(OSError):
                part.unlink()


class WholeTrainer(L.Trainer):
    """Lightning's trainer, which also writes checkpoints that are folders whole, or not at all."""

    def save_checkpoint(
        self, filepath: str | os.PathLike, weights_only: bool | None = None, storage_options: object = None
    ) -> None:
        """Write a checkpoint.

        Raises: InputError that names the place where the disk is full or cannot be written to.
        """
        if not writes_folders(self.strategy):
            super().save_checkpoint(filepath, weights_only, storage_options)
            return
        target = Path(self.strategy.broadcast(str(filepath)))
        part = target.with_name(target.name + PART)
        if self.is_global_zero:
            shutil.rmtree(part, ignore_errors=True)
        self.strategy.barrier()
        try:
            super().save_checkpoint(part, weights_only, storage_options)
            if self.is_global_zero:
                _replace_folder(part, target)
        except (OSError, RuntimeError) as error:
            if self.is_global_zero:
                shutil.rmtree(part, ignore_errors=True)
            raise _no_place(target, error) from None
        self.strategy.barrier()


class LastCheckpoint(ModelCheckpoint):
    """Lightning's checkpoint callback, which keeps `last.ckpt` and writes it before the training ends.

    Ends are: the last step, an epoch or a time that the trainer was given, Ctrl-C, SIGTERM, SIGUSR1.

    Args:
        every_n_steps: steps between two checkpoints; every_n_train_steps is Lightning's name of it.
        train_time_interval: time between two checkpoints; 4 minutes unless one of these is given.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_last: bool | Literal["link"] | None = True,
        save_top_k: int = 0,
        enable_version_counter: bool = False,
        save_on_train_epoch_end: bool | None = False,
        **kwargs: Any,
    ) -> None:
        steps = every_n_steps if every_n_steps is not None else every_n_train_steps
        if steps is None and train_time_interval is None and every_n_epochs is None:
            train_time_interval = timedelta(minutes=4)
        super().__init__(
            every_n_train_steps=steps,
            train_time_interval=train_time_interval,
            every_n_epochs=every_n_epochs,
            save_last=save_last,
            save_top_k=save_top_k,
            enable_version_counter=enable_version_counter,  # a resumed run goes on writing last.ckpt
            save_on_train_epoch_end=save_on_train_epoch_end,
            **kwargs,
        )
        self.signals = Signals()
        self._begun = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Listen to signals from now on."""
        super().on_train_start(trainer, module)
        self._begun = trainer.global_step
        if not trainer.fast_dev_run:
            self.signals.install(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: object, index: int
    ) -> None:
        """Write a checkpoint where one is due, and after the last step; end where a signal asks for it."""
        super().on_train_batch_end(trainer, module, outputs, batch, index)
        if trainer.global_step == trainer.max_steps and self.save_last:
            self._save_now(trainer)
        self.end_if_asked(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *args: object) -> None:
        """End the training where a signal asks for it."""
        self.end_if_asked(trainer)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write the last checkpoint."""
        if self.save_last:
            self._save_now(trainer)
        self.signals.restore()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Write a checkpoint of a training that a signal ends, and say how to go on."""
        super().on_exception(trainer, module, exception)
        if isinstance(exception, Interrupted):
            if trainer.global_step > self._begun:
                self._save_now(trainer)
            if requeue(trainer, exception.number):
                tell("the job is back in the queue")
            exception.args = (self._ending(trainer, exception.number),)
        self.signals.restore()

    def end_if_asked(self, trainer: L.Trainer) -> None:
        """End the training if any process has received a signal; all processes call it.

        Raises: Interrupted.
        """
        if trainer.state.fn != TrainerFn.FITTING or trainer.fast_dev_run:
            return
        if number := self.signals.agreed(trainer):
            raise Interrupted(number, "")

    def _save_now(self, trainer: L.Trainer) -> None:
        """Write last.ckpt, unless it is of this step already."""
        path = str(Path(str(self.dirpath)) / LAST)
        if trainer.fast_dev_run or trainer.sanity_checking:
            return
        if self._last_checkpoint_saved != path or self._last_global_step_saved != trainer.global_step:
            self.last_model_path = path  # part of what is saved
            self._save_checkpoint(trainer, path)

    def _ending(self, trainer: L.Trainer, number: int) -> str:
        name, last = NAMES[signal.Signals(number)], Path(str(self.dirpath)) / LAST
        if trainer.global_step == self._begun:
            hint = f"go on from {last}" if last.exists() else "there is nothing to keep yet"
            return f"{name} before the first step was over; {hint}"
        return (
            f"{name} after step {trainer.global_step}: the checkpoint is {last}; go on with --ckpt_path last"
        )


def writes_folders(strategy: Strategy) -> bool:
    """Whether a strategy's checkpoint is a folder with a file of each process."""
    if isinstance(strategy, ModelParallelStrategy):
        return bool(strategy._save_distributed_checkpoint)
    if isinstance(strategy, FSDPStrategy):
        return bool(strategy._state_dict_type == "sharded")
    return isinstance(strategy, DeepSpeedStrategy)


def find_last(folder: Path) -> Path | None:
    """The last checkpoint in a run's folder of checkpoints; None where there is none.

    Files that a killed process left half-written do not count.
    """
    last = folder / LAST
    return next((path for path in (last, last.with_name(LAST + OLD)) if path.exists()), None)


def clear_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it saved has left in a folder of checkpoints."""
    last, old = folder / LAST, folder / (LAST + OLD)
    if old.exists() and not last.exists():
        old.rename(last)  # killed between the two names: the previous one is whole
    for left in [*folder.glob(f"*.ckpt{PART}"), *folder.glob(f"*.ckpt{OLD}")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint of our training; tensors stay on the disk until they are used.

    Raises: InputError, one line that names the file: missing, cut, of another kind, of another program.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint; check the path")
    whole = path
    if path.is_dir():
        whole = path / "meta.pt"  # Lightning's name of what is not split
        if not whole.is_file():
            raise InputError(
                f"{path}: is a folder, and no checkpoint of split weights; give a .ckpt of train.py"
            )
    content = read_torch(whole, "training checkpoint", "give a .ckpt of train.py")
    if not isinstance(content, dict) or "model_config" not in content:
        raise InputError(f"{path}: not a checkpoint of this program's training; give a .ckpt of train.py")
    return content


def check_fits(path: str | Path, content: Mapping[str, object], module: nn.Module) -> None:
    """Refuse a checkpoint whose weights are not those of the module. Raises: InputError."""
    weights = content.get("state_dict")
    if not isinstance(weights, Mapping):  # a folder: split weights are compared when they are read
        return
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    wrong = [
        name
        for name in {**shapes, **weights}
        if name not in shapes or name not in weights or weights[name].shape != shapes[name]
    ]
    if wrong:
        raise InputError(
            f"{path}: is of another model: {len(wrong)} weights are missing, unknown or of another shape "
            f"(first: {wrong[0]}); give the settings that it was trained with, or begin anew from an "
            "exported model with --model.start"
        )


def _replace_folder(part: Path, target: Path) -> None:
    for file in part.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    old = target.with_name(target.name + OLD)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    part.rename(target)
    _sync_folder(target.parent)
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk too, where the file system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _no_place(target: Path, error: BaseException) -> BaseException:
    """The error as one line, where the file system is the reason."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return error
    left = " and the previous one is whole" if target.exists() else ""
    return InputError(
        f"{target}: the checkpoint cannot be written ({cause.strerror or cause}){left}; free space there, "
        "or give another folder with --run"
    )
