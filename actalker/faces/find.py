"""Finds the face in a picture, with the best finder that can run.

To add a finder: one file in this folder with `find(image, model) -> list[Face]` and
`refuses(model) -> str | None`, one line in `FINDERS`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import InputError, one_of
from .alignment import alignment_refuses, find_by_alignment
from .cascade import find_by_cascade
from .face import Face
from .landmarker import SHIPPED, find_by_landmarker, landmarker_refuses, libraries_missing
from .upright import LIES, upright

log = logging.getLogger("actalker")
MODEL_VARIABLE = "ACTALKER_FACE_MODEL"


@dataclass(frozen=True)
class Finder:
    """A way to find faces, and whether it can run here."""

    find: Callable[[np.ndarray, Path | None], list[Face]]
    refuses: Callable[[Path | None], str | None]  # why it cannot run here, or None
    glance: Callable[[Path | None], str | None]  # the same without slow imports, for reports


@dataclass(frozen=True)
class Upright:
    """A portrait with its face upright.

    image: (h, w, 3) uint8. finder: the name of the finder that found the face. turns: the quarter turns
    counter-clockwise by which the portrait was turned.
    """

    image: np.ndarray
    face: Face
    finder: str
    turns: int


FINDERS = {  # best first: `auto` takes the first that can run
    "landmarker": Finder(find_by_landmarker, landmarker_refuses, lambda model: libraries_missing()),
    "alignment": Finder(find_by_alignment, alignment_refuses, alignment_refuses),
    "cascade": Finder(lambda image, model: find_by_cascade(image), lambda model: None, lambda model: None),
}


def face_model(model: Path | None) -> Path:
    """The landmarker's model file: the caller's, else $ACTALKER_FACE_MODEL, else the one in this package.

    Raises: InputError when the caller's file is not there.
    """
    if model is not None:
        if not os.path.isfile(model):
            raise InputError(f"--face-model {model}: no such file; give MediaPipe's face_landmarker.task")
        return Path(model)
    if named := os.environ.get(MODEL_VARIABLE):
        if not os.path.isfile(named):
            raise InputError(f"{MODEL_VARIABLE}={named}: no such file; give MediaPipe's face_landmarker.task")
        return Path(named)
    return SHIPPED


def choose_finder(name: str = "auto", model: Path | None = None) -> tuple[str, Path]:
    """The name of the finder that will run, and the landmarker's model file.

    A warning, once, where `auto` does not get the best finder.
    Raises: InputError when the named finder, or the landmarker if `model` is set, cannot run.
    """
    path = face_model(model)
    if name == "auto":
        best = FINDERS["landmarker"].refuses(path)
        if model is not None and best is not None:
            raise InputError(f"--face-model {model}: cannot be used ({best})")
        name = next(key for key, one in FINDERS.items() if one.refuses(path) is None)
        if best is not None:
            _say_once(f"{best}. Until then the {name} looks for faces, and sees fewer")
    if (reason := FINDERS[one_of(name, FINDERS, "face finder")].refuses(path)) is not None:
        raise InputError(f"face finder '{name}' cannot run: {reason}")
    return name, path


@lru_cache
def _say_once(text: str) -> None:
    """Log a warning once in a process."""
    log.warning(text)


def find_faces(
    image: np.ndarray,
    finder: str = "auto",
    model: Path | None = None,
    index: int | None = None,
    name: str = "picture",
) -> Face:
    """The face of a picture.

    Args:
        image: (h, w, 3) uint8 RGB.
        finder: a name in `FINDERS`, or `auto` for the best that can run.
        model: MediaPipe's face_landmarker.task, instead of the one in this package.
        index: which face, the largest first; None takes the largest, with a warning if there are several.
        name: of the picture, for messages.
    Raises: InputError when there is no face, or no such face, or the finder cannot run.
    """
    finder, path = choose_finder(finder, model)
    faces = sorted(FINDERS[finder].find(image, path), key=lambda face: -face.area)
    if not faces:
        better = "" if finder == "landmarker" else "; MediaPipe sees more: pip install mediapipe"
        raise InputError(f"{name}: no face found by the {finder}; give a frontal portrait{better}")
    if index is not None:
        if not 0 <= index < len(faces):
            raise InputError(
                f"{name}: --face-index {index}, but {len(faces)} faces were found; "
                f"give 0 to {len(faces) - 1}, the largest is 0"
            )
        face = faces[index]
    else:
        face = faces[0]
        if len(faces) > 1:
            log.warning(
                "%s: %d faces found; the largest is taken, --face-index chooses another", name, len(faces)
            )
    h, w = image.shape[:2]
    x0, y0, x1, y1 = face.box
    if x0 < 0 or y0 < 0 or x1 > w or y1 > h:
        log.warning(
            "%s: the face is cut by the picture's border; what is missing is filled from the edge", name
        )
    return face


def find_upright(
    image: np.ndarray, model: Path | None = None, index: int | None = None, name: str = "picture"
) -> Upright:
    """Find the face of a portrait, and turn the portrait by quarters until the face is upright.

    A warning says if it was turned. Only the landmarker measures roll: other finders see upright faces only,
    and none in a picture that lies on its side.

    Args: as in `find_faces`; index counts the faces of the picture that is returned.
    Raises: InputError as `find_faces`, or when the face is not upright and its direction is not sure.
    """
    turns = 0
    finder, path = choose_finder("auto", model)
    if finder == "landmarker":
        turns, sure = upright(image, path)
        if turns and not sure:
            raise InputError(
                f"{name}: the face is not upright, and how it lies is not sure; turn the picture upright"
            )
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
            log.warning("%s: %s; the picture is turned %s", name, *LIES[turns])
        elif not sure:
            log.warning(
                "%s: whether the face is upright is not sure; the picture is taken as it stands", name
            )
    face = find_faces(image, finder, model=path, index=index, name=name)
    return Upright(image, face, finder, turns)


def finder_status() -> dict[str, str]:
    """The status of each finder: `at hand`, or why it cannot run and what to type."""
    try:
        path = face_model(None)
    except InputError as error:  # nothing is looked for then
        return dict.fromkeys(FINDERS, str(error))
    return {name: finder.glance(path) or "at hand" for name, finder in FINDERS.items()}
