"""A driving video that is dark or empty for a while: its rest, its gate, what the user is told."""

from __future__ import annotations

import logging
from fractions import Fraction

import numpy as np
import pytest
import torch
from media_files import video_file
from PIL import Image
from pipeline_files import small_model

from actalker.errors import InputError
from actalker.pipeline.inputs import gather
from actalker.signals.expression_input import MotionFeed
from actalker.signals.feed import SignalContext
from actalker.signals.film import FADE, Driver, Motion, drive, find_rest, nearest, open_film

F25 = Fraction(25)
BLANK = np.full((112, 112, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def frames(made):
    """21 pictures of a face that moves to the side by a pixel each."""
    face = np.asarray(Image.open(made / "face.png").resize((112, 112)))
    return [np.roll(face, k - 10, axis=1) for k in range(21)]


def read(model, frames) -> Driver:
    context = SignalContext(model.encoders["expression"], model.device, model.dtype, F25)
    return drive(context, open_film(frames, F25, None))


def test_frames_without_a_face_change_nothing_where_one_is_found(model, frames, caplog):
    gap = [BLANK if 8 <= k <= 12 else frame for k, frame in enumerate(frames)]
    plain, damaged = read(model, frames), read(model, gap)
    with caplog.at_level(logging.WARNING):
        seen = damaged.motion.present
    assert seen.tolist() == [not 8 <= k <= 12 for k in range(21)]
    held = plain.tokens[[min(k, 7) if k < 11 else max(k, 13) for k in range(21)]]
    apart = (damaged.tokens - held).abs().mean()  # the square is the median of fewer frames
    assert apart < 0.04 * (plain.tokens - plain.tokens[:1]).abs().mean()
    assert "no face at 0.32-0.52 s; its gate closes there" in caplog.text
    assert plain.motion.present.all()


def test_the_gate_falls_and_rises_within_the_gap():
    present = np.ones(60, bool)
    present[10:45] = present[50] = False
    driver = Driver(lambda: Motion(torch.zeros(60, 1, 4), present))
    fade = float(FADE * 25)
    wanted = [max(0, 1 - min(abs(k - j) for j in np.flatnonzero(present)) / fade) for k in range(60)]
    np.testing.assert_allclose(driver.shown(0, 60, 60, F25), wanted, atol=1e-6)
    assert wanted[30] == 0 and 0 < wanted[12] < 1 and wanted[9] == wanted[45] == 1 and wanted[50] == 0.9
    np.testing.assert_allclose(driver.shown(20, 7, 60, F25), wanted[20:27], atol=1e-6)
    ends = driver.shown(0, 80, 80, F25)  # the clip goes on
    assert ends[60:].max() == 0 and ends[49] == 1 and 0 < ends[55] < 1
    assert ends[59] == pytest.approx(1 / fade)  # the last frame of the video is the last one that counts


def test_a_frame_without_a_face_takes_the_nearest_one_and_the_earlier_of_two():
    present = np.array([0, 1, 0, 0, 0, 1, 0, 0, 1, 0], bool)
    assert nearest(present).tolist() == [1, 1, 1, 1, 5, 5, 5, 8, 8, 8]


def test_a_driver_stays_at_its_last_frame_after_its_end():
    driver = Driver(lambda: Motion(torch.arange(5.0).view(5, 1, 1), np.ones(5, bool)))
    assert MotionFeed(driver, 9, F25).tokens(2, 5).flatten().tolist() == [2, 3, 4, 4, 4]


def test_the_rest_is_the_first_frame_with_a_face(model, frames, caplog):
    driver = read(model, [BLANK] * 7 + frames)
    assert driver.facts == (
        "driving video: motion is relative to its face at 0.28 s, the first that is seen after 0.00 s",
    )
    assert find_rest(open_film(frames, F25, None)) == 0
    np.testing.assert_allclose(driver.tokens[7:], read(model, frames).tokens, atol=1e-4)
    assert "no face at 0.00-0.28 s" in caplog.text


def test_a_fade_in_gives_nearly_the_motion_of_the_undamaged_video(model, frames):
    faded = [np.round(frame * min(1, (k + 1) / 8)).astype(np.uint8) for k, frame in enumerate(frames)]
    film = open_film(faded, F25, None)
    assert 1 <= find_rest(film) <= 3  # light enough to see, and hardly later
    dark, plain = read(model, faded).tokens[8:], read(model, frames)
    later = read(model, frames[find_rest(film) :])  # the same rest, not darkened
    apart = (dark - later.tokens[-13:]).abs().mean() / (plain.tokens[8:] - plain.tokens[:1]).abs().mean()
    assert apart < 0.25


def test_a_driving_video_is_read_from_the_middle(model, frames, tmp_path):
    path = video_file(tmp_path / "a.mp4", frames, options={})
    film = open_film(path, F25, None, Fraction("0.2"))
    whole = list(open_film(path, F25, None).read())
    np.testing.assert_array_equal(list(film.read()), whole[5:])
    assert film.frames == 16 and film.seconds(0) == 0.2
    held = open_film(iter(frames), F25, 4, Fraction("0.2"))
    np.testing.assert_array_equal(list(held.read()), frames[5:9])
    for video in (path, frames):
        with pytest.raises(InputError, match="expression-start before its end|no frames after 9 s"):
            open_film(video, F25, None, Fraction(9))


def test_unknown_phrases_are_named_before_the_run(model, made, caplog):
    from dataclasses import replace

    taught = small_model()
    taught.config = replace(taught.config, phrases=(("smiles", "looks happy"), ("turns left",)))
    for taken, lines in ((taught, 1), (model, 0)):  # a model without a fixed set takes any words
        caplog.clear()
        gather(taken, made / "face.png", {"text": "a man | 0-0.5: he smiles! | 0.5-1: turns head left"})
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == lines, told
    assert not told
