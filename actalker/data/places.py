"""Access to shards on a disk, behind a command, or in a store that fsspec opens.

An address stays as it was typed. Local files, and stores that serve parts of a file, are read where the bytes
lie; the output of a command, and the files of a server that serves only whole ones, are copied first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from ..errors import InputError
from ..extras import need
from .copies import Copies, NoRoom, run_command

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "hf": "huggingface_hub",
}
WAITS = (0.5, 2.0, 8.0)  # seconds before a store that fails is asked again
SILENT = 60.0  # seconds without a byte after which a web server counts as gone
AGAIN = (408, 425, 429)  # HTTP errors below 500 that may pass
Store = Any  # a file system of fsspec, which has no types
T = TypeVar("T")
log = logging.getLogger("actalker")


class Place(Protocol):
    """A file, wherever it lies. All methods raise InputError where it does not exist or cannot be read."""

    @property
    def address(self) -> str:
        """The address as the user typed it, or as a folder's listing gives it."""

    def size(self) -> int:
        """The file's size in bytes."""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` to `stop`, fewer where the file ends before."""

    def open(self) -> BinaryIO:
        """The file, open for reading and seekable."""


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine's disks."""

    address: str
    path: Path

    def size(self) -> int:
        """The file's size in bytes."""
        return self._try(lambda: self.path.stat().st_size)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` to `stop`, fewer where the file ends before."""
        with self.open() as file:
            return self._try(lambda: (file.seek(start), file.read(stop - start))[1])

    def open(self) -> BinaryIO:
        """The file, open for reading and seekable."""
        return self._try(lambda: open(self.path, "rb"))

    def _try(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except FileNotFoundError:
            raise InputError(f"{self.address}: no such file; check data.shards") from None
        except OSError as error:
            raise InputError(f"{self.address}: cannot be read ({error.strerror or error})") from None


@dataclass(frozen=True)
class Copied:
    """A source that can only be read from its beginning, read from a copy: a command, or a plain server."""

    address: str
    copies: Copies

    def size(self) -> int:
        """The copy's size in bytes."""
        return self.local().size()

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` to `stop` of the copy, fewer where it ends before."""
        return self.local().read(start, stop)

    def open(self) -> BinaryIO:
        """The copy, open for reading and seekable."""
        return self.local().open()

    def local(self) -> LocalFile:
        """Return the copy as a file; make it if missing. Raises: InputError, also if there is no room."""
        try:
            return LocalFile(self.address, self.copy())
        except NoRoom as error:
            where = f"the copy in {self.copies.folder} {error}"
            raise InputError(
                f"{self.address}: {where}; name a folder with room for all shards: data.cache"
            ) from None

    def copy(self) -> Path:
        """Return the path of the copy, and make it if it is missing. Raises: NoRoom."""
        if self.address.startswith("pipe:"):
            command = self.address.removeprefix("pipe:")
            return self.copies.get(self.address, lambda: "", lambda work: run_command(command, work))
        return self.copies.get(
            self.address, lambda: _version(self.address), lambda work: _fetch(self.address, work)
        )


@dataclass(frozen=True)
class Remote:
    """A file in a store that serves parts of it; read from a copy where the user wants copies."""

    address: str
    copies: Copies

    def size(self) -> int:
        """The file's size in bytes, as the store says it."""
        return int(ask(self.address, lambda store, path: store.size(path)))

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` to `stop`, fewer where the file ends before."""
        if copied := self._copied():
            return copied.read(start, stop)
        return ask(self.address, lambda store, path: store.cat_file(path, start=start, end=stop), b"")

    def open(self) -> BinaryIO:
        """The file, open for reading and seekable; the store is asked for blocks as they are needed."""
        if copied := self._copied():
            return copied.open()
        return ask(self.address, lambda store, path: store.open(path, "rb", block_size=1 << 16))

    def _copied(self) -> LocalFile | None:
        if self.copies.wanted:
            try:
                return LocalFile(self.address, Copied(self.address, self.copies).copy())
            except NoRoom as error:
                self.copies.give_up(error)
        return None


def is_remote(address: str) -> bool:
    """Return whether an address is for fsspec, not a path on this machine."""
    return "://" in address and scheme_of(address) != "file"


def scheme_of(address: str) -> str:
    """Return the scheme of an address in lower case: `s3` of `s3://bucket/folder`."""
    return address.partition("://")[0].lower()


def path_of(address: str) -> str:
    """Return an address without the query that may follow its path on a web server."""
    return address.partition("?")[0] if scheme_of(address) in ("http", "https") else address


def ask(address: str, what: Callable[[Store, str], T], beyond: T | None = None) -> T:
    """Return what(file system, path in it) for an address; calls that fail for a passing reason are repeated.

    Args:
        address: of a file in a store that fsspec opens.
        what: reads something from fsspec's file system at the path.
        beyond: returned where the store refuses a range because it lies after the file's end (HTTP 416); None
            makes that an error.
    Raises: InputError that names the address, and what to install or to check.
    """
    for wait in (*WAITS, None):
        try:
            return what(*_store(address))
        except (InputError, NoRoom):
            raise
        except Exception as error:  # every store has its own
            status = _status(error)
            if status == 416 and beyond is not None:
                return beyond
            lasting = 400 <= status < 500 and status not in AGAIN
            if lasting or wait is None:
                raise InputError(f"{address}: {_reason(error, status)}") from None
            time.sleep(wait)
    raise AssertionError


def there(address: str) -> bytes | None:
    """Read a small file in a store; None where it cannot be read."""
    try:
        return ask(address, lambda store, path: store.cat_file(path))
    except InputError:
        return None


def gives_parts(address: str) -> bool:
    """Return whether the store of an address serves parts of a file; only web servers may not."""

    def middle(store: Store, path: str) -> bool:
        try:
            with store.open(path, "rb", block_size=512, cache_type="none") as file:
                if not file.seekable():
                    return False
                file.seek(512)
                file.read(512)
            return True
        except ValueError:  # fsspec's word for it
            return False

    return scheme_of(address) not in ("http", "https") or ask(address, middle)


def places(addresses: Sequence[str], copies: Copies) -> list[Place]:
    """Return a place for each address. copies: the copies of files that cannot be read in parts.

    Raises: InputError for a store that cannot be reached.
    """
    listing: list[Place] = []
    servers: dict[str, bool] = {}
    for address in addresses:
        if address.startswith("pipe:"):
            listing.append(Copied(address, copies))
        elif not is_remote(address):
            listing.append(LocalFile(address, Path(address.removeprefix("file://"))))
        else:
            server = f"{scheme_of(address)}://{urlsplit(address).netloc}"
            if server not in servers:
                servers[server] = gives_parts(address)
            listing.append((Remote if servers[server] else Copied)(address, copies))
    copied = [place for place in listing if isinstance(place, Copied)]
    if copied:
        copies.prepare()
        if not copies.wanted:
            log.warning(
                "%s: cannot be read from the middle; %d shards are copied to %s for this run; data.cache "
                "FOLDER keeps them for all processes and runs",
                *(copied[0].address, len(copied), copies.folder),
            )
    return listing


def _store(address: str) -> tuple[Store, str]:
    """Return fsspec's file system for an address, and the path in it."""
    scheme = scheme_of(address)
    options: dict[str, object] = {}
    if package := PACKAGES.get(scheme):
        module = need("remote", package)
        if package == "aiohttp":  # no limit to the time of a whole copy; and the bytes as they are on disk
            limits = module.ClientTimeout(total=None, sock_connect=SILENT, sock_read=SILENT)
            options = {"client_kwargs": {"timeout": limits}, "headers": {"Accept-Encoding": "identity"}}
    import fsspec

    try:
        return fsspec.core.url_to_fs(address, **options)
    except (ValueError, ImportError) as error:  # unknown, or without its package
        words = " ".join(str(error).split())
        raise InputError(f"{address}: cannot be opened by fsspec ({words[:200]})") from None


