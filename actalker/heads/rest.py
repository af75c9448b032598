"""The rest that a head's motion is relative to: a frame of its track, and the motion as differences from it.

Letters: f frames.
"""

from __future__ import annotations

import numpy as np

from .model import COEFFICIENTS, head_model
from .motion import BLINKS, HeadMotion

APART, TOUCH = 0.35, 0.05  # cm between the lips: in the middle of a word; more than the closest of a video
DROWSY = 0.3  # eyeBlink, from which on a face is not awake
HELD = 5  # frames in a row that a closed mouth is no p, b or m
TURN = 15.0  # degrees that are as far from the usual as a coefficient that is off by 1
IN_MOUTH = np.array([name.startswith(("mouth", "jaw", "tongue")) for name in COEFFICIENTS])


def calm_face(motion: HeadMotion) -> int:
    """The frame of a face that does nothing in particular: of those whose lips touch, as far as they ever do,
    one with open eyes, whose lips touch for longer than a consonant, and that is like the face usually is.

    motion: absolute, about 25 frames a second. Raises: ValueError where no frame shows a face.
    """
    seen = motion.confidence > 0
    opening = head_model().opening(motion.coefficients)
    shut = seen & (opening <= opening[seen].min() + TOUCH)
    held = np.convolve(shut, np.ones(HELD), "same")[: len(shut)] == HELD
    closed = np.maximum(motion.coefficients[:, BLINKS].max(1) - DROWSY, 0)
    usual = np.where(
        IN_MOUTH, np.median(motion.coefficients[shut], 0), np.median(motion.coefficients[seen], 0)
    )
    turned = (motion.pose[:, :3] - np.median(motion.pose[seen, :3], 0)) / TURN
    apart = np.square(motion.coefficients - usual).sum(1) + np.square(turned).sum(1)
    return int(np.where(shut, apart + ~held + 10 * closed, np.inf).argmin())


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
    coefficients[:, IN_MOUTH] += (motion.coefficients[rest] - motion.coefficients[calm])[IN_MOUTH]
    for shot in np.unique(motion.shot):
        here = motion.shot == shot
        if shot != motion.shot[rest] and (here & present).any():
            pose[here] = motion.pose[here] - motion.pose[int(np.flatnonzero(here & present)[0])]
    return HeadMotion(relative.times, coefficients, pose, relative.gaze, relative.confidence, relative.shot)
