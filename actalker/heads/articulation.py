"""From timed phones to the motion of a mouth: coarticulated tracks of articulators, then coefficients.

A phone pulls each articulator towards a target, with a weight that is full over the phone's core and falls
off outside it (dominance functions, Cohen & Massaro 1993). Articulators then become coefficients of the head;
the opening between the lips is set exactly, so that a closure is a closed mouth on every face.

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
"""The drop of the jaw, the height of the lips' opening, how far the lips are together, their spread (-1 is
narrow), lips forward, the lower lip under the upper teeth, the upper lip raised, the tongue's tip (0.5 behind
the teeth, 1 between them); and rest: 1 where nothing is said and the mouth is the face's own."""

RATE = 100  # samples of a track a second
# fall-off of dominance, seconds
BEFORE = np.array([0.050, 0.038, 0.018, 0.085, 0.110, 0.028, 0.060, 0.035, 0.030])
AFTER = np.array([0.045, 0.034, 0.016, 0.060, 0.070, 0.026, 0.045, 0.035, 0.030])
SMOOTH = 0.010  # seconds, of the tracks
OPENING = 1.55  # cm between the inner lips where `lips` is 1
# shares of the portrait's own mouth that stay while it talks: of these shapes, and of all others
KEPT = {"mouthSmile": 0.5, "mouthDimple": 0.5}
KEPT_ELSE = 0.25


@dataclass(frozen=True)
class Phone:
    """One sound of speech, from `start` to `end`, seconds. symbol: of the IPA, a key of PHONES."""

    start: float
    end: float
    symbol: str
    stressed: bool = False

    @property
    def middle(self) -> float:
        """The time halfway between start and end, seconds."""
        return (self.start + self.end) / 2


def tracks(phones: Sequence[Phone], seconds: float) -> np.ndarray:
    """Tracks of the articulators, (f, 9) at RATE, from 0 to `seconds`.

    Between phones, before the first and after the last one the mouth rests.
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
        away = np.maximum(early - times, 0)[:, None] / BEFORE + np.maximum(times - late, 0)[:, None] / AFTER
        share = dominance * np.exp(-away)
        pull, weight = pull + share * target, weight + share
    return gaussian_filter1d(pull / weight, SMOOTH * RATE, axis=0, mode="nearest")


def at_frames(articulators: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """A track of articulators (f, 9) at RATE, sampled at video frames: (frames, 9).

    A frame shows the largest closure of the 20 ms around it; otherwise a p of 60 ms could fall between two
    frames.
    """
    close, tuck = ARTICULATORS.index("close"), ARTICULATORS.index("tuck")
    widened = articulators.copy()
    for column in (close, tuck):
        widened[:, column] = maximum_filter1d(articulators[:, column], 3)
    index = np.round(np.arange(frames) / fps * RATE).astype(int).clip(max=len(widened) - 1)
    return widened[index]


def sharpened(share: np.ndarray) -> np.ndarray:
    """Closures in [0, 1] with clear ones made full, and slight ones 0."""
    return np.clip((share - 0.15) / 0.30, 0, 1)


def mouth(articulators: np.ndarray, portrait: np.ndarray) -> np.ndarray:
    """Coefficients (f, 54) for articulators (f, 9), relative to those of the portrait (54,).

    While a face talks, it keeps half of its portrait's smile and a quarter of what else the mouth does; while
    it rests, all of it.
    """
    model = head_model()
    jaw, lips, close, width, protrude, tuck, upper, tongue, rest = np.asarray(articulators, np.float64).T
    close, tuck = sharpened(close), sharpened(tuck)
    free, spread, narrow = lips * (1 - close), np.maximum(width, 0), np.maximum(-width, 0)
    asked = {
        "jawOpen": 0.36 * jaw + 0.05 * np.maximum(2 * tongue - 1, 0) * (1 - close),
        "mouthLowerDown": 0.30 * free * (1 - 0.6 * protrude) + 0.12 * upper * (1 - close),
        "mouthUpperUp": 0.12 * free + 0.32 * upper * (1 - close) + 0.18 * tuck,
        "mouthStretch": 0.44 * spread,
        "mouthSmile": 0.21 * spread,
        "mouthPucker": np.minimum(0.48 * narrow + 0.38 * protrude, 1.0),
        "mouthFunnel": 0.40 * protrude * (0.4 + 0.6 * np.minimum(3 * free, 1)),
        "mouthPress": 0.38 * close,
        "mouthRollLower": 0.18 * close + 0.62 * tuck,
        "mouthRollUpper": 0.18 * close,
        "mouthShrugLower": 0.10 * close + 0.12 * tuck,
        "tongueOut": tongue * (1 - close),
    }
    target = np.zeros((len(jaw), len(portrait)))
    for name, index in INDEX.items():
        if name.startswith(("mouth", "jaw")) and name != "mouthClose":
            share = next((share for start, share in KEPT.items() if name.startswith(start)), KEPT_ELSE)
            target[:, index] = portrait[index] * share
    for name, values in asked.items():
        for key in ours(name):
            target[:, INDEX[key]] += values
    spoken = np.array([n.startswith(("mouth", "jaw", "tongue")) for n in COEFFICIENTS])
    change = np.where(spoken, target - portrait, 0.0)
    # the lips' opening is what was asked for, whatever the shapes make of it
    opening = OPENING * free * (1 - 0.5 * tuck) + 0.10 * tuck * (1 - close)
    shut = INDEX["mouthClose"]
    change[:, shut] = 0.0
    change[:, shut] = (model.opening(portrait) + model.gap(change) - opening) / CLOSE
    return change * (1 - np.clip((rest - 0.1) / 0.8, 0, 1))[:, None]
