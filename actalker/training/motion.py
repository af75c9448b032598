"""What a step learns from performances: motion on the face's map, under gates.

Letters: b batch, f frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..control.conditions import Conditions
from ..control.scanning import Scanning
from ..data.performances.performance import Performance
from ..data.performances.told import conditions, truth
from ..diffusion.objective import Losses, ObjectiveConfig, by_noise_level, denoising_loss
from ..heads.face_map import CELLS, MOUTH, NUMBERS, weights
from ..heads.model import CLOSE, COEFFICIENTS, head_model
from ..pipeline.generate import generate
from ..pipeline.model.memory import LATENTS
from ..pipeline.model.model import TalkingHeadModel
from .strategies import (
    MotionStrategy,
    StrategyConfig,
    cut_window,
    drop_identity,
    drop_tokens,
    mask_drop_chance,
)

PARTS = {  # of the numbers, whose explained variance is told
    "mouth": [k for k, name in enumerate(NUMBERS) if name.startswith(MOUTH)],
    "upper": [k for k, name in enumerate(NUMBERS) if not name.startswith(MOUTH) and name not in CELLS],
    "turn": [NUMBERS.index(name) for name in ("yaw", "pitch", "roll")],
    "gaze": [NUMBERS.index(name) for name in CELLS if name.startswith("gaze")],
}


def _in_training(
    model: TalkingHeadModel,
    made: Conditions,
    generator: torch.Generator,
    mask_drop: tuple[float, ...],
    dropout: float,
) -> Conditions:
    """What the network is told in training, made of what it is told in use.

    mask_drop: chances of which one is drawn; none: as it is sampled. dropout: chance that a clip's tokens of
    a signal, or of who it is, are replaced by null tokens.
    """
    if not mask_drop:
        return made
    b, f = len(made.identity), made.length
    absent = {s: model.encoders[s].absent(b, f) for s in made.tokens}  # type: ignore[operator]
    kept = drop_tokens(
        made.tokens, absent, dropout, generator
    )  # with a chance of 0 too: every weight is used
    who = drop_identity(model, made.identity, dropout, generator)
    drop = mask_drop_chance(mask_drop, generator)
    return replace(made, tokens=kept, identity=who, scanning=Scanning(drop, generator, idle=True))


def motion_step(
    model: TalkingHeadModel,
    batch: Performance,
    objective: ObjectiveConfig,
    strategy: StrategyConfig,
    generator: torch.Generator,
    readers: nn.ModuleDict | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a step of performances minimises, and what it logs. readers: of each signal's tokens."""
    window = cut_window(batch, strategy.window, generator)
    wanted = strategy.motion
    losses, beside = motion_losses(
        model, window, objective, wanted, generator, strategy.mask_drop, strategy.token_dropout, readers
    )
    total = losses.total + sum(getattr(wanted, name) * value for name, value in beside.items())
    values = {"loss": losses.total, "mouth": losses.mouth, "upper": losses.upper, **beside}
    return total, values | {f"loss_{k}": v for k, v in by_noise_level(losses, objective).items()}


def motion_losses(
    model: TalkingHeadModel,
    batch: Performance,
    objective: ObjectiveConfig,
    strategy: MotionStrategy,
    generator: torch.Generator,
    mask_drop: tuple[float, ...] = (),
    dropout: float = 0.0,
    readers: nn.ModuleDict | None = None,
) -> tuple[Losses, dict[str, Tensor]]:
    """The denoising losses of a batch, and what is asked of its motion beside: `numbers`, `opening`, `tokens`
    (where there are readers) and `leak`, those that the strategy weighs.
    """
    asked, made = truth(batch), conditions(model, batch)
    told = _in_training(model, made, generator, mask_drop, dropout)
    losses = denoising_loss(model.denoise, model.codec.lay(asked), told, objective, generator)
    read = model.codec.read(losses.clean)
    size = torch.from_numpy(weights()).to(read)
    values: dict[str, Tensor] = {}
    if strategy.numbers:
        values["numbers"] = ((read - asked) * size).square().sum(-1).mean()
    if strategy.opening:
        values["opening"] = ((read - asked) @ _opening(read)).square().mean()
    if strategy.tokens and readers is not None:
        values["tokens"] = sum(
            ((readers[name](made.tokens[name].flatten(2)) - batch.parts[:, k]) * size).square().sum(-1).mean()
            for name, k in zip(readers, batch.rows(tuple(readers)), strict=True)
        )
    if strategy.leak and mask_drop:
        k = min(strategy.leak_items, len(asked))
        few = batch.window(slice(None), k)
        shut = _one_shut(few, generator)
        less = _in_training(model, conditions(model, shut), generator, mask_drop, dropout)
        other = model.codec.read(model.denoise(losses.noisy[:k], losses.sigma[:k], less))
        same = (truth(few) == truth(shut)).to(read)  # what is asked of these did not change
        values["leak"] = (((other - read[:k]) * size).square() * same).sum(-1).mean()
    return losses, values


def _opening(like: Tensor) -> Tensor:
    """(62,) by how many cm each number parts the lips."""
    row = np.zeros(len(NUMBERS))
    row[: len(COEFFICIENTS)] = head_model().gap(np.eye(len(COEFFICIENTS)))
    row[NUMBERS.index("mouthClose")] -= CLOSE
    return torch.from_numpy(row).to(like)


def _one_shut(batch: Performance, generator: torch.Generator) -> Performance:
    """The batch with the gate of one signal closed, another in each clip."""
    gates = batch.gates.clone()
    n = gates.shape[1]
    chosen = torch.randint(n, (len(gates),), generator=generator)
    gates[torch.arange(len(gates)), chosen.to(gates.device)] = 0
    return replace(batch, gates=gates)


@torch.no_grad()
def explained(model: TalkingHeadModel, batch: Performance) -> Mapping[str, Tensor]:
    """The share of the asked numbers' variance that sampled motion explains, by `PARTS`."""
    told = conditions(model, batch)
    asked, read = truth(batch), []
    for k in range(len(asked)):
        pieces = generate(model, told.item(k).frames, asked.shape[1], arrangement=LATENTS)
        read.append(model.codec.read(torch.cat(list(pieces))))
    made = torch.stack(read)
    out = {}
    for name, rows in PARTS.items():
        size = torch.from_numpy(weights()[rows]).to(made)
        apart = ((made - asked)[..., rows] * size).square().sum()
        spread = (asked[..., rows] - asked[..., rows].mean((0, 1))) * size
        out[f"explained_{name}"] = 1 - apart / spread.square().sum().clamp(min=1e-6)
    return out
