"""The expressions of faces in portraits, drawn at random with the statistics of fits to photographs.

There are four kinds of mouths; for each, every number has a normal distribution cut off at 0, and the face's
sides differ. The constants are those that `python benchmarks/sitters.py PORTRAITS` prints
for 210 generated portraits.
"""

from __future__ import annotations

import numpy as np

from ...heads.face_map import NUMBERS
from ...heads.model import INDEX, head_model, ours
from .looks import COUNT, DOWN, PITCH, RIGHT, ROLL, SHUT, YAW

KINDS = ("closed", "parted", "teeth", "laugh")
SEEN = (0.75, 0.07, 0.09, 0.09)  # share of each kind among the portraits
DRAWN = (0.6, 0.13, 0.14, 0.13)  # share of each kind that is drawn: more of the rare ones
OPENINGS = ((0.0, 0.0), (0.25, 1.0), (0.2, 0.8), (0.8, 1.6))  # cm between the lips of each kind
SHARED: dict[str, tuple[float, float]] = {  # mean and standard deviation, the same for all kinds
    "browDown": (0.37, 0.24),
    "browInnerUp": (-0.23, 0.39),
    "browOuterUp": (-0.17, 0.32),
    "cheekSquint": (-0.01, 0.10),
    "eyeBlink": (-0.06, 0.10),
    "eyeSquint": (0.30, 0.19),
    "eyeWide": (0.30, 0.18),
    "noseSneer": (0.10, 0.09),
    "jawLeft": (0.07, 0.11),
    "jawRight": (0.01, 0.13),
    "mouthLeft": (0.09, 0.11),
    "mouthRight": (0.10, 0.10),
    "mouthPress": (0.04, 0.17),
    "mouthRollLower": (0.09, 0.13),
    "mouthFrown": (0.06, 0.15),
}
NONE = (-1.0, 0.1)
MOUTHS: dict[str, tuple[tuple[float, float], ...]] = {  # mean and standard deviation for each kind
    "jawOpen": ((-0.07, 0.07), (0.05, 0.09), (0.05, 0.07), (0.23, 0.12)),
    "mouthDimple": ((-0.03, 0.06), (-0.01, 0.05), (-0.22, 0.18), (-0.03, 0.03)),
    "mouthFunnel": (NONE, (0.03, 0.06), (0.0, 0.02), NONE),
    "mouthLowerDown": ((-0.11, 0.12), (0.04, 0.31), (0.01, 0.16), (0.04, 0.23)),
    "mouthPucker": ((0.05, 0.22), (0.04, 0.27), (0.0, 0.12), NONE),
    "mouthRollUpper": ((0.10, 0.10), (0.18, 0.10), (0.20, 0.06), (0.20, 0.09)),
    "mouthShrugLower": ((0.15, 0.10), (0.06, 0.11), (0.03, 0.06), (-0.01, 0.16)),
    "mouthShrugUpper": ((0.09, 0.21), (0.21, 0.21), (0.27, 0.16), (0.27, 0.16)),
    "mouthSmile": ((0.04, 0.24), (0.02, 0.20), (0.61, 0.21), (0.91, 0.31)),
    "mouthStretch": ((-0.03, 0.17), (0.04, 0.12), (-0.04, 0.26), (0.08, 0.27)),
    "mouthUpperUp": ((-0.03, 0.11), (0.02, 0.11), (0.14, 0.09), (0.27, 0.12)),
}
TOGETHER: dict[str, float] = {  # correlation of the two sides; for others it is SIDES
    "browInnerUp": 0.96,
    "browOuterUp": 0.86,
    "eyeBlink": 0.9,
    "mouthSmile": 0.97,
    "mouthLowerDown": 0.88,
    "mouthUpperUp": 0.83,
    "mouthPress": 0.33,
}
SIDES = 0.6
TURNED, NODDED = (9.8, 6.5, 3.0), 6.7  # degrees: deviations of yaw, pitch, roll; the mean pitch
# the roll's 3.0 is a guess: the portraits were levelled, so they show 0.7
BACK, LOOKS = (-0.41, -0.30), (4.3, 3.4)  # gaze per degree of yaw and pitch, and its deviation, degrees
HALF_SHUT = 0.05  # share of portraits with lids at half mast, which the generated ones do not show
MOST = (30.0, 22.0, 15.0)  # degrees

_MIDDLES, _SPREADS = np.full((len(KINDS), COUNT), NONE[0]), np.full((len(KINDS), COUNT), NONE[1])
_SHARED = np.full(COUNT, SIDES)
for _name, _each in {**{name: (one,) * len(KINDS) for name, one in SHARED.items()}, **MOUTHS}.items():
    for _key in ours(_name):
        _MIDDLES[:, INDEX[_key]], _SPREADS[:, INDEX[_key]] = np.transpose(_each)
        _SHARED[INDEX[_key]] = TOGETHER.get(_name, SIDES)
_PAIR = np.array([INDEX[f"{name[:-2]}_L"] if name.endswith("_R") else k for name, k in INDEX.items()])


def draw_sitter(rng: np.random.Generator) -> np.ndarray:
    """A random portrait's numbers, (62,) float32, absolute as in `HeadFit`; x, y, z and eyeLook are 0."""
    kind = rng.choice(len(KINDS), p=DRAWN)
    independent, shared = rng.normal(size=(2, COUNT))
    normal = np.sqrt(_SHARED) * shared[_PAIR] + np.sqrt(1 - _SHARED) * independent
    out = np.zeros(len(NUMBERS))
    out[:COUNT] = np.clip(_MIDDLES[kind] + _SPREADS[kind] * normal, 0, 1)
    if rng.random() < HALF_SHUT:
        out[[INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]] = rng.uniform(0.3, 0.7)
    turned = rng.normal(size=3) * TURNED + (0, NODDED, 0)
    out[[YAW, PITCH, ROLL]] = np.clip(turned, -np.array(MOST), MOST)
    out[[RIGHT, DOWN]] = np.array(BACK) * out[[YAW, PITCH]] + rng.normal(size=2) * LOOKS
    out[SHUT] = head_model().closing(out[:COUNT], rng.uniform(*OPENINGS[kind]))
    return out.astype(np.float32)
