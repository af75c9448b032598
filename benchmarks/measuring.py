"""Tools of the benchmarks: interleaved timings, peak memory in a process of its own, Markdown rows."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

Call = Callable[[], object]
Times = dict[str, tuple[float, float]]


def medians(calls: Mapping[str, Call], seconds: float = 3.0) -> Times:
    """The median time of each call in milliseconds, and its spread: half the interquartile range, as a share.

    The calls take turns, so that a busy moment of the machine slows all of them. Each runs once unmeasured,
    then at least three times and for about `seconds`.
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


def peak_megabytes(make: Callable[[], Call]) -> float:
    """The peak memory in MiB that the call made by `make` adds, in a fresh process (Linux only)."""
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
    """A number of /proc/self/status, KiB."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith(name + ":")).split()[1])


def machine() -> str:
    """A line about the machine: its processor, its cores and their load now, and PyTorch's version."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).is_file():
        named = [row.split(":")[1].strip() for row in cpu.read_text().splitlines() if "model name" in row]
        model = named[0] if named else model
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, load {load:.1f}, PyTorch {torch.__version__}"


def table(head: Sequence[str]) -> None:
    """Prints the head of a Markdown table."""
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)


def row(*cells: object) -> None:
    """Prints a row of a Markdown table, floats with three digits."""
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


RATIOS = ("what", "size", "ours", "other", "times faster", "spread", "target", "met")
"""Columns of the rows of a `Comparison`."""


@dataclass(frozen=True)
class Comparison:
    """Timings of several calls with inputs of one size, compared in rows below the columns RATIOS."""

    size: str
    times: Times

    def row(self, what: str, ours: str, other: str, target: float | None = None) -> None:
        """Prints how many times faster the call `ours` is than `other`, the larger spread, and the target.

        A ratio that reaches the target only with the spread added is marked `within the spread`.
        """
        (a, spread_a), (b, spread_b) = self.times[ours], self.times[other]
        ratio, spread = b / a, max(spread_a, spread_b)
        goal = met = ""
        if target is not None:
            goal, reached = f"≥ {target:g}", ratio * (1 + spread) >= target
            met = "yes" if ratio >= target else "within the spread" if reached else "no"
        cells = (what, self.size, ours, other, f"{ratio:.2f}", f"±{100 * spread:.0f} %", goal, met)
        row(*cells)
