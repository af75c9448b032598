"""EDM preconditioning around a network.

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..backbones.denoiser import Network
from ..control.conditions import Conditions


@dataclass(frozen=True)
class PreconditionConfig:
    """c_skip, c_out, c_in, c_noise of Karras et al. 2022, table 1."""

    sigma_data: float = 1.0
    """Standard deviation of the latents; 1 for SVD."""

    prediction: Literal["edm", "v", "sample"] = "edm"
    """What the network's output is: `edm`; `v`, as SVD was trained, c_out = -σ / √(σ² + 1) at sigma_data
    1; `sample`, the clean latents themselves, c_skip = 0 and c_out = 1."""


class Precondition:
    """The denoiser D(x; σ, conditions) around a network F.

        D = c_skip x + c_out F(c_in x; c_noise, conditions)

    The factors are those of Karras et al. 2022, table 1, for noise levels σ.
    """

    def __init__(self, network: Network, config: PreconditionConfig | None = None) -> None:
        self.network, self.config = network, config or PreconditionConfig()

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        """The clean estimate of noisy latents x (b, f, c, h, w) at noise level sigma (b,)."""
        data = self.config.sigma_data
        s = sigma.view(-1, 1, 1, 1, 1).to(x)
        total = (s**2 + data**2).sqrt()
        output = self.network(x / total, 0.25 * sigma.to(x).log(), conditions).output.to(x)
        if self.config.prediction == "sample":
            return output
        if self.config.prediction == "v":
            output = -output
        return data**2 / total**2 * x + s * data / total * output

    def weight(self, sigma: Tensor) -> Tensor:
        """λ(σ) = 1 / c_out²: every noise level counts alike (Karras et al. 2022, eq. 8)."""
        if self.config.prediction == "sample":
            return torch.ones_like(sigma)
        data = self.config.sigma_data
        return (sigma**2 + data**2) / (sigma * data) ** 2
