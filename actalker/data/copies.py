"""Copies of whole shards on this machine's disk, made once for all its processes."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError

log = logging.getLogger("actalker")


class NoRoom(Exception):
    """A copy cannot be written to the folder of copies."""


class Copies:
    """Copies of shards in a folder. Those in a folder that the user names serve later runs too.

    A copy is written beside its place and renamed, so every copy is whole. Of several processes that need
    one, the first makes it and the others wait.

    folder: None: a temporary one, removed when the process that made it ends.
    Raises: InputError for a folder that cannot be made.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.wanted = folder is not None
        self.folder = None if folder is None else Path(folder)
        self.paths: dict[str, Path] = {}
        if self.folder is not None and not self.folder.is_dir():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"data.cache {folder}: cannot be made ({error.strerror})") from None

    def prepare(self) -> None:
        """Make the temporary folder, before workers start that share it."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="actalker-shards-"))
            atexit.register(_remove, self.folder, os.getpid())

    def give_up(self, reason: NoRoom) -> None:
        """Make no more copies, and log why."""
        log.warning("data.cache %s: %s; shards are read from where they are", self.folder, reason)
        self.wanted = False

    def get(self, address: str, version: Callable[[], str], fetch: Callable[[Path], None]) -> Path:
        """The path of the copy of an address, made where there is none.

        version: gives a text that changes when the content at the address does. fetch: writes the copy to a
        path. Raises: NoRoom, and what `fetch` raises.
        """
        if address not in self.paths:
            self.prepare()
            assert self.folder is not None
            digest = hashlib.sha256(f"{address}\0{version()}".encode()).hexdigest()[:20]
            name = re.sub(r"[^\w.-]+", "_", address)[-60:].lstrip("._-")
            self.paths[address] = _fetched(self.folder / f"{digest}-{name}", fetch)
        return self.paths[address]


def _fetched(path: Path, fetch: Callable[[Path], None]) -> Path:
    """The path of a copy, after `fetch` wrote it where it was missing. Raises: NoRoom."""
    if path.is_file():
        return path
    work = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _locked(path.with_name(f".{path.name}.lock")) as alone:
            if path.is_file():  # another process wrote it meanwhile
                return path
            for left in path.parent.glob(f".{path.name}.*.part") if alone else ():  # by one that was killed
                left.unlink()
            try:
                fetch(work)
                os.replace(work, path)
            finally:
                with suppress(OSError):
                    work.unlink()
    except OSError as error:
        raise NoRoom(f"cannot be written ({error.strerror or error})") from None
    return path


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Only one process at a time is inside; others wait. Yields False where the disk has no locks."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            alone = True
        except OSError:  # as on some network disks: each process then makes a copy of its own
            alone = False
        yield alone


def run_command(command: str, path: Path) -> None:
    """Write the standard output of a shell command to a file. Raises: InputError when the command fails."""
    with open(path, "wb") as file, tempfile.TemporaryFile() as said:
        done = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, stderr=said)
        assert done.stdout is not None
        with done:
            shutil.copyfileobj(done.stdout, file, 1 << 20)
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
    if done.returncode:
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
        raise InputError(f"pipe:{command}: ends with {done.returncode} ({reason[:200]}); try it in a shell")


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a worker that inherited it
        shutil.rmtree(folder, ignore_errors=True)
