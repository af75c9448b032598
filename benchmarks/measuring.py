"""What the benchmarks share: interleaved timings, peak memory in a process of its own, Markdown rows."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

Times = dict[str, tuple[float, float]]


def medians(calls: Mapping[str, Callable[[], object]], seconds: float = 3.0) -> Times:
    """Median time of each call in milliseconds, and its spread (half the interquartile range, as a share).

    The calls take turns, so that a busy moment of the machine meets all of them; each is called once before
    and at least three times after.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    stop = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < stop or min(len(t) for t in taken.values()) < 3:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(1000 * (time.perf_counter() - start))
    out = {}
    for name, times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        out[name] = (statistics.median(times), (high - low) / 2 / middle)
    return out


def peak_megabytes(make: Callable[[], Callable[[], object]]) -> float:
    """Memory that make()'s call takes at most beyond what was there before it, in a fresh process (Linux)."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def child() -> None:
        call = make()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        before = _status("VmRSS")
        call()
        queue.put(_status("VmHWM") - before)
        os._exit(0)

    process = context.Process(target=child)
    process.start()
    process.join()
    return queue.get() / 1024


def _status(name: str) -> int:
    rows = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith(name + ":")).split()[1])


def machine() -> str:
    """The processor, threads, and load of this moment."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).is_file():
        named = [row.split(":")[1].strip() for row in cpu.read_text().splitlines() if "model name" in row]
        model = named[0] if named else model
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, load {load:.1f}, PyTorch {torch.__version__}"


def table(head: Sequence[str]) -> None:
    """Begin a table."""
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)


def row(*cells: object) -> None:
    """A row of it: floats with three digits."""
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


RATIOS = ("what", "size", "ours", "other", "times faster", "spread", "target", "met")
"""Columns of `against`."""


def against(what: str, size: str, ours: str, other: str, times: Times, target: float | None = None) -> None:
    """The row of one comparison: how many times faster ours is, the larger spread, whether the target is met.

    `within the spread`: with the ratio at the spread's end.
    """
    (a, spread_a), (b, spread_b) = times[ours], times[other]
    ratio, spread = b / a, max(spread_a, spread_b)
    goal = met = ""
    if target is not None:
        goal, reached = f"≥ {target:g}", ratio * (1 + spread) >= target
        met = "yes" if ratio >= target else "within the spread" if reached else "no"
    row(what, size, ours, other, f"{ratio:.2f}", f"±{100 * spread:.0f} %", goal, met)
