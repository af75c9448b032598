"""The conditions of a denoiser: the one object that passes from the inputs to the network.

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

BOTH, BATCH, NEITHER = ({"axes": axes} for axes in ("bf", "b", ""))  # leading axes of a field's tensors


@dataclass(frozen=True)
class Conditions:
    """The conditions of a batch of clips: C of ACTalker's eq. 8.

    tokens: signal -> (b, f, n, d), the condition tokens of its encoder.
    regions: signal -> (b, f, H, W) in [0, 1], the mask of pixels that it may change.
    gates: signal -> (b, f) in [0, 1], how far it is open at each frame.
    identity: (b, m, d) tokens of the person in the portrait; m is 0 without them.
    references: name -> (b, c, h, w), pictures as latents of the codec, such as `portrait`.
    maps: name -> (b, f, H, W) in [0, 1], masks of parts of the picture, such as `face` and `mouth`.
    scalars: name -> (b,), such as `fps`.
        Each network says which references, maps and scalars it needs; a `ParallelControl` needs none.
    null: signal or `identity` -> (n, d), the tokens of an absent signal. Guidance drops a signal by putting
        its null tokens in place of its own; a signal without an entry here is dropped by closing its gate.
    scanning: how the branches run; each window of a clip may have its own.
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
        """Raise InputError unless the conditions hold what a network needs.

        names: field -> the names that it must hold, for example maps=("face", "mouth").
        """
        missing = [
            f"{kind}['{name}']"
            for kind, needed in names.items()
            for name in needed
            if name not in getattr(self, kind)
        ]
        if missing:
            raise InputError(f"conditions: without {', '.join(missing)}; this network needs them")

    @property
    def reference(self) -> Tensor:
        """The portrait's latent, (b, c, h, w)."""
        return self.references["portrait"]

    @property
    def length(self) -> int:
        """Number of frames of each clip, f. Raises InputError for conditions without signals and maps."""
        for part in fields(self):
            for values in getattr(self, part.name).values() if part.metadata.get("axes") == "bf" else ():
                return values.shape[1]
        raise InputError("conditions: no signal and no map, so no number of frames; give a map")

    @property
    def open(self) -> list[str]:
        """Names of the signals whose gate is above 0 at some frame; only these are computed."""
        return [name for name, gate in self.gates.items() if bool((gate > 0).any())]

    def closed(self, signals: Iterable[str]) -> Conditions:
        """Return the conditions with these signals, or `identity`, dropped, for a pass of guidance.

        A signal with an entry in `null` gets its null tokens; the gate of any other signal becomes 0.
        """
        signals = set(signals)
        closed = signals - self.null.keys()
        gates = {s: torch.zeros_like(g) if s in closed else g for s, g in self.gates.items()}
        tokens = {
            s: self.null[s].expand_as(t) if s in signals - closed else t for s, t in self.tokens.items()
        }
        anonymous = "identity" in signals and "identity" in self.null
        identity = self.null["identity"].expand_as(self.identity) if anonymous else self.identity
        return replace(self, gates=gates, tokens=tokens, identity=identity)

    def frames(self, start: int, stop: int) -> Conditions:
        """Return the conditions of frames start .. stop - 1."""
        return self._changed("f", lambda x: x[:, start:stop])

    def item(self, k: int) -> Conditions:
        """Return the conditions of clip k of the batch, as a batch of one."""
        return self._changed("b", lambda x: x[k : k + 1])

    def in_dtype(self, dtype: torch.dtype) -> Conditions:
        """Return the conditions with tokens and identity in this dtype, that of a network's features."""
        tokens = {name: values.to(dtype) for name, values in self.tokens.items()}
        return replace(self, tokens=tokens, identity=self.identity.to(dtype))

    def to(self, *args: Any) -> Conditions:
        """Move or cast every tensor; arguments as of `Tensor.to`."""
        return self._changed("", lambda x: x.to(*args))

    def _changed(self, axis: str, change: Callable[[Tensor], Tensor]) -> Conditions:
        """Apply a change to every tensor that has this axis, `b` or `f`; with axis "" to every tensor."""
        return _joined([self], axis, lambda tensors, _: change(tensors[0]))


def chain(parts: Sequence[Conditions]) -> Conditions:
    """Join conditions of consecutive stretches of one clip along the frames."""
    return parts[0] if len(parts) == 1 else _joined(parts, "f", torch.cat)


def batch(parts: Sequence[Conditions]) -> Conditions:
    """Join conditions along the batch, so that passes of guidance run as one batch."""
    return _joined(parts, "b", torch.cat)


def _joined(
    parts: Sequence[Conditions], axis: str, join: Callable[[list[Tensor], int], Tensor]
) -> Conditions:
    """Join the parts' tensors of one name along this axis; tensors without it are the first part's."""
    first = parts[0]
    changes: dict[str, Any] = {}
    for part in fields(first):
        axes, value = part.metadata.get("axes"), getattr(first, part.name)
        if axes is None or axis not in axes:
            continue
        values, dim = [getattr(one, part.name) for one in parts], axes.find(axis)
        if isinstance(value, Tensor):
            changes[part.name] = join(values, dim)
        else:
            changes[part.name] = {name: join([each[name] for each in values], dim) for name in value}
    return replace(first, **changes)


def widen_regions(
    regions: Mapping[str, Tensor], gates: Mapping[str, Tensor], face: Tensor
) -> dict[str, Tensor]:
    """Give the whole face as region to a signal that alone is open in its clip (ACTalker, 3.4).

    Args:
        regions: signal -> (b, f, H, W), the regions of joint control.
        gates: signal -> (b, f).
        face: (b, f, H, W), the face's region.
    Returns: signal -> (b, f, H, W).
    """
    opened = torch.stack([gate.amax(1) > 0 for gate in gates.values()])  # (signals, b)
    alone = opened.sum(0) == 1
    widened = {}
    for row, (name, region) in zip(opened, regions.items(), strict=True):
        widened[name] = torch.where((alone & row)[:, None, None, None], face, region)
    return widened
