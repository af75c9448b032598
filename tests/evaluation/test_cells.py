"""Cells of reports: kept once made, made again where damaged, and one key for one recipe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from actalker.evaluation.cells import Job, Measured, key_of, read_array, read_values, run_cells
from actalker.evaluation.jobs import HERE, Workers
from actalker.evaluation.tables import Range, markdown_table, verdict


def squared(number: int, log: Path) -> Measured:
    with log.open("a") as file:
        file.write(f"{number}\n")
    return Measured({"square": number**2}, {"powers": float(number) ** np.arange(3)})


@pytest.mark.parametrize("workers", [HERE, Workers("processes", 2)])
def test_cells_are_made_once_and_again_where_they_are_damaged(tmp_path, workers):
    log, out, ticks = tmp_path / "log", tmp_path / "out", []
    numbers = [3, 1, 2, 3]
    jobs = [Job(key_of("square", n), partial(squared, n, log), f"group {n % 2}") for n in numbers]

    def run() -> list[int]:
        return [values["square"] for values in run_cells(jobs, out, workers, lambda: ticks.append(None))]

    assert run() == [9, 1, 4, 9] and len(ticks) == 4
    assert sorted(log.read_text().split()) == ["1", "2", "3"]  # equal jobs are one cell
    assert read_array(out, jobs[0].key, "powers").tolist() == [1, 3, 9]
    assert run() == [9, 1, 4, 9] and len(ticks) == 8 and len(log.read_text().split()) == 3
    (out / f"{jobs[1].key}.json").write_text('{"val')
    array = out / f"{jobs[2].key}.powers.npy"
    array.write_bytes(array.read_bytes()[:-4])
    assert read_values(out, jobs[1].key) is None and read_values(out, jobs[2].key) is None
    assert run() == [9, 1, 4, 9] and sorted(log.read_text().split()[3:]) == ["1", "2"]


def test_keys_are_those_of_recipes():
    one = key_of("cell", {"a": 1, "b": [Path("x"), None]})
    assert one == key_of("cell", {"b": [Path("x"), None], "a": 1}) and len(one) == 16
    assert one != key_of("cell", {"a": 1, "b": [Path("y"), None]})


def test_ranges_say_what_they_ask_for():
    assert [str(r) for r in (Range(), Range(0.5), Range(None, 2), Range(0, 1))] == [
        "",
        ">= 0.5",
        "<= 2",
        "0 to 1",
    ]
    assert Range(0, 1).holds(1) and not Range(0, 1).holds(1.1) and not Range(0.5).holds(0.4)
    assert Range().holds(1) is None and Range(0).holds(float("nan")) is None
    table = markdown_table(["a", "b"], [["1", verdict(True)], ["2", verdict(False)], ["3", verdict(None)]])
    assert table == "| a | b |\n|---|---|\n| 1 | yes |\n| 2 | **no** |\n| 3 |  |\n"
