"""Metrics of speech: whether lips follow it, and whether it is as long as the pictures."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..media.sound import Sound
from ..signals.syncnet import FPS, SyncNet, SyncScore, load_syncnet, sync_crops, sync_score
from .clip import Clip
from .facial import lips_apart
from .metric import Weights
from .statistics import correlation

LAG = 2  # frames by which lips and loudness may be apart


def loudness(sound: Sound, frames: int, fps: Fraction) -> np.ndarray:
    """Root mean square of the sound in the time of each frame, (f,)."""
    mono, step = sound.mono(16000), 16000 / float(fps)
    edges = [(max(0, round((k - 0.5) * step)), round((k + 0.5) * step)) for k in range(frames)]
    return np.array([np.sqrt(np.mean(mono[a:b] ** 2)) if b > a and a < len(mono) else 0.0 for a, b in edges])


def lagged_correlation(lips: np.ndarray, loud: np.ndarray) -> float:
    """The best Pearson correlation of lips and loudness (f,) that may be LAG frames apart.

    -1 where fewer than six frames are known.
    """
    best = -1.0
    for lag in range(-LAG, LAG + 1):
        a, b = (lips[lag:], loud[: len(loud) - lag]) if lag >= 0 else (lips[:lag], loud[-lag:])
        known = ~np.isnan(a)
        if known.sum() > 5:
            best = max(best, correlation(a[known], b[known]))
    return best


def av_length(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Difference between the lengths of pictures and sound, seconds."""
    return abs(len(generated.frames) / float(generated.fps) - float(generated.sound.duration))


@lru_cache(maxsize=2)
def sync_net(path: Path) -> SyncNet:
    """SyncNet's network of a file, read once. Raises: InputError for files that hold other weights."""
    return load_syncnet(path)


@lru_cache(maxsize=1)  # two metrics of one clip; older ones would keep their frames
def _sync(clip: Clip, path: Path) -> SyncScore:
    mono, frames = clip.sound.mono(16000), clip.at(FPS)
    boxes = clip.track.boxes()
    rows = np.minimum(np.arange(len(frames)) * len(boxes) // max(1, len(frames)), len(boxes) - 1)
    return sync_score(sync_net(path), sync_crops(frames, boxes[rows]), mono)


def sync_c(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """SyncNet's confidence (Chung and Zisserman 2016): median distance over the shifts less the least."""
    assert weights.syncnet is not None
    return _sync(generated, weights.syncnet).confidence


def sync_d(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """SyncNet's distance: the least mean distance of sound and mouth over the shifts."""
    assert weights.syncnet is not None
    return _sync(generated, weights.syncnet).distance


def lips_follow(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """Correlation of the inner lips' distance with the sound's loudness, the best within LAG frames."""
    loud = loudness(generated.sound, len(generated.frames), generated.fps)
    return lagged_correlation(lips_apart(generated.landmarks, generated.scheme), loud)
