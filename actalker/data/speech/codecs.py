"""The effect of audio codecs on a voice: encoded and decoded in memory, and aligned with the original."""

from __future__ import annotations

from functools import cache
from typing import cast

import av
import numpy as np
import soxr

RATE = 16000
CODECS = {  # encoder: decoder, format of samples, samples in a packet where the encoder does not say
    "aac": ("aac", "fltp", 1024),
    "libmp3lame": ("mp3float", "fltp", 576),
    "libopus": ("libopus", "s16", 320),
}
BIT_RATES = (16_000, 24_000, 32_000, 40_000)


def coded(sound: np.ndarray, codec: str, bit_rate: int) -> np.ndarray:
    """A sound (n,) float32 at 16 kHz after encoding and decoding, (n,), with the codec's delay removed.

    codec: a key of CODECS. bit_rate: bits a second.
    """
    late = delay(codec)
    through = _through(np.pad(sound, (0, 2048)), codec, bit_rate)
    start = max(late, 0)
    aligned = np.pad(through[start:], (max(-late, 0), 0))[: len(sound)]
    return np.pad(aligned, (0, len(sound) - len(aligned)))


@cache
def delay(codec: str) -> int:
    """The delay of a codec's output, in samples, measured with noise: versions of FFmpeg differ in it."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype(np.float32)
    noise = np.convolve(noise, np.hanning(9) / 4, "same").astype(
        np.float32
    )  # most of it where codecs keep it
    through = _through(np.pad(noise, (0, 4096)), codec, BIT_RATES[-1])
    size = 1 << (len(noise) + len(through)).bit_length()
    product = np.fft.rfft(through, size) * np.conj(np.fft.rfft(noise, size))
    best = int(np.argmax(np.fft.irfft(product, size)))
    return best if best < size // 2 else best - size


def _through(sound: np.ndarray, codec: str, bit_rate: int) -> np.ndarray:
    """A sound (n,) after encoding and decoding, at 16 kHz, with the codec's delay."""
    decoder_name, samples, packet = CODECS[codec]
    encoder = cast("av.AudioCodecContext", av.CodecContext.create(codec, "w"))
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", samples
    encoder.bit_rate = bit_rate
    encoder.open()
    decoder = cast("av.AudioCodecContext", av.CodecContext.create(decoder_name, "r"))
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    size = encoder.frame_size or packet
    padded = np.pad(np.clip(sound, -1, 1), (0, -len(sound) % size)).astype(np.float32)
    if samples == "s16":
        padded = np.round(padded * 32767).astype(np.int16)
    packets = []
    for first in range(0, len(padded), size):
        block = np.ascontiguousarray(padded[None, first : first + size])
        frame = av.AudioFrame.from_ndarray(block, format=samples, layout="mono")
        frame.sample_rate, frame.pts = RATE, first
        packets += encoder.encode(frame)
    frames = [frame for packet in [*packets, *encoder.encode(None)] for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    out = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    out = out.astype(np.float32) / (32768 if out.dtype == np.int16 else 1)
    return out if frames[0].sample_rate == RATE else soxr.resample(out, frames[0].sample_rate, RATE)
