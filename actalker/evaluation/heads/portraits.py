"""Measures of a head in one portrait: drawn frames against the motion asked for, and against the portrait.

Letters: f frames, H W picture size, h w the head's box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, laplace, map_coordinates

from ...faces.crop import Crop, canonical_crop
from ...faces.find import find_upright
from ...heads.drawing import Drawn, HeadPortrait
from ...heads.eyes import look as lids_follow
from ...heads.fit import check_fit, fit_face
from ...heads.landmarks import eyes_distance
from ...heads.model import head_model
from ...heads.outline import person_outline
from ...media.image import read_image
from ...pipeline.looks import SHEET
from ..statistics import correlation, psnr
from .reading import LEAST_ERROR, Reading, at_most, read_frames
from .sentence import closures, spoken

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the largest that is asked for
ASKED: dict[
    str, tuple[dict[str, float], str]
] = {  # channel: what is asked at most, and MediaPipe's score for it
    "jawOpen": ({"jawOpen": 0.5}, "jawOpen"),
    "smile": ({"mouthSmile": 0.8}, "mouthSmile"),
    "pucker": ({"mouthPucker": 0.9}, "mouthPucker"),
    "blink": ({"eyeBlink": 1.0}, "eyeBlink"),
    "browInnerUp": ({"browInnerUp": 0.9, "browOuterUp": 0.5}, "browInnerUp"),
    "browDown": ({"browDown": 0.9}, "browDown"),
}
TURNS = {"yaw": 18.0, "pitch": 12.0, "roll": 15.0}  # degrees to both sides
GAZES = {"gaze across": 16.0, "gaze down": 9.0}
SHOWN = 256  # pixels of a face on the page
PERSON, BAND = 0.1, 0.5  # of the outline, that is a person; soft band around it, in the eyes' distance
STEP, STEPS = 0.2, 24  # degrees of yaw a frame, frames of the slow turn


@dataclass(frozen=True)
class Subject:
    """Hold a portrait's head, fitted and ready to be drawn.

    far: (H, W) bool, the background beyond the soft band around the person. square: the crop around the face.
    """

    head: HeadPortrait
    far: np.ndarray
    square: Crop


@dataclass(frozen=True)
class Ask:
    """Hold a motion to draw, relative to the portrait: coefficients (54,), pose (6,), gaze (2,)."""

    coefficients: np.ndarray
    pose: np.ndarray
    gaze: np.ndarray


def ask(
    coefficients: Mapping[str, float] | None = None, gaze: tuple[float, float] = (0, 0), **pose: float
) -> Ask:
    """Make the motion with these coefficients and angles, by name; all others are 0.

    gaze: degrees across and down. pose: yaw, pitch, roll in degrees.
    """
    turned = np.zeros(6)
    for name, degrees in pose.items():
        turned[list(TURNS).index(name)] = degrees
    turned_eyes = np.array(gaze, float)
    asked = head_model().coefficients(**(coefficients or {}))
    return Ask(lids_follow(asked, turned_eyes), turned, turned_eyes)


def open_portrait(path: Path, face_model: Path | None = None) -> Subject:
    """Fit a portrait's head. Raises: InputError where there is no face, or it cannot be fitted."""
    detected = find_upright(at_most(read_image(path)), face_model, None, str(path))
    fit = fit_face(detected.face, detected.image, str(path))
    check_fit(fit, detected.image, str(path))
    outline = person_outline(detected.image, detected.face.box)
    unit = float(eyes_distance(fit.points))
    far = distance_transform_edt(outline < PERSON) > BAND * unit
    return Subject(HeadPortrait(detected.image, fit, outline), far, canonical_crop(detected.face))


def sheet(subject: Subject) -> list[np.ndarray]:
    """Draw the face in twenty expressions and turns, (s, s, 3) uint8 each."""
    head, square = subject.head, subject.square
    pictures = [head.draw(*look.arrays()).frame for look in SHEET.values()]
    return [square.apply(picture, round(min(square.side, SHOWN))) for picture in pictures]


def draw(head: HeadPortrait, asked: Ask) -> Drawn:
    """Draw one frame."""
    return head.draw(asked.coefficients, asked.pose, asked.gaze)


def measure(subject: Subject, speech: bool) -> dict[str, float]:
    """Measure a portrait; returns name -> number. speech: whether to measure the spoken sentence too."""
    head = subject.head
    numbers = {"still": float(np.abs(draw(head, ask()).frame.astype(int) - head.image).max())}
    numbers |= _asked_and_read(head)
    numbers |= _turned_and_read(head)
    numbers |= _fields(subject)
    numbers |= _slow_turn(subject)
    if speech:
        numbers |= _sentence(head)
    return numbers


def _read(head: HeadPortrait, asked: list[Ask]) -> Reading:
    return read_frames(draw(head, one).frame for one in asked)


def _asked_and_read(head: HeadPortrait) -> dict[str, float]:
    """Return r of the motion asked for with MediaPipe's reading, by name, and the gap of shut lids."""
    out = {}
    for name, (most, score) in ASKED.items():
        reading = _read(head, [ask({k: level * v for k, v in most.items()}) for level in LEVELS])
        out[f"r {name}"] = _r(np.array(LEVELS), reading.shape(score))
        if name == "blink":
            out["lids shut"] = float(reading.lids[-1])
    for k, (name, most_degrees) in enumerate(GAZES.items()):
        degrees = np.linspace(-most_degrees, most_degrees, 5)
        asked = [ask(gaze=(d, 0.0) if k == 0 else (0.0, d)) for d in degrees]
        out[f"r {name}"] = _r(degrees, _read(head, asked).gaze()[:, k])
    return out


