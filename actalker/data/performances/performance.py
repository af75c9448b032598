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
    """A stretch of one performance, or a batch of them with a leading axis b.

    Motion is in the numbers of `heads.face_map`, relative, (..., 62).
    portrait: (62,) the portrait's expression. parts: (n, f, 62) the motion that each signal asks for, before
    its gate and its region. shown: (n, f) in {0, 1}, whether the signal's input shows that motion: a driver's
    face is not seen in every frame.
    arrays: as `Gated`; `audio` has articulators (f, 9) or the audio encoder's features, `expression` numbers
    (f, 62) as a tracker reads them, and their confidence (f,).
    gates: (n, f) in [0, 1], a row for every signal of `signals`, (n, 32) uint8, their names.
    micro: (3,) frames a second, head and expression motion (0: not known).
    index: its number in its source, for messages.
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
        """The motion of a batch under its gates, (b, f, 62): the sum over signals of gate, region and motion.

        regions: signal -> (b, 62) in [0, 1], how far the signal moves each number.
        """
        total = torch.zeros_like(self.parts[:, 0])
        for k, name in enumerate(self.names()):
            total = total + self.gates[:, k, :, None] * regions[name][:, None] * self.parts[:, k]
        return total
