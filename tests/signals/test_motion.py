"""Motion buckets against closed forms and the release's formula."""

import numpy as np
import pytest

from actalker.errors import InputError
from actalker.signals.motion import ANCHORS, motion_buckets


def face(frames=4, points=68, seed=0):
    """A still face whose landmarks span exactly 300 x 400 pixels: a diagonal of 500."""
    p = np.random.default_rng(seed).uniform(0, 1, (points, 2))
    p = (p - p.min(0)) / np.ptp(p, axis=0) * [300, 400]
    return np.repeat(p[None], frames, axis=0)


def test_a_still_face_has_bucket_zero():
    assert motion_buckets(face(), "ibug68") == (0, 0)


def test_shifting_the_head_is_head_motion_alone():
    """Back and forth by 20 pixels: mean distance 20 of 500, times 256 = 10.24."""
    moving = face()
    moving[1::2, :, 0] += 40
    assert motion_buckets(moving, "ibug68") == (10, 0)


def test_moving_points_are_expression_alone():
    """34 of 68 points, 10 pixels either way: 10 · 0.5 / 500 · 1024 = 10.24."""
    moving = face()
    others = [k for k in range(68) if k != 30][:34]
    moving[1::2, others, 1] += 20
    assert motion_buckets(moving, "ibug68") == (0, 10)


@pytest.mark.parametrize("scheme", ANCHORS)
def test_as_the_release_writes_it(scheme):
    """Plain loops over the formula of the released code; the points beyond `count` set the diagonal only."""
    rng = np.random.default_rng(4)
    x = face(6, {"mediapipe478": 478, "ibug68": 68, "released256": 256}[scheme])
    x = x + rng.normal(0, 3, x.shape)
    anchor, count = ANCHORS[scheme]
    x[:, count:] += rng.normal(0, 20, x[:, count:].shape)
    width, height = x[0].max(0) - x[0].min(0)
    diagonal = (width**2 + height**2) ** 0.5
    relative = [frame[:count] - frame[anchor] for frame in x]
    mean = sum(relative) / len(relative)
    distance = [np.hypot(*(frame[k] - mean[k])) for frame in relative for k in range(count)]
    drift = [np.hypot(*(frame[anchor] - x[:, anchor].mean(0))) for frame in x]
    expected = int(np.mean(drift) / diagonal * 256), int(np.mean(distance) / diagonal * 1024)
    assert motion_buckets(x, scheme) == expected and min(expected) > 0


def test_wild_motion_is_clipped_and_size_does_not_matter():
    x = face(8) + np.random.default_rng(0).normal(0, 500, (8, 68, 2))
    assert max(motion_buckets(x, "ibug68")) <= 128
    y = face(8) + np.random.default_rng(0).normal(0, 4, (8, 68, 2))
    assert motion_buckets(y, "ibug68") == motion_buckets(y * 4 + 100, "ibug68")


@pytest.mark.parametrize(
    "landmarks, says",
    [
        (np.zeros((3, 68, 2)), "one point"),
        (np.zeros((0, 68, 2)), "shape"),
        (np.zeros((3, 5, 2)), "68 or more"),
        (np.full((3, 68, 2), np.nan), "missing"),
    ],
)
def test_bad_landmarks_are_named(landmarks, says):
    with pytest.raises(InputError, match=says):
        motion_buckets(landmarks, "ibug68")
