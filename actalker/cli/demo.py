"""`actalker demo`: makes two demonstration videos from inputs that the package holds or draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..provenance import check_folder, check_writable, made_by, make_folder
from .options import new_parser, parse
from .quick import import_quickly

if TYPE_CHECKING:
    from ..pipeline.talking_head import TalkingHeadPipeline

SPEECH = Path(__file__).parent.parent / "assets" / "speech.flac"
BASE = "a woman talks to the viewer"
PHASES = (("0.5", "1.7", "raises brows"), ("2.3", "3.9", "smiles"))  # seconds
FPS = Fraction(25)
DRIVER_SEED, DRIVER_SIZE = 4, 256
HEAD = slice(0, 256), slice(96, 352)  # of the astronaut's photograph: rows and columns


class Files(NamedTuple):
    """Name the files of the demonstration."""

    portrait: Path
    driver: Path
    video: Path
    preview: Path
    gates: Path


NAMES = Files(*map(Path, ("portrait.png", "driver.mp4", "demo.mp4", "demo_preview.png", "demo_gates.mp4")))


def run(argv: Sequence[str]) -> int:
    """Run `actalker demo`: write a portrait, a driver, `demo.mp4` and `demo_gates.mp4`; print the paths.

    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser("demo", "Two videos: the astronaut speaks, and the same with each gate closed.")
    p.add_argument("--out", type=str, default="outputs", help="folder; it is made if missing")
    p.add_argument("--model", type=str, default="tiny", help="tiny, a model folder or a hub id")
    p.add_argument(
        "--steps", type=int | None, default=None, help="denoiser calls a window; the model's own if not given"
    )
    p.add_argument("--seed", type=int, default=0, help="same seed, same machine, same video")
    p.add_argument("--duration", type=str | None, default=None, help="seconds; the whole speech if not given")
    p.add_argument("--overwrite", action="store_true", help="replace files that exist")
    options = parse(p, argv)
    if options is None:
        return 0
    for path in demo(
        Path(options.out),
        options.model,
        steps=options.steps,
        seed=options.seed,
        duration=options.duration,
        overwrite=options.overwrite,
    ):
        print(path)
    return 0


def demo(
    folder: Path, model: str, steps: int | None, seed: int, duration: str | None, overwrite: bool
) -> Iterator[Path]:
    """Make the demonstration; yields the path of each file when it is complete.

    steps: denoiser calls per window; None for the model's own. duration: seconds; None: the whole speech.
    Raises: InputError for a name that is no model, a duration below one frame, and files that exist.
    """
    from ..media.sound import read_sound
    from ..pipeline.model.find import check_name
    from ..pipeline.output.files import check_outputs
    from ..timeline import frame_count, parse_seconds

    seconds = read_sound(SPEECH).duration if duration is None else parse_seconds(duration)
    if seconds * FPS < 1:
        raise InputError(f"--duration {duration}: is less than a frame; give 0.04 s or more")
    check_name(model)
    check_folder(folder)
    files = Files(*(folder / name for name in NAMES))
    if folder.is_dir():
        check_outputs(files.video, [files.preview], overwrite)
        for path in (files.portrait, files.driver, files.gates):
            check_writable(path, overwrite)
    # mistakes are reported before torch is imported
    import_quickly("actalker.pipeline.talking_head")
    from skimage.data import astronaut

    from ..media.image import write_png
    from ..pipeline.talking_head import TalkingHeadPipeline

    pipeline = TalkingHeadPipeline.from_pretrained(model)
    make_folder(folder)
    write_png(files.portrait, astronaut()[HEAD], overwrite)
    yield files.portrait
    write_driver(files.driver, frame_count(seconds, FPS), overwrite)
    yield files.driver
    yield from clips(pipeline, files, seconds, steps=steps, seed=seed, overwrite=overwrite)


def write_driver(path: Path, frames: int, overwrite: bool) -> None:
    """Write the driving video with so many frames."""
    from ..media.writer import VideoWriter

    acting = driving_frames(frames)
    first = next(acting)
    with VideoWriter(path, FPS, first.shape[:2], None, overwrite, says=made_by("direct")) as writer:
        for frame in chain([first], acting):
            writer.write(frame)


def clips(
    pipeline: TalkingHeadPipeline,
    files: Files,
    seconds: Fraction,
    *,
    steps: int | None,
    seed: int,
    overwrite: bool,
) -> Iterator[Path]:
    """Write two videos; yields the path of each file when it is complete.

    The first is the clip with all gates open, with its sidecar and preview. The second shows, side by
    side, the same clip and the clip with each single gate closed.
    """
    from ..evaluation.figures import CAPTION, PANEL, side_by_side
    from ..media.video import read_frames
    from ..media.writer import VideoWriter
    from ..pipeline.output.files import sidecar_of
    from ..pipeline.output.write import write_clip
    from .progress import progress

    settings: dict[str, Any] = dict(
        portrait=str(files.portrait),
        audio=str(SPEECH),
        expression=str(files.driver),
        text=script(seconds),
        fps=str(FPS),
        duration=str(seconds),
        steps=steps,
        seed=seed,
    )
    first = pipeline.prepare(**settings)
    gates_of = first.inputs.gates
    closed = [replace(first.inputs, gates=gates_of.change(**{name: 0.0})) for name in first.inputs.signals]
    titles = ["all gates open", *(f"{name} closed" for name in first.inputs.signals)]
    print(f"plan, four times over: {first.plan}")
    with progress(first.plan, clips=len(titles)) as tick:

        def advance(window: int, step: int) -> None:
            tick()

        write_clip(
            pipeline, first, files.video, settings, files.preview, overwrite=overwrite, callback=advance
        )
        yield from (files.video, sidecar_of(files.video), files.preview)
        size = (PANEL + CAPTION, PANEL * len(titles))
        others = (pipeline.stream(replace(first, inputs=inputs), advance) for inputs in closed)
        streams = [read_frames(files.video), *others]
        says = made_by(pipeline.name)
        with VideoWriter(files.gates, FPS, size, first.inputs.sound, overwrite, says=says) as writer:
            for row in zip(*streams, strict=True):
                writer.write(side_by_side(titles, row))
    yield files.gates


def script(seconds: Fraction) -> str:
    """Return the script of the demonstration, without phrases that begin after the end."""
    from ..signals.script import Phase, Script

    times = ((Fraction(start), min(Fraction(stop), seconds), text) for start, stop, text in PHASES)
    return str(Script(BASE, tuple(Phase(text, start, stop) for start, stop, text in times if start < stop)))


def driving_frames(frames: int) -> Iterator[np.ndarray]:
    """Yield frames (h, w, 3) uint8 of the driving video, in which the head looks around, blinks, smiles."""
    from skimage.data import astronaut

    from ..data.performances.acting import acted
    from ..heads.face_map import motion_of
    from ..pipeline.talking_head import TalkingHeadPipeline

    numbers = acted(frames, float(FPS), np.random.default_rng(DRIVER_SEED))
    motion = motion_of(numbers, np.arange(frames) / float(FPS))
    drawn = TalkingHeadPipeline.from_pretrained("direct")
    yield from drawn.stream(
        drawn.prepare(astronaut()[HEAD], expression=motion, fps=FPS, view="face", size=DRIVER_SIZE)
    )
