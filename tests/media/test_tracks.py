"""Which track is read, where it begins, how long it is: every sample, in step with the picture."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from media_files import number, numbered, sound_file, tone, truncated

from actalker.errors import InputError
from actalker.media.sound import read_sound
from actalker.media.video import read_frames


def beeps(seconds: int = 3, rate: int = 48000) -> np.ndarray:
    """(1, n) float32: a beep of 40 ms at every whole second, over faint noise."""
    t = np.arange(seconds * rate) / rate
    sound = 0.002 * np.random.default_rng(0).standard_normal(len(t))
    return (sound + 0.6 * np.sin(2 * np.pi * 1000 * t) * ((t >= 0.99) & (t % 1 < 0.04)))[None].astype(
        np.float32
    )


def lag(heard: np.ndarray, truth: np.ndarray) -> int:
    """Samples by which a sound is late."""
    size = len(heard) + len(truth)
    found = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(truth, size)), size)
    late = int(found.argmax())
    return late - size if late > size // 2 else late


def vorbis(path, samples: np.ndarray, rate: int):
    """By libvorbis, which changes between short and long blocks; FFmpeg's own encoder never does."""
    soundfile.write(path, samples.T, rate, format="OGG", subtype="VORBIS")
    return path


def remuxed(path, source, since: Fraction = Fraction(0), drop: bool = False):
    """The same packets in another container, times less by `since`; drop: without what is before it, the
    picture from its next key frame on."""
    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        streams = {stream.index: write.add_stream_from_template(stream) for stream in read.streams}
        waiting = {stream.index for stream in read.streams.video} if drop else set()
        for packet in read.demux():
            index = packet.stream.index
            if packet.dts is None or (drop and packet.pts * packet.time_base < since):
                continue
            if index in waiting and not packet.is_keyframe:
                continue
            waiting.discard(index)
            shift = round(since / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, streams[index]
            write.mux(packet)
    return path


def film(path, sound: np.ndarray, frames: int = 75, late: Fraction = Fraction(0), every: int = 50):
    """Numbered frames at 25 fps from `late` on, a key frame at each `every`th; sound at 48 kHz from 0 on."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25, options={"g": str(every), "sc_threshold": "0"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("aac", rate=48000, layout="mono")
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(k), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k + round(late * 25), Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for k in range(0, sound.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, k : k + 1024]), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, k, Fraction(1, 48000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["ogg", "mkv", "webm"])
@pytest.mark.parametrize("channels", [1, 2])
def test_vorbis_is_read_whole(tmp_path, suffix, channels):
    truth = np.concatenate([beeps()] * channels)
    path = vorbis(tmp_path / "a.ogg", truth, 48000)
    path = path if suffix == "ogg" else remuxed(tmp_path / f"b.{suffix}", path)
    heard = read_sound(path).samples
    assert heard.shape[0] == channels and 0 <= heard.shape[1] - truth.shape[1] < (
        1 if suffix == "ogg" else 2048
    )
    for part in (slice(0, 96000), slice(48000, 144000)):  # nowhere lost, nowhere put in
        assert lag(heard[0, part], truth[0, part]) == 0
    assert np.corrcoef(heard[0, : truth.shape[1]], truth[0])[0, 1] > 0.99


@pytest.mark.parametrize("channels", [7, 8, 9, 16])
def test_many_channels_of_a_lossy_codec(tmp_path, channels):
    """Decoded to planes; in this process a plane too many ends the interpreter."""
    truth = np.stack(
        [0.2 * np.sin(2 * np.pi * (200 + 40 * k) * np.arange(48000) / 48000) for k in range(channels)]
    )
    sound = read_sound(vorbis(tmp_path / "a.ogg", truth.astype(np.float32), 48000))
    assert sound.samples.shape == truth.shape
    alike = np.corrcoef(sound.samples[:, 4800:-4800], truth[:, 4800:-4800])[:channels, channels:]
    # Vorbis has an order of its own up to eight: each channel is there once
    assert sorted(alike.argmax(axis=0)) == list(range(channels)) and alike.max(axis=0).min() > 0.99


@pytest.mark.parametrize("rate, seconds", [(16000, 3.0), (8000, 1.37), (44100, 2.003), (24000, 0.5)])
def test_vorbis_ends_where_it_ends(tmp_path, rate, seconds):
    """The last frame is cut once: by what the file says of its end."""
    truth = tone(seconds, rate)
    assert read_sound(vorbis(tmp_path / "a.ogg", truth, rate)).samples.shape == truth.shape


@pytest.mark.parametrize("codec, subtype", [("wav", "MS_ADPCM"), ("wav", "GSM610")])
def test_blocks_of_a_codec_end_where_the_header_says(tmp_path, codec, subtype):
    path = tmp_path / f"a.{codec}"
    soundfile.write(path, tone(0.53, 8000)[0], 8000, subtype=subtype)
    assert read_sound(path).samples.shape[1] == 4240


@pytest.mark.parametrize("late", [Fraction(18, 25), Fraction(38, 25)])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
def test_picture_later_than_sound(tmp_path, suffix, late):
    """What comes before the picture is left out; the rest is in step with it, and is not called cut off."""
    truth = beeps()
    sound = read_sound(film(tmp_path / f"a.{suffix}", truth, late=late))
    assert abs(lag(sound.samples[0], truth[0]) + round(late * 48000)) <= (48 if suffix == "mkv" else 1024)
    if suffix in ("mp4", "mov"):
        assert lag(sound.samples[0], truth[0]) == -round(late * 48000)
        assert sound.samples.shape[1] == truth.shape[1] - round(late * 48000)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_cut_without_encoding(tmp_path, suffix, drop):
    """As `ffmpeg -ss 1.2 -c copy` does it, before and after -i: an edit list, or a later picture."""
    truth = beeps(4)
    source = film(tmp_path / f"a.{suffix}", truth, frames=100, every=25)
    path = remuxed(tmp_path / f"b.{suffix}", source, Fraction(6, 5), drop)
    shown = number(next(read_frames(path)))
    assert shown == {True: 50, False: 30 if suffix == "mp4" else 25}[drop]
    assert abs(lag(read_sound(path).samples[0], truth[0]) + shown * 1920) <= 48  # a millisecond


def test_sound_that_is_really_cut_off_in_an_mp4_is_refused(tmp_path):
    with av.open(str(film(tmp_path / "a.mp4", beeps(), late=Fraction(1)))) as whole:
        assert whole.streams.audio[0].duration
    options = {"movflags": "faststart"}
    with (
        av.open(str(tmp_path / "a.mp4")) as read,
        av.open(str(tmp_path / "b.mp4"), "w", options=options) as to,
    ):
        streams = {stream.index: to.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                to.mux(packet)
    path = truncated(tmp_path / "c.mp4", tmp_path / "b.mp4", 0.6)
    with pytest.raises(InputError, match="cut off|damaged"):
        read_sound(path)


def two_tracks(path, first: np.ndarray, second: np.ndarray, default: int):
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream("aac", rate=16000, layout="mono") for _ in range(2)]
        for k, track in enumerate(tracks):
            flags = av.stream.Disposition.default if k == default else av.stream.Disposition(0)
            track.disposition = flags
        for track, samples in zip(tracks, (first, second), strict=True):
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_default_track_is_read_and_said(tmp_path, caplog, default):
    low, high = tone(0.4, hz=300), tone(0.4, hz=600)
    path = two_tracks(tmp_path / "a.mkv", low, high, default)
    truth = (low, high)[default][0]
    assert np.corrcoef(read_sound(path).samples[0, : len(truth)], truth)[0, 1] > 0.9
    assert caplog.messages == [f"{path}: has 2 sound tracks; number {default + 1} is read, marked as default"]


@pytest.mark.parametrize("unknown", [b"A_NO!", b"A_OPUS"])
def test_first_track_that_decodes_is_read(tmp_path, caplog, unknown):
    """The default track is of a codec that nobody knows, or that its packets are not of."""
    low, high = tone(0.4, hz=300), tone(0.4, hz=600)
    path = two_tracks(tmp_path / "a.mkv", low, high, 0)
    data = path.read_bytes()
    assert data.count(b"A_AAC") == 2
    if unknown == b"A_NO!":
        path.write_bytes(data.replace(b"A_AAC", unknown, 1))
    else:  # every packet of the first track is noise
        with av.open(str(path)) as container:
            for packet in container.demux(container.streams.audio[0]):
                if packet.size:
                    data = data.replace(bytes(packet), b"\xff" * packet.size, 1)
        path.write_bytes(data)
    heard = read_sound(path).samples[0]
    assert np.corrcoef(heard[: high.shape[1]], high[0, : len(heard)])[0, 1] > 0.9
    assert "has 2 sound tracks; number 2 is read, the first that decodes" in caplog.text


def test_one_track_says_nothing(tmp_path, caplog):
    read_sound(sound_file(tmp_path / "a.wav", tone(0.2)))
    assert not caplog.messages


def test_part_from_the_middle_is_the_part_of_the_whole(tmp_path):
    for name, codec, rate in (
        ("a.wav", "pcm_s16le", 44100),
        ("a.m4a", "aac", 44100),
        ("a.mp3", "libmp3lame", 16000),
    ):
        path = sound_file(tmp_path / name, tone(1.0, rate, channels=2), rate, codec)
        whole = read_sound(path).samples
        for start, limit in (
            (Fraction(1, 3), None),
            (Fraction(1, 3), Fraction(1, 7)),
            (Fraction(0), Fraction(1, 5)),
        ):
            part = read_sound(path, limit, start).samples
            first = round(start * rate)
            last = None if limit is None else first + round(limit * rate)
            np.testing.assert_array_equal(part, whole[:, first:last])


def test_part_of_a_video_begins_so_long_after_its_picture(tmp_path):
    path = film(tmp_path / "a.mkv", beeps(), late=Fraction(1, 2))
    np.testing.assert_array_equal(
        read_sound(path, start=Fraction(3, 4)).samples, read_sound(path).samples[:, 36000:]
    )


@pytest.mark.parametrize(
    "start, said", [(1, "its sound ends at 1.00 s"), (Fraction(99, 100), "only 10 ms of sound after")]
)
def test_part_behind_the_end_is_refused(tmp_path, start, said):
    with pytest.raises(InputError, match=said):
        read_sound(sound_file(tmp_path / "a.wav", tone(1.0)), start=Fraction(start))


def test_rate_and_channels_that_change_on_the_way_are_brought_to_the_first(tmp_path, caplog):
    """As broadcasters do at advertisements: two streams of AAC, one after the other."""
    mono = sound_file(tmp_path / "a.aac", tone(1.0, 32000, 440), 32000, "aac")
    stereo = sound_file(tmp_path / "b.aac", tone(1.0, 48000, 440, 2)[[0, 0]], 48000, "aac")
    both = tmp_path / "c.aac"
    both.write_bytes(mono.read_bytes() + stereo.read_bytes())
    sound = read_sound(both)
    assert sound.rate == 32000 and sound.samples.shape[0] == 1 and abs(float(sound.duration) - 2.0) < 0.15
    part = sound.samples[0, 40000:60000]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    assert abs(spectrum.argmax() * 32000 / len(part) - 440) < 2  # neither slower nor faster
    assert len(caplog.messages) == 1 and "changes its rate or channels at 1." in caplog.text


def test_jitter_of_a_clock_is_no_gap(tmp_path):
    """Times that are late by up to 50 ms, as recorders of screens write them, put no silence into speech."""
    path, rng = tmp_path / "a.mkv", np.random.default_rng(0)
    truth = tone(1.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for k in range(0, 16000, 800):
            block = np.round(truth[:, k : k + 800] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "s16", "mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = k + (int(rng.integers(0, 800)) if k else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(read_sound(path).samples, truth, atol=1e-4)


@pytest.mark.parametrize("bad", [3, 21, 22])
def test_damaged_packets_are_silence_until_they_are_the_most(tmp_path, caplog, bad):
    """Of 42 packets of FLAC, 72 ms each; what is whole is heard in its place."""
    truth = tone(3.0)
    source, path = sound_file(tmp_path / "a.mka", truth, codec="flac"), tmp_path / "b.mka"
    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        track = write.add_stream_from_template(read.streams.audio[0])
        packets = [packet for packet in read.demux() if packet.dts is not None]
        assert len(packets) == 42
        for k, packet in enumerate(packets):
            if 10 <= k < 10 + bad:
                zeros = av.Packet(bytes(packet.size))
                zeros.pts, zeros.dts, zeros.time_base = packet.pts, packet.dts, packet.time_base
                packet = zeros
            packet.stream = track
            write.mux(packet)
    if bad > 21:
        with pytest.raises(InputError, match="b.mka: is damaged, 22 of its 42 packets cannot be decoded"):
            read_sound(path)
        return
    heard = truth.copy()
    heard[:, 11520 : 11520 + 1152 * bad] = 0
    np.testing.assert_allclose(read_sound(path).samples, heard, atol=1e-4)
    assert caplog.messages == [f"{path}: {bad} damaged packets were left out"]
