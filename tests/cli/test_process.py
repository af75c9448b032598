"""Real processes: the ways in are one program, Ctrl-C leaves nothing, memory stays bounded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from media_files import huge_jpeg, long_silent_wav

from actalker.cli.main import main

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# VmHWM is of this program alone; ru_maxrss would count the process that started it
PEAK = """
import sys
from actalker.cli.main import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(peak.split()[1]) // 1024)
sys.exit(code)
"""


def python(*words: object, folder: Path = ROOT, code: str | None = None) -> subprocess.CompletedProcess[str]:
    first = [sys.executable, *(["-c", code] if code else [])]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*first, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )


def base(made: Path, out: Path) -> list[object]:
    return ["--portrait", made / "face.png", "--model", made / "model", "--out", out]


def test_the_ways_in_are_one_program(made, tmp_path):
    given = ["--audio", made / "speech.wav", "--duration", "0.2"]
    one = python(ROOT / "infer.py", *base(made, tmp_path / "a.mp4"), *given, folder=tmp_path)
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout.splitlines()[0].startswith("plan: 5 frames")
    assert one.stdout.splitlines()[1].startswith("face: found by the ")
    assert one.stdout.splitlines()[2:] == [str(tmp_path / "a.mp4")]
    assert main(["infer", *map(str, [*base(made, tmp_path / "b.mp4"), *given])]) == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    package = python("-m", "actalker", "infer", "--help", folder=tmp_path)
    assert package.stdout == python(ROOT / "infer.py", "--help", folder=tmp_path).stdout


def test_exit_codes_of_real_processes(made, tmp_path):
    done = python(
        ROOT / "infer.py", *base(made, tmp_path / "a.mp4"), "--audio", "nowhere.wav", folder=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere.wav: no such file; check the path of the sound\n"
    assert python("-m", "actalker", "inferr").stderr.startswith(
        "error: command 'inferr' is unknown; did you mean 'infer'"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", [["--help"], ["infer", "--help"], ["demo", "--help"], ["export", "--help"], ["--version"]]
)
def test_help_needs_no_torch(words):
    done = python(*words, code="import sys\nfrom actalker.cli.main import main\n"
                  "code = main(sys.argv[1:])\nassert 'torch' not in sys.modules\nsys.exit(code)")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "actalker" in done.stdout


@LINUX
def test_a_name_that_is_no_text_is_written_and_told(made, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.mp4")
    done = python(
        "-m", "actalker", "infer", *base(made, Path(odd)), "--text", "a", "--duration", "0.1", "--quiet"
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/odd\\udcff.mp4\n")
    assert json.loads(Path(odd).with_suffix(".json").read_text())["settings"]["out"] == odd


@LINUX
@pytest.mark.parametrize("sign, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(made, tmp_path, sign, code):
    words = [sys.executable, ROOT / "infer.py", *base(made, tmp_path / "a.mp4"), "--text", "smiles"]
    words += ["--duration", "600", "--preview", tmp_path / "a.png"]
    process = subprocess.Popen(
        [*map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # a shell's background jobs inherit that SIGINT is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while not list(tmp_path.glob(".*.mp4")):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert err.splitlines() == ["interrupted; nothing half-written was left"]
    assert out.startswith("plan: 15000 frames")
    assert not list(tmp_path.iterdir())


@LINUX
def test_a_picture_of_400_megapixels_is_read_in_bounded_memory(made, tmp_path):
    """The pixels alone would be 1.2 GB on top of the 0.6 GB of the program."""
    huge = huge_jpeg(tmp_path / "huge.jpg")
    done = python("infer", *base(made, tmp_path / "a.mp4"), "--text", "a", "--portrait", huge, code=PEAK)
    assert done.returncode == 2
    assert "huge.jpg: no face found" in done.stderr
    assert int(done.stdout.split()[-1]) < 1300


@LINUX
@pytest.mark.slow
def test_two_hours_of_speech_are_planned_and_read_in_flat_memory(made, tmp_path):
    """230 MB of samples, 460 MB as floats: 200 MB may be allocated beside the program and the model."""
    code = """
import resource, sys
from fractions import Fraction
import soxr
from actalker.pipeline import TalkingHeadPipeline
pipe = TalkingHeadPipeline.from_pretrained(sys.argv[1], device="cpu")
pipe.set_progress_bar_config(disable=True)
pipe(sys.argv[2], text="a", duration=0.2)               # what a run needs is loaded
own = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + 200 * 2**20,) * 2)
request = pipe.prepare(sys.argv[2], audio=sys.argv[3])
last = request.inputs.conditions(179994, 180000)
first = next(iter(pipe.stream(request)))
print(request.plan)
print(first.shape, last.tokens["audio"].shape, float(last.gates["audio"].min()))
"""
    sound = long_silent_wav(tmp_path / "long.wav", 7200, 16000)
    done = python(made / "model", made / "face.png", sound, code=code)
    assert done.returncode == 0, done.stderr[-1500:]
    plan, made_of = done.stdout.splitlines()
    assert plan.startswith("180000 frames (7200.00 s at 25 fps), 45000 windows")
    assert made_of == "(64, 64, 3) torch.Size([1, 6, 2, 64]) 1.0"


@LINUX
@pytest.mark.slow
def test_memory_does_not_grow_with_the_windows(made, tmp_path):
    """60 windows, written as they come: after the tenth, the rest adds less than 50 MB."""
    code = """
import sys
from pathlib import Path
from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.output.write import write_clip
rss = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) // 1024
seen = {}
pipe = TalkingHeadPipeline.from_pretrained(sys.argv[1], device="cpu")
request = pipe.prepare(sys.argv[2], audio=sys.argv[3], text="a | 1-2: nods", duration="9.68", steps=1)
assert request.plan.windows == 60
write_clip(pipe, request, Path(sys.argv[4]), {}, callback=lambda window, step: seen.update({window: rss()}))
print(sorted(seen) == list(range(60)), seen[59] - seen[10])
"""
    done = python(made / "model", made / "face.png", made / "speech.wav", tmp_path / "a.mp4", code=code)
    assert done.returncode == 0, done.stderr[-1500:]
    order, grown = done.stdout.split()
    assert order == "True"
    assert int(grown) < 50
