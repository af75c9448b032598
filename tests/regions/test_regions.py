"""Regions against rectangles drawn pixel by pixel; masks on token grids against plain means."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.errors import InputError
from actalker.faces.face import FacePoints
from actalker.media.image import write_png
from actalker.regions.grid import to_grid
from actalker.regions.regions import mask_of, read_mask, region_for
from actalker.regions.shapes import REGIONS, SOFT_REGIONS, _filled


def points(x=60.0, y=50.0, unit=26.0, contours=None) -> FacePoints:
    return FacePoints(
        eye_left=(x - 0.45 * unit, y),
        eye_right=(x + 0.45 * unit, y),
        mouth=(x, y + unit),
        lips=(x - 0.35 * unit, y + 0.93 * unit, x + 0.35 * unit, y + 1.1 * unit),
        chin=(x, y + 1.7 * unit),
        brow_y=y - 0.3 * unit,
        box=(x - unit, y - 0.8 * unit, x + unit, y + 1.7 * unit),
        contours=contours or {},
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(-20, 40), st.floats(-20, 40), st.floats(0, 40), st.floats(0, 40))
def test_a_rectangle_covers_pixels_by_their_share(x, y, w, h):
    mask = _filled((x, y, x + w, y + h), (24, 32)).numpy()
    for row in range(0, 24, 5):
        for column in range(0, 32, 5):
            share = max(0, min(column + 1, x + w) - max(column, x)) * max(
                0, min(row + 1, y + h) - max(row, y)
            )
            assert mask[row, column] == pytest.approx(share, abs=1e-5)


def test_the_regions_fit_together():
    size = (128, 128)
    masks = {name: shape([points()], size) for name, shape in REGIONS.items()}
    assert torch.allclose(masks["upper"] + masks["mouth"], masks["face"], atol=1e-6)
    assert (masks["face"] >= masks["mouth"]).all()
    assert masks["frame"].min() == 1
    lips = points().lips
    assert masks["mouth"][round(lips[1]) : round(lips[3]), round(lips[0]) : round(lips[2])].min() == 1
    assert masks["upper"][50, 60] == 1 and masks["mouth"][50, 60] == 0  # between the eyes


def test_a_clip_has_the_rectangle_around_all_its_frames():
    size = (128, 128)
    frames = [points(50), points(60), points(72)]
    union = REGIONS["mouth"](frames, size)
    beside = 0.25 * (frames[2].lips[2] - frames[0].lips[0])
    columns = np.flatnonzero(union.numpy().max(0) > 0.5)
    assert columns[0] == pytest.approx(frames[0].lips[0] - beside, abs=1.5)
    assert columns[-1] == pytest.approx(frames[2].lips[2] + beside, abs=1.5)


def test_a_portrait_alone_leaves_room_for_the_head_to_move():
    one, clip = REGIONS["mouth"]([points()], (128, 128)), REGIONS["mouth"]([points(), points()], (128, 128))
    assert (one >= clip).all() and one.sum() > 1.3 * clip.sum()


def test_a_face_has_its_forehead_also_where_a_finder_sees_none():
    """A box that ends at the brows: the rectangle begins 0.45 of the way from eyes to mouth above them."""
    low = replace(points(), box=(34.0, points().brow_y, 86.0, 94.2))
    rows = REGIONS["face"]([low, low], (128, 128)).amax(1)
    first = int(rows.nonzero()[0])
    assert first + 1 - float(rows[first]) == pytest.approx(low.brow_y - 0.45 * 26, abs=1e-4)


def test_soft_regions_need_landmarks_and_are_tighter_than_rectangles():
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    lips = np.stack([60 + 9 * np.cos(angle), 76 + 3 * np.sin(angle)], 1)
    oval = np.stack([60 + 26 * np.cos(angle), 62 + 32 * np.sin(angle)], 1)
    known = points(contours={"lips": lips, "face": oval})
    soft = SOFT_REGIONS["mouth-soft"]([known], (128, 128))
    assert soft[76, 60] == 1 and soft[20, 60] == 0
    assert ((soft > 0) & (soft < 1)).any()
    for name, shape in SOFT_REGIONS.items():
        inside = shape([known], (128, 128)) >= 0.5
        assert inside.any() and not (inside & (REGIONS["face"]([known], (128, 128)) < 0.5)).any(), name
    assert (soft >= 0.5).sum() < (REGIONS["mouth"]([known], (128, 128)) >= 0.5).sum()
    with pytest.raises(InputError, match="landmarks"):
        SOFT_REGIONS["mouth-soft"]([points()], (128, 128))
    with pytest.raises(
        InputError, match="region audio=mouth-soft: needs landmarks, .* box; use mouth, or inst"
    ):
        mask_of("mouth-soft", {"mouth": soft}, "audio")


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(8, 8), (4, 8), (16, 16), (5, 7)]), st.integers(0, 99))
def test_a_token_holds_the_share_of_its_area(size, seed):
    mask = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(seed))
    got = to_grid(mask, size)
    h, w = size
    for i in range(h):
        for j in range(w):
            rows = slice(i * 40 // h, -(-(i + 1) * 40 // h))
            columns = slice(j * 56 // w, -(-(j + 1) * 56 // w))
            torch.testing.assert_close(got[..., i, j], mask[..., rows, columns].mean((-1, -2)))


def test_a_signal_alone_gets_the_face():
    assert region_for("audio", "mouth", alone=True) == "face"
    assert region_for("audio", "mouth", alone=False) == "mouth"
    assert region_for("audio", "mouth", alone=True, override="upper") == "upper"
    assert region_for("audio", "mouth", alone=False, override="mouth-soft") == "mouth-soft"
    with pytest.raises(InputError, match="mouth"):
        region_for("audio", "mouth", alone=False, override="mouht")


def test_a_drawn_mask(tmp_path):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:20, 10:30] = 255
    write_png(tmp_path / "m.png", picture)
    mask = read_mask(tmp_path / "m.png", (80, 120))
    assert mask.shape == (80, 120) and mask[30, 40] == 1 and mask[0, 0] == 0
    with pytest.raises(InputError, match="60 x 40 pixels, the portrait 50 x 50"):
        read_mask(tmp_path / "m.png", (50, 50))
    write_png(tmp_path / "black.png", picture * 0)
    with pytest.raises(InputError, match="black everywhere"):
        read_mask(tmp_path / "black.png", (40, 60))
