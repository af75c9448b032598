"""Checks of the files that a clip is written to, before any work. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...provenance import check_writable


def sidecar_of(video: Path) -> Path:
    """Return the path of a video's sidecar: `clip.json` for `clip.mp4`."""
    return video.with_suffix(".json")


def check_outputs(
    video: Path, others: Iterable[Path | None], overwrite: bool, sources: Iterable[str | None] = ()
) -> None:
    """Raise InputError if an output exists already, cannot be written, or is also an input.

    Args:
        others: outputs beside the video and its sidecar.
        overwrite: whether an output may exist already.
        sources: settings that may name input files.
    """
    outputs = [path for path in (video, sidecar_of(video), *others) if path is not None]
    read = [source for source in sources if is_file(source)]
    for path in outputs:
        for source in read:
            if os.path.exists(path) and os.path.samefile(path, str(source)):
                raise InputError(
                    f"{path}: is read as an input and would be written over; give another output"
                )
        check_writable(path, overwrite)


def is_file(value: object) -> bool:
    """Whether a setting names a file."""
    try:
        return isinstance(value, (str, Path)) and str(value) != "" and Path(value).is_file()
    except (OSError, ValueError):  # a script is too long for a file's name
        return False
