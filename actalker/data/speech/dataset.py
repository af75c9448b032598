"""Crops of speech with the mouth's motion in them, cut from a cache of voices by (seed, place).

Letters: b batch, h hops of 10 ms, l outputs of the encoder (one for every STRIDE hops), m bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import InputError
from ...heads.articulation import PHONES, RATE, Phone, at_frames, tracks
from ...signals.audio import HOP
from ...signals.running import CONTEXT, LOOK_AHEAD, SpeechStream, levelled
from ...signals.speech import STRIDE
from ..sample import Batch
from .augment import augment, babbler, without_voice
from .cache import SpeechCache, Utterance
from .singing import sung

HZ = HOP * RATE  # samples a second
SYMBOLS = {symbol: k for k, symbol in enumerate(PHONES)}
NEAR = 8  # utterances before and after one among which others of its voice are looked for
PAUSES = (0.05, 1.0), (1.0, 3.0)  # seconds between utterances, and how long one in LONG of them is
LONG = 0.08
BEGINS = 0.3  # share of crops from the beginning of a sound, where its means are hardly known
PAST = 100  # hops of sound, at least, before the other crops
EVERY = 25  # hops between the moments whose running means are stored
SPEEDS = (0.82, 1.22)  # of augmented voices; they change pitch and formants too
LOUD = (-23.0, 7.0)  # dB full scale: mean and deviation of the level of recordings


@dataclass
class Spoken(Batch):
    """Hold a crop of speech, or a batch of crops (tensors with a leading b).

    features: (h, m) log10 of power, normalised by `signals.running.levelled`. Level and band means are those
        that the running means had at one moment of the sound, for all hops of the crop.
    articulators: (l, 9) at the times of the encoder's outputs.
    phones: (l,) indices into `PHONES`, at the same times.
    index: number of the sound in its source.
    """

    features: Tensor
    articulators: Tensor
    phones: Tensor
    index: Tensor

    @property
    def length(self) -> int:
        """Return the number of the encoder's outputs in a crop, l."""
        return self.phones.shape[-1]


@dataclass(frozen=True)
class SpeechDataConfig:
    """The settings of the crops that a training sees."""

    speech: str = "speech"
    """Folder of a cache of synthetic speech (`actalker speech`)."""

    seed: int = 0
    """Sounds are a function of (seed, index), crops of them of (seed, place)."""

    frames: int = 75
    """Outputs a crop, 25 a second."""

    seconds: float = 12.0
    """Length of a sound, from which crops are cut."""

    clean: float = 0.28
    """Share of speech that is not augmented."""

    sung: float = 0.2
    """Share of sounds in which a voice sings what it says."""

    empty: float = 0.08
    """Share of sounds in which nobody speaks: noise, music."""


@dataclass(frozen=True, eq=False)
class Heard:
    """Hold the features of a sound, and the mouth's motion in it.

    log: (h, m) log10 of power.
    level: (k,) running mean of the level, log10 of power, at every 25th hop.
    bands: (k, m) running means of `log` at the same hops.
    articulators: (h, 9).
    phones: (h,) indices into `PHONES`.
    """

    log: np.ndarray
    level: np.ndarray
    bands: np.ndarray
    articulators: np.ndarray
    phones: np.ndarray


