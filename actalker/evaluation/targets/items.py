"""Functions that take the numbers of each measure from the readings of one model (`measures.Items`).

Each returns a list with a number for each clip, phone or pair of clips. r is Pearson's correlation over
frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations

import numpy as np

from ...media.sound import read_sound
from .. import lips
from ..lips import FPS
from ..statistics import mean
from ..sync import loudness
from . import driven
from .clips import Clip
from .makers import asked_opening
from .performances import Acted
from .seen import REAL, Readings, Seen


@dataclass(frozen=True, eq=False)
class Shown:
    """Hold all readings of the output of one model.

    model: its name.
    readings: (model, use, number of a clip) -> MediaPipe's reading, of all models.
    clips: use -> the clips that were to be made for it.
    acted: what `performances.measure` found in each performance; empty where none was made.
    """

    model: str
    readings: Readings
    clips: Mapping[str, Sequence[Clip]]
    acted: Sequence[Acted] = ()

    def of(self, use: str) -> list[tuple[Clip, Seen]]:
        """Return the clips of a use, each with its reading, in order; clips not made are left out."""
        pairs = [
            (clip, self.readings.get((self.model, use, clip.number))) for clip in self.clips.get(use, ())
        ]
        return [(clip, seen) for clip, seen in pairs if seen is not None]

    def get(self, use: str, number: int) -> Seen | None:
        """Return the reading of one clip; None where it was not made."""
        return self.readings.get((self.model, use, number))

    def real(self, clip: Clip) -> Seen:
        """Return the reading of the real person in the video that belongs to a clip."""
        return self.readings[REAL, clip.use, clip.number]


def articulators(shown: Shown) -> list[float]:
    """Return, per `speech` clip, r of the lips' opening with the opening that the phones ask for."""
    return [
        lips.agreement(seen.opening, asked_opening(clip.phones, clip.frames))
        for clip, seen in shown.of("speech")
    ]


def real(shown: Shown, curve: str) -> list[float]:
    """Return, per `real` clip, r of a curve of `Seen` with the same curve of the person in the video.

    It is r at the best lag from -2 to 2 frames.
    """
    return [
        lips.agreement(getattr(seen, curve), getattr(shown.real(clip), curve), lips.LAG)
        for clip, seen in shown.of("real")
    ]


def swapped(shown: Shown, curve: str) -> list[float]:
    """Return, per ordered pair of different `real` clips, r of the second's curve with the first's speaker.

    Each value is a mean over rotations of the wrong curve by every whole second, which lessens chance.
    """
    out = []
    for (clip, _), (_, seen) in permutations(shown.of("real"), 2):
        wrong, asked = getattr(seen, curve), getattr(shown.real(clip), curve)
        count = min(len(wrong), len(asked))
        turned = [np.roll(wrong[:count], -by) for by in range(0, count, FPS)]
        out.append(mean([lips.agreement(one, asked[:count], lips.LAG) for one in turned]))
    return out


def loud(shown: Shown) -> list[float]:
    """Return, per `real` clip, r of √loudness with the opening of the real speaker's lips.

    It is r at the best lag from -2 to 2 frames.
    """
    out = []
    for clip, _ in shown.of("real"):
        assert clip.real is not None
        loud = np.sqrt(loudness(read_sound(clip.real), clip.frames, Fraction(FPS)))
        out.append(lips.agreement(loud, shown.real(clip).opening, lips.LAG))
    return out


def closed(shown: Shown, use: str, symbols: frozenset[str]) -> list[float]:
    """Return 1 or 0 per phone among `symbols` in the clips of a use: whether the lips close at it."""
    out: list[float] = []
    for clip, seen in shown.of(use):
        out += lips.closed_at(seen.opening, clip.phones, symbols).astype(float).tolist()
    return out


def closed_apart(shown: Shown) -> list[float]:
    """Return [share of p b m with closed lips - share of t d n s z l with closed lips] of the `speech` clips.

    The list is empty without clips.
    """
    return _less(closed(shown, "speech", lips.PRESSED), closed(shown, "speech", lips.RIDGE))


