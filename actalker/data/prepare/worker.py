"""An isolated process that takes clips through the stages; a clip that breaks it costs only its own row.

The process watches itself (memory, time, whether its parent lives); its owner watches it from outside.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

import psutil

from .entries import Entry
from .graph import stages
from .settings import PrepareConfig
from .stages import DiskFull, Outcome, keep_failure, run_clip

MEMORY, SLOW, ORPHAN = 77, 78, 79  # exit codes
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")  # of a decoder; SIGKILL comes from outside
GRACE = 10.0  # seconds after which the owner ends a process that did not end itself
TRIES = 2  # of a clip whose worker was killed


@dataclass(frozen=True)
class Setup:
    """What every worker needs to know.

    root: the folder of results. memory: bytes that a process may use. timeout: seconds that a stage may take.
    """

    root: Path
    config: PrepareConfig
    memory: int = 4 << 30
    timeout: float = 300.0

    def folder(self, entry: Entry) -> Path:
        """The folder with the results of a clip."""
        return self.folder_of(entry.key)

    def folder_of(self, key: str) -> Path:
        """The folder with the results of the clip with a key."""
        return self.root / "work" / key[-2:] / key


class Worker:
    """The owner's side of one process, which works on one clip at a time and is replaced when it died.

    pool: of the stages that it measures. cores: those that the process may use; empty: all. On a core of its
    own, the threads of its libraries hand work to each other without waking another core.
    """

    def __init__(self, setup: Setup, pool: str, cores: Set[int] = frozenset()) -> None:
        self.setup, self.pool, self.cores = setup, pool, cores
        self.entry: Entry | None = None
        self._process: SpawnProcess | None = None
        self._tries = 0

    def give(self, entry: Entry) -> None:
        """Start to work on a clip."""
        self.entry, self._tries = entry, self._tries + 1
        if self._process is None:
            self._start()
        self._stage, self._since = "", time.monotonic()
        with suppress(OSError):  # a process that just died is seen by `take`
            self._pipe.send(entry)

    def waits_for(self) -> list[Connection | int]:
        """The handles for `multiprocessing.connection.wait`: one is ready when `take` has something to do."""
        assert self._process is not None
        return [self._pipe, self._process.sentinel]

    def take(self) -> Outcome | None:
        """The clip's outcome, or None while the process works on it. Raises: DiskFull."""
        assert self.entry is not None and self._process is not None
        try:
            while self._pipe.poll():
                kind, content = self._pipe.recv()
                if kind == "stage":
                    self._stage, self._since = content, time.monotonic()
                    continue
                return self._done(kind, content)
        except (EOFError, OSError):
            self._process.join(GRACE)
        if self._process.is_alive():
            if time.monotonic() - self._since < self.setup.timeout + GRACE:
                return None
            self._process.kill()
            self._process.join()
            return self._dead(SLOW)
        return self._dead(self._process.exitcode)

    def result(self, entry: Entry) -> Outcome:
        """Work on a clip and wait for its outcome. Raises: DiskFull."""
        self.give(entry)
        while (outcome := self.take()) is None:
            wait(self.waits_for(), timeout=1.0)
        return outcome

    def stop(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self.setup, self.pool, self.cores), daemon=True
        )
        with _one_thread():
            self._process.start()
        theirs.close()

    def _done(self, kind: str, content: Outcome | str) -> Outcome:
        """The outcome that a process's last message about a clip stands for. Raises: DiskFull."""
        assert self.entry is not None
        entry, self.entry, self._tries = self.entry, None, 0
        if kind == "full":
            raise DiskFull(content)
        if kind == "broken":
            return Outcome(entry.key, "failed", cast(str, content), self._stage)
        return cast(Outcome, content)

    def _dead(self, code: int | None) -> Outcome | None:
        """The outcome of the clip whose process ended with a code; None where the clip is tried again."""
        entry = self.entry
        assert entry is not None
        self._pipe.close()
        self._process = None
        name = "" if code is None or code >= 0 else signal.Signals(-code).name
        stage = f" in stage {self._stage}" if self._stage else ""
        if code == MEMORY:
            reason = f"needs more than {self.setup.memory / 2**30:.3g} GiB of memory{stage}"
        elif code == SLOW:
            reason = f"takes longer than {self.setup.timeout:g} s{stage}"
        elif name in CRASHES:
            reason = f"crashes its decoder ({name}){stage}"
        elif self._tries < TRIES:
            self.give(entry)
            return None
        else:
            times = f"{self._tries} times"
            ended = f"ended {times} with exit code {code}" if code and code > 0 else f"was killed {times}"
            reason = f"its worker {ended}{stage} (see {self.setup.root / 'logs'}); start again to try again"
            self.entry, self._tries = None, 0
            return Outcome(entry.key, "failed", reason, self._stage)
        graph = stages(self.setup.config)
        for one in graph:
            if one.name == self._stage:
                keep_failure(one, entry, self.setup.folder(entry), graph, reason)
        self.entry, self._tries = None, 0
        return Outcome(entry.key, "failed", reason, self._stage)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, processes start with one thread a library: results do not depend on the number of cores."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Watch(threading.Thread):
    """Ends the process when it is orphaned, too large or too slow.

    since: when the current stage began, a monotonic clock's seconds; None between clips.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(daemon=True)
        self.setup, self.parent = setup, os.getppid()
        self.since: float | None = None

    def run(self) -> None:
        process = psutil.Process()
        while True:
            if os.getppid() != self.parent:
                os._exit(ORPHAN)
            if process.memory_info().rss > self.setup.memory:
                os._exit(MEMORY)
            if self.since is not None and time.monotonic() - self.since > self.setup.timeout:
                os._exit(SLOW)
            time.sleep(0.1)


def _serve(pipe: Connection, setup: Setup, pool: str, cores: Set[int]) -> None:
    """The main function of the process: reads clips from the pipe and writes outcomes, until it closes."""
    if cores:
        os.sched_setaffinity(0, cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _log_to(setup.root / "logs" / f"{pool}-{os.getpid()}.log")
    import torch

    torch.set_num_threads(1)
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    watch = _Watch(setup)
    watch.start()
    graph = stages(setup.config)

    def report_stage(stage: str) -> None:
        watch.since = time.monotonic()
        pipe.send(("stage", stage))

    while True:
        try:
            entry = pipe.recv()
        except (EOFError, OSError):
            return
        message: tuple[str, Outcome | str]
        try:
            message = "done", run_clip(entry, setup.folder(entry), graph, pool, report_stage)
        except DiskFull as error:
            message = "full", str(error)
        except Exception as error:  # a library's own: the clip's row says so, the log tells where
            traceback.print_exc()
            words = " ".join(str(error).split())[:200]
            message = "broken", f"cannot be prepared ({type(error).__name__}: {words})"
        watch.since = None
        with suppress(OSError):
            pipe.send(message)


def _log_to(path: Path) -> None:
    """Redirect all that libraries print, also from C, to a file."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.enable(sys.stderr)
