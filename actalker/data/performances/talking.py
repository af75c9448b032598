"""Talk: the motion of a speaking mouth's articulators, from synthetic speech or from random phones.

Letters: f frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...heads.articulation import ARTICULATORS, PHONES, VOWELS, Phone, at_frames, tracks
from ..speech.cache import SpeechCache

PAUSES = (0.1, 1.2)  # seconds between utterances
LENGTHS = (0.06, 0.16)  # seconds of phones that are drawn
SPOKEN = sorted(symbol for symbol in PHONES if symbol != "_")
CONSONANTS = sorted(set(SPOKEN) - VOWELS)
SOFT = 0.4  # share of talk that is blurred and scaled, as an encoder hears it
BLUR, LESS, NOISE = 0.030, (0.6, 1.1), 0.03  # seconds; factor; deviation


class Talk:
    """A source of random talk.

    speech: folder of a cache of synthetic speech, whose phones and times are used; None: random phones.
    Raises: InputError for a folder without such a cache.
    """

    def __init__(self, speech: str | Path | None) -> None:
        self.cache = None if speech is None else SpeechCache(speech)

    def articulators(self, frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
        """The articulators of a speaker, (f, 9); the talk begins anywhere and pauses now and then."""
        skipped = rng.uniform(0, 1.5)
        seconds = frames / fps + skipped + 0.5
        whole = tracks(self._phones(seconds, rng), seconds)
        talk = at_frames(whole[round(skipped * 100) :], frames, fps)
        return _as_heard(talk, fps, rng) if rng.random() < SOFT else talk

    def _phones(self, seconds: float, rng: np.random.Generator) -> list[Phone]:
        """The phones of several sentences, with pauses, that begin before `seconds`."""
        said: list[Phone] = []
        now = rng.uniform(0, 0.6)
        while now < seconds:
            for phone in self._sentence(rng):
                said.append(Phone(now + phone.start, now + phone.end, phone.symbol, phone.stressed))
            now = said[-1].end + rng.uniform(*PAUSES)
        return [phone for phone in said if phone.start < seconds]

    def _sentence(self, rng: np.random.Generator) -> list[Phone]:
        if self.cache is not None:
            phones = self.cache[int(rng.integers(len(self.cache)))].phones
            if phones:
                return phones
        now, said = 0.0, []
        for k in range(int(rng.integers(8, 40))):
            symbols = sorted(VOWELS) if k % 2 else CONSONANTS
            length = rng.uniform(*LENGTHS)
            symbol = symbols[int(rng.integers(len(symbols)))]
            said.append(Phone(now, now + length, symbol, bool(rng.random() < 0.3)))
            now += length
        return said


def _as_heard(talk: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Articulators (f, 9) as an encoder gives them that is unsure: blurred in time, smaller and noisy."""
    blurred = gaussian_filter1d(talk, rng.uniform(0.2, 1) * BLUR * fps, axis=0, mode="nearest")
    blurred[:, : len(ARTICULATORS) - 1] *= rng.uniform(*LESS)
    return blurred + rng.normal(size=talk.shape) * NOISE * rng.random()
