"""Writes real media files, good and odd ones, with PyAV and Pillow.

Letters: h w rows and columns, c channels, n samples.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

BITS = 8  # a frame carries its number as so many black and white columns


def corners(h: int = 48, w: int = 64) -> np.ndarray:
    """A picture (h, w, 3) uint8 whose corners show which way is up: red, green / blue, white."""
    picture = np.zeros((h, w, 3), dtype=np.uint8)
    picture[: h // 2, : w // 2], picture[: h // 2, w // 2 :] = (220, 20, 20), (20, 220, 20)
    picture[h // 2 :, : w // 2], picture[h // 2 :, w // 2 :] = (20, 20, 220), (240, 240, 240)
    return picture


def numbered(k: int, h: int = 48, w: int = 64) -> np.ndarray:
    """A picture (h, w, 3) uint8 that shows the number k as black and white columns."""
    bits = np.array([k >> bit & 1 for bit in range(BITS)], dtype=np.uint8) * 200 + 20
    return np.broadcast_to(bits[np.arange(w) * BITS // w][None, :, None], (h, w, 3)).copy()


def number(picture: np.ndarray) -> int:
    """The number that a frame of `numbered` shows."""
    columns = picture.astype(float).mean(axis=(0, 2))
    middles = [columns[int((bit + 0.5) * len(columns) / BITS)] for bit in range(BITS)]
    return sum(1 << bit for bit, level in enumerate(middles) if level > 120)


def tone(seconds: float = 1.0, rate: int = 16000, hz: float = 440.0, channels: int = 1) -> np.ndarray:
    """A sound (c, n) float32 of one sine a channel, each an octave above the one before."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * hz * 2**c * t) for c in range(channels)]).astype(np.float32)


LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
FORMATS = {  # codec: sample format that its encoder takes
    "pcm_u8": "u8",
    "pcm_s16le": "s16",
    "pcm_s24le": "s32",
    "pcm_s32le": "s32",
    "pcm_f32le": "flt",
    "pcm_f64le": "dbl",
    "aac": "fltp",
    "libmp3lame": "fltp",
    "libopus": "flt",
    "flac": "s16",
}


def _quantized(samples: np.ndarray, form: str) -> np.ndarray:
    """Samples (c, n) in [-1, 1] as numbers of a PyAV sample format."""
    if form in ("flt", "fltp", "dbl"):
        return samples.astype(np.float64 if form == "dbl" else np.float32)
    if form == "u8":
        return np.clip(np.round(samples * 128 + 128), 0, 255).astype(np.uint8)
    bits = int(form[1:])
    top = 2.0 ** (bits - 1)
    return np.clip(np.round(samples.astype(np.float64) * top), -top, top - 1).astype(f"i{bits // 8}")


