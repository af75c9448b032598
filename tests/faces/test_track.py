"""A face through a video: squares that follow it."""

from __future__ import annotations

import numpy as np
import pytest

from actalker.faces.face import Face
from actalker.faces.track import Track, at_every_frame


def face(x: float, y: float, wide: float, high: float) -> Face:
    """Landmarks in a rectangle inside a box that is twice as large and lies elsewhere."""
    corners = np.array([[x, y], [x + wide, y], [x, y + high], [x + wide, y + high]])
    return Face((x - wide, y, x + wide, y + 2 * high), corners, "some")


def test_squares_are_centred_on_the_landmarks_and_gaps_are_filled():
    track = Track((face(10, 20, 30, 40), None, face(20, 40, 50, 40)), (1, 0, 1))
    squares = track.squares(1.5)
    np.testing.assert_allclose(squares[0], [25 - 30, 40 - 30, 60])
    np.testing.assert_allclose(squares[2], [45 - 37.5, 60 - 37.5, 75])
    middle = (squares[1, :2] + squares[1, 2] / 2).tolist()
    assert [*middle, squares[1, 2]] == pytest.approx([35, 50, 60])


def test_squares_without_landmarks_are_centred_on_the_box():
    np.testing.assert_allclose(Track((Face((10, 20, 40, 60)),), (1,)).squares(2.0), [[-15, 0, 80]])


@pytest.mark.parametrize("total", [1, 5, 11])
def test_values_between_frames_that_were_looked_at_lie_on_straight_lines(total):
    at = np.arange(0, total, 5)
    rows = np.stack([at * 2.0, 3 - at * 0.5], axis=1)
    every = np.arange(total).clip(max=at[-1])
    expected = np.stack([every * 2.0, 3 - every * 0.5], axis=1)
    np.testing.assert_allclose(at_every_frame(rows, at, total), expected)
