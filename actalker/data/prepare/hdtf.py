"""The reader of HDTF's text files (Zhang et al. 2021): names, times, crops and resolutions, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from ...media.files import is_hidden
from ...timeline import Interval, parse_seconds
from .entries import Entry, failed

TIMES = "_annotion_time.txt"  # as the data set spells it
OTHERS = ("_video_url.txt", "_resolution.txt", "_crop_wh.txt", "_crop_ratio.txt")


def read_hdtf(folder: Path) -> tuple[list[Entry], set[Path]]:
    """Entries `NAME_k.mp4` for the k-th stretch of video NAME, and the list files that were read.

    `person` is the name of the raw video. Boxes are in pixels of the listed resolution.
    Raises: InputError for a list that cannot be read as text.
    """
    entries, used, counts = [], set(), Counter[str]()
    for times in sorted(path for path in folder.glob(f"*{TIMES}") if not is_hidden(path)):
        subset = times.name.removesuffix(TIMES)
        beside = {kind: folder / f"{subset}{kind}" for kind in OTHERS}
        used |= {times, *(path for path in beside.values() if path.is_file())}
        heights = dict(_rows(beside["_resolution.txt"]))
        crops = dict(_rows(beside["_crop_wh.txt"]))
        for name, words in _rows(times):
            stem = name.removesuffix(".mp4")
            for word in words:
                clip = f"{stem}_{counts[stem]}.mp4"
                counts[stem] += 1  # a video may have several lines
                entries.append(_entry(clip, stem, word, crops, heights.get(stem, [])))
    return entries, used


def _entry(clip: str, video: str, time: str, crops: dict[str, list[str]], height: list[str]) -> Entry:
    """The entry of a clip. time: `start-stop`; crops: clip -> x, w, y, h; height: the picture's, or empty."""
    try:
        start, _, stop = time.partition("-")
        span = Interval(parse_seconds(start), parse_seconds(stop))
    except InputError as error:
        return failed(clip, f"its time '{time[:40]}' cannot be read ({error})")
    row = crops.get(clip.removesuffix(".mp4"))
    if row is None:
        return Entry(clip, span=span, person=video)
    try:
        x, w, y, h = (int(word) for word in row[:4])
        high = int(height[0]) if height else 0
    except ValueError:
        return failed(clip, f"its crop '{' '.join(row)[:40]}' is not four whole numbers")
    if min(x, y) < 0 or min(w, h) < 1 or not 0 <= high <= 20000:
        return failed(clip, f"its crop '{' '.join(row)[:40]}' is empty or outside the picture")
    return Entry(clip, span=span, box=(x, y, x + w, y + h), box_height=high, person=video)


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The first word without its suffix, and the other words, of every line; nothing without such a file."""
    if not path.is_file():
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from None
    for line in text.splitlines():
        # byte order marks stand in the middle of copied lists too
        words = line.replace("\ufeff", "").split()
        if words:
            yield words[0].removesuffix(".mp4"), words[1:]
