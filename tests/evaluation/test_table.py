"""The table of targets from recorded numbers, as it has always been printed."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from actalker.evaluation.targets import clips as listed
from actalker.evaluation.targets import makers, performances, report, seen, sounds
from actalker.heads.articulation import Phone
from actalker.heads.model import SCORES
from actalker.signals.signal import SIGNALS

RECORDED = Path(__file__).with_name("targets_table.md")
MODELS = ("ours", "direct", "truth")


def speech(seconds: float, seed: int) -> sounds.Speech:
    rng = np.random.default_rng(seed)
    symbols = rng.choice(list("pbmftdsziɛuoaæ"), round(seconds / 0.16))
    phones = tuple(Phone(k * 0.16, (k + 1) * 0.16, str(s)) for k, s in enumerate(symbols))
    return sounds.Speech("voice", rng.normal(size=round(seconds * sounds.RATE)).astype(np.float32), phones)


def reading(clip: listed.Clip, seed: int) -> seen.Seen:
    rng = np.random.default_rng(seed)
    asked = makers.asked_opening(clip.phones, clip.frames) if clip.phones else np.zeros(clip.frames)
    curves = 0.02 + 0.1 * rng.random((4, clip.frames))
    curves[0] += 0.1 * asked
    curves[2] = np.where(rng.random(clip.frames) < 0.03, 0.05, 0.3)
    curves[:, rng.random(clip.frames) < 0.02] = np.nan
    shapes, pose = rng.random((clip.frames, len(SCORES))), rng.normal(size=(clip.frames, 3)) * 3
    return seen.Seen(*curves, shapes=shapes, pose=pose, change=np.array([4, 0.1, 0.02]) * rng.random(3))


def acted(seed: int) -> list[dict]:
    out = []
    for rng in np.random.default_rng(seed).spawn(6):
        out.append(
            {
                "errors": {
                    s: {region: float(rng.random()) for region in ("mouth", "upper")}
                    for s in performances.SETTINGS
                },
                "phrases": {s: (rng.random(3) < 0.7).tolist() for s in performances.SETTINGS},
                "monotone": {s: bool(rng.random() < 0.8) for s in SIGNALS if rng.random() < 0.9},
                "r": {name: float(rng.random()) for name in performances.GROUPS},
                "conflict": {
                    region: {"alone": float(rng.random()), "beside": float(rng.random())}
                    for region in ("mouth", "upper")
                },
            }
        )
    return out


@pytest.fixture
def rows(tmp_path):
    def file(name: str) -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            noise = np.random.default_rng(len(name)).normal(size=9 * 16000) * 3000
            sound.writeframes(noise.astype(np.int16).tobytes())
        return path

    sitters = listed.Sitters(tuple(map(file, "abcdefg")), (file("p"),), (file("l"),))
    voices = [speech(30.0, k) for k in range(3)]
    films = {file(name): seconds for name, seconds in (("x", 3.0), ("yy", 5.0), ("z", 6.0), ("w", 4.0))}
    speakers = {file("r.wav"): 9.0, file("re.wav"): 4.0}
    clips = listed.clips(sitters, voices, speech(60.0, 9), speakers, films)
    readings = {}
    for k, clip in enumerate(clips):
        for m, model in enumerate((seen.REAL, *MODELS)):
            if model != seen.REAL or clip.use in ("real", "driver"):
                readings[model, clip.use, clip.number] = reading(clip, 10 * k + m)
    performed = {m: acted(k) for k, m in enumerate(MODELS) if m != "direct"}
    return report.lines(report.shown_of(MODELS, readings, clips, performed))


def test_the_table_is_printed_as_ever(rows):
    """Every measure has a row here; hashes of protocols hold versions of packages, which are left out."""
    text = re.sub(r"`\w+`", "`HASH`", report.markdown(rows, report.columns(MODELS)))
    assert text == RECORDED.read_text(encoding="utf-8")
