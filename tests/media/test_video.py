"""Reading video: every frame once, constant rates from any times, upright, streaming, odd files refused."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from media_files import (
    corners,
    frameless,
    number,
    picture_file,
    sound_file,
    text_as,
    tone,
    truncated,
    video_file,
    zero_byte,
)

from actalker.errors import InputError
from actalker.media.colour import Colours
from actalker.media.video import probe, read_frames, timed_frames
from actalker.timeline import Interval


def test_every_frame_once(tmp_path):
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(20)], 25)
    assert [number(f) for f in read_frames(path)] == list(range(20))
    info = probe(path)
    assert (info.frames, info.fps, info.duration, info.has_sound) == (20, 25, Fraction(20, 25), False)
    assert (info.width, info.height) == (64, 48)


def nearest(starts, moment, early=Fraction(1, 20)):
    """Which frame begins nearest to a moment; one that begins later by more than `early` seconds waits."""
    there = [k for k, start in enumerate(starts) if start <= moment + early]
    return min(there, key=lambda k: (abs(starts[k] - moment), starts[k]))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(24000, 1001), Fraction(10), Fraction(60)])
def test_at_a_constant_rate_each_moment_shows_the_nearest_frame(tmp_path, fps):
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(30)], 30)
    got = [number(f) for f in read_frames(path, fps=fps)]
    starts = [Fraction(k, 30) for k in range(30)]
    assert got == [nearest(starts, k / fps) for k in range(len(got))]
    assert len(got) == round(Fraction(30, 30) * fps)


@pytest.mark.parametrize("rate", [30, Fraction(30000, 1001), 25])
@pytest.mark.parametrize("since", ["0.2", "0.21", "0.219", "0.23", "3.017"])
def test_a_span_between_two_frames_begins_with_the_nearer_one(tmp_path, rate, since):
    """Pictures neither lag the sound nor run ahead of it: their error has a mean of nearly zero."""
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(130)], rate)
    span = Interval(Fraction(since), Fraction(since) + Fraction(4, 5))
    got = [number(f) for f in read_frames(path, fps=Fraction(25), span=span)]
    starts = [k / Fraction(rate) for k in range(130)]
    assert got == [nearest(starts, span.start + Fraction(k, 25)) for k in range(20)]
    lags = [float(span.start + Fraction(k, 25) - starts[at]) for k, at in enumerate(got)]
    assert max(map(abs, lags)) <= float(Fraction(1, 2) / rate) + 1e-9


def test_limit_and_size(tmp_path):
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(10)], 25)
    frames = list(read_frames(path, size=32, limit=4))
    assert len(frames) == 4 and frames[0].shape == (24, 32, 3) and frames[0].dtype == np.uint8


def test_what_is_no_video_is_refused_in_one_line(tmp_path):
    from media_files import numbered

    whole = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(30)], 25)
    for path, words in (
        (tmp_path / "none.mp4", "no such file"),
        (zero_byte(tmp_path / "zero.mp4"), "empty"),
        (text_as(tmp_path / "text.mp4"), "cannot be read|text"),
        (truncated(tmp_path / "cut.mp4", whole, 0.3), "cannot be|damaged|no frames|read"),
        (sound_file(tmp_path / "tone.wav", tone()), "only sound"),
        (frameless(tmp_path / "none.mkv"), "has no frames"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            list(read_frames(path))
        assert "\n" not in str(caught.value)


def test_the_sample_videos(shared):
    for path in sorted((shared / "samples" / "video").iterdir()):
        info = probe(path)
        first = next(iter(read_frames(path, size=128)))
        assert max(first.shape[:2]) == 128
        assert first.shape[1] / first.shape[0] == pytest.approx(info.width / info.height, rel=0.03), path.name


def test_a_variable_rate_is_shown_at_its_own_times(tmp_path):
    """A picture that stays for long is held until shortly before the next one."""
    times = [Fraction(k, 25) for k in (0, 1, 2, 7, 8, 20)]
    path = video_file(tmp_path / "a.mp4", 6, 25, times=times)
    got = [number(f) for f in read_frames(path, fps=Fraction(25))]
    assert got[:21] == [nearest(times, Fraction(k, 25)) for k in range(21)]
    assert got[5] == 2 and got[18] == 4  # 80 ms before the next one, though that is nearer


def test_frames_come_with_the_second_at_which_they_begin(tmp_path):
    times = [Fraction(k, 25) for k in (0, 1, 5, 6, 13)]
    found = list(timed_frames(video_file(tmp_path / "a.mp4", 5, 25, times=times)))
    assert [start for start, _ in found] == times and [number(picture) for _, picture in found] == list(
        range(5)
    )
    with pytest.raises(InputError, match="no such file"):
        timed_frames(tmp_path / "none.mp4")


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_video_is_upright(tmp_path, rotation):
    path = video_file(tmp_path / "a.mp4", [corners()] * 3, 25, rotation=rotation)
    upright = np.rot90(corners(), rotation // 90)
    got = next(iter(read_frames(path)))
    assert got.shape == upright.shape
    assert np.abs(got.astype(float) - upright).mean() < 12


SHOWN = {  # a display matrix's a, b, c, d: what players show of a picture
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1],
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): lambda x: np.rot90(x),
    (0, 1, 1, 0): lambda x: x.swapaxes(0, 1),
    (0, -1, -1, 0): lambda x: np.rot90(x, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", SHOWN)
def test_every_display_matrix_is_followed(tmp_path, matrix):
    path = video_file(tmp_path / "a.mp4", [corners()] * 3, 25)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # version 0: the matrix follows 40 bytes of the header
    a, b, c, d = (65536 * part for part in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    wanted = SHOWN[matrix](corners())
    got = next(iter(read_frames(path)))
    assert got.shape == wanted.shape
    assert np.abs(got.astype(float) - wanted).mean() < 12
    info = probe(path)
    assert (info.height, info.width) == wanted.shape[:2]
    undone = np.rot90(corners()[:, ::-1] if info.mirrored else corners(), -info.rotation // 90)
    np.testing.assert_array_equal(undone, wanted)


def bt2020(picture, transfer):
    """(h, w, 3) uint16, what a camera or a studio writes for an SDR picture of gamma 2.2 whose white is at
    203 cd/m²: BT.2100's formulas, from light to code."""
    rgb = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    wide = np.array([[0.6370, 0.1446, 0.1689], [0.2627, 0.6780, 0.0593], [0.0, 0.0281, 1.0610]])
    light = (picture / 255.0) ** 2.2 @ (np.linalg.inv(wide) @ rgb).T * 203
    light = np.clip(light, 0, None)
    if transfer == 16:
        y = (light / 10000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    else:
        display = light / 1000
        luma = display @ np.array([0.2627, 0.6780, 0.0593])
        scene = display * np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return np.round(np.clip(code, 0, 1) * 65535).astype(np.uint16)


def hdr_file(path, picture, transfer, primaries=9):
    """A video of 10 bit (HEVC) whose frames are these numbers."""
    with av.open(str(path), "w") as container:
        params = f"log-level=none:crf=4:colorprim={primaries}:transfer={transfer}:colormatrix=9"
        stream = container.add_stream("libx265", rate=25, options={"x265-params": params})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = primaries, transfer, 9
        for k in range(2):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def portrait_like():
    """(64, 96, 3) uint8: skin, grey, saturated patches and a ramp, smooth enough for half the chroma."""
    picture = np.zeros((64, 96, 3), np.uint8)
    for k, colour in enumerate(
        [(224, 172, 144), (90, 60, 45), (128, 128, 128), (200, 60, 60), (60, 90, 180)]
    ):
        picture[:32, 16 * k : 16 * k + 16] = colour
    picture[:32, 80:] = 225
    picture[32:] = np.linspace(0, 225, 96).astype(np.uint8)[None, :, None]
    return picture


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_hdr_is_read_as_an_sdr_display_shows_it(tmp_path, transfer):
    wanted = portrait_like()
    path = hdr_file(tmp_path / "hdr.mp4", bt2020(wanted, transfer), transfer)
    got = next(iter(read_frames(path))).astype(int)
    apart = np.abs(got - wanted)
    assert apart.mean() < 3 and np.abs((got - wanted).mean((0, 1))).max() < 2
    assert np.median(apart) <= 2


def test_light_above_sdrs_white_keeps_its_order_and_its_hue():
    steps = np.linspace(0.1, 1000 / 203, 60)
    grey = np.tile((steps * 203 / 10000)[None, :, None], (1, 1, 3))
    y = grey**0.1593017578125
    code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    shown = Colours(9, 16).to_sdr(np.round(code * 65535).astype(np.uint16))[0]
    assert (np.diff(shown[:, 0].astype(int)) >= 0).all() and shown[-1].tolist() == [255] * 3
    assert (shown.max(1) - shown.min(1)).max() <= 1
    dark = steps < 0.8
    np.testing.assert_allclose(shown[dark, 0], 255 * steps[dark] ** (1 / 2.2), atol=0.8)


def test_a_wide_gamut_without_hdr_keeps_its_colours(tmp_path):
    wanted = portrait_like()
    rgb = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    wide = np.array([[0.6370, 0.1446, 0.1689], [0.2627, 0.6780, 0.0593], [0.0, 0.0281, 1.0610]])
    light = (wanted / 255.0) ** 2.2 @ (np.linalg.inv(wide) @ rgb).T
    code = np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 65535).astype(np.uint16)
    got = next(iter(read_frames(hdr_file(tmp_path / "wide.mp4", code, 14)))).astype(int)
    assert np.abs(got - wanted).mean() < 3


