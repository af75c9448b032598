"""Losses of motion that are added to the denoising loss: functions of one denoised batch of performances.

`auxiliary_losses` lists those whose weight in `MotionStrategy` is not 0. To add a loss, write a function
here, a weight in `MotionStrategy`, and a line of that list.

Motion is described by 62 numbers a frame (`heads.face_map`). The motion that a signal asks for is the part of
them that follows from the signal's input: `Performance.parts`. The scale of a number is its weight in sums of
squares, `DenoisedMotion.scale`. Letters: b batch, f frames.
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

    model: the trained model.
    batch: the performances.
    conditions: what the batch tells the network at inference, without the dropout of training.
    vary: function that applies the random dropout of training to such conditions.
    target: (b, f, 62), the true numbers of motion, those that the open signals ask for.
    estimate: (b, f, 62), the numbers read from the network's output.
    losses: the denoising losses, with the noise and noise level of each clip.
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
        """(62,): the scale of each number, the norm of its map relative to a coefficient's map."""
        return torch.from_numpy(weights()).to(self.estimate)


class Auxiliary(NamedTuple):
    """One loss of a step: the name it is logged by, its weight in the sum, and what computes it."""

    name: str
    weight: float
    loss: Callable[[DenoisedMotion], Tensor]


def auxiliary_losses(
    strategy: MotionStrategy, generator: torch.Generator | None = None, readers: nn.ModuleDict | None = None
) -> list[Auxiliary]:
    """List the losses whose weight in `strategy` is not 0, in the order in which they draw and are summed.

    generator: source of randomness of the training step; without one (validation) `leak` is left out.
    readers: the linear probes of `TokenError`; without them `tokens` is left out.
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
    """Return mean over (b, f) of Σ_k (scale_k (estimate_k - target_k))²."""
    return ((denoised.estimate - denoised.target) * denoised.scale).square().sum(-1).mean()


def opening_error(denoised: DenoisedMotion) -> Tensor:
    """The squared error of the opening between the lips, cm²."""
    error = denoised.estimate - denoised.target
    return (error @ opening_of_numbers(error)).square().mean()


def opening_of_numbers(like: Tensor) -> Tensor:
    """Return how much a number of 1 opens the lips, (62,), cm, in the dtype and on the device of `like`."""
    row = np.zeros(len(NUMBERS))
    row[: len(COEFFICIENTS)] = head_model().gap(np.eye(len(COEFFICIENTS)))
    row[NUMBERS.index("mouthClose")] -= CLOSE
    return torch.from_numpy(row).to(like)


@dataclass(frozen=True)
class TokenError:
    """Loss: squared error of linear probes that read, from a signal's tokens, the motion it asks for.

    It is computed for all signals, whatever their gates and regions, so that encoders get gradients before
    the network has learnt to use their tokens. The probes are trained with the model.
    readers: signal -> linear layer from its tokens of a frame (n d) to 62 numbers.
    """

    readers: nn.ModuleDict

    def __call__(self, denoised: DenoisedMotion) -> Tensor:
        """Return the sum over signals of the mean over (b, f) of Σ_k (scale_k error_k)²."""
        tokens, parts = denoised.conditions.tokens, denoised.batch.parts
        rows = zip(self.readers, denoised.batch.rows(tuple(self.readers)), strict=True)
        errors = (self.readers[name](tokens[name].flatten(2)) - parts[:, k] for name, k in rows)
        squared = ((error * denoised.scale).square().sum(-1).mean() for error in errors)
        return sum(squared, start=parts.new_zeros(()))


@dataclass(frozen=True)
class Leak:
    """Loss: squared change of the estimate when a gate is closed, in numbers that should not change.

    In some clips the gate of one signal, drawn at random, is closed, and the network denoises them again from
    the same noise. Numbers whose true value is the same for open and closed gate should stay as they were.
    items: number of clips, the first of the batch.
    generator: source of the draw.
    """

    items: int
    generator: torch.Generator

    def __call__(self, denoised: DenoisedMotion) -> Tensor:
        """Return mean over (b, f) of Σ_k same_k (scale_k change_k)², same_k 1 or 0."""
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
    """Return the batch with, in each clip, the gate of one signal closed; the signal is drawn at random."""
    gates = batch.gates.clone()
    chosen = torch.randint(gates.shape[1], (len(gates),), generator=generator)
    gates[torch.arange(len(gates)), chosen.to(gates.device)] = 0
    return replace(batch, gates=gates)
