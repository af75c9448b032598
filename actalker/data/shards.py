"""The clips of shards: which there are and where their members lie, without reading them.

An index beside the shards says it; without one the headers of the tar files are read. Both are held against
the files' sizes: what is missing is named and counted, here or when it is read.
"""

from __future__ import annotations

import logging
import re
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from ..errors import InputError
from .copies import Copies
from .members import Damaged, read_meta
from .places import Place
from .sources import INDEX, Shard, find_shards

SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)  # WebDataset's key and suffix
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
BLANK = 1 << 20  # bytes of zeros behind a tar file's end that mean nothing
NEAR = 1 << 16  # bytes between members that are read along
ASKED = 16  # requests at once while shards are looked through
log = logging.getLogger("actalker")


@dataclass(frozen=True)
class Member:
    """Where a file of a clip lies in its shard. crc: of its bytes (CRC-32), where that is known."""

    offset: int
    size: int
    crc: int | None = None


@dataclass(frozen=True)
class Clip:
    """A clip in a shard. damage: why it cannot be read, where that is known from the start."""

    place: Place
    key: str
    name: str
    person: str
    frames: int
    members: dict[str, Member] = field(hash=False)
    damage: str = ""

    def read(self, *suffixes: str) -> dict[str, bytes]:
        """The bytes of those members that it has; what lies side by side is read at once.

        Raises: Damaged where bytes are missing or are not those that were written; InputError where the
        shard cannot be read at all.
        """
        if self.damage:
            raise Damaged(self.damage)
        wanted = sorted(
            ((self.members[s], s) for s in suffixes if s in self.members), key=lambda one: one[0].offset
        )
        found: dict[str, bytes] = {}
        while wanted:
            run = [wanted.pop(0)]
            stop = run[0][0].offset + run[0][0].size
            while wanted and wanted[0][0].offset - stop <= NEAR:
                run.append(wanted.pop(0))
                stop = run[-1][0].offset + run[-1][0].size
            start = run[0][0].offset
            content = self.place.read(start, stop)
            for member, suffix in run:
                found[suffix] = content[member.offset - start :][: member.size]
                _check(found[suffix], member, suffix)
        return found

    def part(self, suffix: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a member. Raises: Damaged, InputError."""
        member = self.members[suffix]
        content = self.place.read(member.offset + start, member.offset + min(stop, member.size))
        if len(content) < min(stop, member.size) - start:
            raise Damaged(f"its {suffix} is cut off")
        return content


def _check(content: bytes, member: Member, suffix: str) -> None:
    if len(content) < member.size:
        raise Damaged(f"its {suffix} is cut off ({len(content)} of {member.size} bytes)")
    if member.crc is not None and zlib.crc32(content) != member.crc:
        raise Damaged(f"its {suffix} is not what was written (other CRC-32 than in {INDEX})")


def read_index(names: str | Sequence[str], copies: Copies | None = None) -> list[Clip]:
    """The clips of shards, in the order of the shards. What is left out is told in a line a shard.

    names: as `sources.find_shards` takes them. copies: where whole shards are kept.
    Raises: InputError when there are none, or a shard cannot be reached.
    """
    shards = find_shards(names, copies or Copies())
    with ThreadPoolExecutor(ASKED) as asked:
        read = list(asked.map(_clips, shards))
    for _, told in read:
        for line in told:
            log.warning("%s", line)
    clips = [clip for found, _ in read for clip in found]
    if not clips:
        reason = next((line for _, told in read for line in told), None)
        where = names if isinstance(names, str) else names[0]
        raise InputError(
            reason or f"{where}: its shards hold no clips of actalker prepare (json, npz and mp4)"
        )
    return clips


def _clips(shard: Shard) -> tuple[list[Clip], list[str]]:
    """The clips of a shard, and what is to be told of it."""
    place, told = shard.place, shard.told
    size = place.size()
    indexed = None if told is None else _indexed(place, told)
    if told is not None and indexed is not None and size == told["bytes"]:
        return indexed, []
    found, trouble = scan(place)
    if told is not None and indexed is not None:
        own = {clip.key: clip.members for clip in indexed}
        same = all(
            key in own
            and all(suffix in own[key] and _at(m) == _at(own[key][suffix]) for suffix, m in held.items())
            for key, held in found.items()
        )
        if same and size < told["bytes"]:
            return _cut(place, indexed, size, told["bytes"])
        notes = [
            f"{place.address}: {INDEX} beside it is of other shards ({told['bytes']} bytes, it has {size}); "
            "its own headers are read"
        ]
    else:
        notes = []
    if trouble:
        notes.append(f"{place.address}: {trouble}; {len(found)} clips are read; copy or write it again")
    clips, more = _own(place, found)
    if told is not None and indexed is None and len(clips) < told["clips"]:
        notes.append(
            f"{place.address}: holds {len(clips)} of the {told['clips']} clips and {size} of the "
            f"{told['bytes']} bytes that {INDEX} says; copy it again"
        )
    return clips, notes + more


def _at(member: Member) -> tuple[int, int]:
    return member.offset, member.size


def _indexed(place: Place, told: dict[str, Any]) -> list[Clip] | None:
    """The clips that an index tells of, or None where it does not tell of members or is no such index."""
    try:
        return [
            Clip(
                *(place, str(key), str(one["clip"]), str(one["person"]), int(one["frames"])),
                {str(suffix): Member(*map(int, at)) for suffix, at in one["files"].items()},
            )
            for key, one in told["members"].items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _cut(place: Place, clips: list[Clip], size: int, whole: int) -> tuple[list[Clip], list[str]]:
    """All clips of a shard that is cut off: those behind its end keep their numbers, and cannot be read."""
    why = f"its shard is cut off, {size} of {whole} bytes are there"
    clips = [
        clip if max(m.offset + m.size for m in clip.members.values()) <= size else replace(clip, damage=why)
        for clip in clips
    ]
    lost = [clip for clip in clips if clip.damage]
    note = (
        f"{place.address}: is cut off, {size} of the {whole} bytes that {INDEX} says are there; {len(lost)} "
        f"of {len(clips)} clips are skipped, the first is {lost[0].name if lost else 'none'}; copy it again"
    )
    return clips, [note]


def _own(place: Place, found: dict[str, dict[str, Member]]) -> tuple[list[Clip], list[str]]:
    """Clips of a shard without an index: their `json` says how long they are."""
    clips, partial, bad = [], [], []
    for key, held in found.items():
        if not ({"json", "npz"} <= set(held) and {"mp4", "pixels.npy"} & set(held)):
            partial.append(key)
            continue
        try:
            meta = read_meta(Clip(place, key, key, "", 0, held).read("json")["json"])
        except Damaged as error:
            bad.append((key, error))
            continue
        clips.append(Clip(place, key, meta["clip"], meta["person"], meta["frames"], held))
    notes = []
    if partial and clips:
        notes.append(
            f"{place.address}: {len(partial)} of {len(found)} samples lack json, npz or mp4, the first is "
            f"{partial[0]}; they are skipped"
        )
    if bad:
        notes.append(
            f"{place.address}: {len(bad)} of {len(found)} clips are damaged and skipped, the first is "
            f"{bad[0][0]}: {bad[0][1]}"
        )
    return clips, notes


def scan(place: Place) -> tuple[dict[str, dict[str, Member]], str]:
    """key -> suffix -> member by the headers of a tar file, and what is wrong with it.

    Tar files that were joined are read to the end. Raises: InputError for compressed ones.
    """
    found: dict[str, dict[str, Member]] = {}
    size = place.size()
    with place.open() as file:
        first = file.read(8)
        for magic, name in PACKED.items():
            if first.startswith(magic):
                raise InputError(
                    f"{place.address}: is compressed ({name}); unpack it, for clips are read from its middle"
                )
        start: int | None = 0
        while start is not None and start < size:
            file.seek(start)
            try:
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    for info in tar:
                        _add(found, info)
                    end = tar.offset
            except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                if not found and start == 0:
                    return {}, f"is no whole tar file ({error})"
                return found, f"is damaged or cut off behind byte {start} ({error})"
            if end == start > 0:  # no header where one should be
                return found, f"cannot be read behind byte {start}: it is damaged or cut off"
            over = max((m.offset + m.size for held in found.values() for m in held.values()), default=0)
            if over > size or end > size:
                return found, f"is cut off at byte {size}"
            if end >= size:
                return found, "ends without tar's end mark, so it may be cut off"
            start = _next(file, end, size)
            if start == size:
                return found, f"holds zeros from byte {end} to its end"
    if size == 0:
        return {}, "is no whole tar file (it is empty)"
    return found, ""


def _add(found: dict[str, dict[str, Member]], info: tarfile.TarInfo) -> None:
    named = SAMPLE.fullmatch(info.name.removeprefix("./"))
    if named is None or not info.isfile() or info.issparse():
        return
    if named[1].rpartition("/")[2].startswith((".", "__")):  # as macOS and WebDataset leave beside samples
        return
    found.setdefault(named[1], {})[named[2]] = Member(info.offset_data, info.size)


def _next(file: BinaryIO, end: int, size: int) -> int | None:
    """Where another tar file begins behind one that ends; the size, where zeros fill much of the file."""
    at = end
    while at < size:
        file.seek(at)
        block = file.read(1 << 16)
        if not block:
            break
        if block.strip(b"\0"):
            first = len(block) - len(block.lstrip(b"\0"))
            return at + first // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        at += len(block)
    return size if size - end > BLANK else None
