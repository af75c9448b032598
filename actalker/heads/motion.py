"""A head's motion, frame by frame: the face's expression, the head's pose and where the eyes look.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from .model import COEFFICIENTS

POSE = ("yaw", "pitch", "roll", "x", "y", "z")
BLINKS = [COEFFICIENTS.index(f"eyeBlink_{side}") for side in "LR"]
LEAST_OPEN = 0.2  # of a person's open eye: a rest's lids count as open by this at least


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """The motion of a head over f frames.

    times (f,): seconds, not decreasing.
    coefficients (f, 54): expressions, in the order of `COEFFICIENTS`.
    pose (f, 6): yaw, pitch, roll in degrees, then x, y, z of the pivot in the camera's axes, cm (`camera`).
    gaze (f, 2): degrees to the image's right and down, relative to the head, the same for both eyes.
    confidence (f,) in [0, 1]: 0 where the frame shows no face.
    shot (f,): number of the shot, a run of frames without a cut.

    A motion is **absolute** when it is the track of a video. It is **relative** when it moves a portrait:
    then it holds differences, which are all zero where nothing moves. `relative` makes it by subtracting a
    rest, a frame that stands for the state without motion. Three kinds of coefficients have a meaning of
    their own:
    mouthClose: the lips' opening is what the other coefficients give - mouthClose x `model.CLOSE` cm. It may
        be negative.
    eyeBlink: the share by which the lids close. An absolute motion counts from the person's open eye, a
        relative one from the eye at rest, which in a portrait is the eye that it shows. 1 is shut in both.
    eyeLook: not independent, it follows gaze.
    Raises: ValueError where an array has another shape, is not finite, or times go back.
    """

    times: np.ndarray
    coefficients: np.ndarray
    pose: np.ndarray
    gaze: np.ndarray
    confidence: np.ndarray
    shot: np.ndarray

    def __post_init__(self) -> None:
        f = len(self.times)
        wanted = {
            "times": (f,),
            "coefficients": (f, len(COEFFICIENTS)),
            "pose": (f, len(POSE)),
            "gaze": (f, 2),
        }
        for name, shape in (wanted | {"confidence": (f,), "shot": (f,)}).items():
            values = getattr(self, name)
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}; {shape} is needed")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        if (np.diff(self.times) < 0).any():
            raise ValueError("times go back")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> HeadMotion:
        """The frames of a slice."""
        return HeadMotion(**{one.name: getattr(self, one.name)[part] for one in fields(self)})

    def relative(self, rest: HeadMotion) -> HeadMotion:
        """This absolute motion as differences from `rest`, a motion of one frame. Raises: ValueError."""
        if len(rest) != 1:
            raise ValueError(f"the rest has {len(rest)} frames; one is needed")
        change = self.coefficients - rest.coefficients
        change[:, BLINKS] /= _open(rest)
        return replace(self, coefficients=change, pose=self.pose - rest.pose, gaze=self.gaze - rest.gaze)

    def absolute(self, rest: HeadMotion) -> HeadMotion:
        """Return this relative motion as absolute motion of a person whose state without motion is `rest`.

        rest: an absolute motion of one frame. The inverse of `relative`.
        """
        change = self.coefficients.copy()
        change[:, BLINKS] *= _open(rest)
        return replace(
            self,
            coefficients=rest.coefficients + change,
            pose=rest.pose + self.pose,
            gaze=rest.gaze + self.gaze,
        )

    def at(self, times: np.ndarray) -> HeadMotion:
        """The motion at other times (k,), seconds.

        It is interpolated linearly between two frames that belong to one shot and both show a face.
        Elsewhere, and before the first and after the last frame, the nearest frame's is taken.
        """
        times = np.asarray(times, np.float64)
        right = np.clip(np.searchsorted(self.times, times, side="right"), 1, max(1, len(self) - 1))
        left, right = right - 1, np.minimum(right, len(self) - 1)
        span = self.times[right] - self.times[left]
        share = np.clip((times - self.times[left]) / np.where(span > 0, span, 1), 0, 1)
        joined = (
            (self.shot[left] == self.shot[right]) & (self.confidence[left] > 0) & (self.confidence[right] > 0)
        )
        share = np.where(joined, share, np.round(share))

        def mix(values: np.ndarray) -> np.ndarray:
            weight = share if values.ndim == 1 else share[:, None]
            return (values[left] * (1 - weight) + values[right] * weight).astype(values.dtype)

        nearest = np.where(share < 0.5, left, right)
        return HeadMotion(
            times=times,
            coefficients=mix(self.coefficients),
            pose=mix(self.pose),
            gaze=mix(self.gaze),
            confidence=mix(self.confidence),
            shot=self.shot[nearest],
        )


def joined(pieces: Sequence[HeadMotion]) -> HeadMotion:
    """One motion out of the pieces of a track, in their order."""
    return HeadMotion(
        **{one.name: np.concatenate([getattr(p, one.name) for p in pieces]) for one in fields(HeadMotion)}
    )


def _open(rest: HeadMotion) -> np.ndarray:
    """Return the opening of both lids at rest, (1, 2): a fraction of the opening of the person's open eye."""
    return np.maximum(1 - rest.coefficients[:, BLINKS], LEAST_OPEN)
