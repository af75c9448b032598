"""What training does at random: small functions of a generator, each a block of the config.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.performances.performance import Performance
from ..data.puppets.motion import MIRRORED, MIRRORED_SIGN
from ..data.sample import Sample, as_uint8
from ..errors import InputError
from ..signals.expression import AugmentStrategy
from ..signals.text import phrase_bytes

W = TypeVar("W", Sample, Performance)
THIN = 4  # every so manieth pixel tells enough of how far a mouth has moved


@dataclass(frozen=True)
class WindowStrategy:
    """How many frames of how many clips a step denoises; the products stay about the same."""

    short: int = 0
    """Frames of a short window; 0: every step sees whole windows."""

    short_items: int = 14
    """Clips in a step that sees short windows."""

    short_chance: float = 0.7
    """Chance of a short window."""

    whole_items: int = 4
    """Clips in a step that sees whole windows."""

    lively: float = 0.0
    """Chance that a clip's short window is where its mouth differs most from the portrait's: mouths that are
    wide open are rare, and what is in them is the hardest to draw."""


def cut_window(batch: W, config: WindowStrategy, generator: torch.Generator) -> W:
    """A short window of many clips, or whole windows of some: people teach more than neighbours in time."""
    b, f = len(batch.gates), batch.gates.shape[-1]
    if not config.short or config.short >= f:
        return batch
    if torch.rand((), generator=generator) < config.short_chance:
        items = min(b, config.short_items)
        start = torch.randint(f - config.short + 1, (), generator=generator).expand(items)
        if config.lively > 0 and isinstance(batch, Sample):
            chosen = torch.rand(items, generator=generator) < config.lively
            start = torch.where(chosen, liveliest(batch, config.short)[:items].cpu(), start)
        return batch.window(start[:, None] + torch.arange(config.short), items)
    return batch.window(slice(0, f), min(b, config.whole_items))


def liveliest(batch: Sample, length: int) -> Tensor:
    """Where the `length` frames begin whose mouth regions differ most from the portrait's, (b,)."""
    mouth = batch.mouth[:, None, None, ::THIN, ::THIN].float()
    frames, portrait = batch.frames[..., ::THIN, ::THIN].float(), batch.portrait[:, None, :, ::THIN, ::THIN]
    change = ((frames - portrait).abs() * mouth).sum((2, 3, 4))  # (b, f)
    return F.avg_pool1d(change[:, None], length, stride=1)[:, 0].argmax(1)


@dataclass(frozen=True)
class LooksStrategy:
    """How far the looks of a clip are changed, portrait and frames alike: more people than were drawn."""

    recolour: float = 0.0
    """Chance of other colours: channels exchanged, each with its own gain, another gamma."""

    zoom: float = 0.0
    """Largest change of size, as a share of it."""

    shift: float = 0.0
    """Largest shift to a side, as a share of the picture."""

    mirror: float = 0.0
    """Chance of a mirrored clip, portrait, driver, frames and motion; not if its script asks for a side."""


@dataclass(frozen=True)
class MotionStrategy:
    """What is asked of motion beside denoising it, where clips are performances."""

    numbers: float = 1.0
    """Weight of the error of the numbers that the estimate is read to, each by the size of its map."""

    opening: float = 0.0
    """Weight of the squared error of the opening between the lips, cm."""

    tokens: float = 0.0
    """Weight of the error of what each signal asks for as one linear layer reads it from its tokens, open or
    not: encoders learn sooner than the network behind them."""

    leak: float = 0.0
    """Weight of what closing a signal's gate changes outside its region, on the same noise."""

    leak_items: int = 8
    """Clips of a step in which a gate is closed for that."""


