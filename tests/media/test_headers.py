"""Sound whose header was written before its length was known is read; what is cut off is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile
from media_files import tone, truncated

from actalker.errors import InputError
from actalker.media.sound import read_sound

LENGTH = 16000


def wav(path, size: int, whole: int | None = None):
    """A second of 16-bit sound at 16 kHz, whose header says `size` bytes, in a file of `whole`."""
    data = np.round(tone(1.0)[0] * 32767).astype("<i2").tobytes()
    whole = min(size + 36, 0xFFFFFFFF) if whole is None else whole
    head = struct.pack("<4sI8sIHHIIHH", b"RIFF", whole, b"WAVEfmt ", 16, 1, 1, 16000, 32000, 2, 16)
    path.write_bytes(head + b"data" + struct.pack("<I", size) + data)
    return path


def edited(path, form: str, places: dict[bytes | int, tuple[int, bytes]]):
    """A second of 16-bit sound by soundfile, with other bytes so far behind a name, or at a place."""
    soundfile.write(path, tone(1.0)[0], 16000, format=form, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    for name, (far, value) in places.items():
        at = far + (data.index(name) if isinstance(name, bytes) else name)
        data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("whole", [None, 0, 36, 32036, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "size",
    [
        0,
        0xFFFFFFFF,
        0xFFFFFFDB,
        0x7FFFFFFF,
        0x7FFFFFDB,
        0x7FFFF000,
        2 * 10**9,
        2 * 10**9 - 36,
        10**9,
        1 << 30,
    ],
)
def test_wav_of_a_pipe_is_read(tmp_path, size, whole):
    sound = read_sound(wav(tmp_path / "a.wav", size, whole))
    np.testing.assert_allclose(sound.samples, tone(1.0), atol=1e-4)


@pytest.mark.parametrize("size", [2 * 32000, 3 * 32000, 50 * 32000, 900 * 32000])
def test_wav_that_is_cut_off_is_refused(tmp_path, size):
    with pytest.raises(InputError, match=rf"is cut off, 1.0 of {size // 32000}.0 s"):
        read_sound(wav(tmp_path / "a.wav", size))


LARGEST = [bytes(8), b"\xff" * 8, b"\xff" * 7 + b"\x7f"]


@pytest.mark.parametrize(
    "form, places",
    [
        *[("RF64", {b"ds64": (8, 3 * value)}) for value in LARGEST],
        *[("W64", {16: (0, value), b"data\xf3": (16, value)}) for value in LARGEST],
        *[
            ("AIFF", {4: (0, v), b"COMM": (10, v), b"SSND": (4, v)})
            for v in (bytes(4), b"\xff" * 4, b"\x7f" + b"\xff" * 3)
        ],
        ("AIFF", {b"COMM": (10, b"\xff" * 4)}),
        *[("AU", {8: (0, value)}) for value in (bytes(4), b"\xff" * 4, struct.pack(">I", 2 * 10**9))],
        *[("CAF", {b"data": (4, value)}) for value in (b"\xff" * 8, b"\x7f" + b"\xff" * 7)],
        *[("FLAC", {21: (0, b"\xf0" + total)}) for total in (bytes(4),)],
        ("FLAC", {21: (0, b"\xff" * 5)}),
    ],
)
def test_headers_that_do_not_know_the_length(tmp_path, form, places):
    sound = read_sound(edited(tmp_path / f"a.{form.lower()}", form, places))
    np.testing.assert_allclose(sound.samples, tone(1.0), atol=1e-4)


@pytest.mark.parametrize("form", ["RF64", "W64", "AIFF", "AU", "CAF"])
def test_what_is_cut_off_is_refused_in_every_format(tmp_path, form):
    whole = edited(tmp_path / f"a.{form.lower()}", form, {})
    np.testing.assert_allclose(read_sound(whole).samples, tone(1.0), atol=1e-4)
    with pytest.raises(InputError, match=r"is cut off, 0\.[2-4] of 1\.0 s"):
        read_sound(truncated(tmp_path / f"b.{form.lower()}", whole, 0.4))


@pytest.mark.parametrize("rate", [0, 16000, 64000])
def test_a_wrong_byte_rate_is_no_cut(tmp_path, rate):
    path = wav(tmp_path / "a.wav", 32000)
    data = bytearray(path.read_bytes())
    data[28:32] = struct.pack("<I", rate)
    path.write_bytes(data)
    assert read_sound(path).samples.shape == (1, LENGTH)


def test_big_endian_wav_is_refused_and_not_read_as_noise(tmp_path):
    data = np.round(tone(1.0)[0] * 32767).astype(">i2").tobytes()
    head = struct.pack(">4sI8sIHHIIHH", b"RIFX", 32036, b"WAVEfmt ", 16, 1, 1, 16000, 32000, 2, 16)
    (tmp_path / "a.wav").write_bytes(head + b"data" + struct.pack(">I", 32000) + data)
    with pytest.raises(InputError, match=r"big-endian WAV \(RIFX\)"):
        read_sound(tmp_path / "a.wav")
