"""CPU time a frame of models, of the package or in folders: one window of 14 frames in two steps.

    OMP_NUM_THREADS=1 python benchmarks/clip.py --models tiny OLD_FOLDER [--portrait face.png] [--rounds 5]

`motion` is the model alone, from conditions to latents. `frames` also makes pictures of the latents; of
models that move heads, the square around the face with 512 pixels at most. The clips are driven by speech,
and by what a face does of itself. The models take turns, so that a busy moment of the machine slows all of
them. The processor time of all threads counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch
from measuring import machine, row, table
from PIL import Image
from skimage.data import astronaut

from actalker.pipeline.generate import generate
from actalker.pipeline.model.memory import LATENTS
from actalker.pipeline.talking_head import TalkingHeadPipeline

SPEECH = Path(__file__).parents[1] / "actalker" / "assets" / "speech.flac"
FRAMES, STEPS, FPS, SIZE = 14, 2, 25, 512


def calls(name: str, portrait: str | None) -> dict[str, Callable[[], object]]:
    """The calls of a model that are timed: `motion` alone, and `frames`."""
    pipeline = TalkingHeadPipeline.from_pretrained(name)
    pipeline.set_progress_bar_config(disable=True)
    heads = pipeline.model.codec.moves
    request = pipeline.prepare(
        portrait or Image.fromarray(astronaut()),
        audio=SPEECH,
        duration=Fraction(FRAMES, FPS),
        fps=FPS,
        steps=STEPS,
        view="face" if heads else None,
        size=SIZE if heads else None,
    )
    inputs = request.inputs

    def motion() -> object:
        return list(
            generate(pipeline.model, inputs.conditions, FRAMES, request.sampling, arrangement=LATENTS)
        )

    return {"motion": motion, "frames": lambda: list(pipeline.stream(request))}


def main() -> None:
    """Reads the command line, measures, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["tiny"])
    parser.add_argument("--portrait")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    timed = {
        (name, what): call for name in options.models for what, call in calls(name, options.portrait).items()
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in timed}
    for call in timed.values():
        call()  # compiled and warm
    for _ in range(options.rounds):
        for key, call in timed.items():
            start = time.process_time()
            call()
            taken[key].append(1000 * (time.process_time() - start) / FRAMES)
    table(["model", "what", "ms of CPU time a frame: median", "least", "most"])
    for (name, what), times in taken.items():
        row(Path(name).name, what, statistics.median(times), min(times), max(times))


if __name__ == "__main__":
    main()
