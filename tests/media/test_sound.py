from __future__ import annotations

import struct
import subprocess
import sys
import wave
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import (
    long_silent_wav,
    picture_file,
    sound_file,
    text_as,
    tone,
    truncated,
    video_file,
    zero_byte,
)

from actalker.errors import InputError
from actalker.media.sound import Sound, read_sound


def naive_resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Shannon's sum in float64 with a long Hann window, one output sample at a time."""
    n, half, cutoff = len(samples), 400, min(1.0, wanted / rate)
    out = np.zeros(round(n * wanted / rate))
    for m in range(len(out)):
        at = m * rate / wanted
        first, last = max(0, int(at) - half), min(n, int(at) + half + 1)
        x = np.arange(first, last) - at
        window = 0.5 + 0.5 * np.cos(np.pi * np.clip(x / half, -1, 1))
        out[m] = np.sum(samples[first:last] * cutoff * np.sinc(cutoff * x) * window)
    return out


@pytest.mark.parametrize(
    "codec, allowed",
    [
        ("pcm_u8", 2**-7),
        ("pcm_s16le", 2**-15),
        ("pcm_s24le", 2**-22),
        ("pcm_s32le", 2**-23),
        ("pcm_f32le", 0),
        ("pcm_f64le", 0),
        ("flac", 2**-15),
        ("aac", 0.15),
        ("libmp3lame", 0.1),
        ("libopus", 0.1),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_codec_gives_the_samples_that_were_written(tmp_path, codec, allowed, channels):
    rate = 48000 if codec == "libopus" else 16000
    truth = tone(0.51, rate, channels=channels)
    suffix = {"aac": "m4a", "libmp3lame": "mp3", "libopus": "ogg", "flac": "flac"}.get(codec, "wav")
    sound = read_sound(sound_file(tmp_path / f"a.{suffix}", truth, rate, codec))
    assert (sound.rate, sound.samples.dtype) == (rate, np.float32)
    assert sound.samples.shape == truth.shape  # to the sample: padding is gone
    assert np.abs(sound.samples - truth).max() <= allowed
    inner = slice(2000, -2000)  # lossy codecs ring where the tone sets in
    assert np.sqrt(np.mean((sound.samples[:, inner] - truth[:, inner]) ** 2)) < 0.02


def test_wav_agrees_with_the_standard_library(tmp_path):
    path = sound_file(tmp_path / "a.wav", tone(0.2, 8000, channels=2), 8000)
    with wave.open(str(path)) as file:
        truth = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T / 32768
    np.testing.assert_array_equal(read_sound(path).samples, truth.astype(np.float32))


@pytest.mark.parametrize("channels", [6, 8])
def test_surround_is_kept_and_mixes_to_its_average(tmp_path, channels):
    truth = tone(0.1, channels=channels, hz=50)
    sound = read_sound(sound_file(tmp_path / "a.wav", truth, codec="pcm_f32le"))
    np.testing.assert_array_equal(sound.samples, truth)
    np.testing.assert_allclose(sound.mono(16000), truth.mean(axis=0), atol=1e-6)
    stereo = np.concatenate(list(sound.blocks(16000, 2)), axis=1)
    half = np.sqrt(0.5)  # ITU-R BS.775, FL FR FC LFE BL BR (SL SR)
    left = truth[0] + half * (truth[2] + truth[4] + (truth[6] if channels == 8 else 0))
    right = truth[1] + half * (truth[2] + truth[5] + (truth[7] if channels == 8 else 0))
    total = 1 + half * (channels // 2 - 1)
    np.testing.assert_allclose(stereo, np.stack([left, right]) / total, atol=1e-6)


def test_any_number_of_channels_is_averaged(tmp_path):
    """Sixteen, as a recorder of a whole band writes them."""
    samples = np.round(20000 * tone(0.1, channels=16, hz=20)).astype("<i2")
    form = struct.pack("<HHIIHH", 1, 16, 16000, 512000, 32, 16)
    sound = read_sound(headless(tmp_path / "a.wav", form, samples.T.tobytes()))
    for many in (sound.mono(16000), *np.concatenate(list(sound.blocks(16000, 2)), axis=1)):
        np.testing.assert_allclose(many, samples.mean(axis=0) / 32768, atol=1e-6)


@pytest.mark.parametrize(
    "rate, wanted", [(44100, 16000), (48000, 16000), (8000, 16000), (24000, 16000), (22050, 48000)]
)
def test_resampling_agrees_with_the_naive_sum(rate, wanted):
    rng = np.random.default_rng(rate)
    t = np.arange(round(0.15 * rate)) / rate
    hz = rng.uniform(80, 0.4 * min(rate, wanted), 20)  # inside the band that both must keep
    samples = np.sin(2 * np.pi * hz[:, None] * t + rng.uniform(0, 6, (20, 1))).sum(0) / 20
    ours = Sound(samples[None].astype(np.float32), rate).mono(wanted)
    truth = naive_resample(samples, rate, wanted)
    assert ours.shape == truth.shape and ours.dtype == np.float32
    inner = slice(len(truth) // 4, -len(truth) // 4)
    assert np.abs(ours[inner] - truth[inner]).max() < 2e-3


def test_resampling_keeps_out_what_the_new_rate_cannot_hold():
    high = Sound(tone(0.5, 48000, hz=11000), 48000)  # above 8 kHz, the half of 16 kHz
    assert np.abs(high.mono(16000)[500:-500]).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(700, 20000),
    rate=st.sampled_from([8000, 11025, 16000, 44100]),
    block=st.sampled_from([64, 1000, 4096]),
)
def test_blocks_are_the_whole_and_exactly_as_long(n, rate, block):
    sound = Sound(np.random.default_rng(n).uniform(-0.5, 0.5, (2, n)).astype(np.float32), rate)
    whole = np.concatenate(list(sound.blocks(16000, 2)), axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actalker.media.sound.BLOCK", block)
        pieces = np.concatenate(list(sound.blocks(16000, 2)), axis=1)
    assert whole.shape == pieces.shape == (2, round(Fraction(n, rate) * 16000))
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_sound_on_disk_is_the_sound_in_memory(tmp_path, monkeypatch):
    path = sound_file(tmp_path / "a.wav", 2 * tone(0.7, 44100, channels=2), 44100, "pcm_f32le")
    memory = read_sound(path)
    monkeypatch.setattr("actalker.media.store.IN_MEMORY", 1000)
    disk = read_sound(path)
    assert isinstance(disk.samples, np.memmap) and not isinstance(memory.samples, np.memmap)
    np.testing.assert_array_equal(disk.samples, memory.samples)
    np.testing.assert_array_equal(disk.mono(16000), memory.mono(16000))
    cut = disk.cut(Fraction(1, 10), Fraction(2, 10))
    assert isinstance(cut.samples, np.memmap) and cut.duration == Fraction(1, 10)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux limits a process's own memory")
def test_two_hours_take_no_more_memory_than_minutes(tmp_path):
    """Two hours are 230 MB of samples; 160 MB may be allocated for decoding and resampling them."""
    code = (
        "import resource, sys\n"
        "import numpy as np, soxr\n"
        "from actalker.media.sound import read_sound\n"
        "own = int(next(l for l in open('/proc/self/status') if l.startswith('VmData')).split()[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (own + 160 * 2**20,) * 2)\n"
        "sound = read_sound(sys.argv[1])\n"
        "mono = sound.mono(4000)\n"
        "print(sound.duration, len(mono), float(sound.samples[0, -1]), "
        "float(max(mono[:-100].max(), -mono[:-100].min())))\n"
    )
    path = long_silent_wav(tmp_path / "a.wav", 7200, 8000)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    duration, n, last, quiet = done.stdout.split()
    assert (duration, n, last) == ("7200", str(7200 * 4000), "0.5") and float(quiet) < 0.1


def test_limit_stops_reading(tmp_path):
    truth = tone(2.0)
    sound = read_sound(sound_file(tmp_path / "a.wav", truth), limit=Fraction(1, 3))
    assert sound.samples.shape[1] == round(16000 / 3)
    np.testing.assert_allclose(sound.samples, truth[:, : round(16000 / 3)], atol=2**-15)
    assert read_sound(tmp_path / "a.wav", limit=Fraction(10)).duration == 2


def test_cut_keeps_to_the_sound():
    sound = Sound(np.arange(100, dtype=np.float32)[None] / 100, 10)
    assert sound.duration == 10
    assert sound.cut(Fraction(1), Fraction(2)).samples[0].tolist() == [
        np.float32(k / 100) for k in range(10, 20)
    ]
    assert sound.cut(Fraction(-5), Fraction(99)).duration == 10
    with pytest.raises(InputError, match="no sound between 10 and 11 s"):
        sound.cut(Fraction(10), Fraction(11))


def test_digital_silence_is_fine(tmp_path):
    sound = read_sound(sound_file(tmp_path / "a.wav", np.zeros((1, 8000), np.float32)))
    assert sound.duration == Fraction(1, 2) and not sound.samples.any() and not sound.mono(8000).any()


def test_sound_beyond_full_scale_is_scaled_and_not_clipped(tmp_path):
    truth = tone(0.3)
    loud = read_sound(sound_file(tmp_path / "a.wav", truth * 40000, codec="pcm_f32le"))
    np.testing.assert_allclose(loud.samples, truth / truth.max(), atol=1e-5)


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 2)])
def test_sound_of_a_video_starts_with_its_picture(tmp_path, delay):
    click = np.zeros((1, 16000), np.float32)
    click[0, 4000:4400] = tone(0.025)[0]
    path = video_file(tmp_path / "a.mkv", 50, sound=click, sound_from=delay)
    samples = np.abs(read_sound(path).samples[0])
    first = np.flatnonzero(samples > 0.2)[0] / 16000
    assert abs(first - (0.25 + float(delay))) < 0.01


def test_gap_between_packets_is_silence(tmp_path):
    """As browsers record it: nothing is stored while nobody speaks."""
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0, 16000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 4800), 9000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = read_sound(path).samples[0]
    assert len(samples) == 20800
    assert (samples[:4800] > 0.2).all() and not samples[4800:16000].any() and (samples[16000:] > 0.2).all()


