"""Stages of the preparation. A stage measures a clip and writes files; its result is stored under a hash of
everything that it depends on.

Measuring and judging are separate: limits judge stored values, so a change of limits repeats no work.
A result's hash covers the stage's name, version and config, what it reads of the entry, and the results that
it builds on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ...errors import InputError
from ...provenance import file_hash
from .entries import Entry

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RESULT = "result.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Values = dict[str, Any]
"""What a stage measured, by name: numbers, texts and lists, as JSON holds them."""


@dataclass(frozen=True)
class Result:
    """What a stage measured of a clip, and the folder with the files that it wrote.

    digest: the hash under which it is stored. failure: why the stage could not be done; None where it was.
    """

    digest: str
    values: Values
    files: dict[str, str]  # name: hash
    seconds: float
    folder: Path
    failure: str | None = None

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.folder / name

    @property
    def content(self) -> str:
        """A hash of its values and files: a repetition that measures the same has the same hash."""
        return _hash([self.values, self.files])


@dataclass(frozen=True)
class Work:
    """The input of a stage: the clip, the results that it builds on, and a folder for its files."""

    entry: Entry
    before: Mapping[str, Result]
    folder: Path


@dataclass(frozen=True)
class Stage:
    """One step of the preparation.

    measure: does the work, given the stage's config, and returns plain values. config: its settings,
    a dataclass, a tuple of them, or None. needs: names of the stages that it builds on. reads: what it uses
    of the entry. judge: turns values into the reason why the clip is rejected, or None. pool: the kind of
    worker that it needs.
    """

    name: str
    version: int
    measure: Callable[[Work, Any], Values]
    config: object = None
    needs: tuple[str, ...] = ()
    reads: Callable[[Entry], object] = lambda entry: None
    judge: Callable[[Values], str | None] = lambda values: None
    pool: Literal["cpu", "gpu"] = "cpu"

    def digest(self, entry: Entry, before: Mapping[str, Result]) -> str:
        """The hash of everything that the stage's result for a clip depends on.

        before: results of the stages that it needs, by name.
        """
        config = None if self.config is None else _hashed(self.config)
        inputs = {name: before[name].content for name in self.needs}
        return _hash([self.name, self.version, config, self.reads(entry), inputs])


@dataclass
class Outcome:
    """What became of a clip: status `ok`, `rejected`, `failed`, or `open` while stages are missing.

    stage: where it stopped; empty for `ok`. values, seconds: by stage.
    """

    key: str
    status: str = "open"
    reason: str = ""
    stage: str = ""
    values: dict[str, Values] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # path below the clip's folder: hash
    seconds: dict[str, float] = field(default_factory=dict)


class DiskFull(Exception):
    """The disk has no room for results: no clip is at fault, and no other clip needs to be tried."""


def run_clip(
    entry: Entry,
    folder: Path,
    stages: Sequence[Stage],
    pool: str | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Outcome:
    """Take a clip through the stages, as far as they accept it, and return what became of it.

    folder: where the clip's results are stored. pool: stages of this pool are measured where they have no
    result, those of others are only read; None measures all, `none` nothing. on_stage: called with the name
    of each stage before it is measured.
    Raises: DiskFull.
    """
    outcome, before = Outcome(entry.key), dict[str, Result]()
    for stage in stages:
        outcome.stage = stage.name
        digest = stage.digest(entry, before)
        result = read_result(folder / stage.name, digest)
        if result is None:
            if pool is not None and stage.pool != pool:
                return outcome
            on_stage(stage.name)
            result = _measured(stage, entry, before, folder, digest)
        before[stage.name] = result
        outcome.seconds[stage.name] = result.seconds
        if result.failure is not None:
            outcome.status, outcome.reason = "failed", result.failure
            return outcome
        outcome.values[stage.name] = result.values
        outcome.files.update({f"{stage.name}/{name}": digest for name, digest in result.files.items()})
        if reason := stage.judge(result.values):
            outcome.status, outcome.reason = "rejected", reason
            return outcome
    outcome.status, outcome.stage = "ok", ""
    return outcome


def read_result(folder: Path, digest: str) -> Result | None:
    """The result stored in a folder, or None where it has another hash or lacks files."""
    try:
        stored = json.loads((folder / RESULT).read_bytes())
        if stored["digest"] != digest:
            return None
        result = Result(**stored, folder=folder)
        there = all((folder / name).is_file() for name in result.files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if there else None


def keep_failure(stage: Stage, entry: Entry, folder: Path, stages: Sequence[Stage], reason: str) -> None:
    """Store that a stage cannot be done for a clip, so that a second start does not try again.

    stages: all stages in order. reason: why it cannot be done, for the clip's row.
    """
    before: dict[str, Result] = {}
    for one in stages:
        digest = one.digest(entry, before)
        if one.name == stage.name:
            final = folder / stage.name
            _store(final, Result(digest, {}, {}, seconds=0.0, folder=final, failure=reason), None)
            return
        result = read_result(folder / one.name, digest)
        if result is None:
            return
        before[one.name] = result


def _measured(stage: Stage, entry: Entry, before: dict[str, Result], folder: Path, digest: str) -> Result:
    """Measure a clip in a folder beside the result's place, and store the result. Raises: DiskFull."""
    final = folder / stage.name
    for left in folder.glob(f".{stage.name}-*"):  # of a worker that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = folder / f".{stage.name}-{secrets.token_hex(4)}"
    start = time.perf_counter()
    values: Values = {}
    failure = None
    try:
        work.mkdir(parents=True)
        try:
            values = stage.measure(Work(entry, before, work), stage.config)
        except InputError as error:
            _raise_when_full(error)
            # the row names the file already; without it equal reasons can be counted
            failure = " ".join(str(error).removeprefix(f"{entry.video}: ").split())[:300]
        files = {} if failure else {path.name: file_hash(path) for path in sorted(work.iterdir())}
        seconds = round(time.perf_counter() - start, 3)
        result = Result(digest, values, files, seconds, folder=final, failure=failure)
        return _store(final, result, work)
    except OSError as error:
        _raise_when_full(error)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _store(final: Path, result: Result, work: Path | None) -> Result:
    """Move a result's folder `work` to its place in one step, instead of an older one.

    With no folder, or for a failure, only the result is stored.
    """
    if work is None or not work.is_dir() or result.failure:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        work = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
        work.mkdir(parents=True)
    record = {k: getattr(result, k) for k in ("digest", "values", "files", "seconds", "failure")}
    with open(work / RESULT, "w") as file:
        json.dump(record, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    for _ in range(3):  # another process may be giving the same clip's result
        aside = final.with_name(f".{final.name}-old-{secrets.token_hex(4)}")
        with suppress(FileNotFoundError):
            os.replace(final, aside)
        try:
            os.replace(work, final)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return result


def _hashed(config: object) -> object:
    """The settings of a stage that its hash covers: not those that name a place or a device."""
    if isinstance(config, tuple):
        return [_hashed(part) for part in config]
    settings = fields(cast("DataclassInstance", config))
    return {f.name: getattr(config, f.name) for f in settings if f.metadata.get("hashed", True)}


def _raise_when_full(error: BaseException | None) -> None:
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise DiskFull(os.strerror(error.errno)) from None
        error = error.__cause__ or error.__context__


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
