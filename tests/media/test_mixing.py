"""Channels of opposite polarity are heard; what is written keeps its channels. Samples beyond full scale."""

from __future__ import annotations

import numpy as np
import pytest
from media_files import sound_file, tone

from actalker.media.sound import Sound, read_sound

RATE = 16000


def voice(seconds: float = 3.0) -> np.ndarray:
    """(n,): bursts of a low tone with noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(t))
    return (np.clip(np.sin(5 * t), 0, 1) * (0.3 * np.sin(2 * np.pi * 200 * t) + noise)).astype(np.float32)


X = voice()
HUM = (0.1 * np.sin(2 * np.pi * 50 * np.arange(len(X)) / RATE)).astype(np.float32)
NOISE = 0.01 * np.random.default_rng(1).standard_normal((4, len(X))).astype(np.float32)


@pytest.mark.parametrize(
    "channels",
    [
        [X, -X],
        [X, -0.8 * X],
        [0.5 * X, -X],
        [X + 0.1, 0.1 - X],
        [X + HUM, HUM - X],
        [X, -X, *NOISE],
        [*NOISE, -X, X],
        [X, 0 * X, -X],
    ],
)
def test_opposite_channels_are_heard(caplog, channels):
    sound = Sound(np.stack(channels).astype(np.float32), RATE, "a.wav")
    mono = sound.mono(RATE)
    steps, truth = np.diff(mono), np.diff(X)  # no offset, no hum
    assert abs(np.corrcoef(steps, truth)[0, 1]) > 0.95 and steps.std() > 0.95 * truth.std()
    assert len(caplog.messages) == 1 and "a.wav: its channels cancel each other between 0 and" in caplog.text


@pytest.mark.parametrize("channels", [[X, X], [X, 0 * X], [X, np.roll(X, 37)], [X, -0.2 * X], [X, *NOISE, X]])
def test_channels_that_do_not_cancel_are_averaged(caplog, channels):
    samples = np.stack(channels).astype(np.float32)
    np.testing.assert_allclose(Sound(samples, RATE).mono(RATE), samples.mean(axis=0), atol=1e-6)
    assert not caplog.messages


def test_polarity_that_changes_on_the_way(monkeypatch, caplog):
    """In phase, opposite from 1 s on, silent from 1.5 s, in phase from 2 s on: heard throughout."""
    x = tone(3.0)[0] * ((np.arange(48000) < 24000) | (np.arange(48000) >= 30000))
    other = np.where((np.arange(48000) >= 16000) & (np.arange(48000) < 32000), -x, x)
    sound = Sound(np.stack([x, other]).astype(np.float32), RATE)
    steady = np.arange(48000) % 16000 >= 160  # one way of mixing fades to the next within 10 ms
    whole = sound.mono(RATE)
    np.testing.assert_allclose(whole[steady], x[steady], atol=1e-6)
    assert "between 1 and 2 s" in caplog.text
    monkeypatch.setattr("actalker.media.sound.BLOCK", 1234)
    np.testing.assert_allclose(sound.mono(RATE), whole, atol=1e-6)


def test_stereo_is_written_as_it_is(tmp_path):
    samples = np.stack([X, -X])
    np.testing.assert_array_equal(np.concatenate(list(Sound(samples, RATE).blocks(RATE, 2)), 1), samples)


def test_surround_whose_front_cancels_its_centre_is_heard_in_stereo():
    """Left is X, the centre is its opposite: what a mix of both would lose."""
    samples = np.stack([X, 0 * X, -X / np.sqrt(0.5).astype(np.float32), 0 * X, 0 * X, 0 * X])
    left, right = np.concatenate(list(Sound(samples, RATE).blocks(RATE, 2)), 1)
    assert abs(np.corrcoef(left, X)[0, 1]) > 0.99 and abs(np.corrcoef(right, X)[0, 1]) > 0.99


def written(tmp_path, samples, codec="pcm_f32le"):
    return read_sound(sound_file(tmp_path / "a.wav", samples[None].astype(np.float64), codec=codec)).samples[
        0
    ]


@pytest.mark.parametrize(
    "codec, wild", [("pcm_f32le", [200.0]), ("pcm_f32le", [1e9, -3e38, 7, -2]), ("pcm_f64le", [1e300])]
)
def test_a_few_wild_samples_are_cut(tmp_path, caplog, codec, wild):
    loud = X.copy().astype(np.float64)
    loud[5000 : 5000 + len(wild)] = wild
    heard = written(tmp_path, loud, codec)
    np.testing.assert_allclose(heard, np.clip(loud, -1, 1), atol=1e-6)
    assert f"far beyond full scale were cut to it ({len(wild)})" in caplog.text


@pytest.mark.parametrize("bits", [16, 24])
def test_whole_numbers_as_floats(tmp_path, caplog, bits):
    full = 2.0 ** (bits - 1)
    heard = written(tmp_path, np.round(0.5 * X.astype(np.float64) * full))
    np.testing.assert_allclose(heard, 0.5 * X, atol=1 / full)
    assert f"read as {bits}-bit ones" in caplog.text


def test_another_scale_is_brought_down_whatever_one_sample_says(tmp_path, caplog):
    loud = X.astype(np.float64) * 1000.5
    loud[77] = 1e20
    heard = written(tmp_path, loud)
    rest = np.delete(heard, 77), np.delete(X, 77)
    assert np.corrcoef(*rest)[0, 1] > 0.9999 and 0.9 < np.abs(rest[0]).max() <= 1
    assert "scaled down to full scale" in caplog.text and "were cut to it (1)" in caplog.text


def test_overshoots_of_a_lossy_codec_are_cut_without_a_word(tmp_path, caplog):
    loud = X.astype(np.float64).copy()
    loud[[100, 5000]] = 1.2, -1.1
    np.testing.assert_allclose(written(tmp_path, loud), np.clip(loud, -1, 1), atol=1e-6)
    assert not caplog.messages
