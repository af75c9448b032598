"""What happens to a voice on its way: as loud as asked, in time to the sample, the same for the same seed."""

from __future__ import annotations

from io import BytesIO

import av
import numpy as np
import pytest

from actalker.data.speech import augment as ways
from actalker.data.speech.codecs import BIT_RATES, CODECS, coded
from actalker.data.speech.music import music

RATE = 16000


def voice(seconds: float = 2.0) -> np.ndarray:
    """Syllables of a buzz with moving colour, none like another; (n,) float32."""
    rng = np.random.default_rng(5)
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 20 * np.sin(2 * np.pi * 1.3 * times)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    syllables = np.arange(0, seconds + 0.1, 0.07)
    loud = np.interp(times, syllables, rng.uniform(0, 1, len(syllables)))
    buzz = sum(np.sin(k * phase + k) / k**0.8 for k in range(1, 30))
    return (0.1 * buzz * loud**2 + 0.002 * rng.normal(size=len(times))).astype(np.float32)


def lag(heard: np.ndarray, said: np.ndarray) -> int:
    """Samples by which one is behind the other."""
    size = 1 << (2 * len(said)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    best = int(np.argmax(np.fft.irfft(product, size)))
    return best if best < size // 2 else best - size


def other(n: int) -> np.ndarray:
    return np.resize(voice(1.3)[::-1], n)


KINDS = {
    "room": lambda x, rng: ways.room(x, rng),
    "music": lambda x, rng: ways.mixed(x, music(len(x), rng), 5),
    "babble": lambda x, rng: ways.mixed(x, other(len(x)), 10),
    "noise": lambda x, rng: ways.mixed(x, ways.noise(len(x), rng), 6),
    "equalised": lambda x, rng: ways.equalised(x, rng),
    "clipped": lambda x, rng: ways.clipped(x, rng.uniform(1, 5)),
    "telephone": lambda x, rng: ways.telephone(x),
    "levelled": lambda x, rng: ways.levelled(x, 0.3),
    "all": lambda x, rng: ways.augment(x, rng, other),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_moves_a_voice_in_time_and_seeds_repeat(kind):
    said = voice()
    for seed in range(6):
        heard = KINDS[kind](said, np.random.default_rng(seed))
        assert heard.shape == said.shape and heard.dtype == np.float32 and np.isfinite(heard).all()
        assert abs(lag(heard, said)) <= 1, seed
        np.testing.assert_array_equal(heard, KINDS[kind](said, np.random.default_rng(seed)))
    if kind not in ("telephone", "levelled"):
        assert not np.array_equal(heard, KINDS[kind](said, np.random.default_rng(77))) or kind == "babble"


@pytest.mark.parametrize("bit_rate", BIT_RATES)
@pytest.mark.parametrize("codec", CODECS)
def test_codecs_keep_the_time_to_a_sample_at_every_rate_and_length(codec, bit_rate):
    for n in (32000, 31999, 20001):
        said = voice()[:n]
        heard = coded(said, codec, bit_rate)
        assert heard.shape == said.shape
        assert abs(lag(heard, said)) <= 1
        assert np.corrcoef(heard, said)[0, 1] > 0.8
        end = slice(n - 3000, n)  # its last packet is there
        assert np.corrcoef(np.abs(heard[end]), np.abs(said[end]))[0, 1] > 0.5


def test_the_delay_of_aac_is_that_of_a_file_that_tells_it():
    """Against MP4, whose edit list says where sound begins: the same samples at the same places."""
    said = voice()
    memory = BytesIO()
    with av.open(memory, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=RATE, layout="mono", bit_rate=40_000)
        for first in range(0, len(said), 1024):
            frame = av.AudioFrame.from_ndarray(said[None, first : first + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, first
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory) as file:
        frames = [frame for frame in file.decode(audio=0) if frame.pts >= 0]
        there = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert lag(coded(said, "aac", 40_000), there[: len(said)]) == 0


def test_what_is_mixed_in_is_as_far_below_as_is_asked():
    said = voice()
    for decibels in (0, 6, 20, 42):
        for make in (ways.noise, music):
            under = make(len(said), np.random.default_rng(1))
            left = ways.mixed(said, under, decibels) - said
            assert 10 * np.log10(np.mean(said**2) / np.mean(left**2)) == pytest.approx(decibels, abs=0.1)
    np.testing.assert_array_equal(ways.mixed(said, np.zeros_like(said), 6), said)
    hushed = ways.mixed(np.zeros_like(said), ways.noise(len(said), np.random.default_rng(1)), 10)
    assert 0 < np.abs(hushed).max() < 0.01  # noise lies under a pause too


def test_a_telephone_has_no_bass_and_no_treble():
    before = ways.noise(RATE, np.random.default_rng(0))
    power, white = (np.abs(np.fft.rfft(x)) ** 2 for x in (ways.telephone(before), before))
    bands = ((20, 150), (500, 3000), (4500, 7900))
    gain = [10 * np.log10(power[a:b].sum() / white[a:b].sum()) for a, b in bands]
    assert gain[0] < gain[1] - 25 and gain[2] < gain[1] - 25 and abs(gain[1]) < 1


def test_rooms_ring_on_and_clipping_presses_peaks():
    click = np.zeros(RATE, np.float32)
    click[2000] = 0.5
    ringing = ways.room(click, np.random.default_rng(3))
    assert np.abs(ringing).argmax() == 2000
    assert np.abs(ringing[:1999]).max() < 1e-6 and np.abs(ringing[2400:6000]).max() > 1e-3
    said = voice()
    pressed = ways.clipped(said, 4.0)
    quiet = np.abs(said) < 0.02 * np.abs(said).max()
    np.testing.assert_allclose(pressed[quiet], said[quiet], rtol=0.01)
    assert np.abs(pressed).max() < 0.5 * np.abs(said).max()


def test_music_is_music():
    """Notes at the pitches of a scale, and no two pieces alike; without drums most power is in few lines."""
    pieces = [music(4 * RATE, np.random.default_rng(seed)) for seed in range(8)]
    for piece in pieces:
        assert np.mean(piece**2) == pytest.approx(0.01, rel=0.01)
        lines = np.sort(np.abs(np.fft.rfft(piece)) ** 2)[::-1]
        assert lines[: len(lines) // 20].sum() > 0.6 * lines.sum()  # noise has 0.2 there
        parts = np.sqrt(np.mean(piece.reshape(16, -1) ** 2, axis=1))
        assert (parts > 0.005).sum() >= 12
    assert max(abs(np.corrcoef(a, b)[0, 1]) for i, a in enumerate(pieces) for b in pieces[:i]) < 0.5
    np.testing.assert_array_equal(pieces[3], music(4 * RATE, np.random.default_rng(3)))


def test_sound_without_a_voice_and_sounds_of_no_length():
    kinds = [ways.without_voice(RATE, np.random.default_rng(seed)) for seed in range(20)]
    assert all(one.shape == (RATE,) and 0 < np.abs(one).max() <= 1 for one in kinds)
    assert min(np.abs(one).max() for one in kinds) < 0.05 < 0.5 < max(np.abs(one).max() for one in kinds)
    for n in (0, 1, 7, 300):
        for seed in range(8):
            assert ways.augment(np.zeros(n, np.float32), np.random.default_rng(seed), other).shape == (n,)
            assert ways.without_voice(n, np.random.default_rng(seed)).shape == (n,)
