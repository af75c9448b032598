"""`actalker speech --out FOLDER`: makes speech by text-to-speech engines, with the times of its phones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from ..provenance import check_folder
from .options import new_parser, parse

if TYPE_CHECKING:
    from ..data.speech.cache import PartIndex


def run(argv: Sequence[str]) -> int:
    """Run `actalker speech`: make the synthetic speech that the folder lacks; print a table of voices.

    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser(
        "speech", "Speech of the text-to-speech engines on this machine, with the times of its phones."
    )
    p.add_argument("--out", type=str, required=True, help="folder; a second start goes on in it")
    p.add_argument("--minutes", type=float, default=150.0, help="of speech, if all engines are there")
    p.add_argument("--seed", type=int, default=0, help="of sentences, voices, paces and pitches")
    p.add_argument(
        "--engines",
        type=str,
        nargs="+",
        default=None,
        help="espeak, flite, festival, hibari, kokoro; default: all",
    )
    p.add_argument("--overwrite", action="store_true", help="make everything again")
    p.add_argument("--workers", type=int, default=2, help="processes")
    options = parse(p, argv)
    if options is None:
        return 0
    if not options.out:
        raise InputError("--out: is empty text; name a folder (a shell variable that is not set?)")
    check_folder(options.out)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ..data.speech.make import make

    columns = (TextColumn("speech"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("speech", total=None, done="")

    def begin(seconds: float) -> None:
        bar.update(task, total=seconds)
        bar.start()

    def step(seconds: float) -> None:
        bar.advance(task, seconds)
        bar.update(
            task, done=f"{bar.tasks[0].completed / 60:.1f} of {(bar.tasks[0].total or 0) / 60:.1f} min"
        )

    settings = (options.minutes, options.seed, options.engines, options.overwrite, options.workers)
    try:
        index = make(options.out, *settings, begin, step)
    finally:
        if bar.tasks[0].total is not None:
            bar.stop()
    complete = bar.tasks[0].total is None
    print("\n".join(table(index["parts"])))
    print(f"{options.out}: is whole already; nothing was made" if complete else options.out)
    return 0


def table(parts: Sequence[PartIndex]) -> list[str]:
    """The lines of a table with a row for each voice, or for each language of an engine with many voices."""
    rows = [("engine", "voices", "language", "seconds", "use", "licence")]
    for part in parts:
        use = "held out" if part["held"] else "training"
        for row in part["voices"]:
            many = len(row["voices"]) > 1
            voices = f"{row['group']} ({len(row['voices'])})" if many else row["voices"][0]
            rows.append(
                (part["engine"], voices, row["language"], f"{row['seconds']:.0f}", use, row["licence"])
            )
    for use, held_out in (("training", False), ("held out", True)):
        seconds = sum(part["seconds"] for part in parts if part["held"] is held_out)
        rows.append(("all", "", "", f"{seconds:.0f}", use, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