@dataclass(frozen=True)
class StrategyConfig:
    """What is random in a step."""

    window: WindowStrategy = field(default_factory=WindowStrategy)
    looks: LooksStrategy = field(default_factory=LooksStrategy)
    augment: AugmentStrategy = field(default_factory=AugmentStrategy)
    motion: MotionStrategy = field(default_factory=MotionStrategy)
    mask_drop: tuple[float, ...] = (1.0,)
    """Mask-drop chances, one drawn a step; 1 is the paper's rule."""
    token_dropout: float = 0.0
    """Chance that a clip's tokens of a signal, or of who it is, are replaced by null tokens."""
    motion_weight: float = 0.0
    """Weight of reading known motion from the tokens (puppets know theirs); 0 for real videos."""
    motion_frames: int = 0
    """Frames of every clip of the batch that motion is read from; 0: all. Encoders are cheap, and learn
    from numbers."""
    motion_mirror: float = 0.0
    """Chance that a driver is mirrored where motion is read from it."""
    shown_weight: float = 0.0
    """Weight of reading the small motions that the gates let through from the network's last features, those
    of lips from the mouth, of lids, brows and gaze from the upper face: they make small errors in pixels."""
    field_weight: float = 0.0
    """Weight of the motion field's distance from the true one, in latent positions, where that is known, with
    the objective's weights of regions: pixels alone teach motion slowly."""
    motion_first: int = 0
    """Steps at the start in which motion is read and nothing is denoised; on several processes these need
    the strategy `ddp_find_unused_parameters_true`."""

    def __post_init__(self) -> None:
        if not self.mask_drop:
            raise InputError("model.strategy.mask_drop: give at least one chance, such as [1.0]")


def change_looks(batch: Sample, config: LooksStrategy, generator: torch.Generator) -> Sample:
    """The same performances by people of other colours, size and place. Regions move along."""
    b, device = len(batch.frames), batch.frames.device
    draw = torch.rand(b, 8, generator=generator).to(device)  # the same on every device
    orders = torch.rand(b, 3, generator=generator).argsort(1).to(device)
    pictures = torch.cat([batch.portrait[:, None], batch.frames], 1).float() / 255  # (b, 1 + f, 3, H, W)
    masks = torch.stack([batch.face, batch.mouth], 1).float()  # (b, 2, H, W)
    field = batch.field.float()
    if config.recolour > 0:
        exchanged = pictures.gather(2, orders[:, None, :, None, None].expand_as(pictures))
        gain = (0.75 + 0.5 * draw[:, :3])[:, None, :, None, None]
        gamma = ((draw[:, 3] - 0.5) * 0.8).exp()[:, None, None, None, None]
        changed = (exchanged * gain).clamp(0, 1) ** gamma
        pictures = torch.where((draw[:, 4] < config.recolour)[:, None, None, None, None], changed, pictures)
    if config.zoom > 0 or config.shift > 0:
        place = torch.zeros(b, 2, 3, device=device)
        place[:, 0, 0] = place[:, 1, 1] = 1 + config.zoom * (2 * draw[:, 5] - 1)
        place[:, :, 2] = config.shift * 2 * (2 * draw[:, 6:8] - 1)

        def moved(layers: Tensor, outside: str = "reflection") -> Tensor:
            flat = layers.flatten(1, -3)
            grid = F.affine_grid(place, [b, 1, *layers.shape[-2:]], align_corners=False)
            return F.grid_sample(flat, grid, padding_mode=outside, align_corners=False).view_as(layers)

        pictures, masks = moved(pictures), (moved(masks) >= 0.5).float()
        field = moved(field, "zeros")
        field[:, :, :2] /= place[:, :1, :1, None, None]
        # neither a mixture with what is not known, nor what lies outside the portrait now
        field[:, :, 2] = (field[:, :, 2] > 0.999) & _within(field[:, :, :2] / pictures.shape[-1])
    whole = as_uint8(pictures)
    return replace(
        batch,
        portrait=whole[:, 0],
        frames=whole[:, 1:],
        face=masks[:, 0].to(batch.face.dtype),
        mouth=masks[:, 1].to(batch.mouth.dtype),
        field=field.to(batch.field.dtype),
    )


