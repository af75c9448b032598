"""Numbers of numbers: correlations, order, and intervals over clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def correlation(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Pearson's correlation; 0 when one of the two does not move."""
    x, y = (v - v.mean() for v in (np.asarray(a, float), np.asarray(b, float)))
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else 0.0


def mean(values: Sequence[float] | np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN where there are none."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")


def median(values: Sequence[float] | np.ndarray) -> float:
    """The median of the values that are not NaN; NaN where there are none."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else float("nan")


def is_monotone(effects: Sequence[float]) -> bool:
    """Whether each value is larger than the one before."""
    return all(later > earlier for earlier, later in zip(effects, effects[1:], strict=False))


def interval(
    rows: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """Bootstrap 95 % interval of a statistic over clips.

    rows: (n, ...), one a clip; the statistic takes (n, ...) and gives a number.
    """
    rng = np.random.default_rng(seed)
    values = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def mean_interval(values: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Bootstrap 95 % interval of the mean of values (n,); None twice for fewer than two."""
    return interval(values, lambda drawn: float(drawn.mean())) if len(values) > 1 else (None, None)


def psnr(squared_error: float, peak: float = 255.0, least: float = 1e-10) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error; a smaller one than `least` counts as that."""
    return float(10 * np.log10(peak**2 / max(squared_error, least)))
