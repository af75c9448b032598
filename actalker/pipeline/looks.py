"""Single pictures of a portrait with another expression, pose or gaze, and a sheet of examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..codecs.drawn import DrawnPortrait
from ..errors import InputError, one_of
from ..heads.eyes import look as lids_follow
from ..heads.model import INDEX, ours
from ..heads.motion import POSE

LEAST, MOST = -1.0, 1.5  # of a coefficient; 0 is the portrait's own, 1 all that most faces do
ANGLE, AWAY = 90.0, 100.0  # degrees, cm: the largest that can be asked for
GAZE = ("right", "down")
GAZES = 45.0  # degrees
COLUMNS, CELL, TITLE, GAP = 5, 256, 20, 6  # of the sheet; pixels
INK, PAPER = (30, 30, 34), (250, 249, 246)


@dataclass(frozen=True)
class Look:
    """An expression, a pose and a gaze, relative to the portrait's.

    coefficients: name of ARKit's or the model's -> value in [-1, 1.5]; a name without a side sets both.
    pose: yaw, pitch, roll in degrees, x, y, z in cm (`HeadMotion.pose`).
    gaze: right and down, in degrees.
    Raises: InputError for unknown names, with the nearest, and for numbers outside these ranges.
    """

    coefficients: Mapping[str, float] = field(default_factory=dict)
    pose: Mapping[str, float] = field(default_factory=dict)
    gaze: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.coefficients.items():
            if name.startswith("eyeLook") and ours(name):
                raise InputError(f"{name}: lids follow the eyes; turn those: --gaze right=10, or down=-10")
            if not ours(name):
                one_of(name, coefficient_names(), "expression")
            _check(name, value, LEAST, MOST)
        for name, value in self.pose.items():
            most = ANGLE if one_of(name, POSE, "pose") in POSE[:3] else AWAY
            _check(name, value, -most, most)
        for name, value in self.gaze.items():
            _check(f"gaze {one_of(name, GAZE, 'gaze')}", value, -GAZES, GAZES)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return coefficients (54,), pose (6,) and gaze (2,) for drawing; lids follow the gaze."""
        values = np.zeros(len(INDEX), np.float32)
        for name, value in self.coefficients.items():
            values[[INDEX[key] for key in ours(name)]] = value
        pose = np.array([self.pose.get(name, 0.0) for name in POSE])
        gaze = np.array([self.gaze.get(name, 0.0) for name in GAZE])
        return lids_follow(values, gaze), pose, gaze


def coefficient_names() -> list[str]:
    """Names of coefficients that a caller may set; those with two sides are listed once, without a side."""
    plain = [name.removesuffix("_L") for name in INDEX if not name.endswith("_R")]
    return [name for name in plain if not name.startswith("eyeLook")]


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InputError(f"{name}={value:g}: give a number from {least:g} to {most:g}; 0 changes nothing")


SHEET = {
    "as it is": Look(),
    "jaw open": Look({"jawOpen": 0.6}),
    "smile": Look({"mouthSmile": 0.8, "cheekSquint": 0.4}),
    "laugh": Look({"mouthSmile": 0.8, "jawOpen": 0.4, "cheekSquint": 0.6, "mouthUpperUp": 0.3}),
    "sad": Look({"mouthFrown": 0.7, "browInnerUp": 0.7, "mouthShrugLower": 0.3}),
    "angry": Look({"browDown": 0.9, "noseSneer": 0.5, "mouthPress": 0.5, "eyeSquint": 0.4}),
    "surprised": Look({"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.8, "jawOpen": 0.35}),
    "eyes shut": Look({"eyeBlink": 1.0}),
    "wink": Look({"eyeBlink_L": 1.0, "cheekSquint_L": 0.5, "mouthSmile_L": 0.4}),
    "pucker": Look({"mouthPucker": 0.8}),
    "funnel, as in o": Look({"mouthFunnel": 0.7, "jawOpen": 0.2}),
    "stretched, as in e": Look({"mouthStretch": 0.6, "jawOpen": 0.15, "mouthLowerDown": 0.3}),
    "lips pressed": Look({"mouthPress": 0.8, "mouthRollLower": 0.4, "mouthRollUpper": 0.3}),
    "looks to the left": Look(gaze={"right": -25}),
    "looks up": Look(gaze={"down": -18}),
    "turned left": Look(pose={"yaw": -20}),
    "turned right": Look(pose={"yaw": 20}),
    "nods": Look(pose={"pitch": 12}),
    "head up": Look(pose={"pitch": -12}),
    "tilted": Look(pose={"roll": 12}),
}


def look(portrait: DrawnPortrait, asked: Look) -> np.ndarray:
    """Draw the portrait with a look, (h, w, 3) uint8."""
    return portrait.draw(*asked.arrays())


def sheet(portrait: DrawnPortrait) -> np.ndarray:
    """Draw a sheet of twenty looks with their names, (h, w, 3) uint8."""
    return _laid_out({name: look(portrait, asked) for name, asked in SHEET.items()})


def _laid_out(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    rows = -(-len(pictures) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, rows * (CELL + TITLE + GAP) + GAP), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for k, (name, picture) in enumerate(pictures.items()):
        x, y = GAP + k % COLUMNS * (CELL + GAP), GAP + k // COLUMNS * (CELL + TITLE + GAP)
        image = Image.fromarray(picture)
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        page.paste(image, (x + (CELL - image.width) // 2, y + TITLE + (CELL - image.height) // 2))
        draw.text((x, y), name, INK, font)
    return np.asarray(page)


def parse_values(texts: Sequence[str], option: str, example: str) -> dict[str, float]:
    """Parse `["jawOpen=0.5,mouthSmile=0.3"]` to numbers by name.

    option, example: the command line's option and a value of it, for messages.
    Raises: InputError for other words, and for names that are there twice.
    """
    out: dict[str, float] = {}
    for part in _parts(texts):
        name, equals, number = (word.strip() for word in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not equals or not name or not np.isfinite(value):
            raise InputError(f"--{option} {part}: write NAME=NUMBER, for example --{option} {example}")
        if name in out:
            raise InputError(f"--{option} {part}: {name} is given twice; give it once")
        out[name] = value
    return out


def _parts(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from (part for part in text.split(",") if part.strip())
