"""Stages `quality` (is the picture sharp and lit, is the sound audible) and `sync` (do lips follow sound)."""

from __future__ import annotations

import wave
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...media.video import read_frames
from ...signals.audible import audible
from .cut import CLIP, SOUND, write_sound
from .features import FEATURES
from .settings import QualityLimits, SyncConfig, SyncLimits
from .stages import Values, Work

if TYPE_CHECKING:
    from ...signals.syncnet import SyncNet

LOOKS = 12  # frames of a clip that are measured
MIDDLE = 0.6  # of the square's side: where the face is
BLOCK = 320  # samples of sound, 20 ms
QUIET = -100.0  # dB: nothing at all


def measure_quality(work: Work, config: None) -> Values:
    """The face's sharpness, brightness and contrast, medians over LOOKS frames; the sound's level and pauses.

    Sharpness: `laplacian_variance`. Brightness and contrast: mean and deviation of grey, in [0, 1]. The
    sound's: `measure_sound`.
    """
    clip = work.before["render"].file(CLIP)
    frames = work.before["render"].values["frames"]
    wanted = {frames * k // LOOKS for k in range(LOOKS)}
    rows = []
    for k, frame in enumerate(read_frames(clip)):
        if k in wanted:
            grey = _middle(frame) @ np.array([0.299, 0.587, 0.114])
            rows.append((laplacian_variance(grey), grey.mean() / 255, grey.std() / 255))
    sharpness, brightness, contrast = np.median(rows, axis=0)
    values = {
        "sharpness": round(float(sharpness), 2),
        "brightness": round(float(brightness), 4),
        "contrast": round(float(contrast), 4),
    }
    if work.before["render"].values["sound"]:
        values.update(measure_sound(work.before["render"].file(SOUND)))
    return values


def judge_quality(values: Values, limits: QualityLimits) -> str | None:
    """The reason to reject a clip that is blurred, dark, overexposed or silent, or None."""
    if values["sharpness"] < limits.sharpness:
        return (
            f"is blurred: sharpness {values['sharpness']:.1f}, less than "
            f"--quality.sharpness {limits.sharpness:g}"
        )
    if not limits.darkest <= values["brightness"] <= limits.brightest:
        return (
            f"its face has brightness {values['brightness']:.2f}, outside --quality.darkest "
            f"{limits.darkest:g} to --quality.brightest {limits.brightest:g}"
        )
    if values.get("level", 0.0) < limits.level:
        return f"is silent: {values['level']:.0f} dB, less than --quality.level {limits.level:g}"
    return None


def measure_sync(work: Work, config: SyncConfig) -> Values:
    """SyncNet's confidence, distance and offset (frames) of the clip; nothing for a clip without sound.

    With `repair`, a sound that comes early or late is cut from the video earlier or later by the offset and
    scored again. Where it is nearer to the lips then, sound.wav is written, and `shift` says by how many
    seconds it comes later, `offset_before` what the offset was.
    """
    render = work.before["render"]
    if not render.values["sound"]:
        return {}
    from ...signals.syncnet import FPS, sync_crops  # PyTorch: only where a clip is measured

    with np.load(work.before["features"].file(FEATURES)) as features:
        boxes = features["boxes"]
    crops = sync_crops(read_frames(render.file(CLIP)), boxes)
    score = _score(config, crops, render.file(SOUND))
    if not config.repair or not score["offset"]:
        return score
    shift = Fraction(score["offset"], FPS)
    write_sound(work, Fraction(len(crops), FPS), later=shift)
    again = _score(config, crops, work.folder / SOUND)
    if abs(again["offset"]) >= abs(score["offset"]):
        (work.folder / SOUND).unlink()
        return score
    return {**again, "shift": float(shift), "offset_before": score["offset"]}


def _score(config: SyncConfig, crops: np.ndarray, sound: Path) -> Values:
    from ...signals.syncnet import sync_score

    score = sync_score(_syncnet(config.model), crops, _samples(sound))
    return {
        "confidence": round(score.confidence, 3),
        "distance": round(score.distance, 3),
        "offset": score.offset,
    }


def judge_sync(values: Values, limits: SyncLimits) -> str | None:
    """The reason to reject a clip whose lips do not follow its sound, or are apart from it, or None."""
    if values.get("confidence", limits.confidence) < limits.confidence:
        return (
            f"its lips do not follow its sound: confidence {values['confidence']:.1f}, less than "
            f"--sync_limits.confidence {limits.confidence:g}"
        )
    if abs(values.get("offset", 0)) > limits.offset:
        return (
            f"its lips are {values['offset']} frames apart from its sound, more than "
            f"--sync_limits.offset {limits.offset}"
        )
    return None


@lru_cache(maxsize=1)
def _syncnet(model: str) -> SyncNet:
    from ...signals.syncnet import load_syncnet

    return load_syncnet(model)


def laplacian_variance(grey: np.ndarray) -> float:
    """Variance of the 4-neighbour Laplacian of a grey picture (h, w), its border left out."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def measure_sound(path: Path) -> dict[str, float]:
    """`level` and `pauses` of a 16 kHz mono WAV file, of what is audible in it (a constant offset is not).

    level: 95th percentile of the power of 20 ms blocks, dB of full scale. pauses: share of blocks that are
    30 dB or more below it.
    """
    stored = _samples(path)
    samples = audible(stored, 0, len(stored))
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = 10 * np.log10(np.maximum((blocks**2).mean(axis=1), 10 ** (QUIET / 10)))
    level = float(np.percentile(power, 95))
    return {"level": round(level, 2), "pauses": round(float((power < level - 30).mean()), 4)}


def _samples(path: Path) -> np.ndarray:
    """The samples of a mono WAV file, (n,) in [-1, 1]."""
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32768


def _middle(frame: np.ndarray) -> np.ndarray:
    side = frame.shape[0]
    edge = round(side * (1 - MIDDLE) / 2)
    return frame[edge : side - edge, edge : side - edge].astype(np.float64)
