"""A driving video for encoders that read pictures: find its face, crop it, and encode its motion.

Letters: f frames of a range, k frames of the video, n tokens a frame, d width, s side of a crop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..faces.crop import Crop
from ..faces.find import choose_finder
from ..faces.track import SPARSE, Track, at_every_frame, track_face
from ..faces.upright import LIES
from ..media.video import probe, read_frames
from ..timeline import Interval, frame_count
from .feed import SignalContext
from .objects import checked_picture

log = logging.getLogger("actalker")
DRIVER = "driving video"  # name of frames that are no file, in messages
FADE = Fraction(2, 5)  # seconds in which the gate closes after the last face, and before the end
STRIDE = 5  # frames from one search to the next until the first face is found
LIT = 0.97  # of the usual brightness: darker frames belong to a fade, and are brightened
SEEN = 0.2  # of the brightest frame of the next second: a darker one is no rest
MOST_GAPS = 5  # stretches without a face that the warning names


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion of a driver as tokens.

    tokens: (k, n, d); a frame without a face has those of the nearest frame with one.
    present: (k,) bool, the frames that show a face.
    """

    tokens: Tensor
    present: np.ndarray


class Driver:
    """A driver's motion, which is read when it is first used.

    Reading takes a while for a long video, and the plan of a run is printed before.
    """

    def __init__(self, read: Callable[[], Motion], facts: Sequence[str] = ()) -> None:
        """Make a driver; read: reads the motion. facts: what decides how, one line each, for the plan."""
        self._read, self.facts = read, tuple(facts)

    @cached_property
    def motion(self) -> Motion:
        """The motion, read at the first use."""
        with torch.no_grad():
            motion = self._read()
        del self._read  # and with it the pictures that it may refer to
        return motion

    @property
    def tokens(self) -> Tensor:
        """The motion's tokens, (k, n, d)."""
        return self.motion.tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def shown(self, start: int, f: int, frames: int, fps: Fraction) -> np.ndarray:
        """Return the weight with which the video counts at frames start .. start + f - 1, (f,) in [0, 1].

        It is 1 at frames with a face. Between faces it falls to 0 within FADE seconds of the last one, and
        rises again towards the next. In a video shorter than the clip it falls to 0 at the video's end.

        Args:
            start: number of the first frame.
            f: number of frames.
            frames: number of frames of the clip.
            fps: exact frames per second.
        """
        fade, at = float(FADE * fps), np.arange(start, start + f)
        distance = _frames_to_a_face(self.motion.present)[at.clip(max=len(self) - 1)]
        shown = np.clip(1 - distance / fade, 0, 1)
        if frames > len(self):
            shown = shown * np.clip((len(self) - at) / fade, 0, 1)
        return shown.astype(np.float32)


class Timed(Protocol):
    """A driver whose frames have times of their own."""

    def seconds(self, k: int) -> float:
        """Return the time of frame k in seconds."""


class Crops(Protocol):
    """Settings of an encoder that reads crops."""

    size: int
    """Side of the crops in pixels, s."""


class CropEncoder(Protocol):
    """An encoder that reads crops of a driving video's face."""

    config: Crops
    """Its settings."""

    reach: float | None
    """Side of each frame's square in the extent of the face's landmarks; None for one square a video."""


