"""Tracks of known motion: found again, without jitter, with every closure and blink; gaps, cuts, other
people."""

from dataclasses import replace

import numpy as np
import pytest
from known_heads import MODEL, SIZE, face, landmarks, scores
from skimage import data

from actalker.errors import InputError
from actalker.heads.cuts import other_picture, shots, thumbnail
from actalker.heads.smooth import smoothed
from actalker.heads.track import Frames, _together, fit_track, track
from actalker.heads.track import _turned as turned_by_a_quarter

FPS, F = 25, 75
NOISE = 0.003  # of the eyes' distance, each landmark by itself in each frame
WHO = 0.7 * np.random.default_rng(7).normal(size=30)
BLINKS, CLOSURES = (20, 50), (12, 33, 41, 60)  # frames


def performance(
    who: np.ndarray = WHO, noise: float = NOISE, seed: int = 0
) -> tuple[Frames, dict[str, np.ndarray]]:
    """Three seconds: a head that nods and turns, lips that open and shut for 60 ms, eyes that blink for 120
    ms; the second third is spoken without a move of the head. The truth: opening in cm, blink, angles,
    gaze."""
    random, t = np.random.default_rng(seed), np.arange(F) / FPS
    talk = 0.25 + 0.1 * np.sin(2 * np.pi * 1.5 * t)
    for k in CLOSURES:  # half closed before and after: 60 ms below a half
        talk[k - 1 : k + 2] *= (0.45, 0.0, 0.45)
    blink = np.zeros(F)
    for k in BLINKS:
        blink[k - 1 : k + 2] = 0.7, 1.0, 0.6
    still = (t >= 1) & (t < 2)
    angles = np.stack([12 * np.sin(2 * np.pi * t), 5 * np.sin(np.pi * t), 3 * np.cos(np.pi * t)], 1)
    angles[still] = (0.0, 0.0, -3.0)
    gaze = np.stack([np.where(t > 1.6, 12.0, 0.0), np.zeros(F)], 1)
    faces, asked = [], []
    for k in range(F):
        c = MODEL.coefficients(jawOpen=talk[k], mouthSmile=0.2, eyeBlink=blink[k])
        asked.append(c)
        points = landmarks(who, c, tuple(angles[k]), gaze=tuple(gaze[k]), noise=noise, random=random)
        faces.append(face(points, scores(c)))
    truth = {
        "opening": MODEL.opening(np.array(asked)),
        "blink": blink,
        "angles": angles,
        "gaze": gaze,
        "still": still,
    }
    return Frames(t, tuple(faces), np.zeros(F, bool), SIZE), truth


@pytest.fixture(scope="module")
def tracked():
    seen, truth = performance()
    return *fit_track(seen), truth


def test_times_are_the_videos_own_and_there_is_one_identity(tracked):
    motion, identity, _ = tracked
    assert np.array_equal(motion.times, np.arange(F) / FPS) and len(motion) == F
    assert (motion.confidence == 1).all() and not motion.shot.any()
    own, found = (MODEL.at_landmarks(MODEL.shape(who, np.zeros(54)))[:468] for who in (WHO, identity))
    assert np.sqrt(((own - found) ** 2).sum(1).mean()) < 0.15  # cm


def test_every_closure_of_60_ms_is_kept_and_the_opening_is_exact(tracked):
    motion, _, truth = tracked
    opening = MODEL.opening(motion.coefficients)
    assert np.corrcoef(opening, truth["opening"])[0, 1] > 0.99
    for k in CLOSURES:
        assert opening[k] < 0.02 and opening[[k - 2, k + 2]].min() > 0.35  # cm
        assert opening[[k - 1, k + 1]] == pytest.approx(truth["opening"][[k - 1, k + 1]], abs=0.12)


def test_every_blink_is_kept_and_open_eyes_are_open(tracked):
    motion, _, truth = tracked
    blink = motion.coefficients[:, [MODEL.index["eyeBlink_L"], MODEL.index["eyeBlink_R"]]]
    assert blink[list(BLINKS)].min() > 0.9
    around = np.array([[k - 1, k + 1] for k in BLINKS]).ravel()
    assert np.abs(blink[around].mean(1) - truth["blink"][around]).max() < 0.2
    away = truth["blink"] == 0
    assert np.abs(blink[away]).max() < 0.15


