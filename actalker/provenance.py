"""Provenance of files: hashes, versions and sidecars, and writing so that a file appears only when whole."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from . import __version__
from .errors import InputError

RECORDED = (
    *("torch", "numpy", "numba", "triton", "mamba-ssm", "diffusers", "transformers"),
    *("av", "soxr", "pillow", "scikit-image", "mediapipe", "face-alignment"),
)
SETTLED = 2.0  # seconds without a change after which a file's times and size tell whether it changes again
_hashes: dict[tuple[str, int, int, int, int], str] = {}


def file_hash(path: str | Path) -> str:
    """`sha256:` and the digest of a file's bytes.

    A process reads a file once, unless its size or times change, or have changed less than `SETTLED` ago.
    Raises: InputError for files that cannot be read.
    """
    with open(check_readable(path, "file"), "rb") as file:
        state = os.stat(file.fileno())
        key = (os.path.realpath(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if key in _hashes:
            return _hashes[key]
        begun = time.time()
        text = f"sha256:{_digest(file)}"
    if begun - max(state.st_mtime, state.st_ctime) > SETTLED:
        _hashes[key] = text
    return text


def _digest(file: BinaryIO) -> str:
    """The SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def folder_hash(folder: str | Path) -> str:
    """`sha256:` over the names and hashes of all files in a folder, equal for equal trees at any place.

    Raises: InputError when there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; check the path")
    digest = hashlib.sha256()
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    for name in names:
        digest.update(f"{name}\0{file_hash(root / name)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def versions() -> dict[str, str]:
    """The versions of this package, Python, the system and the installed packages that results depend on."""
    installed = {"actalker": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in RECORDED:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def check_readable(path: str | Path, what: str) -> Path:
    """The path, if it is a plain file that can be read and is not empty.

    what: `picture`, `sound` and the like, for messages. Raises: InputError for other paths.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a {what}, or a path to one")
        if not path.exists():
            raise InputError(f"{path}: no such file; check the path of the {what}")
        if not path.is_file():
            raise InputError(f"{path}: is not a plain file; give a {what} on disk")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes); copy or export the {what} again")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)[:300]!r}: cannot be read ({reason}); check the {what}'s path") from None
    return path


def check_writable(path: str | Path, overwrite: bool = False) -> Path:
    """The path that will be written, with links followed; for a check before long work.

    Raises: InputError when it exists and may not be overwritten, or its folder cannot be written to.
    """
    target = Path(os.path.realpath(path))
    try:
        there = target.exists()
    except OSError as error:  # a name that is too long
        raise InputError(
            f"{str(path)[:100]}...: cannot be written ({error.strerror}); give another name"
        ) from None
    if there:
        if target.is_dir():
            raise InputError(f"{path}: is a folder; add a file name")
        if not target.is_file():
            raise InputError(f"{path}: is not a plain file; give another name")
        if not overwrite:
            raise InputError(f"{path}: exists already; give another name, or allow --overwrite")
    parent = target.parent
    if not parent.is_dir():
        raise InputError(f"{path}: there is no folder {parent}; make it first")
    try:  # permissions do not tell: some places take no file from anybody
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError:
        raise InputError(f"{path}: the folder {parent} cannot be written to; choose another one") from None
    return target


def make_folder(folder: str | Path) -> Path:
    """The path of a folder that can be written to; it is created if it is missing.

    Raises: InputError when that fails.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions do not tell
            pass
    except OSError as error:
        raise InputError(
            f"--out {folder}: cannot be written to ({error.strerror}); give another folder"
        ) from None
    return Path(folder)


def check_folder(folder: str | Path) -> Path:
    """The path of a folder that `make_folder` could create; nothing is created.

    For a check before long work, which may be refused for another reason and must then leave nothing behind.
    Raises: InputError when it is no folder, or cannot be written to.
    """
    there = Path(os.path.realpath(folder))
    try:
        while not there.exists():
            there = there.parent
    except OSError as error:
        raise InputError(f"--out {str(folder)[:100]}: {error.strerror}; give another folder") from None
    if not there.is_dir():
        raise InputError(f"--out {folder}: {there} is no folder; give another one")
    make_folder(there)
    return Path(folder)


@contextmanager
def whole_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, which is renamed to it when the block ends well.

    On any exception, also Ctrl-C, the temporary file is removed and `path` stays as it was.
    Raises: InputError when `path` exists and may not be overwritten, or its folder cannot be written to.
    """
    target = check_writable(path, overwrite)
    work = target.with_name(f".{target.stem[:60]}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield work
        os.replace(work, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); check the disk") from error
    finally:
        with suppress(OSError):
            work.unlink()


def made_by(model: str | None = None) -> str:
    """The text for a generated file's metadata.

    model: its name, or the folder or hub id that it comes from; None: it is not named.
    """
    which = "" if model is None else f" (model {Path(model).name})"
    return f"AI-generated by actalker {__version__}{which}; not a recording"


def write_sidecar(path: str | Path, content: Mapping[str, object], overwrite: bool = True) -> Path:
    """Write a JSON file: `path` itself if it ends in .json, else `clip.mp4.json` beside a path `clip.mp4`.

    Fractions and paths are written as text, arrays as lists; keys stay in their order.
    Returns: the path of the JSON file.
    """
    path = Path(path)
    sidecar = path if path.suffix == ".json" else path.with_name(path.name + ".json")
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n"
    with whole_file(sidecar, overwrite) as work:
        # names on disk may hold bytes that are no text: JSON writes them as escapes
        work.write_text(text, encoding="utf-8", errors="backslashreplace")
    return sidecar


def _plain(value: object) -> object:
    """A value that JSON has no form for, as a list or text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
