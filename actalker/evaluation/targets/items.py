"""What each measure takes from the clips of one model: a list of numbers, one a clip, a phone or a pair."""

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
    """What was seen of one model. clips: by use. acted: its performances (`performances.measure`)."""

    model: str
    readings: Readings
    clips: Mapping[str, Sequence[Clip]]
    acted: Sequence[Acted] = ()

    def of(self, use: str) -> list[tuple[Clip, Seen]]:
        """Clips of a use, and what was seen of them, in order; those that were not made are left out."""
        pairs = [
            (clip, self.readings.get((self.model, use, clip.number))) for clip in self.clips.get(use, ())
        ]
        return [(clip, seen) for clip, seen in pairs if seen is not None]

    def get(self, use: str, number: int) -> Seen | None:
        """What was seen of one clip."""
        return self.readings.get((self.model, use, number))

    def real(self, clip: Clip) -> Seen:
        """The person in a clip's video."""
        return self.readings[REAL, clip.use, clip.number]


def articulators(shown: Shown) -> list[float]:
    """r of the lips' opening with the opening that the phones ask for, of each `speech` clip."""
    return [
        lips.agreement(seen.opening, asked_opening(clip.phones, clip.frames))
        for clip, seen in shown.of("speech")
    ]


def real(shown: Shown, curve: str) -> list[float]:
    """r of a curve of `Seen` with that of the person in the video, within LAG frames, of each `real` clip."""
    return [
        lips.agreement(getattr(seen, curve), getattr(shown.real(clip), curve), lips.LAG)
        for clip, seen in shown.of("real")
    ]


def swapped(shown: Shown, curve: str) -> list[float]:
    """r of a curve with that of the wrong speaker, of each pair of different `real` clips.

    The mean over starts at every whole second of the wrong clip, so that chance moves it less.
    """
    out = []
    for (clip, _), (_, seen) in permutations(shown.of("real"), 2):
        wrong, asked = getattr(seen, curve), getattr(shown.real(clip), curve)
        count = min(len(wrong), len(asked))
        turned = [np.roll(wrong[:count], -by) for by in range(0, count, FPS)]
        out.append(mean([lips.agreement(one, asked[:count], lips.LAG) for one in turned]))
    return out


def loud(shown: Shown) -> list[float]:
    """r of the loudness of each real speaker with the opening of the speaker's lips, within LAG frames."""
    out = []
    for clip, _ in shown.of("real"):
        assert clip.real is not None
        loud = np.sqrt(loudness(read_sound(clip.real), clip.frames, Fraction(FPS)))
        out.append(lips.agreement(loud, shown.real(clip).opening, lips.LAG))
    return out


def closed(shown: Shown, use: str, symbols: frozenset[str]) -> list[float]:
    """1 or 0 for each phone among `symbols` in the clips of a use: whether the lips close at it."""
    out: list[float] = []
    for clip, seen in shown.of(use):
        out += lips.closed_at(seen.opening, clip.phones, symbols).astype(float).tolist()
    return out


def closed_apart(shown: Shown) -> list[float]:
    """One number: the share of closed p b m less that of closed t d n s z l; none without clips."""
    return _less(closed(shown, "speech", lips.PRESSED), closed(shown, "speech", lips.RIDGE))


def as_closed(shown: Shown, use: str) -> list[float]:
    """One number: the share of closed p b m in a use less that of the portraits with closed lips."""
    return _less(closed(shown, use, lips.PRESSED), closed(shown, "speech", lips.PRESSED))


