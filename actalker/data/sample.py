"""What one training sample is, and how samples become a batch.

Letters: b batch, f frames, H W picture size, K phases, L bytes of a phrase, P motion channels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

FIELD = 4  # pixels a cell of a sample's motion field


@dataclass
class Sample:
    """One clip (arrays) or a batch of clips (tensors with a leading b).

    portrait: (3, H, W) uint8. frames: (f, 3, H, W) uint8, the target under `gates`.
    audio: (f, window, mels). crops: (f, 3, s, s) uint8 of the
    driving video; rest: (3, s, s), its face at rest.
    bytes: (K+1, L) and timing: (f, K, 4) of the script.
    gates: (3, f) of audio, expression, text, in [0, 1].
    face, mouth: (H, W) in {0, 1}, the regions over the clip.
    micro: (3,) frames a second, head and expression motion (`signals.motion_buckets`; 0: not known).
    motion: (3, f, P) what each signal asks for, before its gate; NaN where it is not known.
    field: (f, 3, H/4, W/4) float16, where in the portrait what a frame shows at a place stands, in pixels to
    the right and down from there; and whether that is known, 1 or 0.
    index: the clip's number in its source, for messages.
    """

    portrait: Tensor
    frames: Tensor
    audio: Tensor
    crops: Tensor
    rest: Tensor
    bytes: Tensor
    timing: Tensor
    gates: Tensor
    face: Tensor
    mouth: Tensor
    micro: Tensor
    motion: Tensor
    field: Tensor
    index: Tensor

    def window(self, rows: slice | Tensor, items: int) -> Sample:
        """Some frames of the first `items` clips of a batch: rows (n,) of all, or (items, n) of each."""
        at: tuple[slice | Tensor, slice | Tensor] = (slice(items), rows)
        if isinstance(rows, Tensor) and rows.ndim == 2:
            at = (torch.arange(items, device=rows.device)[:, None], rows)
        return Sample(
            portrait=self.portrait[:items],
            frames=self.frames[at],
            audio=self.audio[at],
            crops=self.crops[at],
            rest=self.rest[:items],
            bytes=self.bytes[:items],
            timing=self.timing[at],
            gates=self.gates.transpose(1, 2)[at].transpose(1, 2),
            face=self.face[:items],
            mouth=self.mouth[:items],
            micro=self.micro[:items],
            motion=self.motion.transpose(1, 2)[at].transpose(1, 2),
            field=self.field[at],
            index=self.index[:items],
        )

    def to(self, device: torch.device | str) -> Sample:
        """Every tensor on `device`; Lightning calls this."""
        return Sample(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def collate(samples: list[Sample]) -> Sample:
    """Clips of the same lengths as one batch."""
    return Sample(
        **{
            f.name: torch.stack([torch.as_tensor(getattr(s, f.name)) for s in samples])
            for f in fields(Sample)
        }
    )


def no_field(frames: int, size: int) -> Tensor:
    """The field of frames whose motion in the picture is not known, (f, 3, size/4, size/4)."""
    return torch.zeros(frames, 3, size // FIELD, size // FIELD, dtype=torch.float16)


def pixels(video: Tensor) -> Tensor:
    """uint8 pictures to float in [-1, 1]."""
    return video.float() / 127.5 - 1


def as_uint8(video: np.ndarray | Tensor) -> Tensor:
    """Float pictures in [0, 1] to uint8."""
    return (torch.as_tensor(video).clamp(0, 1) * 255).round().to(torch.uint8)
