"""A head's motion: what the face does, how the head is turned, where the eyes look, frame by frame.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .model import COEFFICIENTS

POSE = ("yaw", "pitch", "roll", "x", "y", "z")


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A track of a head.

    times (f,): seconds, growing. coefficients (f, 54): `COEFFICIENTS`. pose (f, 6): yaw, pitch and roll in
    degrees, and the pivot's x, y, z in the camera's axes, cm (`camera`). gaze (f, 2): degrees to the image's
    right and down, relative to the head, both eyes together. confidence (f,) in [0, 1]: 0 where no face is
    there. shot (f,): number of the piece without a cut.

    One class, two readings: a track of a video is **absolute**; what moves a portrait is **relative**
    (`relative`): plain differences, all zero where nothing moves. Coefficients that drawing takes in a sense
    of its own: mouthClose takes `model.CLOSE` cm from the opening of the lips that the others make, and may
    be negative; eyeBlink is the share by which the person's open lid is closed; eyeLook goes with gaze.
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
        return HeadMotion(
            self.times,
            self.coefficients - rest.coefficients,
            self.pose - rest.pose,
            self.gaze - rest.gaze,
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
