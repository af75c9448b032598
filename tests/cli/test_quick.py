"""The program starts without what no clip uses; Python's own imports are as they are."""

import os
import subprocess
import sys
from pathlib import Path

from actalker.cli.main import main

ROOT = Path(__file__).parents[2]
UNUSED = ["peft", "transformers", "torch._dynamo"]
RUN = """
import sys
from actalker.cli.main import main
code = main()  # as the console script calls it
import gc
assert gc.isenabled()
print(*[name for name in {unused} if name in sys.modules], file=sys.stderr)
import torch, torch._dynamo, transformers, peft, scipy.stats
assert scipy.stats.norm.cdf(0) == 0.5 and torch.compiler.disable.__module__ == "torch.compiler"
x = torch.rand(3)
assert torch.compile(torch.nn.ReLU(), backend="eager")(x).equal(x)
sys.exit(code)
"""


def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
    )


def test_a_process_makes_the_same_clip_without_loading_them(made, tmp_path):
    words = ["infer", "--model", made / "model", "--portrait", made / "face.png", "--quiet"]
    words += ["--audio", made / "speech.wav", "--duration", "0.2"]
    done = run(RUN.format(unused=UNUSED), *words, "--out", tmp_path / "quick.mp4")
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == []  # none of them, and no warning of a library at the end
    assert main([*map(str, words), "--out", str(tmp_path / "usual.mp4")]) == 0
    assert (tmp_path / "quick.mp4").read_bytes() == (tmp_path / "usual.mp4").read_bytes()


def test_other_programs_import_as_usual():
    """Nothing is imported here, so that diffusers is whole when they import it."""
    code = (
        "import sys; from actalker.cli.quick import import_quickly as f; f('actalker.pipeline.talking_head')"
    )
    done = run(f"{code}; assert 'diffusers' not in sys.modules and 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