def test_turns_and_gaze_are_found_again(tracked):
    motion, _, truth = tracked
    off = motion.pose[:, :3] - truth["angles"]
    assert (
        np.abs(off - off.mean(0)).max() < 1.5
        and np.corrcoef(motion.pose[:, 0], truth["angles"][:, 0])[0, 1] > 0.995
    )
    assert np.corrcoef(motion.gaze[:, 0], truth["gaze"][:, 0])[0, 1] > 0.97
    assert motion.coefficients[-1, MODEL.index["eyeLookOut_L"]] == pytest.approx(
        motion.gaze[-1, 0] / 34, abs=1e-6
    )


def test_a_still_head_does_not_jitter(tracked, monkeypatch):
    """Against the same fits without the average over neighbours, and against what the noise itself would
    do."""
    motion, _, truth = tracked
    monkeypatch.setattr("actalker.heads.track.smoothed", lambda times, values, noise, pieces: values)
    raw, _ = fit_track(performance()[0])
    rows = np.flatnonzero(truth["still"])[2:-2]
    jitter = [np.diff(one.pose[rows, :3], axis=0).std(0) for one in (motion, raw)]
    assert (jitter[0] < 0.5 * jitter[1]).all() and jitter[0].max() < 0.1  # degrees a frame
    quiet = ["browDown_L", "browInnerUp_R", "mouthSmile_L", "cheekSquint_R", "noseSneer_L"]
    columns = [MODEL.index[name] for name in quiet]
    change = [np.diff(one.coefficients[rows][:, columns], axis=0).std() for one in (motion, raw)]
    assert change[0] < 0.5 * change[1]


def test_the_average_keeps_steps_and_spikes_and_takes_noise():
    times, random = np.arange(100) / 25, np.random.default_rng(0)
    clean = np.zeros((100, 1))
    clean[40:] = 1.0
    clean[60], clean[70:72] = 0.0, 0.3
    out = smoothed(times, clean + 0.015 * random.normal(size=(100, 1)), 0.015, np.zeros(100, int))
    assert np.abs(out - clean).max() < 0.05
    assert (out - clean)[:38].std() < 0.6 * 0.015
    ramp = np.linspace(0, 2, 100)[:, None]
    assert np.allclose(smoothed(times, ramp, 0.015, np.zeros(100, int))[3:-3], ramp[3:-3], atol=1e-3)
    pieces = (np.arange(100) >= 50).astype(int)
    halves = np.where(pieces, 0.02, 0.0)[:, None]
    assert np.allclose(smoothed(times, halves, 0.015, pieces), halves)


def test_a_gap_has_no_confidence_and_lies_on_a_line():
    seen, _ = performance(noise=0)
    gap = slice(55, 60)
    faces = [None if 55 <= k < 60 else one for k, one in enumerate(seen.faces)]
    whole, _ = fit_track(seen)
    motion, _ = fit_track(replace(seen, faces=tuple(faces)))
    assert (motion.confidence[gap] == 0).all() and (np.delete(motion.confidence, np.r_[gap]) > 0.9).all()
    assert not motion.shot.any()
    left, right = motion.pose[54, 0], motion.pose[60, 0]
    assert motion.pose[gap, 0] == pytest.approx(np.linspace(left, right, 7)[1:-1], abs=0.2)
    assert np.abs(motion.pose[:50] - whole.pose[:50]).max() < 0.5


def test_a_face_that_leaves_and_another_that_comes_are_pieces_of_their_own():
    seen, _ = performance()
    other, _ = performance(0.9 * np.random.default_rng(1).normal(size=30))
    away = np.array([160.0, 40.0])
    faces = list(seen.faces[:30]) + [None] * 35
    for one in other.faces[:30]:
        faces.append(face(0.8 * one.landmarks + away, one.expression))
    frames = Frames(np.arange(95) / FPS, tuple(faces), np.zeros(95, bool), SIZE)
    motion, _ = fit_track(frames)
    assert motion.shot.tolist() == [0] * 65 + [1] * 30
    assert (motion.confidence[30:65] == 0).all() and motion.confidence[:30].min() > 0.5
    assert np.allclose(motion.coefficients[35:60], motion.coefficients[29], atol=0.05)  # as it left


