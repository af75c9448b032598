"""The cascade, where MediaPipe is absent: right or refused, held against MediaPipe's squares."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from actalker.errors import InputError
from actalker.faces import find
from actalker.faces.confirm import score
from actalker.faces.crop import Crop, canonical_crop
from actalker.media.image import read_image

TIGHT = (0.95, 1.1, 1.25, 1.5, 2.0)


def is_wrong(picture: np.ndarray, true: Crop) -> bool | None:
    """Whether the face is seen elsewhere; None: it is refused."""
    try:
        seen = canonical_crop(find.find_faces(picture, "cascade"))
    except InputError as error:
        assert "no face found by the cascade" in str(error) and "\n" not in str(error)
        return None
    apart = np.hypot(
        seen.x - true.x + (seen.side - true.side) / 2, seen.y - true.y + (seen.side - true.side) / 2
    )
    return not 0.65 <= seen.side / true.side <= 1.35 or apart > 0.25 * true.side


def tight_crops(path: Path, tight: tuple[float, ...] = TIGHT) -> list[tuple[np.ndarray, Crop]]:
    picture = read_image(path)
    face = find.find_faces(picture, "landmarker")
    square, (x0, y0, x1, y1) = canonical_crop(face), face.box
    out = []
    for grow in tight:
        half = max(x1 - x0, y1 - y0) * grow / 2
        left, top = max(0, int((x0 + x1) / 2 - half)), max(0, int((y0 + y1) / 2 - half))
        part = picture[top : int((y0 + y1) / 2 + half), left : int((x0 + x1) / 2 + half)]
        out.append((np.ascontiguousarray(part), Crop(square.x - left, square.y - top, square.side)))
    return out


def test_tight_crops_are_framed_right_or_refused(shared):
    """Two portraits whose crops the cascade alone took for faces half as large."""
    told = []
    for name, grow in (("generated_woman.png", 1.25), ("pencil_grey.jpg", 0.95)):
        told += [is_wrong(*crop) for crop in tight_crops(shared / "samples" / "portraits" / name, (grow,))]
    assert told == [False, False]


@pytest.mark.slow
def test_every_tight_crop_and_the_portraits_kept_aside_are_framed_right_or_refused(shared):
    crops = [
        is_wrong(*c) for p in sorted((shared / "samples" / "portraits").iterdir()) for c in tight_crops(p)
    ]
    assert len(crops) == 45 and crops.count(True) == 0 and crops.count(False) >= 30
    told = []
    for path in sorted((shared / "portraits_synthetic").glob("*.jpg")):
        if int(path.stem[-3:]) % 8 == 0:
            picture = read_image(path)
            told.append(is_wrong(picture, canonical_crop(find.find_faces(picture, "landmarker"))))
    assert len(told) == 61 and told.count(True) <= 0.01 * len(told) and told.count(False) >= 0.8 * len(told)


@pytest.mark.parametrize("name", ["chelsea.png", "page.png"])
def test_what_is_no_face_is_refused(name):
    picture = np.asarray(Image.open(Path(skimage.data.__file__).parent / name).convert("RGB"))
    with pytest.raises(InputError, match="no face found by the cascade"):
        find.find_faces(picture, "cascade")


@pytest.mark.parametrize("name, turns", [("generated_woman.png", 1), ("painting_mona_lisa.jpg", 2)])
def test_a_face_that_is_not_upright_is_refused(name, turns, shared):
    """On its side; on its head, where eyes and nose alone score as a face."""
    picture = read_image(shared / "samples" / "portraits" / name)
    with pytest.raises(InputError, match="no face found by the cascade"):
        find.find_faces(np.ascontiguousarray(np.rot90(picture, turns)), "cascade")


def test_the_score_is_highest_at_the_canonical_square():
    picture = skimage.data.astronaut()
    true = canonical_crop(find.find_faces(picture, "landmarker"))
    grey, square = picture.mean(axis=2), np.array([true.x, true.y, true.side])
    middle = square[:2] + square[2] / 2
    others = [np.array([*(middle - square[2] * k / 2), square[2] * k]) for k in (0.4, 0.6, 1.6, 2.5)]
    others += [
        square + [dx * square[2], dy * square[2], 0] for dx, dy in ((0.3, 0), (-0.3, 0), (0, 0.3), (0, -0.3))
    ]
    scores = score(grey, np.stack([square, *others]))
    assert scores[0] > 2 > 0 > scores[1:].max()
