"""What drives the face: a driving video, or a take of coefficients, as an encoder's tokens.

Letters: k frames.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..heads.face_map import numbers_of
from ..heads.motion import HeadMotion
from ..heads.rest import calm_mouth, relative_to
from ..heads.take import read_take
from ..heads.track import track
from ..timeline import frame_count
from .audio import HOP, RATE, first_steps, loudness
from .feed import Feed, SignalContext
from .film import Driver, Film, Motion, drive, find_rest, gaps, nearest, open_film
from .liveliness import Liveliness, stress_of
from .objects import VideoInput, as_frames

log = logging.getLogger("actalker")
TAKE = "take"  # what motion that is no file is called
SUFFIX = ".csv"


@dataclass(frozen=True, eq=False)
class Take:
    """A head's absolute motion at the clip's frame times. first: seconds of it that are left out at its
    beginning.
    """

    name: str
    motion: HeadMotion
    fps: Fraction
    first: Fraction

    @property
    def frames(self) -> int:
        """How many of them the clip uses."""
        return len(self.motion)

    def seconds(self, k: int) -> float:
        """When frame k is, by the take's own time."""
        return float(self.first + k / self.fps)


Performance = Film | Take


def open_expression(value: VideoInput, context: SignalContext, start: Fraction) -> ExpressionInput:
    """A driving video or a take, from `start` seconds on; as many frames of it as the clip uses.

    Raises: InputError for what is neither, and a start behind its end.
    """
    longest = None if context.seconds is None else frame_count(context.seconds, context.fps)
    return ExpressionInput(open_performance(context, as_frames(value), longest, start), context)


class ExpressionInput:
    """A driving video or a take that is opened."""

    def __init__(self, performance: Performance, context: SignalContext) -> None:
        self.performance, self.context = performance, context

    @property
    def seconds(self) -> Fraction:
        """Of its frames that the clip uses."""
        return self.performance.frames / self.context.fps

    def feed(self, frames: int) -> MotionFeed:
        """Its motion, relative to its rest. Raises: InputError where it shows no face."""
        return MotionFeed(perform(self.context, self.performance), frames, self.context.fps)


class MotionFeed(Feed):
    """A driver's motion as tokens. Its gate closes where the video shows no face, and where it ends."""

    def __init__(self, driver: Driver, frames: int, fps: Fraction) -> None:
        self.driver, self.frames, self.fps, self.facts = driver, frames, fps, driver.facts

    def tokens(self, start: int, f: int) -> Tensor:
        """Tokens (1, f, n, d) of frames start .. start + f; the last one's behind the end."""
        rows = torch.arange(start, start + f).clamp(max=len(self.driver) - 1)
        return self.driver.tokens[rows][None]

    def shown(self, start: int, f: int) -> np.ndarray:
        """`Driver.shown`."""
        return self.driver.shown(start, f, self.frames, self.fps)


def live(context: SignalContext, frames: int, feeds: Mapping[str, Feed]) -> MotionFeed | None:
    """Blinks and small movements of a face that nobody drives: an expression signal of its own.

    Its amount is `context.liveliness`; the head follows the stresses of the speech among `feeds`. None for
    amount 0, and for models that are driven by pictures: they learnt no such motion.
    """
    if not context.liveliness or not reads_motion(context.encoder):
        return None
    mono = next((feed.mono for feed in feeds.values() if feed.mono is not None), None)
    fact = f"liveliness {context.liveliness:g}: blinks and small movements, for no driving video is given"
    return MotionFeed(Driver(lambda: _lively(context, frames, mono), [fact]), frames, context.fps)