def _status(error: BaseException) -> int:
    """Return the HTTP status behind a store's error, or the one that suits Python's error; 0 if unknown."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = getattr(seen, "status", None) or getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
        if type(seen).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            return 401
        seen = seen.__cause__ or seen.__context__
    kinds = {FileNotFoundError: 404, PermissionError: 403, IsADirectoryError: 404, NotADirectoryError: 404}
    unreachable = isinstance(error.__cause__ or error.__context__, (OSError, TimeoutError))
    return 0 if unreachable else next((s for kind, s in kinds.items() if isinstance(error, kind)), 0)


def _reason(error: BaseException, status: int) -> str:
    """Return why a store's file cannot be read, and what to do about it, in words."""
    if status in (404, 410):
        return f"no such file in the store ({status}); check data.shards"
    if status in (401, 403):
        words = " ".join(str(error).split())[:120]
        return f"access is refused ({status}: {words}); give this store's credentials"
    cause = error.__cause__ or error.__context__ if isinstance(error, FileNotFoundError) else error
    words = " ".join(str(cause or error).split())[:200]
    number = f"{status}, " if status else ""
    return (
        f"cannot be read ({number}{type(cause or error).__name__}: {words}); check the store and start again"
    )


def _version(address: str) -> str:
    """Return a text that changes when a store's file changes: its size, hash and time."""
    info = ask(address, lambda store, path: store.info(path))
    keys = ("size", "ETag", "etag", "md5Hash", "Last-Modified", "LastModified", "mtime", "updated", "blob_id")
    return "|".join(f"{key}={info[key]}" for key in keys if info.get(key) is not None)


def _fetch(address: str, work: Path) -> None:
    """Copy a store's file to a path. Raises: NoRoom; InputError where the store fails."""

    def copy(store: Store, path: str) -> None:
        try:
            store.get_file(path, str(work))
        except OSError as error:
            if error.filename == str(work) or error.errno in (28, 30, 122):  # ENOSPC, EROFS, EDQUOT
                raise NoRoom(f"cannot be written ({error.strerror})") from None
            raise
        size = store.info(path).get("size")
        if size is not None and work.stat().st_size != size:
            raise OSError(f"{work.stat().st_size} of {size} bytes came")

    ask(address, copy)
