"""Synthesis of a voice from the motion of a mouth, by source and filter, so that sound and lips agree.

A glottal pulse train runs through formants. The first rises with the jaw (300 to 850 Hz), the second with the
spread of the lips (900 to 2300 Hz), the others stay. Loudness rises with the jaw; a mouth that stays closed
is silent. The formants change every HOP samples: each short frame of the source is filtered by a response of
its own in the frequency domain, and the frames are added up (weighted overlap-add), in one vectorised pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from .motion import TRACK_RATE

RATE = 16000
WINDOW, HOP = 512, 128  # 32 ms every 8 ms
F1, F2 = (300.0, 850.0), (900.0, 2300.0)  # Hz, jaw 0..1 and spread -1..1


@dataclass(frozen=True)
class Voice:
    """A speaker and the microphone."""

    pitch: float  # Hz
    f3: float  # Hz
    f4: float  # Hz
    tract: float  # factor on all formants: the length of the vocal tract
    breath: float  # noise in the source, of the pulses' level
    tilt: float  # dB an octave above 500 Hz
    bumps: tuple[tuple[float, float], ...]  # equaliser: centre in Hz, gain in dB, one octave wide
    level: float  # peak of the sound
    noise: float  # background, dB below the voice
    colour: float  # of the background: 0 white .. 1 brown


def random_voice(rng: np.random.Generator) -> Voice:
    """A random speaker of 85-240 Hz, 20-50 dB above the background."""
    return Voice(
        pitch=float(np.exp(rng.uniform(np.log(85), np.log(240)))),
        f3=rng.uniform(2500, 3000),
        f4=rng.uniform(3300, 3900),
        tract=rng.uniform(0.94, 1.08),
        breath=10 ** rng.uniform(-2.2, -1.0),
        tilt=rng.uniform(-5, 1.5),
        bumps=tuple((rng.uniform(150, 6500), rng.uniform(-7, 7)) for _ in range(3)),
        level=10 ** rng.uniform(-1.3, -0.05),
        noise=rng.uniform(20, 50),
        colour=rng.uniform(0, 1),
    )


def formants(jaw: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and second formant in Hz of a mouth, for a tract of usual length."""
    f1 = F1[0] + (F1[1] - F1[0]) * jaw
    f2 = F2[0] + (F2[1] - F2[0]) * (0.5 + 0.5 * spread)
    return f1, np.maximum(f2, f1 + 150)


