"""The engines that are on this machine: what they say, and where their phones are."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from actalker.data.speech.engines import ENGINES, Line, engine
from actalker.data.speech.engines.engine import RATE
from actalker.data.speech.sentences import SYLLABLES, sentence
from actalker.data.speech.symbols import phones
from actalker.data.speech.times import corrected
from actalker.heads.articulation import ARTICULATORS, VOWELS, tracks

HELD = {
    "espeak": {"fr", "da", "ca", "bg", "en"},
    "flite": {"en"},
    "festival": {"it", "cs"},
    "hibari": set(),
    "kokoro": {"en", "it"},
}
QUICK = [pytest.param(name, marks=pytest.mark.slow if name == "kokoro" else ()) for name in ENGINES]
CLOSING = (
    "Papa be a buppy. A happy baby hobo. Obey a pope, Abby. We pay a puppy, a bobby. Above a baby, a paper."
)


def there(name: str):
    """An engine, or the test is skipped with what to install."""
    if not engine(name).voices():
        pytest.skip(f"{name}: {engine(name).missing()}")
    return engine(name)


@pytest.mark.parametrize("name", QUICK)
def test_voices_have_licences_and_those_held_out_are_others(name):
    voices = there(name).voices()
    assert all(voice.licence and voice.language in ("en", *SYLLABLES) for voice in voices)
    trained, held = ({v.name for v in voices if v.held_out is which} for which in (False, True))
    assert trained and not trained & held
    assert {v.language for v in voices if v.held_out} <= HELD[name]
    assert there(name).version().split()[-1][0].isdigit()
    if name == "espeak":
        variants = [{v.split("+")[1] for v in names} for names in (trained, held)]
        assert not variants[0] & variants[1]


@pytest.mark.parametrize("name", QUICK)
def test_every_language_is_said_with_phones_from_end_to_end(name):
    chosen, rng = there(name), Random(0)
    first = {(voice.language, voice.held_out): voice for voice in reversed(chosen.voices())}
    for voice in first.values():
        lines = [Line(sentence(rng, voice.language), 1.0, 1.0, 7) for _ in range(2)]
        for said in chosen.say(voice, lines):
            assert said.sound.dtype == np.float32 and 0.05 < np.abs(said.sound).max() <= 1
            found = corrected(phones(said.raw, voice.alphabet), name, len(said.sound) / RATE)
            spoken = [p for p in found if p.symbol != "_"]
            letters = sum(c not in " .,?" for c in said.line.text)
            assert 0.4 * letters < len(spoken) < 1.6 * letters + 4, (voice.name, said.line.text)
            assert 0.85 * len(said.sound) / RATE < found[-1].end <= len(said.sound) / RATE
            for before, after in zip(found, found[1:], strict=False):
                assert before.start < before.end <= after.start + 1e-6


@pytest.mark.parametrize("name", QUICK)
def test_lips_close_where_the_sound_is_least(name):
    """The articulators' closure at p and b between vowels, against the sound; of flite the held-out voice."""
    chosen = there(name)
    voices = [v for v in chosen.voices() if v.language == "en"]
    voice = next((v for v in voices if v.name == "rms"), voices[0])
    apart = []
    for pace in (0.9, 1.1):
        lines = [Line(text + ".", pace, 1.0, 7) for text in CLOSING.split(". ")]
        for said in chosen.say(voice, lines):
            found = corrected(phones(said.raw, voice.alphabet), name, len(said.sound) / RATE)
            close = tracks(found, len(said.sound) / RATE)[:, ARTICULATORS.index("close")]
            power = np.convolve(said.sound.astype(float) ** 2, np.ones(480) / 480, "same")
            for before, stop, after in zip(found, found[1:], found[2:], strict=False):
                if stop.symbol not in "pb" or before.symbol not in VOWELS or after.symbol not in VOWELS:
                    continue
                first = max(int(stop.start * 100) - 3, 0)
                shut = close[first : int(stop.end * 100) + 4]
                middle = (first + np.flatnonzero(shut > 0.95 * shut.max()).mean()) / 100
                assert shut.max() > 0.6
                low = max(int((middle - 0.07) * RATE), 0)
                apart.append((low + np.argmin(power[low : int((middle + 0.07) * RATE)])) / RATE - middle)
    assert len(apart) >= 10
    assert abs(np.median(apart)) < 0.022, (voice.name, len(apart), np.median(apart))


@pytest.mark.parametrize("name", ["flite", "festival", "hibari"])
def test_pace_changes_how_long_it_takes(name):
    chosen = there(name)
    voice = next(v for v in chosen.voices() if v.language == "en")
    lengths = []
    for pace in (0.8, 1.25):
        (said,) = chosen.say(voice, [Line("The small boat came over the river this morning.", pace, 1.0, 1)])
        lengths.append(len(said.sound))
    assert 1.25 < lengths[0] / lengths[1] < 1.8
