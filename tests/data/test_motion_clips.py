"""The motion of heads of real video: prepared, kept in shards, and read as performances."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from arrays import of

pytest.importorskip("mediapipe")

from drawn_head import CLOSED, FPS, MODEL, SHUT, F, asked
from media_files import video_file
from prepare_files import made_shard, rows, run_prepare
from scipy.spatial import cKDTree

from actalker.data.members import read_motion, read_sound
from actalker.data.module import MotionClipData
from actalker.data.motion_clips import MotionClipConfig, MotionClipDataset
from actalker.data.performances.told import truth
from actalker.data.prepare.entries import Entry
from actalker.data.prepare.graph import stages
from actalker.data.prepare.motion import judge_motion, measure_motion
from actalker.data.prepare.settings import MotionConfig, MotionLimits, PrepareConfig
from actalker.data.prepare.stages import Result, Work
from actalker.errors import InputError
from actalker.faces.find import face_model
from actalker.heads.camera import rotation, to_camera
from actalker.heads.face_map import NUMBERS, mirrored
from actalker.heads.model import INDEX
from actalker.heads.motion import HeadMotion
from actalker.heads.rest import calm_face
from actalker.signals.signal import SIGNALS
from actalker.signals.speech import RunningMel

FRAMES = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, HeadMotion]]:
    """A folder of shards, and the tracks in them."""
    folder = tmp_path_factory.mktemp("made")
    return folder, made_shard(folder)


def config(made: tuple[Path, object], **more: object) -> MotionClipConfig:
    plain = {"shards": str(made[0]), "frames": FRAMES, "held_out": 0.0, "mirror": 0.0}
    return MotionClipConfig(**{**plain, **more})  # type: ignore[arg-type]


def work_of(video: Path, side: int, folder: Path) -> Work:
    """A video's whole square picture, as the stages before leave it."""
    told = {
        "probe": {"late": "0", "width": side, "height": side, "duration": 9.0},
        "cut": {"box": [0, 0, side, side]},
        "track": {"square": [0, 0, side]},
    }
    before = {name: Result("", values, {}, 0.0, folder) for name, values in told.items()}
    return Work(Entry("clip", video), before, folder)


def test_the_stage_follows_the_head_at_the_clips_own_times(drawn_head, tmp_path):
    """Seven looks, five a second, at the video of 25 frames a second."""
    values = measure_motion(work_of(drawn_head, 360, tmp_path), MotionConfig(str(face_model(None)), fps="5"))
    motion = read_motion((tmp_path / "motion.npz").read_bytes(), 7)
    assert values["frames"] == 7 and values["seen"] == 1 and values["sure"] > 0.9
    assert motion.times == pytest.approx(np.arange(7) / 5, abs=1e-9)
    _, pose, _ = asked()
    drawn = pose[np.minimum(np.arange(7) * 5, F - 1)]
    for k in range(3):
        got = motion.pose[:, k] - motion.pose[0, k]
        assert (
            np.corrcoef(drawn[:, k], got)[0, 1] > 0.95 and 0.7 < np.polyfit(drawn[:, k], got, 1)[0] < 1.3
        ), k
    with np.load(tmp_path / "motion.npz") as held:
        assert held["identity"].shape == (30,) and held["coefficients"].dtype == np.float32


def test_motion_is_a_stage_if_asked_for():
    names = [
        [stage.name for stage in stages(config)]
        for config in (PrepareConfig(), PrepareConfig(motion=MotionConfig()))
    ]
    assert set(names[1]) - set(names[0]) == {"motion"}
    judged = [
        judge_motion({"seen": seen, "sure": sure}, MotionLimits())
        for seen, sure in ((1, 0.9), (0.5, 0.9), (1, 0.1))
    ]
    assert (
        judged[0] is None and "followed in 50% of the frames" in judged[1] and "followed badly" in judged[2]
    )