@pytest.mark.parametrize("bad, at", [(np.nan, 9000), (np.inf, 100), (-np.inf, 15999)])
def test_samples_that_are_no_numbers_are_refused(tmp_path, bad, at):
    samples = tone(1.0)
    samples[0, at] = bad
    with pytest.raises(InputError, match=r"not numbers \(NaN or infinite\).*16-bit WAV"):
        read_sound(sound_file(tmp_path / "a.wav", samples, codec="pcm_f32le"))


def headless(path, form: bytes, data: bytes):
    """A WAV by hand: what its `fmt ` chunk says, and its bytes."""
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda p: p / "none.wav", "no such file"),
        (lambda p: p, "is a folder"),
        (lambda p: zero_byte(p / "a.wav"), "0 bytes"),
        (lambda p: text_as(p / "a.wav"), "cannot be read as sound"),
        (lambda p: text_as(p / "a.txt"), "sound"),
        (lambda p: picture_file(p / "a.png"), "is a picture, not a sound"),
        (lambda p: picture_file(p / "a.wav", form="JPEG"), "is a picture, not a sound"),
        (lambda p: video_file(p / "a.mp4", 3), "has no sound track"),
        (lambda p: sound_file(p / "a.wav", tone(0.010)), "10 ms.*at least 40 ms"),
        (lambda p: headless(p / "a.wav", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16), b""), "no sound"),
        (lambda p: truncated(p / "b.wav", sound_file(p / "a.wav", tone(4))), r"cut off, 2\.0 of 4\.0 s"),
        (lambda p: truncated(p / "b.flac", sound_file(p / "a.flac", tone(4), codec="flac")), "cut off"),
        (
            lambda p: truncated(p / "b.m4a", sound_file(p / "a.m4a", tone(4), codec="aac")),
            "cannot be read as sound",
        ),
        (
            lambda p: headless(
                p / "a.wav", struct.pack("<HHIIHH", 1, 80, 16000, 2560000, 160, 16), bytes(320000)
            ),
            "80 channels",
        ),
        (
            lambda p: headless(p / "a.wav", struct.pack("<HHIIHH", 1, 1, 1, 2, 2, 16), bytes(64000)),
            "samples a second",
        ),
    ],
)
def test_bad_sound_is_named_with_the_fix(tmp_path, make, said):
    path = make(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        read_sound(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and ";" in text and "\n" not in text


def test_playlist_reads_nothing_else(tmp_path):
    sound_file(tmp_path / "a.aac", tone(1.0), codec="aac")
    (tmp_path / "b.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.aac\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError):
        read_sound(tmp_path / "b.m3u8")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), codec=st.sampled_from(["pcm_s16le", "flac", "aac", "libmp3lame"]))
def test_damaged_bytes_are_sound_or_an_input_error(tmp_path_factory, seed, codec):
    folder, rng = tmp_path_factory.mktemp("damaged"), np.random.default_rng(seed)
    suffix = {"aac": "m4a", "libmp3lame": "mp3", "flac": "flac"}.get(codec, "wav")
    path = sound_file(folder / f"a.{suffix}", tone(0.3), codec=codec)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, len(data), 10):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data)
    try:
        assert np.isfinite(read_sound(path).samples).all()
    except InputError as error:
        assert "\n" not in str(error)


