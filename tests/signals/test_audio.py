"""Log-mel windows: against Whisper's extractor, exact times, loudness, long sound; and the encoder."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.signals.audible import AHEAD, BACK, audible
from actalker.signals.audio import (
    CONTEXT,
    HOP,
    MELS,
    AudioConfig,
    AudioEncoder,
    first_steps,
    loudness_reference,
    mel_features,
    mel_filters,
    mel_power,
)


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise bursts with a changing colour, about -20 dBFS."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    noise = rng.normal(size=n + 8)
    smooth = np.convolve(noise, np.ones(8) / 8, mode="valid")[:n]
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(n) / 16000)
    return (0.2 * (smooth * wave + 0.2 * noise[:n] * (1 - wave))).astype(np.float32)


@pytest.mark.parity
@pytest.mark.parametrize("mels", [64, 80])
def test_filters_are_those_of_transformers(mels):
    from transformers.audio_utils import mel_filter_bank

    theirs = mel_filter_bank(201, mels, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(mels), theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parity
def test_power_is_that_of_whispers_extractor():
    from transformers import WhisperFeatureExtractor

    mono = voice(2.0)
    extractor = WhisperFeatureExtractor(feature_size=80)
    heard = audible(mono, 0, len(mono))  # nothing below 40 Hz, here and there
    theirs = extractor(heard, sampling_rate=16000, return_tensors="np").input_features[0].T[:200]
    log = np.log10(np.maximum(mel_power(mono, 0, 200, 80), 1e-10))
    ours = (np.maximum(log, log.max() - 8) + 4) / 4
    np.testing.assert_allclose(ours[2:198], theirs[2:198], atol=2e-5)  # it mirrors the sound at its ends


@settings(deadline=None)
@given(
    fps=st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25, 2)]),
    k=st.integers(0, 10**6),
    window=st.integers(1, 20),
)
def test_window_is_the_nearest_one_to_its_frame(fps, k, window):
    first = int(first_steps(fps, 1, k, 100, Fraction(1 - window, 2))[0])
    off = [abs(Fraction(j) + Fraction(window - 1, 2) - 100 * k / fps) for j in (first - 1, first, first + 1)]
    assert off[1] == min(off) and off[1] <= Fraction(1, 2)


def test_a_click_stands_at_its_exact_time():
    """An hour in at 30000/1001 fps; a rate rounded to 30 would be 3.6 s off."""
    fps, k = Fraction(30000, 1001), 107_892
    time = k / fps
    mono = np.zeros(int((time + 1) * 16000), dtype=np.float32)
    mono[round(time * 16000)] = 1
    rows = np.nonzero(mel_features(mono, fps, 1, k, reference=0.0)[0].max(axis=1) > -1)[0]
    assert abs(rows.mean() - (CONTEXT - 1) / 2) <= 0.5


@pytest.mark.parametrize("gain", [0.02, 0.3, 4.0])
def test_gain_does_not_matter(gain):
    mono = voice(1.5)
    expected = mel_features(mono, Fraction(25), 37)
    np.testing.assert_allclose(mel_features(gain * mono, Fraction(25), 37), expected, atol=5e-4)


@pytest.mark.parametrize("samples", [16000, 3, 0])
def test_silence_is_minus_one(samples):
    assert (mel_features(np.zeros(samples, np.float32), Fraction(25), 20) == -1).all()


def test_faint_noise_is_not_taken_for_speech():
    mono = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 3e-5  # dither of 16 bits
    assert mel_features(mono, Fraction(25), 20).max() < 0.1
    assert mel_features(1000 * mono, Fraction(25), 20).max() > 0.4


def test_pauses_and_one_bang_do_not_move_the_reference():
    mono = voice(2.0)
    padded = np.concatenate([np.zeros(64000, np.float32), mono, np.zeros(64000, np.float32)])
    assert loudness_reference(padded) == pytest.approx(loudness_reference(mono), abs=0.1)
    padded[1000:1400] = np.random.default_rng(1).normal(size=400) * 5
    assert loudness_reference(padded) == pytest.approx(loudness_reference(mono), abs=0.1)


@pytest.mark.parametrize("share, level", [(0.1, 0.2), (0.02, 0.01)])
def test_the_reference_is_the_level_that_a_twentieth_of_the_sound_exceeds(share, level):
    """Four seconds of a tone at 0.01, a share of them at 0.2: against the same tone at full scale."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(64000) / 16000).astype(np.float32)
    loud = np.where(np.abs(np.arange(64000) - 32000) < share * 32000, 0.2, 0.01).astype(np.float32)
    expected = loudness_reference(tone) + 2 * np.log10(level)
    assert loudness_reference(loud * tone) == pytest.approx(expected, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 60), frames=st.integers(1, 20))
def test_a_range_is_cut_from_the_whole(start, frames):
    mono, fps = voice(2.0), Fraction(24000, 1001)
    level = loudness_reference(mono)
    whole = mel_features(mono, fps, 80, reference=level)
    np.testing.assert_array_equal(
        mel_features(mono, fps, frames, start, level), whole[start : start + frames]
    )


def test_hours_of_sound_are_read_only_where_needed(tmp_path):
    """Two hours on disk, a sparse file but for the seconds that are asked for."""
    n = 2 * 3600 * 16000
    mono = np.memmap(tmp_path / "long.f32", np.float32, "w+", shape=(n,))
    speech, at = voice(2.0), 7000 * 16000
    mono[at : at + len(speech)] = speech
    level = loudness_reference(speech)
    ours = mel_features(mono, Fraction(25), 40, 7000 * 25, level)[5:]
    np.testing.assert_array_equal(ours, mel_features(speech, Fraction(25), 40, 0, level)[5:])


