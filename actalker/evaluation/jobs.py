"""Independent jobs on one process, several, or a Ray cluster; results come back as they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import TypeVar

from ..errors import one_of

ENGINES = ("serial", "processes", "ray")
R = TypeVar("R")


@dataclass(frozen=True)
class Workers:
    """Where jobs run. engine: one of ENGINES. count: jobs at once, one CPU thread each. address: of a Ray
    cluster.

    Raises: InputError for unknown engines.
    """

    engine: str = "processes"
    count: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        one_of(self.engine, ENGINES, "engine")


HERE = Workers("serial")


def run_jobs(
    function: Callable[..., R], jobs: Sequence[tuple[object, ...]], workers: Workers = HERE
) -> Iterator[R]:
    """function(*job) of every job, in the order in which they end.

    Raises: InputError for clusters that cannot be reached; what a job raises.
    """
    if workers.engine == "ray":
        yield from _on_cluster(function, jobs, workers)
    elif workers.engine == "serial" or workers.count == 1 or len(jobs) < 2:
        for job in jobs:
            yield function(*job)
    else:
        others = set(active_children())
        pool = ProcessPoolExecutor(workers.count, get_context("spawn"), _one_thread)
        try:
            for done in as_completed([pool.submit(function, *job) for job in jobs]):
                yield done.result()
        except BaseException:  # interrupted: nobody waits for what is still under way
            for worker in set(active_children()) - others:
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _on_cluster(
    function: Callable[..., R], jobs: Sequence[tuple[object, ...]], workers: Workers
) -> Iterator[R]:
    from ..data.prepare.engines import connect

    ray = connect(workers.address, workers.count)
    try:
        task = ray.remote(num_cpus=1)(function)
        waiting = [task.remote(*job) for job in jobs]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
    finally:
        ray.shutdown()
