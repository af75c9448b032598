"""The engines that prepare clips: one process, several, or a Ray cluster; all give the same bytes.

Each worker prepares one clip at a time and takes the next from the source when it is done, so memory does not
grow with the number of clips. Stages of the pool `gpu` run in workers of their own. The workers of the other
pool pause while more than 4 clips per worker of `gpu` wait for these.
"""

from __future__ import annotations

import os
import site
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...errors import InputError
from ...extras import need
from .entries import Entry
from .stages import Outcome
from .worker import Setup, Worker

AHEAD = 4  # clips that wait for each worker of the pool `gpu` before the other workers pause
TRIES = 3  # attempts at a clip whose Ray node is lost


class Hand(Protocol):
    """Interface of a worker, on this machine or in a cluster. entry: the clip that it works on, or None."""

    entry: Entry | None

    def give(self, entry: Entry) -> None:
        """Start to work on a clip."""

    def take(self) -> Outcome | None:
        """Return the outcome of the clip, or None while it is worked on. Raises: DiskFull."""

    def stop(self) -> None:
        """End the worker, at once."""


H = TypeVar("H", bound=Hand)


class Crew(Protocol[H]):
    """Interface of the workers of one machine or cluster."""

    def hand(self, setup: Setup, pool: str, cores: Set[int]) -> H:
        """Start a worker for the stages of a pool. cores: CPU cores that it may use; empty for all."""

    def wait(self, busy: Sequence[H]) -> None:
        """Wait until one of the busy workers may have something to take, at most a second."""

    def close(self) -> None:
        """Give back what the workers used."""


def run_clips(
    entries: Iterable[Entry],
    setup: Setup,
    engine: str = "processes",
    workers: int = 1,
    address: str | None = None,
) -> Iterator[tuple[Entry, Outcome]]:
    """Take clips through all stages and yield each with its outcome once, in any order.

    engine: serial, processes or ray. workers: clips at once (serial: one). address: of a Ray cluster.
    No worker is started where there are no clips.
    Raises: DiskFull; InputError when the engine is not installed or cannot be reached.
    """
    source = iter(entries)
    first = next(source, None)
    if first is None:
        return
    clips = chain([first], source)
    if engine == "ray":
        yield from _run(clips, setup, _Cluster(address, workers), workers)
    else:
        yield from _run(clips, setup, _Machine(), 1 if engine == "serial" else workers)


def _run(source: Iterator[Entry], setup: Setup, crew: Crew[H], count: int) -> Iterator[tuple[Entry, Outcome]]:
    """Take clips through all stages with `count` workers of a crew, and one more for a GPU's stages."""
    gpu = setup.config.latents is not None and setup.config.latents.device != "cpu"
    pools = {"cpu": [crew.hand(setup, "cpu", share) for share in _shares(count)]}
    pools["gpu"] = [crew.hand(setup, "gpu", frozenset())] if gpu else []
    try:
        yield from _scheduled(source, pools, crew)
    finally:
        for hands in pools.values():
            for hand in hands:
                hand.stop()
        crew.close()


def _scheduled(
    source: Iterator[Entry], pools: dict[str, list[H]], crew: Crew[H]
) -> Iterator[tuple[Entry, Outcome]]:
    """Give clips to free workers until all are done, those of the pool `cpu` first."""
    ready: deque[Entry] = deque()  # for the pool `gpu`
    while True:
        for hand in pools["gpu"]:
            if hand.entry is None and ready:
                hand.give(ready.popleft())
        for hand in pools["cpu"]:
            if hand.entry is None and len(ready) <= AHEAD * len(pools["gpu"]):
                entry = next(source, None)
                if entry is not None:
                    hand.give(entry)
        busy = [hand for hands in pools.values() for hand in hands if hand.entry is not None]
        if not busy:
            return
        crew.wait(busy)
        for hand in busy:
            current = hand.entry
            outcome = hand.take()
            if outcome is None or current is None:
                continue
            if outcome.status == "open" and hand in pools["cpu"]:
                ready.append(current)
            else:
                yield current, outcome


