"""Media files opened and decoded by PyAV, whose errors become one line that names the file and the fix.

Only plain files on disk are opened: a playlist cannot make the reader fetch from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from ..errors import InputError
from ..provenance import check_readable
from .headers import mended
from .image import is_still

log = logging.getLogger("actalker")
REFUSED = ("tty", "hls", "dash", "concat")  # text drawn as video, lists of other files
STILLS = ("mov,", "gif", "apng", "webp")  # formats of films that may hold one picture
FIX = {
    "sound": "export it as WAV",
    "video": "export it as MP4 (H.264)",
}


@contextmanager
def open_media(path: str | Path, what: str) -> Iterator[InputContainer]:
    """Open a media file for reading. what: `sound` or `video`, for messages.

    Raises: InputError for files that are not there, empty or no media, and for FFmpeg's errors in the block.
    """
    path = check_readable(path, what)
    with ExitStack() as stack:
        try:
            file = mended(path)
            # a whole name, so that a colon in it is no protocol
            source = str(path.absolute()) if file is None else stack.enter_context(file)
            options = {"protocol_whitelist": "file"}
            container = stack.enter_context(av.open(source, "r", options=options, metadata_errors="ignore"))
        except (av.FFmpegError, ValueError, OSError) as error:
            raise InputError(f"{path}: cannot be read as {what} ({reason(error)}); {FIX[what]}") from None
        name = container.format.name
        still = name == "image2" or name.endswith("_pipe") or (name.startswith(STILLS) and is_still(path))
        if still or name in REFUSED:
            kind = "a picture" if still else "text or a list of files"
            raise InputError(f"{path}: is {kind}, not a {what}; {FIX[what]}")
        try:
            yield container
        except av.FFmpegError as error:
            raise InputError(f"{path}: the {what} cannot be decoded ({reason(error)}); {FIX[what]}") from None


def decoded(container: InputContainer, stream: Any, path: str | Path) -> Iterator[Any]:
    """The stream's frames in order. Damaged packets are left out, with one warning.

    Raises: InputError when more packets are damaged than whole.
    """
    packets = container.demux(stream)
    good = bad = 0
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file ends in the middle of a packet
            bad += 1
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except av.FFmpegError:
            bad += 1
            continue
        good += len(frames)
        yield from frames
    if bad > good:
        raise InputError(
            f"{path}: is damaged, {bad} of its {bad + good} packets cannot be decoded; "
            "copy or export it again"
        )
    if bad:
        log.warning("%s: %d damaged packets were left out", path, bad)


def is_cover(stream: Any) -> bool:
    """Whether a video stream is the picture on a record's sleeve."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def reason(error: BaseException) -> str:
    """What FFmpeg says, in a few words."""
    return str(getattr(error, "strerror", None) or error).lower()[:120]
