"""A spoken sentence of known phone times, and how a mouth must look at each kind of phone.

The measure: the least opening of the inner lips within 45 ms of a phone's middle, against a fifth of the
clip's 95th percentile. Real speakers: 0.93 of p b m, 0.77 of f v and 0.23 of t d n s z l are closed by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...heads.articulation import PHONES, VOWELS, Phone, at_frames, mouth, tracks
from ..lips import FPS, closed_at, deviations, mean_at
from ..statistics import mean

# "Please bring my brown umbrella before the party. We have five funny movies, and papa loves music very much.
# She sees two tall trees near the lake."  ' marks a stressed vowel, | a pause
TEXT = (
    "p l 'i z b ɹ 'ɪ ŋ m 'a ɪ b ɹ 'a ʊ n ʌ m b ɹ 'ɛ l ə b ɪ f 'ɔ ð ə p 'ɑ ɹ t i | "
    "w i h 'æ v f 'a ɪ v f 'ʌ n i m 'u v i z | æ n p 'ɑ p ə l 'ʌ v z m j 'u z ɪ k v 'ɛ ɹ i m 'ʌ t ʃ | "
    "ʃ i s 'i z t 'u t 'ɔ l t ɹ 'i z n 'ɪ ɹ ð ə l 'e ɪ k"
)
LENGTHS = {"stressed": 0.125, "vowel": 0.080, "pause": 0.30, "stop": 0.070, "hiss": 0.095, "other": 0.065}
STOPS, HISSES = frozenset("pbtdkɡ"), frozenset("szʃʒfvθð")
GROUPS = {"p b m": "pbm", "f v": "fv", "t d n s z l": "tdnszl", "rounded": "uʊoɔw", "spread": "iɪeɛ"}


def phones(text: str = TEXT, start: float = 0.3) -> list[Phone]:
    """The phones of a text with their times in seconds; `'` marks a stressed vowel, `|` a pause."""
    out, at = [], start
    for sound in text.split():
        stressed = sound.startswith("'")
        symbol = "_" if sound == "|" else sound.lstrip("'")
        assert symbol in PHONES, symbol
        if symbol == "_":
            length = LENGTHS["pause"]
        elif symbol in VOWELS:
            length = LENGTHS["stressed" if stressed else "vowel"]
        else:
            length = LENGTHS["stop" if symbol in STOPS else "hiss" if symbol in HISSES else "other"]
        out.append(Phone(at, at + length, symbol, stressed))
        at += length
    return out


def spoken(neutral: np.ndarray) -> np.ndarray:
    """Coefficients (f, 54) of the spoken sentence at FPS, relative to a face's neutral ones (54,)."""
    said = phones()
    seconds = said[-1].end + 0.3
    return mouth(at_frames(tracks(said, seconds), round(seconds * FPS), FPS), neutral)


def closures(opening: np.ndarray, width: np.ndarray, said: Sequence[Phone] | None = None) -> dict[str, float]:
    """The share of phones at which lips close, and the mouth's width there in deviations, by group.

    opening, width: (f,) at FPS; NaN where no face was seen. said: the phones; None: of TEXT.
    """
    listed = phones() if said is None else said
    out: dict[str, float] = {}
    for name, symbols in GROUPS.items():
        out[name] = mean(closed_at(opening, listed, frozenset(symbols)))
        out[f"width at {name}"] = mean(mean_at(deviations(width), listed, frozenset(symbols)))
    return out
