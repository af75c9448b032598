"""`actalker ablate`: measures what gates, regions, mask-drop and guidance do on portraits."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from ..errors import InputError, one_of
from ..extras import need
from ..provenance import check_folder, check_readable, make_folder
from ..signals.signal import SIGNALS
from .options import new_parser, parse

if TYPE_CHECKING:
    from ..evaluation.jobs import Workers

SPOKEN = "audio"  # for targets: videos of people who speak


def parser() -> ArgumentParser:
    """The options of `ablate`."""
    p = new_parser("ablate", "What each gate, region and setting does on portraits.")
    p.add_argument("--model", type=str, default="tiny", help="tiny, a model folder or a hub id")
    p.add_argument(
        "--preset",
        type=str | None,
        default=None,
        help="a page of settings side by side: gates, regions, mask-drop or guidance; "
        "heads, what a head in each portrait reaches; or targets, what the model that ships must show",
    )
    p.add_argument(
        "--vary",
        nargs="+",
        action="extend",
        type=str,
        metavar="'AXIS=V|V'",
        help="a page of all combinations: gate.audio=0|0.5|1, region.NAME, guidance.NAME, steps, seed, "
        "mask_drop, scan_scope, model (repeatable)",
    )
    p.add_argument("--out", type=str, required=True, help="folder; a second start makes what is missing")
    p.add_argument(
        "--steps", type=int | None, default=None, help="denoiser calls a window; default: the model's own"
    )
    p.add_argument("--engine", type=str, default="processes", help="serial, processes or ray")
    p.add_argument("--workers", type=int, default=1, help="clips at once, one CPU thread each")
    p.add_argument("--address", type=str | None, default=None, help="of a Ray cluster")
    for name, what in (
        ("portraits", "pictures, or folders of them"),
        *(
            (name, f"each {signal.input} that drives the portraits, for a page")
            for name, signal in SIGNALS.items()
        ),
        ("drivers", "videos, or folders of them; for heads and targets"),
    ):
        p.add_argument(f"--{name}", nargs="+", action="extend", type=str, help=what)
    p.add_argument(
        "--beside",
        nargs="+",
        action="extend",
        type=str,
        help="models that are measured too, for targets: names, folders or hub ids",
    )
    p.add_argument(
        "--speech", type=str | None, default=None, help="cache of speech (actalker speech); for targets"
    )
    p.add_argument("--duration", type=str, default="3", help="seconds of each portrait's clip")
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument("--paper", action="store_true", help="write the page's table in LaTeX too")
    return p


def run(argv: Sequence[str]) -> int:
    """Run `actalker ablate`: measure a model's clips under many settings, print the table, write the report.

    argv: the words after the command's name. Returns the exit code.
    """
    options = parse(parser(), argv)
    if options is None:
        return 0
    if bool(options.preset) == bool(options.vary):
        raise InputError("--preset and --vary: give one of them, such as --preset gates")
    if options.preset == "heads":
        return _heads(options, shlex.join(["actalker", "ablate", *argv]))
    if options.preset == "targets":
        return _shipped(options, shlex.join(["actalker", "ablate", *argv]))
    for name in ("drivers", "beside", "speech"):
        if getattr(options, name):
            raise InputError(f"--{name}: is for --preset targets{' or heads' if name == 'drivers' else ''}")
    need("eval", "matplotlib")  # before the work, not after it
    if options.workers < 1:
        raise InputError(f"--workers {options.workers}: give >= 1")
    if options.steps is not None and not 1 <= options.steps <= 1000:
        raise InputError(f"--steps {options.steps}: give a number from 1 to 1000")
    # mistakes in these, and in the settings of a page, are reported before torch is imported
    from ..evaluation.jobs import ENGINES
    from ..pipeline.model.find import check_name

    one_of(options.engine, ENGINES, "engine")
    drivers = {name: getattr(options, name) or [] for name in SIGNALS}
    for name, paths in drivers.items():
        for path in paths if SIGNALS[name].file else ():
            check_readable(path, SIGNALS[name].file)
    if options.face_model is not None:
        check_readable(options.face_model, "model")
    check_name(options.model)
    folder = check_folder(options.out)
    portraits = _pictures(options.portraits or [], folder)
    if portraits:
        from ..evaluation.cases import check_files

        check_files(portraits, drivers, options.duration, options.face_model)
    text, path = _study(options, portraits, folder, shlex.join(["actalker", "ablate", *argv]))
    print(text)
    print(path)
    return 0


def _heads(options: Namespace, command: str) -> int:
    """Write the report of the heads in portraits, and of each driving video on the first of them."""
    folder, portraits, drivers = _faces(options, "heads", (*SIGNALS, "beside", "speech"))
    if not portraits and not drivers:
        raise InputError("nothing to measure: give --portraits, and --drivers")
    from ..evaluation.heads.report import HeadStudy, markdown, run_heads, table, write_heads

    face_model = None if options.face_model is None else check_readable(options.face_model, "model")
    study = HeadStudy(tuple(portraits), tuple(drivers), _workers(options), face_model)
    make_folder(folder)
    with _counted(len(study.jobs), "heads") as tick:
        cells = run_heads(study, folder, tick)
    page = write_heads(folder, study, command, cells)
    print(markdown(table(cells)))
    print(page)
    return 0


def _shipped(options: Namespace, command: str) -> int:
    """Write the table of what the model that ships must show, beside other models and the truth."""
    from ..pipeline.model.find import check_name

    folder, portraits, drivers = _faces(
        options, "targets", (*(name for name in SIGNALS if name != SPOKEN), "face_model")
    )
    models = list(dict.fromkeys([options.model, *(options.beside or [])]))
    for model in models:
        check_name(model)
    speakers = [check_readable(path, "video") for path in getattr(options, SPOKEN) or []]
    if not portraits and (speakers or drivers or options.speech):
        raise InputError("--preset targets: --audio, --drivers and --speech need --portraits")
    from ..evaluation.targets import performances
    from ..evaluation.targets.clips import clips
    from ..evaluation.targets.given import lengths, sitters, voices
    from ..evaluation.targets.makers import TRUTH
    from ..evaluation.targets.report import VARIANTS, columns, lines, markdown, shown_of, write_targets
    from ..evaluation.targets.seen import count, see
    from ..evaluation.targets.variants import compare, compared_table, variants

    spoken: Any = []
    long: Any = None
    if options.speech is not None:
        from ..data.speech.cache import SpeechCache

        spoken, long = voices(SpeechCache(options.speech, held_out=True))
    made = []
    if portraits:
        made = clips(sitters(portraits), spoken, long, lengths(speakers), lengths(drivers))
    workers = _workers(options)
    who = [name for name in models if performances.takes_all(name)]
    make_folder(folder)
    with _counted(performances.COUNT * (len(who) + 1), "performances") as tick:
        acted = performances.perform_all([*who, TRUTH], folder, workers, tick)
    models.append(TRUTH)
    with _counted(count(models, made), "clips") as tick:
        kept = see(models, made, folder, workers, tick)
    shown = shown_of(models, kept, made, acted)
    rows, compared = lines(shown), compare(variants(models), shown)
    path = write_targets(folder, command, models, clips=made, rows=rows, compared=compared)
    print(markdown(rows, columns(models)))
    if compared:
        print(f"{VARIANTS}\n\n{compared_table(compared)}")
    print(path)
    return 0


def _faces(options: Namespace, preset: str, refused: Sequence[str]) -> tuple[Path, list[Path], list[Path]]:
    """Check the options that reports of faces share. refused: options that the preset does not take.

    Returns: the folder to write, the portraits and the driving videos.
    """
    for name in refused:
        if getattr(options, name):
            raise InputError(f"--preset {preset}: takes no --{name.replace('_', '-')}")
    from ..evaluation.jobs import ENGINES
    from ..media.files import video_files

    one_of(options.engine, ENGINES, "engine")
    if options.workers < 1:
        raise InputError(f"--workers {options.workers}: give >= 1")
    folder = check_folder(options.out)
    portraits = _pictures(options.portraits or [], folder)
    drivers: list[Path] = []
    for text in options.drivers or []:
        drivers += video_files(Path(text), folder) if Path(text).is_dir() else [check_readable(text, "video")]
    return folder, portraits, drivers


def _workers(options: Namespace) -> Workers:
    """Where the jobs of a report run."""
    from ..evaluation.jobs import Workers

    return Workers(options.engine, options.workers, options.address)


def _pictures(texts: Sequence[str], out: Path) -> list[Path]:
    """The portraits that paths name, files or folders of them, without those that a run wrote to `out`."""
    from ..media.files import picture_files

    pictures: list[Path] = []
    for text in texts:
        path = Path(text)
        pictures += picture_files(path, out) if path.is_dir() else [check_readable(text, "picture")]
    return pictures


@contextmanager
def _counted(count: int, what: str) -> Iterator[Callable[[], None]]:
    """A progress bar for `count` things; its value is a function to call after each of them."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=count)
        yield lambda: bar.advance(task)