def _shares(count: int) -> list[Set[int]]:
    """The cores of each of `count` workers of this machine; empty sets where there are more workers."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # not on macOS
    if count > len(cores):
        return [frozenset()] * count
    return [frozenset(cores[k::count]) for k in range(count)]


class _Machine:
    """Workers of this machine."""

    def hand(self, setup: Setup, pool: str, cores: Set[int]) -> Worker:
        return Worker(setup, pool, cores)

    def wait(self, busy: Sequence[Worker]) -> None:
        wait_for([one for worker in busy for one in worker.waits_for()], timeout=1.0)

    def close(self) -> None:
        pass


def connect(address: str | None, workers: int) -> Any:
    """The module `ray`, connected to the cluster at an address, or to a new one of `workers` CPUs here.

    Raises: InputError when Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = need("cluster", "ray")
    options: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    if ours := _search_path(address):
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": ours}}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:150]
        if address is None:
            raise InputError(
                f"--engine ray: Ray does not start here ({words}); try --engine processes"
            ) from None
        raise InputError(
            f"--address {address}: no Ray cluster there ({words}); see ray start --head"
        ) from None
    return ray


def _search_path(address: str | None) -> str | None:
    """The PYTHONPATH with which Ray's workers import the driver's copy of this package; None: their own.

    Ray's workers search the driver's folder first. There a clone with the package's name would be taken for
    the package, unless PYTHONPATH names the package's folder; an editable installation's comes too late.
    """
    root = str(Path(__file__).resolve().parents[3])
    if root in (*site.getsitepackages(), site.getusersitepackages()):
        return None
    before = "${PYTHONPATH}" if address else os.environ.get("PYTHONPATH", "")  # of each node; of this machine
    return os.pathsep.join([root, before]) if before else root


class _Cluster:
    """Workers of a Ray cluster: each actor owns an isolated process, like the workers of this machine."""

    def __init__(self, address: str | None, workers: int) -> None:
        self.ray = connect(address, workers)

    def hand(self, setup: Setup, pool: str, cores: Set[int]) -> _Remote:  # its nodes have cores of their own
        return _Remote(self.ray, setup, pool)

    def wait(self, busy: Sequence[_Remote]) -> None:
        self.ray.wait([hand.pending for hand in busy], num_returns=1, timeout=1.0)

    def close(self) -> None:
        self.ray.shutdown()


class _Remote:
    """The driver's side of a Ray actor, which is replaced when its node is lost; its clip is tried again."""

    def __init__(self, ray: Any, setup: Setup, pool: str) -> None:
        self.ray, self.setup, self.pool = ray, setup, pool
        self.entry: Entry | None = None
        self.tries = 0
        self._actor: Any = None
        self.pending: Any = None

    def give(self, entry: Entry) -> None:
        self.entry, self.tries = entry, self.tries + 1
        if self._actor is None:
            # no reserved CPU: an actor that waits for one that a lost node took with it would wait for ever
            needs = {"num_cpus": 0, "num_gpus": int(self.pool == "gpu"), "scheduling_strategy": "SPREAD"}
            self._actor = self.ray.remote(**needs)(Worker).remote(self.setup, self.pool)
        self.pending = self._actor.result.remote(entry)

    def take(self) -> Outcome | None:
        assert self.entry is not None
        done, _ = self.ray.wait([self.pending], timeout=0)
        if not done:
            return None
        entry = self.entry
        try:
            outcome = self.ray.get(self.pending)
        except self.ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None  # DiskFull among them
        except self.ray.exceptions.RayError as error:
            self._actor = None
            if self.tries < TRIES:
                self.give(entry)
                return None
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            why = (lines or [type(error).__name__])[-1][:200]
            outcome = Outcome(entry.key, "failed", f"its Ray worker was lost {self.tries} times ({why})")
        self.entry, self.tries = None, 0
        return outcome

    def stop(self) -> None:
        if self._actor is not None:
            self.ray.kill(self._actor)
            self._actor = None
