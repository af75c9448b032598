"""The tar files that `data.shards` names, each with what `index.json` says of it."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from typing_extensions import NotRequired, TypedDict

from ..errors import InputError
from ..extras import need
from ..media.files import files_below
from .copies import Copies
from .places import Place, Store, ask, is_remote, path_of, places, there

INDEX = "index.json"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
WILD = set("*?[")
log = logging.getLogger("actalker")


class ClipIndex(TypedDict):
    """What an index says of a clip. files: suffix -> offset, size in bytes and, of newer shards, CRC-32."""

    clip: str
    person: str
    frames: int
    files: dict[str, list[int]]


class ShardIndex(TypedDict):
    """What an index says of a shard: its numbers of clips and bytes, and key -> each clip in it.

    members and content, a hash, are not in indices of other writers.
    """

    clips: int
    bytes: int
    members: NotRequired[dict[str, ClipIndex]]
    content: NotRequired[str]


Indices = dict[str, ShardIndex]
"""Name of a tar file -> what the index of its folder says of it."""


@dataclass(frozen=True)
class Shard:
    """A tar file. index: what the index beside it says of it; None without one."""

    place: Place
    index: ShardIndex | None


def find_shards(names: str | Sequence[str], copies: Copies) -> list[Shard]:
    """The tar files of folders, tar files, brace lists, `pipe:` commands and addresses of stores, in order.

    Logs the shards that an index names and that are missing.
    Raises: InputError where there are none, and for a shard that is named twice.
    """
    shards: dict[str, ShardIndex | None] = {}
    indices: dict[str, Indices] = {}
    here: set[tuple[str, str]] = set()
    folders: list[str] = []
    for name in (name for text in ([names] if isinstance(names, str) else names) for name in expand(text)):
        piped = name.startswith("pipe:")
        for address in [name] if piped else _tars(name, indices):
            if address in shards:
                raise InputError(f"data.shards: {address} is named twice; name every shard once")
            shards[address] = None
            if piped:
                continue
            folder, base = _split(address)
            if folder not in indices:
                indices[folder] = _index(folder)
            shards[address] = indices[folder].get(base)
            here.add((folder, base))
            if address != name and not WILD & set(name) and folder not in folders:
                folders.append(folder)
    _tell_missing(folders, here, indices)
    return [
        Shard(place, index)
        for place, index in zip(places(list(shards), copies), shards.values(), strict=True)
    ]


def expand(text: str) -> list[str]:
    """The names that a brace list stands for (`shard-{000000..000009}.tar`), several being joined by `::`.

    >>> expand("a-{0..2}.tar")
    ['a-0.tar', 'a-1.tar', 'a-2.tar']
    """
    if not text:
        raise InputError("data.shards: is empty; give a folder, tar files, or an address")
    if _local(text).exists():
        return [text]
    parts = [text] if text.startswith("pipe:") else text.split("::")
    names: list[str] = []
    for part in parts:
        names += list(need("train", "braceexpand").braceexpand(part)) if "{" in part else [part]
    return names


def _tars(name: str, indices: dict[str, Indices]) -> list[str]:
    """The addresses of one name: its own, or those of the tar files in the folder or that fit the pattern."""
    if is_remote(name):
        if path_of(name).lower().endswith(".tar"):
            return _matching(name) if WILD & set(path_of(name)) else [name]
        return _remote_folder(name.rstrip("/"), indices)
    path = _local(name)
    if path.is_dir():
        files = list(files_below(path))
        tars = [str(file) for file in files if file.suffix.lower() == ".tar"]
        packed = next((file for file in files if file.name.lower().endswith(COMPRESSED)), None)
        if not tars and packed:
            raise InputError(
                f"{packed}: is compressed; unpack it to .tar, for clips are read from its middle"
            )
        if not tars:
            raise InputError(
                f"{name}: holds no shards (*.tar); write them with actalker prepare SOURCE --out DIR"
            )
        return tars
    if not path.exists() and WILD & set(name):
        paths = sorted(p for p in glob.glob(str(path)) if not Path(p).name.startswith("."))
        if not paths:
            raise InputError(f"{name}: no file fits this pattern; check data.shards")
        return paths
    if not path.exists():
        raise InputError(f"{name}: no such file or folder; check data.shards")
    return [str(path)]


def _matching(pattern: str) -> list[str]:
    """The addresses in a store that fit a pattern, sorted. Raises: InputError where none does."""

    def fits(store: Store, path: str) -> list[str]:
        return sorted(store.unstrip_protocol(one) for one in store.glob(path))

    addresses = ask(pattern, fits)
    if not addresses:
        raise InputError(f"{pattern}: no file fits this pattern; check data.shards")
    return addresses


def _remote_folder(folder: str, indices: dict[str, Indices]) -> list[str]:
    """The addresses of the tar files that a store lists in a folder; without a list, those of the index."""
    indices[folder] = _index(folder)

    def listed(store: Store, path: str) -> list[str]:
        names = [str(name).rstrip("/").rpartition("/")[2] for name in store.ls(path, detail=False)]
        return [unquote(name) if folder.startswith("http") else name for name in names]

    try:
        names = ask(folder, listed)
    except InputError:
        if not indices[folder]:  # web servers need not list their folders
            raise
        names = list(indices[folder])
    tars = sorted(n for n in set(names) if n.lower().endswith(".tar") and not n.startswith("."))
    if not tars and "shards" in names:
        return _remote_folder(f"{folder}/shards", indices)
    if not tars and indices[folder]:
        tars = sorted(indices[folder])
    if not tars:
        raise InputError(f"{folder}: holds no shards (*.tar), and no {INDEX}; check data.shards")
    return [f"{folder}/{name}" for name in tars]


def _local(name: str) -> Path:
    """The path that a name or a `file:` address stands for, with or without the escapes of `Path.as_uri`."""
    if not name.startswith("file:"):
        return Path(name).expanduser()
    path = name.removeprefix("file:")
    path = "/" + path.lstrip("/") if path.startswith("//") else path
    return Path(path) if Path(path).exists() else Path(unquote(path))


def _split(address: str) -> tuple[str, str]:
    """Folder and name of a tar file."""
    if is_remote(address):
        folder, _, base = path_of(address).rpartition("/")
        return folder, base
    return str(Path(address).parent), Path(address).name


def _index(folder: str) -> Indices:
    """What a folder's index says of each shard; empty where there is no index, or it is damaged."""
    if is_remote(folder):
        content = there(f"{folder}/{INDEX}")
    else:
        try:
            content = (Path(folder) / INDEX).read_bytes()
        except OSError:
            content = None
    if content is None:
        if is_remote(folder):
            log.warning("%s: no %s is beside the shards; all their headers are read", folder, INDEX)
        return {}
    try:
        return {name: one for name, one in json.loads(content).items() if _is_index(one)}
    except (ValueError, AttributeError, RecursionError):
        log.warning("%s/%s: is damaged; the shards' own headers are read", folder, INDEX)
        return {}


def _is_index(one: object) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(key), int) for key in ("clips", "bytes"))


def _tell_missing(folders: Sequence[str], here: set[tuple[str, str]], indices: dict[str, Indices]) -> None:
    """Log the shards that the indices of whole folders name and that are not there.

    here: (folder, name) of those that are.
    """
    for folder in folders:
        index = indices.get(folder, {})
        lost = [name for name in sorted(index) if (folder, name) not in here]
        if lost:
            log.warning(
                "%s: %d of the %d shards that %s names are not there, the first is %s; %d clips are missing",
                *(folder, len(lost), len(index), INDEX, lost[0], sum(index[name]["clips"] for name in lost)),
            )
