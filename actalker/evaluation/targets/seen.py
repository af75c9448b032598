"""The readings of clips by MediaPipe, kept in cells, so that a second start makes only the missing ones.

Letters: f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from ...faces.face import Face
from ...media.video import read_frames as read_video
from ...provenance import file_hash
from ...regions.shapes import REGIONS
from ..cells import CELL_FOLDER, Job, Measured, key_of, read_array, read_values, run_cells
from ..heads.reading import NOSE_BASE, Reading, at_most, read_frames
from ..jobs import Workers
from ..lips import FPS
from ..models import model_files, signals_of
from .clips import Clip
from .makers import CLOSED, TRUTH, Maker, enlarged, maker

MEASURED = 2  # to be raised when clips are made or read in another way: old cells are not taken then
REAL = "real"  # stands for a model's name in readings of real videos
CURVES = ("opening", "width", "lids", "brows")
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, eq=False)
class Seen:
    """Hold MediaPipe's reading of a clip; values are NaN in frames where no face was found.

    opening, width, lids, brows: (f,), the properties of the same names of `Reading`.
    shapes: (f, 52) scores of MediaPipe's blendshapes.
    pose: (f, 3) yaw, pitch, roll in degrees.
    change: (3,) for a clip with `pair`, what closing audio changes: the mean absolute difference of pixels
        (0 to 255) in the lower face, in the upper face, and outside the face; NaN for other clips.
    """

    opening: np.ndarray
    width: np.ndarray
    lids: np.ndarray
    brows: np.ndarray
    shapes: np.ndarray
    pose: np.ndarray
    change: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))

    def shape(self, name: str) -> np.ndarray:
        """Return the score (f,) of a blendshape; where it has two sides, their mean."""
        return Reading(np.empty((len(self.pose), 0, 2)), self.shapes, self.pose).shape(name)


Readings = dict[tuple[str, str, int], Seen]
"""(model, use, number of a clip) -> its reading; that of the clip's real video has the model `real`."""


def look(frames: Iterator[np.ndarray]) -> Seen:
    """Read a clip's frames (h, w, 3) uint8 with MediaPipe."""
    return _seen(read_frames(enlarged(frame) for frame in frames))


def _seen(reading: Reading, change: np.ndarray | None = None) -> Seen:
    parts = (reading.opening, reading.width, reading.lids, reading.brows, reading.shapes, reading.pose)
    return Seen(*parts) if change is None else Seen(*parts, change)


def look_at_pair(source: Maker, clip: Clip) -> Seen:
    """Make a clip twice, with audio's gate open and closed; return the first's reading with `change`."""
    opened, closed = ([enlarged(f) for f in source.frames(clip, gates)] for gates in ((), (CLOSED,)))
    reading = read_frames(iter(opened))
    return _seen(reading, change_by_region(opened, closed, reading))


def change_by_region(one: Sequence[np.ndarray], other: Sequence[np.ndarray], reading: Reading) -> np.ndarray:
    """Return the mean absolute difference (0 to 255) of two clips in three regions, (3,).

    The regions are the lower face, the upper face, and the picture outside the face. The face is the paper's
    rectangle around the landmarks in each frame of `one`, divided at the base of the nose, because a falling
    jaw moves the cheeks but nothing above them.

    Args:
        one, other: frames (h, w, 3) uint8.
        reading: that of `one`; its frames without a face are left out.
    """
    total, weight = np.zeros(3), np.zeros(3)
    for k in np.flatnonzero(reading.found).tolist():
        marks = reading.points[k]
        box = (*marks.min(0).tolist(), *marks.max(0).tolist())
        face = REGIONS["face"]([Face(box, marks, "mediapipe478").points()], one[k].shape[:2]).numpy()
        below = (np.arange(len(face)) + 0.5 > marks[NOSE_BASE, 1])[:, None]
        apart = np.abs(one[k].astype(np.int16) - other[k]).mean(-1)
        masks = (face * below, face * ~below, 1 - face)
        total += [(apart * mask).sum() for mask in masks]
        weight += [mask.sum() for mask in masks]
    return total / np.maximum(weight, 1e-9)


