"""Writes frames and sound as MP4 (H.264 + AAC), frame by frame; the file appears when it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from ..errors import InputError
from ..provenance import check_writable, whole_file
from .container import reason
from .sound import Sound

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
BITS = 96000  # a second and channel: speech is transparent well below


class VideoWriter:
    """Writes frames one by one; the sound goes along and ends exactly with the last frame.

    >>> with VideoWriter("clip.mp4", Fraction(25), (128, 128), sound) as video:        # doctest: +SKIP
    ...     for frame in frames:
    ...         video.write(frame)

    Args:
        path: an .mp4; it appears when the block ends well, nothing is left when it does not.
        fps: exact rate; frame k has the time stamp k / fps.
        size: (h, w) of the frames. H.264 needs even sides: odd ones are padded by their last row or column.
        sound: cut, or padded with silence, to frames / fps seconds. None: no sound track.
        crf: quality of H.264, 0 (lossless) to 51; 16 shows no difference to the eye.
        threads: of the encoder; 0 is one for every core. The file's bytes depend on their number.
        says: the file's comment, which players and ffprobe show; None: it has none.
        preset: x264's, `ultrafast` to `veryslow`: how long it looks for a smaller file of this quality.
    Raises: InputError when the file exists and may not be overwritten, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction,
        size: tuple[int, int],
        sound: Sound | None = None,
        overwrite: bool = False,
        crf: int = 16,
        threads: int = 0,
        preset: str = "medium",
        says: str | None = None,
    ) -> None:
        self.path, self.fps, self.size, self.sound = Path(path), Fraction(fps), size, sound
        if self.path.suffix.lower() != ".mp4":
            raise InputError(f"{path}: video is written as MP4; name it {self.path.with_suffix('.mp4').name}")
        if not 0 <= crf <= 51:
            raise InputError(f"crf {crf}: give a quality from 0 (best) to 51")
        check_writable(path, overwrite)
        self.overwrite, self.crf, self.threads, self.preset, self.frames = overwrite, crf, threads, preset, 0
        self.says = says
        self._left = ExitStack()

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            work = stack.enter_context(whole_file(self.path, self.overwrite))
            stack.enter_context(_named_errors(self.path))
            container = av.open(str(work), "w", format="mp4", options={"movflags": "faststart"})
            stack.callback(container.close)
            if self.says is not None:
                container.metadata["comment"] = self.says
            self._container, self._video = container, self._open_video(container)
            self._track = None if self.sound is None else _SoundTrack(container, self.sound)
            stack.push(self._finish)
            self._left = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.__exit__(kind, error, trace)

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, (h, w, 3) uint8 RGB of the writer's size."""
        if frame.dtype != np.uint8 or frame.shape != (*self.size, 3):
            raise InputError(
                f"{self.path}: frame {self.frames} is {frame.shape} {frame.dtype}, "
                f"not {(*self.size, 3)} uint8"
            )
        h, w = self.size
        padded = np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge") if h % 2 or w % 2 else frame
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = self.frames, 1 / self.fps
        with _named_errors(self.path):
            self._container.mux(self._video.encode(picture))
            self.frames += 1
            if self._track is not None:
                self._track.write_until(self.frames / self.fps)

    def _open_video(self, container: OutputContainer) -> VideoStream:
        """Add the video stream, H.264 in BT.709."""
        # mbtree reads past small frames: with it the same frames give one of several files
        options = {"crf": str(self.crf), "preset": self.preset, "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=self.fps, options=options)
        stream.height, stream.width = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base, context.thread_count = 1 / self.fps, self.threads
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what the encoders still hold, unless the block has failed with an exception of this kind."""
        if kind is not None:
            return
        if self.frames == 0:
            raise InputError(f"{self.path}: no frames to write")
        self._container.mux(self._video.encode(None))
        if self._track is not None:
            self._track.close()


class _SoundTrack:
    """Writes sound into a container, as far as the picture has come; silence where the sound has ended."""

    def __init__(self, container: OutputContainer, sound: Sound) -> None:
        self.rate = sound.rate if sound.rate in AAC_RATES else 48000
        channels = min(2, sound.samples.shape[0])
        self.layout = ("mono", "stereo")[channels - 1]
        self.blocks = sound.blocks(self.rate, channels)
        self.ready = np.zeros((channels, 0), dtype=np.float32)
        self.written = 0
        self.container = container
        self.stream = container.add_stream("aac", rate=self.rate, layout=self.layout)
        self.stream.codec_context.bit_rate = BITS * channels

    def write_until(self, time: Fraction) -> None:
        """Write the sound before `time` seconds that is not written yet."""
        wanted = round(time * self.rate) - self.written
        while self.ready.shape[1] < wanted:
            silence = np.zeros((self.ready.shape[0], wanted - self.ready.shape[1]), dtype=np.float32)
            self.ready = np.concatenate([self.ready, next(self.blocks, silence)], axis=1)
        block, self.ready = self.ready[:, :wanted], self.ready[:, wanted:]
        if wanted > 0:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self.layout)
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self.written, Fraction(1, self.rate)
            self.container.mux(self.stream.encode(frame))
            self.written += wanted

    def close(self) -> None:
        """Write the samples that the encoder still holds."""
        self.container.mux(self.stream.encode(None))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors in the block into InputErrors that name the path."""
    try:
        yield
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); check disk and frame size") from error
