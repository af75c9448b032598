"""Averaged weights beside the trained ones: smoother, and what validation and export use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import lightning as L
import torch
from torch import Tensor, nn

from ..signals.standardize import Standardize
from .export import AVERAGED
from .shard import own_part, place, whole


class AverageWeights(L.Callback):
    """Exponential moving average of the weights that are trained (EMA).

        ā ← d_t ā + (1 - d_t) w,    d_t = min(decay, (1 + t) / (10 + t))    after step t

    With them go the running means and deviations of tokens (`Standardize`). The decay starts low, so that the
    random weights of the beginning are soon forgotten. The average is kept in float32; on shards, every
    process averages its own part.
    """

    def __init__(self, decay: float = 0.998) -> None:
        self.decay = decay
        self.averaged: dict[str, Tensor] = {}
        self._held: dict[str, Tensor] = {}  # whole weights of a checkpoint, until the model has its place
        self._step = 0
        self._exchanged = False

    def factor(self, step: int) -> float:
        """How much of the average stays at `step`."""
        return min(self.decay, (1 + step) / (10 + step))

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Begin with the averages of a checkpoint, and with the weights as they are where it has none."""
        self._take_held(module)
        for name, weight in _averaged(module):
            if name not in self.averaged:
                self.averaged[name] = own_part(weight).float().clone()
        self._step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: object, index: int
    ) -> None:
        """Take the weights into the average, once a step."""
        if trainer.global_step == self._step:
            return  # gradients are still being accumulated
        self._step = trainer.global_step
        for name, weight in _averaged(module):
            self.averaged[name].lerp_(own_part(weight).float(), 1 - self.factor(self._step))

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Put the averaged weights into the model."""
        self._take_held(module)
        self._exchange(module)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Put the trained weights back into the model."""
        self._exchange(module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Put the trained weights back where a validation was interrupted, so that they are what is saved."""
        if self._exchanged:
            self._exchange(module)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Add the averages, as whole tensors."""
        gathered = {}
        for name, weight in _averaged(module):
            average = whole(self.averaged[name], weight)  # all processes take part
            if trainer.is_global_zero:
                gathered[name] = average
        checkpoint[AVERAGED] = gathered

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Remember the averages of a checkpoint until the model is in its place."""
        self._held = dict(cast(Mapping[str, Tensor], checkpoint.get(AVERAGED, {})))

    def _take_held(self, module: nn.Module) -> None:
        for name, weight in _averaged(module):
            if name in self._held:
                self.averaged[name] = place(self._held[name].float(), weight)
        self._held = {}

    @torch.no_grad()
    def _exchange(self, module: nn.Module) -> None:
        """The averaged weights for the trained ones, or back."""
        self._exchanged = not self._exchanged
        for name, weight in _averaged(module):
            if name in self.averaged:
                mine, average = own_part(weight), self.averaged[name]
                trained = mine.clone()
                mine.copy_(average)
                average.copy_(trained)


def _averaged(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Trained weights, and the running means and deviations of what they make: tokens vary by far less than
    their mean drifts while weights are learnt, so averaged weights need means of the same time.
    """
    yield from ((name, weight) for name, weight in module.named_parameters() if weight.requires_grad)
    for name, part in module.named_modules():
        if isinstance(part, Standardize):
            yield from ((f"{name}.mean", part.mean), (f"{name}.variance", part.variance))
