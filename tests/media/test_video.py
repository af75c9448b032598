"""Reading video: every frame once, constant rates from any times, upright, streaming, odd files refused."""

from fractions import Fraction

import numpy as np
import pytest
from media_files import frameless, number, sound_file, text_as, tone, truncated, video_file, zero_byte

from actalker.errors import InputError
from actalker.media.video import probe, read_frames
from actalker.timeline import Interval


def test_every_frame_once(tmp_path):
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(20)], 25)
    assert [number(f) for f in read_frames(path)] == list(range(20))
    info = probe(path)
    assert (info.frames, info.fps, info.duration, info.has_sound) == (20, 25, Fraction(20, 25), False)
    assert (info.width, info.height) == (64, 48)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(24000, 1001), Fraction(10), Fraction(60)])
def test_at_a_constant_rate_each_moment_shows_its_frame(tmp_path, fps):
    from media_files import numbered

    path = video_file(tmp_path / "a.mp4", [numbered(k) for k in range(30)], 30)
    got = [number(f) for f in read_frames(path, fps=fps)]
    expected = [min(29, int(Fraction(k) / fps * 30)) for k in range(len(got))]
    assert got == expected
    assert len(got) == round(Fraction(30, 30) * fps)


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
    times = [Fraction(k) for k in (0, 1, 2, 7, 8, 20)]
    path = video_file(tmp_path / "a.mp4", 6, 25, times=[t / 25 for t in times])
    got = [number(f) for f in read_frames(path, fps=Fraction(25))]
    assert got[:21] == [max(k for k, t in enumerate(times) if t <= n) for n in range(21)]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_video_is_upright(tmp_path, rotation):
    from media_files import corners

    path = video_file(tmp_path / "a.mp4", [corners()] * 3, 25, rotation=rotation)
    upright = np.rot90(corners(), rotation // 90)
    got = next(iter(read_frames(path)))
    assert got.shape == upright.shape
    assert np.abs(got.astype(float) - upright).mean() < 12


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
    assert at == [min(last - 1, int((span.start + Fraction(k, 10)) * 25)) for k in range(len(at))]


def test_a_span_behind_the_end_is_refused(tmp_path):
    path = video_file(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 25, 25)
    with pytest.raises(InputError, match="ends before 5 s"):
        list(read_frames(path, span=Interval(Fraction(5), Fraction(6))))
