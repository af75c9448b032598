"""A driving video as tokens of its face's motion, read when they are first asked for.

Letters: k frames, n tokens a frame, d width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

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
DRIVER = "driving video"  # what frames that are no file are called
FADE = Fraction(2, 5)  # seconds in which the gate closes where no face is, and before the video ends
STRIDE = 5  # frames from look to look while no face has been found yet
LIT = 0.97  # of the usual brightness: darker frames are within a fade, and are brightened
SEEN = 0.2  # of the brightest frame of the next second: a darker one shows too little to be the rest
MOST_GAPS = 5  # named in the warning


@dataclass(frozen=True, eq=False)
class Motion:
    """tokens: (k, n, d), at frames without a face those of the nearest one that has one.

    present: (k,) bool, where a face was found.
    """

    tokens: Tensor
    present: np.ndarray


class Driver:
    """A driving video's motion, read when it is first asked for: a long one takes a while, and what a run
    costs is said before.

    facts: what decides how it is read, a line each, for the plan.
    """

    def __init__(self, read: Callable[[], Motion], facts: Sequence[str] = ()) -> None:
        self._read, self.facts = read, tuple(facts)

    @cached_property
    def motion(self) -> Motion:
        """What was read."""
        with torch.no_grad():
            made = self._read()
        del self._read  # and the pictures that it may hold
        return made

    @property
    def tokens(self) -> Tensor:
        """(k, n, d)."""
        return self.motion.tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def shown(self, start: int, f: int, frames: int, fps: Fraction) -> np.ndarray:
        """How far the video holds the face at frames start .. start + f of a clip of so many: (f,) in [0, 1].

        1 wherever a face is found; where none is, it falls to 0 within FADE seconds from the last one and
        rises to the next; a video that ends before the clip lets go within FADE seconds before its end.
        """
        fade, at = float(FADE * fps), np.arange(start, start + f)
        apart = _apart(self.motion.present)[at.clip(max=len(self) - 1)]
        shown = np.clip(1 - apart / fade, 0, 1)
        if frames > len(self):
            shown = shown * np.clip((len(self) - at) / fade, 0, 1)
        return shown.astype(np.float32)


class Timed(Protocol):
    """Frames that have their own times."""

    def seconds(self, k: int) -> float:
        """When frame k is shown."""


@dataclass(frozen=True, eq=False)
class Film:
    """A driving video at the clip's rate: a file read from `start` seconds on, or its frames.

    frames: how many of them the clip uses.
    """

    source: str | Path | Sequence[np.ndarray]
    fps: Fraction
    start: Fraction
    frames: int

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.source) if isinstance(self.source, (str, Path)) else DRIVER

    def read(self, stop: int | None = None) -> Iterator[np.ndarray]:
        """Its first `stop` frames (all that the clip uses, if not given), in order."""
        stop = self.frames if stop is None else min(stop, self.frames)
        if isinstance(self.source, (str, Path)):
            span = Interval(self.start) if self.start else None
            return read_frames(self.source, self.fps, limit=stop, span=span)
        return iter(self.source[:stop])

    def seconds(self, k: int) -> float:
        """When frame k is shown, by the video's own time."""
        return float(self.start + k / self.fps)


def open_film(
    video: str | Path | Iterable[np.ndarray], fps: Fraction, limit: int | None, start: Fraction = Fraction(0)
) -> Film:
    """A driving video, checked: a file, or as many of its frames at `fps` as the clip uses.

    start: seconds of the video that are left out at its beginning. Raises: InputError for files that are no
    video, frames that are no pictures, none, and a start behind the end.
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
    """The motion of a driving video's face, relative to its rest. Raises: InputError where it shows none."""
    rest = find_rest(film, context.face_model)
    seconds = film.seconds(rest)
    fact = f"driving video: motion is relative to its face at {seconds:.2f} s"
    if rest:
        fact += f", the first that is seen after {film.seconds(0):.2f} s"
    return Driver(lambda: read_motion(context, film, rest), [fact])