def pulses(pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The glottal flow (n,) of a pitch contour (n,) in Hz: smooth pulses whose strength varies at random."""
    phase = np.cumsum(pitch / RATE) + rng.uniform()
    turn = phase.astype(np.int64)
    phase = phase - turn
    strength = rng.normal(1, 0.06, turn[-1] + 1)[turn]
    closing = 0.62  # open share of a period; the flow falls fast at its end
    rising = phase / closing
    flow = np.where(rising < 1, rising * rising * (2 - 3 * rising), 0.0)
    return strength * flow


def respond(frequency: np.ndarray, centres: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The complex response (k, bins) of resonators in series, of gain 1 at 0 Hz.

    frequency: (bins,) Hz. centres, widths: (k, formants) Hz.
    """
    z = np.exp(-2j * np.pi * frequency / RATE)[None, None]
    r = np.exp(-np.pi * widths / RATE)[..., None]
    c = 2 * r * np.cos(2 * np.pi * centres / RATE)[..., None]
    return ((1 - c + r * r) / (1 - c * z + r * r * z * z)).prod(1)


def add_up(source: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The sound (n,) of a source (n,) whose frames are filtered by the rows of `response` (k, WINDOW + 1)."""
    n, window = len(source), np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(source, (WINDOW // 2, WINDOW + len(response) * HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(response)]
    filtered = np.fft.irfft(np.fft.rfft(frames * window, 2 * WINDOW) * response, axis=1)
    per = 2 * WINDOW // HOP  # hops in a filtered frame: one addition for each
    out = np.zeros((len(response) + per, HOP))
    for i in range(per):
        out[i : i + len(response)] += filtered[:, i * HOP : (i + 1) * HOP]
    return out.reshape(-1)[WINDOW // 2 : WINDOW // 2 + n] * (2 * HOP / WINDOW)


def loudness(jaw: np.ndarray) -> np.ndarray:
    """The level of the voice (n,) for a jaw track (n,): it rises with the opening, and is 0 when closed."""
    opened = np.clip((jaw - 0.04) / 0.96, 0, 1) ** 0.8
    return gaussian_filter1d(opened, 0.008 * TRACK_RATE)


def speak(jaw: np.ndarray, spread: np.ndarray, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """The sound of a mouth, mono float32 at 16 kHz in [-1, 1].

    jaw, spread: tracks (n,) on the grid of TRACK_RATE; the sound has (n - 1) * RATE / TRACK_RATE samples.
    """
    n = (len(jaw) - 1) * RATE // TRACK_RATE
    at = np.arange(n) * (TRACK_RATE / RATE)
    grid = np.arange(len(jaw))
    level = loudness(jaw)
    speaking = maximum_filter1d(level, int(0.3 * TRACK_RATE))
    closed = np.clip(1 - jaw / 0.1, 0, 1)
    murmur = closed * np.clip(speaking, 0, 1) * gaussian_filter1d(rng.random(len(jaw)), 6) * 0.9

    wander = gaussian_filter1d(rng.normal(size=len(jaw)), 0.12 * TRACK_RATE) * 0.9
    pitch = np.clip(voice.pitch * np.exp(0.5 * wander + 0.08 * (level - 0.4)), 75, 280)
    glottis = pulses(np.interp(at, grid, pitch), rng)
    voiced = glottis / 0.2 + voice.breath * rng.normal(size=n)
    voiced *= np.interp(at, grid, level + 0.12 * murmur)

    times = np.arange(n // HOP + 1) * (HOP * TRACK_RATE / RATE)
    f1, f2 = formants(np.interp(times, grid, jaw), np.interp(times, grid, spread))
    high = np.maximum(voice.f3, f2 + 250)
    centres = np.stack([f1, f2, high, np.full_like(f1, voice.f4)], 1) * voice.tract
    frequency = np.fft.rfftfreq(2 * WINDOW, 1 / RATE)
    widths = np.broadcast_to([70.0, 95.0, 160.0, 240.0], centres.shape)
    response = respond(frequency, centres, widths)
    # a wide mouth closed on noise hisses high ("s"), a rounded one low ("sh", "f")
    hiss_at = 3200 + 1800 * (0.5 + 0.5 * np.interp(times, grid, spread))
    hiss = np.exp(-0.5 * ((frequency[None] - hiss_at[:, None]) / 900) ** 2)
    noise = rng.normal(size=n) * np.interp(at, grid, murmur) * 0.25
    sound = add_up(voiced, response) + add_up(noise, hiss)
    return _record(sound, voice, rng)


def _record(sound: np.ndarray, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """A sound (n,) as the voice's microphone records it: with tilt, equaliser, noise and level."""
    n = len(sound)
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    octave = np.log2(np.maximum(frequency, 40) / 500)
    gain = voice.tilt * np.maximum(octave, 0)
    for centre, decibel in voice.bumps:
        gain = gain + decibel * np.exp(-0.5 * (octave - np.log2(centre / 500)) ** 2 / 0.5**2)
    low = np.clip(frequency / 60, 0, 1)  # no microphone hears 0 Hz
    sound = np.fft.irfft(np.fft.rfft(sound) * low * 10 ** (gain / 20), n)
    peak = np.sort(np.abs(sound))[int(0.995 * n)] if n else 1.0
    sound = sound / max(peak, 1e-6) if peak > 1e-6 else sound
    hum = np.fft.irfft(
        np.fft.rfft(rng.normal(size=n)) * (np.maximum(frequency, 60) / 500) ** -voice.colour, n
    )
    hum *= 0.3 * 10 ** (-voice.noise / 20) / max(hum.std(), 1e-9)
    return np.clip(voice.level * (0.8 * sound + hum), -1, 1).astype(np.float32)
