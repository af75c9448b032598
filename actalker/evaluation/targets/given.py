"""The inputs of the table of targets: portraits grouped by their lips, held-out voices, and real videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...data.speech.cache import Utterance
from ...errors import InputError
from ...heads.articulation import Phone
from ...media.image import read_image
from ...media.video import probe
from ..heads.reading import at_most, read_frames
from .clips import LONG, WHOLE, Sitters
from .makers import enlarged
from .sounds import Speech, joined

TOUCH, PARTED = 0.025, 0.06  # lips are closed up to this opening / distance of the eyes, parted from this one
SMILES, LAUGHS = 0.5, 0.5  # MediaPipe's smile: from, a closed mouth is left out; an open one laughs
VOICES = (("flite", "rms"), ("festival", "it_pc"), ("festival", "cz_machac"))  # never trained on
SPARE = 6.0  # seconds, so that a second part can begin at a pause


def sitters(portraits: Sequence[Path]) -> Sitters:
    """Group portraits by MediaPipe's reading of their lips; each group keeps the order given.

    Portraits with closed lips that smile, and those with hardly parted lips, are left out.
    Raises: InputError for a portrait in which no face is found, and where all are left out.
    """
    closed: list[Path] = []
    parted: list[Path] = []
    laughing: list[Path] = []
    for path in portraits:
        reading = read_frames([enlarged(at_most(read_image(path)))])
        if not reading.found[0]:
            raise InputError(f"{path}: no face found; leave it out")
        opening, smile = float(reading.opening[0]), float(reading.shape("mouthSmile")[0])
        if opening <= TOUCH and smile < SMILES:
            closed.append(path)
        elif opening >= PARTED:
            (laughing if smile >= LAUGHS else parted).append(path)
    if not closed and not parted and not laughing:
        raise InputError(
            f"--portraits: none of the {len(portraits)} has shut lips without a smile, or open ones; give one"
        )
    return Sitters(tuple(closed), tuple(parted), tuple(laughing))


def voices(cache: Iterable[Utterance]) -> tuple[list[Speech], Speech]:
    """Return speech of each voice in `VOICES`, at least 30 s, and 60 s in which these voices take turns.

    cache: the held-out part of a cache of speech.
    Raises: InputError where a voice says too little.
    """
    said: dict[tuple[str, str], list[tuple[np.ndarray, Sequence[Phone]]]] = {key: [] for key in VOICES}
    for one in cache:
        if (one.engine, one.voice) in said:
            said[one.engine, one.voice].append((one.sound, one.phones))
    speakers, rest = [], []
    for (engine, voice), sentences in said.items():
        speech = joined(f"{engine} {voice}", sentences, 2 * WHOLE + SPARE)
        if speech.seconds < 2 * WHOLE + SPARE:
            raise InputError(
                f"--speech: its held-out voice {engine} {voice} says {speech.seconds:.0f} s, of which "
                f"{2 * WHOLE + SPARE:.0f} are needed; make it again with `actalker speech`"
            )
        speakers.append(speech)
        rest.append(sentences[::-1])  # what the shorter clips do not say
    turns = [sentence for group in zip(*rest, strict=False) for sentence in group]
    long = joined("three voices", turns, LONG)
    if long.seconds < LONG:
        raise InputError(f"--speech: its held-out voices say too little; {LONG:.0f} s are needed")
    return speakers, long.first(LONG)


def lengths(videos: Sequence[Path]) -> dict[Path, float]:
    """Return video -> its length in seconds. Raises: InputError for files that are no video."""
    return {path: float(probe(path).duration) for path in videos}
