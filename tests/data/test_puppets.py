"""Puppets: a function of (seed, index), moved by what the gates let through; the voice follows the jaw."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from arrays import check_same

from actalker.data.puppets.clip import PuppetConfig, face_points, puppet_clip, render_target
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.puppets.motion import CHANNELS, INDEX, PARTS, TRACK_RATE, compose, still
from actalker.data.puppets.phrases import ACTIONS, action_of, perform
from actalker.data.puppets.voice import RATE, random_voice, speak
from actalker.data.sample import collate
from actalker.signals.script import Phase, Script

OPEN = dict.fromkeys(("audio", "expression", "text"), 1.0)
SMALL = PuppetConfig(frames=6, size=64, driver_size=64)


def test_a_clip_is_a_function_of_seed_and_index_also_in_another_process():
    code = (
        "import torch; torch.set_num_threads(1); from actalker.data.puppets.clip import *; "
        "c = puppet_clip(5, 3, PuppetConfig(frames=6, size=64, driver_size=64)); import hashlib; "
        "held = c.portrait.numpy().tobytes() + c.driver.numpy().tobytes() + c.sound.tobytes(); "
        "print(hashlib.sha256(held).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    a, b = puppet_clip(5, 3, SMALL), puppet_clip(5, 4, SMALL)
    assert not torch.equal(a.portrait, b.portrait) and a.script != b.script


def test_closed_gates_leave_the_portrait_bit_for_bit():
    clip = puppet_clip(1, 0, SMALL)
    closed = render_target(clip, dict.fromkeys(OPEN, 0.0))
    assert torch.equal(closed, clip.portrait[None].expand_as(closed))


@pytest.mark.parametrize("signal", sorted(PARTS))
def test_a_signal_moves_only_its_channels(signal):
    part = puppet_clip(2, 1, PuppetConfig(frames=40, size=32, driver_size=32)).parts[signal]
    moved = {CHANNELS[k] for k in np.flatnonzero(np.abs(part).max(0))}
    assert moved <= set(PARTS[signal])
    half = compose({signal: part}, {signal: 0.5})
    np.testing.assert_allclose(half, 0.5 * part, atol=1e-6)


def test_speech_changes_the_mouth_and_not_the_eyes():
    clip = puppet_clip(3, 2, PuppetConfig(frames=25, size=96))
    apart = (render_target(clip, {"audio": 1.0}) - clip.portrait).abs().mean((0, 1))
    eyes = round(clip.points.eyes[1])
    assert apart[: eyes + 6].max() < 1e-6
    assert apart[round(clip.points.mouth[1]) :].max() > 0.01


def test_the_points_are_where_the_open_mouth_is():
    for index in range(4):
        clip = puppet_clip(9, index, PuppetConfig(frames=1, size=128))
        wide = still(1)
        wide[0, INDEX["jaw"]] = 1.0
        apart = (clip.puppet.render(wide)[0] - clip.portrait).abs().mean(0)
        rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        strong = apart > 0.5 * apart.max()
        x, y = float(columns[strong].mean()), float(rows[strong].mean())
        points = face_points(clip.anatomy, 128)
        assert abs(x - points.mouth[0]) < 10 and -4 < y - points.mouth[1] < 16


def test_the_voice_rises_with_the_jaw_and_is_silent_when_closed():
    n = 2 * TRACK_RATE + 1
    loud = []
    for jaw in (0.0, 0.3, 0.9):
        sound = speak(
            np.full(n, jaw, np.float32),
            np.zeros(n, np.float32),
            random_voice(np.random.default_rng(1)),
            np.random.default_rng(2),
        )
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        hz = np.fft.rfftfreq(len(sound), 1 / RATE)
        band = (hz > 150) & (hz < 1200)
        loud.append((np.sqrt((sound**2).mean()), (hz[band] * spectrum[band]).sum() / spectrum[band].sum()))
    assert loud[1][1] + 60 < loud[2][1]  # the first formant
    jaw = np.where(np.arange(n) < n // 2, 0.0, 0.7).astype(np.float32)
    sound = speak(
        jaw, np.zeros(n, np.float32), random_voice(np.random.default_rng(1)), np.random.default_rng(2)
    )
    quiet, voiced = (np.sqrt((part**2).mean()) for part in (sound[1000:9000], sound[-9000:]))
    assert quiet < 0.1 * voiced


def test_every_wording_means_its_action_which_moves_its_channels_while_it_is_told():
    for name, action in ACTIONS.items():
        for wording in action.wordings:
            for text in (wording.format(their="her"), f"she {wording.format(their='their')}"):
                assert action_of(text) is action, (name, text)
        script = Script("", (Phase(action.wordings[0].format(their="his"), Fraction(1, 2), Fraction(3, 2)),))
        times = np.arange(50) / 25
        motion = np.abs(perform(script, times))
        owned = [INDEX[channel] for channel in action.channels]
        assert motion[(times > 0.5) & (times < 1.5)][:, owned].max(0).min() > 0.75, name
        assert not motion[(times < 0.5) | (times > 1.5)].any(), name
        assert not np.delete(motion, owned, 1).any(), name
    assert action_of("recites a poem") is None


def test_samples_are_whole_and_the_same_again():
    plain, again = (PuppetDataset(PuppetDataConfig(seed=3, frames=5, size=64), 6) for _ in range(2))
    for index in range(4):
        check_same(again[index], plain[index])
    batch = collate([plain[k] for k in range(4)])
    assert batch.frames.shape == (4, 5, 3, 64, 64) and batch.gates.shape == (4, 3, 5)
    assert ((batch.gates >= 0) & (batch.gates <= 1)).all() and (batch.gates.amax((1, 2)) > 0).all()
