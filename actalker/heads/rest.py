"""The rest that a head's motion is relative to: which frame of a track, and the motion as differences from it.

Letters: f frames.
"""

from __future__ import annotations

import numpy as np

from .model import COEFFICIENTS, head_model
from .motion import BLINKS, HeadMotion

APART, TOUCH = 0.35, 0.05  # cm between the lips: in the middle of a word; more than the closest of a video
AWAKE = 0.7  # of the person's open eye, that both lids of a calm face are open at least
HELD = 5  # frames in a row that a closed mouth is no p, b or m


def calm_face(motion: HeadMotion) -> int:
    """The first frame of a face that does nothing: lips that touch, as far as they ever do, and not for a
    moment only, and open eyes.

    Where there is no such frame, lips may touch for a moment; where eyes are closed at all of these, it is
    the one of them with the widest eyes. motion: absolute, about 25 frames a second.
    Raises: ValueError where no frame shows a face.
    """
    seen = motion.confidence > 0
    opening = head_model().opening(motion.coefficients)
    shut = seen & (opening <= opening[seen].min() + TOUCH)
    lids = 1 - motion.coefficients[:, BLINKS].max(1)
    awake = shut & (lids >= AWAKE)
    held = np.convolve(shut, np.ones(HELD), "same")[: len(shut)] == HELD
    for wanted in (awake & held, awake):
        if wanted.any():
            return int(wanted.argmax())
    return int(np.where(shut, lids, -np.inf).argmax())


def calm_mouth(motion: HeadMotion, rest: int, present: np.ndarray) -> int:
    """The frame that the mouth's motion is relative to: the rest, or, where its lips are apart as in the
    middle of a word, the nearest frame whose lips are as close as they come."""
    opening = head_model().opening(motion.coefficients)
    seen = np.flatnonzero(present)
    least = opening[seen].min() + TOUCH
    if opening[rest] <= max(APART, least):
        return rest
    closed = seen[opening[seen] <= least]
    return int(closed[np.abs(closed - rest).argmin()])


def relative_to(motion: HeadMotion, rest: int, calm: int, present: np.ndarray) -> HeadMotion:
    """Motion as differences from frame `rest`, the mouth's from frame `calm`; behind a cut the pose is
    relative to the first face after it, for the camera is another."""
    relative = motion.relative(motion[rest : rest + 1])
    coefficients, pose = relative.coefficients.copy(), relative.pose.copy()
    mouth = [name.startswith(("mouth", "jaw", "tongue")) for name in COEFFICIENTS]
    coefficients[:, mouth] += motion.coefficients[rest, mouth] - motion.coefficients[calm, mouth]
    for shot in np.unique(motion.shot):
        here = motion.shot == shot
        if shot != motion.shot[rest] and (here & present).any():
            pose[here] = motion.pose[here] - motion.pose[int(np.flatnonzero(here & present)[0])]
    return HeadMotion(relative.times, coefficients, pose, relative.gaze, relative.confidence, relative.shot)
