"""A performance: the motion of a head and the signals that ask for it, without pictures.

Letters: b batch, f frames, n signals, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..sample import Arrays, Gated


@dataclass
class Performance(Gated):
    """Hold a stretch of one performance, or a batch of stretches with a leading axis b.

    Motion is (..., 62), the numbers of `heads.face_map`, relative to the portrait's.

    portrait: (62,) the portrait's expression.
    parts: (n, f, 62) the motion that each signal asks for, before its gate and its region.
    shown: (n, f) in {0, 1}, whether the signal's input shows this motion; 0 where no driver's face is seen.
    arrays: the signals' inputs, in the form that `Gated` describes: for `audio` the articulators (f, 9) or
        the audio encoder's features; for `expression` the motion (f, 62) as a tracker reads it, and its
        confidence (f,).
    gates: (n, f) in [0, 1], a row for each signal.
    micro: (3,) frames per second, head motion and expression motion; 0 where not known.
    index: number of the performance in its source, for messages.
    signals: (n, 32) uint8, the names of the signals in the order of the rows.
    """

    STILL: ClassVar[tuple[str, ...]] = (*Gated.STILL, "portrait")
    BY_SIGNAL: ClassVar[tuple[str, ...]] = ("gates", "parts", "shown")

    portrait: Tensor
    parts: Tensor
    shown: Tensor
    arrays: Arrays
    gates: Tensor
    micro: Tensor
    index: Tensor
    signals: Tensor

    def asked(self, regions: dict[str, Tensor]) -> Tensor:
        """Return the motion of a batch under its gates, (b, f, 62): Σ gate · region · part over the signals.

        regions: signal -> (b, 62) in [0, 1], how far the signal moves each number.
        """
        total = torch.zeros_like(self.parts[:, 0])
        for k, name in enumerate(self.names()):
            total = total + self.gates[:, k, :, None] * regions[name][:, None] * self.parts[:, k]
        return total
