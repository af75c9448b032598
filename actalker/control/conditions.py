"""What a denoiser is told: the one object that crosses from the inputs to the network.

Letters: b batch, f frames, n tokens a frame, d width, m identity tokens, c h w a latent's channels and size,
H W picture size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .scanning import Scanning

BOTH, BATCH, NEITHER = ({"axes": axes} for axes in ("bf", "b", ""))  # first axes of a field's tensors


@dataclass(frozen=True)
class Conditions:
    """What is said of a batch of clips, each thing by its name.

    tokens: signal -> (b, f, n, d).
    regions: signal -> (b, f, H, W) in [0, 1], where it may act, in pixels of the picture.
    gates: signal -> (b, f) in [0, 1], how far it is open at each frame.
    identity: (b, m, d) who it is; without one, m is 0.
    references: name -> (b, c, h, w), pictures in the codec's space, such as `portrait`.
    maps: name -> (b, f, H, W) in [0, 1], where something is, such as `face` and `mouth`.
    scalars: name -> (b,), such as `fps`.
        Which of these three there have to be, is a network's own affair; a `ParallelControl` reads none.
    null: signal or `identity` -> (n, d), tokens that say nothing: guidance puts them in the place of a
        signal's own; it closes the gates of signals that have none.
    scanning: how branches run, which each window of a clip has of its own.
    """

    tokens: Mapping[str, Tensor] = field(metadata=BOTH)
    regions: Mapping[str, Tensor] = field(metadata=BOTH)
    gates: Mapping[str, Tensor] = field(metadata=BOTH)
    identity: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0), metadata=BATCH)
    references: Mapping[str, Tensor] = field(default_factory=dict, metadata=BATCH)
    maps: Mapping[str, Tensor] = field(default_factory=dict, metadata=BOTH)
    scalars: Mapping[str, Tensor] = field(default_factory=dict, metadata=BATCH)
    null: Mapping[str, Tensor] = field(default_factory=dict, metadata=NEITHER)
    scanning: Scanning = Scanning()

    def __post_init__(self) -> None:
        if not self.identity.shape[0] and self.tokens:
            some = next(iter(self.tokens.values()))
            object.__setattr__(self, "identity", some.new_zeros(len(some), 0, some.shape[-1]))

    def check_has(self, **names: Iterable[str]) -> None:
        """Raise InputError for what a network needs and is not there.

        names: of a field -> what it has to hold, such as maps=("face", "mouth").
        """
        lacking = [
            f"{kind}['{name}']"
            for kind, needed in names.items()
            for name in needed
            if name not in getattr(self, kind)
        ]
        if lacking:
            raise InputError(f"conditions: without {', '.join(lacking)}; this network needs them")

    @property
    def reference(self) -> Tensor:
        """(b, c, h, w) the portrait in the codec's space."""
        return self.references["portrait"]

    @property
    def length(self) -> int:
        """f, frames of each clip."""
        for part in fields(self):
            for values in getattr(self, part.name).values() if part.metadata.get("axes") == "bf" else ():
                return values.shape[1]
        raise InputError("conditions: no signal and no map, so no number of frames; give a map")

    @property
    def open(self) -> list[str]:
        """Signals whose gate is above 0 somewhere: only those are computed."""
        return [name for name, gate in self.gates.items() if bool((gate > 0).any())]

    def closed(self, signals: Iterable[str]) -> Conditions:
        """The same without some signals, or `identity`: what guidance compares with."""
        signals = set(signals)
        shut = signals - self.null.keys()
        gates = {s: torch.zeros_like(g) if s in shut else g for s, g in self.gates.items()}
        tokens = {s: self.null[s].expand_as(t) if s in signals - shut else t for s, t in self.tokens.items()}
        nobody = "identity" in signals and "identity" in self.null
        identity = self.null["identity"].expand_as(self.identity) if nobody else self.identity
        return replace(self, gates=gates, tokens=tokens, identity=identity)

    def frames(self, start: int, stop: int) -> Conditions:
        """The conditions of frames start to stop of the clip."""
        return self._changed("f", lambda x: x[:, start:stop])

    def item(self, k: int) -> Conditions:
        """The conditions of clip k of the batch, as a batch of one."""
        return self._changed("b", lambda x: x[k : k + 1])

    def in_dtype(self, dtype: torch.dtype) -> Conditions:
        """The same with tokens and identity in the dtype of a network's features."""
        tokens = {name: values.to(dtype) for name, values in self.tokens.items()}
        return replace(self, tokens=tokens, identity=self.identity.to(dtype))

    def to(self, *args: Any) -> Conditions:
        """Move or cast every tensor, as `Tensor.to`."""
        return self._changed("", lambda x: x.to(*args))

    def _changed(self, axis: str, change: Callable[[Tensor], Tensor]) -> Conditions:
        """The same with every tensor changed that has this axis; with none, every tensor."""
        return _joined([self], axis, lambda tensors, _: change(tensors[0]))


def chain(parts: Sequence[Conditions]) -> Conditions:
    """Conditions of stretches of one clip as those of one stretch, in their order."""
    return parts[0] if len(parts) == 1 else _joined(parts, "f", torch.cat)


def batch(parts: Sequence[Conditions]) -> Conditions:
    """Several conditions as one batch, for guidance passes that run side by side."""
    return _joined(parts, "b", torch.cat)


def _joined(
    parts: Sequence[Conditions], axis: str, join: Callable[[list[Tensor], int], Tensor]
) -> Conditions:
    """The first of the parts, each tensor that has this axis joined along it with the others of its name."""
    first = parts[0]
    changes: dict[str, Any] = {}
    for part in fields(first):
        axes, value = part.metadata.get("axes"), getattr(first, part.name)
        if axes is None or axis not in axes:
            continue
        everyones, dim = [getattr(one, part.name) for one in parts], axes.find(axis)
        if isinstance(value, Tensor):
            changes[part.name] = join(everyones, dim)
        else:
            changes[part.name] = {name: join([one[name] for one in everyones], dim) for name in value}
    return replace(first, **changes)


def widen_regions(
    regions: Mapping[str, Tensor], gates: Mapping[str, Tensor], face: Tensor
) -> dict[str, Tensor]:
    """The face as region of a signal that is open alone in its clip (ACTalker, 3.4).

    regions: signal -> (b, f, H, W); gates: signal -> (b, f); face: (b, f, H, W).
    """
    opened = torch.stack([gate.amax(1) > 0 for gate in gates.values()])  # (signals, b)
    alone = opened.sum(0) == 1
    out = {}
    for row, (name, region) in zip(opened, regions.items(), strict=True):
        out[name] = torch.where((alone & row)[:, None, None, None], face, region)
    return out