class SpeechDataset(Dataset):
    """Crops of `count` sounds: item `place` is a crop of sound `place % count`, another one for each place.

    Each sound is made once and stays in memory (0.2 MB). held_out: use the voices that are never trained on.
    Raises: InputError for a folder without speech, and for crops without a frame or longer than sounds.
    """

    def __init__(self, config: SpeechDataConfig, count: int, held_out: bool = False) -> None:
        self.config, self.count = config, count
        self.hops, self.length = CONTEXT + STRIDE * (config.frames - 1), round(config.seconds * RATE)
        if config.frames < 1 or self.hops + PAST > self.length:
            most = (self.length - PAST - CONTEXT) // STRIDE + 1
            raise InputError(
                f"data.frames: {config.frames}, of sounds of {config.seconds:g} s; give 1 to {most}, or "
                "longer data.seconds"
            )
        self.cache = SpeechCache(config.speech, held_out)
        self.sounds: dict[int, Heard] = {}
        self.read: dict[int, Utterance] = {}

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """Return the name of a sound, for messages."""
        return f"speech {self.config.seed}/{index}"

    def __getitem__(self, place: int) -> Spoken:
        index = place % self.count
        if index not in self.sounds:
            self.sounds[index] = self.make(index)
        heard, rng = self.sounds[index], np.random.default_rng((self.config.seed, place, 1))
        begins = rng.random() < BEGINS
        first = int(rng.integers(PAST) if begins else rng.integers(PAST, self.length - self.hops + 1))
        since = (self.hops - 1 - LOOK_AHEAD) * rng.random() ** (2 if begins else 1)
        moment = int(first + LOOK_AHEAD + since) // EVERY
        log = heard.log[first : first + self.hops].astype(np.float32)
        features = levelled(log, heard.level[moment], heard.bands[moment])
        at = first + LOOK_AHEAD + STRIDE * np.arange(self.config.frames)
        return Spoken(
            features=torch.from_numpy(hidden(features, rng)),
            articulators=torch.from_numpy(heard.articulators[at].astype(np.float32)),
            phones=torch.from_numpy(heard.phones[at].astype(np.int64)),
            index=torch.tensor(index),
        )

    def make(self, index: int) -> Heard:
        """Make sound `index`: somebody who speaks or sings, mostly augmented, or a sound without a voice."""
        config, rng = self.config, np.random.default_rng((self.config.seed, index, 0))
        samples, hops = (self.length + 1) * HOP, self.length
        phones: list[Phone] = []
        if rng.random() < config.empty:
            sound = without_voice(samples, rng)
        else:
            clean = rng.random() < config.clean
            lead = 0.5 * rng.random() if rng.random() < 0.5 else -2 * rng.random()
            sound, phones = self._speech(samples / HZ, lead, rng, 1.0 if clean else speed(rng))
            if not clean:
                sound = augment(sound, rng, babbler(self.cache, rng))
            sound = loud(sound, rng)
        stream = SpeechStream().push(sound)
        at = np.arange(EVERY - 1, hops, EVERY)
        return Heard(
            log=np.log10(np.maximum(stream.power[:hops], 1e-12)).astype(np.float16),
            level=stream.level[at].astype(np.float32),
            bands=stream.bands[at].astype(np.float32),
            articulators=at_frames(tracks(phones, hops / RATE), hops, RATE).astype(np.float16),
            phones=at_hops(phones, hops),
        )

    def _speech(
        self, seconds: float, lead: float, rng: np.random.Generator, faster: float
    ) -> tuple[np.ndarray, list[Phone]]:
        """Return the sound (n,) float32 of one voice that says several utterances, and its phones.

        lead: seconds before the first utterance; where negative, the sound begins inside it.
        faster: factor on the voice's speed, pitch and formants.
        """
        sound, phones = np.zeros(round(seconds * HZ), np.float32), []
        first = int(rng.integers(len(self.cache)))
        voice = self._utterance(first).voice
        near = range(max(0, first - NEAR), min(len(self.cache), first + NEAR + 1))
        fellows = [k for k in near if self._utterance(k).voice == voice]
        offset, said, sings = round(lead * HZ), first, rng.random() < self.config.sung
        while offset < len(sound):
            utterance = self._utterance(said)
            spoken, parts = utterance.sound.astype(np.float32) / 32768, utterance.phones
            if sings:
                spoken, parts = sung(spoken, parts, rng)
            spoken = spoken * np.float32(10 ** (rng.uniform(-3, 3) / 20))
            if faster != 1:
                spoken = np.interp(np.arange(0, len(spoken) - 1, faster), np.arange(len(spoken)), spoken)
            inside = spoken[max(-offset, 0) : len(sound) - offset]
            sound[max(offset, 0) :][: len(inside)] += inside
            for p in parts:
                start, end = (offset / HZ + t / faster for t in (p.start, p.end))
                phones.append(Phone(start, end, p.symbol, p.stressed))
            pause = rng.uniform(*PAUSES[int(rng.random() < LONG)])
            offset += len(spoken) + round(pause * HZ)
            said = fellows[int(rng.integers(len(fellows)))]
        return sound, phones

    def _utterance(self, k: int) -> Utterance:
        if k not in self.read:
            self.read[k] = self.cache[k]
        return self.read[k]


def speed(rng: np.random.Generator) -> float:
    """Draw a factor from 0.82 to 1.22 on a voice's speed."""
    return float(np.exp(rng.uniform(*np.log(SPEEDS))))


def loud(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale a sound (n,) to a level drawn from N(-23, 7²) dB full scale, at most -9; silence stays silent."""
    size = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
    wanted = 10 ** (min(rng.normal(*LOUD), -9) / 20)
    return sound * (wanted / size) if size > 1e-6 else sound


def hidden(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Disturb features (h, m) at random, for training.

    A random offset and slope over the bands stand for errors of the means by which features are normalised.
    At random, a range of bands and a range of hops are set to the mean of all features.
    """
    h, m = features.shape
    features = features + 0.12 * rng.normal() + 0.12 * rng.normal() * np.linspace(-1, 1, m)
    if rng.random() < 0.5:
        width = int(rng.integers(1, 14))
        first = int(rng.integers(m - width))
        features[:, first : first + width] = features.mean()
    if rng.random() < 0.4 and h > 8:
        width = int(rng.integers(2, 9))
        first = int(rng.integers(h - width))
        features[first : first + width] = features.mean()
    return features.clip(-2, 2).astype(np.float32)


def at_hops(phones: Sequence[Phone], hops: int) -> np.ndarray:
    """Return the index into `PHONES` of the phone at each hop, (h,) uint8; silence between phones."""
    out = np.full(hops, SYMBOLS["_"], np.uint8)
    for p in phones:
        out[max(0, round(p.start * RATE)) : max(0, round(p.end * RATE))] = SYMBOLS[p.symbol]
    return out
