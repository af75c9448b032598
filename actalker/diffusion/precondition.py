"""EDM preconditioning around a network, and the centre that a warped portrait gives it.

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..backbones.denoiser import Network
from ..control.conditions import Conditions


@dataclass(frozen=True)
class PreconditionConfig:
    """c_skip, c_out, c_in, c_noise of Karras et al. 2022, table 1."""

    sigma_data: float = 1.0
    """Standard deviation of the latents around the centre; 1 for SVD."""

    prediction: Literal["edm", "v", "sample"] = "edm"
    """What the network's output is: `edm`; `v`, as SVD was trained, c_out = -σ / √(σ² + 1) at sigma_data
    1; `sample`, the clean latents themselves, c_skip = 0 and c_out = 1."""

    centre: Literal["zero", "reference"] = "zero"
    """What the estimate is relative to: nothing (SVD), or the portrait, warped if the network says how."""


class Denoised(NamedTuple):
    """The clean estimate and the centre that it is relative to, (b, f, c, h, w).

    features, flow: as in the network's `Estimate`.
    """

    clean: Tensor
    centre: Tensor
    features: Tensor | None
    flow: Tensor | None


class Precondition:
    """The denoiser D(x; σ, conditions) around a network F.

        D = μ + c_skip (x - μ) + c_out F(c_in (x - μ0); c_noise, conditions)

    With centre `zero`, μ = μ0 = 0: EDM as SVD uses it. With centre `reference`, μ0 is the portrait's latent
    and μ the portrait warped by the network's motion field, and painted on by its detail head, so that a
    still picture costs the network nothing and motion moves the portrait's own texture.
    """

    def __init__(self, network: Network, config: PreconditionConfig | None = None) -> None:
        self.network, self.config = network, config or PreconditionConfig()

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        """The clean estimate of noisy latents x (b, f, c, h, w) at noise level sigma (b,)."""
        return self.estimate(x, sigma, conditions).clean

    def estimate(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Denoised:
        """The clean estimate and what training looks at beside it."""
        data = self.config.sigma_data
        s = sigma.view(-1, 1, 1, 1, 1).to(x)
        total = (s**2 + data**2).sqrt()
        centre = self._centre(x, conditions)
        estimate = self.network((x - centre) / total, 0.25 * sigma.to(x).log(), conditions)
        if estimate.centre is not None and self.config.centre == "reference":
            centre = estimate.centre.to(x)
        if self.config.prediction == "sample":
            return Denoised(estimate.output.to(x), centre, estimate.features, estimate.flow)
        output = -estimate.output.to(x) if self.config.prediction == "v" else estimate.output.to(x)
        clean = centre + data**2 / total**2 * (x - centre) + s * data / total * output
        return Denoised(clean, centre, estimate.features, estimate.flow)

    def _centre(self, x: Tensor, conditions: Conditions) -> Tensor:
        if self.config.centre == "zero":
            return torch.zeros_like(x)
        return conditions.reference.to(x)[:, None].expand_as(x)

    def weight(self, sigma: Tensor) -> Tensor:
        """λ(σ) = 1 / c_out²: every noise level counts alike (Karras et al. 2022, eq. 8)."""
        if self.config.prediction == "sample":
            return torch.ones_like(sigma)
        data = self.config.sigma_data
        return (sigma**2 + data**2) / (sigma * data) ** 2
