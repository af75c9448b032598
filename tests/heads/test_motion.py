"""A head's motion, absolute and relative."""

import numpy as np
import pytest

from actalker.heads.motion import BLINKS, COEFFICIENTS, HeadMotion


def motion(f: int, seed: int = 0, blink: float = 0.8) -> HeadMotion:
    rng = np.random.default_rng(seed)
    coefficients = rng.random((f, len(COEFFICIENTS)))
    coefficients[:, BLINKS] *= blink
    return HeadMotion(
        np.arange(f) / 25,
        coefficients,
        rng.normal(size=(f, 6)) * 10,
        rng.normal(size=(f, 2)) * 5,
        np.ones(f),
        np.zeros(f, int),
    )


@pytest.mark.parametrize("seed", range(4))
def test_absolute_undoes_relative(seed):
    moved, rest = motion(7, seed), motion(1, seed + 10)
    back = moved.relative(rest).absolute(rest)
    for name in ("coefficients", "pose", "gaze"):
        np.testing.assert_allclose(getattr(back, name), getattr(moved, name), atol=1e-12)


def test_nothing_moves_where_a_track_is_its_own_rest():
    rest = motion(1)
    change = rest.relative(rest)
    assert not change.coefficients.any() and not change.pose.any() and not change.gaze.any()


def test_shut_eyes_are_shut_from_every_rest():
    """A driver whose lids are half down at rest shuts a portrait's eyes as one with open lids does."""
    for own in (0.0, 0.3, 0.6):
        shut, rest = motion(1, 1), motion(1, 2)
        shut.coefficients[:, BLINKS], rest.coefficients[:, BLINKS] = 1.0, own
        np.testing.assert_allclose(shut.relative(rest).coefficients[:, BLINKS], 1.0)


def test_the_source_is_left_as_it_is():
    moved, rest = motion(3, 1), motion(1, 2)
    before = moved.coefficients.copy()
    moved.relative(rest).absolute(rest)
    np.testing.assert_array_equal(moved.coefficients, before)