def _turned_and_read(head: HeadPortrait) -> dict[str, float]:
    out = {}
    for k, (name, most) in enumerate(TURNS.items()):
        degrees = np.linspace(-most, most, 5)
        read = _read(head, [ask(**{name: d}) for d in degrees]).pose[:, k]
        got = np.array([draw(head, ask(**{name: d})).pose[k] for d in degrees])  # what damping has left of it
        out[f"r {name}"] = _r(got, read)
        seen = ~np.isnan(read)
        out[f"slope {name}"] = (
            float(np.polyfit(got[seen], read[seen], 1)[0]) if seen.sum() > 1 else float("nan")
        )
    return out


def _r(asked: np.ndarray, read: np.ndarray) -> float:
    seen = ~np.isnan(read)
    return abs(correlation(asked[seen], read[seen])) if seen.sum() >= 3 else float("nan")


def _fields(subject: Subject) -> dict[str, float]:
    """Measure how well the field explains the frames, their sharpness, and the background's change."""
    head, far = subject.head, subject.far
    talking = ask({"jawOpen": 0.2, "mouthSmile": 0.3, "browInnerUp": 0.5})  # eyes open: lashes are sharp
    turned = ask({"jawOpen": 0.1}, yaw=20.0 if head.fit.pose[0] < 0 else -20.0)
    apart, out = [], {}
    for name, asked in (("expression", talking), ("turned", turned)):
        drawn = draw(head, asked)
        apart.append(_field_error(head.image, drawn))
        out[f"sharpness, {name}"] = _sharpness(head, drawn)
        out["background"] = max(
            out.get("background", 0.0),
            float(np.abs(drawn.frame.astype(int) - head.image)[far].max(initial=0)),
        )
    out["field"] = psnr(float(np.mean(apart)), least=LEAST_ERROR)
    return out


def _field_error(image: np.ndarray, drawn: Drawn) -> float:
    """Return the mean squared difference (0 to 255²) of the portrait warped by the field, and the frame.

    Only pixels where the field is known count; NaN without any.
    """
    x0, y0, x1, y1 = drawn.box
    part, known = drawn.frame[y0:y1, x0:x1].astype(float), drawn.known > 0.5
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(float)
    at = [rows + drawn.field[..., 1], columns + drawn.field[..., 0]]
    warped = np.stack(
        [map_coordinates(image[..., c].astype(float), at, order=3, mode="nearest") for c in range(3)], -1
    )
    return float(((warped - part) ** 2)[known].mean()) if known.any() else float("nan")


def _sharpness(head: HeadPortrait, drawn: Drawn) -> float:
    """Return (Laplacian energy of the drawn face without mouth) / (that of the portrait)."""

    def energy(picture: np.ndarray, mask: np.ndarray) -> float:
        grey = picture.astype(float) @ [0.299, 0.587, 0.114]
        inside = binary_erosion(mask, iterations=4)
        return float((laplace(grey)[inside] ** 2).mean()) if inside.any() else float("nan")

    still = draw(head, ask())
    pictures = []
    for one in (drawn, still):
        x0, y0, x1, y1 = one.box
        face = (one.regions["face"] > 0.5) & (one.regions["mouth"] < 0.3)
        pictures.append(energy(one.frame[y0:y1, x0:x1], face))
    return pictures[0] / pictures[1]


def _slow_turn(subject: Subject) -> dict[str, float]:
    """Measure a slow turn of the head.

    flicker: (mean change of drawn frames) / (mean change of the portrait warped by the field), in pixels
    where the field is known. flicker where nothing moves: largest change of the far background, 0 to 255.
    """
    head, far = subject.head, subject.far
    changes, before, moved = [], None, 0.0
    towards = STEP if head.fit.pose[0] < 0 else -STEP
    for k in range(STEPS):
        drawn = draw(head, ask(yaw=k * towards))
        x0, y0, x1, y1 = drawn.box
        rows, columns = np.mgrid[y0:y1, x0:x1].astype(float)
        at = [rows + drawn.field[..., 1], columns + drawn.field[..., 0]]
        warped = np.full(head.image.shape[:2], np.nan)
        warped[y0:y1, x0:x1] = map_coordinates(head.image[..., 1].astype(float), at, order=3, mode="nearest")
        warped[y0:y1, x0:x1][drawn.known < 0.5] = np.nan
        now = drawn.frame[..., 1].astype(float)
        if before is not None:
            both = ~np.isnan(warped) & ~np.isnan(before[1])
            pairs = (now, before[0]), (warped, before[1])
            changes.append([np.abs(one - other)[both].mean() for one, other in pairs])
            moved = max(moved, float(np.abs(now - before[0])[far].max(initial=0)))
        before = (now, warped)
    drawn_change, field_change = np.array(changes).sum(0)
    return {"flicker": float(drawn_change / max(field_change, 1e-9)), "flicker where nothing moves": moved}


def _sentence(head: HeadPortrait) -> dict[str, float]:
    """Measure on drawn frames how the lips close at each group of phones (`sentence.closures`)."""
    zero = np.zeros(2)

    def frames() -> Iterator[np.ndarray]:
        for coefficients in spoken(head.fit.coefficients.astype(float)):
            yield head.draw(coefficients, np.zeros(6), zero).frame

    reading = read_frames(frames())
    return {f"speech: {name}": value for name, value in closures(reading.opening, reading.width).items()}