def open_performance(
    context: SignalContext,
    given: Path | HeadMotion | Iterable[np.ndarray],
    limit: int | None,
    start: Fraction = Fraction(0),
) -> Performance:
    """A driving video or a take, checked; `limit` frames of it at most.

    start: seconds that are left out at its beginning. Raises: InputError for what is neither, for a take
    where the model reads pictures, and for a start behind the end.
    """
    fps = context.fps
    if not isinstance(given, HeadMotion) and not (isinstance(given, Path) and given.suffix.lower() == SUFFIX):
        return open_film(given, fps, limit, start)
    name = TAKE if isinstance(given, HeadMotion) else str(given)
    if not reads_motion(context.encoder):
        raise InputError(
            f"{name}: is a take of coefficients, and this model reads pictures of a face; give a driving "
            "video, or a model of heads, such as direct"
        )
    motion = given if isinstance(given, HeadMotion) else read_take(given)
    begins = motion.times[0]
    lasts = motion.times[-1] - motion.times[-2] if len(motion) > 1 else float(1 / fps)  # the last frame
    length = Fraction(float(motion.times[-1] - begins + lasts)).limit_denominator(10**6)
    if start >= length:
        raise InputError(f"{name}: is {float(length):g} s long; give an --expression-start before its end")
    count = frame_count(length - start, fps)
    count = count if limit is None else min(count, limit)
    times = float(start) + np.arange(count) * float(1 / fps)
    return Take(name, motion.at(begins + times), fps, start)


def reads_motion(encoder: nn.Module) -> bool:
    """Whether an encoder is driven by the motion of a head, not by pictures of a face."""
    return getattr(encoder, "reads", "crops") == "motion"


def perform(context: SignalContext, given: Performance) -> Driver:
    """The motion that drives the clip, relative to its rest. Raises: InputError where it shows no face."""
    if isinstance(given, Film) and not reads_motion(context.encoder):
        return drive(context, given)
    if isinstance(given, Film):
        film, rest = given, find_rest(given, context.face_model)
        return Driver(lambda: _motion(context, film, _track(context, film), rest), [_fact(given, rest)])
    seen = np.flatnonzero(given.motion.confidence > 0)
    if not len(seen):
        raise InputError(f"{given.name}: no face in {given.frames} of its frames; give a take that has one")
    rest = int(seen[0])
    return Driver(lambda: _motion(context, given, given.motion, rest), [_fact(given, rest)])


def _lively(context: SignalContext, frames: int, mono: np.ndarray | None) -> Motion:
    stress, fps = None, context.fps
    if mono is not None:
        hops = first_steps(fps, frames, 0, RATE // HOP, Fraction(0))
        stress = stress_of(loudness(mono, hops), fps)
    numbers = Liveliness(fps, context.seed, context.liveliness).numbers(0, frames, stress)
    rows = torch.from_numpy(numbers).to(context.device)[None]
    return Motion(context.encoder(rows, rows.new_ones(1, frames))[0], np.ones(frames, bool))


def _fact(given: Performance, rest: int) -> str:
    what = "driving video" if isinstance(given, Film) else "take"
    fact = f"{what}: motion is relative to its face at {given.seconds(rest):.2f} s"
    return fact + (f", the first that is seen after {given.seconds(0):.2f} s" if rest else "")


def _track(context: SignalContext, film: Film) -> HeadMotion:
    """The track of a film's head."""
    frames = ((film.seconds(k), frame) for k, frame in enumerate(film.read()))
    motion, _ = track(frames, film.name, context.face_model)
    return motion


def _motion(context: SignalContext, given: Performance, motion: HeadMotion, rest: int) -> Motion:
    """Tokens of a motion relative to frame `rest`, or the first after it that shows a face, and where
    there is one.
    """
    present = motion.confidence > 0
    if not present.any():
        raise InputError(
            f"{given.name}: no head could be followed in {given.frames} of its frames; give a video of one "
            "face seen from the front"
        )
    if not present.all():
        log.warning("%s: %s; its gate closes there", given.name, gaps(given, present))
    seen = np.flatnonzero(present)
    rest = int(seen[seen >= rest][0] if seen[-1] >= rest else seen[-1])
    cuts = int(motion.shot[seen].max() - motion.shot[seen].min())
    if cuts:
        log.warning(
            "%s: %d cuts; the head's place is relative to the first face after each", given.name, cuts
        )
    calm = calm_mouth(motion, rest, present)
    if calm != rest:
        log.warning(
            "%s: its lips are apart at %.2f s; the mouth's motion is relative to %.2f s, where they meet",
            given.name,
            given.seconds(rest),
            given.seconds(calm),
        )
    relative = relative_to(motion, rest, calm, present)
    numbers = torch.from_numpy(numbers_of(relative)).to(context.device)
    rows = torch.from_numpy(nearest(present)).to(context.device)
    sure = torch.from_numpy(relative.confidence).to(numbers)
    return Motion(context.encoder(numbers[rows][None], sure[rows][None])[0], present)