def see(
    models: Sequence[str],
    clips: Sequence[Clip],
    folder: Path,
    workers: Workers,
    tick: Callable[[], None] = lambda: None,
) -> Readings:
    """Make and read every clip with every model that can make it, and read every real video.

    Args:
        models: names of models; `truth` stands for the truth.
        clips: the list of `clips.clips`.
        folder: of the report, which holds the folder of cells.
        workers: the processes to use.
        tick: called once for each reading (`count`).
    Raises: InputError for models and files that cannot be used.
    """
    listed = [(model, clip) for model in (REAL, *models) for clip in clips if makes(model, clip)]
    # models in turn, so that each is loaded once, and long clips first, so that no worker ends late
    listed.sort(key=lambda pair: ((REAL, *models).index(pair[0]), -pair[1].frames))
    recipes = {model: _files(model) for model in (REAL, *models)}
    jobs = [Job(_key(model, clip, recipes[model]), partial(_measured, model, clip)) for model, clip in listed]
    run_cells(jobs, folder / CELL_FOLDER, workers, tick)
    pairs = zip(listed, jobs, strict=True)
    pairs = zip(listed, jobs, strict=True)
    return {
        (model, clip.use, clip.number): read_seen(folder / CELL_FOLDER, job.key)
        for (model, clip), job in pairs
    }


def count(models: Sequence[str], clips: Sequence[Clip]) -> int:
    """Return the number of readings that `see` makes or takes from cells."""
    return sum(makes(model, clip) for model in (REAL, *models) for clip in clips)


def makes(model: str, clip: Clip) -> bool:
    """Return whether there is a reading of a clip under a model's name.

    That is so for a model that takes all signals of the clip; for `truth`, unless the sound is disturbed; and
    for `real`, the real videos, if the clip's use is `real` or `driver`.
    """
    if model == REAL:
        return clip.use in ("real", "driver")
    if model == TRUTH:
        return clip.use not in ("music", "noise", "telephone")  # they ask for what the clean sound asks for
    return set(clip.signals) <= set(signals_of(model))


def _files(model: str) -> object:
    """Return the files, with their hashes, that the clips made by a model depend on."""
    if model == REAL:
        return REAL
    if model == TRUTH:
        sources = [*sorted((PACKAGE / "heads").glob("*.py")), PACKAGE / "signals" / "liveliness.py"]
        return {path.name: file_hash(path) for path in sources}
    return model_files(model)


def _key(model: str, clip: Clip, files: object) -> str:
    """Return the key of the cell that holds the reading of a clip. files: as `_files` returns them."""
    recipe = [file_hash(video_of(clip)), clip.frames] if model == REAL else clip.digest(model == TRUTH)
    return key_of("clip", MEASURED, files, recipe)


def video_of(clip: Clip) -> Path:
    """Return the real video of a clip: the speaker's, or else the driver's."""
    video = clip.real or clip.driver
    assert video is not None
    return video


def _measured(model: str, clip: Clip) -> Measured:
    """Make a clip, read it, and return the reading as a cell."""
    if model == REAL:
        frames = read_video(video_of(clip), Fraction(FPS), limit=clip.frames)
        return cell_of(look(at_most(frame) for frame in frames))
    if clip.pair:
        return cell_of(look_at_pair(maker(model), clip))
    return cell_of(look(maker(model).frames(clip)))


def cell_of(seen: Seen) -> Measured:
    """Return a reading as a cell: curves, scores and angles are the columns of one array (f, 59) float32."""
    curves = np.stack([getattr(seen, name) for name in CURVES], 1)
    reading = np.concatenate([curves, seen.shapes, seen.pose], 1)
    return Measured(
        {"change": np.asarray(seen.change, np.float32).tolist()}, {"reading": reading.astype(np.float32)}
    )


def read_seen(folder: Path, key: str) -> Seen:
    """Read a reading from a cell that exists."""
    values = read_values(folder, key)
    assert values is not None, key
    reading = np.array(read_array(folder, key, "reading"), float)
    curves = dict(zip(CURVES, reading.T, strict=False))
    shapes, pose = reading[:, len(CURVES) : -3], reading[:, -3:]
    return Seen(**curves, shapes=shapes, pose=pose, change=np.array(values["change"], float))
