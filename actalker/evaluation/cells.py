"""Cells: what the jobs of a report measured, in files, so that a second start makes only what is missing.

A cell is the file `KEY.json`, which holds its values and the names of its arrays, and a file `KEY.NAME.npy`
for each array. The key is a hash of everything that the cell depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..provenance import whole_file
from .jobs import Workers, run_jobs

CELL_FOLDER = "cells"  # the folder of cells inside that of a report
Values = dict[str, Any]
"""What `json` reads back: numbers, texts, lists and dictionaries by name."""


@dataclass(frozen=True)
class Measured:
    """What a job measured: values that JSON can hold, and arrays by name."""

    values: Mapping[str, object]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A cell to make. make: can be pickled, for it may run in another process. group: jobs of one group run
    one after another in one process, so that they share what they open; None: alone.
    """

    key: str
    make: Callable[[], Measured]
    group: str | None = None


def key_of(*recipe: object) -> str:
    """The key of a cell: 16 digits of the SHA-256 of what it depends on, written as JSON."""
    text = json.dumps(recipe, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_cells(
    jobs: Sequence[Job], folder: Path, workers: Workers, tick: Callable[[], None] = lambda: None
) -> list[Values]:
    """Make the cells that are missing in a folder; returns the values of all, in the order of the jobs.

    tick: called once for each job. Raises: what a job raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = {job.key: job for job in jobs if read_values(folder, job.key) is None}
    for _ in range(len(jobs) - len(missing)):
        tick()
    groups: dict[str, list[Job]] = {}
    for job in missing.values():
        groups.setdefault(job.key if job.group is None else f"group {job.group}", []).append(job)
    for count in run_jobs(_make, [(group, str(folder)) for group in groups.values()], workers):
        for _ in range(count):
            tick()
    return [json.loads(_path(folder, job.key).read_text(encoding="utf-8"))["values"] for job in jobs]


def _make(jobs: Sequence[Job], folder: str) -> int:
    """Make and write the cells of one group; returns how many there are."""
    for job in jobs:
        write_cell(Path(folder), job.key, job.make())
    return len(jobs)


def write_cell(folder: Path, key: str, cell: Measured) -> None:
    """Write a cell into a folder; the JSON comes last, so that a cell which is there is whole."""
    for name, array in cell.arrays.items():
        with whole_file(_path(folder, key, name), overwrite=True) as work:
            np.save(work, array)
    with whole_file(_path(folder, key), overwrite=True) as work:
        work.write_text(json.dumps({"values": cell.values, "arrays": list(cell.arrays)}), encoding="utf-8")


def read_values(folder: Path, key: str) -> Values | None:
    """The values of a cell; None where there is none, or it or one of its arrays is damaged.

    Of arrays the header and the length are looked at, not the numbers.
    """
    try:
        cell = json.loads(_path(folder, key).read_text(encoding="utf-8"))
        for name in cell["arrays"]:
            read_array(folder, key, name)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return cell["values"]


def read_array(folder: Path, key: str, name: str) -> np.ndarray:
    """An array of a cell, read from the disk as its numbers are used."""
    return np.load(_path(folder, key, name), mmap_mode="r")


def _path(folder: Path, key: str, array: str | None = None) -> Path:
    return folder / (f"{key}.json" if array is None else f"{key}.{array}.npy")