def photograph(random: np.random.Generator) -> np.ndarray:
    return thumbnail((255 * random.random((24, 24, 3))).astype(np.uint8).repeat(8, 0).repeat(8, 1))


def test_cuts_are_found_and_flashes_and_quick_turns_are_none():
    random = np.random.default_rng(0)
    a, b = photograph(random), photograph(random)
    seen, _ = performance(noise=0.002)
    times = seen.times[:20]
    faces = list(seen.faces[27:47])  # the head is still
    same = np.zeros(20, bool)
    assert not shots(times, tuple(faces), same).any()
    assert (
        not other_picture(a, 0.4 * a + 150)
        and not other_picture(a, np.full_like(a, 9))
        and other_picture(a, b)
    )
    assert not shots(times, tuple(faces), same | (np.arange(20) == 10)).any()  # a picture behind a still face
    who = landmarks(1.2 * random.normal(size=30), np.zeros(54))  # another person, at the same place
    others = faces[:10] + [face(who)] * 10
    assert shots(times, tuple(others), same | (np.arange(20) == 10)).tolist() == [0] * 10 + [1] * 10
    jump = [face(one.landmarks + (60 if k >= 7 else 0, 0)) for k, one in enumerate(faces)]
    assert shots(times, tuple(jump), same).tolist() == [0] * 7 + [1] * 13
    shake = [face(one.landmarks + (30 * np.sin(0.7 * k), 0)) for k, one in enumerate(faces)]
    assert not shots(times, tuple(shake), same).any()
    back = [*faces[:5], *[None] * 30, *faces[5:]]  # away for longer than a second, then where it was
    long = np.arange(len(back)) / FPS
    assert shots(long, tuple(back), np.zeros(len(back), bool)).tolist() == [0] * 35 + [1] * 15
    short = tuple(back[:5] + back[15:])
    assert not shots(long[:40], short, np.zeros(40, bool)).any()
    near = [face((one.landmarks - 256) * (1.6 if k >= 9 else 1) + 256) for k, one in enumerate(faces)]
    assert shots(times, tuple(near), same).tolist() == [0] * 9 + [1] * 11


def test_a_face_of_a_picture_on_its_side_is_turned_upright():
    points = landmarks(WHO, np.zeros(54), (10, 0, 0))
    lying = face(np.stack([512 - points[:, 1], points[:, 0]], 1))  # the picture was turned clockwise
    assert np.allclose(turned_by_a_quarter(lying, 512).landmarks, points)
    assert np.allclose(turned_by_a_quarter(lying, 512).box, face(points).box)


def test_a_video_without_a_face_is_refused_in_one_line():
    pytest.importorskip("mediapipe")
    frames = [(k / 25, np.full((120, 160, 3), 90, np.uint8)) for k in range(3)]
    with pytest.raises(InputError, match="^dogs.mp4: landmarks of a human face were looked for in 3 frames"):
        track(iter(frames), "dogs.mp4")
    cats = [(k / 25, np.ascontiguousarray(data.chelsea())) for k in range(3)]
    with pytest.raises(InputError, match="^cats.mp4: a human face was looked for, and what was found is"):
        track(iter(cats), "cats.mp4")
    with pytest.raises(InputError, match="looked for in 0 frames"):
        track(iter([]), "empty.mp4")


def test_without_mediapipe_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(
        "actalker.heads.track.landmarker_refuses", lambda model: "mediapipe is absent; install it"
    )
    with pytest.raises(
        InputError, match="^a.mp4: a head is followed by MediaPipe's landmarks, but mediapipe is absent"
    ):
        track(iter([]), "a.mp4")


def test_lids_are_alike_but_for_winks():
    lids = np.array([[1.0, 0.8], [0.3, 0.1], [1.0, 0.1], [0.6, 0.6]])
    made = _together(lids, np.zeros(4))
    np.testing.assert_allclose(made[:2], [[0.9, 0.9], [0.2, 0.2]])
    np.testing.assert_allclose(made[2:], lids[2:])  # a wink, and eyes that are alike
    turned = _together(lids[:2], np.array([30.0, -30.0]))  # to the image's right: its left eye is seen
    np.testing.assert_allclose(turned, [[1.0, 1.0], [0.1, 0.1]])
