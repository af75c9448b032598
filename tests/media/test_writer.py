"""The writer, read back: exact times, sound as long as the pictures, nothing half-written."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import number, numbered, tone

from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.media.writer import VideoWriter

RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30)]


def write(path: Path, frames: int, fps: Fraction, sound=None, size=(64, 64), **options) -> Path:
    with VideoWriter(path, fps, size, sound, **options) as video:
        for k in range(frames):
            video.write(numbered(k, *size))
    return path


@pytest.mark.parametrize("fps", RATES)
def test_times_are_exact_and_the_sound_ends_with_the_pictures(tmp_path, fps):
    frames = 40
    path = write(tmp_path / "a.mp4", frames, fps, Sound(tone(5.0, 44100, channels=2), 44100))
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264" and video.codec_context.pix_fmt == "yuv420p"
        times = sorted(p.pts * video.time_base for p in container.demux(video) if p.pts is not None)
    assert times == [k / fps for k in range(frames)]
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        *_, last = container.decode(audio)
    assert audio.rate == 44100 and last.pts + last.duration == round(frames / fps * 44100)


def test_frames_come_back_in_order(tmp_path):
    path = write(tmp_path / "a.mp4", 30, Fraction(25))
    with av.open(str(path)) as container:
        assert [number(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)] == list(range(30))


def test_short_sound_is_followed_by_silence_and_starts_in_sync(tmp_path):
    samples = np.zeros((1, 16000), np.float32)
    samples[0, 8000:8800] = 0.9  # a click at half a second
    path = write(tmp_path / "a.mp4", 50, Fraction(25), Sound(samples, 16000))
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        got, first = [], None
        for frame in container.decode(audio):
            first = frame.time if first is None else first
            got.append(frame.to_ndarray()[0])
        wave, rate = np.concatenate(got), audio.rate
    loud = np.flatnonzero(np.abs(wave) > 0.3)
    assert first + loud[0] / rate == pytest.approx(0.5, abs=0.01)
    assert len(wave) / rate == pytest.approx(2.0, abs=0.05)
    assert np.abs(wave[int(1.2 * rate) :]).max() < 0.02


def test_odd_sides_are_padded(tmp_path):
    path = write(tmp_path / "a.mp4", 3, Fraction(25), size=(33, 47))
    with av.open(str(path)) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (34, 48)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_an_interrupted_video(tmp_path, error):
    with pytest.raises(error), VideoWriter(tmp_path / "a.mp4", Fraction(25), (64, 64)) as video:
        video.write(numbered(0, 64, 64))
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stays_unless_told_otherwise(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already"):
        write(path, 2, Fraction(25))
    assert path.read_bytes() == b"precious"
    write(path, 2, Fraction(25), overwrite=True)
    assert path.stat().st_size > 100


def test_other_names_and_folders_are_refused(tmp_path):
    for path, words in ((tmp_path / "a.avi", "written as MP4"), (tmp_path / "no" / "a.mp4", "no folder")):
        with pytest.raises(InputError, match=words):
            write(path, 1, Fraction(25))


def test_a_comment_is_read_back_by_players(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", Fraction(25), (64, 64), says="Generated, not recorded") as video:
        video.write(numbered(0, 64, 64))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"] == "Generated, not recorded"
    with av.open(str(write(tmp_path / "b.mp4", 1, Fraction(25)))) as container:
        assert "comment" not in container.metadata
