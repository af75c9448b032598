"""A performance: how a head moves, and the signals that ask for it. Nothing of it is a picture.

Letters: b batch, f frames, n signals, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..sample import Gated


@dataclass
class Performance(Gated):
    """A stretch of one performance (arrays) or a batch of them (tensors with a leading b).

    Motion is in the numbers of `heads.face_map`, relative, (..., 62).
    own: (62,) the portrait's own motion. parts: (n, f, 62) what each signal asks for, before its gate and
    its region.
    audio: (f, 9) articulators, or (f, ...) what the audio encoder reads of a sound.
    driver: (f, 62) as a tracker reads it, and seen: (f,) its confidence, 0 where it sees no face.
    bytes: (K+1, L) and timing: (f, K, 4) of the script.
    gates: (n, f) in [0, 1], a row for every signal of `signals`, (n, 32) uint8, their names.
    micro: (3,) frames a second, head and expression motion (0: not known).
    index: its number in its source, for messages.
    """

    own: Tensor
    parts: Tensor
    audio: Tensor
    driver: Tensor
    seen: Tensor
    bytes: Tensor
    timing: Tensor
    gates: Tensor
    micro: Tensor
    index: Tensor
    signals: Tensor

    def window(self, rows: slice, items: int) -> Performance:
        """Some frames of the first `items` of a batch."""
        at = (slice(items), rows)
        return Performance(
            own=self.own[:items],
            parts=self.parts[:items, :, rows],
            audio=self.audio[at],
            driver=self.driver[at],
            seen=self.seen[at],
            bytes=self.bytes[:items],
            timing=self.timing[at],
            gates=self.gates[:items, :, rows],
            micro=self.micro[:items],
            index=self.index[:items],
            signals=self.signals[:items],
        )

    def asked(self, regions: dict[str, Tensor]) -> Tensor:
        """The motion of a batch under its gates, (b, f, 62): the sum of what each signal asks for, times its
        gate, inside its region. regions: signal -> (b, 62) in [0, 1].
        """
        total = torch.zeros_like(self.parts[:, 0])
        for k, name in enumerate(self.names()):
            total = total + self.gates[:, k, :, None] * regions[name][:, None] * self.parts[:, k]
        return total
