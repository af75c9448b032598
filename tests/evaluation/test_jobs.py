"""Jobs on several processes: results, failures, and an end that leaves nothing running."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from actalker.evaluation.jobs import Workers, run_jobs

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_results_come_and_a_failure_is_raised(engine):
    assert sorted(run_jobs(math.sqrt, [(4.0,), (9.0,), (1.0,)], Workers(engine, 2))) == [1, 2, 3]
    with pytest.raises(ValueError, match="domain|nonnegative"):
        list(run_jobs(math.sqrt, [(1.0,), (-1.0,)], Workers(engine, 2)))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupted_run_ends_at_once_and_takes_its_workers_along():
    code = (
        "import signal, time; from actalker.evaluation.jobs import Workers, run_jobs; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in a shell's background
        "list(run_jobs(time.sleep, [(300,)] * 4, Workers(count=2)))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL) as run:
        try:
            parent, begun = psutil.Process(run.pid), time.monotonic()
            while len(parent.children(recursive=True)) < 3:  # two workers, and who counts their resources
                assert run.poll() is None and time.monotonic() - begun < 60
                time.sleep(0.1)
            time.sleep(1)  # jobs have been handed out
            workers = parent.children(recursive=True)
            os.kill(run.pid, signal.SIGINT)
            assert run.wait(60) != 0
            assert not psutil.wait_procs(workers, 30)[1]
        finally:
            run.kill()
