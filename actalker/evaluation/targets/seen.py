"""What is read of clips, in cells: a second start makes only what is missing.

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
REAL = "real"  # what videos are read under, beside the names of models
CURVES = ("opening", "width", "lids", "brows")
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, eq=False)
class Seen:
    """MediaPipe's reading of a clip, (f,) or (f, ...), NaN where no face was found.

    opening, width, lids, brows: as `Reading` has them. shapes: (f, 52), pose: (f, 3). change: of a pair of
    clips, the mean difference (of 255) in lower face, upper face, and outside the face.
    """

    opening: np.ndarray
    width: np.ndarray
    lids: np.ndarray
    brows: np.ndarray
    shapes: np.ndarray
    pose: np.ndarray
    change: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))

    def shape(self, name: str) -> np.ndarray:
        """(f,) a blendshape's score; of both sides their mean."""
        return Reading(np.empty((len(self.pose), 0, 2)), self.shapes, self.pose).shape(name)


Readings = dict[tuple[str, str, int], Seen]
"""Model, use and number of a clip -> what was seen; videos of people are under REAL."""


def look(frames: Iterator[np.ndarray]) -> Seen:
    """Read frames (h, w, 3) uint8."""
    return _seen(read_frames(enlarged(frame) for frame in frames))


def _seen(reading: Reading, change: np.ndarray | None = None) -> Seen:
    parts = (reading.opening, reading.width, reading.lids, reading.brows, reading.shapes, reading.pose)
    return Seen(*parts) if change is None else Seen(*parts, change)


def look_at_pair(source: Maker, clip: Clip) -> Seen:
    """Make and read a clip, and measure what closing its audio changes."""
    opened, closed = ([enlarged(f) for f in source.frames(clip, gates)] for gates in ((), (CLOSED,)))
    reading = read_frames(iter(opened))
    return _seen(reading, change_by_region(opened, closed, reading))


def change_by_region(one: Sequence[np.ndarray], other: Sequence[np.ndarray], reading: Reading) -> np.ndarray:
    """Mean difference of two clips (of 255) in lower face, upper face, and outside the face, (3,).

    The face is the paper's rectangle around the landmarks that were read in each frame of `one`; the base of
    the nose parts it: a jaw that falls moves cheeks, and nothing above.
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
    """Make and read every clip by every model that can, and read every video of a person.

    tick: called once for each clip (`count`).
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
    """How many clips there are to see."""
    return sum(makes(model, clip) for model in (REAL, *models) for clip in clips)


def makes(model: str, clip: Clip) -> bool:
    """Whether a model makes a clip: it takes all of its signals. Under REAL: whether there is a video."""
    if model == REAL:
        return clip.use in ("real", "driver")
    if model == TRUTH:
        return clip.use not in ("music", "noise", "telephone")  # they ask for what the clean sound asks for
    return set(clip.signals) <= set(signals_of(model))


def _files(model: str) -> object:
    """What the clips of a model depend on beside the clips themselves."""
    if model == REAL:
        return REAL
    if model == TRUTH:
        sources = [*sorted((PACKAGE / "heads").glob("*.py")), PACKAGE / "signals" / "liveliness.py"]
        return {path.name: file_hash(path) for path in sources}
    return model_files(model)


def _key(model: str, clip: Clip, files: object) -> str:
    """The key of a clip's cell."""
    recipe = [file_hash(video_of(clip)), clip.frames] if model == REAL else clip.digest(model == TRUTH)
    return key_of("clip", MEASURED, files, recipe)


def video_of(clip: Clip) -> Path:
    """The video of a person that belongs to a clip."""
    video = clip.real or clip.driver
    assert video is not None
    return video


def _measured(model: str, clip: Clip) -> Measured:
    """Make a clip and read it: its cell."""
    if model == REAL:
        frames = read_video(video_of(clip), Fraction(FPS), limit=clip.frames)
        return cell_of(look(at_most(frame) for frame in frames))
    if clip.pair:
        return cell_of(look_at_pair(maker(model), clip))
    return cell_of(look(maker(model).frames(clip)))


def cell_of(seen: Seen) -> Measured:
    """The cell of a reading: its curves, scores and angles side by side, (f, 59) float32."""
    curves = np.stack([getattr(seen, name) for name in CURVES], 1)
    reading = np.concatenate([curves, seen.shapes, seen.pose], 1)
    return Measured(
        {"change": np.asarray(seen.change, np.float32).tolist()}, {"reading": reading.astype(np.float32)}
    )


def read_seen(folder: Path, key: str) -> Seen:
    """The reading in a cell that is there."""
    values = read_values(folder, key)
    assert values is not None, key
    reading = np.array(read_array(folder, key, "reading"), float)
    curves = dict(zip(CURVES, reading.T, strict=False))
    shapes, pose = reading[:, len(CURVES) : -3], reading[:, -3:]
    return Seen(**curves, shapes=shapes, pose=pose, change=np.array(values["change"], float))
