"""From a source to shards, manifest and report: every step goes on where it was left."""

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
from .manifest import MANIFEST, row, write_manifest
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
    """What is asked for. part: (i, n), every n-th clip from the i-th on, without shards and manifest."""

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

    Raises: InputError when there are none, or root, the folder of results, is the source.
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
    """Run what is missing, then write shards, manifest and report. tell: called after each clip.

    Raises: InputError when the disk is full, or `merge` finds clips that no part has prepared.
    """
    open_ = [entry for entry in entries if entry.problem is None]
    if request.part is not None:
        index, parts = request.part
        open_ = open_[index::parts]
    if request.retry:
        _forget_failures(open_, setup)
    outcomes: dict[str, Outcome] = {}
    graph = stages(setup.config)

    def unfinished() -> Iterator[Entry]:
        """The clips that a worker has to see; a process for the others would only read what is kept."""
        for entry in open_:
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
    missing = [entry.clip for entry in open_ if outcomes[entry.key].status == "open"]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(open_)} clips are not prepared yet, the first is {missing[0][:80]}; "
            "run every --shard i/n first"
        )
    if request.part is not None:
        return Summary([row(entry, outcomes[entry.key], None) for entry in open_])
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
    return Summary(rows)


def write_settings(root: Path, arguments: Sequence[str], config: PrepareConfig) -> None:
    """Keep what was asked for, so that `merge` asks for the same."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {root}: cannot be made ({error.strerror}); give another folder") from None
    content = {"arguments": list(arguments), "settings": config, "versions": versions()}
    with whole_file(root / SETTINGS, overwrite=True) as work:
        work.write_text(json.dumps(content, indent=1, default=str) + "\n")


def read_arguments(root: Path) -> list[str]:
    """The arguments of the run that began a folder."""
    try:
        held = json.loads((root / SETTINGS).read_text())["arguments"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{root}: holds no {SETTINGS}; run --shard i/n into it first") from None
    return [str(word) for word in held]


def _forget_failures(entries: Sequence[Entry], setup: Setup) -> None:
    graph = stages(setup.config)
    for entry in entries:
        outcome = run_clip(entry, setup.folder(entry), graph, pool="none")
        if outcome.status == "failed":
            shutil.rmtree(setup.folder(entry) / outcome.stage, ignore_errors=True)
