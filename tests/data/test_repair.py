"""Sound that is early or late is moved to the lips, where SyncNet's weights say by how much."""

from __future__ import annotations

import io
import tarfile
import wave
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from media_files import sound_file, video_file
from prepare_files import face_frames, rows, run_prepare

from actalker.data.prepare.cut import write_sound
from actalker.data.prepare.entries import Entry
from actalker.media.sound import read_sound
from actalker.signals.syncnet import SyncNet, mfcc, sync_crops
from actalker.timeline import Interval


def samples_of(content: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32767


@pytest.mark.parametrize("later", [Fraction(0), Fraction(3, 25), Fraction(-3, 25), Fraction(2), Fraction(-5)])
@pytest.mark.parametrize("span", [None, Interval(Fraction(1), Fraction(2))])
def test_sound_is_moved_by_exact_samples(tmp_path, later, span):
    noise = 0.3 * np.random.default_rng(0).standard_normal((1, 48000)).clip(-3, 3)
    video = sound_file(tmp_path / "a.wav", noise.astype(np.float32))
    probed = SimpleNamespace(values={"late": "0", "duration": 3.0})
    work = SimpleNamespace(entry=Entry("a", video, span), before={"probe": probed}, folder=tmp_path)
    write_sound(work, Fraction(1), later)
    first = (16000 if span else 0) - int(later * 16000)
    expected = np.pad(noise[0], 100_000)[100_000 + first : 116_000 + first]  # silence around the file's sound
    assert np.abs(samples_of((tmp_path / "sound.wav").read_bytes()) - expected).max() < 1e-4


def hearing_light(faces: list[np.ndarray]) -> SyncNet:
    """A SyncNet for which light is sound: its lips' vector is how light the crop is, its sound's how loud.

    faces: (224, 224, 3) a dark and a light one, which are as a quiet and a loud sound.
    """
    net = SyncNet().eval().requires_grad_(False)
    for weight in net.parameters():
        weight.zero_()
    for part in (net.netcnnaud, net.netcnnlip, net.netfcaud, net.netfclip):
        for layer in part:
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Conv3d)):
                window = layer.weight[0, : 3 if layer.in_channels == 3 else 1]
                if part is net.netcnnlip:
                    window += 1 / window.numel()
                elif layer.kernel_size == (5, 4):
                    window[:, 0] += 0.25  # the energy's row
                else:
                    window[:, 1, 1] += 1
            elif isinstance(layer, torch.nn.Linear):
                layer.weight[0, 0] = 1
            elif isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
                layer.weight.fill_(1)
    seen = [torch.from_numpy(face).permute(2, 0, 1)[:, None].expand(-1, 5, -1, -1)[None] for face in faces]
    hum = [torch.from_numpy(mfcc(noise(k)[:3840] * 32768)).float()[:20].T[None, None] for k in (0.02, 0.3)]
    for last, low, high in (
        (net.netfclip[-1], *(net.lips(one.float())[0, 0] for one in seen)),
        (net.netfcaud[-1], *(net.sound(one)[0, 0] for one in hum)),
    ):
        last.weight[0, 0] = 10 / (high - low)
        last.bias[0] = -10 * low / (high - low)
    return net


def noise(level: float, seconds: float = 3.0) -> np.ndarray:
    return level * np.random.default_rng(0).standard_normal(round(seconds * 16000)).clip(-3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("early", [4, -3])
def test_a_known_offset_is_repaired_rejected_or_kept(tmp_path, early):
    """Light and loudness change together; the sound comes `early` frames before its light (or after it)."""
    light = np.repeat([False, True, False, True, False], [15, 12, 18, 15, 15])  # of 75 frames
    pictures = [(f * 0.7 + 40 * on).astype(np.uint8) for f, on in zip(face_frames(75), light, strict=True)]
    loud = np.pad(np.repeat(np.roll(light, -early), 640), (0, 8000))  # it goes on for longer than the picture
    sound = np.where(loud, noise(0.3, 3.5), noise(0.02, 3.5))[None].astype(np.float32)
    (tmp_path / "source").mkdir()
    video = video_file(tmp_path / "source/a.mp4", pictures, 25, sound=sound)
    boxes = np.tile([50.0, 40.0, 130.0, 120.0], (75, 1))
    faces = sync_crops(pictures, boxes)[[10, 20]]
    torch.save(hearing_light(list(faces)).state_dict(), tmp_path / "net.model")
    limits = ("--sync_limits.confidence", 0.1, "--shots_limits.most", 99)
    words = (tmp_path / "source", "--out", tmp_path / "out", "--engine", "serial", *limits)
    words += ("--syncnet", tmp_path / "net.model")
    run_prepare(*words)
    row = rows(tmp_path / "out")["a.mp4"]
    assert row["status"] == "rejected" and row["sync_offset"] == early, row["reason"]
    run_prepare(*words, "--sync", "keep")
    row = rows(tmp_path / "out")["a.mp4"]
    assert row["status"] == "ok" and row["sync_offset"] == early and row["sync_shift"] is None
    run_prepare(*words, "--sync", "repair")
    row = rows(tmp_path / "out")["a.mp4"]
    assert row["status"] == "ok" and row["sync_offset"] == 0 and row["sync_shift"] == early / 25
    way = "later" if early > 0 else "earlier"
    moved = f"its sound is moved {abs(early) / 25:.2f} s {way}: it was {early} frames from the lips, and is 0"
    assert row["notes"] == moved
    with tarfile.open(tmp_path / "out/shards/shard-000000.tar") as tar:
        (wav,) = [tar.extractfile(info).read() for info in tar if info.name.endswith(".wav")]
    whole = np.pad(read_sound(video).mono(16000), 48000)
    first = 48000 - early * 640
    assert np.abs(samples_of(wav) - whole[first : first + 48000]).max() < 2e-4