def test_a_clip_without_a_human_face_says_so(tmp_path):
    grey = video_file(tmp_path / "grey.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 5)
    with pytest.raises(InputError, match="looked for in 5 frames, and none were found"):
        measure_motion(work_of(grey, 96, tmp_path), MotionConfig(str(face_model(None))))
    assert not (tmp_path / "motion.npz").exists()


def test_shards_without_motion_are_refused(tmp_path):
    made_shard(tmp_path, motion=False)
    with pytest.raises(InputError, match="holds no motion.npz; prepare the clips again, with --motion"):
        MotionClipDataset(config((tmp_path, None)))


def test_clips_of_another_rate_are_refused(made):
    with pytest.raises(InputError, match="has 25 frames a second, the training 30"):
        MotionClipDataset(config(made, fps=30))[0]


def test_a_window_is_the_clips_motion_and_sound(made):
    """Relative to frame 10, the one that is calm; worked out here by hand."""
    data, starts_seen = MotionClipDataset(config(made, all_open=1.0)), set()
    for place in range(24):
        sample, clip = data[place], data.clips[place % 3]
        motion = made[1][clip.name]
        assert calm_face(motion) == 10
        follows = np.array([name.startswith("eyeLook") for name in NUMBERS])
        absolute = np.concatenate([motion.coefficients, motion.pose, motion.gaze], 1)
        own, whole = absolute[10].copy(), absolute - absolute[10]
        own[57:60] = 0
        if clip.name == "quiet.mp4":
            whole[26:, 54:60] = (absolute - absolute[26])[26:, 54:60]
        own[follows], whole[:, follows] = 0, 0
        assert np.allclose(sample.portrait.numpy(), own, atol=1e-5)
        driver = of(sample, "expression.numbers").numpy()
        near = [np.abs(whole[k : k + FRAMES] - driver).max() for k in range(37 - FRAMES)]
        start = int(np.argmin(near))
        assert near[start] < 1e-5
        parts = dict(zip(sample.names(), sample.parts.numpy(), strict=True))
        assert np.array_equal(parts["audio"], driver) and np.array_equal(parts["expression"], driver)
        assert not parts["text"].any() and np.allclose(of(sample, "expression.confidence").numpy(), 0.8)
        gates = dict(zip(sample.names(), sample.gates.numpy(), strict=True))
        assert (gates["expression"] == 1).all() and sample.micro.tolist() == [25, 0, 0]
        if clip.name == "quiet.mp4":
            starts_seen.add(start)
            assert not gates["audio"].any() and (gates["text"] == 1).all()
            assert np.allclose(of(sample, "audio.features").numpy(), RunningMel().silence(FRAMES), atol=2e-3)
            continue
        mono = read_sound(clip.read("wav")["wav"], 36 / 25)
        heard = RunningMel().reader(mono, Fraction(25))(36)[start : start + FRAMES]
        assert (
            np.abs(heard - of(sample, "audio.features").numpy()).max() < 2e-3 and (gates["audio"] == 1).all()
        )
        now = np.array([clip.name == "blinks.mp4" and 5 <= start + k < 10 for k in range(FRAMES)])
        assert np.array_equal(gates["text"] == 0, now), "in a phase nobody knows what the script moved"
        assert np.array_equal(of(sample, "text.timing").numpy()[:, :, 0].any(1), now)
    assert starts_seen <= {*range(15), *range(26, 31)}, "no window with a gap or a cut"
    assert len(starts_seen) > 3


def test_the_truth_is_what_the_clip_shows_where_its_signals_act(made):
    data = MotionClipData(config(made), batch_size=3, steps=1)
    batch = next(iter(data.train_dataloader()))
    assert of(batch, "expression.numbers").shape == (3, FRAMES, 62) and batch.parts.shape == (
        3,
        3,
        FRAMES,
        62,
    )
    assert sorted(data.name(k) for k in batch.index.tolist()) == ["blinks.mp4", "quiet.mp4", "smiles.mp4"]
    mouth = torch.tensor([name.startswith(("jaw", "mouth", "cheekPuff", "tongue")) for name in NUMBERS])
    everything = torch.ones(62)
    for gates, held in (
        ({"audio": 1, "expression": 1}, everything),
        ({"audio": 1, "expression": 1, "text": 1}, everything),
        ({"audio": 1}, everything),
        ({"expression": 0.5}, everything / 2),
        ({"text": 1}, everything * 0),
        ({"audio": 1, "text": 1}, mouth),
        ({"expression": 1, "text": 1}, ~mouth),
    ):
        opened = torch.tensor([float(gates.get(name, 0)) for name in SIGNALS])
        changed = replace(batch, gates=opened[None, :, None].expand(3, 3, FRAMES).clone())
        assert torch.allclose(truth(changed), of(batch, "expression.numbers") * held), gates


def test_a_mirror_image_does_the_same_on_the_other_side():
    """The mesh of mirrored coefficients is the mesh in a mirror, turned heads are turned the other way."""
    random = np.random.default_rng(0)
    face = slice(*MODEL.part_range("face"))
    numbers = np.concatenate([random.random(54) * 0.6, [9, 4, -6, 1, 2, 3, 5, -2]])
    other = mirrored(numbers)
    assert np.allclose(mirrored(other), numbers)
    here, there = (
        to_camera(
            MODEL.shape(np.zeros(0), v[:53], face).astype(float), rotation(*v[54:57]), v[57:60] + (0, 0, 90)
        )
        for v in (numbers, other)
    )
    away, _ = cKDTree(here * (-1, 1, 1)).query(there)
    assert np.median(away) < 0.03 and away.max() < 0.3, (np.median(away), away.max())
    assert other[60:].tolist() == [-5, -2]
    assert other[INDEX["jawLeft"]] == numbers[INDEX["jawRight"]]


def test_half_of_the_windows_are_mirrored_and_each_is_a_function_of_its_place(made):
    plain, data = (MotionClipDataset(config(made, mirror=chance)) for chance in (0.0, 0.5))
    flipped = 0
    for place in range(24):
        one, two = plain[place], data[place]
        same = torch.equal(of(one, "expression.numbers"), of(two, "expression.numbers"))
        assert same or np.allclose(
            mirrored(of(one, "expression.numbers").numpy()), of(two, "expression.numbers").numpy()
        )
        assert torch.equal(of(one, "audio.features"), of(two, "audio.features")) and torch.equal(
            one.gates, two.gates
        )
        assert torch.equal(of(data[place], "expression.numbers"), of(two, "expression.numbers"))
        flipped += not same
    assert 6 <= flipped <= 18


def test_workers_read_the_same_windows(made):
    batches = []
    for workers in (0, 1):
        data = MotionClipData(config(made), batch_size=2, steps=4, workers=workers)
        batches.append(
            [(batch.index, of(batch, "expression.numbers"), batch.gates) for batch in data.train_dataloader()]
        )
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def tracks(out: Path, told: dict[str, dict[str, object]]) -> dict[str, HeadMotion]:
    """Clip -> its track, from the tar file itself."""
    found = {}
    for clip, row in told.items():
        if row["status"] == "ok":
            with tarfile.open(out / "shards" / str(row["shard"])) as tar:
                content = tar.extractfile(f"{row['key']}.motion.npz").read()
            found[clip] = read_motion(content, row["frames"])
    return found


@pytest.mark.slow
def test_the_track_in_a_shard_is_the_motion_that_was_drawn(followed):
    told = rows(followed / "out")
    found = tracks(followed / "out", told)
    assert {row["status"] for clip, row in told.items() if clip.endswith("mp4")} == {"ok"}
    assert all(row["motion_seen"] == 1 and row["motion_sure"] > 0.9 for row in told.values())
    coefficients, pose, gaze = asked()
    for clip, way in (("forth.mp4", 1), ("back.mp4", -1)):
        motion = found[clip]
        assert motion.times == pytest.approx(np.arange(F) / FPS, abs=1e-9)
        assert (motion.confidence > 0.9).all() and not motion.shot.any()
        back = motion.coefficients[::way], motion.pose[::way], motion.gaze[::way]
        for k in range(3):
            drawn, got = pose[:, k], back[1][:, k] - back[1][0, k]
            assert np.corrcoef(drawn, got)[0, 1] > 0.9 and 0.75 < np.polyfit(drawn, got, 1)[0] < 1.25, k
        opening, wide = MODEL.opening(back[0]), MODEL.gap(coefficients)
        assert opening[CLOSED.start + 1 : CLOSED.stop - 1].max() < 0.08
        assert np.corrcoef(wide[:20], opening[:20])[0, 1] > 0.9
        blink = back[0][:, [INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]].mean(1)
        assert blink[SHUT.start : SHUT.stop].min() > 0.8 and blink[:20].max() < 0.3
        assert np.corrcoef(gaze[:20, 0], back[2][:20, 0])[0, 1] > 0.9
    assert len(found["quiet.mp4"]) == 20


@pytest.mark.slow
def test_a_second_start_follows_nothing_and_a_limit_only_judges(followed, tmp_path):
    out = followed / "out"
    kept = {path: path.stat().st_mtime_ns for path in out.glob("work/*/*/motion/result.json")}
    assert len(kept) == 3
    words = ("--probe.sound", "optional", "--motion", "--motion_limits.sure", 1.1)
    shutil.copytree(out, tmp_path / "out")
    done = run_prepare(followed / "source", "--out", tmp_path / "out", *words)
    assert "0 of 3 usable" in done.stdout and "3 rejected: its head is followed badly" in done.stdout
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    again = {path.stat().st_mtime_ns for path in (tmp_path / "out").glob("work/*/*/motion/result.json")}
    assert again == set(kept.values()), "nothing was measured again"
