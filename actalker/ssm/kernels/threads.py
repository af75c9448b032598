"""Threads for the CPU kernels, of our own: numba's abort in a forked process, as DataLoader workers are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

WORTH_THREADS = 2**18  # states in all, below which handing out the work takes longer than the work


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that all scans of this process share, one for each CPU."""
    return ThreadPoolExecutor(os.cpu_count(), "scan")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # threads do not survive a fork


def share_jobs(work: Callable[[int, int], None], jobs: int, states: int, stride: int = 1) -> None:
    """Call work(first, last) for all jobs, over as many threads as PyTorch uses; kernels hold no lock.

    Args:
        work: computes the jobs with numbers first .. last - 1.
        jobs: the number of jobs.
        states: number of states that all jobs together compute, the measure of the work. Below
            `WORTH_THREADS` the calling thread does all jobs itself.
        stride: number of neighbouring jobs that one thread takes at a time.
    """
    threads = min(torch.get_num_threads(), jobs // stride)
    if threads <= 1 or states < WORTH_THREADS:
        work(0, jobs)
        return
    queue = iter(range(0, jobs, stride))  # shared: whoever is idle takes the next

    def drain() -> None:
        for job in queue:
            work(job, job + stride)

    others = [pool().submit(drain) for _ in range(threads - 1)]
    drain()
    for other in others:
        other.result()
