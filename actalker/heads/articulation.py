"""Phones with times to the motion of a mouth: targets of articulators, coarticulated, as coefficients.

A phone pulls each articulator to a target with a weight that is whole over the phone's core and falls off
outside it (dominance functions, Cohen & Massaro 1993). Articulators then become coefficients of the head; the
opening between the lips is set exactly, so that a closure is a closed mouth on every face.

Letters: f times, a articulators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from ..errors import one_of
from .model import CLOSE, COEFFICIENTS, INDEX, head_model, ours
from .phones import PHONES as PHONES
from .phones import VOWELS as VOWELS

SPOKEN = ("jaw", "lips", "close", "width", "protrude", "tuck", "upper", "tongue")
ARTICULATORS = (*SPOKEN, "rest")
"""Jaw's drop, height of the lips' opening, lips together, spread (-1 is narrow), lips forward, lower lip
under the upper teeth, upper lip raised, tongue's tip (0.5 behind the teeth, 1 between them); and whether
nothing is said: then the mouth is the face's own."""

RATE = 100  # of tracks, a second
# fall-off of dominance, seconds
BEFORE = np.array([0.050, 0.038, 0.018, 0.085, 0.110, 0.028, 0.060, 0.035, 0.030])
AFTER = np.array([0.045, 0.034, 0.016, 0.060, 0.070, 0.026, 0.045, 0.035, 0.030])
SMOOTH = 0.010  # seconds, of the tracks
OPENING = 1.55  # cm between the inner lips where `lips` is 1
KEPT = {"mouthSmile": 0.5, "mouthDimple": 0.5}  # of a portrait's own mouth while it talks; of other shapes:
KEPT_ELSE = 0.25


@dataclass(frozen=True)
class Phone:
    """One sound of speech from `start` to `end`, seconds."""

    start: float
    end: float
    symbol: str
    stressed: bool = False

    @property
    def middle(self) -> float:
        """Seconds."""
        return (self.start + self.end) / 2


def tracks(phones: Sequence[Phone], seconds: float) -> np.ndarray:
    """Articulators (f, 9) at RATE, from 0 to `seconds`; between and beside phones the mouth rests.

    Raises: InputError for a symbol that is not in PHONES.
    """
    times = np.arange(round(seconds * RATE)) / RATE
    first = phones[0].start if phones else seconds
    last = phones[-1].end if phones else seconds
    spoken = [Phone(-1.0, first, "_"), *phones, Phone(last, seconds + 1.0, "_")]
    gaps = [Phone(a.end, b.start, "_") for a, b in pairwise(phones) if b.start > a.end + 1e-6]
    pull, weight = np.zeros((len(times), len(ARTICULATORS))), np.full((len(times), 1), 1e-6)
    weight = np.repeat(weight, len(ARTICULATORS), 1)
    for phone in spoken + gaps:
        goal, strength, core = PHONES[one_of(phone.symbol, PHONES, "phone")]
        target, length = np.array((*goal, float(phone.symbol == "_"))), phone.end - phone.start
        dominance = np.array((*strength, 1.0 if phone.symbol == "_" else 4.0))
        if phone.symbol in VOWELS:
            target[:2] *= 1.10 if phone.stressed else 0.90
            dominance = dominance * (1.25 if phone.stressed else 0.85)
        if phone.symbol == "_":  # a short gap between words is no rest
            dominance = dominance * 1.6 * np.clip((length - 0.05) / 0.25, 0.05, 1.0)
        early, late = phone.start + core[0] * length, phone.start + core[1] * length
        if phone.symbol == "_" and length > 0.24:  # lips leave for their rest, and come back from it
            early, late = phone.start + 0.08, phone.end - 0.10
        apart = np.maximum(early - times, 0)[:, None] / BEFORE + np.maximum(times - late, 0)[:, None] / AFTER
        share = dominance * np.exp(-apart)
        pull, weight = pull + share * target, weight + share
    return gaussian_filter1d(pull / weight, SMOOTH * RATE, axis=0, mode="nearest")


def at_frames(articulators: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """Articulators (frames, 9) of a track at RATE; a frame shows the largest closure of the 20 ms around it.

    Otherwise a p of 60 ms can fall between two frames.
    """
    close, tuck = ARTICULATORS.index("close"), ARTICULATORS.index("tuck")
    held = articulators.copy()
    for column in (close, tuck):
        held[:, column] = maximum_filter1d(articulators[:, column], 3)
    index = np.round(np.arange(frames) / fps * RATE).astype(int).clip(max=len(held) - 1)
    return held[index]


def sharpened(share: np.ndarray) -> np.ndarray:
    """Closures that are likely, made full; slight ones, none."""
    return np.clip((share - 0.15) / 0.30, 0, 1)


def mouth(articulators: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What articulators (f, 9) ask of a face: coefficients (f, 54) relative to its own (54,).

    While it talks, a face keeps half of its own smile, and a quarter of what else its mouth does; while it
    rests, all of it.
    """
    model = head_model()
    jaw, lips, close, width, protrude, tuck, upper, tongue, rest = np.asarray(articulators, np.float64).T
    close, tuck = sharpened(close), sharpened(tuck)
    free, wide, narrow = lips * (1 - close), np.maximum(width, 0), np.maximum(-width, 0)
    asked = {
        "jawOpen": 0.36 * jaw + 0.05 * np.maximum(2 * tongue - 1, 0) * (1 - close),
        "mouthLowerDown": 0.30 * free * (1 - 0.6 * protrude) + 0.12 * upper * (1 - close),
        "mouthUpperUp": 0.12 * free + 0.32 * upper * (1 - close) + 0.18 * tuck,
        "mouthStretch": 0.44 * wide,
        "mouthSmile": 0.21 * wide,
        "mouthPucker": np.minimum(0.48 * narrow + 0.38 * protrude, 1.0),
        "mouthFunnel": 0.40 * protrude * (0.4 + 0.6 * np.minimum(3 * free, 1)),
        "mouthPress": 0.38 * close,
        "mouthRollLower": 0.18 * close + 0.62 * tuck,
        "mouthRollUpper": 0.18 * close,
        "mouthShrugLower": 0.10 * close + 0.12 * tuck,
        "tongueOut": tongue * (1 - close),
    }
    target = np.zeros((len(jaw), len(own)))
    for name, index in INDEX.items():
        if name.startswith(("mouth", "jaw")) and name != "mouthClose":
            kept = next((share for start, share in KEPT.items() if name.startswith(start)), KEPT_ELSE)
            target[:, index] = own[index] * kept
    for name, values in asked.items():
        for key in ours(name):
            target[:, INDEX[key]] += values
    spoken = np.array([n.startswith(("mouth", "jaw", "tongue")) for n in COEFFICIENTS])
    change = np.where(spoken, target - own, 0.0)
    # the lips' opening is what was asked for, whatever the shapes make of it
    opening = OPENING * free * (1 - 0.5 * tuck) + 0.10 * tuck * (1 - close)
    shut = INDEX["mouthClose"]
    change[:, shut] = 0.0
    change[:, shut] = (model.opening(own) + model.gap(change) - opening) / CLOSE
    return change * (1 - np.clip((rest - 0.1) / 0.8, 0, 1))[:, None]
