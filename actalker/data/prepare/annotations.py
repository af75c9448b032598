"""Readers of the layouts of sources: a folder of clips, CelebV-HQ, CelebV-Text and HDTF.

Nothing in an annotation is trusted: a broken entry becomes a row that says why, and no name in it is ever
used as a path.
To add a layout, write its reader, and recognise it in `read_source`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ...media.files import VIDEO_ENDINGS, files_below, is_hidden
from .celebv import is_celebv, read_celebv
from .entries import Entry, failed, left_out
from .hdtf import read_hdtf

CAPTIONS = (".txt", ".json")  # the first that is there is read
T = TypeVar("T", bound=Hashable)


def read_source(source: Path, videos: Path | None = None, out: Path | None = None) -> list[Entry]:
    """Every clip of a source, sorted by name; files that no clip uses have entries too, unless hidden.

    source: a folder of clips, of raw videos beside a CelebV JSON, or of HDTF's text files; or a CelebV JSON.
    Links to folders are followed.
    videos: the folder of the raw videos that a list names; default: that of the list.
    out: the folder of results, which is left out where it lies in the source.
    Raises: InputError when the source does not exist, or has none of these layouts.
    """
    for place in [source] if videos is None else [source, videos]:
        try:
            place.stat()
        except FileNotFoundError:
            pass  # reported below
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"{place}: cannot be read ({why}); give a folder that can") from None
    if source.is_dir():
        marked = celebv_lists(source)
        if len(marked) > 1:
            raise InputError(
                f"{source}: has two lists of clips, {marked[0].name} and {marked[1].name}; give one of them"
            )
        if marked:
            return _annotated(read_celebv(marked[0]), videos or source, {marked[0]}, out)
        entries, used = read_hdtf(source)
        if used:
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


def celebv_lists(folder: Path) -> list[Path]:
    """The CelebV JSONs in a folder, not in its subfolders."""
    paths = [path for path in sorted(folder.glob("*.json")) if not is_hidden(path)]
    paths = [path for path in paths if path.is_file() or not path.exists()]  # no folder, no pipe
    return [path for path in paths if is_celebv(path)]


def _folder(folder: Path, out: Path | None) -> list[Entry]:
    """The entries of a folder of clips: each file is a clip, except those beside a video that have its name.

    `person` is the clip's name without its suffix, so each file counts as one person's.
    """
    files = list(files_below(folder, out))
    videos, captions = _videos(files, lambda path: path.with_suffix("")), _captions(files)
    named = {path.with_suffix("") for path in files if path.suffix.lower() not in CAPTIONS}
    entries, seen = [], dict[str, str]()
    top = os.path.realpath(folder)
    direct = {path: os.path.realpath(path) == os.path.join(top, path.relative_to(folder)) for path in files}
    for path in sorted(files, key=lambda path: not direct[path]):  # a file before the links to it
        name, real = path.relative_to(folder).as_posix(), os.path.realpath(path)
        beside, caption = videos.get(path.with_suffix(""), []), captions.get(path.with_suffix(""))
        if path == caption and path.with_suffix("") in named:
            continue  # the clip's row has what it says
        if beside and path not in beside:
            entries.append(left_out(name, f"stands beside the clip {beside[0].name} and is not used"))
        elif real in seen:
            entries.append(left_out(name, f"is the same file as {seen[real]}"))
        elif len(beside) > 1:
            entries.append(failed(name, _twins(beside, folder)))
        else:
            seen[real] = name
            person = path.relative_to(folder).with_suffix("").as_posix()
            entries.append(Entry(name, path, caption=None if caption == path else caption, person=person))
    if not entries:
        raise InputError(f"{folder}: is empty; give a folder of clips")
    return sorted(entries, key=lambda entry: entry.clip)


def _videos(files: Sequence[Path], name: Callable[[Path], T]) -> dict[T, list[Path]]:
    """name(path) -> the videos of that name; links to one of them are not counted again."""
    by_name: dict[T, dict[str, Path]] = defaultdict(dict)
    for path in files:
        if path.suffix.lower() in VIDEO_ENDINGS:
            by_name[name(path)].setdefault(os.path.realpath(path), path)
    return {name: list(paths.values()) for name, paths in by_name.items()}


def _captions(files: Sequence[Path]) -> dict[Path, Path]:
    """Path without suffix -> the caption file of that name."""
    texts = [path for path in files if path.suffix.lower() in CAPTIONS and path.is_file()]  # no pipes
    ordered = [path for ending in CAPTIONS for path in texts if path.suffix.lower() == ending]
    return {path.with_suffix(""): path for path in reversed(ordered)}


def _twins(paths: Sequence[Path], folder: Path) -> str:
    """The problem of a clip for which there are several files."""
    names = " and ".join(path.relative_to(folder).as_posix() for path in paths)
    return f"{names} have one name; rename or remove all but one"


def _annotated(
    entries: list[Entry], videos: Path, used: set[Path], out: Path | None, others: bool = True
) -> list[Entry]:
    """Listed entries with their files: a video named as the clip, which is cut already, else the raw video.

    entries: those of a list, whose `person` is the name of the raw video. used: files of the list itself.
    others: whether files that no entry names have entries too.
    """
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder of videos; check --videos")
    files = list(files_below(videos, out))
    named, captions = _videos(files, lambda path: path.stem), _captions(files)
    resolved, taken = [], {path.absolute() for path in used}
    for entry in entries:
        clip_files, raw_files = named.get(_stem(entry.clip), []), named.get(entry.person, [])
        candidates = clip_files or raw_files
        if entry.problem is not None:
            taken |= {path.absolute() for path in [*clip_files, *raw_files]}
            resolved.append(entry)
        elif not candidates:
            resolved.append(
                failed(entry.clip, f"no video {entry.person}.* and no clip {_stem(entry.clip)}.* is there")
            )
        elif len(candidates) > 1:
            taken |= {path.absolute() for path in candidates}
            resolved.append(failed(entry.clip, _twins(candidates, videos)))
        else:
            caption = captions.get(candidates[0].with_suffix(""))
            entry = replace(entry, video=candidates[0], caption=caption)
            resolved.append(replace(entry, span=None, box=None) if clip_files else entry)
    for entry in resolved:
        taken |= {path.absolute() for path in (entry.video, entry.caption) if path is not None}
    clips = {entry.clip for entry in resolved}
    rest = [path for path in files if path.absolute() not in taken] if others else []
    names = [path.relative_to(videos).as_posix() for path in rest]
    resolved += [left_out(name, "no clip of the list uses this file") for name in names if name not in clips]
    return sorted(resolved, key=lambda entry: entry.clip)


def _stem(clip: str) -> str:
    """A clip's name without the suffix of a video, which HDTF's clips have."""
    head, dot, tail = clip.rpartition(".")
    return head if f"{dot}{tail.lower()}" in VIDEO_ENDINGS else clip
