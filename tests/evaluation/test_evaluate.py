"""Metrics of videos: against other packages and closed forms; what becomes of clips that have no value."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from media_files import text_as, tone, truncated, video_file, zero_byte
from prepare_files import face_clip, face_frames
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from actalker.cli.main import main
from actalker.data.prepare.quality import measure_sync
from actalker.data.prepare.settings import SyncConfig
from actalker.errors import InputError
from actalker.evaluation.clip import Clip, Unmeasurable
from actalker.evaluation.evaluate import evaluate, protocol_hash
from actalker.evaluation.facial import blinks, lid_opening
from actalker.evaluation.metric import Weights
from actalker.evaluation.metrics import METRICS
from actalker.media.sound import Sound
from actalker.signals.resnet import IdentityNet
from actalker.signals.syncnet import SyncNet

NONE = Weights()


def clip_of(frames: np.ndarray, fps: int = 25, **known: object) -> Clip:
    """A clip whose frames, sound or face are known without a file."""
    clip = Clip(Path("made.mp4"))
    vars(clip).update(frames=frames, fps=Fraction(fps), **known)
    return clip


def measured(name: str, made: Clip, real: Clip | None = None) -> float:
    return METRICS[name].measure(made, real, NONE)


def noise(seed: int = 0, shape: tuple[int, ...] = (4, 40, 48, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_and_ssim_are_torchmetrics():
    one = noise()
    other = np.clip(one + np.random.default_rng(1).normal(0, 12, one.shape), 0, 255).astype(np.uint8)
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).double() for x in (other, one))
    by_frame = [PeakSignalNoiseRatio(255.0)(a[k : k + 1], b[k : k + 1]) for k in range(len(a))]
    assert measured("psnr", clip_of(other), clip_of(one)) == pytest.approx(
        float(torch.stack(by_frame).mean())
    )
    ssim = StructuralSimilarityIndexMeasure(gaussian_kernel=True, sigma=1.5, data_range=255.0)(a, b)
    assert measured("ssim", clip_of(other), clip_of(one)) == pytest.approx(float(ssim), abs=2e-3)


def test_a_clip_beside_itself():
    one = clip_of(noise())
    assert measured("psnr", one, one) > 140 and measured("ssim", one, one) == pytest.approx(1)


def faces(shift: tuple[float, float] = (0.0, 0.0), count: int = 5, seed: int = 0) -> dict[str, object]:
    """Landmarks that stand still, eyes 40 pixels apart, and moved."""
    marks = np.random.default_rng(seed).uniform(20, 80, (478, 2))
    for rows, x in (((33, 133), 30.0), ((362, 263), 70.0)):
        marks[list(rows)] = [(x - 5, 40.0), (x + 5, 40.0)]
    return {"landmarks": np.repeat(marks[None] + shift, count, 0), "scheme": "mediapipe478"}


def test_landmark_distances_are_in_distances_of_the_eyes():
    frames = noise(shape=(5, 100, 100, 3))
    real = clip_of(frames, **faces())
    for shift in ((0.0, 0.0), (3.0, 4.0), (-8.0, 6.0)):
        made = clip_of(frames, **faces(shift))
        expected = float(np.hypot(*shift)) / 40
        assert measured("lmd", made, real) == pytest.approx(expected, abs=1e-9)
        assert measured("mouth_lmd", made, real) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("fps", [10, 25, 60])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_every_blink_is_counted_once_with_its_length(fps, count):
    """Dips of 0.2 s to nothing, one a second; half-shut lids and closed eyes are none."""
    times = np.arange(fps * 12) / fps
    opening = np.full(len(times), 0.3)
    for k in range(count):
        opening[(times >= 1 + k) & (times < 1.2 + k)] = 0.02
    opening[(times >= 8) & (times < 8.2)] = 0.25
    opening[(times >= 9) & (times < 10)] = 0.0
    found = blinks(opening, fps)
    assert len(found) == count and all(length == pytest.approx(0.2, abs=1 / fps + 1e-9) for length in found)


def test_lids_are_open_by_their_distance_over_the_eyes_width():
    marks = np.zeros((1, 478, 2))
    for inner, outer, upper, lower in ((33, 133, (159, 158), (145, 153)), (362, 263, (386, 385), (374, 380))):
        marks[0, [inner, outer]] = [(0, 0), (20, 0)]
        marks[0, list(upper)], marks[0, list(lower)] = (10, -3), (10, 3)
    assert lid_opening(marks, "mediapipe478") == pytest.approx([0.3])


def test_motion_that_is_even_is_smooth_and_light_that_jumps_flickers():
    ramp = clip_of(np.repeat(np.arange(0, 100, 10, dtype=np.uint8), 48).reshape(10, 4, 4, 3))
    assert measured("smoothness", ramp) == pytest.approx(1) and measured("flicker", ramp) == pytest.approx(0)
    jump = clip_of(np.repeat(np.array([100, 110] * 5, dtype=np.uint8), 48).reshape(10, 4, 4, 3))
    assert measured("smoothness", jump) == pytest.approx(1 - 10 / 255)
    assert measured("flicker", jump) == pytest.approx(20)


def test_drift_is_that_of_the_last_second():
    frames = np.full((30, 4, 4, 3), 100, np.uint8)
    frames[20:] = (103, 104, 100)
    assert measured("colour_drift", clip_of(frames, 10)) == pytest.approx(5)


def test_the_background_is_what_lies_outside_all_boxes():
    boxes = np.array([[10.0, 10, 20, 20], [12.0, 10, 30, 20]])
    frames = np.zeros((2, 40, 40, 3), np.uint8)
    frames[1, 10:20, 10:30] = 200
    known = {"track": SimpleNamespace(boxes=lambda: boxes)}
    assert measured("background", clip_of(frames, **known)) == 0
    frames[1, 0, 0] = 150
    assert measured("background", clip_of(frames, **known)) == pytest.approx(150 / 1400 / 2)
    whole = {"track": SimpleNamespace(boxes=lambda: np.array([[0.0, 0, 40, 40]] * 2))}
    with pytest.raises(Unmeasurable, match="fills the picture"):
        measured("background", clip_of(frames, **whole))


@pytest.mark.parametrize("name", ["psnr", "ssim", "lmd", "mouth_lmd"])
def test_other_rates_and_lengths_are_said(name):
    plain = clip_of(noise(), **faces(count=4))
    for other, why in (
        (clip_of(noise(), 30, **faces(count=4)), "rates differ"),
        (clip_of(noise(shape=(60, 40, 48, 3)), **faces(count=60)), "more than a second"),
    ):
        with pytest.raises(Unmeasurable, match=why):
            measured(name, plain, other)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Three clips of a face with a tone, one of no face, one without sound, three that are none."""
    folder = tmp_path_factory.mktemp("videos")
    for k in range(3):
        face_clip(folder / f"clip{k}.mp4", seconds=0.16, fps=25, hz=200.0 + 100 * k)
    video_file(folder / "grey.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 3, 25, sound=tone(0.12))
    video_file(folder / "mute.mp4", face_frames(3), 25)
    truncated(folder / "cut.mp4", folder / "clip0.mp4", 0.3)
    zero_byte(folder / "empty.mp4")
    text_as(folder / "text.mp4")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Weights:
    """Random weights of the right names and shapes."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), folder / "syncnet_v2.model")
    torch.save(IdentityNet((1, 1, 1, 1)).state_dict(), folder / "backbone.pth")
    return Weights(folder / "syncnet_v2.model", folder / "backbone.pth")


def test_a_folder_is_measured_and_every_clip_is_counted(videos, weights, tmp_path, capsys):
    names = "psnr,ssim,av_length,flicker,background,csim"
    words = ["evaluate", videos, "--reference", videos, "--metrics", names, "--out", tmp_path]
    words += ["--arcface", weights.arcface, "--finder", "cascade"]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    held = json.loads((tmp_path / "metrics.json").read_text())
    rows = {row["metric"]: row for row in held["rows"]}
    assert set(rows) == set(names.split(",")) and not held["not_computed"]
    for row in rows.values():
        assert len(row["clips"]) == 8 and row["count"] + sum(row["failures"].values()) == 8
        assert row["hash"] == protocol_hash(row["protocol"]) and row["hash"] in told
    assert rows["psnr"]["count"] == 5 and rows["psnr"]["value"] > 90
    assert rows["av_length"]["count"] == 4 and rows["av_length"]["value"] < 0.05
    assert rows["csim"]["value"] == pytest.approx(1, abs=0.2)
    assert rows["csim"]["all"] == pytest.approx(rows["csim"]["value"] * rows["csim"]["count"] / 8)
    assert any("no face" in why for why in rows["csim"]["failures"])
    assert set(rows["csim"]["protocol"]["weights"]) == {"arcface"}
    table = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(table) == 9 and table[0].split(",") == ["clip", *names.split(",")]


def test_sync_is_measured_of_a_face_with_sound_and_of_nothing_else(videos, weights, tmp_path):
    face_clip(tmp_path / "face.mp4", seconds=0.32, fps=25)
    clip = Clip(tmp_path / "face.mp4", "cascade")
    confidence, distance = (METRICS[name].measure(clip, None, weights) for name in ("sync_c", "sync_d"))
    assert confidence >= 0 and distance > 0
    with pytest.raises(Unmeasurable, match="no face"):
        METRICS["sync_c"].measure(Clip(videos / "grey.mp4", "cascade"), None, weights)
    with pytest.raises(Unmeasurable, match="no sound"):
        METRICS["sync_c"].measure(Clip(videos / "mute.mp4", "cascade"), None, weights)


def test_preparing_and_evaluating_a_clip_give_one_distance(weights, tmp_path):
    """The same frames, sound and boxes, partly outside the picture, as prepared clips and as a video."""
    frames = face_frames(10)
    video_file(tmp_path / "clip.mp4", frames, 25)
    samples = (tone(0.4)[0] * 20000).astype("<i2")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000), file.writeframes(samples)
    boxes = np.array([[-9.5, 20.2, 80.7, 130.1]]) + np.arange(10)[:, None] * [1.3, 0, 1.3, 0]
    np.savez(tmp_path / "features.npz", boxes=boxes)
    held = SimpleNamespace(file=lambda name: tmp_path / name, values={"sound": True})
    work = SimpleNamespace(before={"render": held, "features": held})
    prepared = measure_sync(work, SyncConfig(str(weights.syncnet)))
    clip = Clip(tmp_path / "clip.mp4")
    vars(clip).update(sound=Sound(samples[None] / 32768, 16000), track=SimpleNamespace(boxes=lambda: boxes))
    for name, key in (("sync_d", "distance"), ("sync_c", "confidence")):
        assert METRICS[name].measure(clip, None, weights) == pytest.approx(prepared[key], abs=6e-4)


def test_what_is_missing_is_named_and_nothing_is_fetched(videos, tmp_path, capsys):
    assert main(["evaluate", str(videos / "clip0.mp4"), "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    left = json.loads((tmp_path / "metrics.json").read_text())["not_computed"]
    needed = {"reference", "syncnet", "arcface", "inception", "i3d", "backbone", "lpips"}
    assert set(left) == {name for name, metric in METRICS.items() if needed & set(metric.needs)}
    assert "syncnet_v2.model" in left["sync_c"] and "--reference" in left["psnr"]
    assert all(f"- {name}: not computed" in told for name in left)


@pytest.mark.parametrize(
    "words, says",
    [
        (["nowhere"], "no such file or folder"),
        (["{videos}", "--metrics", "psrn"], "metric 'psrn' is unknown; did you mean 'psnr'"),
        (["{videos}", "--metrics", ","], "names no metric"),
        (["{videos}", "--reference", "{videos}/clip0.mp4", "--metrics", "psnr"], "has no video for"),
        (["{weights}"], "holds no videos"),
        (["{videos}", "--syncnet", "nowhere.model"], "no such file"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(videos, weights, tmp_path, capsys, words, says):
    given = [word.format(videos=videos, weights=weights.syncnet.parent) for word in words]
    assert main(["evaluate", *given, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_protocol_is_what_the_number_depends_on(videos, weights):
    def told(**changes):
        given = {
            "generated": videos / "clip0.mp4",
            "reference": videos / "clip1.mp4",
            "names": ["csim", "psnr"],
        }
        report = evaluate(**{**given, "weights": weights, "finder": "cascade", **changes})
        return {row.metric: row.hash for row in report.rows}

    plain = told()
    assert plain == told(generated=videos / "clip2.mp4")
    torch.manual_seed(1)
    other = weights.arcface.with_name("other.pth")
    torch.save(IdentityNet((1, 1, 1, 1)).state_dict(), other)
    changed = told(weights=Weights(None, other))
    assert changed["csim"] != plain["csim"] and changed["psnr"] == plain["psnr"]


@pytest.mark.parametrize("name", ["sync_c", "csim"])
def test_weights_of_something_else_are_refused_before_the_work(videos, weights, name):
    swapped = Weights(weights.arcface, weights.syncnet)
    with pytest.raises(InputError, match="SyncNet|IdentityNet"):
        evaluate(videos, videos, [name], swapped, "cascade")
