"""What training does at random: small functions of a generator, each a block of the config.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..control.conditions import Conditions
from ..control.scanning import Scanning
from ..data.performances.performance import Performance
from ..data.sample import Sample, as_uint8
from ..errors import InputError
from ..pipeline.model.model import TalkingHeadModel
from ..signals.expression import AugmentStrategy
from ..signals.signal import IDENTITY

W = TypeVar("W", Sample, Performance)


@dataclass(frozen=True)
class WindowStrategy:
    """Settings of `cut_window`: the frames and clips that a step denoises, short windows or whole ones.

    Choose them so that frames x clips is about the same for both.
    """

    short: int = 0
    """Frames of a short window; 0: every step sees whole windows."""

    short_items: int = 14
    """Clips in a step that sees short windows."""

    short_chance: float = 0.7
    """Chance of a short window."""

    whole_items: int = 4
    """Clips in a step that sees whole windows."""


def cut_window(batch: W, config: WindowStrategy, generator: torch.Generator) -> W:
    """Cut a batch, at random, to a short window of many clips or to whole windows of a few.

    With probability `short_chance` it returns `short` neighbouring frames, from a random start, of the first
    `short_items` clips; else all frames of the first `whole_items` clips. For the same memory a step learns
    more from many different people than from many neighbouring frames, which are nearly alike.
    """
    b, f = len(batch.gates), batch.gates.shape[-1]
    if not config.short or config.short >= f:
        return batch
    if torch.rand((), generator=generator) < config.short_chance:
        items = min(b, config.short_items)
        start = int(torch.randint(f - config.short + 1, (), generator=generator))
        return batch.window(slice(start, start + config.short), items)
    return batch.window(slice(0, f), min(b, config.whole_items))


@dataclass(frozen=True)
class LooksStrategy:
    """Settings of `change_looks`: random changes of colour, size and position of a clip.

    They are the same in the portrait and in all frames, as if another person had been filmed.
    """

    recolour: float = 0.0
    """Chance of other colours: channels exchanged, each with its own gain, another gamma."""

    zoom: float = 0.0
    """Largest change of size, as a share of it."""

    shift: float = 0.0
    """Largest shift to a side, as a share of the picture."""


@dataclass(frozen=True)
class MotionStrategy:
    """Weights of the losses that are added to the denoising loss where clips are performances; 0: not used.

    `auxiliary.auxiliary_losses` computes them.
    """

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
    """Settings of all random choices of a training step.

    window: length of the clips. looks: colours and position of the person. augment: changes of the driving
    crops. motion: weights of auxiliary losses. mask_drop, token_dropout: what the network is not told.
    """

    window: WindowStrategy = field(default_factory=WindowStrategy)
    looks: LooksStrategy = field(default_factory=LooksStrategy)
    augment: AugmentStrategy = field(default_factory=AugmentStrategy)
    motion: MotionStrategy = field(default_factory=MotionStrategy)
    mask_drop: tuple[float, ...] = (1.0,)
    """Mask-drop chances, one drawn a step; 1 is the paper's rule."""
    token_dropout: float = 0.0
    """Chance that a clip's tokens of a signal, or of who it is, are replaced by null tokens."""

    def __post_init__(self) -> None:
        if not self.mask_drop:
            raise InputError("model.strategy.mask_drop: give at least one chance, such as [1.0]")


