"""The layouts that users have, read to entries: a folder of clips, CelebV-HQ, CelebV-Text, HDTF.

Nothing in an annotation is trusted: a broken entry becomes a row that says why, and no name in it is ever
used as a path.
To add a layout: a reader here, and its mark in `read_source`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ...errors import InputError
from ...media.files import VIDEO_ENDINGS, files_below, is_hidden
from .celebv import is_celebv, read_celebv
from .entries import Entry, failed, left_out
from .hdtf import read_hdtf

CAPTIONS = (".txt", ".json")  # the first that is there is read
T = TypeVar("T", bound=Hashable)


def read_source(source: Path, videos: Path | None = None, out: Path | None = None) -> list[Entry]:
    """Every clip of a source, sorted by name; files that no clip uses have entries too, but hidden ones.

    source: a folder of clips, of raw videos beside a CelebV JSON, or of HDTF's text files; or a CelebV JSON.
    Links to folders are followed.
    videos: where the raw videos of a JSON are; default: its own folder.
    out: a folder of results, which is no part of a source that it lies in.
    Raises: InputError when the source is not there, or none of these.
    """
    for place in [source] if videos is None else [source, videos]:
        try:
            place.stat()
        except FileNotFoundError:
            pass  # told below
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
    """The CelebV JSONs that stand in a folder itself."""
    found = [path for path in sorted(folder.glob("*.json")) if not is_hidden(path)]
    found = [path for path in found if path.is_file() or not path.exists()]  # no folder, no pipe
    return [path for path in found if is_celebv(path)]


def _folder(folder: Path, out: Path | None) -> list[Entry]:
    """Every file below a folder is a clip, but what stands beside a video and has its name.

    `person` of an entry is the clip's name without ending: each file counts as a video of its own.
    """
    files = list(files_below(folder, out))
    videos, captions = _videos(files, lambda path: path.with_suffix("")), _captions(files)
    named = {path.with_suffix("") for path in files if path.suffix.lower() not in CAPTIONS}
    entries, seen = [], dict[str, str]()
    top = os.path.realpath(folder)
    own = {path: os.path.realpath(path) == os.path.join(top, path.relative_to(folder)) for path in files}
    for path in sorted(files, key=lambda path: not own[path]):  # a file before the links to it
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
    """The videos of each name; a link to another one of them is none."""
    found: dict[T, dict[str, Path]] = defaultdict(dict)
    for path in files:
        if path.suffix.lower() in VIDEO_ENDINGS:
            found[name(path)].setdefault(os.path.realpath(path), path)
    return {name: list(paths.values()) for name, paths in found.items()}


def _captions(files: Sequence[Path]) -> dict[Path, Path]:
    """Path without ending -> the caption of that name."""
    texts = [path for path in files if path.suffix.lower() in CAPTIONS and path.is_file()]  # no pipes
    ordered = [path for ending in CAPTIONS for path in texts if path.suffix.lower() == ending]
    return {path.with_suffix(""): path for path in reversed(ordered)}


def _twins(paths: Sequence[Path], folder: Path) -> str:
    names = " and ".join(path.relative_to(folder).as_posix() for path in paths)
    return f"{names} have one name; rename or remove all but one"


def _annotated(
    entries: list[Entry], videos: Path, used: set[Path], out: Path | None, others: bool = True
) -> list[Entry]:
    """Entries with their files: a clip that is cut already (named as the clip), else the raw video.

    `person` of an entry is the name of its raw video here. others: files that no entry names get rows.
    """
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder of videos; check --videos")
    files = list(files_below(videos, out))
    named, captions = _videos(files, lambda path: path.stem), _captions(files)
    found, taken = [], {path.absolute() for path in used}
    for entry in entries:
        own, raw = named.get(_stem(entry.clip), []), named.get(entry.person, [])
        here = own or raw
        if entry.problem is not None:
            taken |= {path.absolute() for path in [*own, *raw]}
            found.append(entry)
        elif not here:
            found.append(
                failed(entry.clip, f"no video {entry.person}.* and no clip {_stem(entry.clip)}.* is there")
            )
        elif len(here) > 1:
            taken |= {path.absolute() for path in here}
            found.append(failed(entry.clip, _twins(here, videos)))
        else:
            caption = captions.get(here[0].with_suffix(""))
            entry = replace(entry, video=here[0], caption=caption)
            cut_already: dict[str, Any] = {"span": None, "box": None} if own else {}
            found.append(replace(entry, **cut_already))
    for entry in found:
        taken |= {path.absolute() for path in (entry.video, entry.caption) if path is not None}
    clips = {entry.clip for entry in found}
    rest = [path for path in files if path.absolute() not in taken] if others else []
    names = [path.relative_to(videos).as_posix() for path in rest]
    found += [left_out(name, "no clip of the list uses this file") for name in names if name not in clips]
    return sorted(found, key=lambda entry: entry.clip)


def _stem(clip: str) -> str:
    """The clip's name without a video's suffix: HDTF's clips have one."""
    head, dot, tail = clip.rpartition(".")
    return head if f"{dot}{tail.lower()}" in VIDEO_ENDINGS else clip
