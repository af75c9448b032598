"""Warped portraits: no motion is the picture, the jaw opens the mouth, the lids close the eyes."""

import numpy as np
import pytest
import torch

from actalker.data.portraits import PortraitFolder, warp_portrait
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.puppets.motion import INDEX, still
from actalker.errors import InputError
from actalker.media.image import write_png


def drawn(seed=1, size=128):
    return PortraitFolder(None, size).draw(torch.Generator().manual_seed(seed))


def moved(**channels):
    motion = still(1)
    for name, value in channels.items():
        motion[0, INDEX[name]] = value
    return motion


def test_no_motion_is_the_picture():
    picture, points, seam = drawn()
    assert (warp_portrait(picture, points, still(3), seam) - picture).abs().max() < 2e-3


def test_the_jaw_opens_the_mouth_and_leaves_the_eyes():
    picture, points, seam = drawn()
    apart = (warp_portrait(picture, points, moved(jaw=1.0), seam)[0] - picture).abs().mean(0)
    assert apart[: round(points.eyes[1]) + 5].max() < 2e-3
    x, y = (round(v) for v in points.mouth)
    assert apart[y : y + 20, x - 10 : x + 10].mean() > 0.1


def test_the_lids_close_one_eye_each():
    picture, points, seam = drawn()
    apart = (warp_portrait(picture, points, moved(lid_left=1.0), seam)[0] - picture).abs().mean(0)
    (lx, ly), (rx, ry) = points.eye_left, points.eye_right
    left = apart[round(ly) - 4 : round(ly) + 5, round(lx) - 6 : round(lx) + 7].mean()
    right = apart[round(ry) - 4 : round(ry) + 5, round(rx) - 6 : round(rx) + 7].mean()
    assert left > 0.03 and right < 1e-3


def test_a_draw_follows_its_generator_and_a_folder_adds_faces(tmp_path):
    assert torch.equal(drawn(4)[0], drawn(4)[0]) and not torch.equal(drawn(4)[0], drawn(5)[0])
    from skimage.data import astronaut

    write_png(tmp_path / "a.png", np.ascontiguousarray(astronaut()[:, ::-1]))
    folder = PortraitFolder(str(tmp_path), 64)
    assert len(folder.known) == 2
    picture, points, _ = folder.draw(torch.Generator().manual_seed(0))
    assert picture.shape == (3, 64, 64) and 0 < points.eyes[0] < 64


def test_a_folder_that_holds_no_portraits_is_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("nowhere", "nowhere: cannot be read"),
        ("file", "file: cannot"),
        ("empty", "no pictures"),
    ):
        with pytest.raises(InputError, match=says):
            PuppetDataset(PuppetDataConfig(portraits=str(tmp_path / name)), 1)
