"""The denoiser around a network: what the network is fed with, and how its output is read.

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level, x_0 clean latents, n unit
noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..backbones.denoiser import Network
from ..control.conditions import Conditions
from ..errors import one_of
from .noise import Path, exploding, noised, straight


class Factors(NamedTuple):
    """D = c_skip x + c_out F(c_in x; c_noise), Karras et al. 2022, eq. 7; each is shaped as σ."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def edm(sigma: Tensor, sigma_data: float) -> Factors:
    """Inputs and outputs of the network have unit variance (Karras et al. 2022, table 1)."""
    total = (sigma**2 + sigma_data**2).sqrt()
    return Factors(
        c_skip=sigma_data**2 / total**2,
        c_out=sigma * sigma_data / total,
        c_in=1 / total,
        c_noise=0.25 * sigma.log(),
    )


def v(sigma: Tensor, sigma_data: float) -> Factors:
    """As `edm`, the output's sign turned: at sigma_data 1 v (Salimans & Ho 2022) as SVD was trained."""
    factors = edm(sigma, sigma_data)
    return factors._replace(c_out=-factors.c_out)


def sample(sigma: Tensor, sigma_data: float) -> Factors:
    """The output is x_0 itself; inputs as `edm`'s."""
    return edm(sigma, sigma_data)._replace(c_skip=torch.zeros_like(sigma), c_out=torch.ones_like(sigma))


def flow(sigma: Tensor, sigma_data: float) -> Factors:
    """The output is the velocity n - x_0 of x = (1 - t) x_0 + t n (Lipman et al. 2023), so x_0 = x - t F; the
    network is told t in [0, 1]. sigma_data plays no part.
    """
    _, t = straight(sigma)
    one = torch.ones_like(sigma)
    return Factors(c_skip=one, c_out=-t, c_in=one, c_noise=t)


@dataclass(frozen=True)
class Parametrisation:
    """How latents are noised, and the factors of (σ, sigma_data) that go with it."""

    path: Path
    factors: Callable[[Tensor, float], Factors]


PARAMETRISATIONS = {
    "edm": Parametrisation(exploding, edm),
    "v": Parametrisation(exploding, v),
    "sample": Parametrisation(exploding, sample),
    "flow": Parametrisation(straight, flow),
}


@dataclass(frozen=True)
class PreconditionConfig:
    """What a network's output is, and how loud its latents are."""

    sigma_data: float = 1.0
    """Standard deviation of the latents; 1 for SVD."""

    prediction: Literal["edm", "v", "sample", "flow"] = "edm"
    """What the network's output is, a name in `PARAMETRISATIONS`: `edm`; `v`, as SVD was trained; `sample`,
    the clean latents themselves; `flow`, the velocity of flow matching."""


class Precondition:
    """The denoiser D(x; σ, conditions) around a network F.

    D = c_skip x + c_out F(c_in x; c_noise, conditions)
    """

    def __init__(self, network: Network, config: PreconditionConfig | None = None) -> None:
        self.network, self.config = network, config or PreconditionConfig()
        name = one_of(self.config.prediction, PARAMETRISATIONS, "prediction")
        self.parametrisation = PARAMETRISATIONS[name]
        self.path = self.parametrisation.path

    def factors(self, sigma: Tensor) -> Factors:
        """c_skip, c_out, c_in and c_noise, each shaped as sigma."""
        return self.parametrisation.factors(sigma, self.config.sigma_data)

    def noised(self, clean: Tensor, unit: Tensor, sigma: Tensor) -> Tensor:
        """Clean latents (b, f, c, h, w) with unit noise of that shape at noise level sigma (b,)."""
        return noised(self.path, clean, unit, sigma)

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        """The clean estimate of noisy latents x (b, f, c, h, w), as `noised` makes them, at noise level
        sigma (b,).
        """
        wide = torch.promote_types(x.dtype, torch.float32)  # factors of three digits would be seen
        factors = self.factors(sigma.to(x.device, wide))
        c_skip, c_out, c_in = (factor.view(-1, 1, 1, 1, 1) for factor in factors[:3])
        output = self.network((c_in * x).to(x), factors.c_noise.to(x), conditions).output
        return (c_skip * x + c_out * output).to(x)

    def weight(self, sigma: Tensor) -> Tensor:
        """λ(σ) = 1 / c_out²: every noise level counts alike (Karras et al. 2022, eq. 8)."""
        return 1 / self.factors(sigma).c_out ** 2
