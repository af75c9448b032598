from fractions import Fraction

import numpy as np
import pytest

from actalker.heads.face_map import FOLLOWS, MOUTH, NUMBERS
from actalker.signals.liveliness import AHEAD, PAST, Liveliness, stress_of

LID, YAW, PITCH, ROLL = (NUMBERS.index(name) for name in ("eyeBlink_L", "yaw", "pitch", "roll"))
BROW = NUMBERS.index("browOuterUp_R")
SEEDS = range(60)
MINUTE = 1500


@pytest.fixture(scope="module")
def minutes() -> dict[int, np.ndarray]:
    """A minute of every seed, at 25 frames a second."""
    return {seed: Liveliness(25, seed).numbers(0, MINUTE) for seed in SEEDS}


def runs(there: np.ndarray) -> list[tuple[int, int]]:
    """First frames of what is there, and the frames after it."""
    edges = np.flatnonzero(np.diff(np.r_[False, there, False].astype(int)))
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_lids_blink_as_often_and_as_irregularly_as_peoples(minutes):
    for seed, numbers in minutes.items():
        blinks = runs(numbers[:, LID] >= 0.5)
        waits = np.diff([start for start, _ in blinks])
        assert 8 <= len(blinks) <= 25, seed
        assert 0.4 <= waits.std() / waits.mean() <= 1.0, seed


def test_a_blink_is_quick_and_whole(minutes):
    for numbers in minutes.values():
        lids = numbers[:, LID]
        for start, stop in runs(lids >= 0.15):
            if start > 0 and stop < MINUTE:
                assert 3 <= stop - start <= 6
                assert lids[start:stop].max() > 0.95
                assert lids[start:stop].argmax() <= 2  # it closes faster than it opens


def test_the_head_moves_a_little(minutes):
    deviations = np.array([numbers[:, [YAW, PITCH, ROLL]].std(0) for numbers in minutes.values()])
    assert (deviations[:, 0] > 0.5).all() and (deviations[:, 0] < 3).all()
    assert (deviations[:, 1:].mean(0) < deviations[:, 0].mean()).all()
    tens = np.array([numbers[:250, YAW].std() for numbers in minutes.values()])
    assert (tens > 0.3).all() and (tens < 3).all()


def test_the_mouth_and_what_follows_the_gaze_stay_at_zero(minutes):
    still = [k for k, name in enumerate(NUMBERS) if name.startswith((*MOUTH, FOLLOWS))]
    for numbers in minutes.values():
        assert numbers.dtype == np.float32 and numbers.shape == (MINUTE, 62)
        assert (numbers[:, still] == 0).all()
        assert (numbers[:, :54] >= 0).all() and (numbers[:, :54] <= 1).all()


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 12.5, 60])
def test_frames_are_the_same_in_any_pieces_and_order(fps):
    lively, stress = Liveliness(fps, 7), np.random.default_rng(0).random(400)
    whole = lively.numbers(10**6, 400, stress)
    pieces = {k: Liveliness(fps, 7).numbers(10**6 + k, 9, stress[k : k + 9]) for k in range(387, -1, -9)}
    for k, piece in pieces.items():
        np.testing.assert_array_equal(piece, whole[k : k + 9])
    single = np.concatenate([lively.numbers(10**6 + k, 1, stress[k : k + 1]) for k in range(60)])
    np.testing.assert_array_equal(single, whole[:60])


def test_seeds_differ_and_repeat():
    a, b = Liveliness(25, 1).numbers(0, 500), Liveliness(25, 2).numbers(0, 500)
    assert np.abs(a - b).max() > 1
    np.testing.assert_array_equal(a, Liveliness(25, 1).numbers(0, 500))
    assert np.isfinite(Liveliness(25, -5).numbers(-100, 200)).all()


def test_the_same_seconds_at_another_rate_of_frames():
    slow, fast = Liveliness(25, 3).numbers(0, 100), Liveliness(50, 3).numbers(0, 200)
    np.testing.assert_array_equal(slow, fast[::2])


