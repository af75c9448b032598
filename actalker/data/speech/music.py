"""Random music, note by note, to mix with voices or to use alone: chords, bass, melody and drums."""

from __future__ import annotations

import numpy as np

RATE = 16000
PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 4), (5, 3, 0, 4), (0, 4, 5, 3), (0, 0, 3, 0), (1, 4, 0, 0))
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))
BEATS = {  # sixteenths of a bar at which drums are struck
    "rock": ((0, 8), (4, 12), (0, 2, 4, 6, 8, 10, 12, 14)),
    "four": ((0, 4, 8, 12), (4, 12), (2, 6, 10, 14)),
    "slow": ((0, 7, 10), (8,), (0, 4, 8, 12)),
    "none": ((), (), ()),
}


def music(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random piece of music (n,) float32, 16 kHz, of mean power 0.01, which begins anywhere in a bar."""
    bar = RATE * 240 / rng.uniform(70, 150)  # four beats
    offset = int(rng.uniform(0, bar))
    out = np.zeros(n + offset)
    key, scale = 45 + int(rng.integers(0, 12)), SCALES[rng.integers(len(SCALES))]
    chords = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    parts = rng.random(4) < (0.85, 0.75, 0.5, 0.7)
    parts[rng.integers(4)] = True  # never silent
    timbre = {part: _timbre(rng) for part in ("chords", "bass", "melody")}
    drums = BEATS[str(rng.choice(list(BEATS) if not parts[3] else list(BEATS)[:3]))]
    broken, step = rng.random() < 0.5, int(rng.choice((1, 2, 4)))
    for number in range(int(np.ceil(len(out) / bar))):
        start, degree = number * bar, chords[number % len(chords)]
        notes = [key + 12 + _degree(scale, degree + third) for third in (0, 2, 4)]
        if parts[0]:
            for sixteenth in range(0, 16, 2 if broken else 16):
                played = [notes[(sixteenth // 2) % 3]] if broken else notes
                for note in played:
                    _add(
                        out,
                        start + sixteenth * bar / 16,
                        _note(note, bar / (4 if broken else 1), *timbre["chords"]),
                        0.22,
                    )
        if parts[1]:
            for beat in range(0, 4, step):
                _add(out, start + beat * bar / 4, _note(notes[0] - 24, bar * step / 4, *timbre["bass"]), 0.5)
        if parts[2]:
            for eighth in range(8):
                if rng.random() < 0.6:
                    note = key + 24 + _degree(scale, int(rng.integers(0, 8)))
                    _add(out, start + eighth * bar / 8, _note(note, bar / 6, *timbre["melody"]), 0.35)
        if parts[3]:
            for strokes, sound in zip(drums, (_kick(), _snare(rng), _hat(rng)), strict=True):
                for sixteenth in strokes:
                    _add(out, start + sixteenth * bar / 16, sound, rng.uniform(0.5, 0.9))
    piece = out[offset : offset + n]
    power = float(np.mean(piece**2)) if n else 0.0
    return (piece * 0.1 / np.sqrt(power) if power > 0 else piece).astype(np.float32)


def _degree(scale: tuple[int, ...], degree: int) -> int:
    """The semitones of a degree of the scale above its key."""
    return scale[degree % 7] + 12 * (degree // 7)


def _timbre(rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """A random timbre: amplitudes of harmonics (8,), seconds of attack, and seconds of decay to a third."""
    harmonics = np.arange(1, 9) ** -rng.uniform(0.8, 2.2) * rng.uniform(0.2, 1.0, 8)
    return harmonics, float(rng.uniform(0.003, 0.08)), float(rng.uniform(0.15, 1.5))


def _note(key: float, length: float, harmonics: np.ndarray, attack: float, decay: float) -> np.ndarray:
    """A note of `length` samples. key: in semitones, 69 is 440 Hz. The others: `_timbre`."""
    times = np.arange(int(length)) / RATE
    pitch = 440 * 2 ** ((key - 69) / 12)
    heard = [k for k in range(1, len(harmonics) + 1) if k * pitch < 0.45 * RATE]
    waves = [harmonics[k - 1] * np.sin(2 * np.pi * k * pitch * times) for k in heard]
    envelope = np.minimum(times / attack, 1) * np.exp(-times / decay)
    envelope *= np.minimum((times[-1] - times) / 0.02, 1) if len(times) else 1
    return sum(waves, np.zeros(len(times))) * envelope / np.abs(harmonics).sum()


def _kick() -> np.ndarray:
    times = np.arange(RATE // 5) / RATE
    return np.sin(2 * np.pi * (50 * times + 4 * (1 - np.exp(-times * 30)))) * np.exp(-times * 18)


def _snare(rng: np.random.Generator) -> np.ndarray:
    times = np.arange(RATE // 6) / RATE
    noise = rng.normal(0, 0.5, len(times)) + 0.5 * np.sin(2 * np.pi * 190 * times)
    return noise * np.exp(-times * 25)


def _hat(rng: np.random.Generator) -> np.ndarray:
    times = np.arange(RATE // 16) / RATE
    return np.diff(rng.normal(0, 0.3, len(times)), prepend=0.0) * np.exp(-times * 70)


def _add(out: np.ndarray, start: float, sound: np.ndarray, loud: float) -> None:
    """Add a sound to `out`, in place, from a sample on; what exceeds its end is cut off."""
    first = int(start)
    if first < len(out):
        out[first : first + len(sound)] += loud * sound[: len(out) - first]
