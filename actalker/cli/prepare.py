"""`actalker prepare SOURCE --out DIR`: makes training shards of clips, raw videos or a list of ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..errors import InputError
from .options import new_parser, parse

SETTLED = {"latents", "look", "sync", "identity", "motion"}  # settings that follow from files
SIZES = {"K": 10, "M": 20, "G": 30, "T": 40}


def run(argv: Sequence[str]) -> int:
    """Run `actalker prepare`: prepare the clips that are missing; print a summary, and the manifest's path.

    argv: the words after the command's name. Returns the exit code.
    """
    words = list(argv)
    merging = bool(words) and words[0] == "merge" and not Path("merge").exists()
    parser = _parser()
    options = parse(parser, [".", *words[1:]] if merging else words)
    if options is None:
        return 0
    if merging:
        from ..data.prepare.prepare import read_arguments

        options = parse(parser, read_arguments(Path(options.out)))
        assert options is not None
        options.shard = None
    return _prepare(parser.instantiate_classes(options), words, merging)


def _parser() -> ArgumentParser:
    """The options of `prepare`."""
    from ..data.prepare.settings import PrepareConfig

    p = new_parser(
        "prepare", "A folder of clips, raw videos with a JSON, or HDTF's lists to training shards."
    )
    p.add_argument("source", type=str, help="folder, or CelebV JSON; `merge` after runs with --shard")
    p.add_argument(
        "--out", type=str, required=True, help="folder for everything; a second start goes on in it"
    )
    p.add_argument("--videos", type=str | None, default=None, help="folder of a JSON's raw videos")
    p.add_argument("--engine", type=str, default="processes", help="serial, processes or ray")
    p.add_argument("--workers", type=int | None, default=None, help="clips at once; default: cores")
    p.add_argument("--address", type=str | None, default=None, help="of a Ray cluster, for --engine ray")
    p.add_argument(
        "--shard", type=str | None, default=None, help="i/n: only every n-th clip, from the i-th on"
    )
    p.add_argument("--memory", type=str, default="4G", help="of one worker at most")
    p.add_argument("--timeout", type=float, default=300.0, help="seconds that a stage may take for a clip")
    p.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    p.add_argument("--download", action="store_true", help="fetch a JSON's videos with your yt-dlp")
    p.add_argument("--clips-per-shard", type=int, default=256, help="clips in a shard")
    p.add_argument("--finder", type=str, default="auto", help="landmarker, alignment or cascade")
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument("--syncnet", type=str | None, default=None, help="SyncNet's weights, to judge the lips")
    p.add_argument(
        "--sync",
        type=str | None,
        default=None,
        help="lips and sound that are apart: repair (move the sound), reject (default) or keep",
    )
    p.add_argument("--arcface", type=str | None, default=None, help="insightface's r50, to tell people apart")
    p.add_argument(
        "--latents", type=str | None, default=None, help="model folder whose codec encodes the clips"
    )
    p.add_argument("--device", type=str, default="cpu", help="of the codec: cpu or cuda")
    p.add_argument(
        "--motion", action="store_true", help="follow the head, for models that learn motion and no pictures"
    )
    p.add_class_arguments(PrepareConfig, None, skip=SETTLED)
    return p


def _prepare(options: Namespace, words: Sequence[str], merging: bool) -> int:
    """Run `prepare` with parsed options. words: the command line; merging: only join what shards made."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..data.prepare.graph import ModelChoices, settled
    from ..data.prepare.prepare import Request, list_entries, prepare, write_settings
    from ..data.prepare.settings import PrepareConfig
    from ..data.prepare.worker import Setup
    from ..extras import need

    for name in ("source", "out", "videos"):  # "" would be the folder that one is in
        if getattr(options, name) == "":
            raise InputError(f"{name}: is empty text; name a folder (a shell variable that is not set?)")
    need("data", "pyarrow")
    out = Path(options.out)
    request = Request(
        source=Path(options.source),
        videos=_path(options.videos),
        engine=options.engine,
        workers=_workers(options.workers),
        address=options.address,
        part=_part(options.shard),
        merge=merging,
        download=options.download and not merging,
        retry=options.retry_failed and not merging,
        clips_per_shard=options.clips_per_shard,
    )
    models = ModelChoices(
        finder=options.finder,
        face_model=_path(options.face_model),
        syncnet=_path(options.syncnet),
        sync=options.sync,
        arcface=_path(options.arcface),
        latents=options.latents,
        device=options.device,
        motion=options.motion,
    )
    config = settled(PrepareConfig(**_settings(options)), models)
    if not options.timeout > 0:
        raise InputError(f"--timeout {options.timeout:g}: give seconds above 0")
    setup = Setup(out.absolute(), config, _bytes(options.memory), options.timeout)
    entries = list_entries(request, out)
    if not merging:
        write_settings(out, words, config)
    clips = sum(entry.problem is None for entry in entries)
    print(
        f"{len(entries)} entries, {clips} to prepare; faces by the {config.look.finder}, "
        f"{request.engine}, {request.workers} at once"
    )
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("clips", total=clips if request.part is None else -(-clips // request.part[1]))
        summary = prepare(request, setup, entries, lambda entry, outcome: bar.advance(task))
    print("\n".join(summary.lines()))
    print(out if request.part is not None else out / "manifest.parquet")
    if failure := summary.whole_failure():
        raise InputError(f"{options.source}: {failure}")
    return 0


def _path(text: str | None) -> Path | None:
    """The path of an option that may be left out."""
    return None if text is None else Path(text)


def _settings(options: Namespace) -> dict[str, Any]:
    """The options that are fields of `PrepareConfig`."""
    from ..data.prepare.settings import PrepareConfig

    names = [name for name in PrepareConfig.__dataclass_fields__ if name not in SETTLED]
    return {name: getattr(options, name) for name in names}


def _workers(number: int | None) -> int:
    """How many clips are prepared at once; None: as many as there are cores, where the system tells."""
    import os

    if number is not None:
        return number
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _part(text: str | None) -> tuple[int, int] | None:
    """i and n of `i/n`. Raises: InputError for another text."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise InputError(f"--shard {text}: write i/n with i from 0 to n - 1, for example 0/4")
    return int(match[1]), int(match[2])


def _bytes(text: str) -> int:
    """A size such as `4G` in bytes. Raises: InputError for another text, and below 256M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    size = 0 if match is None else int(float(match[1]) * 2 ** SIZES.get(match[2].upper(), 0))
    if size < 1 << 28:
        raise InputError(f"--memory {text}: write a size of 256M or more, for example 4G")
    return size
