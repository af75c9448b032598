"""Losses of motion beside the denoising error: each is a function of one denoised batch of performances.

`auxiliary_losses` lists those that a strategy weighs. A new one is a function here, a weight in
`MotionStrategy`, and a line of that list.

Letters: b batch, f frames, the numbers of `heads.face_map` are 62.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..control.conditions import Conditions
from ..data.performances.performance import Performance
from ..data.performances.told import conditions, truth
from ..diffusion.objective import Losses
from ..heads.face_map import NUMBERS, weights
from ..heads.model import CLOSE, COEFFICIENTS, head_model
from ..pipeline.model.model import TalkingHeadModel
from .strategies import MotionStrategy


@dataclass(frozen=True)
class DenoisedMotion:
    """A batch of performances after the network has denoised it once.

    conditions: of the batch as in use, before training's dropout. vary: makes of such conditions what the
    network gets in training, at random. target, estimate: (b, f, 62) the numbers that the signals ask for,
    and those that the network's estimate is read as.
    """

    model: TalkingHeadModel
    batch: Performance
    conditions: Conditions
    vary: Callable[[Conditions], Conditions]
    target: Tensor
    estimate: Tensor
    losses: Losses

    @property
    def scale(self) -> Tensor:
        """(62,) the weight of each number, the length of its map."""
        return torch.from_numpy(weights()).to(self.estimate)


class Auxiliary(NamedTuple):
    """One loss of a step: the name it is logged by, its weight in the sum, and what computes it."""

    name: str
    weight: float
    loss: Callable[[DenoisedMotion], Tensor]


def auxiliary_losses(
    strategy: MotionStrategy, generator: torch.Generator | None = None, readers: nn.ModuleDict | None = None
) -> list[Auxiliary]:
    """The losses that a strategy weighs, in the order in which they draw and are summed.

    generator: of training; without one (validation) `leak` is left out. readers: see `TokenError`; without
    them `tokens` is left out.
    """
    terms = [
        Auxiliary("numbers", strategy.numbers, number_error),
        Auxiliary("opening", strategy.opening, opening_error),
    ]
    if readers is not None:
        terms.append(Auxiliary("tokens", strategy.tokens, TokenError(readers)))
    if generator is not None:
        terms.append(Auxiliary("leak", strategy.leak, Leak(strategy.leak_items, generator)))
    return [term for term in terms if term.weight]


def number_error(denoised: DenoisedMotion) -> Tensor:
    """The squared error of the numbers of motion, each weighed by the length of its map."""
    return ((denoised.estimate - denoised.target) * denoised.scale).square().sum(-1).mean()


def opening_error(denoised: DenoisedMotion) -> Tensor:
    """The squared error of the opening between the lips, cm²."""
    error = denoised.estimate - denoised.target
    return (error @ opening_of_numbers(error)).square().mean()


def opening_of_numbers(like: Tensor) -> Tensor:
    """By how many cm each number parts the lips, (62,), of the dtype and on the device of `like`."""
    row = np.zeros(len(NUMBERS))
    row[: len(COEFFICIENTS)] = head_model().gap(np.eye(len(COEFFICIENTS)))
    row[NUMBERS.index("mouthClose")] -= CLOSE
    return torch.from_numpy(row).to(like)


@dataclass(frozen=True)
class TokenError:
    """The error of what each signal asks for, as a linear layer reads it from the signal's tokens.

    Gates and regions do not count: encoders learn before the network does. readers: signal -> that layer.
    """

    readers: nn.ModuleDict

    def __call__(self, denoised: DenoisedMotion) -> Tensor:
        """The errors of all signals, summed."""
        tokens, parts = denoised.conditions.tokens, denoised.batch.parts
        rows = zip(self.readers, denoised.batch.rows(tuple(self.readers)), strict=True)
        errors = (self.readers[name](tokens[name].flatten(2)) - parts[:, k] for name, k in rows)
        squared = ((error * denoised.scale).square().sum(-1).mean() for error in errors)
        return sum(squared, start=parts.new_zeros(()))


@dataclass(frozen=True)
class Leak:
    """What closing a signal's gate changes where the truth does not change, on the same noise.

    items: clips of the batch in which the gate of one signal, drawn at random, is closed.
    """

    items: int
    generator: torch.Generator

    def __call__(self, denoised: DenoisedMotion) -> Tensor:
        """The weighed squared change of the numbers that should have stayed."""
        model, losses = denoised.model, denoised.losses
        count = min(self.items, len(denoised.target))
        opened = denoised.batch.window(slice(None), count)
        closed = close_one_gate(opened, self.generator)
        varied = denoised.vary(conditions(model, closed))
        other = model.codec.read(model.denoise(losses.noisy[:count], losses.sigma[:count], varied))
        same = (truth(opened) == truth(closed)).to(other)
        change = (other - denoised.estimate[:count]) * denoised.scale
        return (change.square() * same).sum(-1).mean()


def close_one_gate(batch: Performance, generator: torch.Generator) -> Performance:
    """The batch with the gate of one signal closed, drawn anew for each clip."""
    gates = batch.gates.clone()
    chosen = torch.randint(gates.shape[1], (len(gates),), generator=generator)
    gates[torch.arange(len(gates)), chosen.to(gates.device)] = 0
    return replace(batch, gates=gates)
