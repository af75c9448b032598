"""Measures of lips: curves of the mouth's opening and width against phones with times, and against real lips.

Opening: MediaPipe's landmarks 13 and 14 over 33 and 263; width: 61 and 291 over 33 and 263. NaN where no face
was found. Letters: f frames, k phones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..heads.articulation import Phone
from .statistics import correlation

FPS = 25
WITHIN = 0.045  # seconds: frames this near to a phone's middle show it
SHUT = 0.20  # of the clip's most: lips that are nearer are closed
MOST = 95  # percentile of the opening that stands for a clip's most
LAG = 2  # frames by which two curves may be apart
PRESSED, RIDGE, TUCKED = frozenset("pbm"), frozenset("tdnszl"), frozenset("fv")
SPREAD, ROUNDED, OPEN = frozenset("iɪeɛ"), frozenset("uʊoɔ"), frozenset("aɑæ")
QUIET = frozenset("_")


def most(opening: np.ndarray) -> float:
    """The 95th percentile of an opening (f,), which stands for the clip's largest."""
    return float(np.nanpercentile(opening, MOST))


def shown_at(values: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str]) -> list[np.ndarray]:
    """The known values (f,) at the frames within 45 ms of each phone's middle, of phones among `symbols`."""
    times, out = np.arange(len(values)) / FPS, []
    for phone in phones:
        near = (np.abs(times - phone.middle) <= WITHIN) & ~np.isnan(values)
        if phone.symbol in symbols and near.any():
            out.append(values[near])
    return out


def closed_at(
    opening: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str], usual: float | None = None
) -> np.ndarray:
    """(k,) whether lips close at each phone: the least opening around its middle <= 0.20 of `usual`, the
    clip's own 95th percentile if not given.
    """
    limit = SHUT * (most(opening) if usual is None else usual)
    return np.array([part.min() <= limit for part in shown_at(opening, phones, symbols)], bool)


def mean_at(values: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str]) -> np.ndarray:
    """(k,) the mean of values (f,) around each phone's middle."""
    return np.array([part.mean() for part in shown_at(values, phones, symbols)], float)


def deviations(values: np.ndarray) -> np.ndarray:
    """Values (f,) less their mean, over their standard deviation."""
    spread = float(np.nanstd(values))
    return (values - np.nanmean(values)) / (spread if spread > 1e-9 else np.inf)


def agreement(one: np.ndarray, other: np.ndarray, lag: int = 0) -> float:
    """The best Pearson correlation of two curves (f,) that may be `lag` frames apart.

    Frames that either does not know are left out, the longer one is cut. NaN with fewer than six frames.
    """
    count = min(len(one), len(other))
    one, other = one[:count], other[:count]
    correlations = []
    for by in range(-lag, lag + 1):
        a, b = (one[by:], other[: count - by]) if by >= 0 else (one[:by], other[-by:])
        known = ~np.isnan(a) & ~np.isnan(b)
        if known.sum() > 5:
            correlations.append(correlation(a[known], b[known]))
    return max(correlations, default=float("nan"))


def step(opening: np.ndarray) -> float:
    """The mean change of an opening (f,) from frame to frame."""
    return float(np.nanmean(np.abs(np.diff(opening))))


def shut_while_open(shown: np.ndarray, asked: np.ndarray, usual: float) -> float:
    """The share of frames whose lips are shut (<= 0.20 of `usual`) where they are asked to be well open.

    asked (f,): the opening that the sounds ask for; well open is above 0.4 of its own 95th percentile.
    """
    count = min(len(shown), len(asked))
    shown, asked = shown[:count], asked[:count]
    there = (asked > 2 * SHUT * most(asked)) & ~np.isnan(shown)
    return float((shown[there] <= SHUT * usual).mean()) if there.any() else float("nan")
