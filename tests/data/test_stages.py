"""Stages: what is kept and when it counts, and workers that die."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actalker.data.prepare import engines
from actalker.data.prepare import worker as worker_module
from actalker.data.prepare.entries import Entry
from actalker.data.prepare.settings import PrepareConfig
from actalker.data.prepare.stages import Stage, Work, run_clip
from actalker.data.prepare.worker import Setup, Worker
from actalker.errors import InputError


@dataclass(frozen=True)
class Numbers:
    add: int = 1
    place: str = field(default="here", metadata={"hashed": False})


class Counted:
    """Stages that count how often they work: b needs a, c needs nothing."""

    def __init__(self, add: int = 1, place: str = "here", most: int = 100, clip: str = "clip"):
        self.calls: list[str] = []
        config = Numbers(add, place)
        self.stages = [
            Stage("a", 1, self.measure("a"), config),
            Stage(
                "b",
                1,
                self.measure("b"),
                None,
                needs=("a",),
                judge=lambda v: "too many" if v["n"] > most else None,
            ),
            Stage("c", 1, self.measure("c"), None, reads=lambda entry: entry.texts),
        ]

    def measure(self, name: str):
        def work(work: Work, config: Numbers | None) -> dict[str, int]:
            self.calls.append(name)
            (work.folder / "file.txt").write_text(name)
            before = work.before["a"].values["n"] if name == "b" else 0
            return {"n": before + (0 if config is None else config.add // 2)}

        return work


ENTRY = Entry("clip", Path("clip.mp4"))


def test_only_what_depends_on_a_change_is_done_again(tmp_path):
    first = Counted()
    assert run_clip(ENTRY, tmp_path, first.stages, "cpu").status == "ok"
    assert first.calls == ["a", "b", "c"]
    for again, called in (
        (Counted(), []),
        (Counted(place="there"), []),  # a place is in no hash
        (Counted(add=2), ["a", "b"]),
        (Counted(add=3), ["a"]),  # another setting, the same result: what builds on it stays
    ):
        run_clip(ENTRY, tmp_path, again.stages, "cpu")
        assert again.calls == called
    texts = Entry("clip", Path("clip.mp4"), texts=("hello",))
    changed = Counted(add=3)
    run_clip(texts, tmp_path, changed.stages, "cpu")
    assert changed.calls == ["c"]


def test_a_limit_judges_what_is_kept(tmp_path):
    run_clip(ENTRY, tmp_path, Counted(add=8).stages, "cpu")
    strict = Counted(add=8, most=2)
    outcome = run_clip(ENTRY, tmp_path, strict.stages, "cpu")
    assert (outcome.status, outcome.stage, outcome.reason) == ("rejected", "b", "too many")
    assert strict.calls == []
    assert run_clip(ENTRY, tmp_path, Counted(add=8).stages, "cpu").status == "ok"


def test_a_lost_file_is_made_again_and_a_failure_is_kept(tmp_path):
    run_clip(ENTRY, tmp_path, Counted().stages, "cpu")
    (tmp_path / "b/file.txt").unlink()
    again = Counted()
    run_clip(ENTRY, tmp_path, again.stages, "cpu")
    assert again.calls == ["b"]
    tries = []

    def refuse(work: Work, config: None) -> dict[str, int]:
        tries.append(1)
        (work.folder / "half").write_text("x")
        raise InputError("the clip\nis odd")

    for _ in range(2):
        outcome = run_clip(ENTRY, tmp_path, [Stage("d", 1, refuse)], "cpu")
        assert (outcome.status, outcome.reason) == ("failed", "the clip is odd")
    assert len(tries) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["result.json"], "nothing half-done is kept"


def _dying(how: str):
    def measure(work: Work, config: None) -> dict[str, int]:
        if how == "memory":
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20) * 16))
        if how == "slow":
            time.sleep(60)
        if how == "error":
            raise KeyError("surprise")
        os.kill(os.getpid(), getattr(signal, how))
        return {}

    return measure


def _dying_stages(config: PrepareConfig) -> list[Stage]:
    """Stands in for the graph in the worker's process: the way to die comes as a setting."""
    good = Stage("good", 1, lambda work, config: {"n": 1})
    return [good, Stage("dies", 1, _dying(config.probe.sound))]


@pytest.mark.parametrize(
    "how, reason, kept",
    [
        ("SIGSEGV", "crashes its decoder (SIGSEGV) in stage dies", True),
        ("SIGABRT", "crashes its decoder (SIGABRT) in stage dies", True),
        ("memory", "needs more than 0.75 GiB of memory in stage dies", True),
        ("slow", "takes longer than 0.5 s in stage dies", True),
        ("SIGKILL", "killed 2 times", False),
        ("error", "cannot be prepared (KeyError: 'surprise')", False),
    ],
)
def test_a_worker_that_dies_costs_one_clip(tmp_path, monkeypatch, how, reason, kept):
    from actalker.data.prepare.settings import ProbeLimits

    monkeypatch.setattr(worker_module, "stages", _dying_stages)
    monkeypatch.setattr(worker_module, "_serve", _serve_dying)
    setup = Setup(tmp_path, PrepareConfig(probe=ProbeLimits(sound=how)), memory=3 << 28, timeout=0.5)
    if how != "slow":
        setup = Setup(tmp_path, setup.config, setup.memory, 60.0)
    worker = Worker(setup, "cpu")
    try:
        outcome = worker.result(ENTRY)
        assert outcome.status == "failed" and reason in outcome.reason, outcome
        assert (setup.folder(ENTRY) / "dies/result.json").is_file() == kept
        assert worker.result(Entry("other")).status == "failed", "the next clip has a new process"
    finally:
        worker.stop()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no say over cores")
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_workers_share_the_cores_evenly_or_have_all(monkeypatch, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5, 7, 9})
    shares = engines._shares(count)
    if count > 5:
        assert shares == [frozenset()] * count
    else:
        assert frozenset().union(*shares) == {0, 2, 5, 7, 9} and sum(map(len, shares)) == 5
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def _serve_dying(pipe, setup, pool, cores):
    worker_module.stages = _dying_stages
    REAL_SERVE(pipe, setup, pool, cores)


REAL_SERVE = worker_module._serve
