"""Puppets: a function of (seed, index), moved by what the gates let through; the voice follows the jaw."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from actalker.data.puppets.field import _field

from actalker.data.module import PuppetData
from actalker.data.puppets.anatomy import other_insides, random_anatomy
from actalker.data.puppets.clip import PuppetConfig, face_points, puppet_clip, render_target
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.puppets.motion import CHANNELS, INDEX, PARTS, TRACK_RATE, compose, still
from actalker.data.puppets.phrases import ACTIONS, action_of, perform
from actalker.data.puppets.pose import Pose
from actalker.data.puppets.render import Puppet, absolute
from actalker.data.puppets.voice import RATE, random_voice, speak
from actalker.data.sample import collate
from actalker.errors import InputError
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


def test_all_pixels_are_made_on_the_puppets_device():
    """On `meta`, which, as a GPU, takes no tensor of the CPU beside its own; it needs no GPU."""
    meta = torch.device("meta")
    for seed in range(5):
        a, motion = random_anatomy(np.random.default_rng(seed)), still(6)
        motion[:, INDEX["jaw"]] = np.linspace(0, 1, 6)
        pose, rest = (Pose(a, absolute(a, m)) for m in (motion, still(1)))
        puppet = Puppet(a, 64, meta)
        parts = puppet._parts(pose)
        with meta:
            frames = puppet._draw(pose.to(meta), parts)
            known = _field(puppet, pose.to(meta), rest.to(meta), (torch.arange(16) + 0.5) / 16)
        assert frames.device == known.device == meta
        assert frames.shape == (6, 3, 64, 64) and known.shape == (6, 3, 16, 16)


def test_what_a_closed_mouth_hides_can_be_drawn_as_its_mean():
    """Other insides are, on average, nearly half as far from the mean of 8 as from any one: 1 + 1/8 to 2."""
    motion = still(3)
    motion[:, INDEX["jaw"]] = (0, 0.4, 0.9)
    from_mean, from_one = 0.0, 0.0
    for seed in range(12):
        a = random_anatomy(np.random.default_rng(seed))
        closed, parted = list(a.rest), list(a.rest)
        closed[INDEX["jaw"]], parted[INDEX["jaw"]] = 0.0, 0.2
        puppet = Puppet(replace(a, rest=tuple(closed)), 64)
        one, mean = puppet.render(motion), puppet.render(motion, insides=8)
        assert torch.equal(one[0], mean[0]) and not torch.equal(one[1:], mean[1:])
        (other,) = other_insides(puppet.anatomy, np.random.default_rng(100 + seed), 1)
        truth = Puppet(other, 64).render(motion)
        from_mean += float((mean - truth).square().sum())
        from_one += float((one - truth).square().sum())
        shows = Puppet(replace(a, rest=tuple(parted)), 64)  # its teeth are seen
        assert torch.equal(shows.render(motion), shows.render(motion, insides=8))
    assert from_mean < 0.7 * from_one
    with pytest.raises(InputError, match="data.insides: 0; give 1"):
        PuppetDataset(PuppetDataConfig(insides=0), 1)


def test_a_clip_can_begin_where_the_jaw_is_widest_open():
    """The same performance, cut out at most 8 frames sooner; of those, no other moment is wider open."""
    jaw, moved = INDEX["jaw"], 0
    for index in range(8):
        plain, chosen = (puppet_clip(4, index, replace(SMALL, moments=n)) for n in (1, 9))
        assert np.array_equal(plain.sound, chosen.sound) and plain.script == chosen.script
        sooner = plain.start - chosen.start
        assert 0 <= sooner < 9
        seen = chosen.parts["audio"][:, jaw]  # from its beginning to the other's all are candidates
        assert (seen[: sooner + 1] <= seen[0]).all()
        for name, part in plain.parts.items():
            assert np.array_equal(chosen.parts[name][sooner:], part[: max(SMALL.frames - sooner, 0)]), name
        moved += sooner > 0
    assert moved >= 4
    with pytest.raises(InputError, match="data.moments: 0; give 1"):
        PuppetDataset(PuppetDataConfig(moments=0), 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same():
    for index in range(8):
        here, there = puppet_clip(3, index, SMALL), puppet_clip(3, index, replace(SMALL, device="cuda"))
        for one, other in (
            (render_target(clip, OPEN) for clip in (here, there)),
            (here.driver, there.driver),
        ):
            assert other.device.type == "cpu"
            torch.testing.assert_close(
                one.float(), other.float(), rtol=0, atol=1e-3 if one.is_floating_point() else 1
            )


def test_a_gpu_that_is_not_there_or_beside_workers_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, said in (("cuda", "cuda is not available"), ("gpu", "device to draw on 'gpu' is unknown")):
        with pytest.raises(InputError, match=said):
            PuppetDataset(PuppetDataConfig(device=device), 1)
    with pytest.raises(InputError, match="data.workers: 2, but a GPU draws"):
        PuppetData(PuppetDataConfig(device="cuda"), workers=2)


@pytest.mark.parametrize("signal", sorted(PARTS))
def test_a_signal_moves_only_its_channels(signal):
    part = puppet_clip(2, 1, PuppetConfig(frames=40, size=32, driver_size=32, lead=False)).parts[signal]
    moved = {CHANNELS[k] for k in np.flatnonzero(np.abs(part).max(0))}
    assert moved <= set(PARTS[signal])
    half = compose({signal: part}, {signal: 0.5})
    np.testing.assert_allclose(half, 0.5 * part, atol=1e-6)


def test_speech_changes_the_mouth_and_not_the_eyes():
    clip = puppet_clip(3, 2, PuppetConfig(frames=25, size=96, lead=False))
    apart = (render_target(clip, {"audio": 1.0}) - clip.portrait).abs().mean((0, 1))
    eyes = round(clip.points.eyes[1])
    assert apart[: eyes + 6].max() < 1e-6
    assert apart[round(clip.points.mouth[1]) :].max() > 0.01


def test_the_points_are_where_the_open_mouth_is():
    for index in range(4):
        clip = puppet_clip(9, index, PuppetConfig(frames=1, size=128, lead=False))
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


def test_every_wording_means_its_action_and_the_action_is_recognised():
    for name, action in ACTIONS.items():
        for wording in action.wordings:
            for text in (wording.format(their="her"), f"she {wording.format(their='their')}"):
                assert action_of(text) is action, (name, text)
        script = Script("", (Phase(action.wordings[0].format(their="his"), Fraction(1, 2), Fraction(3, 2)),))
        times = np.arange(50) / 25
        motion = perform(script, times)
        inside, outside = (times >= 0.65) & (times <= 1.35), times > 1.6
        assert action.shown(motion[inside], motion[outside]), name
        assert not action.shown(np.zeros_like(motion[inside]), motion[outside]), name
    assert action_of("recites a poem") is None


def test_samples_are_whole_and_the_disk_gives_the_same(tmp_path):
    config = PuppetDataConfig(seed=3, frames=5, size=64, portrait_share=0.5)
    plain = PuppetDataset(config, 6)
    from dataclasses import replace

    kept = replace(config, cache=str(tmp_path))
    for _ in range(2):
        again = PuppetDataset(kept, 6)
        for index in range(4):
            for name, value in vars(plain[index]).items():
                assert torch.equal(getattr(again[index], name), value), name
    assert len(list(tmp_path.iterdir())) == 4
    batch = collate([plain[k] for k in range(4)])
    assert batch.frames.shape == (4, 5, 3, 64, 64) and batch.gates.shape == (4, 3, 5)
    assert ((batch.gates >= 0) & (batch.gates <= 1)).all() and (batch.gates.amax((1, 2)) > 0).all()