def test_sample_sounds_are_read(shared):
    found = {}
    for path in sorted((shared / "samples" / "audio").iterdir()):
        sound = read_sound(path)
        found[path.name] = (sound.samples.shape, sound.rate)
        assert 0.2 < np.abs(sound.samples).max() <= 1 and len(sound.mono()) == round(sound.duration * 16000)
    assert found == {
        "japanese_48k_24bit.wav": ((2, 436436), 48000),
        "radio_16k_stereo.wav": ((2, 128000), 16000),
        "walden_24k.wav": ((1, 195328), 24000),
        "woman_44k_stereo.wav": ((2, 441344), 44100),
    }
    for path in sorted((shared / "samples" / "video").iterdir()):
        if "no_audio" in path.name:
            with pytest.raises(InputError, match="has no sound track"):
                read_sound(path)
        else:
            sound = read_sound(path)
            assert sound.samples.shape[0] == 2 and (sound.samples.any() != ("silent" in path.name))


@pytest.mark.parametrize(
    "shape, rate", [((100,), 16000), ((0, 100), 16000), ((65, 100), 16000), ((1, 100), 0)]
)
def test_samples_that_are_no_sound_are_refused(shape, rate):
    with pytest.raises(InputError, match=r"give \(channels, samples\)"):
        Sound(np.zeros(shape, np.float32), rate)


def test_given_samples_are_checked():
    samples = np.zeros((2, 700_000), np.float32)
    Sound(samples, 16000).check()
    samples[1, 640_000] = np.nan
    with pytest.raises(InputError, match="not numbers .* at 40.00 s"):
        Sound(samples, 16000).check()
    with pytest.raises(InputError, match="at least 40 ms"):
        Sound(samples[:, :600], 16000).check()
