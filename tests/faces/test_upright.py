"""Portraits that lie on their side or stand on their head: turned back pixel by pixel; tilted heads stay."""

import logging

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from actalker.errors import InputError
from actalker.faces import find
from actalker.faces.track import track_face
from actalker.faces.upright import face_angle

HEAD = np.ascontiguousarray(astronaut()[:320, 60:400])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_portrait_that_is_turned_is_turned_back_and_said(turns, caplog):
    with caplog.at_level(logging.WARNING, "actalker"):
        found = find.find_upright(np.ascontiguousarray(np.rot90(HEAD, turns)), name="me.png")
    np.testing.assert_array_equal(found.image, HEAD)
    assert found.turns == (4 - turns) % 4 and found.finder == "landmarker"
    (line,) = [record.getMessage() for record in caplog.records]
    way = {1: "by 90 degrees clockwise", 2: "by 180 degrees", 3: "by 90 degrees counter-clockwise"}[turns]
    assert line.startswith("me.png: the face") and line.endswith(f"the picture is turned {way}")


@pytest.mark.parametrize("angle", [-35, -20, 0, 20, 35])
def test_a_tilted_head_stays_as_it_is(angle, caplog):
    tilted = np.asarray(Image.fromarray(HEAD).rotate(angle, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)))
    with caplog.at_level(logging.WARNING, "actalker"):
        found = find.find_upright(tilted)
    assert found.turns == 0 and not caplog.records
    np.testing.assert_array_equal(found.image, tilted)
    assert found.face.pose[2] == pytest.approx(find.find_faces(HEAD).pose[2] + angle, abs=5)


@pytest.mark.parametrize("angle", [60, 135, 165, -105])
def test_the_angle_of_a_face_is_the_one_by_which_it_was_turned(angle):
    turned = np.asarray(
        Image.fromarray(HEAD).rotate(angle, Image.Resampling.BICUBIC, True, fillcolor=(90,) * 3)
    )
    face = max(find.FINDERS["landmarker"].find(turned, find.SHIPPED), key=lambda one: one.area)
    upright, _ = face_angle(HEAD, find.find_faces(HEAD))
    told, sure = face_angle(turned, face)
    assert sure and told == pytest.approx(angle + upright, abs=5)


def test_all_sample_portraits_are_seen_upright_and_turned_ones_turned(shared, caplog):
    from actalker.media.image import read_image

    wrong = []
    for path in sorted((shared / "samples" / "portraits").iterdir()):
        picture = Image.fromarray(read_image(path))
        picture.thumbnail((512, 512))
        for turns in range(4):
            turned = np.ascontiguousarray(np.rot90(np.asarray(picture), turns))
            back, sure = find.upright(turned)
            if (turns + back) % 4 or not sure:
                wrong.append((path.name, turns, back, sure))
    assert not wrong


def test_the_largest_face_tells_which_way_and_index_counts_in_the_picture_that_is_turned():
    small = np.asarray(Image.fromarray(HEAD).resize((255, 240)))
    both = np.concatenate([HEAD, np.pad(small, ((0, 80), (0, 0), (0, 0)), mode="edge")], axis=1)
    upside = np.ascontiguousarray(both[::-1, ::-1])
    assert (
        find.find_upright(upside, index=0).face.box[0] < 340 < find.find_upright(upside, index=1).face.box[0]
    )
    with pytest.raises(InputError, match="--face-index 2"):
        find.find_upright(upside, index=2)


@pytest.mark.parametrize("turns", range(4))
def test_a_track_tells_how_its_video_is_to_be_turned(turns):
    frames = [np.ascontiguousarray(np.rot90(np.roll(HEAD, 4 * k, axis=1), turns)) for k in range(12)]
    track = track_face(frames)
    assert track.share > 0.5 and (turns + track.turns) % 4 == 0
