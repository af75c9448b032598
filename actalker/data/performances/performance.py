"""A performance: how a head moves, and the signals that ask for it. Nothing of it is a picture.

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
    """A stretch of one performance (arrays) or a batch of them (tensors with a leading b).

    Motion is in the numbers of `heads.face_map`, relative, (..., 62).
    own: (62,) the portrait's own motion. parts: (n, f, 62) what each signal asks for, before its gate and
    its region. shown: (n, f) in {0, 1}, where its input holds it: a driver is not seen in every frame.
    arrays: as `Gated`; `audio` has articulators (f, 9), or what the audio encoder reads of a sound,
    `expression` numbers (f, 62) as a tracker reads them, and their confidence (f,).
    gates: (n, f) in [0, 1], a row for every signal of `signals`, (n, 32) uint8, their names.
    micro: (3,) frames a second, head and expression motion (0: not known).
    index: its number in its source, for messages.
    """

    STILL: ClassVar[tuple[str, ...]] = (*Gated.STILL, "own")
    BY_SIGNAL: ClassVar[tuple[str, ...]] = ("gates", "parts", "shown")

    own: Tensor
    parts: Tensor
    shown: Tensor
    arrays: Arrays
    gates: Tensor
    micro: Tensor
    index: Tensor
    signals: Tensor

    def asked(self, regions: dict[str, Tensor]) -> Tensor:
        """The motion of a batch under its gates, (b, f, 62): the sum of what each signal asks for, times its
        gate, inside its region. regions: signal -> (b, 62) in [0, 1].
        """
        total = torch.zeros_like(self.parts[:, 0])
        for k, name in enumerate(self.names()):
            total = total + self.gates[:, k, :, None] * regions[name][:, None] * self.parts[:, k]
        return total
