"""The layouts that users have, read to entries: a folder of clips, CelebV-HQ, CelebV-Text, HDTF.

Nothing in an annotation is trusted: a broken entry becomes a row that says why, and no name in it is ever
used as a path.
To add a layout: a reader here, and its mark in `read_source`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .celebv import is_celebv, read_celebv
from .entries import Entry, failed, left_out
from .hdtf import TIMES, read_hdtf

VIDEOS = [
    "mp4",
    "m4v",
    "mov",
    "mkv",
    "webm",
    "avi",
    "mpg",
    "mpeg",
    "ts",
    "m2ts",
    "mts",
    "flv",
    "wmv",
    "3gp",
    "3g2",
    "ogv",
    "vob",
    "gif",
    "mxf",
    "y4m",
]  # what an annotation's clip may be called on disk
CAPTIONS = (".txt", ".json")


def read_source(source: Path, videos: Path | None = None, out: Path | None = None) -> list[Entry]:
    """Every clip of a source, sorted by name; files that no clip uses have entries too.

    out: a folder of results, which is no part of a source that it lies in.

    source: a folder of clips, of raw videos beside a CelebV JSON, or of HDTF's text files; or a CelebV JSON.
    videos: where the raw videos of a JSON are; default: its own folder.
    Raises: InputError when the source is not there, or none of these.
    """
    if source.is_dir():
        marked = [path for path in sorted(source.glob("*.json")) if is_celebv(path)]
        if len(marked) > 1:
            raise InputError(
                f"{source}: has two lists of clips, {marked[0].name} and {marked[1].name}; give one of them"
            )
        if marked:
            return _annotated(read_celebv(marked[0]), videos or source, {marked[0]}, out)
        lists = sorted(source.glob(f"*{TIMES}"))
        if lists:
            entries, used = read_hdtf(source)
            return _annotated(entries, videos or source, used, out)
        return _folder(source, out)
    if not source.exists():
        raise InputError(
            f"{source}: no such file or folder; give a folder of clips, or a JSON that lists them"
        )
    if source.suffix.lower() != ".json":
        raise InputError(
            f"{source}: is no folder and no JSON; give a folder of clips, or a JSON that lists them"
        )
    if not is_celebv(source):
        raise InputError(f"{source}: holds no 'clips'; give celebvhq_info.json or a file of that form")
    return _annotated(read_celebv(source), videos or source.parent, {source}, out, others=videos is not None)


def _folder(folder: Path, out: Path | None) -> list[Entry]:
    """Every file below a folder is a clip, but captions: texts of the same name as a file that is none."""
    files = list(_files(folder, out))
    stems = {path.with_suffix("") for path in files if path.suffix.lower() not in CAPTIONS}
    entries = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in CAPTIONS and path.with_suffix("") in stems:
            entries.append(left_out(name, "is the caption of the clip of this name"))
        else:
            entries.append(Entry(name, path, caption=_caption(path)))
    if not entries:
        raise InputError(f"{folder}: is empty; give a folder of clips")
    return sorted(entries, key=lambda entry: entry.clip)


def _annotated(
    entries: list[Entry], videos: Path, used: set[Path], out: Path | None, others: bool = True
) -> list[Entry]:
    """Entries with their files: a clip that is cut already (named as the clip), else the raw video.

    `person` of an entry is the name of its raw video here. others: files that no entry names get rows.
    """
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder of videos; check --videos")
    named: dict[str, list[Path]] = defaultdict(list)
    files = list(_files(videos, out))
    for path in files:
        if path.suffix[1:].lower() in VIDEOS:
            named[path.stem].append(path)
    found, taken = [], {path.absolute() for path in used}
    for entry in entries:
        own, raw = named.get(_stem(entry.clip)), named.get(entry.person)
        if entry.problem is not None:
            taken |= {path.absolute() for path in [*(own or []), *(raw or [])]}
            found.append(entry)
        elif own:  # cut by somebody already
            found.append(_with_video(entry, own[0], whole=True))
        elif raw:
            found.append(_with_video(entry, raw[0], whole=False))
        else:
            found.append(
                failed(entry.clip, f"no video {entry.person}.* and no clip {_stem(entry.clip)}.* is there")
            )
    for entry in found:
        taken |= {path.absolute() for path in (entry.video, entry.caption) if path is not None}
    rest = [path for path in files if path.absolute() not in taken] if others else []
    found += [
        left_out(path.relative_to(videos).as_posix(), "no clip of the list uses this file") for path in rest
    ]
    return sorted(found, key=lambda entry: entry.clip)


def _with_video(entry: Entry, video: Path, whole: bool) -> Entry:
    kept = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    kept.update(video=video, caption=_caption(video))
    if whole:
        kept.update(span=None, box=None)
    return Entry(**kept)


def _stem(clip: str) -> str:
    """The clip's name without a video's suffix: HDTF's clips have one."""
    head, dot, tail = clip.rpartition(".")
    return head if dot and tail.lower() in VIDEOS else clip


def _caption(video: Path) -> Path | None:
    for suffix in CAPTIONS:
        beside = video.with_suffix(suffix)
        if beside != video and beside.is_file():
            return beside
    return None


def _files(folder: Path, out: Path | None) -> Iterator[Path]:
    """Every file below a folder, but those of the results."""
    own = None if out is None or not out.is_dir() or out.samefile(folder) else out.resolve()
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if own is None or (Path(root) / name).resolve() != own)
        for name in sorted(names):
            yield Path(root) / name
