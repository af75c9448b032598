"""Preconditioning: the denoiser D around a network F, with scaled inputs and outputs (Karras et al. 2022).

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level, x_0 clean latents,
n unit noise.
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
    """The factors of D = c_skip x + c_out F(c_in x; c_noise), each shaped as σ.

    Karras et al. 2022, eq. 7.
    """

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def edm(sigma: Tensor, sigma_data: float) -> Factors:
    """Factors of EDM (Karras et al. 2022, table 1): the network's input and target have unit variance."""
    total = (sigma**2 + sigma_data**2).sqrt()
    return Factors(
        c_skip=sigma_data**2 / total**2,
        c_out=sigma * sigma_data / total,
        c_in=1 / total,
        c_noise=0.25 * sigma.log(),
    )


def v(sigma: Tensor, sigma_data: float) -> Factors:
    """Factors of `edm` with the output's sign turned: v-prediction for sigma_data 1, as SVD was trained.

    v = a n - s x_0 with a = 1 / √(1 + σ²), s = σ a (Salimans & Ho 2022).
    """
    factors = edm(sigma, sigma_data)
    return factors._replace(c_out=-factors.c_out)


def sample(sigma: Tensor, sigma_data: float) -> Factors:
    """Factors for a network whose output is x_0 itself; its inputs are scaled as by `edm`."""
    return edm(sigma, sigma_data)._replace(c_skip=torch.zeros_like(sigma), c_out=torch.ones_like(sigma))


def flow(sigma: Tensor, sigma_data: float) -> Factors:
    """Factors of flow matching: the output is the velocity n - x_0 (Lipman et al. 2023).

    Of x = (1 - t) x_0 + t n follows x_0 = x - t F. c_noise is t in [0, 1]; sigma_data has no effect.
    """
    _, t = straight(sigma)
    one = torch.ones_like(sigma)
    return Factors(c_skip=one, c_out=-t, c_in=one, c_noise=t)


@dataclass(frozen=True)
class Parametrisation:
    """A path from clean latents to noise, and the factors for what a network predicts on it.

    factors: (σ, sigma_data) -> `Factors`.
    """

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
    """What a network predicts, and the scale of its latents."""

    sigma_data: float = 1.0
    """Standard deviation of the latents; 1 for SVD."""

    prediction: Literal["edm", "v", "sample", "flow"] = "edm"
    """What the network predicts, a name in `PARAMETRISATIONS`: `edm`; `v`, as SVD was trained; `sample`, the
    clean latents; `flow`, the velocity of flow matching."""


class Precondition:
    """The denoiser D(x; σ, conditions) around a network F (Karras et al. 2022, eq. 7).

        D = c_skip x + c_out F(c_in x; c_noise, conditions)

    path: how clean latents become noisy on the way that the network was trained for.
    """

    def __init__(self, network: Network, config: PreconditionConfig | None = None) -> None:
        """Wrap a network. Raises InputError for a prediction that is no name in `PARAMETRISATIONS`."""
        self.network, self.config = network, config or PreconditionConfig()
        name = one_of(self.config.prediction, PARAMETRISATIONS, "prediction")
        self.parametrisation = PARAMETRISATIONS[name]
        self.path = self.parametrisation.path

    def factors(self, sigma: Tensor) -> Factors:
        """Return c_skip, c_out, c_in and c_noise, each shaped as sigma."""
        return self.parametrisation.factors(sigma, self.config.sigma_data)

    def noised(self, clean: Tensor, unit: Tensor, sigma: Tensor) -> Tensor:
        """Mix clean latents (b, f, c, h, w) and unit noise of that shape at noise level sigma (b,)."""
        return noised(self.path, clean, unit, sigma)

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        """Estimate the clean latents of noisy ones.

        Args:
            x: (b, f, c, h, w), as `noised` makes them.
            sigma: (b,) noise levels.
            conditions: of the same b and f.
        Returns: (b, f, c, h, w), the mean of what x may be without its noise.
        """
        precise = torch.promote_types(x.dtype, torch.float32)  # factors in bfloat16 would leave visible noise
        factors = self.factors(sigma.to(x.device, precise))
        c_skip, c_out, c_in = (factor.view(-1, 1, 1, 1, 1) for factor in factors[:3])
        output = self.network((c_in * x).to(x), factors.c_noise.to(x), conditions).output
        return (c_skip * x + c_out * output).to(x)

    def weight(self, sigma: Tensor) -> Tensor:
        """Return the loss weight λ(σ) = 1 / c_out², (b,).

        All noise levels then count alike (Karras et al. 2022, eq. 8).
        """
        return 1 / self.factors(sigma).c_out ** 2