def test_the_amount_scales_sizes_and_none_is_none():
    still = Liveliness(25, 4, 0.0).numbers(0, 500, np.ones(500))
    assert (still == 0).all() and not np.signbit(still).any()
    sizes = [Liveliness(25, 4, amount).numbers(0, 3000)[:, YAW].std() for amount in (0.1, 0.25, 0.5, 1.0)]
    assert sizes == sorted(sizes) and sizes[0] < 0.5 and 1.5 < sizes[3] / sizes[2] < 2.5
    counts = [len(runs(Liveliness(25, 4, a).numbers(0, 9000)[:, LID] >= 0.5)) for a in (0.25, 0.5, 1.0)]
    assert counts == sorted(counts) and counts[2] < 1.7 * counts[0]
    assert Liveliness(25, 4, 0.02).numbers(0, 3000)[:, LID].max() < 0.15


def test_what_is_no_amount_and_no_stress_is_refused():
    with pytest.raises(ValueError, match="amount is 1.5; 0 to 1"):
        Liveliness(25, 0, 1.5)
    with pytest.raises(ValueError, match=r"shape \(3,\); \(4,\)"):
        Liveliness(25, 0).numbers(0, 4, np.zeros(3))


def test_nods_and_brows_follow_stress_at_once():
    stress = np.zeros(1500)
    for at in range(20, 1480, 35):
        stress[at : at + 6] = np.hanning(8)[1:-1]
    for seed in range(8):
        lively = Liveliness(25, seed)
        more = lively.numbers(0, 1500, stress) - lively.numbers(0, 1500)
        for column, least in ((PITCH, 0.5), (BROW, 0.02)):
            lags = [np.corrcoef(np.roll(stress, lag), more[:, column])[0, 1] for lag in range(-6, 7)]
            assert abs(int(np.argmax(lags)) - 6) <= 2, (seed, column)  # within 100 ms
            assert more[stress > 0.9, column].mean() > least
            assert np.abs(more[stress == 0, column]).max() < 1e-4


def syllables(seconds: float, loud: float, fps: float = 25) -> tuple[np.ndarray, np.ndarray]:
    """Loudness of four syllables a second, and where every eighth of them is stressed."""
    t = np.arange(int(seconds * fps)) / fps
    number = np.floor(t * 4).astype(int)
    return loud * np.sin(np.pi * (t * 4 % 1)) * np.where(number % 8 == 5, 3.0, 1.0), number % 8 == 5


@pytest.mark.parametrize("loud", [0.001, 1.0, 3000.0])
def test_stress_is_where_speech_is_louder_than_before(loud):
    loudness, stressed = syllables(12, loud)
    stress = stress_of(loudness, 25)
    assert stress.shape == loudness.shape and (stress >= 0).all() and (stress <= 1).all()
    later = np.arange(len(stress)) > 50
    assert stress[stressed & later].mean() > 0.5
    far = np.convolve(stressed, np.ones(9), "same") == 0
    assert stress[far & later].max() < 0.1
    assert (stress_of(np.zeros(30), 25) == 0).all() and len(stress_of(np.zeros(0), 25)) == 0


@pytest.mark.parametrize("fps", [25, 30])
def test_stress_sees_no_further_than_it_says(fps):
    rng = np.random.default_rng(0)
    loudness = rng.random(400) ** 2
    whole = stress_of(loudness, fps)
    ahead, past = int(AHEAD * fps), round(PAST * fps)
    for at in (200, 300, 333):
        changed = loudness.copy()
        changed[at + ahead + 1 :] = 9.0
        np.testing.assert_array_equal(stress_of(changed, fps)[: at + 1], whole[: at + 1])
        piece = stress_of(loudness[at - past : at + ahead + 1], fps)
        np.testing.assert_allclose(piece[past], whole[at], atol=1e-12)
