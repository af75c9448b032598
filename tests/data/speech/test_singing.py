"""Speech made into song, against a voice whose formants and times are known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from actalker.data.speech.singing import HELD, sung
from actalker.heads.articulation import Phone

RATE = 16000
FORMANTS = {"a": (750, 1250, 2600), "i": (300, 2250, 3000), "u": (330, 800, 2300)}
SAID = ["_", "a", "p", "i", "p", "u", "p", "a", "_"]


def said():
    """Vowels of a voice of 120 Hz, with silence in the place of p and of pauses."""
    sound, phones, now = [], [], 0.0
    for symbol in SAID:
        length = 0.14 if symbol in FORMANTS else 0.08
        pulses = np.zeros(round(length * RATE))
        pulses[:: RATE // 120] = symbol in FORMANTS
        for formant in FORMANTS.get(symbol, ()):
            radius = np.exp(-np.pi * 90 / RATE)
            pulses = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], pulses)
        sound.append(pulses)
        phones.append(Phone(now, now + length, symbol))
        now += length
    whole = np.concatenate(sound)
    return (0.5 * whole / abs(whole).max()).astype(np.float32), phones


def near(sound, phone):
    middle = round(phone.middle * RATE)
    return sound[middle - 640 : middle + 640]


@pytest.mark.parametrize("seed", range(6))
def test_phones_keep_their_order_and_vowels_their_formants(seed):
    sound, phones = said()
    made, sings = sung(sound, phones, np.random.default_rng(seed))
    assert [p.symbol for p in sings] == SAID and made.dtype == np.float32
    assert sings[-1].end == pytest.approx(len(made) / RATE, abs=0.03)
    starts, ends = [p.start for p in sings], [p.end for p in sings]
    assert all(a <= b + 1e-9 for a, b in zip(ends, starts[1:], strict=False)) and starts[0] >= 0
    lengths = [p.end - p.start for p in sings if p.symbol in FORMANTS]
    assert max(lengths) >= HELD[0] and max(lengths) <= HELD[1] + 0.01 and min(lengths) >= 0.13
    level = np.sqrt(np.mean(made**2))
    frequencies = np.fft.rfftfreq(4096, 1 / RATE)
    for phone in sings:
        piece = near(made, phone)
        if phone.symbol == "p":
            middle = len(piece) // 2
            assert np.sqrt(np.mean(piece[middle - 80 : middle + 80] ** 2)) < 0.25 * level
        elif phone.symbol in FORMANTS:
            power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 4096)) ** 2
            share = {
                vowel: sum(power[abs(frequencies - f) < 220].sum() for f in formants[:2])
                for vowel, formants in FORMANTS.items()
            }
            assert share[phone.symbol] > 0.5 * power[frequencies < 4000].sum(), (phone, share)


def test_a_vowel_is_sung_on_notes():
    """Its pitch, by autocorrelation, is no longer 120 Hz, and differs between vowels."""
    sound, phones = said()
    found = set()
    for seed in range(8):
        made, sings = sung(sound, phones, np.random.default_rng(seed))
        for phone in sings:
            if phone.symbol in FORMANTS and phone.end - phone.start > 0.2:
                piece = near(made, phone)
                echo = np.correlate(piece, piece, "full")[len(piece) :]
                lag = 27 + int(np.argmax(echo[26 : RATE // 80]))
                assert echo[lag - 1] > 0.6 * np.sum(piece**2)
                found.add(round(12 * np.log2(RATE / lag / 120)))
    assert len(found) > 6


def test_same_seed_same_song_and_short_sounds_stay():
    sound, phones = said()
    one, two, other = (sung(sound, phones, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one[:4000], other[:4000])
    few = np.ones(100, np.float32)
    assert sung(few, [], np.random.default_rng(0))[0] is few
    assert np.isfinite(sung(np.zeros(4800, np.float32), phones[:2], np.random.default_rng(0))[0]).all()
