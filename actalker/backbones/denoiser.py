"""What a backbone is to the rest: a network from scaled noisy latents to a raw estimate.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from ..control.conditions import Conditions


class Estimate(NamedTuple):
    """A network's raw output, (b, f, c, h, w)."""

    output: Tensor

    @property
    def sample(self) -> Tensor:
        """The raw output, as diffusers' networks call it."""
        return self.output


class Network(Protocol):
    """F(c_in·x; c_noise, conditions) of Karras et al. 2022, eq. 7."""

    def __call__(self, sample: Tensor, timestep: Tensor, conditions: Conditions) -> Estimate: ...
