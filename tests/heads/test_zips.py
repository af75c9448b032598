"""Lips and lids: openings are what was asked for, along the whole line, whatever else the face does."""

import numpy as np
import pytest

from actalker.heads.lips import MIDDLE
from actalker.heads.rig import face_rig

RIG = face_rig()
JAW = RIG.model.index["jawOpen"]


def faces(count: int, seed: int = 0):
    """Random expressions (53,) of a third of the coefficients, and their vertices."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        c = np.clip(random.normal(0, 0.35, 53), -0.1, 1.1) * (random.random(53) < 0.3)
        yield c, RIG.neutral + np.tensordot(c.astype(np.float32), RIG.shapes, 1)


def gap(V: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Of two rims, in 200 columns, in float64: our own reading, on another grid than the zip's."""
    (xu, yu), (xl, yl) = (V[rim, :2].astype(float).T for rim in (upper, lower))
    xu, xl = np.maximum.accumulate(xu), np.maximum.accumulate(xl)
    x = np.linspace(max(xu[0], xl[0]), min(xu[-1], xl[-1]), 200)
    return np.interp(x, xu, yu) - np.interp(x, xl, yl)


@pytest.mark.parametrize("opening", [0.0, 0.1, 0.5, 1.5])
def test_lips_open_by_what_is_asked(opening):
    for c, V in faces(60):
        RIG.lips.set(V, opening, c[JAW])
        found = gap(V, RIG.lips.zip.upper, RIG.lips.zip.lower)
        assert abs(found[90:110].mean() - opening) < 0.01 + 0.01 * opening
        assert found[10:190].min() > -0.01  # cm: lips never lie over each other; corners fold
        assert found.min() > -0.05
        if opening == 0:
            assert np.abs(found[10:190]).max() < 0.01  # shut along the whole line, no dash is left
            assert np.abs(found).max() < 0.05


def test_the_lips_line_keeps_its_form_when_it_opens_less():
    V = RIG.neutral + 0.4 * RIG.shapes[JAW]
    before = RIG.lips.zip.columns(V)[1][:, 0]
    RIG.lips.set(V, 0.5 * float(before[MIDDLE].mean()))
    np.testing.assert_allclose(RIG.lips.zip.columns(V)[1][:, 0], 0.5 * before, atol=0.02)


def test_a_mouth_far_open_is_shut_by_its_jaw_and_the_chin_is_not_squeezed():
    V = RIG.neutral + 0.6 * RIG.shapes[JAW]
    chin = RIG.ibug68[8]
    with_jaw, without = V.copy(), V.copy()
    RIG.lips.set(with_jaw, 0.0, 0.6)
    RIG.lips.set(without, 0.0)
    rest = RIG.neutral[chin, 1]
    assert abs(with_jaw[chin, 1] - rest) < 0.6 < abs(without[chin, 1] - rest)


@pytest.mark.parametrize("share", [-0.3, 0.3, 0.7, 1.0])
def test_lids_shut_by_the_share_that_is_asked_in_every_column(share):
    for _, V in faces(40, seed=1):
        for lids in RIG.lids:
            before, asked = lids.opening(V), V.copy()
            lids.shut(asked, share)
            np.testing.assert_allclose(lids.opening(asked), np.maximum(before, 0) * (1 - share), atol=0.03)
            found = gap(asked, lids.zip.upper, lids.zip.lower)
            if share == 1:
                assert found[8:192].max() < 0.015  # no dash of white is left
                assert found[8:192].min() > -0.03  # at the corners the lids fold over each other
    for lids in RIG.lids:  # and only there: the other eye, the mouth
        moved = RIG.neutral.copy()
        lids.shut(moved, 1.0)
        away = np.linalg.norm(RIG.neutral - RIG.neutral[lids.zip.upper].mean(0), axis=1) > 5
        assert (moved[away] == RIG.neutral[away]).all()


def test_left_and_right_shut_alike():
    V = RIG.neutral.copy()
    for lids in RIG.lids:
        lids.shut(V, 1.0)
    right, left = (V[lids.zip.lower].mean(0) for lids in RIG.lids)
    np.testing.assert_allclose(left * (-1, 1, 1), right, atol=0.02)


def test_enough_triangles_and_no_more():
    assert 15_000 < len(RIG.triangles) < 25_000
