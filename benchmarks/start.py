"""CPU time until a model is loaded in a new process: by the command line, and by ordinary imports in Python.

    python benchmarks/start.py [--model tiny] [--repeats 5]

The command line imports less than Python does (`actalker.cli.quick`). Medians of processes that take turns;
the target for the ratio is 0.5.
"""

import argparse
import statistics
import subprocess
import sys

QUICK = """
from actalker.cli import quick
quick.Process.whole = True
quick.import_quickly("actalker.pipeline.talking_head")
"""
TIMED = """
import time
start = time.process_time()
{imports}
from actalker.pipeline import TalkingHeadPipeline
TalkingHeadPipeline.from_pretrained({model!r})
print(time.process_time() - start)
"""


def seconds(imports: str, model: str) -> float:
    """The CPU seconds of one process that runs `imports` and loads a model."""
    code = TIMED.format(imports=imports, model=model)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return float(out.split()[-1])


def main() -> None:
    """Reads the command line and prints both times and their ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--model", default="tiny")
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    pairs = [(seconds(QUICK, args.model), seconds("", args.model)) for _ in range(args.repeats)]
    quick, usual = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"program {quick:.2f} s, Python {usual:.2f} s, ratio {quick / usual:.2f}")


if __name__ == "__main__":
    main()