def _study(options: Namespace, portraits: list[Path], folder: Path, command: str) -> tuple[str, Path]:
    """Run a page of settings side by side. Returns: its table, and the path of the page."""
    from ..evaluation.cases import applicable, file_cases
    from ..evaluation.settings import PRESETS, preset, varied
    from ..pipeline.model.find import check_name

    if options.preset is not None:
        one_of(options.preset, PRESETS, "preset")
    settings = varied(options.vary) if options.vary else preset(options.preset)
    for model in (s.changes["model"] for s in settings if "model" in s.changes):
        check_name(model)
    drivers = {name: getattr(options, name) or [] for name in SIGNALS}
    cases = file_cases(portraits, drivers, options.duration, options.face_model)
    if not cases:
        raise InputError("nothing to animate: give --portraits, and what drives them")
    from ..evaluation.page import write_study
    from ..evaluation.study import Study, cell_count, run_study

    study = Study(tuple(cases), tuple(applicable(settings, cases)), options.model, options.steps)
    make_folder(folder)
    tell = partial(print, flush=True)
    with _counted(cell_count(study), "cells") as tick:
        cells = run_study(study, folder, _workers(options), tick, tell)
    page = write_study(folder, study, cells, command, options.paper)
    return (folder / "ablation.md").read_text(encoding="utf-8"), page
