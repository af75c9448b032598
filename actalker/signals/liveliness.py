"""Movements of a face that nothing drives: blinks, small eye jumps, a swaying head, nods
with stressed speech.

Each event is a function of (seed, kind, number of its stretch of time). So any range of frames can
be computed, in any order and hours into a clip, with the same result and without the frames before it.

Letters: f frames.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv

from ..heads.face_map import NUMBERS

YAW, PITCH, ROLL, X, Y, Z, RIGHT, DOWN = (
    NUMBERS.index(name) for name in ("yaw", "pitch", "roll", "x", "y", "z", "gaze right", "gaze down")
)
LIDS = [NUMBERS.index(f"eyeBlink_{side}") for side in "LR"]
INNER = [NUMBERS.index(f"browInnerUp_{side}") for side in "LR"]
OUTER = [NUMBERS.index(f"browOuterUp_{side}") for side in "LR"]

BLINK, HEAD, EYES, BROWS, STRESS, SWAY = range(6)  # kinds of events
STRETCH = {BLINK: 20.0, HEAD: 2.8, EYES: 1.15, BROWS: 7.0, STRESS: 1.7}  # seconds, at a usual rate
BLINKS = (4, 7)  # in a stretch: least, and one more than the most
REFRACTORY, SHAPE = 0.4, 2.0  # seconds between blinks at least; of the gamma distribution of what is beyond
DOUBLE = 0.1  # share of blinks that are two
CLOSES, SHUT, OPENS = (0.065, 0.09), (0.02, 0.05), (0.11, 0.16)  # seconds
LONGEST = 0.35  # a blink's
WHOLE_FROM = 0.2  # amount from which on blinks are whole
LOOKS = np.array([2.2, 1.3])  # degrees to the right and down of small jumps of the eyes
WITH_BLINK, GLANCES, WIDE = 0.5, 0.07, np.array([7.0, 3.5])
HOME = 0.4  # share of jumps back to where the portrait looks
JUMP, STEADY = 0.04, 0.7  # seconds of a jump; of a turn, what the eyes take back
TURNS = np.array([1.8, 1.1, 0.95])  # degrees of yaw, pitch and roll between two places of the head
MOST = 2.2  # standard deviations
TURNING = (0.4, 0.8)  # seconds
WAVES = (0.11, 0.19, 0.34, 0.57, 0.93)  # Hz of the head's sway, whose power falls with the rate
SWAYS = np.array([0.95, 0.6, 0.48])  # degrees, standard deviation
LEANS = np.array([[0.02, 0.0, 0.0], [0.0, 0.02, -0.05], [0.06, 0.0, 0.0]])  # cm of x, y, z a degree turned
RAISE, RAISED = (0.2, 0.5), (0.3, 1.0)  # of a brow now and then: how far, seconds
NOD, BROW = 4.5, 0.6  # degrees, of 1: what full stress makes, at most

PAST, AHEAD = 4.0, 0.2  # seconds of loudness that the stress of a frame is read from, before and after
NEAR, CALM = 0.12, 0.08  # seconds that smoothing reaches, in both of its steps
LOUDER, FULL = 1.15, 1.75  # of the mean loudness of what is said: where stress begins, and is 1
SAID = 0.15  # of the largest: quieter frames are pauses


class Liveliness:
    """The motion of an undriven face, as numbers (`heads.face_map.NUMBERS`).

    The sizes and rates are chosen, from what is known of blinks and gaze; none is fitted to data.
    """

    def __init__(self, fps: Fraction | float, seed: int, amount: float = 0.5) -> None:
        """Choose a face's habits.

        Args:
            fps: frames a second.
            seed: of the habits.
            amount: 0 to 1, a factor on the size of movements and, a little, on how often they happen. 0 is
                no motion at all, 0.5 is usual. Blinks close the lids fully from WHOLE_FROM on.
        Raises: ValueError for an amount outside 0 to 1.
        """
        if not 0 <= amount <= 1:
            raise ValueError(f"amount is {amount}; 0 to 1 is needed")
        self.fps, self.seed, self.amount = Fraction(fps), int(seed), float(amount)
        self._size, self._rate = 2 * self.amount, 0.7 + 0.6 * self.amount

    def numbers(self, start: int, frames: int, stress: np.ndarray | None = None) -> np.ndarray:
        """Return the motion of frames start .. start + frames - 1 relative to the portrait.

        Args:
            start: number of the first frame.
            frames: f.
            stress: (f,) in [0, 1] (`stress_of`), which nods and brows follow; None without speech.
        Returns: (f, 62) float32; the mouth's numbers are 0.
        Raises: ValueError for stress of another shape.
        """
        if stress is not None and np.shape(stress) != (frames,):
            raise ValueError(f"stress has shape {np.shape(stress)}; ({frames},) is needed")
        out = np.zeros((frames, len(NUMBERS)))
        if self.amount == 0 or frames == 0:
            return out.astype(np.float32)
        t = np.arange(start, start + frames) * float(self.fps.denominator) / float(self.fps.numerator)
        turned = self._turned(t)
        looks = self._looked(t)
        lids, with_lids = self._blinked(t)
        brows = self._raised(t)
        if stress is not None:
            nods, raises = self._stressed(t, np.clip(np.asarray(stress, np.float64), 0, 1))
            turned[1] += nods
            brows = brows + raises
        for axis, column in enumerate((YAW, PITCH, ROLL)):
            out[:, column] = self._size * turned[axis]
        for column, lean in zip((X, Y, Z), LEANS.T, strict=True):
            out[:, column] = sum(
                self._size * share * turned[axis] for axis, share in enumerate(lean) if share
            )
        for column, axis in ((RIGHT, 0), (DOWN, 1)):
            out[:, column] = self._size * (looks[axis] + with_lids[axis] - STEADY * turned[axis])
        out[:, LIDS] = (min(1.0, self.amount / WHOLE_FROM) * lids)[:, None]
        out[:, INNER] = np.minimum(0.75 * self._size * brows, 1)[:, None]
        out[:, OUTER] = np.minimum(self._size * brows, 1)[:, None]
        return out.astype(np.float32)

    def _draws(self, kind: int, stretch: int) -> np.random.Generator:
        """Return the random generator of a stretch of time, whose number may be negative."""
        key = np.array([self.seed % 2**64, kind], np.uint64)
        counter = np.array([0, 0, 0, stretch % 2**64], np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def _seconds(self, kind: int) -> float:
        """Return the length of a kind's stretches."""
        return STRETCH[kind] / self._rate

    def _stretches(self, kind: int, t: np.ndarray) -> range:
        """Return the numbers of the stretches that hold times (f,), and of one before and one after."""
        first, last = np.floor(t[[0, -1]] / self._seconds(kind)).astype(int)
        return range(int(first) - 1, int(last) + 2)

    def _blinked(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far blinks close the lids (f,), and the gaze since the last blink (2, f), degrees."""
        events = np.concatenate([_blinks(self, k) for k in self._stretches(BLINK, t)])
        looks = _steps(t, events[:, 0], np.full(len(events), JUMP), events[:, 4:])
        lids = np.zeros(len(t))
        for start, closes, shut, opens in events[:, :4]:
            if start - 1 < t[-1] and start + 2 * LONGEST > t[0]:
                rise, fall = (t - start) / closes, (t - start - closes - shut) / opens
                lids = np.maximum(lids, _ease(rise) - _ease(fall))
        return lids, looks

    def _turned(self, t: np.ndarray) -> np.ndarray:
        """Return yaw, pitch and roll (3, f) in degrees: the head's changing pose, and its sway around it."""
        events = []
        for k in self._stretches(HEAD, t):
            draws = self._draws(HEAD, k)
            target = TURNS * np.clip(draws.normal(size=3), -MOST, MOST) * (draws.random() < 0.8)
            at = (k + draws.uniform(0.15, 0.8)) * self._seconds(HEAD)
            events.append([at, draws.uniform(*TURNING), *target])
        rows = np.array(events)
        turned = _steps(t, rows[:, 0], rows[:, 1], rows[:, 2:])
        draws = self._draws(SWAY, 0)
        power = np.array(WAVES) ** -0.5
        sizes = SWAYS[:, None] * power * np.sqrt(2 / (power**2).sum())
        rates = np.array(WAVES) * draws.uniform(0.85, 1.15, (3, len(WAVES)))
        phases = draws.uniform(0, 2 * np.pi, (3, len(WAVES)))
        for axis in range(3):
            for size, rate, phase in zip(sizes[axis], rates[axis], phases[axis], strict=True):
                turned[axis] += size * np.sin(2 * np.pi * rate * t + phase)
        return turned

    def _looked(self, t: np.ndarray) -> np.ndarray:
        """Return the gaze after jumps of the eyes, (2, f), degrees to the right and down."""
        events = []
        for k in self._stretches(EYES, t):
            draws = self._draws(EYES, k)
            glance = draws.random() < GLANCES
            target = (WIDE if glance else LOOKS) * np.clip(draws.normal(size=2), -MOST, MOST)
            target = target * (glance or draws.random() >= HOME)
            events.append([(k + draws.uniform(0.05, 0.9)) * self._seconds(EYES), JUMP, *target])
        rows = np.array(events)
        return _steps(t, rows[:, 0], rows[:, 1], rows[:, 2:])

    def _raised(self, t: np.ndarray) -> np.ndarray:
        """Return how far the brows are raised (f,), now and then."""
        out = np.zeros(len(t))
        for k in self._stretches(BROWS, t):
            draws = self._draws(BROWS, k)
            if draws.random() < 0.5:
                since = t - (k + draws.uniform(0.0, 0.7)) * self._seconds(BROWS)
                hold, size = draws.uniform(*RAISED), draws.uniform(*RAISE)
                out = np.maximum(out, size * (_ease(since / 0.2) - _ease((since - 0.2 - hold) / 0.35)))
        return out

    def _stressed(self, t: np.ndarray, stress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nods in degrees and the raise of the brows, both (f,), that go with stress (f,)."""
        rows = np.array([self._draws(STRESS, k).random(2) for k in self._stretches(STRESS, t)])
        place = t / self._seconds(STRESS) - self._stretches(STRESS, t)[0]
        number = np.floor(place).astype(int)
        share = _ease(place - number)[:, None]
        chance = rows[number] * (1 - share) + rows[np.minimum(number + 1, len(rows) - 1)] * share
        nods = NOD * stress * (0.35 + 0.65 * chance[:, 0])
        return nods, BROW * stress * np.clip(1.6 * chance[:, 1] - 0.4, 0.1, 1)


def _blinks(lively: Liveliness, stretch: int) -> np.ndarray:
    """Return the blinks of a stretch, (blinks, 6).

    Columns: start, seconds of closing, of being shut and of opening, then the gaze after it, right and down.
    """
    draws, seconds = lively._draws(BLINK, stretch), lively._seconds(BLINK)
    n = int(draws.integers(*BLINKS))
    parts = _wait((draws.permutation(n) + draws.random(n)) / n)  # short and long waits in every stretch
    gaps = REFRACTORY + (seconds - n * REFRACTORY) * parts / parts.sum()
    starts = stretch * seconds + np.cumsum(gaps) - draws.uniform(0.4, 0.6) * gaps[0]
    again = (draws.random(n) < DOUBLE) & (np.append(gaps[1:], 0) > 1.0)
    starts = np.sort(np.append(starts, starts[again] + draws.uniform(0.32, 0.45)))
    m = len(starts)
    looks = LOOKS * np.clip(draws.normal(size=(m, 2)), -MOST, MOST) * (draws.random((m, 1)) < WITH_BLINK)
    lengths = np.stack([draws.uniform(*one, m) for one in (CLOSES, SHUT, OPENS)], 1)
    return np.column_stack([starts, lengths, looks])


@lru_cache(maxsize=1)
def _quantiles() -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and quantiles of the gamma distribution of shape SHAPE."""
    share = np.linspace(0.002, 0.998, 250)
    return share, gammaincinv(SHAPE, share)


def _wait(share: np.ndarray) -> np.ndarray:
    """Return quantiles of the gamma distribution, which intervals between blinks follow."""
    return np.interp(share, *_quantiles())


def _ease(share: np.ndarray) -> np.ndarray:
    """Return smoothstep of a share: 0 below 0, 1 above 1, without a kink between."""
    s = np.clip(share, 0, 1)
    return s * s * (3 - 2 * s)


def _steps(t: np.ndarray, starts: np.ndarray, lengths: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return values (k, f) at times t (f,) that move to a new target (n, k) from each start (n,) on.

    starts: ascending. lengths: (n,) seconds that each movement takes.
    """
    last = np.clip(np.searchsorted(starts, t, side="right") - 1, 1, None)
    share = _ease((t - starts[last]) / lengths[last])
    return (targets[last - 1] + (targets[last] - targets[last - 1]) * share[:, None]).T


def stress_of(loudness: np.ndarray, fps: Fraction | float) -> np.ndarray:
    """Return where speech is stressed, (f,) in [0, 1], from the loudness (f,) of its frames.

    Stress is loudness above the mean of the frames with speech in the last PAST seconds. A frame depends on
    these and on at most AHEAD seconds after it, so a stream gives the same result as a file.

    Args:
        loudness: RMS in any unit.
        fps: frames a second.
    """
    loud = np.asarray(loudness, np.float64)
    if len(loud) == 0:
        return loud
    rate = float(fps)
    calm = _smooth(loud, int(NEAR * rate))
    window = max(1, round((PAST - AHEAD) * rate))
    before = np.concatenate([np.zeros(window - 1), calm])
    seen = np.lib.stride_tricks.sliding_window_view(before, window)  # (f, window), the frame itself last
    said = seen > SAID * seen.max(1, keepdims=True)
    mean = (seen * said).sum(1) / np.maximum(said.sum(1), 1)
    more = calm / np.maximum(mean, 1e-9)
    return _smooth(np.clip((more - LOUDER) / (FULL - LOUDER), 0, 1) * (calm > 1e-7), int(CALM * rate))


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """Average values (f,) over `reach` frames to either side, with weights of Hann's window."""
    weights = np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(np.pad(values, reach, mode="edge"), weights / weights.sum(), "valid")
