"""A head's motion: what the face does, how the head is turned, where the eyes look, frame by frame.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .model import COEFFICIENTS

POSE = ("yaw", "pitch", "roll", "x", "y", "z")
BLINKS = [COEFFICIENTS.index(f"eyeBlink_{side}") for side in "LR"]
LEAST_OPEN = 0.2  # of a person's open eye, that lids of a rest are taken to be


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A track of a head.

    times (f,): seconds, growing. coefficients (f, 54): `COEFFICIENTS`. pose (f, 6): yaw, pitch and roll in
    degrees, and the pivot's x, y, z in the camera's axes, cm (`camera`). gaze (f, 2): degrees to the image's
    right and down, relative to the head, both eyes together. confidence (f,) in [0, 1]: 0 where no face is
    there. shot (f,): number of the piece without a cut.

    One class, two readings: a track of a video is **absolute**; what moves a portrait is **relative**
    (`relative`): differences, all zero where nothing moves. Coefficients that drawing takes in a sense of
    its own: mouthClose takes `model.CLOSE` cm from the opening of the lips that the others make, and may be
    negative; eyeBlink is the share by which the open lid is closed, of the person's open eye where motion is
    absolute, of the rest's or the portrait's own where it is relative: 1 is shut in both; eyeLook goes with
    gaze.
    Raises: ValueError where shapes or numbers are none.
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
        """The same motion as differences from a rest of one frame."""
        if len(rest) != 1:
            raise ValueError(f"the rest has {len(rest)} frames; one is needed")
        change = self.coefficients - rest.coefficients
        change[:, BLINKS] /= _open(rest)
        return HeadMotion(
            self.times,
            change,
            self.pose - rest.pose,
            self.gaze - rest.gaze,
            self.confidence,
            self.shot,
        )

    def absolute(self, rest: HeadMotion) -> HeadMotion:
        """The inverse of `relative`: relative motion of somebody whose own is `rest`, of one frame."""
        change = self.coefficients.copy()
        change[:, BLINKS] *= _open(rest)
        return HeadMotion(
            self.times,
            rest.coefficients + change,
            rest.pose + self.pose,
            rest.gaze + self.gaze,
            self.confidence,
            self.shot,
        )

    def at(self, times: np.ndarray) -> HeadMotion:
        """The motion at other times (k,), in straight lines between frames of one shot, where both show a
        face.

        Elsewhere, and before the first and after the last frame, it is the nearest frame's.
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
            times,
            mix(self.coefficients),
            mix(self.pose),
            mix(self.gaze),
            mix(self.confidence),
            self.shot[nearest],
        )


def joined(pieces: Sequence[HeadMotion]) -> HeadMotion:
    """Pieces of one track, in their order, as one."""
    return HeadMotion(
        **{one.name: np.concatenate([getattr(p, one.name) for p in pieces]) for one in fields(HeadMotion)}
    )


def _open(rest: HeadMotion) -> np.ndarray:
    """(1, 2) how far the lids of a rest are open, of the person's open eye."""
    return np.maximum(1 - rest.coefficients[:, BLINKS], LEAST_OPEN)