def _encode_sound(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    samples: np.ndarray,
    *,
    rate: int,
    form: str,
    layout: str,
    first: int = 0,
) -> None:
    """Encodes samples (c, n) into a stream, from sample `first` on."""
    for k in range(0, samples.shape[1], 4096):
        block = _quantized(samples[:, k : k + 4096], form)
        if not form.endswith("p"):
            block = np.ascontiguousarray(block.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), form, layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, first + k, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def sound_file(path: Path, samples: np.ndarray, rate: int = 16000, codec: str = "pcm_s16le") -> Path:
    """Writes samples (c, n) with a codec of FORMATS."""
    layout, form = LAYOUTS[len(samples)], FORMATS[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.codec_context.format = form
        _encode_sound(container, stream, samples, rate=rate, form=form, layout=layout)
    return path


def video_file(
    path: Path,
    frames: Sequence[np.ndarray] | int = 10,
    fps: Fraction | int = 25,
    times: Sequence[Fraction] | None = None,
    codec: str = "libx264",
    rotation: int = 0,
    aspect: Fraction | None = None,
    sound: np.ndarray | None = None,
    rate: int = 16000,
    sound_from: Fraction = Fraction(0),
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video.

    frames: pictures, or a count of `numbered` ones. times: when each is shown, seconds (variable rate).
    rotation: degrees counter-clockwise by which players turn it. aspect: of a pixel. sound: (c, n), which
    begins at `sound_from`, seconds.
    """
    pictures = [numbered(k) for k in range(frames)] if isinstance(frames, int) else list(frames)
    unit = Fraction(1, 90000) if times is not None else 1 / Fraction(fps)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options={"x265-params": "log-level=none"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", unit
        if codec == "mpeg4":
            stream.codec_context.bit_rate = 2_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        layout = LAYOUTS[1 if sound is None else len(sound)]
        track = None if sound is None else container.add_stream("aac", rate=rate, layout=layout)
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = k if times is None else round(times[k] / unit)
            frame.time_base = unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            first = round(sound_from * rate)
            _encode_sound(container, track, sound, rate=rate, form="fltp", layout=layout, first=first)
    return path


def frameless(path: Path) -> Path:
    """Writes a Matroska file with sound and a video track without a frame."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16000, layout="mono")
        _encode_sound(container, track, tone(0.5), rate=16000, form="fltp", layout="mono")
    return path


def has_encoder(name: str) -> bool:
    """Whether this PyAV can write with a codec."""
    try:
        return av.Codec(name, "w") is not None
    except av.codec.codec.UnknownCodecError:
        return False


def zero_byte(path: Path) -> Path:
    """Writes a file of 0 bytes."""
    path.write_bytes(b"")
    return path


def text_as(path: Path) -> Path:
    """Writes a text, whatever the file's suffix."""
    path.write_text("This is not media.\n" * 50)
    return path


def truncated(path: Path, source: Path, keep: float = 0.5) -> Path:
    """Writes the first part of another file, a share `keep` of it."""
    whole = source.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


def picture_file(path: Path, picture: np.ndarray | None = None, form: str = "PNG", **options: object) -> Path:
    """Writes a picture in a format of Pillow's, whatever the file's suffix."""
    Image.fromarray(corners() if picture is None else picture).save(path, format=form, **options)
    return path


def turned_jpeg(path: Path, orientation: int) -> Path:
    """Writes `corners`, stored so that an EXIF orientation of 1 to 8 turns it upright."""
    # Pillow's transpose that undoes the orientation
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = Image.fromarray(corners())
    if back is not None:
        stored = stored.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, format="JPEG", quality=95, exif=exif)
    return path


def huge_jpeg(path: Path, side: int = 20000) -> Path:
    """Writes a grey square JPEG of any size without pixels: three bytes stand for four empty blocks."""
    small = io.BytesIO()
    Image.new("L", (8, 8), 128).save(small, format="JPEG")
    data = small.getvalue()
    size, scan = data.index(b"\xff\xc0") + 5, data.index(b"\xff\xda")
    scan += 2 + struct.unpack(">H", data[scan + 2 : scan + 4])[0]
    head = data[:size] + struct.pack(">HH", side, side) + data[size + 4 : scan]
    blocks = (-(-side // 8)) ** 2
    path.write_bytes(head + b"\x28\xa2\x8a" * (-(-blocks // 4)) + b"\xff\xd9")
    return path


def huge_png_header(path: Path, side: int = 20000) -> Path:
    """Writes a PNG whose header claims a huge size."""
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, format="PNG")
    data = bytearray(small.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    return path


def long_silent_wav(path: Path, seconds: int = 7200, rate: int = 16000, last: float = 0.5) -> Path:
    """Writes hours of 16-bit silence as a sparse file that takes no disk; its last sample is `last`."""
    size = seconds * rate * 2
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    with open(path, "wb") as file:
        riff, data = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE"), struct.pack("<4sI", b"data", size)
        file.write(riff + form + data)
        file.seek(size - 2, 1)
        file.write(struct.pack("<h", round(last * 32768)))
    return path