def test_dolby_vision_that_nobody_else_can_show_is_refused(tmp_path):
    path = video_file(tmp_path / "a.mp4", 3, 25, codec="libx265")
    path.write_bytes(path.read_bytes().replace(b"hev1", b"dvhe").replace(b"hvc1", b"dvh1"))
    with pytest.raises(InputError, match="Dolby Vision"):
        read_frames(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "JPG", "AVIF", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("suffix", ["own", ".mp4"])
def test_a_still_picture_is_called_a_picture(tmp_path, form, suffix):
    path = picture_file(
        tmp_path / f"a{'.' + form.lower() if suffix == 'own' else suffix}", form=form.replace("JPG", "JPEG")
    )
    with pytest.raises(InputError, match="is a picture, not a video"):
        list(read_frames(path))


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
@pytest.mark.parametrize(
    "start, stop", [(0, 1), (1.3, 2.02), (4.0, 6.5), (5.96, 7.12), (9.0, None), (9.9, 40)]
)
def test_a_span_is_the_same_frames_as_the_whole_video_has_there(tmp_path, name, codec, start, stop):
    """Also far behind the start, where the reader seeks: frames k / 25 from start up to before stop."""
    from media_files import numbered

    path = video_file(tmp_path / name, [numbered(k) for k in range(250)], 25, codec=codec)
    span = Interval(Fraction(str(start)), None if stop is None else Fraction(str(stop)))
    first = int(span.start * 25)
    last = 250 if stop is None else min(250, -int(-span.stop * 25 // 1))
    assert [number(f) for f in read_frames(path, span=span)] == list(range(first, last))
    at = [number(f) for f in read_frames(path, fps=Fraction(10), span=span)]
    shown = min(Fraction(10), span.stop or Fraction(10)) - span.start
    assert len(at) == max(1, int(shown * 10 + Fraction(1, 2)))
    starts = [Fraction(k, 25) for k in range(250)]
    assert at == [nearest(starts, span.start + Fraction(k, 10)) for k in range(len(at))]


def test_a_span_behind_the_end_is_refused(tmp_path):
    path = video_file(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 25, 25)
    with pytest.raises(InputError, match="ends before 5 s"):
        list(read_frames(path, span=Interval(Fraction(5), Fraction(6))))