def as_closed(shown: Shown, use: str) -> list[float]:
    """Return [share of p b m with closed lips in clips of `use` - that share in `speech` clips].

    `speech` clips show portraits whose lips are closed at rest. The list is empty without clips.
    """
    return _less(closed(shown, use, lips.PRESSED), closed(shown, "speech", lips.PRESSED))


def _less(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [mean(one) - mean(other)] if one and other else []


def widths(shown: Shown) -> list[float]:
    """Return, per `speech` clip, mean mouth width at spread vowels - mean mouth width at rounded vowels.

    Widths are in standard deviations within the clip.
    """
    out = []
    for clip, seen in shown.of("speech"):
        deviations = lips.deviations(seen.width)
        spread, rounded = (lips.mean_at(deviations, clip.phones, g) for g in (lips.SPREAD, lips.ROUNDED))
        out.append(mean(spread) - mean(rounded))
    return out


def pressed_over_open(shown: Shown) -> list[float]:
    """Return, per `speech` clip, mean lip opening at p b m / mean lip opening at open vowels."""
    out = []
    for clip, seen in shown.of("speech"):
        shut, opened = (lips.mean_at(seen.opening, clip.phones, g) for g in (lips.PRESSED, lips.OPEN))
        out.append(mean(shut) / max(mean(opened), 1e-9))
    return out


def restless(shown: Shown) -> list[float]:
    """Return, per `real` clip, mean |change of lip opening per frame| / the same of the real speaker."""
    return [lips.step(seen.opening) / lips.step(shown.real(clip).opening) for clip, seen in shown.of("real")]


def robust(shown: Shown, use: str) -> list[float]:
    """Return, per clip of a use, r of the lips' opening with that in the clean clip of the same voice."""
    out = []
    for clip, seen in shown.of(use):
        clean = shown.get("clean", clip.number)
        if clean is not None:
            out.append(lips.agreement(seen.opening, clean.opening))
    return out


def still(shown: Shown) -> list[float]:
    """Return, per `silence` clip, std(lip opening) / std(lip opening in the first clean clip)."""
    clean = shown.get("clean", 0)
    return [
        float(np.nanstd(seen.opening) / np.nanstd(clean.opening))
        for _, seen in shown.of("silence")
        if clean is not None and np.nanstd(clean.opening) > 0
    ]


def held(shown: Shown, use: str) -> list[float]:
    """Return, per clip of a use, the share of shut lips among the frames whose phones need open lips."""
    clean, out = shown.get("clean", 0), []
    for clip, seen in shown.of(use):
        if clean is not None:
            asked = asked_opening(clip.phones, clip.frames)
            out.append(lips.shut_while_open(seen.opening, asked, lips.most(clean.opening)))
    return out


def channel(shown: Shown, name: str, what: str) -> list[float]:
    """How each driven clip follows one channel of its driver; drivers that hardly move it are left out.

    name: a key of `driven.SHAPES` or one of `driven.ANGLES`. what: `r` or `amplitude`.
    """
    out = []
    for clip, seen in shown.of("driver"):
        person = shown.real(clip)
        if name in driven.SHAPES:
            score = driven.SHAPES[name]
            follows = driven.followed(seen.shape(score), person.shape(score))
        else:
            k = driven.ANGLES.index(name)
            follows = driven.followed(seen.pose[:, k], person.pose[:, k], driven.TURNS)
        if follows is not None:
            out.append(getattr(follows, what))
    return out


def leak(shown: Shown, region: int) -> list[float]:
    """Change in a region (an index of `Seen.change`) that closing audio makes, in % of the lower face's."""
    return [
        float(100 * seen.change[region] / seen.change[0])
        for _, seen in shown.of("closing")
        if seen.change[0] > 0
    ]


def lips_lost(shown: Shown) -> list[float]:
    """Return, per `both` clip, how much a driver disturbs the lips: r(speech alone) - r(speech and driver).

    r correlates the lips' opening with the opening that the phones ask for.
    """
    out = []
    for clip, seen in shown.of("both"):
        alone = shown.get("clean", clip.number)
        if alone is not None:
            asked = asked_opening(clip.phones, clip.frames)
            before, beside = (lips.agreement(one.opening, asked) for one in (alone, seen))
            out.append(before - beside)
    return out


def upper_lost(shown: Shown) -> list[float]:
    """Return, per `both` clip, how speech disturbs brows and lids: r(driver alone) - r(driver and speech).

    r correlates a curve with the same curve of the driver. Each clip has two numbers, for brows and lids,
    without the curves that the driver hardly moves.
    """
    out = []
    for clip, seen in shown.of("both"):
        alone, person = shown.get("driver", clip.number), shown.readings.get((REAL, "driver", clip.number))
        if alone is None or person is None:
            continue
        for curve, least in (("brows", driven.BROWS), ("lids", driven.LIDS)):
            asked = getattr(person, curve)
            before, beside = (driven.followed(getattr(one, curve), asked, least) for one in (alone, seen))
            if before is not None and beside is not None:
                out.append(before.r - beside.r)
    return out


def blinks(shown: Shown) -> list[float]:
    """Return the number of blinks per minute of each `long` clip."""
    return [driven.blinks_a_minute(seen.lids, FPS) for _, seen in shown.of("long")]


def irregular(shown: Shown) -> list[float]:
    """Return, per `long` clip, std / mean of the times from blink to blink."""
    return [driven.irregularity(driven.blink_intervals(seen.lids, FPS)) for _, seen in shown.of("long")]


def yaw(shown: Shown) -> list[float]:
    """Return the standard deviation of the yaw of each `long` clip, in degrees."""
    return [float(np.nanstd(seen.pose[:, 0])) for _, seen in shown.of("long")]


def seeds(shown: Shown) -> list[float]:
    """Return [`driven.apart` of the yaws of two seeds]; empty where one of the two clips was not made."""
    one, other = shown.get("long", 0), shown.get("again", 0)
    if one is None or other is None:
        return []
    return [driven.apart(one.pose[: len(other.pose), 0], other.pose[:, 0])]


def errors(shown: Shown, setting: str, region: str) -> list[tuple[float, float]]:
    """Return, per performance, (error under a setting, error with all gates open) in a region."""
    return [(one["errors"][setting][region], one["errors"]["open"][region]) for one in shown.acted]


def phrases(shown: Shown, setting: str) -> list[float]:
    """Return 1 or 0 per phrase of the performances' scripts: whether the motion under a setting shows it."""
    return [float(value) for one in shown.acted for value in one["phrases"][setting]]


def monotone(shown: Shown, signal: str) -> list[float]:
    """Return 1 or 0 per performance: whether the effect of a signal grows with its gate."""
    return [float(one["monotone"][signal]) for one in shown.acted if signal in one["monotone"]]


def lost(shown: Shown, region: str) -> list[float]:
    """Return, per performance, r of a region with its signal alone - r with a contradicting signal open too.

    r correlates the motion in the region with the motion that the region's own signal asks for.
    """
    both = (one["conflict"].get(region) for one in shown.acted)
    return [r["alone"] - r["beside"] for r in both if r is not None]


def beside(shown: Shown, region: str) -> list[float]:
    """Return, per performance, r of a region while a signal that contradicts the region's own is open too.

    r correlates the motion in the region with the motion that the region's own signal asks for.
    """
    both = (one["conflict"].get(region) for one in shown.acted)
    return [r["beside"] for r in both if r is not None]


def group(shown: Shown, name: str) -> list[float]:
    """Return r of a group of motion parameters (`performances.GROUPS`) with the motion that is asked for.

    There is a value for each performance in which the group moves.
    """
    return [one["r"][name] for one in shown.acted if name in one["r"]]
