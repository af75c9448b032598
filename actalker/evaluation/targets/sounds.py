"""Sounds with known phones that models are measured on, and their disturbances.

Voices come from the held-out part of the cache of synthetic speech; music, song, noise and telephone are
made here, in another way than training makes its own. Letters: n samples, k phones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from ...heads.articulation import Phone

RATE = 16000
PAUSE = 0.3  # seconds before, between and after sentences
MUSIC, NOISE = 5.0, 10.0  # signal-to-noise ratio in dB of speech with music, with white noise
LOUD = 0.0  # the same, with music as loud as the voice
VOWELS = {  # formants, Hz, and their bandwidths
    "a": ((730, 90), (1150, 110), (2500, 160)),
    "ɔ": ((570, 80), (840, 100), (2410, 160)),
    "ɛ": ((550, 80), (1770, 110), (2490, 160)),
    "o": ((450, 80), (800, 100), (2450, 160)),
    "æ": ((690, 90), (1660, 110), (2490, 160)),
}
MELODY = ("a", 57), ("ɛ", 60), ("o", 62), ("a", 64), ("æ", 62), ("ɔ", 60), ("a", 59), ("ɛ", 57), ("a", 60)
HELD = 0.8  # seconds of a sung vowel
CHORDS = (45, 52, 57, 60), (41, 48, 57, 60), (48, 55, 60, 64), (43, 50, 59, 62)


@dataclass(frozen=True, eq=False)
class Speech:
    """Hold a voice's sound.

    name: of the voice, for reports.
    sound: (n,) float32 at 16 kHz.
    phones: in order, with times in seconds; empty where they are not known.
    """

    name: str
    sound: np.ndarray
    phones: tuple[Phone, ...]

    @property
    def seconds(self) -> float:
        """Return the length of the sound in seconds."""
        return len(self.sound) / RATE

    def first(self, seconds: float) -> Speech:
        """Return the first `seconds`, with the phones that end within them."""
        return self.between(0.0, seconds)

    def between(self, start: float, stop: float) -> Speech:
        """Return the part from `start` to `stop` in seconds, with the phones that lie wholly in it.

        Times of the phones are shifted, so that the part begins at 0.
        """
        inside = [phone for phone in self.phones if phone.start >= start and phone.end <= stop]
        phones = tuple(replace(p, start=p.start - start, end=p.end - start) for p in inside)
        return Speech(self.name, self.sound[round(start * RATE) : round(stop * RATE)], phones)

    def digest(self, phones: bool = True) -> str:
        """Return a hash of the samples. phones: whether it covers the phones too."""
        hashed = hashlib.sha256(np.ascontiguousarray(self.sound, np.float32).tobytes())
        if phones:
            hashed.update(repr([(p.start, p.end, p.symbol, p.stressed) for p in self.phones]).encode())
        return hashed.hexdigest()[:16]


def joined(name: str, spoken: Iterable[tuple[np.ndarray, Sequence[Phone]]], least: float) -> Speech:
    """Join sentences, with a pause of 0.3 s around each, until at least `least` seconds are filled.

    spoken: (samples at 16 kHz, phones) of each sentence; they may end before `least`.
    """
    silence = np.zeros(round(PAUSE * RATE), np.float32)
    pieces, phones, count = [silence], [], len(silence)
    for sound, said in spoken:
        at = count / RATE
        phones += [replace(p, start=p.start + at, end=p.end + at) for p in said]
        piece = (sound / np.float32(32768 if sound.dtype == np.int16 else 1)).astype(np.float32)
        pieces += [piece, silence]
        count += len(piece) + len(silence)
        if count / RATE >= least:
            break
    return Speech(name, np.concatenate(pieces), tuple(phones))


def level(sound: np.ndarray) -> float:
    """Return the root mean square of the samples above 1 % of the largest, so that pauses do not count."""
    loud = np.abs(sound) > 0.01 * np.abs(sound).max(initial=0)
    return float(np.sqrt((sound[loud] ** 2).mean())) if loud.any() else 0.0


def over(speech: Speech, other: np.ndarray, decibels: float, name: str) -> Speech:
    """Mix speech with another sound at a signal-to-noise ratio of `decibels`.

    Args:
        speech: of n samples; the result has its phones.
        other: the other sound, at least n samples at 16 kHz.
        decibels: 20 log10(level of the speech / level of the other sound), by `level`.
        name: of the result.
    """
    other = other[: len(speech.sound)]
    gain = level(speech.sound) / max(level(other), 1e-9) * 10 ** (-decibels / 20)
    mixed = speech.sound + gain * other
    return Speech(name, (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32), speech.phones)


def white(n: int, seed: int = 0) -> np.ndarray:
    """Make white noise (n,)."""
    return np.random.default_rng(seed).normal(size=n)


def telephone(speech: Speech) -> Speech:
    """Return speech as over a telephone: 300 to 3400 Hz, at 8 kHz in 8 bits of mu-law, back at 16 kHz."""
    band = butter(4, (300, 3400), "bandpass", fs=RATE, output="sos")
    narrow = resample_poly(sosfilt(band, speech.sound), 1, 2)
    top = max(float(np.abs(narrow).max()), 1e-9)
    bent = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / top) / np.log(256)
    coded = np.round(bent * 127) / 127
    straight = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255 * top
    back = resample_poly(straight, 2, 1)[: len(speech.sound)]
    return Speech("telephone", back.astype(np.float32), speech.phones)


def music(n: int, seed: int = 0) -> np.ndarray:
    """Make music (n,) of plucked chords, a bass and a drum, at 108 beats per minute."""
    rng, beat = np.random.default_rng(seed), round(RATE * 60 / 108)
    out = np.zeros(n + 4 * beat)
    time = np.arange(2 * beat) / RATE
    for k, start in enumerate(range(0, n, beat)):
        chord = CHORDS[k // 4 % len(CHORDS)]
        for voice, note in enumerate(chord if k % 2 == 0 else chord[:1]):
            tone = 440 * 2 ** ((note - 69) / 12)
            shape = sum(np.sin(2 * np.pi * h * tone * time) / h**1.2 for h in range(1, 9))
            out[start : start + len(time)] += shape * np.exp(-time * (4 + voice)) * rng.uniform(0.7, 1.0)
        hit = lfilter([1], [1, -0.6], rng.normal(size=len(time))) * np.exp(-time * 45)
        out[start : start + len(time)] += (0.9 if k % 2 else 0.4) * hit
    return out[:n]


def song() -> Speech:
    """Make a voice that sings open vowels, at which lips never close, without a break, and softer chords."""
    n = round(HELD * RATE)
    pitch = np.concatenate([np.full(n, 440 * 2 ** ((note - 69) / 12)) for _, note in MELODY])
    time = np.arange(len(pitch)) / RATE
    glide = lfilter([0.002], [1, -0.998], pitch - pitch[0]) + pitch[0]
    phase = 2 * np.pi * np.cumsum(glide * (1 + 0.012 * np.sin(2 * np.pi * 5.4 * time))) / RATE
    source = sum(np.sin(h * phase) / h**1.6 for h in range(1, 30))
    sung = np.zeros(len(source))
    fade = np.minimum(1, np.minimum(np.arange(n) + 1, np.arange(n)[::-1] + 1) / (0.06 * RATE))
    for k, (vowel, _) in enumerate(MELODY):
        piece = slice(k * n, (k + 1) * n)
        sung[piece] += (0.35 + 0.65 * fade) * _resonant(source, VOWELS[vowel])[piece]
    silence = np.zeros(round(PAUSE * RATE))
    whole = np.concatenate([silence, 0.5 * sung / np.abs(sung).max(), silence]).astype(np.float32)
    phones = [Phone(PAUSE + k * HELD, PAUSE + (k + 1) * HELD, v, True) for k, (v, _) in enumerate(MELODY)]
    return over(Speech("song", whole, tuple(phones)), music(len(whole), 3), 12.0, "song")


def _resonant(source: np.ndarray, formants: Sequence[tuple[float, float]]) -> np.ndarray:
    """Filter a source (n,) with the resonance of each formant of a vowel: (frequency, bandwidth) in Hz."""
    for frequency, width in formants:
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        source = lfilter([sum(poles)], poles, source)
    return source


def silence(seconds: float) -> Speech:
    """Make a silent sound of so many seconds, without phones."""
    return Speech("silence", np.zeros(round(seconds * RATE), np.float32), ())
