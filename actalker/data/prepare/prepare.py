"""From a source to shards, manifest and report. A run that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, one_of
from ...provenance import versions, whole_file
from .annotations import read_source
from .download import download
from .engines import run_clips
from .entries import Entry
from .graph import stages
from .manifest import MANIFEST, Row, row, write_manifest
from .people import grouped
from .report import write_report
from .settings import PrepareConfig
from .shards import write_card, write_shards
from .stages import DiskFull, Outcome, run_clip
from .summary import Summary
from .worker import Setup

SETTINGS = "prepare.json"
ENGINES = ("serial", "processes", "ray")


@dataclass(frozen=True)
class Request:
    """What a preparation is asked for.

    source, videos: as `read_source` takes them. engine, workers, address: as `run_clips` takes them. part:
    (i, n) prepares every n-th clip from the i-th on, without shards and manifest; merge: write these once
    all parts are done. download: fetch missing videos. retry: try failed clips again.
    Raises: InputError for an unknown engine and numbers below 1.
    """

    source: Path
    videos: Path | None = None
    engine: str = "processes"
    workers: int = 1
    address: str | None = None
    part: tuple[int, int] | None = None
    merge: bool = False
    download: bool = False
    retry: bool = False
    clips_per_shard: int = 256

    def __post_init__(self) -> None:
        one_of(self.engine, ENGINES, "engine")
        for option in ("workers", "clips_per_shard"):
            if getattr(self, option) < 1:
                raise InputError(f"--{option.replace('_', '-')} {getattr(self, option)}: give 1 or more")
        if self.address is not None and self.engine != "ray":
            raise InputError(f"--address {self.address}: belongs to --engine ray")


def list_entries(request: Request, root: Path) -> list[Entry]:
    """The entries of the source; with `download`, missing videos are fetched first.

    root: the folder of results. Raises: InputError when there are no entries, or root is the source.
    """
    if os.path.isdir(root) and os.path.isdir(request.source) and os.path.samefile(root, request.source):
        raise InputError(f"--out {root}: is the source itself; results would be clips of the next start")
    entries = read_source(request.source, request.videos, root)
    if request.download:
        download(request.source, root / "raw")
        entries = read_source(request.source, root / "raw")
    return entries


def prepare(
    request: Request, setup: Setup, entries: Sequence[Entry], tell: Callable[[Entry, Outcome], None]
) -> Summary:
    """Prepare the clips that have no results, then write shards, manifest and report.

    tell: called after each clip. Returns the rows of the manifest, or of the clips of `request.part`.
    Raises: InputError when the disk is full, or `merge` finds clips that no part has prepared.
    """
    clips = [entry for entry in entries if entry.problem is None]
    if request.part is not None:
        index, parts = request.part
        clips = clips[index::parts]
    if request.retry:
        _forget_failures(clips, setup)
    outcomes = _run(request, setup, clips, tell)
    missing = [entry.clip for entry in clips if outcomes[entry.key].status == "open"]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(clips)} clips are not prepared yet, the first is {missing[0][:80]}; "
            "run every --shard i/n first"
        )
    if request.part is not None:
        return Summary([row(entry, outcomes[entry.key], None) for entry in clips])
    return Summary(_write(request, setup, entries, outcomes))


def _run(
    request: Request, setup: Setup, clips: Sequence[Entry], tell: Callable[[Entry, Outcome], None]
) -> dict[str, Outcome]:
    """Key -> what became of a clip. With `merge` no clip is prepared, so some may be open."""
    outcomes: dict[str, Outcome] = {}
    graph = stages(setup.config)

    def unfinished() -> Iterator[Entry]:
        """The clips that need a worker; for the others it would only read stored results."""
        for entry in clips:
            outcome = run_clip(entry, setup.folder(entry), graph, pool="none")
            if outcome.status == "open":
                yield entry
            else:
                outcomes[entry.key] = outcome
                tell(entry, outcome)

    try:
        work = unfinished()
        if request.merge:
            outcomes.update({entry.key: Outcome(entry.key) for entry in work})
        else:
            for entry, outcome in run_clips(work, setup, request.engine, request.workers, request.address):
                outcomes[entry.key] = outcome
                tell(entry, outcome)
    except DiskFull as error:
        raise InputError(
            f"{setup.root}: {error}; make room and start again, it goes on where it was"
        ) from None
    return outcomes


def _write(
    request: Request, setup: Setup, entries: Sequence[Entry], outcomes: dict[str, Outcome]
) -> list[Row]:
    """Write shards, manifest and report of a source whose clips are all prepared; returns its rows."""
    for entry in entries:
        if entry.problem is not None:
            outcomes[entry.key] = Outcome(entry.key, entry.status, entry.problem, "source")
    good = [(entry, setup.folder(entry)) for entry in entries if outcomes[entry.key].status == "ok"]
    if setup.config.identity is not None:
        people = {entry.key: entry for entry in grouped(good, setup.config.people.similarity)}
        entries = [people.get(entry.key, entry) for entry in entries]
        good = [(people[entry.key], folder) for entry, folder in good]
    clips = [(entry, outcomes[entry.key], folder) for entry, folder in good]
    places = write_shards(setup.root / "shards", clips, request.clips_per_shard)
    write_card(setup.root, "shards/shard-*.tar")
    rows = [row(entry, outcomes[entry.key], places.get(entry.key)) for entry in entries]
    write_manifest(setup.root / MANIFEST, rows)
    write_report(setup.root / "report.html", rows, setup.folder_of)
    return rows


def write_settings(root: Path, arguments: Sequence[str], config: PrepareConfig) -> None:
    """Write the arguments and settings of a run to prepare.json, so that `merge` uses the same."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {root}: cannot be made ({error.strerror}); give another folder") from None
    content = {"arguments": list(arguments), "settings": config, "versions": versions()}
    with whole_file(root / SETTINGS, overwrite=True) as work:
        work.write_text(json.dumps(content, indent=1, default=str) + "\n")


def read_arguments(root: Path) -> list[str]:
    """The command-line arguments of the run that began a folder. Raises: InputError where there was none."""
    try:
        arguments = json.loads((root / SETTINGS).read_text())["arguments"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{root}: holds no {SETTINGS}; run --shard i/n into it first") from None
    return [str(word) for word in arguments]


def _forget_failures(entries: Sequence[Entry], setup: Setup) -> None:
    """Remove the stored results of stages that failed, so that they are tried again."""
    graph = stages(setup.config)
    for entry in entries:
        outcome = run_clip(entry, setup.folder(entry), graph, pool="none")
        if outcome.status == "failed":
            shutil.rmtree(setup.folder(entry) / outcome.stage, ignore_errors=True)
