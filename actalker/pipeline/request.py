"""A clip that is ready to be made: its inputs, and how it is sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from torch import Tensor

from ..errors import InputError, kind_of
from ..signals.signal import IDENTITY
from .inputs import ClipInputs
from .model.memory import Arrangement
from .options import RunOptions
from .output.interpolate import Between, blend
from .plan import Plan, plan
from .sampling_plan import SamplingPlan


@dataclass
class Request:
    """A clip that is ready to be made: its inputs, the options it was asked for with, how it is sampled."""

    inputs: ClipInputs
    options: RunOptions
    sampling: SamplingPlan
    latents: Tensor | None = None
    """The unit noise that the clip starts from, (1, f, c, h, w), where the caller has drawn it."""
    between: Between = blend
    arrangement: Arrangement | None = None
    on_latents: Callable[[Tensor], object] | None = None
    """Called with every window's latents (1, k, c, h, w) before they are decoded."""
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        inputs = self.inputs
        self.plan = plan(
            inputs.model,
            inputs.frames,
            inputs.fps,
            [IDENTITY, *inputs.opened()],
            self.sampling.guidance,
            self.sampling.steps,
            self.sampling.windows == "shifted",
            self.arrangement,
            tuple(inputs.facts()),
        )
        if self.latents is not None:
            self.latents = self._checked_noise(self.latents)

    @property
    def fps(self) -> Fraction:
        """Frames a second of the video."""
        return self.inputs.fps * self.options.interpolate

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return self.inputs.frames * self.options.interpolate

    def _checked_noise(self, latents: Tensor) -> Tensor:
        """The caller's noise. Raises: InputError where it is not this clip's shape."""
        if not isinstance(latents, Tensor):
            raise InputError(f"latents: is {kind_of(latents)}; give a tensor of unit noise")
        latents = latents[None] if latents.ndim == 4 else latents
        model = self.inputs.model
        length = model.codec.latents_of(self.inputs.frames)
        shape = (1, length, *model.codec.latent_shape(model.config.size))
        if tuple(latents.shape) != shape or not latents.isfinite().all():
            raise InputError(
                f"latents of shape {tuple(latents.shape)}: this clip starts from unit noise of shape {shape}"
            )
        return latents.float().cpu()
