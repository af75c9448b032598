"""Files to a clip's conditions: portraits of any kind, driving videos, masks that users draw."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from media_files import video_file
from PIL import Image

from actalker.errors import InputError
from actalker.media.image import read_image
from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.output.preview import preview, shown_frames
from actalker.pipeline.portrait import read_portrait
from actalker.signals.film import find_rest, follow, open_film

F25 = Fraction(25)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_a_portrait_may_be_a_picture_of_any_kind(made, tmp_path):
    """PNG with alpha, a JPEG that is called .png, one turned by EXIF: the same square, upright."""
    picture = Image.open(made / "face.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.save(tmp_path / "jpeg.png", format="JPEG", quality=98)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=98, exif=exif)
    plain = read_portrait(made / "face.png", 64, crop="none").picture
    for name, off in (("alpha.png", 0), ("jpeg.png", 3), ("turned.jpg", 3)):
        assert difference(read_portrait(tmp_path / name, 64, crop="none").picture, plain) <= off, name
        read_portrait(tmp_path / name, 64)  # and its face is found
    assert difference(np.rot90(plain), plain) > 30


def test_crop_none_is_the_middle_square(made):
    whole = read_portrait(made / "face.png", 64, crop="none").picture
    expected = Image.open(made / "face.png").resize((64, 64), Image.Resampling.BILINEAR)
    assert difference(whole, np.asarray(expected)) < 2


def test_who_it_is_is_read_from_the_head_however_the_portrait_is_cut(made):
    cut, whole = (read_portrait(made / "face.png", 64, crop=crop) for crop in ("face", "none"))
    np.testing.assert_array_equal(cut.head, cut.picture)
    np.testing.assert_array_equal(whole.head, cut.head)
    assert difference(whole.head, whole.picture) > 5


def crops(video, fps, limit=None, reach=None):
    """Square crops of 64 pixels of a driving video's face."""
    film = open_film(video, fps, limit)
    squares, _, _ = follow(film, reach)
    return [square.apply(frame, 64) for square, frame in zip(squares, film.read(), strict=True)]


