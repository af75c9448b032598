"""Turns a spoken sentence into a sung one: vowels last longer and follow the notes of a melody.

Linear prediction splits the voice, frame by frame, into the filter of the vocal tract and its source. The
filters are played more slowly, and in voiced phones the source is replaced by a tone of the melody.

Letters: n samples, t frames of 10 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from ...heads.articulation import VOWELS, Phone
from .music import RATE, SCALES

HOP, WINDOW, ORDER = 160, 480, 18  # samples; of the prediction
TONED = VOWELS | set("mnŋɲlɫʎrɹɾjwɥ")  # phones that are sung
HELD = (0.2, 0.9)  # seconds that two of three vowels last; the others are as in slow speech
SLOWER = (1.0, 1.5)  # factor on the length of all other phones
LOWEST = (85.0, 260.0)  # Hz, where a voice's range begins; it is ten semitones wide
VIBRATO = (4.5, 6.5), (0.002, 0.015)  # Hz, and by how much of the pitch
WHITE = 1e-3  # share of a frame's power that is added to it as noise, so that prediction is well posed


def sung(
    sound: np.ndarray, phones: Sequence[Phone], rng: np.random.Generator
) -> tuple[np.ndarray, list[Phone]]:
    """A sentence (n,) float32, 16 kHz, sung, and its phones: longer than before, in the same order.

    A sound too short for one frame is returned unchanged.
    """
    if len(sound) < WINDOW:
        return sound, list(phones)
    filters, gains, left = _predicted(sound)
    said, where = _slower(phones, len(sound) / RATE, rng)
    frames = np.clip(np.round(where * RATE / HOP).astype(int), 0, len(filters) - 1)
    toned = np.zeros(len(frames))
    for phone in said:
        toned[round(phone.start * 100) : round(phone.end * 100)] = phone.symbol in TONED
    tone = _tone(said, len(frames), rng)
    toned = np.convolve(np.repeat(toned, HOP), np.hanning(2 * HOP) / HOP, "same")
    rough = left[frames].ravel()
    source = toned * tone + (1 - toned) * rough
    loud = np.interp(np.arange(len(source)), HOP * (np.arange(len(frames)) + 0.5), gains[frames])
    out, state = np.empty(len(source)), np.zeros(ORDER)
    for k, frame in enumerate(frames):
        piece = slice(k * HOP, (k + 1) * HOP)
        out[piece], state = lfilter([1.0], filters[frame], source[piece] * loud[piece], zi=state)
    top = float(np.abs(out).max())
    return (out * (float(np.abs(sound).max()) / max(top, 1e-9))).astype(np.float32), said


def _predicted(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear prediction: filters (t, ORDER + 1) of the tract, gains (t,), residuals (t, HOP) of power 1."""
    t = len(sound) // HOP
    padded = np.pad(sound.astype(np.float64), (WINDOW // 2, WINDOW))
    window, filters, gains, left = np.hanning(WINDOW), [], [], []
    for k in range(t):
        here = padded[k * HOP :][:WINDOW]
        frame = here * window
        spectrum = np.abs(np.fft.rfft(frame, 2 * WINDOW)) ** 2
        power = np.fft.irfft(spectrum)[: ORDER + 1]
        power[0] = power[0] * (1 + WHITE) + 1e-9
        taken = np.concatenate([[1.0], -solve_toeplitz(power[:-1], power[1:])])
        taken *= 0.995 ** np.arange(ORDER + 1)  # a little wider resonances, which do not ring on
        rest = lfilter(taken, [1.0], here)[WINDOW // 2 - HOP // 2 :][:HOP]
        gain = float(np.sqrt(np.mean(rest**2))) + 1e-9
        filters.append(taken)
        gains.append(gain)
        left.append(rest / gain)
    return np.array(filters), np.array(gains), np.array(left)


def _slower(
    phones: Sequence[Phone], seconds: float, rng: np.random.Generator
) -> tuple[list[Phone], np.ndarray]:
    """The phones with their new times, and the second of the old sound that each new frame plays (t,)."""
    said, now, last = [], 0.0, 0.0
    new, old = [0.0], [0.0]
    slower = rng.uniform(*SLOWER)
    for phone in phones:
        now += phone.start - last  # pauses stay
        new.append(now)
        old.append(phone.start)
        length = (phone.end - phone.start) * slower
        if phone.symbol in VOWELS and rng.random() < 2 / 3:
            length = max(length, rng.uniform(*HELD))
        length = round(100 * length) / 100
        said.append(replace(phone, start=now, end=now + length))
        now, last = now + length, phone.end
        new.append(now)
        old.append(phone.end)
    new.append(now + max(0.0, seconds - last))
    old.append(seconds)
    times = (np.arange(int(new[-1] * 100)) + 0.5) / 100
    return said, np.interp(times, new, old)


def _tone(phones: Sequence[Phone], frames: int, rng: np.random.Generator) -> np.ndarray:
    """The source of the sung voice (t · HOP,), of power 1: a note for each vowel, with glides and vibrato."""
    scale = SCALES[rng.integers(len(SCALES))]
    lowest = np.exp(rng.uniform(*np.log(LOWEST)))
    steps = np.full(frames, 5.0)
    step = int(rng.integers(7))
    for phone in phones:
        if phone.symbol in VOWELS:
            step = int(np.clip(step + rng.integers(-3, 4), 0, 6))
        steps[round(phone.start * 100) :] = scale[step]
    glided = lfilter([0.15], [1, -0.85], steps - steps[0]) + steps[0]
    times = np.arange(frames * HOP) / RATE
    rate, depth = (rng.uniform(*bounds) for bounds in VIBRATO)
    pitch = lowest * 2 ** (np.interp(times, (np.arange(frames) + 0.5) / 100, glided) / 12)
    phase = np.cumsum(pitch * (1 + depth * np.sin(2 * np.pi * rate * times))) / RATE
    highest = int(0.45 * RATE / pitch.max())
    tilt = rng.uniform(0, 0.5)
    buzz = sum(np.cos(2 * np.pi * k * phase) * k**-tilt for k in range(1, max(2, highest)))
    return buzz / np.sqrt(np.mean(np.square(buzz)))
