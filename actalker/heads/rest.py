"""The rest of a head: the frame of its track in which the face is calm, and motion relative to that frame.

Letters: f frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .model import COEFFICIENTS, head_model
from .motion import BLINKS, HeadMotion

APART, TOUCH = 0.35, 0.05  # cm between the lips: in the middle of a word; more than the closest of a video
DROWSY = 0.3  # eyeBlink above which a face counts as sleepy
CLOSED_FRAMES = 5  # frames in a row after which closed lips are no p, b or m
TURN = 15.0  # degrees of turning that count as much as a coefficient that is off by 1
IN_MOUTH = np.array([name.startswith(("mouth", "jaw", "tongue")) for name in COEFFICIENTS])


def calm_face(motion: HeadMotion) -> int:
    """The index of the frame in which the face is calmest.

    Only frames whose lips are as close as they ever come are taken. Of these, the best has open eyes, lips
    that stay closed for longer than a consonant, and an expression and pose near the face's median.
    motion: absolute, about 25 frames a second. Raises: ValueError where no frame shows a face.
    """
    seen = motion.confidence > 0
    opening = head_model().opening(motion.coefficients)
    shut = seen & (opening <= opening[seen].min() + TOUCH)
    stays = np.convolve(shut, np.ones(CLOSED_FRAMES), "same")[: len(shut)] == CLOSED_FRAMES
    closed = np.maximum(motion.coefficients[:, BLINKS].max(1) - DROWSY, 0)
    usual = np.where(
        IN_MOUTH, np.median(motion.coefficients[shut], 0), np.median(motion.coefficients[seen], 0)
    )
    turned = (motion.pose[:, :3] - np.median(motion.pose[seen, :3], 0)) / TURN
    distance = np.square(motion.coefficients - usual).sum(1) + np.square(turned).sum(1)
    return int(np.where(shut, distance + ~stays + 10 * closed, np.inf).argmin())


def calm_mouth(motion: HeadMotion, rest: int, present: np.ndarray) -> int:
    """The index of the frame that the mouth's motion is relative to.

    It is `rest` itself, unless its lips are apart as in the middle of a word: then it is the nearest frame
    whose lips are as close as they ever come. present (f,) bool: frames that show a face.
    """
    opening = head_model().opening(motion.coefficients)
    seen = np.flatnonzero(present)
    least = opening[seen].min() + TOUCH
    if opening[rest] <= max(APART, least):
        return rest
    closed = seen[opening[seen] <= least]
    return int(closed[np.abs(closed - rest).argmin()])


def relative_to(motion: HeadMotion, rest: int, calm: int, present: np.ndarray) -> HeadMotion:
    """An absolute motion as differences from its frame `rest`, the mouth's from its frame `calm`.

    After a cut the camera is another: there the pose is relative to the shot's first face. present (f,) bool:
    frames that show a face.
    """
    relative = motion.relative(motion[rest : rest + 1])
    coefficients, pose = relative.coefficients.copy(), relative.pose.copy()
    coefficients[:, IN_MOUTH] += (motion.coefficients[rest] - motion.coefficients[calm])[IN_MOUTH]
    for shot in np.unique(motion.shot):
        here = motion.shot == shot
        if shot != motion.shot[rest] and (here & present).any():
            pose[here] = motion.pose[here] - motion.pose[int(np.flatnonzero(here & present)[0])]
    return replace(relative, coefficients=coefficients, pose=pose)
