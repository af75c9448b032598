"""The processes that make samples beside the training: how many fit into shared memory, and their signals.

A worker passes batches on through shared memory, /dev/shm on Linux, which is small in containers (64 MB).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic

from ..errors import InputError
from .sample import B, Batch

SHARED = Path("/dev/shm")
SPARE = 0.8  # share of what is free that batches may take
GRACE = 30.0  # seconds that a worker stays after SIGTERM, for its training's last step

log = logging.getLogger("actalker")


def workers_that_fit(
    one: Batch, batch_size: int, workers: int, processes: int = 1, free: int | None = None
) -> tuple[int, int | None]:
    """How many workers there can be, and how many batches each can prepare ahead, in shared memory.

    Args:
        one: a batch of one clip, for its size.
        batch_size: clips in a batch.
        workers: how many are wanted.
        processes: trainings that share the memory.
        free: bytes of shared memory; None: what is free in /dev/shm now.
    Returns: workers, and `prefetch_factor` of torch's loader (None without workers).
    """
    if workers < 1:
        return 0, None
    if free is None:
        if not SHARED.is_dir():
            return workers, 2
        free = shutil.disk_usage(SHARED).free
    size = batch_size * sum(tensor.nbytes for tensor in one.tensors().values())
    room = int(SPARE * free / processes) // max(1, size) - 1  # one is with the training
    if room >= 2 * workers:
        return workers, 2
    count = max(0, min(workers, room))
    memory = f"{free >> 20} MB of shared memory ({SHARED}) are free, a batch takes {max(1, size >> 20)} MB"
    use = (
        f"{count} of {workers} workers prepare one batch each"
        if count
        else "samples are made without workers"
    )
    log.warning("%s: %s; give the container more, such as docker run --shm-size=8g", memory, use)
    return count, 1 if count else None


class Shared(Generic[B]):
    """A collate function whose batches lie in shared memory already when it runs in a worker.

    Otherwise torch moves them there in a thread of its own, which loses the batch when the memory is full,
    and the training waits for it for ever.
    """

    def __init__(self, collate: Callable[[list[B]], B]) -> None:
        self.collate = collate

    def __call__(self, samples: list[B]) -> B:
        """Samples as a batch. Raises: InputError when the shared memory is full."""
        batch = self.collate(samples)
        try:
            for tensor in batch.tensors().values():
                tensor.share_memory_()
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{SHARED}: no room for another batch ({' '.join(str(error).split())[:120]}); give fewer "
                "data.init_args.workers, or the container more shared memory"
            ) from None
        return batch


def begin_worker(number: int) -> None:
    """The start of a worker: it ignores signals that are meant for the training. number: of the worker.

    Ctrl-C and schedulers reach all processes, but a training needs its workers for the step that it finishes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end_later())


def _end_later() -> None:
    timer = threading.Timer(GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()
