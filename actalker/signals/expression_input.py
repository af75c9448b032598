"""The expression signal of one clip: open a driving video or a take of coefficients, and encode its motion.

Letters: f frames of a range, k frames of the driver, n tokens a frame, d width.
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
TAKE = "take"  # name of motion that is no file, in messages
SUFFIX = ".csv"  # of takes


@dataclass(frozen=True, eq=False)
class Take:
    """A take: a recorded head's absolute motion, resampled to the clip's frame times.

    name: for messages.
    motion: one row for each frame that the clip uses.
    fps: exact frames a second.
    first: seconds of the take before its first frame here.
    """

    name: str
    motion: HeadMotion
    fps: Fraction
    first: Fraction

    @property
    def frames(self) -> int:
        """Number of frames that the clip uses."""
        return len(self.motion)

    def seconds(self, k: int) -> float:
        """Return the time of frame k in the take, in seconds."""
        return float(self.first + k / self.fps)


Performance = Film | Take


def open_expression(value: VideoInput, context: SignalContext, start: Fraction) -> ExpressionInput:
    """Open a driving video or a take from `start` seconds on, for as many frames as the clip uses.

    Raises: InputError for what is neither, and for a start after its end.
    """
    longest = None if context.seconds is None else frame_count(context.seconds, context.fps)
    return ExpressionInput(open_performance(context, as_frames(value), longest, start), context)


class ExpressionInput:
    """An opened driving video or take; a `SignalInput`."""

    def __init__(self, performance: Performance, context: SignalContext) -> None:
        """Keep what is opened; its motion is not read yet."""
        self.performance, self.context = performance, context

    @property
    def seconds(self) -> Fraction:
        """Length of the frames that the clip uses."""
        return self.performance.frames / self.context.fps

    def feed(self, frames: int) -> MotionFeed:
        """Return the motion relative to its rest as a feed. Raises InputError where it shows no face."""
        return MotionFeed(perform(self.context, self.performance), frames, self.context.fps)


class MotionFeed(Feed):
    """A driver's motion as tokens. The gate closes where it shows no face, and where it ends."""

    def __init__(self, driver: Driver, frames: int, fps: Fraction) -> None:
        """Make the feed of a clip of so many frames."""
        self.driver, self.frames, self.fps, self.facts = driver, frames, fps, driver.facts

    def tokens(self, start: int, f: int) -> Tensor:
        """Return the tokens (1, f, n, d) of frames start .. start + f - 1.

        After the end of the motion they are those of its last frame.
        """
        rows = torch.arange(start, start + f).clamp(max=len(self.driver) - 1)
        return self.driver.tokens[rows][None]

    def shown(self, start: int, f: int) -> np.ndarray:
        """Return how far the driver shows a face, (f,) in [0, 1] (`Driver.shown`)."""
        return self.driver.shown(start, f, self.frames, self.fps)


def live(context: SignalContext, frames: int, feeds: Mapping[str, Feed]) -> MotionFeed | None:
    """Return blinks and small movements as the expression signal of a clip that nothing drives.

    Args:
        context: `liveliness` is the amount.
        frames: of the clip.
        feeds: the other signals'; the head nods with the stresses of their speech.
    Returns: None for amount 0, and for models that are driven by pictures, which have not learnt such motion.
    """
    if not context.liveliness or not reads_motion(context.encoder):
        return None
    mono = next((feed.mono for feed in feeds.values() if feed.mono is not None), None)
    fact = f"liveliness {context.liveliness:g}: blinks and small movements, for no driving video is given"
    return MotionFeed(Driver(lambda: _lively(context, frames, mono), [fact]), frames, context.fps)


def open_performance(
    context: SignalContext,
    source: Path | HeadMotion | Iterable[np.ndarray],
    limit: int | None,
    start: Fraction = Fraction(0),
) -> Performance:
    """Open and check a driving video or a take.

    Args:
        context: of the clip.
        source: a file, an absolute motion, or frames (h, w, 3) uint8 at the clip's rate.
        limit: the most frames that are used; None for all.
        start: seconds to skip at the beginning.
    Raises: InputError for what is neither, for a take where the model reads pictures, and for a start after
        the end.
    """
    fps = context.fps
    if not isinstance(source, HeadMotion) and not (
        isinstance(source, Path) and source.suffix.lower() == SUFFIX
    ):
        return open_film(source, fps, limit, start)
    name = TAKE if isinstance(source, HeadMotion) else str(source)
    if not reads_motion(context.encoder):
        raise InputError(
            f"{name}: is a take of coefficients, and this model reads pictures of a face; give a driving "
            "video, or a model of heads, such as direct"
        )
    motion = source if isinstance(source, HeadMotion) else read_take(source)
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
    """Return whether an encoder reads the motion of a head; else it reads pictures of a face."""
    return getattr(encoder, "reads", "crops") == "motion"


