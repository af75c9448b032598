"""The speech encoder and its features: the same in pieces, at any gain, and whatever comes later."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from actalker.heads.articulation import ARTICULATORS, sharpened
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel
from actalker.signals.audio import HOP, WINDOW, mel_power
from actalker.signals.running import BANDS, CONTEXT, LOOK_AHEAD, RunningMel, SpeechStream
from actalker.signals.speech import STRIDE, SpeechConfig, SpeechEncoder, at_outputs, bounded

FPS = Fraction(25)
SPEECH = {"kind": "speech"}


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of a changing colour in syllables, about -20 dBFS."""
    rng = np.random.default_rng(seed)
    n = round(seconds * 16000)
    noise = rng.normal(size=n + 8)
    smooth = np.convolve(noise, np.ones(8) / 8, mode="valid")[:n]
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(n) / 16000)
    return (0.2 * (smooth * wave + 0.2 * noise[:n] * (1 - wave))).astype(np.float32)


def features(mono, frames, start=0, fps=FPS):
    return RunningMel().reader(mono, fps)(frames, start)


def encoder(seed: int = 0) -> SpeechEncoder:
    """One whose batch norms are not those of the beginning."""
    torch.manual_seed(seed)
    made = SpeechEncoder(SpeechConfig())
    for part in made.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.running_mean, std=0.3)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return made.eval().requires_grad_(False)


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 60), frames=st.integers(1, 30), fps=st.sampled_from([FPS, Fraction(30000, 1001)]))
def test_a_range_is_cut_from_the_whole(start, frames, fps):
    mono = voice(3.0)
    np.testing.assert_array_equal(
        features(mono, frames, start, fps), features(mono, 95, 0, fps)[start : start + frames]
    )


