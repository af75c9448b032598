"""Lists the media files in a folder: through links, without what operating systems leave behind."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import InputError

log = logging.getLogger("actalker")

VIDEO_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".m2v", ".ts", ".m2ts",
    ".mts", ".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".ogm", ".vob", ".gif", ".mxf", ".y4m",
)  # fmt: skip
PICTURE_ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
)  # fmt: skip
LEFT_BEHIND = {  # by file managers, cameras' and network disks' systems; lower case
    "__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "#snapshot",
    "system volume information", "lost+found",
}  # fmt: skip
DEEPEST = 3  # links to folders on the way to a file


def is_hidden(path: Path) -> bool:
    """Whether a path is hidden, or a system left it behind: not one of the user's media.

    macOS writes `._clip.mp4` beside `clip.mp4` on other systems' disks, which is no video.
    """
    return path.name.startswith(".") or path.name.lower() in LEFT_BEHIND


def files_below(folder: Path, without: Path | None = None) -> Iterator[Path]:
    """Every file below a folder in order of names, without hidden ones; what is no folder counts as a file.

    Links to folders are followed, but never to a folder that is being walked already (a loop), and no more
    than `DEEPEST` in a row: folders that all link to each other have more ways through them than files.
    A folder that cannot be read is named in a warning. without: a folder that is not walked.
    Raises: InputError when the folder itself cannot be read.
    """
    left_out = None if without is None else os.path.realpath(without)
    too_deep: list[Path] = []
    yield from _below(folder, (os.path.realpath(folder),), left_out, 0, too_deep)
    if too_deep:
        log.warning(
            "%s: is behind more than %d links in a row, and left out with %d more such folders",
            *(too_deep[0], DEEPEST, len(too_deep) - 1),
        )


def _below(
    folder: Path, above: tuple[str, ...], left_out: str | None, links: int, too_deep: list[Path]
) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        words = f"{folder}: cannot be read ({error.strerror})"
        if len(above) == 1:
            raise InputError(f"{words}; give a folder that can") from None
        log.warning("%s; its files are left out", words)
        return
    for name in names:
        path = folder / name
        if is_hidden(path):
            continue
        if not path.is_dir():
            yield path
            continue
        real, deeper = os.path.realpath(path), links + path.is_symlink()
        if real in above or real == left_out:
            continue
        if deeper > DEEPEST:
            too_deep.append(path)
        else:
            yield from _below(path, (*above, real), left_out, deeper, too_deep)


def video_files(folder: Path, without: Path | None = None) -> list[Path]:
    """The videos below a folder, by their endings, in order of names.

    A link that leads nowhere counts, so that whoever reads it names it in an error.
    without: a folder that is not walked.
    """
    return [path for path in files_below(folder, without) if path.suffix.lower() in VIDEO_ENDINGS]


def picture_files(folder: str | Path, without: Path | None = None) -> list[Path]:
    """The pictures below a folder, by their endings, in order of names.

    without: a folder that is not walked.

    Raises: InputError if there are none.
    """
    pictures = [p for p in files_below(Path(folder), without) if p.suffix.lower() in PICTURE_ENDINGS]
    if not pictures:
        raise InputError(
            f"{folder}: no pictures in it; give a folder of portraits ({', '.join(PICTURE_ENDINGS)})"
        )
    return pictures


def by_stem(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Files by their names below `folder` without ending, so that the files of two folders can be paired.

    Both Unicode forms of an accented letter (macOS has its own) count as one name.
    Raises: InputError that names two files of one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        stem = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if stem in named:
            one, two = (p.relative_to(folder).as_posix() for p in (named[stem], path))
            raise InputError(f"{folder}: {one} and {two} have one name; rename or remove one of them")
        named[stem] = path
    return named
