"""The looks of a head as numbers: its proportions, colours, hair, and the medium of its picture.

Lengths are in the unit square of the canonical crop (x right, y down): eyes at y = 0.42, mouth at y = 0.68.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .motion import CHANNELS, INDEX

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

EYE_Y, MOUTH_Y, NOSE_Y, FACE_Y = 0.42, 0.68, 0.565, 0.45  # FACE_Y: where the face is widest
HAIR = ("bald", "short", "fringe", "side", "receding", "long", "curtain", "cloud", "bun", "hat", "veil")
TEETH = (0.0, 0.03)  # height
# what a closed mouth hides: a colour and the deviation around it; in a statue, shades of its stone
INSIDE = {
    "inside": ((0.15, 0.06, 0.06), 0.03),
    "tongue": ((0.62, 0.3, 0.3), 0.06),
    "tooth": ((0.9, 0.87, 0.8), 0.05),
}
STONE_INSIDE = {"inside": (0.1, 0.3), "tongue": (0.5, 0.8), "tooth": (0.85, 1.05)}
MEDIA = {"photo": 0.5, "grey photo": 0.08, "painting": 0.14, "statue": 0.12, "sketch": 0.1, "plain": 0.06}


@dataclass(frozen=True)
class Medium:
    """The look of the picture: a filter over the whole frame, the same in every frame of a clip."""

    saturation: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    tint: Colour = (1.0, 1.0, 1.0)
    blur: float = 0.0  # pixels of a 128-pixel frame
    sketch: float = 0.0  # 0 none .. 1 pencil on paper
    paper: Colour = (0.96, 0.95, 0.92)
    grain: float = 0.0  # noise of the picture's surface
    strokes: float = 0.0  # noise that follows the head: brush or pencil
    vignette: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """The looks of one person, with the rest state and the place of the head in the portrait."""

    seed: int  # of its textures
    scale: float = 1.0  # portrait jitter: the whole figure in the frame
    shift: tuple[float, float] = (0.0, 0.0)
    tilt: float = 0.0  # degrees
    rest: tuple[float, ...] = (0.0,) * len(CHANNELS)  # what the face does in the portrait
    face_width: float = 0.24  # half
    head_top: float = 0.13
    chin: float = 0.87
    taper: float = 0.15  # how much the jaw narrows; below 0 it is square
    eye_gap: float = 0.115  # half the distance between the eyes
    eye_width: float = 0.05  # half
    eye_upper: float = 0.022
    eye_lower: float = 0.014
    eye_tilt: float = 0.0
    iris: float = 0.022  # radius
    brow_y: float = 0.345
    brow_length: float = 0.06  # half
    brow_thick: float = 0.009  # half
    brow_arch: float = 0.012
    brow_slant: float = 0.0
    nose_width: float = 0.033
    nose_length: float = 0.0  # shift of its tip
    relief: float = 1.0  # depth of nose, sockets and cheeks
    mouth_width: float = 0.09  # half
    lip_upper: float = 0.018
    lip_lower: float = 0.024
    cupid: float = 0.3
    ears: float = 1.0
    teeth: float = 0.022
    hair: str = "short"
    hairline: float = 0.24  # y at the middle
    parting: float = 0.0
    beard: float = 0.0  # cover
    moustache: float = 0.0
    glasses: str = ""  # "", "round" or "square"
    skin: Colour = (0.85, 0.66, 0.55)
    lip: Colour = (0.75, 0.42, 0.40)
    blush: Colour = (0.85, 0.50, 0.45)
    brow_colour: Colour = (0.25, 0.17, 0.12)
    hair_colour: Colour = (0.25, 0.17, 0.12)
    beard_colour: Colour = (0.25, 0.17, 0.12)
    white: Colour = (0.93, 0.92, 0.90)
    iris_colour: Colour = (0.35, 0.25, 0.15)
    pupil_colour: Colour = (0.04, 0.04, 0.05)
    inside: Colour = (0.16, 0.05, 0.05)
    tongue: Colour = (0.65, 0.30, 0.30)
    tooth: Colour = (0.92, 0.90, 0.84)
    clothes: Colour = (0.25, 0.30, 0.45)
    clothes_second: Colour = (0.85, 0.85, 0.85)
    ground: Colour = (0.55, 0.60, 0.62)
    ground_second: Colour = (0.35, 0.40, 0.45)
    frame_colour: Colour = (0.1, 0.1, 0.1)
    light: tuple[float, float] = (-0.4, -0.5)  # where it comes from
    ambient: float = 0.6
    hardness: float = 0.3  # 0 soft .. 1 hard edge between light and shadow
    mottle: float = 0.04  # skin texture
    gloss: float = 0.3
    stone: bool = False  # a statue's head
    medium: Medium = field(default_factory=Medium)

    def total(self, motion: np.ndarray) -> np.ndarray:
        """The absolute channels (f, P) of a motion (f, P): the portrait's rest state is added."""
        return motion + np.asarray(self.rest, np.float32)


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    """A colour between two: t = 0 gives a, 1 gives b."""
    red, green, blue = (float(np.clip(x + (y - x) * t, 0, 1)) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _times(a: Colour, k: float) -> Colour:
    """A colour times a factor."""
    red, green, blue = (float(np.clip(x * k, 0, 1)) for x in a)
    return red, green, blue


def _near(rng: np.random.Generator, a: Colour, spread: float) -> Colour:
    """A random colour near another. spread: standard deviation of each channel."""
    red, green, blue = (float(np.clip(x + rng.normal() * spread, 0.02, 0.98)) for x in a)
    return red, green, blue


def _colours(rng: np.random.Generator, kind: str) -> dict[str, Colour]:
    """Random colours of a head, by name; a statue's are shades of one stone. kind: a key of MEDIA."""
    if kind == "statue":
        base = rng.uniform(0.35, 0.9)
        stone = _near(rng, (base * 1.02, base, base * 0.95), 0.03)
        near = {
            k: _near(rng, _times(stone, rng.uniform(lo, hi)), 0.008)
            for k, lo, hi in (
                ("lip", 0.9, 1.02),
                ("blush", 0.97, 1.03),
                ("brow_colour", 0.75, 1.0),
                ("hair_colour", 0.75, 1.02),
                ("beard_colour", 0.8, 1.0),
                ("white", 0.92, 1.08),
                ("iris_colour", 0.6, 1.0),
                ("pupil_colour", 0.35, 0.95),
                ("tooth", *STONE_INSIDE["tooth"]),
                ("tongue", *STONE_INSIDE["tongue"]),
                ("clothes", 0.7, 1.05),
                ("clothes_second", 0.7, 1.05),
            )
        }
        return {"skin": stone, "inside": _times(stone, rng.uniform(*STONE_INSIDE["inside"])), **near}
    fair = rng.uniform(0, 1) ** 0.8
    skin = _near(rng, _mix((0.28, 0.18, 0.13), (0.96, 0.82, 0.72), fair), 0.035)
    if rng.random() < 0.08:
        skin = tuple(rng.uniform(0.2, 0.95, 3).tolist())  # a face in any colour
    red = _near(rng, (0.72, 0.26, 0.28), 0.08)
    lip = _mix(_times(skin, rng.uniform(0.78, 0.98)), red, rng.uniform(0, 0.75) ** 1.5)
    dye = rng.random()
    hair = _mix((0.06, 0.05, 0.05), _near(rng, (0.55, 0.38, 0.2), 0.1), rng.uniform(0, 1) ** 1.5)
    if dye < 0.2:
        hair = _near(rng, (0.75, 0.73, 0.70), 0.08)
    elif dye < 0.3:
        hair = tuple(rng.uniform(0.05, 0.9, 3).tolist())
    iris = _mix((0.22, 0.13, 0.07), _near(rng, (0.35, 0.5, 0.6), 0.1), rng.uniform(0, 1))
    brow = _mix(_times(hair, 0.8), _times(skin, 0.6), rng.uniform(0, 0.7))
    return {
        "skin": skin,
        "lip": lip,
        "blush": _mix(skin, red, rng.uniform(0.0, 0.45)),
        "hair_colour": hair,
        "brow_colour": brow,
        "beard_colour": _mix(hair, (0.4, 0.38, 0.36), rng.uniform(0, 0.6)),
        "white": _near(rng, (0.9, 0.88, 0.86), 0.05),
        "iris_colour": iris,
        "pupil_colour": _times((1, 1, 1), rng.uniform(0.02, 0.12)),
        **{name: _near(rng, *colour) for name, colour in INSIDE.items()},
        "clothes": tuple(rng.uniform(0.04, 0.95, 3).tolist()),
        "clothes_second": tuple(rng.uniform(0.04, 0.95, 3).tolist()),
    }


def _medium(rng: np.random.Generator, kind: str) -> Medium:
    """A random medium. kind: a key of MEDIA."""
    grey = 0.0 if kind == "grey photo" or rng.random() < 0.04 else rng.uniform(0.6, 1.3)
    warm = rng.normal() * 0.05
    medium = Medium(
        saturation=grey,
        contrast=rng.uniform(0.75, 1.25),
        brightness=rng.uniform(-0.08, 0.08),
        tint=(1 + warm, 1.0, 1 - warm),
        blur=max(0.0, rng.uniform(-1.0, 0.9)),
        grain=rng.uniform(0, 0.03),
        vignette=max(0.0, rng.uniform(-0.6, 0.6)),
    )
    if kind == "grey photo":
        sepia = rng.uniform(0, 0.12)
        return replace(medium, tint=(1 + sepia, 1.0, 1 - 1.3 * sepia), grain=rng.uniform(0.0, 0.06))
    if kind == "painting":
        return replace(
            medium,
            strokes=rng.uniform(0.05, 0.2),
            tint=(1 + rng.uniform(0, 0.15), 1.0, 1 - rng.uniform(0, 0.25)),
            blur=rng.uniform(0, 1.0),
        )
    if kind == "sketch":
        return replace(
            medium,
            sketch=rng.uniform(0.55, 1),
            saturation=rng.choice([0.0, 0.0, 0.4]),
            blur=0.0,
            strokes=rng.uniform(0.05, 0.3),
            vignette=0.0,
            paper=_near(rng, (0.94, 0.92, 0.88), 0.05),
        )
    return medium


def random_rest(rng: np.random.Generator) -> tuple[float, ...]:
    """A random rest state (P,): a closed or slightly open mouth, a hint of a smile, a turned head."""
    rest = np.zeros(len(CHANNELS))
    rest[INDEX["jaw"]] = rng.uniform(0.02, 0.25) if rng.random() < 0.25 else 0.0
    rest[INDEX["smile"]] = rng.choice([0.0, rng.uniform(-0.3, 0.9)])
    rest[INDEX["spread"]] = rng.uniform(-0.15, 0.15)
    rest[[INDEX["lid_left"], INDEX["lid_right"]]] = max(0.0, rng.uniform(-0.3, 0.25))
    rest[INDEX["gaze_x"]] = rng.choice([0.0, rng.uniform(-0.5, 0.5)])
    rest[INDEX["gaze_y"]] = rng.choice([0.0, rng.uniform(-0.3, 0.3)])
    rest[[INDEX["yaw"], INDEX["pitch"]]] = rng.normal(size=2) * (0.35, 0.2)
    return tuple(float(v) for v in rest)


def random_anatomy(rng: np.random.Generator) -> Anatomy:
    """A random head, from all proportions, colours and media that a model should see."""
    kind = str(rng.choice(list(MEDIA), p=np.array(list(MEDIA.values())) / sum(MEDIA.values())))
    u = rng.uniform
    width = u(0.215, 0.3)
    angle, sideways = u(0, 2 * np.pi), u(0.1, 0.8)
    light = (float(np.cos(angle) * sideways), float(-abs(np.sin(angle)) * sideways * u(0.2, 1) + 0.1))
    grown = rng.random() < 0.25
    hair = str(rng.choice(HAIR))
    ground = tuple(rng.uniform(0.03, 0.97, 3).tolist())
    if rng.random() < 0.35:
        ground = _near(rng, _times((1, 1, 1), u(0.03, 0.97)), 0.02)
    return Anatomy(
        seed=int(rng.integers(2**31)),
        scale=u(0.9, 1.1),
        shift=(u(-0.04, 0.04), u(-0.04, 0.04)),
        tilt=u(-5, 5),
        rest=random_rest(rng),
        face_width=width,
        head_top=u(0.08, 0.16),
        chin=u(0.835, 0.9),
        taper=u(-0.05, 0.32),
        eye_gap=float(np.clip(width * u(0.44, 0.5), 0.095, 0.142)),
        eye_width=u(0.042, 0.058),
        eye_upper=u(0.016, 0.029),
        eye_lower=u(0.010, 0.018),
        eye_tilt=u(-0.08, 0.1),
        iris=u(0.019, 0.026),
        brow_y=u(0.325, 0.365),
        brow_length=u(0.05, 0.068),
        brow_thick=u(0.004, 0.0125),
        brow_arch=u(0.0, 0.025),
        brow_slant=u(-0.2, 0.15),
        nose_width=u(0.026, 0.043),
        nose_length=u(-0.015, 0.015),
        relief=u(0.6, 1.4),
        mouth_width=u(0.072, 0.125),
        lip_upper=u(0.009, 0.025),
        lip_lower=u(0.013, 0.031),
        cupid=u(0, 0.5),
        ears=float(rng.choice([0.0, u(0.7, 1.2)], p=[0.2, 0.8])),
        teeth=u(*TEETH),
        hair=hair,
        hairline=u(0.19, 0.285),
        parting=u(-0.5, 0.5),
        beard=u(0.15, 1) if grown and rng.random() < 0.7 else 0.0,
        moustache=u(0.2, 1) if grown and rng.random() < 0.8 else 0.0,
        glasses=str(rng.choice(["", "round", "square"], p=[0.84, 0.08, 0.08])),
        **_colours(rng, kind),
        ground=ground,
        ground_second=_near(rng, ground, float(rng.choice([0.03, 0.25]))),
        frame_colour=tuple(rng.uniform(0.02, 0.5, 3).tolist()),
        light=light,
        ambient=u(0.35, 0.8),
        hardness=max(0.0, u(-0.5, 1)),
        mottle=u(0.0, 0.1) if kind != "statue" else u(0.02, 0.2),
        gloss=max(0.0, u(-0.3, 0.8)),
        stone=kind == "statue",
        medium=_medium(rng, kind),
    )
