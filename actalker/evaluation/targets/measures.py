"""The rows of the table of targets: each measure with its protocol in words and its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...signals.signal import SIGNALS
from .. import lips
from ..statistics import mean, median
from ..tables import Range
from . import driven, items, makers, performances
from .items import Shown

READ = (
    "MediaPipe's landmarker on frames of the square around the face, longer side 512 pixels at least, 25 a "
    "second; of videos of people on whole frames, longer side 1280 pixels at most"
)
OPENING = "opening of the lips (landmarks 13-14 over 33-263)"
WIDTH = "width of the mouth (61-291 over 33-263)"
NEAR = "frames within 45 ms of a phone's middle"
LAGGED = "Pearson's r at the best lag within 2 frames either way, mean over clips"
CLOSED = f"share of phones whose least {OPENING} in {NEAR} is <= 0.20 of the clip's 95th percentile"
FOR_DIRECT = "direct"  # the model that others are compared with (`Measure.beside`)

Items = Callable[[Shown], Sequence[float] | Sequence[tuple[float, float]]]
"""Readings of one model -> a number, or a pair of numbers, for each clip, phone or pair of clips."""


def over(pairs: np.ndarray) -> float:
    """Return sum(pairs[:, 0]) / sum(pairs[:, 1]) of pairs (n, 2); NaN where the divisor is at most 1e-9."""
    total = np.reshape(pairs, (-1, 2)).sum(0)
    return float(total[0] / total[1]) if total[1] > 1e-9 else float("nan")


@dataclass(frozen=True)
class Measure:
    """Define one row of the table of targets.

    name: the title of the row.
    formula: the protocol in words.
    items: function that returns a number, or a pair of numbers, for each clip, phone or pair of clips.
    low, high: the target, low <= value <= high; None is no limit.
    beside: the most by which the value may lie below that of the model `direct` in the same run; None where
        the two are not compared.
    over: function that reduces the items to the value of the row.
    """

    name: str
    formula: str
    items: Items
    low: float | None = None
    high: float | None = None
    beside: float | None = None
    over: Callable[[np.ndarray], float] = mean

    @property
    def range(self) -> Range:
        """Return the target as a range of values."""
        return Range(self.low, self.high)

    @property
    def target(self) -> str:
        """Return the target in words, with the limit that `beside` sets."""
        beside = "" if self.beside is None else f"; >= direct - {self.beside:g}"
        return f"{self.range}{beside}"

    def met(self, value: float, direct: float = float("nan")) -> bool | None:
        """Return whether a value meets the target; None where there is no target, or the value is NaN.

        direct: the value of the model `direct` in the same run; NaN where it was not measured.
        """
        holds = self.range.holds(value)
        near = self.beside is None or np.isnan(direct) or value >= direct - self.beside
        return None if holds is None else holds and near


def _of_lips() -> Iterator[Measure]:
    yield Measure(
        "unseen voices: lips' opening against the articulators, r",
        f"Pearson's r of the {OPENING} with the opening that the phones ask of a neutral face, without lag, "
        "mean over clips",
        items.articulators,
        low=0.6,
    )
    yield Measure(
        "real speech: opening against the speaker's, r",
        f"{OPENING}, against the speaker's own; {LAGGED}",
        partial(items.real, curve="opening"),
        low=0.33,
    )
    yield Measure(
        "the same with another clip's sound",
        f"{OPENING}, against every other speaker's, from each whole second of the wrong clip on; {LAGGED}",
        partial(items.swapped, curve="opening"),
        high=0.15,
    )
    yield Measure(
        "the same, loudness in the lips' place",
        f"square root of the sound's RMS around each frame, against the speaker's {OPENING}; {LAGGED}",
        items.loud,
    )
    yield Measure(
        "real speech: width against the speaker's, r",
        f"{WIDTH}, against the speaker's own; {LAGGED}",
        partial(items.real, curve="width"),
        low=0.45,
    )
    yield Measure(
        "real speech: restlessness, mean step over the speaker's",
        f"mean change of the {OPENING} from frame to frame over the speaker's; mean over clips",
        items.restless,
        low=0.8,
        high=1.2,
    )


def _of_closures() -> Iterator[Measure]:
    pressed = partial(items.closed, symbols=lips.PRESSED)
    yield Measure("unseen voices: closed at p b m", CLOSED, partial(pressed, use="speech"), low=0.75)
    ridge = partial(items.closed, symbols=lips.RIDGE, use="speech")
    yield Measure("unseen voices: closed at t d n s z l", CLOSED, ridge, high=0.35)
    apart = f"{CLOSED}; that of p b m less that of t d n s z l"
    yield Measure("unseen voices: the two apart", apart, items.closed_apart, low=0.40)
    tucked = partial(items.closed, symbols=lips.TUCKED, use="speech")
    yield Measure("unseen voices: closed at f v", CLOSED, tucked)
    yield Measure(
        "unseen voices: width at spread less rounded vowels, deviations",
        f"{WIDTH} less the clip's mean over its standard deviation, {NEAR}: mean of i ɪ e ɛ less that of "
        "u ʊ o ɔ, mean over clips",
        items.widths,
        low=0.8,
    )
    yield Measure(
        "unseen voices: opening at p b m over that at a",
        f"{OPENING}, {NEAR}: mean of p b m over that of a ɑ æ, mean over clips",
        items.pressed_over_open,
        high=0.40,
    )
    for use in ("parted", "laughing"):
        title = f"{use} portraits"
        yield Measure(f"{title}: closed at p b m", CLOSED, partial(pressed, use=use), low=0.75)
        less = f"{CLOSED}; that of {use} portraits less that of closed ones"
        yield Measure(f"{title}: less closed ones", less, partial(items.as_closed, use=use), low=-0.1)


def _of_sounds() -> Iterator[Measure]:
    clean = f"Pearson's r of the {OPENING} with that of the clean sound, without lag, mean over voices"
    for title, use in (
        ("music bed at 5 dB", "music"),
        ("white noise at 10 dB", "noise"),
        ("telephone", "telephone"),
    ):
        yield Measure(
            f"{title}: lips against those of the clean sound, r",
            clean,
            partial(items.robust, use=use),
            low=0.8,
        )
    yield Measure(
        "silence: lips' movement over that in speech",
        f"standard deviation of the {OPENING} in silence over that of the same portrait in speech",
        items.still,
        high=0.1,
    )
    shut = (
        f"share of frames with an {OPENING} <= 0.20 of the same portrait's 95th percentile in speech, where "
        "the phones ask a neutral face for more than 0.4 of their own"
    )
    for title, use in (("song", "song"), ("music as loud as the voice", "loud music")):
        name = f"{title}: shut where the voice asks for open lips, share"
        yield Measure(name, shut, partial(items.held, use=use), high=0.1)


def _of_drivers() -> Iterator[Measure]:
    for name in (*driven.SHAPES, *driven.ANGLES):
        angle = name in driven.ANGLES
        what, least = ("angle", "1 degree") if angle else ("score, mean of both sides", "0.05")
        said = (
            f"drivers alone whose own standard deviation is >= {least}: MediaPipe's {what}, of the output "
            "against the driver's"
        )
        yield Measure(
            f"driver: {name}, r",
            f"{said}; median of Pearson's r",
            partial(items.channel, name=name, what="r"),
            low=0.9 if angle else 0.5 if name == "browDown" else 0.75,
            beside=None if angle else 0.05,
            over=median,
        )
        yield Measure(
            f"driver: {name}, amplitude",
            f"{said}; median of the standard deviations' ratio",
            partial(items.channel, name=name, what="amplitude"),
            low=0.8 if angle else 0.6,
            high=1.2,
            over=median,
        )


def _of_control() -> Iterator[Measure]:
    pair = (
        "audio, driver and script open, without a life of its own, and the same with audio closed: mean "
        "difference of frames (of 255) in the paper's rectangle around each frame's landmarks, parted at the "
        "base of the nose, and outside it"
    )
    for title, region in (("upper face", 1), ("rest", 2)):
        yield Measure(
            f"closing audio changes the {title}, % of its change in the lower face",
            f"{pair}; {title} over lower face, mean over portraits",
            partial(items.leak, region=region),
            high=2.0,
        )
    alone = "Pearson's r alone less r beside the other signal, mean over pairs"
    yield Measure(
        "speech beside a driver: r that lips lose",
        f"{OPENING} with the opening that the phones ask for; {alone}",
        items.lips_lost,
        high=0.03,
    )
    yield Measure(
        "driver beside speech: r that brows and lids lose",
        "height of the brows (55, 107 over 133; 285, 336 over 362) and opening of the lids with the driver's "
        f"where it moves them; {alone}",
        items.upper_lost,
        high=0.03,
    )


def _of_life() -> Iterator[Measure]:
    yield Measure(
        "speech alone: blinks a minute",
        "lids below 0.75 of their usual opening, over above 0.85, at most 0.5 s; one clip of a minute",
        items.blinks,
        low=8,
        high=25,
    )
    yield Measure(
        "speech alone: blinks' intervals, deviation over mean",
        "from the beginning of each blink to that of the next; one clip of a minute",
        items.irregular,
        low=0.4,
        high=1.0,
    )
    yield Measure(
        "speech alone: yaw's deviation, degrees",
        "standard deviation of MediaPipe's yaw; one clip of a minute",
        items.yaw,
        low=0.5,
        high=3.0,
    )
    yield Measure(
        "speech alone: two seeds apart",
        "mean difference of the yaw of two seeds over the first one's standard deviation",
        items.seeds,
        low=0.5,
    )


def _of_performances() -> Iterator[Measure]:
    what = (
        f"{performances.COUNT} performances of {performances.SECONDS:g} s that no training sees (seed "
        f"{performances.SEED}), numbers of motion weighed by the length of their maps"
    )
    error = f"{what}; mean square difference to what all open gates ask for"
    for signal, region, low, high in (
        (makers.CLOSED, "mouth", 3.0, None),
        (makers.CLOSED, "upper", 0.97, 1.03),
        ("expression", "upper", 2.0, None),
    ):
        yield Measure(
            f"performances: error in the {region}, {signal} closed over open",
            error,
            partial(items.errors, setting=f"{signal} closed", region=region),
            low=low,
            high=high,
            over=over,
        )
    phrase = f"{what}; phases of which motion has half at least, by least squares"
    for title, setting, least, most in (
        ("text open, expression closed", "expression closed", 0.85, None),
        ("all open", "open", 0.8, None),
        ("text and expression closed", "expression and text closed", None, 0.3),
    ):
        name = f"performances: script phrases shown, {title}"
        yield Measure(name, phrase, partial(items.phrases, setting=setting), low=least, high=most)
    for signal in SIGNALS:
        name = f"performances: effect grows with the {signal} gate, share"
        grows = (
            f"{what}; effect in its own region at gates 0, 0.25, 0.5, 0.75, 1, each more than the one before"
        )
        yield Measure(name, grows, partial(items.monotone, signal=signal), low=0.9)
    contradicted = (
        f"{what}, each with the driver of another one and no script; Pearson's r of each number of the "
        "region that moves with what its signal asks for, median within a performance"
    )
    for region, said in (("mouth", "lips' r with the speech"), ("upper", "upper face's r with the driver")):
        yield Measure(
            f"performances: {said}, speech and driver contradict",
            f"{contradicted}, mean over them",
            partial(items.beside, region=region),
        )
        yield Measure(
            f"performances: {said}, lost by the other signal",
            f"{contradicted}; alone less beside the other, mean over them",
            partial(items.lost, region=region),
            high=0.03,
        )
    for title in performances.GROUPS:
        name = f"performances: {title}, r with what is asked for"
        yield Measure(
            name,
            f"{what}; Pearson's r of each number that moves, median within a performance, mean over them",
            partial(items.group, name=title),
        )


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for group in (_of_lips, _of_closures, _of_sounds, _of_drivers, _of_control, _of_life, _of_performances)
    for measure in group()
}
