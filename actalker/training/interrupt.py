"""Ctrl-C and the signals of schedulers while a model trains: the step is finished and kept before the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.environments import SLURMEnvironment

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}
SAME_PRESS = 0.3  # seconds; launchers pass on what their processes have got already


class Interrupted(Exception):
    """A training that a signal ended, after its checkpoint was written. `number`: the signal's."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class Signals:
    """Receives signals and remembers them; the training loop asks for them where a batch is over.

    SIGINT: a second Ctrl-C ends the process at once. SIGTERM: may come again, as schedulers repeat it.
    SIGUSR1: as SIGTERM; under SLURM, the job is put back into the queue where that is allowed.
    """

    def __init__(self) -> None:
        self.received, self._at = 0, 0.0
        self._before: dict[int, Any] = {}
        self._trainer: L.Trainer | None = None

    def install(self, trainer: L.Trainer) -> None:
        """Receive signals from now on. Only the main thread of a process can do that."""
        self._trainer = trainer
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._note) for number in NAMES}

    def restore(self) -> None:
        """Give signals back the handlers that they had before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def agreed(self, trainer: L.Trainer) -> int:
        """The signal that any of the processes has received, 0 for none; all processes call it."""
        if trainer.world_size == 1:
            return self.received
        mine = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(mine, reduce_op="max"))

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = number == signal.SIGINT == self.received
        if again and time.monotonic() - self._at > SAME_PRESS:
            self._end_at_once()
        if self.received:
            return
        self.received, self._at = number, time.monotonic()
        assert self._trainer is not None
        if self._trainer.is_global_zero:
            more = "; again: ends at once" if number == signal.SIGINT else ""
            tell(f"{NAMES[signal.Signals(number)]}: a checkpoint is written when this batch is over{more}")

    def _end_at_once(self) -> None:
        assert self._trainer is not None
        if self._trainer.is_global_zero:
            tell("ended at once; the checkpoint is the one before")
        launcher = self._trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGKILL)
        os._exit(128 + signal.SIGINT)


def requeue(trainer: L.Trainer, number: int) -> bool:
    """Put the SLURM job back into the queue, where the signal asks for it. Returns whether it was."""
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return False
    if number != (environment.requeue_signal or signal.SIGUSR1) or not trainer.is_global_zero:
        return False
    job = os.environ.get("SLURM_JOB_ID", "")
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        if done.returncode == 0:
            return True
        why = done.stderr.strip()
    except OSError as error:
        why = f"scontrol: {error.strerror}"
    tell(f"the job was not put back into the queue ({why})")
    return False


def tell(line: str) -> None:
    """Print a line on standard error, below a progress bar that may be there."""
    print(f"\n{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