def mirror_clips(batch: Sample, chance: float, generator: torch.Generator) -> Sample:
    """Some clips as a mirror shows them, with all that is known of them; sound and script stay.

    A clip whose script asks for a side stays as it is: by saying left or right, or by words that always move
    a face the same way, as known motion tells ("tilts head"). Else the same words would ask for both ways.
    """
    if chance <= 0:
        return batch
    told = batch.motion[:, batch.names().index("text")].nan_to_num()  # (b, f, P)
    sided = (told[..., MIRRORED_SIGN < 0] != 0).flatten(1).any(1) | _names_a_side(batch.bytes)
    flip = torch.rand(len(batch.frames), generator=generator) < chance
    flip = flip.to(batch.frames.device) & ~sided
    signs = torch.tensor([-1, 1, 1], device=batch.field.device)[:, None, None]
    pictures = ("portrait", "frames", "face", "mouth", "crops", "rest")
    turned = {name: getattr(batch, name).flip(-1) for name in pictures}
    turned |= {"field": batch.field.flip(-1) * signs, "motion": _mirrored(batch.motion)}
    return replace(batch, **{name: _where(flip, new, getattr(batch, name)) for name, new in turned.items()})


def _mirrored(motion: Tensor) -> Tensor:
    """Motion (..., P) as a mirror shows it."""
    return motion[..., MIRRORED] * torch.from_numpy(MIRRORED_SIGN).to(motion)


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The new value for the chosen clips (b,), the old one for the others, (b, ...)."""
    return torch.where(chosen.view(-1, *[1] * (old.ndim - 1)), new, old)


def _names_a_side(bytes: Tensor) -> Tensor:
    """Which scripts (b, K+1, L) say left or right, (b,)."""
    found = torch.zeros(len(bytes), dtype=torch.bool, device=bytes.device)
    for word in ("left", "right"):
        wanted = torch.from_numpy(phrase_bytes(word)[: len(word)]).to(bytes)
        found |= (bytes.unfold(2, len(word), 1) == wanted).all(-1).flatten(1).any(1)
    return found


def _within(field: Tensor) -> Tensor:
    """Where a field (b, f, 2, h, w), in sides of the picture, points into the picture, (b, f, h, w)."""
    h, w = field.shape[-2:]
    y = (torch.arange(h, device=field.device) + 0.5) / h
    x = (torch.arange(w, device=field.device) + 0.5) / w
    right, down = field[:, :, 0] + x, field[:, :, 1] + y[:, None]
    return (right >= 0) & (right <= 1) & (down >= 0) & (down <= 1)


def scattered(batch: Sample, count: int, generator: torch.Generator) -> Sample:
    """`count` frames of every clip, at random and in order; 0 gives all."""
    f = batch.frames.shape[1]
    if not 0 < count < f:
        return batch
    rows = torch.randperm(f, generator=generator)[:count].sort().values
    return batch.window(rows, len(batch.frames))


def mirror_drivers(batch: Sample, chance: float, generator: torch.Generator) -> Sample:
    """Some clips with the driver mirrored, and the motion that is known of it: of use for reading motion
    alone, for the frames stay as they are."""
    if chance <= 0:
        return batch
    flip = (torch.rand(len(batch.crops), generator=generator) < chance).to(batch.crops.device)
    motion = batch.motion.clone()
    k = batch.names().index("expression")
    motion[:, k] = _where(flip, _mirrored(motion[:, k]), motion[:, k])
    crops, rest = (_where(flip, t.flip(-1), t) for t in (batch.crops, batch.rest))
    return replace(batch, crops=crops, rest=rest, motion=motion)


def drop_tokens(
    tokens: Mapping[str, Tensor],
    absent: Mapping[str, Tensor],
    chance: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Replace a clip's tokens (b, ..., d) by its null tokens, those of each name with `chance`."""
    out = {}
    for name, value in tokens.items():
        dropped = (torch.rand(value.shape[0], generator=generator) < chance).to(value.device)
        dropped = dropped.view(-1, *[1] * (value.ndim - 1))
        out[name] = torch.where(dropped, absent[name].to(value.dtype), value)
    return out


def mask_drop_chance(options: Sequence[float], generator: torch.Generator) -> float:
    """This step's mask-drop chance, one of `options`."""
    return options[int(torch.randint(len(options), (), generator=generator))]
