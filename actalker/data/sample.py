"""Training samples, and how they become a batch.

Letters: b batch, f frames, H W picture size, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ..errors import InputError, one_of
from ..signals.signal import SIGNALS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

B = TypeVar("B", bound="Batch")
NAME = 32  # bytes of a signal's name in a sample
Arrays = Mapping[str, Mapping[str, Tensor]]
"""Signal -> name -> tensor."""


class Batch:
    """One clip, or a batch of clips, whose tensors all have a leading axis b.

    Subclasses are dataclasses of tensors, and of mappings signal -> name -> tensor.
    """

    index: Tensor
    """The clip's number in its source, for messages."""

    def each(self, change: Callable[[str, Tensor], Tensor]) -> Self:
        """A batch with `change(name, tensor)` in place of each tensor; in mappings, name is `signal.name`."""
        values: dict[str, Any] = {}
        for part in fields(cast("DataclassInstance", self)):
            value = getattr(self, part.name)
            values[part.name] = (
                {
                    signal: {name: change(f"{signal}.{name}", array) for name, array in arrays.items()}
                    for signal, arrays in value.items()
                }
                if isinstance(value, Mapping)
                else change(part.name, value)
            )
        return type(self)(**values)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name; those in mappings as `signal.name`."""
        out: dict[str, Tensor] = {}
        self.each(out.setdefault)
        return out

    def only(self, item: int) -> Self:
        """Clip `item` of a batch, as a batch of one."""
        return self.each(lambda name, value: value[item : item + 1])

    def to(self, device: torch.device | str) -> Self:
        """The batch with all tensors on `device` except the signals' names. Lightning calls this."""
        return self.each(lambda name, value: value if name == "signals" else value.to(device))


class Gated(Batch):
    """A batch whose clips have n signals, and gates with a row for each of them.

    arrays: signal -> name -> tensor, the inputs of the signal's encoder in its order, (f, ...) except those
    without an axis of time (`Signal.still`). gates: (n, f) in [0, 1]. signals: (n, 32) uint8, the names of
    the signals of the rows of `gates`; they stay on the CPU, so reading them does not wait for the device.
    """

    STILL: ClassVar[tuple[str, ...]] = ("signals", "index", "micro")
    """Fields without an axis of time."""

    BY_SIGNAL: ClassVar[tuple[str, ...]] = ("gates",)
    """Fields (n, f, ...) with a row for every signal."""

    arrays: Arrays
    gates: Tensor
    signals: Tensor

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.gates.shape[-1]

    def window(self, rows: slice, items: int) -> Self:
        """Frames `rows` of the first `items` clips of a batch."""

        def cut(name: str, value: Tensor) -> Tensor:
            signal, _, array = name.partition(".")
            if name in self.STILL or (array and array in SIGNALS[signal].still):
                return value[:items]
            return value[:items, :, rows] if name in self.BY_SIGNAL else value[:items, rows]

        return self.each(cut)

    def names(self) -> list[str]:
        """The signals of the rows of `gates`, in their order.

        Raises: InputError for a batch whose clips have different signals, and for rows without a name.
        """
        rows = self.signals.cpu()
        if rows.ndim == 3:
            if bool((rows != rows[:1]).any()):
                raise InputError("the clips of a batch have gates for different signals; make them alike")
            rows = rows[0]
        names = [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in rows]
        if len(names) != self.gates.shape[-2]:
            raise InputError(f"a clip has {self.gates.shape[-2]} rows of gates for {', '.join(names)}")
        return names

    def by_signal(self, wanted: Sequence[str]) -> dict[str, Tensor]:
        """Signal -> its gates (b, f), for the wanted signals.

        Raises: InputError unless these are the signals of the clips.
        """
        return {name: self.gates[:, k] for name, k in zip(wanted, self.rows(wanted), strict=True)}

    def rows(self, wanted: Sequence[str]) -> list[int]:
        """The number of each wanted signal's row in `gates`.

        Raises: InputError unless these are the signals of the clips.
        """
        names = self.names()
        if set(names) != set(wanted):
            raise InputError(
                f"the clips have gates for {', '.join(names)}, the model's signals are {', '.join(wanted)}; "
                "a signal belongs in the table SIGNALS, in the data and in the model alike"
            )
        return [names.index(name) for name in wanted]


@dataclass
class Sample(Gated):
    """One clip of pictures, or a batch of clips with a leading axis b.

    portrait: (3, H, W) uint8. frames: (f, 3, H, W) uint8, the target under `gates`.
    arrays: as `Gated`, with pictures as uint8.
    gates: (n, f) in [0, 1], a row for every signal of `signals`.
    face, mouth: (H, W) in {0, 1}, the regions over the clip.
    micro: (3,) frames a second, head and expression motion (`signals.motion_buckets`; 0: not known).
    index: the clip's number in its source, for messages.
    signals: (n, 32) uint8, the names of the signals of the rows of `gates` (`signal_names`); default: those
    of the table `SIGNALS`.
    """

    STILL: ClassVar[tuple[str, ...]] = (*Gated.STILL, "portrait", "face", "mouth")

    portrait: Tensor
    frames: Tensor
    arrays: Arrays
    gates: Tensor
    face: Tensor
    mouth: Tensor
    micro: Tensor
    index: Tensor
    signals: Tensor = cast(Tensor, None)  # set in `__post_init__`

    def __post_init__(self) -> None:
        if self.signals is None:
            names = signal_names(list(SIGNALS))
            self.signals = names if self.gates.ndim == 2 else names.expand(len(self.gates), -1, -1)

    def regions(self) -> dict[str, Tensor]:
        """Signal -> where it acts beside others by the table `SIGNALS`, (..., H, W) in [0, 1].

        Raises: InputError for a region that is none of mouth, upper, face and frame.
        """
        face, mouth = self.face.float(), self.mouth.float()
        known = {"mouth": mouth, "upper": (face - mouth).clamp(min=0), "face": face}
        known["frame"] = torch.ones_like(face)
        region_of = {s: SIGNALS[one_of(s, SIGNALS, "signal of the clips")].region for s in self.names()}
        return {s: known[one_of(region, known, f"region of {s}")] for s, region in region_of.items()}


def collate(samples: list[B]) -> B:
    """Clips whose tensors have the same shapes as one batch, stacked along a new leading axis."""
    clips = [sample.tensors() for sample in samples]
    return samples[0].each(lambda name, _: torch.stack([torch.as_tensor(clip[name]) for clip in clips]))


def signal_names(names: Sequence[str]) -> Tensor:
    """Names of signals in the form of a sample's `signals`, (n, 32) uint8: bytes, padded with zeros."""
    return torch.tensor([list(name.encode()[:NAME].ljust(NAME, b"\0")) for name in names], dtype=torch.uint8)


def pixels(video: Tensor) -> Tensor:
    """Pictures uint8 as float32 in [-1, 1]."""
    return video.float() / 127.5 - 1


def as_uint8(video: np.ndarray | Tensor) -> Tensor:
    """Pictures in [0, 1], float, as uint8; values outside are clamped."""
    return (torch.as_tensor(video).clamp(0, 1) * 255).round().to(torch.uint8)
