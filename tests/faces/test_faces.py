"""Faces: finders on real pictures against MediaPipe's landmarks, crops against closed forms."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut
from skimage.transform import rotate

from actalker.errors import InputError
from actalker.faces import find
from actalker.faces.crop import EYES_AT, MOUTH_AT, Crop, canonical_crop, centred_crop
from actalker.faces.face import Face
from actalker.regions.shapes import REGIONS

# MediaPipe's points of the photograph, in its pixels
EYES, MOUTH = (225.1, 103.2), (223.2, 143.8)
SIDE = 156.0


def off(face: Face, eyes=EYES, mouth=MOUTH) -> float:
    """Largest distance of eyes and mouth from where they are, in canonical crops."""
    points = face.points()
    return max(np.hypot(*np.subtract(points.eyes, eyes)), np.hypot(*np.subtract(points.mouth, mouth))) / SIDE


def test_the_cascade_finds_the_astronaut():
    assert off(find.find_faces(astronaut(), "cascade")) < 0.09


def test_the_landmarker_comes_with_the_package_and_finds_it_closer(monkeypatch):
    monkeypatch.delenv(find.MODEL_VARIABLE, raising=False)
    face = find.find_faces(astronaut())
    assert face.scheme == "mediapipe478"
    assert off(face) < 0.01


def test_both_agree_on_the_sample_portraits(shared):
    from actalker.media.image import read_image

    apart = {}
    for path in sorted((shared / "samples" / "portraits").iterdir()):
        image = read_image(path)
        sure, rough = find.find_faces(image, "landmarker"), find.find_faces(image, "cascade")
        a, b = canonical_crop(sure), canonical_crop(rough)
        apart[path.name] = (
            max(abs(a.x + a.side / 2 - b.x - b.side / 2), abs(a.y + a.side / 2 - b.y - b.side / 2)) / a.side
        )
    assert len(apart) >= 5
    assert max(apart.values()) < 0.12, apart


@pytest.mark.parametrize("top, left", [(300, 0), (0, 200), (60, 90)])
@pytest.mark.parametrize("mode", ["edge", "constant"])
def test_a_small_face_in_a_tall_or_wide_picture_is_found(top, left, mode):
    """The face is a tenth to a sixth of the longer side."""
    picture = np.pad(astronaut(), ((top, top // 3), (left, left), (0, 0)), mode=mode)
    face = find.find_faces(picture, "cascade")
    assert off(face, np.add(EYES, (left, top)), np.add(MOUTH, (left, top))) < 0.09


@pytest.mark.parametrize("shape, top, left", [((128, 500), 0, 300), ((500, 128), 250, 0)])
def test_the_landmarker_finds_a_face_in_a_small_long_picture(shape, top, left):
    picture = np.full((*shape, 3), 120, np.uint8)
    picture[top : top + 128, left : left + 128] = astronaut()[::4, ::4]
    moved = (np.divide(point, 4) + (left, top) for point in (EYES, MOUTH))
    assert 4 * off(find.find_faces(picture, "landmarker"), *moved) < 0.04


def test_a_tilted_and_a_grey_face_are_found():
    tilted = (rotate(astronaut(), 12, mode="edge") * 255).astype(np.uint8)
    assert find.find_faces(tilted, "cascade").area > 1000
    grey = np.repeat(astronaut().mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert off(find.find_faces(grey, "cascade")) < 0.12


def test_of_several_faces_the_largest_is_taken_and_said(caplog):
    face = astronaut()[40:240, 120:320]
    small = np.asarray(Image.fromarray(face).resize((160, 160)))
    both = np.concatenate([np.pad(small, ((0, 40), (0, 0), (0, 0)), mode="edge"), face], axis=1)
    with caplog.at_level(logging.WARNING, "actalker"):
        face = find.find_faces(both, "cascade")
    assert face.points().eyes[0] > 160
    assert "2 faces" in caplog.text and "--face-index" in caplog.text
    assert find.find_faces(both, "cascade", index=1).points().eyes[0] < 160
    with pytest.raises(InputError, match="--face-index 2, but 2 faces"):
        find.find_faces(both, "cascade", index=2)


@pytest.mark.parametrize(
    "x, y, right, bottom, sides",
    [
        (205, 0, 512, 512, "left"),
        (0, 100, 512, 512, "top"),
        (0, 0, 245, 512, "right"),
        (0, 0, 512, 150, "bottom"),
    ],
)
def test_a_face_cut_by_the_border_is_found_used_and_said(x, y, right, bottom, sides, caplog):
    """The photograph cut through its face, which covers (181, 72) to (270, 177)."""
    picture = astronaut()[y:bottom, x:right]
    eyes, mouth = np.subtract(EYES, (x, y)), np.subtract(MOUTH, (x, y))
    with caplog.at_level(logging.WARNING, "actalker"):
        face = find.find_faces(picture)
    assert "cut by the picture's border" in caplog.text
    assert off(face, eyes, mouth) < 0.09
    h, w = picture.shape[:2]
    x0, y0, x1, y1 = face.box
    assert {"left": x0 < 0, "top": y0 < 0, "right": x1 > w, "bottom": y1 > h}[sides]
    crop = canonical_crop(face)
    cut = crop.apply(picture, 64)
    assert cut.shape == (64, 64, 3) and cut.std() > 20  # continued from the edge, not black
    for rough in find.FINDERS["cascade"].find(picture, find.SHIPPED):  # or none
        assert off(rough, eyes, mouth) < 0.09


@pytest.mark.parametrize(
    "picture",
    [
        np.full((200, 300, 3), 128, np.uint8),
        np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
)
def test_no_face_is_one_line_with_a_remedy(picture):
    with pytest.raises(InputError, match="no face found.*frontal portrait"):
        find.find_faces(picture, "cascade", name="wall.png")


def test_wrong_models_and_names_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        find.find_faces(astronaut(), model=tmp_path / "none.task")
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(b"not a model" * 100)
    with pytest.raises(InputError, match="wrong.task"):
        find.find_faces(astronaut(), model=wrong)
    with pytest.raises(InputError, match="cascade"):
        find.find_faces(astronaut(), "cascde")


def test_every_finder_says_whether_it_runs():
    status = find.finder_status()
    assert set(status) == set(find.FINDERS)
    assert status["cascade"] == status["landmarker"] == "at hand"


def test_the_canonical_crop_puts_eyes_and_mouth_where_they_belong():
    face = find.find_faces(astronaut(), "cascade")
    crop = canonical_crop(face)
    points = face.points().moved(crop, 100)
    assert points.eyes[1] == pytest.approx(100 * EYES_AT, abs=0.5)
    assert points.mouth[1] == pytest.approx(100 * MOUTH_AT, abs=0.5)


SIZES = [(96, 160), (160, 96), (64, 64), (50, 75)]


@pytest.mark.parametrize("size", SIZES)
def test_a_cut_that_is_not_square_shows_the_square_and_what_is_beside_it(size):
    """Its middle is the square's own cut; what is beyond it is the picture's, at the same scale."""
    crop = Crop(140.5, 61.25, 130.0)
    (h, w), short = size, min(size)
    cut, square = crop.apply(astronaut(), size), crop.apply(astronaut(), short)
    assert cut.shape == (h, w, 3)
    above, beside = (h - short) // 2, (w - short) // 2
    if (h - short) % 2 == 0 == (w - short) % 2:
        middle = cut[above : above + short, beside : beside + short].astype(int)
        assert np.abs(middle - square).max() <= 1
    x0, y0, x1, y1 = crop.seen(size)
    whole = Image.fromarray(astronaut()).resize((w, h), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
    assert np.abs(np.asarray(whole, int) - cut).max() <= 1  # it lies within the photograph
    points = np.array([[150.0, 70.0], [200.0, 110.0]])
    np.testing.assert_allclose(crop.from_crop(crop.to_crop(points, size), size), points)
    np.testing.assert_allclose(
        crop.to_crop(np.array([[x0, y0], [x1, y1]]), size), [[0, 0], [w, h]], atol=1e-9
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (100, 1000), (333, 222)])
def test_the_cut_in_the_middle_is_as_large_as_the_picture_allows(size, shape):
    x0, y0, x1, y1 = centred_crop(shape, size).seen(size)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(size[1] / size[0])
    assert min(x0, y0) == pytest.approx(0, abs=1e-9) and max(x0, y0) >= 0
    assert (x0 + x1, y0 + y1) == pytest.approx(shape[::-1])


@pytest.mark.parametrize("size", SIZES)
def test_points_and_regions_of_a_cut_are_those_of_the_square_moved(size):
    face = find.find_faces(astronaut(), "cascade")
    crop, (h, w), short = canonical_crop(face), size, min(size)
    ours, square = (face.points().moved(crop, n) for n in (size, short))
    shift = np.array([(w - short) / 2, (h - short) / 2])
    np.testing.assert_allclose(ours.mouth, square.mouth + shift)
    assert ours.brow_y == pytest.approx(square.brow_y + shift[1])
    x, y = shift.astype(int)
    if (shift % 1 == 0).all():
        masks = [REGIONS["mouth"]([points], n) for points, n in ((ours, size), (square, (short, short)))]
        assert masks[0][y : y + short, x : x + short].equal(masks[1])


def test_a_crop_of_the_whole_picture_is_the_picture():
    picture = astronaut()[:128, :128]
    assert np.array_equal(Crop(0, 0, 128).apply(picture, 128), picture)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(0, 3), st.integers(0, 3))
def test_a_shrinking_crop_averages_like_a_triangle_filter(factor, left, top):
    rng = np.random.default_rng(factor)
    picture = rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)
    size = 8
    got = Crop(left, top, size * factor).apply(picture, size).astype(float)
    padded = np.pad(picture.astype(float), ((factor * 2,) * 2, (factor * 2,) * 2, (0, 0)), mode="edge")
    weights = np.array([max(0.0, 1 - abs(k - (factor - 1) / 2) / factor) for k in range(-factor, 2 * factor)])
    weights /= weights.sum()
    expected = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            y, x = top + i * factor + factor, left + j * factor + factor
            block = padded[y : y + 3 * factor, x : x + 3 * factor]
            expected[i, j] = np.einsum("i,j,ijc->c", weights, weights, block)
    assert np.abs(got - expected).max() <= 1 + 1e-6  # rows and columns are each rounded to whole levels


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 200), st.floats(-50, 200), st.floats(4, 300), st.integers(4, 64))
def test_points_go_to_the_crop_and_back(x, y, side, size):
    crop = Crop(x, y, side)
    points = np.array([[0.0, 0.0], [13.0, -4.0], [200.0, 99.0]])
    np.testing.assert_allclose(crop.from_crop(crop.to_crop(points, size), size), points, atol=1e-6)


def test_outside_the_picture_its_edge_goes_on():
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:, 0] = 200
    cut = Crop(-10, 0, 10).apply(picture, 10)
    assert (cut == 200).all()
