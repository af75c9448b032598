"""The clips of shards: their names and where their members lie, without reading the members.

They come from an index beside the shards, or without one from the headers of the tar files. Both are compared
with the files' sizes: what is missing is logged and counted, here or when it is read.
"""

from __future__ import annotations

import logging
import re
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from ..errors import InputError
from .copies import Copies
from .members import Damaged, read_meta
from .places import Place
from .sources import INDEX, Shard, ShardIndex, find_shards

SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)  # WebDataset's key and suffix
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
BLANK = 1 << 20  # most zero bytes after a tar file that mean nothing
NEAR = 1 << 16  # most bytes between members that are read in one piece
ASKED = 16  # shards whose clips are listed at once
log = logging.getLogger("actalker")


@dataclass(frozen=True)
class Member:
    """Where a file of a clip lies in its shard, in bytes. crc: CRC-32 of its content; None: not known."""

    offset: int
    size: int
    crc: int | None = None


@dataclass(frozen=True)
class Clip:
    """A clip in a shard.

    key: its name in the tar file. name: that in the source. person: who it shows, or empty. members: by
    suffix. damage: why it cannot be read, where that is known from the start.
    """

    place: Place
    key: str
    name: str
    person: str
    frames: int
    members: dict[str, Member] = field(hash=False)
    damage: str = ""

    def read(self, *suffixes: str) -> dict[str, bytes]:
        """Suffix -> bytes, of those members that the clip has; neighbours in the file are read at once.

        Raises: Damaged where bytes are missing or are not those that were written; InputError where the
        shard cannot be read at all.
        """
        if self.damage:
            raise Damaged(self.damage)
        wanted = sorted(
            ((self.members[s], s) for s in suffixes if s in self.members), key=lambda one: one[0].offset
        )
        contents: dict[str, bytes] = {}
        while wanted:
            run = [wanted.pop(0)]
            stop = run[0][0].offset + run[0][0].size
            while wanted and wanted[0][0].offset - stop <= NEAR:
                run.append(wanted.pop(0))
                stop = run[-1][0].offset + run[-1][0].size
            start = run[0][0].offset
            content = self.place.read(start, stop)
            for member, suffix in run:
                contents[suffix] = content[member.offset - start :][: member.size]
                _check(contents[suffix], member, suffix)
        return contents

    def part(self, suffix: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a member. Raises: Damaged, InputError."""
        member = self.members[suffix]
        content = self.place.read(member.offset + start, member.offset + min(stop, member.size))
        if len(content) < min(stop, member.size) - start:
            raise Damaged(f"its {suffix} is cut off")
        return content


def _check(content: bytes, member: Member, suffix: str) -> None:
    """Raises: Damaged unless the bytes are those that were written."""
    if len(content) < member.size:
        raise Damaged(f"its {suffix} is cut off ({len(content)} of {member.size} bytes)")
    if member.crc is not None and zlib.crc32(content) != member.crc:
        raise Damaged(f"its {suffix} is not what was written (other CRC-32 than in {INDEX})")


def read_index(names: str | Sequence[str], copies: Copies | None = None) -> list[Clip]:
    """The clips of shards, in the order of the shards. Clips that are left out are logged, a line a shard.

    names: as `sources.find_shards` takes them. copies: where copies of whole shards are.
    Raises: InputError when there are none, or a shard cannot be reached.
    """
    shards = find_shards(names, copies or Copies())
    with ThreadPoolExecutor(ASKED) as asked:
        read = list(asked.map(_clips, shards))
    for _, notes in read:
        for line in notes:
            log.warning("%s", line)
    clips = [clip for shard_clips, _ in read for clip in shard_clips]
    if not clips:
        reason = next((line for _, notes in read for line in notes), None)
        where = names if isinstance(names, str) else names[0]
        raise InputError(
            reason or f"{where}: its shards hold no clips of actalker prepare (json, npz and mp4)"
        )
    return clips


def _clips(shard: Shard) -> tuple[list[Clip], list[str]]:
    """The clips of a shard, and what to log about it."""
    place, index = shard.place, shard.index
    size = place.size()
    indexed = None if index is None else _indexed(place, index)
    if index is not None and indexed is not None and size == index["bytes"]:
        return indexed, []
    members, trouble = scan(place)
    if index is not None and indexed is not None:
        indexed_members = {clip.key: clip.members for clip in indexed}
        if _agree(members, indexed_members) and size < index["bytes"]:
            return _cut(place, indexed, size, index["bytes"])
        notes = [
            f"{place.address}: {INDEX} beside it is of other shards ({index['bytes']} bytes, it has {size}); "
            "its own headers are read"
        ]
    else:
        notes = []
    if trouble:
        notes.append(f"{place.address}: {trouble}; {len(members)} clips are read; copy or write it again")
    clips, more = _unindexed(place, members)
    if index is not None and indexed is None and len(clips) < index["clips"]:
        notes.append(
            f"{place.address}: holds {len(clips)} of the {index['clips']} clips and {size} of the "
            f"{index['bytes']} bytes that {INDEX} says; copy it again"
        )
    return clips, notes + more


def _agree(scanned: dict[str, dict[str, Member]], indexed: dict[str, dict[str, Member]]) -> bool:
    """Whether all members that a tar file's headers name lie where the index says."""

    def at(member: Member) -> tuple[int, int]:
        return member.offset, member.size

    return all(
        key in indexed
        and all(suffix in indexed[key] and at(m) == at(indexed[key][suffix]) for suffix, m in members.items())
        for key, members in scanned.items()
    )


def _indexed(place: Place, index: ShardIndex) -> list[Clip] | None:
    """The clips of an index, or None where it lists no members or is malformed."""
    try:
        return [
            Clip(
                place,
                key=str(key),
                name=str(clip["clip"]),
                person=str(clip["person"]),
                frames=int(clip["frames"]),
                members={str(suffix): Member(*map(int, at)) for suffix, at in clip["files"].items()},
            )
            for key, clip in index["members"].items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _cut(place: Place, clips: list[Clip], size: int, whole: int) -> tuple[list[Clip], list[str]]:
    """All clips of a shard that is cut off; those behind its end stay, marked as damaged.

    So the numbers of clips are those of the whole shard.
    """
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


def _unindexed(place: Place, samples: dict[str, dict[str, Member]]) -> tuple[list[Clip], list[str]]:
    """The clips of a shard without an index, whose `json` says their names and lengths, and what to log."""
    clips, partial, bad = [], [], []
    for key, members in samples.items():
        if not ({"json", "npz"} <= set(members) and {"mp4", "pixels.npy"} & set(members)):
            partial.append(key)
            continue
        try:
            unread = Clip(place, key, name=key, person="", frames=0, members=members)
            meta = read_meta(unread.read("json")["json"])
        except Damaged as error:
            bad.append((key, error))
            continue
        clip = replace(unread, name=meta["clip"], person=meta["person"], frames=meta["frames"])
        clips.append(clip)
    notes = []
    if partial and clips:
        notes.append(
            f"{place.address}: {len(partial)} of {len(samples)} samples lack json, npz or mp4, the first is "
            f"{partial[0]}; they are skipped"
        )
    if bad:
        notes.append(
            f"{place.address}: {len(bad)} of {len(samples)} clips are damaged and skipped, the first is "
            f"{bad[0][0]}: {bad[0][1]}"
        )
    return clips, notes


def scan(place: Place) -> tuple[dict[str, dict[str, Member]], str]:
    """Key -> suffix -> member, from the headers of a tar file; and what is wrong with it, or empty text.

    Tar files that were joined are read to the end. Raises: InputError for compressed ones.
    """
    samples: dict[str, dict[str, Member]] = {}
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
                        _add(samples, info)
                    end = tar.offset
            except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                if not samples and start == 0:
                    return {}, f"is no whole tar file ({error})"
                return samples, f"is damaged or cut off behind byte {start} ({error})"
            if end == start > 0:  # no header where one should be
                return samples, f"cannot be read behind byte {start}: it is damaged or cut off"
            over = max(
                (m.offset + m.size for members in samples.values() for m in members.values()), default=0
            )
            if over > size or end > size:
                return samples, f"is cut off at byte {size}"
            if end >= size:
                return samples, "ends without tar's end mark, so it may be cut off"
            start = _next(file, end, size)
            if start == size:
                return samples, f"holds zeros from byte {end} to its end"
    if size == 0:
        return {}, "is no whole tar file (it is empty)"
    return samples, ""


def _add(samples: dict[str, dict[str, Member]], info: tarfile.TarInfo) -> None:
    """Add a file of a tar file to the samples, unless it is no sample's."""
    named = SAMPLE.fullmatch(info.name.removeprefix("./"))
    if named is None or not info.isfile() or info.issparse():
        return
    if named[1].rpartition("/")[2].startswith((".", "__")):  # as macOS and WebDataset leave beside samples
        return
    samples.setdefault(named[1], {})[named[2]] = Member(info.offset_data, info.size)


def _next(file: BinaryIO, end: int, size: int) -> int | None:
    """Where the next tar file begins after one that ends at `end`, or None.

    The file's size, where more zeros follow than tar files end with.
    """
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
