"""A head of known motion: drawn by our own renderer, encoded, tracked by the command, read from its take."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage import data

pytest.importorskip("mediapipe")

from actalker.cli.main import main
from actalker.faces.landmarker import find_by_landmarker
from actalker.heads.drawing import HeadPortrait
from actalker.heads.fit import fit_face
from actalker.heads.model import INDEX, head_model
from actalker.heads.motion import HeadMotion
from actalker.heads.outline import person_outline
from actalker.heads.take import read_take
from actalker.heads.track import track
from actalker.media.video import timed_frames
from actalker.media.writer import VideoWriter

MODEL, F, FPS = head_model(), 36, 25
CLOSED, SHUT = slice(22, 26), slice(28, 31)  # frames


def asked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative coefficients (f, 54), pose (f, 6) and gaze (f, 2): turns, lips, lids, a glance."""
    t = np.arange(F)
    opens = 0.3 * np.clip(np.sin(2 * np.pi * t / 12), 0, None)
    coefficients = np.stack([MODEL.coefficients(jawOpen=value) for value in opens])
    coefficients[CLOSED, INDEX["mouthClose"]] = 0.3  # more than she opens
    for side in "LR":
        coefficients[SHUT, INDEX[f"eyeBlink_{side}"]] = 1.0
    wave = np.sin(2 * np.pi * t / F) * np.minimum(t / 4, 1)
    pose = np.stack([9 * wave, 4 * wave, -6 * wave, 0.5 * wave, 0 * wave, 0 * wave], 1)
    gaze = np.stack([np.where((t > 6) & (t < 20), 14.0, 0.0), 0.0 * t], 1)
    return coefficients, pose, gaze


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    photograph = np.ascontiguousarray(data.astronaut()[:360, 60:420])  # NASA, public domain
    seen = max(find_by_landmarker(photograph), key=lambda face: face.area)
    portrait = HeadPortrait(photograph, fit_face(seen, photograph), person_outline(photograph))
    path = tmp_path_factory.mktemp("drawn") / "drawn.mp4"
    with VideoWriter(path, Fraction(FPS), (360, 360)) as writer:
        for frame in zip(*asked(), strict=True):
            writer.write(portrait.draw(*frame).frame)
    return path


@pytest.fixture(scope="module")
def take(video) -> HeadMotion:
    out = video.with_suffix(".csv")
    assert main(["track", str(video), "--out", str(out)]) == 0
    return read_take(out)


def test_the_take_is_the_track_at_the_videos_times(video, take):
    frames = ((float(start), frame) for start, frame in timed_frames(video))
    motion, identity = track(frames, str(video))
    assert identity.shape == (30,) and (motion.confidence > 0.9).all() and not motion.shot.any()
    assert motion.times == pytest.approx(np.arange(F) / FPS, abs=1e-9)
    assert np.abs(take.times - motion.times).max() < 1e-4
    assert np.abs(take.pose[:, :3] - motion.pose[:, :3]).max() < 1e-4
    single = [INDEX[name] for name in ("jawOpen", "mouthClose", "mouthSmile_L", "eyeBlink_R")]
    assert np.abs(take.coefficients - motion.coefficients)[:, single].max() < 1e-6


def test_turns_that_were_drawn_are_found_again(take):
    _, pose, _ = asked()
    for k in range(3):
        got = take.pose[:, k] - take.pose[0, k]
        slope, _ = np.polyfit(pose[:, k], got, 1)
        assert np.corrcoef(pose[:, k], got)[0, 1] > 0.95 and 0.75 < slope < 1.25, (k, slope)


def test_lips_that_were_drawn_shut_are_read_as_shut_and_open_ones_as_far_as_they_are(take):
    coefficients, _, _ = asked()
    opening = MODEL.opening(take.coefficients)
    inside = np.arange(CLOSED.start + 1, CLOSED.stop - 1)
    assert opening[inside].max() < 0.05 and opening[:20].min() > 0.2
    wide = MODEL.gap(coefficients)[:20]
    assert np.corrcoef(wide, opening[:20])[0, 1] > 0.9
    slope, _ = np.polyfit(wide, opening[:20], 1)
    assert 0.5 < slope < 1.3, slope  # the landmarker reads lips of a laugh too near


def test_lids_and_gaze_that_were_drawn_are_found_again(take):
    _, _, gaze = asked()
    blink = take.coefficients[:, [INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]].mean(1)
    assert blink[SHUT.start : SHUT.stop].min() > 0.8 and blink[:20].max() < 0.3
    right = take.gaze[:20, 0]
    assert np.corrcoef(gaze[:20, 0], right)[0, 1] > 0.95
    assert 0.6 < np.polyfit(gaze[:20, 0], right, 1)[0] < 1.4
