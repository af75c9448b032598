"""A stage measures and writes files; its result is kept under a hash of everything it depends on.

Measuring and judging are apart: limits judge stored values, so another limit repeats no work. A result's hash
covers the stage's name, version and config, what it reads of the entry, and the results it builds on.
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
from typing import Any, Literal

from ...errors import InputError
from ...provenance import file_hash
from .entries import Entry

RESULT = "result.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Result:
    """What a stage found for a clip, and the folder with its files. failure: why it found nothing."""

    digest: str
    values: dict[str, Any]
    files: dict[str, str]  # name: hash
    seconds: float
    folder: Path
    failure: str | None = None

    def file(self, name: str) -> Path:
        """One of its files."""
        return self.folder / name

    @property
    def content(self) -> str:
        """A hash of what was found: the same after a repetition that found the same."""
        return _hash([self.values, self.files])


@dataclass(frozen=True)
class Work:
    """What a stage is given: the clip, the results it builds on, and a folder for its files."""

    entry: Entry
    before: Mapping[str, Result]
    folder: Path


@dataclass(frozen=True)
class Stage:
    """One step of the preparation.

    measure: does the work and returns plain values. config: its settings, a dataclass. reads: what it uses
    of the entry. judge: values to the reason why the clip is rejected, or None. pool: what kind of worker it
    wants.
    """

    name: str
    version: int
    measure: Callable[[Work, Any], dict[str, Any]]
    config: Any = None
    needs: tuple[str, ...] = ()
    reads: Callable[[Entry], Any] = lambda entry: None
    judge: Callable[[dict[str, Any]], str | None] = lambda values: None
    pool: Literal["cpu", "gpu"] = "cpu"

    def digest(self, entry: Entry, before: Mapping[str, Result]) -> str:
        """The hash of everything that its result depends on."""
        config = None if self.config is None else _hashed(self.config)
        inputs = {name: before[name].content for name in self.needs}
        return _hash([self.name, self.version, config, self.reads(entry), inputs])


@dataclass
class Outcome:
    """Where a clip ended: status `ok`, `rejected`, `failed`, or `open` while stages are missing."""

    key: str
    status: str = "open"
    reason: str = ""
    stage: str = ""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # path below the clip's folder: hash
    seconds: dict[str, float] = field(default_factory=dict)


class DiskFull(Exception):
    """There is no room for results: no clip's fault, and nothing for another clip to try."""


def run_clip(
    entry: Entry,
    folder: Path,
    stages: Sequence[Stage],
    pool: str | None = None,
    begin: Callable[[str], None] = lambda stage: None,
) -> Outcome:
    """Take a clip through the stages, as far as they accept it.

    folder: the clip's own. pool: stages of another pool are only read. begin: told the name of each stage
    that has to work. With pool `none` nothing is worked on, only read.
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
            begin(stage.name)
            result = _work(stage, entry, before, folder, digest)
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
    """A kept result, if it is of this hash and its files are there."""
    try:
        held = json.loads((folder / RESULT).read_bytes())
        if held["digest"] != digest:
            return None
        result = Result(**held, folder=folder)
        there = all((folder / name).is_file() for name in result.files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if there else None


def keep_failure(stage: Stage, entry: Entry, folder: Path, stages: Sequence[Stage], reason: str) -> None:
    """Keep that a stage cannot be done for a clip: a second start does not try again."""
    before: dict[str, Result] = {}
    for one in stages:
        digest = one.digest(entry, before)
        if one.name == stage.name:
            _keep(folder / stage.name, Result(digest, {}, {}, 0.0, folder / stage.name, reason), None)
            return
        result = read_result(folder / one.name, digest)
        if result is None:
            return
        before[one.name] = result


def _work(stage: Stage, entry: Entry, before: dict[str, Result], folder: Path, digest: str) -> Result:
    final = folder / stage.name
    for left in folder.glob(f".{stage.name}-*"):  # of a worker that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = folder / f".{stage.name}-{secrets.token_hex(4)}"
    start = time.perf_counter()
    values: dict[str, Any] = {}
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
        result = Result(digest, values, files, seconds, final, failure)
        return _keep(final, result, work)
    except OSError as error:
        _raise_when_full(error)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _keep(final: Path, result: Result, work: Path | None) -> Result:
    """Give a result its place in one step; an older one makes room."""
    if work is None or not work.is_dir() or result.failure:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        work = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
        work.mkdir(parents=True)
    held = {k: getattr(result, k) for k in ("digest", "values", "files", "seconds", "failure")}
    with open(work / RESULT, "w") as file:
        json.dump(held, file, allow_nan=False)
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


def _hashed(config: Any) -> Any:
    """The settings of a stage; those that name a place or a device are left out."""
    if isinstance(config, tuple):
        return [_hashed(part) for part in config]
    return {f.name: getattr(config, f.name) for f in fields(config) if f.metadata.get("hashed", True)}


def _raise_when_full(error: BaseException | None) -> None:
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise DiskFull(os.strerror(error.errno)) from None
        error = error.__cause__ or error.__context__


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
