"""Pictures, frames and sound as Python's libraries have them: all are the same picture and the same sound."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.signals.objects import as_frames, as_picture, as_sound

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (12, 10, 3), dtype=np.uint8)
GREY = PICTURE[..., 0]
VIDEO = RNG.integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
SPEECH = RNG.uniform(-0.9, 0.9, (2, 800)).astype(np.float32)


def file_of(picture: Image.Image, kind: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    file.seek(0)
    return file


def turned() -> Image.Image:
    """The picture lying on its side, with EXIF that turns it upright."""
    lying = Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_90)
    exif = lying.getexif()
    exif[0x0112] = 6
    return Image.open(file_of(lying, exif=exif))


@pytest.mark.parametrize(
    "value",
    [
        PICTURE,
        PICTURE.astype(np.int64),
        PICTURE.astype(np.uint16) * 257,
        PICTURE / 255,
        (PICTURE / 255).astype(np.float32),
        PICTURE[None],
        PICTURE.transpose(2, 0, 1),
        np.dstack([PICTURE, np.full((12, 10), 255, np.uint8)]),
        torch.from_numpy(PICTURE).permute(2, 0, 1),
        (torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255).requires_grad_(),
        [PICTURE],
        Image.fromarray(PICTURE),
        Image.fromarray(PICTURE).convert("RGBA"),
        file_of(Image.fromarray(PICTURE)),
        file_of(Image.fromarray(PICTURE)).getvalue(),
        turned(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_picture_is_the_same(value):
    np.testing.assert_array_equal(as_picture(value), PICTURE)


@pytest.mark.parametrize(
    "value",
    [GREY, GREY[..., None], GREY[None], Image.fromarray(GREY)],
    ids=lambda value: type(value).__name__,
)
def test_grey_becomes_rgb(value):
    np.testing.assert_array_equal(as_picture(value), np.repeat(GREY[..., None], 3, 2))


def test_alpha_is_laid_over_white():
    clear = np.dstack([PICTURE, np.zeros((12, 10), np.uint8)])
    for value in (clear, torch.from_numpy(clear), Image.fromarray(clear)):
        assert (as_picture(value) == 255).all()


@pytest.mark.parametrize(
    "value, says",
    [
        (PICTURE.astype(float), "portrait: float64 values from 0 to 255; give a file's path"),
        (PICTURE / 127.5 - 1, "portrait: float64 values from -1 to 1; give"),
        (np.full((9, 9, 3), np.nan), "portrait: float64 values from nan to nan"),
        (PICTURE > 9, r"portrait: an array of \(12, 10, 3\) bool"),
        (PICTURE[None].repeat(2, 0), r"portrait: an array of \(2, 12, 10, 3\) uint8"),
        ([PICTURE, PICTURE], "portrait: is a list of 2; give"),
        ({"composite": PICTURE}, "portrait: is a dict; give"),
        (io.StringIO("x"), "portrait: a file that was opened as text; open it with 'rb'"),
        (b"GIF", "portrait: is not a picture that can be read"),
        ("https://x.org/face.png", "portrait: https://x.org/face.png is an address; download it"),
        (None, "portrait: is a NoneType"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_picture_is_told(value, says):
    with pytest.raises(InputError, match=says):
        as_picture(value)


@pytest.mark.parametrize(
    "value",
    [
        VIDEO,
        VIDEO[None],
        VIDEO / 255,
        list(VIDEO),
        iter(VIDEO),
        [Image.fromarray(frame) for frame in VIDEO],
        torch.from_numpy(VIDEO).permute(0, 3, 1, 2),
        torch.from_numpy(VIDEO).permute(0, 3, 1, 2)[None] / 255,
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_frames_is_the_same(value):
    np.testing.assert_array_equal(np.stack(list(as_frames(value))), VIDEO)


@pytest.mark.parametrize(
    "value, says",
    [
        (PICTURE, r"driving video: an array of shape \(12, 10, 3\); give"),
        (Image.fromarray(PICTURE), "driving video: is an Image; give"),
        (b"mp4", "driving video: is a bytes; give"),
        (
            [PICTURE, PICTURE[1:]],
            r"frame 1: is \(11, 10, 3\), the first \(12, 10, 3\); give frames",
        ),
        (["a.png"], "frame 0: is a path; give one video file"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_are_no_frames_is_told(value, says):
    with pytest.raises(InputError, match=says):
        list(as_frames(value))


class Decoder:
    """What torchcodec's and datasets' look like from outside."""

    def get_all_samples(self):
        return SimpleNamespace(data=torch.from_numpy(SPEECH), sample_rate=16000)


@pytest.mark.parametrize(
    "value",
    [
        Sound(SPEECH, 16000),
        (SPEECH, 16000),
        (16000, SPEECH),
        (SPEECH.T, 16000.0),
        (SPEECH[None], np.int64(16000)),
        [SPEECH.tolist(), 16000],
        (torch.from_numpy(SPEECH), torch.tensor(16000)),
        {"array": SPEECH, "sampling_rate": 16000, "path": None},
        {"waveform": torch.from_numpy(SPEECH), "sample_rate": 16000},
        Decoder(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_sound_is_the_same(value):
    heard = as_sound(value)
    assert heard.rate == 16000 and heard.samples.dtype == np.float32
    np.testing.assert_array_equal(heard.samples, SPEECH)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8])
def test_whole_numbers_are_of_their_types_range(kind):
    """Full scale is 1, the middle of unsigned numbers 0."""
    info = np.iinfo(kind)
    middle = 128 if kind == np.uint8 else 0
    heard = as_sound((np.array([info.min, middle, info.max] * 300, kind), 8000))
    np.testing.assert_allclose(heard.samples[0, :3], [-1, 0, 1], atol=0.01)


def test_a_sound_in_memory_is_read_as_its_file(tmp_path):
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, SPEECH.T, 16000, subtype="FLOAT")
    data = path.read_bytes()
    for value in (data, io.BytesIO(data), {"bytes": data, "path": "a.wav"}):
        np.testing.assert_allclose(as_sound(value).samples, SPEECH, atol=1e-6)
    assert as_sound({"bytes": None, "path": str(path)}) == as_sound(str(path)) == path


@pytest.mark.parametrize(
    "value, says",
    [
        (SPEECH, "audio: an array without its rate; give"),
        (torch.from_numpy(SPEECH), "audio: an array without its rate; give"),
        ((SPEECH, SPEECH), "audio: is a tuple of 2; give"),
        ((SPEECH * 32767, 16000), "audio: float samples up to .*; give floats in"),
        ((SPEECH, 0), "audio: a rate of 0; give samples a second"),
        ((SPEECH, "16000"), "audio: a rate of '16000'; give"),
        ((SPEECH, 16000.5), "audio: a rate of 16000.5; give"),
        ((SPEECH.astype(complex), 16000), r"audio: samples of shape \(2, 800\) complex128"),
        ((np.zeros(0), 16000), r"audio: samples of shape \(0,\) float64"),
        ({"array": SPEECH}, "audio: a dictionary of array; give"),
        (b"nothing", "audio: cannot be read as sound"),
        (3, "audio: is an int; give"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_sound_is_told(value, says):
    with pytest.raises(InputError, match=says):
        as_sound(value)