def perform(context: SignalContext, performance: Performance) -> Driver:
    """Return the motion that drives a clip, relative to its rest.

    Raises: InputError where it shows no face.
    """
    if isinstance(performance, Film) and not reads_motion(context.encoder):
        return drive(context, performance)
    if isinstance(performance, Film):
        film, rest = performance, find_rest(performance, context.face_model)
        return Driver(lambda: _motion(context, film, _track(context, film), rest), [_fact(film, rest)])
    take, seen = performance, np.flatnonzero(performance.motion.confidence > 0)
    if not len(seen):
        raise InputError(f"{take.name}: no face in {take.frames} of its frames; give a take that has one")
    rest = int(seen[0])
    return Driver(lambda: _motion(context, take, take.motion, rest), [_fact(take, rest)])


def _lively(context: SignalContext, frames: int, mono: np.ndarray | None) -> Motion:
    """Encode the movements of an undriven face; mono: speech (n,) at 16 kHz for their stresses."""
    stress, fps = None, context.fps
    if mono is not None:
        hops = first_steps(fps, frames, 0, RATE // HOP, Fraction(0))
        stress = stress_of(loudness(mono, hops), fps)
    numbers = Liveliness(fps, context.seed, context.liveliness).numbers(0, frames, stress)
    rows = torch.from_numpy(numbers).to(context.device)[None]
    return Motion(context.encoder(rows, rows.new_ones(1, frames))[0], np.ones(frames, bool))


def _fact(performance: Performance, rest: int) -> str:
    """Say, for the plan, which frame motion is relative to."""
    what = "driving video" if isinstance(performance, Film) else "take"
    fact = f"{what}: motion is relative to its face at {performance.seconds(rest):.2f} s"
    return fact + (f", the first that is seen after {performance.seconds(0):.2f} s" if rest else "")


def _track(context: SignalContext, film: Film) -> HeadMotion:
    """Track the head in a driving video."""
    frames = ((film.seconds(k), frame) for k, frame in enumerate(film.read()))
    motion, _ = track(frames, film.name, context.face_model)
    return motion


def _motion(context: SignalContext, performance: Performance, motion: HeadMotion, rest: int) -> Motion:
    """Encode an absolute motion relative to frame `rest`, or the next one that shows a face.

    Logs frames without a face, cuts, and a mouth that is open at the rest. Raises InputError for a motion
    without a face.
    """
    present = motion.confidence > 0
    if not present.any():
        raise InputError(
            f"{performance.name}: no head could be followed in {performance.frames} of its frames; give a "
            "video of one face seen from the front"
        )
    if not present.all():
        log.warning("%s: %s; its gate closes there", performance.name, gaps(performance, present))
    seen = np.flatnonzero(present)
    rest = int(seen[seen >= rest][0] if seen[-1] >= rest else seen[-1])
    cuts = int(motion.shot[seen].max() - motion.shot[seen].min())
    if cuts:
        log.warning(
            "%s: %d cuts; the head's place is relative to the first face after each", performance.name, cuts
        )
    calm = calm_mouth(motion, rest, present)
    if calm != rest:
        log.warning(
            "%s: its lips are apart at %.2f s; the mouth's motion is relative to %.2f s, where they meet",
            performance.name,
            performance.seconds(rest),
            performance.seconds(calm),
        )
    relative = relative_to(motion, rest, calm, present)
    numbers = torch.from_numpy(numbers_of(relative)).to(context.device)
    rows = torch.from_numpy(nearest(present)).to(context.device)
    confidence = torch.from_numpy(relative.confidence).to(numbers)
    return Motion(context.encoder(numbers[rows][None], confidence[rows][None])[0], present)
