"""Reads the headers of uncompressed sound files, and repairs sizes that were written before they were known.

A pipe, a server or a recorder that was stopped cannot go back: its sizes are placeholders. FFmpeg refuses
some of them; `mended` opens such a file with its true sizes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import InputError
from ..provenance import check_readable

HUGE = {4: 0x7F000000, 8: 1 << 61}  # bytes: a size of 4 or 8 bytes that says more was not counted
ROUND = (10**8, 1 << 24)  # bytes: nor were whole multiples of these, with or without a header
SLACK = 64  # bytes of header
W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass
class Header:
    """What the header of a sound file says; a field is None where the header does not say it.

    seconds: length of the sound that the header promises, if the file ends before that; 0 if the file is
        complete: then its own length counts, since rates in headers may be wrong.
    samples: number of samples, from the fact chunk of a WAV.
    patches: byte offset in the file -> bytes that belong there instead of a placeholder that FFmpeg refuses.
    """

    seconds: float | None = None
    samples: int | None = None
    patches: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Chunk:
    """A chunk of a file. start, place: byte offsets of its content and of the field with its size."""

    name: bytes
    size: int  # of its content, by the file
    start: int
    place: int


def read_header(path: str | Path) -> Header:
    """The header of a WAV (RIFF, RF64, W64), AIFF, AU or CAF; an empty `Header` for other files."""
    with open(path, "rb") as file:
        head, end = file.read(16), file.seek(0, 2)
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and end > 12:
            return _riff(file, head, end)
        if head == W64:
            return _w64(file, end)
        if head[:4] == b"FORM":
            return _aiff(file, end)
        if head[:4] == b"caff":
            return _caf(file, end)
        if head[:4] == b".snd" and head[8:12] == bytes(4):  # 0 where -1 means not known
            return Header(patches={8: b"\xff" * 4})
    return Header()


def mended(path: str | Path) -> io.FileIO | None:
    """The file, opened, with its true sizes instead of placeholders; None where none must be replaced."""
    patches = read_header(path).patches
    return _Patched(path, patches) if patches else None


class _Patched(io.FileIO):
    """A file that reads other bytes at a few places."""

    def __init__(self, path: str | Path, patches: dict[int, bytes]) -> None:
        super().__init__(path)
        self.patches = patches

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        data = bytearray(super().read(-1 if size is None else size))
        for place, value in self.patches.items():
            low, high = max(place, start), min(place + len(value), start + len(data))
            if low < high:
                data[low - start : high - start] = value[low - place : high - place]
        return bytes(data)


def _chunks(
    file: BinaryIO, start: int, head: int, order: Literal["little", "big"], pad: int
) -> Iterator[_Chunk]:
    """Chunks from `start` on: a name of `head` bytes, a size, a content that ends at a multiple of `pad`."""
    width = 4 if head == 4 and pad == 2 else 8  # bytes of the size
    counted = head + width if head == 16 else 0  # W64 counts the chunk's head
    file.seek(start)
    while len(read := file.read(head + width)) == head + width:
        here = file.tell()
        size = int.from_bytes(read[head:], order) - counted
        yield _Chunk(read[:4], size, here, here - width)
        if size < 0 or size > HUGE[8]:
            return
        file.seek(here + size + (-size) % pad)


def _is_placeholder(size: int, width: int) -> bool:
    """Whether a size of `width` bytes was written before it was known."""
    return size <= 0 or size >= HUGE[width] or any((size + SLACK) % unit <= 2 * SLACK for unit in ROUND)


def _seconds(start: int, size: int, rate: float, end: int) -> float | None:
    """Return size / rate, the seconds that a header promises, if the file ends before start + size.

    start, size: byte offset of the sound, and its bytes by the header. rate: bytes per second. end: bytes of
    the file. Returns 0 if the file is complete, since rates in headers may be wrong; None for a rate of 0.
    """
    if start + size <= end:
        return 0.0
    return size / rate if rate else None


def refuse_swapped(path: str | Path) -> None:
    """Raise InputError for RIFX, a WAV whose numbers are big-endian: FFmpeg decodes it to noise."""
    check_readable(path, "sound")
    with open(path, "rb") as file:
        if file.read(4) == b"RIFX":
            raise InputError(f"{path}: is a big-endian WAV (RIFX), which cannot be decoded; export it as WAV")


def _riff(file: BinaryIO, head: bytes, end: int) -> Header:
    """WAV; beyond 4 GB its sizes lie in a chunk ds64. head: the file's first 16 bytes."""
    out, rate, long = Header(), 0, None
    whole, width, place = int.from_bytes(head[4:8], "little"), 4, 0
    for chunk in _chunks(file, 12, 4, "little", 2):
        content = file.read(24) if chunk.name in (b"ds64", b"fmt ", b"fact") else b""
        if chunk.name == b"ds64" and head[:4] != b"RIFF":
            whole, long = (int.from_bytes(content[k : k + 8], "little") for k in (0, 8))
            place, width = chunk.start, 8
        elif chunk.name == b"fmt ":
            rate = int.from_bytes(content[8:12], "little")  # bytes a second
        elif chunk.name == b"fact":
            out.samples = int.from_bytes(content[:4], "little")
        elif chunk.name == b"data":
            size = chunk.size if long is None or chunk.size < HUGE[4] else long
            if not _is_placeholder(size, width) and whole + SLACK >= chunk.start + size:
                out.seconds = _seconds(chunk.start, size, rate, end)
            elif width == 8 and _is_placeholder(size, width):
                sizes = [end - 8, end - chunk.start, 0]  # of the file, of the sound, samples
                out.patches = {place: b"".join(value.to_bytes(8, "little") for value in sizes)}
            break
    return out