def test_pieces_of_a_long_sound_are_the_whole_in_any_order():
    reader, mono = RunningMel().reader(voice(25.0), FPS), voice(25.0)
    whole = features(mono, 640)
    for start in (610, 3, 260, 240, 505):
        np.testing.assert_array_equal(reader(30, start), whole[start : start + 30])


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 20000), max_size=30))
def test_a_stream_in_pieces_is_the_whole(cuts):
    mono = voice(1.25)
    whole, stream = SpeechStream().push(mono), SpeechStream()
    parts = [stream.push(piece) for piece in np.split(mono, sorted(cuts))]
    for name in ("power", "level", "bands"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
    assert len(whole) == (len(mono) + WINDOW // 2 - WINDOW) // HOP + 1


def test_power_is_that_of_the_other_features():
    mono = voice(2.0)
    ours = SpeechStream().push(mono).power[10:180]
    theirs = mel_power(mono, 10, 170, BANDS)
    apart = np.log10(ours[:, 5:]) - np.log10(theirs[:, 5:])
    assert np.abs(apart).mean() < 0.01 and np.abs(apart[:, 20:]).max() < 0.02  # theirs has no 40 Hz and less
    offset = SpeechStream().push(mono + 0.3).power[10:180]
    np.testing.assert_allclose(np.log10(offset[:, 3:]), np.log10(ours[:, 3:]), atol=1e-3)


@pytest.mark.parametrize("gain", [0.03, 0.3, 4.0])
def test_gain_does_not_matter_after_a_second(gain):
    mono = voice(4.0)
    np.testing.assert_allclose(features(gain * mono, 100)[25:], features(mono, 100)[25:], atol=2e-3)


@pytest.mark.parametrize("frame", [0, 7, 40])
def test_nothing_matters_that_comes_later_than_the_look_ahead(frame):
    mono = voice(3.0)
    other = mono.copy()
    last = (4 * frame + LOOK_AHEAD) * HOP + WINDOW // 2
    other[last:] = np.random.default_rng(0).normal(size=len(mono) - last)
    np.testing.assert_array_equal(features(other, frame + 1), features(mono, frame + 1))
    assert (features(other, frame + 2)[-1] != features(mono, frame + 2)[-1]).any()


def test_silence_is_what_a_silent_sound_gives():
    silence = RunningMel().silence(30)
    for sound in (np.zeros(16000), np.zeros(0), np.full(16000, 0.1), voice(2.0) * 1e-5):
        np.testing.assert_array_equal(features(sound, 30)[1:-1], silence[1:-1])
    assert silence.shape == (30, CONTEXT, BANDS) and silence.dtype == np.float32


def test_a_pause_does_not_move_the_means():
    mono = voice(3.0)
    paused = np.concatenate([mono, np.zeros(5 * 16000, np.float32), mono])
    stream = SpeechStream()
    before, after = stream.push(mono), stream.push(np.zeros(5 * 16000))
    np.testing.assert_allclose(after.level[-1], before.level[-1], atol=0.01)
    np.testing.assert_array_equal(after.bands[-1], after.bands[10])
    again, unbroken = features(paused, 270)[210:], features(np.concatenate([mono, mono]), 145)[85:]
    np.testing.assert_allclose(again, unbroken, atol=0.02)


def test_a_bang_hardly_moves_the_level():
    stream = SpeechStream()
    before = stream.push(voice(3.0))
    bang = np.random.default_rng(1).normal(size=2000)
    after = stream.push(np.concatenate([bang, voice(3.0)]))
    assert after.level[-1] - before.level[-1] < 0.4


def test_a_window_gives_what_a_sequence_gives():
    made = encoder()
    sequence = torch.randn(2, CONTEXT + 9 * STRIDE, BANDS, generator=torch.Generator().manual_seed(0))
    of_sequence = bounded(made.listen(sequence)[0])
    of_windows = made.articulators(at_outputs(sequence))
    assert of_windows.shape == (2, 10, len(ARTICULATORS))
    torch.testing.assert_close(of_windows, of_sequence, atol=1e-6, rtol=0)
    assert of_windows.std(1).min() > 1e-3  # they differ


def test_an_output_sees_its_window_whole_and_nothing_else():
    made = encoder()
    window = torch.randn(1, CONTEXT, BANDS, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made.articulators(window[:, None]).sum().backward()
    assert (window.grad.abs().sum(2) > 0).all()


def test_articulators_stay_in_their_ranges():
    values = bounded(torch.randn(1000, len(ARTICULATORS), generator=torch.Generator().manual_seed(0)) * 20)
    low, high = values.amin(0), values.amax(0)
    width = ARTICULATORS.index("width")
    assert low[width] == -1 and high.max() <= 1.15 and (high >= 1).all()
    assert (low[[k for k in range(len(ARTICULATORS)) if k != width]] >= 0).all()


def test_articulators_are_spoken_as_sound_is():
    made = encoder()
    heard = torch.from_numpy(features(voice(2.0), 40))[None]
    articulators = made.articulators(heard)
    torch.testing.assert_close(made(articulators), made(heard))
    assert made(heard).shape == made.absent(1, 40).shape == (1, 40, 4, 64)


def test_closures_are_sharpened_once_on_their_way_to_tokens():
    made = encoder()
    close = ARTICULATORS.index("close")
    given_ = torch.rand(1, 50, len(ARTICULATORS), generator=torch.Generator().manual_seed(0))
    likely, sure = given_.clone(), given_.clone()
    likely[..., close], sure[..., close] = 0.5, 1.0
    torch.testing.assert_close(made(likely), made(sure))
    half = given_.clone()
    half[..., close] = 0.3
    between = made(half)
    assert (between - made(sure)).abs().max() > 1e-3
    assert sharpened(np.array(0.3)) == pytest.approx(0.5)


def test_a_frozen_listener_keeps_its_batch_norms():
    made = encoder()
    held = {name: value.clone() for name, value in made.state_dict().items()}
    made.train()
    assert made.say.training and not made.listen.training and not made.listen.net.training
    made.articulators(torch.randn(1, 4, CONTEXT, BANDS))
    for name, value in made.listen.state_dict().items():
        assert torch.equal(value, held[f"listen.{name}"]), name
    made.listen.requires_grad_(True)
    made.train()
    assert made.listen.net.training


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_model_with_it_is_saved_and_loaded(tmp_path, dtype):
    config = ModelConfig.from_dict(
        {
            **{"size": 64, "denoiser": "Direct", "codec": "FaceMotion", "audio": SPEECH},
            **{"expression": {"kind": "numbers"}, "text": {"kind": "none"}, "identity": {"kind": "none"}},
        }
    )
    model = TalkingHeadModel(config).eval()
    model.encoders["audio"] = encoder()
    save_model(model, tmp_path / "model", dtype)
    loaded = load_model(tmp_path / "model").eval()
    heard = {"audio": {"features": torch.from_numpy(features(voice(1.0), 20))[None]}}
    difference = (loaded.tokens(heard)["audio"] - model.tokens(heard)["audio"]).abs()
    assert difference.max() < (1e-6 if dtype is None else 0.2) and difference.mean() < 0.02
    assert loaded.encoders["audio"].source.form == (CONTEXT, BANDS)
    assert replace(config, size=64) == config