def _less(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [mean(one) - mean(other)] if one and other else []


def widths(shown: Shown) -> list[float]:
    """Mean width of the mouth at spread vowels less that at rounded ones, of each `speech` clip.

    Widths are in standard deviations within the clip.
    """
    out = []
    for clip, seen in shown.of("speech"):
        deviations = lips.deviations(seen.width)
        spread, rounded = (lips.mean_at(deviations, clip.phones, g) for g in (lips.SPREAD, lips.ROUNDED))
        out.append(mean(spread) - mean(rounded))
    return out


def pressed_over_open(shown: Shown) -> list[float]:
    """Mean opening of the lips at p b m over that at open vowels, of each `speech` clip."""
    out = []
    for clip, seen in shown.of("speech"):
        shut, opened = (lips.mean_at(seen.opening, clip.phones, g) for g in (lips.PRESSED, lips.OPEN))
        out.append(mean(shut) / max(mean(opened), 1e-9))
    return out


def restless(shown: Shown) -> list[float]:
    """Mean step of the lips' opening over that of the real speaker, of each `real` clip."""
    return [lips.step(seen.opening) / lips.step(shown.real(clip).opening) for clip, seen in shown.of("real")]


def robust(shown: Shown, use: str) -> list[float]:
    """r of the lips' opening with that of the same voice's clean clip, of each clip of a use."""
    out = []
    for clip, seen in shown.of(use):
        clean = shown.get("clean", clip.number)
        if clean is not None:
            out.append(lips.agreement(seen.opening, clean.opening))
    return out


def still(shown: Shown) -> list[float]:
    """Deviation of the lips' opening in silence over that of the first clean clip."""
    clean = shown.get("clean", 0)
    return [
        float(np.nanstd(seen.opening) / np.nanstd(clean.opening))
        for _, seen in shown.of("silence")
        if clean is not None and np.nanstd(clean.opening) > 0
    ]


def held(shown: Shown, use: str) -> list[float]:
    """Share of frames with shut lips where the voice asks for open ones, of each clip of a use."""
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
    """r of the lips with the phones, alone less beside a driver, of each `both` clip."""
    out = []
    for clip, seen in shown.of("both"):
        alone = shown.get("clean", clip.number)
        if alone is not None:
            asked = asked_opening(clip.phones, clip.frames)
            before, beside = (lips.agreement(one.opening, asked) for one in (alone, seen))
            out.append(before - beside)
    return out


def upper_lost(shown: Shown) -> list[float]:
    """r of brows and lids with the driver's, alone less beside speech, of each `both` clip."""
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
    """Blinks a minute of each `long` clip."""
    return [driven.blinks_a_minute(seen.lids, FPS) for _, seen in shown.of("long")]


def irregular(shown: Shown) -> list[float]:
    """Standard deviation of the times between blinks over their mean, of each `long` clip."""
    return [driven.irregularity(driven.blink_intervals(seen.lids, FPS)) for _, seen in shown.of("long")]


def yaw(shown: Shown) -> list[float]:
    """Standard deviation of the yaw, degrees, of each `long` clip."""
    return [float(np.nanstd(seen.pose[:, 0])) for _, seen in shown.of("long")]


def seeds(shown: Shown) -> list[float]:
    """How far the yaws of two seeds are apart (`driven.apart`), where both clips are there."""
    one, other = shown.get("long", 0), shown.get("again", 0)
    if one is None or other is None:
        return []
    return [driven.apart(one.pose[: len(other.pose), 0], other.pose[:, 0])]


def errors(shown: Shown, setting: str, region: str) -> list[tuple[float, float]]:
    """(error under a setting, error with all gates open) in a region, of each performance."""
    return [(one["errors"][setting][region], one["errors"]["open"][region]) for one in shown.acted]


def phrases(shown: Shown, setting: str) -> list[float]:
    """1 or 0 for each phrase of the performances' scripts: whether motion shows it under a setting."""
    return [float(value) for one in shown.acted for value in one["phrases"][setting]]


def monotone(shown: Shown, signal: str) -> list[float]:
    """1 or 0 for each performance: whether the effect of a signal grows with its gate."""
    return [float(one["monotone"][signal]) for one in shown.acted if signal in one["monotone"]]


def lost(shown: Shown, region: str) -> list[float]:
    """What a region's signal loses in r by another signal that contradicts it, of each performance."""
    both = (one["conflict"].get(region) for one in shown.acted)
    return [r["alone"] - r["beside"] for r in both if r is not None]


def beside(shown: Shown, region: str) -> list[float]:
    """r of a region's motion with its own signal beside another that contradicts it, of each performance."""
    both = (one["conflict"].get(region) for one in shown.acted)
    return [r["beside"] for r in both if r is not None]


def group(shown: Shown, name: str) -> list[float]:
    """r of a group of numbers with the truth, of each performance in which it moves."""
    return [one["r"][name] for one in shown.acted if name in one["r"]]
