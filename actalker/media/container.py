"""Opens and decodes media files by PyAV, whose errors become one line that names the file and the fix.

Only plain files on disk are opened: a playlist cannot make the reader fetch from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast, overload

import av
from av import AudioFrame, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.stream import Stream
from av.video.stream import VideoStream

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
    """Open a media file for reading; what: `sound` or `video`, for messages.

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


@overload
def decoded(container: InputContainer, stream: VideoStream, path: str | Path) -> Iterator[VideoFrame]: ...
@overload
def decoded(container: InputContainer, stream: AudioStream, path: str | Path) -> Iterator[AudioFrame]: ...


def decoded(
    container: InputContainer, stream: VideoStream | AudioStream, path: str | Path
) -> Iterator[VideoFrame | AudioFrame]:
    """The frames of a stream in order. Damaged packets are left out, with one warning.

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
            frames = cast("list[VideoFrame | AudioFrame]", packet.decode())
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


def time_base(source: Frame | Stream) -> Fraction:
    """Seconds of one tick of the clock of a frame or stream that has times."""
    return cast(Fraction, source.time_base)


def is_cover(stream: VideoStream) -> bool:
    """Whether a video stream is a cover picture of a sound file, not a video."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def reason(error: BaseException) -> str:
    """FFmpeg's message of an error, in a few words of lower case."""
    return str(getattr(error, "strerror", None) or error).lower()[:120]