def _w64(file: BinaryIO, end: int) -> Header:
    """Sony's W64: names of 16 bytes, sizes of 8."""
    out, rate = Header(), 0
    for chunk in _chunks(file, 40, 16, "little", 8):
        if chunk.name == b"fmt ":
            rate = int.from_bytes(file.read(12)[8:], "little")
        elif chunk.name == b"data":
            if not _is_placeholder(chunk.size, 8):
                out.seconds = _seconds(chunk.start, chunk.size, rate, end)
            else:
                size = end - chunk.start + 24
                out.patches = {16: end.to_bytes(8, "little"), chunk.place: size.to_bytes(8, "little")}
            break
    return out


def _aiff(file: BinaryIO, end: int) -> Header:
    """AIFF and AIFC; FFmpeg reads on to the end where the header counts no frames."""
    patches = {}
    for chunk in _chunks(file, 12, 4, "big", 2):
        if chunk.name == b"COMM" and int.from_bytes(file.read(6)[2:], "big") >= HUGE[4]:
            patches[chunk.start + 2] = bytes(4)
        elif chunk.name == b"SSND":
            if chunk.size == 0 or chunk.size >= HUGE[4]:
                patches |= {4: (end - 8).to_bytes(4, "big")} if end < 1 << 32 else {}
                patches[chunk.place] = min(end - chunk.start, 0xFFFFFFFF).to_bytes(4, "big")
            break
    return Header(patches=patches)


def _caf(file: BinaryIO, end: int) -> Header:
    """Apple's CAF: sizes of 8 bytes; -1 means not known."""
    out, rate = Header(), 0.0
    for chunk in _chunks(file, 8, 4, "big", 1):
        if chunk.name == b"desc":
            rate = _caf_rate(file.read(24))
        elif chunk.name == b"data":
            if chunk.size >= HUGE[8] and chunk.size != (1 << 64) - 1:
                out.patches = {chunk.place: b"\xff" * 8}
            elif not _is_placeholder(chunk.size, 8):
                out.seconds = _seconds(chunk.start, chunk.size, rate, end)
            break
    return out


def _caf_rate(content: bytes) -> float:
    """Bytes a second by the chunk `desc` of a CAF; 0 for packets of changing size."""
    rate, _, _, size, frames = struct.unpack(">d4sIII", content)
    return rate * size / frames if frames else 0.0


def vorbis_end(path: str | Path) -> int | None:
    """How many samples an Ogg Vorbis has, by the clock of its last page; None for other files, several tracks
    and chained streams.

    FFmpeg counts them wrongly where long and short blocks meet.
    """
    tracks, sound, end, begun = set(), None, None, False
    with open(path, "rb") as file:
        while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
            size, first = sum(file.read(head[26])), bool(head[5] & 2)
            serial, clock = head[14:18], int.from_bytes(head[6:14], "little", signed=True)
            if first:
                if begun:
                    return None  # another stream begins behind the first
                start = file.read(min(size, 7))
                file.seek(size - len(start), 1)
                if start == b"\x01vorbis":
                    sound = serial
                    tracks.add(serial)
            else:
                begun = True
                file.seek(size, 1)
            if serial == sound and clock > 0:
                end = clock
    return end if len(tracks) == 1 else None
