"""Noise: the levels of training and sampling, how it is mixed with clean latents, and a clip's unit noise.

Letters: b batch, f frames, c h w a latent's channels and size, x_0 clean latents, n unit noise, σ noise level
in [0, ∞]: (standard deviation of the noise) / (factor of the signal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import one_of

Spacing = Literal["karras", "flow"]
RHO = 7.0  # ρ of Karras et al. 2022, eq. 5: the larger, the closer the low levels stand
DISTILLED = 1000  # levels that consistency models are distilled at

Path = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A path: σ -> (a, s), the factors of signal and noise in x = a x_0 + s n, each shaped as σ."""


def exploding(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors 1 and σ of the path x = x_0 + σ n, or variance exploding (Karras et al. 2022)."""
    return torch.ones_like(sigma), sigma


def straight(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors 1 - t and t of flow matching, x = (1 - t) x_0 + t n (Lipman et al. 2023).

    Here t = σ / (1 + σ). The factors are exact at both ends: clean latents at σ = 0, noise alone at σ = ∞.
    """
    return 1 / (1 + sigma), 1 / (1 + 1 / sigma)


def noised(path: Path, clean: Tensor, unit: Tensor, sigma: Tensor) -> Tensor:
    """Mix clean latents (b, f, c, h, w) and unit noise of that shape.

    sigma: (b,) noise levels, or a scalar.
    """
    signal, noise = (factor.view(-1, 1, 1, 1, 1).to(clean) for factor in path(sigma))
    return signal * clean + noise * unit


def log_normal(count: int, mean: float, deviation: float, generator: torch.Generator) -> Tensor:
    """Draw noise levels (count,) with ln σ ~ N(mean, deviation²) (Karras et al. 2022, table 1).

    Each level comes from its own quantile, in random order, so that one batch covers the range: the loss then
    varies less from step to step. In flow matching this is the logit-normal t of Esser et al. 2024, since
    logit t = ln σ; their shift multiplies σ, so it adds its logarithm to the mean.
    """
    quantiles = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    normal = torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4))
    order = torch.randperm(count, generator=generator)
    return (mean + deviation * normal[order]).exp()


@dataclass(frozen=True)
class NoiseConfig:
    """The noise of sampling: its levels, and how far a clip's frames share it."""

    sigma_min: float = 0.02
    """Lowest noise level of the spacing karras."""

    sigma_max: float = 10.0
    """Highest noise level of the spacing karras, where sampling starts."""

    shared_noise: float = 0.0
    """Share of the noise's variance that is the same in all frames of a clip; the value of training."""

    spacing: Spacing = "karras"
    """Spacing of the noise levels: karras (Karras et al. 2022, eq. 5), or flow, even steps of t from pure
    noise on, for models whose prediction is flow."""

    noise_shift: float = 1.0
    """Factor on each noise level of the spacing flow (the shift of Esser et al. 2024)."""

    def __post_init__(self) -> None:
        one_of(self.spacing, get_args(Spacing), "spacing")

    def sigmas(self, steps: int, sampler: str = "euler") -> Tensor:
        """Return the noise levels (steps + 1,) for a sampler, float32, falling to the level that it ends at.

        sampler: a name in `SAMPLERS`.
        """
        if self.spacing == "flow":
            return flow(steps, self.noise_shift)
        levels = distilled if sampler == "consistency" else karras
        return levels(steps, self.sigma_min, self.sigma_max)


def karras(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Return noise levels (steps + 1,): sigma_max to sigma_min, then 0 (Karras et al. 2022, eq. 5); float32.

    σ_k = (σ_max^(1/ρ) + k / (steps - 1) (σ_min^(1/ρ) - σ_max^(1/ρ)))^ρ
    """
    levels = _falling(torch.linspace(0, 1, steps, dtype=torch.float64), sigma_min, sigma_max)
    return torch.cat([levels, levels.new_zeros(1)]).float()


def distilled(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Return noise levels (steps + 1,) for a consistency model in few steps; float32.

    Every (1000 // steps)-th of the 1000 levels (`karras`) that the model was distilled at, then sigma_min,
    where such a model returns its input (Song et al. 2023).
    """
    numbers = torch.arange(steps, dtype=torch.float64) * (DISTILLED // steps)
    levels = _falling(numbers / (DISTILLED - 1), sigma_min, sigma_max)
    return torch.cat([levels, levels.new_full((1,), sigma_min)]).float()


def flow(steps: int, shift: float = 1.0) -> Tensor:
    """Return noise levels (steps + 1,) from ∞ to 0, float32: σ = shift t / (1 - t) for even t from 1 to 0.

    So shift multiplies the noise levels. In terms of t = σ / (1 + σ) this is
    t' = shift t / (1 + (shift - 1) t) of Esser et al. 2024, eq. 23.
    """
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (shift * t / (1 - t)).float()


def _falling(places: Tensor, sigma_min: float, sigma_max: float) -> Tensor:
    """Return Karras et al.'s levels at places in [0, 1], 0 being sigma_max and 1 sigma_min."""
    high, low = sigma_max ** (1 / RHO), sigma_min ** (1 / RHO)
    return (high + places * (low - high)) ** RHO


def clip_noise(like: Tensor, shared: float, generator: torch.Generator, offset: float = 0.0) -> Tensor:
    """Draw unit noise (b, f, c, h, w) for training, partly shared between frames (Ge et al.
    2023, mixed noise).

    Args:
        like: latents whose shape, dtype and device the noise gets.
        shared: share in [0, 1) of the variance that is the same in all frames of a clip.
        generator: source of the draws, on the CPU.
        offset: standard deviation of a number that is added to each channel of a clip, the same at all
            positions and frames (noise offset; 0.05 in ACTalker's release).
    """
    noise = torch.randn(like.shape, generator=generator).to(like)
    if shared:
        common = torch.randn((like.shape[0], 1, *like.shape[2:]), generator=generator).to(like)
        noise = shared**0.5 * common + (1 - shared) ** 0.5 * noise
    if offset:
        whole = torch.randn((like.shape[0], 1, like.shape[2], 1, 1), generator=generator).to(like)
        noise = noise + offset * whole
    return noise


class FrameNoise:
    """Unit noise for sampling, a function of (seed, frame, draw) and not of the window that asks for it.

    Windows that share a frame therefore start from the same noise there. Draw 0 is the noise that a clip
    starts from; samplers that add noise take another draw at each step.
    """

    def __init__(
        self, shape: tuple[int, int, int], seed: int, shared: float = 0.0, first: Tensor | None = None
    ) -> None:
        """Set up the noise of a clip.

        Args:
            shape: (c, h, w) of a latent frame.
            seed: of the clip.
            shared: share of the variance that is the same in all frames; the value of training.
            first: (1, f, c, h, w), draw 0 of all frames, in place of the one that the seed gives.
        """
        self.shape, self.seed, self.shared, self.first = shape, seed, shared, first

    def _draw(self, stream: int, draw: int) -> Tensor:
        """Return draw number `draw` (c, h, w) of a stream; 0 is the shared one, frame k has stream k + 1."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        for _ in range(draw):
            torch.randn(self.shape, generator=generator)
        return torch.randn(self.shape, generator=generator)

    def frames(self, start: int, stop: int, draw: int = 0) -> Tensor:
        """Return the noise of frames start .. stop - 1, (1, f, c, h, w)."""
        if self.first is not None and draw == 0:
            return self.first[:, start:stop]
        single = torch.stack([self._draw(k + 1, draw) for k in range(start, stop)])
        return (self.shared**0.5 * self._draw(0, draw) + (1 - self.shared) ** 0.5 * single)[None]
