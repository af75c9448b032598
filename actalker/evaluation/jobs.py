"""Independent jobs on one process, several, or a Ray cluster; results come back as they are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from ..errors import one_of

ENGINES = ("serial", "processes", "ray")


def run_jobs(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    engine: str = "processes",
    workers: int = 1,
    address: str | None = None,
) -> Iterator[Any]:
    """function(*job) of every job, in any order.

    engine: serial, processes or ray. workers: jobs at once, one CPU thread each. address: of a Ray cluster.
    Raises: InputError for unknown engines and clusters that cannot be reached; what a job raises.
    """
    one_of(engine, ENGINES, "engine")
    if engine == "ray":
        yield from _on_cluster(function, jobs, workers, address)
    elif engine == "serial" or workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield function(*job)
    else:
        others = set(active_children())
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _one_thread)
        try:
            for done in as_completed([pool.submit(function, *job) for job in jobs]):
                yield done.result()
        except BaseException:  # interrupted: nobody waits for what is still under way
            for worker in set(active_children()) - others:
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def read_kept(path: Path) -> Any:
    """The numbers that a job left in a JSON file; None where there are none, or they are damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _on_cluster(
    function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int, address: str | None
) -> Iterator[Any]:
    from ..data.prepare.engines import connect

    ray = connect(address, workers)
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
