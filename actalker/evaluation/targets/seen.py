"""What is read of clips, kept in files: a second start makes only what is missing.

Letters: f frames, H W picture size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...faces.face import Face
from ...media.video import read_frames as read_video
from ...pipeline.model.find import find_model
from ...pipeline.model.folder import check_files
from ...provenance import file_hash, whole_file
from ...regions.shapes import REGIONS
from ...signals.encoders import NONE
from ...signals.signal import SIGNALS
from ..heads.reading import NOSE_BASE, Reading, at_most, read_frames
from ..jobs import run_jobs
from ..lips import FPS
from .clips import Clip
from .makers import CLOSED, TRUTH, Maker, enlarged, maker

MEASURED = 2  # to be raised when clips are made or read in another way: old cells are not taken then
REAL = "real"  # what videos are read under, beside the names of models
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, eq=False)
class Seen:
    """MediaPipe's reading of a clip, (f,) or (f, ...), NaN where no face was found.

    opening, width, lids, brows as `Reading` has them; shapes (f, 52), pose (f, 3). change: of a pair, the
    mean difference (of 255) in lower face, upper face, and outside the face.
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


Kept = dict[tuple[str, str, int], Seen]
"""Model, use and number of a clip -> what was seen; videos of people are under REAL."""


def look(frames: Iterator[np.ndarray]) -> Seen:
    """Read frames (h, w, 3) uint8."""
    return _seen(read_frames(enlarged(frame) for frame in frames))


def _seen(reading: Reading, change: np.ndarray | None = None) -> Seen:
    parts = (reading.opening, reading.width, reading.lids, reading.brows, reading.shapes, reading.pose)
    return Seen(*parts) if change is None else Seen(*parts, change)


def look_at_pair(made: Maker, clip: Clip) -> Seen:
    """A clip, and what closing its audio changes."""
    opened, closed = ([enlarged(f) for f in made.frames(clip, gates)] for gates in ((), (CLOSED,)))
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
    engine: str = "processes",
    workers: int = 1,
    address: str | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Kept:
    """Make and read every clip by every model that can, and read every video of a person.

    Raises: InputError for models and files that cannot be used.
    """
    cells = folder / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    todo, where = [], {}
    for model in (REAL, *models):
        told = _hashes(model)
        for clip in clips:
            if not _makes(model, clip):
                continue
            path = cells / f"{_key(told, clip, model)}.npz"
            where[model, clip.use, clip.number] = path
            if read_seen(path) is None:
                todo.append((model, clip, str(path)))
            else:
                tick()
    todo.sort(key=lambda job: (models.index(job[0]) if job[0] in models else -1, -job[1].frames))
    for _ in run_jobs(_job, todo, engine, workers, address):
        tick()
    found = {name: read_seen(path) for name, path in where.items()}
    return {name: seen for name, seen in found.items() if seen is not None}


def count(models: Sequence[str], clips: Sequence[Clip]) -> int:
    """How many clips there are to see."""
    return sum(_makes(model, clip) for model in (REAL, *models) for clip in clips)


def _makes(model: str, clip: Clip) -> bool:
    if model == REAL:
        return clip.use in ("real", "driver")
    if model == TRUTH:
        return clip.use not in ("music", "noise", "telephone")  # they ask for what the clean sound asks for
    return set(clip.signals) <= set(_signals(model))


def _signals(model: str) -> list[str]:
    config = json.loads((find_model(model) / "config.json").read_text(encoding="utf-8"))
    return [name for name in SIGNALS if config.get(name, {}).get("kind") != NONE]


def _hashes(model: str) -> object:
    if model == REAL:
        return REAL
    if model == TRUTH:
        sources = [*sorted((PACKAGE / "heads").glob("*.py")), PACKAGE / "signals" / "liveliness.py"]
        return {path.name: file_hash(path) for path in sources}
    return sorted(check_files(find_model(model)).items())


def _key(told: object, clip: Clip, model: str) -> str:
    if model == REAL:
        video = clip.real or clip.driver
        assert video is not None
        made: object = [file_hash(video), clip.frames]
    else:
        made = clip.digest(model == TRUTH)
    return hashlib.sha256(json.dumps([MEASURED, told, made]).encode()).hexdigest()[:16]


def _job(model: str, clip: Clip, path: str) -> None:
    """Make a clip, read it, and keep what was read."""
    if model == REAL:
        video = clip.real or clip.driver
        assert video is not None
        seen = look(at_most(f) for f in read_video(video, Fraction(FPS), limit=clip.frames))
    elif clip.pair:
        seen = look_at_pair(maker(model), clip)
    else:
        seen = look(maker(model).frames(clip))
    with whole_file(Path(path), overwrite=True) as work:
        np.savez_compressed(work, **{k: np.asarray(v, np.float32) for k, v in vars(seen).items()})  # type: ignore[arg-type]


def read_seen(path: Path) -> Seen | None:
    """What a file keeps; None where there is none, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as held:
            return Seen(**{name: held[name].astype(float) for name in held.files})
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError):
        return None
