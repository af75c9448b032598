"""The plan tells what a run does, before it runs: counts exactly, memory nearly."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction

import pytest
from pipeline_files import SMALL, small_config, small_model

from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.model.folder import save_model
from actalker.pipeline.options import RunOptions
from actalker.pipeline.plan import plan
from actalker.pipeline.sampling_plan import sampling_plan

# VmHWM is of this program alone; ru_maxrss would count the process that started it
MEASURE = """
import re, sys
from pathlib import Path
from actalker.cli.main import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print("peak", int(peak[1]) * 1024)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "seconds, scales, windows, passes",
    [("0.2", {}, 1, 2), ("0.8", {}, 5, 10), ("0.8", {"audio": 2.0}, 5, 20), ("0.8", {"audio": 1.0}, 5, 10),
     ("0.8", {"audio": 2.0, "text": 3.0}, 5, 30), ("0.8", {"expression": 2.0}, 5, 10)],
)  # fmt: skip
def test_the_plan_counts_what_the_run_does(made, seconds, scales, windows, passes):
    """Guidance costs a pass a signal whose scale is not 1, where it is given and open."""
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    request = pipe.prepare(
        made / "face.png", audio=made / "speech.wav", text="smiles", duration=seconds, guidance=scales
    )
    called = []
    handle = pipe.model.network.register_forward_hook(
        lambda module, given, result: called.append(given[0].shape[0])
    )
    steps = []
    made_frames = sum(1 for _ in pipe.stream(request, lambda window, step: steps.append((window, step))))
    handle.remove()
    assert (request.plan.frames, request.plan.windows, request.plan.passes) == (made_frames, windows, passes)
    assert sum(called) == passes
    assert len(steps) == windows * request.plan.steps


def test_the_plan_of_two_hours_is_made_at_once():
    model = small_model()
    sampling = sampling_plan(RunOptions(steps=2), model.config.sampling)
    told = plan(model, 180_000, Fraction(25), ["audio"], sampling)
    assert (told.windows, told.passes) == (45_000, 90_000)
    assert str(told).startswith(
        "180000 frames (7200.00 s at 25 fps), 45000 windows, 2 steps, 90000 denoiser passes"
    )


def measured(made, model, *options: str) -> tuple[float, float]:
    """The plan's bytes, as printed, and the peak of a process that runs it."""
    words = [
        "infer",
        "--portrait",
        made / "face.png",
        "--audio",
        made / "speech.wav",
        "--model",
        model,
        "--overwrite",
    ]
    words += ["--out", made / "measured.mp4", "--duration", "0.56", *options]
    for _ in range(2):  # the first run may compile the scan's kernels, once on a machine
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *map(str, words)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    told = re.search(r"about ([\d.]+) GB", done.stdout)
    peak = re.search(r"peak (\d+)", done.stdout)
    assert told and peak
    return float(told[1]) * 2**30, float(peak[1])


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_the_memory_of_a_small_run_is_within_30_percent_of_the_plan(made):
    told, peak = measured(made, made / "model")
    assert 0.7 < told / peak < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [[], ["--guidance", "audio=2"]])
def test_the_memory_of_a_large_run_is_within_30_percent_of_the_plan(made, tmp_path, guidance):
    args = {**SMALL, "block_out_channels": [64, 128], "num_frames": 14}
    config = small_config(size=512, window=14, overlap=4, denoiser_args=args)
    save_model(
        small_model(**{k: getattr(config, k) for k in ("size", "window", "overlap", "denoiser_args")}),
        tmp_path / "m",
    )
    told, peak = measured(made, tmp_path / "m", "--steps", "1", *guidance)
    assert peak > 1.2 * 2**30
    assert 0.7 < told / peak < 1.3
