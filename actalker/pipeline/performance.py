"""What drives the face: a driving video, or a take of coefficients, as an encoder's tokens.

Letters: k frames.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..heads.face_map import numbers_of
from ..heads.motion import HeadMotion
from ..heads.rest import calm_mouth, relative_to
from ..heads.take import read_take
from ..heads.track import track
from ..signals.audio import HOP, RATE, first_steps, loudness
from ..signals.liveliness import Liveliness, stress_of
from ..timeline import frame_count
from .driver import Driver, Film, Motion, drive, find_rest, gaps, nearest, open_film
from .model import TalkingHeadModel

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


def open_performance(
    model: TalkingHeadModel,
    given: str | Path | HeadMotion | Iterable[np.ndarray],
    fps: Fraction,
    limit: int | None,
    start: Fraction = Fraction(0),
) -> Performance:
    """A driving video or a take, checked; as many frames of it at `fps` as the clip uses.

    start: seconds that are left out at its beginning. Raises: InputError for what is neither, for a take
    where the model reads pictures, and for a start behind the end.
    """
    if not isinstance(given, HeadMotion) and not (
        isinstance(given, (str, Path)) and Path(given).suffix.lower() == SUFFIX
    ):
        return open_film(given, fps, limit, start)
    name = TAKE if isinstance(given, HeadMotion) else str(given)
    if not reads_motion(model):
        raise InputError(
            f"{name}: is a take of coefficients, and this model reads pictures of a face; give a driving "
            "video, or a model of heads, such as direct"
        )
    motion = given if isinstance(given, HeadMotion) else read_take(Path(given))
    begins = motion.times[0]
    lasts = motion.times[-1] - motion.times[-2] if len(motion) > 1 else float(1 / fps)  # the last frame
    length = Fraction(float(motion.times[-1] - begins + lasts)).limit_denominator(10**6)
    if start >= length:
        raise InputError(f"{name}: is {float(length):g} s long; give an --expression-start before its end")
    count = frame_count(length - start, fps)
    count = count if limit is None else min(count, limit)
    times = float(start) + np.arange(count) * float(1 / fps)
    return Take(name, motion.at(begins + times), fps, start)


def reads_motion(model: TalkingHeadModel) -> bool:
    """Whether the model is driven by the motion of a head, not by pictures of a face."""
    return getattr(model.encoders["expression"], "reads", "crops") == "motion"


def moves_of_itself(model: TalkingHeadModel) -> bool:
    """Whether a face lives where nobody drives it: a model of heads that speech or a script can drive."""
    return "expression" in model.encoders and len(model.encoders) > 1 and reads_motion(model)


def perform(model: TalkingHeadModel, given: Performance, face_model: Path | None = None) -> Driver:
    """The motion that drives the clip, relative to its rest. Raises: InputError where it shows no face."""
    if isinstance(given, Film) and not reads_motion(model):
        return drive(model, given, face_model)
    if isinstance(given, Film):
        film, rest = given, find_rest(given, face_model)
        return Driver(lambda: _motion(model, film, _followed(film, face_model), rest), [_fact(given, rest)])
    seen = np.flatnonzero(given.motion.confidence > 0)
    if not len(seen):
        raise InputError(f"{given.name}: no face in {given.frames} of its frames; give a take that has one")
    rest = int(seen[0])
    return Driver(lambda: _motion(model, given, given.motion, rest), [_fact(given, rest)])


def liven(
    model: TalkingHeadModel, amount: float, seed: int, frames: int, fps: Fraction, mono: np.ndarray | None
) -> Driver:
    """Blinks and small movements of a face that nobody drives: an expression signal of its own.

    amount: in [0, 1]. mono: (n,) at 16 kHz, the speech whose stresses the head follows; None: there is none.
    """
    fact = f"liveliness {amount:g}: blinks and small movements, for no driving video is given"
    return Driver(lambda: _lively(model, amount, seed, frames, fps, mono), [fact])


def _lively(
    model: TalkingHeadModel, amount: float, seed: int, frames: int, fps: Fraction, mono: np.ndarray | None
) -> Motion:
    stress = None
    if mono is not None:
        hops = first_steps(fps, frames, 0, RATE // HOP, Fraction(0))
        stress = stress_of(loudness(mono, hops), fps)
    made = torch.from_numpy(Liveliness(fps, seed, amount).numbers(0, frames, stress)).to(model.device)
    tokens = model.encoders["expression"](made[None], made.new_ones(1, frames))
    return Motion(tokens[0], np.ones(frames, bool))


def _fact(given: Performance, rest: int) -> str:
    what = "driving video" if isinstance(given, Film) else "take"
    fact = f"{what}: motion is relative to its face at {given.seconds(rest):.2f} s"
    return fact + (f", the first that is seen after {given.seconds(0):.2f} s" if rest else "")


def _followed(film: Film, face_model: Path | None) -> HeadMotion:
    """The track of a film's head."""
    frames = ((film.seconds(k), frame) for k, frame in enumerate(film.read()))
    motion, _ = track(frames, film.name, face_model)
    return motion


def _motion(model: TalkingHeadModel, given: Performance, motion: HeadMotion, rest: int) -> Motion:
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
    numbers = torch.from_numpy(numbers_of(relative)).to(model.device)
    rows = torch.from_numpy(nearest(present)).to(model.device)
    sure = torch.from_numpy(relative.confidence).to(numbers)
    return Motion(model.encoders["expression"](numbers[rows][None], sure[rows][None])[0], present)
