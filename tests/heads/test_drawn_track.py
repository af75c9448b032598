"""A head of known motion: drawn by our own renderer, encoded, tracked by the command, read from its take."""

import numpy as np
import pytest

pytest.importorskip("mediapipe")

from drawn_head import CLOSED, FPS, MODEL, SHUT, F, asked

from actalker.cli.main import main
from actalker.heads.model import INDEX
from actalker.heads.motion import HeadMotion
from actalker.heads.take import read_take
from actalker.heads.track import track
from actalker.media.video import timed_frames


@pytest.fixture(scope="module")
def take(drawn_head, tmp_path_factory) -> HeadMotion:
    out = tmp_path_factory.mktemp("take") / "drawn.csv"
    assert main(["track", str(drawn_head), "--out", str(out)]) == 0
    return read_take(out)


def test_the_take_is_the_track_at_the_videos_times(drawn_head, take):
    frames = ((float(start), frame) for start, frame in timed_frames(drawn_head))
    motion, identity = track(frames, str(drawn_head))
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
