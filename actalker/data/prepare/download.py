"""The download of a list's raw videos with the user's own yt-dlp, only where the user asks for it.

An id is passed inside an address as one argument: no shell sees it, and it cannot be an option or a path.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from pathlib import Path

from ...errors import InputError
from .annotations import celebv_lists
from .celebv import read_celebv

log = logging.getLogger("actalker")
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PROGRAM = "yt-dlp"
LONGEST = 3600  # seconds a video


def download(source: Path, folder: Path) -> None:
    """Fetch every video of a CelebV JSON that is not in `folder` yet. Videos that are gone are logged.

    source: the JSON, or a folder that holds one.
    Raises: InputError without yt-dlp, or when the source holds no list of ids or several.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(f"--download needs {PROGRAM}, which is not installed; pip install {PROGRAM}")
    lists = [source] if source.is_file() else celebv_lists(source)
    if len(lists) != 1:
        raise InputError(f"--download needs one JSON with video ids; {source} holds {len(lists)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    present = {path.stem for path in folder.iterdir()}
    for video in sorted({entry.person for entry in read_celebv(lists[0]) if entry.problem is None}):
        if not VIDEO_ID.fullmatch(video):
            log.warning("%r is no video id; it is left out", video[:80])
        elif video not in present:
            _fetch(program, video, folder)


def _fetch(program: str, video: str, folder: Path) -> None:
    """Fetch the video of an id, up to 1080 lines; logs why where it fails."""
    target = str(folder).replace("%", "%%") + f"/{video}.%(ext)s"
    words = [program, "--no-playlist", "--no-progress", "-f", "bv*[height<=1080]+ba/b", "-o", target]
    words += ["--", f"https://www.youtube.com/watch?v={video}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, errors="replace")
    except subprocess.TimeoutExpired:
        log.warning("%s: took longer than an hour; it is left out", video)
        return
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        log.warning("%s: not fetched (%s)", video, said[:150])
