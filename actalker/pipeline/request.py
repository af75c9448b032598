"""A prepared clip: its inputs, and how it is sampled."""

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
    """A prepared clip: its inputs, the caller's options, and how it is sampled.

    Raises: InputError for noise that has not the clip's shape.
    """

    inputs: ClipInputs
    options: RunOptions
    sampling: SamplingPlan
    latents: Tensor | None = None
    """The unit noise that the clip starts from, (1, f, c, h, w); None: it is drawn from the seed."""
    between: Between = blend
    """Makes the frames between two generated ones."""
    arrangement: Arrangement | None = None
    """How the model is run, for the plan's memory; None: the fastest way."""
    on_latents: Callable[[Tensor], object] | None = None
    """Called with every window's latents (1, k, c, h, w) before they are decoded."""
    plan: Plan = field(init=False)
    """What the clip costs."""

    def __post_init__(self) -> None:
        inputs = self.inputs
        self.plan = plan(
            inputs.model,
            inputs.frames,
            inputs.fps,
            [IDENTITY, *inputs.opened()],
            sampling=self.sampling,
            arrangement=self.arrangement,
            facts=tuple(inputs.facts()),
        )
        if self.latents is not None:
            self.latents = self._checked_noise(self.latents)

    @property
    def fps(self) -> Fraction:
        """Exact rate of the video, frames between generated ones included."""
        return self.inputs.fps * self.options.interpolate

    @property
    def frames(self) -> int:
        """Number of frames of the video, frames between generated ones included."""
        return self.inputs.frames * self.options.interpolate

    def _checked_noise(self, latents: Tensor) -> Tensor:
        """The caller's noise with a batch axis, as float32. Raises: InputError for another shape."""
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
