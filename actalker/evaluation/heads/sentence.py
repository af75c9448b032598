"""A sentence with known phone times, and measures of the mouth at each kind of phone.

The lips count as closed at a phone if the least opening of the inner lips within 45 ms of its middle is at
most 20 % of the clip's 95th percentile. By this rule real speakers close their lips at 93 % of p b m, 77 % of
f v, and 23 % of t d n s z l.
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
    """Return the phones of a text with their times in seconds. start: time of the first.

    In the text `'` marks a stressed vowel, `|` a pause.
    """
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
    """Return the motion of the spoken sentence at 25 frames per second, (f, 54) coefficients.

    neutral: (54,) coefficients of the face at rest, to which the motion is relative.
    """
    said = phones()
    seconds = said[-1].end + 0.3
    return mouth(at_frames(tracks(said, seconds), round(seconds * FPS), FPS), neutral)


def closures(opening: np.ndarray, width: np.ndarray, said: Sequence[Phone] | None = None) -> dict[str, float]:
    """Measure the mouth at each group of phones in `GROUPS`.

    Args:
        opening, width: (f,) curves of the mouth at 25 frames per second; NaN where no face was found.
        said: the phones; None for those of the sentence `TEXT`.
    Returns: group -> share of its phones at which the lips close; `width at GROUP` -> the mean width of the
        mouth there, in standard deviations from the clip's mean.
    """
    listed = phones() if said is None else said
    out: dict[str, float] = {}
    for name, symbols in GROUPS.items():
        out[name] = mean(closed_at(opening, listed, frozenset(symbols)))
        out[f"width at {name}"] = mean(mean_at(deviations(width), listed, frozenset(symbols)))
    return out