def test_durations_are_rounded_to_frames_and_half_a_frame_is_one(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model")
    for seconds, frames in (("0.02", 1), ("0.03", 1), ("0.06", 2), ("0.07", 2), ("0.099", 2), ("0.1", 3)):
        assert pipe.prepare(made / "face.png", text="smiles", duration=seconds).frames == frames, seconds
    with pytest.raises(InputError, match="duration 0.019 s: is less than a frame; give 0.04 s or more"):
        pipe.prepare(made / "face.png", text="smiles", duration="0.019")


def test_a_driving_video_is_read_at_the_clips_rate_and_no_further(made):
    whole = crops(made / "mute.mp4", F25)
    assert len(whole) == 10
    assert {crop.shape for crop in whole} == {(64, 64, 3)}
    assert len(crops(made / "mute.mp4", Fraction(50))) == 20
    assert len(crops(made / "mute.mp4", F25, 3)) == 3


def test_one_square_serves_the_whole_driving_video(made):
    """The face moves by a pixel a frame in the file, so it moves in the crops: they are not centred on it."""
    first, *_, last = crops(made / "mute.mp4", F25)
    shifts = {k: difference(np.roll(first, k, axis=1)[:, 20:44], last[:, 20:44]) for k in range(-8, 9)}
    assert 3 <= min(shifts, key=lambda k: shifts[k]) <= 7  # 9 pixels of 112 are about 5 of the crop's 64


def test_squares_that_follow_the_face_hold_it_where_it_is(made):
    """The same file: the face now stays, and what is behind it moves."""
    first, *_, last = crops(made / "mute.mp4", F25, reach=1.7)
    shifts = {k: difference(np.roll(first, k, axis=1)[:, 20:44], last[:, 20:44]) for k in range(-8, 9)}
    assert abs(min(shifts, key=lambda k: shifts[k])) <= 2  # without landmarks the box jitters


def test_a_face_that_shows_in_some_frames_is_enough(made, tmp_path):
    face = list(np.asarray(Image.open(made / "face.png").resize((112, 112)))[None])
    blank = [np.full((112, 112, 3), 90, np.uint8)]
    some = video_file(tmp_path / "some.mp4", blank * 5 + face * 5)
    assert find_rest(open_film(some, F25, None)) == 5
    with pytest.raises(InputError, match="no face found in 2 of its frames"):
        find_rest(open_film(some, F25, 2))  # only what the clip uses is looked at


def test_a_drawn_mask_lies_where_it_was_drawn(made, tmp_path):
    """White where the face's square is, seen in the square's own pixels."""
    portrait = read_portrait(made / "face.png", 64)
    drawn = np.zeros((128, 128), np.uint8)
    x, y, half = (round(v) for v in (portrait.crop.x, portrait.crop.y, portrait.crop.side / 2))
    drawn[y : y + half, x : x + half] = 255  # the square's upper left quarter
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    request = pipe.prepare(
        made / "face.png", text="smiles", duration=0.2, regions={"text": str(tmp_path / "mask.png")}
    )
    mask = request.inputs.masks()["text"].numpy()
    assert mask[2:30, 2:30].min() > 0.9
    assert mask[34:].max() < 0.1
    assert mask[:, 34:].max() < 0.1
    given = request.inputs.conditions(0, 5).regions["text"]
    assert (given[0, 4].numpy() == mask).all()


def test_a_portrait_on_its_side_makes_the_clip_of_the_upright_one_its_mask_included(made, tmp_path, caplog):
    upright = np.asarray(Image.fromarray(read_image(made / "face.png")).crop((0, 0, 120, 128)))
    drawn = np.zeros((128, 120), np.uint8)
    drawn[10:70, 20:60] = 255
    pipe, inputs = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu"), []
    for turns in (0, 1, 2):
        for name, picture in (("face", upright), ("mask", drawn)):
            Image.fromarray(np.ascontiguousarray(np.rot90(picture, turns))).save(
                tmp_path / f"{name}{turns}.png"
            )
        given = {"text": "smiles", "duration": 0.2, "regions": {"text": str(tmp_path / f"mask{turns}.png")}}
        inputs.append(pipe.prepare(tmp_path / f"face{turns}.png", **given).inputs)
    first = inputs[0]
    for turns, other in enumerate(inputs):
        assert other.portrait.turns == -turns % 4
        np.testing.assert_array_equal(other.portrait.picture, first.portrait.picture)
        np.testing.assert_array_equal(other.masks()["text"], first.masks()["text"])
    assert "turned by 90 degrees clockwise" in inputs[1].portrait.place()
    x, y, side = first.portrait.crop.x, first.portrait.crop.y, round(first.portrait.crop.side)
    assert f"{side} x {side} pixels from ({round(x)}, {round(y)}) of 120 x 128" in first.portrait.place()


def test_a_driver_on_its_side_is_refused_with_the_way_to_turn_it(made):
    face = np.asarray(Image.open(made / "face.png"))
    lying = [np.ascontiguousarray(np.rot90(face))] * 4
    with pytest.raises(
        InputError, match="on its side; turn the video by 90 degrees clockwise before it drives"
    ):
        find_rest(open_film(lying, F25, None))


def test_the_preview_shows_portrait_regions_gates_and_frames(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    given = {"audio": made / "speech.wav", "text": "a | 0.1-0.3: smiles"}

    def sheet(**gates: object) -> np.ndarray:
        inputs = pipe.prepare(made / "face.png", **given, gates=gates).inputs
        shown = {k: np.full((64, 64, 3), 10 * n, np.uint8) for n, k in enumerate(shown_frames(inputs.frames))}
        return preview(inputs, shown)

    opened = sheet()
    changed = np.flatnonzero((opened != sheet(audio=[(0, 0.4, 0.0)])).any(axis=(0, 2)))
    assert len(changed) > 0
    assert changed.max() < opened.shape[1] * 0.55  # only the first half of the audio's gate
    portrait = read_image(made / "face.png")
    assert difference(opened[30:230, 12:212].mean(axis=(0, 1)), portrait.mean(axis=(0, 1))) < 25


def test_previews_show_the_first_and_the_last_frame():
    assert shown_frames(1) == [0]
    assert shown_frames(5) == [0, 1, 2, 3, 4]
    assert shown_frames(100) == [0, 14, 28, 42, 57, 71, 85, 99]
