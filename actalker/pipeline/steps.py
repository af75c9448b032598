"""What a caller is told of the steps of sampling, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..diffusion.sampling import Observer, StepEnd
from ..errors import InputError, kind_of, one_of

# (pipeline, step, timestep, tensors) -> other tensors, or None; timestep is what the network is told of the
# step's noise level (`Factors.c_noise`): ln σ / 4, of models whose prediction is flow t = σ / (1 + σ)
StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], Mapping[str, Any] | None]


class Steps(Observer):
    """Tells of every step as diffusers' pipelines do, and stops where `pipeline._interrupt` is true."""

    def __init__(
        self,
        pipeline: Any,
        tick: Callable[[int, int], Any] | None = None,
        callback: StepCallback | None = None,
        names: Sequence[str] = ("latents",),
    ) -> None:
        """tick: told (window, step). callback: told (pipeline, step, timestep, tensors of these names)."""
        self.pipeline, self.tick, self.callback, self.names = pipeline, tick, callback, names

    @property
    def stopped(self) -> bool:  # type: ignore[override]
        """Whether the pipeline was told to end."""
        return self.pipeline._interrupt

    def step_end(self, end: StepEnd) -> Tensor:
        """Tell of a step; the latents that the callback gives back, or the step's own."""
        if self.tick is not None:
            self.tick(end.window, end.step)
        if self.callback is None:
            return end.latents
        tensors = {"latents": end.latents, "frames": torch.tensor(end.frames)}
        told = {name: tensors[name] for name in self.names}
        timestep = self.pipeline.model.denoise.factors(
            end.sigma
        ).c_noise  # as diffusers' EDM schedulers say it
        answer = self.callback(self.pipeline, end.step, timestep, told)
        if answer is None:
            return end.latents
        if not isinstance(answer, Mapping):
            raise InputError(
                f"callback_on_step_end gave back {kind_of(answer)}; give the dictionary, or None"
            )
        for name in answer:
            one_of(name, tensors, "tensor of the callback")
        latents = answer.get("latents", end.latents)
        if not isinstance(latents, Tensor) or latents.shape != end.latents.shape:
            raise InputError(
                f"callback_on_step_end gave back latents of {getattr(latents, 'shape', type(latents))}; "
                f"this window's are {tuple(end.latents.shape)}"
            )
        return latents.to(end.latents)
