"""Augmentation of voices by what recordings add: rooms, noise, other voices, music, microphones, codecs.

None of it shifts the sound in time: a sample's phone stays the same. Sounds are (n,) float32 at 16 kHz;
all that is random comes from `rng`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve

from .cache import SpeechCache
from .codecs import BIT_RATES, CODECS, coded
from .music import music

RATE = 16000
QUIET = 0.003  # least level of a voice that noise is scaled by, so that silence gets noise too
TELEPHONE = (300.0, 3400.0)  # Hz

ROOM, MUSIC, BABBLE, NOISE, CLIP, EQUALISER, PHONE, CODEC = 0.5, 0.35, 0.25, 0.75, 0.2, 0.7, 0.07, 0.35
"""The chance of each."""


def augment(sound: np.ndarray, rng: np.random.Generator, babble: Callable[[int], np.ndarray]) -> np.ndarray:
    """A voice with a random choice of all augmentations, each at a random level.

    Args:
        sound: (n,) float32, 16 kHz.
        rng: the source of all that is random.
        babble: gives n samples of other voices, float32, for example `babbler(cache, rng)`.
    Returns: (n,) float32 in [-1, 1], in time with `sound`.
    """
    heard = np.asarray(sound, np.float32)
    if not len(heard):
        return heard.copy()
    if rng.random() < ROOM:
        heard = room(heard, rng)
    if rng.random() < MUSIC:
        heard = mixed(heard, music(len(heard), rng), rng.uniform(-3, 20))
    if rng.random() < BABBLE:
        heard = mixed(heard, babble(len(heard)), rng.uniform(8, 25))
    if rng.random() < NOISE:
        heard = mixed(heard, noise(len(heard), rng), 2 + 38 * rng.random() ** 1.5)
    if rng.random() < EQUALISER:
        heard = equalised(heard, rng)
    if rng.random() < CLIP:
        heard = clipped(heard, rng.uniform(1, 5))
    if rng.random() < PHONE:
        heard = telephone(heard)
    heard = levelled(heard, rng.uniform(0.05, 0.95))
    if rng.random() < CODEC:
        heard = coded(heard, str(rng.choice(list(CODECS))), int(rng.choice(BIT_RATES)))
    return np.clip(heard, -1, 1).astype(np.float32)


def without_voice(n: int, rng: np.random.Generator) -> np.ndarray:
    """Music, noise, or both, (n,) float32: a sound in which nobody speaks."""
    kind = rng.random()
    heard = music(n, rng) if kind < 0.7 else noise(n, rng)
    if kind < 0.3:
        heard = mixed(heard, noise(n, rng), rng.uniform(0, 30))
    if rng.random() < EQUALISER:
        heard = equalised(heard, rng)
    return levelled(heard, 10 ** rng.uniform(-2.5, 0))


def babbler(cache: SpeechCache, rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    """A function for `augment` that gives n samples of three to six voices of a cache at once."""

    def babble(n: int) -> np.ndarray:
        out = np.zeros(n, np.float32)
        for _ in range(rng.integers(3, 7)):
            voice = cache[int(rng.integers(len(cache)))].sound.astype(np.float32)
            first = int(rng.integers(len(voice)))
            repeated = np.resize(np.roll(voice, -first), n)
            out += repeated / max(_rms(repeated), 1.0) * np.float32(rng.uniform(0.3, 1))
        return out

    return babble


def mixed(sound: np.ndarray, other: np.ndarray, decibels: float) -> np.ndarray:
    """A sound plus another one, whose power is `decibels` below its own."""
    power = _rms(other)
    if power == 0:
        return sound
    return (sound + other * (max(_rms(sound), QUIET) / power * 10 ** (-decibels / 20))).astype(np.float32)


def room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sound in a random room: direct sound, a few early echoes, and a tail that loses its treble first."""
    seconds, below = rng.uniform(0.08, 0.6), rng.uniform(0, 14)  # decay by 60 dB; decibels under the voice
    n = int(seconds * RATE)
    decay = 10 ** (-3 * np.arange(n) / n)
    dark = np.convolve(rng.normal(size=n), np.hanning(13) / 6, "same") * decay
    tail = dark + rng.normal(size=n) * decay**2 * rng.uniform(0, 0.7)
    tail *= np.minimum(np.arange(n) / (0.005 * RATE), 1)
    for at in rng.integers(int(0.002 * RATE), int(0.04 * RATE), rng.integers(2, 7)):
        tail[at] += rng.normal() * 2
    tail *= 10 ** (-below / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return fftconvolve(sound, tail)[: len(sound)].astype(np.float32)


def noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Random noise (n,) float32 of power 1, from blue to brown; some of it swells, some has a mains hum."""
    long = max(n, RATE // 10)
    spectrum = np.fft.rfft(rng.normal(size=long))
    frequencies = np.maximum(np.fft.rfftfreq(long, 1 / RATE), 40)
    out = np.fft.irfft(spectrum * frequencies ** (-rng.uniform(-0.5, 2) / 2), long)[:n]
    out /= max(_rms(out), 1e-12)
    times = np.arange(n) / RATE
    if rng.random() < 0.3:
        out *= 1 + 0.8 * np.sin(2 * np.pi * (rng.uniform(0.1, 2) * times + rng.random()))
    if rng.random() < 0.15:
        mains = float(rng.choice((50, 60)))
        out += sum(rng.uniform(0.1, 1) / k * np.sin(2 * np.pi * k * mains * times) for k in (1, 2, 3, 5))
    return (out / max(_rms(out), 1e-12)).astype(np.float32)


def equalised(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sound through a random microphone: a tilt, broad hills, at times less bass or treble. No delay."""
    octaves = np.linspace(0, 7, 64)  # above 62.5 Hz
    decibels = rng.uniform(-3, 3) * (octaves - 3.5)
    for _ in range(4):
        decibels += (
            rng.normal() * 3.5 * np.exp(-0.5 * ((octaves - rng.uniform(0, 7)) / rng.uniform(0.4, 2)) ** 2)
        )
    if rng.random() < 0.3:
        decibels -= np.clip((octaves - rng.uniform(4.5, 6.7)) * rng.uniform(12, 60), 0, 45)
    if rng.random() < 0.3:
        decibels -= np.clip((rng.uniform(0.5, 2.5) - octaves) * rng.uniform(6, 24), 0, 30)
    return _filtered(sound, octaves, decibels)


def telephone(sound: np.ndarray) -> np.ndarray:
    """A sound through a telephone: its band, and eight bits by the μ-law."""
    octaves = np.linspace(0, 7, 256)
    low, high = (np.log2(edge / 62.5) for edge in TELEPHONE)
    outside = np.maximum(low - octaves, 0) + np.maximum(octaves - high, 0)
    band = _filtered(sound, octaves, -np.minimum(outside * 60, 60))
    top = max(float(np.abs(band).max(initial=0.0)), 1e-6)
    pressed = np.sign(band) * np.log1p(255 * np.abs(band) / top) / np.log(256)
    stepped = np.round(pressed * 127) / 127
    return (np.sign(stepped) * np.expm1(np.abs(stepped) * np.log(256)) / 255 * top).astype(np.float32)


def clipped(sound: np.ndarray, drive: float) -> np.ndarray:
    """A sound with its peaks compressed by a hyperbolic tangent. drive: the peak before, relative to full."""
    gain = drive / max(float(np.abs(sound).max(initial=0.0)), 1e-3)
    return (np.tanh(gain * sound) / gain).astype(np.float32)


def levelled(sound: np.ndarray, peak: float) -> np.ndarray:
    """A sound scaled so that its largest sample is `peak`; silence stays silent."""
    top = float(np.abs(sound).max(initial=0.0))
    return (sound * (peak / top) if top > 0 else sound).astype(np.float32)


def _filtered(sound: np.ndarray, octaves: np.ndarray, decibels: np.ndarray) -> np.ndarray:
    """A sound filtered by gains in decibels at octaves above 62.5 Hz, without any shift of phase."""
    if not len(sound):
        return sound
    size = len(sound) + RATE // 4  # ends do not meet
    at = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1) / 62.5)
    gains = 10 ** (np.interp(at, octaves, decibels) / 20)
    return np.fft.irfft(np.fft.rfft(sound, size) * gains, size)[: len(sound)].astype(np.float32)


def _rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 0.0
