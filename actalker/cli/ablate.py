"""`actalker ablate`: what each gate does, measured on puppets that no training saw, and on portraits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..provenance import check_readable
from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Measure, print the table, write the report."""
    p = new_parser("ablate", "What each gate does, on held-out puppets and, if given, on portraits.")
    p.add_argument("--model", type=str, default="tiny", help="tiny, a model folder or a hub id")
    p.add_argument("--puppets", type=int, default=64, help="held-out puppets; 0 leaves them out")
    p.add_argument("--seed", type=int, default=1000, help="of the puppets; not the training's")
    p.add_argument("--out", type=str, required=True, help="folder; a second start goes on in it")
    p.add_argument(
        "--steps", type=int | None, default=None, help="denoiser calls a window; default: the model's own"
    )
    p.add_argument("--workers", type=int, default=1, help="processes, one CPU thread each")
    p.add_argument("--portraits", type=str | None, default=None, help="folder of portraits to measure too")
    p.add_argument("--speech", type=str | None, default=None, help="speech that drives the portraits")
    p.add_argument("--duration", type=str, default="3", help="seconds of speech on each portrait")
    p.add_argument("--face-model", type=str | None, default=None, help="MediaPipe's face_landmarker.task")
    options = parse(p, argv)
    if options is None:
        return 0
    if options.puppets < 0 or options.workers < 1:
        raise InputError(f"--puppets {options.puppets} --workers {options.workers}: give >= 0 and >= 1")
    if not 0 <= options.seed < 2**31:
        raise InputError(f"--seed {options.seed}: give a number from 0 to 2^31 - 1")
    if options.portraits and not (options.speech and options.face_model):
        raise InputError("--portraits needs --speech FILE and --face-model face_landmarker.task")
    from ..evaluation.ablate import AblationConfig, markdown, run_cells, table, write_report

    folder = Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror}); give another folder") from None
    config = AblationConfig(
        options.model, options.puppets, options.seed, steps=options.steps, workers=options.workers
    )
    cells = []
    if config.puppets:
        from rich.console import Console
        from rich.progress import track

        todo = iter(track(range(config.puppets), "puppets", console=Console(stderr=True)))

        def tick() -> None:
            next(todo, None)

        cells = run_cells(config, folder, tick)
        list(todo)
    portraits = None
    if options.portraits:
        from ..evaluation.portraits import measure_portraits
        from ..pipeline.talking_head import TalkingHeadPipeline

        portraits = measure_portraits(
            TalkingHeadPipeline.from_pretrained(options.model),
            Path(options.portraits),
            check_readable(options.speech, "sound"),
            check_readable(options.face_model, "model"),
            options.duration,
        )
    write_report(folder, config, cells, portraits)
    print(markdown([*(table(cells) if cells else []), *(portraits["rows"] if portraits else [])]))
    print(folder / "ablation.md")
    return 0