def find_rest(film: Film, face_model: Path | None = None) -> int:
    """The first frame that shows a face, and is not darkened by a fade-in.

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
    if track.turns:
        lies, back = LIES[track.turns]
        raise InputError(f"{film.name}: {lies}; turn the video {back} before it drives a portrait")


def _after_fade(film: Film, first: int) -> int:
    """The first frame from `first` on that is bright enough beside those of the second that follows."""
    second = islice(film.read(first + 1 + round(film.fps)), first, None)
    light = np.array([frame.mean() for frame in second])
    return first + int((light >= SEEN * light.max()).argmax())


def read_motion(context: SignalContext, film: Film, rest: int) -> Motion:
    """Tokens of the motion of a driving video's face relative to frame `rest`, and where a face is found.

    Frames without one are told with their times.
    """
    encoder: Any = context.encoder
    squares, present, light = follow(film, encoder.reach, context.face_model)
    usual = float(np.median(light[present]))

    def crops(start: int = 0) -> Iterator[np.ndarray]:
        frames = islice(zip(film.read(), squares, light, strict=False), start, None)
        for frame, square, own in frames:
            crop = square.apply(frame, encoder.config.size)
            yield crop if own >= LIT * usual else brightened(crop, usual / max(own, 1.0))

    tokens = expression_tokens(context, crops(), next(crops(rest)))
    present = present[: len(tokens)]
    if not present.all():
        log.warning("%s: %s; its gate closes there", film.name, gaps(film, present))
    return Motion(tokens[torch.from_numpy(nearest(present)).to(tokens.device)], present)


def follow(
    film: Film, reach: float | None, face_model: Path | None = None
) -> tuple[list[Crop], np.ndarray, np.ndarray]:
    """The square around the face in each frame, (k,) bool, whether a face was found there, and (k,) how light
    the frame is, 0 to 255.

    One square serves the whole video, so that head motion stays in the picture; with `reach` a square
    follows the face (`Track.squares`). A finder that is slow looks at every SPARSE-th frame, and what it
    finds holds for the nearest ones.
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
    """A crop (s, s, 3) uint8, so many times as bright."""
    return np.clip(np.round(crop * np.float32(gain)), 0, 255).astype(np.uint8)


def expression_tokens(context: SignalContext, crops: Iterator[np.ndarray], rest: np.ndarray) -> Tensor:
    """Tokens (k, n, d) of a driving video's crops, read in blocks so that memory stays small.

    rest: the crop that motion is relative to.
    """

    def pixels(block: list[np.ndarray]) -> Tensor:
        pictures = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2)[None].to(context.device)
        return (pictures.float() / 127.5 - 1).to(context.dtype)

    parts, still = [], pixels([rest])[:, 0]
    while block := list(islice(crops, 32)):
        parts.append(context.encoder(pixels(block), still)[0])
    return torch.cat(parts)


def nearest(present: np.ndarray) -> np.ndarray:
    """(k,) for each frame the nearest one that has a face, the earlier of two."""
    known = np.flatnonzero(present)
    after = np.searchsorted(known, np.arange(len(present))).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    at = np.arange(len(present))
    return np.where(np.abs(known[after] - at) < np.abs(known[before] - at), known[after], known[before])


def _apart(present: np.ndarray) -> np.ndarray:
    """(k,) frames to the nearest one that has a face."""
    return np.abs(nearest(present) - np.arange(len(present)))


def gaps(film: Timed, present: np.ndarray) -> str:
    """`no face at 0.00-0.48 s, 1.20-1.52 s`, by the video's own time."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], present, [True]]).astype(np.int8)))
    spans = [f"{film.seconds(a):.2f}-{film.seconds(b):.2f} s" for a, b in edges.reshape(-1, 2)]
    more = f" and {len(spans) - MOST_GAPS} more times" if len(spans) > MOST_GAPS else ""
    return f"no face at {', '.join(spans[:MOST_GAPS])}{more}"
