"""The person's outline: on the portraits that ship with the tests' libraries."""

import numpy as np
import pytest
from skimage import data

pytest.importorskip("mediapipe")

from actalker.heads.outline import person_outline


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()  # NASA, public domain; her face lies at 173 to 277, 70 to 205


def test_the_person_is_told_from_what_stands_behind(astronaut):
    outline = person_outline(astronaut)
    assert outline.shape == (512, 512) and outline.dtype == np.float32
    assert outline.min() >= 0 and outline.max() <= 1
    assert outline[80:200, 190:260].mean() > 0.98 and outline[350:, 150:350].mean() > 0.95  # face; suit
    assert outline[150:250, 400:].mean() < 0.1 and outline[:200, 60:110].mean() < 0.3  # a rocket; a flag


def test_a_small_face_is_looked_at_again_and_the_rest_stays(astronaut):
    wide = np.full((900, 1600, 3), 90, np.uint8)
    wide[350:606, 700:956] = astronaut[::2, ::2]
    box = (700 + 86.0, 350 + 35.0, 700 + 139.0, 350 + 103.0)
    once, twice = person_outline(wide), person_outline(wide, box)
    assert np.array_equal(once[:150], twice[:150]) and np.array_equal(once[:, :500], twice[:, :500])
    edge = np.s_[380:470, 760:860]  # where the outline is sharper: fewer pixels between in and out
    doubtful = [np.mean((mask[edge] > 0.1) & (mask[edge] < 0.9)) for mask in (once, twice)]
    assert doubtful[1] < doubtful[0]


def test_the_same_picture_gives_the_same_outline_in_any_shape(astronaut):
    assert np.array_equal(person_outline(astronaut), person_outline(astronaut))
    assert person_outline(astronaut[:300, :211]).shape == (300, 211)