def change_looks(batch: Sample, config: LooksStrategy, generator: torch.Generator) -> Sample:
    """Change colours, size and position of the pictures of a batch, at random for each clip.

    The portrait and all frames of a clip change alike. The face and mouth masks move with the pictures.
    """
    b, device = len(batch.frames), batch.frames.device
    draw = torch.rand(b, 8, generator=generator).to(device)  # the same on every device
    orders = torch.rand(b, 3, generator=generator).argsort(1).to(device)
    pictures = torch.cat([batch.portrait[:, None], batch.frames], 1).float() / 255  # (b, 1 + f, 3, H, W)
    masks = torch.stack([batch.face, batch.mouth], 1).float()  # (b, 2, H, W)
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

        grid = F.affine_grid(place, [b, 1, *masks.shape[-2:]], align_corners=False)

        def moved(layers: Tensor) -> Tensor:
            flat = layers.flatten(1, -3)
            return F.grid_sample(flat, grid, padding_mode="reflection", align_corners=False).view_as(layers)

        pictures, masks = moved(pictures), (moved(masks) >= 0.5).float()
    whole = as_uint8(pictures)
    return replace(
        batch,
        portrait=whole[:, 0],
        frames=whole[:, 1:],
        face=masks[:, 0].to(batch.face.dtype),
        mouth=masks[:, 1].to(batch.mouth.dtype),
    )


def drop_tokens(
    tokens: Mapping[str, Tensor],
    absent: Mapping[str, Tensor],
    chance: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Replace, for each clip and name with probability `chance`, the clip's tokens by null tokens.

    tokens: name -> tokens (b, ..., d) of a signal or of identity.
    absent: name -> null tokens of the same shape.
    Returns: name -> tokens (b, ..., d).
    """
    out = {}
    for name, value in tokens.items():
        dropped = (torch.rand(value.shape[0], generator=generator) < chance).to(value.device)
        dropped = dropped.view(-1, *[1] * (value.ndim - 1))
        out[name] = torch.where(dropped, absent[name].to(value.dtype), value)
    return out


def vary_conditions(
    model: TalkingHeadModel, conditions: Conditions, strategy: StrategyConfig, generator: torch.Generator
) -> Conditions:
    """Make training conditions from the conditions of inference, at random.

    Tokens of signals and of identity are replaced by null tokens with probability `token_dropout`. One
    probability of mask-drop, that a branch leaves out a token outside its signal's region, is drawn for the
    step. Null tokens enter the graph even if `token_dropout` is 0, so that in distributed training all
    processes have gradients for the same weights.
    """
    conditions = drop_signals(model, conditions, strategy.token_dropout, generator)
    identity = drop_identity(model, conditions.identity, strategy.token_dropout, generator)
    drop = mask_drop_chance(strategy.mask_drop, generator)
    return replace(conditions, identity=identity, scanning=Scanning(drop, generator, idle=True))


def drop_signals(
    model: TalkingHeadModel, conditions: Conditions, chance: float, generator: torch.Generator
) -> Conditions:
    """Replace, for each clip and signal with probability `chance`, the signal's tokens by null tokens."""
    b, f = len(conditions.identity), conditions.length
    absent = {name: null_tokens(model, name, b, f) for name in conditions.tokens}
    return replace(conditions, tokens=drop_tokens(conditions.tokens, absent, chance, generator))


def drop_identity(
    model: TalkingHeadModel, identity: Tensor, chance: float, generator: torch.Generator
) -> Tensor:
    """Replace, for each clip with probability `chance`, identity tokens (b, m, d) by null tokens.

    The tokens are returned unchanged if the model has no encoder of identity.
    """
    if IDENTITY not in model.encoders:
        return identity
    absent = {IDENTITY: null_tokens(model, IDENTITY, len(identity))}
    return drop_tokens({IDENTITY: identity}, absent, chance, generator)[IDENTITY]


def null_tokens(model: TalkingHeadModel, name: str, *lead: int) -> Tensor:
    """Return the null tokens of `name`, repeated over the leading axes `lead`.

    For a signal give b, f: (b, f, n, d). For identity give b: (b, m, d).
    """
    return cast(Callable[..., Tensor], model.encoders[name].absent)(*lead)


def mask_drop_chance(options: Sequence[float], generator: torch.Generator) -> float:
    """Draw the mask-drop probability of a step (`Scanning.mask_drop`) from `options`."""
    return options[int(torch.randint(len(options), (), generator=generator))]
