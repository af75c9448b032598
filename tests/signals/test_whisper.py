"""The Whisper front end on a tiny random Whisper, saved to a folder and loaded from it."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from actalker.errors import InputError
from actalker.signals.audible import audible
from actalker.signals.whisper import WhisperAudio, WhisperConfig


@pytest.fixture
def encoder(whisper_folder):
    return WhisperAudio(WhisperConfig(whisper_folder, states=2, channels=16, hidden=8))


def truth(folder, samples):
    """All 1500 states of up to 30 s, straight from transformers."""
    import transformers as t

    mel = t.WhisperFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        out = t.WhisperModel.from_pretrained(folder).encoder(mel.input_features, output_hidden_states=True)
    return torch.stack(out.hidden_states, dim=2)[0].numpy()


def test_windows_are_the_states_around_the_frame(encoder, whisper_folder):
    """At 25 fps frame k is at step 2 k exactly: the window holds steps 2 k - 5 .. 2 k + 4, zeros outside."""
    mono = np.random.default_rng(0).normal(size=32000).astype(np.float32) * 0.1
    states = np.pad(truth(whisper_folder, audible(mono, 0, 32000))[:100], ((5, 10), (0, 0), (0, 0)))
    ours = encoder.source.reader(mono, Fraction(25))(50)
    np.testing.assert_allclose(ours, np.stack([states[2 * k : 2 * k + 10] for k in range(50)]), atol=1e-6)
    np.testing.assert_allclose(encoder.source.reader(mono, Fraction(25))(7, 40), ours[40:47], atol=1e-6)


def test_long_sound_is_read_in_spans_with_context(encoder, whisper_folder):
    mono = np.random.default_rng(1).normal(size=31 * 16000).astype(np.float32) * 0.1
    ours = encoder.source.reader(mono, Fraction(25))(30, 715)  # 28.6 s: the second span
    states = truth(whisper_folder, audible(mono, 27 * 16000, len(mono)))  # it begins at step 1400 - 50
    np.testing.assert_allclose(ours[0], states[1430 - 5 - 1350 : 1430 + 5 - 1350], atol=1e-6)
    np.testing.assert_allclose(encoder.source.reader(mono, Fraction(25))(60, 690)[25:55], ours, atol=1e-6)


def test_an_offset_is_not_heard(encoder):
    silence, offset = np.zeros(16000, np.float32), np.full(16000, 0.05, np.float32)
    read = encoder.source.reader
    np.testing.assert_array_equal(read(offset, Fraction(25))(25), read(silence, Fraction(25))(25))


def test_whispers_weights_are_not_stored_with_the_model(encoder):
    before = set(encoder.state_dict())
    tokens = encoder(
        torch.from_numpy(encoder.source.reader(np.zeros(800, np.float32), Fraction(25))(3))[None]
    )
    assert set(encoder.state_dict()) == before and tokens.shape == encoder.absent(1, 3).shape


@pytest.mark.parametrize(
    "change, says",
    [
        ({"folder": "/nowhere/whisper"}, "no Whisper model there"),
        ({"states": 5}, "set states: 2, channels: 16"),
    ],
)
def test_a_wrong_model_is_named(whisper_folder, change, says):
    encoder = WhisperAudio(WhisperConfig(**{"folder": whisper_folder, "states": 2, "channels": 16, **change}))
    with pytest.raises(InputError, match=says):
        encoder.source.reader(np.zeros(1600, np.float32), Fraction(25))(2)
