"""Phone times of a speech cache against two independent measures, engine by engine.

    python benchmarks/speech.py FOLDER [--utterances 40]

Energy: a stop between vowels is quietest while the mouth is shut. The first measure is the time of that
minimum against the middle of the phone, for p and b against the largest closure of the articulators.
Recogniser: the second is the time at which `hama` (pip install hama) recognises a phone against its middle.
It is late by a constant, which flite and festival reveal, for their times are exact. Medians are printed.
"""

from __future__ import annotations

import argparse
from random import Random
from typing import Any

import numpy as np

from actalker.data.speech.cache import RATE, SpeechCache, Utterance
from actalker.heads.articulation import ARTICULATORS, VOWELS, tracks

STOPS = {"p b": "pb", "t d": "td", "k g": "kɡ"}
SOUNDS = {**STOPS, "m": "m", "n": "n", "s z": "sz", "sh": "ʃʒ", "f v": "fv", "l": "l", "r": "ɹ"}
NEAR = 0.12  # seconds within which a phone is the same


def loudness(sound: np.ndarray) -> np.ndarray:
    """The loudness of 10 ms around each 2.5 ms of a sound at 16 kHz, decibels (n,)."""
    power = np.convolve(np.asarray(sound, np.float64) ** 2, np.hanning(160) / 80, "same")[::40]
    return 10 * np.log10(power + 1e-2)


def minima(one: Utterance, among: str) -> list[float]:
    """Seconds from each closure of a stop between vowels to the middle of the quietest 30 ms within 70 ms.

    among: the stops' symbols.
    """
    smoothed, lags = np.convolve(loudness(one.sound), np.ones(12) / 12, "same"), []
    close = tracks(one.phones, len(one.sound) / RATE)[:, ARTICULATORS.index("close")]
    for before, stop, after in zip(one.phones, one.phones[1:], one.phones[2:], strict=False):
        if stop.symbol not in among or before.symbol not in VOWELS or after.symbol not in VOWELS:
            continue
        middle = stop.middle
        if among == "pb":
            first = max(int((stop.start - 0.03) * 100), 0)
            shut = close[first : int((stop.end + 0.03) * 100) + 1]
            middle = (first + np.flatnonzero(shut > 0.95 * shut.max()).mean()) / 100
        first, last = int((middle - 0.07) * 400), int((middle + 0.07) * 400)
        if first >= 0 and last < len(smoothed):
            lags.append((first + int(np.argmin(smoothed[first:last]))) / 400 - middle)
    return lags


def recognised(model: Any, sound: np.ndarray) -> list[tuple[float, str]]:
    """Times, seconds, and symbols of the phones that hama's model recognises in a sound."""
    ids = np.array(model.transcribe_waveform(sound.astype(np.float32) / 32768, RATE).frame_token_ids)
    edges = np.flatnonzero(np.diff(ids)) + 1
    runs = np.split(np.arange(len(ids)), edges)
    return [
        (run.mean() * 0.02 + 0.01, model.decoder_tokens[ids[run[0]]])
        for run in runs
        if model.decoder_tokens[ids[run[0]]] not in ("<wb>", "<blank>", "<unk>")
    ]


def recogniser() -> Any:
    """hama's model, which has no types, or None where the package is absent."""
    try:
        from hama import ASRModel
    except ImportError:
        print("no recogniser: pip install hama")
        return None
    return ASRModel()


def compare_with_recogniser(name: str, model: Any, utterances: list[Utterance]) -> None:
    """Prints a line of the share of phones that are recognised, and how late."""
    lags: dict[str, list[float]] = {}
    count = matched = 0
    for one in utterances:
        spikes = recognised(model, one.sound)
        for phone in one.phones:
            for label, among in SOUNDS.items():
                if phone.symbol in among:
                    count += 1
                    near = [
                        t - phone.middle
                        for t, s in spikes
                        if s.replace("͡", "")[-1:] in among and abs(t - phone.middle) < NEAR
                    ]
                    if near:
                        matched += 1
                        lags.setdefault(label, []).append(min(near, key=abs))
    rows = " ".join(f"{k} {1000 * np.median(v):+.0f}({len(v)})" for k, v in lags.items())
    every = 1000 * np.median([lag for of in lags.values() for lag in of])
    print(f"{name:14s} recogniser: found {matched / max(count, 1):.2f}, median {every:+.0f} ms; {rows}")


def main() -> None:
    """Reads the command line and prints both measures of every engine."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder")
    p.add_argument("--utterances", type=int, default=40, help="of each engine")
    options = p.parse_args()
    model = recogniser()
    chosen: dict[str, list[Utterance]] = {}
    for held_out in (False, True):
        for one in SpeechCache(options.folder, held_out):
            if one.language == "en":
                chosen.setdefault(f"{one.engine}{' held' if held_out else ''}", []).append(one)
    for name, utterances in chosen.items():
        some = Random(0).sample(utterances, min(options.utterances, len(utterances)))
        lags = {label: [x for one in some for x in minima(one, among)] for label, among in STOPS.items()}
        cells = ", ".join(f"{k} {1000 * np.median(v):+.0f} ({len(v)})" for k, v in lags.items() if v)
        print(f"{name:14s} energy's minimum, ms: {cells}")
        if model is not None:
            compare_with_recogniser(name, model, some)


if __name__ == "__main__":
    main()
