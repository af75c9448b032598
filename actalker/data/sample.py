"""What one training sample is, and how samples become a batch.

Letters: b batch, f frames, H W picture size, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ..errors import InputError, one_of
from ..signals.signal import SIGNALS

B = TypeVar("B", bound="Batch")
NAME = 32  # bytes of a signal's name in a sample


class Batch:
    """One clip, or a batch of them: tensors, all with a leading b then."""

    index: Tensor
    """The clip's number in its source, for messages."""

    def only(self, item: int) -> Self:
        """One clip of a batch, as a batch of one."""
        return type(self)(**{f.name: getattr(self, f.name)[item : item + 1] for f in fields(self)})  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Self:
        """Every tensor on `device`, but the names; Lightning calls this."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: v if name == "signals" else v.to(device) for name, v in held.items()})


class Gated(Batch):
    """A batch whose clips have gates, a row for every signal.

    gates: (n, f) in [0, 1]. signals: (n, 32) uint8, the names of the signals that the rows are for; read on
    the CPU, without waiting for the device.
    """

    gates: Tensor
    signals: Tensor

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.gates.shape[-1]

    def names(self) -> list[str]:
        """The signals that the rows of `gates` are for, in their order.

        Raises: InputError for a batch of clips with different rows, and rows without a name.
        """
        held = self.signals.cpu()
        if held.ndim == 3:
            if bool((held != held[:1]).any()):
                raise InputError("the clips of a batch have gates for different signals; make them alike")
            held = held[0]
        names = [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in held]
        if len(names) != self.gates.shape[-2]:
            raise InputError(f"a clip has {self.gates.shape[-2]} rows of gates for {', '.join(names)}")
        return names

    def rows(self, wanted: Sequence[str]) -> list[int]:
        """Which row of `gates` each wanted signal has.

        Raises: InputError unless the clips have rows for these signals and no other.
        """
        names = self.names()
        if set(names) != set(wanted):
            raise InputError(
                f"the clips have gates for {', '.join(names)}, the model's signals are {', '.join(wanted)}; "
                "a signal belongs in the table SIGNALS and in the model alike"
            )
        return [names.index(name) for name in wanted]


@dataclass
class Sample(Gated):
    """One clip (arrays) or a batch of clips (tensors with a leading b).

    portrait: (3, H, W) uint8. frames: (f, 3, H, W) uint8, the target under `gates`.
    audio: (f, window, mels). crops: (f, 3, s, s) uint8 of the
    driving video; rest: (3, s, s), its face at rest.
    bytes: (K+1, L) and timing: (f, K, 4) of the script.
    gates: (n, f) in [0, 1], a row for every signal of `signals`.
    face, mouth: (H, W) in {0, 1}, the regions over the clip.
    micro: (3,) frames a second, head and expression motion (`signals.motion_buckets`; 0: not known).
    index: the clip's number in its source, for messages.
    signals: (n, 32) uint8, the names of the signals that the rows of `gates` are for; those of the table
    `SIGNALS` unless given (`signal_names`).
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
    index: Tensor
    signals: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.signals is None:
            names = signal_names(list(SIGNALS))
            self.signals = names if self.gates.ndim == 2 else names.expand(len(self.gates), -1, -1)

    def regions(self) -> dict[str, Tensor]:
        """Where each signal acts beside others, as the table `SIGNALS` says: name -> (..., H, W) in [0, 1].

        Raises: InputError for a region that is none of mouth, upper, face and frame.
        """
        face, mouth = self.face.float(), self.mouth.float()
        known = {"mouth": mouth, "upper": (face - mouth).clamp(min=0), "face": face}
        known["frame"] = torch.ones_like(face)
        own = {s: SIGNALS[one_of(s, SIGNALS, "signal of the clips")].region for s in self.names()}
        return {s: known[one_of(region, known, f"region of {s}")] for s, region in own.items()}

    def window(self, rows: slice, items: int) -> Sample:
        """Some frames of the first `items` clips of a batch."""
        at = (slice(items), rows)
        return Sample(
            portrait=self.portrait[:items],
            frames=self.frames[at],
            audio=self.audio[at],
            crops=self.crops[at],
            rest=self.rest[:items],
            bytes=self.bytes[:items],
            timing=self.timing[at],
            gates=self.gates[:items, :, rows],
            face=self.face[:items],
            mouth=self.mouth[:items],
            micro=self.micro[:items],
            index=self.index[:items],
            signals=self.signals[:items],
        )


def collate(samples: list[B]) -> B:
    """Clips of the same lengths as one batch."""
    kind = type(samples[0])
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: torch.stack([torch.as_tensor(getattr(s, name)) for s in samples]) for name in names})


def signal_names(names: Sequence[str]) -> Tensor:
    """Names of signals as a sample holds them, (n, 32) uint8."""
    return torch.tensor([list(name.encode()[:NAME].ljust(NAME, b"\0")) for name in names], dtype=torch.uint8)


def pixels(video: Tensor) -> Tensor:
    """uint8 pictures to float in [-1, 1]."""
    return video.float() / 127.5 - 1


def as_uint8(video: np.ndarray | Tensor) -> Tensor:
    """Float pictures in [0, 1] to uint8."""
    return (torch.as_tensor(video).clamp(0, 1) * 255).round().to(torch.uint8)