def test_blocks_do_not_show(monkeypatch):
    mono = voice(1.0)
    whole, level = mel_power(mono, -3, 100, 64), loudness_reference(mono)
    monkeypatch.setattr("actalker.signals.audio.BLOCK", 7)
    np.testing.assert_allclose(mel_power(mono, -3, 100, 64), whole, rtol=1e-9)
    assert loudness_reference(mono) == pytest.approx(level, rel=1e-9)


def after_a_pause(rate: int = 16000) -> np.ndarray:
    """Half a second of a microphone's noise, then a second and a half of speech."""
    speech = Sound(voice(1.5)[None], 16000).mono(rate)
    pause = 3e-4 * np.random.default_rng(3).standard_normal(rate // 2)
    return np.concatenate([pause, speech]).astype(np.float32)


@pytest.mark.parametrize("offset", [0.003, 0.01, 0.05, -0.1])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("before", [0, 1000])
def test_an_offset_is_not_heard(offset, rate, before):
    """Where it begins, with the sound or behind digital silence, and where it ends."""
    pure = after_a_pause(rate)
    zeros = np.zeros(before * rate // 16000, np.float32)
    heard = [
        mel_features(Sound(np.concatenate([zeros, x, zeros])[None], rate).mono(16000), Fraction(25), 50)
        for x in (pure, pure + np.float32(offset))
    ]
    more = heard[1] - heard[0]
    assert more[:10].mean(axis=2).max() < 0.1  # before the speech, any 25 ms; a click adds 1
    # at the edges of sound twelve milliseconds fade
    assert np.abs(more).mean() < 0.01 and np.abs(more[20:35]).max() < 0.02


@pytest.mark.parametrize("hz", [10, 20, 30])
def test_what_lies_below_40_hz_is_not_heard(hz):
    pure = after_a_pause()
    low = (0.1 * np.sin(2 * np.pi * hz * np.arange(len(pure)) / 16000)).astype(np.float32)
    more = mel_features(pure + low, Fraction(25), 50) - mel_features(pure, Fraction(25), 50)
    assert np.abs(more[20:35]).max() < 0.03 and np.abs(more).mean() < 0.02
    tone = audible(low, 0, len(low))[8000:-8000]
    assert np.abs(tone).max() < 1e-3 * 0.1 * 1.1


def test_what_a_voice_has_is_heard_as_it_is():
    t = np.arange(32000) / 16000
    for hz in (75, 100, 1000, 7000):
        tone = (0.1 * np.sin(2 * np.pi * hz * t)).astype(np.float32)
        np.testing.assert_allclose(audible(tone, 0, 32000)[4000:-4000], tone[4000:-4000], atol=2e-4)


def test_an_offset_alone_is_silence():
    assert (mel_features(np.full(16000, 0.05, np.float32), Fraction(25), 25) == -1).all()
    assert (audible(np.zeros(20000, np.float32), -100, 20100) == 0).all()


@settings(max_examples=10, deadline=None)
@given(begin=st.integers(0, 40000), size=st.integers(1, 20000), seed=st.integers(0, 99))
def test_what_is_heard_depends_on_a_neighbourhood(begin, size, seed):
    """A stream that is read in pieces sounds as the whole, to the bit where the whole is at hand."""
    rng = np.random.default_rng(seed)
    mono = voice(3.0, seed) + np.float32(rng.uniform(-0.05, 0.05))
    for _ in range(4):
        cut = int(rng.integers(0, 45000))
        mono[cut : cut + int(rng.integers(1, 3000))] = 0
    end = min(begin + size, len(mono))
    whole = audible(mono, 0, len(mono))
    np.testing.assert_array_equal(audible(mono, begin, end), whole[begin:end])
    first, last = max(begin - BACK, 0), min(end + AHEAD, len(mono))
    part = audible(mono[first:last], begin - first, end - first)
    np.testing.assert_allclose(part, whole[begin:end], atol=1e-12)


@pytest.mark.parametrize("samples", [0, 1, HOP, 5 * HOP])
def test_frames_beyond_the_sound_are_silence(samples):
    out = mel_features(np.ones(samples, np.float32), Fraction(25), 50)
    assert out.shape == (50, CONTEXT, MELS) and (out[10:] == -1).all()


def test_stereo_is_refused():
    with pytest.raises(InputError, match="one channel"):
        mel_features(np.zeros((2, 100), np.float32), Fraction(25), 2)
    with pytest.raises(InputError, match="at least one"):
        mel_features(np.zeros(100, np.float32), Fraction(25), 0)


def test_a_frames_tokens_depend_on_its_window_alone():
    encoder = AudioEncoder(AudioConfig(hidden=24, tokens=3, width=8)).eval()
    x = torch.rand(2, 6, CONTEXT, MELS)
    y = x.clone()
    y[1, 3] += 1
    changed = (encoder(x) != encoder(y)).any(dim=(2, 3))
    assert changed.nonzero().tolist() == [[1, 3]]


def test_absent_sound_is_the_learned_token_and_learns():
    encoder = AudioEncoder(AudioConfig())
    tokens = encoder.absent(2, 3)
    assert (tokens == encoder.null).all() and tokens.shape == encoder(torch.rand(2, 3, CONTEXT, MELS)).shape
    tokens.sum().backward()
    assert (encoder.null.grad == 6).all()
