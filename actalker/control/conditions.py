"""What a denoiser is told: the one object that crosses from the inputs to the network.

Letters: b batch, f frames, n tokens a frame, d width, m identity tokens, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Conditions:
    """Signals, regions, gates, identity, reference and micro-conditions of a batch of clips.

    tokens: signal -> (b, f, n, d).
    regions: signal -> (b, f, H, W) in [0, 1], where it may act, in pixels of the picture.
    gates: signal -> (b, f) in [0, 1], how far it is open at each frame.
    identity: (b, m, d) who it is; without one, m is 0.
    reference: (b, c, h, w) the portrait in the codec's space.
    location: (b, f, r, H, W) masks that tell the network where face and mouth are.
    micro: (b, 3) frames a second, head motion bucket, expression motion bucket.
        These three are for our networks, which need them; a `ParallelControl` alone reads none.
    null: signal or `identity` -> (n, d), tokens that say nothing: guidance puts them in the place of a
        signal's own; it closes the gates of signals that have none.
    idle: closed signals pass too, over no tokens: in training all processes use the same weights in a step.
    """

    tokens: Mapping[str, Tensor]
    regions: Mapping[str, Tensor]
    gates: Mapping[str, Tensor]
    identity: Tensor = None  # type: ignore[assignment]  # set below
    reference: Tensor = None  # type: ignore[assignment]
    location: Tensor = None  # type: ignore[assignment]
    micro: Tensor = None  # type: ignore[assignment]
    mask_drop: float = field(default=1.0)
    generator: torch.Generator | None = field(default=None)
    null: Mapping[str, Tensor] = field(default_factory=dict)
    idle: bool = field(default=False)

    def __post_init__(self) -> None:
        if self.identity is None and self.tokens:
            some = next(iter(self.tokens.values()))
            object.__setattr__(self, "identity", some.new_zeros(len(some), 0, some.shape[-1]))

    def check_whole(self) -> None:
        """Raise InputError naming what one of our networks needs and is not given."""
        lacking = [n for n in ("identity", "reference", "location", "micro") if getattr(self, n) is None]
        if lacking:
            raise InputError(f"conditions: without {', '.join(lacking)}; a network needs all of them")

    @property
    def open(self) -> list[str]:
        """Signals whose gate is above 0 somewhere: only those are computed."""
        return [name for name, gate in self.gates.items() if self.idle or bool((gate > 0).any())]

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
        cut = slice(start, stop)
        return replace(
            self,
            tokens={s: t[:, cut] for s, t in self.tokens.items()},
            regions={s: r[:, cut] for s, r in self.regions.items()},
            gates={s: g[:, cut] for s, g in self.gates.items()},
            location=None if self.location is None else self.location[:, cut],  # type: ignore[arg-type]
        )

    def item(self, k: int) -> Conditions:
        """The conditions of clip k of the batch, as a batch of one."""
        cut: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Tensor):
                cut[part.name] = value[k : k + 1]
            elif part.name in ("tokens", "regions", "gates"):
                cut[part.name] = {s: tensor[k : k + 1] for s, tensor in value.items()}
        return replace(self, **cut)

    def spoken_in(self, dtype: torch.dtype) -> Conditions:
        """The same with tokens and identity in the dtype of a network's features."""
        tokens = {name: given.to(dtype) for name, given in self.tokens.items()}
        return replace(self, tokens=tokens, identity=self.identity.to(dtype))

    def to(self, *args: Any) -> Conditions:
        """Move or cast every tensor, as `Tensor.to`."""
        moved: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Tensor):
                moved[part.name] = value.to(*args)
            elif isinstance(value, Mapping):
                moved[part.name] = {name: tensor.to(*args) for name, tensor in value.items()}
        return replace(self, **moved)


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


def chain(parts: list[Conditions]) -> Conditions:
    """Conditions of stretches of one clip as those of one stretch, in their order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    joined: dict[str, Any] = {}
    if first.location is not None:
        joined["location"] = torch.cat([part.location for part in parts], dim=1)
    for name in ("tokens", "regions", "gates"):
        by_signal = getattr(first, name)
        joined[name] = {s: torch.cat([getattr(part, name)[s] for part in parts], dim=1) for s in by_signal}
    return replace(first, **joined)


def batch(parts: list[Conditions]) -> Conditions:
    """Several conditions as one batch, for guidance passes that run side by side."""
    first = parts[0]
    joined: dict[str, Any] = {}
    for part in fields(Conditions):
        value = getattr(first, part.name)
        if isinstance(value, Tensor):
            joined[part.name] = torch.cat([getattr(p, part.name) for p in parts])
        elif part.name in ("tokens", "regions", "gates"):
            joined[part.name] = {s: torch.cat([getattr(p, part.name)[s] for p in parts]) for s in value}
    return replace(first, **joined)
