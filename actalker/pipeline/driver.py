"""A driving video as tokens of its face's motion, read when they are first asked for.

Letters: k frames, n tokens a frame, d width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..faces.crop import Crop
from ..faces.find import choose_finder
from ..faces.track import SPARSE, at_every_frame, track_face
from ..faces.upright import LIES
from ..media.video import probe, read_frames
from ..timeline import frame_count
from .model import TalkingHeadModel

log = logging.getLogger("actalker")
DRIVER = "driving video"  # what frames that are no file are called
PROBES = 5  # frames of a driving video in which its face is looked for


class Driver:
    """A driving video as tokens of its motion, read when they are first asked for: a long one takes a while,
    and what a run costs is said before."""

    def __init__(self, read: Callable[[], Tensor]) -> None:
        """read: gives the tokens (k, n, d) of its k frames."""
        self._read = read

    @cached_property
    def tokens(self) -> Tensor:
        """(k, n, d). Raises: InputError for a video without a face."""
        with torch.no_grad():
            made = self._read()
        del self._read  # and the pictures that it may hold
        return made

    def __len__(self) -> int:
        return len(self.tokens)


def checked_film(
    video: str | Path | Iterable[np.ndarray], limit: int | None
) -> str | Path | list[np.ndarray]:
    """The driving video, checked: a file, or as many of its frames as the clip uses."""
    if isinstance(video, (str, Path)):
        return video
    frames = [checked_picture(frame, DRIVER) for frame in islice(video, limit)]
    if not frames:
        raise InputError(f"{DRIVER}: has no frames; give at least one (h, w, 3) uint8")
    return frames


def film_length(video: str | Path | Sequence[np.ndarray], fps: Fraction) -> int:
    """Frames of a driving video at `fps`, without reading its pictures."""
    return frame_count(probe(video).duration, fps) if isinstance(video, (str, Path)) else len(video)


def driving_crops(
    video: str | Path | Sequence[np.ndarray],
    fps: Fraction,
    size: int,
    limit: int | None,
    face_model: Path | None = None,
    reach: float | None = None,
) -> Iterator[np.ndarray]:
    """Square crops (size, size, 3) uint8 of a driving video's face, frame by frame at `fps`.

    One square serves the whole video, so that head motion stays in the picture; with `reach` a square
    follows the face (`Track.squares`).
    """
    length = film_length(video, fps)
    used = length if limit is None else min(length, limit)
    if reach is None:
        at = np.unique(np.arange(PROBES) * used // PROBES)
    else:
        step = SPARSE if choose_finder("auto", face_model)[0] == "cascade" else 1
        at = np.unique([*range(0, used, step), max(0, used - 1)])

    def frames(stop: int | None) -> Iterable[np.ndarray]:
        return read_frames(video, fps, limit=stop) if isinstance(video, (str, Path)) else video[:stop]

    wanted = set(at.tolist())
    looked = (frame for k, frame in enumerate(frames(max(wanted) + 1)) if k in wanted)
    track = track_face(looked, model=face_model)
    name = video if isinstance(video, (str, Path)) else DRIVER
    if not track.found:
        raise InputError(
            f"{name}: no face found in {len(track.faces)} of its frames; give a video that shows one face"
        )
    if track.turns:
        lies, back = LIES[track.turns]
        raise InputError(f"{name}: {lies}; turn the video {back} before it drives a portrait")
    if max(track.counts) > 1:
        log.warning("%s: up to %d faces in a frame; the largest is followed", name, max(track.counts))
    one = track.crop()
    known = at[: len(track.faces)]  # a file may hold fewer frames than it says
    squares = None if reach is None else at_every_frame(track.squares(reach), known, used)
    for k, frame in enumerate(frames(limit)):
        square = one if squares is None else Crop(*map(float, squares[min(k, used - 1)]))
        yield square.apply(frame, size)


def expression_tokens(
    model: TalkingHeadModel, crops: Iterator[np.ndarray], rest: np.ndarray | None = None
) -> Tensor:
    """Tokens (k, n, d) of a driving video's crops, read in blocks so that memory stays small.

    rest: the crop that motion is relative to; the first one if not given.
    """
    encoder, dtype = model.encoders["expression"], model.network.dtype

    def pixels(block: list[np.ndarray]) -> Tensor:
        pictures = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2)[None].to(model.device)
        return (pictures.float() / 127.5 - 1).to(dtype)

    parts, still = [], None if rest is None else pixels([rest])[:, 0]
    while block := list(islice(crops, 32)):
        pictures = pixels(block)
        still = pictures[:, 0] if still is None else still
        parts.append(encoder(pictures, still)[0][0])
    return torch.cat(parts)


def checked_picture(array: np.ndarray, name: str) -> np.ndarray:
    """The array itself. Raises: InputError unless it is (h, w, 3) uint8."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(f"{name}: an array of {array.shape} {array.dtype}; give (h, w, 3) uint8, RGB")
    return array
