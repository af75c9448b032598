"""Measures of lips: the mouth's opening and width compared with phones of known times, and with real lips.

opening = |p13 - p14| / |p33 - p263| and width = |p61 - p291| / |p33 - p263| of MediaPipe's landmarks p; both
are curves at 25 frames per second, NaN where no face was found. Letters: f frames, k phones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..heads.articulation import Phone
from .statistics import correlation

FPS = 25
WITHIN = 0.045  # seconds: frames this near to a phone's middle show it
SHUT = 0.20  # lips are closed up to this share of the clip's largest opening
MOST = 95  # percentile of the opening that stands for a clip's most
LAG = 2  # largest shift in frames between two curves that are compared
PRESSED, RIDGE, TUCKED = frozenset("pbm"), frozenset("tdnszl"), frozenset("fv")
SPREAD, ROUNDED, OPEN = frozenset("iɪeɛ"), frozenset("uʊoɔ"), frozenset("aɑæ")
QUIET = frozenset("_")


def most(opening: np.ndarray) -> float:
    """Return the 95th percentile of an opening (f,), which stands for the clip's largest."""
    return float(np.nanpercentile(opening, MOST))


def shown_at(values: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str]) -> list[np.ndarray]:
    """Return, per phone among `symbols`, the values at the frames within 45 ms of the phone's middle.

    values: (f,). NaN are left out, and so are phones without a value.
    """
    times, out = np.arange(len(values)) / FPS, []
    for phone in phones:
        near = (np.abs(times - phone.middle) <= WITHIN) & ~np.isnan(values)
        if phone.symbol in symbols and near.any():
            out.append(values[near])
    return out


def closed_at(
    opening: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str], usual: float | None = None
) -> np.ndarray:
    """Return (k,) bool, whether the lips close at each phone among `symbols` (those of `shown_at`).

    They close where min(opening within 45 ms of the phone's middle) <= 0.20 usual. usual: a large opening of
    the same face; None for the 95th percentile of `opening`.
    """
    limit = SHUT * (most(opening) if usual is None else usual)
    return np.array([part.min() <= limit for part in shown_at(opening, phones, symbols)], bool)


def mean_at(values: np.ndarray, phones: Sequence[Phone], symbols: frozenset[str]) -> np.ndarray:
    """Return (k,) the mean of values (f,) within 45 ms of the middle of each phone among `symbols`."""
    return np.array([part.mean() for part in shown_at(values, phones, symbols)], float)


def deviations(values: np.ndarray) -> np.ndarray:
    """Return (values - mean) / standard deviation of values (f,); 0 where they do not vary."""
    spread = float(np.nanstd(values))
    return (values - np.nanmean(values)) / (spread if spread > 1e-9 else np.inf)


def agreement(one: np.ndarray, other: np.ndarray, lag: int = 0) -> float:
    """Return the largest Pearson correlation of two curves (f,) over shifts from -lag to lag frames.

    Frames that are NaN in either are left out; the longer curve is cut. NaN with fewer than six frames.
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
    """Return the mean |change| of an opening (f,) from frame to frame."""
    return float(np.nanmean(np.abs(np.diff(opening))))


def shut_while_open(shown: np.ndarray, asked: np.ndarray, usual: float) -> float:
    """Return, of the frames with asked > 0.4 most(asked), the share with shown <= 0.20 usual; else NaN.

    shown: (f,) opening of the lips. asked: (f,) the opening that the phones ask for. usual: a large opening
    of the same face.
    """
    count = min(len(shown), len(asked))
    shown, asked = shown[:count], asked[:count]
    there = (asked > 2 * SHUT * most(asked)) & ~np.isnan(shown)
    return float((shown[there] <= SHUT * usual).mean()) if there.any() else float("nan")
