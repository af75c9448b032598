"""Black bars of a source are found, and dark pictures are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from media_files import tone, video_file
from prepare_files import face_frames, rows, run_prepare
from skimage.data import astronaut

from actalker.data.prepare.bars import find_bars
from actalker.media.video import read_frames


def through_a_codec(path, frames) -> np.ndarray:
    """The lightest that each pixel of a clip becomes, its channels too, after H.264."""
    video_file(path, frames, 10)
    return np.max([frame.max(2) for frame in read_frames(path)], axis=0)


def padded(frame: np.ndarray, left=0, top=0, right=0, bottom=0, level=0) -> np.ndarray:
    return np.pad(frame, ((top, bottom), (left, right), (0, 0)), constant_values=level)


@pytest.mark.parametrize(
    "bars",
    [
        {"left": 60},
        {"left": 50, "right": 50},
        {"top": 36, "bottom": 36},
        {"left": 20, "top": 40, "right": 30, "bottom": 10},
        {"bottom": 8},
        {"top": 24, "bottom": 24, "level": 18},
    ],
)
def test_bars_are_found_to_the_pixel(tmp_path, bars):
    frames = [np.zeros_like(padded(face_frames(1)[0], **bars))]  # the clip fades in from black
    frames += [padded(frame, **bars) for frame in face_frames(6)]
    found = find_bars(through_a_codec(tmp_path / "a.mp4", frames))
    expected = [bars.get(side, 0) for side in ("left", "top", "right", "bottom")]
    assert np.abs(np.subtract(found, expected)).max() <= 2, found


def on_black(k: int) -> np.ndarray:
    """A person before a black background, whose head is cut from a photograph by an ellipse."""
    whole = astronaut()[0:256, 96:352]
    y, x = np.mgrid[0:256, 0:256]
    head = ((x - 128 - k) / 75) ** 2 + ((y - 110) / 95) ** 2 < 1
    shoulders = ((x - 128 - k) / 120) ** 2 + ((y - 280) / 90) ** 2 < 1
    return np.ascontiguousarray(whole * (head | shoulders)[..., None]).astype(np.uint8)


def test_a_dark_background_is_no_bar(tmp_path):
    assert find_bars(through_a_codec(tmp_path / "a.mp4", [on_black(k) for k in range(6)])) == (0, 0, 0, 0)
    noise = np.random.default_rng(0)
    dim = [
        (on_black(k) + noise.integers(0, 12, (256, 256, 3))).clip(0, 255).astype(np.uint8) for k in range(6)
    ]
    assert find_bars(through_a_codec(tmp_path / "b.mp4", dim)) == (0, 0, 0, 0)
    assert find_bars(np.zeros((64, 64), np.uint8)) == (0, 0, 0, 0)
    assert find_bars(np.full((64, 64), 200, np.uint8)) == (0, 0, 0, 0)


def test_bars_are_in_the_manifest_and_not_in_the_shard(tmp_path):
    """A bar beside the face, where the face's square would reach into it."""
    (tmp_path / "source").mkdir()
    frames = [padded(frame[:, 32:], left=40, bottom=10) for frame in face_frames(10)]
    video_file(tmp_path / "source/a.mp4", frames, 10, sound=tone(1.0))
    words = ("--engine", "serial", "--track.margin", 3)
    run_prepare(tmp_path / "source", "--out", tmp_path / "out", *words)
    row = rows(tmp_path / "out")["a.mp4"]
    assert row["status"] == "ok", row["reason"]
    assert [row[f"bar_{side}"] for side in ("left", "top", "right", "bottom")] == [40, 0, 0, 10]
    assert row["notes"] == "black bars are left out (pixels: left 40, bottom 10)"
    work = tmp_path / "out/work" / row["key"][-2:] / row["key"]
    for frame in read_frames(work / "render/clip.mp4"):
        assert frame[:, :2].max() > 150 and frame[-2:].max() > 150, "no black column, no black row"
