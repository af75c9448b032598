"""Callbacks after each step of sampling, which may replace the latents, as in diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..diffusion.sampling import Observer, StepEnd
from ..errors import InputError, kind_of, one_of
from .model.model import TalkingHeadModel

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], Mapping[str, object] | None]
"""(pipeline, step, timestep, tensors) -> other tensors, or None.

timestep: the step's noise level as the network takes it (`Factors.c_noise`): ln σ / 4, or t = σ / (1 + σ) for
models whose prediction is flow.
"""


class Interruptible(Protocol):
    """The attributes of a pipeline that `Steps` reads.

    model: the model whose noise levels are passed to the callback. _interrupt: True asks sampling to stop.
    """

    model: TalkingHeadModel
    _interrupt: bool


class Steps(Observer):
    """Calls the caller's functions after every step, and ends sampling once `pipeline._interrupt` is true."""

    def __init__(
        self,
        pipeline: Interruptible,
        tick: Callable[[int, int], object] | None = None,
        callback: StepCallback | None = None,
        names: Sequence[str] = ("latents",),
    ) -> None:
        """Observe a pipeline's call.

        Args:
            tick: called with (window, step).
            callback: called with (pipeline, step, timestep, tensors).
            names: names of the tensors that the callback gets: latents, frames.
        """
        self.pipeline, self.tick, self.callback, self.names = pipeline, tick, callback, names

    @property
    def stopped(self) -> bool:
        """Whether the caller has asked the pipeline to end."""
        return self.pipeline._interrupt

    def step_end(self, end: StepEnd) -> Tensor:
        """Call `tick` and `callback`; return the latents of the next step.

        They are `latents` of the dictionary that `callback` returns, or this step's if it returns none.

        Raises: InputError where the callback returns no dictionary, unknown tensors, or latents of another
        shape.
        """
        if self.tick is not None:
            self.tick(end.window, end.step)
        if self.callback is None:
            return end.latents
        tensors = {"latents": end.latents, "frames": torch.tensor(end.frames)}
        chosen = {name: tensors[name] for name in self.names}
        factors = self.pipeline.model.denoise.factors(end.sigma)
        # c_noise is the timestep of diffusers' EDM schedulers
        answer = self.callback(self.pipeline, end.step, factors.c_noise, chosen)
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