@dataclass(frozen=True, eq=False)
class Film:
    """A driving video at the clip's rate.

    source: a file, or the frames (h, w, 3) uint8.
    fps: exact frames a second.
    start: seconds of the file before the first frame.
    frames: number of frames that the clip uses.
    """

    source: str | Path | Sequence[np.ndarray]
    fps: Fraction
    start: Fraction
    frames: int

    @property
    def name(self) -> str:
        """Name for messages."""
        return str(self.source) if isinstance(self.source, (str, Path)) else DRIVER

    def read(self, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the first `stop` frames in order; all that the clip uses without `stop`."""
        stop = self.frames if stop is None else min(stop, self.frames)
        if isinstance(self.source, (str, Path)):
            span = Interval(self.start) if self.start else None
            return read_frames(self.source, self.fps, limit=stop, span=span)
        return iter(self.source[:stop])

    def seconds(self, k: int) -> float:
        """Return the time of frame k in the video, in seconds."""
        return float(self.start + k / self.fps)


def open_film(
    video: str | Path | Iterable[np.ndarray], fps: Fraction, limit: int | None, start: Fraction = Fraction(0)
) -> Film:
    """Open and check a driving video.

    Args:
        video: a file, or frames (h, w, 3) uint8 at `fps`.
        fps: exact frames a second of the clip.
        limit: the most frames that are used; None for all.
        start: seconds to skip at the beginning.
    Raises: InputError for files that are no video, frames that are no pictures, no frames, and a start after
        the end.
    """
    if isinstance(video, (str, Path)):
        left = probe(video).duration - start
        if left <= 0:
            raise InputError(
                f"{video}: is {float(left + start):g} s long; give an --expression-start before its end"
            )
        length = frame_count(left, fps)
        return Film(video, fps, start, length if limit is None else min(length, limit))
    first = frame_count(start, fps) if start else 0
    stop = None if limit is None else first + limit
    frames = [checked_picture(frame, DRIVER) for frame in islice(video, first, stop)]
    if not frames:
        where = f" after {float(start):g} s" if start else ""
        raise InputError(f"{DRIVER}: has no frames{where}; give at least one (h, w, 3) uint8")
    return Film(frames, fps, start, len(frames))


def drive(context: SignalContext, film: Film) -> Driver:
    """Return the motion of a driving video's face relative to its rest. Raises InputError for no face."""
    rest = find_rest(film, context.face_model)
    seconds = film.seconds(rest)
    fact = f"driving video: motion is relative to its face at {seconds:.2f} s"
    if rest:
        fact += f", the first that is seen after {film.seconds(0):.2f} s"
    return Driver(lambda: read_motion(context, film, rest), [fact])


def find_rest(film: Film, face_model: Path | None = None) -> int:
    """Find the first frame that shows a face and is not darkened by a fade-in.

    Raises: InputError when no frame that the clip uses shows one.
    """
    block: list[np.ndarray] = []
    for k, frame in enumerate(film.read()):
        block.append(frame)
        if k % STRIDE and k + 1 < film.frames:
            continue
        track = track_face([frame], model=face_model)
        if track.found:
            _check_upright(film, track)
            first = next(
                j for j, one in enumerate(block) if one is frame or track_face([one], model=face_model).found
            )
            return _after_fade(film, k + 1 - len(block) + first)
        block = []
    raise InputError(f"{film.name}: no face found in {film.frames} of its frames; give a video of one face")


def _check_upright(film: Film, track: Track) -> None:
    """Raise InputError for a video that lies on its side or upside down."""
    if track.turns:
        lies, back = LIES[track.turns]
        raise InputError(f"{film.name}: {lies}; turn the video {back} before it drives a portrait")


def _after_fade(film: Film, first: int) -> int:
    """Return the first frame, from `first` on, that is bright enough relative to the following second."""
    second = islice(film.read(first + 1 + round(film.fps)), first, None)
    light = np.array([frame.mean() for frame in second])
    return first + int((light >= SEEN * light.max()).argmax())


def read_motion(context: SignalContext, film: Film, rest: int) -> Motion:
    """Encode the motion of a driving video's face relative to frame `rest`.

    Frames darkened by a fade are brightened. Stretches without a face are logged.
    """
    encoder = cast("CropEncoder", context.encoder)
    squares, present, light = follow(film, encoder.reach, context.face_model)
    usual = float(np.median(light[present]))

    def crops(start: int = 0) -> Iterator[np.ndarray]:
        frames = islice(zip(film.read(), squares, light, strict=False), start, None)
        for frame, square, brightness in frames:
            crop = square.apply(frame, encoder.config.size)
            yield crop if brightness >= LIT * usual else brightened(crop, usual / max(brightness, 1.0))

    tokens = expression_tokens(context, crops(), next(crops(rest)))
    present = present[: len(tokens)]
    if not present.all():
        log.warning("%s: %s; its gate closes there", film.name, gaps(film, present))
    return Motion(tokens[torch.from_numpy(nearest(present)).to(tokens.device)], present)


def follow(
    film: Film, reach: float | None, face_model: Path | None = None
) -> tuple[list[Crop], np.ndarray, np.ndarray]:
    """Find the square around the face in each frame.

    A slow face finder looks at every SPARSE-th frame only, and its result is used for the nearest frames.

    Args:
        film: the driving video.
        reach: side of a square that follows the face, as a multiple of the longer side of the box around the
            face's landmarks (`Track.squares`). None: one fixed square for the whole video, so that the crops
            show the head's motion.
        face_model: path of MediaPipe's face landmarker; None for the one in the package.
    Returns: k squares; (k,) bool, the frames that show a face; (k,) mean brightness of each frame, 0 to 255.
    Raises: InputError for a video without a face, or one that is not upright.
    """
    step = SPARSE if choose_finder("auto", face_model)[0] == "cascade" else 1
    at = np.unique([*range(0, film.frames, step), film.frames - 1])
    wanted, light = set(at.tolist()), []

    def looked() -> Iterator[np.ndarray]:
        for k, frame in enumerate(film.read()):
            light.append(float(frame.mean()))
            if k in wanted:
                yield frame

    track = track_face(looked(), model=face_model)
    if not track.found:
        raise InputError(
            f"{film.name}: no face found in {len(track.faces)} of its frames; give a video of one face"
        )
    _check_upright(film, track)
    if max(track.counts) > 1:
        log.warning("%s: up to %d faces in a frame; the largest is followed", film.name, max(track.counts))
    at = at[: len(track.faces)]  # a file may hold fewer frames than it says
    seen = np.array([face is not None for face in track.faces])
    here = np.arange(len(light))
    nearest = at[np.searchsorted((at[1:] + at[:-1]) / 2, here)]
    present = seen[np.searchsorted(at, nearest)]
    if reach is None:
        squares = [track.crop()] * len(light)
    else:
        rows = at_every_frame(track.squares(reach), at, len(light))
        squares = [Crop(*map(float, row)) for row in rows]
    return squares, present, np.array(light)


def brightened(crop: np.ndarray, gain: float) -> np.ndarray:
    """Return a crop (s, s, 3) uint8 with its values multiplied by `gain`."""
    return np.clip(np.round(crop * np.float32(gain)), 0, 255).astype(np.uint8)


def expression_tokens(context: SignalContext, crops: Iterator[np.ndarray], rest: np.ndarray) -> Tensor:
    """Encode crops (s, s, 3) uint8 to tokens (k, n, d), in blocks so that memory stays small.

    rest: the crop that motion is relative to.
    """

    def pixels(block: list[np.ndarray]) -> Tensor:
        """Stack crops to (1, frames, 3, s, s) in [-1, 1]."""
        pictures = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2)[None].to(context.device)
        return (pictures.float() / 127.5 - 1).to(context.dtype)

    parts, still = [], pixels([rest])[:, 0]
    while block := list(islice(crops, 32)):
        parts.append(context.encoder(pixels(block), still)[0])
    return torch.cat(parts)


def nearest(present: np.ndarray) -> np.ndarray:
    """Return for each frame (k,) the nearest one with a face; of two, the earlier."""
    known = np.flatnonzero(present)
    after = np.searchsorted(known, np.arange(len(present))).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    at = np.arange(len(present))
    return np.where(np.abs(known[after] - at) < np.abs(known[before] - at), known[after], known[before])


def _frames_to_a_face(present: np.ndarray) -> np.ndarray:
    """Return for each frame (k,) the number of frames to the nearest one with a face."""
    return np.abs(nearest(present) - np.arange(len(present)))


def gaps(film: Timed, present: np.ndarray) -> str:
    """Write where no face is, by the video's time: `no face at 0.00-0.48 s, 1.20-1.52 s`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], present, [True]]).astype(np.int8)))
    spans = [f"{film.seconds(a):.2f}-{film.seconds(b):.2f} s" for a, b in edges.reshape(-1, 2)]
    more = f" and {len(spans) - MOST_GAPS} more times" if len(spans) > MOST_GAPS else ""
    return f"no face at {', '.join(spans[:MOST_GAPS])}{more}"
